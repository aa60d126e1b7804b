// SPDX-License-Identifier: Apache-2.0
/*
 * Convolution and transposed convolution. A chunk is some whole images of the batch or a band of
 * output rows of one image, described as a convolution of its own: dense descriptors of the rows
 * that it reads and writes, with the padding that is left at its edges. (Strided views of blocked
 * layouts fall to oneDNN's reference code; bands of channels-last images are dense.) Bands share
 * the packed weights.
 *
 * Measured on ResNet-50 with 2 threads: bands of channels-last rows beat splits of the output
 * channels in blocked layouts in most layers, and weights packed once per band cost up to a third.
 */
#include <errno.h>

#include "agent/device/cpu/onednn.h"

#define BAND_FLOPS 2000000 /* of a chunk at least: about 20 us of a core */

/* The convolution as 2-d: a 1-d one has height 1. */
struct conv {
	bool transposed, nhwc, gather;
	int64_t n, ic, ih, iw, oc, oh, ow, kh, kw, groups;
	int64_t sh, sw, dh, dw, pt, pl; /* dilation: 1 = dense */
	const void *weights, *bias;
	unsigned bands;     /* of each image */
	int64_t nr_batches; /* of whole images, if bands is 1 */
};

static int64_t dim(const struct tensor *t, int i)
{
	/* i counts N, C, H, W; rank 3 has no H. */
	if (t->shape.rank == 3)
		return i == 2 ? 1 : t->shape.dims[i == 3 ? 2 : i];
	return t->shape.dims[i];
}

static bool image_layout(const struct tensor *t)
{
	return t->layout == LAYOUT_NHWC;
}

static int describe(struct prim_build *b, struct conv *c)
{
	const struct step *s = b->step;
	const struct tensor *x = &b->tensors[s->in[0]], *w = &b->tensors[s->in[1]];
	const struct tensor *y = &b->tensors[s->out[0]];
	const struct ooo_attr *a = &s->attr;

	*c = (struct conv){
		.transposed = s->op == OOO_OP_CONV_TRANSPOSE,
		.nhwc = image_layout(y),
		.n = dim(x, 0),
		.ic = dim(x, 1),
		.ih = dim(x, 2),
		.iw = dim(x, 3),
		.oc = dim(y, 1),
		.oh = dim(y, 2),
		.ow = dim(y, 3),
		.kh = dim(w, 2),
		.kw = dim(w, 3),
		.groups = a->group ? a->group : 1,
		.sh = a->stride[0],
		.sw = a->stride[1],
		.dh = a->dilation[0],
		.dw = a->dilation[1],
		.pt = a->pad[0],
		.pl = a->pad[1],
		.weights = build_const(b, s->in[1]),
	};
	if (x->shape.rank > 4 || !c->weights)
		return -EOPNOTSUPP;
	if (s->nr_in > 2 && s->in[2] != OOO_NONE) {
		c->bias = build_const(b, s->in[2]);
		if (!c->bias)
			return -EOPNOTSUPP;
	}
	if (c->nhwc && !image_layout(x)) {
		if (x->layout != LAYOUT_PLAIN)
			return -EOPNOTSUPP;
		c->gather = true;
	} else if (x->layout != y->layout) {
		return -EOPNOTSUPP;
	}
	return 0;
}

/*
 * Cut an image into bands or the batch into groups of images: enough chunks for the threads, none
 * too small to be worth its own call. A few images that do not divide evenly are cut into bands.
 */
static void choose_cut(const struct prim_build *b, struct conv *c)
{
	double flops = 2.0 * (double)(c->oc * c->oh * c->ow) * (double)(c->kh * c->kw) *
		       (double)(c->ic / c->groups);
	int64_t threads = b->threads > 2 ? b->threads : 2;
	double most_bands = 1 + flops / BAND_FLOPS,
	       most_batches = 1 + flops * (double)c->n / BAND_FLOPS;

	c->bands = 1;
	c->nr_batches = c->n < 4 * threads ? c->n : 4 * threads;
	if ((double)c->nr_batches > most_batches)
		c->nr_batches = (int64_t)most_batches;
	if (c->nr_batches > CPU_MAX_CHUNKS)
		c->nr_batches = CPU_MAX_CHUNKS;
	if (!c->nhwc || c->transposed || c->n >= 4 * threads || c->n % threads == 0)
		return;
	if (most_bands > (double)threads)
		most_bands = (double)threads;
	if (most_bands > (double)c->oh)
		most_bands = (double)c->oh;
	if (most_bands > (double)(CPU_MAX_CHUNKS / c->n))
		most_bands = (double)(CPU_MAX_CHUNKS / c->n);
	if (most_bands >= 2)
		c->bands = (unsigned)most_bands;
}

static int64_t most(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* Weights as oneDNN counts them: output channels first, also where ONNX has the input ones. */
static int weight_md(const struct conv *c, bool any, md_t *md)
{
	int64_t oc = c->oc / c->groups, ic = c->ic / c->groups;
	dnnl_dim_t grouped[] = { c->groups, oc, ic, c->kh, c->kw };
	dnnl_format_tag_t tag;

	if (c->groups > 1)
		tag = c->transposed ? dnnl_giohw : dnnl_goihw;
	else
		tag = c->transposed ? dnnl_iohw : dnnl_oihw;
	if (any)
		tag = dnnl_format_tag_any;
	return c->groups > 1 ? md_tag(md, 5, grouped, tag) : md_tag(md, 4, grouped + 1, tag);
}

struct band {
	int64_t image, images, out_row, out_rows, in_row, in_rows;
	struct conv_geometry g;
};

static void place_band(const struct conv *c, struct band *band)
{
	int64_t eff_h = (c->kh - 1) * c->dh + 1, eff_w = (c->kw - 1) * c->dw + 1;
	int64_t first, last;

	band->g = (struct conv_geometry){ .stride = { c->sh, c->sw },
					  .dilate = { c->dh - 1, c->dw - 1 },
					  .pad_l = { c->pt, c->pl } };
	if (c->transposed) {
		band->in_row = 0;
		band->in_rows = c->ih;
		band->g.pad_r[0] = (c->ih - 1) * c->sh - c->pt + eff_h - c->oh;
		band->g.pad_r[1] = (c->iw - 1) * c->sw - c->pl + eff_w - c->ow;
		return;
	}
	first = band->out_row * c->sh - c->pt;
	last = (band->out_row + band->out_rows - 1) * c->sh - c->pt + eff_h; /* exclusive */
	band->g.pad_l[0] = most(0, -first);
	band->g.pad_r[0] = most(0, last - c->ih);
	band->g.pad_r[1] = most(0, (c->ow - 1) * c->sw - c->pl + eff_w - c->iw);
	band->in_row = most(0, first);
	band->in_rows = (last < c->ih ? last : c->ih) - band->in_row;
	if (band->out_rows == c->oh) { /* whole: rows that no window reaches stay in the picture */
		band->in_row = 0;
		band->in_rows = c->ih;
		band->g.pad_r[0] = (c->oh - 1) * c->sh - c->pt + eff_h - c->ih;
	}
}

struct band_mds {
	md_t src, weights, bias, dst;
};

static int band_descriptors(const struct conv *c, const struct band *band, struct band_mds *m)
{
	dnnl_format_tag_t tag = c->nhwc ? dnnl_nhwc : dnnl_nchw;
	dnnl_dim_t src[] = { band->images, c->ic, band->in_rows, c->iw };
	dnnl_dim_t dst[] = { band->images, c->oc, band->out_rows, c->ow };
	int err = md_tag(&m->src, 4, src, tag);

	if (!err)
		err = md_tag(&m->dst, 4, dst, tag);
	if (!err)
		err = md_tag(&m->bias, 1, &c->oc, dnnl_x);
	if (!err)
		err = weight_md(c, true, &m->weights);
	return err;
}

static int add_args(struct prim_build *b, const struct conv *c, const struct band *band,
		    struct band_mds *m, struct onednn_chunk *chunk, dnnl_primitive_desc_t pd,
		    struct post_plan *plan)
{
	size_t src = (size_t)((band->image * c->ic * c->ih + (c->nhwc ? band->in_row * c->ic : 0)) *
			      c->iw);
	size_t dst =
		(size_t)((band->image * c->oc * c->oh + (c->nhwc ? band->out_row * c->oc : 0)) *
			 c->ow);
	size_t scratch = 0;
	md_t have;
	int err;

	if (c->gather) {
		chunk->gather.images = band->images;
		chunk->gather.channels = c->ic;
		chunk->gather.height = c->ih;
		chunk->gather.width = c->iw;
		chunk->gather.rows = band->in_rows;
		chunk->gather.offset =
			(size_t)(band->image * c->ic * c->ih + band->in_row) * (size_t)c->iw;
		scratch = (size_t)(band->images * c->ic * band->in_rows * c->iw) * sizeof(float);
		scratch = (scratch + 63) & ~(size_t)63;
		err = build_arg(b, chunk, DNNL_ARG_SRC, MD(m->src), ARG_SCRATCH, 0, 0);
	} else {
		err = build_arg(b, chunk, DNNL_ARG_SRC, MD(m->src), ARG_IN, 0, src * sizeof(float));
	}
	if (!err)
		err = build_arg(b, chunk, DNNL_ARG_DST, MD(m->dst), ARG_OUT, 0,
				dst * sizeof(float));
	if (!err)
		err = weight_md(c, false, &have);
	if (err)
		return err;
	err = build_packed(b, chunk, DNNL_ARG_WEIGHTS,
			   dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0), MD(have),
			   c->weights, 1.0f, 0);
	md_drop(&have);
	if (!err && c->bias)
		err = build_packed(b, chunk, DNNL_ARG_BIAS, MD(m->bias), MD(m->bias), c->bias, 1.0f,
				   1);
	if (!err)
		err = build_post_args(b, chunk, plan, dst * sizeof(float));
	if (!err)
		err = build_primitive(b, chunk, pd, scratch);
	return err;
}

static int add_band(struct prim_build *b, const struct conv *c, struct band *band)
{
	dnnl_dim_t out_dims[] = { c->n, c->oc, c->oh, c->ow };
	dnnl_dim_t dims[] = { band->images, c->oc, band->out_rows, c->ow };
	dnnl_dim_t nhwc[] = { c->oc * band->out_rows * c->ow, 1, c->oc * c->ow, c->oc };
	dnnl_dim_t nchw[] = { c->oc * band->out_rows * c->ow, band->out_rows * c->ow, c->ow, 1 };
	struct onednn_chunk *chunk = build_chunk(b);
	struct post_plan plan = { .arg_index = { -1, -1, -1, -1 } };
	dnnl_primitive_attr_t attr = NULL;
	dnnl_primitive_desc_t pd = NULL;
	struct band_mds m = { 0 };
	int err;

	if (!chunk)
		return -EOPNOTSUPP;
	place_band(c, band);
	err = band_descriptors(c, band, &m);
	if (!err)
		err = build_attr(b, 4, out_dims, dims, c->nhwc ? nhwc : nchw, &plan, &attr);
	if (!err)
		err = pd_conv(&pd, b->o->engine, c->transposed, MD(m.src), MD(m.weights),
			      c->bias ? MD(m.bias) : MD_NONE, MD(m.dst), &band->g, attr);
	if (!err)
		err = add_args(b, c, band, &m, chunk, pd, &plan);
	if (pd)
		dnnl_primitive_desc_destroy(pd);
	if (attr)
		dnnl_primitive_attr_destroy(attr);
	post_plan_drop(&plan);
	md_drop(&m.src);
	md_drop(&m.dst);
	md_drop(&m.bias);
	md_drop(&m.weights);
	return err;
}

static int add_batches(struct prim_build *b, const struct conv *c)
{
	int err = 0;

	for (int64_t i = 0; i < c->nr_batches && !err; i++) {
		int64_t from = c->n * i / c->nr_batches, to = c->n * (i + 1) / c->nr_batches;
		struct band band = { .image = from, .images = to - from, .out_rows = c->oh };

		err = add_band(b, c, &band);
	}
	return err;
}

static int add_bands(struct prim_build *b, const struct conv *c)
{
	int err = 0;

	for (int64_t i = 0; i < c->n * c->bands && !err; i++) {
		int64_t k = i % c->bands, from = c->oh * k / c->bands;
		struct band band = {
			.image = i / c->bands,
			.images = 1,
			.out_row = from,
			.out_rows = c->oh * (k + 1) / c->bands - from,
		};

		err = add_band(b, c, &band);
	}
	return err;
}

int onednn_conv(struct prim_build *b)
{
	struct conv c;
	int err = describe(b, &c);

	if (err)
		return err;
	choose_cut(b, &c);
	return c.bands > 1 ? add_bands(b, &c) : add_batches(b, &c);
}
