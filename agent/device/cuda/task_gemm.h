/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks of gemm*.cu and repack.cu: convolutions and matrix products.
 *
 * Both are D[m][n] = sum over k of W[m][k] X[n][k], D transposed against the way it is stored: m
 * counts output channels, n pixels or rows, k = (kernel row, kernel column, input channel) with the
 * channels of one tap padded to whole 16-byte chunks. W comes packed: blocks of GEMM_ROWS rows and
 * GEMM_BLOCK_BYTES / GEMM_ROWS bytes of k, as they lie in shared memory, padded with zeros. X is
 * gathered from a channels-last tensor, one chunk at a time. Everything in 16-byte pieces, so X has
 * the compute type, and what has not is repacked into scratch by a phase before.
 */
#ifndef OOO_CUDA_TASK_GEMM_H
#define OOO_CUDA_TASK_GEMM_H

#include "agent/device/cuda/task.h"

#define GEMM_ROWS        64   /* of a block of packed weights */
#define GEMM_CHUNK       16   /* bytes */
#define GEMM_CHUNKS      8    /* of a block's row */
#define GEMM_BLOCK_BYTES 8192 /* GEMM_ROWS * GEMM_CHUNKS * GEMM_CHUNK */

/* Chunk c of row r of a block stands at chunk gemm_swizzle(r, c): columns of chunks are then free of
 * bank conflicts. */
#define gemm_swizzle(r, c) ((r)*GEMM_CHUNKS + ((c) ^ ((r)&7)))

enum gemm_type {
	GEMM_F32,  /* exact products and sums of fp32, FFMA */
	GEMM_TF32, /* fp32 in memory, rounded to tf32 */
	GEMM_F16,
	GEMM_BF16,
};

/* Where matrix product z of a task begins: groups of a convolution, batches. From the operands'. */
struct gemm_batch {
	int64_t x, w;    /* bytes */
	int64_t y, bias; /* elements */
};

#define GEMM_BIAS_BY_CHANNEL 1u /* bias strides other than bias_channel are 0 */
#define GEMM_LINEAR          2u /* pixel n is n * y_column elements from y_first; biases by channel */

/*
 * ooo_gemm_*: nr_z products of m x n. n counts (image, row, column) of the output's pixels. Tile
 * ((z * tiles_m + i) * splits + s) * tiles_n + j; split s sums blocks s * blocks_per_split on of k.
 * With more than one split, each writes its sums to `partial`, and the last to arrive (by `arrived`,
 * which it resets) adds them up, 0 first.
 */
struct gemm_task {
	struct cuda_task head;
	struct cuda_operand x, w, y, bias;
	struct cuda_operand partial; /* fp32, tile-sized pieces by (z, i, j, split) */
	struct cuda_operand arrived; /* a counter for each (z, i, j) */
	struct cuda_operand batch;   /* struct gemm_batch by z, if nr_z > 1 */
	uint32_t m, n, nr_z;
	uint32_t blocks; /* of k, in all */
	uint32_t tiles_m, splits, blocks_per_split, flags;
	struct cuda_div tiles_n;
	struct cuda_div plane, row;       /* pixels of an image, of a row of pixels */
	int32_t x_image, x_row, x_column; /* chunks of X from one to the next */
	uint32_t height, width;           /* of X: outside is zero */
	int32_t pad[2];                   /* (0, 0) of the output sees X at -pad */
	int32_t stride[2], dilation[2];
	uint32_t kernel[2];
	uint32_t chunks; /* of one tap */
	/* Elements of the output to the first, and from one to the next. */
	int64_t y_first, y_image, y_row, y_column, y_channel;
	int64_t bias_image, bias_row, bias_column, bias_channel;
	float alpha, beta; /* alpha * product + beta * bias */
};

/* Room in shared memory, after the ring: for the task, and for the biases of a tile's rows. */
#define GEMM_TASK_BYTES 512
#define GEMM_BIAS_BYTES 512

enum repack_to {
	REPACK_ROWS,   /* dense rows of whole chunks: an X */
	REPACK_BLOCKS, /* packed blocks: a W */
};

/*
 * ooo_repack: nr_z matrices of rows x columns, converted to `type`. Columns are (tap row, tap column,
 * channel), the channels of a tap padded with zeros to `padded`. Element (z, r, (a, b, c)) is read
 * at z * from_z + r * from_row + a * from_tap[0] + b * from_tap[1] + c * from_channel. A tile is 64
 * rows of 128 bytes; tile (z * row_tiles + i) * column_tiles + j.
 */
struct repack_task {
	struct cuda_task head;
	struct cuda_operand from, to;
	uint32_t type, to_kind; /* enum gemm_type, enum repack_to */
	uint32_t rows, columns; /* columns: taps * padded */
	uint32_t channels;
	uint32_t along_rows; /* neighbouring rows are neighbours in memory, not neighbouring channels */
	struct cuda_div padded, tap_columns;
	struct cuda_div row_tiles, column_tiles;
	int64_t from_z, from_row, from_tap[2], from_channel, from_base; /* elements */
	int64_t to_z;                                                   /* bytes */
};

#endif
