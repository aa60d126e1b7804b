/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/program/view.h"

#include <string.h>

/* One more part of the last axis. */
static bool add_part(struct view *v, int64_t dim, int64_t stride)
{
	if (dim == 1)
		return true;
	if (v->nr_parts == VIEW_MAX_PARTS)
		return false;
	v->part[v->nr_parts++] = (struct view_part){ dim, stride };
	v->parts[v->rank - 1]++;
	return true;
}

static void add_axis(struct view *v)
{
	v->parts[v->rank++] = 0;
}

/* The axis of another view becomes the last. */
static bool copy_axis(struct view *v, const struct view *from, int axis)
{
	int at = view_parts_before(from, axis);

	add_axis(v);
	for (int i = 0; i < from->parts[axis]; i++)
		if (!add_part(v, from->part[at + i].dim, from->part[at + i].stride))
			return false;
	return true;
}

void view_whole(struct view *v, const struct shape *shape)
{
	int64_t stride = 1;

	for (int i = 0; i < shape->rank; i++)
		stride *= shape->dims[i];
	*v = (struct view){ 0 };
	for (int i = 0; i < shape->rank; i++) {
		stride /= shape->dims[i] ? shape->dims[i] : 1;
		add_axis(v);
		add_part(v, shape->dims[i], stride);
	}
}

int view_parts_before(const struct view *v, int axis)
{
	int n = 0;

	for (int i = 0; i < axis; i++)
		n += v->parts[i];
	return n;
}

int64_t view_length(const struct view *v, int axis)
{
	int at = view_parts_before(v, axis);
	int64_t n = 1;

	for (int i = 0; i < v->parts[axis]; i++)
		n *= v->part[at + i].dim;
	return n;
}

bool view_stride(const struct view *v, int axis, int64_t *stride)
{
	*stride = v->parts[axis] ? v->part[view_parts_before(v, axis)].stride : 0;
	return v->parts[axis] <= 1;
}

/* `need` elements from the end of the parts that are left, as parts in reverse. */
static bool cut(struct view *from, int64_t need, struct view_part *parts, int *nr)
{
	*nr = 0;
	while (need > 1) {
		struct view_part *last;
		int64_t dim;

		if (!from->nr_parts || *nr == VIEW_MAX_PARTS)
			return false;
		last = &from->part[from->nr_parts - 1];
		dim = last->dim < need ? last->dim : need;
		if (dim < 1 || last->dim % dim || need % dim)
			return false;
		/* Evenly spaced with what was cut before: one part. */
		if (*nr && parts[*nr - 1].stride * parts[*nr - 1].dim == last->stride)
			parts[*nr - 1].dim *= dim;
		else
			parts[(*nr)++] = (struct view_part){ dim, last->stride };
		last->dim /= dim;
		last->stride *= dim;
		need /= dim;
		if (last->dim == 1)
			from->nr_parts--;
	}
	return true;
}

bool view_reshape(struct view *v, int rank, const int64_t *dims)
{
	struct view_part parts[OOO_MAX_RANK][VIEW_MAX_PARTS];
	struct view from = *v;
	int nr[OOO_MAX_RANK];

	for (int i = rank - 1; i >= 0; i--)
		if (dims[i] < 1 || !cut(&from, dims[i], parts[i], &nr[i]))
			return false;
	if (from.nr_parts)
		return false;
	v->rank = 0;
	v->nr_parts = 0;
	for (int i = 0; i < rank; i++) {
		add_axis(v);
		for (int k = nr[i] - 1; k >= 0; k--)
			if (!add_part(v, parts[i][k].dim, parts[i][k].stride))
				return false;
	}
	return true;
}

bool view_broadcast(struct view *v, int rank, const int64_t *dims)
{
	struct view from = *v;

	if (from.rank > rank)
		return false;
	v->rank = 0;
	v->nr_parts = 0;
	for (int i = 0; i < rank; i++) {
		int k = i - (rank - from.rank);
		int64_t have = k < 0 ? 1 : view_length(&from, k);
		bool fits;

		if (have == 1) {
			add_axis(v);
			fits = add_part(v, dims[i], 0);
		} else {
			fits = have == dims[i] && copy_axis(v, &from, k);
		}
		if (!fits)
			return false;
	}
	return true;
}

void view_permute(struct view *v, const int32_t *perm)
{
	struct view from = *v;

	v->rank = 0;
	v->nr_parts = 0;
	for (int i = 0; i < from.rank; i++)
		copy_axis(v, &from, perm[i]);
}

/* A Gather with one constant index takes one place of an axis. */
static bool gather_index(const struct program *p, const struct step *s, int64_t *index)
{
	const struct tensor *t = &p->tensors[s->in[1]];
	int64_t n = 0;
	int32_t narrow;

	if (t->place != PLACE_CONST || t->shape.rank > 1 || shape_elems(&t->shape, &n) || n != 1)
		return false;
	if (t->shape.dtype == OOO_INT64) {
		memcpy(index, t->data, sizeof(*index));
	} else if (t->shape.dtype == OOO_INT32) {
		memcpy(&narrow, t->data, sizeof(narrow));
		*index = narrow;
	} else {
		return false;
	}
	n = p->tensors[s->in[0]].shape.dims[s->attr.axis];
	if (*index < 0)
		*index += n;
	return *index >= 0 && *index < n;
}

bool view_is_move(const struct program *p, const struct step *s)
{
	int64_t index;

	if (s->nr_post)
		return false;
	switch (s->op) {
	case OOO_OP_IDENTITY:
	case OOO_OP_RESHAPE:
	case OOO_OP_TRANSPOSE:
	case OOO_OP_EXPAND:
	case OOO_OP_SLICE:
	case OOO_OP_SPLIT:
		return true;
	case OOO_OP_GATHER:
		return gather_index(p, s, &index);
	default:
		return false;
	}
}

/* Elements start, start + step, ... of the axis, `dim` of them. */
static bool take_range(struct view *v, int axis, int64_t start, int64_t step, int64_t dim)
{
	struct view from = *v;
	int64_t stride;

	if (!start && step == 1 && dim == view_length(v, axis))
		return true;
	if (step < 1 || !view_stride(v, axis, &stride))
		return false;
	v->start += start * stride;
	v->rank = 0;
	v->nr_parts = 0;
	for (int i = 0; i < from.rank; i++) {
		if (i != axis) {
			copy_axis(v, &from, i);
			continue;
		}
		add_axis(v);
		add_part(v, dim, stride * step);
	}
	return true;
}

static bool slice(struct view *v, const struct ooo_attr *a)
{
	for (int i = 0; i < v->rank; i++)
		if (!take_range(v, i, a->start[i], a->step[i], a->dims[i]))
			return false;
	return true;
}

static bool split(struct view *v, const struct program *p, const struct step *s, uint32_t out)
{
	int axis = s->attr.axis;
	int64_t start = 0;

	for (unsigned k = 0; s->out[k] != out; k++)
		start += p->tensors[s->out[k]].shape.dims[axis];
	return take_range(v, axis, start, 1, p->tensors[out].shape.dims[axis]);
}

static bool gather(struct view *v, const struct program *p, const struct step *s, uint32_t out)
{
	const struct shape *to = &p->tensors[out].shape;
	int64_t index = 0;

	return gather_index(p, s, &index) && take_range(v, s->attr.axis, index, 1, 1) &&
	       view_reshape(v, to->rank, to->dims);
}

bool view_step(struct view *v, const struct program *p, const struct step *s, uint32_t out)
{
	const struct shape *to = &p->tensors[out].shape;

	switch (s->op) {
	case OOO_OP_RESHAPE:
		return view_reshape(v, to->rank, to->dims);
	case OOO_OP_EXPAND:
		return view_broadcast(v, to->rank, to->dims);
	case OOO_OP_TRANSPOSE:
		view_permute(v, s->attr.perm);
		return true;
	case OOO_OP_SLICE:
		return slice(v, &s->attr);
	case OOO_OP_SPLIT:
		return split(v, p, s, out);
	case OOO_OP_GATHER:
		return gather(v, p, s, out);
	default:
		return true;
	}
}
