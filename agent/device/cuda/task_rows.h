/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks of the kernels in rows.cu: normalisations, softmax, reductions. */
#ifndef OOO_CUDA_TASK_ROWS_H
#define OOO_CUDA_TASK_ROWS_H

#include "agent/device/cuda/task.h"

#define ROWS_THREADS       256
#define ROWS_VALUES        32 /* elements of a line that a lane keeps in registers, if wide */
#define ROWS_VALUES_NARROW 16 /* if not */

/*
 * ooo_rows: lines of n contiguous elements, each done by `lanes` neighbouring threads: a power of two
 * up to 32, or the whole block. A tile is ROWS_THREADS / lanes lines. A line of more than a lane's
 * values is read once a pass instead of once. wide (n % 8 == 0): a lane owns runs of 8 elements.
 */
struct rows_task {
	struct cuda_task head;
	struct cuda_operand x, y, scale, shift; /* the last two of the normalisations */
	uint32_t rows, n, lanes, wide;
	float epsilon;
	uint32_t by_row; /* scale and shift are by row % channels, not by element */
	uint32_t resv[2];
	struct cuda_div channels;
};

#define COLUMNS_WIDTH 32 /* lines of a tile; ROWS_THREADS / COLUMNS_WIDTH lanes a line */

/*
 * ooo_columns: the same for lines of n elements that are `inner` elements apart; line k begins at
 * k / inner * n * inner + k % inner. scale and shift are by k % channels.
 */
struct columns_task {
	struct cuda_task head;
	struct cuda_operand x, y, scale, shift;
	uint32_t lines, n;
	float epsilon;
	uint32_t resv;
	struct cuda_div inner, channels;
};

#define CHANNELS_RUN 8 /* elements of a thread */

/* ooo_channels: BatchNorm and LRN, element by element. The channel of element e is
 * e / plane % channels. */
struct channels_task {
	struct cuda_task head;
	struct cuda_operand x, y;
	struct cuda_operand scale, shift, mean, var; /* BatchNorm */
	uint32_t elems;
	uint32_t ready; /* BatchNorm: scale has been divided by the deviation, var is not read */
	uint32_t below, above;   /* LRN: channels of the window on either side */
	float alpha, beta, bias; /* LRN: alpha is divided by the size. BatchNorm: alpha = epsilon */
	uint32_t resv;
	struct cuda_div plane, channels;
};

#define REDUCE_AXES 4 /* kept and reduced axes alternate once neighbours are merged */

/* Some axes of a tensor, outermost first. Index i of theirs is so many elements from the start. */
struct reduce_axes {
	uint32_t rank, count; /* rank 0: one element */
	uint32_t resv[2];
	uint32_t stride[REDUCE_AXES]; /* elements */
	struct cuda_div dims[REDUCE_AXES];
};

enum reduce_kind {
	REDUCE_KIND_SUM,
	REDUCE_KIND_EXTREME,
	REDUCE_KIND_ARG,
};

/*
 * ooo_reduce: output element k is the reduction over all r of x[kept(k) + reduced(r)], done by `lanes`
 * threads (a power of two, at most ROWS_THREADS). across: neighbouring threads are neighbours in r,
 * otherwise in k. Split s of `splits` takes r from s * chunk on and writes element k * splits + s of y;
 * a later phase sums those up.
 */
struct reduce_task {
	struct cuda_task head;
	struct cuda_operand x, y;
	uint32_t kind; /* enum reduce_kind */
	uint32_t flip; /* minimum instead of maximum */
	uint32_t last; /* ARG: of equals the last */
	uint32_t lanes_log, across;
	uint32_t splits, chunk;
	uint32_t divide; /* SUM: by this in the end */
	struct cuda_div by_splits;
	struct reduce_axes kept, reduced;
};

#endif
