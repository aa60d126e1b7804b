// SPDX-License-Identifier: Apache-2.0
/*
 * Convolution and transposed convolution. A chunk is a part of the output: some whole images of the
 * batch, a band of rows of one image, or a range of its channels. It is a convolution of its own, on
 * dense descriptors. (Strided views fall to oneDNN's reference code; bands of channels-last images
 * are dense, their channel ranges are computed in scratch and copied.)
 *
 * Measured on ResNet-50 with 2 threads: bands of channels-last rows beat splits of the output
 * channels in blocked layouts in most layers. They share the packed weights, whose copies would cost
 * up to a third. Where the weights outweigh the image (7 x 7 and 512 channels) reading them once for
 * each band costs more than the copies of channel ranges do.
 */
#include <errno.h>

#include "agent/device/cpu/onednn.h"

#define CHUNK_FLOPS   2000000 /* of a chunk at least: about 20 us of a core */
#define CHANNEL_ALIGN 16
#define HEAVY_BYTES   (1 << 20) /* weights that do not fit a core's cache beside an image */
#define HEAVY_RATIO   4         /* and are so many times larger than the images */

/* The convolution as 2-d: a 1-d one has height 1. */
struct conv {
	bool transposed, nhwc, gather;
	int64_t n, ic, ih, iw, oc, oh, ow, kh, kw, groups;
	int64_t sh, sw, dh, dw, pt, pl; /* dilation: 1 = dense */
	const float *weights, *bias;
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

static int64_t most(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* A part of the output, and the rows of the input that it needs. */
struct part {
	int64_t image, images, row, rows, channel, channels;
	int64_t in_row, in_rows;
	unsigned nr; /* which range of channels: weights differ */
	struct conv_geometry g;
};

static bool whole_channels(const struct conv *c, const struct part *q)
{
	return q->channels == c->oc;
}

/* A channel range of a channels-last image is not dense. */
static bool through_scratch(const struct conv *c, const struct part *q)
{
	return c->nhwc && !whole_channels(c, q);
}

static void place_part(const struct conv *c, struct part *q)
{
	int64_t eff_h = (c->kh - 1) * c->dh + 1, eff_w = (c->kw - 1) * c->dw + 1;
	int64_t first = q->row * c->sh - c->pt;
	int64_t last = first + (q->rows - 1) * c->sh + eff_h; /* exclusive */

	q->g = (struct conv_geometry){ .stride = { c->sh, c->sw },
				       .dilate = { c->dh - 1, c->dw - 1 },
				       .pad_l = { c->pt, c->pl } };
	q->in_row = 0;
	q->in_rows = c->ih;
	if (c->transposed) {
		q->g.pad_r[0] = (c->ih - 1) * c->sh - c->pt + eff_h - c->oh;
		q->g.pad_r[1] = (c->iw - 1) * c->sw - c->pl + eff_w - c->ow;
		return;
	}
	q->g.pad_r[1] = most(0, (c->ow - 1) * c->sw - c->pl + eff_w - c->iw);
	if (q->rows == c->oh) { /* rows that no window reaches stay in the picture */
		q->g.pad_r[0] = last - c->ih;
		return;
	}
	q->g.pad_l[0] = most(0, -first);
	q->g.pad_r[0] = most(0, last - c->ih);
	q->in_row = most(0, first);
	q->in_rows = (last < c->ih ? last : c->ih) - q->in_row;
}

/* Elements before the part in the output, in a dense tensor like it. */
static size_t out_offset(const struct conv *c, const struct part *q)
{
	int64_t before = q->image * c->oc * c->oh * c->ow;

	if (c->nhwc)
		return (size_t)(before + q->row * c->ow * c->oc + q->channel);
	return (size_t)(before + q->channel * c->oh * c->ow);
}

struct part_mds {
	md_t src, weights, have, bias, dst;
};

/* Weights as oneDNN counts them: output channels first, also where ONNX has the input ones. */
static int weight_mds(const struct conv *c, const struct part *q, struct part_mds *m)
{
	int64_t k = c->kh * c->kw, ic = c->ic / c->groups, oc = c->oc / c->groups;
	dnnl_dim_t dims[] = { c->groups, whole_channels(c, q) ? oc : q->channels, ic, c->kh,
			      c->kw };
	dnnl_dim_t strides[] = { oc * ic * k, ic * k, k, c->kw, 1 };
	int d = c->groups > 1 ? 0 : 1, err;

	if (c->transposed) {
		strides[1] = k;
		strides[2] = oc * k;
	}
	err = md_strides(&m->have, 5 - d, dims + d, strides + d);
	return err ? err : md_tag(&m->weights, 5 - d, dims + d, dnnl_format_tag_any);
}

static int part_descriptors(const struct conv *c, const struct part *q, struct part_mds *m)
{
	dnnl_format_tag_t tag = c->nhwc ? dnnl_nhwc : dnnl_nchw;
	dnnl_dim_t src[] = { q->images, c->ic, q->in_rows, c->iw };
	dnnl_dim_t dst[] = { q->images, q->channels, q->rows, c->ow };
	int err = md_tag(&m->src, 4, src, tag);

	if (!err)
		err = md_tag(&m->dst, 4, dst, tag);
	if (!err)
		err = md_tag(&m->bias, 1, &q->channels, dnnl_x);
	return err ? err : weight_mds(c, q, m);
}

static size_t take_scratch(size_t *used, int64_t elems)
{
	size_t at = *used;

	*used += ((size_t)elems * sizeof(float) + 63) & ~(size_t)63;
	return at;
}

static int add_source(struct prim_build *b, const struct conv *c, const struct part *q,
		      struct part_mds *m, struct onednn_chunk *chunk, size_t *scratch)
{
	int64_t skip = c->nhwc ? q->in_row * c->ic : 0;
	size_t at;

	if (!c->gather)
		return build_arg(b, chunk, DNNL_ARG_SRC, MD(m->src), ARG_IN, 0,
				 (size_t)((q->image * c->ic * c->ih + skip) * c->iw) *
					 sizeof(float));
	chunk->gather.images = q->images;
	chunk->gather.channels = c->ic;
	chunk->gather.height = c->ih;
	chunk->gather.width = c->iw;
	chunk->gather.rows = q->in_rows;
	chunk->gather.offset = (size_t)((q->image * c->ic * c->ih + q->in_row) * c->iw);
	at = take_scratch(scratch, q->images * c->ic * q->in_rows * c->iw);
	return build_arg(b, chunk, DNNL_ARG_SRC, MD(m->src), ARG_SCRATCH, 0, at);
}

static int add_weights(struct prim_build *b, const struct conv *c, const struct part *q,
		       struct part_mds *m, struct onednn_chunk *chunk, dnnl_primitive_desc_t pd)
{
	int64_t k = c->kh * c->kw, skip = q->channel * k * (c->transposed ? 1 : c->ic / c->groups);
	int err = build_packed(b, chunk, DNNL_ARG_WEIGHTS,
			       dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0),
			       MD(m->have), c->weights + skip, 1.0f, 2 * q->nr);

	if (!err && c->bias)
		err = build_packed(b, chunk, DNNL_ARG_BIAS, MD(m->bias), MD(m->bias),
				   c->bias + q->channel, 1.0f, 2 * q->nr + 1);
	return err;
}

/* The part's rows of a tensor like the output stand in scratch while the primitive runs. */
static void add_copy(const struct conv *c, const struct part *q, struct onednn_chunk *chunk,
		     enum arg_source source, unsigned index, size_t at)
{
	chunk->copies[chunk->nr_copies++] = (struct chunk_copy){
		.source = (uint8_t)source,
		.index = (uint8_t)index,
		.offset = out_offset(c, q) * sizeof(float),
		.stride = (size_t)c->oc * sizeof(float),
		.bytes = (size_t)q->channels * sizeof(float),
		.rows = (size_t)(q->rows * c->ow),
		.scratch = at,
	};
}

static int add_output(struct prim_build *b, const struct conv *c, const struct part *q,
		      struct part_mds *m, struct onednn_chunk *chunk, struct post_plan *plan,
		      size_t *scratch)
{
	int64_t elems = q->channels * q->rows * c->ow;
	size_t offset = out_offset(c, q) * sizeof(float), at;
	int err;

	if (!through_scratch(c, q)) {
		err = build_arg(b, chunk, DNNL_ARG_DST, MD(m->dst), ARG_OUT, 0, offset);
		return err ? err : build_post_args(b, chunk, plan, offset);
	}
	at = take_scratch(scratch, elems);
	add_copy(c, q, chunk, ARG_OUT, 0, at);
	if (plan->accumulates)
		add_copy(c, q, chunk, ARG_POST, 0, at);
	err = build_arg(b, chunk, DNNL_ARG_DST, MD(m->dst), ARG_SCRATCH, 0, at);
	for (int i = 0; i < b->nr_post && !err; i++) {
		if (plan->arg_index[i] < 0)
			continue;
		if (!plan->full[i]) {
			err = build_post_arg(b, chunk, plan, i, ARG_POST, plan->offset[i]);
			continue;
		}
		at = take_scratch(scratch, elems);
		add_copy(c, q, chunk, ARG_POST, (unsigned)i, at);
		err = build_post_arg(b, chunk, plan, i, ARG_SCRATCH, at);
	}
	return err;
}

static int add_args(struct prim_build *b, const struct conv *c, const struct part *q,
		    struct part_mds *m, struct onednn_chunk *chunk, dnnl_primitive_desc_t pd,
		    struct post_plan *plan)
{
	size_t scratch = 0;
	int err = add_source(b, c, q, m, chunk, &scratch);

	chunk->written.from = (int64_t)out_offset(c, q);
	chunk->written.len = q->channels;
	chunk->written.stride = c->oc;
	chunk->written.runs = q->rows * c->ow;
	if (!through_scratch(c, q)) {
		chunk->written.len *= q->images * chunk->written.runs;
		chunk->written.runs = 1;
	}
	if (!err)
		err = add_weights(b, c, q, m, chunk, pd);
	if (!err)
		err = add_output(b, c, q, m, chunk, plan, &scratch);
	return err ? err : build_primitive(b, chunk, pd, scratch);
}

static void post_view(const struct conv *c, const struct part *q, struct post_view *v)
{
	int64_t pixels = q->rows * c->ow;

	*v = (struct post_view){
		.nr_dims = 4,
		.from = { q->image, q->channel, q->row, 0 },
		.dims = { q->images, q->channels, q->rows, c->ow },
		.strides = { q->channels * pixels, pixels, c->ow, 1 },
		.channel = 1,
		.channel_axis = 1,
		.accumulate = through_scratch(c, q), /* it is copied in any case */
	};
	if (c->nhwc) {
		v->strides[1] = 1;
		v->strides[2] = c->ow * q->channels;
		v->strides[3] = q->channels;
	}
}

static int add_part(struct prim_build *b, const struct conv *c, struct part *q)
{
	struct onednn_chunk *chunk = build_chunk(b);
	struct post_plan plan = POST_PLAN_INIT;
	dnnl_primitive_attr_t attr = NULL;
	dnnl_primitive_desc_t pd = NULL;
	struct part_mds m = { 0 };
	struct post_view view;
	int err;

	if (!chunk)
		return -EOPNOTSUPP;
	place_part(c, q);
	post_view(c, q, &view);
	err = part_descriptors(c, q, &m);
	if (!err)
		err = build_attr(b, &view, &plan, &attr);
	if (!err)
		err = pd_conv(&pd, b->o->engine, c->transposed, MD(m.src), MD(m.weights),
			      c->bias ? MD(m.bias) : MD_NONE, MD(m.dst), &q->g, attr);
	if (!err)
		err = build_check(pd);
	if (!err)
		err = add_args(b, c, q, &m, chunk, pd, &plan);
	if (pd)
		dnnl_primitive_desc_destroy(pd);
	if (attr)
		dnnl_primitive_attr_destroy(attr);
	post_plan_drop(&plan);
	md_drop(&m.src);
	md_drop(&m.dst);
	md_drop(&m.bias);
	md_drop(&m.have);
	md_drop(&m.weights);
	return err;
}

static int add_batches(struct prim_build *b, const struct conv *c, int64_t nr)
{
	int err = 0;

	for (int64_t i = 0; i < nr && !err; i++) {
		int64_t from = c->n * i / nr;
		struct part q = {
			.image = from,
			.images = c->n * (i + 1) / nr - from,
			.rows = c->oh,
			.channels = c->oc,
		};

		err = add_part(b, c, &q);
	}
	return err;
}

static int add_bands(struct prim_build *b, const struct conv *c, int64_t nr)
{
	int err = 0;

	for (int64_t i = 0; i < c->n * nr && !err; i++) {
		int64_t from = c->oh * (i % nr) / nr;
		struct part q = {
			.image = i / nr,
			.images = 1,
			.row = from,
			.rows = c->oh * (i % nr + 1) / nr - from,
			.channels = c->oc,
		};

		err = add_part(b, c, &q);
	}
	return err;
}

static int add_channels(struct prim_build *b, const struct conv *c, int64_t nr)
{
	int64_t blocks = (c->oc + CHANNEL_ALIGN - 1) / CHANNEL_ALIGN;
	int err = 0;

	for (int64_t i = 0; i < nr && !err; i++) {
		int64_t from = blocks * i / nr * CHANNEL_ALIGN;
		int64_t to = blocks * (i + 1) / nr * CHANNEL_ALIGN;
		struct part q = {
			.images = 1,
			.rows = c->oh,
			.channel = from,
			.channels = (to < c->oc ? to : c->oc) - from,
			.nr = (unsigned)i,
		};

		err = add_part(b, c, &q);
	}
	return err;
}

static int64_t least(double a, int64_t b, int64_t c)
{
	int64_t small = b < c ? b : c;

	return a < (double)small ? (int64_t)a : small;
}

static bool heavy_weights(const struct conv *c)
{
	int64_t weights = c->oc * (c->ic / c->groups) * c->kh * c->kw;
	int64_t images = c->oc * c->oh * c->ow + c->ic * c->ih * c->iw;

	return weights * (int64_t)sizeof(float) >= HEAVY_BYTES && weights >= HEAVY_RATIO * images;
}

/*
 * Enough chunks for the threads, none too small to be worth its own call. A few images that do not
 * divide evenly among the threads are cut into bands as well.
 */
int onednn_conv(struct prim_build *b)
{
	int64_t threads = b->threads > 2 ? b->threads : 2, nr;
	double most_of_image;
	struct conv c;
	int err = describe(b, &c);

	if (err)
		return err;
	most_of_image = 1 + 2.0 * (double)(c.oc * c.oh * c.ow) * (double)(c.kh * c.kw) *
				    (double)c.ic / (double)c.groups / CHUNK_FLOPS;
	if (c.n == 1 && c.groups == 1 && (!c.nhwc || c.transposed || heavy_weights(&c)))
		return add_channels(b, &c,
				    least(most_of_image, threads,
					  (c.oc + CHANNEL_ALIGN - 1) / CHANNEL_ALIGN));
	if (c.nhwc && !c.transposed && c.n < 4 * threads && c.n % threads) {
		nr = least(most_of_image, threads < c.oh ? threads : c.oh, CPU_MAX_CHUNKS / c.n);
		if (nr > 1)
			return add_bands(b, &c, nr);
	}
	nr = 4 * threads < CPU_MAX_CHUNKS ? 4 * threads : CPU_MAX_CHUNKS;
	return add_batches(b, &c, least(most_of_image * (double)c.n, c.n, nr));
}
