/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tenant/registry.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

int registry_init(struct registry *r)
{
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
	return 0;
}

void registry_fini(struct registry *r)
{
	pthread_mutex_destroy(&r->lock);
	close(r->door_fd);
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

static void view_tenant(const struct registry_entry *e, struct tenant_view *v)
{
	const struct tenant *t = e->tenant;

	memset(v, 0, sizeof(*v));
	v->id = t->id;
	v->pid = t->pid;
	v->uid = t->uid;
	v->gid = t->gid;
	memcpy(v->name, t->name, sizeof(v->name));
	v->weight = __atomic_load_n(&t->weight, __ATOMIC_RELAXED);
	v->connected_ns = e->connected_ns;
	v->arena_bytes = t->arena_bytes;
	v->sq_entries = t->ring.sq_entries;
	v->cq_entries = t->ring.cq_entries;
	v->stats = &t->stats;
	for (unsigned i = 0; i < TENANT_MAX_PROGRAMS; i++) {
		if (!e->programs[i])
			continue;
		v->nr_programs++;
		v->weight_bytes += e->programs[i]->weight_bytes;
		v->workspace_bytes += e->programs[i]->workspace_bytes;
	}
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
	v->weight_bytes = inst->weight_bytes;
	v->workspace_bytes = inst->workspace_bytes;
	v->requests = stat_read(&inst->requests);
	v->program = p;
}

static struct registry_entry *find(const struct registry *r, uint32_t id)
{
	struct registry_entry *e = r->head;

	while (e && e->tenant->id != id)
		e = e->next;
	return e;
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

bool registry_tenant_from(const struct registry *r, uint32_t id, struct tenant_view *view)
{
	struct registry_entry *e = r->head;

	while (e && e->tenant->id < id)
		e = e->next;
	if (!e)
		return false;
	view_tenant(e, view);
	return true;
}

bool registry_program_from(const struct registry *r, uint32_t tenant, uint32_t id,
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

int registry_set_weight(struct registry *r, uint32_t tenant, uint32_t weight)
{
	struct registry_entry *e = find(r, tenant);

	if (!e)
		return -ENOENT;
	if (weight < 1 || weight > REGISTRY_WEIGHT_MAX)
		return -ERANGE;
	/* The dispatcher reads it for each charge; whether it sees the old or the new one is all the
	 * same to it. */
	__atomic_store_n(&e->tenant->weight, weight, __ATOMIC_RELAXED);
	return 0;
}

/* The counter is private to the agent and never near its limit: this cannot fail. */
static void wake_door(struct registry *r)
{
	uint64_t one = 1;
	ssize_t n;

	do
		n = write(r->door_fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
}

void registry_ask_drain(struct registry *r)
{
	r->drain = true;
	wake_door(r);
}

int registry_ask_evict(struct registry *r, uint32_t tenant)
{
	struct registry_entry *e = find(r, tenant);

	if (!e)
		return -ENOENT;
	e->evict = true;
	wake_door(r);
	return 0;
}

void registry_add(struct registry *r, struct registry_entry *e)
{
	registry_lock(r);
	/* Ids grow, so the end of the list is its place. */
	e->next = NULL;
	e->prev = r->tail;
	if (r->tail)
		r->tail->next = e;
	else
		r->head = e;
	r->tail = e;
	r->agent.nr_tenants++;
	r->agent.tenants_total++;
	registry_unlock(r);
}

void registry_remove(struct registry *r, struct registry_entry *e)
{
	registry_lock(r);
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

void registry_set_draining(struct registry *r)
{
	registry_lock(r);
	r->agent.draining = true;
	registry_unlock(r);
}
