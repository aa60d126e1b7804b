/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Softmax, LogSoftmax and InstanceNorm where the elements of a line are apart, and BatchNorm and LRN
 * element by element. Neighbouring threads work on neighbouring elements of memory.
 */
#include "agent/device/cuda/kernels/rows.cuh"
#include "agent/device/cuda/kernels/unary.cuh"
#include "agent/device/cuda/task_rows.h"

#define LANES (ROWS_THREADS / COLUMNS_WIDTH)

/* ---- lines ----------------------------------------------------------------------------------- */

struct column {
	const void *x;
	void *y;
	float *shared;  /* ROWS_THREADS floats */
	u32 at, stride; /* of the line's first element, and from one to the next */
	u32 n;          /* 0: a line beyond the last */
	u32 lane;
	u32 x_type, y_type;
};

DEVICE float at_column(const struct column *c, u32 i)
{
	return load_f32(c->x, c->at + (u64)i * c->stride, c->x_type);
}

/* Over the line's lanes, in their order; the same in all of them. */
template <bool MAXIMUM> DEVICE float combine(const struct column *c, float v)
{
	u32 place = thread_id() % COLUMNS_WIDTH;

	c->shared[c->lane * COLUMNS_WIDTH + place] = v;
	block_sync();
	v = c->shared[place];
#pragma unroll
	for (u32 i = 1; i < LANES; i++) {
		float other = c->shared[i * COLUMNS_WIDTH + place];

		v = MAXIMUM ? fmaxf(v, other) : v + other;
	}
	block_sync();
	return v;
}

DEVICE void softmax(const struct column *c, bool log)
{
	float max = -INFINITE, sum = 0, factor, term;

#pragma unroll 4
	for (u32 i = c->lane; i < c->n; i += LANES)
		max = fmaxf(max, at_column(c, i));
	max = combine<true>(c, max);
#pragma unroll 4
	for (u32 i = c->lane; i < c->n; i += LANES)
		sum += expf(at_column(c, i) - max);
	sum = combine<false>(c, sum);
	factor = 1.0f / sum;
	term = log ? logf(sum) : 0;
#pragma unroll 4
	for (u32 i = c->lane; i < c->n; i += LANES) {
		float d = at_column(c, i) - max;

		store_f32(c->y, c->at + (u64)i * c->stride, c->y_type,
			  log ? d - term : expf(d) * factor);
	}
}

DEVICE void normalize(const struct column *c, float epsilon, float scale, float shift)
{
	float part = 1.0f / (float)(c->n ? c->n : 1), sum = 0, square = 0, mean, rest, factor;

#pragma unroll 4
	for (u32 i = c->lane; i < c->n; i += LANES)
		sum += at_column(c, i);
	mean = combine<false>(c, sum) * part;
	sum = 0;
#pragma unroll 4
	for (u32 i = c->lane; i < c->n; i += LANES) {
		float d = at_column(c, i) - mean;

		sum += d;
		square = fmaf(d, d, square);
	}
	rest = combine<false>(c, sum) * part; /* what the mean's rounding left over */
	square = combine<false>(c, square) * part - rest * rest;
	factor = scale / sqrtf(fmaxf(square, 0) + epsilon);
#pragma unroll 4
	for (u32 i = c->lane; i < c->n; i += LANES)
		store_f32(c->y, c->at + (u64)i * c->stride, c->y_type,
			  (at_column(c, i) - mean - rest) * factor + shift);
}

DEVICE struct column column_find(const struct tile *t, const struct columns_task *task,
				 float *shared, u32 *line)
{
	u32 k = t->index * COLUMNS_WIDTH + thread_id() % COLUMNS_WIDTH;
	u32 outer = div_fast(k, &task->inner);
	struct column c;

	c.x = operand_address(t, &task->x);
	c.y = operand_address(t, &task->y);
	c.shared = shared;
	c.stride = task->inner.d;
	c.at = (outer * task->n - outer) * task->inner.d + k;
	c.n = k < task->lines ? task->n : 0;
	c.lane = thread_id() / COLUMNS_WIDTH;
	c.x_type = task->x.dtype;
	c.y_type = task->y.dtype;
	*line = k;
	return c;
}

KERNEL_FN(ooo_columns, ROWS_THREADS, 4)
{
	SHARED(float, shared, ROWS_THREADS);
	struct tile t = tile_find(&launch);
	const struct columns_task *task = (const struct columns_task *)t.task;
	u32 line;
	struct column c = column_find(&t, task, shared, &line);

	if (task->head.op == OOO_OP_INSTANCE_NORM) {
		u32 channel = line - div_fast(line, &task->channels) * task->channels.d;
		const void *scale = operand_address(&t, &task->scale);
		const void *shift = operand_address(&t, &task->shift);

		normalize(&c, task->epsilon, load_f32(scale, channel, task->scale.dtype),
			  load_f32(shift, channel, task->shift.dtype));
	} else {
		softmax(&c, task->head.op == OOO_OP_LOG_SOFTMAX);
	}
	tile_finish(&launch);
}

/* ---- elements -------------------------------------------------------------------------------- */

DEVICE u32 channel_of(const struct channels_task *task, u32 e)
{
	u32 plane = div_fast(e, &task->plane);

	return plane - div_fast(plane, &task->channels) * task->channels.d;
}

struct bn {
	const void *scale, *shift, *mean, *var;
};

DEVICE float batch_norm(const struct channels_task *task, const struct bn *p, u32 e, float x)
{
	u32 c = channel_of(task, e);
	float scale = load_f32(p->scale, c, task->scale.dtype);

	if (!task->ready)
		scale /= sqrtf(load_f32(p->var, c, task->var.dtype) + task->alpha);
	return (x - load_f32(p->mean, c, task->mean.dtype)) * scale +
	       load_f32(p->shift, c, task->shift.dtype);
}

/* v^-beta, with the usual exponent exact to the last place or two. */
DEVICE float lrn_power(float v, float beta)
{
	if (beta == 0.75f) {
		float root = sqrtf(v);

		return 1.0f / (root * sqrtf(root));
	}
	return powf(v, -beta);
}

DEVICE float lrn(const struct channels_task *task, const void *x, u32 e)
{
	u32 plane = task->plane.d, channel = channel_of(task, e);
	u32 low = channel < task->below ? channel : task->below;
	u32 high = task->channels.d - 1 - channel;
	float sum = 0;
	u64 at = e - (u64)low * plane;

	high = high < task->above ? high : task->above;
	for (u32 k = 0; k < low + 1 + high; k++, at += plane) {
		float v = load_f32(x, at, task->x.dtype);

		sum = fmaf(v, v, sum);
	}
	return load_f32(x, e, task->x.dtype) *
	       lrn_power(fmaf(task->alpha, sum, task->bias), task->beta);
}

KERNEL_FN(ooo_channels, ROWS_THREADS, 4)
{
	struct tile t = tile_find(&launch);
	const struct channels_task *task = (const struct channels_task *)t.task;
	const void *x = operand_address(&t, &task->x);
	void *y = operand_address(&t, &task->y);
	struct bn p;
	u32 e = t.index * (ROWS_THREADS * CHANNELS_RUN) + thread_id();

	p.scale = operand_address(&t, &task->scale);
	p.shift = operand_address(&t, &task->shift);
	p.mean = operand_address(&t, &task->mean);
	p.var = operand_address(&t, &task->var);
#pragma unroll 1
	for (u32 k = 0; k < CHANNELS_RUN; k++, e += ROWS_THREADS) {
		float v;

		if (e >= task->elems)
			break;
		v = task->head.op == OOO_OP_LRN
			    ? lrn(task, x, e)
			    : batch_norm(task, &p, e, load_f32(x, e, task->x.dtype));
		if (task->head.nr_post)
			v = post_apply(&t, &task->head, v, e);
		store_f32(y, e, task->y.dtype, v);
	}
	tile_finish(&launch);
}
