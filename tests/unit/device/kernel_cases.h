/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every device must give for pointwise and moving operators: a list of cases, each a function
 * that fails its test. CASE(function, exact): exact if it counts on fp32 to the last digit.
 */
#ifndef OOO_TESTS_KERNEL_CASES_H
#define OOO_TESTS_KERNEL_CASES_H

#include "tests/unit/device/cpu_kernels_reference.h"

static void unary_operators(void **state)
{
	static const struct {
		uint32_t op;
		double low, high;
		float alpha, beta;
		int mode;
	} cases[] = {
		{ OOO_OP_IDENTITY, -9, 9, 0, 0, 0 },
		{ OOO_OP_RELU, -9, 9, 0, 0, 0 },
		{ OOO_OP_CLIP, -9, 9, -1.5f, 3, 0 },
		{ OOO_OP_LEAKY_RELU, -9, 9, 0.1f, 0, 0 },
		{ OOO_OP_ELU, -9, 9, 0.7f, 0, 0 },
		{ OOO_OP_SIGMOID, -30, 30, 0, 0, 0 },
		{ OOO_OP_TANH, -9, 9, 0, 0, 0 },
		{ OOO_OP_TANH, -0.2, 0.2, 0, 0, 0 },
		{ OOO_OP_HARD_SIGMOID, -9, 9, 0.3f, 0.4f, 0 },
		{ OOO_OP_HARD_SWISH, -9, 9, 0, 0, 0 },
		{ OOO_OP_GELU, -9, 9, 0, 0, 0 },
		{ OOO_OP_GELU, -9, 9, 0, 0, 1 },
		{ OOO_OP_ERF, -4, 4, 0, 0, 0 },
		{ OOO_OP_SQRT, 0, 90, 0, 0, 0 },
		{ OOO_OP_EXP, -80, 80, 0, 0, 0 },
		{ OOO_OP_EXP, -1, 1, 0, 0, 0 },
		{ OOO_OP_LOG, 1e-4, 90, 0, 0, 0 },
		{ OOO_OP_NEG, -9, 9, 0, 0, 0 },
		{ OOO_OP_ABS, -9, 9, 0, 0, 0 },
		{ OOO_OP_RECIPROCAL, 0.1, 9, 0, 0, 0 },
		{ OOO_OP_SELU, -9, 9, 1.67f, 1.05f, 0 },
		{ OOO_OP_SOFTPLUS, -40, 40, 0, 0, 0 },
		{ OOO_OP_SOFTSIGN, -9, 9, 0, 0, 0 },
		{ OOO_OP_CEIL, -9, 9, 0, 0, 0 },
		{ OOO_OP_FLOOR, -9, 9, 0, 0, 0 },
		{ OOO_OP_ROUND, -9, 9, 0, 0, 0 },
		{ OOO_OP_SIGN, -9, 9, 0, 0, 0 },
		{ OOO_OP_SIN, -9, 9, 0, 0, 0 },
		{ OOO_OP_COS, -9, 9, 0, 0, 0 },
		{ OOO_OP_SWISH, -9, 9, 1.2f, 0, 0 },
		{ OOO_OP_CELU, -9, 9, 1.3f, 0, 0 },
		{ OOO_OP_THRESHOLDED_RELU, -9, 9, 1.1f, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		FOR_LAYOUTS(l)
		{
			struct kt k;

			kt_init(&k, cases[i].op, i);
			k.step.attr.alpha = cases[i].alpha;
			k.step.attr.beta = cases[i].beta;
			k.step.attr.mode = cases[i].mode;
			kt_fill(&k, kt_in(&k, OOO_FP32, l, DIMS(2, 19, 17, 31)), cases[i].low,
				cases[i].high);
			kt_out(&k, 1, l);
			kt_check(&k, 2e-6);
		}
	}
}

/* Shapes that meet in all the ways of broadcasting. */
static const struct pair {
	int rank_a;
	int64_t a[5];
	int rank_b;
	int64_t b[5];
} pairs[] = {
	{ 4, { 2, 33, 4, 9 }, 4, { 2, 33, 4, 9 } },
	{ 4, { 2, 33, 4, 9 }, 3, { 33, 1, 1 } },
	{ 4, { 1, 33, 1, 1 }, 4, { 2, 33, 5, 7 } },
	{ 4, { 2, 3, 4, 5 }, 1, { 5 } },
	{ 2, { 7, 1 }, 2, { 1, 9 } },
	{ 5, { 2, 1, 3, 1, 5 }, 4, { 4, 1, 6, 1 } },
	{ 3, { 2, 3, 4 }, 0, { 0 } },
	{ 0, { 0 }, 0, { 0 } },
	{ 1, { 1 }, 3, { 3, 1, 2 } },
	{ 2, { 0, 4 }, 1, { 4 } },
};

static void check_pair(uint32_t op, uint32_t dtype, const struct pair *p, bool nhwc)
{
	bool full_a = nhwc && p->rank_a == 4, full_b = nhwc && p->rank_b == 4;
	struct kt k;

	kt_init(&k, op, op * 31 + dtype);
	kt_in(&k, dtype, full_a ? NHWC : PLAIN, p->rank_a, p->a);
	kt_in(&k, dtype, full_b ? NHWC : PLAIN, p->rank_b, p->b);
	if (op == OOO_OP_POW && dtype == OOO_FP32)
		kt_fill(&k, 0, 0.1, 3);
	kt_out(&k, 1, nhwc ? NHWC : PLAIN);
	kt_check(&k, 2e-6);
}

static void binary_operators(void **state)
{
	static const uint32_t dtypes[] = { OOO_FP32, OOO_INT32, OOO_INT64 };

	(void)state;
	for (uint32_t op = OOO_OP_ADD; op <= OOO_OP_GREATER_EQUAL; op++) {
		bool logic = op >= OOO_OP_AND && op <= OOO_OP_XOR;

		for (size_t i = 0; op != OOO_OP_WHERE && i < sizeof(pairs) / sizeof(pairs[0]);
		     i++) {
			bool one_way = i < 4 && i != 2;
			bool images = i < 3;

			if (op == OOO_OP_PRELU && !one_way)
				continue;
			for (int d = 0; d < 3; d++) {
				if (d && (logic || op == OOO_OP_POW || op == OOO_OP_PRELU))
					continue;
				check_pair(op, logic ? OOO_BOOL : dtypes[d], &pairs[i], false);
				if (images)
					check_pair(op, logic ? OOO_BOOL : dtypes[d], &pairs[i],
						   true);
			}
		}
	}
}

/* Large enough to be cut. */
static void binary_operators_in_chunks(void **state)
{
	static const struct pair large[] = {
		{ 4, { 2, 33, 40, 39 }, 4, { 2, 33, 40, 39 } },
		{ 4, { 2, 33, 40, 39 }, 4, { 2, 33, 1, 1 } },
	};

	(void)state;
	for (int i = 0; i < 4; i++) {
		check_pair(OOO_OP_SUB, OOO_FP32, &large[i / 2], i & 1);
		check_pair(OOO_OP_LESS, OOO_INT64, &large[i / 2], i & 1);
	}
}

static void where_of_any_size(void **state)
{
	static const uint32_t dtypes[] = { OOO_FP32, OOO_INT64, OOO_INT32, OOO_UINT8, OOO_BOOL };

	(void)state;
	for (int d = 0; d < 5; d++) {
		FOR_LAYOUTS(l)
		{
			struct kt k;

			kt_init(&k, OOO_OP_WHERE, (uint64_t)d);
			kt_in(&k, OOO_BOOL, l, DIMS(2, 5, 1, 41));
			kt_in(&k, dtypes[d], l, DIMS(2, 5, 60, 41));
			kt_in(&k, dtypes[d], PLAIN, DIMS(5, 1, 1));
			kt_out(&k, 1, l);
			kt_check(&k, 0);
		}
	}
}

/* Give each operand's values, run, and compare with what is expected. */
static void literal(uint32_t op, uint32_t dtype, const double *a, const double *b,
		    const double *want, int64_t n)
{
	const double *given[] = { a, b };
	struct kt k;

	kt_init(&k, op, 1);
	if (op == OOO_OP_CLIP) {
		k.step.attr.alpha = -1;
		k.step.attr.beta = 1;
	}
	if (op == OOO_OP_ELU || op == OOO_OP_THRESHOLDED_RELU)
		k.step.attr.alpha = 1;
	for (int i = 0; i < (b ? 2 : 1); i++) {
		uint32_t id = kt_in(&k, dtype, PLAIN, 1, &n);

		memcpy(k.v[id], given[i], (size_t)n * sizeof(double));
		kt_put(&k, id);
	}
	kt_out(&k, 1, PLAIN);
	kt_run(&k);
	memcpy(k.v[k.out[0]], want, (size_t)n * sizeof(double));
	kt_expect(&k, 0, 1e-6);
	kt_free(&k);
}

#define V(...) ((const double[]){ __VA_ARGS__ })

static void not_a_number_propagates(void **state)
{
	const double x[] = { NAN, INFINITY, -INFINITY, 0 };
	const double y[] = { 1, NAN, NAN, 0 };

	(void)state;
	literal(OOO_OP_MIN, OOO_FP32, x, y, V(NAN, NAN, NAN, 0), 4);
	literal(OOO_OP_MAX, OOO_FP32, x, y, V(NAN, NAN, NAN, 0), 4);
	literal(OOO_OP_RELU, OOO_FP32, x, NULL, V(NAN, INFINITY, 0, 0), 4);
	literal(OOO_OP_CLIP, OOO_FP32, x, NULL, V(NAN, 1, -1, 0), 4);
	literal(OOO_OP_EXP, OOO_FP32, x, NULL, V(NAN, INFINITY, 0, 1), 4);
	literal(OOO_OP_SIGMOID, OOO_FP32, x, NULL, V(NAN, 1, 0, 0.5), 4);
	literal(OOO_OP_TANH, OOO_FP32, x, NULL, V(NAN, 1, -1, 0), 4);
	literal(OOO_OP_SOFTPLUS, OOO_FP32, x, NULL, V(NAN, INFINITY, 0, log(2)), 4);
	literal(OOO_OP_SIGN, OOO_FP32, x, NULL, V(NAN, 1, -1, 0), 4);
	literal(OOO_OP_ELU, OOO_FP32, x, NULL, V(NAN, INFINITY, -1, 0), 4);
	literal(OOO_OP_THRESHOLDED_RELU, OOO_FP32, x, NULL, V(NAN, INFINITY, 0, 0), 4);
	literal(OOO_OP_ROUND, OOO_FP32, V(0.5, 1.5, 2.5, -0.5), NULL, V(0, 2, 2, 0), 4);
}

static void integers_wrap_and_never_trap(void **state)
{
	const double low32 = INT32_MIN, low64 = INT64_MIN;

	(void)state;
	literal(OOO_OP_DIV, OOO_INT32, V(low32, 7, -7, 5), V(-1, 0, 2, -3), V(low32, 0, -3, -1), 4);
	literal(OOO_OP_DIV, OOO_INT64, V(low64, 7, -7, 5), V(-1, 0, 2, -3), V(low64, 0, -3, -1), 4);
	literal(OOO_OP_ADD, OOO_INT32, V(INT32_MAX, low32), V(1, -1), V(low32, INT32_MAX), 2);
	literal(OOO_OP_SUB, OOO_INT64, V(low64, 3), V(low64, 5), V(0, -2), 2);
	literal(OOO_OP_MUL, OOO_INT64, V(low64, 0x1p40), V(2, 0x1p30), V(0, 0), 2);
	literal(OOO_OP_MUL, OOO_INT32, V(low32, 65536), V(-1, 65536), V(low32, 0), 2);
}

static void cast_one(uint32_t from, uint32_t to, const double *in, const double *want, int64_t n)
{
	struct kt k;
	uint32_t id;

	kt_init(&k, OOO_OP_CAST, 1);
	k.step.attr.mode = (int32_t)to;
	id = kt_in(&k, from, PLAIN, 1, &n);
	memcpy(k.v[id], in, (size_t)n * sizeof(double));
	kt_put(&k, id);
	kt_out(&k, 1, PLAIN);
	kt_run(&k);
	memcpy(k.v[k.out[0]], want, (size_t)n * sizeof(double));
	kt_expect(&k, 0, 0);
	kt_free(&k);
}

static void casts(void **state)
{
	const double x[] = { 1.9, -1.9, NAN, 0, 1e30, -1e30, INFINITY, 200 };

	(void)state;
	cast_one(OOO_FP32, OOO_INT32, x, V(1, -1, 0, 0, INT32_MAX, INT32_MIN, INT32_MAX, 200), 8);
	cast_one(OOO_FP64, OOO_INT64, x, V(1, -1, 0, 0, 0x1p63, -0x1p63, 0x1p63, 200), 8);
	cast_one(OOO_FP32, OOO_BOOL, x, V(1, 1, 1, 0, 1, 1, 1, 1), 8);
	cast_one(OOO_FP32, OOO_FP64, V(1.5, -0.25), V(1.5, -0.25), 2);
	cast_one(OOO_BOOL, OOO_FP32, V(0, 1), V(0, 1), 2);
	cast_one(OOO_INT64, OOO_INT32, V(0x1p32 + 5, -7), V(5, -7), 2);
	cast_one(OOO_INT32, OOO_UINT8, V(257, 9), V(1, 9), 2);
	cast_one(OOO_INT8, OOO_INT64, V(-128, 127), V(-128, 127), 2);
	cast_one(OOO_INT64, OOO_BOOL, V(256, 0), V(1, 0), 2);
}

/* Value of a small float by its definition. */
static double small_float(uint16_t bits, int mantissa_bits, int bias)
{
	int top = (1 << (15 - mantissa_bits)) - 1, exponent = bits >> mantissa_bits & top;
	double m = bits & ((1 << mantissa_bits) - 1), sign = bits >> 15 ? -1 : 1;

	if (exponent == top)
		return m != 0 ? NAN : sign * INFINITY;
	if (exponent)
		return sign * ldexp(m + (1 << mantissa_bits), exponent - bias - mantissa_bits);
	return sign * ldexp(m, 1 - bias - mantissa_bits);
}

static void cast_bits(uint32_t from, uint32_t to, const void *in, size_t in_bytes, void *out,
		      size_t out_bytes, int64_t n)
{
	struct kt k;

	kt_init(&k, OOO_OP_CAST, 1);
	k.step.attr.mode = (int32_t)to;
	k.in[0] = kt_tensor(&k, &(struct shape){ from, 1, { n } }, PLAIN);
	k.step.nr_in = 1;
	memcpy(kt_data(&k, k.in[0]), in, in_bytes);
	kt_out(&k, 1, PLAIN);
	assert_int_equal(kt_run(&k), OOO_OK);
	memcpy(out, kt_data(&k, k.out[0]), out_bytes);
	kt_free(&k);
}

/* Every 16-bit float to fp32 and back, and every midpoint between two of them to the even one. */
static void check_small_float(uint32_t dtype, int mantissa_bits, int bias)
{
	static uint16_t bits[65536], back[65536];
	static float wide[65536];
	uint16_t top = (uint16_t)(0x7fff >> mantissa_bits << mantissa_bits); /* infinity */

	for (int i = 0; i < 65536; i++)
		bits[i] = (uint16_t)i;
	cast_bits(dtype, OOO_FP32, bits, sizeof(bits), wide, sizeof(wide), 65536);
	for (int i = 0; i < 65536; i++)
		if (!kt_near(wide[i], small_float((uint16_t)i, mantissa_bits, bias), 0))
			fail_msg("%s 0x%04x becomes %g", dtype_name(dtype), i, (double)wide[i]);
	cast_bits(OOO_FP32, dtype, wide, sizeof(wide), back, sizeof(back), 65536);
	for (int i = 0; i < 65536; i++) {
		if (isnan(wide[i]))
			assert_true((back[i] & 0x7fff) > top);
		else
			assert_int_equal(back[i], i);
	}
	for (uint16_t i = 0; i < top - 1; i++) {
		double a = small_float(i, mantissa_bits, bias);

		wide[i] = (float)((a + small_float((uint16_t)(i + 1), mantissa_bits, bias)) / 2);
	}
	cast_bits(OOO_FP32, dtype, wide, sizeof(wide), back, sizeof(back), 65536);
	for (uint16_t i = 0; i < top - 1; i++)
		assert_int_equal(back[i], i + (i & 1));
}

static void small_floats(void **state)
{
	(void)state;
	check_small_float(OOO_FP16, 10, 15);
	check_small_float(OOO_BF16, 7, 127);
}

static void set_dims(struct ooo_attr *a, int rank, const int64_t *dims)
{
	a->rank = rank;
	memcpy(a->dims, dims, (size_t)rank * sizeof(*dims));
}

static const uint32_t move_types[] = { OOO_INT64, OOO_FP32, OOO_INT8 };

static void moves_of(uint32_t dtype)
{
	struct kt k;

	kt_init(&k, OOO_OP_RESHAPE, dtype);
	kt_in(&k, dtype, PLAIN, DIMS(6, 30, 400));
	set_dims(&k.step.attr, DIMS(30, 6, 20, 20));
	kt_out(&k, 1, PLAIN);
	kt_check(&k, 0);

	kt_init(&k, OOO_OP_TRANSPOSE, dtype);
	kt_in(&k, dtype, PLAIN, DIMS(3, 40, 30, 20));
	memcpy(k.step.attr.perm, (int32_t[]){ 2, 0, 3, 1 }, 16);
	kt_out(&k, 1, PLAIN);
	kt_check(&k, 0);

	kt_init(&k, OOO_OP_SLICE, dtype);
	kt_in(&k, dtype, PLAIN, DIMS(5, 90, 400));
	set_dims(&k.step.attr, DIMS(2, 89, 399));
	memcpy(k.step.attr.start, (int64_t[]){ 1, 89, 0 }, 24);
	memcpy(k.step.attr.step, (int64_t[]){ 2, -1, 1 }, 24);
	kt_out(&k, 1, PLAIN);
	kt_check(&k, 0);

	kt_init(&k, OOO_OP_EXPAND, dtype);
	kt_in(&k, dtype, PLAIN, DIMS(30, 1, 5));
	set_dims(&k.step.attr, DIMS(4, 30, 120, 5));
	kt_out(&k, 1, PLAIN);
	kt_check(&k, 0);

	kt_init(&k, OOO_OP_TILE, dtype);
	kt_in(&k, dtype, PLAIN, DIMS(3, 7, 5));
	set_dims(&k.step.attr, DIMS(60, 70, 20));
	kt_out(&k, 1, PLAIN);
	kt_check(&k, 0);

	kt_init(&k, OOO_OP_SPLIT, dtype);
	kt_in(&k, dtype, PLAIN, DIMS(3, 9, 5));
	k.step.attr.axis = 1;
	memcpy(k.step.attr.dims, (int64_t[]){ 2, 6, 1 }, 24);
	kt_out(&k, 3, PLAIN);
	kt_check(&k, 0);
}

static void pads_of(uint32_t dtype)
{
	for (int mode = 0; mode < 3; mode++) {
		struct kt k;

		kt_init(&k, OOO_OP_PAD, dtype);
		kt_in(&k, dtype, PLAIN, DIMS(2, 30, 40));
		set_dims(&k.step.attr, DIMS(2, 52, 85));
		memcpy(k.step.attr.start, (int64_t[]){ 0, -1, 20 }, 24);
		k.step.attr.mode = mode;
		k.step.attr.alpha = mode ? 0 : 1;
		kt_out(&k, 1, PLAIN);
		kt_check(&k, 0);
	}
}

static void blocks_of(uint32_t dtype)
{
	for (int mode = 0; mode < 2; mode++) {
		struct kt k;

		kt_init(&k, OOO_OP_DEPTH_TO_SPACE, dtype);
		kt_in(&k, dtype, PLAIN, DIMS(2, 36, 30, 40));
		k.step.attr.kernel[0] = 3;
		k.step.attr.mode = mode;
		kt_out(&k, 1, PLAIN);
		kt_check(&k, 0);
	}
}

static void space_to_depth_of(uint32_t dtype)
{
	struct kt k;

	kt_init(&k, OOO_OP_SPACE_TO_DEPTH, dtype);
	kt_in(&k, dtype, PLAIN, DIMS(2, 4, 90, 120));
	k.step.attr.kernel[0] = 3;
	kt_out(&k, 1, PLAIN);
	kt_check(&k, 0);
}

static void moves(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(move_types) / sizeof(*move_types); i++) {
		moves_of(move_types[i]);
		pads_of(move_types[i]);
		blocks_of(move_types[i]);
		space_to_depth_of(move_types[i]);
	}
}

static void concat(void **state)
{
	(void)state;
	for (int axis = 0; axis < 4; axis++) {
		FOR_LAYOUTS(l)
		{
			struct kt k;

			kt_init(&k, OOO_OP_CONCAT, (uint64_t)axis);
			k.step.attr.axis = axis;
			for (int i = 0; i < 3; i++) {
				int64_t d[] = { 2, 3, 4, 5 };

				d[axis] = 2 * i + 1;
				kt_in(&k, OOO_FP32, l, 4, d);
			}
			kt_out(&k, 1, l);
			kt_check(&k, 0);
		}
	}
}

static void reorders(void **state)
{
	static const uint32_t dtypes[] = { OOO_FP32, OOO_INT64, OOO_UINT8 };

	(void)state;
	for (int i = 0; i < 3 * 3 * 3 * 2; i++) {
		enum layout from = (enum layout)(i % 3), to = (enum layout)(i / 3 % 3);
		int64_t d[] = { 5, i / 27 ? 37 : 3, 4, i % 27 < 9 && i / 27 ? 100 : 6 };
		struct kt k;

		kt_init(&k, OP_REORDER, (uint64_t)i);
		k.step.klass = CLASS_MOVE;
		kt_in(&k, dtypes[i / 9 % 3], from, 4, d);
		kt_out(&k, 1, to);
		assert_int_equal(kt_run(&k), OOO_OK);
		kt_reference(&k);
		kt_expect(&k, 0, 0);
		/* The last block's padding is zero. */
		for (int64_t p = 0; to == LAYOUT_BLOCK16 && !k.left_out && p < d[2] * d[3]; p++) {
			int64_t last = d[1] / 16, blocks = last + 1;

			for (int64_t c = d[1] % 16; c < 16; c++)
				assert_true(kt_load(kt_data(&k, k.out[0]), dtypes[i / 9 % 3],
						    (size_t)(((4 * blocks + last) * d[2] * d[3] +
							      p) * 16 +
							     c)) == 0);
		}
		kt_free(&k);
	}
}

static void gathers(void **state)
{
	(void)state;
	for (int axis = 0; axis < 3; axis++) {
		for (int wide = 0; wide < 2; wide++) {
			int64_t table[] = { 9, 9, 9 };
			struct kt k;

			kt_init(&k, OOO_OP_GATHER, (uint64_t)axis);
			k.step.attr.axis = axis;
			table[(axis + 1) % 3] = 50;
			kt_in(&k, wide ? OOO_FP32 : OOO_UINT8, PLAIN, 3, table);
			kt_fill(&k, kt_in(&k, wide ? OOO_INT64 : OOO_INT32, PLAIN, DIMS(60, 7)), -9,
				9);
			kt_out(&k, 1, PLAIN);
			kt_check(&k, 0);
		}
	}
}

/* Whatever the index, nothing outside the table is read, and the row is zero. */
static void bad_indices_are_told(void **state)
{
	static const double bad[] = { 5, -6, 0x1p62, -0x1p63, INT32_MAX };

	(void)state;
	for (int i = 0; i < 5; i++) {
		struct kt k;
		uint32_t id;

		kt_init(&k, OOO_OP_GATHER, 3);
		kt_in(&k, OOO_FP32, PLAIN, DIMS(5, 4));
		id = kt_in(&k, OOO_INT64, PLAIN, DIMS(3));
		memcpy(k.v[id], V(-5, bad[i], 4), 24);
		kt_put(&k, id);
		kt_out(&k, 1, PLAIN);
		assert_int_equal(kt_run(&k), OOO_BAD_INDEX);
		for (int e = 0; e < 4; e++) {
			k.v[k.out[0]][e] = k.v[0][e];
			k.v[k.out[0]][4 + e] = 0;
			k.v[k.out[0]][8 + e] = k.v[0][16 + e];
		}
		kt_expect(&k, 0, 0);
		kt_free(&k);
	}
}

static void check_resize(int mode, int coord, int nearest, bool scaled, enum layout l,
			 uint32_t dtype)
{
	static const int64_t sizes[][2] = { { 14, 18 }, { 60, 70 }, { 3, 4 }, { 1, 9 } };

	for (int i = 0; i < 4; i++) {
		struct kt k;

		kt_init(&k, OOO_OP_RESIZE, (uint64_t)i);
		kt_in(&k, dtype, l, DIMS(2, 5, 7, 9));
		set_dims(&k.step.attr, DIMS(2, 5, sizes[i][0], sizes[i][1]));
		k.step.attr.mode = mode;
		k.step.attr.coord = coord;
		k.step.attr.nearest_mode = nearest;
		for (int d = 0; scaled && d < 4; d++)
			k.step.attr.scale[d] =
				d < 2 ? 1 : (float)sizes[i][d - 2] / (d == 2 ? 7 : 9);
		kt_out(&k, 1, l);
		kt_check(&k, 2e-6);
	}
}

static void resizes(void **state)
{
	(void)state;
	for (int coord = 0; coord <= OOO_COORD_ASYMMETRIC; coord++) {
		FOR_LAYOUTS(l)
		{
			for (int nearest = 0; nearest <= OOO_NEAREST_CEIL; nearest++)
				check_resize(0, coord, nearest, false, l, OOO_FP32);
			check_resize(1, coord, 0, false, l, OOO_FP32);
			check_resize(1, coord, 0, true, l, OOO_FP32);
		}
	}
}

/* Tensors without elements are run like others, and nothing happens. */
static void empty_tensors(void **state)
{
	struct kt k;

	(void)state;
	kt_init(&k, OOO_OP_CONCAT, 1);
	k.step.attr.axis = 1;
	kt_in(&k, OOO_FP32, PLAIN, DIMS(2, 0, 3));
	kt_in(&k, OOO_FP32, PLAIN, DIMS(2, 4, 3));
	kt_out(&k, 1, PLAIN);
	kt_check(&k, 0);

	kt_init(&k, OOO_OP_GATHER, 1);
	kt_in(&k, OOO_FP32, PLAIN, DIMS(2, 3));
	kt_in(&k, OOO_INT64, PLAIN, DIMS(0));
	kt_out(&k, 1, PLAIN);
	kt_check(&k, 0);

	kt_init(&k, OOO_OP_RELU, 1);
	kt_in(&k, OOO_FP32, PLAIN, DIMS(3, 0));
	kt_out(&k, 1, PLAIN);
	kt_check(&k, 0);
}

/* Out of the range of a small type the nearest value is taken, as for the wide ones. */
static void casts_saturate_small_types(void **state)
{
	(void)state;
	cast_one(OOO_FP32, OOO_INT8, V(300, -300, 127.9, NAN), V(127, -128, 127, 0), 4);
	cast_one(OOO_FP32, OOO_UINT8, V(300, -3, 255.9, NAN), V(255, 0, 255, 0), 4);
}

static void resizes_of_any_type(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(move_types) / sizeof(*move_types); i++)
		check_resize(0, OOO_COORD_ASYMMETRIC, OOO_NEAREST_FLOOR, false, PLAIN,
			     move_types[i]);
}

static void tile_of_nothing(void **state)
{
	struct kt k;

	(void)state;
	kt_init(&k, OOO_OP_TILE, 1);
	kt_in(&k, OOO_FP32, PLAIN, DIMS(2, 0));
	set_dims(&k.step.attr, DIMS(4, 0));
	kt_out(&k, 1, PLAIN);
	kt_check(&k, 0);
}

static void post_operations_after_space_to_depth(void **state)
{
	struct kt k;

	(void)state;
	kt_init(&k, OOO_OP_SPACE_TO_DEPTH, 1);
	k.step.attr.kernel[0] = 3;
	kt_in(&k, OOO_FP32, PLAIN, DIMS(1, 8, 90, 120));
	kt_out(&k, 1, PLAIN);
	kt_post(&k, (struct post){ .op = OOO_OP_SIGMOID }, PLAIN, SCALAR);
	kt_check(&k, 5e-6);
}

#define KERNEL_CASES(CASE)                                                                         \
	CASE(unary_operators, false)                                                               \
	CASE(binary_operators, false)                                                              \
	CASE(binary_operators_in_chunks, false)                                                    \
	CASE(where_of_any_size, false)                                                             \
	CASE(not_a_number_propagates, true)                                                        \
	CASE(integers_wrap_and_never_trap, true)                                                   \
	CASE(casts, true)                                                                          \
	CASE(small_floats, true)                                                                   \
	CASE(moves, false)                                                                         \
	CASE(concat, false)                                                                        \
	CASE(reorders, false)                                                                      \
	CASE(gathers, false)                                                                       \
	CASE(bad_indices_are_told, false)                                                          \
	CASE(resizes, false)                                                                       \
	CASE(empty_tensors, false)                                                                 \
	CASE(casts_saturate_small_types, true)                                                     \
	CASE(resizes_of_any_type, false)                                                           \
	CASE(tile_of_nothing, false)                                                               \
	CASE(post_operations_after_space_to_depth, false)

#endif
