// SPDX-License-Identifier: Apache-2.0
/*
 * Retire: take finished bundles from the device, charge the tenants for what was measured, learn the
 * steps' costs, and post each completion exactly once. A completion always has a slot: fetch
 * promised it before it took the submission.
 */
#include <stdint.h>
#include <unistd.h>

#include "agent/flow/flow.h"
#include "shared/abi/ring_sync.h"

void retire_post(struct dispatcher *d, struct tenant *t, const struct ooo_cqe *cqe)
{
	struct ring_map *m = &t->ring;

	m->cqes[m->cq_tail++ & m->cq_mask] = *cqe;
	if (!t->unpublished) {
		t->unpublished = true;
		t->next_unpublished = d->unpublished;
		d->unpublished = t;
	}
}

/* Show the tenants their new completions: one release, one fence and at most one write each. */
void retire_publish(struct dispatcher *d)
{
	struct tenant *t;

	/* Pairs with the tenant's acquire of cq_tail before it reads the slots. */
	for (t = d->unpublished; t; t = t->next_unpublished)
		ring_store_release(&t->ring.ring->cq_tail, t->ring.cq_tail);
	if (d->unpublished)
		/* Pairs with the tenant's fence between setting NEED_WAKEUP and re-reading cq_tail. */
		ring_full_fence();
	while ((t = d->unpublished)) {
		d->unpublished = t->next_unpublished;
		t->next_unpublished = NULL;
		t->unpublished = false;
		if (ring_load_relaxed(&t->ring.ring->tenant_flags) & OOO_RING_NEED_WAKEUP) {
			uint64_t one = 1;

			/* Non-blocking: a tenant that filled its own eventfd has a wake-up pending. */
			if (write(t->cq_eventfd, &one, sizeof(one)) == sizeof(one))
				stat_add(&t->stats.wakeups, 1);
		}
	}
}

static void count_completion(struct dispatcher *d, struct request *r)
{
	struct tenant_stats *s = &r->tenant->stats;

	stat_add(&s->completed, 1);
	stat_add(&s->latency_ns_sum, d->now_ns - r->fetch_ns);
	stat_add(&d->stats.requests, 1);
	switch (r->status) {
	case OOO_OK:
		return;
	case OOO_LATE:
		stat_add(&s->late, 1);
		return;
	case OOO_CANCELLED:
		stat_add(&s->cancelled, 1);
		break;
	case OOO_REFUSED:
	case OOO_DRAINING:
		stat_add(&s->refused, 1);
		break;
	}
	stat_add(&s->failed, 1);
}

static uint16_t mean_width(const struct request *r)
{
	uint64_t width = r->steps_done ? (uint64_t)r->width_sum * 16 / r->steps_done : 0;

	return width > UINT16_MAX ? UINT16_MAX : (uint16_t)width;
}

void retire_request(struct dispatcher *d, struct request *r)
{
	struct tenant *t = r->tenant;
	struct program_inst *inst = r->inst;
	struct ooo_cqe cqe;

	if (r->status == OOO_OK && r->deadline_ns && d->now_ns > r->deadline_ns)
		r->status = OOO_LATE;
	cqe = (struct ooo_cqe){
		.cookie = r->cookie,
		.status = r->status,
		.width = mean_width(r),
		.fetch_ns = r->fetch_ns,
		.start_ns = r->start_ns,
		.finish_ns = d->now_ns,
		.service_ns = r->service_ns,
	};
	count_completion(d, r);
	retire_post(d, t, &cqe);
	if (inst) {
		inst->inflight--;
		inst->binding_inflight[r->binding_id]--;
		if (r->state == REQUEST_ACTIVE)
			window_leave(d, r);
	}
	if (r->all_prev)
		r->all_prev->all_next = r->all_next;
	else
		t->all_requests = r->all_next;
	if (r->all_next)
		r->all_next->all_prev = r->all_prev;
	r->state = REQUEST_FREE;
	r->next = t->free_requests;
	t->free_requests = r;
	t->inflight--;
	d->nr_requests--;
}

/* Moving average over about eight runs; a single outlier does not change the plan. */
static void learn_cost(struct program_inst *inst, uint32_t step, uint32_t service_ns)
{
	int64_t old = inst->cost_ns[step];

	inst->cost_ns[step] = (uint32_t)(old + ((int64_t)service_ns - old) / 8);
}

static void retire_item(struct dispatcher *d, struct bundle *b, struct bundle_item *item)
{
	struct request *r = item->request;
	struct tenant *t = r->tenant;

	policy_charge(&d->policy, t, (int64_t)item->service_ns - item->predicted_ns);
	r->nr_flying--;
	r->steps_done++;
	r->width_sum += b->nr_items;
	r->service_ns += item->service_ns;
	stat_add(&t->stats.steps, 1);
	stat_add(&t->stats.width_sum, b->nr_items);
	stat_add(&t->stats.service_ns, item->service_ns);
	stat_add(&d->stats.service_ns, item->service_ns);
	if (t->last_bundle != d->bundle_seq) {
		t->last_bundle = d->bundle_seq;
		stat_add(&t->stats.bundles, 1);
	}
	if (b->scope >= SCOPE_CONTEXT)
		window_kill(d, r, OOO_DEVICE_RESET);
	else if (item->status != OOO_OK)
		window_kill(d, r, item->status);
	else
		learn_cost(r->inst, item->step, item->service_ns);
}

static bool finished(const struct request *r)
{
	return !r->nr_flying && (r->dead || r->steps_done == r->inst->program->nr_steps);
}

static bool several_tenants(const struct bundle *b)
{
	const struct request *first = b->items[0].request;

	for (uint32_t i = 1; i < b->nr_items; i++) {
		if (((const struct request *)b->items[i].request)->tenant != first->tenant)
			return true;
	}
	return false;
}

void retire_bundle(struct dispatcher *d, struct bundle *b)
{
	d->bundle_seq++;
	d->queued_ns -= b->predicted_ns;
	stat_add(&d->stats.bundles, 1);
	stat_add(&d->stats.items, b->nr_items);
	stat_add(&d->stats.busy_ns, b->end_ns - b->start_ns);
	if (several_tenants(b))
		stat_add(&d->stats.shared_bundles, 1);
	if (b->scope >= SCOPE_CONTEXT)
		stat_add(&d->stats.errors, 1);
	for (uint32_t i = 0; i < b->nr_items; i++) {
		struct request *r = b->items[i].request;

		retire_item(d, b, &b->items[i]);
		/* Several steps of one request may be in the bundle: the last one's turn. A request
		 * that window_kill() found with nothing flying is already retired. */
		if (r->state == REQUEST_ACTIVE && finished(r))
			retire_request(d, r);
	}
	b->next = d->free_bundles;
	d->free_bundles = b;
}

bool retire_run(struct dispatcher *d)
{
	struct bundle *done[RETIRE_BATCH];
	unsigned n = 0;

	if (d->nr_flying)
		n = d->ops->poll(d->dev, done, RETIRE_BATCH);
	if (n && d->ops->clock_ns)
		d->now_ns = d->ops->clock_ns(d->dev);
	else if (n)
		d->now_ns = turn_clock_ns();
	for (unsigned i = 0; i < n; i++) {
		d->nr_flying--;
		retire_bundle(d, done[i]);
	}
	if (d->unpublished)
		retire_publish(d);
	return n > 0;
}
