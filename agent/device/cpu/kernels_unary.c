// SPDX-License-Identifier: Apache-2.0
/* Functions of one operand, also as post-operations. */
#include <math.h>

#include "agent/device/cpu/kernels_impl.h"

/*
 * e^x within 2 ulp over the float range, written so that the compiler vectorises it: x = n ln 2 + r,
 * ln 2 in two parts (Cody and Waite, "Software Manual for the Elementary Functions", 1980), then a
 * minimax polynomial of e^r on [-ln 2 / 2, ln 2 / 2]. The power of two is applied in two halves, so
 * results run through the denormals to 0 and to infinity. NaN stays NaN.
 */
static inline float exp_fast(float x)
{
	float clamped = x < -104.0f ? -104.0f : (x > 89.0f ? 89.0f : x);
	float n = rintf(clamped * 1.44269504088896341f);
	float r = clamped - n * 0.693359375f, p;
	union {
		int32_t i;
		float f;
	} low, high;
	int32_t k;

	r += n * 2.12194440e-4f;
	p = 1.9875691500e-4f;
	p = p * r + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	p = p * (r * r) + r + 1.0f;
	k = (int32_t)(n == n ? n : 0.0f);
	low.i = (k / 2 + 127) << 23;
	high.i = (k - k / 2 + 127) << 23;
	return p * low.f * high.f;
}

static inline float sigmoid(float x)
{
	return 1.0f / (1.0f + exp_fast(-x));
}

static inline float tanh_fast(float x)
{
	/* Small arguments lose digits in 1 - 2/(e^2x + 1): there the odd series is exact enough. */
	float x2 = x * x;
	float series =
		x * (1.0f + x2 * (-0.333333333f + x2 * (0.133333333f + x2 * -0.0539682540f)));
	float big = 1.0f - 2.0f / (exp_fast(2.0f * x) + 1.0f);

	return fabsf(x) < 0.15f ? series : big;
}

static inline float relu(float x)
{
	return x < 0 ? 0 : x; /* NaN stays NaN */
}

static inline float clip(float x, float low, float high)
{
	float y = x < low ? low : x;

	return y > high ? high : y;
}

static inline float gelu_erf(float x)
{
	return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
}

static inline float gelu_tanh(float x)
{
	return 0.5f * x * (1.0f + tanh_fast(0.79788456080286536f * (x + 0.044715f * x * x * x)));
}

static inline float celu(float x, float alpha)
{
	return relu(x) + (x < 0 ? alpha * expm1f(x / alpha) : 0);
}

#define LOOP(EXPR)                                                                                 \
	do {                                                                                       \
		for (int64_t i = 0; i < n; i++) {                                                  \
			float v = x[i];                                                            \
			y[i] = (EXPR);                                                             \
		}                                                                                  \
		return true;                                                                       \
	} while (0)

static bool unary_math(uint32_t op, const float *x, float *y, int64_t n)
{
	switch (op) {
	case OOO_OP_ERF:
		LOOP(erff(v));
	case OOO_OP_SQRT:
		LOOP(sqrtf(v));
	case OOO_OP_EXP:
		LOOP(exp_fast(v));
	case OOO_OP_LOG:
		LOOP(logf(v));
	case OOO_OP_NEG:
		LOOP(-v);
	case OOO_OP_ABS:
		LOOP(fabsf(v));
	case OOO_OP_RECIPROCAL:
		LOOP(1.0f / v);
	case OOO_OP_CEIL:
		LOOP(ceilf(v));
	case OOO_OP_FLOOR:
		LOOP(floorf(v));
	case OOO_OP_ROUND:
		LOOP(rintf(v));
	case OOO_OP_SIGN:
		LOOP(v > 0 ? 1.0f : (v < 0 ? -1.0f : v));
	case OOO_OP_SIN:
		LOOP(sinf(v));
	case OOO_OP_COS:
		LOOP(cosf(v));
	case OOO_OP_IDENTITY:
		LOOP(v);
	default:
		return false;
	}
}

bool unary_fp32(uint32_t op, float alpha, float beta, int mode, const float *x, float *y, int64_t n)
{
	switch (op) {
	case OOO_OP_RELU:
		LOOP(relu(v));
	case OOO_OP_CLIP:
		LOOP(clip(v, alpha, beta));
	case OOO_OP_LEAKY_RELU:
		LOOP(v < 0 ? alpha * v : v);
	case OOO_OP_ELU:
		LOOP(v < 0 ? alpha * expm1f(v) : v);
	case OOO_OP_CELU:
		LOOP(celu(v, alpha));
	case OOO_OP_SELU:
		LOOP(beta * (v > 0 ? v : alpha * expm1f(v)));
	case OOO_OP_SIGMOID:
		LOOP(sigmoid(v));
	case OOO_OP_TANH:
		LOOP(tanh_fast(v));
	case OOO_OP_HARD_SIGMOID:
		LOOP(clip(alpha * v + beta, 0, 1));
	case OOO_OP_HARD_SWISH:
		LOOP(v * clip(v / 6.0f + 0.5f, 0, 1));
	case OOO_OP_SWISH:
		LOOP(v * sigmoid(alpha * v));
	case OOO_OP_GELU:
		if (mode)
			LOOP(gelu_tanh(v));
		LOOP(gelu_erf(v));
	case OOO_OP_SOFTPLUS:
		LOOP(v > 0 ? v + log1pf(expf(-v)) : log1pf(expf(v)));
	case OOO_OP_SOFTSIGN:
		LOOP(v / (1.0f + fabsf(v)));
	case OOO_OP_THRESHOLDED_RELU:
		LOOP(v > alpha ? v : (isnan(v) ? v : 0));
	default:
		return unary_math(op, x, y, n);
	}
}

static int64_t unary_int(uint32_t op, int64_t v, const struct ooo_attr *a)
{
	switch (op) {
	case OOO_OP_NEG:
		return (int64_t)(0 - (uint64_t)v);
	case OOO_OP_ABS:
		return v < 0 ? (int64_t)(0 - (uint64_t)v) : v;
	case OOO_OP_SIGN:
		return (v > 0) - (v < 0);
	case OOO_OP_RELU:
		return v < 0 ? 0 : v;
	case OOO_OP_CLIP:
		if ((double)v < (double)a->alpha)
			return (int64_t)a->alpha;
		return (double)v > (double)a->beta ? (int64_t)a->beta : v;
	default: /* the rest does not pass inference for integers */
		return v;
	}
}

enum ooo_status kernel_unary(const struct kernel_args *a, int64_t from, int64_t to)
{
	const struct ooo_attr *at = &a->step->attr;
	uint32_t op = a->step->op;

	switch (in_tensor(a, 0)->shape.dtype) {
	case OOO_FP32:
		unary_fp32(op, at->alpha, at->beta, at->mode, (const float *)a->in[0] + from,
			   (float *)a->out[0] + from, to - from);
		break;
	case OOO_INT64:
		for (int64_t i = from; i < to; i++)
			((int64_t *)a->out[0])[i] =
				unary_int(op, ((const int64_t *)a->in[0])[i], at);
		break;
	case OOO_INT32:
		for (int64_t i = from; i < to; i++)
			((int32_t *)a->out[0])[i] =
				(int32_t)unary_int(op, ((const int32_t *)a->in[0])[i], at);
		break;
	default: /* NOT of booleans */
		for (int64_t i = from; i < to; i++)
			((uint8_t *)a->out[0])[i] = !((const uint8_t *)a->in[0])[i];
	}
	return OOO_OK;
}
