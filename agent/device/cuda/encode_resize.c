/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resize: coordinates are computed here, in double precision, so that the kernel rounds as every
 * other device does. An axis that stays as it is needs no table and merges with its neighbours.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/device/cuda/encode_rows.h"
#include "agent/device/cuda/encode_window.h"
#include "agent/device/cuda/task_window.h"

#define MAX_ENTRIES (1u << 24)

/* One axis of the output. */
struct axis {
	int64_t in, out;
	float scale; /* 0: the sizes' quotient */
	uint32_t stride;
};

/* The input coordinate of output index i. */
static double original(const struct ooo_attr *a, const struct axis *x, int64_t i)
{
	double scale = x->scale != 0 ? (double)x->scale : (double)x->out / (double)x->in;
	double length;

	switch (a->coord) {
	case OOO_COORD_ASYMMETRIC:
		return (double)i / scale;
	case OOO_COORD_ALIGN_CORNERS:
		/* With a scale ONNX takes the exact length, before it is rounded down. */
		length = x->scale != 0 ? scale * (double)x->in : (double)x->out;
		return x->out > 1 ? (double)i * (double)(x->in - 1) / (length - 1) : 0;
	case OOO_COORD_PYTORCH_HALF_PIXEL:
		return x->out > 1 ? ((double)i + 0.5) / scale - 0.5 : 0;
	default:
		return ((double)i + 0.5) / scale - 0.5;
	}
}

static double clamp(double v, double max)
{
	return v < 0 ? 0 : v > max ? max : v;
}

static double nearest(const struct ooo_attr *a, double at)
{
	switch (a->nearest_mode) {
	case OOO_NEAREST_FLOOR:
		return floor(at);
	case OOO_NEAREST_CEIL:
		return ceil(at);
	case OOO_NEAREST_ROUND_PREFER_CEIL:
		return floor(at + 0.5);
	default:
		return ceil(at - 0.5);
	}
}

static struct resize_entry entry_of(const struct ooo_attr *a, const struct axis *x, int64_t i)
{
	double last = (double)(x->in - 1), low;
	double at = x->in == x->out && x->scale == 0 ? (double)i : original(a, x, i);
	int64_t cell;

	if (a->mode == 0) {
		cell = (int64_t)clamp(nearest(a, at), last);
		return (struct resize_entry){ .low = (uint32_t)cell * x->stride };
	}
	at = clamp(at, last);
	low = floor(at);
	cell = (int64_t)low;
	return (struct resize_entry){
		.low = (uint32_t)cell * x->stride,
		.high = (uint32_t)(cell + 1 < x->in ? cell + 1 : cell) * x->stride,
		.weight = (float)(at - low),
	};
}

/* Every index comes from itself. */
static bool is_kept(const struct ooo_attr *a, const struct axis *x)
{
	if (x->in != x->out)
		return false;
	for (int64_t i = 0; i < x->out; i++) {
		struct resize_entry e = entry_of(a, x, i);

		if (e.low != (uint32_t)i * x->stride || e.weight != 0)
			return false;
	}
	return true;
}

/* An axis inside those that are there. */
static void push_kept(struct resize_task *task, const struct axis *x)
{
	struct resize_axis *last = task->rank ? &task->axes[task->rank - 1] : NULL;

	if (x->out == 1)
		return;
	if (last && last->table == RESIZE_KEPT && last->stride == x->stride * (uint32_t)x->out) {
		last->dim = cuda_div_make(last->dim.d * (uint32_t)x->out);
		last->stride = x->stride;
		return;
	}
	task->axes[task->rank++] = (struct resize_axis){ .dim = cuda_div_make((uint32_t)x->out),
							 .stride = x->stride,
							 .table = RESIZE_KEPT };
}

static void push_axis(struct resize_task *task, const struct ooo_attr *a, const struct axis *x,
		      struct resize_entry *tables, uint32_t *nr)
{
	if (is_kept(a, x)) {
		push_kept(task, x);
		return;
	}
	task->axes[task->rank++] =
		(struct resize_axis){ .dim = cuda_div_make((uint32_t)x->out), .table = *nr };
	for (int64_t i = 0; i < x->out; i++)
		tables[(*nr)++] = entry_of(a, x, i);
}

/* Axes in the order of the output's memory; returns the number of tables. */
static unsigned push_axes(struct resize_task *task, const struct step *step, const struct tensor *x,
			  const struct tensor *y, struct resize_entry *tables)
{
	static const int image_order[] = { 0, 2, 3, 1 };
	uint32_t strides[OOO_MAX_RANK], nr = 0;
	unsigned tabled = 0;

	rows_strides(x, strides);
	for (int k = 0; k < y->shape.rank; k++) {
		int i = y->layout == LAYOUT_NHWC ? image_order[k] : k;
		struct axis axis = { .in = x->shape.dims[i],
				     .out = y->shape.dims[i],
				     .scale = step->attr.scale[i],
				     .stride = strides[i] };

		push_axis(task, &step->attr, &axis, tables, &nr);
	}
	for (uint32_t k = 0; k < task->rank; k++)
		tabled += task->axes[k].table != RESIZE_KEPT;
	return tabled;
}

static int check_types(const struct step *step, uint32_t x, uint32_t y, char *why, size_t why_bytes)
{
	if ((dtype_is_real(x) && dtype_is_real(y)) || (x == y && step->attr.mode == 0))
		return 0;
	snprintf(why, why_bytes, "resizing from %s to %s", dtype_name(x), dtype_name(y));
	return -EOPNOTSUPP;
}

/* What a thread does. */
static void choose_run(struct resize_task *task, uint32_t elems, uint32_t x, uint32_t y)
{
	struct resize_axis *last = task->rank ? &task->axes[task->rank - 1] : NULL;
	bool real = dtype_is_real(x) && dtype_is_real(y);

	task->run = 1;
	if (real && last && last->table == RESIZE_KEPT && last->stride == 1 &&
	    last->dim.d % WINDOW_RUN == 0) {
		task->run = WINDOW_RUN;
		last->dim = cuda_div_make(last->dim.d / WINDOW_RUN);
	}
	task->units = elems / task->run;
	if (!task->linear && task->run == 1 && x == y)
		task->copy = (uint32_t)dtype_bytes(x);
}

int encode_resize(struct cuda_plan *plan, const struct step *step, char *why, size_t why_bytes)
{
	const struct program *p = plan_program(plan);
	const struct tensor *x = &p->tensors[step->in[0]], *y = &p->tensors[step->out[0]];
	struct resize_task task = { .linear = step->attr.mode == 1 };
	uint32_t entries = 0, elems;
	void *tables;
	int rc = check_types(step, x->shape.dtype, y->shape.dtype, why, why_bytes);

	if (rc || (rc = rows_elems(y, &elems, why, why_bytes)) ||
	    (rc = plan_task_head(plan, step, &task.head)))
		return rc;
	for (int i = 0; i < y->shape.rank && entries <= MAX_ENTRIES; i++)
		entries += (uint32_t)y->shape.dims[i];
	if (step->nr_post || entries > MAX_ENTRIES) {
		snprintf(why, why_bytes, "post-operations, or axes of more than %u elements",
			 MAX_ENTRIES);
		return -EOPNOTSUPP;
	}
	rc = plan_block(plan, entries * sizeof(struct resize_entry), OOO_FP32, &tables,
			&task.tables);
	if (rc)
		return rc;
	if (push_axes(&task, step, x, y, tables) > 2 && task.linear) {
		snprintf(why, why_bytes, "linear interpolation along more than two axes");
		return -EOPNOTSUPP;
	}
	task.x = plan_operand(plan, step->in[0]);
	task.y = plan_operand(plan, step->out[0]);
	choose_run(&task, elems, x->shape.dtype, y->shape.dtype);
	task.head.nr_tiles = blocks_of(task.units, RESIZE_THREADS);
	return plan_task(plan, KERNEL_RESIZE, &task, sizeof(task));
}
