/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What computes nothing goes away, and what can be said in a simpler operator is: a transposition
 * that only moves axes of length 1 is a reshape, a mean over height and width is a global pool, a
 * transposed operand is a flag of the matrix product. One walk forwards.
 */
#include <math.h>
#include <stdlib.h>

#include "agent/program/passes.h"

#define MAX_TAKEN_PAD 64 /* more is no convolution's usual border */

static void become(struct step *s, uint32_t op)
{
	s->op = op;
	s->klass = op_info(op)->klass;
	attr_init(&s->attr, op);
}

static bool all_zero(const int64_t *v)
{
	for (int i = 0; i < OOO_MAX_RANK; i++)
		if (v[i])
			return false;
	return true;
}

static bool unit_scale(const float *scale)
{
	for (int i = 0; i < OOO_MAX_RANK; i++)
		if (scale[i] != 0 && scale[i] != 1)
			return false;
	return true;
}

/* The result is the operand, given that their shapes and types are the same. */
static bool is_copy(const struct step *s)
{
	switch (s->op) {
	case OOO_OP_IDENTITY:
	case OOO_OP_CAST:
	case OOO_OP_RESHAPE:
	case OOO_OP_EXPAND:
	case OOO_OP_TILE:
		return true;
	case OOO_OP_CONCAT:
		return s->nr_in == 1;
	case OOO_OP_SPLIT:
		return s->nr_out == 1;
	case OOO_OP_SLICE:
	case OOO_OP_PAD:
		return all_zero(s->attr.start);
	case OOO_OP_RESIZE:
		return unit_scale(s->attr.scale);
	case OOO_OP_CLIP:
		return s->attr.alpha == -INFINITY && s->attr.beta == INFINITY;
	case OOO_OP_DEPTH_TO_SPACE:
	case OOO_OP_SPACE_TO_DEPTH:
		return s->attr.kernel[0] == 1;
	default:
		return false;
	}
}

/* Axes that are longer than 1 keep their order. */
static bool transpose_moves_nothing(const struct shape *in, const int32_t *perm)
{
	int last = -1;

	for (int i = 0; i < in->rank; i++) {
		if (in->dims[perm[i]] == 1)
			continue;
		if (perm[i] < last)
			return false;
		last = perm[i];
	}
	return true;
}

static void make_reshape(struct step *s, const struct shape *out)
{
	become(s, OOO_OP_RESHAPE);
	s->attr.rank = out->rank;
	for (int i = 0; i < out->rank; i++)
		s->attr.dims[i] = out->dims[i];
}

static void restate(struct program *p, struct step *s)
{
	const struct shape *in = &p->tensors[s->in[0]].shape, *out = &p->tensors[s->out[0]].shape;

	if (is_copy(s) && shape_equal(in, out)) {
		become(s, OOO_OP_IDENTITY);
		return;
	}
	if (s->op == OOO_OP_TRANSPOSE && transpose_moves_nothing(in, s->attr.perm))
		make_reshape(s, out);
	if ((s->op == OOO_OP_REDUCE_MEAN || s->op == OOO_OP_REDUCE_MAX) && in->rank == 4 &&
	    s->attr.axes == 0xc && s->attr.flags == OOO_ATTR_KEEPDIMS)
		become(s, s->op == OOO_OP_REDUCE_MEAN ? OOO_OP_GLOBAL_AVERAGE_POOL
						      : OOO_OP_GLOBAL_MAX_POOL);
}

static const struct step *writer_of(const struct graph *g, uint32_t id)
{
	uint32_t w = id == OOO_NONE ? OOO_NONE : g->writer[id];

	return w == OOO_NONE || g->p->steps[w].op == STEP_DEAD ? NULL : &g->p->steps[w];
}

/* The last two axes are exchanged and the others stay. */
static bool swaps_last_two(const struct graph *g, const struct step *s)
{
	int rank = g->p->tensors[s->in[0]].shape.rank;

	if (s->op != OOO_OP_TRANSPOSE || rank < 2)
		return false;
	for (int i = 0; i < rank - 2; i++)
		if (s->attr.perm[i] != i)
			return false;
	return s->attr.perm[rank - 2] == rank - 1;
}

static void take_transposes(struct graph *g, struct step *s)
{
	static const uint32_t flag[2] = { OOO_ATTR_TRANS_A, OOO_ATTR_TRANS_B };

	for (unsigned k = 0; k < 2; k++) {
		const struct step *from = writer_of(g, s->in[k]);

		if (!from || !swaps_last_two(g, from))
			continue;
		s->in[k] = from->in[0];
		s->attr.flags ^= flag[k];
	}
}

/* Zeros around an image are what a convolution's own padding means. */
static void take_padding(struct graph *g, struct step *s)
{
	const struct step *pad = writer_of(g, s->in[0]);
	const struct shape *in, *out = &g->p->tensors[s->in[0]].shape;
	int64_t pads[4] = { 0 };

	if (!pad || pad->op != OOO_OP_PAD || pad->attr.mode || pad->attr.alpha != 0)
		return;
	in = &g->p->tensors[pad->in[0]].shape;
	for (int i = 0; i < in->rank; i++) {
		int64_t start = pad->attr.start[i], end = out->dims[i] - in->dims[i] - start;
		int at = i - (in->rank - 2);

		if (start < 0 || end < 0 || (i < 2 && (start || end)))
			return;
		if (i < 2)
			continue;
		pads[at] = start + s->attr.pad[at];
		pads[at + 2] = end + s->attr.pad[at + 2];
		if (pads[at] > MAX_TAKEN_PAD || pads[at + 2] > MAX_TAKEN_PAD)
			return;
	}
	for (int i = in->rank == 4 ? 0 : 1; i < 4; i += in->rank == 4 ? 1 : 2)
		s->attr.pad[i] = (int32_t)pads[i];
	s->in[0] = pad->in[0];
}

/* Whether the step is gone: its result is another tensor from now on, or a constant. */
static bool vanish(struct graph *g, struct step *s, uint32_t *now)
{
	struct tensor *in = &g->p->tensors[s->in[0]], *out = &g->p->tensors[s->out[0]];

	if (out->place == PLACE_OUTPUT)
		return false;
	if (s->op == OOO_OP_IDENTITY) {
		now[s->out[0]] = s->in[0];
		return true;
	}
	if (s->op != OOO_OP_RESHAPE || in->place != PLACE_CONST)
		return false;
	out->place = PLACE_CONST;
	out->data = in->data;
	g->writer[s->out[0]] = OOO_NONE;
	return true;
}

static void simplify_step(struct graph *g, struct step *s, uint32_t *now)
{
	const struct step *from;

	for (unsigned k = 0; k < s->nr_in; k++)
		if (s->in[k] != OOO_NONE)
			s->in[k] = now[s->in[k]];
	restate(g->p, s);
	if (s->op == OOO_OP_MATMUL)
		take_transposes(g, s);
	if (s->op == OOO_OP_CONV)
		take_padding(g, s);
	from = writer_of(g, s->in[0]);
	if (s->op == OOO_OP_RESHAPE && from && from->op == OOO_OP_RESHAPE) {
		s->in[0] = from->in[0];
		restate(g->p, s);
	}
	if (vanish(g, s, now))
		step_kill(s);
}

int pass_simplify(struct graph *g)
{
	/* By tensor: what stands in its place from now on. */
	uint32_t *now = malloc((g->p->nr_tensors + 1) * sizeof(*now));

	if (!now)
		return graph_no_memory(g);
	for (uint32_t t = 0; t < g->p->nr_tensors; t++)
		now[t] = t;
	for (uint32_t i = 0; i < g->p->nr_steps; i++)
		simplify_step(g, &g->p->steps[i], now);
	free(now);
	graph_sweep(g);
	return 0;
}
