/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tenant can ask for. Each request is a chain of stages: checks here, slow work in the
 * loader, then the dispatcher, then the reply. A tenant that hangs up in between changes nothing:
 * the chain runs to its end, and the reply finds nobody.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/log.h"
#include "agent/tenant/connection.h"

static enum ooo_status status_of(int err)
{
	switch (err) {
	case -EDQUOT:
		return OOO_QUOTA;
	case -ENOMEM:
		return OOO_NO_MEMORY;
	case -EOPNOTSUPP:
	case -E2BIG:
		return OOO_UNSUPPORTED;
	}
	return OOO_BAD_PROGRAM;
}

static bool draining(const struct door_tenant *c)
{
	return c->door->drain_by_ns != 0;
}

#define DRAINING_TEXT "the agent is shutting down and takes nothing new; connect again later"

/* ---- HELLO ----------------------------------------------------------------------------------- */

static uint32_t tenants_of_uid(const struct door *door, uid_t uid)
{
	uint32_t n = 0;

	for (const struct door_tenant *c = door->tenants.head; c; c = c->next)
		n += c->peer.uid == uid;
	return n;
}

static bool over_tenant_limit(const struct door_tenant *c, char *why, size_t why_bytes)
{
	const struct door_limits *limits = &c->door->config.limits;
	uint32_t per_uid = limits->max_tenants_per_uid;

	if (c->door->tenants.nr >= limits->max_tenants) {
		snprintf(why, why_bytes,
			 "%u tenants are connected, the most that this agent takes "
			 "(--max-tenants)",
			 c->door->tenants.nr);
		return true;
	}
	if (per_uid && tenants_of_uid(c->door, c->peer.uid) >= per_uid) {
		snprintf(why, why_bytes,
			 "user %u has %u tenants connected, the most that a user may have "
			 "(--max-tenants-per-user)",
			 c->peer.uid, per_uid);
		return true;
	}
	return false;
}

static void send_welcome(struct door_tenant *c)
{
	const struct registry_agent *agent = &c->door->config.registry->agent;
	const struct tenant *t = c->tenant;
	struct ooo_msg_welcome *w;
	union reply_msg reply;

	door_reply_init(&reply, OOO_MSG_HELLO, OOO_OK, NULL);
	w = &reply.welcome;
	w->tenant = t->id;
	w->features = c->req.hello.features & OOO_FEATURE_CANCEL;
	w->sq_entries = t->ring.sq_entries;
	w->cq_entries = t->ring.cq_entries;
	w->ring_bytes = t->ring.bytes;
	w->arena_bytes = t->arena_bytes;
	w->sq_off = (uint32_t)((char *)t->ring.sqes - (char *)t->ring.ring);
	w->cq_off = (uint32_t)((char *)t->ring.cqes - (char *)t->ring.ring);
	w->agent_id = agent->agent_id;
	snprintf(w->device, sizeof(w->device), "%s", agent->caps->name);
	conn_reply(c, &reply);
}

static void hello_added(struct door_tenant *c)
{
	const struct tenant *t = c->tenant;

	if (c->mail.result) {
		conn_reject(c, OOO_NO_MEMORY, "the agent has no room for another tenant now");
		return;
	}
	c->added = true;
	c->entry.tenant = c->tenant;
	c->entry.connected_ns = door_now_ns();
	registry_add(c->door->config.registry, &c->entry);
	log_tenant(LOG_LEVEL_INFO, "tenant %u \"%s\" (pid %d, uid %u): connected", t->id, t->name,
		   (int)t->pid, t->uid);
	send_welcome(c);
}

void request_hello(struct door_tenant *c)
{
	struct door *door = c->door;
	const struct ooo_msg_hello *hello = &c->req.hello;
	char why[OOO_TEXT_BYTES];
	enum ooo_status status;
	int err;

	if (draining(c)) {
		conn_reject(c, OOO_DRAINING, DRAINING_TEXT);
		return;
	}
	status = hello_check(hello, door->config.limits.max_arena_bytes, why, sizeof(why));
	if (status == OOO_OK && over_tenant_limit(c, why, sizeof(why)))
		status = OOO_QUOTA;
	if (status != OOO_OK) {
		conn_reject(c, status, why);
		return;
	}
	c->programs = calloc(TENANT_MAX_PROGRAMS, sizeof(*c->programs));
	err = c->programs ? tenant_new(hello, &c->peer, ++door->last_id, c->sock, &c->tenant,
				       c->tenant_fds)
			  : -ENOMEM;
	if (err) {
		snprintf(why, sizeof(why), "the agent cannot make the rings and the arena now: %s",
			 strerror(-err));
		conn_reject(c, OOO_NO_MEMORY, why);
		return;
	}
	c->counted = true;
	conn_list_move(c, &door->tenants);
	conn_mail(c, MAIL_TENANT_ADD, hello_added);
}

/* ---- LOAD, UNLOAD ---------------------------------------------------------------------------- */

static struct door_program *find_program(struct door_tenant *c, uint32_t id)
{
	char why[OOO_TEXT_BYTES];

	if (id < TENANT_MAX_PROGRAMS && c->programs[id].inst)
		return &c->programs[id];
	snprintf(why, sizeof(why), "no program %u is loaded", id);
	conn_refuse(c, OOO_NO_PROGRAM, why);
	return NULL;
}

static void load_added(struct door_tenant *c)
{
	const struct program_inst *inst = c->programs[c->index].inst;
	const struct program *p = inst->program;
	struct ooo_msg_loaded *l;
	union reply_msg reply;

	if (c->mail.result) {
		conn_reject(c, OOO_NO_MEMORY, "the dispatcher has no room for another program");
		return;
	}
	log_tenant(LOG_LEVEL_DEBUG, "tenant %u \"%s\": program %u \"%s\" loaded: %u steps",
		   c->tenant->id, c->tenant->name, c->index, p->name, p->nr_steps);
	door_reply_init(&reply, OOO_MSG_LOAD, OOO_OK, NULL);
	l = &reply.loaded;
	l->program = c->index;
	l->nr_steps = p->nr_steps;
	l->nr_ops = p->nr_ops;
	l->slots = inst->nr_slots;
	l->weight_bytes = inst->weight_bytes;
	l->workspace_bytes = p->workspace_bytes;
	l->tensor_bytes = p->tensor_bytes;
	conn_reply(c, &reply);
}

static void load_done(struct door_tenant *c)
{
	struct program_inst *inst = c->job.inst;

	c->job.inst = NULL;
	if (c->job.result) {
		conn_refuse(c, status_of(c->job.result), c->job.why);
		return;
	}
	c->programs[c->index].inst = inst;
	c->weight_bytes += inst->weight_bytes;
	c->workspace_bytes += inst->workspace_bytes;
	registry_set_program(c->door->config.registry, &c->entry, c->index, inst);
	c->mail.inst = inst;
	conn_mail(c, MAIL_PROGRAM_ADD, load_added);
}

static enum ooo_status load_check(struct door_tenant *c, int fd, char *why, size_t why_bytes)
{
	const struct ooo_msg_load *load = &c->req.load;
	uint32_t id = 0;

	if (draining(c)) {
		snprintf(why, why_bytes, DRAINING_TEXT);
		return OOO_DRAINING;
	}
	if (load->precision && load->precision != OOO_FP32) {
		snprintf(why, why_bytes, "LOAD: precision %s is not supported by device %s",
			 dtype_name(load->precision), c->door->config.registry->agent.caps->name);
		return OOO_UNSUPPORTED;
	}
	while (id < TENANT_MAX_PROGRAMS && c->programs[id].inst)
		id++;
	if (id == TENANT_MAX_PROGRAMS) {
		snprintf(why, why_bytes,
			 "%d programs are loaded, the most that a tenant may have; unload one",
			 TENANT_MAX_PROGRAMS);
		return OOO_QUOTA;
	}
	c->index = id;
	return program_fd_check(fd, load->program_bytes, why, why_bytes);
}

void request_load(struct door_tenant *c, int fd)
{
	const struct door_limits *limits = &c->door->config.limits;
	char why[OOO_TEXT_BYTES];
	enum ooo_status status = load_check(c, fd, why, sizeof(why));

	if (status != OOO_OK) {
		conn_refuse_fd(c, fd, status, why);
		return;
	}
	memset(&c->programs[c->index], 0, sizeof(c->programs[c->index]));
	c->job.fd = fd;
	c->job.bytes = c->req.load.program_bytes;
	c->job.index = c->index;
	c->job.inst = NULL;
	c->job.max_weight_bytes = limits->max_weight_bytes - c->weight_bytes;
	c->job.max_workspace_bytes = limits->max_workspace_bytes - c->workspace_bytes;
	conn_job(c, JOB_LOAD, load_done);
}

static void reply_done(struct door_tenant *c)
{
	union reply_msg reply;

	door_reply_init(&reply, c->req.msg.type, OOO_OK, NULL);
	conn_reply(c, &reply);
}

static void unload_left_flow(struct door_tenant *c)
{
	struct door_program *p = &c->programs[c->req.unbind.program];

	if (c->mail.result) {
		conn_refuse(c, OOO_BUSY,
			    "requests of the program are in flight; reap them, then unload it");
		return;
	}
	registry_set_program(c->door->config.registry, &c->entry, p->inst->id, NULL);
	c->weight_bytes -= p->inst->weight_bytes;
	c->workspace_bytes -= p->inst->workspace_bytes;
	c->job.inst = p->inst;
	p->inst = NULL;
	conn_job(c, JOB_UNLOAD, reply_done);
}

void request_unload(struct door_tenant *c)
{
	struct door_program *p = find_program(c, c->req.unbind.program);

	if (!p)
		return;
	c->mail.inst = p->inst;
	conn_mail(c, MAIL_PROGRAM_DEL, unload_left_flow);
}

/* ---- BIND, UNBIND ---------------------------------------------------------------------------- */

static bool binding_used(const struct door_program *p, uint32_t id)
{
	return p->bindings_used[id / 64] >> (id % 64) & 1;
}

static void bind_undone(struct door_tenant *c)
{
	conn_reject(c, OOO_NO_MEMORY, "the dispatcher has no room for another binding");
}

static void bind_added(struct door_tenant *c)
{
	struct door_program *p = &c->programs[c->req.bind.program];
	union reply_msg reply;

	if (c->mail.result) {
		c->job.binding = c->mail.binding;
		conn_job(c, JOB_UNBIND, bind_undone);
		return;
	}
	p->bindings_used[c->index / 64] |= 1ull << (c->index % 64);
	registry_add_bindings(c->door->config.registry, &c->entry, p->inst->id, 1);
	door_reply_init(&reply, OOO_MSG_BIND, OOO_OK, NULL);
	reply.bound.binding = c->index;
	conn_reply(c, &reply);
}

static void bind_done(struct door_tenant *c)
{
	if (c->job.result) {
		conn_refuse(c, c->job.result == -EINVAL ? OOO_INVALID : status_of(c->job.result),
			    c->job.why);
		return;
	}
	c->mail.inst = c->job.inst;
	c->mail.binding = c->job.binding;
	c->mail.index = c->index;
	conn_mail(c, MAIL_BIND_ADD, bind_added);
}

void request_bind(struct door_tenant *c)
{
	const struct ooo_msg_bind *bind = &c->req.bind;
	struct door_program *p = find_program(c, bind->program);
	char why[OOO_TEXT_BYTES];
	enum ooo_status status;
	uint32_t id = 0;

	if (!p)
		return;
	if (draining(c)) {
		conn_refuse(c, OOO_DRAINING, DRAINING_TEXT);
		return;
	}
	while (id < PROGRAM_MAX_BINDINGS && binding_used(p, id))
		id++;
	if (id == PROGRAM_MAX_BINDINGS) {
		snprintf(why, sizeof(why),
			 "program \"%s\" has %d bindings, the most that one may have; unbind one",
			 p->inst->program->name, PROGRAM_MAX_BINDINGS);
		conn_refuse(c, OOO_QUOTA, why);
		return;
	}
	status = bind_check(bind, p->inst->program, c->tenant->arena, c->tenant->arena_bytes,
			    c->job.io, why, sizeof(why));
	if (status != OOO_OK) {
		conn_refuse(c, status, why);
		return;
	}
	c->index = id;
	c->job.inst = p->inst;
	c->job.binding = NULL;
	conn_job(c, JOB_BIND, bind_done);
}

static void unbind_left_flow(struct door_tenant *c)
{
	uint32_t id = c->req.unbind.binding;
	struct door_program *p = &c->programs[c->req.unbind.program];

	if (c->mail.result) {
		conn_refuse(c, OOO_BUSY,
			    "requests on the binding are in flight; reap them, then unbind it");
		return;
	}
	p->bindings_used[id / 64] &= ~(1ull << (id % 64));
	registry_add_bindings(c->door->config.registry, &c->entry, p->inst->id, -1);
	c->job.binding = c->mail.binding;
	conn_job(c, JOB_UNBIND, reply_done);
}

void request_unbind(struct door_tenant *c)
{
	uint32_t id = c->req.unbind.binding;
	struct door_program *p = find_program(c, c->req.unbind.program);
	char why[OOO_TEXT_BYTES];

	if (!p)
		return;
	if (id >= PROGRAM_MAX_BINDINGS || !binding_used(p, id)) {
		snprintf(why, sizeof(why), "program \"%s\" has no binding %u",
			 p->inst->program->name, id);
		conn_refuse(c, OOO_NO_BINDING, why);
		return;
	}
	c->mail.inst = p->inst;
	c->mail.index = id;
	conn_mail(c, MAIL_BIND_DEL, unbind_left_flow);
}

/* ---- STATS ----------------------------------------------------------------------------------- */

void request_stats(struct door_tenant *c)
{
	const struct tenant_stats *s = &c->tenant->stats;
	struct ooo_msg_stats_reply *r;
	union reply_msg reply;

	door_reply_init(&reply, OOO_MSG_STATS, OOO_OK, NULL);
	r = &reply.stats;
	r->submitted = stat_read(&s->submitted);
	r->completed = stat_read(&s->completed);
	r->failed = stat_read(&s->failed);
	r->late = stat_read(&s->late);
	r->refused = stat_read(&s->refused);
	r->cancelled = stat_read(&s->cancelled);
	r->steps = stat_read(&s->steps);
	r->bundles = stat_read(&s->bundles);
	r->service_ns = stat_read(&s->service_ns);
	r->weight_bytes = c->weight_bytes;
	r->workspace_bytes = c->workspace_bytes;
	conn_reply(c, &reply);
}
