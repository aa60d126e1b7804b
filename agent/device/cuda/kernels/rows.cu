/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Softmax, LogSoftmax, LayerNorm and InstanceNorm over contiguous lines. A line of up to 32 elements
 * a lane stays in registers and is read once: by up to 32 lanes of a warp, or by a block. Longer ones
 * are read once a pass. Which lane owns which element follows from the line's length alone, so the
 * order of summation does too; alignment only decides how wide a load is.
 */
#include "agent/device/cuda/kernels/rows.cuh"
#include "agent/device/cuda/task_rows.h"

#define WARPS (ROWS_THREADS / 32)

/* One thread's view of its line. */
struct line {
	const void *x; /* where the line begins */
	void *y;
	const void *scale, *shift;
	u64 base;      /* elements before it */
	float *shared; /* WARPS floats */
	u32 x_type, y_type, scale_type, shift_type;
	u32 n, lane, lanes; /* n = 0: a line beyond the last */
	u32 wide_x, wide_y, wide_scale;
	u32 by_row, channel;
};

template <bool WIDE> DEVICE constexpr u32 kept_values()
{
	return WIDE ? ROWS_VALUES : ROWS_VALUES_NARROW;
}

/* The same value, from a fixed order, in all lanes of the line. All threads of the block call it. */
template <bool MAXIMUM> DEVICE float combine(const struct line *l, float v)
{
	for (u32 mask = (l->lanes < 32 ? l->lanes : 32) / 2; mask; mask /= 2) {
		float other = shfl_xor(v, (int)mask);

		v = MAXIMUM ? fmaxf(v, other) : v + other;
	}
	if (l->lanes <= 32)
		return v;
	if (thread_id() % 32 == 0)
		l->shared[thread_id() / 32] = v;
	block_sync();
	v = l->shared[0];
	for (u32 i = 1; i < WARPS; i++)
		v = MAXIMUM ? fmaxf(v, l->shared[i]) : v + l->shared[i];
	block_sync();
	return v;
}

/* Where run c of this lane begins: 8 neighbours if WIDE, else 8 elements `lanes` apart. */
template <bool WIDE> DEVICE u32 run_at(const struct line *l, u32 c)
{
	return c * 8 * l->lanes + (WIDE ? l->lane * 8 : l->lane);
}

template <bool WIDE> DEVICE u32 run_step(const struct line *l)
{
	return WIDE ? 1 : l->lanes;
}

/* A run of the line; what lies beyond its end is `fill`. */
template <bool WIDE> DEVICE void load_run(const struct line *l, u32 at, float fill, float v[8])
{
	if (WIDE && at < l->n) {
		load8(l->x, at, l->x_type, l->wide_x, v);
		return;
	}
#pragma unroll
	for (u32 k = 0; k < 8; k++) {
		u32 e = at + k * run_step<WIDE>(l);

		v[k] = !WIDE && e < l->n ? load_f32(l->x, e, l->x_type) : fill;
	}
}

template <bool WIDE> DEVICE void store_run(const struct line *l, u32 at, const float v[8])
{
	if constexpr (WIDE) {
		if (at < l->n)
			store8(l->y, at, l->y_type, l->wide_y, v);
	} else {
#pragma unroll
		for (u32 k = 0; k < 8; k++) {
			u32 e = at + k * l->lanes;

			if (e < l->n)
				store_f32(l->y, e, l->y_type, v[k]);
		}
	}
}

/* ---- softmax --------------------------------------------------------------------------------- */

DEVICE float run_max(const float v[8], float max)
{
#pragma unroll
	for (int k = 0; k < 8; k++)
		max = fmaxf(max, v[k]);
	return max;
}

/* v becomes exp(v - max); returns their sum. With log, v becomes v - max. */
DEVICE float run_exp(float v[8], float max, bool log)
{
	float sum = 0;

#pragma unroll
	for (int k = 0; k < 8; k++) {
		float d = v[k] - max, e = expf(d);

		v[k] = log ? d : e;
		sum += e;
	}
	return sum;
}

DEVICE void run_finish(float v[8], float factor, float term, bool log)
{
#pragma unroll
	for (int k = 0; k < 8; k++)
		v[k] = log ? v[k] - term : v[k] * factor;
}

template <bool WIDE, bool KEPT> DEVICE void softmax(const struct line *l, bool log)
{
	float v[KEPT ? kept_values<WIDE>() : 8], max = -INFINITE, sum = 0, factor, term;
	u32 runs = KEPT ? kept_values<WIDE>() / 8 : (l->n + 8 * l->lanes - 1) / (8 * l->lanes);

#pragma unroll
	for (u32 c = 0; c < runs; c++) {
		float *run = v + (KEPT ? c * 8 : 0);

		load_run<WIDE>(l, run_at<WIDE>(l, c), -INFINITE, run);
		max = run_max(run, max);
	}
	max = combine<true>(l, max);
#pragma unroll
	for (u32 c = 0; c < runs; c++) {
		float *run = v + (KEPT ? c * 8 : 0);

		if (c * 8 * l->lanes >= l->n)
			continue;
		if (!KEPT)
			load_run<WIDE>(l, run_at<WIDE>(l, c), -INFINITE, run);
		sum += run_exp(run, max, log);
	}
	sum = combine<false>(l, sum);
	factor = 1.0f / sum;
	term = log ? logf(sum) : 0;
#pragma unroll
	for (u32 c = 0; c < runs; c++) {
		float *run = v + (KEPT ? c * 8 : 0);

		if (c * 8 * l->lanes >= l->n)
			continue;
		if (!KEPT) {
			load_run<WIDE>(l, run_at<WIDE>(l, c), -INFINITE, run);
			run_exp(run, max, log);
		}
		run_finish(run, factor, term, log);
		store_run<WIDE>(l, run_at<WIDE>(l, c), run);
	}
}

/* ---- normalisation --------------------------------------------------------------------------- */

/* Sums of the differences from `mean` and of their squares, of what lies within the line. */
template <bool WIDE>
DEVICE void run_moments(const struct line *l, u32 at, const float v[8], float mean, float *sum,
			float *square)
{
#pragma unroll
	for (u32 k = 0; k < 8; k++) {
		float d = at + k * run_step<WIDE>(l) < l->n ? v[k] - mean : 0;

		*sum += d;
		*square = fmaf(d, d, *square);
	}
}

/* scale or shift of the run's elements; `absent` if there is none. */
template <bool WIDE>
DEVICE void load_factors(const struct line *l, const void *p, u32 dtype, float absent, u32 at,
			 float w[8])
{
	if (!p || l->by_row) {
		float same = p ? load_f32(p, l->channel, dtype) : absent;

#pragma unroll
		for (int k = 0; k < 8; k++)
			w[k] = same;
	} else if constexpr (WIDE) {
		if (at < l->n)
			load8(p, at, dtype, l->wide_scale, w);
	} else {
#pragma unroll
		for (u32 k = 0; k < 8; k++) {
			u32 e = at + k * l->lanes;

			w[k] = e < l->n ? load_f32(p, e, dtype) : absent;
		}
	}
}

template <bool WIDE>
DEVICE void normalize_run(const struct line *l, u32 at, float v[8], float mean, float rest,
			  float inverse)
{
	float w[8];

	if (WIDE && at >= l->n)
		return;
	load_factors<WIDE>(l, l->scale, l->scale_type, 1, at, w);
#pragma unroll
	for (int k = 0; k < 8; k++)
		v[k] = (v[k] - mean - rest) * inverse * w[k];
	load_factors<WIDE>(l, l->shift, l->shift_type, 0, at, w);
#pragma unroll
	for (int k = 0; k < 8; k++)
		v[k] += w[k];
	store_run<WIDE>(l, at, v);
}

/* Mean, then the variance around it; what the mean's rounding left over is measured as well. */
template <bool WIDE, bool KEPT> DEVICE void normalize(const struct line *l, float epsilon)
{
	float v[KEPT ? kept_values<WIDE>() : 8], sum = 0, square = 0, mean, rest, inverse;
	u32 runs = KEPT ? kept_values<WIDE>() / 8 : (l->n + 8 * l->lanes - 1) / (8 * l->lanes);
	float part = 1.0f / (float)(l->n ? l->n : 1);

#pragma unroll
	for (u32 c = 0; c < runs; c++) {
		float *run = v + (KEPT ? c * 8 : 0);

		load_run<WIDE>(l, run_at<WIDE>(l, c), 0, run);
#pragma unroll
		for (int k = 0; k < 8; k++)
			sum += run[k];
	}
	mean = combine<false>(l, sum) * part;
	sum = 0;
#pragma unroll
	for (u32 c = 0; c < runs; c++) {
		float *run = v + (KEPT ? c * 8 : 0);

		if (!KEPT)
			load_run<WIDE>(l, run_at<WIDE>(l, c), 0, run);
		run_moments<WIDE>(l, run_at<WIDE>(l, c), run, mean, &sum, &square);
	}
	rest = combine<false>(l, sum) * part;
	square = combine<false>(l, square) * part - rest * rest;
	inverse = 1.0f / sqrtf(fmaxf(square, 0) + epsilon);
#pragma unroll
	for (u32 c = 0; c < runs; c++) {
		float *run = v + (KEPT ? c * 8 : 0);

		if (c * 8 * l->lanes >= l->n)
			continue;
		if (!KEPT)
			load_run<WIDE>(l, run_at<WIDE>(l, c), 0, run);
		normalize_run<WIDE>(l, run_at<WIDE>(l, c), run, mean, rest, inverse);
	}
}

template <bool WIDE, bool KEPT>
DEVICE void run_line(const struct line *l, const struct rows_task *task)
{
	switch (task->head.op) {
	case OOO_OP_SOFTMAX:
	case OOO_OP_LOG_SOFTMAX:
		softmax<WIDE, KEPT>(l, task->head.op == OOO_OP_LOG_SOFTMAX);
		break;
	default:
		normalize<WIDE, KEPT>(l, task->epsilon);
	}
}

/* What the task says, before the kernel ahead is complete; tensors may be looked at after it only. */
DEVICE struct line line_find(const struct tile *t, const struct rows_task *task)
{
	u32 lanes = task->lanes, row = t->index * (ROWS_THREADS / lanes) + thread_id() / lanes;
	struct line l;

	l.base = (u64)row * task->n;
	l.x_type = task->x.dtype;
	l.y_type = task->y.dtype;
	l.scale_type = task->scale.dtype;
	l.shift_type = task->shift.dtype;
	l.n = row < task->rows ? task->n : 0;
	l.lanes = lanes;
	l.lane = thread_id() & (lanes - 1);
	l.by_row = task->by_row;
	l.channel = 0;
	if (l.n && l.by_row)
		l.channel = row - div_fast(row, &task->channels) * task->channels.d;
	return l;
}

DEVICE void line_place(struct line *l, const struct tile *t, const struct rows_task *task)
{
	l->x = (const u8 *)operand_address(t, &task->x) + l->base * dtype_bytes(l->x_type);
	l->y = (u8 *)operand_address(t, &task->y) + l->base * dtype_bytes(l->y_type);
	l->scale = operand_address(t, &task->scale);
	l->shift = operand_address(t, &task->shift);
	l->wide_x = aligned16(l->x);
	l->wide_y = aligned16(l->y);
	l->wide_scale = aligned16(l->scale) && aligned16(l->shift);
}

KERNEL_FN(ooo_rows, ROWS_THREADS, 3)
{
	SHARED(float, shared, WARPS);
	struct tile t = tile_find_early(&launch);
	const struct rows_task *task = (const struct rows_task *)t.task;
	struct line l = line_find(&t, task);

	tile_begin(&launch);
	line_place(&l, &t, task);
	l.shared = shared;
	if (task->wide && task->n <= l.lanes * ROWS_VALUES)
		run_line<true, true>(&l, task);
	else if (task->wide)
		run_line<true, false>(&l, task);
	else if (task->n <= l.lanes * ROWS_VALUES_NARROW)
		run_line<false, true>(&l, task);
	else
		run_line<false, false>(&l, task);
	tile_finish(&launch);
}
