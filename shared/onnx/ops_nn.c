/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products, normalisation, softmax. */
#include <string.h>

#include "shared/onnx/ops.h"

IMPORT(matmul)
{
	return emit_node(n, op, NULL);
}

IMPORT(gemm)
{
	struct ooo_attr a;

	ooo_attr_init(&a, op);
	a.alpha = attr_float(n, "alpha", 1.0f);
	a.beta = attr_float(n, "beta", 1.0f);
	if (attr_flag(n, "transA", false))
		a.flags |= OOO_ATTR_TRANS_A;
	if (attr_flag(n, "transB", false))
		a.flags |= OOO_ATTR_TRANS_B;
	if (n->in[0]->shape.rank != 2 || n->in[1]->shape.rank != 2)
		return refuse(n, "A and B must be matrices, not of rank %d and %d",
			      n->in[0]->shape.rank, n->in[1]->shape.rank);
	if (n->nr_in < 3) {
		if (n->opset < 11)
			return refuse(n, "C is missing, which is allowed from opset 11 on");
		a.beta = 1; /* belongs to C */
	}
	return emit_node(n, op, &a);
}

IMPORT(batch_norm)
{
	struct ooo_attr a;

	ooo_attr_init(&a, op);
	a.alpha = attr_float(n, "epsilon", 1e-5f);
	attr_float(n, "momentum", 0.9f); /* of the running mean: training alone */
	if (n->opset < 9 && !attr_flag(n, "spatial", true))
		return refuse(n, "spatial = 0 is not supported");
	if (n->opset >= 14 && attr_flag(n, "training_mode", false))
		return refuse(n, "training_mode is not supported");
	/* Even if nobody uses them: that they are there means training, with other results. */
	for (size_t i = 1; i < n->pb->n_output; i++)
		if (*n->pb->output[i])
			return refuse(n, "outputs of training (mean, variance) are not supported");
	return emit_node(n, op, &a);
}

/* The axes from `axis` on, as the mask of a reduction. */
static struct value *mean_of_tail(struct node *n, struct value *x, int axis)
{
	struct ooo_attr a;

	ooo_attr_init(&a, OOO_OP_REDUCE_MEAN);
	for (int i = axis; i < n->in[0]->shape.rank; i++)
		a.axes |= 1u << i;
	a.flags = OOO_ATTR_KEEPDIMS;
	return emit1(n, OOO_OP_REDUCE_MEAN, &a, x);
}

/* Scale or bias that broadcasts to the normalised axes is brought to their shape. */
static struct value *to_tail(struct node *n, struct value *v, int axis)
{
	const struct shape *x = &n->in[0]->shape;
	struct shape tail = { .dtype = x->dtype, .rank = x->rank - axis };

	if (!v)
		return NULL;
	memcpy(tail.dims, x->dims + axis, (size_t)tail.rank * sizeof(tail.dims[0]));
	return expand(n, v, &tail);
}

/* The second and third output: the mean, and 1 / sqrt(variance + epsilon). */
static void layer_statistics(struct node *n, int axis, float epsilon)
{
	struct value *x = n->in[0], *mean = mean_of_tail(n, x, axis), *centred, *variance;

	set_out(n, 1, mean);
	if (n->nr_out < 3)
		return;
	centred = emit2(n, OOO_OP_SUB, x, mean);
	variance = mean_of_tail(n, emit2(n, OOO_OP_MUL, centred, centred), axis);
	variance = emit2(n, OOO_OP_ADD, variance, scalar(n, OOO_FP32, (double)epsilon));
	set_out(n, 2, emit1(n, OOO_OP_RECIPROCAL, NULL, emit1(n, OOO_OP_SQRT, NULL, variance)));
}

IMPORT(layer_norm)
{
	struct value *in[3], *y;
	struct ooo_attr a;

	ooo_attr_init(&a, op);
	a.axis = attr_axis(n, "axis", -1, n->in[0]->shape.rank);
	a.alpha = attr_float(n, "epsilon", 1e-5f);
	if (attr_int(n, "stash_type", 1) != 1)
		return refuse(n, "a stash_type other than 1 (fp32) is not supported");
	if (attrs_done(n))
		return n->rc;
	in[0] = n->in[0];
	in[1] = to_tail(n, n->in[1], a.axis);
	in[2] = to_tail(n, operand(n, 2), a.axis);
	if (emit(n, op, &a, in, in[2] ? 3 : 2, &y, 1))
		return n->rc;
	set_out(n, 0, y);
	if (n->nr_out > 1)
		layer_statistics(n, a.axis, a.alpha);
	return n->rc;
}

IMPORT(instance_norm)
{
	struct ooo_attr a;

	ooo_attr_init(&a, op);
	a.alpha = attr_float(n, "epsilon", 1e-5f);
	return emit_node(n, op, &a);
}

IMPORT(lrn)
{
	struct ooo_attr a;

	ooo_attr_init(&a, op);
	if (!attr_has(n, "size"))
		return refuse(n, "attribute size is missing");
	a.kernel[0] = attr_range(n, "size", 1, 1, INT32_MAX);
	a.alpha = attr_float(n, "alpha", a.alpha);
	a.beta = attr_float(n, "beta", a.beta);
	a.bias = attr_float(n, "bias", a.bias);
	return emit_node(n, op, &a);
}

/* As ONNX defines it: (x - E[x]) / (sqrt(E[x^2] - E[x]^2) + 1e-9). */
IMPORT(mvn)
{
	int64_t axes[OOO_MAX_RANK] = { 0, 2, 3 };
	struct value *x = n->in[0], *mean, *deviation;
	struct ooo_attr a;
	int count = attr_ints(n, "axes", axes, OOO_MAX_RANK);

	ooo_attr_init(&a, OOO_OP_REDUCE_MEAN);
	a.flags = OOO_ATTR_KEEPDIMS;
	for (int i = 0; i < (count < 0 ? 3 : count); i++)
		a.axes |= 1u << normal_axis(n, axes[i], x->shape.rank);
	if (attrs_done(n))
		return n->rc;
	mean = emit1(n, OOO_OP_REDUCE_MEAN, &a, x);
	deviation = emit1(n, OOO_OP_REDUCE_MEAN, &a, emit2(n, OOO_OP_MUL, x, x));
	deviation = emit2(n, OOO_OP_SUB, deviation, emit2(n, OOO_OP_MUL, mean, mean));
	deviation = emit1(n, OOO_OP_SQRT, NULL, deviation);
	deviation = emit2(n, OOO_OP_ADD, deviation, scalar(n, OOO_FP32, 1e-9));
	set_out(n, 0, emit2(n, OOO_OP_DIV, emit2(n, OOO_OP_SUB, x, mean), deviation));
	return n->rc;
}

/* Before opset 13 the axes from `axis` on were one; from then on `axis` alone counts. */
IMPORT(softmax)
{
	bool flatten = n->opset < 13;
	struct ooo_attr a;

	ooo_attr_init(&a, op);
	a.axis = attr_axis(n, "axis", flatten ? 1 : -1, n->in[0]->shape.rank);
	if (flatten && a.axis != n->in[0]->shape.rank - 1)
		a.flags = OOO_ATTR_FLATTEN;
	return emit_node(n, op, &a);
}

/* 1 at the first maximum, else 0. */
IMPORT(hardmax)
{
	struct value *x = n->in[0], *where, *count;
	struct shape line = { .dtype = OOO_INT64, .rank = 1 };
	int64_t dims[OOO_MAX_RANK];
	struct ooo_attr a;
	void *data;
	int axis = attr_axis(n, "axis", n->opset < 13 ? 1 : -1, x->shape.rank);

	if (attrs_done(n))
		return n->rc;
	if (n->opset < 13 && axis != x->shape.rank - 1)
		return refuse(n, "flattening (before opset 13) is not supported");
	ooo_attr_init(&a, op);
	a.axis = axis;
	a.flags = OOO_ATTR_KEEPDIMS;
	where = emit1(n, op, &a, x);
	line.dims[0] = x->shape.dims[axis];
	count = new_constant(n, &line, &data);
	for (int64_t i = 0; count && i < line.dims[0]; i++)
		((int64_t *)data)[i] = i;
	for (int i = 0; i < x->shape.rank; i++)
		dims[i] = i == axis ? line.dims[0] : 1;
	count = reshape(n, count, x->shape.rank, dims);
	set_out(n, 0, cast(n, emit2(n, OOO_OP_EQUAL, where, count), OOO_FP32));
	return n->rc;
}

static struct value *all_true(struct node *n)
{
	struct shape shape = n->in[0]->shape;
	struct value *v;
	void *data;

	shape.dtype = OOO_BOOL;
	v = new_constant(n, &shape, &data);
	if (v)
		memset(data, 1, (size_t)value_elems(v));
	return v;
}

/* At inference it does nothing. The mask of what it dropped is all true then. */
IMPORT(dropout)
{
	struct value *ratio = operand(n, 1), *training = operand(n, 2);

	if (n->opset < 12) {
		attr_float(n, "ratio", 0.5f); /* of training */
		if (n->nr_in > 1)
			return refuse(n, "ratio is an input from opset 12 on only");
		if (n->nr_out > 1)
			return refuse(n, "the mask is not supported before opset 12");
	} else {
		attr_ignore(n, "seed"); /* of training */
	}
	if (attrs_done(n))
		return n->rc;
	if (training && !training->constant)
		return refuse(n, "training_mode must be a constant");
	if (training && operand_number(n, 2, "training_mode", 0) != 0 &&
	    (!ratio || !ratio->constant || operand_number(n, 1, "ratio", 0.5) != 0))
		return refuse(n, "training_mode is not supported");
	set_out(n, 0, n->in[0]);
	if (n->nr_out > 1)
		set_out(n, 1, all_true(n));
	return n->rc;
}
