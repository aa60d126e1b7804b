/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reductions: the input's axes are split into those kept and those reduced. A long reduction to few
 * elements is cut into splits that a second phase combines; how, follows from the shape alone.
 */
#include <errno.h>
#include <stdio.h>

#include "agent/device/cuda/encode_rows.h"
#include "agent/device/cuda/task_rows.h"

#define SPLIT_TILES  256 /* that splitting aims at */
#define SPLIT_ROUNDS 32  /* elements of a thread at least, in a split */
#define MAX_SPLITS   1024

/* An axis inside those that are there. */
static void push_axis(struct reduce_axes *a, uint32_t dim, uint32_t stride)
{
	uint32_t last = a->rank - 1;

	if (dim == 1)
		return;
	a->count *= dim;
	if (a->rank && a->stride[last] == stride * dim) {
		a->dims[last] = cuda_div_make(a->dims[last].d * dim);
		a->stride[last] = stride;
		return;
	}
	a->dims[a->rank] = cuda_div_make(dim);
	a->stride[a->rank++] = stride;
}

/* Kept axes in the order of the output's memory. */
static void split_axes(const struct tensor *x, const struct tensor *y, uint32_t axes,
		       struct reduce_task *task)
{
	static const int image_order[] = { 0, 2, 3, 1 };
	bool image = y->layout == LAYOUT_NHWC;
	uint32_t strides[OOO_MAX_RANK];

	rows_strides(x, strides);
	task->kept.count = task->reduced.count = 1;
	for (int k = 0; k < x->shape.rank; k++) {
		int i = image ? image_order[k] : k;

		push_axis(axes >> i & 1 ? &task->reduced : &task->kept, (uint32_t)x->shape.dims[i],
			  strides[i]);
	}
}

static uint32_t inner_stride(const struct reduce_axes *a)
{
	return a->rank ? a->stride[a->rank - 1] : UINT32_MAX;
}

/* Threads of an output element. */
static void choose_lanes(struct reduce_task *task)
{
	uint32_t count = task->reduced.count, most;

	task->across = inner_stride(&task->reduced) < inner_stride(&task->kept);
	if (task->across) {
		most = count > 1024 ? 8 : 5;
		task->lanes_log = log2_up(blocks_of(count, 4));
	} else {
		most = count > 256 ? 4 : 3;
		task->lanes_log = count > 8 ? most : 0;
	}
	if (task->lanes_log > most)
		task->lanes_log = most;
	/* With few output elements the block's threads have nothing better to do. */
	while (task->lanes_log < 8 && 1u << task->lanes_log < blocks_of(count, 4) &&
	       (uint64_t)task->kept.count << task->lanes_log < ROWS_THREADS)
		task->lanes_log++;
}

static uint32_t output_tiles(const struct reduce_task *task)
{
	return blocks_of(task->kept.count, ROWS_THREADS >> task->lanes_log);
}

static void choose_splits(struct reduce_task *task)
{
	uint32_t lanes = 1u << task->lanes_log, count = task->reduced.count;
	uint32_t splits = blocks_of(count, lanes * SPLIT_ROUNDS), tiles = output_tiles(task);

	if (splits > blocks_of(SPLIT_TILES, tiles))
		splits = blocks_of(SPLIT_TILES, tiles);
	if (splits > MAX_SPLITS)
		splits = MAX_SPLITS;
	if (!splits || tiles >= SPLIT_TILES / 2 || task->kind == REDUCE_KIND_ARG)
		splits = 1;
	task->chunk = blocks_of(blocks_of(count, splits), lanes) * lanes;
	if (!task->chunk)
		task->chunk = 1; /* nothing to sum */
	task->splits = blocks_of(count, task->chunk);
	task->by_splits = cuda_div_make(task->splits);
}

static int add_task(struct cuda_plan *plan, struct reduce_task *task, char *why, size_t why_bytes)
{
	uint64_t tiles = (uint64_t)output_tiles(task) * task->splits;

	if (tiles > INT32_MAX) {
		snprintf(why, why_bytes, "a reduction in more than 2^31 - 1 parts");
		return -EOPNOTSUPP;
	}
	task->head.nr_tiles = (uint32_t)tiles;
	return plan_task(plan, KERNEL_REDUCE, task, sizeof(*task));
}

/* The splits' results [kept][splits], reduced once more. */
static int encode_split(struct cuda_plan *plan, struct reduce_task *task, char *why,
			size_t why_bytes)
{
	bool real = dtype_is_real(task->x.dtype);
	struct reduce_task last = *task;
	uint64_t partials = (uint64_t)task->kept.count * task->splits;
	int rc;

	task->y = plan_scratch(plan, partials * (real ? sizeof(float) : sizeof(int64_t)),
			       real ? OOO_FP32 : OOO_INT64);
	task->divide = 1;
	task->head.nr_post = 0;
	rc = add_task(plan, task, why, why_bytes);
	if (rc)
		return rc;
	plan_next_phase(plan);
	last.x = task->y;
	last.kept = (struct reduce_axes){ .count = 1 };
	last.reduced = last.kept;
	push_axis(&last.kept, task->kept.count, task->splits);
	push_axis(&last.reduced, task->splits, 1);
	choose_lanes(&last);
	last.splits = 1;
	last.chunk = task->splits;
	last.by_splits = cuda_div_make(1);
	return add_task(plan, &last, why, why_bytes);
}

/* What the operator asks of the kernel; returns the mask of axes. */
static uint32_t describe(const struct step *step, const struct tensor *x, struct reduce_task *task)
{
	uint32_t all = (1u << x->shape.rank) - 1, op = step->op;

	task->flip = op == OOO_OP_REDUCE_MIN || op == OOO_OP_ARG_MIN;
	switch (op) {
	case OOO_OP_ARG_MAX:
	case OOO_OP_ARG_MIN:
		task->kind = REDUCE_KIND_ARG;
		task->last = step->attr.flags & OOO_ATTR_LAST_INDEX ? 1 : 0;
		return 1u << step->attr.axis;
	case OOO_OP_GLOBAL_MAX_POOL:
		task->kind = REDUCE_KIND_EXTREME;
		return all & ~3u;
	case OOO_OP_GLOBAL_AVERAGE_POOL:
		task->kind = REDUCE_KIND_SUM;
		return all & ~3u;
	case OOO_OP_REDUCE_SUM:
	case OOO_OP_REDUCE_MEAN:
		task->kind = REDUCE_KIND_SUM;
		return step->attr.axes;
	default:
		task->kind = REDUCE_KIND_EXTREME;
		return step->attr.axes;
	}
}

static int check_types(const struct reduce_task *task, uint32_t x, uint32_t y, char *why,
		       size_t why_bytes)
{
	bool arg = task->kind == REDUCE_KIND_ARG, real = dtype_is_real(x) && dtype_is_real(y);

	if (arg && y == OOO_INT64 && (dtype_is_real(x) || x == OOO_INT32 || x == OOO_INT64))
		return 0;
	if (!arg && (real || (x == y && (x == OOO_INT32 || x == OOO_INT64))))
		return 0;
	snprintf(why, why_bytes, "a reduction from %s to %s", dtype_name(x), dtype_name(y));
	return -EOPNOTSUPP;
}

int encode_reduce(struct cuda_plan *plan, const struct step *step, char *why, size_t why_bytes)
{
	const struct program *p = plan_program(plan);
	const struct tensor *x = &p->tensors[step->in[0]], *y = &p->tensors[step->out[0]];
	struct reduce_task task = { .divide = 1 };
	uint32_t axes = describe(step, x, &task);
	int rc = check_types(&task, x->shape.dtype, y->shape.dtype, why, why_bytes);

	if (rc || (rc = plan_task_head(plan, step, &task.head)))
		return rc;
	split_axes(x, y, axes, &task);
	if (step->op == OOO_OP_REDUCE_MEAN || step->op == OOO_OP_GLOBAL_AVERAGE_POOL)
		task.divide = task.reduced.count;
	task.x = plan_operand(plan, step->in[0]);
	task.y = plan_operand(plan, step->out[0]);
	choose_lanes(&task);
	choose_splits(&task);
	if (task.splits > 1)
		return encode_split(plan, &task, why, why_bytes);
	return add_task(plan, &task, why, why_bytes);
}
