// SPDX-License-Identifier: Apache-2.0
/*
 * Bundle: pack ready steps of different tenants, mutually independent, into one wide launch. The
 * policy names the leader; the rest of the bundle is filled in the policy's order with every ready
 * step that is compatible, up to the device's width and a bound on the predicted time. Steps whose
 * predecessors are in this very bundle become ready for the next one only.
 *
 * No device and no clock here: requests in, a list of items out.
 */
#include "agent/flow/flow.h"

struct fill {
	struct bundle *b;
	uint32_t max_items;
	uint64_t max_ns; /* of the bundle, predicted */
	uint64_t sum_ns, longest_ns;
	unsigned width;                          /* items that run side by side */
	struct request *tried[BUNDLE_MAX_ITEMS]; /* in the policy's order, to be given back */
	uint32_t nr_tried;
};

static uint64_t predicted_ns(const struct fill *f)
{
	uint64_t spread = f->sum_ns / f->width;

	return spread > f->longest_ns ? spread : f->longest_ns;
}

static bool fits(const struct dispatcher *d, const struct fill *f, const struct request *r)
{
	const struct bundle_item *leader = &f->b->items[0];
	uint32_t step = window_peek(r);
	const struct program_inst *first;

	if (f->b->nr_items == f->max_items)
		return false;
	if (!f->b->nr_items)
		return true;
	if ((f->sum_ns + r->inst->cost_ns[step]) / f->width > f->max_ns)
		return false;
	if (d->caps->mixed_classes)
		return true;
	first = ((const struct request *)leader->request)->inst;
	return first->program->steps[leader->step].klass == r->inst->program->steps[step].klass;
}

static void add_item(struct dispatcher *d, struct fill *f, struct request *r)
{
	uint32_t step = window_take(r);
	uint32_t cost = r->inst->cost_ns[step];

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
	r->nr_flying++;
	if (!r->start_ns)
		r->start_ns = d->now_ns;
	policy_charge(&d->policy, r->tenant, cost);
}

static void fill_bundle(struct dispatcher *d, struct fill *f)
{
	struct request *r;

	while (f->nr_tried < f->max_items && f->b->nr_items < f->max_items &&
	       (r = policy_next(&d->policy))) {
		f->tried[f->nr_tried++] = r;
		while (r->nr_ready && fits(d, f, r))
			add_item(d, f, r);
		if (f->sum_ns / f->width > f->max_ns)
			break;
	}
}

/* The bundle is closed: what depends on its steps is ready for the next one. */
static void release_successors(struct dispatcher *d, struct fill *f)
{
	for (uint32_t i = 0; i < f->b->nr_items; i++)
		window_release(f->b->items[i].request, f->b->items[i].step);
	/* Backwards and to the front, so that each tenant's requests keep their order. */
	while (f->nr_tried) {
		struct request *r = f->tried[--f->nr_tried];

		if (r->nr_ready)
			policy_add(&d->policy, r, true);
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

static struct bundle *build(struct dispatcher *d)
{
	struct fill f = {
		.b = d->free_bundles,
		.max_items = d->config.max_width,
		.max_ns = d->config.bundle_us * 1000ull,
		.width = d->caps->threads ? d->caps->threads : 1,
	};

	d->free_bundles = f.b->next;
	f.b->next = NULL;
	f.b->nr_items = 0;
	f.b->lane = 0;
	f.b->scope = SCOPE_NONE;
	fill_bundle(d, &f);
	release_successors(d, &f);
	if (f.b->nr_items > 1)
		group_by_weights(d, f.b);
	f.b->predicted_ns = predicted_ns(&f);
	return f.b;
}

bool bundle_run(struct dispatcher *d)
{
	bool did = false;

	while (d->free_bundles && !policy_empty(&d->policy)) {
		struct bundle *b;

		/* Run ahead of the device only so far: what is queued, an urgent arrival waits for. */
		if (d->queued_ns > d->config.runahead_us * 1000ull) {
			stat_add(&d->stats.runahead_holds, 1);
			break;
		}
		b = build(d);
		d->queued_ns += b->predicted_ns;
		if (d->built_tail)
			d->built_tail->next = b;
		else
			d->built_head = b;
		d->built_tail = b;
		did = true;
	}
	return did;
}
