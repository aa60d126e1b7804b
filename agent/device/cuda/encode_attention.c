// SPDX-License-Identifier: Apache-2.0
/* An attention step: one task, whose kernel follows from the type to compute in and the depth. */
#include <errno.h>
#include <stdio.h>

#include "agent/device/cuda/cuda.h"
#include "agent/device/cuda/task_attention.h"

static uint32_t dtype_of(const struct program *p, const struct step *s, unsigned k)
{
	return p->tensors[s->in[k]].shape.dtype;
}

/* fp16 or bf16 where that was permitted, or is how Q, K and V are declared; else fp32. */
static uint32_t compute_dtype(const struct program *p, const struct step *s)
{
	uint32_t dtype = p->precision;

	if (dtype != OOO_FP16 && dtype != OOO_BF16) {
		dtype = dtype_of(p, s, ATTENTION_Q);
		if (dtype != dtype_of(p, s, ATTENTION_K) || dtype != dtype_of(p, s, ATTENTION_V))
			return OOO_FP32;
	}
	return dtype;
}

static enum cuda_kernel choose_kernel(const struct program *p, const struct step *s)
{
	static const enum cuda_kernel table[3][3] = {
		{ KERNEL_ATTENTION_FP32_64, KERNEL_ATTENTION_FP32_128, KERNEL_ATTENTION_FP32_256 },
		{ KERNEL_ATTENTION_F16_64, KERNEL_ATTENTION_F16_128, KERNEL_ATTENTION_F16_256 },
		{ KERNEL_ATTENTION_BF16_64, KERNEL_ATTENTION_BF16_128, KERNEL_ATTENTION_BF16_256 },
	};
	const struct attention *a = &s->attention;
	int32_t depth = a->depth > a->value_depth ? a->depth : a->value_depth;
	uint32_t dtype = compute_dtype(p, s);
	int type = dtype == OOO_FP16 ? 1 : dtype == OOO_BF16 ? 2 : 0;

	return table[type][depth <= 64 ? 0 : depth <= 128 ? 1 : 2];
}

static int check(const struct step *s, uint64_t tiles, char *why, size_t n)
{
	const struct attention *a = &s->attention;

	if (s->nr_post)
		snprintf(why, n, "attention with post-operations");
	else if (a->depth > ATTENTION_MAX_DEPTH || a->value_depth > ATTENTION_MAX_DEPTH)
		snprintf(why, n, "attention heads of more than %d columns", ATTENTION_MAX_DEPTH);
	else if (tiles > INT32_MAX)
		snprintf(why, n, "attention of %llu times 64 queries", (unsigned long long)tiles);
	else
		return 0;
	return -EOPNOTSUPP;
}

int encode_attention(struct cuda_plan *plan, const struct step *s, char *why, size_t n)
{
	const struct program *p = plan_program(plan);
	const struct attention *a = &s->attention;
	uint32_t query_tiles = ((uint32_t)a->queries + ATTENTION_ROWS - 1) / ATTENTION_ROWS;
	uint64_t tiles = (uint64_t)a->batch * (uint64_t)a->heads * query_tiles;
	struct attention_task t = {
		.heads = (uint32_t)a->heads,
		.queries = (uint32_t)a->queries,
		.keys = (uint32_t)a->keys,
		.depth = (uint32_t)a->depth,
		.value_depth = (uint32_t)a->value_depth,
		.query_tiles = query_tiles,
		.scale = a->scale,
		.zero_unseeing = a->zero_unseeing,
	};
	int err = check(s, tiles, why, n);

	if (err)
		return err;
	err = plan_task_head(plan, s, &t.head);
	if (err)
		return err;
	t.head.nr_tiles = (uint32_t)tiles;
	for (unsigned k = 0; k < ATTENTION_OPERANDS; k++) {
		uint32_t id = k == ATTENTION_OUT ? s->out[0] : k < s->nr_in ? s->in[k] : OOO_NONE;

		t.operand[k] = plan_operand(plan, id);
		t.at[k].start = (uint32_t)a->at[k].start;
		t.at[k].batch = (uint32_t)a->at[k].batch;
		t.at[k].head = (uint32_t)a->at[k].head;
		t.at[k].row = (uint32_t)a->at[k].row;
	}
	return plan_task(plan, choose_kernel(p, s), &t, sizeof(t));
}

_Static_assert((int)ATTENTION_PARTS == (int)ATTENTION_OPERANDS &&
		       (int)ATTENTION_PART_OUT == (int)ATTENTION_OUT,
	       "the task's operands are the step's");
