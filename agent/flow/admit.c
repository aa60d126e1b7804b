// SPDX-License-Identifier: Apache-2.0
/*
 * Admission: when will a request be done, and is that in time? Its finish is predicted as the later of
 *
 *   by deadlines   what the device holds, all promised work with an earlier deadline, its own path;
 *                  and no promise with a later deadline may break by it;
 *   by its share   the tenant's backlog at the rate of its share of the device, less what it is owed
 *                  and a burst; but no later than the end of everybody's backlog, unless others
 *                  were refused lately.
 *
 * Where items run side by side, `width` of them at best: steps that wait for each other, bundles that
 * company does not fill and what launches cost make it less. How much less is measured while there is
 * more to do than the device takes, and predictions count with it.
 *
 * Programs that have hardly been measured are let in without a promise, as is a request that finds
 * the device idle: else a wrong guess would never be corrected.
 *
 * The backlog is the predicted work of requests that are bound and not issued; what is issued counts
 * in the lanes' queued_ns.
 */
#include "agent/flow/flow.h"

#define MEASURED      4            /* requests of a program until its costs are believed */
#define FARTHEST_NS   (1ull << 42) /* a deadline later than in an hour is as good as that */
#define BURST_NS      5000000
#define WANTING_NS    20000000  /* a refused tenant counts as competing for so long */
#define RATE_BURST_NS 100000000 /* a tenth of a second's worth of submissions may come at once */

static uint64_t free_ns(const struct dispatcher *d)
{
	uint64_t queued = 0;

	for (unsigned lane = 0; lane < d->nr_lanes; lane++)
		queued += d->loads[lane].queued_ns;
	return d->now_ns + queued + d->caps->launch_ns;
}

#define SPREAD_SAMPLE_NS 2000000
#define SPREAD_MOST      (64 * SPREAD_ONE)

/* Work, as the device gets through it when it has enough of it. */
static uint64_t spread_ns(const struct dispatcher *d, uint64_t work_ns)
{
	uint64_t factor = d->spread.factor;

	if (factor <= SPREAD_ONE)
		return work_ns;
	return work_ns / SPREAD_ONE * factor + work_ns % SPREAD_ONE * factor / SPREAD_ONE;
}

/* A sample counts if all along there was work left, of as many requests as run side by side. */
void admit_pace(struct dispatcher *d)
{
	struct spread *s = &d->spread;
	uint64_t took = d->now_ns - s->start_ns, factor;

	if (d->width <= 1)
		return;
	if (!d->backlog_ns || d->nr_requests < d->width) {
		s->start_ns = d->now_ns;
		s->work_ns = 0;
		return;
	}
	if (took < SPREAD_SAMPLE_NS || s->work_ns < took)
		return;
	factor = took * d->width * SPREAD_ONE / s->work_ns;
	if (factor < SPREAD_ONE)
		factor = SPREAD_ONE;
	if (factor > SPREAD_MOST)
		factor = SPREAD_MOST;
	if (!s->factor)
		s->factor = SPREAD_ONE;
	s->factor = (uint32_t)((s->factor * 3ull + factor) / 4);
	__atomic_store_n(&d->stats.spread, s->factor, __ATOMIC_RELAXED);
	s->start_ns = d->now_ns;
	s->work_ns = 0;
}

static uint64_t share_finish_ns(const struct dispatcher *d, const struct request *r, uint64_t from)
{
	const struct tenant *t = r->tenant;
	uint64_t all = from + spread_ns(d, d->backlog_ns + r->work_ns) / d->width, own;
	int64_t credit = policy_lag_ns(&d->policy, t) + BURST_NS + 4 * (int64_t)r->work_ns;
	int64_t work = (int64_t)(t->backlog_ns + r->work_ns) - credit;

	if (work <= 0)
		return from;
	own = from + policy_share_ns(&d->policy, t, spread_ns(d, (uint64_t)work)) / d->width;
	return own < all || d->wanting ? own : all;
}

static void admit_deadline(struct dispatcher *d, struct request *r)
{
	uint64_t from = free_ns(d), share;
	struct promise_fit fit;

	r->promise = (struct promise){
		.due_ns = r->due_ns,
		.number = r->number,
		.work_ns = spread_ns(d, r->work_ns),
		.path_ns = program_path_ns(r->inst, r->work_ns),
	};
	fit = promises_fit(&d->promises, &r->promise, from);
	share = share_finish_ns(d, r, from);
	r->predicted_ns = fit.finish_ns > share ? fit.finish_ns : share;
	r->promised = fit.meets && r->predicted_ns <= r->due_ns;
}

static bool take_token(const struct dispatcher *d, struct tenant *t)
{
	uint64_t from = t->rate_ns > d->now_ns ? t->rate_ns : d->now_ns;

	if (!t->params.rate)
		return true;
	if (from - d->now_ns > RATE_BURST_NS)
		return false;
	t->rate_ns = from + 1000000000ull / t->params.rate;
	return true;
}

/*
 * Who is refused competes all the same: were he not counted, those who ask first would get the whole
 * device.
 */
void admit_forget(struct dispatcher *d, struct tenant *t)
{
	if (!t->wanting)
		return;
	*(t->wanting_prev ? &t->wanting_prev->wanting_next : &d->wanting) = t->wanting_next;
	*(t->wanting_next ? &t->wanting_next->wanting_prev : &d->wanting_tail) = t->wanting_prev;
	t->wanting = false;
	if (!--t->nr_active)
		policy_leave(&d->policy, t);
}

void admit_expire(struct dispatcher *d)
{
	while (d->wanting && d->now_ns - d->wanting->refused_ns > WANTING_NS)
		admit_forget(d, d->wanting);
}

static void refused(struct dispatcher *d, struct tenant *t)
{
	if (!t->nr_active++)
		policy_join(&d->policy, t);
	admit_forget(d, t);
	t->wanting = true;
	t->refused_ns = d->now_ns;
	t->wanting_next = NULL;
	t->wanting_prev = d->wanting_tail;
	*(d->wanting_tail ? &d->wanting_tail->wanting_next : &d->wanting) = t;
	d->wanting_tail = t;
}

static bool idle(const struct dispatcher *d)
{
	return !d->nr_flying && !d->backlog_ns;
}

/* r is resolved: r->inst is where it is going to. */
enum ooo_status admit_request(struct dispatcher *d, struct request *r)
{
	struct tenant *t = r->tenant;
	uint64_t latest = d->now_ns + FARTHEST_NS;

	if (t->params.max_inflight && t->nr_bound >= t->params.max_inflight)
		return OOO_CAPPED;
	if (!take_token(d, t))
		return OOO_CAPPED;
	r->work_ns = r->inst->work_ns;
	r->due_ns = r->deadline_ns;
	if (!r->due_ns && t->params.slo_ns)
		r->due_ns = r->fetch_ns + t->params.slo_ns;
	if (r->due_ns > latest)
		r->due_ns = latest;
	if (!r->due_ns || t->params.admission == ADMISSION_LATE || r->inst->nr_measured < MEASURED)
		return OOO_OK;
	admit_deadline(d, r);
	if (r->promised || idle(d))
		return OOO_OK;
	refused(d, t);
	return OOO_REFUSED;
}

void admit_bound(struct dispatcher *d, struct request *r)
{
	struct tenant *t = r->tenant;

	t->nr_bound++;
	t->request_ns = r->work_ns;
	t->backlog_ns += r->work_ns;
	d->backlog_ns += r->work_ns;
	if (!r->promised)
		return;
	stat_add(&t->stats.promised, 1);
	if (r->promise.work_ns)
		promises_add(&d->promises, &r->promise);
}

/* The tree learns of progress by eighths: often enough to be right, seldom enough to be cheap. */
static void update_promise(struct dispatcher *d, struct request *r, uint64_t left)
{
	struct promise *p = &r->promise;
	uint64_t work = spread_ns(d, left);

	if (!p->work_ns || work > p->work_ns - p->work_ns / 8)
		return;
	promises_remove(&d->promises, p);
	p->work_ns = work;
	p->path_ns = program_path_ns(r->inst, left);
	if (left)
		promises_add(&d->promises, p);
}

static void drop_backlog(struct dispatcher *d, struct request *r, uint64_t ns)
{
	r->tenant->backlog_ns -= ns;
	d->backlog_ns -= ns;
	r->issued_ns += ns;
	if (r->promised)
		update_promise(d, r, request_left_ns(r));
}

void admit_issued(struct dispatcher *d, struct request *r, uint64_t ns)
{
	uint64_t left = request_left_ns(r);

	r->nr_issued++;
	/* Costs are learned meanwhile: the last step takes what is left. */
	if (ns > left || r->nr_issued == r->inst->program->nr_steps)
		ns = left;
	drop_backlog(d, r, ns);
}

void admit_ended(struct dispatcher *d, struct request *r)
{
	drop_backlog(d, r, request_left_ns(r));
	r->tenant->nr_bound--;
	if ((r->status == OOO_OK || r->status == OOO_LATE) && r->inst->nr_measured < UINT32_MAX)
		__atomic_store_n(&r->inst->nr_measured, r->inst->nr_measured + 1, __ATOMIC_RELAXED);
}
