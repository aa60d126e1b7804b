/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks of pointwise and moving steps. A walk goes over elements in the order of the output's
 * memory: dims from the outermost in, one element stride per operand and dim (0: broadcast,
 * negative: backwards). Every tensor has fewer than 2^31 elements.
 */
#ifndef OOO_CUDA_TASK_MAP_H
#define OOO_CUDA_TASK_MAP_H

#include "agent/device/cuda/task.h"

#define MAP_THREADS  256
#define MAP_DIMS     16
#define MAP_OPERANDS 4

/* Dim d of a walk: its size, and each operand's stride. 32 bytes. */
struct map_dim {
	struct cuda_div by;
	int32_t stride[MAP_OPERANDS];
};

enum map_mode {
	MAP_QUADS,   /* fp32, fp16 and bf16: four neighbours of the innermost dim at a time */
	MAP_SINGLES, /* the same, one at a time */
	MAP_UNITS,   /* a copy of units of unit_bytes */
	MAP_PAD, /* dims are axes; stride[2] = elements in front, stride[3] = the input's size */
	MAP_INT, /* arithmetic, and functions of one operand */
	MAP_COMPARE_INT, /* comparisons, logic */
	MAP_COMPARE_FLOAT,
	MAP_WHERE, /* the condition is operand 1 */
	MAP_CAST,
};

#define MAP_QUAD_TILE   2048 /* elements of a tile, by what the kernel does */
#define MAP_UNIT_TILE   2048
#define MAP_UNIT16_TILE 1024
#define MAP_VALUE_TILE  1024

struct map_task {
	struct cuda_task head;
	uint32_t mode;       /* enum map_mode */
	uint32_t elems;      /* of the walk */
	uint32_t rank;       /* >= 1 */
	uint32_t unit_bytes; /* 1, 2, 4, 8, 16; 0: values of floats, which may differ in type */
	float alpha, beta;
	int32_t attr_mode;
	uint32_t pad_mode;
	uint64_t fill;            /* MAP_PAD: the constant's bits, in the output's type */
	uint32_t inner_stride[2]; /* of operands 1 and 2 along the innermost dim: 0 or 1 in quads */
	struct cuda_operand operand[MAP_OPERANDS]; /* 0 is the output */
	int32_t base[MAP_OPERANDS];                /* elements from the operand's begin */
	struct map_dim dim[MAP_DIMS];              /* the blob ends after `rank` of them */
};

#define TRANSPOSE_TILE   2048 /* elements at most */
#define TRANSPOSE_SHARED 3072 /* those with the padding that keeps banks apart */

/*
 * A copy in which neighbours of the output (along dim a) and neighbours of the input (along dim b)
 * are different ones: tiles of a_tile x b_tile elements go through shared memory.
 */
struct transpose_task {
	struct cuda_task head;
	struct cuda_operand out, in;
	uint32_t unit_bytes; /* 1, 2, 4, 8; 0: floats whose types differ */
	uint32_t a, b;       /* sizes */
	uint32_t a_tile, b_tile;
	int32_t a_stride; /* of the input */
	int32_t b_stride; /* of the output */
	int32_t out_base, in_base;
	uint32_t rank; /* of the other dims; their strides: output, input */
	uint32_t resv[2];
	struct cuda_div by_a_tile, by_b_tile, by_a_tiles, by_b_tiles;
	struct map_dim dim[MAP_DIMS];
};

#define GATHER_TILE   2048 /* units at most; rows_per_tile <= MAP_THREADS */
#define GATHER_TILE16 512  /* of units of 16 bytes */

/* out[outer][i][row] = table[outer][index[i]][row] */
struct gather_task {
	struct cuda_task head;
	struct cuda_operand out, table, index;
	uint32_t unit_bytes;     /* as in map_task */
	uint32_t rows;           /* outer * nr_index */
	uint32_t row;            /* units */
	uint32_t size;           /* rows of one outer's table */
	uint32_t rows_per_tile;  /* 1: a row may have several tiles */
	uint32_t units_per_tile; /* of one row */
	uint32_t resv[2];
	struct cuda_div by_index, by_tiles, by_units; /* indices; tiles of a row; units_per_tile */
	struct cuda_div resv2;
};

#ifndef __cplusplus
#include <stddef.h>

_Static_assert(sizeof(struct map_dim) == 32, "read by kernels");
_Static_assert(offsetof(struct map_task, operand) % 16 == 0, "read by kernels");
_Static_assert(offsetof(struct map_task, dim) % 16 == 0, "read by kernels");
_Static_assert(offsetof(struct transpose_task, dim) % 16 == 0, "read by kernels");
#endif

#endif
