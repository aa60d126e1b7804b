// SPDX-License-Identifier: Apache-2.0
/* A step's post-operations as oneDNN attributes. */
#include <errno.h>
#include <math.h>

#include "agent/device/cpu/onednn.h"

static int append_eltwise(dnnl_post_ops_t ops, struct post_plan *plan, dnnl_alg_kind_t alg,
			  float alpha, float beta)
{
	plan->nr++;
	return pd_eltwise(ops, alg, alpha, beta);
}

static int append_activation(dnnl_post_ops_t ops, struct post_plan *plan, const struct post *post)
{
	int err;

	switch (post->op) {
	case OOO_OP_RELU:
		return append_eltwise(ops, plan, dnnl_eltwise_relu, 0, 0);
	case OOO_OP_LEAKY_RELU:
		return append_eltwise(ops, plan, dnnl_eltwise_relu, post->alpha, 0);
	case OOO_OP_CLIP:
		return append_eltwise(ops, plan, dnnl_eltwise_clip_v2, post->alpha, post->beta);
	case OOO_OP_ELU:
		return append_eltwise(ops, plan, dnnl_eltwise_elu, post->alpha, 0);
	case OOO_OP_SIGMOID:
		return append_eltwise(ops, plan, dnnl_eltwise_logistic, 0, 0);
	case OOO_OP_TANH:
		return append_eltwise(ops, plan, dnnl_eltwise_tanh, 0, 0);
	case OOO_OP_SWISH:
		return append_eltwise(ops, plan, dnnl_eltwise_swish, post->alpha, 0);
	case OOO_OP_GELU:
		return append_eltwise(ops, plan,
				      post->mode ? dnnl_eltwise_gelu_tanh : dnnl_eltwise_gelu_erf,
				      0, 0);
	case OOO_OP_HARD_SWISH:
		return append_eltwise(ops, plan, dnnl_eltwise_hardswish, 1.0f / 6, 0.5f);
	case OOO_OP_HARD_SIGMOID:
		err = append_eltwise(ops, plan, dnnl_eltwise_linear, post->alpha, post->beta);
		return err ? err : append_eltwise(ops, plan, dnnl_eltwise_clip_v2, 0, 1);
	default:
		return -EOPNOTSUPP;
	}
}

enum {
	WIDE_NONE = -1,
	WIDE_MANY = -2
};

/* The one axis of y along which the operand has more than one element. */
static int wide_axis(const struct shape *s, const struct shape *y)
{
	int axis = WIDE_NONE;

	for (int i = 0; i < s->rank; i++) {
		if (s->dims[i] == 1)
			continue;
		if (axis != WIDE_NONE)
			return WIDE_MANY;
		axis = i + y->rank - s->rank;
	}
	return axis;
}

/*
 * A bias, a scale, a scalar: at most one axis is wide, of which the chunk takes its part. It must be
 * the channels' (the columns' of a product): along others oneDNN 2.6 gives wrong results in some
 * layouts.
 */
static int narrow_operand(const struct post_view *v, const struct shape *s, const struct shape *y,
			  md_t *md, size_t *offset)
{
	dnnl_dim_t dims[OOO_MAX_RANK], strides[OOO_MAX_RANK];
	int axis = wide_axis(s, y);

	if (axis != WIDE_NONE && axis != v->channel_axis)
		return -EOPNOTSUPP;
	*offset = 0;
	for (int i = 0; i < v->nr_dims; i++)
		dims[i] = strides[i] = 1;
	if (axis >= 0) {
		int k = v->channel;

		dims[k] = v->dims[k];
		for (int i = 0; i < k; i++)
			strides[i] = dims[k];
		*offset = (size_t)v->from[k] * sizeof(float);
	}
	return md_strides(md, v->nr_dims, dims, strides);
}

/* ADD and MUL with a tensor: like the output and in its layout, or narrow. */
static int append_binary(struct prim_build *b, dnnl_post_ops_t ops, struct post_plan *plan, int i,
			 const struct post_view *v)
{
	const struct post *post = &b->step->post[i];
	const struct tensor *t = &b->tensors[post->operand];
	const struct tensor *y = &b->tensors[b->step->out[0]];
	dnnl_alg_kind_t alg = post->op == OOO_OP_ADD ? dnnl_binary_add : dnnl_binary_mul;
	int err;

	if (t->shape.dtype != OOO_FP32)
		return -EOPNOTSUPP;
	plan->full[i] = shape_equal(&t->shape, &y->shape);
	if (v->accumulate && i == 0 && post->op == OOO_OP_ADD && plan->full[i] &&
	    t->layout == y->layout) {
		plan->accumulates = true;
		plan->nr++;
		return pd_sum(ops);
	}
	if (!plan->full[i])
		err = narrow_operand(v, &t->shape, &y->shape, &plan->md[i], &plan->offset[i]);
	else if (t->layout != y->layout)
		err = -EOPNOTSUPP;
	else
		err = md_strides(&plan->md[i], v->nr_dims, v->dims, v->strides);
	if (err)
		return err;
	plan->arg_index[i] = plan->nr++;
	return dnnl_post_ops_append_binary(ops, alg, MD(plan->md[i]));
}

int build_attr(struct prim_build *b, const struct post_view *view, struct post_plan *plan,
	       dnnl_primitive_attr_t *attr)
{
	dnnl_post_ops_t ops = NULL;
	int err;

	*attr = NULL;
	err = dnnl_primitive_attr_create(attr);
	if (!err)
		err = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
	if (!err)
		err = dnnl_post_ops_create(&ops);
	for (int i = 0; !err && i < b->nr_post; i++) {
		const struct post *post = &b->step->post[i];

		plan->arg_index[i] = -1;
		if (post->op == OOO_OP_ADD || post->op == OOO_OP_MUL)
			err = append_binary(b, ops, plan, i, view);
		else
			err = append_activation(ops, plan, post);
	}
	if (!err)
		err = dnnl_primitive_attr_set_post_ops(*attr, ops);
	if (ops)
		dnnl_post_ops_destroy(ops);
	return err;
}

int build_post_arg(struct prim_build *b, struct onednn_chunk *c, struct post_plan *plan, int i,
		   enum arg_source source, size_t offset)
{
	int arg = DNNL_ARG_ATTR_MULTIPLE_POST_OP(plan->arg_index[i]) | DNNL_ARG_SRC_1;

	return build_arg(b, c, arg, MD(plan->md[i]), source, (unsigned)i, offset);
}

int build_post_args(struct prim_build *b, struct onednn_chunk *c, struct post_plan *plan,
		    size_t offset)
{
	int err = 0;

	for (int i = 0; i < b->nr_post && !err; i++) {
		if (plan->arg_index[i] >= 0)
			err = build_post_arg(b, c, plan, i, ARG_POST,
					     plan->full[i] ? offset : plan->offset[i]);
	}
	return err;
}

void post_plan_drop(struct post_plan *plan)
{
	for (int i = 0; i < STEP_MAX_POST; i++) {
		if (plan->arg_index[i] >= 0 && plan->nr)
			md_drop(&plan->md[i]);
	}
}
