// SPDX-License-Identifier: Apache-2.0
/*
 * Reductions: each output element on its own, over its part of the input in a fixed order. Sums
 * accumulate in double, so the order hardly matters to the result and never changes.
 */
#include <math.h>
#include <string.h>

#include "agent/device/cpu/kernels_impl.h"

/* The input's axes split into those kept (in the order of the output's memory) and those reduced. */
struct split_axes {
	struct walk kept, reduced;
};

static void split(const struct tensor *x, const struct tensor *y, uint32_t axes, bool keepdims,
		  struct split_axes *s)
{
	int64_t strides[OOO_MAX_RANK];
	bool nhwc = x->layout == LAYOUT_NHWC && x->shape.rank == 4;
	static const int image_order[] = { 0, 2, 3, 1 };
	/* A kept image stays channels last; without the reduced axes the output is plain. */
	bool image_out = nhwc && keepdims && y->layout == LAYOUT_NHWC;

	memset(s, 0, sizeof(*s));
	s->kept.nr_operands = s->reduced.nr_operands = 1;
	tensor_strides(x, strides);
	for (int k = 0; k < x->shape.rank; k++) {
		int i = image_out ? image_order[k] : k;
		struct walk *w = axes >> i & 1 ? &s->reduced : &s->kept;

		w->dims[w->rank] = x->shape.dims[i];
		w->stride[0][w->rank++] = strides[i];
	}
	walk_pack(&s->kept);
	walk_pack(&s->reduced);
}

struct reduce_ctx {
	uint32_t op, dtype;
	const void *x;
	void *y;
	const struct walk *reduced;
	int64_t count, next; /* output elements are visited in order */
	double sum;
	float extreme;
	int64_t int_sum, int_extreme;
	bool first;
};

static void accumulate_float(struct reduce_ctx *c, const float *x, int64_t n, int64_t stride)
{
	if (c->op == OOO_OP_REDUCE_SUM || c->op == OOO_OP_REDUCE_MEAN) {
		for (int64_t i = 0; i < n; i++)
			c->sum += (double)x[i * stride];
		return;
	}
	for (int64_t i = 0; i < n; i++) {
		float v = x[i * stride];
		bool better = c->op == OOO_OP_REDUCE_MAX ? v > c->extreme : v < c->extreme;

		if (c->first || better || (isnan(v) && !isnan(c->extreme)))
			c->extreme = v;
		c->first = false;
	}
}

static void accumulate_int(struct reduce_ctx *c, int64_t v)
{
	bool better = c->op == OOO_OP_REDUCE_MAX ? v > c->int_extreme : v < c->int_extreme;

	c->int_sum = (int64_t)((uint64_t)c->int_sum + (uint64_t)v);
	if (c->first || better)
		c->int_extreme = v;
	c->first = false;
}

static void reduce_inner(void *ctx, const struct walk *w, const int64_t *offset, int64_t n)
{
	struct reduce_ctx *c = ctx;
	int64_t stride = w->stride[0][w->rank - 1];

	if (c->dtype == OOO_FP32) {
		accumulate_float(c, (const float *)c->x + offset[0], n, stride);
		return;
	}
	for (int64_t i = 0; i < n; i++)
		accumulate_int(c, c->dtype == OOO_INT32
					  ? ((const int32_t *)c->x)[offset[0] + i * stride]
					  : ((const int64_t *)c->x)[offset[0] + i * stride]);
}

static void finish_element(struct reduce_ctx *c)
{
	int64_t i = c->next++, v;

	if (c->dtype == OOO_FP32) {
		float *y = (float *)c->y + i;

		if (c->op == OOO_OP_REDUCE_SUM)
			*y = (float)c->sum;
		else if (c->op == OOO_OP_REDUCE_MEAN)
			*y = (float)(c->sum / (double)c->count);
		else
			*y = c->extreme;
		return;
	}
	v = c->int_extreme;
	if (c->op == OOO_OP_REDUCE_SUM)
		v = c->int_sum;
	else if (c->op == OOO_OP_REDUCE_MEAN)
		v = c->count ? c->int_sum / c->count : 0;
	if (c->dtype == OOO_INT32)
		((int32_t *)c->y)[i] = (int32_t)v;
	else
		((int64_t *)c->y)[i] = v;
}

static void reduce_outer(void *ctx, const struct walk *w, const int64_t *offset, int64_t n)
{
	struct reduce_ctx *c = ctx;
	const char *base = c->x;
	int64_t stride = w->stride[0][w->rank - 1];
	size_t size = dtype_bytes(c->dtype);

	for (int64_t i = 0; i < n; i++) {
		c->x = base + (offset[0] + i * stride) * (int64_t)size;
		c->sum = 0;
		c->int_sum = 0;
		c->first = true;
		walk_range(c->reduced, 0, c->count, reduce_inner, c);
		finish_element(c);
	}
	c->x = base;
}

enum ooo_status kernel_reduce(const struct kernel_args *a, int64_t from, int64_t to)
{
	const struct ooo_attr *at = &a->step->attr;
	struct split_axes s;
	struct reduce_ctx c = { .op = a->step->op,
				.dtype = in_tensor(a, 0)->shape.dtype,
				.x = a->in[0],
				.y = a->out[0],
				.next = from };

	split(in_tensor(a, 0), out_tensor(a, 0), at->axes, at->flags & OOO_ATTR_KEEPDIMS, &s);
	c.reduced = &s.reduced;
	c.count = walk_elems(&s.reduced);
	walk_range(&s.kept, from, to, reduce_outer, &c);
	return OOO_OK;
}

struct arg_ctx {
	const void *x;
	int64_t *y;
	uint32_t dtype;
	int64_t size, stride, next;
	bool min, last;
};

static double value_at(const struct arg_ctx *c, int64_t offset)
{
	switch (c->dtype) {
	case OOO_FP32:
		return (double)((const float *)c->x)[offset];
	case OOO_INT32:
		return (double)((const int32_t *)c->x)[offset];
	default:
		return (double)((const int64_t *)c->x)[offset];
	}
}

/* The first (or last) extreme value; a NaN is extreme, the first one wins. */
static int64_t find_extreme(const struct arg_ctx *c, int64_t offset)
{
	double best = value_at(c, offset);
	int64_t at = 0;

	for (int64_t i = 1; i < c->size && !isnan(best); i++) {
		double v = value_at(c, offset + i * c->stride);

		if (isnan(v) || (c->min ? v < best : v > best) || (c->last && v == best)) {
			best = v;
			at = i;
		}
	}
	return at;
}

static void arg_run(void *ctx, const struct walk *w, const int64_t *offset, int64_t n)
{
	struct arg_ctx *c = ctx;

	for (int64_t i = 0; i < n; i++)
		c->y[c->next++] = find_extreme(c, offset[0] + i * w->stride[0][w->rank - 1]);
}

enum ooo_status kernel_arg_extreme(const struct kernel_args *a, int64_t from, int64_t to)
{
	const struct ooo_attr *at = &a->step->attr;
	const struct tensor *x = in_tensor(a, 0);
	int64_t strides[OOO_MAX_RANK];
	struct split_axes s;
	struct arg_ctx c = { .x = a->in[0],
			     .y = a->out[0],
			     .dtype = x->shape.dtype,
			     .size = x->shape.dims[at->axis],
			     .next = from,
			     .min = a->step->op == OOO_OP_ARG_MIN,
			     .last = at->flags & OOO_ATTR_LAST_INDEX };

	tensor_strides(x, strides);
	c.stride = strides[at->axis];
	split(x, out_tensor(a, 0), 1u << at->axis, at->flags & OOO_ATTR_KEEPDIMS, &s);
	walk_range(&s.kept, from, to, arg_run, &c);
	return OOO_OK;
}
