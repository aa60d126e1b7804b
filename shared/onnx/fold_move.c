/* SPDX-License-Identifier: Apache-2.0 */
/* Constants that are rearranged: any type, only the size of an element matters. */
#include <inttypes.h>
#include <string.h>

#include "shared/onnx/fold.h"

bool fold_move_can(const struct folding *f)
{
	switch (f->op) {
	case OOO_OP_IDENTITY:
	case OOO_OP_RESHAPE:
	case OOO_OP_SLICE:
	case OOO_OP_SPLIT:
	case OOO_OP_TRANSPOSE:
	case OOO_OP_EXPAND:
	case OOO_OP_TILE:
		return true;
	case OOO_OP_CONCAT:
		for (int i = 1; i < f->nr_in; i++)
			if (f->in[i]->shape.dtype != f->in[0]->shape.dtype)
				return false;
		return true;
	case OOO_OP_GATHER:
		return f->in[1]->shape.dtype == OOO_INT64 || f->in[1]->shape.dtype == OOO_INT32;
	default:
		return false;
	}
}

static size_t elem_bytes(const struct folding *f)
{
	return dtype_bytes(f->in[0]->shape.dtype);
}

/* to[i] = from[offset + strides . i], row by row; the row is copied whole where it is dense. */
static void copy_strided(char *to, const char *from, const struct shape *shape,
			 const int64_t *strides, int64_t offset, size_t bytes)
{
	struct shape rows = *shape;
	int64_t index[OOO_MAX_RANK] = { 0 }, step[1][OOO_MAX_RANK], count, row = 1, inner = 1;

	if (shape_elems(shape, &count) || !count)
		return;
	memset(step, 0, sizeof(step));
	memcpy(step[0], strides, (size_t)shape->rank * sizeof(*strides));
	if (rows.rank) {
		row = rows.dims[--rows.rank];
		inner = strides[rows.rank];
	}
	for (int64_t i = 0; i < count / row; i++) {
		if (inner == 1) {
			memcpy(to, from + offset * (int64_t)bytes, (size_t)row * bytes);
			to += (size_t)row * bytes;
		} else {
			for (int64_t k = 0; k < row; k++, to += bytes)
				memcpy(to, from + (offset + k * inner) * (int64_t)bytes, bytes);
		}
		fold_next(&rows, index, step, &offset, 1);
	}
}

static void fold_slice(const struct folding *f)
{
	int64_t strides[OOO_MAX_RANK] = { 0 }, offset = 0;

	fold_strides(&f->in[0]->shape, strides);
	for (int i = 0; i < f->in[0]->shape.rank; i++) {
		offset += f->attr->start[i] * strides[i];
		strides[i] *= f->attr->step[i];
	}
	copy_strided(f->data[0], f->in[0]->data, &f->out[0]->shape, strides, offset, elem_bytes(f));
}

static void fold_split(const struct folding *f)
{
	int64_t strides[OOO_MAX_RANK] = { 0 }, offset = 0;

	fold_strides(&f->in[0]->shape, strides);
	for (int i = 0; i < f->nr_out; i++) {
		copy_strided(f->data[i], f->in[0]->data, &f->out[i]->shape, strides, offset,
			     elem_bytes(f));
		offset += f->out[i]->shape.dims[f->attr->axis] * strides[f->attr->axis];
	}
}

static void fold_transpose(const struct folding *f)
{
	int64_t own[OOO_MAX_RANK] = { 0 }, strides[OOO_MAX_RANK] = { 0 };

	fold_strides(&f->in[0]->shape, own);
	for (int i = 0; i < f->in[0]->shape.rank; i++)
		strides[i] = own[f->attr->perm[i]];
	copy_strided(f->data[0], f->in[0]->data, &f->out[0]->shape, strides, 0, elem_bytes(f));
}

static void fold_expand(const struct folding *f)
{
	int64_t strides[OOO_MAX_RANK] = { 0 };

	fold_broadcast(&f->in[0]->shape, &f->out[0]->shape, strides);
	copy_strided(f->data[0], f->in[0]->data, &f->out[0]->shape, strides, 0, elem_bytes(f));
}

static void fold_tile(const struct folding *f)
{
	const struct shape *x = &f->in[0]->shape, *y = &f->out[0]->shape;
	int64_t own[OOO_MAX_RANK] = { 0 }, index[OOO_MAX_RANK] = { 0 }, none = 0;
	size_t bytes = elem_bytes(f);
	char *to = f->data[0];

	fold_strides(x, own);
	for (int64_t i = 0; i < value_elems(f->out[0]); i++) {
		int64_t from = 0;

		for (int axis = 0; axis < x->rank; axis++)
			from += index[axis] % x->dims[axis] * own[axis];
		memcpy(to, (const char *)f->in[0]->data + from * (int64_t)bytes, bytes);
		to += bytes;
		fold_next(y, index, NULL, &none, 0);
	}
}

/* Both views: [outer, axis, inner], where inner elements lie together. */
static void view(const struct shape *s, int axis, int64_t *outer, int64_t *inner)
{
	*outer = *inner = 1;
	for (int i = 0; i < s->rank; i++) {
		if (i < axis)
			*outer *= s->dims[i];
		else if (i > axis)
			*inner *= s->dims[i];
	}
}

static void fold_concat(const struct folding *f)
{
	int axis = f->attr->axis;
	int64_t outer, inner;
	char *to = f->data[0];

	view(&f->out[0]->shape, axis, &outer, &inner);
	for (int64_t o = 0; o < outer; o++)
		for (int i = 0; i < f->nr_in; i++) {
			size_t bytes = (size_t)(f->in[i]->shape.dims[axis] * inner) * elem_bytes(f);

			if (!bytes)
				continue;
			memcpy(to, (const char *)f->in[i]->data + (size_t)o * bytes, bytes);
			to += bytes;
		}
}

static void fold_gather(const struct folding *f)
{
	int axis = f->attr->axis;
	int64_t outer, inner, size = f->in[0]->shape.dims[axis], count = value_elems(f->in[1]);
	const char *from = f->in[0]->data;
	char *to = f->data[0];
	size_t bytes;

	view(&f->in[0]->shape, axis, &outer, &inner);
	bytes = (size_t)inner * elem_bytes(f);
	for (int64_t o = 0; bytes && o < outer; o++)
		for (int64_t i = 0; i < count; i++, to += bytes) {
			int64_t at = value_int(f->in[1], i);

			if (at < -size || at >= size) {
				refuse(f->n, "index %" PRId64 " is outside an axis of %" PRId64, at,
				       size);
				return;
			}
			at += at < 0 ? size : 0;
			memcpy(to, from + (size_t)(o * size + at) * bytes, bytes);
		}
}

void fold_move(const struct folding *f)
{
	uint64_t bytes;

	switch (f->op) {
	case OOO_OP_SLICE:
		fold_slice(f);
		break;
	case OOO_OP_SPLIT:
		fold_split(f);
		break;
	case OOO_OP_TRANSPOSE:
		fold_transpose(f);
		break;
	case OOO_OP_EXPAND:
		fold_expand(f);
		break;
	case OOO_OP_TILE:
		fold_tile(f);
		break;
	case OOO_OP_CONCAT:
		fold_concat(f);
		break;
	case OOO_OP_GATHER:
		fold_gather(f);
		break;
	default: /* Identity, Reshape */
		if (!shape_bytes(&f->out[0]->shape, &bytes) && bytes)
			memcpy(f->data[0], f->in[0]->data, (size_t)bytes);
		break;
	}
}
