/* SPDX-License-Identifier: Apache-2.0 */
/* Shape inference of what slides a window over an image: convolution and pooling. */
#include <errno.h>
#include <inttypes.h>

#include "shared/lib/infer_impl.h"

static const char *const axis_names[2] = { "height", "width" };

/* Extent of a dilated kernel. Both are positive 32-bit numbers, so this fits. */
static int64_t extent(const struct ooo_attr *a, int i)
{
	return ((int64_t)a->kernel[i] - 1) * a->dilation[i] + 1;
}

/* Axis of X that index i of the attribute pairs means; -1: the 1-d form has no such axis. */
static int spatial_axis(const struct shape *x, int i)
{
	return x->rank == 4 ? 2 + i : i == 1 ? 2 : -1;
}

static int check_window(const struct infer *n)
{
	const struct ooo_attr *a = n->attr;
	const struct shape *x = n->in[0];

	if (x->rank != 3 && x->rank != 4)
		return infer_fail(n, "the input is %s but must be [N,C,H,W] or [N,C,W]",
				  shape_text(x).s);
	for (int i = 0; i < 2; i++) {
		if (a->kernel[i] < 1 || a->stride[i] < 1 || a->dilation[i] < 1)
			return infer_fail(n,
					  "kernel %d, stride %d and dilation %d of the %s must be"
					  " at least 1",
					  a->kernel[i], a->stride[i], a->dilation[i],
					  axis_names[i]);
		if (a->pad[i] < 0 || a->pad[i + 2] < 0)
			return infer_fail(n, "padding %d, %d of the %s must not be negative",
					  a->pad[i], a->pad[i + 2], axis_names[i]);
	}
	if (x->rank == 3 && (a->kernel[0] != 1 || a->stride[0] != 1 || a->dilation[0] != 1 ||
			     a->pad[0] || a->pad[2] || a->out_pad[0]))
		return infer_fail(n, "the input [N,C,W] has no height: leave its kernel, stride and"
				     " dilation 1 and its padding 0");
	return 0;
}

/* Sizes after the window has slid over x; x is not empty. */
static int slide(const struct infer *n, bool ceil_mode, struct shape *out)
{
	const struct ooo_attr *a = n->attr;
	const struct shape *x = n->in[0];

	for (int i = 0; i < 2; i++) {
		int axis = spatial_axis(x, i);
		int64_t padded, steps;

		if (axis < 0)
			continue;
		padded = x->dims[axis] + a->pad[i] + a->pad[i + 2];
		if (padded < extent(a, i))
			return infer_fail(n,
					  "the kernel covers %" PRId64 " of the %s but the padded"
					  " input has only %" PRId64,
					  extent(a, i), axis_names[i], padded);
		steps = padded - extent(a, i);
		out->dims[axis] = (ceil_mode ? (steps + a->stride[i] - 1) / a->stride[i]
					     : steps / a->stride[i]) +
				  1;
		/* A window that would start in the padding behind the input is left out. */
		if (ceil_mode && (out->dims[axis] - 1) * a->stride[i] >= x->dims[axis] + a->pad[i])
			out->dims[axis]--;
	}
	return 0;
}

static int check_weight_kernel(const struct infer *n)
{
	const struct shape *x = n->in[0], *w = n->in[1];

	if (w->rank != x->rank)
		return infer_fail(n, "the weight is %s but must have rank %d like the input",
				  shape_text(w).s, x->rank);
	for (int i = 0; i < 2; i++) {
		int axis = spatial_axis(x, i);

		if (axis >= 0 && w->dims[axis] != n->attr->kernel[i])
			return infer_fail(n,
					  "attribute kernel says %d for the %s but the weight is"
					  " %s",
					  n->attr->kernel[i], axis_names[i], shape_text(w).s);
	}
	return 0;
}

static int check_conv(const struct infer *n)
{
	const struct shape *x = n->in[0];
	int group = n->attr->group;

	if (infer_need_fp32(n) || infer_need_elems(n) || check_window(n) || check_weight_kernel(n))
		return -EINVAL;
	if (group < 1)
		return infer_fail(n, "group is %d but must be at least 1", group);
	if (x->dims[1] % group)
		return infer_fail(n,
				  "the input's %" PRId64 " channels cannot be divided into %d"
				  " groups",
				  x->dims[1], group);
	return 0;
}

int infer_conv(const struct infer *n)
{
	const struct shape *x = n->in[0], *w;
	int group = n->attr->group;

	if (check_conv(n))
		return -EINVAL;
	w = n->in[1];
	if (w->dims[1] != x->dims[1] / group)
		return infer_fail(n,
				  "weight has %" PRId64 " input channels per group but the input"
				  " has %" PRId64 " channels in %d groups",
				  w->dims[1], x->dims[1], group);
	if (w->dims[0] % group)
		return infer_fail(n,
				  "the weight's %" PRId64 " output channels cannot be divided"
				  " into %d groups",
				  w->dims[0], group);
	if (n->nr_in > 2 && n->in[2] && infer_need_vector(n, 2, "the bias", w->dims[0]))
		return -EINVAL;
	n->out[0] = *x;
	n->out[0].dims[1] = w->dims[0];
	return slide(n, false, &n->out[0]);
}

/* (in - 1) * stride + extent + out_pad - pads */
static int grow(const struct infer *n, int i, int64_t in, int64_t *out)
{
	const struct ooo_attr *a = n->attr;
	int64_t size;

	if (a->out_pad[i] < 0 ||
	    (a->out_pad[i] && a->out_pad[i] >= a->stride[i] && a->out_pad[i] >= a->dilation[i]))
		return infer_fail(n,
				  "output padding %d of the %s must be less than the stride %d or"
				  " the dilation %d",
				  a->out_pad[i], axis_names[i], a->stride[i], a->dilation[i]);
	if (__builtin_mul_overflow(in - 1, (int64_t)a->stride[i], &size) ||
	    __builtin_add_overflow(size, extent(a, i) + a->out_pad[i], &size))
		return infer_fail(n, "the output's %s overflows", axis_names[i]);
	size -= (int64_t)a->pad[i] + a->pad[i + 2];
	if (size < 1)
		return infer_fail(n, "padding %d, %d leaves nothing of the output's %s", a->pad[i],
				  a->pad[i + 2], axis_names[i]);
	*out = size;
	return 0;
}

int infer_conv_transpose(const struct infer *n)
{
	const struct shape *x = n->in[0], *w;
	int64_t channels;

	if (check_conv(n))
		return -EINVAL;
	w = n->in[1];
	if (w->dims[0] != x->dims[1])
		return infer_fail(n,
				  "weight has %" PRId64
				  " input channels but the input has %" PRId64,
				  w->dims[0], x->dims[1]);
	if (__builtin_mul_overflow(w->dims[1], (int64_t)n->attr->group, &channels))
		return infer_fail(n, "%d groups are too many", n->attr->group);
	if (n->nr_in > 2 && n->in[2] && infer_need_vector(n, 2, "the bias", channels))
		return -EINVAL;
	n->out[0] = *x;
	n->out[0].dims[1] = channels;
	for (int i = 0; i < 2; i++) {
		int axis = spatial_axis(x, i);

		if (axis >= 0 && grow(n, i, x->dims[axis], &n->out[0].dims[axis]))
			return -EINVAL;
	}
	return 0;
}

/*
 * Every window must hold at least one element of the input: a maximum or mean of nothing is not
 * a number. With at most extent - 1 of padding that is so unless the dilated kernel steps over
 * an input that is narrower than its dilation.
 */
static int check_pool_pads(const struct infer *n)
{
	const struct ooo_attr *a = n->attr;

	for (int i = 0; i < 2; i++) {
		int axis = spatial_axis(n->in[0], i);

		if (a->pad[i] >= extent(a, i) || a->pad[i + 2] >= extent(a, i))
			return infer_fail(n,
					  "padding %d, %d of the %s must be less than the"
					  " kernel's extent %" PRId64,
					  a->pad[i], a->pad[i + 2], axis_names[i], extent(a, i));
		if (axis >= 0 && a->pad[i] && a->dilation[i] > n->in[0]->dims[axis])
			return infer_fail(n,
					  "dilation %d is larger than the input's %s %" PRId64
					  ": some windows would hold padding alone",
					  a->dilation[i], axis_names[i], n->in[0]->dims[axis]);
	}
	return 0;
}

int infer_pool(const struct infer *n)
{
	if (infer_need_fp32(n) || infer_need_elems(n) || check_window(n) || check_pool_pads(n))
		return -EINVAL;
	if (n->op == OOO_OP_MAX_POOL && n->attr->flags & OOO_ATTR_COUNT_INCLUDE_PAD)
		return infer_fail(n, "COUNT_INCLUDE_PAD belongs to AveragePool");
	n->out[0] = *n->in[0];
	return slide(n, n->attr->flags & OOO_ATTR_CEIL_MODE, &n->out[0]);
}

int infer_global_pool(const struct infer *n)
{
	const struct shape *x = n->in[0];

	if (infer_need_fp32(n) || infer_need_elems(n))
		return -EINVAL;
	if (x->rank < 3)
		return infer_fail(n, "the input is %s but must be [N,C,...] with rank 3 or more",
				  shape_text(x).s);
	n->out[0] = *x;
	for (int i = 2; i < x->rank; i++)
		n->out[0].dims[i] = 1;
	return 0;
}
