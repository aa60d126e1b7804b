/* SPDX-License-Identifier: Apache-2.0 */
/* Resize: where each output index of a resized axis comes from stands in tables made at load. */
#include "agent/device/cuda/kernels/rows.cuh"
#include "agent/device/cuda/task_window.h"

/* Four elements of the input around the point, and the weights of the far ones. */
struct patch {
	u64 base;
	u32 near_a, far_a, near_b, far_b;
	float a, b;
};

DEVICE struct patch patch_find(const struct resize_task *task, const void *tables, u32 unit)
{
	struct patch p = { 0, 0, 0, 0, 0, 0, 0 };
	u32 rest = unit, run = task->run;

	for (u32 k = task->rank; k-- > 0;) {
		const struct resize_axis *axis = &task->axes[k];
		u32 above = div_fast(rest, &axis->dim), i = (rest - above * axis->dim.d) * run;

		rest = above;
		run = 1;
		if (axis->table == RESIZE_KEPT) {
			p.base += (u64)i * axis->stride;
			continue;
		}
		vec4 e = load16_const((const struct resize_entry *)tables + axis->table + i);

		if (!task->linear) {
			p.base += e.x;
			continue;
		}
		p.near_a = p.near_b; /* b was the inner of two axes */
		p.far_a = p.far_b;
		p.a = p.b;
		p.near_b = e.x;
		p.far_b = e.y;
		p.b = bits_float(e.z);
	}
	return p;
}

/* What has no weight is not looked at: it may be infinite. */
DEVICE void mix(float v[8], const float far[8], float weight, int run)
{
#pragma unroll
	for (int k = 0; k < 8; k++)
		if (k < run)
			v[k] = v[k] * (1 - weight) + far[k] * weight;
}

template <int RUN> DEVICE void get(const void *x, u64 i, u32 dtype, bool wide, float v[8])
{
	if constexpr (RUN == 8)
		load8(x, i, dtype, wide, v);
	else
		v[0] = load_f32(x, i, dtype);
}

template <int RUN>
DEVICE void along_b(const struct patch *p, u64 at, const void *x, u32 dtype, bool wide, float v[8])
{
	float far[8];

	get<RUN>(x, at + p->near_b, dtype, wide, v);
	if (p->b == 0)
		return;
	get<RUN>(x, at + p->far_b, dtype, wide, far);
	mix(v, far, p->b, RUN);
}

template <int RUN>
DEVICE void resize(const struct resize_task *task, const struct patch *p, const void *x, void *y,
		   u32 unit)
{
	u32 type = task->x.dtype;
	bool wide = aligned16(x);
	float v[8], far[8];

	along_b<RUN>(p, p->base + p->near_a, x, type, wide, v);
	if (p->a != 0) {
		along_b<RUN>(p, p->base + p->far_a, x, type, wide, far);
		mix(v, far, p->a, RUN);
	}
	if constexpr (RUN == 8)
		store8(y, (u64)unit * 8, task->y.dtype, aligned16(y), v);
	else
		store_f32(y, unit, task->y.dtype, v[0]);
}

DEVICE void copy_element(void *y, u64 to, const void *x, u64 from, u32 bytes)
{
	switch (bytes) {
	case 1:
		((u8 *)y)[to] = ((const u8 *)x)[from];
		break;
	case 2:
		((u16 *)y)[to] = ((const u16 *)x)[from];
		break;
	case 4:
		((u32 *)y)[to] = ((const u32 *)x)[from];
		break;
	default:
		((u64 *)y)[to] = ((const u64 *)x)[from];
	}
}

KERNEL_FN(ooo_resize, RESIZE_THREADS, 4)
{
	struct tile t = tile_find(&launch);
	const struct resize_task *task = (const struct resize_task *)t.task;
	u32 unit = t.index * RESIZE_THREADS + thread_id();

	if (unit < task->units) {
		const void *x = operand_address(&t, &task->x);
		void *y = operand_address(&t, &task->y);
		struct patch p = patch_find(task, operand_address(&t, &task->tables), unit);

		if (task->copy)
			copy_element(y, unit, x, p.base, task->copy);
		else if (task->run == WINDOW_RUN)
			resize<8>(task, &p, x, y, unit);
		else
			resize<1>(task, &p, x, y, unit);
	}
	tile_finish(&launch);
}
