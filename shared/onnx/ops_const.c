/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that make constants, use them as masks, or choose a branch by one. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "shared/onnx/ops.h"
#include "shared/onnx/tensor_data.h"

#define ATTR(TYPE) ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##TYPE

static struct value *tensor_value(struct node *n, const Onnx__TensorProto *pb)
{
	struct value *v = import_alloc(n->im, sizeof(*v));
	struct ooo_onnx_tensor t;
	bool owned;

	if (!v || !pb || tensor_from_pb(pb, "attribute value", &t, &owned) ||
	    (owned && import_own(n->im, t.data)) || tensor_shape(&t, &v->shape)) {
		refuse(n, "%s", pb ? ooo_onnx_error() : "attribute value holds no tensor");
		return NULL;
	}
	v->constant = true;
	v->data = t.data;
	v->id = OOO_NONE;
	return v;
}

static struct value *copy_list(struct node *n, uint32_t dtype, const void *list, size_t count,
			       int rank)
{
	struct shape shape = { .dtype = dtype,
			       .rank = rank,
			       .dims = { rank ? (int64_t)count : 0 } };
	struct value *v;
	void *data;

	v = new_constant(n, &shape, &data);
	if (v && count)
		memcpy(data, list, count * dtype_bytes(dtype));
	return v;
}

IMPORT(constant)
{
	const Onnx__AttributeProto *a;
	struct value *v = NULL;

	if (n->pb->n_attribute != 1)
		return refuse(n, "has %zu attributes, not 1", n->pb->n_attribute);
	if (attr_has(n, "value")) {
		a = attr_find(n, "value", ATTR(TENSOR));
		v = a ? tensor_value(n, a->t) : NULL;
	} else if (n->opset < 12) {
		return refuse(n, "this kind of value is not supported");
	} else if (attr_has(n, "value_float")) {
		a = attr_find(n, "value_float", ATTR(FLOAT));
		v = a ? copy_list(n, OOO_FP32, &a->f, 1, 0) : NULL;
	} else if (attr_has(n, "value_int")) {
		a = attr_find(n, "value_int", ATTR(INT));
		v = a ? copy_list(n, OOO_INT64, &a->i, 1, 0) : NULL;
	} else if (attr_has(n, "value_floats")) {
		a = attr_find(n, "value_floats", ATTR(FLOATS));
		v = a ? copy_list(n, OOO_FP32, a->floats, a->n_floats, 1) : NULL;
	} else if (attr_has(n, "value_ints")) {
		a = attr_find(n, "value_ints", ATTR(INTS));
		v = a ? copy_list(n, OOO_INT64, a->ints, a->n_ints, 1) : NULL;
	} else {
		return refuse(n, "this kind of value is not supported");
	}
	if (!attrs_done(n))
		set_out(n, 0, v);
	return n->rc;
}

/* Doubling copies: the tensor may be hundreds of megabytes. */
static void fill(char *to, size_t bytes, const void *elem, size_t elem_bytes)
{
	size_t done = elem_bytes;

	if (!bytes)
		return;
	memcpy(to, elem, elem_bytes);
	while (done < bytes) {
		size_t more = done < bytes - done ? done : bytes - done;

		memcpy(to + done, to, more);
		done += more;
	}
}

IMPORT(constant_of_shape)
{
	const Onnx__AttributeProto *a = attr_find(n, "value", ATTR(TENSOR));
	struct value *elem = a ? tensor_value(n, a->t) : scalar(n, OOO_FP32, 0), *v;
	struct shape shape = { .dtype = 0 };
	uint64_t bytes;
	void *data;

	shape.rank = operand_ints(n, 0, "shape", shape.dims, OOO_MAX_RANK);
	if (attrs_done(n) || !elem)
		return n->rc;
	if (value_elems(elem) != 1)
		return refuse(n, "attribute value must have one element");
	shape.dtype = elem->shape.dtype;
	if (shape_bytes(&shape, &bytes))
		return refuse(n, "the shape is negative or too large");
	v = new_constant(n, &shape, &data);
	if (v)
		fill(data, (size_t)bytes, elem->data, dtype_bytes(shape.dtype));
	set_out(n, 0, v);
	return n->rc;
}

static int range_count(struct node *n, double start, double limit, double delta, int64_t *count)
{
	double exact = ceil((limit - start) / delta);
	float rounded = ceilf(((float)limit - (float)start) / (float)delta);

	if (delta == 0 || !isfinite(exact) || exact > 1e9)
		return refuse(n, "a range from %g to %g by %g is not possible", start, limit,
			      delta);
	if (n->in[0]->shape.dtype == OOO_FP32 && (double)rounded != exact)
		return refuse(n, "rounding decides the length of the range");
	*count = exact > 0 ? (int64_t)exact : 0;
	return 0;
}

IMPORT(range)
{
	struct shape shape = { .dtype = n->in[0]->shape.dtype, .rank = 1 };
	double start, limit, delta;
	struct value *v;
	void *data;

	for (int i = 1; i < 3; i++)
		if (n->in[i]->shape.dtype != shape.dtype)
			return refuse(n, "inputs differ in type");
	if (shape.dtype != OOO_INT64 && shape.dtype != OOO_INT32 && shape.dtype != OOO_FP32)
		return refuse(n, "is not computed in %s", dtype_name(shape.dtype));
	start = operand_number(n, 0, "start", 0);
	limit = operand_number(n, 1, "limit", 0);
	delta = operand_number(n, 2, "delta", 1);
	if (attrs_done(n) || range_count(n, start, limit, delta, &shape.dims[0]))
		return n->rc;
	/* Integers beyond this are not exact in the numbers above. */
	if (shape.dtype != OOO_FP32 && (fabs(start) > 0x1p52 || fabs(limit) > 0x1p52))
		return refuse(n, "a range of such large integers is not supported");
	v = new_constant(n, &shape, &data);
	for (int64_t i = 0; v && i < shape.dims[0]; i++) {
		double x = start + (double)i * delta;

		if (shape.dtype == OOO_FP32)
			((float *)data)[i] = (float)x;
		else if (shape.dtype == OOO_INT64)
			((int64_t *)data)[i] = (int64_t)x;
		else
			((int32_t *)data)[i] = (int32_t)x;
	}
	set_out(n, 0, v);
	return n->rc;
}

/* A constant matrix of booleans: relation of row + k to column. */
static struct value *diagonal_mask(struct node *n, const int64_t *dims, int64_t k, bool below,
				   bool on, bool above)
{
	struct shape shape = { .dtype = OOO_BOOL, .rank = 2, .dims = { dims[0], dims[1] } };
	struct value *v;
	void *data;
	bool *at;

	if (k < -(1ll << 40) || k > 1ll << 40) {
		refuse(n, "diagonal %" PRId64 " is too far off", k);
		return NULL;
	}
	v = new_constant(n, &shape, &data);
	at = data;
	for (int64_t i = 0; v && i < dims[0]; i++)
		for (int64_t j = 0; j < dims[1]; j++)
			*at++ = j < i + k ? below : j == i + k ? on : above;
	return v;
}

IMPORT(eye_like)
{
	const struct shape *x = &n->in[0]->shape;
	int64_t type = attr_int(n, "dtype", dtype_to_onnx(x->dtype)), k = attr_int(n, "k", 0);
	enum ooo_dtype dtype = type > 0 && type < INT32_MAX ? dtype_from_onnx((int32_t)type) : 0;

	if (attrs_done(n))
		return n->rc;
	if (x->rank != 2 || !dtype)
		return refuse(n, "needs a matrix and a supported type");
	set_out(n, 0, cast(n, diagonal_mask(n, x->dims, k, false, true, false), dtype));
	return n->rc;
}

IMPORT(trilu)
{
	struct value *x = n->in[0], *in[3];
	bool upper = attr_flag(n, "upper", true);
	double k = operand_number(n, 1, "k", 0);

	if (attrs_done(n))
		return n->rc;
	if (x->shape.rank < 2 || fabs(k) > 0x1p40)
		return refuse(n, "needs a matrix and a diagonal near it");
	in[0] = diagonal_mask(n, x->shape.dims + x->shape.rank - 2, (int64_t)k, !upper, true,
			      upper);
	in[1] = x;
	in[2] = scalar(n, x->shape.dtype, 0);
	emit(n, OOO_OP_WHERE, NULL, in, 3, n->out, 1);
	return n->rc;
}

/* Indices as int64, those that count from the end made positive. */
static struct value *positive_indices(struct node *n, struct value *v, int64_t depth)
{
	struct value *in[3], *out = NULL;

	v = cast(n, v, OOO_INT64);
	in[0] = emit2(n, OOO_OP_LESS, v, scalar(n, OOO_INT64, 0));
	in[1] = emit2(n, OOO_OP_ADD, v, int_vector(n, &depth, 1));
	if (in[1] && v)
		in[1] = reshape(n, in[1], v->shape.rank ? v->shape.rank : 0, v->shape.dims);
	in[2] = v;
	emit(n, OOO_OP_WHERE, NULL, in, 3, &out, 1);
	return out;
}

/* indices == 0, 1, ... depth - 1 along a new axis; then on for true and off for false. */
IMPORT(one_hot)
{
	struct value *indices = n->in[0], *values = n->in[2], *in[3];
	int rank = indices->shape.rank + 1, axis = attr_axis(n, "axis", -1, rank), from = 0;
	double depth = operand_number(n, 1, "depth", 0);
	int64_t dims[OOO_MAX_RANK + 1], ramp_dims[OOO_MAX_RANK + 1];
	struct shape line = { .dtype = OOO_INT64, .rank = 1 };
	struct value *ramp;
	void *data;

	if (attrs_done(n))
		return n->rc;
	if (rank > OOO_MAX_RANK || !is_int(indices) || values->shape.rank != 1 ||
	    values->shape.dims[0] != 2 || !(depth >= 1 && depth < 1e9) || depth != trunc(depth))
		return refuse(n, "needs integer indices, a depth of at least 1 and two values");
	line.dims[0] = (int64_t)depth;
	ramp = new_constant(n, &line, &data);
	for (int64_t i = 0; ramp && i < line.dims[0]; i++)
		((int64_t *)data)[i] = i;
	for (int i = 0; i < rank; i++) {
		dims[i] = i == axis ? 1 : indices->shape.dims[from++];
		ramp_dims[i] = i == axis ? line.dims[0] : 1;
	}
	indices = reshape(n, positive_indices(n, indices, line.dims[0]), rank, dims);
	in[0] = emit2(n, OOO_OP_EQUAL, indices, reshape(n, ramp, rank, ramp_dims));
	in[1] = reshape(n, slice_axis(n, values, 0, 1, 1), 0, NULL);
	in[2] = reshape(n, slice_axis(n, values, 0, 0, 1), 0, NULL);
	emit(n, OOO_OP_WHERE, NULL, in, 3, n->out, 1);
	return n->rc;
}

/* The branch that is taken must be known now. */
IMPORT(if)
{
	const Onnx__AttributeProto *then_branch = attr_find(n, "then_branch", ATTR(GRAPH));
	const Onnx__AttributeProto *else_branch = attr_find(n, "else_branch", ATTR(GRAPH));
	const Onnx__AttributeProto *taken;

	if (n->in[0]->shape.dtype != OOO_BOOL)
		return refuse(n, "the condition is not a bool");
	taken = operand_number(n, 0, "cond", 0) != 0 ? then_branch : else_branch;
	if (attrs_done(n))
		return n->rc;
	if (!taken || !taken->g)
		return refuse(n, "the branch to be taken is missing");
	return import_subgraph(n, taken->g);
}
