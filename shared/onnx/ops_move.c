/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that join, cut and rearrange. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "shared/onnx/ops.h"

/* Operands without elements add nothing: exporters leave such behind, and devices refuse them. */
IMPORT(concat)
{
	struct value **in;
	struct ooo_attr a;
	int count = 0;

	ooo_attr_init(&a, op);
	if (!attr_has(n, "axis"))
		return refuse(n, "attribute axis is missing");
	a.axis = attr_axis(n, "axis", 0, n->in[0]->shape.rank);
	if (attrs_done(n))
		return n->rc;
	in = import_alloc(n->im, (uint64_t)n->nr_in * sizeof(struct value *));
	if (!in)
		return refuse(n, "%s", ooo_onnx_error());
	for (int i = 0; i < n->nr_in; i++) {
		if (!n->in[i] || n->in[i]->shape.rank != n->in[0]->shape.rank ||
		    n->in[i]->shape.dtype != n->in[0]->shape.dtype)
			return refuse(n,
				      "input %d is missing or has another rank or type than the"
				      " first",
				      i);
		if (n->in[i]->shape.dims[a.axis])
			in[count++] = n->in[i];
	}
	if (count == 1)
		set_out(n, 0, in[0]);
	else if (count)
		emit(n, op, &a, in, count, n->out, 1);
	else
		set_out(n, 0, n->in[0]);
	return n->rc;
}

/* Sizes by attribute or operand; without them equal parts. The builder's operator holds the sizes
 * of a few parts, more of them become slices. */
IMPORT(split)
{
	struct value *x = n->in[0];
	int axis = attr_axis(n, "axis", 0, x->shape.rank), nr, count;
	int64_t *sizes = import_alloc(n->im, (n->pb->n_output + 1) * sizeof(*sizes)), start = 0;
	int64_t part;

	nr = (int)n->pb->n_output; /* those that nobody uses count as well */
	if (!sizes)
		return refuse(n, "%s", ooo_onnx_error());
	if (n->opset < 13 && n->nr_in > 1)
		return refuse(n, "sizes are an input from opset 13 on only");
	count = n->opset < 13 ? attr_ints(n, "split", sizes, nr)
			      : operand_ints(n, 1, "split", sizes, nr);
	if (n->opset >= 18 && attr_has(n, "num_outputs") &&
	    (count >= 0 || attr_int(n, "num_outputs", nr) != nr))
		return refuse(n,
			      "num_outputs beside sizes, or other than the outputs that there are");
	if (attrs_done(n))
		return n->rc;
	if (x->shape.rank == 0)
		return refuse(n, "a scalar cannot be split");
	/* From opset 18 on the last of equal parts may be shorter. */
	part = (x->shape.dims[axis] + nr - 1) / nr;
	if (count < 0 &&
	    (n->opset < 18 ? x->shape.dims[axis] % nr : x->shape.dims[axis] < part * (nr - 1)))
		return refuse(n, "%" PRId64 " elements do not split into %d equal parts",
			      x->shape.dims[axis], nr);
	if (count >= 0 && count != nr)
		return refuse(n, "has %d sizes for %d outputs", count, nr);
	for (int i = 0; i < nr; i++) {
		if (count < 0)
			sizes[i] = i + 1 < nr ? part : x->shape.dims[axis] - start;
		if (sizes[i] < 0 || sizes[i] > x->shape.dims[axis] - start)
			return refuse(n, "the sizes do not add up to %" PRId64,
				      x->shape.dims[axis]);
		start += sizes[i];
	}
	if (start != x->shape.dims[axis])
		return refuse(n, "the sizes do not add up to %" PRId64, x->shape.dims[axis]);
	if (nr <= OOO_MAX_RANK && start) {
		struct ooo_attr a;

		ooo_attr_init(&a, op);
		a.axis = axis;
		memcpy(a.dims, sizes, (size_t)nr * sizeof(*sizes));
		return emit(n, op, &a, &x, 1, n->out, nr);
	}
	start = 0;
	for (int i = 0; i < nr; i++) {
		set_out(n, i, slice_axis(n, x, axis, start, sizes[i]));
		start += sizes[i];
	}
	return n->rc;
}

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
	return v < low ? low : v > high ? high : v;
}

/* One axis of Slice, by the rules of Python: negative bounds count from the end, all are clamped. */
static void slice_bounds(struct node *n, struct ooo_attr *a, int axis, int64_t start, int64_t end,
			 int64_t step)
{
	int64_t size = a->dims[axis], length;

	if (!step || step == INT64_MIN) {
		refuse(n, "a step of %" PRId64 " is not possible", step);
		return;
	}
	if (step < 0 && start < -size) {
		/* The standard clamps such a start to 0, NumPy leaves nothing. */
		refuse(n, "a start of %" PRId64 " with a negative step is not supported", start);
		return;
	}
	start = start < 0 ? (start < -size ? -1 : start + size) : start;
	end = end < 0 ? (end < -size ? -1 : end + size) : end;
	if (step > 0) {
		start = clamp(start, 0, size);
		end = clamp(end, 0, size);
		length = end > start ? (end - start - 1) / step + 1 : 0;
	} else {
		start = clamp(start, size ? 0 : -1, size - 1);
		end = clamp(end, -1, size - 1);
		length = start > end ? (start - end - 1) / -step + 1 : 0;
	}
	a->start[axis] = length ? start : 0;
	a->step[axis] = length > 1 ? step : 1;
	a->dims[axis] = length;
}

/* starts, ends, axes, steps: attributes before opset 10, operands from then on. */
static int read_slice(struct node *n, int64_t v[4][OOO_MAX_RANK], int *count)
{
	static const char *const names[] = { "starts", "ends", "axes", "steps" };

	for (int i = 0; i < 4; i++) {
		if (n->opset >= 10)
			count[i] = operand_ints(n, i + 1, names[i], v[i], OOO_MAX_RANK);
		else
			count[i] = i == 3 ? -1 : attr_ints(n, names[i], v[i], OOO_MAX_RANK);
		if (i < 2 && count[i] < 0)
			refuse(n, "%s is missing", names[i]);
		if (count[i] >= 0 && count[i] != count[0])
			refuse(n, "%s and %s differ in length", names[0], names[i]);
	}
	if (n->opset < 10 && n->nr_in > 1)
		refuse(n, "bounds are inputs from opset 10 on only");
	return attrs_done(n);
}

IMPORT(slice)
{
	const struct shape *x = &n->in[0]->shape;
	int64_t v[4][OOO_MAX_RANK];
	struct ooo_attr a;
	uint32_t seen = 0;
	int count[4];

	if (read_slice(n, v, count))
		return n->rc;
	ooo_attr_init(&a, op);
	a.rank = x->rank;
	memcpy(a.dims, x->dims, sizeof(a.dims));
	for (int i = 0; i < count[0]; i++) {
		int axis = normal_axis(n, count[2] < 0 ? i : v[2][i], x->rank);

		if (n->rc)
			return n->rc;
		if (seen & 1u << axis)
			return refuse(n, "axis %d is given twice", axis);
		seen |= 1u << axis;
		slice_bounds(n, &a, axis, v[0][i], v[1][i], count[3] < 0 ? 1 : v[3][i]);
	}
	if (!n->rc)
		set_out(n, 0, emit1(n, op, &a, n->in[0]));
	return n->rc;
}

static void pad_bounds(struct node *n, struct ooo_attr *a, const int64_t *pads)
{
	for (int i = 0; i < a->rank; i++) {
		int64_t begin = pads[i], end = pads[i + a->rank], limit = 1ll << 40;

		if (begin < -limit || begin > limit || end < -limit || end > limit) {
			refuse(n, "padding of %" PRId64 ", %" PRId64 " is not possible", begin,
			       end);
			return;
		}
		if (a->mode == 1 && (begin >= a->dims[i] || end >= a->dims[i])) {
			refuse(n, "axis %d is too short to be reflected by %" PRId64 ", %" PRId64,
			       i, begin, end);
			return;
		}
		a->start[i] = begin;
		a->dims[i] += begin + end;
		if (a->dims[i] < 0) {
			refuse(n, "cuts more from axis %d than it has", i);
			return;
		}
	}
}

/* The value must survive its way through the operator's fp32 attribute. */
static void pad_value(struct node *n, struct ooo_attr *a)
{
	double v = n->opset < 11 ? (double)attr_float(n, "value", 0.0f)
				 : operand_number(n, 2, "constant_value", 0);

	if (a->mode != 0)
		return;
	a->alpha = (float)v;
	if ((double)a->alpha != v && !isnan(v))
		refuse(n, "the value %g is not a number in fp32, which is not supported", v);
}

/* pads[] names some axes only: 0 for the others. The new count, or -1 when refused. */
static int spread_pads(struct node *n, int64_t pads[2 * OOO_MAX_RANK], int count)
{
	int64_t axes[OOO_MAX_RANK], given[2 * OOO_MAX_RANK];
	int rank = n->in[0]->shape.rank;
	int nr = operand_ints(n, 3, "axes", axes, OOO_MAX_RANK);
	uint32_t seen = 0;

	if (nr < 0 || count != 2 * nr)
		return refuse(n, "pads has %d elements for %d axes", count, nr), -1;
	memcpy(given, pads, sizeof(given));
	memset(pads, 0, 2 * OOO_MAX_RANK * sizeof(*pads));
	for (int i = 0; i < nr; i++) {
		int axis = normal_axis(n, axes[i], rank);

		if (n->rc)
			return -1;
		if (seen & 1u << axis)
			return refuse(n, "an axis is given twice"), -1;
		seen |= 1u << axis;
		pads[axis] = given[i];
		pads[axis + rank] = given[i + nr];
	}
	return 2 * rank;
}

IMPORT(pad)
{
	static const char *const modes[] = { "constant", "reflect", "edge" };
	const struct shape *x = &n->in[0]->shape;
	int64_t pads[2 * OOO_MAX_RANK];
	struct ooo_attr a;
	int count;

	ooo_attr_init(&a, op);
	a.mode = attr_enum(n, "mode", "constant", modes, 3);
	a.rank = x->rank;
	memcpy(a.dims, x->dims, sizeof(a.dims));
	if (n->opset < 11 && n->nr_in > 1)
		return refuse(n, "pads are an input from opset 11 on only");
	count = n->opset < 11 ? attr_ints(n, "pads", pads, 2 * OOO_MAX_RANK)
			      : operand_ints(n, 1, "pads", pads, 2 * OOO_MAX_RANK);
	pad_value(n, &a);
	if (attrs_done(n))
		return n->rc;
	if (operand(n, 3))
		count = spread_pads(n, pads, count);
	if (count != 2 * x->rank)
		return refuse(n, "pads has %d elements for an input of rank %d", count, x->rank);
	pad_bounds(n, &a, pads);
	set_out(n, 0, emit1(n, op, &a, n->in[0]));
	return n->rc;
}

IMPORT(transpose)
{
	int rank = n->in[0]->shape.rank, count;
	int64_t perm[OOO_MAX_RANK];
	struct ooo_attr a;
	bool moved = false;

	ooo_attr_init(&a, op);
	count = attr_ints(n, "perm", perm, OOO_MAX_RANK);
	if (count >= 0 && count != rank)
		return refuse(n, "perm has %d elements for an input of rank %d", count, rank);
	for (int i = 0; i < rank; i++) {
		int64_t axis = count < 0 ? rank - 1 - i : perm[i];

		if (axis < 0 || axis >= rank)
			return refuse(n, "perm names axis %" PRId64 " of an input of rank %d", axis,
				      rank);
		a.perm[i] = (int32_t)axis;
		moved = moved || axis != i;
	}
	if (attrs_done(n))
		return n->rc;
	set_out(n, 0, moved ? emit1(n, op, &a, n->in[0]) : n->in[0]);
	return n->rc;
}

IMPORT(expand)
{
	struct shape given = { .dtype = n->in[0]->shape.dtype }, to;

	given.rank = operand_ints(n, 1, "shape", given.dims, OOO_MAX_RANK);
	if (attrs_done(n))
		return n->rc;
	for (int i = 0; i < given.rank; i++)
		if (given.dims[i] < 0)
			return refuse(n, "the shape has the size %" PRId64, given.dims[i]);
	if (shape_broadcast(&n->in[0]->shape, &given, &to))
		return refuse(n, "the input does not broadcast to the shape");
	set_out(n, 0, expand(n, n->in[0], &to));
	return n->rc;
}

IMPORT(tile)
{
	const struct shape *x = &n->in[0]->shape;
	int64_t repeats[OOO_MAX_RANK];
	struct ooo_attr a;
	int count = operand_ints(n, 1, "repeats", repeats, OOO_MAX_RANK);

	if (attrs_done(n))
		return n->rc;
	if (count != x->rank)
		return refuse(n, "repeats has %d elements for an input of rank %d", count, x->rank);
	ooo_attr_init(&a, op);
	a.rank = x->rank;
	for (int i = 0; i < x->rank; i++)
		if (repeats[i] < 0 || __builtin_mul_overflow(x->dims[i], repeats[i], &a.dims[i]))
			return refuse(n, "%" PRId64 " repeats are not possible", repeats[i]);
	set_out(n, 0, emit1(n, op, &a, n->in[0]));
	return n->rc;
}

IMPORT(gather)
{
	const struct value *index = n->in[1];
	struct ooo_attr a;
	int64_t size;

	ooo_attr_init(&a, op);
	a.axis = attr_axis(n, "axis", 0, n->in[0]->shape.rank);
	if (n->rc)
		return n->rc;
	if (index->constant && account(n, value_elems(index)))
		return n->rc;
	size = n->in[0]->shape.dims[a.axis];
	for (int64_t i = 0; index->constant && is_int(index) && i < value_elems(index); i++) {
		int64_t at = value_int(index, i);

		if (at < -size || at >= size)
			return refuse(n, "index %" PRId64 " is outside an axis of %" PRId64, at,
				      size);
	}
	return emit_node(n, op, &a);
}

/* A vector of positions in the operand as one row of elements (or of slices): -1: refused. */
static int flat_index(struct node *n, const struct shape *shape, int axis, int64_t at,
		      int64_t *flat)
{
	int64_t size = shape->dims[axis];

	if (at < -size || at >= size)
		return refuse(n, "index %" PRId64 " is outside an axis of %" PRId64, at, size), -1;
	*flat = *flat * size + (at < 0 ? at + size : at);
	return 0;
}

/* Constant indices only: what they select is then a Gather from the flattened operand. */
static const struct value *constant_index(struct node *n)
{
	const struct value *index = n->in[1];

	if (!index->constant || !is_int(index)) {
		refuse(n, "indices that are not constant are not supported");
		return NULL;
	}
	return account(n, value_elems(index)) ? NULL : index;
}

static void gather_flat(struct node *n, enum ooo_op op, int64_t rows, const struct shape *row,
			struct value *index)
{
	struct shape flat = { .rank = row->rank + 1, .dims = { rows } };
	struct value *x, *out;
	struct ooo_attr a;

	if (n->rc || !index)
		return;
	memcpy(flat.dims + 1, row->dims, (size_t)row->rank * sizeof(*row->dims));
	ooo_attr_init(&a, op);
	x = reshape(n, n->in[0], flat.rank, flat.dims);
	if (x && !emit(n, op, &a, (struct value *const[]){ x, index }, 2, &out, 1))
		set_out(n, 0, out);
}

IMPORT(gather_elements)
{
	const struct shape *x = &n->in[0]->shape;
	int axis = attr_axis(n, "axis", 0, x->rank);
	const struct value *index = attrs_done(n) ? NULL : constant_index(n);
	struct shape shape, none = { 0 };
	struct value *flat;
	void *data;

	if (!index)
		return n->rc;
	shape = index->shape;
	if (shape.rank != x->rank)
		return refuse(n, "indices of rank %d for an input of rank %d", shape.rank, x->rank);
	for (int i = 0; i < x->rank; i++)
		if (i != axis && shape.dims[i] > x->dims[i])
			return refuse(n, "indices are longer than axis %d", i);
	shape.dtype = OOO_INT64;
	flat = new_constant(n, &shape, &data);
	for (int64_t i = 0; flat && i < value_elems(index); i++) {
		int64_t left = i, at[OOO_MAX_RANK], sum = 0;

		for (int d = x->rank - 1; d >= 0; d--) {
			at[d] = left % shape.dims[d];
			left /= shape.dims[d];
		}
		at[axis] = value_int(index, i);
		for (int d = 0; d < x->rank; d++)
			if (flat_index(n, x, d, at[d], &sum))
				return n->rc;
		((int64_t *)data)[i] = sum;
	}
	gather_flat(n, op, value_elems(n->in[0]), &none, flat);
	return n->rc;
}

IMPORT(gather_nd)
{
	const struct shape *x = &n->in[0]->shape;
	int batch = attr_range(n, "batch_dims", 0, 0, 0);
	const struct value *index = attrs_done(n) ? NULL : constant_index(n);
	struct shape shape, row = { 0 };
	struct value *flat;
	int64_t depth, rows = 1;
	void *data;

	(void)batch;
	if (!index)
		return n->rc;
	shape = index->shape;
	depth = shape.rank ? shape.dims[shape.rank - 1] : 0;
	if (depth < 1 || depth > x->rank)
		return refuse(n, "indices of %" PRId64 " coordinates for an input of rank %d",
			      depth, x->rank);
	for (int d = 0; d < (int)depth; d++)
		rows *= x->dims[d];
	row.rank = x->rank - (int)depth;
	memcpy(row.dims, x->dims + depth, (size_t)row.rank * sizeof(*row.dims));
	shape.rank--;
	shape.dtype = OOO_INT64;
	flat = new_constant(n, &shape, &data);
	for (int64_t i = 0; flat && i < value_elems(index) / depth; i++) {
		int64_t sum = 0;

		for (int d = 0; d < (int)depth; d++)
			if (flat_index(n, x, d, value_int(index, i * depth + d), &sum))
				return n->rc;
		((int64_t *)data)[i] = sum;
	}
	gather_flat(n, op, rows, &row, flat);
	return n->rc;
}

static int block_size(struct node *n)
{
	if (!attr_has(n, "blocksize"))
		refuse(n, "attribute blocksize is missing");
	return attr_range(n, "blocksize", 1, 1, 1 << 15);
}

IMPORT(depth_to_space)
{
	static const char *const modes[] = { "DCR", "CRD" };
	struct ooo_attr a;

	ooo_attr_init(&a, op);
	a.kernel[0] = block_size(n);
	a.mode = n->opset >= 11 ? attr_enum(n, "mode", "DCR", modes, 2) : 0;
	return emit_node(n, op, &a);
}

IMPORT(space_to_depth)
{
	struct ooo_attr a;

	ooo_attr_init(&a, op);
	a.kernel[0] = block_size(n);
	return emit_node(n, op, &a);
}
