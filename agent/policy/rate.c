// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/rate.h"

#include <math.h>

#define TAIL  0.01 /* of the requests may take longer than the bound */
#define STEPS 60   /* of a bisection: to the last bit */

/* What all take if a unit of weight is worth `level` of the device. */
static double taken(const struct rate_peer *peers, unsigned nr, double level)
{
	double sum = 0;

	for (unsigned i = 0; i < nr; i++)
		sum += fmin(peers[i].use, peers[i].weight * level);
	return sum;
}

double rate_share(const struct rate_peer *peers, unsigned nr, uint32_t weight)
{
	double low = 0, high = weight ? 1.0 / weight : 0;

	for (int i = 0; i < STEPS; i++) {
		double level = (low + high) / 2;

		if (taken(peers, nr, level) + weight * level > 1)
			high = level;
		else
			low = level;
	}
	return weight * low;
}

static double bound_at(const struct rate_ask *ask, double per_s)
{
	double service = (double)ask->work_ns / (ask->side_by_side * ask->share);
	double load = per_s * service / 1e9, wait = 0;

	if (load >= 1)
		return INFINITY;
	if (load > TAIL)
		wait = service * log(load / TAIL) / (2 * (1 - load));
	return (double)ask->path_ns + (double)ask->blocked_ns + wait;
}

static double most_at(const struct rate_ask *ask, double highest)
{
	double low = 0, high = highest, slo = ask->slo_ns ? (double)ask->slo_ns : INFINITY;

	if (bound_at(ask, 0) > slo)
		return 0;
	for (int i = 0; i < STEPS; i++) {
		double rate = (low + high) / 2, bound = bound_at(ask, rate);

		if (isinf(bound) || bound > slo)
			high = rate;
		else
			low = rate;
	}
	return low;
}

struct rate_answer rate_admit(const struct rate_ask *ask)
{
	double capacity = 0, bound;
	struct rate_answer answer = { .bound_ns = UINT64_MAX };

	if (ask->work_ns && ask->share > 0)
		capacity = 1e9 * ask->side_by_side * ask->share / (double)ask->work_ns;
	if (capacity <= 0)
		return answer;
	answer.most_per_s = most_at(ask, capacity);
	bound = bound_at(ask, ask->per_s);
	if (!isinf(bound))
		answer.bound_ns = (uint64_t)bound;
	answer.admitted = ask->per_s <= answer.most_per_s;
	return answer;
}
