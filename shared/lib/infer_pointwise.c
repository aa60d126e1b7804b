/* SPDX-License-Identifier: Apache-2.0 */
/* Shape inference of operators that compute each element on its own. */
#include <errno.h>
#include <math.h>

#include "shared/lib/infer_impl.h"

int infer_unary(const struct infer *n)
{
	if (infer_need_fp32(n) || infer_need_finite(n))
		return -EINVAL;
	if (n->op == OOO_OP_GELU && infer_need_mode(n, 2))
		return -EINVAL;
	if (n->op == OOO_OP_CELU && n->attr->alpha == 0)
		return infer_fail(n, "alpha must not be 0: the operator divides by it");
	n->out[0] = *n->in[0];
	return 0;
}

int infer_identity(const struct infer *n)
{
	n->out[0] = *n->in[0];
	return infer_need_movable(n, 0);
}

int infer_clip(const struct infer *n)
{
	if (infer_need_fp32(n))
		return -EINVAL;
	if (isnan(n->attr->alpha) || isnan(n->attr->beta))
		return infer_fail(n, "a bound is not a number; use the infinities for none");
	n->out[0] = *n->in[0];
	return 0;
}

int infer_not(const struct infer *n)
{
	n->out[0] = *n->in[0];
	return infer_need_type(n, 0, OOO_BOOL);
}

int infer_cast(const struct infer *n)
{
	if (n->attr->mode < 0 || !dtype_bytes((uint32_t)n->attr->mode))
		return infer_fail(n, "mode %d is not an element type", n->attr->mode);
	n->out[0] = *n->in[0];
	n->out[0].dtype = (uint32_t)n->attr->mode;
	return 0;
}

static int broadcast(const struct infer *n, int a, int b, uint32_t dtype)
{
	if (shape_broadcast(n->in[a], n->in[b], &n->out[0]))
		return infer_fail(n, "%s and %s do not broadcast", shape_text(n->in[a]).s,
				  shape_text(n->in[b]).s);
	n->out[0].dtype = dtype;
	return 0;
}

static int same_types(const struct infer *n, int a, int b)
{
	if (n->in[a]->dtype != n->in[b]->dtype)
		return infer_fail(n, "operands %d and %d are %s and %s; cast one", a, b,
				  dtype_name(n->in[a]->dtype), dtype_name(n->in[b]->dtype));
	return 0;
}

/* fp32, int32 or int64, the same on both sides. */
static int numbers(const struct infer *n)
{
	uint32_t dtype = n->in[0]->dtype;

	if (infer_need_movable(n, 0) || infer_need_movable(n, 1) || same_types(n, 0, 1))
		return -EINVAL;
	if (dtype != OOO_FP32 && dtype != OOO_INT32 && dtype != OOO_INT64)
		return infer_fail(n, "is not computed in %s; cast to fp32, int32 or int64",
				  dtype_name(dtype));
	return 0;
}

int infer_arithmetic(const struct infer *n)
{
	return numbers(n) ? -EINVAL : broadcast(n, 0, 1, n->in[0]->dtype);
}

int infer_compare(const struct infer *n)
{
	return numbers(n) ? -EINVAL : broadcast(n, 0, 1, OOO_BOOL);
}

int infer_pow(const struct infer *n)
{
	return infer_need_fp32(n) ? -EINVAL : broadcast(n, 0, 1, OOO_FP32);
}

int infer_logic(const struct infer *n)
{
	if (infer_need_type(n, 0, OOO_BOOL) || infer_need_type(n, 1, OOO_BOOL))
		return -EINVAL;
	return broadcast(n, 0, 1, OOO_BOOL);
}

int infer_where(const struct infer *n)
{
	struct shape values;

	if (n->in[0]->dtype != OOO_BOOL)
		return infer_fail(n, "the condition is %s but must be bool",
				  dtype_name(n->in[0]->dtype));
	if (infer_need_movable(n, 1) || infer_need_movable(n, 2) || same_types(n, 1, 2) ||
	    broadcast(n, 1, 2, n->in[1]->dtype))
		return -EINVAL;
	values = n->out[0];
	if (shape_broadcast(&values, n->in[0], &n->out[0]))
		return infer_fail(n, "the condition %s and the values %s do not broadcast",
				  shape_text(n->in[0]).s, shape_text(&values).s);
	return 0;
}

int infer_prelu(const struct infer *n)
{
	if (infer_need_fp32(n) || broadcast(n, 0, 1, OOO_FP32))
		return -EINVAL;
	if (!shape_equal(&n->out[0], n->in[0]))
		return infer_fail(n, "the slope %s does not broadcast to the input %s",
				  shape_text(n->in[1]).s, shape_text(n->in[0]).s);
	return 0;
}
