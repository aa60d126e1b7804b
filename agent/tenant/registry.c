/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tenant/registry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/control/event.h"

int registry_init(struct registry *r)
{
	pthread_condattr_t attr;
	int err;

	memset(r, 0, sizeof(*r));
	r->door_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->door_fd < 0)
		return -errno;
	err = pthread_mutex_init(&r->lock, NULL);
	if (err) {
		close(r->door_fd);
		return -err;
	}
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->errand_done, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

void registry_fini(struct registry *r)
{
	pthread_cond_destroy(&r->errand_done);
	pthread_mutex_destroy(&r->lock);
	close(r->door_fd);
	policy_file_free(r->policy);
}

void registry_lock(struct registry *r)
{
	pthread_mutex_lock(&r->lock);
}

void registry_unlock(struct registry *r)
{
	pthread_mutex_unlock(&r->lock);
}

const struct registry_agent *registry_agent(const struct registry *r)
{
	return &r->agent;
}

bool registry_device_lost(const struct registry_device *d)
{
	return d->stats && stat_read(&d->stats->lost);
}

bool registry_device_gone(const struct registry_device *d)
{
	return d->stats && stat_read(&d->stats->gone);
}

uint32_t registry_device_lanes(const struct registry_device *d)
{
	return __atomic_load_n(&d->nr_lanes, __ATOMIC_RELAXED);
}

void registry_read_partitions(struct registry_device *d)
{
	d->nr_lanes = d->caps->nr_lanes;
	memcpy(d->partition, d->caps->partition, sizeof(d->partition));
}

uint32_t registry_find_partition(const struct registry_device *d, const char *name)
{
	for (uint32_t i = 0; i < DEVICE_MAX_PARTITIONS; i++)
		if (!strcmp(d->partition[i].name, name) && d->closing != i + 1)
			return i + 1;
	return 0;
}

const char *registry_partition_name(const struct registry_device *d, const struct tenant_params *p)
{
	return p->partition ? d->partition[p->partition - 1].name : "none";
}

static void view_tenant(const struct registry_entry *e, struct tenant_view *v)
{
	const struct tenant *t = e->tenant;

	memset(v, 0, sizeof(*v));
	v->id = t->id;
	v->pid = t->pid;
	v->uid = t->uid;
	v->gid = t->gid;
	memcpy(v->name, t->name, sizeof(v->name));
	v->params = e->params;
	v->device = t->device;
	v->connected_ns = e->connected_ns;
	v->arena_bytes = t->arena_bytes;
	v->sq_entries = t->ring.sq_entries;
	v->cq_entries = t->ring.cq_entries;
	v->stats = &t->stats;
	v->stages = t->stages;
	v->watch = &e->watch;
	v->stalled = &t->pressure;
	for (unsigned i = 0; i < TENANT_MAX_PROGRAMS; i++) {
		if (!e->programs[i])
			continue;
		v->nr_programs++;
		v->weight_bytes += e->programs[i]->weight_bytes;
		v->workspace_bytes += e->programs[i]->workspace_bytes;
	}
}

void registry_tick(struct registry *r, uint64_t now_ns)
{
	registry_lock(r);
	for (uint32_t i = 0; i < r->agent.nr_devices; i++) {
		struct registry_device *d = &r->agent.devices[i];

		if (d->pressure)
			pressure_tick(&d->stalled, d->pressure, now_ns);
	}
	for (struct registry_entry *e = r->head; e; e = e->next) {
		latency_tick(&e->watch.latency, e->tenant->stats.latency, now_ns);
		pressure_tick(&e->watch.stalled, &e->tenant->pressure, now_ns);
		registry_tick_use(e, now_ns);
	}
	registry_unlock(r);
}

static void view_program(const struct registry_entry *e, uint32_t id, struct program_view *v)
{
	const struct program_inst *inst = e->programs[id];
	const struct program *p = inst->program;

	memset(v, 0, sizeof(*v));
	v->id = id;
	memcpy(v->name, p->name, sizeof(v->name));
	v->nr_steps = p->nr_steps;
	v->nr_ops = p->nr_ops;
	v->nr_bindings = e->nr_bindings[id];
	v->slots = inst->nr_slots;
	v->precision = p->precision ? p->precision : OOO_FP32;
	v->weight_bytes = inst->weight_bytes;
	v->workspace_bytes = inst->workspace_bytes;
	v->requests = stat_read(&inst->requests);
	v->program = p;
}

/* The first with an id >= id. Dumps ask for one after the other, and scripts change them so. */
static struct registry_entry *find_from(struct registry *r, uint32_t id)
{
	struct registry_entry *e = r->last ? r->last : r->head;

	while (e && e->prev && e->prev->tenant->id >= id)
		e = e->prev;
	while (e && e->tenant->id < id)
		e = e->next;
	if (e)
		r->last = e;
	return e;
}

static struct registry_entry *find(struct registry *r, uint32_t id)
{
	struct registry_entry *e = find_from(r, id);

	return e && e->tenant->id == id ? e : NULL;
}

int registry_for_each_tenant(const struct registry *r,
			     int (*fn)(const struct tenant_view *t, void *arg), void *arg)
{
	struct tenant_view view;
	int err = 0;

	for (struct registry_entry *e = r->head; e && !err; e = e->next) {
		view_tenant(e, &view);
		err = fn(&view, arg);
	}
	return err;
}

bool registry_tenant_from(struct registry *r, uint32_t id, struct tenant_view *view)
{
	struct registry_entry *e = find_from(r, id);

	if (!e)
		return false;
	view_tenant(e, view);
	return true;
}

bool registry_program_from(struct registry *r, uint32_t tenant, uint32_t id,
			   struct program_view *view)
{
	const struct registry_entry *e = find(r, tenant);

	if (!e)
		return false;
	while (id < TENANT_MAX_PROGRAMS && !e->programs[id])
		id++;
	if (id >= TENANT_MAX_PROGRAMS)
		return false;
	view_program(e, id, view);
	return true;
}

bool registry_step(struct registry *r, uint32_t tenant, uint32_t program, uint32_t step,
		   struct step_view *view)
{
	const struct registry_entry *e = find(r, tenant);
	const struct program_inst *inst =
		e && program < TENANT_MAX_PROGRAMS ? e->programs[program] : NULL;
	const struct step *s;

	if (!inst || step >= inst->program->nr_steps)
		return false;
	s = &inst->program->steps[step];
	*view = (struct step_view){
		.klass = s->klass,
		.waits = s->nr_deps,
		.cost_ns = __atomic_load_n(&inst->cost_ns[step], __ATOMIC_RELAXED),
		.flops = s->flops,
	};
	memcpy(view->name, s->name, sizeof(view->name));
	return true;
}

/* The counter is private to the agent and never near its limit: this cannot fail. */
void registry_wake_door(struct registry *r)
{
	uint64_t one = 1;
	ssize_t n;

	do
		n = write(r->door_fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
}

int registry_set_params(struct registry *r, uint32_t tenant, const struct tenant_params *params,
			char *why, size_t why_bytes)
{
	struct registry_entry *e = find(r, tenant);
	const struct registry_device *d;
	char change[POLICY_CHANGE_BYTES];
	int err;

	if (!e) {
		snprintf(why, why_bytes, "there is no tenant %u", tenant);
		return -ENOENT;
	}
	err = tenant_params_check(params, why, why_bytes);
	if (err)
		return err;
	d = &r->agent.devices[e->tenant->device];
	if (params->partition &&
	    (!d->partition[params->partition - 1].name[0] || d->closing == params->partition)) {
		snprintf(why, why_bytes, "the device of tenant %u has no partition %u", tenant,
			 params->partition);
		return -ENODEV;
	}
	params_change(&e->params, params, registry_partition_name(d, &e->params),
		      registry_partition_name(d, params), change, sizeof(change));
	event_post(EVENT_TENANT_SET, e->tenant, e->tenant->device, ++e->nr_changes, change);
	e->params = *params;
	if (!e->changed) {
		e->changed = true;
		e->next_changed = r->changed;
		r->changed = e;
	}
	registry_wake_door(r);
	return 0;
}

uint64_t registry_memory_quota(struct registry *r, const struct registry_entry *e)
{
	uint64_t bytes;

	registry_lock(r);
	bytes = e->params.memory_bytes;
	registry_unlock(r);
	return bytes;
}

struct registry_entry *registry_take_changed(struct registry *r, struct tenant_params *params)
{
	struct registry_entry *e;

	registry_lock(r);
	e = r->changed;
	if (e) {
		r->changed = e->next_changed;
		e->changed = false;
		*params = e->params;
	}
	registry_unlock(r);
	return e;
}

void registry_ask_restart(struct registry *r)
{
	r->restart = true;
	registry_wake_door(r);
}

void registry_ask_drain(struct registry *r)
{
	r->drain = true;
	registry_wake_door(r);
}

void registry_ask_refuse(struct registry *r, bool refuse)
{
	r->refuse = refuse;
	registry_wake_door(r);
}

int registry_ask_evict(struct registry *r, uint32_t tenant)
{
	struct registry_entry *e = find(r, tenant);

	if (!e)
		return -ENOENT;
	e->evict = true;
	registry_wake_door(r);
	return 0;
}

/* Up to now, before what it holds changes. */
static void count_memory(struct registry_entry *e)
{
	uint64_t now_ns = turn_clock_ns(), bytes = 0;

	for (unsigned i = 0; i < TENANT_MAX_PROGRAMS; i++) {
		if (e->programs[i])
			bytes += e->programs[i]->weight_bytes + e->programs[i]->workspace_bytes;
	}
	if (e->memory_ns)
		e->memory_byte_s += (double)bytes * (double)(now_ns - e->memory_ns) / 1e9;
	e->memory_ns = now_ns;
}

static void bill(struct registry *r, struct registry_entry *e)
{
	const struct tenant_meter *m = &e->tenant->meter;
	struct usage_values now, used;

	if (!r->bill)
		return;
	count_memory(e);
	now = (struct usage_values){
		.device_ns = stat_read(&m->device_ns),
		.requests = stat_read(&m->requests),
		.input_bytes = stat_read(&m->input_bytes),
		.output_bytes = stat_read(&m->output_bytes),
		.weight_bytes = stat_read(&m->weight_bytes),
		.memory_byte_s = (uint64_t)e->memory_byte_s,
	};
	used = now;
	usage_subtract(&used, &e->billed);
	e->billed = now;
	r->bill(r->bill_arg, e->tenant, &used);
}

void registry_bill(struct registry *r)
{
	for (struct registry_entry *e = r->head; e; e = e->next)
		bill(r, e);
}

/* The policy's partition may have gone while the tenant was on its way in. */
static void leave_partition(struct registry *r, struct registry_entry *e)
{
	const struct registry_device *d = &r->agent.devices[e->tenant->device];
	struct tenant_params params = e->params;
	char why[128];

	if (!params.partition || d->partition[params.partition - 1].name[0])
		return;
	params.partition = 0;
	registry_set_params(r, e->tenant->id, &params, why, sizeof(why));
}

void registry_add(struct registry *r, struct registry_entry *e)
{
	struct registry_entry *after;

	registry_lock(r);
	e->params = e->tenant->params;
	/* Ids grow: its place is near the end. Not always at the end, because the dispatchers of
	 * several devices answer the door in any order. */
	after = r->tail;
	while (after && after->tenant->id > e->tenant->id)
		after = after->prev;
	e->prev = after;
	e->next = after ? after->next : r->head;
	*(after ? &after->next : &r->head) = e;
	*(e->next ? &e->next->prev : &r->tail) = e;
	r->agent.nr_tenants++;
	r->agent.tenants_total++;
	leave_partition(r, e);
	registry_unlock(r);
}

void registry_remove(struct registry *r, struct registry_entry *e)
{
	registry_lock(r);
	bill(r, e);
	for (struct registry_entry **link = &r->changed; *link; link = &(*link)->next_changed) {
		if (*link == e) {
			*link = e->next_changed;
			break;
		}
	}
	if (r->last == e)
		r->last = e->prev;
	if (e->prev)
		e->prev->next = e->next;
	else
		r->head = e->next;
	if (e->next)
		e->next->prev = e->prev;
	else
		r->tail = e->prev;
	r->agent.nr_tenants--;
	registry_unlock(r);
}

void registry_set_program(struct registry *r, struct registry_entry *e, uint32_t id,
			  struct program_inst *inst)
{
	registry_lock(r);
	count_memory(e);
	e->programs[id] = inst;
	e->nr_bindings[id] = 0;
	registry_unlock(r);
}

void registry_add_bindings(struct registry *r, struct registry_entry *e, uint32_t id, int n)
{
	registry_lock(r);
	e->nr_bindings[id] += (uint32_t)n;
	registry_unlock(r);
}

void registry_set_draining(struct registry *r, bool draining)
{
	registry_lock(r);
	r->agent.draining = draining;
	registry_unlock(r);
}
