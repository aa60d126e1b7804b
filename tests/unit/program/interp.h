/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slow and plain interpreter of compiled programs: real memory, real layouts, any order of steps
 * that the dependencies allow. What it gives for a program compiled in two ways must be the same.
 * Only fp32, only the operators that the tests use.
 */
#ifndef OOO_TESTS_PROGRAM_INTERP_H
#define OOO_TESTS_PROGRAM_INTERP_H

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/program/program.h"

/* Relative error of every result, up for one element and down for the next: shows how much rounding
 * can matter to a program. Not for constant folding. */
static float interp_nudge;

/* Operands in plain order. */
struct interp_args {
	const struct step *s;
	const struct shape *shape[256];
	const float *in[256];
	const struct shape *out_shape;
	float *out;
};

static inline int64_t interp_elems(const struct shape *s)
{
	int64_t n = 0;

	if (shape_elems(s, &n))
		abort();
	return n;
}

/* Place of element i (plain order) in memory. */
static inline size_t interp_at(const struct shape *s, unsigned layout, int64_t i)
{
	int64_t c, h, w, x, y, n, channel;

	if (layout == LAYOUT_PLAIN)
		return (size_t)i;
	c = s->dims[1];
	h = s->dims[2];
	w = s->dims[3];
	x = i % w;
	y = i / w % h;
	channel = i / (w * h) % c;
	n = i / (w * h * c);
	if (layout == LAYOUT_NHWC)
		return (size_t)(((n * h + y) * w + x) * c + channel);
	return (size_t)((((n * ((c + 15) / 16) + channel / 16) * h + y) * w + x) * 16 +
			channel % 16);
}

static inline float *interp_load(const struct tensor *t, const void *memory)
{
	int64_t n = interp_elems(&t->shape);
	float *v = malloc((size_t)(n + 1) * sizeof(*v));

	if (!v)
		abort();
	for (int64_t i = 0; i < n; i++)
		v[i] = ((const float *)memory)[interp_at(&t->shape, t->layout, i)];
	return v;
}

static inline void interp_store(const struct tensor *t, void *memory, const float *v)
{
	memset(memory, 0, t->bytes); /* the padding of blocks is zero */
	for (int64_t i = 0; i < interp_elems(&t->shape); i++)
		((float *)memory)[interp_at(&t->shape, t->layout, i)] = v[i];
}

static inline void interp_coords(const struct shape *s, int64_t i, int64_t *c)
{
	for (int d = s->rank; d-- > 0;) {
		c[d] = i % s->dims[d];
		i /= s->dims[d];
	}
}

static inline int64_t interp_index(const struct shape *s, const int64_t *c)
{
	int64_t i = 0;

	for (int d = 0; d < s->rank; d++)
		i = i * s->dims[d] + c[d];
	return i;
}

/* Element of a tensor that broadcasts to out, for the i-th of out. */
static inline float interp_bcast(const struct shape *s, const float *v, const struct shape *out,
				 int64_t i)
{
	int64_t c[OOO_MAX_RANK], mine[OOO_MAX_RANK] = { 0 };

	interp_coords(out, i, c);
	for (int d = 0; d < s->rank; d++)
		mine[d] = s->dims[d] == 1 ? 0 : c[d + out->rank - s->rank];
	return v[interp_index(s, mine)];
}

static inline float interp_unary(uint32_t op, float x, float alpha, float beta, int mode)
{
	double d = (double)x, a = (double)alpha, b = (double)beta;

	switch (op) {
	case OOO_OP_RELU:
		return x > 0 ? x : 0;
	case OOO_OP_CLIP:
		return fminf(fmaxf(x, alpha), beta);
	case OOO_OP_LEAKY_RELU:
		return x >= 0 ? x : alpha * x;
	case OOO_OP_ELU:
		return x >= 0 ? x : (float)(a * (exp(d) - 1));
	case OOO_OP_SIGMOID:
		return (float)(1 / (1 + exp(-d)));
	case OOO_OP_TANH:
		return (float)tanh(d);
	case OOO_OP_HARD_SIGMOID:
		return (float)fmin(fmax(a * d + b, 0), 1);
	case OOO_OP_HARD_SWISH:
		return (float)(d * fmin(fmax(d / 6 + 0.5, 0), 1));
	case OOO_OP_SWISH:
		return (float)(d / (1 + exp(-a * d)));
	case OOO_OP_GELU:
		if (!mode)
			return (float)(0.5 * d * (1 + erf(d / sqrt(2))));
		return (float)(0.5 * d * (1 + tanh(sqrt(2 / M_PI) * (d + 0.044715 * d * d * d))));
	case OOO_OP_ERF:
		return (float)erf(d);
	case OOO_OP_SQRT:
		return (float)sqrt(d);
	case OOO_OP_EXP:
		return (float)exp(d);
	case OOO_OP_ABS:
		return fabsf(x);
	case OOO_OP_NEG:
		return -x;
	case OOO_OP_SIN:
		return (float)sin(d);
	case OOO_OP_IDENTITY:
		return x;
	default:
		fprintf(stderr, "interp: operator %u\n", op);
		abort();
	}
}

static inline float interp_binary(uint32_t op, float x, float y)
{
	switch (op) {
	case OOO_OP_ADD:
		return x + y;
	case OOO_OP_SUB:
		return x - y;
	case OOO_OP_MUL:
		return x * y;
	case OOO_OP_DIV:
		return x / y;
	case OOO_OP_POW:
		return powf(x, y);
	case OOO_OP_MIN:
		return fminf(x, y);
	case OOO_OP_MAX:
		return fmaxf(x, y);
	case OOO_OP_PRELU:
		return x >= 0 ? x : x * y;
	default:
		fprintf(stderr, "interp: operator %u\n", op);
		abort();
	}
}

static inline void interp_pointwise(struct interp_args *a)
{
	const struct ooo_attr *t = &a->s->attr;

	for (int64_t i = 0; i < interp_elems(a->out_shape); i++) {
		float x = interp_bcast(a->shape[0], a->in[0], a->out_shape, i);

		if (a->s->nr_in == 1)
			a->out[i] = interp_unary(a->s->op, x, t->alpha, t->beta, t->mode);
		else
			a->out[i] = interp_binary(
				a->s->op, x, interp_bcast(a->shape[1], a->in[1], a->out_shape, i));
	}
}

/* A 1-d form as [N,C,1,W]. */
static inline struct shape interp_2d(const struct shape *s)
{
	struct shape r = *s;

	if (s->rank == 3) {
		r.rank = 4;
		r.dims[3] = r.dims[2];
		r.dims[2] = 1;
	}
	return r;
}

static inline void interp_conv(struct interp_args *a)
{
	struct shape x = interp_2d(a->shape[0]), w = interp_2d(a->shape[1]);
	struct shape y = interp_2d(a->out_shape);
	const struct ooo_attr *t = &a->s->attr;
	bool transpose = a->s->op == OOO_OP_CONV_TRANSPOSE;
	int64_t cg = x.dims[1] / t->group, mg = y.dims[1] / t->group;

	for (int64_t i = 0; i < interp_elems(&y); i++) {
		int64_t c[OOO_MAX_RANK];
		double sum;

		interp_coords(&y, i, c);
		sum = a->s->nr_in > 2 && a->in[2] ? (double)a->in[2][c[1]] : 0;
		for (int64_t k = 0; k < cg * t->kernel[0] * t->kernel[1]; k++) {
			int64_t kx = k % t->kernel[1], ky = k / t->kernel[1] % t->kernel[0];
			int64_t ch = k / (t->kernel[0] * t->kernel[1]), g = c[1] / mg, iy, ix;
			int64_t xc[4] = { c[0], g * cg + ch, 0, 0 };
			int64_t wc[4] = { c[1], ch, ky, kx };

			if (transpose) {
				iy = c[2] + t->pad[0] - ky * t->dilation[0];
				ix = c[3] + t->pad[1] - kx * t->dilation[1];
				if (iy % t->stride[0] || ix % t->stride[1])
					continue;
				iy /= t->stride[0];
				ix /= t->stride[1];
				wc[0] = xc[1];
				wc[1] = c[1] % mg;
			} else {
				iy = c[2] * t->stride[0] - t->pad[0] + ky * t->dilation[0];
				ix = c[3] * t->stride[1] - t->pad[1] + kx * t->dilation[1];
			}
			if (iy < 0 || iy >= x.dims[2] || ix < 0 || ix >= x.dims[3])
				continue;
			xc[2] = iy;
			xc[3] = ix;
			sum += (double)a->in[0][interp_index(&x, xc)] *
			       (double)a->in[1][interp_index(&w, wc)];
		}
		a->out[i] = (float)sum;
	}
}

/* Element [row, k] of operand i in the batch of output coordinates c. */
static inline double interp_matrix(const struct interp_args *a, unsigned i, const int64_t *c,
				   int64_t row, int64_t column)
{
	const struct shape *s = a->shape[i];
	bool trans = a->s->attr.flags & (i ? OOO_ATTR_TRANS_B : OOO_ATTR_TRANS_A);
	int64_t mine[OOO_MAX_RANK];
	int batch = a->out_shape->rank - 2;

	for (int d = 0; d < s->rank - 2; d++)
		mine[d] = s->dims[d] == 1 ? 0 : c[d + batch - (s->rank - 2)];
	mine[s->rank - 2] = trans ? column : row;
	mine[s->rank - 1] = trans ? row : column;
	return (double)a->in[i][interp_index(s, mine)];
}

/* Both operands of rank 2 or more. */
static inline void interp_matmul(struct interp_args *a)
{
	const struct shape *y = a->out_shape, *x = a->shape[0];
	bool trans = a->s->attr.flags & OOO_ATTR_TRANS_A;
	int64_t depth = x->dims[x->rank - (trans ? 2 : 1)];

	for (int64_t i = 0; i < interp_elems(y); i++) {
		int64_t c[OOO_MAX_RANK];
		double sum = 0;

		interp_coords(y, i, c);
		for (int64_t k = 0; k < depth; k++)
			sum += interp_matrix(a, 0, c, c[y->rank - 2], k) *
			       interp_matrix(a, 1, c, k, c[y->rank - 1]);
		sum *= (double)a->s->attr.alpha;
		if (a->s->nr_in > 2 && a->in[2])
			sum += (double)a->s->attr.beta *
			       (double)interp_bcast(a->shape[2], a->in[2], y, i);
		a->out[i] = (float)sum;
	}
}

static inline void interp_batch_norm(struct interp_args *a)
{
	const struct shape *x = a->shape[0];
	int64_t after = 1;

	for (int d = 2; d < x->rank; d++)
		after *= x->dims[d];
	for (int64_t i = 0; i < interp_elems(x); i++) {
		int64_t c = i / after % x->dims[1];

		a->out[i] = (float)(((double)a->in[0][i] - (double)a->in[3][c]) /
					    sqrt((double)a->in[4][c] + (double)a->s->attr.alpha) *
					    (double)a->in[1][c] +
				    (double)a->in[2][c]);
	}
}

/* LayerNormalization, Softmax: each run over axis .. rank-1 (Softmax: only for the last axis). */
static inline void interp_rows(struct interp_args *a)
{
	const struct shape *x = a->shape[0];
	bool softmax = a->s->op == OOO_OP_SOFTMAX;
	int64_t run = 1;

	for (int d = a->s->attr.axis; d < x->rank; d++)
		run *= x->dims[d];
	for (int64_t at = 0; at < interp_elems(x); at += run) {
		double sum = 0, squares = 0, mean, deviation;

		for (int64_t k = 0; k < run; k++)
			sum += softmax ? exp((double)a->in[0][at + k]) : (double)a->in[0][at + k];
		mean = sum / (double)run;
		for (int64_t k = 0; k < run; k++)
			squares += pow((double)a->in[0][at + k] - mean, 2);
		deviation = sqrt(squares / (double)run + (double)a->s->attr.alpha);
		for (int64_t k = 0; k < run; k++) {
			double v = (double)a->in[0][at + k];

			if (softmax)
				v = exp(v) / sum;
			else
				v = (v - mean) / deviation * (double)a->in[1][k] +
				    (a->s->nr_in > 2 && a->in[2] ? (double)a->in[2][k] : 0);
			a->out[at + k] = (float)v;
		}
	}
}

static inline void interp_pool(struct interp_args *a)
{
	struct shape x = interp_2d(a->shape[0]), y = interp_2d(a->out_shape);
	const struct ooo_attr *t = &a->s->attr;
	bool max = a->s->op == OOO_OP_MAX_POOL || a->s->op == OOO_OP_GLOBAL_MAX_POOL;
	bool global = a->s->op == OOO_OP_GLOBAL_MAX_POOL || a->s->op == OOO_OP_GLOBAL_AVERAGE_POOL;
	int64_t kh = global ? x.dims[2] : t->kernel[0], kw = global ? x.dims[3] : t->kernel[1];

	for (int64_t i = 0; i < interp_elems(&y); i++) {
		int64_t c[OOO_MAX_RANK], seen = 0;
		double best = -INFINITY, sum = 0;

		interp_coords(&y, i, c);
		for (int64_t k = 0; k < kh * kw; k++) {
			int64_t xc[4] = { c[0], c[1], 0, 0 };

			xc[2] = global ? k / kw : c[2] * t->stride[0] - t->pad[0] + k / kw;
			xc[3] = global ? k % kw : c[3] * t->stride[1] - t->pad[1] + k % kw;
			if (xc[2] < 0 || xc[2] >= x.dims[2] || xc[3] < 0 || xc[3] >= x.dims[3])
				continue;
			best = fmax(best, (double)a->in[0][interp_index(&x, xc)]);
			sum += (double)a->in[0][interp_index(&x, xc)];
			seen++;
		}
		if (t->flags & OOO_ATTR_COUNT_INCLUDE_PAD)
			seen = kh * kw;
		a->out[i] = (float)(max ? best : sum / (double)seen);
	}
}

static inline void interp_reduce(struct interp_args *a)
{
	const struct shape *x = a->shape[0], *y = a->out_shape;
	bool keep = a->s->attr.flags & OOO_ATTR_KEEPDIMS;
	int64_t n = interp_elems(x), m = interp_elems(y);
	double *sum = calloc((size_t)m, sizeof(*sum));

	for (int64_t i = 0; i < m; i++)
		sum[i] = a->s->op == OOO_OP_REDUCE_MAX ? -INFINITY : 0;
	for (int64_t i = 0; i < n; i++) {
		int64_t c[OOO_MAX_RANK], mine[OOO_MAX_RANK], to;
		int rank = 0;

		interp_coords(x, i, c);
		for (int d = 0; d < x->rank; d++) {
			if (!(a->s->attr.axes & (1u << d)))
				mine[rank++] = c[d];
			else if (keep)
				mine[rank++] = 0;
		}
		to = interp_index(y, mine);
		if (a->s->op == OOO_OP_REDUCE_MAX)
			sum[to] = fmax(sum[to], (double)a->in[0][i]);
		else
			sum[to] += (double)a->in[0][i];
	}
	for (int64_t i = 0; i < m; i++)
		a->out[i] =
			(float)(a->s->op == OOO_OP_REDUCE_MEAN ? sum[i] / ((double)n / (double)m)
							       : sum[i]);
	free(sum);
}

static inline void interp_concat(struct interp_args *a)
{
	const struct shape *y = a->out_shape;
	int axis = a->s->attr.axis;

	for (int64_t i = 0; i < interp_elems(y); i++) {
		int64_t c[OOO_MAX_RANK];
		unsigned k = 0;

		interp_coords(y, i, c);
		while (c[axis] >= a->shape[k]->dims[axis])
			c[axis] -= a->shape[k++]->dims[axis];
		a->out[i] = a->in[k][interp_index(a->shape[k], c)];
	}
}

/* Slice, Pad (constant), Transpose, Resize (nearest, asymmetric, floor), Expand. */
static inline void interp_move(struct interp_args *a)
{
	const struct shape *x = a->shape[0], *y = a->out_shape;
	const struct ooo_attr *t = &a->s->attr;

	for (int64_t i = 0; i < interp_elems(y); i++) {
		int64_t c[OOO_MAX_RANK], from[OOO_MAX_RANK];
		bool inside = true;

		interp_coords(y, i, c);
		for (int d = 0; d < y->rank; d++) {
			if (a->s->op == OOO_OP_SLICE)
				from[d] = t->start[d] + c[d] * t->step[d];
			else if (a->s->op == OOO_OP_PAD)
				from[d] = c[d] - t->start[d];
			else if (a->s->op == OOO_OP_TRANSPOSE)
				from[t->perm[d]] = c[d];
			else
				from[d] = c[d] * x->dims[d] / y->dims[d];
			inside = inside &&
				 (a->s->op != OOO_OP_PAD || (from[d] >= 0 && from[d] < x->dims[d]));
		}
		if (a->s->op == OOO_OP_EXPAND)
			a->out[i] = interp_bcast(x, a->in[0], y, i);
		else
			a->out[i] = inside ? a->in[0][interp_index(x, from)] : t->alpha;
	}
}

/* One query of one head; q, k, v, mask: its first elements, mask NULL if there is none. */
static inline void interp_query(const struct attention *a, const float *q, const float *k,
				const float *v, const float *mask, float *out)
{
	double *p = malloc((size_t)a->keys * sizeof(*p)), max = -INFINITY, sum = 0, y;

	for (int64_t j = 0; j < a->keys; j++) {
		p[j] = 0;
		for (int64_t d = 0; d < a->depth; d++)
			p[j] += (double)q[d] * (double)k[j * a->at[ATTENTION_K].row + d];
		p[j] = p[j] * (double)a->scale + (mask ? (double)mask[j] : 0);
		max = fmax(max, p[j]);
	}
	for (int64_t j = 0; j < a->keys; j++)
		sum += p[j] = exp(p[j] - max);
	for (int64_t d = 0; d < a->value_depth; d++) {
		y = 0;
		for (int64_t j = 0; j < a->keys; j++)
			y += p[j] / sum * (double)v[j * a->at[ATTENTION_V].row + d];
		out[d] = (float)(a->zero_unseeing && isnan(sum) ? 0 : y);
	}
	free(p);
}

static inline void interp_attention(struct interp_args *x)
{
	const struct attention *a = &x->s->attention;
	int64_t rows = (int64_t)a->heads * a->queries;

	for (int64_t i = 0; i < a->batch * rows; i++) {
		int64_t b = i / rows, h = i / a->queries % a->heads, query = i % a->queries;
		int64_t at[ATTENTION_OPERANDS];

		for (int k = 0; k < ATTENTION_OPERANDS; k++)
			at[k] = a->at[k].start + b * a->at[k].batch + h * a->at[k].head;
		for (int k = ATTENTION_Q; k <= ATTENTION_OUT; k++)
			if (k != ATTENTION_K && k != ATTENTION_V)
				at[k] += query * a->at[k].row;
		interp_query(a, x->in[ATTENTION_Q] + at[ATTENTION_Q],
			     x->in[ATTENTION_K] + at[ATTENTION_K],
			     x->in[ATTENTION_V] + at[ATTENTION_V],
			     x->s->nr_in > ATTENTION_MASK
				     ? x->in[ATTENTION_MASK] + at[ATTENTION_MASK]
				     : NULL,
			     x->out + at[ATTENTION_OUT]);
	}
}

static inline void interp_compute(struct interp_args *a)
{
	switch (a->s->op) {
	case OOO_OP_CONV:
	case OOO_OP_CONV_TRANSPOSE:
		interp_conv(a);
		break;
	case OOO_OP_MATMUL:
		interp_matmul(a);
		break;
	case OOO_OP_BATCH_NORM:
		interp_batch_norm(a);
		break;
	case OOO_OP_LAYER_NORM:
	case OOO_OP_SOFTMAX:
		interp_rows(a);
		break;
	case OOO_OP_CONCAT:
		interp_concat(a);
		break;
	case OP_ATTENTION:
		interp_attention(a);
		break;
	case OP_REORDER:
	case OOO_OP_RESHAPE:
		memcpy(a->out, a->in[0], (size_t)interp_elems(a->out_shape) * sizeof(float));
		break;
	case OOO_OP_SLICE:
	case OOO_OP_PAD:
	case OOO_OP_TRANSPOSE:
	case OOO_OP_RESIZE:
	case OOO_OP_EXPAND:
		interp_move(a);
		break;
	default:
		if (a->s->klass == CLASS_POOL)
			interp_pool(a);
		else if (a->s->klass == CLASS_REDUCE)
			interp_reduce(a);
		else
			interp_pointwise(a);
		break;
	}
}

/* Equal or given parts along the axis. */
static inline void interp_split(const struct step *s, const struct tensor *tensors, const float *x,
				float *const *out)
{
	const struct shape *in = &tensors[s->in[0]].shape;
	int64_t offset = 0;
	int axis = s->attr.axis;

	for (unsigned k = 0; k < s->nr_out; k++) {
		const struct shape *y = &tensors[s->out[k]].shape;

		for (int64_t i = 0; i < interp_elems(y); i++) {
			int64_t c[OOO_MAX_RANK];

			interp_coords(y, i, c);
			c[axis] += offset;
			out[k][i] = x[interp_index(in, c)];
		}
		offset += y->dims[axis];
	}
}

static inline void interp_step(const struct step *s, const struct tensor *tensors,
			       const void *const *in, void *const *out, const void *const *post)
{
	struct interp_args a = { .s = s };
	float *loaded[256] = { 0 }, *results[32];

	for (unsigned k = 0; k < s->nr_in; k++) {
		if (s->in[k] == OOO_NONE)
			continue;
		loaded[k] = interp_load(&tensors[s->in[k]], in[k]);
		a.in[k] = loaded[k];
		a.shape[k] = &tensors[s->in[k]].shape;
	}
	for (unsigned k = 0; k < s->nr_out; k++)
		results[k] = malloc((size_t)(interp_elems(&tensors[s->out[k]].shape) + 1) * 4);
	a.out_shape = &tensors[s->out[0]].shape;
	a.out = results[0];
	if (s->op == OOO_OP_SPLIT)
		interp_split(s, tensors, a.in[0], results);
	else
		interp_compute(&a);
	for (unsigned k = 0; k < s->nr_post; k++) {
		const struct post *p = &s->post[k];
		float *y =
			p->operand == OOO_NONE ? NULL : interp_load(&tensors[p->operand], post[k]);

		for (int64_t i = 0; i < interp_elems(a.out_shape); i++)
			a.out[i] = y ? interp_binary(p->op, a.out[i],
						     interp_bcast(&tensors[p->operand].shape, y,
								  a.out_shape, i))
				     : interp_unary(p->op, a.out[i], p->alpha, p->beta, p->mode);
		free(y);
	}
	for (unsigned k = 0; k < s->nr_out; k++) {
		for (int64_t i = 0; i < interp_elems(&tensors[s->out[k]].shape); i++)
			results[k][i] *= i % 2 ? 1 + interp_nudge : 1 - interp_nudge;
		interp_store(&tensors[s->out[k]], out[k], results[k]);
		free(results[k]);
	}
	for (unsigned k = 0; k < s->nr_in; k++)
		free(loaded[k]);
}

/* For compile_opts.eval */
static inline int interp_eval(const struct step *s, const struct tensor *tensors,
			      const void *const *in, void *const *out)
{
	if (s->op == OOO_OP_GATHER)
		return -1; /* something must be refused */
	interp_step(s, tensors, in, out, NULL);
	return 0;
}

struct interp_memory {
	char *workspace;
	float *const *inputs;
	float **outputs;
};

static inline void *interp_address(const struct program *p, const struct interp_memory *m,
				   uint32_t id)
{
	const struct tensor *o;

	if (id == OOO_NONE)
		return NULL;
	o = tensor_origin(p, id);
	switch (o->place) {
	case PLACE_WORKSPACE:
		return m->workspace + o->offset;
	case PLACE_INPUT:
		return m->inputs[o->io];
	case PLACE_OUTPUT:
		return m->outputs[o->io];
	case PLACE_CONST:
		return (void *)(uintptr_t)o->data;
	default:
		fprintf(stderr, "interp: tensor %u has no place\n", id);
		abort();
	}
}

static inline void interp_one(const struct program *p, const struct interp_memory *m, uint32_t i)
{
	const struct step *s = &p->steps[i];
	const void *in[256], *post[STEP_MAX_POST];
	void *out[32];

	for (unsigned k = 0; k < s->nr_in; k++)
		in[k] = interp_address(p, m, s->in[k]);
	for (unsigned k = 0; k < s->nr_post; k++)
		post[k] = interp_address(p, m, s->post[k].operand);
	for (unsigned k = 0; k < s->nr_out; k++)
		out[k] = interp_address(p, m, s->out[k]);
	interp_step(s, p->tensors, in, out, post);
}

/* Run all steps, in an order that follows from the seed. outputs[i] must hold output i. */
static inline void interp_run(const struct program *p, float *const *inputs, float **outputs,
			      uint64_t seed)
{
	struct interp_memory m = { .inputs = inputs, .outputs = outputs };
	uint32_t *ready = malloc((p->nr_steps + 1) * sizeof(*ready)), nr = 0, done = 0;
	uint32_t *deps = malloc((p->nr_steps + 1) * sizeof(*deps));

	m.workspace = aligned_alloc(TENSOR_ALIGN, p->workspace_bytes + TENSOR_ALIGN);
	memset(m.workspace, 0xff, p->workspace_bytes); /* not a number */
	for (uint32_t i = 0; i < p->nr_outputs; i++)
		memset(outputs[i], 0xff, p->tensors[p->outputs[i]].bytes);
	for (uint32_t i = 0; i < p->nr_steps; i++) {
		deps[i] = p->steps[i].nr_deps;
		if (!deps[i])
			ready[nr++] = i;
	}
	for (; nr; done++) {
		uint32_t pick, step;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		pick = (uint32_t)(seed >> 33) % nr;
		step = ready[pick];
		ready[pick] = ready[--nr];
		interp_one(p, &m, step);
		for (uint32_t k = 0; k < p->steps[step].nr_succ; k++)
			if (!--deps[p->steps[step].succ[k]])
				ready[nr++] = p->steps[step].succ[k];
	}
	if (done != p->nr_steps)
		abort(); /* a cycle */
	free(m.workspace);
	free(ready);
	free(deps);
}

#endif
