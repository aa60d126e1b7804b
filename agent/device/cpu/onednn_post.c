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

/* The operand's dims, aligned to the output's rank. False: it does not broadcast that way. */
static bool aligned_dims(const struct shape *s, int nr_dims, const dnnl_dim_t *out,
			 dnnl_dim_t *dims, bool *full, int *nr_wide)
{
	*full = true;
	*nr_wide = 0;
	if (s->rank > nr_dims)
		return false;
	for (int i = 0; i < nr_dims; i++) {
		int k = i - (nr_dims - s->rank);

		dims[i] = k < 0 ? 1 : s->dims[k];
		if (dims[i] != out[i] && dims[i] != 1)
			return false;
		if (dims[i] != out[i])
			*full = false;
		if (dims[i] != 1)
			(*nr_wide)++;
	}
	return true;
}

/*
 * ADD and MUL with a tensor. Either it is like the output, in the output's layout, and each chunk
 * uses its own part; or at most one axis is wide (a bias, a scale, a scalar) and all chunks use all
 * of it, which needs that axis to be whole in the chunk.
 */
static int append_binary(struct prim_build *b, dnnl_post_ops_t ops, struct post_plan *plan, int i,
			 int nr_dims, const dnnl_dim_t *out_dims, const dnnl_dim_t *chunk_dims,
			 const dnnl_dim_t *chunk_strides)
{
	const struct post *post = &b->step->post[i];
	const struct tensor *t = &b->tensors[post->operand];
	const struct tensor *y = &b->tensors[b->step->out[0]];
	dnnl_alg_kind_t alg = post->op == OOO_OP_ADD ? dnnl_binary_add : dnnl_binary_mul;
	dnnl_dim_t dims[OOO_MAX_RANK], dense[OOO_MAX_RANK], run = 1;
	int nr_wide, err;

	if (t->shape.dtype != OOO_FP32)
		return -EOPNOTSUPP;
	if (shape_equal(&t->shape, &y->shape))
		plan->full[i] = true; /* whatever the primitive's view of the dims */
	else if (!aligned_dims(&t->shape, nr_dims, out_dims, dims, &plan->full[i], &nr_wide))
		return -EOPNOTSUPP;
	if (plan->full[i]) {
		if (t->layout != y->layout)
			return -EOPNOTSUPP;
		err = md_strides(&plan->md[i], nr_dims, chunk_dims, chunk_strides);
	} else {
		if (nr_wide > 1)
			return -EOPNOTSUPP;
		for (int k = nr_dims - 1; k >= 0; k--) {
			if (dims[k] != 1 && dims[k] != chunk_dims[k])
				return -EOPNOTSUPP;
			dense[k] = run;
			run *= dims[k];
		}
		err = md_strides(&plan->md[i], nr_dims, dims, dense);
	}
	if (err)
		return err;
	plan->arg_index[i] = plan->nr++;
	return dnnl_post_ops_append_binary(ops, alg, MD(plan->md[i]));
}

int build_attr(struct prim_build *b, int nr_dims, const dnnl_dim_t *out_dims,
	       const dnnl_dim_t *chunk_dims, const dnnl_dim_t *chunk_strides,
	       struct post_plan *plan, dnnl_primitive_attr_t *attr)
{
	dnnl_post_ops_t ops = NULL;
	int err;

	*attr = NULL;
	err = dnnl_primitive_attr_create(attr);
	if (!err)
		err = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
	if (!err)
		err = dnnl_post_ops_create(&ops);
	for (int i = 0; !err && i < b->step->nr_post; i++) {
		const struct post *post = &b->step->post[i];

		plan->arg_index[i] = -1;
		if (post->op == OOO_OP_ADD || post->op == OOO_OP_MUL)
			err = append_binary(b, ops, plan, i, nr_dims, out_dims, chunk_dims,
					    chunk_strides);
		else
			err = append_activation(ops, plan, post);
	}
	if (!err)
		err = dnnl_primitive_attr_set_post_ops(*attr, ops);
	if (ops)
		dnnl_post_ops_destroy(ops);
	return err;
}

int build_post_args(struct prim_build *b, struct onednn_chunk *c, struct post_plan *plan,
		    size_t offset)
{
	for (int i = 0; i < b->step->nr_post; i++) {
		int err;

		if (plan->arg_index[i] < 0)
			continue;
		err = build_arg(b, c,
				DNNL_ARG_ATTR_MULTIPLE_POST_OP(plan->arg_index[i]) | DNNL_ARG_SRC_1,
				MD(plan->md[i]), ARG_POST, (unsigned)i, plan->full[i] ? offset : 0);
		if (err)
			return err;
	}
	return 0;
}

void post_plan_drop(struct post_plan *plan)
{
	for (int i = 0; i < STEP_MAX_POST; i++) {
		if (plan->arg_index[i] >= 0 && plan->nr)
			md_drop(&plan->md[i]);
	}
}
