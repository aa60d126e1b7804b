// SPDX-License-Identifier: Apache-2.0
/*
 * Pooling, convolution and transposed convolution element by element: for shapes, layouts and
 * operands (weights computed at run time) that oneDNN's primitives are not made for.
 */
#include <math.h>

#include "agent/device/cpu/kernels_impl.h"

/* Images as 2-d; one spatial axis counts as the width. */
struct images {
	int64_t n, c, h, w;
	int64_t sn, sc, sh, sw; /* element strides */
};

static struct images as_images(const struct tensor *t)
{
	const int64_t *d = t->shape.dims;
	int64_t s[OOO_MAX_RANK];
	bool flat = t->shape.rank == 3;

	tensor_strides(t, s);
	return (struct images){ .n = d[0],
				.c = d[1],
				.h = flat ? 1 : d[2],
				.w = d[flat ? 2 : 3],
				.sn = s[0],
				.sc = s[1],
				.sh = flat ? 0 : s[2],
				.sw = s[flat ? 2 : 3] };
}

/* Element e of the output's memory -> its coordinates. */
static void locate(const struct tensor *t, const struct images *m, int64_t e, int64_t *n,
		   int64_t *c, int64_t *h, int64_t *w)
{
	if (t->layout == LAYOUT_NHWC) {
		*c = e % m->c;
		e /= m->c;
		*w = e % m->w;
		e /= m->w;
		*h = e % m->h;
		*n = e / m->h;
		return;
	}
	*w = e % m->w;
	e /= m->w;
	*h = e % m->h;
	e /= m->h;
	*c = e % m->c;
	*n = e / m->c;
}

struct window {
	int64_t h0, w0; /* first cell, may lie in the padding */
	int64_t kh, kw, dh, dw;
};

static float pool_max(const float *x, const struct images *m, const struct window *v)
{
	float best = -INFINITY;

	for (int64_t i = 0; i < v->kh; i++) {
		for (int64_t j = 0; j < v->kw; j++) {
			int64_t h = v->h0 + i * v->dh, w = v->w0 + j * v->dw;

			if (h < 0 || h >= m->h || w < 0 || w >= m->w)
				continue;
			if (x[h * m->sh + w * m->sw] > best || isnan(x[h * m->sh + w * m->sw]))
				best = x[h * m->sh + w * m->sw];
		}
	}
	return best;
}

/* Cells of the declared padding count if `include`; those that only rounding up adds never do. */
static float pool_average(const float *x, const struct images *m, const struct window *v,
			  bool include, const int32_t *pad)
{
	int64_t count = 0;
	double sum = 0;

	for (int64_t i = 0; i < v->kh; i++) {
		for (int64_t j = 0; j < v->kw; j++) {
			int64_t h = v->h0 + i * v->dh, w = v->w0 + j * v->dw;

			if (h >= 0 && h < m->h && w >= 0 && w < m->w) {
				sum += (double)x[h * m->sh + w * m->sw];
				count++;
			} else if (include && h < m->h + pad[2] && w < m->w + pad[3]) {
				count++;
			}
		}
	}
	return count ? (float)(sum / (double)count) : 0;
}

enum ooo_status kernel_pool(const struct kernel_args *a, int64_t from, int64_t to)
{
	const struct ooo_attr *at = &a->step->attr;
	uint32_t op = a->step->op;
	bool global = op == OOO_OP_GLOBAL_MAX_POOL || op == OOO_OP_GLOBAL_AVERAGE_POOL;
	bool max = op == OOO_OP_GLOBAL_MAX_POOL || op == OOO_OP_MAX_POOL;
	struct images x = as_images(in_tensor(a, 0)), y = as_images(out_tensor(a, 0));
	static const int32_t no_pad[4];
	int64_t n, c, h, w;

	if (global && from < to) { /* all spatial axes, however many, as one */
		x.w = tensor_elems(in_tensor(a, 0)) / (x.n * x.c);
		x.sw = in_tensor(a, 0)->layout == LAYOUT_NHWC ? x.c : 1;
		x.h = 1;
		x.sh = 0;
	}
	for (int64_t e = from; e < to; e++) {
		struct window v = { .kh = x.h, .kw = x.w, .dh = 1, .dw = 1 };
		const float *in;

		locate(out_tensor(a, 0), &y, e, &n, &c, &h, &w);
		if (!global)
			v = (struct window){ .h0 = h * at->stride[0] - at->pad[0],
					     .w0 = w * at->stride[1] - at->pad[1],
					     .kh = at->kernel[0],
					     .kw = at->kernel[1],
					     .dh = at->dilation[0],
					     .dw = at->dilation[1] };
		in = (const float *)a->in[0] + n * x.sn + c * x.sc;
		((float *)a->out[0])[e] =
			max ? pool_max(in, &x, &v)
			    : pool_average(in, &x, &v, at->flags & OOO_ATTR_COUNT_INCLUDE_PAD,
					   global ? no_pad : at->pad);
	}
	return OOO_OK;
}

enum ooo_status kernel_conv(const struct kernel_args *a, int64_t from, int64_t to)
{
	const struct ooo_attr *at = &a->step->attr;
	struct images x = as_images(in_tensor(a, 0)), y = as_images(out_tensor(a, 0));
	struct images k = as_images(in_tensor(a, 1)); /* n = output channels, c = input per group */
	const float *bias = has_input(a, 2) ? a->in[2] : NULL;
	int64_t per_group = y.c / (at->group ? at->group : 1), n, oc, oh, ow;

	for (int64_t e = from; e < to; e++) {
		const float *in, *weights;
		double sum;

		locate(out_tensor(a, 0), &y, e, &n, &oc, &oh, &ow);
		in = (const float *)a->in[0] + n * x.sn + oc / per_group * k.c * x.sc;
		weights = (const float *)a->in[1] + oc * k.sn;
		sum = bias ? (double)bias[oc] : 0;
		for (int64_t c = 0; c < k.c; c++) {
			for (int64_t i = 0; i < k.h; i++) {
				int64_t h = oh * at->stride[0] - at->pad[0] + i * at->dilation[0];

				if (h < 0 || h >= x.h)
					continue;
				for (int64_t j = 0; j < k.w; j++) {
					int64_t w = ow * at->stride[1] - at->pad[1] +
						    j * at->dilation[1];

					if (w >= 0 && w < x.w)
						sum += (double)in[c * x.sc + h * x.sh + w * x.sw] *
						       (double)weights[c * k.sc + i * k.sh +
								       j * k.sw];
				}
			}
		}
		((float *)a->out[0])[e] = (float)sum;
	}
	return OOO_OK;
}

/* The input position whose contribution through kernel cell i lands on output o; -1: none. */
static int64_t source(int64_t o, int64_t i, int64_t stride, int64_t dilation, int64_t pad,
		      int64_t size)
{
	int64_t at = o + pad - i * dilation;

	if (at < 0 || at % stride)
		return -1;
	at /= stride;
	return at < size ? at : -1;
}

enum ooo_status kernel_conv_transpose(const struct kernel_args *a, int64_t from, int64_t to)
{
	const struct ooo_attr *at = &a->step->attr;
	struct images x = as_images(in_tensor(a, 0)), y = as_images(out_tensor(a, 0));
	struct images k = as_images(in_tensor(a, 1)); /* n = input channels, c = output per group */
	const float *bias = has_input(a, 2) ? a->in[2] : NULL;
	int64_t in_group = x.c / (at->group ? at->group : 1), n, oc, oh, ow;

	for (int64_t e = from; e < to; e++) {
		int64_t first;
		double sum;

		locate(out_tensor(a, 0), &y, e, &n, &oc, &oh, &ow);
		first = oc / k.c * in_group;
		sum = bias ? (double)bias[oc] : 0;
		for (int64_t c = first; c < first + in_group; c++) {
			const float *in = (const float *)a->in[0] + n * x.sn + c * x.sc;
			const float *weights = (const float *)a->in[1] + c * k.sn + oc % k.c * k.sc;

			for (int64_t i = 0; i < k.h; i++) {
				int64_t h = source(oh, i, at->stride[0], at->dilation[0],
						   at->pad[0], x.h);

				for (int64_t j = 0; h >= 0 && j < k.w; j++) {
					int64_t w = source(ow, j, at->stride[1], at->dilation[1],
							   at->pad[1], x.w);

					if (w >= 0)
						sum += (double)in[h * x.sh + w * x.sw] *
						       (double)weights[i * k.sh + j * k.sw];
				}
			}
		}
		((float *)a->out[0])[e] = (float)sum;
	}
	return OOO_OK;
}
