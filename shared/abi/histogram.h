/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Histograms of time, log-linear: each power of two of nanoseconds has LATENCY_SPLIT buckets of the
 * same width, so that a percentile is known to a fourth at worst. The agent's, those of the BPF
 * programs and of the pinned maps are alike.
 */
#ifndef OOO_ABI_HISTOGRAM_H
#define OOO_ABI_HISTOGRAM_H

#include <stdint.h>

#define LATENCY_MIN_LOG 10 /* the first bucket: below 1.024 us */
#define LATENCY_MAX_LOG 36 /* the last one: from 68.7 s */
#define LATENCY_SPLIT   4
#define LATENCY_BUCKETS ((LATENCY_MAX_LOG - LATENCY_MIN_LOG) * LATENCY_SPLIT + 2)

/* Of ns, which is not 0: its highest bit's number. */
static inline unsigned latency_log(uint64_t ns)
{
#ifdef __bpf__ /* has no such instruction */
	unsigned log = 0, more;

	more = (ns >> 32 != 0) << 5;
	ns >>= more;
	log += more;
	more = (ns >> 16 != 0) << 4;
	ns >>= more;
	log += more;
	more = (ns >> 8 != 0) << 3;
	ns >>= more;
	log += more;
	more = (ns >> 4 != 0) << 2;
	ns >>= more;
	log += more;
	more = (ns >> 2 != 0) << 1;
	ns >>= more;
	return log + more + (unsigned)(ns >> 1);
#else
	return 63 - (unsigned)__builtin_clzll(ns);
#endif
}

static inline unsigned latency_bucket(uint64_t ns)
{
	unsigned log;

	if (ns >> LATENCY_MIN_LOG == 0)
		return 0;
	if (ns >> LATENCY_MAX_LOG)
		return LATENCY_BUCKETS - 1;
	log = latency_log(ns);
	/* The two bits behind the highest one. */
	return (log - LATENCY_MIN_LOG) * LATENCY_SPLIT + (unsigned)(ns >> (log - 2) & 3) + 1;
}

/* The bucket holds what is below this, and not below that of the bucket before; the last has none. */
static inline uint64_t latency_bound_ns(unsigned bucket)
{
	unsigned log = LATENCY_MIN_LOG + bucket / LATENCY_SPLIT;

	return (1ull << log) + (uint64_t)(bucket % LATENCY_SPLIT) * (1ull << log) / LATENCY_SPLIT;
}

#endif
