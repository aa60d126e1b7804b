/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program inside the agent: what the compiler makes of a tenant's encoding and what the devices
 * load. The compiler's passes, in order, one file each:
 *
 *   verify.c    untrusted bytes -> tensors and steps (everything checked, weights still in the memfd)
 *   simplify.c  what computes nothing goes away
 *   fold.c      steps whose operands are all constant are run now
 *   match.c     formulas that exporters emit become the operator that they stand for
 *   absorb.c    batch-norm and other factors and sums by channel go into the weights before them
 *   attend.c    attention becomes one step, where the device has a kernel for it
 *   fuse.c      activation and residual become post-operations of the step before
 *   layout.c    convolution nets run channels-last (or blocked) where the device likes that better;
 *               OP_REORDER steps where the layout changes
 *   precision.c intermediates in a lower precision, where that was permitted
 *   alias.c     copies that need not be made
 *   plan.c      liveness -> one offset in the workspace per intermediate
 *   deps.c      which steps must have been issued before which (data and workspace reuse)
 *   cost.c      roofline prior of each step's time
 *
 * A compiled program is immutable: any number of requests run it at once, each in a workspace slot.
 */
#ifndef OOO_AGENT_PROGRAM_H
#define OOO_AGENT_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "shared/abi/program.h"
#include "shared/lib/infer.h"

/* Steps that only the compiler creates; numbered after the ABI's operators. */
#define OP_REORDER   (OOO_OP_LIMIT + 0) /* same elements, out's layout differs from in's */
#define OP_ATTENTION (OOO_OP_LIMIT + 1) /* Q, K, V, [mask]: struct attention */
#define NR_STEP_OPS  (OOO_OP_LIMIT + 2)

enum layout {
	LAYOUT_PLAIN,   /* row-major, as the tenant declared it */
	LAYOUT_NHWC,    /* dims stay N,C,H,W; memory order N,H,W,C */
	LAYOUT_BLOCK16, /* N,C/16,H,W,16 with C rounded up to 16; the padding is zero */
};

enum place {
	PLACE_WORKSPACE, /* offset into the request's workspace slot */
	PLACE_INPUT,     /* input io of the binding */
	PLACE_OUTPUT,    /* output io of the binding */
	PLACE_CONST,     /* data */
	PLACE_NONE,      /* nobody reads or writes it any more */
};

#define TENSOR_ALIGN 64 /* bytes, of every workspace offset and constant */

struct tensor {
	struct shape shape;
	uint8_t layout; /* enum layout; inputs, outputs and constants are plain */
	uint8_t place;  /* enum place */
	uint32_t io;
	uint32_t alias_of; /* what moves nothing: the tensor whose memory it is; else OOO_NONE */
	size_t bytes;      /* in its layout */
	size_t offset;     /* PLACE_WORKSPACE: into the slot. Aliases share their origin's */
	const void *data;  /* PLACE_CONST: in the mapped memfd or in a const_block */
};

#define STEP_MAX_POST 4

/* A fused post-operation, applied to the step's result in order. */
struct post {
	uint32_t op;      /* an activation (unary pointwise), or ADD / MUL with another tensor */
	uint32_t operand; /* tensor id for ADD / MUL (same shape as the output, or broadcast to it) */
	float alpha, beta;
	int32_t mode;
};

/*
 * Scaled dot-product attention, by batch, head and query i over keys j:
 *
 *	out[i] = softmax_j(scale * Q[i] . K[j] + mask[i, j]) V[j]
 *
 * Each tensor is read and written where it lies, whatever its shape says: at[] gives the elements
 * from one batch, head and row to the next (0: all share it). Columns are neighbours.
 */
enum attention_operand {
	ATTENTION_Q,    /* a row is a query, `depth` columns */
	ATTENTION_K,    /* a row is a key, `depth` columns */
	ATTENTION_V,    /* a row is a key, `value_depth` columns */
	ATTENTION_MASK, /* a row is a query, `keys` columns */
	ATTENTION_OUT,  /* a row is a query, `value_depth` columns */
	ATTENTION_OPERANDS
};

#define ATTENTION_MAX_DEPTH 256

struct attention {
	int32_t batch, heads, queries, keys, depth, value_depth;
	float scale;
	uint32_t zero_unseeing; /* a query that sees no key results in 0, not in NaN */
	struct attention_at {
		int64_t start, batch, head, row;
	} at[ATTENTION_OPERANDS];
};

struct step {
	uint32_t op; /* enum ooo_op, OP_REORDER or OP_ATTENTION */
	uint16_t nr_in, nr_out;
	uint16_t nr_post;
	uint8_t klass; /* enum kernel_class */
	union {
		struct ooo_attr attr;
		struct attention attention; /* OP_ATTENTION */
	};
	struct post post[STEP_MAX_POST];
	uint32_t *in, *out; /* tensor ids, OOO_NONE for an absent operand; bias is operand 2 */
	uint32_t nr_deps; /* steps that must be issued (same lane) or complete (other lane) before */
	uint32_t nr_succ; /* successors: succ[] */
	uint32_t *succ;
	uint64_t flops, traffic_bytes;
	uint32_t cost_ns; /* prior; the flow learns the real one */
	char name[48];    /* "Conv 12", for messages and traces */
};

struct program {
	char name[OOO_NAME_BYTES];
	struct tensor *tensors;
	uint32_t nr_tensors;
	struct step *steps;
	uint32_t nr_steps;
	uint32_t nr_ops; /* before the compiler */
	uint32_t nr_inputs, nr_outputs;
	uint32_t *inputs, *outputs; /* tensor ids by io */
	size_t workspace_bytes;     /* planned peak, one slot */
	size_t tensor_bytes;        /* sum of the intermediates without the plan */
	size_t weight_bytes;        /* constants that steps still read */
	uint64_t share_key; /* devices may keep equal weights of programs with this key once; 0: no */
	uint8_t precision; /* enum ooo_dtype that products compute in; 0: as declared */
	void *map;         /* the tenant's sealed memfd, read-only */
	size_t map_bytes;
	struct const_block *const_blocks; /* constants made by folding, owned */
};

struct compile_opts {
	const struct device_caps *caps; /* what the device prefers; NULL: plain layouts */
	/* enum ooo_dtype that the tenant permits to compute in; 0: as declared. A permission and no
	 * command: a device that does not list it in its caps computes in fp32 all the same. */
	uint8_t precision;
	uint64_t max_weight_bytes; /* quotas; 0 = none */
	uint64_t max_workspace_bytes;
	/* Runs one step on plain buffers, for constant folding: the cpu device's. NULL: do not fold. */
	int (*eval)(const struct step *step, const struct tensor *tensors, const void *const *in,
		    void *const *out);
};

/*
 * Compile the program in fd (a sealed memfd of `bytes` bytes, checked here) into *out. Returns 0, or
 * -EINVAL (malformed or unsupported), -EDQUOT, -ENOMEM, with a sentence in why that names the step.
 * The descriptor is not kept.
 */
int program_compile(int fd, uint64_t bytes, const struct compile_opts *opts, struct program **out,
		    char *why, size_t why_bytes);

/* The same from memory that cannot change and that outlives the program: tests and fuzzers. */
int program_compile_mem(const void *data, uint64_t bytes, const struct compile_opts *opts,
			struct program **out, char *why, size_t why_bytes);

void program_free(struct program *program);

/* A listing for people: steps, shapes, layouts, offsets, costs. */
void program_print(const struct program *program, void *file);

/* Follow alias_of to the tensor that owns the memory. */
static inline const struct tensor *tensor_origin(const struct program *p, uint32_t id)
{
	while (p->tensors[id].alias_of != OOO_NONE)
		id = p->tensors[id].alias_of;
	return &p->tensors[id];
}

#endif
