/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host writes and kernels read: layout only, C and CUDA C++.
 *
 * At program load every step becomes one or more tasks: blobs in device memory that begin with
 * struct cuda_task and go on with what their kernel needs (task_*.h, one a kernel family). They hold
 * shapes, the addresses of packed weights, and offsets; what differs from request to request comes
 * with the launch: the base of the request's workspace slot and the binding's table of addresses.
 *
 * A launch runs tasks of many tenants at once: a task is nr_tiles tiles, a tile is one thread block,
 * and the grid is the tiles of all entries one after another. How a task is cut into tiles follows
 * from its own shape alone, and so does every order of summation: a request's bits do not depend on
 * its neighbours.
 */
#ifndef OOO_CUDA_TASK_H
#define OOO_CUDA_TASK_H

#include <stdint.h>

#define CUDA_MAX_ENTRIES 120 /* of one launch: 4 KiB of kernel parameters */
#define CUDA_MAX_ITEMS   128 /* of one bundle */
#define CUDA_MAX_DIMS    8

enum cuda_place {
	CUDA_NONE = 0,  /* absent operand */
	CUDA_SLOT = 1,  /* at = byte offset into the request's workspace slot */
	CUDA_CONST = 2, /* at = device address */
	CUDA_IO = 3,    /* at = index into the binding's table of addresses */
};

/* Where a tensor begins. 16 bytes. */
struct cuda_operand {
	uint64_t at;
	uint8_t place; /* enum cuda_place */
	uint8_t dtype; /* enum ooo_dtype */
	uint16_t resv;
	uint32_t resv2;
};

#define CUDA_MAX_POST 4

/* A post-operation on a result in registers (fp32), before it is converted and stored. 32 bytes. */
struct cuda_post {
	uint32_t op;  /* enum ooo_op: unary activation, or ADD / MUL with operand */
	int32_t mode; /* as in struct post */
	float alpha, beta;
	struct cuda_operand operand; /* same shape and memory order as the output */
};

/* The head of every task; 16-byte aligned. */
struct cuda_task {
	uint32_t bytes;    /* of the whole blob, a multiple of 16 */
	uint32_t nr_tiles; /* thread blocks */
	uint32_t op;       /* enum ooo_op or OP_REORDER: what the step is */
	uint32_t nr_post;
	struct cuda_post post[CUDA_MAX_POST];
};

/* One task of one item of the bundle. 32 bytes. */
struct cuda_entry {
	uint64_t task;     /* device address of a struct cuda_task */
	uint64_t slot;     /* device address of the request's workspace slot */
	uint64_t io;       /* device address of the binding's table: uint64_t device addresses */
	uint32_t tile_end; /* tiles of this launch up to and including this entry's */
	uint32_t item;     /* index of the item in the bundle, for status[] */
};

/*
 * Completion record of a bundle, in host memory that the device writes after all results. The host
 * clears end_ns before; a bundle is complete when both words are there. They come in any order: to
 * order them would cost the device another round trip over the bus.
 */
struct cuda_record {
	uint64_t end_ns;                /* %globaltimer of the last block; never 0 */
	uint64_t done;                  /* cuda_done(): the bundle's number, and how long it took */
	uint8_t status[CUDA_MAX_ITEMS]; /* by item: 0 or enum ooo_status; cleared by the host */
};

/* seq << 32 | nanoseconds from the first launch's block 0 to the last block's end, 4.29 s at most. */
#define cuda_done(seq, ns)                                                                         \
	((uint64_t)(seq) << 32 | ((ns) < UINT32_MAX ? (uint32_t)(ns) : UINT32_MAX))

/* Progress of a bundle, in device memory; all zero between bundles. */
struct cuda_progress {
	uint64_t start_ns;
	uint32_t blocks_done;
	uint32_t resv;
};

#define CUDA_LAUNCH_FIRST 1u /* of its bundle: block 0 notes the time */
#define CUDA_LAUNCH_LAST  2u /* of its bundle: the last block writes the record */

/* The one parameter of every kernel. gridDim.x = tile_end of the last entry. */
struct cuda_launch {
	uint64_t record;   /* device address of the struct cuda_record */
	uint64_t progress; /* device address of the struct cuda_progress */
	uint32_t seq;      /* to write into the record */
	uint32_t flags;
	uint32_t nr_entries;
	uint32_t resv;
	struct cuda_entry entries[CUDA_MAX_ENTRIES];
};

/* Division by a number fixed at load: n / d for n < 2^31, 1 <= d < 2^31. */
struct cuda_div {
	uint32_t d, magic, shift, resv;
};

#ifndef __cplusplus
_Static_assert(sizeof(struct cuda_operand) == 16, "read by kernels");
_Static_assert(sizeof(struct cuda_task) == 16 + 32 * CUDA_MAX_POST, "read by kernels");
_Static_assert(sizeof(struct cuda_entry) == 32, "read by kernels");
_Static_assert(sizeof(struct cuda_launch) <= 4096, "fits kernel parameters");
#endif

#endif
