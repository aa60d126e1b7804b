/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker pool of the cpu device: executes bundles on lanes.
 *
 * A bundle is cut into units: one chunk of a step for a run of neighbouring items that share program
 * and step, executed back to back by one worker so that the weights stay in its cache. Workers
 * claim units with one compare-and-swap on the lane's claim word; the worker that finishes a bundle's last
 * unit starts the lane's next bundle itself, so a queue of dependent bundles needs no dispatcher.
 *
 * Worker 0 is the thread that calls pool_poll(). The others spin a short while for the next unit
 * and then sleep on a futex.
 */
#ifndef OOO_AGENT_DEVICE_CPU_POOL_H
#define OOO_AGENT_DEVICE_CPU_POOL_H

#include <stdint.h>

#include "agent/device/device.h"

#define POOL_MAX_LANES  4
#define POOL_MAX_CHUNKS 64 /* of one step */

struct pool;

struct pool_config {
	unsigned threads;  /* workers, including the caller of pool_poll() */
	unsigned nr_lanes; /* <= POOL_MAX_LANES */
	unsigned depth;    /* bundles that a lane queues, a power of two */
	void *ctx;         /* the first argument of the three below */
	void (*start)(void *ctx, unsigned worker); /* on the worker's own thread; NULL: nothing */
	/* Chunks of an item, 1..POOL_MAX_CHUNKS: the same for equal program and step. */
	unsigned (*chunks)(void *ctx, const struct bundle_item *item);
	/* Execute one chunk of one item. Different chunks of an item run at the same time. */
	void (*run)(void *ctx, unsigned worker, struct bundle_item *item, unsigned chunk);
};

/* Start the pool. start() of worker 0 runs here, on the caller's thread. 0, -EINVAL or -errno. */
int pool_create(const struct pool_config *config, struct pool **out);

/* Stop and free the pool; nothing is in flight. NULL is allowed. */
void pool_destroy(struct pool *pool);

/* Queue a bundle on its lane. 0; -EAGAIN: the lane is full; -EINVAL: a bad lane, no items, or a
 * step with no chunks or too many. */
int pool_submit(struct pool *pool, struct bundle *bundle);

/* Report up to max finished bundles; works for about 200 us at most if none is finished yet. */
unsigned pool_poll(struct pool *pool, struct bundle **done, unsigned max);

/* Units of work that workers took while the pool existed, and sleeps: for tests and statistics. */
struct pool_stats {
	uint64_t units, sleeps, wakes;
};
void pool_stats(const struct pool *pool, struct pool_stats *out);

#endif
