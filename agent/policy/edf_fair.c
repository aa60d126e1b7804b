// SPDX-License-Identifier: Apache-2.0
/*
 * Earliest deadline first, then start-time fair queueing over tenants (Goyal, Vin, Cheng, "Start-time
 * Fair Queuing", SIGCOMM 1996): a tenant's virtual time advances by service / weight, and the tenant
 * with the least goes next. The predicted cost is charged when a step is issued and corrected when
 * the measured one is known, so that one bundle already spreads over tenants.
 */
#include "agent/policy/policy.h"

#include "agent/tenant/tenant.h"

void policy_init(struct policy *p)
{
	*p = (struct policy){ 0 };
}

static void tenant_enter(struct policy *p, struct tenant *t)
{
	/* No credit for having been idle: it enters where the others are now. */
	if (t->vtime < p->vclock)
		t->vtime = p->vclock;
	heap_insert(&p->by_vtime, &t->by_vtime, t->vtime);
	t->in_fair_heap = true;
}

static void tenant_leave(struct policy *p, struct tenant *t)
{
	heap_remove(&p->by_vtime, &t->by_vtime);
	t->in_fair_heap = false;
}

static void fifo_add(struct tenant *t, struct request *r, bool front)
{
	r->next = r->prev = NULL;
	if (!t->fifo_head) {
		t->fifo_head = t->fifo_tail = r;
	} else if (front) {
		r->next = t->fifo_head;
		t->fifo_head->prev = r;
		t->fifo_head = r;
	} else {
		r->prev = t->fifo_tail;
		t->fifo_tail->next = r;
		t->fifo_tail = r;
	}
}

static void fifo_remove(struct tenant *t, struct request *r)
{
	if (r->prev)
		r->prev->next = r->next;
	else
		t->fifo_head = r->next;
	if (r->next)
		r->next->prev = r->prev;
	else
		t->fifo_tail = r->prev;
	r->next = r->prev = NULL;
}

void policy_add(struct policy *p, struct request *r, bool front)
{
	struct tenant *t = r->tenant;

	r->queued = true;
	if (r->deadline_ns) {
		heap_insert(&p->by_deadline, &r->by_deadline, r->deadline_ns);
		return;
	}
	fifo_add(t, r, front);
	if (!t->in_fair_heap)
		tenant_enter(p, t);
}

void policy_remove(struct policy *p, struct request *r)
{
	struct tenant *t = r->tenant;

	r->queued = false;
	if (r->deadline_ns) {
		heap_remove(&p->by_deadline, &r->by_deadline);
		return;
	}
	fifo_remove(t, r);
	if (!t->fifo_head)
		tenant_leave(p, t);
}

struct request *policy_next(struct policy *p)
{
	struct heap_node *min;
	struct request *r;
	struct tenant *t;

	min = heap_min(&p->by_deadline);
	if (min) {
		r = heap_entry(min, struct request, by_deadline);
		policy_remove(p, r);
		return r;
	}
	min = heap_min(&p->by_vtime);
	if (!min)
		return NULL;
	t = heap_entry(min, struct tenant, by_vtime);
	p->vclock = t->vtime;
	r = t->fifo_head;
	policy_remove(p, r);
	return r;
}

bool policy_empty(const struct policy *p)
{
	return heap_empty(&p->by_deadline) && heap_empty(&p->by_vtime);
}

void policy_charge(struct policy *p, struct tenant *t, int64_t ns)
{
	/* The operator may change it at any time, from another thread. */
	uint32_t weight = __atomic_load_n(&t->weight, __ATOMIC_RELAXED);
	int64_t vns = ns * TENANT_WEIGHT_DEFAULT / (int64_t)weight;

	if (vns < 0 && t->vtime < (uint64_t)-vns)
		t->vtime = 0;
	else
		t->vtime += (uint64_t)vns;
	if (t->in_fair_heap) {
		heap_remove(&p->by_vtime, &t->by_vtime);
		heap_insert(&p->by_vtime, &t->by_vtime, t->vtime);
	}
}
