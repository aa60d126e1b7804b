/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions, and what is made of them. */
#include <float.h>
#include <inttypes.h>
#include <string.h>

#include "shared/onnx/ops.h"

/* ReduceSum has its axes as an operand from opset 13 on, the others from 18 on. */
static bool axes_by_operand(const struct node *n)
{
	return n->opset >= (strcmp(n->pb->op_type, "ReduceSum") ? 18 : 13);
}

/* Attributes of a reduction; a->axes stays 0 if there is nothing to reduce. Returns n->rc. */
static int read_reduction(struct node *n, struct ooo_attr *a, enum ooo_op op)
{
	int64_t axes[OOO_MAX_RANK];
	int rank = n->in[0]->shape.rank, count;
	bool noop = false;

	ooo_attr_init(a, op);
	if (attr_flag(n, "keepdims", true))
		a->flags = OOO_ATTR_KEEPDIMS;
	if (axes_by_operand(n)) {
		count = operand_ints(n, 1, "axes", axes, OOO_MAX_RANK);
		noop = attr_flag(n, "noop_with_empty_axes", false);
	} else {
		count = attr_ints(n, "axes", axes, OOO_MAX_RANK);
		if (count == 0 || n->nr_in > 1)
			refuse(n, "an empty list of axes, or one as an operand, is not supported");
	}
	for (int i = 0; i < count; i++) {
		uint32_t bit = 1u << normal_axis(n, axes[i], rank);

		if (a->axes & bit)
			refuse(n, "an axis is given twice");
		a->axes |= bit;
	}
	if (count <= 0 && !noop)
		a->axes = (1u << rank) - 1;
	return attrs_done(n);
}

static struct value *reduced(struct node *n, const struct ooo_attr *a, enum ooo_op op,
			     struct value *x)
{
	return a->axes ? emit1(n, op, a, x) : x;
}

IMPORT(reduce)
{
	struct ooo_attr a;

	if (!read_reduction(n, &a, op))
		set_out(n, 0, reduced(n, &a, op, n->in[0]));
	return n->rc;
}

IMPORT(reduce_l1)
{
	struct ooo_attr a;

	if (!read_reduction(n, &a, op))
		set_out(n, 0, reduced(n, &a, op, emit1(n, OOO_OP_ABS, NULL, n->in[0])));
	return n->rc;
}

static struct value *sum_square(struct node *n, enum ooo_op op)
{
	struct ooo_attr a;

	if (read_reduction(n, &a, op))
		return NULL;
	return reduced(n, &a, op, emit2(n, OOO_OP_MUL, n->in[0], n->in[0]));
}

IMPORT(reduce_sum_square)
{
	set_out(n, 0, sum_square(n, op));
	return n->rc;
}

IMPORT(reduce_l2)
{
	set_out(n, 0, emit1(n, OOO_OP_SQRT, NULL, sum_square(n, op)));
	return n->rc;
}

IMPORT(reduce_log_sum)
{
	struct ooo_attr a;

	if (!read_reduction(n, &a, op))
		set_out(n, 0, emit1(n, OOO_OP_LOG, NULL, reduced(n, &a, op, n->in[0])));
	return n->rc;
}

/*
 * log(sum(exp(x - m))) + m with m near the maximum, so that nothing overflows; m is kept finite,
 * else infinite elements would give inf - inf.
 */
IMPORT(reduce_log_sum_exp)
{
	struct ooo_attr a, keep, limits;
	struct value *x = n->in[0], *m, *sum;

	if (read_reduction(n, &a, op))
		return n->rc;
	ooo_attr_init(&keep, OOO_OP_REDUCE_MAX);
	keep.axes = a.axes;
	keep.flags = OOO_ATTR_KEEPDIMS;
	ooo_attr_init(&limits, OOO_OP_CLIP);
	limits.alpha = -FLT_MAX;
	limits.beta = FLT_MAX;
	m = emit1(n, OOO_OP_CLIP, &limits, reduced(n, &keep, OOO_OP_REDUCE_MAX, x));
	sum = emit1(n, OOO_OP_EXP, NULL, emit2(n, OOO_OP_SUB, x, m));
	sum = emit1(n, OOO_OP_LOG, NULL, reduced(n, &a, op, sum));
	if (sum && m)
		m = reshape(n, m, sum->shape.rank, sum->shape.dims);
	set_out(n, 0, emit2(n, OOO_OP_ADD, sum, m));
	return n->rc;
}

/* For computed shapes: all elements of a constant list. */
IMPORT(reduce_prod)
{
	struct value *x = n->in[0], *out;
	struct shape shape = { .dtype = OOO_INT64 };
	struct ooo_attr a;
	int64_t product = 1;
	void *data;

	if (read_reduction(n, &a, op))
		return n->rc;
	if (!x->constant || x->shape.dtype != OOO_INT64 || x->shape.rank != 1)
		return refuse(n, "is supported for constant lists of int64 only");
	for (int64_t i = 0; i < value_elems(x); i++)
		if (__builtin_mul_overflow(product, value_int(x, i), &product))
			return refuse(n, "the product overflows");
	shape.rank = a.flags & OOO_ATTR_KEEPDIMS ? 1 : 0;
	shape.dims[0] = shape.rank;
	out = new_constant(n, &shape, &data);
	if (out)
		*(int64_t *)data = product;
	set_out(n, 0, out);
	return n->rc;
}

IMPORT(arg)
{
	struct ooo_attr a;

	ooo_attr_init(&a, op);
	a.axis = attr_axis(n, "axis", 0, n->in[0]->shape.rank);
	if (attr_flag(n, "keepdims", true))
		a.flags |= OOO_ATTR_KEEPDIMS;
	if (n->opset >= 12 && attr_flag(n, "select_last_index", false))
		a.flags |= OOO_ATTR_LAST_INDEX;
	return emit_node(n, op, &a);
}
