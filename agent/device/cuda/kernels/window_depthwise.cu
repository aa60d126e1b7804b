/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depthwise convolution. Channels last, a thread owns 8 channels of 4 neighbouring outputs; a window
 * of the usual sizes slides over them, and each input is read once a kernel row. Everything else is
 * done an output at a time.
 */
#include "agent/device/cuda/kernels/unary.cuh"
#include "agent/device/cuda/kernels/window.cuh"

struct depthwise {
	const struct tile *tile;
	const struct window_task *task;
	const void *x, *weight, *bias;
	void *y;
	float *staged; /* this thread's results, DEPTHWISE_THREADS apart */
	u64 base;      /* of the input: image and channel */
	struct spot s;
};

/* A tap's weights of the thread's channels; a strip's are packed, channels innermost, and the bias
 * is what a tap behind the last would be. */
DEVICE void load_weights(const struct depthwise *d, int tap, float w[WINDOW_RUN])
{
	load8(d->weight, d->s.c + (u64)tap * d->task->out_c, OOO_FP32, true, w);
}

/* Post-operations one element at a time: their code is long, so it stands here once. */
DEVICE void apply_posts(const struct depthwise *d, u32 at, u32 n, float *v)
{
#pragma unroll 1
	for (u32 k = 0; k < n; k++, v += DEPTHWISE_THREADS)
		*v = post_apply(d->tile, &d->task->head, *v, at + k);
}

/* The strip's sums -> post-operations -> output. */
DEVICE void finish_strip(const struct depthwise *d, const float sum[WINDOW_STRIP][WINDOW_RUN])
{
	const struct window_task *task = d->task;
	u32 at = spot_at(task, &d->s);

	if (!task->head.nr_post) {
#pragma unroll
		for (u32 o = 0; o < WINDOW_STRIP; o++)
			if (d->s.w + (int)o < task->out_w)
				store8(d->y, at + o * task->out_c, task->y.dtype, true, sum[o]);
		return;
	}
#pragma unroll
	for (u32 o = 0; o < WINDOW_STRIP; o++)
#pragma unroll
		for (u32 k = 0; k < WINDOW_RUN; k++)
			d->staged[(o * WINDOW_RUN + k) * DEPTHWISE_THREADS] = sum[o][k];
#pragma unroll 1
	for (u32 o = 0; o < WINDOW_STRIP && d->s.w + (int)o < task->out_w; o++) {
		float *staged = d->staged + o * WINDOW_RUN * DEPTHWISE_THREADS;
		float v[WINDOW_RUN];

		apply_posts(d, at + o * task->out_c, WINDOW_RUN, staged);
#pragma unroll
		for (u32 k = 0; k < WINDOW_RUN; k++)
			v[k] = staged[k * DEPTHWISE_THREADS];
		store8(d->y, at + o * task->out_c, task->y.dtype, true, v);
	}
}

/* One output at a time: any window, any layout. */
DEVICE void convolve(const struct depthwise *d)
{
	const struct window_task *task = d->task;
	int h0 = d->s.h * task->stride_h - task->pad_top;
	int w0 = d->s.w * task->stride_w - task->pad_left;
	u32 at = spot_at(task, &d->s);
	float sum = d->bias ? load_f32(d->bias, d->s.c, task->bias.dtype) : 0;

	for (int i = 0; i < task->kernel_h; i++) {
		int h = h0 + i * task->dilation_h;
		u64 row = d->base + (u64)h * task->x_h;
		u64 weight =
			(u64)d->s.c * task->weight_c + (u64)(i * task->kernel_w) * task->weight_tap;

		if (h < 0 || h >= task->in_h)
			continue;
#pragma unroll 4
		for (int j = 0; j < task->kernel_w; j++) {
			int w = w0 + j * task->dilation_w;

			if (w < 0 || w >= task->in_w)
				continue;
			sum = fmaf(load_f32(d->x, row + (u32)w * task->x_w, task->x.dtype),
				   load_f32(d->weight, weight + (u64)j * task->weight_tap,
					    task->weight.dtype),
				   sum);
		}
	}
	d->staged[0] = sum;
	apply_posts(d, at, 1, d->staged);
	store_f32(d->y, at, task->y.dtype, d->staged[0]);
}

/* A kernel row over a strip, any stride and dilation. */
DEVICE void step_row(const struct depthwise *d, int i, u64 row, float sum[][WINDOW_RUN])
{
	const struct window_task *task = d->task;
	int w0 = d->s.w * task->stride_w - task->pad_left;

#pragma unroll 1
	for (int j = 0; j < task->kernel_w; j++, w0 += task->dilation_w) {
		float a[WINDOW_RUN], x[WINDOW_RUN];

		load_weights(d, i * task->kernel_w + j, a);
#pragma unroll
		for (int o = 0; o < WINDOW_STRIP; o++) {
			int w = w0 + o * task->stride_w;

			if (w < 0 || w >= task->in_w)
				continue;
			load8(d->x, row + (u32)w * task->x_w, task->x.dtype, true, x);
#pragma unroll
			for (int k = 0; k < WINDOW_RUN; k++)
				sum[o][k] = fmaf(x[k], a[k], sum[o][k]);
		}
	}
}

/* The same without dilation: WIDTH weights, then every input that some output of the strip needs. */
template <int WIDTH, int STRIDE>
DEVICE void slide_row(const struct depthwise *d, int i, u64 row, float sum[][WINDOW_RUN])
{
	const struct window_task *task = d->task;
	int w0 = d->s.w * STRIDE - task->pad_left;
	float a[WIDTH][WINDOW_RUN];

#pragma unroll
	for (int j = 0; j < WIDTH; j++)
		load_weights(d, i * WIDTH + j, a[j]);
#pragma unroll
	for (int c = 0; c < (WINDOW_STRIP - 1) * STRIDE + WIDTH; c++) {
		float x[WINDOW_RUN];

		if (w0 + c < 0 || w0 + c >= task->in_w)
			continue;
		load8(d->x, row + (u32)(w0 + c) * task->x_w, task->x.dtype, true, x);
#pragma unroll
		for (int o = 0; o < WINDOW_STRIP; o++) {
			int j = c - o * STRIDE;

			if (j < 0 || j >= WIDTH)
				continue;
#pragma unroll
			for (int k = 0; k < WINDOW_RUN; k++)
				sum[o][k] = fmaf(x[k], a[j][k], sum[o][k]);
		}
	}
}

template <int STRIDE>
DEVICE void convolve_strip(const struct depthwise *d, float sum[WINDOW_STRIP][WINDOW_RUN])
{
	const struct window_task *task = d->task;
	int h0 = d->s.h * task->stride_h - task->pad_top;

#pragma unroll 1
	for (int i = 0; i < task->kernel_h; i++) {
		int h = h0 + i * task->dilation_h;
		u64 row = d->base + (u64)h * task->x_h;

		if (h < 0 || h >= task->in_h)
			continue;
		if constexpr (STRIDE)
			slide_row<3, STRIDE>(d, i, row, sum);
		else
			step_row(d, i, row, sum);
	}
}

DEVICE void depthwise_unit(const struct depthwise *d)
{
	const struct window_task *task = d->task;
	bool slides = task->kernel_w == 3 && task->dilation_w == 1;
	float sum[WINDOW_STRIP][WINDOW_RUN];

	if (task->strip == 1) {
		convolve(d);
		return;
	}
	load_weights(d, task->kernel_h * task->kernel_w, sum[0]);
#pragma unroll
	for (int o = 1; o < WINDOW_STRIP; o++)
#pragma unroll
		for (int k = 0; k < WINDOW_RUN; k++)
			sum[o][k] = sum[0][k];
	if (slides && task->stride_w == 1)
		convolve_strip<1>(d, sum);
	else if (slides && task->stride_w == 2)
		convolve_strip<2>(d, sum);
	else
		convolve_strip<0>(d, sum);
	finish_strip(d, sum);
}

KERNEL_FN(ooo_depthwise, DEPTHWISE_THREADS, 4)
{
	SHARED(float, staged, DEPTHWISE_THREADS *WINDOW_RUN *WINDOW_STRIP);
	struct tile t = tile_find_early(&launch);
	const struct window_task *task = (const struct window_task *)t.task;
	u32 unit = t.index * DEPTHWISE_THREADS + thread_id();
	struct depthwise d;

	d.tile = &t;
	d.task = task;
	d.staged = staged + thread_id();
	d.s = spot_find(task, unit);
	d.base = (u64)d.s.n * task->x_n + (u64)div_fast(d.s.c, &task->multiplier) * task->x_c;
	tile_begin(&launch);
	if (unit < task->units) {
		d.x = operand_address(&t, &task->x);
		d.y = operand_address(&t, &task->y);
		d.weight = operand_address(&t, &task->weight);
		d.bias = operand_address(&t, &task->bias);
		depthwise_unit(&d);
	}
	tile_finish(&launch);
}
