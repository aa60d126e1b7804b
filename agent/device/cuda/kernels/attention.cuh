/* SPDX-License-Identifier: Apache-2.0 */
/* What attention's kernels share: which rows a tile has, where they lie, and their softmax. */
#ifndef OOO_CUDA_ATTENTION_CUH
#define OOO_CUDA_ATTENTION_CUH

#include "agent/device/cuda/kernels/launch.cuh"
#include "agent/device/cuda/kernels/matrix.cuh"
#include "agent/device/cuda/task_attention.h"

#define NEVER_SEEN (-__builtin_inff()) /* a score that no key has */

/* Rows of one operand of the tile's head. */
DEVICE struct matrix attention_rows(const struct tile *t, const struct attention_task *task,
				    u32 part, u32 columns)
{
	u32 head = t->index / task->query_tiles, batch = head / task->heads;

	head -= batch * task->heads;
	return matrix_make(operand_address(t, &task->operand[part]), task->operand[part].dtype,
			   task->at[part].start + batch * task->at[part].batch +
				   head * task->at[part].head,
			   task->at[part].row, columns);
}

/*
 * What every tile starts with. All that a task says never changes: it is read before the kernel in
 * front has ended.
 */
struct attention_tile {
	struct matrix q, k, v, mask, out;
	u32 first; /* query */
	u32 queries, keys, depth, value_depth;
	float scale;
	u32 zero_unseeing;
	bool key_mask; /* the mask is the same for all queries */
};

DEVICE struct attention_tile attention_begin(const struct cuda_launch *launch)
{
	struct tile t = tile_find_early(launch);
	const struct attention_task *task = (const struct attention_task *)t.task;
	struct attention_tile a;

	a.queries = task->queries;
	a.keys = task->keys;
	a.depth = task->depth;
	a.value_depth = task->value_depth;
	a.scale = task->scale;
	a.zero_unseeing = task->zero_unseeing;
	a.first = t.index % task->query_tiles * ATTENTION_ROWS;
	a.q = attention_rows(&t, task, ATTENTION_PART_Q, a.depth);
	a.k = attention_rows(&t, task, ATTENTION_PART_K, a.depth);
	a.v = attention_rows(&t, task, ATTENTION_PART_V, a.value_depth);
	a.mask = attention_rows(&t, task, ATTENTION_PART_MASK, a.keys);
	a.out = attention_rows(&t, task, ATTENTION_PART_OUT, a.value_depth);
	a.key_mask = a.mask.p && !a.mask.row;
	tile_begin(launch);
	return a;
}

/* The mask's value for a query and a key; nothing where one of them is not there. */
DEVICE float mask_value(const struct attention_tile *a, u32 query, u32 key)
{
	if (query >= a->queries || key >= a->keys)
		return 0.0f;
	return load_f32(a->mask.p, (u64)query * a->mask.row + key, a->mask.dtype);
}

/* A row that has seen nothing has the maximum -inf: exp(-inf - 0) is 0 as it should be. */
DEVICE float finite_max(float max)
{
	return max == NEVER_SEEN ? 0.0f : max;
}

/* What a row's sums are multiplied with in the end. sum 0: no key was seen; NaN: a score was. */
DEVICE float row_scale(float sum, u32 zero_unseeing)
{
	if (zero_unseeing && !(sum > 0.0f))
		return 0.0f;
	return 1.0f / sum;
}

#endif
