// SPDX-License-Identifier: Apache-2.0
/*
 * Retire: take finished bundles from the device, charge the tenants for what was measured, learn the
 * steps' costs, and post each completion exactly once. A completion always has a slot: fetch
 * promised it before it took the submission.
 */
#include <stdint.h>
#include <unistd.h>

#include "agent/flow/flow.h"
#include "agent/watch/stage.h"
#include "shared/abi/ring_sync.h"
#include "shared/lib/probe.h"

void retire_post(struct dispatcher *d, struct tenant *t, const struct ooo_cqe *cqe)
{
	struct ring_map *m = &t->ring;

	m->cqes[m->cq_tail++ & m->cq_mask] = *cqe;
	awake_touch(d, t);
	if (!t->unpublished) {
		t->unpublished = true;
		t->next_unpublished = d->unpublished;
		d->unpublished = t;
	}
}

/* Since when stands all that the tenant may have in flight unread? Its index is looked at again only
 * where the last look says so. */
static void note_unread(struct dispatcher *d, struct tenant *t)
{
	struct ring_map *m = &t->ring;
	uint32_t head;

	if (m->cq_tail - m->cq_head_cached < m->sq_entries || t->unread_ns)
		return;
	/* Pairs with the tenant's release of cq_head after it read the slots. */
	head = ring_load_acquire(&m->ring->cq_head);
	if (m->cq_tail - head > m->cq_entries) /* it lies: fetch will see that too */
		return;
	m->cq_head_cached = head;
	if (m->cq_tail - head >= m->sq_entries)
		t->unread_ns = d->now_ns;
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
		bool woken = false;

		d->unpublished = t->next_unpublished;
		t->next_unpublished = NULL;
		t->unpublished = false;
		if (d->record)
			note_unread(d, t);
		if (d->config.published)
			d->config.published(d->config.published_arg, t);
		if (ring_load_relaxed(&t->ring.ring->tenant_flags) & OOO_RING_NEED_WAKEUP) {
			uint64_t one = 1;

			/* Non-blocking: a tenant that filled its own eventfd has a wake-up pending. */
			if (write(t->cq_eventfd, &one, sizeof(one)) == sizeof(one))
				stat_add(&t->stats.wakeups, 1);
			woken = true;
		}
		if (probe_wake_wanted())
			probe_wake(t->id, t->ring.cq_tail - t->ring.cq_head_cached, woken,
				   t->stats.wakeups);
	}
}

static void count_completion(struct dispatcher *d, struct request *r)
{
	struct tenant_stats *s = &r->tenant->stats;

	stat_add(&s->completed, 1);
	if (r->due_ns && (r->status == OOO_OK || r->status == OOO_LATE)) {
		bool missed = d->now_ns > r->due_ns;

		stat_add(&s->slo_missed, missed);
		if (r->promised)
			stat_add(missed ? &s->broken : &s->kept, 1);
	}
	stat_add(&s->latency_ns_sum, d->now_ns - r->fetch_ns);
	stat_add(&s->latency[latency_bucket(d->now_ns - r->fetch_ns)], 1);
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
	case OOO_CAPPED:
	case OOO_REFUSED:
	case OOO_DRAINING:
		stat_add(&s->refused, 1);
		break;
	}
	stat_add(&s->failed, 1);
}

static void probe_request(const struct dispatcher *d, const struct request *r)
{
	uint32_t tenant = r->tenant->id;

	for (uint32_t stage = 0; probe_stage_wanted() && stage < OOO_RECORD_STAGES; stage++) {
		if (r->stage_ns[stage])
			probe_stage(tenant, r->program_id, stage, r->stage_ns[stage]);
	}
	if (probe_done_wanted()) {
		struct ooo_record_request record;

		record_fill(&record, d->now_ns, r);
		probe_done(tenant, r->program_id, r->status, (uintptr_t)&record);
	}
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
		.predicted_ns = r->status == OOO_REFUSED ? r->predicted_ns : 0,
	};
	count_completion(d, r);
	stage_finished(r, d->now_ns);
	if (t->stages)
		stages_count(t, &d->stages_pace, r);
	probe_request(d, r);
	pressure_leave(d, r);
	if (r->status == OOO_OK || r->status == OOO_LATE) {
		stat_add(&t->meter.requests, 1);
		stat_add(&t->meter.input_bytes, inst->input_bytes);
		stat_add(&t->meter.output_bytes, inst->output_bytes);
	}
	/* What it waited for others of its own, it waited with no entry left to submit with. */
	if (t->full_ns && t->full_ns >= r->fetch_ns)
		r->record_flags |= OOO_RECORD_WAITED_ROOM;
	if (d->record)
		record_request(d->record, d->now_ns, r);
	retire_post(d, t, &cqe);
	if (inst) {
		admit_ended(d, r);
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
	if (!t->inflight)
		hold_completed(d, t);
	d->nr_requests--;
}

/* Moving average over about eight runs; a single outlier does not change the plan. */
static void learn_cost(struct program_inst *inst, uint32_t step, uint64_t ns)
{
	int64_t old = inst->cost_ns[step];
	int64_t change = ((int64_t)(ns < UINT32_MAX ? ns : UINT32_MAX) - old) / 8;

	__atomic_store_n(&inst->cost_ns[step], (uint32_t)(old + change), __ATOMIC_RELAXED);
	stat_add(&inst->work_ns, (uint64_t)change);
}

static uint64_t longest_ns(const struct bundle *b)
{
	uint64_t longest = 0;

	for (uint32_t i = 0; i < b->nr_items; i++) {
		if (b->items[i].predicted_ns > longest)
			longest = b->items[i].predicted_ns;
	}
	return longest;
}

/*
 * Steps that run side by side share the device, and what one of them took of a bundle's time is not
 * measured: the error of the whole prediction tells. It tells nothing of a step that a longer one
 * hid. A hiccup of the machine counts four times the step's cost at most.
 */
static void learn_side_by_side(const struct bundle *b)
{
	uint64_t took = b->end_ns > b->start_ns ? b->end_ns - b->start_ns : 0;
	uint64_t longest = longest_ns(b);

	for (uint32_t i = 0; i < b->nr_items; i++) {
		const struct bundle_item *item = &b->items[i];
		uint64_t predicted = item->predicted_ns, most = predicted * 4 + 1000;
		uint64_t cost = (predicted + 1) * took / (b->predicted_ns + 1);
		bool hidden = b->predicted_ns <= longest && predicted * 2 < longest;

		if (item->status == OOO_OK && !hidden)
			learn_cost(((const struct request *)item->request)->inst, item->step,
				   cost < most ? cost : most);
	}
}

static void learn_bundle(const struct dispatcher *d, const struct bundle *b)
{
	if (b->scope >= SCOPE_CONTEXT)
		return;
	if (d->caps->width) {
		learn_side_by_side(b);
		return;
	}
	for (uint32_t i = 0; i < b->nr_items; i++) {
		const struct bundle_item *item = &b->items[i];

		if (item->status == OOO_OK)
			learn_cost(((const struct request *)item->request)->inst, item->step,
				   item->service_ns);
	}
}

static void retire_item(struct dispatcher *d, struct bundle *b, struct bundle_item *item)
{
	struct request *r = item->request;
	struct tenant *t = r->tenant;

	d->spread.work_ns += item->predicted_ns;
	policy_charge(&d->policy, t, (int64_t)item->service_ns - item->predicted_ns);
	stage_ran(r, b, stage_is_copy(&r->inst->program->steps[item->step]), d->now_ns);
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

/* A bundle that the device lost has no times. */
static void probe_bundle(const struct bundle *b)
{
	uint64_t end_ns = b->end_ns > b->start_ns ? b->end_ns : b->start_ns;

	probe_ran(b->lane, b->nr_items, b->start_ns > b->submit_ns ? b->start_ns - b->submit_ns : 0,
		  end_ns - b->start_ns);
}

void retire_bundle(struct dispatcher *d, struct bundle *b)
{
	struct meter_split split = meter_split(b);

	d->bundle_seq++;
	d->lanes[b->lane].nr_bundles--;
	d->loads[b->lane].queued_ns -= b->predicted_ns;
	stat_add(&d->stats.bundles, 1);
	stat_add(&d->stats.items, b->nr_items);
	stat_add(&d->stats.busy_ns, b->end_ns - b->start_ns);
	if (several_tenants(b))
		stat_add(&d->stats.shared_bundles, 1);
	if (b->scope >= SCOPE_CONTEXT) {
		stat_add(&d->stats.errors, 1);
		fault_handle(d, b->scope);
	}
	learn_bundle(d, b);
	probe_bundle(b);
	if (d->record)
		record_bundle(d->record, d->now_ns, b);
	for (uint32_t i = 0; i < b->nr_items; i++) {
		struct request *r = b->items[i].request;

		stat_add(&r->tenant->meter.device_ns, meter_next(&split, &b->items[i]));
		retire_item(d, b, &b->items[i]);
		/* Several steps of one request may be in the bundle: the last one's turn. A request
		 * that window_kill() found with nothing flying is already retired. */
		if (r->state == REQUEST_ACTIVE && finished(r))
			retire_request(d, r);
		else if (r->state == REQUEST_ACTIVE && !r->nr_flying)
			pressure_note(d, r);
	}
	b->nr_items = 0;
	b->next = d->free_bundles;
	d->free_bundles = b;
}

bool retire_run(struct dispatcher *d)
{
	struct bundle *done[RETIRE_BATCH];
	bool empty = !d->nr_flying, settled = d->resetting && empty;
	unsigned n = 0;

	if (!empty || settled)
		n = d->ops->poll(d->dev, done, RETIRE_BATCH);
	if (n && d->ops->clock_ns)
		d->now_ns = d->ops->clock_ns(d->dev);
	else if (n)
		d->now_ns = turn_clock_ns();
	stages_pace(&d->stages_pace, d->stats.requests, d->now_ns);
	for (unsigned i = 0; i < n; i++) {
		d->nr_flying--;
		retire_bundle(d, done[i]);
	}
	if (n)
		admit_pace(d);
	if (settled)
		fault_settle(d);
	if (d->unpublished)
		retire_publish(d);
	return n > 0 || settled;
}
