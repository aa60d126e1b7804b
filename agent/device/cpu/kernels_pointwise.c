// SPDX-License-Identifier: Apache-2.0
/* Binary arithmetic, comparisons, logic and Where, with NumPy broadcasting. */
#include <math.h>
#include <string.h>

#include "agent/device/cpu/kernels_impl.h"

struct binary_ctx {
	void *out;
	const void *x, *y, *z;
	uint32_t op;
	uint32_t dtype;
	size_t bytes;
};

/* One run: the three common stride pairs get loops that vectorise. */
#define RUN(TO, T, EXPR)                                                                           \
	do {                                                                                       \
		TO *o = (TO *)c->out + offset[0];                                                  \
		const T *px = (const T *)c->x + offset[1], *py = (const T *)c->y + offset[2];      \
		int64_t sx = w->stride[1][w->rank - 1], sy = w->stride[2][w->rank - 1];            \
		if (sx == 1 && sy == 1) {                                                          \
			for (int64_t i = 0; i < n; i++) {                                          \
				T a = px[i], b = py[i];                                            \
				o[i] = (TO)(EXPR);                                                 \
			}                                                                          \
		} else if (sx == 1 && sy == 0) {                                                   \
			T b = *py;                                                                 \
			for (int64_t i = 0; i < n; i++) {                                          \
				T a = px[i];                                                       \
				o[i] = (TO)(EXPR);                                                 \
			}                                                                          \
		} else {                                                                           \
			for (int64_t i = 0; i < n; i++) {                                          \
				T a = px[i * sx], b = py[i * sy];                                  \
				o[i] = (TO)(EXPR);                                                 \
			}                                                                          \
		}                                                                                  \
	} while (0)

/* NaN wins, as in NumPy. */
static inline float min_nan(float a, float b)
{
	return a < b || isnan(a) ? a : b;
}

static inline float max_nan(float a, float b)
{
	return a > b || isnan(a) ? a : b;
}

static void binary_fp32(void *ctx, const struct walk *w, const int64_t *offset, int64_t n)
{
	const struct binary_ctx *c = ctx;

	switch (c->op) {
	case OOO_OP_ADD:
		RUN(float, float, a + b);
		break;
	case OOO_OP_SUB:
		RUN(float, float, a - b);
		break;
	case OOO_OP_MUL:
		RUN(float, float, a *b);
		break;
	case OOO_OP_DIV:
		RUN(float, float, a / b);
		break;
	case OOO_OP_POW:
		RUN(float, float, b == 2.0f ? a * a : powf(a, b));
		break;
	case OOO_OP_MIN:
		RUN(float, float, min_nan(a, b));
		break;
	case OOO_OP_MAX:
		RUN(float, float, max_nan(a, b));
		break;
	default: /* PRELU */
		RUN(float, float, a < 0 ? a * b : a);
	}
}

/* Wrapping arithmetic; a division by zero gives 0 instead of a trap. */
static int64_t int_div(int64_t a, int64_t b)
{
	if (!b)
		return 0;
	return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}

static int64_t int_pow(int64_t a, int64_t b)
{
	uint64_t result = 1, base = (uint64_t)a;

	if (b < 0)
		return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0;
	for (uint64_t e = (uint64_t)b; e; e >>= 1, base *= base) {
		if (e & 1)
			result *= base;
	}
	return (int64_t)result;
}

#define INT_CASES(T)                                                                               \
	switch (c->op) {                                                                           \
	case OOO_OP_ADD:                                                                           \
		RUN(T, T, (uint64_t)a + (uint64_t)b);                                              \
		break;                                                                             \
	case OOO_OP_SUB:                                                                           \
		RUN(T, T, (uint64_t)a - (uint64_t)b);                                              \
		break;                                                                             \
	case OOO_OP_MUL:                                                                           \
		RUN(T, T, (uint64_t)a *(uint64_t)b);                                               \
		break;                                                                             \
	case OOO_OP_DIV:                                                                           \
		RUN(T, T, int_div(a, b));                                                          \
		break;                                                                             \
	case OOO_OP_POW:                                                                           \
		RUN(T, T, int_pow(a, b));                                                          \
		break;                                                                             \
	case OOO_OP_MIN:                                                                           \
		RUN(T, T, a < b ? a : b);                                                          \
		break;                                                                             \
	default: /* MAX; PRELU of integers does not pass inference */                              \
		RUN(T, T, a > b ? a : b);                                                          \
	}

static void binary_int32(void *ctx, const struct walk *w, const int64_t *offset, int64_t n)
{
	const struct binary_ctx *c = ctx;

	INT_CASES(int32_t)
}

static void binary_int64(void *ctx, const struct walk *w, const int64_t *offset, int64_t n)
{
	const struct binary_ctx *c = ctx;

	INT_CASES(int64_t)
}

#define COMPARE_CASES(T)                                                                           \
	switch (c->op) {                                                                           \
	case OOO_OP_EQUAL:                                                                         \
		RUN(uint8_t, T, a == b);                                                           \
		break;                                                                             \
	case OOO_OP_LESS:                                                                          \
		RUN(uint8_t, T, a < b);                                                            \
		break;                                                                             \
	case OOO_OP_GREATER:                                                                       \
		RUN(uint8_t, T, a > b);                                                            \
		break;                                                                             \
	case OOO_OP_LESS_EQUAL:                                                                    \
		RUN(uint8_t, T, a <= b);                                                           \
		break;                                                                             \
	case OOO_OP_GREATER_EQUAL:                                                                 \
		RUN(uint8_t, T, a >= b);                                                           \
		break;                                                                             \
	case OOO_OP_AND:                                                                           \
		RUN(uint8_t, T, a != 0 && b != 0);                                                 \
		break;                                                                             \
	case OOO_OP_OR:                                                                            \
		RUN(uint8_t, T, a != 0 || b != 0);                                                 \
		break;                                                                             \
	default: /* XOR */                                                                         \
		RUN(uint8_t, T, (a != 0) != (b != 0));                                             \
	}

static void compare_fp32(void *ctx, const struct walk *w, const int64_t *offset, int64_t n)
{
	const struct binary_ctx *c = ctx;

	COMPARE_CASES(float)
}

static void compare_int32(void *ctx, const struct walk *w, const int64_t *offset, int64_t n)
{
	const struct binary_ctx *c = ctx;

	COMPARE_CASES(int32_t)
}

static void compare_int64(void *ctx, const struct walk *w, const int64_t *offset, int64_t n)
{
	const struct binary_ctx *c = ctx;

	COMPARE_CASES(int64_t)
}

static void compare_byte(void *ctx, const struct walk *w, const int64_t *offset, int64_t n)
{
	const struct binary_ctx *c = ctx;

	if (c->dtype == OOO_INT8) {
		COMPARE_CASES(int8_t)
	} else {
		COMPARE_CASES(uint8_t)
	}
}

static enum ooo_status run_binary(const struct kernel_args *a, int64_t from, int64_t to, walk_fn fn)
{
	const struct tensor *operands[] = { in_tensor(a, 0), in_tensor(a, 1) };
	struct binary_ctx c = { .out = a->out[0],
				.x = a->in[0],
				.y = a->in[1],
				.op = a->step->op,
				.dtype = operands[0]->shape.dtype };
	struct walk w;

	walk_output(&w, out_tensor(a, 0), operands, 2);
	walk_range(&w, from, to, fn, &c);
	return OOO_OK;
}

enum ooo_status kernel_binary(const struct kernel_args *a, int64_t from, int64_t to)
{
	switch (in_tensor(a, 0)->shape.dtype) {
	case OOO_INT32:
		return run_binary(a, from, to, binary_int32);
	case OOO_INT64:
		return run_binary(a, from, to, binary_int64);
	default:
		return run_binary(a, from, to, binary_fp32);
	}
}

enum ooo_status kernel_compare(const struct kernel_args *a, int64_t from, int64_t to)
{
	switch (in_tensor(a, 0)->shape.dtype) {
	case OOO_FP32:
		return run_binary(a, from, to, compare_fp32);
	case OOO_INT32:
		return run_binary(a, from, to, compare_int32);
	case OOO_INT64:
		return run_binary(a, from, to, compare_int64);
	default:
		return run_binary(a, from, to, compare_byte);
	}
}

static void where_run(void *ctx, const struct walk *w, const int64_t *offset, int64_t n)
{
	const struct binary_ctx *c = ctx;
	const int64_t *s1 = w->stride[1], *s2 = w->stride[2], *s3 = w->stride[3];
	const uint8_t *cond = (const uint8_t *)c->z + offset[1];
	int in = w->rank - 1;

	for (int64_t i = 0; i < n; i++) {
		const void *from =
			cond[i * s1[in]]
				? (const char *)c->x + (offset[2] + i * s2[in]) * (int64_t)c->bytes
				: (const char *)c->y + (offset[3] + i * s3[in]) * (int64_t)c->bytes;

		memcpy((char *)c->out + (offset[0] + i) * (int64_t)c->bytes, from, c->bytes);
	}
}

enum ooo_status kernel_where(const struct kernel_args *a, int64_t from, int64_t to)
{
	const struct tensor *operands[] = { in_tensor(a, 0), in_tensor(a, 1), in_tensor(a, 2) };
	struct binary_ctx c = { .out = a->out[0],
				.z = a->in[0],
				.x = a->in[1],
				.y = a->in[2],
				.bytes = dtype_bytes(operands[1]->shape.dtype) };
	struct walk w;

	walk_output(&w, out_tensor(a, 0), operands, 3);
	walk_range(&w, from, to, where_run, &c);
	return OOO_OK;
}
