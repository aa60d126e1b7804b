/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps as oneDNN primitives. Each chunk of a step is a primitive of its own, created and executed
 * with one thread. Memory objects carry addresses, which differ from request to request, so every
 * worker has its own; packed weights are shared by all chunks that agree on their layout.
 */
#ifndef OOO_AGENT_ONEDNN_H
#define OOO_AGENT_ONEDNN_H

#include "agent/device/cpu/arena.h"
#include "agent/device/cpu/cpu.h"
#include "agent/device/cpu/dnnl_compat.h"
#include "agent/device/cpu/kernels.h"

#define CHUNK_MAX_ARGS 12

struct onednn {
	dnnl_engine_t engine;
	dnnl_stream_t streams[CPU_MAX_THREADS];
	unsigned workers;
};

/* Where an argument's address comes from at run time. */
enum arg_source {
	ARG_IN,      /* step->in[index] */
	ARG_OUT,     /* step->out[index] */
	ARG_POST,    /* the operand of step->post[index] */
	ARG_SCRATCH, /* the worker's scratch memory */
	ARG_FIXED,   /* packed weights, bias: set at load, the same for all workers */
};

struct chunk_arg {
	int arg; /* DNNL_ARG_* */
	uint8_t source;
	uint8_t index;
	size_t offset;      /* bytes, added to the address */
	dnnl_memory_t *mem; /* one per worker; ARG_FIXED: one */
};

/* Part of a tensor that stands densely in scratch while the primitive runs. */
struct chunk_copy {
	uint8_t source, index; /* ARG_POST: copied in before; ARG_OUT: copied out after */
	size_t offset, stride; /* bytes to the first row, from row to row */
	size_t bytes, rows;    /* of a row, how many */
	size_t scratch;        /* bytes into scratch */
};

struct onednn_chunk {
	dnnl_primitive_t prim;
	unsigned nr_args;
	struct chunk_arg args[CHUNK_MAX_ARGS];
	/* Before the primitive: copy these rows of the plain input 0 to scratch, channels last. */
	struct {
		int64_t images; /* 0: nothing to copy */
		size_t offset;  /* elements into the input: the first image, its first row */
		int64_t channels, height, width, rows;
	} gather;
	/* Elements of the output's memory that the chunk writes: runs of len, stride apart. */
	struct {
		int64_t from, len, stride, runs;
	} written;
	unsigned nr_copies;
	struct chunk_copy copies[1 + STEP_MAX_POST];
};

struct packed {
	dnnl_memory_t mem;
	size_t bytes;
	unsigned key; /* which constant (or part of one) it holds */
};

struct onednn_step {
	unsigned workers;
	unsigned nr_chunks;
	struct onednn_chunk *chunks;
	int nr_post;        /* post-operations in the primitives */
	struct step rest;   /* a copy of the step with the others, for kernel_post() */
	unsigned nr_packed; /* distinct packed weights, and the bias copies */
	struct packed *packed;
};

/* One step while its primitives are being made. */
struct prim_build {
	struct onednn *o;
	const struct program *program;
	const struct step *step;
	const struct tensor *tensors;
	int nr_post; /* of the step's, to be done by the primitives */
	unsigned threads;
	struct arena *arena; /* for packed weights */
	struct onednn_step *out;
};

int onednn_open(unsigned workers, struct onednn **out);
void onednn_close(struct onednn *o);
/* This thread's primitives use one thread from now on. */
void onednn_single_thread(void);

/*
 * Make the step's primitives, with weights in the arena. 0; -EOPNOTSUPP: oneDNN has nothing for it,
 * a plain kernel must do; -ENOMEM.
 */
int onednn_load(struct onednn *o, const struct program *program, const struct step *step,
		unsigned threads, struct arena *arena, struct onednn_step **out);
void onednn_unload(struct onednn_step *s);
size_t onednn_packed_bytes(const struct onednn_step *s);

/* Run one chunk with the step's operands. OOO_OK, or why oneDNN failed. */
enum ooo_status onednn_run(struct onednn *o, const struct onednn_step *s, unsigned chunk,
			   unsigned worker, const struct kernel_args *k);

/* For onednn_*.c: add chunks and their arguments. All return 0 or a dnnl_status_t. */
struct onednn_chunk *build_chunk(struct prim_build *b);
int build_arg(struct prim_build *b, struct onednn_chunk *c, int arg, md_arg md,
	      enum arg_source source, unsigned index, size_t offset);
/* Constant data, times scale, in the primitive's own layout; made once per key and layout. The data
 * must be dense unless scale is 1. */
int build_packed(struct prim_build *b, struct onednn_chunk *c, int arg, md_arg want, md_arg have,
		 const void *data, float scale, unsigned key);
/* -EOPNOTSUPP: oneDNN offers only its reference code, which is slower than plain kernels. */
int build_check(dnnl_primitive_desc_t pd);
/* Create the primitive and its scratchpad, which starts at scratch_offset. */
int build_primitive(struct prim_build *b, struct onednn_chunk *c, dnnl_primitive_desc_t pd,
		    size_t scratch_offset);
const void *build_const(const struct prim_build *b, uint32_t tensor); /* NULL: not a constant */

/*
 * A chunk's part of the output, for the post-operations' operands: dims and strides as the primitive
 * sees them and where the part starts in the whole output. One of the axes is the channels' (the
 * columns' of a product).
 */
struct post_view {
	int nr_dims;
	dnnl_dim_t from[OOO_MAX_RANK], dims[OOO_MAX_RANK], strides[OOO_MAX_RANK];
	int channel;      /* which of these it is */
	int channel_axis; /* which axis of the output tensor */
	bool accumulate; /* the caller can put a tensor that is added first into the output before */
};

/* The step's post-operations as oneDNN has them. */
struct post_plan {
	int nr;                       /* dnnl post-ops so far */
	int arg_index[STEP_MAX_POST]; /* dnnl index of each with a tensor; -1 */
	bool full[STEP_MAX_POST];     /* operand has the output's shape: moves with the chunk */
	size_t offset[STEP_MAX_POST]; /* bytes into one that has not */
	md_t md[STEP_MAX_POST];
	bool accumulates; /* the first one is such an addition and has no argument */
};

#define POST_PLAN_INIT                                                                             \
	{                                                                                          \
		.arg_index = { -1, -1, -1, -1 }                                                    \
	}

/* Attributes with the step's post-operations. -EOPNOTSUPP: one of them does not map. */
int build_attr(struct prim_build *b, const struct post_view *view, struct post_plan *plan,
	       dnnl_primitive_attr_t *attr);
/* Their operands; full ones start at offset. */
int build_post_args(struct prim_build *b, struct onednn_chunk *c, struct post_plan *plan,
		    size_t offset);
/* One of them. */
int build_post_arg(struct prim_build *b, struct onednn_chunk *c, struct post_plan *plan, int i,
		   enum arg_source source, size_t offset);
void post_plan_drop(struct post_plan *plan);

/* One file a family; 0, -EOPNOTSUPP or a dnnl_status_t > 0 (also: not supported). */
int onednn_conv(struct prim_build *b);
int onednn_matmul(struct prim_build *b);
int onednn_pool(struct prim_build *b);
int onednn_norm(struct prim_build *b);

#endif
