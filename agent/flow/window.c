// SPDX-License-Identifier: Apache-2.0
/*
 * Window: the requests that hold a workspace slot and their ready steps. A dependency counts as
 * satisfied when the step before was *issued*: the lane runs bundles in order, so a chain of steps
 * needs no round trip through the host between two of them.
 */
#include <string.h>

#include "agent/flow/flow.h"

static struct slot_state *slot_of(const struct request *r)
{
	return &r->inst->slots[r->slot];
}

static void push_ready(struct request *r, uint32_t step)
{
	struct slot_state *s = slot_of(r);

	s->ready[s->ready_tail++] = step;
	r->nr_ready++;
}

uint32_t window_peek(const struct request *r)
{
	const struct slot_state *s = slot_of(r);

	return s->ready[s->ready_head];
}

uint32_t window_take(struct request *r)
{
	struct slot_state *s = slot_of(r);

	r->nr_ready--;
	return s->ready[s->ready_head++];
}

void window_release(struct request *r, uint32_t step)
{
	const struct step *done = &r->inst->program->steps[step];
	uint16_t *left = slot_of(r)->deps_left;

	for (uint32_t i = 0; i < done->nr_succ; i++) {
		if (--left[done->succ[i]] == 0)
			push_ready(r, done->succ[i]);
	}
}

/* A tenant in a partition has that one's lanes alone; the others have those of none. */
static uint16_t choose_lane(const struct dispatcher *d, const struct request *r)
{
	uint32_t partition = r->tenant->params.partition;
	unsigned first = 0, nr = d->nr_base_lanes;

	if (partition && partition <= DEVICE_MAX_PARTITIONS &&
	    d->caps->partition[partition - 1].name[0]) {
		first = d->caps->partition[partition - 1].first_lane;
		nr = d->caps->partition[partition - 1].nr_lanes;
	}
	return (uint16_t)(first + lane_choose(&d->loads[first], nr, d->width, r->work_ns));
}

static bool urgent(const struct request *r)
{
	return r->due_ns || r->tenant->params.klass == TENANT_LATENCY;
}

/* Give r a free slot: its steps without predecessors are ready. */
static void activate(struct dispatcher *d, struct request *r)
{
	struct program_inst *inst = r->inst;
	uint32_t nr_steps = inst->program->nr_steps;
	struct slot_state *s;

	r->slot = inst->free_slots[--inst->nr_free_slots];
	r->lane = choose_lane(d, r);
	d->loads[r->lane].work_ns += r->work_ns;
	d->loads[r->lane].nr_requests++;
	r->state = REQUEST_ACTIVE;
	r->urgent = urgent(r);
	d->nr_urgent += r->urgent;
	if (!r->tenant->nr_active++)
		policy_join(&d->policy, r->tenant);
	r->active_ns = d->now_ns;
	s = slot_of(r);
	memcpy(s->deps_left, inst->deps_init, nr_steps * sizeof(*s->deps_left));
	s->ready_head = s->ready_tail = 0;
	for (uint32_t i = 0; i < nr_steps; i++) {
		if (!inst->deps_init[i])
			push_ready(r, i);
	}
	pressure_note(d, r);
	if (r->nr_ready)
		policy_add(&d->policy, r);
	else
		retire_request(d, r); /* a program without steps */
}

static void wait_for_slot(struct dispatcher *d, struct request *r)
{
	r->state = REQUEST_WAITING;
	r->record_flags |= OOO_RECORD_WAITED_SLOT;
	heap_insert(&r->inst->waiting, &r->by_deadline, request_order(r));
	pressure_note(d, r);
}

static void stop_waiting(struct request *r)
{
	heap_remove(&r->inst->waiting, &r->by_deadline);
}

/* A slot of the program is free: the first that waits for one takes it. Through the bound queue, not
 * at once: a completion then never recurses. */
static void pass_slot_on(struct dispatcher *d, struct program_inst *inst)
{
	struct heap_node *first = heap_min(&inst->waiting);
	struct request *next;

	if (!first || !inst->nr_free_slots)
		return;
	next = heap_entry(first, struct request, by_deadline);
	stop_waiting(next);
	next->state = REQUEST_FREE;
	queue_push(&d->bound, next);
}

/* It may have been on its way to a free slot, which is another's now. */
static void drop_bound(struct dispatcher *d, struct request *r)
{
	struct program_inst *inst = r->inst;

	retire_request(d, r);
	pass_slot_on(d, inst);
}

bool window_run(struct dispatcher *d)
{
	struct request *r;
	bool did = false;

	while ((r = queue_pop(&d->bound))) {
		did = true;
		if (r->dead)
			drop_bound(d, r);
		else if (r->inst->nr_free_slots)
			activate(d, r);
		else
			wait_for_slot(d, r);
	}
	return did;
}

void window_leave(struct dispatcher *d, struct request *r)
{
	struct program_inst *inst = r->inst;

	inst->free_slots[inst->nr_free_slots++] = r->slot;
	d->loads[r->lane].work_ns -= r->work_ns;
	d->loads[r->lane].nr_requests--;
	d->nr_urgent -= r->urgent;
	if (!--r->tenant->nr_active)
		policy_leave(&d->policy, r->tenant);
	pass_slot_on(d, inst);
}

void window_kill(struct dispatcher *d, struct request *r, enum ooo_status status)
{
	if (r->dead)
		return;
	r->dead = true;
	r->status = status;
	if (r->queued)
		policy_remove(&d->policy, r);
	switch (r->state) {
	case REQUEST_WAITING:
		stop_waiting(r);
		retire_request(d, r);
		break;
	case REQUEST_ACTIVE:
		r->nr_ready = 0;
		if (!r->nr_flying)
			retire_request(d, r);
		break;
	default: /* in the fetched or bound queue: the next stage sees that it is dead */
		break;
	}
}
