// SPDX-License-Identifier: Apache-2.0
/*
 * Bundle: pack ready steps of different tenants, mutually independent, into one wide launch. The
 * policy names the leader; the rest of the bundle is filled in the policy's order with every ready
 * step that is compatible, as long as the bundle gets no longer than it may. Steps whose predecessors
 * are in this very bundle become ready for the next one only.
 *
 * How long may a bundle get?
 *
 *   - Its members end together: it ends early enough for each that has a deadline, and for a latency
 *     tenant's little later than his step alone would (STRETCH of it, or a launch).
 *   - What is left out begins after it: an incompatible step with a deadline, and the promises of
 *     admission control (promises_spare_ns()), end it early enough for them.
 *   - Only tenants within their share make it longer at all. The others ride along where that takes
 *     no time: while the device has room beside the longest step.
 *   - bundle_us bounds it in any case.
 *
 * A bundle holds steps of one lane, whose bundles the device runs in order; the lanes are filled
 * one after another, each as far ahead of the device as the run-ahead bound allows.
 *
 * No device and no clock here: requests in, a list of items out.
 */
#include "agent/flow/flow.h"

#define STRETCH_SHARE 4    /* a latency tenant's step may take a quarter longer in company */
#define STRETCH_NS    5000 /* or this, or a launch */
#define MAX_MISSES    32   /* candidates in a row that do not fit: enough looked at */
#define TOO_LONG      8 /* misses that one counts for whose step takes too long: so will others' */
#define URGENT_SHARE  4 /* with urgent requests about, a lane queues a quarter of what it may */

struct fill {
	struct bundle *b;
	uint32_t max_items;
	uint64_t max_ns; /* of the bundle, predicted */
	uint64_t sum_ns, longest_ns;
	uint64_t start_ns;                       /* when the lane is free for it, predicted */
	uint64_t end_by_ns;                      /* for its members, and for those left out */
	struct request *tried[BUNDLE_MAX_ITEMS]; /* in the policy's order, to be given back */
	uint32_t nr_tried;
};

static uint64_t time_of(const struct dispatcher *d, uint64_t sum_ns, uint64_t longest_ns)
{
	uint64_t spread = sum_ns / d->width;

	return spread > longest_ns ? spread : longest_ns;
}

static uint64_t predicted_ns(const struct dispatcher *d, const struct fill *f)
{
	return time_of(d, f->sum_ns, f->longest_ns);
}

static const struct request *leader_of(const struct fill *f)
{
	return f->b->items[0].request;
}

static bool compatible(const struct dispatcher *d, const struct fill *f, const struct request *r,
		       uint32_t step)
{
	const struct request *leader = leader_of(f);

	if (leader->tenant != r->tenant && (leader->tenant->isolated || r->tenant->isolated))
		return false;
	if (d->caps->mixed_classes)
		return true;
	return leader->inst->klass[f->b->items[0].step] == r->inst->klass[step];
}

/* It begins when this bundle ends: that must be early enough, if it can be. */
static void leave_out(const struct dispatcher *d, struct fill *f, const struct request *r)
{
	uint64_t path = program_path_ns(r->inst, request_left_ns(r));
	uint64_t by = r->due_ns > path ? r->due_ns - path : 0;

	if (r->due_ns && !r->hopeless && by >= f->start_ns + predicted_ns(d, f) &&
	    by < f->end_by_ns)
		f->end_by_ns = by;
}

/* Items of the bundle that are its tenant's, against `permille` of those that run side by side. */
static uint32_t items_of(const struct dispatcher *d, const struct tenant *t)
{
	return t->building == d->build_seq ? t->building_items : 0;
}

static uint32_t seats(const struct dispatcher *d, uint32_t permille)
{
	return (d->width * permille + PERMILLE - 1) / PERMILLE;
}

static bool may_lengthen(const struct dispatcher *d, const struct request *r)
{
	struct tenant *t = r->tenant;

	return r->promised || policy_within(&d->policy, t) ||
	       items_of(d, t) < seats(d, t->params.sm_min);
}

/* 0: r's next step fits into the bundle; else for how many misses it counts. */
static uint32_t miss(struct dispatcher *d, struct fill *f, const struct request *r)
{
	uint32_t step = window_peek(r), cost = r->inst->cost_ns[step];
	uint64_t now = predicted_ns(d, f), then;

	if (!f->b->nr_items)
		return 0;
	if (!compatible(d, f, r, step)) {
		leave_out(d, f, r);
		return 1;
	}
	if (items_of(d, r->tenant) >= seats(d, r->tenant->params.sm_max) &&
	    r->tenant->params.sm_max < PERMILLE)
		return 1;
	if ((f->sum_ns + cost) / d->width > f->max_ns)
		return TOO_LONG;
	then = time_of(d, f->sum_ns + cost, cost > f->longest_ns ? cost : f->longest_ns);
	if (then <= now)
		return 0;
	if (!may_lengthen(d, r))
		return 1;
	if (f->start_ns + then <= f->end_by_ns &&
	    then - now <= promises_spare_ns(&d->promises, r->promised ? &r->promise : NULL,
					    f->start_ns + now))
		return 0;
	leave_out(d, f, r);
	return TOO_LONG;
}

/* The bundle must end by what this member needs, unless that cannot be had any more. */
static void bound_end(const struct dispatcher *d, struct fill *f, const struct request *r,
		      uint32_t cost)
{
	uint64_t stretch = cost / STRETCH_SHARE, floor, by = UINT64_MAX;

	if (stretch < STRETCH_NS)
		stretch = STRETCH_NS;
	if (stretch < d->caps->launch_ns)
		stretch = d->caps->launch_ns;
	floor = f->start_ns + cost + stretch;
	if (r->tenant->params.klass == TENANT_LATENCY) {
		by = floor;
	} else if (r->due_ns && !r->hopeless) {
		uint64_t left = request_left_ns(r);
		uint64_t path = program_path_ns(r->inst, left > cost ? left - cost : 0);

		by = r->due_ns > path ? r->due_ns - path : 0;
		if (by < f->start_ns + cost)
			by = r->promised ? f->start_ns + cost : floor;
	}
	if (by < f->end_by_ns)
		f->end_by_ns = by;
}

static void add_item(struct dispatcher *d, struct fill *f, struct request *r)
{
	uint32_t step = window_take(r);
	uint32_t cost = r->inst->cost_ns[step];
	struct tenant *t = r->tenant;

	f->b->items[f->b->nr_items++] = (struct bundle_item){
		.program = r->inst->dp,
		.binding = r->binding,
		.step = step,
		.slot = r->slot,
		.predicted_ns = cost,
		.request = r,
	};
	f->sum_ns += cost;
	if (cost > f->longest_ns)
		f->longest_ns = cost;
	bound_end(d, f, r, cost);
	t->building_items = items_of(d, t) + 1;
	t->building = d->build_seq;
	if (!r->nr_flying++)
		pressure_note(d, r);
	r->hold_ns += hold_time_ns(d, r);
	if (!r->start_ns)
		r->start_ns = d->now_ns;
	admit_issued(d, r, cost);
}

static void charge(struct dispatcher *d, struct request *r)
{
	policy_charge(&d->policy, r->tenant, r->inst->cost_ns[window_peek(r)]);
}

static void fill_bundle(struct dispatcher *d, struct fill *f)
{
	struct request *r;
	uint32_t misses = 0;

	while (f->nr_tried < f->max_items && f->b->nr_items < f->max_items && misses < MAX_MISSES &&
	       (r = policy_first(&d->policy, f->b->lane))) {
		uint32_t missed = miss(d, f, r);
		bool fit = !missed;

		/* Charged first, so that the tenant stands right for its next request. */
		if (fit)
			charge(d, r);
		policy_remove(&d->policy, r);
		f->tried[f->nr_tried++] = r;
		misses = fit ? 0 : misses + missed;
		while (fit) {
			add_item(d, f, r);
			fit = r->nr_ready && f->b->nr_items < f->max_items && !miss(d, f, r);
			if (fit)
				charge(d, r);
		}
		if (f->sum_ns / d->width > f->max_ns)
			break;
		/* Beyond their share are then all the others, too, and nothing rides along. */
		if (misses && !may_lengthen(d, r) && f->sum_ns >= f->longest_ns * d->width)
			break;
	}
}

/* The bundle is closed: what depends on its steps is ready for the next one. */
static void release_successors(struct dispatcher *d, struct fill *f)
{
	for (uint32_t i = 0; i < f->b->nr_items; i++)
		window_release(f->b->items[i].request, f->b->items[i].step);
	for (uint32_t i = 0; i < f->nr_tried; i++) {
		struct request *r = f->tried[i];

		if (r->nr_ready)
			policy_add(&d->policy, r);
	}
}

static bool same_weights(const struct bundle_item *a, const struct bundle_item *b)
{
	return a->program == b->program && a->step == b->step;
}

/*
 * Items that use the same weights stand together: the device runs them back to back. Stable
 * insertion: bundles are short and mostly in order already.
 */
static void group_by_weights(struct dispatcher *d, struct bundle *b)
{
	uint32_t merged = 0;

	for (uint32_t i = 1; i < b->nr_items; i++) {
		struct bundle_item item = b->items[i];
		uint32_t at = i;

		for (uint32_t j = i; j-- > 0;) {
			if (!same_weights(&b->items[j], &item))
				continue;
			for (at = i; at > j + 1; at--)
				b->items[at] = b->items[at - 1];
			merged++;
			break;
		}
		b->items[at] = item;
	}
	stat_add(&d->stats.merged_items, merged);
}

static struct bundle *build(struct dispatcher *d, unsigned lane)
{
	struct fill f = {
		.b = d->free_bundles,
		.max_items = d->config.max_width,
		.max_ns = d->config.bundle_us * 1000ull,
		.start_ns = d->now_ns + d->loads[lane].queued_ns,
		.end_by_ns = UINT64_MAX,
	};

	d->build_seq++;
	d->free_bundles = f.b->next;
	f.b->next = NULL;
	f.b->nr_items = 0;
	f.b->lane = (uint16_t)lane;
	f.b->scope = SCOPE_NONE;
	fill_bundle(d, &f);
	release_successors(d, &f);
	if (f.b->nr_items > 1)
		group_by_weights(d, f.b);
	f.b->predicted_ns = predicted_ns(d, &f);
	return f.b;
}

static uint64_t runahead_ns(const struct dispatcher *d)
{
	uint64_t ns = d->config.runahead_us * 1000ull;

	return d->nr_urgent ? ns / URGENT_SHARE : ns;
}

/* Run ahead of the device only so far: what a lane has queued, an urgent arrival waits for. */
static bool run_lane(struct dispatcher *d, unsigned lane, bool *held)
{
	struct lane *l = &d->lanes[lane];
	bool did = false;

	for (int n = 0; n < BUNDLE_BATCH && !policy_empty(&d->policy, lane); n++) {
		struct bundle *b;

		if (d->loads[lane].queued_ns > runahead_ns(d) ||
		    l->nr_bundles > d->caps->lane_depth) {
			*held = true;
			break;
		}
		if (hold_lane(d, lane))
			break;
		if (l->nr_bundles && policy_waits(&d->policy, policy_first(&d->policy, lane)))
			break;
		b = build(d, lane);
		l->held_ns = 0;
		d->loads[lane].queued_ns += b->predicted_ns;
		l->nr_bundles++;
		if (l->built_tail)
			l->built_tail->next = b;
		else
			l->built_head = b;
		l->built_tail = b;
		did = true;
	}
	return did;
}

bool bundle_run(struct dispatcher *d)
{
	bool did = false, held = false;

	if (d->resetting)
		return false;
	for (unsigned lane = 0; lane < d->nr_lanes; lane++)
		did |= run_lane(d, lane, &held);
	if (held)
		stat_add(&d->stats.runahead_holds, 1);
	return did;
}
