// SPDX-License-Identifier: Apache-2.0
#include "agent/watch/pressure.h"

#include <math.h>

#include "agent/flow/flow.h"

static void account(struct pressure *p, uint64_t now_ns)
{
	uint64_t passed;

	if (now_ns <= p->since_ns)
		return;
	passed = now_ns - p->since_ns;
	p->since_ns = now_ns;
	if (!p->nr[PRESSURE_STALLED])
		return;
	stat_add(&p->some_ns, passed);
	if (!p->nr[PRESSURE_RUNNING])
		stat_add(&p->full_ns, passed);
}

static void change(struct dispatcher *d, struct request *r, uint8_t to)
{
	struct pressure *all[] = { &d->pressure, &r->tenant->pressure };

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		account(all[i], d->now_ns);
		all[i]->nr[r->pressure]--;
		all[i]->nr[to]++;
	}
	r->pressure = to;
}

void pressure_note(struct dispatcher *d, struct request *r)
{
	uint8_t to = PRESSURE_NONE;

	if (r->nr_flying)
		to = PRESSURE_RUNNING;
	else if (r->state == REQUEST_WAITING || r->nr_ready)
		to = PRESSURE_STALLED;
	if (to != r->pressure)
		change(d, r, to);
}

void pressure_leave(struct dispatcher *d, struct request *r)
{
	if (r->pressure != PRESSURE_NONE)
		change(d, r, PRESSURE_NONE);
}

void pressure_tick(struct pressure_view *v, const struct pressure *p, uint64_t now_ns)
{
	static const double span_ns[PRESSURE_SPANS] = { 10e9, 60e9, 300e9 };
	uint64_t some = stat_read(&p->some_ns), full = stat_read(&p->full_ns);
	double passed;

	if (v->at_ns && now_ns <= v->at_ns)
		return;
	passed = v->at_ns ? (double)(now_ns - v->at_ns) : 0;
	for (int i = 0; i < PRESSURE_SPANS && passed > 0; i++) {
		double keep = exp(-passed / span_ns[i]);

		/* A stall longer than the tick is added at its end, at once. */
		v->some_avg[i] = keep * v->some_avg[i] +
				 (1 - keep) * fmin(1, (double)(some - v->some_ns) / passed);
		v->full_avg[i] = keep * v->full_avg[i] +
				 (1 - keep) * fmin(1, (double)(full - v->full_ns) / passed);
	}
	v->at_ns = now_ns;
	v->some_ns = some;
	v->full_ns = full;
}
