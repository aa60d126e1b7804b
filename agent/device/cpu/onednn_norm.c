// SPDX-License-Identifier: Apache-2.0
/* Softmax, layer normalisation and LRN: chunks are ranges of rows (LRN: images). */
#include <errno.h>

#include "agent/device/cpu/onednn.h"

#define CHUNK_ELEMS 32768 /* of a chunk at least: about 20 us of a core */

struct rows {
	int64_t rows, width;
};

/* The axis must run to the end: then the tensor is a matrix whose rows are independent. */
static int as_rows(const struct prim_build *b, int axis, bool flatten, struct rows *r)
{
	const struct tensor *x = &b->tensors[b->step->in[0]], *y = &b->tensors[b->step->out[0]];
	const struct shape *s = &x->shape;

	if (x->layout != LAYOUT_PLAIN || y->layout != LAYOUT_PLAIN || s->dtype != OOO_FP32 ||
	    !s->rank)
		return -EOPNOTSUPP;
	if (!flatten && axis != s->rank - 1)
		return -EOPNOTSUPP;
	*r = (struct rows){ .rows = 1, .width = 1 };
	for (int i = 0; i < s->rank; i++) {
		if (i < axis)
			r->rows *= s->dims[i];
		else
			r->width *= s->dims[i];
	}
	return r->rows && r->width ? 0 : -EOPNOTSUPP;
}

static int add_layer_norm_constants(struct prim_build *b, struct onednn_chunk *c, int64_t width,
				    const void *scale, const void *shift)
{
	md_t md = { 0 };
	int err = md_tag(&md, 1, &width, dnnl_x);

	if (!err)
		err = build_packed(b, c, DNNL_ARG_SCALE, MD(md), MD(md), scale, 1.0f, 0);
	if (!err && shift)
		err = build_packed(b, c, DNNL_ARG_SHIFT, MD(md), MD(md), shift, 1.0f, 1);
	md_drop(&md);
	return err;
}

static int make_pd(struct prim_build *b, md_t *md, const void *shift, dnnl_primitive_attr_t attr,
		   dnnl_primitive_desc_t *pd)
{
	if (b->step->op == OOO_OP_LAYER_NORM)
		return pd_layer_norm(pd, b->o->engine, MD(*md), MD(*md), b->step->attr.alpha, shift,
				     attr);
	return pd_softmax(pd, b->o->engine, b->step->op == OOO_OP_LOG_SOFTMAX, MD(*md), MD(*md), 1,
			  attr);
}

static int add_rows(struct prim_build *b, const struct rows *r, int64_t from, int64_t nr,
		    const void *scale, const void *shift)
{
	dnnl_dim_t dims[] = { nr, r->width };
	size_t offset = (size_t)(from * r->width) * sizeof(float);
	struct onednn_chunk *c = build_chunk(b);
	struct post_plan plan = POST_PLAN_INIT;
	dnnl_primitive_attr_t attr = NULL;
	dnnl_primitive_desc_t pd = NULL;
	md_t md = { 0 };
	int err;

	if (!c)
		return -EOPNOTSUPP;
	err = md_tag(&md, 2, dims, dnnl_ab);
	if (!err)
		err = build_attr(b, NULL, &plan, &attr);
	if (!err)
		err = make_pd(b, &md, shift, attr, &pd);
	if (!err)
		err = build_check(pd);
	if (!err)
		err = build_arg(b, c, DNNL_ARG_SRC, MD(md), ARG_IN, 0, offset);
	if (!err)
		err = build_arg(b, c, DNNL_ARG_DST, MD(md), ARG_OUT, 0, offset);
	if (!err && scale)
		err = add_layer_norm_constants(b, c, r->width, scale, shift);
	c->written.from = (int64_t)(offset / sizeof(float));
	c->written.len = nr * r->width;
	c->written.runs = 1;
	if (!err)
		err = build_primitive(b, c, pd, 0);
	if (pd)
		dnnl_primitive_desc_destroy(pd);
	if (attr)
		dnnl_primitive_attr_destroy(attr);
	md_drop(&md);
	return err;
}

static int row_chunks(struct prim_build *b, const struct rows *r, const void *scale,
		      const void *shift)
{
	int64_t chunks = 1 + r->rows * r->width / CHUNK_ELEMS,
		most = b->threads > 2 ? b->threads : 2;
	int err = 0;

	if (chunks > most)
		chunks = most;
	if (chunks > r->rows)
		chunks = r->rows;
	if (chunks > CPU_MAX_CHUNKS)
		chunks = CPU_MAX_CHUNKS;
	for (int64_t i = 0; i < chunks && !err; i++) {
		int64_t from = r->rows * i / chunks, to = r->rows * (i + 1) / chunks;

		err = add_rows(b, r, from, to - from, scale, shift);
	}
	return err;
}

static int layer_norm(struct prim_build *b)
{
	const struct step *s = b->step;
	const void *scale = build_const(b, s->in[1]), *shift = NULL;
	struct rows r;
	int err = as_rows(b, s->attr.axis, true, &r);

	if (err)
		return err;
	if (s->nr_in > 2 && s->in[2] != OOO_NONE) {
		shift = build_const(b, s->in[2]);
		if (!shift)
			return -EOPNOTSUPP;
	}
	return scale ? row_chunks(b, &r, scale, shift) : -EOPNOTSUPP;
}

static int lrn_images(struct prim_build *b, const struct shape *s, dnnl_format_tag_t tag,
		      int64_t image, int64_t images)
{
	const struct ooo_attr *a = &b->step->attr;
	dnnl_dim_t dims[] = { images, s->dims[1], s->dims[2], s->dims[3] };
	size_t offset = (size_t)(image * dims[1] * dims[2] * dims[3]) * sizeof(float);
	struct onednn_chunk *c = build_chunk(b);
	struct post_plan plan = POST_PLAN_INIT;
	dnnl_primitive_attr_t attr = NULL;
	dnnl_primitive_desc_t pd = NULL;
	md_t md = { 0 };
	int err;

	if (!c)
		return -EOPNOTSUPP;
	err = md_tag(&md, 4, dims, tag);
	if (!err)
		err = build_attr(b, NULL, &plan, &attr);
	if (!err)
		err = pd_lrn(&pd, b->o->engine, MD(md), MD(md), a->kernel[0], a->alpha, a->beta,
			     a->bias, attr);
	if (!err)
		err = build_check(pd);
	if (!err)
		err = build_arg(b, c, DNNL_ARG_SRC, MD(md), ARG_IN, 0, offset);
	if (!err)
		err = build_arg(b, c, DNNL_ARG_DST, MD(md), ARG_OUT, 0, offset);
	c->written.from = (int64_t)(offset / sizeof(float));
	c->written.len = images * dims[1] * dims[2] * dims[3];
	c->written.runs = 1;
	if (!err)
		err = build_primitive(b, c, pd, 0);
	if (pd)
		dnnl_primitive_desc_destroy(pd);
	if (attr)
		dnnl_primitive_attr_destroy(attr);
	md_drop(&md);
	return err;
}

static int lrn(struct prim_build *b)
{
	const struct tensor *x = &b->tensors[b->step->in[0]], *y = &b->tensors[b->step->out[0]];
	int64_t n, parts;
	int err = 0;

	/* ONNX allows even sizes, whose window is lopsided; oneDNN's is not defined for them. */
	if (x->shape.rank != 4 || x->layout != y->layout || x->layout > LAYOUT_NHWC ||
	    b->step->attr.kernel[0] % 2 == 0)
		return -EOPNOTSUPP;
	n = x->shape.dims[0];
	parts = n < CPU_MAX_CHUNKS ? n : CPU_MAX_CHUNKS;
	for (int64_t i = 0; i < parts && !err; i++) {
		int64_t from = n * i / parts;

		err = lrn_images(b, &x->shape, x->layout == LAYOUT_NHWC ? dnnl_nhwc : dnnl_nchw,
				 from, n * (i + 1) / parts - from);
	}
	return err;
}

int onednn_norm(struct prim_build *b)
{
	const struct ooo_attr *a = &b->step->attr;
	struct rows r;
	int err;

	if (b->nr_post)
		return -EOPNOTSUPP;
	switch (b->step->op) {
	case OOO_OP_LAYER_NORM:
		return layer_norm(b);
	case OOO_OP_LRN:
		return lrn(b);
	default:
		err = as_rows(b, a->axis, a->flags & OOO_ATTR_FLATTEN, &r);
		return err ? err : row_chunks(b, &r, NULL, NULL);
	}
}
