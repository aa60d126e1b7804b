/* SPDX-License-Identifier: Apache-2.0 */
/* Between submit.c and complete.c: the bundles that the device holds. */
#ifndef OOO_CUDA_FLIGHT_H
#define OOO_CUDA_FLIGHT_H

#include "agent/device/cuda/plan.h"

/* The bundles of a lane, in order: a ring. Bundle number n uses record n % CUDA_LANE_DEPTH. */
struct flight_lane {
	struct bundle *bundles[CUDA_LANE_DEPTH];
	uint64_t submitted_ns[CUDA_LANE_DEPTH];
	uint32_t head, tail;  /* numbers of the oldest in flight and of the next */
	uint64_t last_end_ns; /* of the device's clock: when the last finished bundle ended */
};

struct cuda_flight {
	struct cuda_record *records; /* mapped host memory: [lane][CUDA_LANE_DEPTH] */
	uint64_t records_device;     /* the same for the device */
	struct cuda_mem progress;    /* struct cuda_progress [lane][CUDA_LANE_DEPTH] */
	struct flight_lane lanes[CUDA_MAX_LANES];
	uint64_t checked_ns; /* when the streams were last asked for errors */
	uint64_t nr_bundles;
	struct cuda_launch launch; /* being filled; the dispatcher's */
};

static inline uint32_t flight_slot(unsigned lane, uint32_t number)
{
	return lane * CUDA_LANE_DEPTH + number % CUDA_LANE_DEPTH;
}

/* What a record's seq becomes when bundle `number` of its lane is complete; never 0. */
static inline uint32_t flight_seq(uint32_t number)
{
	return number * 2 + 1;
}

/* Whether the record is that of bundle seq, complete. Pairs with the fence in tile_finish(): results
 * are there, too. */
static inline bool flight_done(const struct cuda_record *r, uint32_t seq)
{
	return __atomic_load_n(&r->done, __ATOMIC_ACQUIRE) >> 32 == seq &&
	       __atomic_load_n(&r->end_ns, __ATOMIC_ACQUIRE);
}

#endif
