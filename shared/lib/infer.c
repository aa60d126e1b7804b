/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shape inference: which rule belongs to which operator, and the checks that hold for all. The
 * rules themselves are in infer_<family>.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "shared/lib/infer_impl.h"

struct rule {
	int (*infer)(const struct infer *n);
	uint32_t fields; /* enum attr_field */
	uint32_t flags;  /* enum ooo_attr_flag */
};

#define FIELDS_CONV (FIELD_WINDOW | FIELD_GROUP)
#define FLAGS_POOL  (OOO_ATTR_CEIL_MODE | OOO_ATTR_COUNT_INCLUDE_PAD)
#define FLAGS_ARG   (OOO_ATTR_KEEPDIMS | OOO_ATTR_LAST_INDEX)
#define FLAGS_TRANS (OOO_ATTR_TRANS_A | OOO_ATTR_TRANS_B)
#define FIELDS_RNN  (FIELD_HIDDEN | FIELD_MODE | FIELD_ALPHA)
#define FIELDS_LRN  (FIELD_KERNEL | FIELD_ALPHA | FIELD_BETA | FIELD_BIAS)
#define FIELDS_RESIZE                                                                              \
	(FIELD_RANK | FIELD_DIMS | FIELD_MODE | FIELD_COORD | FIELD_NEAREST | FIELD_SCALE)
#define SHAPE (FIELD_RANK | FIELD_DIMS)

static const struct rule rules[OOO_OP_LIMIT] = {
	[OOO_OP_CONV] = { infer_conv, FIELDS_CONV, 0 },
	[OOO_OP_CONV_TRANSPOSE] = { infer_conv_transpose, FIELDS_CONV | FIELD_OUT_PAD, 0 },
	[OOO_OP_MATMUL] = { infer_matmul, FIELD_ALPHA | FIELD_BETA, FLAGS_TRANS },
	[OOO_OP_BATCH_NORM] = { infer_batch_norm, FIELD_ALPHA, 0 },
	[OOO_OP_LAYER_NORM] = { infer_layer_norm, FIELD_ALPHA | FIELD_AXIS, 0 },
	[OOO_OP_INSTANCE_NORM] = { infer_instance_norm, FIELD_ALPHA, 0 },
	[OOO_OP_LRN] = { infer_lrn, FIELDS_LRN, 0 },
	[OOO_OP_SOFTMAX] = { infer_softmax, FIELD_AXIS, OOO_ATTR_FLATTEN },
	[OOO_OP_LOG_SOFTMAX] = { infer_softmax, FIELD_AXIS, OOO_ATTR_FLATTEN },

	[OOO_OP_ADD] = { infer_arithmetic, 0, 0 },
	[OOO_OP_SUB] = { infer_arithmetic, 0, 0 },
	[OOO_OP_MUL] = { infer_arithmetic, 0, 0 },
	[OOO_OP_DIV] = { infer_arithmetic, 0, 0 },
	[OOO_OP_MIN] = { infer_arithmetic, 0, 0 },
	[OOO_OP_MAX] = { infer_arithmetic, 0, 0 },
	[OOO_OP_POW] = { infer_pow, 0, 0 },
	[OOO_OP_EQUAL] = { infer_compare, 0, 0 },
	[OOO_OP_LESS] = { infer_compare, 0, 0 },
	[OOO_OP_GREATER] = { infer_compare, 0, 0 },
	[OOO_OP_LESS_EQUAL] = { infer_compare, 0, 0 },
	[OOO_OP_GREATER_EQUAL] = { infer_compare, 0, 0 },
	[OOO_OP_AND] = { infer_logic, 0, 0 },
	[OOO_OP_OR] = { infer_logic, 0, 0 },
	[OOO_OP_XOR] = { infer_logic, 0, 0 },
	[OOO_OP_WHERE] = { infer_where, 0, 0 },
	[OOO_OP_PRELU] = { infer_prelu, 0, 0 },

	[OOO_OP_IDENTITY] = { infer_identity, 0, 0 },
	[OOO_OP_NOT] = { infer_not, 0, 0 },
	[OOO_OP_CAST] = { infer_cast, FIELD_MODE, 0 },
	[OOO_OP_CLIP] = { infer_clip, FIELD_ALPHA | FIELD_BETA, 0 },
	[OOO_OP_RELU] = { infer_unary, 0, 0 },
	[OOO_OP_LEAKY_RELU] = { infer_unary, FIELD_ALPHA, 0 },
	[OOO_OP_ELU] = { infer_unary, FIELD_ALPHA, 0 },
	[OOO_OP_CELU] = { infer_unary, FIELD_ALPHA, 0 },
	[OOO_OP_THRESHOLDED_RELU] = { infer_unary, FIELD_ALPHA, 0 },
	[OOO_OP_SWISH] = { infer_unary, FIELD_ALPHA, 0 },
	[OOO_OP_HARD_SIGMOID] = { infer_unary, FIELD_ALPHA | FIELD_BETA, 0 },
	[OOO_OP_SELU] = { infer_unary, FIELD_ALPHA | FIELD_BETA, 0 },
	[OOO_OP_GELU] = { infer_unary, FIELD_MODE, 0 },
	[OOO_OP_SIGMOID] = { infer_unary, 0, 0 },
	[OOO_OP_TANH] = { infer_unary, 0, 0 },
	[OOO_OP_HARD_SWISH] = { infer_unary, 0, 0 },
	[OOO_OP_ERF] = { infer_unary, 0, 0 },
	[OOO_OP_SQRT] = { infer_unary, 0, 0 },
	[OOO_OP_EXP] = { infer_unary, 0, 0 },
	[OOO_OP_LOG] = { infer_unary, 0, 0 },
	[OOO_OP_NEG] = { infer_unary, 0, 0 },
	[OOO_OP_ABS] = { infer_unary, 0, 0 },
	[OOO_OP_RECIPROCAL] = { infer_unary, 0, 0 },
	[OOO_OP_SOFTPLUS] = { infer_unary, 0, 0 },
	[OOO_OP_SOFTSIGN] = { infer_unary, 0, 0 },
	[OOO_OP_CEIL] = { infer_unary, 0, 0 },
	[OOO_OP_FLOOR] = { infer_unary, 0, 0 },
	[OOO_OP_ROUND] = { infer_unary, 0, 0 },
	[OOO_OP_SIGN] = { infer_unary, 0, 0 },
	[OOO_OP_SIN] = { infer_unary, 0, 0 },
	[OOO_OP_COS] = { infer_unary, 0, 0 },

	[OOO_OP_MAX_POOL] = { infer_pool, FIELD_WINDOW, FLAGS_POOL },
	[OOO_OP_AVERAGE_POOL] = { infer_pool, FIELD_WINDOW, FLAGS_POOL },
	[OOO_OP_GLOBAL_MAX_POOL] = { infer_global_pool, 0, 0 },
	[OOO_OP_GLOBAL_AVERAGE_POOL] = { infer_global_pool, 0, 0 },

	[OOO_OP_REDUCE_MEAN] = { infer_reduce, FIELD_AXES, OOO_ATTR_KEEPDIMS },
	[OOO_OP_REDUCE_SUM] = { infer_reduce, FIELD_AXES, OOO_ATTR_KEEPDIMS },
	[OOO_OP_REDUCE_MAX] = { infer_reduce, FIELD_AXES, OOO_ATTR_KEEPDIMS },
	[OOO_OP_REDUCE_MIN] = { infer_reduce, FIELD_AXES, OOO_ATTR_KEEPDIMS },
	[OOO_OP_ARG_MAX] = { infer_arg, FIELD_AXIS, FLAGS_ARG },
	[OOO_OP_ARG_MIN] = { infer_arg, FIELD_AXIS, FLAGS_ARG },

	[OOO_OP_CONCAT] = { infer_concat, FIELD_AXIS, 0 },
	[OOO_OP_SPLIT] = { infer_split, FIELD_AXIS | FIELD_DIMS, 0 },
	[OOO_OP_SLICE] = { infer_slice, SHAPE | FIELD_START | FIELD_STEP, 0 },
	[OOO_OP_PAD] = { infer_pad, SHAPE | FIELD_START | FIELD_MODE | FIELD_ALPHA, 0 },
	[OOO_OP_RESHAPE] = { infer_reshape, SHAPE, 0 },
	[OOO_OP_TRANSPOSE] = { infer_transpose, FIELD_PERM, 0 },
	[OOO_OP_EXPAND] = { infer_expand, SHAPE, 0 },
	[OOO_OP_GATHER] = { infer_gather, FIELD_AXIS, 0 },
	[OOO_OP_RESIZE] = { infer_resize, FIELDS_RESIZE, 0 },
	[OOO_OP_TILE] = { infer_tile, SHAPE, 0 },
	[OOO_OP_DEPTH_TO_SPACE] = { infer_depth_to_space, FIELD_KERNEL | FIELD_MODE, 0 },
	[OOO_OP_SPACE_TO_DEPTH] = { infer_space_to_depth, FIELD_KERNEL | FIELD_MODE, 0 },

	[OOO_OP_LSTM] = { infer_lstm, FIELDS_RNN, OOO_ATTR_INPUT_FORGET },
	[OOO_OP_GRU] = { infer_gru, FIELDS_RNN, OOO_ATTR_LINEAR_BEFORE_RESET },
};

void infer_say(const struct infer *n, const char *fmt, ...)
{
	va_list ap;
	int at;

	if (!n->why || !n->why_bytes)
		return;
	at = snprintf(n->why, n->why_bytes, "%s: ", n->info->name);
	if (at < 0 || (size_t)at >= n->why_bytes)
		return;
	va_start(ap, fmt);
	vsnprintf(n->why + at, n->why_bytes - (size_t)at, fmt, ap);
	va_end(ap);
}

static bool is_small_float(uint32_t dtype)
{
	return dtype == OOO_FP16 || dtype == OOO_BF16 || dtype == OOO_FP64;
}

int infer_need_type(const struct infer *n, int i, uint32_t dtype)
{
	uint32_t have = n->in[i]->dtype;

	if (have == dtype)
		return 0;
	if (is_small_float(have))
		return infer_fail(n, "operand %d is %s, which is not computed in yet; cast to fp32",
				  i, dtype_name(have));
	return infer_fail(n, "operand %d is %s but must be %s; cast it", i, dtype_name(have),
			  dtype_name(dtype));
}

int infer_need_fp32(const struct infer *n)
{
	for (int i = 0; i < n->nr_in; i++)
		if (n->in[i] && infer_need_type(n, i, OOO_FP32))
			return -EINVAL;
	return 0;
}

int infer_need_movable(const struct infer *n, int i)
{
	if (is_small_float(n->in[i]->dtype))
		return infer_fail(n, "operand %d is %s, which is not computed in yet; cast to fp32",
				  i, dtype_name(n->in[i]->dtype));
	return 0;
}

int infer_need_elems(const struct infer *n)
{
	for (int i = 0; i < n->nr_in; i++)
		for (int d = 0; n->in[i] && d < n->in[i]->rank; d++)
			if (!n->in[i]->dims[d])
				return infer_fail(n, "operand %d is empty (%s)", i,
						  shape_text(n->in[i]).s);
	return 0;
}

int infer_need_axis(const struct infer *n, const struct shape *s)
{
	if (n->attr->axis < 0 || n->attr->axis >= s->rank)
		return infer_fail(n, "axis %d is outside %s", n->attr->axis, shape_text(s).s);
	return 0;
}

int infer_need_finite(const struct infer *n)
{
	if (isfinite(n->attr->alpha) && isfinite(n->attr->beta) && isfinite(n->attr->bias))
		return 0;
	return infer_fail(n, "attributes alpha %g, beta %g, bias %g must be finite",
			  (double)n->attr->alpha, (double)n->attr->beta, (double)n->attr->bias);
}

int infer_need_mode(const struct infer *n, int limit)
{
	if (n->attr->mode < 0 || n->attr->mode >= limit)
		return infer_fail(n, "there is no mode %d (0 .. %d)", n->attr->mode, limit - 1);
	return 0;
}

int infer_need_vector(const struct infer *n, int i, const char *what, int64_t length)
{
	const struct shape *s = n->in[i];

	if (s->rank != 1 || s->dims[0] != length)
		return infer_fail(n, "%s is %s but must have %" PRId64 " elements", what,
				  shape_text(s).s, length);
	return 0;
}

int infer_out_dims(const struct infer *n, uint32_t dtype)
{
	const struct ooo_attr *a = n->attr;
	struct shape *s = &n->out[0];

	if (a->rank < 0 || a->rank > OOO_MAX_RANK)
		return infer_fail(n, "attribute rank is %d (0 .. %d)", a->rank, OOO_MAX_RANK);
	s->dtype = dtype;
	s->rank = a->rank;
	for (int i = 0; i < OOO_MAX_RANK; i++) {
		if (i >= a->rank && a->dims[i])
			return infer_fail(n, "dims[%d] is set beyond the rank %d", i, a->rank);
		if (a->dims[i] < 0)
			return infer_fail(n,
					  "dims[%d] is %" PRId64
					  "; sizes must be known and not negative",
					  i, a->dims[i]);
		s->dims[i] = a->dims[i];
	}
	return 0;
}

static int check_arity(const struct infer *n)
{
	const struct op_info *o = n->info;

	if (n->nr_in < o->min_in || n->nr_in > o->max_in)
		return infer_fail(n, "takes %d to %d operands, not %d", o->min_in, o->max_in,
				  n->nr_in);
	if (n->nr_out < o->min_out || n->nr_out > o->max_out)
		return infer_fail(n, "has %d to %d outputs, not %d", o->min_out, o->max_out,
				  n->nr_out);
	return 0;
}

static int check_size(const struct infer *n, const char *what, int i, const struct shape *s)
{
	uint64_t bytes;
	int rc = shape_bytes(s, &bytes);

	if (rc == -EINVAL)
		return infer_fail(n, "%s %d is not a tensor (type %u, rank %d)", what, i, s->dtype,
				  s->rank);
	if (rc || bytes > OOO_MAX_TENSOR_BYTES)
		return infer_fail(n, "%s %d (%s) is larger than %llu GiB", what, i, shape_text(s).s,
				  OOO_MAX_TENSOR_BYTES >> 30);
	return 0;
}

static int check_operands(const struct infer *n)
{
	for (int i = 0; i < n->nr_in; i++) {
		/* Concat takes any number, but each of them must be there. */
		bool optional = i >= n->info->min_in && n->op != OOO_OP_CONCAT;

		if (!n->in[i] && !optional)
			return infer_fail(n, "operand %d is absent but required", i);
		if (n->in[i] && check_size(n, "operand", i, n->in[i]))
			return -EINVAL;
	}
	return 0;
}

int op_infer(uint32_t op, const struct ooo_attr *attr, const struct shape *const *in, int nr_in,
	     struct shape *out, int nr_out, char *why, size_t why_bytes)
{
	struct infer n = { op, op_info(op), attr, in, nr_in, out, nr_out, why, why_bytes };
	const struct rule *rule;

	if (!n.info) {
		if (why && why_bytes)
			snprintf(why, why_bytes, "there is no operator with code %u", op);
		return -EINVAL;
	}
	rule = &rules[op];
	if (check_arity(&n) || check_operands(&n) || attr_check(&n, rule->fields, rule->flags))
		return -EINVAL;
	memset(out, 0, (size_t)nr_out * sizeof(*out));
	if (rule->infer(&n))
		return -EINVAL;
	for (int i = 0; i < nr_out; i++)
		if (check_size(&n, "output", i, &out[i]))
			return -EINVAL;
	return 0;
}
