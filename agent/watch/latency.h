/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a reader keeps of a histogram (shared/abi/histogram.h). Buckets are counters, so that a reader
 * takes what came since by subtraction.
 */
#ifndef OOO_AGENT_WATCH_LATENCY_H
#define OOO_AGENT_WATCH_LATENCY_H

#include <stdint.h>

#include "shared/abi/histogram.h"

#define LATENCY_SPAN_NS 10e9 /* what a window remembers: older ones fade by this */

/* What a reader keeps of one histogram: the last ten seconds or so. */
struct latency_window {
	uint64_t at_ns; /* of the last tick; 0: none yet */
	uint64_t seen[LATENCY_BUCKETS];
	float recent[LATENCY_BUCKETS];
};

void latency_tick(struct latency_window *w, const uint64_t *histogram, uint64_t now_ns);
/* In ns, between the bounds of its bucket; 0 if nothing was counted of late. */
uint64_t latency_percentile(const struct latency_window *w, double share);

#endif
