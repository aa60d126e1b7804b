// SPDX-License-Identifier: Apache-2.0
/*
 * Hold for company. A launch costs the same whether it carries two steps or twenty, so where launches
 * are dear (caps->launch_ns) requests that have just come wait for others that are about to:
 *
 *   who is about to come   tenants in a closed loop: their last request just completed, and lately
 *                          they submitted the next one soon after. Those of one bundle return
 *                          together, so they stay together.
 *   who may be held        requests that have not begun. A chain under way never waits.
 *   how long               while the lane has one bundle under way and somebody is about to come, at
 *                          most HOLD_LAUNCHES launches; while it has more than one, since a bundle
 *                          behind those would start no earlier. Within the leader's slack; a latency
 *                          tenant's request, or a promised one, is not held at all.
 */
#include "agent/flow/flow.h"

#define HOLD_LAUNCHES  2
#define QUEUED_BUNDLES 2 /* what stands behind so many starts no later for waiting */

static uint64_t patience_ns(const struct dispatcher *d)
{
	return HOLD_LAUNCHES * (uint64_t)d->caps->launch_ns;
}

void hold_forget(struct dispatcher *d, struct tenant *t)
{
	struct company *c = &d->company;

	if (!t->expected)
		return;
	*(t->expected_prev ? &t->expected_prev->expected_next : &c->head) = t->expected_next;
	*(t->expected_next ? &t->expected_next->expected_prev : &c->tail) = t->expected_prev;
	t->expected = false;
	c->nr--;
}

/* t has nothing in flight any more. */
void hold_completed(struct dispatcher *d, struct tenant *t)
{
	struct company *c = &d->company;

	t->done_ns = d->now_ns;
	if (!d->caps->launch_ns || t->expected || !t->think_ns || t->think_ns > patience_ns(d))
		return;
	if (t->leaving || t->dropped) /* it sends no more, and is freed soon */
		return;
	t->expected = true;
	t->expected_next = NULL;
	t->expected_prev = c->tail;
	*(c->tail ? &c->tail->expected_next : &c->head) = t;
	c->tail = t;
	c->nr++;
}

void hold_submitted(struct dispatcher *d, struct tenant *t)
{
	uint64_t gap = d->now_ns - t->done_ns + 1; /* 0: not known */

	if (!t->done_ns)
		return;
	t->done_ns = 0;
	t->think_ns = t->think_ns ? (t->think_ns * 3 + gap) / 4 : gap;
	hold_forget(d, t);
}

static bool slack_allows(const struct dispatcher *d, const struct request *r)
{
	if (r->tenant->params.klass == TENANT_LATENCY || r->promised)
		return false;
	return !r->due_ns || d->now_ns + r->work_ns + patience_ns(d) < r->due_ns;
}

static bool company_comes(struct dispatcher *d)
{
	struct company *c = &d->company;

	/* In the order in which they completed: the first has kept us waiting longest. */
	while (c->head && d->now_ns - c->head->done_ns > patience_ns(d))
		hold_forget(d, c->head);
	return c->nr > 0;
}

bool hold_lane(struct dispatcher *d, unsigned lane)
{
	const struct policy_lane *queue = &d->policy.lanes[lane];
	struct lane *l = &d->lanes[lane];

	if (!d->caps->launch_ns || !l->nr_bundles || !d->nr_flying)
		return false;
	if (queue->nr_fresh < queue->nr_queued || queue->nr_fresh >= d->config.max_width)
		return false;
	if (!slack_allows(d, policy_first(&d->policy, lane)))
		return false;
	if (l->nr_bundles < QUEUED_BUNDLES &&
	    ((l->held_ns && d->now_ns - l->held_ns >= patience_ns(d)) || !company_comes(d)))
		return false;
	if (!l->held_ns)
		l->held_ns = d->now_ns;
	stat_add(&d->stats.company_holds, 1);
	return true;
}

uint64_t hold_time_ns(const struct dispatcher *d, const struct request *r)
{
	uint64_t since = d->lanes[r->lane].held_ns;

	if (!since || r->nr_issued)
		return 0;
	return d->now_ns - (since > r->active_ns ? since : r->active_ns);
}
