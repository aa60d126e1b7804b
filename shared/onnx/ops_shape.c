/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that change the shape alone, or ask for it. All shapes are known here. */
#include <inttypes.h>
#include <string.h>

#include "shared/onnx/ops.h"

/* Put the size that makes `dims` as large as x in place of the -1 at `open`. */
static int fill_open(struct node *n, int64_t *dims, int rank, int open)
{
	int64_t elems = value_elems(n->in[0]), rest = 1;

	for (int i = 0; i < rank; i++)
		if (i != open && __builtin_mul_overflow(rest, dims[i], &rest))
			return refuse(n, "the shape is too large");
	if (!rest || elems % rest)
		return refuse(n, "%" PRId64 " elements do not fit a shape of %" PRId64 " and a -1",
			      elems, rest);
	dims[open] = elems / rest;
	return 0;
}

IMPORT(reshape)
{
	const struct shape *x = &n->in[0]->shape;
	int64_t dims[OOO_MAX_RANK];
	int rank, open = -1;
	bool keep_zero = n->opset >= 14 && attr_flag(n, "allowzero", false);

	rank = operand_ints(n, 1, "shape", dims, OOO_MAX_RANK);
	if (attrs_done(n))
		return n->rc;
	for (int i = 0; i < rank; i++) {
		if (dims[i] == 0 && !keep_zero) {
			if (i >= x->rank)
				return refuse(n, "the shape copies axis %d, which the input lacks",
					      i);
			dims[i] = x->dims[i];
		} else if (dims[i] == -1 && open < 0) {
			open = i;
		} else if (dims[i] < 0) {
			return refuse(n, "the shape has a second -1 or the size %" PRId64, dims[i]);
		}
	}
	if (open >= 0 && fill_open(n, dims, rank, open))
		return n->rc;
	set_out(n, 0, reshape(n, n->in[0], rank, dims));
	return n->rc;
}

IMPORT(flatten)
{
	const struct shape *x = &n->in[0]->shape;
	int64_t axis = attr_int(n, "axis", 1), dims[2] = { 1, 1 };

	if (attrs_done(n))
		return n->rc;
	if (axis < -x->rank || axis > x->rank)
		return refuse(n, "axis %" PRId64 " is outside the rank %d", axis, x->rank);
	axis += axis < 0 ? x->rank : 0;
	for (int i = 0; i < x->rank; i++)
		if (__builtin_mul_overflow(dims[i >= axis], x->dims[i], &dims[i >= axis]))
			return refuse(n, "the input is too large");
	set_out(n, 0, reshape(n, n->in[0], 2, dims));
	return n->rc;
}

/* Axes by attribute before opset 13, by operand from then on; as a mask. Count, or -1: absent. */
static int read_axes(struct node *n, int rank, uint32_t *mask)
{
	int64_t axes[OOO_MAX_RANK];
	int count;

	*mask = 0;
	if (n->opset < 13 && n->nr_in > 1)
		refuse(n, "axes are an input from opset 13 on only");
	count = n->opset < 13 ? attr_ints(n, "axes", axes, OOO_MAX_RANK)
			      : operand_ints(n, 1, "axes", axes, OOO_MAX_RANK);
	for (int i = 0; !n->rc && i < count; i++) {
		uint32_t bit = 1u << normal_axis(n, axes[i], rank);

		if (*mask & bit)
			refuse(n, "an axis is given twice");
		*mask |= bit;
	}
	return count;
}

IMPORT(squeeze)
{
	const struct shape *x = &n->in[0]->shape;
	int64_t dims[OOO_MAX_RANK];
	uint32_t mask;
	int rank = 0, count = read_axes(n, x->rank, &mask);

	if (attrs_done(n))
		return n->rc;
	for (int i = 0; i < x->rank; i++) {
		bool drop = count < 0 ? x->dims[i] == 1 : mask >> i & 1;

		if (drop && x->dims[i] != 1)
			return refuse(n, "axis %d has the size %" PRId64 ", not 1", i, x->dims[i]);
		if (!drop)
			dims[rank++] = x->dims[i];
	}
	set_out(n, 0, reshape(n, n->in[0], rank, dims));
	return n->rc;
}

IMPORT(unsqueeze)
{
	const struct shape *x = &n->in[0]->shape;
	int64_t dims[OOO_MAX_RANK], axes[OOO_MAX_RANK];
	int count, rank, from = 0;
	uint32_t mask;

	/* The axes are those of the result, so their number must be known first. */
	count = n->opset < 13 ? attr_ints(n, "axes", axes, OOO_MAX_RANK)
			      : operand_ints(n, 1, "axes", axes, OOO_MAX_RANK);
	rank = x->rank + count;
	if (count < 0 || rank > OOO_MAX_RANK)
		return refuse(n, "axes are missing, or more than %d", OOO_MAX_RANK);
	read_axes(n, rank, &mask);
	if (attrs_done(n))
		return n->rc;
	for (int i = 0; i < rank; i++)
		dims[i] = mask >> i & 1 ? 1 : x->dims[from++];
	set_out(n, 0, reshape(n, n->in[0], rank, dims));
	return n->rc;
}

static int64_t clamp_axis(int64_t axis, int rank)
{
	if (axis < 0)
		axis = axis < -rank ? 0 : axis + rank;
	return axis > rank ? rank : axis;
}

IMPORT(shape)
{
	const struct shape *x = &n->in[0]->shape;
	int64_t start = 0, end = x->rank;

	if (n->opset >= 15) {
		start = clamp_axis(attr_int(n, "start", 0), x->rank);
		end = clamp_axis(attr_int(n, "end", x->rank), x->rank);
	}
	if (attrs_done(n))
		return n->rc;
	set_out(n, 0, int_vector(n, x->dims + start, end > start ? (int)(end - start) : 0));
	return n->rc;
}

IMPORT(size)
{
	int64_t elems = value_elems(n->in[0]);

	if (!attrs_done(n))
		set_out(n, 0, reshape(n, int_vector(n, &elems, 1), 0, NULL));
	return n->rc;
}
