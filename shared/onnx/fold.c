/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators on constants, computed in the host during import. Models compute their shapes with
 * such operators; and some types that weights may have exist only here.
 */
#include <string.h>

#include "shared/onnx/fold.h"

/* Larger results of arithmetic are left to the program's compiler. */
#define MAX_ELEMS (1 << 22) /* operands and results together */

void fold_strides(const struct shape *s, int64_t *strides)
{
	int64_t step = 1;

	for (int i = s->rank - 1; i >= 0; i--) {
		strides[i] = step;
		step *= s->dims[i];
	}
}

void fold_broadcast(const struct shape *s, const struct shape *to, int64_t *strides)
{
	int64_t own[OOO_MAX_RANK] = { 0 };
	int shift = to->rank - s->rank;

	fold_strides(s, own);
	for (int i = 0; i < to->rank; i++)
		strides[i] = i < shift || s->dims[i - shift] == 1 ? 0 : own[i - shift];
}

void fold_next(const struct shape *s, int64_t *index, const int64_t (*strides)[OOO_MAX_RANK],
	       int64_t *offset, int nr)
{
	for (int axis = s->rank - 1; axis >= 0; axis--) {
		for (int i = 0; i < nr; i++)
			offset[i] += strides[i][axis];
		if (++index[axis] < s->dims[axis])
			return;
		for (int i = 0; i < nr; i++)
			offset[i] -= strides[i][axis] * s->dims[axis];
		index[axis] = 0;
	}
}

/* The rules of inference know what devices compute in; here only the shapes matter. */
static uint32_t stand_in(const struct folding *f, int i)
{
	uint32_t dtype = f->in[i]->shape.dtype;

	if (f->op == OOO_OP_GATHER && i == 1)
		return dtype;
	if (f->op == OOO_OP_WHERE && i == 0)
		return dtype;
	switch (f->op) {
	case OOO_OP_AND:
	case OOO_OP_OR:
	case OOO_OP_XOR:
	case OOO_OP_NOT:
		return dtype;
	default:
		return OOO_FP32;
	}
}

static int infer(const struct folding *f, struct shape *out)
{
	struct shape shapes[3];
	const struct shape **in;

	if (f->nr_in > 3) {
		struct shape *many;

		many = import_alloc(f->n->im, (uint64_t)f->nr_in * sizeof(*many));
		in = import_alloc(f->n->im, (uint64_t)f->nr_in * sizeof(struct shape *));
		if (!many || !in)
			return -1;
		for (int i = 0; i < f->nr_in; i++) {
			many[i] = f->in[i]->shape;
			many[i].dtype = stand_in(f, i);
			in[i] = &many[i];
		}
		return op_infer(f->op, f->attr, in, f->nr_in, out, f->nr_out, NULL, 0);
	}
	for (int i = 0; i < f->nr_in; i++) {
		shapes[i] = f->in[i]->shape;
		shapes[i].dtype = stand_in(f, i);
	}
	return op_infer(f->op, f->attr,
			(const struct shape *const[]){ &shapes[0], &shapes[1], &shapes[2] },
			f->nr_in, out, f->nr_out, NULL, 0);
}

static bool makes_larger(enum ooo_op op)
{
	return op == OOO_OP_EXPAND || op == OOO_OP_TILE;
}

/* Types that no device computes in are dealt with here or nowhere. */
static bool host_only(const struct folding *f)
{
	for (int i = 0; i < f->nr_in; i++)
		if (f->in[i]->shape.dtype == OOO_FP64 || f->in[i]->shape.dtype == OOO_FP16 ||
		    f->in[i]->shape.dtype == OOO_BF16)
			return true;
	return false;
}

/* Elements of all operands and results; -1: more than there can be. */
static int64_t count_elems(const struct folding *f, const struct shape *out)
{
	int64_t elems, total = 0;

	for (int i = 0; i < f->nr_in; i++)
		total += value_elems(f->in[i]);
	for (int i = 0; i < f->nr_out; i++)
		if (shape_elems(&out[i], &elems) || __builtin_add_overflow(total, elems, &total))
			return -1;
	return total;
}

static bool too_large(const struct folding *f, int64_t elems, bool move)
{
	if (elems < 0)
		return true;
	return elems > MAX_ELEMS && !(move && !makes_larger(f->op)) && !host_only(f);
}

static int compute(struct folding *f, const struct shape *shapes, bool move, bool pointwise)
{
	for (int i = 0; i < f->nr_out; i++) {
		struct shape shape = shapes[i];

		shape.dtype = fold_dtype(f);
		f->out[i] = new_constant(f->n, &shape, &f->data[i]);
		if (!f->out[i])
			return -1;
	}
	if (move)
		fold_move(f);
	else if (pointwise)
		fold_pointwise(f);
	else
		fold_reduce(f);
	return f->n->rc ? -1 : 1;
}

int fold(struct node *n, enum ooo_op op, const struct ooo_attr *attr, struct value *const *in,
	 int nr_in, struct value **out, int nr_out)
{
	struct folding f = { n, op, attr, in, nr_in, out, nr_out, { NULL } };
	struct shape shapes[FOLD_MAX_OUT];
	bool move, pointwise;
	int64_t elems;

	if (nr_out > FOLD_MAX_OUT)
		return 0;
	for (int i = 0; i < nr_in; i++)
		if (!in[i])
			return 0;
	move = fold_move_can(&f);
	pointwise = !move && fold_pointwise_can(&f);
	if (!move && !pointwise && !fold_reduce_can(&f))
		return 0;
	if (infer(&f, shapes))
		return n->rc ? -1 : 0;
	elems = count_elems(&f, shapes);
	if (too_large(&f, elems, move))
		return 0;
	if (account(n, elems))
		return -1;
	return compute(&f, shapes, move, pointwise);
}
