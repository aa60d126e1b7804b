/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Computing in a lower precision than declared, where the tenant permits it and the device gains by
 * it. For fp16 and bf16 the intermediates become that type, which halves what they take and lets
 * products run on it; inputs, outputs and constants stay as they are, and every step converts by
 * operand. For tf32 nothing is stored otherwise: only the device's products look at the program.
 *
 * These intermediates stay fp32, for they would lose more than the digits that were given up:
 *
 *   numbers that integers or truth values were made of or become: positions, lengths, masks;
 *   what is compared or ranked: two values must not become equal;
 *   powers, exponentials and sums, and what is computed from them alone: they leave fp16's range;
 *   what goes on unchanged to an output: the copy to it need not be made.
 */
#include <math.h>
#include <stdlib.h>

#include "agent/device/device.h"
#include "agent/program/passes.h"

#define FP16_MAX 65504.0f

static bool is_fp32(const struct program *p, uint32_t id)
{
	return id != OOO_NONE && p->tensors[id].shape.dtype == OOO_FP32;
}

static bool is_half(const struct program *p, uint32_t id)
{
	uint32_t dtype = id == OOO_NONE ? 0 : p->tensors[id].shape.dtype;

	return dtype == OOO_FP16 || dtype == OOO_BF16;
}

/* Elements of the result are the operands' or come of one element of each. */
static bool is_elementwise(const struct step *s)
{
	return s->klass == CLASS_POINTWISE || s->klass == CLASS_MOVE;
}

/* A step that may leave fp16's range, or its small numbers, though its operands are within. */
static bool grows(const struct program *p, const struct step *s)
{
	float v;

	if (s->klass == CLASS_REDUCE || s->op == OOO_OP_EXP || s->op == OOO_OP_POW)
		return true;
	if (s->klass != CLASS_POINTWISE)
		return false;
	if (s->op == OOO_OP_MUL && s->in[0] == s->in[1])
		return true;
	for (unsigned k = 0; k < s->nr_in; k++)
		if (const_scalar(p, s->in[k], &v) && isfinite(v) && fabsf(v) > FP16_MAX)
			return true;
	return false;
}

/* No operand is of the lower precision: each is kept, a constant, or no fp32 at all. */
static bool reads_exact(const struct program *p, const bool *keep, const struct step *s)
{
	for (unsigned k = 0; k < (unsigned)s->nr_in + s->nr_post; k++) {
		uint32_t id = k < s->nr_in ? s->in[k] : s->post[k - s->nr_in].operand;

		if (is_half(p, id) ||
		    (is_fp32(p, id) && p->tensors[id].place != PLACE_CONST && !keep[id]))
			return false;
	}
	return true;
}

/* Rows of a table of weights are not exact numbers, though their indices are integers. */
static bool is_lookup(const struct program *p, const struct step *s)
{
	return s->op == OOO_OP_GATHER && tensor_is_const(p, s->in[0]);
}

static void keep_forwards(const struct program *p, bool *keep)
{
	for (uint32_t i = 0; i < p->nr_steps; i++) {
		const struct step *s = &p->steps[i];

		if (grows(p, s) ||
		    (is_elementwise(s) && !is_lookup(p, s) && reads_exact(p, keep, s)))
			for (unsigned k = 0; k < s->nr_out; k++)
				keep[s->out[k]] = true;
	}
}

static bool is_ranking(const struct step *s)
{
	return (s->op >= OOO_OP_EQUAL && s->op <= OOO_OP_GREATER) || s->op == OOO_OP_LESS_EQUAL ||
	       s->op == OOO_OP_GREATER_EQUAL || s->op == OOO_OP_ARG_MAX || s->op == OOO_OP_ARG_MIN;
}

static bool moves_all(const struct step *s)
{
	return !s->nr_post &&
	       (s->op == OOO_OP_IDENTITY || s->op == OOO_OP_RESHAPE || s->op == OP_REORDER);
}

/* exact: by tensor, what becomes an integer and needs all its digits. */
static void keep_backwards(const struct program *p, bool *keep, bool *exact)
{
	for (uint32_t i = p->nr_steps; i-- > 0;) {
		const struct step *s = &p->steps[i];
		uint32_t out = s->out[0];
		bool cast = s->op == OOO_OP_CAST && !is_fp32(p, out) && !is_half(p, out);
		bool whole = cast || (is_elementwise(s) && exact[out]);
		bool last = moves_all(s) && (p->tensors[out].place == PLACE_OUTPUT || keep[out]);

		if (!whole && !last && !is_ranking(s))
			continue;
		for (unsigned k = 0; k < s->nr_in; k++) {
			if (!is_fp32(p, s->in[k]))
				continue;
			keep[s->in[k]] = true;
			exact[s->in[k]] = exact[s->in[k]] || whole;
		}
	}
}

static void lower(struct program *p, const bool *keep)
{
	for (uint32_t t = 0; t < p->nr_tensors; t++) {
		struct tensor *x = &p->tensors[t];

		if (x->place != PLACE_WORKSPACE || !is_fp32(p, t) || keep[t])
			continue;
		x->shape.dtype = p->precision;
		x->bytes = tensor_layout_bytes(&x->shape, (enum layout)x->layout);
	}
}

int pass_precision(struct graph *g)
{
	struct program *p = g->p;
	uint8_t want = g->opts->precision;
	bool *keep;

	if (!g->opts->caps || want >= OOO_DTYPE_LIMIT || !(g->opts->caps->precisions >> want & 1))
		return 0;
	p->precision = want;
	if (want != OOO_FP16 && want != OOO_BF16)
		return 0;
	keep = calloc(2 * (size_t)p->nr_tensors + 1, sizeof(*keep));
	if (!keep)
		return graph_no_memory(g);
	keep_forwards(p, keep);
	keep_backwards(p, keep, keep + p->nr_tensors);
	lower(p, keep);
	free(keep);
	return 0;
}
