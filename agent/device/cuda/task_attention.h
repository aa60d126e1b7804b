/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention: a tile is 64 queries of one head of one batch. Kernels differ in the type that they
 * multiply in and in the longest row that they hold: 64, 128 or 256 columns.
 */
#ifndef OOO_CUDA_TASK_ATTENTION_H
#define OOO_CUDA_TASK_ATTENTION_H

#include "agent/device/cuda/task.h"

#define ATTENTION_ROWS 64 /* queries of a tile */

enum attention_part {
	ATTENTION_PART_Q,
	ATTENTION_PART_K,
	ATTENTION_PART_V,
	ATTENTION_PART_MASK, /* place CUDA_NONE: there is none */
	ATTENTION_PART_OUT,
	ATTENTION_PARTS
};

struct attention_task {
	struct cuda_task head;
	struct cuda_operand operand[ATTENTION_PARTS];
	struct {
		uint32_t start, batch, head, row; /* elements */
	} at[ATTENTION_PARTS];
	uint32_t heads, queries, keys, depth, value_depth;
	uint32_t query_tiles;   /* of one head */
	float scale;            /* of scores, before the mask */
	uint32_t zero_unseeing; /* rows that see no key are 0, not NaN */
};

#endif
