/* SPDX-License-Identifier: Apache-2.0 */
/* What the encoders of rows and windows share. */
#ifndef OOO_CUDA_ENCODE_ROWS_H
#define OOO_CUDA_ENCODE_ROWS_H

#include "agent/device/cuda/cuda.h"

static inline bool dtype_is_real(uint32_t dtype)
{
	return dtype == OOO_FP32 || dtype == OOO_FP16 || dtype == OOO_BF16;
}

static inline bool step_has(const struct step *step, unsigned i)
{
	return i < step->nr_in && step->in[i] != OOO_NONE;
}

static inline uint32_t blocks_of(uint64_t n, uint32_t each)
{
	return (uint32_t)((n + each - 1) / each);
}

/* The smallest power of two that is not less than n, as its logarithm. */
static inline uint32_t log2_up(uint64_t n)
{
	return n <= 1 ? 0 : 64 - (uint32_t)__builtin_clzll(n - 1);
}

/* Elements of the tensor; -EOPNOTSUPP if there are too many for 32-bit indices. */
int rows_elems(const struct tensor *t, uint32_t *elems, char *why, size_t why_bytes);
/* Element strides of a tensor in its layout, by logical axis; fewer than 2^31 elements. */
void rows_strides(const struct tensor *t, uint32_t *strides);
/* -EOPNOTSUPP unless the layout is plain, or channels last with rank 4. */
int rows_check_layout(const struct tensor *t, char *why, size_t why_bytes);
/* -EOPNOTSUPP unless every operand that is there is fp32, fp16 or bf16. */
int rows_check_real(const struct program *p, const struct step *step, char *why, size_t why_bytes);

/* -EOPNOTSUPP unless the post-operations' operands have the output's shape and memory order. */
int rows_check_posts(const struct program *p, const struct step *step, char *why, size_t why_bytes);

/* Reductions, ArgMax and ArgMin, and global pooling, which is a reduction as well. */
int encode_reduce(struct cuda_plan *plan, const struct step *step, char *why, size_t why_bytes);

#endif
