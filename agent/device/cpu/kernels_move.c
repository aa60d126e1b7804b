// SPDX-License-Identifier: Apache-2.0
/* Operators that only move elements: strided walks, whatever the element type. */
#include <string.h>

#include "agent/device/cpu/kernels_impl.h"

struct move {
	char *out;
	const char *in;
	size_t size; /* of an element */
};

#define COPY_LOOP(T)                                                                               \
	do {                                                                                       \
		T *to = (T *)m->out + offset[0];                                                   \
		const T *from = (const T *)m->in + offset[1];                                      \
		for (int64_t i = 0; i < n; i++)                                                    \
			to[i * so] = from[i * si];                                                 \
	} while (0)

static void move_run(void *ctx, const struct walk *w, const int64_t *offset, int64_t n)
{
	const struct move *m = ctx;
	int64_t so = w->stride[0][w->rank - 1], si = w->stride[1][w->rank - 1];

	if (so == 1 && si == 1) {
		memcpy(m->out + offset[0] * (int64_t)m->size, m->in + offset[1] * (int64_t)m->size,
		       (size_t)n * m->size);
		return;
	}
	switch (m->size) {
	case 1:
		COPY_LOOP(uint8_t);
		break;
	case 2:
		COPY_LOOP(uint16_t);
		break;
	case 4:
		COPY_LOOP(uint32_t);
		break;
	default:
		COPY_LOOP(uint64_t);
	}
}

static struct move moving(const struct kernel_args *a)
{
	return (struct move){ .out = a->out[0],
			      .in = a->in[0],
			      .size = dtype_bytes(out_tensor(a, 0)->shape.dtype) };
}

/* Identity and Reshape: the same memory order. Identity of another layout is a reorder. */
enum ooo_status kernel_copy(const struct kernel_args *a, int64_t from, int64_t to)
{
	struct move m = moving(a);

	memcpy(m.out + (size_t)from * m.size, m.in + (size_t)from * m.size,
	       (size_t)(to - from) * m.size);
	return OOO_OK;
}

enum ooo_status kernel_transpose(const struct kernel_args *a, int64_t from, int64_t to)
{
	int64_t strides[OOO_MAX_RANK];
	struct move m = moving(a);
	struct walk w = { .rank = out_tensor(a, 0)->shape.rank, .nr_operands = 2 };

	tensor_strides(in_tensor(a, 0), strides);
	tensor_strides(out_tensor(a, 0), w.stride[0]);
	for (int i = 0; i < w.rank; i++) {
		w.dims[i] = out_tensor(a, 0)->shape.dims[i];
		w.stride[1][i] = strides[a->step->attr.perm[i]];
	}
	walk_pack(&w);
	walk_range(&w, from, to, move_run, &m);
	return OOO_OK;
}

enum ooo_status kernel_expand(const struct kernel_args *a, int64_t from, int64_t to)
{
	const struct tensor *operand = in_tensor(a, 0);
	struct move m = moving(a);
	struct walk w;

	walk_output(&w, out_tensor(a, 0), &operand, 1);
	walk_range(&w, from, to, move_run, &m);
	return OOO_OK;
}

enum ooo_status kernel_slice(const struct kernel_args *a, int64_t from, int64_t to)
{
	const struct tensor *x = in_tensor(a, 0), *y = out_tensor(a, 0);
	int64_t strides[OOO_MAX_RANK], base = 0;
	struct move m = moving(a);
	struct walk w = { .rank = y->shape.rank, .nr_operands = 2 };

	tensor_strides(x, strides);
	tensor_strides(y, w.stride[0]);
	for (int i = 0; i < w.rank; i++) {
		w.dims[i] = y->shape.dims[i];
		w.stride[1][i] = strides[i] * a->step->attr.step[i];
		base += strides[i] * a->step->attr.start[i];
	}
	m.in += base * (int64_t)m.size;
	walk_pack(&w);
	walk_range(&w, from, to, move_run, &m);
	return OOO_OK;
}

/* Each axis twice: which copy, and where in it. */
enum ooo_status kernel_tile(const struct kernel_args *a, int64_t from, int64_t to)
{
	const struct tensor *x = in_tensor(a, 0), *y = out_tensor(a, 0);
	int64_t in[OOO_MAX_RANK], out[OOO_MAX_RANK];
	struct move m = moving(a);
	struct walk w = { .nr_operands = 2 };

	if (from >= to) /* an axis may be empty, and then it has no copies to count */
		return OOO_OK;
	tensor_strides(x, in);
	tensor_strides(y, out);
	for (int i = 0; i < y->shape.rank; i++) {
		w.dims[w.rank] = y->shape.dims[i] / x->shape.dims[i];
		w.stride[0][w.rank] = out[i] * x->shape.dims[i];
		w.stride[1][w.rank++] = 0;
		w.dims[w.rank] = x->shape.dims[i];
		w.stride[0][w.rank] = out[i];
		w.stride[1][w.rank++] = in[i];
	}
	walk_pack(&w);
	walk_range(&w, from, to, move_run, &m);
	return OOO_OK;
}

/* DepthToSpace and SpaceToDepth: a permutation of the image cut into blocks. */
enum ooo_status kernel_blocks(const struct kernel_args *a, int64_t from, int64_t to)
{
	bool to_space = a->step->op == OOO_OP_DEPTH_TO_SPACE;
	/* The tensor with few channels and the one with many. */
	const struct tensor *few = to_space ? out_tensor(a, 0) : in_tensor(a, 0);
	const struct tensor *many = to_space ? in_tensor(a, 0) : out_tensor(a, 0);
	int64_t b = a->step->attr.kernel[0], channels = few->shape.dims[1];
	bool crd = to_space && a->step->attr.mode == 1;
	int64_t f[OOO_MAX_RANK], d[OOO_MAX_RANK];
	int few_at = to_space ? 0 : 1, many_at = !few_at;
	struct move m = moving(a);
	struct walk w = { .rank = 6, .nr_operands = 2 }, t = w;

	tensor_strides(few, f);
	tensor_strides(many, d);
	/* n, channel, row, row in block, column, column in block: the order of the small tensor. */
	memcpy(t.dims,
	       (int64_t[]){ few->shape.dims[0], channels, many->shape.dims[2], b,
			    many->shape.dims[3], b },
	       6 * sizeof(int64_t));
	memcpy(t.stride[few_at], (int64_t[]){ f[0], f[1], f[2] * b, f[2], f[3] * b, f[3] },
	       6 * sizeof(int64_t));
	memcpy(t.stride[many_at],
	       crd ? (int64_t[]){ d[0], d[1] * b * b, d[2], d[1] * b, d[3], d[1] }
		   : (int64_t[]){ d[0], d[1], d[2], d[1] * b * channels, d[3], d[1] * channels },
	       6 * sizeof(int64_t));
	/* The range counts in the output's order: that of the large tensor is n, row and column in
	 * block, channel, row, column. */
	for (int i = 0; i < 6; i++) {
		static const int large_order[] = { 0, 3, 5, 1, 2, 4 };
		int k = to_space ? i : large_order[i];

		w.dims[i] = t.dims[k];
		w.stride[0][i] = t.stride[0][k];
		w.stride[1][i] = t.stride[1][k];
	}
	walk_pack(&w);
	walk_range(&w, from, to, move_run, &m);
	return OOO_OK;
}

/* Strides of a channel-blocked image, as dims N, C/16, C%16, H, W. */
static void image_strides(const struct tensor *t, int64_t *s)
{
	const int64_t *d = t->shape.dims;
	int64_t plain[OOO_MAX_RANK], blocks = (d[1] + 15) / 16;

	if (t->layout == LAYOUT_BLOCK16) {
		int64_t block = d[2] * d[3] * 16;

		memcpy(s, (int64_t[]){ blocks * block, block, 1, d[3] * 16, 16 }, 5 * sizeof(*s));
		return;
	}
	tensor_strides(t, plain);
	memcpy(s, (int64_t[]){ plain[0], plain[1] * 16, plain[1], plain[2], plain[3] },
	       5 * sizeof(*s));
}

/* Change of an image's layout: images from..to. The padding of channel blocks is written as zero. */
enum ooo_status kernel_reorder(const struct kernel_args *a, int64_t from, int64_t to)
{
	const struct tensor *x = in_tensor(a, 0), *y = out_tensor(a, 0);
	const int64_t *d = y->shape.dims;
	int64_t si[5], so[5], blocks = (d[1] + 15) / 16;
	struct move m = moving(a);

	if (y->layout == LAYOUT_BLOCK16 && d[1] % 16)
		memset(m.out + (size_t)(from * blocks * 16 * d[2] * d[3]) * m.size, 0,
		       (size_t)((to - from) * blocks * 16 * d[2] * d[3]) * m.size);
	image_strides(x, si);
	image_strides(y, so);
	for (int part = 0; part < 2; part++) {
		/* All full blocks, then what is left of the last one. */
		int64_t nr = part ? 1 : d[1] / 16, channels = part ? d[1] % 16 : 16;
		struct walk w = { .rank = 5, .nr_operands = 2 };
		struct move p = m;

		if (!nr || !channels)
			continue;
		memcpy(w.dims, (int64_t[]){ to - from, nr, d[2], d[3], channels },
		       5 * sizeof(*w.dims));
		memcpy(w.stride[0], (int64_t[]){ so[0], so[1], so[3], so[4], so[2] },
		       5 * sizeof(*so));
		memcpy(w.stride[1], (int64_t[]){ si[0], si[1], si[3], si[4], si[2] },
		       5 * sizeof(*si));
		p.out += (from * so[0] + (part ? d[1] / 16 * so[1] : 0)) * (int64_t)m.size;
		p.in += (from * si[0] + (part ? d[1] / 16 * si[1] : 0)) * (int64_t)m.size;
		walk_pack(&w);
		walk_range(&w, 0, walk_elems(&w), move_run, &p);
	}
	return OOO_OK;
}

/* Copy between a part of a large tensor and a small one that fits into it at `at` along axis. */
static void copy_part(const struct tensor *small, const struct tensor *large, int axis, int64_t at,
		      char *small_data, char *large_data, bool into_large)
{
	size_t size = dtype_bytes(large->shape.dtype);
	struct walk w = { .rank = small->shape.rank, .nr_operands = 2 };
	int64_t strides[OOO_MAX_RANK];
	struct move m = { .size = size };

	tensor_strides(large, strides);
	large_data += at * strides[axis] * (int64_t)size;
	m.out = into_large ? large_data : small_data;
	m.in = into_large ? small_data : large_data;
	memcpy(w.dims, small->shape.dims, (size_t)w.rank * sizeof(*w.dims));
	tensor_strides(large, w.stride[into_large ? 0 : 1]);
	tensor_strides(small, w.stride[into_large ? 1 : 0]);
	/* Channels last: the innermost loop goes along the channels. */
	if (large->layout == LAYOUT_NHWC && w.rank == 4) {
		const int64_t *d = small->shape.dims;
		struct walk t = w;

		memcpy(w.dims, (int64_t[]){ d[0], d[2], d[3], d[1] }, 4 * sizeof(*w.dims));
		for (int k = 0; k < 2; k++)
			memcpy(w.stride[k],
			       (int64_t[]){ t.stride[k][0], t.stride[k][2], t.stride[k][3],
					    t.stride[k][1] },
			       4 * sizeof(*d));
	}
	walk_pack(&w);
	walk_range(&w, 0, walk_elems(&w), move_run, &m);
}

enum ooo_status kernel_concat(const struct kernel_args *a)
{
	int axis = a->step->attr.axis;
	int64_t at = 0;

	for (int i = 0; i < a->step->nr_in; i++) {
		const struct tensor *x = in_tensor(a, i);

		copy_part(x, out_tensor(a, 0), axis, at, a->in[i], a->out[0], true);
		at += x->shape.dims[axis];
	}
	return OOO_OK;
}

enum ooo_status kernel_split(const struct kernel_args *a)
{
	int axis = a->step->attr.axis;
	int64_t at = 0;

	for (int i = 0; i < a->step->nr_out; i++) {
		const struct tensor *y = out_tensor(a, i);

		if (a->out[i])
			copy_part(y, in_tensor(a, 0), axis, at, a->out[i], a->in[0], false);
		at += y->shape.dims[axis];
	}
	return OOO_OK;
}
