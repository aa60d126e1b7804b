// SPDX-License-Identifier: Apache-2.0
/*
 * When requests arrive. Closed loop: at once. Poisson: exponential gaps from the seed. A CSV file:
 * its first column, either seconds or "YYYY-MM-DD HH:MM:SS.fraction", in ascending order and after
 * a header line; --rate then rescales it to that mean rate. Each tenant starts at another place of
 * the file and wraps around, so that tenants do not arrive in step.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/run/run.h"
#include "ctl/run/times.h"

static int from_file(const struct run_options *o, int tenant, struct arrivals *a, char *why,
		     size_t why_bytes)
{
	double *times = NULL, span, scale, offset = 0;
	uint64_t first;
	int err = times_read("--arrivals", o->arrivals, &times, &a->nr, why, why_bytes);

	if (err || !times)
		goto out;
	span = times[a->nr - 1] - times[0];
	if (span <= 0) {
		snprintf(why, why_bytes, "--arrivals %s: all arrivals at the same time",
			 o->arrivals);
		err = -EINVAL;
		goto out;
	}
	/* The wrap needs a gap too: the mean one. */
	span *= (double)a->nr / (double)(a->nr - 1);
	scale = o->rate > 0 ? (double)a->nr / (o->rate * span) : 1.0;
	a->times = malloc(a->nr * sizeof(*a->times));
	if (!a->times) {
		err = -ENOMEM;
		goto out;
	}
	first = a->nr * (uint64_t)tenant / (uint64_t)o->tenants;
	for (uint64_t i = 0; i < a->nr; i++) {
		uint64_t j = (first + i) % a->nr;

		if (j == 0 && i)
			offset = span;
		a->times[i] = (uint64_t)((times[j] + offset - times[first]) * scale * 1e9);
	}
	a->last_ns = span * scale * 1e9; /* one round */
out:
	free(times);
	return err;
}

int arrivals_open(const struct run_options *o, int tenant, struct arrivals *a, char *why,
		  size_t why_bytes)
{
	*a = (struct arrivals){ .random = o->seed * 7919 + (uint64_t)tenant };
	if (o->arrivals)
		return from_file(o, tenant, a, why, why_bytes);
	if (o->rate > 0)
		a->mean_ns = 1e9 / o->rate;
	return 0;
}

void arrivals_close(struct arrivals *a)
{
	free(a->times);
	a->times = NULL;
}

uint64_t arrivals_next(struct arrivals *a)
{
	uint64_t round, index;

	if (a->times) {
		round = a->at / a->nr;
		index = a->at % a->nr;
		a->at++;
		return a->times[index] + (uint64_t)((double)round * a->last_ns);
	}
	if (a->mean_ns > 0) {
		a->last_ns += -log(random_unit(&a->random)) * a->mean_ns;
		return (uint64_t)a->last_ns;
	}
	return 0;
}
