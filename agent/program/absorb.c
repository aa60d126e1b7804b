/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Y = X * scale + shift by channel, after a convolution or a matrix product whose weights are
 * constant, costs nothing: it goes into the weights and the bias. That is batch normalisation, and
 * Add, Sub, Mul and Div with a constant. New weights are computed in double precision.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent/program/passes.h"

#define MAX_HOPS 8 /* between a factor and the weights that it goes into */

/* By output channel of a convolution or output column of a matrix product. */
struct affine {
	int64_t n;
	double *scale, *shift;
	bool scales, shifts; /* some scale is not 1, some shift is not 0 */
};

static const float *floats(const struct program *p, uint32_t id)
{
	return p->tensors[id].data;
}

static int64_t elems_of(const struct program *p, uint32_t id)
{
	int64_t n = 0;

	shape_elems(&p->tensors[id].shape, &n);
	return n;
}

/* The axis of a producer's result that its affine goes along. */
static int channel_axis(const struct program *p, const struct step *s)
{
	return s->klass == CLASS_CONV ? 1 : p->tensors[s->out[0]].shape.rank - 1;
}

/* Constant id is one number, or a vector along that axis of a result of that shape. */
static bool is_vector_along(const struct program *p, uint32_t id, const struct shape *out, int axis)
{
	const struct shape *s;
	int at;

	if (!tensor_is_const(p, id) || p->tensors[id].shape.dtype != OOO_FP32)
		return false;
	s = &p->tensors[id].shape;
	at = axis - (out->rank - s->rank);
	if (s->rank > out->rank)
		return false;
	for (int i = 0; i < s->rank; i++)
		if (s->dims[i] != 1 && (i != at || s->dims[i] != out->dims[axis]))
			return false;
	return true;
}

static double element(const struct program *p, uint32_t id, int64_t i)
{
	return (double)floats(p, id)[elems_of(p, id) == 1 ? 0 : i];
}

static void affine_of_binary(const struct program *p, const struct step *s, uint32_t constant,
			     struct affine *a)
{
	for (int64_t i = 0; i < a->n; i++) {
		double c = element(p, constant, i);

		a->scale[i] = s->op == OOO_OP_MUL ? c : s->op == OOO_OP_DIV ? 1 / c : 1;
		a->shift[i] = s->op == OOO_OP_ADD ? c : s->op == OOO_OP_SUB ? -c : 0;
	}
}

static void affine_of_norm(const struct program *p, const struct step *s, struct affine *a)
{
	for (int64_t i = 0; i < a->n; i++) {
		double var = element(p, s->in[4], i) + (double)s->attr.alpha;

		a->scale[i] = element(p, s->in[1], i) / sqrt(var);
		a->shift[i] = element(p, s->in[2], i) - element(p, s->in[3], i) * a->scale[i];
	}
}

/* False: not finite in fp32, leave it to run time. */
static bool judge(struct affine *a)
{
	for (int64_t i = 0; i < a->n; i++) {
		if (!isfinite((float)a->scale[i]) || !isfinite((float)a->shift[i]))
			return false;
		a->scales = a->scales || a->scale[i] != 1;
		a->shifts = a->shifts || a->shift[i] != 0;
	}
	return true;
}

/* The operand that is the producer's result; its other operands are constants of the right form. */
static bool is_affine(const struct program *p, const struct step *s, unsigned x,
		      const struct step *from)
{
	const struct shape *out = &p->tensors[from->out[0]].shape;
	int axis = channel_axis(p, from);

	switch (s->op) {
	case OOO_OP_BATCH_NORM:
		if (x || axis != 1)
			return false;
		for (unsigned k = 1; k < 5; k++)
			if (!tensor_is_const(p, s->in[k]))
				return false;
		return true;
	case OOO_OP_SUB:
	case OOO_OP_DIV:
		if (x)
			return false;
		break;
	case OOO_OP_ADD:
	case OOO_OP_MUL:
		break;
	default:
		return false;
	}
	return shape_equal(&p->tensors[s->out[0]].shape, out) &&
	       is_vector_along(p, s->in[!x], out, axis);
}

/* Output channel of the i-th run of weights, each `run` long, in the weights' order. */
static int64_t channel_of(const struct program *p, const struct step *s, int64_t i)
{
	const struct shape *w = &p->tensors[s->in[1]].shape;
	int64_t rows_per_group;

	if (s->op == OOO_OP_CONV)
		return i;                     /* W[M, ...] */
	if (s->op == OOO_OP_CONV_TRANSPOSE) { /* W[C, M/group, ...] */
		rows_per_group = w->dims[0] / s->attr.group;
		return i / w->dims[1] / rows_per_group * w->dims[1] + i % w->dims[1];
	}
	if (s->attr.flags & OOO_ATTR_TRANS_B)
		return i;      /* B[N, K] */
	return i % w->dims[1]; /* B[K, N] */
}

/* Consecutive weights of one output channel. */
static int64_t run_length(const struct program *p, const struct step *s)
{
	const struct shape *w = &p->tensors[s->in[1]].shape;
	int64_t n = elems_of(p, s->in[1]);

	if (s->op == OOO_OP_CONV)
		return n / w->dims[0];
	if (s->op == OOO_OP_CONV_TRANSPOSE)
		return n / (w->dims[0] * w->dims[1]);
	return s->attr.flags & OOO_ATTR_TRANS_B ? w->dims[1] : 1;
}

/* OOO_NONE: no memory, or a weight is not finite any more (then *ok is false). */
static uint32_t scaled_weights(struct graph *g, const struct step *s, const struct affine *a,
			       bool *ok)
{
	struct shape shape = g->p->tensors[s->in[1]].shape;
	int64_t run = run_length(g->p, s), n = elems_of(g->p, s->in[1]);
	const float *from;
	void *data;
	float *to;
	uint32_t id = graph_new_const(g, &shape, &data);

	*ok = true;
	if (id == OOO_NONE)
		return id;
	from = floats(g->p, s->in[1]);
	to = data;
	for (int64_t at = 0; at < n; at += run) {
		double scale = a->scale[channel_of(g->p, s, at / run)];

		for (int64_t i = at; i < at + run; i++) {
			to[i] = (float)((double)from[i] * scale);
			if (!isfinite(to[i]) && isfinite(from[i]))
				*ok = false;
		}
	}
	return id;
}

/* factor * bias * scale + shift, whether there is a bias or not. */
static uint32_t scaled_bias(struct graph *g, const struct step *s, const struct affine *a,
			    double factor, bool *ok)
{
	struct shape shape = { .dtype = OOO_FP32, .rank = 1, .dims = { a->n } };
	uint32_t bias = step_in(s, 2), id;
	void *data;
	float *to;

	*ok = true;
	id = graph_new_const(g, &shape, &data);
	if (id == OOO_NONE)
		return id;
	to = data;
	for (int64_t i = 0; i < a->n; i++) {
		double b = bias == OOO_NONE ? 0 : factor * element(g->p, bias, i);

		to[i] = (float)(b * a->scale[i] + a->shift[i]);
		if (!isfinite(to[i]))
			*ok = false;
	}
	return id;
}

/* One factor for everything, which a matrix product can apply as alpha. */
static bool is_uniform(const struct affine *a)
{
	for (int64_t i = 1; i < a->n; i++)
		if (a->scale[i] != a->scale[0])
			return false;
	return true;
}

/* What the producer's operands and attributes become. */
struct change {
	uint32_t weights, bias;
	float alpha, beta;
};

/* Whether the operands that have to change are constants, in a form that can be changed. */
static bool can_change(const struct graph *g, const struct step *s, const struct affine *a,
		       bool by_alpha)
{
	const struct program *p = g->p;
	uint32_t bias = step_in(s, 2);
	uint64_t bytes = (uint64_t)a->n * sizeof(float);

	if (a->scales && !by_alpha) {
		if (!tensor_is_const(p, s->in[1]) ||
		    (s->klass == CLASS_MATMUL && p->tensors[s->in[1]].shape.rank != 2))
			return false;
		bytes += p->tensors[s->in[1]].bytes;
	}
	if (bias != OOO_NONE && (a->shifts || !by_alpha) &&
	    !is_vector_along(p, bias, &p->tensors[s->out[0]].shape, channel_axis(p, s)) &&
	    !(s->klass == CLASS_CONV && tensor_is_const(p, bias)))
		return false;
	return graph_may_make(g, bytes);
}

/* 1: changed, 0: not possible, -ENOMEM. The step is as it was unless 1. */
static int apply(struct graph *g, struct step *s, const struct affine *a)
{
	bool matmul = s->klass == CLASS_MATMUL, ok = true;
	/* As alpha, if the device can then put it into weights that it packs anyway. */
	bool by_alpha = matmul && is_uniform(a) && (!a->scales || tensor_is_const(g->p, s->in[1]));
	struct change c = { s->in[1], step_in(s, 2), s->attr.alpha, s->attr.beta };
	uint32_t in[3], out = s->out[0];

	if (!can_change(g, s, a, by_alpha))
		return 0;
	if (by_alpha) {
		c.alpha = (float)((double)c.alpha * a->scale[0]);
		c.beta = (float)((double)c.beta * a->scale[0]);
		if (!isfinite(c.alpha) || !isfinite(c.beta))
			return 0;
	} else if (a->scales) {
		c.weights = scaled_weights(g, s, a, &ok);
		if (c.weights == OOO_NONE)
			return -ENOMEM;
	}
	if (ok && (a->shifts || (c.bias != OOO_NONE && !by_alpha))) {
		c.bias = scaled_bias(g, s, a, matmul ? (double)s->attr.beta : 1, &ok);
		c.beta = matmul;
		if (c.bias == OOO_NONE)
			return -ENOMEM;
	}
	if (!ok)
		return 0;
	in[0] = s->in[0];
	in[1] = c.weights;
	in[2] = c.bias;
	if (step_set_operands(s, in, c.bias == OOO_NONE ? 2 : 3, &out, 1))
		return -ENOMEM;
	if (matmul) {
		s->attr.alpha = c.alpha;
		s->attr.beta = c.beta;
	}
	return 1;
}

/* The step whose result operand x is, if it can take something in. */
static struct step *producer(const struct graph *g, uint32_t x)
{
	struct step *s;

	if (x == OOO_NONE || g->writer[x] == OOO_NONE || g->nr_uses[x] != 1)
		return NULL;
	s = &g->p->steps[g->writer[x]];
	if (s->klass == CLASS_CONV)
		return s;
	/* The vector forms have no column axis to go along. */
	if (s->klass == CLASS_MATMUL && g->p->tensors[s->in[0]].shape.rank > 1 &&
	    g->p->tensors[s->in[1]].shape.rank > 1)
		return s;
	return NULL;
}

static int init_affine(const struct graph *g, const struct step *into, struct affine *a)
{
	*a = (struct affine){ 0 };
	a->n = g->p->tensors[into->out[0]].shape.dims[channel_axis(g->p, into)];
	a->scale = malloc((size_t)a->n * 2 * sizeof(*a->scale));
	if (!a->scale)
		return -ENOMEM;
	a->shift = a->scale + a->n;
	return 0;
}

static int absorb(struct graph *g, struct step *s, unsigned x, struct step *into)
{
	struct affine a;
	int rc = 0;

	if (init_affine(g, into, &a))
		return -ENOMEM;
	if (s->op == OOO_OP_BATCH_NORM)
		affine_of_norm(g->p, s, &a);
	else
		affine_of_binary(g->p, s, s->in[!x], &a);
	if (judge(&a))
		rc = apply(g, into, &a);
	free(a.scale);
	if (rc != 1)
		return rc;
	into->out[0] = s->out[0];
	g->writer[s->out[0]] = (uint32_t)(into - g->p->steps);
	step_name_add(into, op_info(s->op)->name);
	step_kill(s);
	return 0;
}

/*
 * Scores of attention are scaled behind a product of two run-time matrices, or before it behind a
 * transposition. A factor may go back through these to weights: the step they belong to, or NULL.
 */
static struct step *scalable(const struct graph *g, uint32_t x)
{
	for (int hops = 0; hops < MAX_HOPS; hops++) {
		struct step *s = producer(g, x);

		if (s && (s->klass == CLASS_CONV || tensor_is_const(g->p, s->in[1])))
			return s;
		if (!s && x != OOO_NONE && g->writer[x] != OOO_NONE && g->nr_uses[x] == 1)
			s = &g->p->steps[g->writer[x]];
		if (!s || (s->op != OOO_OP_RESHAPE && s->op != OOO_OP_TRANSPOSE &&
			   (s->op != OOO_OP_MATMUL || step_in(s, 2) != OOO_NONE)))
			return NULL;
		x = s->in[0];
	}
	return NULL;
}

/* s = operand x times or by a number: put it into the weights before, and take s out. */
static int absorb_factor(struct graph *g, struct step *s, unsigned x)
{
	uint32_t id = s->in[x];
	struct step *into, *from;
	struct affine a = { 0 };
	float factor;
	int rc = 0;

	if ((s->op != OOO_OP_MUL && (s->op != OOO_OP_DIV || x)) ||
	    !const_scalar(g->p, s->in[!x], &factor) ||
	    !shape_equal(&g->p->tensors[id].shape, &g->p->tensors[s->out[0]].shape))
		return 0;
	into = scalable(g, id);
	if (!into || init_affine(g, into, &a))
		return into ? -ENOMEM : 0;
	affine_of_binary(g->p, s, s->in[!x], &a);
	if (judge(&a))
		rc = apply(g, into, &a);
	free(a.scale);
	if (rc != 1)
		return rc;
	from = &g->p->steps[g->writer[id]];
	from->out[0] = s->out[0];
	g->writer[s->out[0]] = g->writer[id];
	step_name_add(into, op_info(s->op)->name);
	step_kill(s);
	return 0;
}

static int absorb_step(struct graph *g, struct step *s)
{
	for (unsigned x = 0; x < 2 && s->op != STEP_DEAD; x++) {
		struct step *into = producer(g, step_in(s, x));

		if (into && is_affine(g->p, s, x, into) && absorb(g, s, x, into))
			return -ENOMEM;
		if (s->op != STEP_DEAD && x < s->nr_in && absorb_factor(g, s, x))
			return -ENOMEM;
	}
	return 0;
}

int pass_absorb(struct graph *g)
{
	for (uint32_t i = 0; i < g->p->nr_steps; i++)
		if (absorb_step(g, &g->p->steps[i]))
			return graph_no_memory(g);
	graph_sweep(g);
	graph_free_consts(g);
	return 0;
}
