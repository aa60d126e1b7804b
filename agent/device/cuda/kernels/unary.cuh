/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions of one fp32 operand, and a task's post-operations. The functions are the toolkit's
 * accurate ones, within 2 ulp. Called with an op that is the same for all threads of a block; where
 * it is known at compile time, unary_f32<OP>() leaves that one case.
 */
#ifndef OOO_CUDA_UNARY_CUH
#define OOO_CUDA_UNARY_CUH

#include "agent/device/cuda/kernels/launch.cuh"
#include "agent/device/cuda/kernels/values.cuh"

/* x < low ? low : ..., as written: NaN stays NaN. */
DEVICE float clip_f32(float x, float low, float high)
{
	float y = x < low ? low : x;

	return y > high ? high : y;
}

DEVICE float sigmoid_f32(float x)
{
	return 1.0f / (1.0f + expf(-x));
}

DEVICE float gelu_f32(float x, int mode)
{
	if (mode)
		return 0.5f * x *
		       (1.0f + tanhf(0.79788456080286536f * (x + 0.044715f * x * x * x)));
	return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
}

/*
 * sin (quarter 0) and cos (quarter 1) of any x, by Payne and Hanek's reduction in integers: 96 bits
 * of 2 / pi, beginning where their product with x is below 4. The toolkit's own functions keep an
 * array in local memory for large x. x < 0.5 needs no reduction.
 */
DEVICE float sine_f32(float x, u32 quarter)
{
	/* 2 / pi after 32 zero bits. */
	static const u32 two_over_pi[8] = { 0,          0xa2f9836e, 0x4e441529, 0xfc2757d1,
					    0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab };
	u32 bits = float_bits(x), exponent = bits >> 23 & 255;
	float r = x, z, y;

	if (exponent == 255)
		return x - x;
	if (exponent >= 126) {
		u32 m = (bits & 0x7fffff) | 0x800000, at = (exponent - 120) >> 5;
		u32 shift = (exponent - 120) & 31;
		u64 a = (u64)two_over_pi[at] << 32 | two_over_pi[at + 1];
		u64 b = (u64)two_over_pi[at + 1] << 32 | two_over_pi[at + 2];
		u64 c = (u64)two_over_pi[at + 2] << 32 | two_over_pi[at + 3];
		u64 low = (u64)m * (u32)(c << shift >> 32);
		u64 middle = (u64)m * (u32)(b << shift >> 32) + (low >> 32);
		u32 high = m * (u32)(a << shift >> 32) + (u32)(middle >> 32);
		u64 turns = (u64)high << 32 | (u32)middle; /* of 2^62 quarters */
		u64 k = (turns + (1ull << 61)) >> 62;

		r = (float)(i64)(turns - (k << 62)) * 3.40612158e-19f; /* pi / 2 / 2^62 */
		if (bits >> 31)
			r = -r;
		quarter += bits >> 31 ? 4 - (u32)k : (u32)k;
	}
	z = r * r;
	if (quarter & 1) {
		y = fmaf(2.44677067e-5f, z, -1.38877297e-3f);
		y = fmaf(fmaf(fmaf(y, z, 4.16666567e-2f), z, -0.5f), z, 1.0f);
	} else {
		y = fmaf(2.86567956e-6f, z, -1.98559923e-4f);
		y = fmaf(fmaf(fmaf(y, z, 8.33338592e-3f), z, -1.66666672e-1f), r * z, r);
	}
	return quarter & 2 ? -y : y;
}

/* op(x); op is an enum ooo_op of one float operand. What is none leaves x as it is. */
DEVICE float unary_f32(u32 op, int mode, float alpha, float beta, float x)
{
	switch (op) {
	case OOO_OP_RELU:
		return x < 0 ? 0 : x;
	case OOO_OP_CLIP:
		return clip_f32(x, alpha, beta);
	case OOO_OP_LEAKY_RELU:
		return x < 0 ? alpha * x : x;
	case OOO_OP_ELU:
		return x < 0 ? alpha * expm1f(x) : x;
	case OOO_OP_CELU:
		return x < 0 ? alpha * expm1f(x / alpha) : x;
	case OOO_OP_SELU:
		return beta * (x > 0 ? x : alpha * expm1f(x));
	case OOO_OP_SIGMOID:
		return sigmoid_f32(x);
	case OOO_OP_TANH:
		return tanhf(x);
	case OOO_OP_HARD_SIGMOID:
		return clip_f32(fmaf(alpha, x, beta), 0, 1);
	case OOO_OP_HARD_SWISH:
		return x * clip_f32(x / 6.0f + 0.5f, 0, 1);
	case OOO_OP_SWISH:
		return x * sigmoid_f32(alpha * x);
	case OOO_OP_GELU:
		return gelu_f32(x, mode);
	case OOO_OP_SOFTPLUS:
		return x > 0 ? x + log1pf(expf(-x)) : log1pf(expf(x));
	case OOO_OP_SOFTSIGN:
		return x / (1.0f + fabsf(x));
	case OOO_OP_THRESHOLDED_RELU:
		return x <= alpha ? 0 : x; /* NaN stays NaN */
	case OOO_OP_ERF:
		return erff(x);
	case OOO_OP_SQRT:
		return sqrtf(x);
	case OOO_OP_EXP:
		return expf(x);
	case OOO_OP_LOG:
		return logf(x);
	case OOO_OP_NEG:
		return -x;
	case OOO_OP_ABS:
		return fabsf(x);
	case OOO_OP_RECIPROCAL:
		return 1.0f / x;
	case OOO_OP_CEIL:
		return ceilf(x);
	case OOO_OP_FLOOR:
		return floorf(x);
	case OOO_OP_ROUND:
		return rintf(x);
	case OOO_OP_SIGN:
		return x > 0 ? 1.0f : x < 0 ? -1.0f : x;
	case OOO_OP_SIN:
		return sine_f32(x, 0);
	case OOO_OP_COS:
		return sine_f32(x, 1);
	default:
		return x;
	}
}

template <u32 OP> DEVICE float unary_f32(int mode, float alpha, float beta, float x)
{
	return unary_f32(OP, mode, alpha, beta, x);
}

/* The task's post-operations on v, which goes to element `at` of the output's memory. */
DEVICE float post_apply(const struct tile *t, const struct cuda_task *head, float v, u64 at)
{
	for (u32 i = 0; i < head->nr_post; i++) {
		const struct cuda_post *p = &head->post[i];

		if (p->op != OOO_OP_ADD && p->op != OOO_OP_MUL) {
			v = unary_f32(p->op, p->mode, p->alpha, p->beta, v);
		} else {
			float o = load_f32(operand_address(t, &p->operand), at, p->operand.dtype);

			v = p->op == OOO_OP_ADD ? v + o : v * o;
		}
	}
	return v;
}

#endif
