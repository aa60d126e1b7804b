/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the cpu device. A step is split at load into chunks, a fixed number that follows from its
 * own shape and the pool's size; a chunk is one single-threaded call, of a oneDNN primitive or of a
 * plain kernel. A bundle is all chunks of all its items, run by the pool as one parallel region. So a
 * request's bits never depend on who else is in the bundle.
 */
#ifndef OOO_AGENT_CPU_H
#define OOO_AGENT_CPU_H

#include "agent/device/cpu/eval.h"
#include "agent/device/cpu/pool.h"
#include "agent/device/device.h"
#include "shared/abi/handshake.h"
#include "shared/abi/status.h"

#define CPU_MAX_THREADS   256
#define CPU_MAX_CHUNKS    POOL_MAX_CHUNKS
#define CPU_LANE_DEPTH    8
#define CPU_MAX_OPERANDS  288          /* inputs, outputs and post-operations of one step */
#define CPU_SCRATCH_BYTES (1ull << 30) /* address space of each worker; touched as needed */

struct arena;
struct onednn;      /* engine and per-worker streams */
struct onednn_step; /* a step's primitives, see onednn.h */

struct cpu_step {
	unsigned nr_chunks;
	struct onednn_step *prim; /* NULL: plain kernel */
};

struct device_program {
	const struct program *program;
	struct cpu_step *steps;
	unsigned nr_slots;
	char *workspace; /* nr_slots slots */
	size_t slot_bytes, workspace_bytes;
	struct arena *weights;
	size_t packed_bytes; /* weights in the primitives' own layouts */
};

struct device_binding {
	void *io[OOO_MAX_IO]; /* inputs, then outputs */
};

struct device {
	struct device_caps caps;
	struct onednn *onednn;
	struct pool *pool;
	void *scratch[CPU_MAX_THREADS]; /* of each worker */
	uint64_t memory_bytes;          /* workspace budget of one program */
};

/* exec.c: the pool's callbacks. */
unsigned cpu_chunks(void *ctx, const struct bundle_item *item);
void cpu_run(void *ctx, unsigned worker, struct bundle_item *item, unsigned chunk);

#endif
