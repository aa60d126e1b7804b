// SPDX-License-Identifier: Apache-2.0
/* Which plain kernel runs a step, and into how many chunks it is cut. */
#include "agent/device/cpu/kernels.h"

#include <stdio.h>

#include "agent/device/cpu/kernels_impl.h"

#define CHUNK_COST 32768 /* elementary operations of a chunk at least */
#define MAX_CHUNKS 8
#define LINE_ELEMS 16 /* chunks begin at multiples of this, so that they share no cache line */

struct kernel {
	range_fn range; /* one of the two */
	whole_fn whole;
	unsigned cost; /* elementary operations an output element, beyond what rows() adds */
	bool layouts;  /* runs on channels-last images too */
};

static const struct kernel *find(uint32_t op)
{
	static const struct kernel binary = { .range = kernel_binary, .cost = 1, .layouts = true };
	static const struct kernel compare = { .range = kernel_compare,
					       .cost = 1,
					       .layouts = true };
	static const struct kernel unary = { .range = kernel_unary, .cost = 8, .layouts = true };
	static const struct kernel reduce = { .range = kernel_reduce, .cost = 1, .layouts = true };
	static const struct kernel extreme = { .range = kernel_arg_extreme,
					       .cost = 1,
					       .layouts = true };
	static const struct kernel pool = { .range = kernel_pool, .cost = 4, .layouts = true };
	static const struct kernel softmax = { .whole = kernel_softmax };
	static const struct kernel blocks = { .range = kernel_blocks, .cost = 1 };
	static const struct kernel table[NR_STEP_OPS] = {
		[OOO_OP_CONV] = { .range = kernel_conv, .cost = 4, .layouts = true },
		[OOO_OP_CONV_TRANSPOSE] = { .range = kernel_conv_transpose,
					    .cost = 4,
					    .layouts = true },
		[OOO_OP_MATMUL] = { .range = kernel_matmul, .cost = 1 },
		[OOO_OP_BATCH_NORM] = { .range = kernel_batch_norm, .cost = 8, .layouts = true },
		[OOO_OP_LAYER_NORM] = { .whole = kernel_layer_norm },
		[OOO_OP_LRN] = { .range = kernel_lrn, .cost = 40, .layouts = true },
		[OOO_OP_INSTANCE_NORM] = { .whole = kernel_instance_norm, .layouts = true },
		[OOO_OP_WHERE] = { .range = kernel_where, .cost = 4, .layouts = true },
		[OOO_OP_CAST] = { .range = kernel_cast, .cost = 4, .layouts = true },
		[OOO_OP_IDENTITY] = { .range = kernel_copy, .cost = 1, .layouts = true },
		[OOO_OP_RESHAPE] = { .range = kernel_copy, .cost = 1 },
		[OP_REORDER] = { .range = kernel_reorder, .cost = 1, .layouts = true },
		[OOO_OP_CONCAT] = { .whole = kernel_concat, .layouts = true },
		[OOO_OP_SPLIT] = { .whole = kernel_split },
		[OOO_OP_SLICE] = { .range = kernel_slice, .cost = 1 },
		[OOO_OP_PAD] = { .range = kernel_pad, .cost = 8 },
		[OOO_OP_TRANSPOSE] = { .range = kernel_transpose, .cost = 2 },
		[OOO_OP_EXPAND] = { .range = kernel_expand, .cost = 1 },
		[OOO_OP_TILE] = { .range = kernel_tile, .cost = 1 },
		[OOO_OP_GATHER] = { .range = kernel_gather, .cost = 1 },
		[OOO_OP_RESIZE] = { .range = kernel_resize, .cost = 40, .layouts = true },
		[OOO_OP_LSTM] = { .whole = kernel_lstm },
		[OOO_OP_GRU] = { .whole = kernel_gru },
	};
	const struct op_info *info;

	if (op < NR_STEP_OPS && (table[op].range || table[op].whole))
		return &table[op];
	switch (op) {
	case OOO_OP_SOFTMAX:
	case OOO_OP_LOG_SOFTMAX:
		return &softmax;
	case OOO_OP_DEPTH_TO_SPACE:
	case OOO_OP_SPACE_TO_DEPTH:
		return &blocks;
	case OOO_OP_ARG_MAX:
	case OOO_OP_ARG_MIN:
		return &extreme;
	case OOO_OP_PRELU:
		return &binary;
	}
	if (op >= OOO_OP_ADD && op <= OOO_OP_MAX)
		return &binary;
	if (op >= OOO_OP_EQUAL && op <= OOO_OP_GREATER_EQUAL)
		return &compare;
	info = op_info(op);
	if (!info)
		return NULL;
	switch (info->klass) {
	case CLASS_POINTWISE:
		return &unary;
	case CLASS_POOL:
		return &pool;
	case CLASS_REDUCE:
		return &reduce;
	default:
		return NULL;
	}
}

static bool layout_ok(const struct kernel *k, const struct step *step, const struct tensor *t)
{
	if (t->layout == LAYOUT_PLAIN || step->op == OP_REORDER)
		return true;
	return k->layouts && t->layout == LAYOUT_NHWC;
}

/* Kernels that walk input and output memory side by side need them laid out alike. */
static bool same_memory(uint32_t op)
{
	switch (op) {
	case OOO_OP_IDENTITY:
	case OOO_OP_CAST:
	case OOO_OP_LRN:
	case OOO_OP_INSTANCE_NORM:
		return true;
	default:
		return find(op)->range == kernel_unary;
	}
}

/* An image of one pixel, or of one channel, is the same memory in both layouts. */
static bool alike(const struct tensor *a, const struct tensor *b)
{
	const int64_t *d = a->shape.dims;

	return a->layout == b->layout ||
	       (a->shape.rank == 4 && (d[1] == 1 || (d[2] == 1 && d[3] == 1)));
}

bool kernel_supports(const struct step *step, const struct tensor *tensors, char *why,
		     size_t why_bytes)
{
	const struct kernel *k = find(step->op);

	if (!k) {
		snprintf(why, why_bytes, "there is no kernel for operator %u", step->op);
		return false;
	}
	for (unsigned i = 0; i < step->nr_in + step->nr_out; i++) {
		uint32_t id = i < step->nr_in ? step->in[i] : step->out[i - step->nr_in];

		if (id != OOO_NONE && !layout_ok(k, step, &tensors[id])) {
			snprintf(why, why_bytes,
				 "operand %u has a layout that the kernel does not know", i);
			return false;
		}
	}
	if (same_memory(step->op) && !alike(&tensors[step->in[0]], &tensors[step->out[0]])) {
		snprintf(why, why_bytes, "input and output have different layouts");
		return false;
	}
	if (step->nr_post && tensors[step->out[0]].shape.dtype != OOO_FP32) {
		snprintf(why, why_bytes, "post-operations need fp32");
		return false;
	}
	return true;
}

/* What a range kernel counts: mostly the first output's elements. */
static int64_t units(const struct step *step, const struct tensor *tensors, int64_t *per_unit)
{
	const struct tensor *y = &tensors[step->out[0]];
	int64_t elems = tensor_elems(y);
	const struct tensor *x = &tensors[step->in[0]];

	*per_unit = 1;
	switch (step->op) {
	case OP_REORDER: /* images */
		*per_unit = y->shape.dims[0] ? elems / y->shape.dims[0] : 1;
		return y->shape.dims[0];
	case OOO_OP_GATHER: /* rows of the table */
		for (int i = step->attr.axis + 1; i < x->shape.rank; i++)
			*per_unit *= x->shape.dims[i];
		return *per_unit ? elems / *per_unit : 0;
	case OOO_OP_MATMUL:
		*per_unit = x->shape.dims[x->shape.rank - 1];
		return elems;
	case OOO_OP_CONV:
	case OOO_OP_CONV_TRANSPOSE:
		*per_unit = tensor_elems(&tensors[step->in[1]]) / max64(1, y->shape.dims[1]);
		return elems;
	default:
		/* Reductions and pools read more than they write. */
		*per_unit = max64(1, elems ? tensor_elems(x) / elems : 1);
		return elems;
	}
}

unsigned kernel_chunks(const struct step *step, const struct tensor *tensors)
{
	const struct kernel *k = find(step->op);
	int64_t per_unit, n;
	double cost;

	if (!k || k->whole)
		return 1;
	n = units(step, tensors, &per_unit);
	cost = (double)n * (double)per_unit * (double)k->cost;
	if (cost / CHUNK_COST < 2)
		return 1;
	n = min64(n, (int64_t)min64(MAX_CHUNKS, (int64_t)(cost / CHUNK_COST)));
	return n < 1 ? 1 : (unsigned)n;
}

size_t kernel_scratch_bytes(const struct step *step, const struct tensor *tensors)
{
	if (step->op == OOO_OP_LSTM || step->op == OOO_OP_GRU)
		return kernel_rnn_scratch(step, tensors);
	return 0;
}

static int64_t boundary(int64_t n, unsigned chunk, unsigned nr)
{
	int64_t at = n * chunk / nr;

	if (chunk == nr)
		return n;
	return n >= (int64_t)nr * LINE_ELEMS ? at / LINE_ELEMS * LINE_ELEMS : at;
}

/* Post-operations count elements; kernels that count rows or images cover whole ones. */
static void post(const struct kernel_args *a, int64_t n, int64_t from, int64_t to)
{
	int64_t elems = tensor_elems(out_tensor(a, 0));

	if (a->step->nr_post && n)
		kernel_post(a, from * (elems / n), to * (elems / n));
}

enum ooo_status kernel_run(const struct kernel_args *a, unsigned chunk, unsigned nr)
{
	const struct kernel *k = find(a->step->op);
	int64_t per_unit, n, from, to;
	enum ooo_status status;

	if (k->whole) {
		status = k->whole(a);
		post(a, 1, 0, 1);
		return status;
	}
	n = units(a->step, a->tensors, &per_unit);
	from = boundary(n, chunk, nr);
	to = boundary(n, chunk + 1, nr);
	status = k->range(a, from, to);
	post(a, n, from, to);
	return status;
}
