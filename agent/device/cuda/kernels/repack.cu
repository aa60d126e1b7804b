/* SPDX-License-Identifier: Apache-2.0 */
/* Operands of matrix products into the form that the products read: see task_gemm.h. */
#include "agent/device/cuda/kernels/launch.cuh"
#include "agent/device/cuda/kernels/values.cuh"
#include "agent/device/cuda/task_gemm.h"

#define REPACK_THREADS 256
#define REPACK_PITCH   65 /* floats: odd, so that neither direction meets bank conflicts */

DEVICE u32 repack_width(u32 type) { return type == GEMM_F16 || type == GEMM_BF16 ? 64 : 32; }

/* Tile -> shared memory as fp32; what lies outside the matrix is zero. */
DEVICE void repack_load(const struct tile *t, const struct repack_task *task, u32 z, u32 row0,
			u32 column0, float *shared)
{
	const void *from = operand_address(t, &task->from);
	u32 width = repack_width(task->type), along_rows = task->along_rows;
	i64 base = task->from_base + z * task->from_z;

#pragma unroll 1
	for (u32 i = thread_id(); i < GEMM_ROWS * width; i += REPACK_THREADS) {
		u32 r = along_rows ? i % GEMM_ROWS : i / width;
		u32 c = along_rows ? i / GEMM_ROWS : i % width;
		u32 row = row0 + r, column = column0 + c;
		u32 tap = div_fast(column, &task->padded), channel = column - tap * task->padded.d;
		u32 tap_row = div_fast(tap, &task->tap_columns);
		u32 tap_column = tap - tap_row * task->tap_columns.d;
		float v = 0;

		if (row < task->rows && column < task->columns && channel < task->channels)
			v = load_f32(from,
				     (u64)(base + row * task->from_row + tap_row * task->from_tap[0] +
					   tap_column * task->from_tap[1] +
					   channel * task->from_channel),
				     task->from.dtype);
		shared[r * REPACK_PITCH + c] = v;
	}
}

/* One chunk of the compute type. */
DEVICE vec4 repack_chunk(const float *v, u32 type)
{
	u32 q[4];

#pragma unroll
	for (u32 i = 0; i < 4; i++) {
		if (type == GEMM_F16)
			q[i] = f32_to_f16(v[2 * i]) | (u32)f32_to_f16(v[2 * i + 1]) << 16;
		else if (type == GEMM_BF16)
			q[i] = f32_to_bf16(v[2 * i]) | (u32)f32_to_bf16(v[2 * i + 1]) << 16;
		else
			q[i] = type == GEMM_TF32 ? f32_to_tf32(v[i]) : float_bits(v[i]);
	}
	return vec4{ q[0], q[1], q[2], q[3] };
}

DEVICE void repack_store(const struct tile *t, const struct repack_task *task, u32 z, u32 row0,
			 u32 column_tile, const float *shared)
{
	u8 *to = (u8 *)operand_address(t, &task->to) + z * task->to_z;
	u32 per_chunk = repack_width(task->type) / GEMM_CHUNKS;
	u32 row_chunks = task->columns / per_chunk;
	u64 block = (u64)(row0 / GEMM_ROWS) * task->column_tiles.d + column_tile;

#pragma unroll 1
	for (u32 i = thread_id(); i < GEMM_ROWS * GEMM_CHUNKS; i += REPACK_THREADS) {
		u32 r = i / GEMM_CHUNKS, c = i % GEMM_CHUNKS;
		vec4 v = repack_chunk(shared + r * REPACK_PITCH + c * per_chunk, task->type);
		u32 at = column_tile * GEMM_CHUNKS + c;

		if (task->to_kind == REPACK_BLOCKS)
			store16(to + block * GEMM_BLOCK_BYTES + gemm_swizzle(r, c) * GEMM_CHUNK, v);
		else if (row0 + r < task->rows && at < row_chunks)
			store16(to + ((u64)(row0 + r) * row_chunks + at) * GEMM_CHUNK, v);
	}
}

KERNEL_FN(ooo_repack, REPACK_THREADS, 4)
{
	SHARED(float, shared, GEMM_ROWS * REPACK_PITCH);
	struct tile t = tile_find(&launch);
	const struct repack_task *task = (const struct repack_task *)t.task;
	u32 zi = div_fast(t.index, &task->column_tiles), j = t.index - zi * task->column_tiles.d;
	u32 z = div_fast(zi, &task->row_tiles), row0 = (zi - z * task->row_tiles.d) * GEMM_ROWS;

	repack_load(&t, task, z, row0, j * repack_width(task->type), shared);
	block_sync();
	repack_store(&t, task, z, row0, j, shared);
	tile_finish(&launch);
}
