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
#include <unistd.h>

#include "agent/control/event.h"
#include "agent/log.h"
#include "agent/tenant/connection.h"
#include "agent/tenant/place.h"
#include "agent/watch/stages.h"

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

/* A lost device can do nothing: what was asked of it may be asked again. */
static enum ooo_status failure_of(const struct door_tenant *c)
{
	if (registry_device_lost(door_registry_device(c->device)))
		return OOO_DEVICE_RESET;
	return status_of(c->job.result);
}

static bool draining(const struct door_tenant *c)
{
	return c->door->drain_by_ns != 0 || c->door->refuses;
}

#define DRAINING_TEXT "the agent drains and takes nothing new; connect again later"

#define GONE_TEXT                                                                                  \
	"the device failed for good and takes no work until the agent is restarted (see ooo-ctl "  \
	"status)"

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

/* What is free of a device's memory; of one that does not say, of the machine's. */
static uint64_t free_bytes(const struct door_device *device)
{
	const struct registry_device *d = door_registry_device(device);
	uint64_t used = 0, total = 0;

	if (d->ops && d->ops->memory) {
		d->ops->memory(d->dev, &used, &total);
	} else {
		total = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
		for (const struct door_tenant *c = device->door->tenants.head; c; c = c->next) {
			if (c->device == device)
				used += c->weight_bytes + c->workspace_bytes;
		}
	}
	return used < total ? total - used : 0;
}

int door_place(struct door_tenant *c, int before)
{
	struct place_load loads[DEVICE_MAX_OPEN];
	struct door *door = c->door;
	int at;

	for (unsigned i = 0; i < door->config.nr_devices; i++) {
		loads[i] = (struct place_load){
			.gone = registry_device_gone(door_registry_device(&door->devices[i])),
			.free_bytes = free_bytes(&door->devices[i]),
			.tenants = door->devices[i].nr_tenants,
		};
	}
	at = place_choose(loads, door->config.nr_devices);
	if (before >= 0 && (at < 0 || !loads[before].gone))
		at = before;
	if (at < 0)
		return -1;
	c->device = &door->devices[at];
	return at;
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
	snprintf(w->device, sizeof(w->device), "%s", agent->devices[t->device].caps->name);
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
	event_post(EVENT_CONNECT, t, t->device, t->params.weight, NULL);
	send_welcome(c);
}

void request_hello(struct door_tenant *c)
{
	struct door *door = c->door;
	const struct ooo_msg_hello *hello = &c->req.hello;
	char why[OOO_TEXT_BYTES];
	enum ooo_status status;
	int err, device;

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
	device = door_place(c, -1);
	if (device < 0) {
		conn_reject(c, OOO_DEVICE_GONE, GONE_TEXT);
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
	c->tenant->device = (uint32_t)device;
	c->tenant->stages = stages_take(door->config.stages, c->tenant, 0);
	registry_admit(door->config.registry, &c->entry, c->tenant);
	c->device->nr_tenants++;
	c->counted = true;
	conn_list_move(c, &door->tenants);
	conn_mail(c, MAIL_TENANT_ADD, hello_added);
}

/* ---- LOAD, UNLOAD ---------------------------------------------------------------------------- */

/* Take the id; the offsets are for a process that takes over. */
int binding_keep(struct door_program *p, uint32_t id, const uint64_t *offsets)
{
	size_t nr = (size_t)p->inst->program->nr_inputs + p->inst->program->nr_outputs;

	p->bindings[id] = calloc(nr + 1, sizeof(*offsets));
	if (!p->bindings[id])
		return -ENOMEM;
	memcpy(p->bindings[id], offsets, nr * sizeof(*offsets));
	return 0;
}

static void binding_drop(struct door_program *p, uint32_t id)
{
	free(p->bindings[id]);
	p->bindings[id] = NULL;
}

static void bindings_free(struct door_program *p)
{
	for (uint32_t i = 0; i < PROGRAM_MAX_BINDINGS && p->inst; i++)
		binding_drop(p, i);
}

void programs_free(struct door_tenant *c)
{
	for (uint32_t i = 0; i < TENANT_MAX_PROGRAMS && c->programs; i++)
		bindings_free(&c->programs[i]);
	free(c->programs);
	c->programs = NULL;
}

static struct door_program *find_program(struct door_tenant *c, uint32_t id)
{
	char why[OOO_TEXT_BYTES];

	if (id < TENANT_MAX_PROGRAMS && c->programs[id].inst)
		return &c->programs[id];
	/* Not one that was loaded before the device went can be had again. */
	if (registry_device_gone(door_registry_device(c->device))) {
		conn_refuse(c, OOO_DEVICE_GONE, GONE_TEXT);
		return NULL;
	}
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
	event_post(EVENT_LOAD, c->tenant, c->tenant->device, inst->weight_bytes, p->name);
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

void program_loaded(struct door_tenant *c, struct program_inst *inst)
{
	c->programs[inst->id].inst = inst;
	c->weight_bytes += inst->weight_bytes;
	c->workspace_bytes += inst->workspace_bytes;
	registry_set_program(c->door->config.registry, &c->entry, inst->id, inst);
}

static void load_done(struct door_tenant *c)
{
	struct program_inst *inst = c->job.inst;

	c->job.inst = NULL;
	if (c->job.result) {
		conn_refuse(c, failure_of(c), c->job.why);
		return;
	}
	program_loaded(c, inst);
	c->mail.inst = inst;
	conn_mail(c, MAIL_PROGRAM_ADD, load_added);
}

/* Whether the device makes use of it is the compiler's business: it is a permission. */
static bool is_precision(uint32_t dtype)
{
	return !dtype || dtype == OOO_FP32 || dtype == OOO_TF32 || dtype == OOO_BF16 ||
	       dtype == OOO_FP16;
}

static enum ooo_status load_check(struct door_tenant *c, int fd, char *why, size_t why_bytes)
{
	const struct ooo_msg_load *load = &c->req.load;
	uint32_t id = 0;

	if (draining(c)) {
		snprintf(why, why_bytes, DRAINING_TEXT);
		return OOO_DRAINING;
	}
	if (registry_device_gone(door_registry_device(c->device))) {
		snprintf(why, why_bytes, GONE_TEXT);
		return OOO_DEVICE_GONE;
	}
	if (!is_precision(load->precision)) {
		snprintf(why, why_bytes,
			 "LOAD: %u is no precision to compute in: fp32, tf32, bf16 and fp16 are",
			 load->precision);
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
	c->job.fd = fd;
	c->job.bytes = c->req.load.program_bytes;
	c->job.index = c->index;
	c->job.inst = NULL;
	c->job.share_weights = !limits->no_weight_sharing;
	c->job.precision = (uint8_t)c->req.load.precision;
	c->job.max_weight_bytes = limits->max_weight_bytes - c->weight_bytes;
	c->job.max_workspace_bytes = limits->max_workspace_bytes - c->workspace_bytes;
	c->job.memory_bytes = registry_memory_quota(c->door->config.registry, &c->entry);
	c->job.memory_used = c->weight_bytes + c->workspace_bytes;
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
	bindings_free(p);
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

static void bind_undone(struct door_tenant *c)
{
	conn_reject(c, OOO_NO_MEMORY, "the dispatcher has no room for another binding");
}

static void bind_added(struct door_tenant *c)
{
	struct door_program *p = &c->programs[c->req.bind.program];
	union reply_msg reply;

	if (c->mail.result) {
		binding_drop(p, c->index);
		c->job.binding = c->mail.binding;
		conn_job(c, JOB_UNBIND, bind_undone);
		return;
	}
	registry_add_bindings(c->door->config.registry, &c->entry, p->inst->id, 1);
	door_reply_init(&reply, OOO_MSG_BIND, OOO_OK, NULL);
	reply.bound.binding = c->index;
	conn_reply(c, &reply);
}

static void bind_done(struct door_tenant *c)
{
	if (c->job.result) {
		binding_drop(&c->programs[c->req.bind.program], c->index);
		conn_refuse(c, c->job.result == -EINVAL ? OOO_INVALID : failure_of(c), c->job.why);
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
	while (id < PROGRAM_MAX_BINDINGS && p->bindings[id])
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
	if (binding_keep(p, id, bind->offset)) {
		conn_refuse(c, OOO_NO_MEMORY, "the agent has no memory for another binding");
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
	binding_drop(p, id);
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
	if (id >= PROGRAM_MAX_BINDINGS || !p->bindings[id]) {
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

/* ---- ADMIT ----------------------------------------------------------------------------------- */

void request_admit(struct door_tenant *c)
{
	const struct ooo_msg_admit *q = &c->req.admit;
	struct registry *registry = c->door->config.registry;
	struct rate_view view;
	union reply_msg reply;
	char why[OOO_TEXT_BYTES];
	int err;

	registry_lock(registry);
	err = registry_admit_rate(registry, c->tenant->id, q->program, (double)q->rate_milli / 1000,
				  q->slo_ns, &view);
	registry_unlock(registry);
	if (err) {
		snprintf(why, sizeof(why), "ADMIT: there is no program %u", q->program);
		conn_refuse(c, OOO_NO_PROGRAM, why);
		return;
	}
	door_reply_init(&reply, OOO_MSG_ADMIT, OOO_OK, NULL);
	reply.admitted.admitted = view.answer.admitted;
	reply.admitted.measured = view.measured;
	reply.admitted.most_milli = (uint64_t)(view.answer.most_per_s * 1000);
	reply.admitted.bound_ns = view.answer.bound_ns;
	conn_reply(c, &reply);
}
