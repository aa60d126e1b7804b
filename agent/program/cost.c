/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The prior of each step's time: a roofline of the device's rates. The flow learns the real times;
 * this only has to rank a cold program's steps sensibly.
 */
#include "agent/device/device.h"
#include "agent/program/passes.h"

#define STEP_OVERHEAD_NS     500
#define DEFAULT_FLOPS_PER_NS 50.0
#define DEFAULT_BYTES_PER_NS 10.0
#define TRANSCENDENTAL_FLOPS 12 /* of one exp, tanh, erf, ... */
#define NORM_FLOPS           8  /* by element: two passes of sums, then scale */

static uint64_t elems(const struct program *p, uint32_t id)
{
	int64_t n = 0;

	if (id != OOO_NONE)
		shape_elems(&p->tensors[id].shape, &n);
	return (uint64_t)n;
}

static uint64_t saturating_mul(uint64_t a, uint64_t b)
{
	uint64_t r;

	return __builtin_mul_overflow(a, b, &r) ? UINT64_MAX : r;
}

static uint64_t saturating_add(uint64_t a, uint64_t b)
{
	uint64_t r;

	return __builtin_add_overflow(a, b, &r) ? UINT64_MAX : r;
}

static bool is_transcendental(uint32_t op)
{
	switch (op) {
	case OOO_OP_POW:
	case OOO_OP_ELU:
	case OOO_OP_SIGMOID:
	case OOO_OP_TANH:
	case OOO_OP_GELU:
	case OOO_OP_ERF:
	case OOO_OP_EXP:
	case OOO_OP_LOG:
	case OOO_OP_SELU:
	case OOO_OP_SOFTPLUS:
	case OOO_OP_SIN:
	case OOO_OP_COS:
	case OOO_OP_SWISH:
	case OOO_OP_CELU:
		return true;
	default:
		return false;
	}
}

static uint64_t pointwise_flops(uint32_t op, uint64_t n)
{
	return saturating_mul(n, is_transcendental(op) ? TRANSCENDENTAL_FLOPS : 1);
}

static uint64_t matmul_flops(const struct program *p, const struct step *s)
{
	const struct shape *a = &p->tensors[s->in[0]].shape;
	bool trans = s->attr.flags & OOO_ATTR_TRANS_A;
	int64_t k = a->dims[a->rank - (trans ? 2 : 1)];

	return saturating_mul(2 * elems(p, s->out[0]), (uint64_t)k);
}

/* W[M,C/g,..] or, transposed, W[C,M/g,..]: its elements per row are what each element costs. */
static uint64_t conv_flops(const struct program *p, const struct step *s)
{
	const struct shape *w = &p->tensors[s->in[1]].shape;
	uint32_t by = s->op == OOO_OP_CONV ? s->out[0] : s->in[0];

	return saturating_mul(2 * elems(p, by), elems(p, s->in[1]) / (uint64_t)w->dims[0]);
}

static uint64_t rnn_flops(const struct program *p, const struct step *s)
{
	const struct shape *x = &p->tensors[s->in[0]].shape;
	uint64_t weights = elems(p, s->in[1]) + elems(p, s->in[2]);

	return saturating_mul(2 * weights, (uint64_t)(x->dims[0] * x->dims[1]));
}

static uint64_t attention_flops(const struct attention *a)
{
	uint64_t rows =
		saturating_mul((uint64_t)a->batch * (uint64_t)a->heads, (uint64_t)a->queries);

	return saturating_mul(saturating_mul(rows, (uint64_t)a->keys),
			      2 * ((uint64_t)a->depth + (uint64_t)a->value_depth) +
				      TRANSCENDENTAL_FLOPS);
}

static uint64_t step_flops(const struct program *p, const struct step *s)
{
	if (s->op == OP_ATTENTION)
		return attention_flops(&s->attention);
	switch (s->klass) {
	case CLASS_CONV:
		return conv_flops(p, s);
	case CLASS_MATMUL:
		return matmul_flops(p, s);
	case CLASS_RNN:
		return rnn_flops(p, s);
	case CLASS_POINTWISE:
		return pointwise_flops(s->op, elems(p, s->out[0]));
	case CLASS_POOL:
		if (s->op == OOO_OP_MAX_POOL || s->op == OOO_OP_AVERAGE_POOL)
			return saturating_mul(elems(p, s->out[0]),
					      (uint64_t)s->attr.kernel[0] *
						      (uint64_t)s->attr.kernel[1]);
		return elems(p, s->in[0]);
	case CLASS_NORM:
		return saturating_mul(elems(p, s->in[0]), NORM_FLOPS);
	case CLASS_REDUCE:
		return elems(p, s->in[0]);
	default:
		return 0;
	}
}

static uint64_t bytes_of(const struct program *p, uint32_t id)
{
	return id == OOO_NONE ? 0 : p->tensors[id].bytes;
}

static uint64_t step_traffic(const struct program *p, const struct step *s)
{
	uint64_t in = 0, out = 0;

	for (unsigned k = 0; k < s->nr_in; k++)
		in += bytes_of(p, s->in[k]);
	for (unsigned k = 0; k < s->nr_out; k++)
		out += bytes_of(p, s->out[k]);
	/* These read no more of their operand than they write. */
	if ((s->op == OOO_OP_GATHER || s->op == OOO_OP_SLICE) && in > out)
		in = out;
	for (unsigned k = 0; k < s->nr_post; k++)
		in += bytes_of(p, s->post[k].operand);
	return in + out;
}

void step_cost(const struct program *p, struct step *s, const struct device_caps *caps)
{
	double flops_per_ns = DEFAULT_FLOPS_PER_NS, bytes_per_ns = DEFAULT_BYTES_PER_NS;
	double compute, memory, ns;

	if (caps && caps->flops_per_ns > 0)
		flops_per_ns = caps->flops_per_ns;
	if (caps && caps->bytes_per_ns > 0)
		bytes_per_ns = caps->bytes_per_ns;
	s->flops = step_flops(p, s);
	for (unsigned k = 0; k < s->nr_post; k++)
		s->flops = saturating_add(s->flops,
					  pointwise_flops(s->post[k].op, elems(p, s->out[0])));
	s->traffic_bytes = step_traffic(p, s);
	compute = (double)s->flops / flops_per_ns;
	memory = (double)s->traffic_bytes / bytes_per_ns;
	ns = STEP_OVERHEAD_NS + (compute > memory ? compute : memory);
	s->cost_ns = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

int pass_cost(struct graph *g)
{
	struct program *p = g->p;

	for (uint32_t i = 0; i < p->nr_steps; i++)
		step_cost(p, &p->steps[i], g->opts->caps);
	return 0;
}
