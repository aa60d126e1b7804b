/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread block does of a matrix product: which tile, which part of k, where it lies. */
#ifndef OOO_CUDA_GEMM_PART_CUH
#define OOO_CUDA_GEMM_PART_CUH

#include "agent/device/cuda/kernels/launch.cuh"
#include "agent/device/cuda/kernels/unary.cuh"
#include "agent/device/cuda/kernels/values.cuh"
#include "agent/device/cuda/task_gemm.h"

/* A core's numbers. */
template <u32 BM_, u32 BN_, u32 THREADS_, u32 STAGES_> struct gemm_shape {
	static constexpr u32 BM = BM_, BN = BN_, THREADS = THREADS_, STAGES = STAGES_;
	static constexpr u32 W_BYTES = BM * GEMM_CHUNKS * GEMM_CHUNK;
	static constexpr u32 STAGE_BYTES = W_BYTES + BN * GEMM_CHUNKS * GEMM_CHUNK;
	static constexpr u32 RING_BYTES = STAGES * STAGE_BYTES;
	static constexpr bool ASYNC = false; /* multiply() only begins, settle() ends it */
	static constexpr u32 PITCH = BM + 4; /* floats: no bank conflicts either way */

	static_assert(BM <= THREADS && BM * 4 <= GEMM_BIAS_BYTES, "a thread loads a bias");
	static_assert(BN * PITCH * 4 <= RING_BYTES, "the tile on its way out takes the ring's place");

	template <u32 N> DEVICE void settle(float (&)[N]) {}
};

/* The block's part of the task. */
struct gemm_part {
	const struct gemm_task *task;
	const u8 *x; /* of this z; known after tile_begin() */
	const u8 *w; /* of this z, from the first row of the tile and the first block of k on */
	i64 x_offset, y, bias;
	u32 m0, n0, tile; /* tile: index without the split */
	u32 split, first, blocks;
};

/* Reads only what is constant. */
template <class C> DEVICE struct gemm_part gemm_locate(const struct tile *t)
{
	const struct gemm_task *task = (const struct gemm_task *)t->task;
	u32 i = div_fast(t->index, &task->tiles_n), j = t->index - i * task->tiles_n.d;
	u32 split = i % task->splits, zi = i / task->splits, z = zi / task->tiles_m;
	struct gemm_part p;

	p.task = task;
	p.x = (const u8 *)0;
	p.x_offset = 0;
	p.w = (const u8 *)operand_address(t, &task->w);
	p.y = 0;
	p.bias = 0;
	p.tile = zi * task->tiles_n.d + j;
	p.m0 = (zi - z * task->tiles_m) * C::BM;
	p.n0 = j * C::BN;
	p.split = split;
	p.first = split * task->blocks_per_split;
	p.blocks = task->blocks - p.first;
	if (p.blocks > task->blocks_per_split)
		p.blocks = task->blocks_per_split;
	if (task->nr_z > 1) {
		const struct gemm_batch *b =
			(const struct gemm_batch *)operand_address(t, &task->batch) + z;

		p.x_offset = b->x;
		p.w += b->w;
		p.y = b->y;
		p.bias = b->bias;
	}
	p.w += ((u64)(p.m0 / GEMM_ROWS) * task->blocks + p.first) * GEMM_BLOCK_BYTES;
	return p;
}

DEVICE float gemm_load_bias(const struct tile *t, const struct gemm_task *task, i64 at)
{
	const void *bias = operand_address(t, &task->bias);

	return bias ? task->beta * load_f32(bias, (u64)at, task->bias.dtype) : 0;
}

/* The bias of row thread_id() of the tile, where it is by channel. */
template <class C> DEVICE float gemm_row_bias(const struct tile *t, const struct gemm_part *p)
{
	u32 m = p->m0 + thread_id();

	if (thread_id() >= C::BM || m >= p->task->m || !(p->task->flags & GEMM_BIAS_BY_CHANNEL))
		return 0;
	return gemm_load_bias(t, p->task, p->bias + m * p->task->bias_channel);
}

#endif
