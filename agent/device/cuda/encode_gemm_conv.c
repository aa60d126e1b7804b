// SPDX-License-Identifier: Apache-2.0
/*
 * Convolutions as products. A transposed convolution of stride s is s x s of them, one for each
 * remainder of the output's coordinates by the stride: what lands on such pixels came through every
 * s-th tap (or so: see residue), which is a plain convolution of stride 1.
 */
#include <errno.h>
#include <stdlib.h>

#include "agent/device/cuda/encode_gemm.h"

#define MAX_RESIDUES 1024

/* The convolution as 2-d: a 1-d one has height 1. */
struct conv {
	bool transposed;
	int64_t n, ic, ih, iw, oc, oh, ow, kh, kw;
	/* Small groups are merged: a product computes `merged` of them, with weights that are zero
	 * between them. groups counts products from then on. */
	uint32_t groups, in_group, out_group, merged; /* channels of a group */
	int64_t pixel, channel; /* of the output: elements from one to the next */
	struct gemm_x x;
};

/* Along one axis: the taps that meet the outputs first, first + stride, ... and where they read. */
struct residue {
	int64_t first, count;      /* outputs */
	int64_t taps, tap, stride; /* the first of them in the order of inputs, and its step */
	int64_t pad, step, dilation;
};

static int64_t dim(const struct tensor *t, int i)
{
	/* i counts N, C, H, W; rank 3 has no H. */
	if (t->shape.rank == 3)
		return i == 2 ? 1 : t->shape.dims[i == 3 ? 2 : i];
	return t->shape.dims[i];
}

/* Rows of weights come in blocks of 64, and channels in whole chunks: small groups waste both. */
static void merge_groups(struct gemm_build *b, struct conv *c)
{
	bool constant = plan_const_data(b->plan, b->step->in[1]);

	c->merged = 1;
	for (uint32_t n = 2; constant && !c->transposed && n * c->out_group <= GEMM_ROWS; n++)
		if (c->groups % n == 0)
			c->merged = n;
	c->groups /= c->merged;
	c->in_group *= c->merged;
	c->out_group *= c->merged;
}

static int describe(struct gemm_build *b, struct conv *c)
{
	const struct step *s = b->step;
	const struct tensor *x = &b->p->tensors[s->in[0]], *w = &b->p->tensors[s->in[1]];
	const struct tensor *y = &b->p->tensors[s->out[0]];
	int64_t reach_h, reach_w;

	if (x->shape.rank < 3 || x->shape.rank > 4)
		return gemm_refuse(b, "a convolution of neither one nor two dimensions");
	if (x->layout == LAYOUT_BLOCK16 || y->layout == LAYOUT_BLOCK16 || w->layout != LAYOUT_PLAIN)
		return gemm_refuse(b, "channels in blocks of 16");
	*c = (struct conv){
		.transposed = s->op == OOO_OP_CONV_TRANSPOSE,
		.n = dim(x, 0),
		.ic = dim(x, 1),
		.ih = dim(x, 2),
		.iw = dim(x, 3),
		.oc = dim(y, 1),
		.oh = dim(y, 2),
		.ow = dim(y, 3),
		.kh = dim(w, 2),
		.kw = dim(w, 3),
		.groups = s->attr.group > 1 ? (uint32_t)s->attr.group : 1,
	};
	c->in_group = (uint32_t)(c->ic / c->groups);
	c->out_group = (uint32_t)(c->oc / c->groups);
	merge_groups(b, c);
	c->pixel = y->layout == LAYOUT_NHWC ? c->oc : 1;
	c->channel = y->layout == LAYOUT_NHWC ? 1 : c->oh * c->ow;
	/* Coordinates are 32-bit numbers in the kernel, and -2^30 stands for outside. */
	reach_h = c->kh * s->attr.dilation[0] + c->ih + c->oh * s->attr.stride[0] + s->attr.pad[0];
	reach_w = c->kw * s->attr.dilation[1] + c->iw + c->ow * s->attr.stride[1] + s->attr.pad[1];
	if (reach_h >= 1 << 30 || reach_w >= 1 << 30)
		return gemm_refuse(b, "coordinates beyond 2^30");
	return 0;
}

static int take_image(struct gemm_build *b, struct conv *c)
{
	const struct tensor *x = &b->p->tensors[b->step->in[0]];
	int64_t pixels = c->ih * c->iw;
	bool last = x->layout == LAYOUT_NHWC;
	struct gemm_matrix m = {
		.id = b->step->in[0],
		.nr_z = (uint32_t)c->n,
		.rows = (uint32_t)pixels,
		.taps = { 1, c->groups },
		.channels = c->in_group,
		.z_stride = c->ic * pixels,
		.row_stride = last ? c->ic : 1,
		.tap_stride = { 0, (last ? 1 : pixels) * c->in_group },
		.channel_stride = last ? 1 : pixels,
	};
	uint64_t reads = ((uint64_t)c->out_group + 63) / 64 * (uint64_t)(c->kh * c->kw);

	return gemm_take_x(b, &m, reads, &c->x);
}

/* Taps of these residues, in the order in which their inputs lie. */
static int take_weights(struct gemm_build *b, const struct conv *c, const struct residue *rh,
			const struct residue *rw, struct gemm_w *w)
{
	int64_t k = c->kh * c->kw, out = c->out_group, in = c->in_group / c->merged;
	struct gemm_matrix m = {
		.id = b->step->in[1],
		.nr_z = c->groups,
		.rows = c->out_group,
		.taps = { (uint32_t)rh->taps, (uint32_t)rw->taps },
		.channels = c->in_group,
		.diagonal = c->merged,
		.base = rh->tap * c->kw + rw->tap,
		.z_stride = out * in * k,
		.row_stride = c->transposed ? k : in * k,
		.tap_stride = { rh->stride * c->kw, rw->stride },
		.channel_stride = c->transposed ? out * k : k,
	};

	return gemm_take_w(b, &m, w);
}

/* Where group g begins. */
static struct gemm_batch *make_groups(const struct conv *c, const struct gemm_w *w)
{
	struct gemm_batch *batch = calloc(c->groups, sizeof(*batch));

	for (uint32_t g = 0; batch && g < c->groups; g++)
		batch[g] = (struct gemm_batch){
			.x = g * c->x.tap * GEMM_CHUNK,
			.w = g * w->z,
			.y = (int64_t)g * c->out_group * c->channel,
			.bias = (int64_t)g * c->out_group,
		};
	return batch;
}

static int add_product(struct gemm_build *b, const struct conv *c, const struct residue *rh,
		       const struct residue *rw, struct gemm_product *product)
{
	const struct step *s = b->step;
	bool bias = s->nr_in > 2 && s->in[2] != OOO_NONE;
	struct gemm_task *t = &product->task;
	struct gemm_w w;
	int err = take_weights(b, c, rh, rw, &w);

	if (err)
		return err;
	*t = (struct gemm_task){
		.x = c->x.at,
		.w = w.at,
		.y = plan_operand(b->plan, s->out[0]),
		.m = c->out_group,
		.n = (uint32_t)(c->n * rh->count * rw->count),
		.nr_z = c->groups,
		.blocks = w.blocks,
		.flags = GEMM_BIAS_BY_CHANNEL,
		.plane = cuda_div_make((uint32_t)(rh->count * rw->count)),
		.row = cuda_div_make((uint32_t)rw->count),
		.x_image = (int32_t)c->x.z,
		.x_row = (int32_t)(c->x.row * c->iw),
		.x_column = (int32_t)c->x.row,
		.height = (uint32_t)c->ih,
		.width = (uint32_t)c->iw,
		.pad = { (int32_t)rh->pad, (int32_t)rw->pad },
		.stride = { (int32_t)rh->step, (int32_t)rw->step },
		.dilation = { (int32_t)rh->dilation, (int32_t)rw->dilation },
		.kernel = { (uint32_t)rh->taps, (uint32_t)rw->taps },
		.chunks = c->x.chunks,
		.y_first = (rh->first * c->ow + rw->first) * c->pixel,
		.y_image = c->oc * c->oh * c->ow,
		.y_row = (c->transposed ? s->attr.stride[0] : 1) * c->ow * c->pixel,
		.y_column = (c->transposed ? s->attr.stride[1] : 1) * c->pixel,
		.y_channel = c->channel,
		.bias_channel = 1,
		.alpha = 1,
		.beta = 1,
	};
	if (!t->blocks) { /* no tap reaches these pixels: the bias alone */
		t->kernel[0] = 0;
		t->kernel[1] = 1;
	}
	if (bias)
		t->bias = plan_operand(b->plan, s->in[2]);
	product->batch = c->groups > 1 ? make_groups(c, &w) : NULL;
	return c->groups > 1 && !product->batch ? -ENOMEM : 0;
}

static int64_t common_divisor(int64_t a, int64_t b)
{
	return b ? common_divisor(b, a % b) : a;
}

/*
 * Output o gets input i through tap k if o + pad = i * stride + k * dilation. Outputs first, first +
 * stride, ... all take the taps with k * dilation = first + pad modulo stride: every `every`-th, from
 * k0 on. Tap k0 + t * every then reads input (first + pad - k0 * dilation) / stride - t * near of the
 * first output. The last of them reads the least input, so it comes first.
 */
static struct residue residue_make(int64_t first, int64_t outputs, int64_t kernel, int64_t stride,
				   int64_t dilation, int64_t pad)
{
	int64_t common = common_divisor(stride, dilation), every = stride / common;
	int64_t near = dilation / common, k0 = 0, last;
	struct residue r = {
		.first = first,
		.count = outputs > first ? (outputs - first + stride - 1) / stride : 0,
		.stride = -every,
		.step = 1,
		.dilation = near,
	};

	while (k0 < kernel && k0 < every && (first + pad - k0 * dilation) % stride)
		k0++;
	if (k0 == kernel || k0 == every)
		return r;
	r.taps = (kernel - k0 + every - 1) / every;
	last = r.taps - 1;
	r.tap = k0 + last * every;
	r.pad = -((first + pad - k0 * dilation) / stride - last * near);
	return r;
}

static int transposed(struct gemm_build *b, const struct conv *c)
{
	const struct ooo_attr *a = &b->step->attr;
	int64_t nr_h = a->stride[0] < c->oh ? a->stride[0] : c->oh;
	int64_t nr_w = a->stride[1] < c->ow ? a->stride[1] : c->ow;
	struct gemm_product *products;
	unsigned nr = 0;
	int err = 0;

	if (nr_h * nr_w > MAX_RESIDUES)
		return gemm_refuse(b, "a transposed convolution with strides of more than 32 x 32");
	products = calloc((size_t)(nr_h * nr_w), sizeof(*products));
	if (!products)
		return -ENOMEM;
	for (int64_t h = 0; h < nr_h && !err; h++) {
		struct residue rh =
			residue_make(h, c->oh, c->kh, a->stride[0], a->dilation[0], a->pad[0]);

		for (int64_t w = 0; w < nr_w && !err; w++) {
			struct residue rw = residue_make(w, c->ow, c->kw, a->stride[1],
							 a->dilation[1], a->pad[1]);

			err = add_product(b, c, &rh, &rw, &products[nr++]);
		}
	}
	if (!err)
		err = gemm_emit(b, products, nr);
	for (unsigned i = 0; i < nr; i++)
		free(products[i].batch);
	free(products);
	return err;
}

int gemm_conv(struct gemm_build *b)
{
	const struct ooo_attr *a = &b->step->attr;
	struct gemm_product product = { 0 };
	struct residue r[2];
	struct conv c = { 0 };
	int err = describe(b, &c);

	if (!err)
		err = take_image(b, &c);
	if (err)
		return err;
	if (c.transposed)
		return transposed(b, &c);
	for (int i = 0; i < 2; i++)
		r[i] = (struct residue){
			.count = i ? c.ow : c.oh,
			.taps = i ? c.kw : c.kh,
			.stride = 1,
			.pad = a->pad[i],
			.step = a->stride[i],
			.dilation = a->dilation[i],
		};
	err = add_product(b, &c, &r[0], &r[1], &product);
	if (!err)
		err = gemm_emit(b, &product, 1);
	free(product.batch);
	return err;
}
