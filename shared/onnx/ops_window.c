/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolution and pooling: kernel, strides, dilations and padding. The builder has two spatial
 * axes; the 1-d form uses the second of each pair.
 */
#include <inttypes.h>

#include "shared/onnx/ops.h"

enum auto_pad {
	NOTSET,
	SAME_UPPER,
	SAME_LOWER,
	VALID
};

struct window {
	int nr;            /* spatial axes: 1 or 2 */
	int first;         /* index of the first one in the pairs of struct ooo_attr */
	const int64_t *in; /* sizes of the input's spatial axes */
	enum auto_pad auto_pad;
	struct ooo_attr attr;
};

/* A list with one element a spatial axis (twice as many for pads) within int32; absent: as is. */
static bool read_list(struct node *n, const char *name, int count, int64_t low, int64_t *v)
{
	int got = attr_ints(n, name, v, count);

	if (got < 0)
		return false;
	if (got != count)
		refuse(n, "attribute %s has %d elements, not %d", name, got, count);
	for (int i = 0; i < got; i++)
		if (v[i] < low || v[i] > INT32_MAX / 2)
			refuse(n, "attribute %s has %" PRId64 ", which is not supported", name,
			       v[i]);
	return !n->rc;
}

static void read_pairs(struct node *n, const struct window *w, const char *name, int32_t *to)
{
	int64_t v[2];

	if (!read_list(n, name, w->nr, 1, v))
		return;
	for (int i = 0; i < w->nr; i++)
		to[w->first + i] = (int32_t)v[i];
}

static void read_kernel(struct node *n, struct window *w, const struct shape *weight)
{
	int64_t v[2];
	bool given = read_list(n, "kernel_shape", w->nr, 1, v);

	if (!weight && !given)
		refuse(n, "attribute kernel_shape is missing");
	for (int i = 0; !n->rc && i < w->nr; i++) {
		int64_t size = weight ? weight->dims[2 + i] : v[i];

		if (given && v[i] != size)
			refuse(n, "kernel_shape has %" PRId64 " but the weight %" PRId64, v[i],
			       size);
		if (size < 1 || size > INT32_MAX / 2)
			refuse(n, "a kernel of size %" PRId64 " is not supported", size);
		w->attr.kernel[w->first + i] = (int32_t)size;
	}
}

static void read_pads(struct node *n, struct window *w)
{
	static const char *const names[] = { "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID" };
	int64_t v[4];

	w->auto_pad = (enum auto_pad)attr_enum(n, "auto_pad", "NOTSET", names, 4);
	if (!read_list(n, "pads", 2 * w->nr, 0, v))
		return;
	for (int i = 0; i < w->nr; i++) {
		if (w->auto_pad != NOTSET && (v[i] || v[i + w->nr]))
			refuse(n, "has both pads and auto_pad");
		w->attr.pad[w->first + i] = (int32_t)v[i];
		w->attr.pad[2 + w->first + i] = (int32_t)v[i + w->nr];
	}
}

/* What convolution and pooling have in common. weight may be NULL. */
static void read_window(struct node *n, enum ooo_op op, struct window *w,
			const struct shape *weight)
{
	const struct shape *x = &n->in[0]->shape;

	ooo_attr_init(&w->attr, op);
	w->nr = x->rank - 2;
	w->first = 2 - w->nr;
	w->in = x->dims + 2;
	if (w->nr != 1 && w->nr != 2) {
		refuse(n, "an input of rank %d (%d-d) is not supported, only 1-d and 2-d", x->rank,
		       w->nr);
		return;
	}
	if (weight && weight->rank != x->rank) {
		refuse(n, "the input has rank %d but the weight %d", x->rank, weight->rank);
		return;
	}
	read_kernel(n, w, weight);
	read_pairs(n, w, "strides", w->attr.stride);
	read_pads(n, w);
}

static int64_t extent(const struct window *w, int i)
{
	return ((int64_t)w->attr.kernel[i] - 1) * w->attr.dilation[i] + 1;
}

/* Padding along one axis in all: half of it in front, the odd one where auto_pad says. */
static void set_pads(struct node *n, struct window *w, int i, int64_t total, bool more_in_front)
{
	int64_t front = more_in_front ? total - total / 2 : total / 2;

	if (total > INT32_MAX / 2) {
		refuse(n, "padding of %" PRId64 " is not supported", total);
		return;
	}
	w->attr.pad[i] = (int32_t)front;
	w->attr.pad[2 + i] = (int32_t)(total - front);
}

/*
 * SAME_*: as many outputs as strides fit into the input. For pooling, implementations differ where
 * that leaves elements over, and with dilation.
 */
static void pad_to_same(struct node *n, struct window *w, bool pool)
{
	if (w->auto_pad != SAME_UPPER && w->auto_pad != SAME_LOWER)
		return;
	for (int k = 0; k < w->nr; k++) {
		int i = w->first + k;
		int64_t stride = w->attr.stride[i];
		int64_t out = (w->in[k] + stride - 1) / stride;
		int64_t total = (out - 1) * stride + extent(w, i) - w->in[k];

		if (pool && (total < 0 || w->attr.dilation[i] != 1))
			refuse(n, "auto_pad with a stride beyond the kernel, or with dilation, is"
				  " not clear");
		set_pads(n, w, i, total > 0 ? total : 0, w->auto_pad == SAME_LOWER);
	}
}

IMPORT(conv)
{
	struct window w;

	read_window(n, op, &w, &n->in[1]->shape);
	if (n->rc)
		return n->rc;
	read_pairs(n, &w, "dilations", w.attr.dilation);
	w.attr.group = attr_range(n, "group", 1, 1, INT32_MAX);
	pad_to_same(n, &w, false);
	return emit_node(n, op, &w.attr);
}

/*
 * The output's size is in * stride for SAME_*, or the attribute output_shape. The padding follows
 * from it; where its odd element goes was unclear before opset 11.
 */
static void pad_transposed(struct node *n, struct window *w)
{
	int64_t shape[2];
	bool given = read_list(n, "output_shape", w->nr, 1, shape);

	if (!given && w->auto_pad != SAME_UPPER && w->auto_pad != SAME_LOWER)
		return;
	for (int k = 0; !n->rc && k < w->nr; k++) {
		int i = w->first + k;
		int64_t stride = w->attr.stride[i];
		int64_t out = given ? shape[k] : w->in[k] * stride;
		int64_t total = (w->in[k] - 1) * stride + w->attr.out_pad[i] + extent(w, i) - out;

		if (given && (w->attr.pad[i] || w->attr.pad[2 + i]))
			refuse(n, "has both pads and output_shape");
		else if (total < 0)
			refuse(n, "the output's size %" PRId64 " needs negative padding", out);
		else if (total & 1 && n->opset < 11)
			refuse(n, "uneven padding is not defined before opset 11");
		else
			set_pads(n, w, i, total, w->auto_pad != SAME_UPPER);
	}
}

/* Not less than the stride (allowed with dilation): implementations differ. */
static void read_out_pad(struct node *n, struct window *w, int i, int64_t v)
{
	if (v && v >= w->attr.stride[i])
		refuse(n, "output_padding %" PRId64 " with a stride of %d is not supported", v,
		       w->attr.stride[i]);
	w->attr.out_pad[i] = (int32_t)v;
}

IMPORT(conv_transpose)
{
	struct window w;
	int64_t v[2];

	read_window(n, op, &w, &n->in[1]->shape);
	if (n->rc)
		return n->rc;
	read_pairs(n, &w, "dilations", w.attr.dilation);
	w.attr.group = attr_range(n, "group", 1, 1, INT32_MAX);
	if (read_list(n, "output_padding", w.nr, 0, v))
		for (int i = 0; i < w.nr; i++)
			read_out_pad(n, &w, w.first + i, v[i]);
	if (w.auto_pad == VALID && attr_has(n, "output_shape"))
		return refuse(n, "has both auto_pad VALID and output_shape");
	pad_transposed(n, &w);
	return emit_node(n, op, &w.attr);
}

/*
 * Rounding up adds a window where the last one does not end at the border. Frameworks differ on
 * windows that lie in the padding alone, and on what counts as padding there; refused.
 */
static void check_ceil(struct node *n, const struct window *w)
{
	if (w->auto_pad != NOTSET)
		refuse(n, "ceil_mode with auto_pad is not supported");
	for (int k = 0; !n->rc && k < w->nr; k++) {
		int i = w->first + k;
		int64_t stride = w->attr.stride[i];
		int64_t steps = w->in[k] + w->attr.pad[i] + w->attr.pad[2 + i] - extent(w, i);
		int64_t last = (steps + stride - 1) / stride;

		if (steps >= 0 && last * stride >= w->in[k] + w->attr.pad[i])
			refuse(n, "ceil_mode with a window in the padding alone is not supported");
		if (steps >= 0 && last * stride != steps &&
		    w->attr.flags & OOO_ATTR_COUNT_INCLUDE_PAD)
			refuse(n, "ceil_mode with count_include_pad is not supported here");
	}
}

IMPORT(pool)
{
	struct window w;

	if (n->nr_out > 1)
		return refuse(n, "the output Indices is not supported");
	read_window(n, op, &w, NULL);
	if (n->rc)
		return n->rc;
	if (op == OOO_OP_AVERAGE_POOL && attr_flag(n, "count_include_pad", false))
		w.attr.flags |= OOO_ATTR_COUNT_INCLUDE_PAD;
	if (op == OOO_OP_MAX_POOL && n->opset >= 8)
		attr_flag(n, "storage_order", false); /* of Indices alone */
	if (n->opset >= (op == OOO_OP_MAX_POOL ? 10 : 19))
		read_pairs(n, &w, "dilations", w.attr.dilation);
	pad_to_same(n, &w, true);
	if (n->opset >= 10 && attr_flag(n, "ceil_mode", false)) {
		w.attr.flags |= OOO_ATTR_CEIL_MODE;
		check_ceil(n, &w);
	}
	return emit_node(n, op, &w.attr);
}

IMPORT(global_pool)
{
	return emit_node(n, op, NULL);
}
