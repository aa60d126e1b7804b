// SPDX-License-Identifier: Apache-2.0
/*
 * The door hands its tenants over to a fresh process, and takes them over there.
 *
 * Over: read no more requests -> MAIL_PAUSE: what the devices hold completes -> what is outstanding
 * with loaders and dispatchers comes back -> MAIL_STOP -> everything into records. Whatever does
 * not end in time calls it off: MAIL_RESUME. From MAIL_STOP on there is no way back, and nothing
 * but the dispatchers' end is waited for: they take no more mail, so a tenant that hangs up is
 * handed over like the others, and the next process finds the hang-up.
 *
 * Back: for each tenant, its rings and arena, then its programs and bindings one by one, as if it
 * asked for them again; only then does the dispatcher hear of it. So nothing is fetched that could
 * not be served, and the tenant notices no more than a pause.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "agent/control/event.h"
#include "agent/handover.h"
#include "agent/log.h"
#include "agent/tenant/connection.h"
#include "agent/watch/stages.h"

#define SETTLE_MS 2000 /* requests in flight may take so long to complete */

/* ---- over ------------------------------------------------------------------------------------ */

static void listen_all(struct door *door, bool on)
{
	struct conn_list *const lists[] = { &door->greeting, &door->tenants };

	for (int i = 0; i < 2; i++) {
		for (struct door_tenant *c = lists[i]->head; c; c = c->next)
			conn_listen(c, on);
	}
	door_listen(door, on);
}

void handover_start(struct door *door, const char *reason)
{
	if (door->handover_by_ns || door->drain_by_ns)
		return; /* one of them is enough */
	log_info("%s: handing %u tenants over to a fresh process", reason, door->tenants.nr);
	door->handover_by_ns = door_now_ns() + door->config.limits.drain_ms * 1000000ull;
	listen_all(door, false);
	for (unsigned i = 0; i < door->config.nr_devices; i++) {
		struct door_device *device = &door->devices[i];

		device->paused = false;
		device->pause_mail = (struct mail){ .type = MAIL_PAUSE, .index = SETTLE_MS };
		door_send_mail(device, &device->pause_mail);
	}
}

static void resume_device(struct door_device *device)
{
	if (device->resume_mail.type)
		return; /* on its way */
	device->resume_mail = (struct mail){ .type = MAIL_RESUME };
	door_send_mail(device, &device->resume_mail);
}

static void call_off(struct door *door)
{
	log_error("handing over takes longer than %u ms: called off; the agent goes on as it is",
		  door->config.limits.drain_ms);
	door->handover_by_ns = 0;
	for (unsigned i = 0; i < door->config.nr_devices; i++)
		resume_device(&door->devices[i]);
	listen_all(door, true);
}

/* Too often means that it will not help. An administrator may still ask for a restart. */
static void device_lost(struct door_device *device)
{
	struct door *door = device->door;
	const struct device_caps *caps = door_registry_device(device)->caps;
	uint32_t index = (uint32_t)(device - door->devices);

	device->loss_seen = true;
	event_post(EVENT_DEVICE_FAULT, NULL, index, SCOPE_DEVICE, caps->name);
	if (door->handover_by_ns)
		return;
	if (door->drain_by_ns) {
		resume_device(device);
	} else if (!door->config.faults || !handover_fault(door->config.faults, door_now_ns())) {
		log_error("device %s: lost for the %dth time within a minute: it stays lost until "
			  "the agent is restarted (ooo-ctl restart, or SIGUSR2)",
			  caps->name, HANDOVER_FAULTS + 1);
		event_post(EVENT_DEVICE_LOST, NULL, index, 0, caps->name);
		resume_device(device);
	} else {
		handover_start(door, "a device is lost to this process");
	}
}

bool handover_mail(struct door_device *device, struct mail *mail)
{
	if (mail == &device->pause_mail)
		device->paused = true;
	else if (mail == &device->resume_mail)
		device->resume_mail.type = 0;
	else
		return false;
	return true;
}

static bool quiet(const struct conn_list *list)
{
	for (const struct door_tenant *c = list->head; c; c = c->next) {
		if (c->busy || c->params_sent)
			return false;
	}
	return true;
}

bool handover_stops(const struct door *door)
{
	return door->handover_by_ns && door->devices[0].stop_mail.type;
}

bool handover_settle(struct door *door)
{
	bool all;

	for (unsigned i = 0; i < door->config.nr_devices && !door->past; i++) {
		struct door_device *device = &door->devices[i];

		if (!device->loss_seen && registry_device_lost(door_registry_device(device)))
			device_lost(device);
	}
	if (!door->handover_by_ns)
		return false;
	if (handover_stops(door))
		return door_stop_devices(door);
	all = quiet(&door->greeting) && quiet(&door->tenants);
	for (unsigned i = 0; i < door->config.nr_devices; i++)
		all &= door->devices[i].paused && !door->devices[i].resume_mail.type;
	if (all)
		return door_stop_devices(door);
	if (door_now_ns() >= door->handover_by_ns)
		call_off(door);
	return false;
}

/* ---- save ------------------------------------------------------------------------------------ */

static void save_visitor(struct handover_out *out, const struct door_tenant *c)
{
	struct handover_record r = {
		.type = HANDOVER_VISITOR,
		.visitor.sock = (uint64_t)c->sock,
	};

	handover_put(out, &r);
}

static void save_bytes(struct handover_out *out, enum handover_type type, const void *data,
		       size_t bytes)
{
	handover_put(out, &(struct handover_record){
				  .type = type,
				  .tail = data,
				  .tail_bytes = bytes,
			  });
}

static void save_program(struct handover_out *out, const struct door_program *p)
{
	const struct program_inst *inst = p->inst;
	size_t nr_io = (size_t)inst->program->nr_inputs + inst->program->nr_outputs;
	struct handover_record r = {
		.type = HANDOVER_PROGRAM,
		.program = {
			.fd = (uint64_t)inst->fd,
			.id = inst->id,
			.bytes = inst->fd_bytes,
			.precision = inst->precision,
			.requests = stat_read(&inst->requests),
		},
	};

	handover_put(out, &r);
	for (uint32_t i = 0; i < PROGRAM_MAX_BINDINGS; i++) {
		if (!p->bindings[i])
			continue;
		r = (struct handover_record){
			.type = HANDOVER_BINDING,
			.binding = { .program = inst->id, .id = i },
			.tail = p->bindings[i],
			.tail_bytes = nr_io * sizeof(uint64_t),
		};
		handover_put(out, &r);
	}
}

static void save_tenant(struct handover_out *out, const struct door_tenant *c)
{
	const struct tenant *t = c->tenant;
	struct handover_record r = {
		.type = HANDOVER_TENANT,
		.tenant = {
			.sock = (uint64_t)c->sock,
			.ring_fd = (uint64_t)t->ring_fd,
			.arena_fd = (uint64_t)t->arena_fd,
			.sq_eventfd = (uint64_t)t->sq_eventfd,
			.cq_eventfd = (uint64_t)t->cq_eventfd,
			.id = t->id,
			.pid = (uint64_t)t->pid,
			.uid = t->uid,
			.gid = t->gid,
			.device = t->device,
			.connected_ns = c->entry.connected_ns,
			.arena_bytes = t->arena_bytes,
			.sq_entries = t->ring.sq_entries,
			.cq_entries = t->ring.cq_entries,
			.sq_head = t->ring.sq_head,
			.cq_tail = t->ring.cq_tail,
			.cq_head = t->ring.cq_head_cached,
			.stages = stages_place(c->door->config.stages, t->stages),
		},
		.tail = t->name,
		.tail_bytes = strlen(t->name),
	};

	handover_put(out, &r);
	save_bytes(out, HANDOVER_PARAMS, &c->entry.params, sizeof(c->entry.params));
	save_bytes(out, HANDOVER_STATS, &t->stats, sizeof(t->stats));
	for (uint32_t i = 0; i < TENANT_MAX_PROGRAMS; i++) {
		if (c->programs[i].inst)
			save_program(out, &c->programs[i]);
	}
}

void door_save(const struct door *door, struct handover_out *out)
{
	for (const struct door_tenant *c = door->greeting.head; c; c = c->next) {
		if (!c->gone)
			save_visitor(out, c);
	}
	for (const struct door_tenant *c = door->tenants.head; c; c = c->next)
		save_tenant(out, c);
}

uint32_t door_last_id(const struct door *door)
{
	return door->last_id;
}

/* ---- back ------------------------------------------------------------------------------------ */

static void resume_next(struct door_tenant *c);

/* Of each device that was lost to the process before: it is back, or is not there any more. */
static void tell_devices(const struct door *door)
{
	const struct registry_device *devices = door->config.registry->agent.devices;
	struct handover_record r;
	uint64_t since = 0;
	uint32_t index = 0;
	size_t at = 0;

	while (handover_next(door->past, &at, &r)) {
		if (r.type == HANDOVER_AGENT)
			since = r.agent.fault_ns0;
		if (r.type != HANDOVER_DEVICE || index >= door->config.nr_devices)
			continue;
		if (registry_device_gone(&devices[index]))
			event_post(EVENT_DEVICE_LOST, NULL, index, 0, devices[index].caps->name);
		else if (r.device.lost)
			event_post(EVENT_DEVICE_BACK, NULL, index, (door_now_ns() - since) / 1000,
				   devices[index].caps->name);
		index++;
	}
}

/* The last one is back: everything goes on at once. A device that fails again while others still
 * load would cost them their connections. */
static void one_less(struct door *door)
{
	if (--door->nr_resuming)
		return;
	tell_devices(door);
	door->past = NULL;
	log_info("resumed: %u tenants are connected, after %llu ms", door->tenants.nr,
		 (unsigned long long)(door_now_ns() - door->past_ns) / 1000000);
	for (unsigned i = 0; i < door->config.nr_devices; i++)
		resume_device(&door->devices[i]);
	listen_all(door, true);
}

/* It cannot have what it had: it connects again and is told why. */
static void resume_failed(struct door_tenant *c, const char *why)
{
	struct handover_record r;

	log_warn("tenant %u \"%s\" (pid %d): connection closed, it cannot be taken over: %s",
		 c->tenant->id, c->tenant->name, (int)c->tenant->pid, why);
	while (handover_next(c->door->past, &c->past_at, &r) && r.type > HANDOVER_TENANT) {
		if (r.type == HANDOVER_PROGRAM)
			close((int)r.program.fd);
	}
	one_less(c->door);
	conn_leave(c);
}

static void resume_added(struct door_tenant *c)
{
	if (c->mail.result) {
		resume_failed(c, strerror(-c->mail.result));
		return;
	}
	c->added = true;
	registry_read_cgroup(&c->entry, c->tenant->pid);
	registry_add(c->door->config.registry, &c->entry);
	if (c->gone)
		conn_leave(c);
	one_less(c->door);
}

static void resume_loaded(struct door_tenant *c)
{
	struct program_inst *inst = c->job.inst;

	c->job.inst = NULL;
	if (c->job.result) {
		resume_failed(c, c->job.why);
		return;
	}
	inst->requests = c->past_requests;
	program_loaded(c, inst);
	c->tenant->programs[inst->id] = inst; /* the dispatcher does not have the tenant yet */
	resume_next(c);
}

static void resume_program(struct door_tenant *c, const struct handover_program *p)
{
	const struct door_limits *limits = &c->door->config.limits;

	c->past_requests = p->requests;
	c->job.fd = (int)p->fd;
	c->job.bytes = p->bytes;
	c->job.index = (uint32_t)p->id;
	c->job.inst = NULL;
	c->job.share_weights = !limits->no_weight_sharing;
	c->job.precision = (uint8_t)p->precision;
	c->job.max_weight_bytes = limits->max_weight_bytes - c->weight_bytes;
	c->job.max_workspace_bytes = limits->max_workspace_bytes - c->workspace_bytes;
	c->job.memory_bytes = 0; /* it has it: a quota lowered since takes nothing away */
	conn_job(c, JOB_LOAD, resume_loaded);
}

static void resume_bound(struct door_tenant *c)
{
	struct program_inst *inst = c->job.inst;

	c->job.inst = NULL;
	if (c->job.result) {
		resume_failed(c, c->job.why);
		return;
	}
	inst->bindings[c->index] = c->job.binding;
	registry_add_bindings(c->door->config.registry, &c->entry, inst->id, 1);
	resume_next(c);
}

static void resume_binding(struct door_tenant *c, const struct handover_record *r)
{
	struct door_program *p = &c->programs[r->binding.program];
	struct ooo_msg_bind bind = { .nr = (uint32_t)(r->tail_bytes / 8) };
	char why[OOO_TEXT_BYTES] = "no memory";

	memcpy(bind.offset, r->tail, r->tail_bytes);
	c->index = (uint32_t)r->binding.id;
	if (!p->inst) {
		resume_failed(c, "a binding of a program that is not there");
		return;
	}
	if (p->bindings[c->index] ||
	    bind_check(&bind, p->inst->program, c->tenant->arena, c->tenant->arena_bytes, c->job.io,
		       why, sizeof(why)) != OOO_OK ||
	    binding_keep(p, c->index, bind.offset)) {
		resume_failed(c, why);
		return;
	}
	c->job.inst = p->inst;
	c->job.binding = NULL;
	conn_job(c, JOB_BIND, resume_bound);
}

/* What a device that is gone cannot take: its requests are refused before anybody looks for it. */
static bool skip(const struct door_tenant *c, const struct handover_record *r)
{
	if (!registry_device_gone(door_registry_device(c->device)))
		return false;
	if (r->type == HANDOVER_PROGRAM)
		close((int)r->program.fd);
	return r->type == HANDOVER_PROGRAM || r->type == HANDOVER_BINDING;
}

/* It may stand elsewhere now: what it is called counts. */
static uint32_t same_partition(const struct door_tenant *c, uint32_t partition)
{
	char name[DEVICE_PARTITION_NAME];
	struct handover_record r;
	size_t at = 0;

	while (partition && handover_next(c->door->past, &at, &r)) {
		if (r.type != HANDOVER_PARTITION || r.partition.device != c->past_device ||
		    r.partition.place + 1 != partition)
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)r.tail_bytes, (const char *)r.tail);
		return registry_find_partition(door_registry_device(c->device), name);
	}
	return 0;
}

static void copy_bytes(void *to, size_t bytes, const struct handover_record *r)
{
	memcpy(to, r->tail, r->tail_bytes < bytes ? r->tail_bytes : bytes);
}

static void resume_next(struct door_tenant *c)
{
	struct handover_record r;

	while (handover_next(c->door->past, &c->past_at, &r) && r.type > HANDOVER_TENANT) {
		if (r.type == HANDOVER_PARAMS) {
			copy_bytes(&c->tenant->params, sizeof(c->tenant->params), &r);
			c->tenant->params.partition =
				same_partition(c, c->tenant->params.partition);
		} else if (r.type == HANDOVER_STATS) {
			copy_bytes(&c->tenant->stats, sizeof(c->tenant->stats), &r);
		} else if (skip(c, &r)) {
			continue;
		} else {
			if (r.type == HANDOVER_PROGRAM)
				resume_program(c, &r.program);
			else
				resume_binding(c, &r);
			return;
		}
	}
	conn_mail(c, MAIL_TENANT_ADD, resume_added);
}

static int make_tenant(struct door_tenant *c, const struct handover_record *r)
{
	const struct handover_tenant *t = &r->tenant;
	char name[OOO_NAME_BYTES] = "";
	struct tenant_past past = {
		.name = name,
		.peer = c->peer,
		.id = (uint32_t)t->id,
		.sq_entries = (uint32_t)t->sq_entries,
		.cq_entries = (uint32_t)t->cq_entries,
		.arena_bytes = t->arena_bytes,
		.sq_head = (uint32_t)t->sq_head,
		.cq_tail = (uint32_t)t->cq_tail,
		.cq_head = (uint32_t)t->cq_head,
		.sock = c->sock,
		.sq_eventfd = (int)t->sq_eventfd,
		.cq_eventfd = (int)t->cq_eventfd,
		.ring_fd = (int)t->ring_fd,
		.arena_fd = (int)t->arena_fd,
	};

	copy_bytes(name, sizeof(name) - 1, r);
	c->programs = calloc(TENANT_MAX_PROGRAMS, sizeof(*c->programs));
	if (!c->programs)
		return -ENOMEM;
	return tenant_again(&past, &c->tenant);
}

static void resume_tenant(struct door *door, const struct handover_record *r, size_t at)
{
	const struct handover_tenant *t = &r->tenant;
	struct peer peer = { (pid_t)t->pid, (uid_t)t->uid, (gid_t)t->gid };
	struct door_tenant *c = conn_again(door, (int)t->sock, &peer);
	int err, device = -1;

	door->nr_resuming++;
	if (c) {
		device = door_place(c, t->device < door->config.nr_devices ? (int)t->device : 0);
		err = make_tenant(c, r);
	} else {
		err = -ENOMEM;
	}
	if (err) {
		log_warn("tenant %llu (pid %d): connection closed, it cannot be taken over: %s",
			 (unsigned long long)t->id, (int)t->pid, strerror(-err));
		if (c)
			conn_leave(c);
		else
			close((int)t->sock);
		one_less(door);
		return;
	}
	c->tenant->stages = stages_take(door->config.stages, c->tenant, t->stages);
	c->past_device = (uint32_t)t->device;
	c->tenant->device = (uint32_t)device;
	c->device->nr_tenants++;
	c->counted = true;
	c->entry.tenant = c->tenant;
	c->entry.connected_ns = t->connected_ns;
	c->past_at = at;
	resume_next(c);
}

void door_resume(struct door *door, const struct handover_in *past, uint32_t last_id)
{
	struct handover_record r;
	size_t at = 0;

	door->past = past;
	door->last_id = last_id;
	door->past_ns = door_now_ns();
	door->nr_resuming = 1; /* this loop */
	door_listen(door, false);
	while (handover_next(past, &at, &r)) {
		if (r.type == HANDOVER_VISITOR)
			door_visitor(door, (int)r.visitor.sock);
		else if (r.type == HANDOVER_TENANT)
			resume_tenant(door, &r, at);
	}
	one_less(door);
}
