/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An activation, or a sum or product with another tensor of the same shape, becomes a
 * post-operation of the step that computes its operand, if nobody else reads that operand. The
 * fused step stands where the absorbed one stood: by then the other tensor has been computed, and
 * nobody between the two places can have read what only the absorbed step reads.
 */
#include "agent/program/passes.h"

/* Unary pointwise operators on fp32 that a device can apply to a result in passing. */
static bool is_activation(uint32_t op)
{
	switch (op) {
	case OOO_OP_RELU:
	case OOO_OP_CLIP:
	case OOO_OP_LEAKY_RELU:
	case OOO_OP_ELU:
	case OOO_OP_SIGMOID:
	case OOO_OP_TANH:
	case OOO_OP_HARD_SIGMOID:
	case OOO_OP_HARD_SWISH:
	case OOO_OP_GELU:
	case OOO_OP_SWISH:
		return true;
	default:
		return false;
	}
}

/* Steps that a chain of pointwise steps may begin with; the rest of it are post-operations. */
static bool is_fp32_pointwise(const struct program *p, const struct step *s)
{
	switch (s->op) {
	case OOO_OP_IDENTITY:
	case OOO_OP_CAST:
	case OOO_OP_NOT:
	case OOO_OP_WHERE:
		return false;
	default:
		return s->klass == CLASS_POINTWISE &&
		       p->tensors[s->in[0]].shape.dtype == OOO_FP32 &&
		       p->tensors[s->out[0]].shape.dtype == OOO_FP32;
	}
}

/* Whether the step that writes x may do what its only reader does, and how gladly; 0: no. */
static int rank_producer(const struct graph *g, uint32_t x, const struct shape *out)
{
	const struct step *s;

	if (x == OOO_NONE || g->writer[x] == OOO_NONE || g->nr_uses[x] != 1 ||
	    !shape_equal(&g->p->tensors[x].shape, out))
		return 0;
	s = &g->p->steps[g->writer[x]];
	if (s->nr_post == STEP_MAX_POST || s->nr_out != 1)
		return 0;
	if (s->klass == CLASS_CONV || s->klass == CLASS_MATMUL)
		return 2;
	return is_fp32_pointwise(g->p, s);
}

/* The producer takes over what `into` did, and its place. */
static void fuse_into(struct graph *g, uint32_t producer, uint32_t into, uint32_t other)
{
	struct step *from = &g->p->steps[producer], *s = &g->p->steps[into];
	struct post post = {
		.op = s->op,
		.operand = other,
		.alpha = s->attr.alpha,
		.beta = s->attr.beta,
		.mode = s->attr.mode,
	};
	uint32_t out = s->out[0];

	step_name_add(from, op_info(s->op)->name);
	step_free(s);
	*s = *from;
	/* The operands' memory moved along. */
	from->in = NULL;
	from->out = NULL;
	step_kill(from);
	s->post[s->nr_post++] = post;
	s->out[0] = out;
	g->writer[out] = into;
}

static void fuse_unary(struct graph *g, uint32_t i)
{
	const struct step *s = &g->p->steps[i];
	uint32_t x = s->in[0];

	if (rank_producer(g, x, &g->p->tensors[s->out[0]].shape))
		fuse_into(g, g->writer[x], i, OOO_NONE);
}

static void fuse_binary(struct graph *g, uint32_t i)
{
	const struct step *s = &g->p->steps[i];
	const struct shape *out = &g->p->tensors[s->out[0]].shape;
	int rank[2];
	unsigned x;

	if (out->dtype != OOO_FP32 || s->in[0] == s->in[1])
		return;
	for (x = 0; x < 2; x++) {
		bool same = shape_equal(&g->p->tensors[s->in[!x]].shape, out);

		rank[x] = same ? rank_producer(g, s->in[x], out) : 0;
	}
	if (!rank[0] && !rank[1])
		return;
	/* The later of two equals moves the least, and leaves the earlier free to start. */
	if (rank[0] == rank[1])
		x = g->writer[s->in[1]] > g->writer[s->in[0]];
	else
		x = rank[1] > rank[0];
	fuse_into(g, g->writer[s->in[x]], i, s->in[!x]);
}

int pass_fuse(struct graph *g)
{
	for (uint32_t i = 0; i < g->p->nr_steps; i++) {
		const struct step *s = &g->p->steps[i];

		if (is_activation(s->op) && !s->nr_post)
			fuse_unary(g, i);
		else if ((s->op == OOO_OP_ADD || s->op == OOO_OP_MUL) && !s->nr_post)
			fuse_binary(g, i);
	}
	graph_sweep(g);
	return 0;
}
