/* SPDX-License-Identifier: Apache-2.0 */
/* Operators into the builder, or their results into host memory where all operands are constant. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "shared/onnx/import.h"

static struct value *new_value(struct node *n)
{
	struct value *v = n->rc ? NULL : import_alloc(n->im, sizeof(*v));

	if (v)
		v->id = OOO_NONE;
	else
		refuse(n, "%s", ooo_onnx_error());
	return v;
}

struct value *new_constant(struct node *n, const struct shape *shape, void **data)
{
	struct value *v = new_value(n);
	uint64_t bytes;

	*data = NULL;
	if (!v)
		return NULL;
	if (shape_bytes(shape, &bytes) || bytes > OOO_MAX_TENSOR_BYTES) {
		refuse(n, "a constant that it makes would be too large");
		return NULL;
	}
	*data = import_alloc(n->im, bytes);
	if (!*data) {
		refuse(n, "%s", ooo_onnx_error());
		return NULL;
	}
	v->shape = *shape;
	v->constant = true;
	v->data = *data;
	return v;
}

struct value *scalar(struct node *n, uint32_t dtype, double number)
{
	struct shape shape = { .dtype = dtype };
	void *data;
	struct value *v = new_constant(n, &shape, &data);

	if (!v)
		return NULL;
	switch (dtype) {
	case OOO_FP32:
		*(float *)data = (float)number;
		break;
	case OOO_FP64:
		*(double *)data = number;
		break;
	case OOO_INT64:
		*(int64_t *)data = (int64_t)number;
		break;
	case OOO_INT32:
		*(int32_t *)data = (int32_t)number;
		break;
	case OOO_BOOL:
		*(uint8_t *)data = number != 0;
		break;
	default:
		refuse(n, "%s is not computed in", dtype_name(dtype));
		return NULL;
	}
	return v;
}

struct value *int_vector(struct node *n, const int64_t *v, int count)
{
	struct shape shape = { .dtype = OOO_INT64, .rank = 1, .dims = { count } };
	void *data;
	struct value *vector = new_constant(n, &shape, &data);

	if (vector && count)
		memcpy(data, v, (size_t)count * sizeof(*v));
	return vector;
}

uint32_t value_id(struct node *n, struct value *v)
{
	uint64_t bytes;
	int id;

	if (n->rc || !v)
		return OOO_NONE;
	if (v->id != OOO_NONE)
		return v->id;
	if (shape_bytes(&v->shape, &bytes)) {
		refuse(n, "a constant has no valid shape");
		return OOO_NONE;
	}
	id = ooo_const(n->im->builder, v->shape.dtype, v->shape.rank, v->shape.dims, v->data,
		       (size_t)bytes);
	if (id < 0) {
		refuse(n, "%s", ooo_builder_error(n->im->builder));
		return OOO_NONE;
	}
	v->id = (uint32_t)id;
	return v->id;
}

static struct value *result(struct node *n, uint32_t id)
{
	struct value *v = new_value(n);
	enum ooo_dtype dtype = 0;
	int rank = 0;

	if (!v)
		return NULL;
	v->id = id;
	if (ooo_tensor(n->im->builder, id, &dtype, &rank, v->shape.dims)) {
		refuse(n, "%s", ooo_builder_error(n->im->builder));
		return NULL;
	}
	v->shape.dtype = dtype;
	v->shape.rank = rank;
	for (int i = rank; i < OOO_MAX_RANK; i++)
		v->shape.dims[i] = 0;
	return v;
}

static int build(struct node *n, enum ooo_op op, const struct ooo_attr *attr,
		 struct value *const *in, int nr_in, struct value **out, int nr_out)
{
	uint32_t *ids = import_alloc(n->im, (uint64_t)(nr_in + nr_out) * sizeof(*ids));

	if (!ids)
		return refuse(n, "%s", ooo_onnx_error());
	for (int i = 0; i < nr_in; i++)
		ids[i] = in[i] ? value_id(n, in[i]) : OOO_NONE;
	if (n->rc)
		return n->rc;
	if (ooo_op(n->im->builder, op, attr, ids, nr_in, ids + nr_in, nr_out))
		return refuse(n, "%s", ooo_builder_error(n->im->builder));
	for (int i = 0; i < nr_out; i++)
		out[i] = result(n, ids[nr_in + i]);
	return n->rc;
}

int emit(struct node *n, enum ooo_op op, const struct ooo_attr *attr, struct value *const *in,
	 int nr_in, struct value **out, int nr_out)
{
	struct ooo_attr neutral;
	bool constant = true;

	for (int i = 0; i < nr_out; i++)
		out[i] = NULL;
	if (n->rc)
		return n->rc;
	if (!attr) {
		ooo_attr_init(&neutral, op);
		attr = &neutral;
	}
	for (int i = 0; i < nr_in; i++)
		constant = constant && (!in[i] || in[i]->constant);
	if (constant) {
		int rc = fold(n, op, attr, in, nr_in, out, nr_out);

		if (rc)
			return n->rc;
	}
	return build(n, op, attr, in, nr_in, out, nr_out);
}

struct value *emit1(struct node *n, enum ooo_op op, const struct ooo_attr *attr, struct value *x)
{
	struct value *out = NULL;

	if (x)
		emit(n, op, attr, &x, 1, &out, 1);
	return out;
}

struct value *emit2(struct node *n, enum ooo_op op, struct value *x, struct value *y)
{
	struct value *in[2] = { x, y }, *out = NULL;

	if (x && y)
		emit(n, op, NULL, in, 2, &out, 1);
	return out;
}

struct value *reshape(struct node *n, struct value *v, int rank, const int64_t *dims)
{
	struct shape to = { .rank = rank };
	struct value *alias;
	struct ooo_attr a;
	int64_t elems;

	if (n->rc || !v)
		return NULL;
	if (rank < 0 || rank > OOO_MAX_RANK) {
		refuse(n, "a result of rank %d is not supported (0 .. %d)", rank, OOO_MAX_RANK);
		return NULL;
	}
	to.dtype = v->shape.dtype;
	if (rank)
		memcpy(to.dims, dims, (size_t)rank * sizeof(*dims));
	if (shape_equal(&to, &v->shape))
		return v;
	if (!v->constant) {
		ooo_attr_init(&a, OOO_OP_RESHAPE);
		a.rank = rank;
		memcpy(a.dims, to.dims, sizeof(a.dims));
		return emit1(n, OOO_OP_RESHAPE, &a, v);
	}
	if (shape_elems(&to, &elems) || elems != value_elems(v)) {
		refuse(n, "the new shape has another number of elements");
		return NULL;
	}
	alias = new_value(n);
	if (alias) {
		alias->shape = to;
		alias->constant = true;
		alias->data = v->data;
	}
	return alias;
}

struct value *cast(struct node *n, struct value *v, uint32_t dtype)
{
	struct ooo_attr a;

	if (n->rc || !v)
		return NULL;
	if (v->shape.dtype == dtype)
		return v;
	ooo_attr_init(&a, OOO_OP_CAST);
	a.mode = (int32_t)dtype;
	return emit1(n, OOO_OP_CAST, &a, v);
}

struct value *expand(struct node *n, struct value *v, const struct shape *to)
{
	struct ooo_attr a;

	if (n->rc || !v)
		return NULL;
	if (v->shape.rank == to->rank &&
	    !memcmp(v->shape.dims, to->dims, (size_t)to->rank * sizeof(to->dims[0])))
		return v;
	ooo_attr_init(&a, OOO_OP_EXPAND);
	a.rank = to->rank;
	memcpy(a.dims, to->dims, (size_t)to->rank * sizeof(to->dims[0]));
	return emit1(n, OOO_OP_EXPAND, &a, v);
}

struct value *slice_axis(struct node *n, struct value *v, int axis, int64_t start, int64_t length)
{
	struct ooo_attr a;

	if (n->rc || !v)
		return NULL;
	ooo_attr_init(&a, OOO_OP_SLICE);
	a.rank = v->shape.rank;
	memcpy(a.dims, v->shape.dims, sizeof(a.dims));
	a.start[axis] = start;
	a.dims[axis] = length;
	return emit1(n, OOO_OP_SLICE, &a, v);
}

void set_out(struct node *n, int i, struct value *v)
{
	if (!v && !n->rc)
		refuse(n, "output %d could not be computed", i);
	if (i < n->nr_out)
		n->out[i] = v;
}

int emit_node(struct node *n, enum ooo_op op, const struct ooo_attr *attr)
{
	if (attrs_done(n))
		return n->rc;
	emit(n, op, attr, n->in, n->nr_in, n->out, 1);
	return n->rc;
}
