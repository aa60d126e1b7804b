/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic on constants. Integers are computed in 64 bits and must fit their type; fp32 is
 * computed in fp64 and rounded once, which gives the fp32 result for + - * / and square root.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "shared/onnx/fold.h"

static bool is_wide_int(const struct value *v)
{
	return v->shape.dtype == OOO_INT64 || v->shape.dtype == OOO_INT32;
}

static bool is_bool(const struct value *v)
{
	return v->shape.dtype == OOO_BOOL;
}

static bool is_half(const struct value *v)
{
	return v->shape.dtype == OOO_FP16 || v->shape.dtype == OOO_BF16;
}

static bool can_cast(const struct folding *f)
{
	int32_t to = f->attr->mode;

	return dtype_bytes((uint32_t)to) && to != OOO_FP16 && to != OOO_BF16 &&
	       (is_int(f->in[0]) || is_float(f->in[0]) || is_bool(f->in[0]) || is_half(f->in[0]));
}

bool fold_pointwise_can(const struct folding *f)
{
	const struct value *x = f->in[0];

	switch (f->op) {
	case OOO_OP_ADD:
	case OOO_OP_SUB:
	case OOO_OP_MUL:
	case OOO_OP_DIV:
	case OOO_OP_MIN:
	case OOO_OP_MAX:
	case OOO_OP_POW:
	case OOO_OP_EQUAL:
	case OOO_OP_LESS:
	case OOO_OP_GREATER:
	case OOO_OP_LESS_EQUAL:
	case OOO_OP_GREATER_EQUAL:
		return x->shape.dtype == f->in[1]->shape.dtype && (is_wide_int(x) || is_float(x));
	case OOO_OP_AND:
	case OOO_OP_OR:
	case OOO_OP_XOR:
		return is_bool(x) && is_bool(f->in[1]);
	case OOO_OP_WHERE:
		return is_bool(x) && f->in[1]->shape.dtype == f->in[2]->shape.dtype;
	case OOO_OP_CEIL:
	case OOO_OP_FLOOR:
	case OOO_OP_ROUND:
	case OOO_OP_SQRT:
	case OOO_OP_RECIPROCAL:
	case OOO_OP_EXP:
	case OOO_OP_LOG:
	case OOO_OP_NEG:
	case OOO_OP_ABS:
	case OOO_OP_RELU:
		return is_float(x);
	case OOO_OP_NOT:
		return is_bool(x);
	case OOO_OP_CAST:
		return can_cast(f);
	default:
		return false;
	}
}

uint32_t fold_dtype(const struct folding *f)
{
	switch (f->op) {
	case OOO_OP_EQUAL:
	case OOO_OP_LESS:
	case OOO_OP_GREATER:
	case OOO_OP_LESS_EQUAL:
	case OOO_OP_GREATER_EQUAL:
		return OOO_BOOL;
	case OOO_OP_WHERE:
		return f->in[1]->shape.dtype;
	case OOO_OP_CAST:
		return (uint32_t)f->attr->mode;
	default:
		return f->in[0]->shape.dtype;
	}
}

/* False: the result does not exist in 64 bits. */
static bool int_power(int64_t base, int64_t exponent, int64_t *r)
{
	*r = 1;
	if (exponent < 0)
		return false;
	if (base == 0 || base == 1) {
		*r = exponent ? base : 1;
		return true;
	}
	for (; exponent > 0; exponent--) /* at most 64 rounds, then it overflows or base is -1 */
		if (base == -1) {
			*r = exponent & 1 ? -1 : 1;
			return true;
		} else if (__builtin_mul_overflow(*r, base, r)) {
			return false;
		}
	return true;
}

static bool int_arithmetic(enum ooo_op op, int64_t a, int64_t b, int64_t *r)
{
	switch (op) {
	case OOO_OP_ADD:
		return !__builtin_add_overflow(a, b, r);
	case OOO_OP_SUB:
		return !__builtin_sub_overflow(a, b, r);
	case OOO_OP_MUL:
		return !__builtin_mul_overflow(a, b, r);
	case OOO_OP_DIV:
		if (!b || (a == INT64_MIN && b == -1))
			return false;
		*r = a / b;
		return true;
	case OOO_OP_MIN:
		*r = a < b ? a : b;
		return true;
	case OOO_OP_MAX:
		*r = a > b ? a : b;
		return true;
	default:
		return int_power(a, b, r);
	}
}

static double float_arithmetic(enum ooo_op op, double a, double b)
{
	switch (op) {
	case OOO_OP_ADD:
		return a + b;
	case OOO_OP_SUB:
		return a - b;
	case OOO_OP_MUL:
		return a * b;
	case OOO_OP_DIV:
		return a / b;
	case OOO_OP_MIN: /* not a number wins, as on the devices and in NumPy */
		return isnan(a) || a < b ? a : b;
	case OOO_OP_MAX:
		return isnan(a) || a > b ? a : b;
	default:
		return pow(a, b);
	}
}

static double float_unary(enum ooo_op op, double x)
{
	switch (op) {
	case OOO_OP_CEIL:
		return ceil(x);
	case OOO_OP_FLOOR:
		return floor(x);
	case OOO_OP_ROUND:
		return rint(x); /* half to even, the default rounding mode */
	case OOO_OP_SQRT:
		return sqrt(x);
	case OOO_OP_RECIPROCAL:
		return 1 / x;
	case OOO_OP_EXP:
		return exp(x);
	case OOO_OP_LOG:
		return log(x);
	case OOO_OP_NEG:
		return -x;
	case OOO_OP_ABS:
		return fabs(x);
	default: /* Relu */
		return x < 0 ? 0 : x;
	}
}

/* Three-way comparison would lose NaN, so each relation is written out. */
#define RELATION(op, a, b)                                                                         \
	((op) == OOO_OP_EQUAL        ? (a) == (b)                                                  \
	 : (op) == OOO_OP_LESS       ? (a) < (b)                                                   \
	 : (op) == OOO_OP_GREATER    ? (a) > (b)                                                   \
	 : (op) == OOO_OP_LESS_EQUAL ? (a) <= (b)                                                  \
				     : (a) >= (b))

static bool logic(enum ooo_op op, bool a, bool b)
{
	return op == OOO_OP_AND ? a && b : op == OOO_OP_OR ? a || b : a != b;
}

static void store_int(const struct folding *f, int64_t i, int64_t v)
{
	uint32_t dtype = f->out[0]->shape.dtype;
	bool fits = true;

	switch (dtype) {
	case OOO_INT64:
		((int64_t *)f->data[0])[i] = v;
		break;
	case OOO_INT32:
		fits = v >= INT32_MIN && v <= INT32_MAX;
		((int32_t *)f->data[0])[i] = (int32_t)v;
		break;
	case OOO_INT8:
		fits = v >= INT8_MIN && v <= INT8_MAX;
		((int8_t *)f->data[0])[i] = (int8_t)v;
		break;
	default: /* uint8, bool */
		fits = v >= 0 && v <= UINT8_MAX;
		((uint8_t *)f->data[0])[i] = (uint8_t)v;
		break;
	}
	if (!fits)
		refuse(f->n, "constant %" PRId64 " does not fit into %s", v, dtype_name(dtype));
}

static void store_float(const struct folding *f, int64_t i, double v)
{
	if (f->out[0]->shape.dtype == OOO_FP32)
		((float *)f->data[0])[i] = (float)v;
	else
		((double *)f->data[0])[i] = v;
}

static void store_bool(const struct folding *f, int64_t i, bool v)
{
	((uint8_t *)f->data[0])[i] = v;
}

static void binary(const struct folding *f, int64_t i, int64_t at_a, int64_t at_b)
{
	const struct value *a = f->in[0], *b = f->in[1];
	bool relation = f->out[0]->shape.dtype == OOO_BOOL;
	int64_t r;

	if (is_bool(a)) {
		store_bool(f, i, logic(f->op, value_int(a, at_a), value_int(b, at_b)));
	} else if (is_float(a)) {
		double x = value_number(a, at_a), y = value_number(b, at_b);

		if (relation)
			store_bool(f, i, RELATION(f->op, x, y));
		else
			store_float(f, i, float_arithmetic(f->op, x, y));
	} else {
		int64_t x = value_int(a, at_a), y = value_int(b, at_b);

		if (relation)
			store_bool(f, i, RELATION(f->op, x, y));
		else if (int_arithmetic(f->op, x, y, &r))
			store_int(f, i, r);
		else
			refuse(f->n, "constants %" PRId64 " and %" PRId64 " have no result", x, y);
	}
}

static double half_number(const struct value *v, int64_t i)
{
	uint16_t h;
	int exponent;
	double x;

	memcpy(&h, (const char *)v->data + (size_t)i * sizeof(h), sizeof(h));
	if (v->shape.dtype == OOO_BF16) {
		uint32_t bits = (uint32_t)h << 16;
		float bf;

		memcpy(&bf, &bits, sizeof(bf));
		return (double)bf;
	}
	exponent = h >> 10 & 31;
	if (exponent == 31)
		x = h & 1023 ? (double)NAN : (double)INFINITY;
	else if (exponent)
		x = ldexp(1024 + (h & 1023), exponent - 25);
	else
		x = ldexp(h & 1023, -24);
	return h & 0x8000 ? -x : x;
}

static void convert(const struct folding *f, int64_t i)
{
	const struct value *from = f->in[0];
	uint32_t to = f->out[0]->shape.dtype;
	double x;

	if (!is_float(from) && !is_half(from)) {
		int64_t v = value_int(from, i);

		if (to == OOO_BOOL)
			store_bool(f, i, v != 0);
		else if (to == OOO_FP32)
			((float *)f->data[0])[i] = (float)v; /* rounded once */
		else if (to == OOO_FP64)
			((double *)f->data[0])[i] = (double)v;
		else
			store_int(f, i, v);
		return;
	}
	x = is_half(from) ? half_number(from, i) : value_number(from, i);
	if (to == OOO_BOOL)
		store_bool(f, i, x != 0);
	else if (to == OOO_FP32 || to == OOO_FP64)
		store_float(f, i, x);
	else if (x >= -0x1p63 && x < 0x1p63)
		store_int(f, i, (int64_t)x);
	else
		refuse(f->n, "constant %g does not fit into %s", x, dtype_name(to));
}

static void unary(const struct folding *f, int64_t i)
{
	if (f->op == OOO_OP_CAST)
		convert(f, i);
	else if (f->op == OOO_OP_NOT)
		store_bool(f, i, !value_int(f->in[0], i));
	else
		store_float(f, i, float_unary(f->op, value_number(f->in[0], i)));
}

void fold_pointwise(const struct folding *f)
{
	const struct shape *shape = &f->out[0]->shape;
	int64_t strides[3][OOO_MAX_RANK] = { { 0 } }, offset[3] = { 0 };
	int64_t index[OOO_MAX_RANK] = { 0 }, elems = value_elems(f->out[0]);
	size_t bytes = dtype_bytes(shape->dtype);

	for (int i = 0; i < f->nr_in; i++)
		fold_broadcast(&f->in[i]->shape, shape, strides[i]);
	for (int64_t i = 0; i < elems && !f->n->rc; i++) {
		if (f->nr_in == 1) {
			unary(f, i);
		} else if (f->nr_in == 2) {
			binary(f, i, offset[0], offset[1]);
		} else {
			int from = value_int(f->in[0], offset[0]) ? 1 : 2;

			memcpy((char *)f->data[0] + (size_t)i * bytes,
			       (const char *)f->in[from]->data + (size_t)offset[from] * bytes,
			       bytes);
		}
		fold_next(shape, index, (const int64_t(*)[OOO_MAX_RANK])strides, offset, f->nr_in);
	}
}
