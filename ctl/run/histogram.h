/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log-linear histogram of durations: 128 buckets per power of two, so a quantile is within 0.8 %
 * of the true one, in fixed memory. The maximum is exact.
 */
#ifndef OOO_RUN_HISTOGRAM_H
#define OOO_RUN_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 7
#define HISTOGRAM_BUCKETS                                                                          \
	((48 - HISTOGRAM_SUB_BITS) << HISTOGRAM_SUB_BITS) /* up to 2^47 ns: 39 h */

struct histogram {
	uint64_t count, sum, max;
	uint32_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t ns);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The q-quantile (0 <= q <= 1) in ns; 0 of an empty histogram. */
uint64_t histogram_quantile(const struct histogram *h, double q);

#endif
