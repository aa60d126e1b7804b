// SPDX-License-Identifier: Apache-2.0
#include "ctl/run/histogram.h"

#include <math.h>

#define SUB (1u << HISTOGRAM_SUB_BITS)

/* Values below SUB have a bucket each; above, SUB buckets for each power of two. */
static uint32_t bucket_of(uint64_t ns)
{
	uint32_t shift, index;

	if (ns < SUB)
		return (uint32_t)ns;
	shift = 63 - (uint32_t)__builtin_clzll(ns) - HISTOGRAM_SUB_BITS;
	index = ((shift + 1) << HISTOGRAM_SUB_BITS) + (uint32_t)((ns >> shift) & (SUB - 1));
	return index < HISTOGRAM_BUCKETS ? index : HISTOGRAM_BUCKETS - 1;
}

/* The middle of a bucket. */
static uint64_t value_of(uint32_t bucket)
{
	uint32_t shift;
	uint64_t low;

	if (bucket < SUB)
		return bucket;
	shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
	low = (uint64_t)(SUB + (bucket & (SUB - 1))) << shift;
	return low + ((1ull << shift) >> 1);
}

void histogram_add(struct histogram *h, uint64_t ns)
{
	h->count++;
	h->sum += ns;
	if (ns > h->max)
		h->max = ns;
	h->buckets[bucket_of(ns)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	into->count += from->count;
	into->sum += from->sum;
	if (from->max > into->max)
		into->max = from->max;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
}

uint64_t histogram_quantile(const struct histogram *h, double q)
{
	uint64_t rank = (uint64_t)ceil(q * (double)h->count), seen = 0;

	if (!h->count)
		return 0;
	if (!rank)
		rank = 1;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen >= rank)
			return value_of(i) < h->max ? value_of(i) : h->max;
	}
	return h->max;
}
