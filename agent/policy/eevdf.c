// SPDX-License-Identifier: Apache-2.0
/*
 * Two heaps a lane (see policy.h): picking is O(log tenants). Virtual times move while tenants stand
 * in the heaps, so a heap's order is checked only where it matters, at the top: what is found out of
 * place there is put where it belongs and the next one is looked at.
 *
 * The mean is kept as v + moment / weight_sum, brought up to date at every change, so the moment
 * stays small. For a tenant of weight 100, virtual time is device time in ns.
 */
#include "agent/policy/policy.h"

#include "agent/tenant/tenant.h"

#define VTIME_SCALE   (TENANT_WEIGHT_DEFAULT * POLICY_BATCH_SHARE)
#define VTIME_START   (1ull << 50) /* so that nothing goes below zero */
#define VTIME_MASK    ((1ull << 61) - 1)
#define RANK_SHIFT    62
#define LAG_NS        4000000 /* what a tenant may be owed, beside a few of the longest charges */
#define DEBT_FACTOR   16      /* a tenant may owe this much more than it may be owed */
#define TOLERANCE_NS  250000
#define BURST_NS      5000000 /* a latency tenant may run ahead of its share by this */
#define BURST_WORK    4       /* and by so many of its requests */
#define MEAN_STEP     512     /* ns that the mean may be behind */
#define AWAY_NS       500000  /* somebody who is owed more is waited for */
#define CORRECTION_NS 50000   /* a smaller one does not change a tenant's place */

enum place_in_lane {
	PLACE_OUT,
	PLACE_WITHIN,
	PLACE_BEYOND
};

void policy_init(struct policy *p, unsigned nr_lanes)
{
	*p = (struct policy){
		.nr_lanes = nr_lanes,
		.vtime = VTIME_START,
		.tolerance_ns = TOLERANCE_NS,
	};
}

void policy_free(struct policy *p)
{
	for (unsigned i = 0; i < DEVICE_MAX_LANES; i++) {
		ranks_free(&p->lanes[i].within);
		ranks_free(&p->lanes[i].beyond);
	}
}

int policy_tenant_add(struct policy *p)
{
	uint32_t room = 64;
	int err = 0;

	while (room <= p->nr_tenants)
		room *= 2;
	for (unsigned i = 0; i < DEVICE_MAX_LANES && !err; i++) {
		err = ranks_reserve(&p->lanes[i].within, room);
		if (!err)
			err = ranks_reserve(&p->lanes[i].beyond, room);
	}
	if (!err)
		p->nr_tenants++;
	return err;
}

void policy_tenant_del(struct policy *p)
{
	p->nr_tenants--;
}

/* ---- the account ------------------------------------------------------------------------------ */

static uint64_t weight_of(const struct tenant *t)
{
	return policy_weight(&t->params);
}

/* A division for each charge would cost as much as the rest of it. */
static int64_t to_virtual(struct tenant *t, int64_t ns)
{
	uint64_t weight = weight_of(t);

	if (t->vtime_of != weight) {
		t->vtime_of = weight;
		t->vtime_rate = ((uint64_t)VTIME_SCALE << 32) / weight;
	}
	return (int64_t)(((__int128)ns * (int64_t)t->vtime_rate) >> 32);
}

static int64_t max_lag_ns(const struct policy *p)
{
	return LAG_NS + 4 * (int64_t)p->longest_ns;
}

/* Move the mean to where the moment says it is, unless it is not worth the division. */
static void settle(struct policy *p)
{
	int64_t weight = (int64_t)p->weight_sum, by;

	if (!weight || (p->moment < weight * MEAN_STEP && p->moment > -weight * MEAN_STEP))
		return;
	by = p->moment / weight;
	p->vtime += (uint64_t)by;
	p->moment -= by * weight;
}

static void account_add(struct policy *p, const struct tenant *t, int sign)
{
	int64_t weight = (int64_t)weight_of(t);

	p->weight_sum += (uint64_t)(sign * weight);
	p->moment += sign * weight * (int64_t)(t->vtime - p->vtime);
	settle(p);
}

void policy_join(struct policy *p, struct tenant *t)
{
	int64_t most = to_virtual(t, max_lag_ns(p));
	int64_t owed = t->lag_vtime < most ? t->lag_vtime : most;
	int64_t behind;

	if (!p->nr_active++) {
		p->moment = 0;
		owed = 0; /* by nobody */
		if (t->vtime > p->vtime)
			p->vtime = t->vtime;
	}
	behind = (int64_t)(p->vtime - t->vtime);
	if (behind > (owed > 0 ? owed : 0))
		t->vtime = p->vtime - (uint64_t)(owed > 0 ? owed : 0);
	else if (behind < -most * DEBT_FACTOR)
		t->vtime = p->vtime + (uint64_t)(most * DEBT_FACTOR);
	t->policy_active = true;
	account_add(p, t, 1);
}

void policy_leave(struct policy *p, struct tenant *t)
{
	t->policy_active = false;
	if (p->away == t)
		p->away = NULL;
	account_add(p, t, -1);
	/* Against the mean of the others, which it comes back to: against its own it would lose a part
	 * each time. */
	t->lag_vtime = (int64_t)(p->vtime - t->vtime);
	p->nr_active--;
}

int64_t policy_lag_ns(const struct policy *p, const struct tenant *t)
{
	int64_t lag = t->policy_active ? (int64_t)(p->vtime - t->vtime) : t->lag_vtime;

	return lag * (int64_t)weight_of(t) / VTIME_SCALE;
}

uint64_t policy_share_ns(const struct policy *p, const struct tenant *t, uint64_t ns)
{
	uint64_t own = weight_of(t), all = p->weight_sum + (t->policy_active ? 0 : own);

	return (uint64_t)((double)ns * (double)all / (double)own);
}

static int64_t tolerance_ns(const struct policy *p, const struct tenant *t)
{
	switch (t->params.klass) {
	case TENANT_LATENCY:
		return BURST_NS + BURST_WORK * (int64_t)t->request_ns;
	case TENANT_BATCH:
		return 0;
	default:
		return (int64_t)p->tolerance_ns;
	}
}

/* The mean at which the tenant is within its share again. */
static uint64_t within_from(const struct policy *p, struct tenant *t)
{
	return t->vtime - (uint64_t)to_virtual(t, tolerance_ns(p, t));
}

bool policy_within(const struct policy *p, struct tenant *t)
{
	return within_from(p, t) <= p->vtime;
}

/* ---- the queues ------------------------------------------------------------------------------- */

static struct request *head_of(const struct tenant_queue *q)
{
	return heap_entry(heap_min(&q->requests), struct request, by_deadline);
}

static uint64_t rank(const struct request *r)
{
	uint64_t class = ((uint64_t)r->tenant->params.klass + 1) << RANK_SHIFT;

	if (r->promised)
		return r->due_ns & VTIME_MASK;
	if (r->due_ns && !r->hopeless)
		return class | (r->due_ns & VTIME_MASK);
	return class | ORDER_ARRIVAL |
	       ((r->tenant->vtime + (uint64_t)to_virtual(r->tenant, (int64_t)request_left_ns(r))) &
		VTIME_MASK);
}

static struct ranks *ranks_of(struct policy_lane *l, const struct tenant_queue *q)
{
	return q->place == PLACE_WITHIN ? &l->within : &l->beyond;
}

static void queue_out(struct policy_lane *l, struct tenant_queue *q)
{
	if (q->place != PLACE_OUT)
		ranks_remove(ranks_of(l, q), q);
	q->place = PLACE_OUT;
}

/* Put the tenant where it belongs now. */
static void requeue(const struct policy *p, struct policy_lane *l, struct tenant_queue *q)
{
	const struct request *r = head_of(q);
	bool within = r->promised || policy_within(p, q->tenant);
	uint8_t place = within ? PLACE_WITHIN : PLACE_BEYOND;
	uint64_t key = within ? rank(r) : within_from(p, q->tenant);

	q->placed_at = p->vtime;
	q->placed_vtime = q->tenant->vtime;
	if (q->place == place) {
		ranks_move(ranks_of(l, q), q, key);
		return;
	}
	queue_out(l, q);
	q->place = place;
	ranks_insert(ranks_of(l, q), q, key);
}

static bool in_place(const struct policy *p, struct policy_lane *l, const struct tenant_queue *q)
{
	const struct request *r = head_of(q);
	bool within;

	if (q->placed_at == p->vtime && q->placed_vtime == q->tenant->vtime)
		return true;
	within = r->promised || policy_within(p, q->tenant);
	if (within != (q->place == PLACE_WITHIN))
		return false;
	return ranks_of(l, q)->at[q->index].key == (within ? rank(r) : within_from(p, q->tenant));
}

/* Requests at the head that are too late go behind those that are not. */
static bool demote(const struct policy *p, struct tenant_queue *q)
{
	struct request *r = head_of(q);

	if (!r->due_ns || r->hopeless || r->promised || r->due_ns >= p->now_ns + request_left_ns(r))
		return false;
	heap_remove(&q->requests, &r->by_deadline);
	r->hopeless = true;
	heap_insert(&q->requests, &r->by_deadline, request_order(r));
	return true;
}

void policy_add(struct policy *p, struct request *r)
{
	struct tenant_queue *q = &r->tenant->queues[r->lane];
	bool first;

	r->queued = true;
	p->lanes[r->lane].nr_queued++;
	p->lanes[r->lane].nr_fresh += !r->nr_issued;
	q->tenant = r->tenant;
	heap_insert(&q->requests, &r->by_deadline, request_order(r));
	first = head_of(q) == r;
	if (first || q->place == PLACE_OUT)
		requeue(p, &p->lanes[r->lane], q);
	r->tenant->fair_lanes |= 1u << r->lane;
}

static bool is_away(const struct policy *p, const struct tenant *t)
{
	return t->policy_active && !t->fair_lanes && policy_lag_ns(p, t) > AWAY_NS;
}

static void note_away(struct policy *p, struct tenant *t)
{
	if (!p->away || !is_away(p, p->away))
		p->away = is_away(p, t) ? t : NULL;
}

bool policy_waits(struct policy *p, const struct request *r)
{
	if (!p->away || r->promised)
		return false;
	if (!is_away(p, p->away))
		p->away = NULL;
	return p->away && p->away != r->tenant && !policy_within(p, r->tenant);
}

void policy_remove(struct policy *p, struct request *r)
{
	struct tenant_queue *q = &r->tenant->queues[r->lane];
	bool first = head_of(q) == r;

	r->queued = false;
	p->lanes[r->lane].nr_queued--;
	p->lanes[r->lane].nr_fresh -= !r->nr_issued;
	heap_remove(&q->requests, &r->by_deadline);
	if (heap_empty(&q->requests)) {
		queue_out(&p->lanes[r->lane], q);
		r->tenant->fair_lanes &= ~(1u << r->lane);
		note_away(p, r->tenant);
	} else if (first) {
		requeue(p, &p->lanes[r->lane], q);
	}
}

static struct tenant_queue *top(const struct ranks *h)
{
	const struct rank *r = ranks_first(h);

	return r ? r->queue : NULL;
}

static struct tenant_queue *first_queue(struct policy *p, struct policy_lane *l)
{
	struct tenant_queue *q;

	while ((q = top(&l->beyond)) && l->beyond.at[0].key <= p->vtime)
		requeue(p, l, q);
	while ((q = top(&l->within)) && (demote(p, q) || !in_place(p, l, q)))
		requeue(p, l, q);
	if (q)
		return q;
	while ((q = top(&l->beyond)) && (demote(p, q) || !in_place(p, l, q)))
		requeue(p, l, q);
	return q ? q : top(&l->within);
}

struct request *policy_first(struct policy *p, unsigned lane)
{
	struct tenant_queue *q = first_queue(p, &p->lanes[lane]);

	return q ? head_of(q) : NULL;
}

bool policy_empty(const struct policy *p, unsigned lane)
{
	return !p->lanes[lane].within.nr && !p->lanes[lane].beyond.nr;
}

static void requeue_all(struct policy *p, struct tenant *t)
{
	for (uint32_t lanes = t->fair_lanes; lanes; lanes &= lanes - 1) {
		unsigned lane = (unsigned)__builtin_ctz(lanes);

		requeue(p, &p->lanes[lane], &t->queues[lane]);
	}
}

/* It gets all that it asks for: it will not use what it is owed. */
static void forget_excess(struct policy *p, struct tenant *t)
{
	int64_t most = to_virtual(t, max_lag_ns(p));
	int64_t excess = (int64_t)(p->vtime - t->vtime) - most;

	if (excess <= 0)
		return;
	t->vtime += (uint64_t)excess;
	p->moment += excess * (int64_t)weight_of(t);
}

void policy_charge(struct policy *p, struct tenant *t, int64_t ns)
{
	int64_t by;

	if (!ns)
		return;
	by = to_virtual(t, ns);
	if (ns > 0 && (uint64_t)ns > p->longest_ns)
		p->longest_ns = (uint64_t)ns;
	else
		p->longest_ns -= p->longest_ns / 4096;
	if (t->policy_active) {
		if (ns > 0 && !t->fair_lanes)
			forget_excess(p, t);
		p->moment += by * (int64_t)weight_of(t);
	}
	t->vtime += (uint64_t)by;
	settle(p);
	/* Later than it stands is found out at the top; earlier would not be. */
	if (ns < -CORRECTION_NS)
		requeue_all(p, t);
}

void policy_set_params(struct policy *p, struct tenant *t, const struct tenant_params *params)
{
	if (t->policy_active)
		account_add(p, t, -1);
	t->params = *params;
	if (t->policy_active)
		account_add(p, t, 1);
	requeue_all(p, t);
}
