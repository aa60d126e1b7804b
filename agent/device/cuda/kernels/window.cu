/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling: an output at a time; channels last, a thread takes 8 channels of it. */
#include "agent/device/cuda/kernels/unary.cuh"
#include "agent/device/cuda/kernels/window.cuh"

/* RUN elements from i on: channels of one pixel. */
template <int RUN> DEVICE void load_run(const void *p, u64 i, u32 dtype, bool wide, float v[RUN])
{
	if constexpr (RUN == 8)
		load8(p, i, dtype, wide, v);
	else
		v[0] = load_f32(p, i, dtype);
}

template <int RUN> DEVICE void store_run(void *p, u64 i, u32 dtype, bool wide, const float v[RUN])
{
	if constexpr (RUN == 8)
		store8(p, i, dtype, wide, v);
	else
		store_f32(p, i, dtype, v[0]);
}

/* Post-operations one element at a time, in this thread's part of shared memory: their code is long. */
template <int RUN>
DEVICE void apply_posts(const struct tile *t, const struct cuda_task *head, u32 at, float v[RUN],
			float *staged)
{
#pragma unroll
	for (int k = 0; k < RUN; k++)
		staged[k * POOL_THREADS] = v[k];
#pragma unroll 1
	for (int k = 0; k < RUN; k++)
		staged[k * POOL_THREADS] =
			post_apply(t, head, staged[k * POOL_THREADS], at + (u32)k);
#pragma unroll
	for (int k = 0; k < RUN; k++)
		v[k] = staged[k * POOL_THREADS];
}

template <int RUN>
DEVICE void pool(const struct tile *t, const struct window_task *task, const struct spot *s,
		 float *staged)
{
	const void *x = operand_address(t, &task->x);
	void *y = operand_address(t, &task->y);
	bool max = task->head.op == OOO_OP_MAX_POOL, wide_x = aligned16(x), wide_y = aligned16(y);
	int h0 = s->h * task->stride_h - task->pad_top, w0 = s->w * task->stride_w - task->pad_left;
	u64 base = (u64)s->n * task->x_n + (u64)s->c * task->x_c;
	int count = 0;
	float best[RUN], v[RUN];

#pragma unroll
	for (int k = 0; k < RUN; k++)
		best[k] = max ? -INFINITE : 0;
	for (int i = 0; i < task->kernel_h; i++) {
		int h = h0 + i * task->dilation_h;

#pragma unroll 4
		for (int j = 0; j < task->kernel_w; j++) {
			int w = w0 + j * task->dilation_w;

			if (h < 0 || h >= task->in_h || w < 0 || w >= task->in_w) {
				count += task->include && h < task->edge_h && w < task->edge_w;
				continue;
			}
			count++;
			load_run<RUN>(x, base + (u32)h * task->x_h + (u32)w * task->x_w,
				      task->x.dtype, wide_x, v);
#pragma unroll
			for (int k = 0; k < RUN; k++) {
				float greater = v[k] > best[k] || v[k] != v[k] ? v[k] : best[k];

				best[k] = max ? greater : best[k] + v[k];
			}
		}
	}
#pragma unroll
	for (int k = 0; k < RUN && !max; k++)
		best[k] = count ? best[k] / (float)count : 0;
	if (task->head.nr_post)
		apply_posts<RUN>(t, &task->head, spot_at(task, s), best, staged);
	store_run<RUN>(y, spot_at(task, s), task->y.dtype, wide_y, best);
}

KERNEL_FN(ooo_pool, POOL_THREADS, 4)
{
	SHARED(float, staged, POOL_THREADS *WINDOW_RUN);
	struct tile t = tile_find(&launch);
	const struct window_task *task = (const struct window_task *)t.task;
	u32 unit = t.index * POOL_THREADS + thread_id();

	if (unit < task->units) {
		struct spot s = spot_find(task, unit);

		if (task->run == WINDOW_RUN)
			pool<WINDOW_RUN>(&t, task, &s, staged + thread_id());
		else
			pool<1>(&t, task, &s, staged + thread_id());
	}
	tile_finish(&launch);
}
