/* SPDX-License-Identifier: Apache-2.0 */
/* Shape inference of operators that are given the shape of their result, or change the scale. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>

#include "shared/lib/infer_impl.h"

int infer_reshape(const struct infer *n)
{
	int64_t before, after;

	if (infer_need_movable(n, 0) || infer_out_dims(n, n->in[0]->dtype))
		return -EINVAL;
	if (shape_elems(n->in[0], &before) || shape_elems(&n->out[0], &after) || before != after)
		return infer_fail(n, "%s cannot become %s: the number of elements differs",
				  shape_text(n->in[0]).s, shape_text(&n->out[0]).s);
	return 0;
}

int infer_expand(const struct infer *n)
{
	struct shape both;

	if (infer_need_movable(n, 0) || infer_out_dims(n, n->in[0]->dtype))
		return -EINVAL;
	if (shape_broadcast(&n->out[0], n->in[0], &both) || !shape_equal(&both, &n->out[0]))
		return infer_fail(n, "%s does not broadcast to %s", shape_text(n->in[0]).s,
				  shape_text(&n->out[0]).s);
	return 0;
}

int infer_tile(const struct infer *n)
{
	const struct shape *x = n->in[0];

	if (infer_need_movable(n, 0) || infer_out_dims(n, x->dtype))
		return -EINVAL;
	if (n->attr->rank != x->rank)
		return infer_fail(n, "attribute rank is %d but the input is %s", n->attr->rank,
				  shape_text(x).s);
	for (int i = 0; i < x->rank; i++)
		if (x->dims[i] ? n->out[0].dims[i] % x->dims[i] : n->out[0].dims[i])
			return infer_fail(n, "axis %d: %" PRId64 " is no multiple of %" PRId64, i,
					  n->out[0].dims[i], x->dims[i]);
	return 0;
}

/* Scales only place the samples; that they belong to the sizes is checked so that a mistake shows. */
static int check_scale(const struct infer *n)
{
	const float *scale = n->attr->scale;
	bool any = false;

	for (int i = 0; i < OOO_MAX_RANK; i++)
		any = any || scale[i] != 0;
	for (int i = 0; any && i < OOO_MAX_RANK; i++) {
		double in, out;

		if (i >= n->attr->rank) {
			if (scale[i] != 0)
				return infer_fail(n, "scale[%d] is set beyond the rank", i);
			continue;
		}
		if (!(scale[i] > 0) || !isfinite(scale[i]))
			return infer_fail(n, "scale[%d] is %g but must be positive", i,
					  (double)scale[i]);
		in = (double)n->in[0]->dims[i];
		out = (double)n->out[0].dims[i];
		if (fabs(in * (double)scale[i] - out) > 1 + 1e-5 * out)
			return infer_fail(n, "axis %d: %g elements scaled by %g are not %g", i, in,
					  (double)scale[i], out);
	}
	return 0;
}

static int check_linear(const struct infer *n)
{
	const struct shape *x = n->in[0];

	if (infer_need_fp32(n))
		return -EINVAL;
	if (n->attr->nearest_mode)
		return infer_fail(n, "nearest_mode is for mode 0 alone");
	for (int i = 0; i < x->rank - 2; i++)
		if (x->dims[i] != n->out[0].dims[i] ||
		    (n->attr->scale[i] != 0 && n->attr->scale[i] != 1))
			return infer_fail(n,
					  "linear interpolation along axis %d: only the last two"
					  " axes can be resized so",
					  i);
	return 0;
}

int infer_resize(const struct infer *n)
{
	const struct ooo_attr *a = n->attr;

	if (infer_need_movable(n, 0) || infer_need_elems(n) || infer_need_mode(n, 2) ||
	    infer_out_dims(n, n->in[0]->dtype))
		return -EINVAL;
	if (a->rank != n->in[0]->rank)
		return infer_fail(n, "attribute rank is %d but the input is %s", a->rank,
				  shape_text(n->in[0]).s);
	for (int i = 0; i < a->rank; i++)
		if (!n->out[0].dims[i])
			return infer_fail(n, "the output %s would be empty",
					  shape_text(&n->out[0]).s);
	if (a->coord < 0 || a->coord > OOO_COORD_ASYMMETRIC)
		return infer_fail(n, "there is no coordinate transformation %d", a->coord);
	if (a->nearest_mode < 0 || a->nearest_mode > OOO_NEAREST_CEIL)
		return infer_fail(n, "there is no nearest_mode %d", a->nearest_mode);
	if (a->mode == 1 && check_linear(n))
		return -EINVAL;
	return check_scale(n);
}

static int check_block(const struct infer *n, int64_t *block)
{
	if (infer_need_movable(n, 0) || infer_need_elems(n))
		return -EINVAL;
	if (n->in[0]->rank != 4)
		return infer_fail(n, "the input is %s but must be [N,C,H,W]",
				  shape_text(n->in[0]).s);
	if (n->attr->kernel[0] < 1 || n->attr->kernel[1])
		return infer_fail(n,
				  "the block size (kernel[0]) is %d but must be at least 1, and"
				  " kernel[1] 0",
				  n->attr->kernel[0]);
	*block = n->attr->kernel[0];
	n->out[0] = *n->in[0];
	return 0;
}

int infer_depth_to_space(const struct infer *n)
{
	int64_t block;

	if (check_block(n, &block) || infer_need_mode(n, 2))
		return -EINVAL;
	if (n->in[0]->dims[1] % (block * block))
		return infer_fail(n,
				  "%" PRId64 " channels cannot be divided by the square of the"
				  " block size %" PRId64,
				  n->in[0]->dims[1], block);
	n->out[0].dims[1] /= block * block;
	n->out[0].dims[2] *= block;
	n->out[0].dims[3] *= block;
	return 0;
}

int infer_space_to_depth(const struct infer *n)
{
	int64_t block;

	if (check_block(n, &block) || infer_need_mode(n, 1))
		return -EINVAL;
	if (n->in[0]->dims[2] % block || n->in[0]->dims[3] % block)
		return infer_fail(n, "%s cannot be cut into blocks of %" PRId64,
				  shape_text(n->in[0]).s, block);
	n->out[0].dims[1] *= block * block;
	n->out[0].dims[2] /= block;
	n->out[0].dims[3] /= block;
	return 0;
}
