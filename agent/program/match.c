/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exporters write some operators as a formula. Where a formula is recognised, its last step becomes
 * the operator; the steps before it go if nobody else reads them. The forms looked for:
 *
 *   Swish        x * sigmoid(x)
 *   HardSwish    x * hardsigmoid(x; 1/6, 1/2), x * clip(x + 3, 0, 6) / 6
 *   HardSigmoid  clip(x + 3, 0, 6) / 6
 *   Gelu         x * 0.5 * (1 + erf(x / sqrt(2))), the factors in any order and nesting;
 *                the same with tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))
 *   LayerNormalization  d / sqrt(mean(d^2) + epsilon) * scale [+ bias], d = x - mean(x)
 */
#include <math.h>
#include <string.h>

#include "agent/program/passes.h"

#define TOLERANCE 1e-3f /* relative; exporters round these constants */

static struct step *writer_of(const struct graph *g, uint32_t id)
{
	uint32_t w = id == OOO_NONE ? OOO_NONE : g->writer[id];

	return w == OOO_NONE || g->p->steps[w].op == STEP_DEAD ? NULL : &g->p->steps[w];
}

/* The step that writes id, if it is of that kind. */
static struct step *writer_is(const struct graph *g, uint32_t id, uint32_t op)
{
	struct step *s = writer_of(g, id);

	return s && s->op == op ? s : NULL;
}

static bool near(float a, float b)
{
	return fabsf(a - b) <= TOLERANCE * fabsf(b);
}

static bool is_number(const struct graph *g, uint32_t id, float number)
{
	float have;

	return const_scalar(g->p, id, &have) && near(have, number);
}

/* A commutative step with that number as one operand: the other operand; else OOO_NONE. */
static uint32_t other_than(const struct graph *g, const struct step *s, float number)
{
	if (is_number(g, s->in[1], number))
		return s->in[0];
	return is_number(g, s->in[0], number) ? s->in[1] : OOO_NONE;
}

/* id = x * factor, or x / (1 / factor): x, else OOO_NONE. */
static uint32_t times(const struct graph *g, uint32_t id, float factor)
{
	const struct step *s = writer_of(g, id);

	if (s && s->op == OOO_OP_MUL)
		return other_than(g, s, factor);
	if (s && s->op == OOO_OP_DIV && is_number(g, s->in[1], 1 / factor))
		return s->in[0];
	return OOO_NONE;
}

static bool same_shape(const struct graph *g, uint32_t a, uint32_t b)
{
	return shape_equal(&g->p->tensors[a].shape, &g->p->tensors[b].shape);
}

/* s becomes op of x alone. */
static bool become_unary(struct graph *g, struct step *s, uint32_t op, uint32_t x)
{
	if (!same_shape(g, x, s->out[0]))
		return false;
	/* Every pattern's last step has two operands, so there is room for one. */
	s->nr_in = 1;
	s->in[0] = x;
	s->op = op;
	s->klass = op_info(op)->klass;
	attr_init(&s->attr, op);
	step_name_add(s, op_info(op)->name);
	return true;
}

static bool set_hard_sigmoid(struct graph *g, struct step *s, uint32_t x)
{
	if (!become_unary(g, s, OOO_OP_HARD_SIGMOID, x))
		return false;
	s->attr.alpha = 1.0f / 6;
	s->attr.beta = 0.5f;
	return true;
}

/* id = clip(x + 3, 0, 6): x, else OOO_NONE. */
static uint32_t relu6_of_plus3(const struct graph *g, uint32_t id)
{
	const struct step *clip = writer_is(g, id, OOO_OP_CLIP), *add;

	if (!clip || clip->attr.alpha != 0 || clip->attr.beta != 6)
		return OOO_NONE;
	add = writer_is(g, clip->in[0], OOO_OP_ADD);
	return add ? other_than(g, add, 3) : OOO_NONE;
}

/* gate is what x is multiplied with. */
static bool match_gated(struct graph *g, struct step *s, uint32_t x, uint32_t gate)
{
	const struct step *w = writer_of(g, gate);

	if (!w || w->in[0] != x)
		return false;
	if (w->op == OOO_OP_SIGMOID)
		return become_unary(g, s, OOO_OP_SWISH, x);
	if (w->op == OOO_OP_HARD_SIGMOID && near(w->attr.alpha, 1.0f / 6) &&
	    near(w->attr.beta, 0.5f))
		return become_unary(g, s, OOO_OP_HARD_SWISH, x);
	return false;
}

/* s = something / 6, as a division or a product. */
static bool match_hard(struct graph *g, struct step *s)
{
	uint32_t whole = times(g, s->out[0], 1.0f / 6), x;
	const struct step *mul;

	if (whole == OOO_NONE)
		return false;
	x = relu6_of_plus3(g, whole);
	if (x != OOO_NONE)
		return set_hard_sigmoid(g, s, x);
	mul = writer_is(g, whole, OOO_OP_MUL);
	for (unsigned k = 0; mul && k < 2; k++) {
		x = mul->in[k];
		if (relu6_of_plus3(g, mul->in[!k]) == x)
			return become_unary(g, s, OOO_OP_HARD_SWISH, x);
	}
	return false;
}

/* ---- Gelu ------------------------------------------------------------------------------------ */

/* id = x^3, as a power or as products. */
static bool is_cube(const struct graph *g, uint32_t id, uint32_t x)
{
	const struct step *s = writer_of(g, id), *square;

	if (s && s->op == OOO_OP_POW)
		return s->in[0] == x && is_number(g, s->in[1], 3);
	for (unsigned k = 0; s && s->op == OOO_OP_MUL && k < 2; k++) {
		square = writer_of(g, s->in[!k]);
		if (s->in[k] != x || !square)
			continue;
		if (square->op == OOO_OP_MUL && square->in[0] == x && square->in[1] == x)
			return true;
		if (square->op == OOO_OP_POW && square->in[0] == x &&
		    is_number(g, square->in[1], 2))
			return true;
	}
	return false;
}

/* id = sqrt(2 / pi) * (x + 0.044715 * x^3) */
static bool is_tanh_argument(const struct graph *g, uint32_t id, uint32_t x)
{
	uint32_t sum = times(g, id, 0.7978845608f), cube;
	const struct step *add = sum == OOO_NONE ? NULL : writer_is(g, sum, OOO_OP_ADD);

	for (unsigned k = 0; add && k < 2; k++) {
		if (add->in[k] != x)
			continue;
		cube = times(g, add->in[!k], 0.044715f);
		if (cube != OOO_NONE && is_cube(g, cube, x))
			return true;
	}
	return false;
}

/* id = 1 + erf(x / sqrt(2)): mode 0, 1 + tanh(...): mode 1; else -1. */
static int gelu_gate(const struct graph *g, uint32_t id, uint32_t x)
{
	const struct step *add = writer_is(g, id, OOO_OP_ADD), *s;
	uint32_t inner = add ? other_than(g, add, 1) : OOO_NONE;

	s = writer_of(g, inner);
	if (!s)
		return -1;
	if (s->op == OOO_OP_ERF && times(g, s->in[0], 0.70710678f) == x)
		return 0;
	return s->op == OOO_OP_TANH && is_tanh_argument(g, s->in[0], x) ? 1 : -1;
}

/* The three factors of a product of products: 3, or 0 if there are not three. */
static unsigned factors(const struct graph *g, const struct step *mul, uint32_t *factor)
{
	for (unsigned k = 0; k < 2; k++) {
		const struct step *inner = writer_is(g, mul->in[k], OOO_OP_MUL);

		if (!inner)
			continue;
		factor[0] = mul->in[!k];
		factor[1] = inner->in[0];
		factor[2] = inner->in[1];
		/* x itself may be a product: then the half shows which one was meant. */
		for (unsigned i = 0; i < 3; i++)
			if (is_number(g, factor[i], 0.5f))
				return 3;
	}
	return 0;
}

static bool match_gelu(struct graph *g, struct step *s)
{
	uint32_t f[3];

	if (!factors(g, s, f))
		return false;
	for (unsigned i = 0; i < 3; i++)
		for (unsigned k = 0; k < 3; k++) {
			unsigned half = 3 - i - k;
			int mode;

			if (i == k || !is_number(g, f[half], 0.5f))
				continue;
			mode = gelu_gate(g, f[k], f[i]);
			if (mode < 0 || !become_unary(g, s, OOO_OP_GELU, f[i]))
				continue;
			s->attr.mode = mode;
			return true;
		}
	return false;
}

/* ---- LayerNormalization ---------------------------------------------------------------------- */

/* id = ReduceMean(x) over the last axes, kept: the first of them, else -1. */
static int mean_axis(const struct graph *g, uint32_t id, uint32_t *x)
{
	const struct step *s = writer_is(g, id, OOO_OP_REDUCE_MEAN);
	uint32_t first, all;

	if (!s || !(s->attr.flags & OOO_ATTR_KEEPDIMS))
		return -1;
	all = (1u << g->p->tensors[s->in[0]].shape.rank) - 1;
	first = s->attr.axes & -s->attr.axes;
	if ((s->attr.axes | (first - 1)) != all)
		return -1;
	*x = s->in[0];
	return __builtin_ctz(first);
}

/* d = x - mean(x): the axis, else -1. */
static int centred_axis(const struct graph *g, uint32_t d, uint32_t *x)
{
	const struct step *sub = writer_is(g, d, OOO_OP_SUB);
	uint32_t of;
	int axis;

	if (!sub)
		return -1;
	axis = mean_axis(g, sub->in[1], &of);
	if (axis < 0 || of != sub->in[0])
		return -1;
	*x = of;
	return axis;
}

/* id = d^2: d, else OOO_NONE. */
static uint32_t root_of(const struct graph *g, uint32_t id)
{
	const struct step *s = writer_of(g, id);

	if (s && s->op == OOO_OP_POW && is_number(g, s->in[1], 2))
		return s->in[0];
	return s && s->op == OOO_OP_MUL && s->in[0] == s->in[1] ? s->in[0] : OOO_NONE;
}

/* id = sqrt(mean(d^2) + epsilon), d = x - mean(x) of that x and axis. */
static bool is_deviation(const struct graph *g, uint32_t id, uint32_t x, int axis, float *epsilon)
{
	const struct step *root = writer_is(g, id, OOO_OP_SQRT);
	const struct step *add = root ? writer_is(g, root->in[0], OOO_OP_ADD) : NULL;
	uint32_t square, d, of;

	for (unsigned k = 0; add && k < 2; k++) {
		if (!const_scalar(g->p, add->in[!k], epsilon) || !(*epsilon >= 0) ||
		    !isfinite(*epsilon) || mean_axis(g, add->in[k], &square) != axis)
			continue;
		d = root_of(g, square);
		/* Some exporters compute the difference twice. */
		if (d != OOO_NONE && centred_axis(g, d, &of) == axis && of == x)
			return true;
	}
	return false;
}

/* A vector over axis .. rank - 1 of x, exactly. */
static bool is_tail(const struct graph *g, uint32_t id, uint32_t x, int axis)
{
	const struct shape *s = &g->p->tensors[id].shape, *of = &g->p->tensors[x].shape;

	if (s->dtype != OOO_FP32 || s->rank != of->rank - axis)
		return false;
	return !memcmp(s->dims, of->dims + axis, (size_t)s->rank * sizeof(s->dims[0]));
}

/* s = d / deviation * scale */
static bool match_layer_norm(struct graph *g, struct step *s)
{
	for (unsigned k = 0; k < 2; k++) {
		const struct step *div = writer_is(g, s->in[k], OOO_OP_DIV);
		uint32_t scale = s->in[!k], x;
		float epsilon;
		int axis = div ? centred_axis(g, div->in[0], &x) : -1;

		if (axis < 0 || !is_deviation(g, div->in[1], x, axis, &epsilon) ||
		    !is_tail(g, scale, x, axis) || !same_shape(g, x, s->out[0]))
			continue;
		s->op = OOO_OP_LAYER_NORM;
		s->klass = CLASS_NORM;
		attr_init(&s->attr, s->op);
		s->attr.axis = axis;
		s->attr.alpha = epsilon;
		s->in[0] = x;
		s->in[1] = scale;
		step_name_add(s, op_info(s->op)->name);
		return true;
	}
	return false;
}

/* s = LayerNormalization without bias + bias. 0 or -ENOMEM. */
static int take_bias(struct graph *g, struct step *s)
{
	for (unsigned k = 0; k < 2; k++) {
		struct step *norm = writer_is(g, s->in[k], OOO_OP_LAYER_NORM);
		uint32_t in[3], out = s->out[0];

		if (!norm || step_in(norm, 2) != OOO_NONE || g->nr_uses[s->in[k]] != 1 ||
		    !is_tail(g, s->in[!k], norm->in[0], norm->attr.axis))
			continue;
		in[0] = norm->in[0];
		in[1] = norm->in[1];
		in[2] = s->in[!k];
		if (step_set_operands(s, in, 3, &out, 1))
			return graph_no_memory(g);
		s->op = OOO_OP_LAYER_NORM;
		s->klass = CLASS_NORM;
		s->attr = norm->attr;
		memcpy(s->name, norm->name, sizeof(s->name));
		step_kill(norm);
		return 0;
	}
	return 0;
}

static int match_step(struct graph *g, struct step *s)
{
	if (s->op == OOO_OP_ADD)
		return take_bias(g, s);
	if (s->op == OOO_OP_MUL &&
	    (match_gated(g, s, s->in[0], s->in[1]) || match_gated(g, s, s->in[1], s->in[0]) ||
	     match_gelu(g, s) || match_layer_norm(g, s)))
		return 0;
	if (s->op == OOO_OP_MUL || s->op == OOO_OP_DIV)
		match_hard(g, s);
	return 0;
}

int pass_match(struct graph *g)
{
	for (uint32_t i = 0; i < g->p->nr_steps; i++) {
		int rc = match_step(g, &g->p->steps[i]);

		if (rc)
			return rc;
	}
	graph_sweep(g);
	return 0;
}
