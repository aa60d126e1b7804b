// SPDX-License-Identifier: Apache-2.0
#include "agent/watch/latency.h"

#include <math.h>

#include "agent/tenant/tenant.h"

#define TOO_FEW 0.01f /* of one request: what has faded so far is gone */

void latency_tick(struct latency_window *w, const uint64_t *histogram, uint64_t now_ns)
{
	float keep = 1;

	if (w->at_ns && now_ns > w->at_ns)
		keep = expf((float)(-(double)(now_ns - w->at_ns) / LATENCY_SPAN_NS));
	for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
		uint64_t now = stat_read(&histogram[i]);

		w->recent[i] = w->recent[i] * keep + (float)(now - w->seen[i]);
		if (w->recent[i] < TOO_FEW)
			w->recent[i] = 0;
		w->seen[i] = now;
	}
	w->at_ns = now_ns;
}

/* So much of the way through a bucket. */
static uint64_t within(unsigned bucket, double part)
{
	double low, high;

	if (bucket == LATENCY_BUCKETS - 1)
		return latency_bound_ns(bucket - 1);
	low = bucket ? (double)latency_bound_ns(bucket - 1) : 0;
	high = (double)latency_bound_ns(bucket);
	return (uint64_t)(low + (high - low) * fmin(1, fmax(0, part)));
}

uint64_t latency_percentile(const struct latency_window *w, double share)
{
	double total = 0, wanted, below = 0;
	unsigned last = 0;

	for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
		total += (double)w->recent[i];
	if (total <= 0)
		return 0;
	wanted = total * share;
	for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
		double count = (double)w->recent[i];

		if (count <= 0)
			continue;
		last = i;
		if (below + count >= wanted)
			break;
		below += count;
	}
	return within(last, (wanted - below) / (double)w->recent[last]);
}
