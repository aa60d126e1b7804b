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

/* Give r a free slot: its steps without predecessors are ready. */
static void activate(struct dispatcher *d, struct request *r)
{
	struct program_inst *inst = r->inst;
	uint32_t nr_steps = inst->program->nr_steps;
	struct slot_state *s;

	r->slot = inst->free_slots[--inst->nr_free_slots];
	r->state = REQUEST_ACTIVE;
	s = slot_of(r);
	memcpy(s->deps_left, inst->deps_init, nr_steps * sizeof(*s->deps_left));
	s->ready_head = s->ready_tail = 0;
	for (uint32_t i = 0; i < nr_steps; i++) {
		if (!inst->deps_init[i])
			push_ready(r, i);
	}
	if (r->nr_ready)
		policy_add(&d->policy, r, false);
	else
		retire_request(d, r); /* a program without steps */
}

static void wait_for_slot(struct request *r)
{
	struct program_inst *inst = r->inst;

	r->state = REQUEST_WAITING;
	r->next = NULL;
	r->prev = inst->waiting_tail;
	if (inst->waiting_tail)
		inst->waiting_tail->next = r;
	else
		inst->waiting_head = r;
	inst->waiting_tail = r;
}

static void stop_waiting(struct request *r)
{
	struct program_inst *inst = r->inst;

	if (r->prev)
		r->prev->next = r->next;
	else
		inst->waiting_head = r->next;
	if (r->next)
		r->next->prev = r->prev;
	else
		inst->waiting_tail = r->prev;
	r->next = r->prev = NULL;
}

bool window_run(struct dispatcher *d)
{
	struct request *r;
	bool did = false;

	while ((r = queue_pop(&d->bound))) {
		did = true;
		if (r->dead)
			retire_request(d, r);
		else if (r->inst->nr_free_slots)
			activate(d, r);
		else
			wait_for_slot(r);
	}
	return did;
}

void window_leave(struct dispatcher *d, struct request *r)
{
	struct program_inst *inst = r->inst;
	struct request *next = inst->waiting_head;

	inst->free_slots[inst->nr_free_slots++] = r->slot;
	if (next) {
		stop_waiting(next);
		/* Through the bound queue, not at once: a completion then never recurses. */
		next->state = REQUEST_FREE;
		queue_push(&d->bound, next);
	}
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
