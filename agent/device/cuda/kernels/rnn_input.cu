// SPDX-License-Identifier: Apache-2.0
/*
 * The input half of a recurrent layer, all time steps at once: gates = X W^T + bias. Rows of both
 * are contiguous. The last tiles prepare what the time steps need: state, cell and lengths are
 * copied, so that each time step finds them in the device's memory.
 */
#include "agent/device/cuda/kernels/launch.cuh"
#include "agent/device/cuda/kernels/matrix.cuh"
#include "agent/device/cuda/task_rnn.h"

struct rnn_product {
	struct matrix x, w;
	const u8 *bias;
	u32 bias_dtype;
	float *gates;
	u32 row, column; /* of the tile */
};

DEVICE struct rnn_product rnn_product(const struct tile *t, const struct rnn_input_task *task)
{
	struct rnn_product p;

	p.x = matrix_make(operand_address(t, &task->x), task->x.dtype, 0, task->depth, task->depth);
	p.w = matrix_make(operand_address(t, &task->w), task->w.dtype, 0, task->w_row, task->w_row);
	p.bias = (const u8 *)operand_address(t, &task->bias);
	p.bias_dtype = task->bias.dtype;
	p.gates = (float *)operand_address(t, &task->gates);
	p.row = t->index / task->column_tiles * MATRIX_SIDE;
	p.column = t->index % task->column_tiles * MATRIX_SIDE;
	return p;
}

/* The bias of W is the first half of each direction's. */
DEVICE void rnn_store(const struct rnn_product *p, const struct rnn_input_task *task, u32 row,
		      u32 column, float v)
{
	u32 half = task->nr_gates * task->hidden, dir = column / half;

	if (row >= task->rows || column >= task->columns)
		return;
	if (p->bias)
		v += load_f32(p->bias, column + dir * half, p->bias_dtype);
	p->gates[(u64)row * task->columns + column] = v;
}

/* Elements of state, cell and reset that this tile sets up: initial values, and 0 behind them. */
DEVICE void rnn_prepare(const struct tile *t, const struct rnn_input_task *task)
{
	const void *h0 = operand_address(t, &task->h0), *c0 = operand_address(t, &task->c0);
	const void *lens = operand_address(t, &task->lens);
	float *state = (float *)operand_address(t, &task->state);
	float *cell = (float *)operand_address(t, &task->cell);
	float *reset = (float *)operand_address(t, &task->reset);
	int *lens_out = (int *)operand_address(t, &task->lens_out);
	u32 all = task->directions * task->batch * task->pitch;
	u32 from = (t->index - task->product_tiles) * RNN_CHUNK;

	for (u32 i = from + thread_id(); i < from + RNN_CHUNK && i < all; i += block_threads()) {
		u32 line = i / task->pitch, unit = i % task->pitch;
		u32 at = line * task->hidden + unit;
		bool there = unit < task->hidden;

		state[i] = there && h0 ? load_f32(h0, at, task->h0.dtype) : 0.0f;
		state[all + i] = 0.0f;
		cell[i] = there && c0 ? load_f32(c0, at, task->c0.dtype) : 0.0f;
		if (reset)
			reset[i] = 0.0f;
	}
	if (from)
		return;
	for (u32 b = thread_id(); b < task->batch; b += block_threads()) {
		int steps = (int)task->steps;
		int n = lens ? ((const volatile int *)lens)[b] : steps;

		lens_out[b] = n < 0 ? 0 : n > steps ? steps : n;
	}
}

KERNEL_FN(ooo_rnn_input_fp32, 256, 2)
{
	SHARED(float, a, MATRIX_SIDE *MATRIX_PITCH);
	SHARED(float, b, MATRIX_SIDE *MATRIX_PITCH);
	struct tile t = tile_find(&launch);
	const struct rnn_input_task *task = (const struct rnn_input_task *)t.task;

	if (t.index >= task->product_tiles) {
		rnn_prepare(&t, task);
	} else {
		struct rnn_product p = rnn_product(&t, task);
		u32 x = thread_id() % 16, y = thread_id() / 16;
		float c[4][4] = { { 0.0f } };

		for (u32 k = 0; k < task->depth; k += MATRIX_SIDE) {
			u32 left = task->depth - k;

			block_sync();
			matrix_load_transposed(a, &p.x, p.row, task->rows, k, task->depth);
			matrix_load_transposed(b, &p.w, p.column, task->columns, k, task->depth);
			block_sync();
			matrix_multiply_fp32(c, a, b, left < MATRIX_SIDE ? left : MATRIX_SIDE);
		}
#pragma unroll
		for (u32 i = 0; i < 4; i++)
#pragma unroll
			for (u32 j = 0; j < 4; j++)
				rnn_store(&p, task, p.row + y * 4 + i, p.column + x * 4 + j,
					  c[i][j]);
	}
	tile_finish(&launch);
}

/* Two slices of 64 columns: one is multiplied while the other is on its way. */
template <bool BF16> DEVICE void rnn_input_half(const struct cuda_launch *launch)
{
	SHARED(u16, a, 2 * MATRIX_SIDE * MATRIX_SIDE);
	SHARED(u16, b, 2 * MATRIX_SIDE * MATRIX_SIDE);
	struct tile t = tile_find(launch);
	const struct rnn_input_task *task = (const struct rnn_input_task *)t.task;

	if (t.index >= task->product_tiles) {
		rnn_prepare(&t, task);
	} else {
		struct rnn_product p = rnn_product(&t, task);
		u32 lane = thread_id() % 32, row = p.row + thread_id() / 32 * 16 + lane / 4;
		u32 column = p.column + lane % 4 * 2, depth = task->depth, now = 0;
		float c[MATRIX_SIDE / 8][4];

#pragma unroll
		for (u32 n = 0; n < MATRIX_SIDE / 8; n++)
#pragma unroll
			for (u32 j = 0; j < 4; j++)
				c[n][j] = 0.0f;
		matrix_load_half<64, 64, BF16>(a, &p.x, p.row, task->rows, 0, depth);
		matrix_load_half<64, 64, BF16>(b, &p.w, p.column, task->columns, 0, depth);
		cp_async_commit();
		for (u32 k = 0; k < depth; k += 64, now = 4096 - now) {
			u32 next = 4096 - now;

			if (k + 64 < depth) {
				matrix_load_half<64, 64, BF16>(a + next, &p.x, p.row, task->rows,
							       k + 64, depth);
				matrix_load_half<64, 64, BF16>(b + next, &p.w, p.column,
							       task->columns, k + 64, depth);
			}
			cp_async_commit();
			cp_async_wait<1>();
			block_sync();
			matrix_multiply_half<64, 64, BF16>(c, a + now, b + now, depth - k);
			block_sync();
		}
		cp_async_wait<0>();
#pragma unroll
		for (u32 n = 0; n < MATRIX_SIDE / 8; n++)
#pragma unroll
			for (u32 j = 0; j < 4; j++)
				rnn_store(&p, task, row + j / 2 * 8, column + n * 8 + j % 2,
					  c[n][j]);
	}
	tile_finish(launch);
}

KERNEL_FN(ooo_rnn_input_f16, 128, 4)
{
	rnn_input_half<false>(&launch);
}
KERNEL_FN(ooo_rnn_input_bf16, 128, 4)
{
	rnn_input_half<true>(&launch);
}
