// SPDX-License-Identifier: Apache-2.0
/* Steps that only move elements: each is one or more strided copies. */
#include <string.h>

#include "agent/device/cuda/encode_map.h"

#define MAX_UNIT 16 /* bytes */
/* Smaller tiles than this are not worth the way through shared memory. */
#define MIN_TRANSPOSE 256

void map_sort(struct walk *w)
{
	for (int i = 1; i < w->rank; i++) {
		for (int j = i; j > 0 && w->stride[0][j - 1] < w->stride[0][j]; j--) {
			int64_t dim = w->dims[j];

			w->dims[j] = w->dims[j - 1];
			w->dims[j - 1] = dim;
			for (int k = 0; k < w->nr_operands; k++) {
				int64_t stride = w->stride[k][j];

				w->stride[k][j] = w->stride[k][j - 1];
				w->stride[k][j - 1] = stride;
			}
		}
	}
}

/* Whether two neighbours of the innermost dim always are one unit of twice the size. */
static bool can_double(const struct map_move *m)
{
	const struct walk *w = &m->w;
	int in = w->rank - 1;

	if (w->stride[0][in] != 1 || w->stride[1][in] != 1 || w->dims[in] % 2 || m->out_base % 2 ||
	    m->in_base % 2)
		return false;
	for (int d = 0; d < in; d++)
		if (w->stride[0][d] % 2 || w->stride[1][d] % 2)
			return false;
	return true;
}

static void enlarge_units(struct map_move *m, uint32_t *bytes)
{
	for (; *bytes < MAX_UNIT && can_double(m); *bytes *= 2) {
		m->w.dims[m->w.rank - 1] /= 2;
		for (int d = 0; d < m->w.rank - 1; d++) {
			m->w.stride[0][d] /= 2;
			m->w.stride[1][d] /= 2;
		}
		m->out_base /= 2;
		m->in_base /= 2;
		walk_pack(&m->w);
	}
}

static uint32_t round_up(uint32_t n, uint32_t to)
{
	return (n + to - 1) / to * to;
}

static uint32_t parts(uint32_t n, uint32_t size)
{
	return (n + size - 1) / size;
}

/* All of a small axis and as much of the other as there is room for; else rows of 128 bytes or
 * more on either side. */
static void choose_tiles(struct transpose_task *t, uint32_t out_bytes)
{
	uint32_t rows = out_bytes < 4 ? 64 : 32;

	t->a_tile = t->a < rows ? t->a : rows;
	t->b_tile = TRANSPOSE_TILE / t->a_tile / 8 * 8;
	if (t->b <= t->b_tile)
		t->b_tile = t->b;
	else /* equal parts */
		t->b_tile = round_up(parts(t->b, parts(t->b, t->b_tile)), 8);
	if (t->a > t->a_tile) {
		t->a_tile = TRANSPOSE_TILE / t->b_tile / 8 * 8;
		if (t->a <= t->a_tile)
			t->a_tile = t->a;
	}
}

static void drop_dims(struct walk *w, int i, int j)
{
	int n = 0;

	for (int d = 0; d < w->rank; d++) {
		if (d == i || d == j)
			continue;
		w->dims[n] = w->dims[d];
		for (int k = 0; k < w->nr_operands; k++)
			w->stride[k][n] = w->stride[k][d];
		n++;
	}
	w->rank = n;
}

/* False: not such a copy, or too small. */
static bool describe_transpose(const struct map_move *m, uint32_t bytes, struct transpose_task *t)
{
	struct walk w = m->w;
	int a = w.rank - 1, b = a;
	uint64_t tiles;

	for (int d = 0; d < a; d++)
		if (w.stride[1][d] == 1)
			b = d;
	if (b == a || w.stride[0][a] != 1 || w.stride[1][a] == 1)
		return false;
	t->a = (uint32_t)w.dims[a];
	t->b = (uint32_t)w.dims[b];
	t->a_stride = (int32_t)w.stride[1][a];
	t->b_stride = (int32_t)w.stride[0][b];
	t->unit_bytes = bytes;
	t->out_base = (int32_t)m->out_base;
	t->in_base = (int32_t)m->in_base;
	choose_tiles(t, (uint32_t)dtype_bytes(m->out.dtype));
	if (t->a_tile * t->b_tile < MIN_TRANSPOSE)
		return false;
	drop_dims(&w, a, b);
	t->rank = (uint32_t)w.rank;
	for (int d = 0; d < w.rank; d++) {
		t->dim[d].by = cuda_div_make((uint32_t)w.dims[d]);
		t->dim[d].stride[0] = (int32_t)w.stride[0][d];
		t->dim[d].stride[1] = (int32_t)w.stride[1][d];
	}
	tiles = (uint64_t)walk_elems(&w) * parts(t->a, t->a_tile) * parts(t->b, t->b_tile);
	t->head.nr_tiles = (uint32_t)tiles;
	t->by_a_tile = cuda_div_make(t->a_tile);
	t->by_b_tile = cuda_div_make(t->b_tile);
	t->by_a_tiles = cuda_div_make(parts(t->a, t->a_tile));
	t->by_b_tiles = cuda_div_make(parts(t->b, t->b_tile));
	return true;
}

int map_encode_copy(const struct map_encoder *e, struct map_move *m, bool transpose)
{
	struct map_task task = { .mode = MAP_UNITS };
	struct transpose_task turned = { .out = m->out, .in = m->in };
	uint32_t bytes;
	int err;

	if (m->out.place == CUDA_NONE || !walk_elems(&m->w))
		return 0;
	err = map_unit_bytes(e, m->in.dtype, m->out.dtype, &bytes);
	if (!err)
		err = plan_task_head(e->plan, e->step, &task.head);
	if (err)
		return err;
	if (task.head.nr_post) {
		if (!map_is_float(m->out.dtype) || !map_is_float(m->in.dtype))
			return map_refuse(e, "post-operations of %s", dtype_name(m->out.dtype));
		bytes = 0;
		transpose = false;
	}
	turned.head = task.head;
	walk_pack(&m->w);
	map_sort(&m->w);
	walk_pack(&m->w);
	if (transpose && describe_transpose(m, bytes, &turned))
		return plan_task(e->plan, KERNEL_MAP_TRANSPOSE, &turned,
				 offsetof(struct transpose_task, dim) +
					 turned.rank * sizeof(turned.dim[0]));
	if (bytes)
		enlarge_units(m, &bytes);
	else
		task.mode = map_quads(&m->w) && m->out_base % 4 == 0 && m->in_base % 4 == 0
				    ? MAP_QUADS
				    : MAP_SINGLES;
	task.unit_bytes = bytes;
	task.operand[0] = m->out;
	task.operand[1] = m->in;
	task.base[0] = (int32_t)m->out_base;
	task.base[1] = (int32_t)m->in_base;
	map_set_walk(&task, &m->w);
	return map_add(e, KERNEL_MAP, &task, bytes == 16 ? MAP_UNIT16_TILE : MAP_UNIT_TILE);
}

static void walk_transpose(const struct map_encoder *e, struct walk *w)
{
	int64_t strides[OOO_MAX_RANK];

	w->rank = map_out(e, 0)->shape.rank;
	tensor_strides(map_in(e, 0), strides);
	tensor_strides(map_out(e, 0), w->stride[0]);
	for (int i = 0; i < w->rank; i++) {
		w->dims[i] = map_out(e, 0)->shape.dims[i];
		w->stride[1][i] = strides[e->step->attr.perm[i]];
	}
}

static void walk_slice(const struct map_encoder *e, struct map_move *m)
{
	const struct tensor *y = map_out(e, 0);
	int64_t strides[OOO_MAX_RANK];

	m->w.rank = y->shape.rank;
	tensor_strides(map_in(e, 0), strides);
	tensor_strides(y, m->w.stride[0]);
	for (int i = 0; i < m->w.rank; i++) {
		m->w.dims[i] = y->shape.dims[i];
		m->w.stride[1][i] = strides[i] * e->step->attr.step[i];
		m->in_base += strides[i] * e->step->attr.start[i];
	}
}

/* Each axis twice: which copy, and where in it. */
static void walk_tile(const struct map_encoder *e, struct walk *w)
{
	const struct tensor *x = map_in(e, 0), *y = map_out(e, 0);
	int64_t in[OOO_MAX_RANK], out[OOO_MAX_RANK];

	tensor_strides(x, in);
	tensor_strides(y, out);
	for (int i = 0; i < y->shape.rank; i++) {
		w->dims[w->rank] = y->shape.dims[i] / x->shape.dims[i];
		w->stride[0][w->rank] = out[i] * x->shape.dims[i];
		w->stride[1][w->rank++] = 0;
		w->dims[w->rank] = x->shape.dims[i];
		w->stride[0][w->rank] = out[i];
		w->stride[1][w->rank++] = in[i];
	}
}

/* DepthToSpace and SpaceToDepth: a permutation of the image cut into blocks. */
static void walk_blocks(const struct map_encoder *e, struct walk *w)
{
	bool to_space = e->step->op == OOO_OP_DEPTH_TO_SPACE;
	/* The tensor with few channels and the one with many. */
	const struct tensor *few = to_space ? map_out(e, 0) : map_in(e, 0);
	const struct tensor *many = to_space ? map_in(e, 0) : map_out(e, 0);
	int64_t b = e->step->attr.kernel[0], c = few->shape.dims[1];
	bool crd = to_space && e->step->attr.mode == 1;
	int64_t f[OOO_MAX_RANK], d[OOO_MAX_RANK];
	int at = to_space ? 0 : 1;

	tensor_strides(few, f);
	tensor_strides(many, d);
	w->rank = 6;
	/* Image, channel, row, row in block, column, column in block. */
	memcpy(w->dims,
	       (int64_t[]){ few->shape.dims[0], c, many->shape.dims[2], b, many->shape.dims[3], b },
	       6 * sizeof(int64_t));
	memcpy(w->stride[at], (int64_t[]){ f[0], f[1], f[2] * b, f[2], f[3] * b, f[3] },
	       6 * sizeof(int64_t));
	memcpy(w->stride[!at],
	       crd ? (int64_t[]){ d[0], d[1] * b * b, d[2], d[1] * b, d[3], d[1] }
		   : (int64_t[]){ d[0], d[1], d[2], d[1] * b * c, d[3], d[1] * c },
	       6 * sizeof(int64_t));
}

/* Copies between a large tensor and small ones that follow each other in it along the axis. */
static int encode_parts(const struct map_encoder *e)
{
	bool join = e->step->op == OOO_OP_CONCAT;
	const struct tensor *large = join ? map_out(e, 0) : map_in(e, 0);
	int nr = join ? e->step->nr_in : e->step->nr_out, axis = e->step->attr.axis, err = 0;
	struct cuda_operand whole = plan_operand(e->plan, join ? e->step->out[0] : e->step->in[0]);
	int64_t strides[OOO_MAX_RANK], at = 0;

	tensor_strides(large, strides);
	for (int i = 0; i < nr && !err; i++) {
		uint32_t id = join ? e->step->in[i] : e->step->out[i];
		const struct tensor *part = &e->tensors[id];
		struct map_move m = { .w.rank = part->shape.rank, .w.nr_operands = 2 };

		memcpy(m.w.dims, part->shape.dims, (size_t)m.w.rank * sizeof(int64_t));
		tensor_strides(large, m.w.stride[join ? 0 : 1]);
		tensor_strides(part, m.w.stride[join ? 1 : 0]);
		m.out = join ? whole : plan_operand(e->plan, id);
		m.in = join ? plan_operand(e->plan, id) : whole;
		*(join ? &m.out_base : &m.in_base) = at * strides[axis];
		at += part->shape.dims[axis];
		err = map_encode_copy(e, &m, nr == 1);
	}
	return err;
}

/* As one run of elements. */
static int walk_reshape(const struct map_encoder *e, struct walk *w)
{
	const struct tensor *x = map_in(e, 0), *y = map_out(e, 0);

	if (x->layout != LAYOUT_PLAIN || y->layout != LAYOUT_PLAIN)
		return map_refuse(e, "a new shape for channels-last images");
	w->rank = 1;
	w->dims[0] = tensor_elems(y);
	w->stride[0][0] = 1;
	w->stride[1][0] = 1;
	return 0;
}

int map_encode_move(const struct map_encoder *e)
{
	const struct tensor *x = map_in(e, 0);
	struct map_move m = { .w.nr_operands = 2 };
	int err = 0;

	if (e->step->op == OOO_OP_CONCAT || e->step->op == OOO_OP_SPLIT)
		return encode_parts(e);
	if (!tensor_elems(map_out(e, 0)))
		return 0;
	m.out = plan_operand(e->plan, e->step->out[0]);
	m.in = plan_operand(e->plan, e->step->in[0]);
	switch (e->step->op) {
	case OOO_OP_SLICE:
		walk_slice(e, &m);
		break;
	case OOO_OP_RESHAPE:
		err = walk_reshape(e, &m.w);
		break;
	case OOO_OP_TRANSPOSE:
		walk_transpose(e, &m.w);
		break;
	case OOO_OP_TILE:
		walk_tile(e, &m.w);
		break;
	case OOO_OP_DEPTH_TO_SPACE:
	case OOO_OP_SPACE_TO_DEPTH:
		walk_blocks(e, &m.w);
		break;
	default: /* the same shape, or broadcast */
		walk_output(&m.w, map_out(e, 0), &x, 1);
	}
	return err ? err : map_encode_copy(e, &m, true);
}
