/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps that move nothing need not run: the result is the operand's memory under another shape.
 * Where the result is a program output and the operand an intermediate, it is the other way round:
 * whoever writes the operand writes the output at once. Copies of program inputs that several steps
 * read remain: their memory is the tenant's, who may change it while the program runs.
 */
#include "agent/program/passes.h"

static bool moves_nothing(const struct program *p, const struct step *s)
{
	const struct tensor *in = &p->tensors[s->in[0]], *out = &p->tensors[s->out[0]];

	if (s->nr_post || in->shape.dtype != out->shape.dtype)
		return false;
	if (s->op == OOO_OP_IDENTITY || s->op == OOO_OP_CAST)
		return in->layout == out->layout;
	if (s->op == OOO_OP_RESHAPE)
		return in->layout == LAYOUT_PLAIN && out->layout == LAYOUT_PLAIN;
	return s->op == OP_REORDER &&
	       layout_same_memory(&in->shape, (enum layout)in->layout, (enum layout)out->layout);
}

static bool make_alias(const struct graph *g, const struct step *s)
{
	struct program *p = g->p;
	uint32_t origin = (uint32_t)(tensor_origin(p, s->in[0]) - p->tensors);
	struct tensor *in = &p->tensors[origin], *out = &p->tensors[s->out[0]];

	if (out->place == PLACE_OUTPUT) {
		if (in->place != PLACE_WORKSPACE)
			return false;
		in->alias_of = s->out[0];
		return true;
	}
	if (in->place == PLACE_INPUT && g->nr_uses[s->out[0]] > 1)
		return false;
	if (in->place != PLACE_WORKSPACE && in->place != PLACE_OUTPUT && in->place != PLACE_INPUT)
		return false;
	out->alias_of = s->in[0];
	return true;
}

int pass_alias(struct graph *g)
{
	struct program *p = g->p;
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->nr_steps; i++) {
		struct step *s = &p->steps[i];

		if (moves_nothing(p, s) && make_alias(g, s))
			step_free(s);
		else
			p->steps[n++] = *s;
	}
	p->nr_steps = n;
	/* Uses are those of the tensors named; who asks for an origin's asks tensor_origin(). */
	graph_count_uses(g);
	return 0;
}
