/* SPDX-License-Identifier: Apache-2.0 */
/* Operators in double precision, as their definitions say, on plain arrays; and random numbers. */
#ifndef OOO_TESTS_REFERENCE_H
#define OOO_TESTS_REFERENCE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/program/program.h"
#include "shared/lib/infer.h"

#define RIG_MAX_IN 3

struct rig_shape {
	int rank; /* -1 or dims all 0: absent */
	int64_t dims[6];
};

static inline uint64_t rig_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* -1 .. 1 */
static inline float rig_float(uint64_t *s)
{
	return (float)((double)(rig_random(s) >> 11) / (double)(1ull << 52) - 1.0);
}

static inline int64_t rig_elems(const struct shape *s)
{
	int64_t n = 1;

	for (int i = 0; i < s->rank; i++)
		n *= s->dims[i];
	return n;
}

struct reference {
	const struct step *step;
	const struct shape *x, *w, *y;
	const float *in[RIG_MAX_IN]; /* NULL: absent */
	double *out;
};

/* dims as N,C,H,W; a 1-d image has height 1. */
static inline void image_dims(const struct shape *s, int64_t *d)
{
	d[0] = s->dims[0];
	d[1] = s->dims[1];
	d[2] = s->rank == 3 ? 1 : s->dims[2];
	d[3] = s->rank == 3 ? s->dims[2] : s->dims[3];
}

static inline void ref_conv(const struct reference *r)
{
	const struct ooo_attr *a = &r->step->attr;
	int64_t x[4], y[4], w[4], per_group;

	image_dims(r->x, x);
	image_dims(r->y, y);
	image_dims(r->w, w);
	per_group = y[1] / a->group;
	for (int64_t i = 0; i < rig_elems(r->y); i++) {
		int64_t ow = i % y[3], oh = i / y[3] % y[2], oc = i / (y[3] * y[2]) % y[1];
		int64_t n = i / (y[3] * y[2] * y[1]), first = oc / per_group * w[1];
		double sum = r->in[2] ? r->in[2][oc] : 0;

		for (int64_t k = 0; k < w[1] * w[2] * w[3]; k++) {
			int64_t kw = k % w[3], kh = k / w[3] % w[2], ic = k / (w[3] * w[2]);
			int64_t ih = oh * a->stride[0] - a->pad[0] + kh * a->dilation[0];
			int64_t iw = ow * a->stride[1] - a->pad[1] + kw * a->dilation[1];

			if (ih >= 0 && ih < x[2] && iw >= 0 && iw < x[3])
				sum += (double)r->in[1][oc * w[1] * w[2] * w[3] + k] *
				       r->in[0][((n * x[1] + first + ic) * x[2] + ih) * x[3] + iw];
		}
		r->out[i] = sum;
	}
}

/* Weights [C, M/group, kh, kw]: every input pixel is spread over the output. */
static inline void ref_conv_transpose(const struct reference *r)
{
	const struct ooo_attr *a = &r->step->attr;
	int64_t x[4], y[4], w[4];

	image_dims(r->x, x);
	image_dims(r->y, y);
	image_dims(r->w, w);
	for (int64_t i = 0; i < rig_elems(r->y); i++)
		r->out[i] = r->in[2] ? r->in[2][i / (y[3] * y[2]) % y[1]] : 0;
	for (int64_t i = 0; i < rig_elems(r->x); i++) {
		int64_t iw = i % x[3], ih = i / x[3] % x[2], ic = i / (x[3] * x[2]) % x[1];
		int64_t n = i / (x[3] * x[2] * x[1]), g = ic / (x[1] / a->group);

		for (int64_t k = 0; k < w[1] * w[2] * w[3]; k++) {
			int64_t kw = k % w[3], kh = k / w[3] % w[2];
			int64_t oc = g * w[1] + k / (w[3] * w[2]);
			int64_t oh = ih * a->stride[0] - a->pad[0] + kh * a->dilation[0];
			int64_t ow = iw * a->stride[1] - a->pad[1] + kw * a->dilation[1];

			if (oh >= 0 && oh < y[2] && ow >= 0 && ow < y[3])
				r->out[((n * y[1] + oc) * y[2] + oh) * y[3] + ow] +=
					(double)r->in[0][i] * r->in[1][ic * w[1] * w[2] * w[3] + k];
		}
	}
}

/* Offset of matrix `batch` of the output in an operand that broadcasts to it. */
static inline int64_t ref_batch_offset(const struct shape *s, const struct shape *y, int64_t batch)
{
	int64_t offset = 0, run = s->dims[s->rank - 1] * s->dims[s->rank - 2];

	for (int i = y->rank - 3; i >= 0; i--) {
		int k = i - (y->rank - s->rank);
		int64_t at = batch % y->dims[i];

		batch /= y->dims[i];
		if (k < 0)
			continue;
		offset += s->dims[k] == 1 ? 0 : at * run;
		run *= s->dims[k];
	}
	return offset;
}

static inline void ref_matmul(const struct reference *r, const struct shape *bias)
{
	const struct ooo_attr *a = &r->step->attr;
	bool ta = a->flags & OOO_ATTR_TRANS_A, tb = a->flags & OOO_ATTR_TRANS_B;
	int64_t m = r->y->dims[r->y->rank - 2], n = r->y->dims[r->y->rank - 1];
	int64_t k = r->x->dims[r->x->rank - (ta ? 2 : 1)];

	for (int64_t i = 0; i < rig_elems(r->y); i++) {
		int64_t col = i % n, row = i / n % m, batch = i / (m * n);
		const float *x = r->in[0] + ref_batch_offset(r->x, r->y, batch);
		const float *w = r->in[1] + ref_batch_offset(r->w, r->y, batch);
		double sum = 0;

		for (int64_t j = 0; j < k; j++)
			sum += (double)(ta ? x[j * m + row] : x[row * k + j]) *
			       (tb ? w[col * k + j] : w[j * n + col]);
		r->out[i] = a->alpha * sum;
		if (r->in[2]) {
			bool wide = bias->dims[bias->rank - 1] > 1;
			bool tall = bias->rank > 1 && bias->dims[bias->rank - 2] > 1;

			r->out[i] += (double)a->beta *
				     r->in[2][(tall ? row * (wide ? n : 1) : 0) + (wide ? col : 0)];
		}
	}
}

static inline void ref_pool(const struct reference *r)
{
	struct ooo_attr a = r->step->attr;
	uint32_t op = r->step->op;
	bool max = op == OOO_OP_MAX_POOL || op == OOO_OP_GLOBAL_MAX_POOL;
	int64_t x[4], y[4];

	image_dims(r->x, x);
	image_dims(r->y, y);
	for (int i = 0; i < 2 && op >= OOO_OP_GLOBAL_MAX_POOL; i++) {
		a.kernel[i] = (int32_t)x[2 + i];
		a.stride[i] = a.dilation[i] = 1;
	}
	for (int64_t i = 0; i < rig_elems(r->y); i++) {
		int64_t ow = i % y[3], oh = i / y[3] % y[2], plane = i / (y[3] * y[2]), cells = 0;
		double sum = 0, best = -INFINITY;

		for (int k = 0; k < a.kernel[0] * a.kernel[1]; k++) {
			int64_t h = oh * a.stride[0] - a.pad[0] +
				    k / a.kernel[1] * (int64_t)a.dilation[0];
			int64_t v = ow * a.stride[1] - a.pad[1] +
				    k % a.kernel[1] * (int64_t)a.dilation[1];
			bool inside = h >= 0 && h < x[2] && v >= 0 && v < x[3];
			float value = inside ? r->in[0][(plane * x[2] + h) * x[3] + v] : 0;

			if (inside && value > best)
				best = value;
			sum += value;
			/* Declared padding counts, cells that rounding up adds do not. */
			cells += inside || ((a.flags & OOO_ATTR_COUNT_INCLUDE_PAD) &&
					    h < x[2] + a.pad[2] && v < x[3] + a.pad[3]);
		}
		r->out[i] = max ? best : sum / (double)cells;
	}
}

static inline void ref_softmax(const struct reference *r)
{
	const struct ooo_attr *a = &r->step->attr;
	int64_t inner = 1, width;

	for (int i = a->axis + 1; i < r->x->rank; i++)
		inner *= r->x->dims[i];
	width = r->x->dims[a->axis];
	if (a->flags & OOO_ATTR_FLATTEN) {
		width *= inner;
		inner = 1;
	}
	for (int64_t row = 0; row < rig_elems(r->x) / width; row++) {
		int64_t first = row / inner * width * inner + row % inner;
		double top = -INFINITY, sum = 0;

		for (int64_t k = 0; k < width; k++)
			top = fmax(top, r->in[0][first + k * inner]);
		for (int64_t k = 0; k < width; k++)
			sum += exp(r->in[0][first + k * inner] - top);
		for (int64_t k = 0; k < width; k++) {
			int64_t i = first + k * inner;

			r->out[i] = r->in[0][i] - top - log(sum);
			if (r->step->op == OOO_OP_SOFTMAX)
				r->out[i] = exp(r->out[i]);
		}
	}
}

static inline void ref_layer_norm(const struct reference *r)
{
	const struct ooo_attr *a = &r->step->attr;
	int64_t width = 1;

	for (int i = a->axis; i < r->x->rank; i++)
		width *= r->x->dims[i];
	for (int64_t first = 0; first < rig_elems(r->x); first += width) {
		double mean = 0, var = 0;

		for (int64_t k = 0; k < width; k++)
			mean += r->in[0][first + k] / (double)width;
		for (int64_t k = 0; k < width; k++)
			var += pow(r->in[0][first + k] - mean, 2) / (double)width;
		for (int64_t k = 0; k < width; k++)
			r->out[first + k] =
				(r->in[0][first + k] - mean) / sqrt(var + a->alpha) * r->in[1][k] +
				(r->in[2] ? r->in[2][k] : 0);
	}
}

static inline void ref_lrn(const struct reference *r)
{
	const struct ooo_attr *a = &r->step->attr;
	int64_t x[4], pixels;
	int size = a->kernel[0];

	image_dims(r->x, x);
	pixels = x[2] * x[3];
	for (int64_t i = 0; i < rig_elems(r->x); i++) {
		int64_t c = i / pixels % x[1];
		double sum = 0;

		for (int64_t k = c - (size - 1) / 2; k <= c + size / 2; k++) {
			if (k >= 0 && k < x[1])
				sum += pow(r->in[0][i + (k - c) * pixels], 2);
		}
		r->out[i] = r->in[0][i] / pow(a->bias + a->alpha * sum / size, a->beta);
	}
}

static inline double ref_activation(const struct post *p, double v)
{
	switch (p->op) {
	case OOO_OP_RELU:
		return fmax(v, 0);
	case OOO_OP_ABS:
		return fabs(v);
	case OOO_OP_CLIP:
		return fmin(fmax(v, p->alpha), p->beta);
	case OOO_OP_LEAKY_RELU:
		return v < 0 ? v * p->alpha : v;
	case OOO_OP_ELU:
		return v < 0 ? p->alpha * (exp(v) - 1) : v;
	case OOO_OP_SIGMOID:
		return 1 / (1 + exp(-v));
	case OOO_OP_TANH:
		return tanh(v);
	case OOO_OP_SWISH:
		return v / (1 + exp(-p->alpha * v));
	case OOO_OP_HARD_SIGMOID:
		return fmin(fmax(p->alpha * v + p->beta, 0), 1);
	case OOO_OP_HARD_SWISH:
		return v * fmin(fmax(v / 6 + 0.5, 0), 1);
	case OOO_OP_GELU:
		if (p->mode)
			return 0.5 * v * (1 + tanh(sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
		return 0.5 * v * (1 + erf(v / M_SQRT2));
	default:
		fail_msg("no reference for post-operation %u", p->op);
		return 0;
	}
}

/* The element of a broadcast operand that meets element i of y. */
static inline float ref_broadcast(const struct shape *s, const float *v, const struct shape *y,
				  int64_t i)
{
	int64_t offset = 0, run = 1;

	for (int d = y->rank - 1; d >= 0; d--) {
		int k = d - (y->rank - s->rank);
		int64_t at = i % y->dims[d];

		i /= y->dims[d];
		if (k < 0)
			continue;
		offset += s->dims[k] == 1 ? 0 : at * run;
		run *= s->dims[k];
	}
	return v[offset];
}

#endif
