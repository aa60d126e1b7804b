/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the parts of the matrix products' encoder:
 *
 *   encode_gemm.c         the operator's way; operands made ready; tiles, splits and tasks
 *   encode_gemm_conv.c    convolutions and transposed ones as products
 *   encode_gemm_matmul.c  MatMul as products
 *   pack.c                constant weights on the host
 */
#ifndef OOO_CUDA_ENCODE_GEMM_H
#define OOO_CUDA_ENCODE_GEMM_H

#include "agent/device/cuda/cuda.h"
#include "agent/device/cuda/task_gemm.h"

/*
 * An operand as matrices: element (z, row, (a, b, channel)) of tensor id is at
 * base + z * z_stride + row * row_stride + a * tap_stride[0] + b * tap_stride[1] + channel *
 * channel_stride, in elements. What the columns mean is the caller's: taps of a kernel, or groups.
 *
 * A constant with diagonal > 1 is so many equal parts of rows by as many parts of channels: only the
 * channels of a row's own part are there, and counted from the part's first; the others are zero.
 */
struct gemm_matrix {
	uint32_t id;
	uint32_t nr_z, rows, taps[2], channels, diagonal;
	int64_t base, z_stride, row_stride, tap_stride[2], channel_stride;
};

/* An X ready to be gathered: in chunks from one to the next. */
struct gemm_x {
	struct cuda_operand at;
	int64_t z, row, tap; /* tap: the second, which counts groups */
	uint32_t chunks;     /* of the channels of one tap */
};

/* A W ready: blocks of k, and bytes from one z to the next. */
struct gemm_w {
	struct cuda_operand at;
	uint32_t blocks;
	int64_t z;
};

struct gemm_build {
	struct cuda_plan *plan;
	const struct program *p;
	const struct step *step;
	enum gemm_type type;
	uint32_t per_chunk; /* elements */
	bool repacked;      /* a phase before the products makes operands ready */
	char *why;
	size_t why_bytes;
};

/* A product to be encoded: task with all but head, tiles and splits filled in. */
struct gemm_product {
	struct gemm_task task;
	struct gemm_batch *batch; /* nr_z of them, if more than one; or NULL */
};

/* A kernel and how it cuts products up. */
struct gemm_tiling {
	enum cuda_kernel kernel;
	uint32_t bm, bn;
	uint32_t sums;       /* fp32 numbers of a tile on their way between splits */
	uint32_t want_tiles; /* k is split until there are so many */
	uint32_t min_blocks; /* of k, in one split */
};

/* ---- encode_gemm.c ---- */

/* Operands made ready: constants now, others by a phase before the products if they must change.
 * reads: how often each element of x is read. */
int gemm_take_x(struct gemm_build *b, const struct gemm_matrix *m, uint64_t reads,
		struct gemm_x *x);
int gemm_take_w(struct gemm_build *b, const struct gemm_matrix *m, struct gemm_w *w);
/* Add the products' tasks, side by side. */
int gemm_emit(struct gemm_build *b, struct gemm_product *products, unsigned nr);
/* By the product's own shape alone. */
void gemm_choose(enum gemm_type type, uint32_t m, uint32_t n, uint32_t nr_z,
		 struct gemm_tiling *tiling);
void gemm_split(struct gemm_task *task, const struct gemm_tiling *tiling);
int gemm_refuse(struct gemm_build *b, const char *clause);

int gemm_conv(struct gemm_build *b);   /* encode_gemm_conv.c */
int gemm_matmul(struct gemm_build *b); /* encode_gemm_matmul.c */

/* ---- pack.c ---- */

uint32_t gemm_per_chunk(enum gemm_type type); /* elements of GEMM_CHUNK bytes */
/* Blocks of k that the columns of m fill. */
uint64_t gemm_blocks(const struct gemm_matrix *m, enum gemm_type type);
/* Bytes of m packed, of one z. */
uint64_t gemm_packed_bytes(const struct gemm_matrix *m, enum gemm_type type);
/* data: the tensor's elements of this dtype. to: gemm_packed_bytes() * nr_z of zeros. -ENOMEM. */
int gemm_pack(const struct gemm_matrix *m, enum gemm_type type, const void *data, uint32_t dtype,
	      void *to);

#endif
