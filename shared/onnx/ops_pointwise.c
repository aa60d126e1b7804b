/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that compute each element on its own. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "shared/onnx/ops.h"
#include "shared/onnx/tensor_data.h"

IMPORT(simple)
{
	return emit_node(n, op, NULL);
}

IMPORT(alpha)
{
	struct ooo_attr a;

	ooo_attr_init(&a, op); /* the defaults are ONNX's */
	a.alpha = attr_float(n, "alpha", a.alpha);
	return emit_node(n, op, &a);
}

IMPORT(alpha_beta)
{
	struct ooo_attr a;

	ooo_attr_init(&a, op);
	a.alpha = attr_float(n, "alpha", a.alpha);
	a.beta = attr_float(n, op == OOO_OP_SELU ? "gamma" : "beta", a.beta);
	return emit_node(n, op, &a);
}

/* Neg and Abs, which devices know for fp32 alone; for integers: 0 - x, max(x, 0 - x). */
IMPORT(negate)
{
	struct value *x = n->in[0], *minus;

	if (!is_int(x))
		return emit_node(n, op, NULL);
	if (x->shape.dtype != OOO_INT64 && x->shape.dtype != OOO_INT32)
		return refuse(n, "is not computed in %s", dtype_name(x->shape.dtype));
	if (attrs_done(n))
		return n->rc;
	minus = emit2(n, OOO_OP_SUB, scalar(n, x->shape.dtype, 0), x);
	set_out(n, 0, op == OOO_OP_NEG ? minus : emit2(n, OOO_OP_MAX, x, minus));
	return n->rc;
}

/* A chain of binary operators. Before version 8 the operands did not broadcast. */
static struct value *chain(struct node *n, enum ooo_op op)
{
	struct value *sum = n->in[0];

	for (int i = 0; i < n->nr_in; i++) {
		if (!n->in[i]) {
			refuse(n, "input %d is missing", i);
			return NULL;
		}
		if (n->opset < 8 && !shape_equal(&n->in[i]->shape, &n->in[0]->shape)) {
			refuse(n, "inputs must have one shape before opset 8");
			return NULL;
		}
		if (i)
			sum = emit2(n, op, sum, n->in[i]);
	}
	return sum;
}

IMPORT(variadic)
{
	if (!attrs_done(n))
		set_out(n, 0, chain(n, op));
	return n->rc;
}

IMPORT(mean)
{
	struct value *sum;

	if (attrs_done(n))
		return n->rc;
	if (n->in[0]->shape.dtype != OOO_FP32)
		return refuse(n, "is not computed in %s", dtype_name(n->in[0]->shape.dtype));
	sum = chain(n, op);
	if (n->nr_in > 1)
		sum = emit2(n, OOO_OP_DIV, sum, scalar(n, OOO_FP32, n->nr_in));
	set_out(n, 0, sum);
	return n->rc;
}

IMPORT(equal)
{
	if (n->in[0]->shape.dtype != OOO_BOOL)
		return emit_node(n, op, NULL);
	if (attrs_done(n))
		return n->rc;
	set_out(n, 0, emit1(n, OOO_OP_NOT, NULL, emit2(n, OOO_OP_XOR, n->in[0], n->in[1])));
	return n->rc;
}

/* The result has the type of the base, whatever that of the exponent. */
IMPORT(pow)
{
	struct value *x = n->in[0], *y = n->in[1];

	if (x->shape.dtype != y->shape.dtype && n->opset < 12)
		return refuse(n, "base and exponent must have one type before opset 12");
	if (is_int(x) && !is_int(y))
		return refuse(n, "an integer to the power of a %s is not supported",
			      dtype_name(y->shape.dtype));
	if (attrs_done(n))
		return n->rc;
	set_out(n, 0, emit2(n, op, x, cast(n, y, x->shape.dtype)));
	return n->rc;
}

static int64_t modulo(int64_t a, int64_t b, bool c_style)
{
	int64_t r = b == -1 ? 0 : a % b;

	return !c_style && r && (r < 0) != (b < 0) ? r + b : r;
}

/* For computed shapes: constants only. */
IMPORT(mod)
{
	struct value *a = n->in[0], *b = n->in[1], *out;
	bool c_style = attr_flag(n, "fmod", false);
	struct shape shape;
	void *data;

	if (attrs_done(n))
		return n->rc;
	if (!a->constant || !b->constant || a->shape.dtype != OOO_INT64 ||
	    b->shape.dtype != OOO_INT64)
		return refuse(n, "is supported for constants of type int64 only");
	if (value_elems(b) != 1)
		return refuse(n, "a divisor of %" PRId64 " elements is not supported",
			      value_elems(b));
	if (shape_broadcast(&a->shape, &b->shape, &shape))
		return refuse(n, "inputs do not broadcast");
	shape.dtype = OOO_INT64;
	out = new_constant(n, &shape, &data);
	if (!out)
		return n->rc;
	if (!value_int(b, 0))
		return refuse(n, "division by zero");
	for (int64_t i = 0; i < value_elems(a); i++)
		((int64_t *)data)[i] = modulo(value_int(a, i), value_int(b, 0), c_style);
	set_out(n, 0, out);
	return n->rc;
}

/* Bounds that are constants of fp32 go into the operator; all others are operators of their own. */
static struct value *bound(struct node *n, struct value *x, int i, enum ooo_op op)
{
	struct value *limit = operand(n, i);

	if (!limit)
		return x;
	if (value_elems(limit) != 1) {
		refuse(n, "input %d must be one number", i);
		return NULL;
	}
	return emit2(n, op, x, reshape(n, limit, 0, NULL));
}

static bool is_number(const struct value *v)
{
	return !v || (v->constant && v->shape.dtype == OOO_FP32 && value_elems(v) == 1);
}

IMPORT(clip)
{
	struct ooo_attr a;
	struct value *x = n->in[0];

	ooo_attr_init(&a, op);
	if (n->opset < 11) {
		a.alpha = attr_float(n, "min", a.alpha);
		a.beta = attr_float(n, "max", a.beta);
	} else if (is_number(operand(n, 1)) && is_number(operand(n, 2))) {
		a.alpha = (float)operand_number(n, 1, "min", (double)a.alpha);
		a.beta = (float)operand_number(n, 2, "max", (double)a.beta);
	} else {
		if (attrs_done(n))
			return n->rc;
		x = bound(n, x, 1, OOO_OP_MAX);
		set_out(n, 0, bound(n, x, 2, OOO_OP_MIN));
		return n->rc;
	}
	if (n->nr_in > 1 && n->opset < 11)
		return refuse(n, "bounds are inputs from opset 11 on only");
	if (isnan(a.alpha) || isnan(a.beta) || a.alpha > a.beta)
		return refuse(n, "the bounds %g and %g are not an interval", (double)a.alpha,
			      (double)a.beta);
	if (attrs_done(n))
		return n->rc;
	/* Without bounds there is nothing to do in any type. */
	if (n->nr_in == 1 && isinf(a.alpha) && isinf(a.beta))
		set_out(n, 0, x);
	else
		set_out(n, 0, emit1(n, op, &a, x));
	return n->rc;
}

/* x < -lambd: x + bias; x > lambd: x - bias; else 0. */
IMPORT(shrink)
{
	float lambd = attr_float(n, "lambd", 0.5f), bias = attr_float(n, "bias", 0.0f);
	struct value *x = n->in[0], *zero, *b, *low, *high, *in[3], *rest;

	if (attrs_done(n))
		return n->rc;
	zero = scalar(n, OOO_FP32, 0);
	b = scalar(n, OOO_FP32, (double)bias);
	low = emit2(n, OOO_OP_LESS, x, scalar(n, OOO_FP32, (double)-lambd));
	high = emit2(n, OOO_OP_GREATER, x, scalar(n, OOO_FP32, (double)lambd));
	in[0] = high;
	in[1] = emit2(n, OOO_OP_SUB, x, b);
	in[2] = zero;
	emit(n, OOO_OP_WHERE, NULL, in, 3, &rest, 1);
	in[0] = low;
	in[1] = emit2(n, OOO_OP_ADD, x, b);
	in[2] = rest;
	return emit(n, OOO_OP_WHERE, NULL, in, 3, n->out, 1);
}

IMPORT(gelu)
{
	static const char *const forms[] = { "none", "tanh" };
	struct ooo_attr a;

	ooo_attr_init(&a, op);
	a.mode = attr_enum(n, "approximate", "none", forms, 2);
	return emit_node(n, op, &a);
}

/* x * tanh(log(1 + exp(x))) */
IMPORT(mish)
{
	struct value *x = n->in[0], *soft;

	if (attrs_done(n))
		return n->rc;
	soft = emit1(n, OOO_OP_SOFTPLUS, NULL, x);
	set_out(n, 0, emit2(n, OOO_OP_MUL, x, emit1(n, op, NULL, soft)));
	return n->rc;
}

IMPORT(is_nan)
{
	if (attrs_done(n))
		return n->rc;
	set_out(n, 0, emit1(n, OOO_OP_NOT, NULL, emit2(n, OOO_OP_EQUAL, n->in[0], n->in[0])));
	return n->rc;
}

IMPORT(is_inf)
{
	bool plus = attr_flag(n, "detect_positive", true);
	bool minus = attr_flag(n, "detect_negative", true);
	struct value *x = n->in[0], *is_plus, *is_minus;

	if (attrs_done(n))
		return n->rc;
	/* Beyond every finite number. */
	is_plus = emit2(n, OOO_OP_GREATER, x, scalar(n, OOO_FP32, (double)FLT_MAX));
	is_minus = emit2(n, OOO_OP_LESS, x, scalar(n, OOO_FP32, (double)-FLT_MAX));
	if (plus && minus)
		set_out(n, 0, emit2(n, OOO_OP_OR, is_plus, is_minus));
	else if (plus || minus)
		set_out(n, 0, plus ? is_plus : is_minus);
	else
		set_out(n, 0, emit2(n, OOO_OP_AND, is_plus, is_minus)); /* never */
	return n->rc;
}

IMPORT(identity)
{
	if (!attrs_done(n))
		set_out(n, 0, n->in[0]);
	return n->rc;
}

IMPORT(cast)
{
	int64_t to = attr_int(n, "to", 0);
	enum ooo_dtype dtype = to > 0 && to < INT32_MAX ? dtype_from_onnx((int32_t)to) : 0;

	if (n->opset >= 19)
		attr_ignore(n, "saturate"); /* of 8-bit floats only, which are refused */
	if (attrs_done(n))
		return n->rc;
	if (!dtype)
		return refuse(n, "to type %s is not supported",
			      to > 0 && to < INT32_MAX ? onnx_type_name((int32_t)to) : "?");
	set_out(n, 0, cast(n, n->in[0], dtype));
	return n->rc;
}

IMPORT(cast_like)
{
	if (!attrs_done(n))
		set_out(n, 0, cast(n, n->in[0], n->in[1]->shape.dtype));
	return n->rc;
}
