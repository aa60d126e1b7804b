// SPDX-License-Identifier: Apache-2.0
/*
 * Max, average and global pooling. A chunk is some images of the batch or, channels last, a band of
 * output rows of one image with the padding that is left at its edges.
 */
#include <errno.h>

#include "agent/device/cpu/onednn.h"

#define CHUNK_CELLS 400000 /* window cells that a chunk looks at: about 20 us of a core */

struct pooling {
	dnnl_alg_kind_t alg;
	int64_t n, c, ih, iw, oh, ow;
	dnnl_dims_t kernel;
	struct conv_geometry g;
	bool nhwc;
};

static int describe(struct prim_build *b, struct pooling *p)
{
	const struct step *s = b->step;
	const struct tensor *x = &b->tensors[s->in[0]], *y = &b->tensors[s->out[0]];
	const struct ooo_attr *a = &s->attr;
	bool max = s->op == OOO_OP_MAX_POOL || s->op == OOO_OP_GLOBAL_MAX_POOL;
	bool include = a->flags & OOO_ATTR_COUNT_INCLUDE_PAD;

	/* The output of a global pool is one pixel: all its layouts are the same memory. */
	if (x->shape.rank != 4 || x->shape.dtype != OOO_FP32 || x->layout > LAYOUT_NHWC)
		return -EOPNOTSUPP;
	*p = (struct pooling){
		.n = x->shape.dims[0],
		.c = x->shape.dims[1],
		.ih = x->shape.dims[2],
		.iw = x->shape.dims[3],
		.oh = y->shape.dims[2],
		.ow = y->shape.dims[3],
		.nhwc = x->layout == LAYOUT_NHWC,
		.alg = max       ? dnnl_pooling_max
		       : include ? dnnl_pooling_avg_include_padding
				 : dnnl_pooling_avg_exclude_padding,
	};
	if (s->op == OOO_OP_GLOBAL_MAX_POOL || s->op == OOO_OP_GLOBAL_AVERAGE_POOL) {
		p->kernel[0] = p->ih;
		p->kernel[1] = p->iw;
		p->g.stride[0] = p->g.stride[1] = 1;
		return 0;
	}
	if (x->layout != y->layout)
		return -EOPNOTSUPP;
	for (int i = 0; i < 2; i++) {
		int64_t in = i ? p->iw : p->ih, out = i ? p->ow : p->oh, effective;

		p->kernel[i] = a->kernel[i];
		p->g.stride[i] = a->stride[i];
		p->g.dilate[i] = a->dilation[i] - 1;
		p->g.pad_l[i] = a->pad[i];
		effective = (a->kernel[i] - 1) * (int64_t)a->dilation[i] + 1;
		p->g.pad_r[i] = (out - 1) * a->stride[i] - a->pad[i] + effective - in;
		/* Cells that only rounding up adds do not count in ONNX's average; in oneDNN's,
		 * which knows them as padding, they would. */
		if (!max && include && p->g.pad_r[i] > a->pad[i + 2])
			return -EOPNOTSUPP;
	}
	return 0;
}

/* Images image .. image + images, rows row .. row + rows of the output. */
struct part {
	int64_t image, images, row, rows;
};

/* The rows of the input under the part's windows, and the padding that they still need. */
struct window {
	int64_t in_row, in_rows;
	struct conv_geometry g;
};

static struct window place_part(const struct pooling *p, const struct part *q)
{
	int64_t effective = (p->kernel[0] - 1) * (p->g.dilate[0] + 1) + 1;
	int64_t first = q->row * p->g.stride[0] - p->g.pad_l[0];
	int64_t last = first + (q->rows - 1) * p->g.stride[0] + effective; /* exclusive */
	struct window at = { .in_rows = p->ih, .g = p->g };

	if (q->rows == p->oh)
		return at;
	at.g.pad_l[0] = first < 0 ? -first : 0;
	at.g.pad_r[0] = last > p->ih ? last - p->ih : 0;
	at.in_row = first < 0 ? 0 : first;
	at.in_rows = (last > p->ih ? p->ih : last) - at.in_row;
	return at;
}

static int add_part(struct prim_build *b, const struct pooling *p, const struct part *q)
{
	struct window at = place_part(p, q);
	dnnl_dim_t src[] = { q->images, p->c, at.in_rows, p->iw };
	dnnl_dim_t dst[] = { q->images, p->c, q->rows, p->ow };
	dnnl_format_tag_t tag = p->nhwc ? dnnl_nhwc : dnnl_nchw;
	struct onednn_chunk *c = build_chunk(b);
	struct post_plan plan = POST_PLAN_INIT;
	dnnl_primitive_attr_t attr = NULL;
	dnnl_primitive_desc_t pd = NULL;
	md_t src_md = { 0 }, dst_md = { 0 };
	int err;

	if (!c)
		return -EOPNOTSUPP;
	err = md_tag(&src_md, 4, src, tag);
	if (!err)
		err = md_tag(&dst_md, 4, dst, tag);
	if (!err)
		err = build_attr(b, NULL, &plan, &attr);
	if (!err)
		err = pd_pool(&pd, b->o->engine, p->alg, MD(src_md), MD(dst_md), p->kernel, &at.g,
			      attr);
	if (!err)
		err = build_check(pd);
	if (!err)
		err = build_arg(b, c, DNNL_ARG_SRC, MD(src_md), ARG_IN, 0,
				(size_t)((q->image * p->ih + at.in_row) * p->c * p->iw) *
					sizeof(float));
	if (!err)
		err = build_arg(b, c, DNNL_ARG_DST, MD(dst_md), ARG_OUT, 0,
				(size_t)((q->image * p->oh + q->row) * p->c * p->ow) *
					sizeof(float));
	c->written.from = (q->image * p->oh + q->row) * p->c * p->ow;
	c->written.len = q->images * q->rows * p->c * p->ow;
	c->written.runs = 1;
	if (!err)
		err = build_primitive(b, c, pd, 0);
	if (pd)
		dnnl_primitive_desc_destroy(pd);
	if (attr)
		dnnl_primitive_attr_destroy(attr);
	post_plan_drop(&plan);
	md_drop(&src_md);
	md_drop(&dst_md);
	return err;
}

int onednn_pool(struct prim_build *b)
{
	struct pooling p;
	int64_t threads = b->threads > 2 ? b->threads : 2, parts, bands = 1;
	int err = b->nr_post ? -EOPNOTSUPP : describe(b, &p);
	double cells;

	if (err)
		return err;
	cells = (double)(p.n * p.c * p.oh * p.ow) * (double)(p.kernel[0] * p.kernel[1]);
	parts = cells / CHUNK_CELLS < (double)threads ? 1 + (int64_t)(cells / CHUNK_CELLS)
						      : threads;
	if (p.n == 1 && p.nhwc)
		bands = parts < p.oh ? parts : p.oh;
	parts = parts < p.n ? parts : p.n;
	for (int64_t i = 0; i < parts * bands && !err; i++) {
		struct part q = { .rows = p.oh };

		if (bands > 1) {
			q.images = 1;
			q.row = p.oh * i / bands;
			q.rows = p.oh * (i + 1) / bands - q.row;
		} else {
			q.image = p.n * i / parts;
			q.images = p.n * (i + 1) / parts - q.image;
		}
		err = add_part(b, &p, &q);
	}
	return err;
}
