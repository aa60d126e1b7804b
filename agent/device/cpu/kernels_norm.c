// SPDX-License-Identifier: Apache-2.0
/* Normalisations, where oneDNN has nothing for the axis, layout or operands. */
#include <math.h>

#include "agent/device/cpu/kernels_impl.h"

struct bn_ctx {
	const float *x, *scale, *shift, *mean, *var;
	float *y, epsilon;
};

static void batch_norm_run(void *ctx, const struct walk *w, const int64_t *offset, int64_t n)
{
	const struct bn_ctx *c = ctx;
	int64_t channel = w->stride[2][w->rank - 1];

	for (int64_t i = 0; i < n; i++) {
		int64_t k = offset[2] + i * channel;
		float inv = 1.0f / sqrtf(c->var[k] + c->epsilon);

		c->y[offset[0] + i] =
			(c->x[offset[1] + i * w->stride[1][w->rank - 1]] - c->mean[k]) * inv *
				c->scale[k] +
			c->shift[k];
	}
}

/* The per-channel operands broadcast along axis 1: as a tensor of shape [C, 1, 1, ...]. */
enum ooo_status kernel_batch_norm(const struct kernel_args *a, int64_t from, int64_t to)
{
	const struct tensor *x = in_tensor(a, 0);
	struct tensor channel = { .shape = { .dtype = OOO_FP32 }, .alias_of = OOO_NONE };
	const struct tensor *operands[] = { x, &channel };
	struct bn_ctx c = { .x = a->in[0],
			    .scale = a->in[1],
			    .shift = a->in[2],
			    .mean = a->in[3],
			    .var = a->in[4],
			    .y = a->out[0],
			    .epsilon = a->step->attr.alpha };
	struct walk w;

	channel.shape.rank = x->shape.rank > 1 ? x->shape.rank - 1 : 1;
	for (int i = 0; i < channel.shape.rank; i++)
		channel.shape.dims[i] = i ? 1 : x->shape.rank > 1 ? x->shape.dims[1] : 1;
	walk_output(&w, out_tensor(a, 0), operands, 2);
	walk_range(&w, from, to, batch_norm_run, &c);
	return OOO_OK;
}

static void softmax_line(const float *x, float *y, int64_t n, int64_t stride, bool log)
{
	float max = -INFINITY;
	double sum = 0;

	for (int64_t i = 0; i < n; i++) {
		if (x[i * stride] > max || isnan(x[i * stride]))
			max = x[i * stride];
	}
	for (int64_t i = 0; i < n; i++) {
		float e = expf(x[i * stride] - max);

		if (!log)
			y[i * stride] = e;
		sum += (double)e;
	}
	if (log) {
		double rest = __builtin_log(sum);

		/* Not rounded between: max may be large and the result small. */
		for (int64_t i = 0; i < n; i++)
			y[i * stride] = (float)((double)x[i * stride] - (double)max - rest);
		return;
	}
	for (int64_t i = 0; i < n; i++)
		y[i * stride] = (float)((double)y[i * stride] / sum);
}

enum ooo_status kernel_softmax(const struct kernel_args *a)
{
	const struct shape *s = &in_tensor(a, 0)->shape;
	bool log = a->step->op == OOO_OP_LOG_SOFTMAX,
	     flatten = a->step->attr.flags & OOO_ATTR_FLATTEN;
	int64_t outer = 1, n = 1, inner = 1;

	for (int i = 0; i < s->rank; i++) {
		if (i < a->step->attr.axis)
			outer *= s->dims[i];
		else if (i == a->step->attr.axis || flatten)
			n *= s->dims[i];
		else
			inner *= s->dims[i];
	}
	for (int64_t o = 0; o < outer; o++) {
		for (int64_t i = 0; i < inner; i++) {
			int64_t at = o * n * inner + i;

			softmax_line((const float *)a->in[0] + at, (float *)a->out[0] + at, n,
				     inner, log);
		}
	}
	return OOO_OK;
}

/* Two passes: mean, then variance around it. */
static void moments(const float *x, int64_t n, int64_t stride, double *mean, double *var)
{
	double sum = 0, square = 0;

	for (int64_t i = 0; i < n; i++)
		sum += (double)x[i * stride];
	*mean = sum / (double)n;
	for (int64_t i = 0; i < n; i++) {
		double d = (double)x[i * stride] - *mean;

		square += d * d;
	}
	*var = square / (double)n;
}

/* Scale and shift broadcast to the normalised axes; shapes other than those axes' are rare. */
enum ooo_status kernel_layer_norm(const struct kernel_args *a)
{
	const struct shape *s = &in_tensor(a, 0)->shape;
	int axis = a->step->attr.axis;
	int64_t rows = 1, n = 1, scale_n = tensor_elems(in_tensor(a, 1));
	int64_t shift_n = has_input(a, 2) ? tensor_elems(in_tensor(a, 2)) : 0;
	const float *x = a->in[0], *scale = a->in[1], *shift = shift_n ? a->in[2] : NULL;
	float *y = a->out[0];

	for (int i = 0; i < s->rank; i++) {
		if (i < axis)
			rows *= s->dims[i];
		else
			n *= s->dims[i];
	}
	for (int64_t r = 0; r < rows; r++, x += n, y += n) {
		double mean, var, inv;

		moments(x, n, 1, &mean, &var);
		inv = 1.0 / sqrt(var + (double)a->step->attr.alpha);
		for (int64_t i = 0; i < n; i++) {
			double v = ((double)x[i] - mean) * inv * (double)scale[i % scale_n];

			y[i] = (float)(shift ? v + (double)shift[i % shift_n] : v);
		}
	}
	return OOO_OK;
}

enum ooo_status kernel_instance_norm(const struct kernel_args *a)
{
	const struct tensor *t = in_tensor(a, 0);
	const struct shape *s = &t->shape;
	bool nhwc = t->layout == LAYOUT_NHWC;
	int64_t channels = s->dims[1], n = 1, stride;

	for (int i = 2; i < s->rank; i++)
		n *= s->dims[i];
	stride = nhwc ? channels : 1;
	for (int64_t k = 0; k < s->dims[0] * channels; k++) {
		int64_t c = k % channels, at = nhwc ? k / channels * channels * n + c : k * n;
		const float *x = (const float *)a->in[0] + at;
		float *y = (float *)a->out[0] + at;
		double mean, var, inv;

		moments(x, n, stride, &mean, &var);
		inv = 1.0 / sqrt(var + (double)a->step->attr.alpha);
		for (int64_t i = 0; i < n; i++)
			y[i * stride] = (float)(((double)x[i * stride] - mean) * inv *
							(double)((const float *)a->in[1])[c] +
						(double)((const float *)a->in[2])[c]);
	}
	return OOO_OK;
}

/* Elements of the output's memory; the window is clipped to the channels. */
enum ooo_status kernel_lrn(const struct kernel_args *a, int64_t from, int64_t to)
{
	const struct tensor *t = in_tensor(a, 0);
	const struct ooo_attr *at = &a->step->attr;
	int64_t channels = t->shape.dims[1], size = at->kernel[0], plane = 1, stride;
	const float *x = a->in[0];
	float *y = a->out[0];

	for (int i = 2; i < t->shape.rank; i++)
		plane *= t->shape.dims[i];
	stride = t->layout == LAYOUT_NHWC ? 1 : plane;
	for (int64_t e = from; e < to; e++) {
		int64_t c = e / stride % channels;
		int64_t low = max64(0, c - (size - 1) / 2),
			high = min64(channels - 1, c + size / 2);
		double sum = 0;

		for (int64_t k = low; k <= high; k++) {
			double v = (double)x[e + (k - c) * stride];

			sum += v * v;
		}
		y[e] = (float)((double)x[e] /
			       pow((double)at->bias + (double)at->alpha / (double)size * sum,
				   (double)at->beta));
	}
	return OOO_OK;
}
