/* SPDX-License-Identifier: Apache-2.0 */
/* Which intermediates change their type when a lower precision is permitted, and which must not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/program/compiled.h"
#include "tests/unit/program/random.h"

#define ALL_PRECISIONS (1u << OOO_FP16 | 1u << OOO_BF16 | 1u << OOO_TF32)

static struct ooo_attr a;

/* Takes the builder. */
static struct compiled compile(struct build *b, enum layout layout, uint8_t want, uint32_t can)
{
	struct device_caps caps = { .image_layout = (uint8_t)layout, .precisions = can };
	struct compile_opts opts = { .caps = &caps, .precision = want, .eval = interp_eval };
	char why[256] = "";
	struct compiled c;
	uint64_t bytes;

	c.data = build_encode(b, &bytes);
	if (program_compile_mem(c.data, bytes, &opts, &c.p, why, sizeof(why)))
		fail_msg("%s", why);
	assert_int_equal(check_program(c.p), 0);
	build_free(b);
	return c;
}

static uint32_t dtype_of_result(const struct program *p, uint32_t op)
{
	for (uint32_t i = 0; i < p->nr_steps; i++)
		if (p->steps[i].op == op)
			return p->tensors[p->steps[i].out[0]].shape.dtype;
	fail_msg("there is no step %u", op);
	return 0;
}

static uint32_t vector(struct build *b, uint32_t dtype, int64_t n)
{
	struct shape s = build_dims(dtype, n, -1, -1, -1);

	return build_input(b, &s);
}

static uint32_t cast(struct build *b, uint32_t x, uint32_t dtype)
{
	attr_init(&a, OOO_OP_CAST);
	a.mode = (int32_t)dtype;
	return build_op(b, OOO_OP_CAST, &a, x, OOO_NONE, OOO_NONE);
}

/* A small net with an image part; its last step writes the output. */
static struct build *net(void)
{
	struct build *b = build_new(1);
	uint32_t x = build_conv(b, build_image(b, 1, 3, 8, 8), 16, 3, 1, 1, true);

	x = build_conv(b, build_op1(b, OOO_OP_RELU, x), 5, 3, 2, 1, true);
	x = build_reshape(b, build_op1(b, OOO_OP_GLOBAL_AVERAGE_POOL, x), 1, 5);
	build_output(b, build_op1(b, OOO_OP_SIN, build_matmul(b, x, 7)));
	return b;
}

static void intermediates_become_small(void **state)
{
	static const uint8_t wanted[] = { OOO_FP16, OOO_BF16 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct compiled wide = compile(net(), LAYOUT_NHWC, 0, ALL_PRECISIONS);
		struct compiled c = compile(net(), LAYOUT_NHWC, wanted[i], ALL_PRECISIONS);
		unsigned nr = 0;

		assert_int_equal(wide.p->precision, 0);
		assert_int_equal(c.p->precision, wanted[i]);
		assert_int_equal(c.p->nr_steps, wide.p->nr_steps);
		for (uint32_t t = 0; t < c.p->nr_tensors; t++) {
			const struct tensor *x = &c.p->tensors[t];
			uint32_t dtype = x->place == PLACE_WORKSPACE ? wanted[i] : OOO_FP32;

			nr += x->place == PLACE_WORKSPACE;
			if (x->place != PLACE_NONE)
				assert_int_equal(x->shape.dtype, dtype);
		}
		assert_in_range(nr, 4, 9);
		assert_in_range(c.p->tensor_bytes, 1, wide.p->tensor_bytes - 1);
		compiled_free(&wide);
		compiled_free(&c);
	}
}

/* The permission is all that there is: a device that cannot, does not. */
static void needs_the_device(void **state)
{
	static const struct {
		uint8_t want;
		uint32_t can;
		uint8_t have;
	} cases[] = {
		{ OOO_FP16, 0, 0 },
		{ OOO_FP16, 1u << OOO_BF16 | 1u << OOO_TF32, 0 },
		{ OOO_TF32, ALL_PRECISIONS, OOO_TF32 }, /* stored as before */
		{ OOO_FP32, ALL_PRECISIONS, 0 },
		{ 0, ALL_PRECISIONS, 0 },
		{ 255, UINT32_MAX, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct compiled c = compile(net(), LAYOUT_NHWC, cases[i].want, cases[i].can);

		assert_int_equal(c.p->precision, cases[i].have);
		for (uint32_t t = 0; t < c.p->nr_tensors; t++)
			assert_int_equal(c.p->tensors[t].shape.dtype, OOO_FP32);
		compiled_free(&c);
	}
}

/* A position in fp16 is wrong from 2049 on. */
static void positions_stay_exact(void **state)
{
	struct build *b = build_new(1);
	uint32_t x = vector(b, OOO_FP32, 4), ids = vector(b, OOO_INT64, 4), y;
	struct shape table = build_dims(OOO_FP32, 9, 4, -1, -1);
	struct compiled c;

	(void)state;
	/* an index computed from activations, through other steps */
	y = build_op1(b, OOO_OP_FLOOR, build_op2(b, OOO_OP_DIV, x, build_scalar(b, 3)));
	y = cast(b, build_op1(b, OOO_OP_SIGMOID, y), OOO_INT64);
	y = build_op2(b, OOO_OP_GATHER, build_const(b, &table, NULL), y);
	/* numbers made of integers, and activations once the two meet */
	ids = build_op2(b, OOO_OP_MUL, cast(b, ids, OOO_FP32), build_scalar(b, 0.25f));
	y = build_op1(b, OOO_OP_COS, build_op2(b, OOO_OP_ADD, y, build_op1(b, OOO_OP_SIN, ids)));
	build_output(b, build_op1(b, OOO_OP_NEG, y));
	c = compile(b, LAYOUT_PLAIN, OOO_FP16, ALL_PRECISIONS);
	assert_int_equal(dtype_of_result(c.p, OOO_OP_DIV), OOO_FP32);
	assert_int_equal(dtype_of_result(c.p, OOO_OP_FLOOR), OOO_FP32);
	assert_int_equal(dtype_of_result(c.p, OOO_OP_MUL), OOO_FP32);
	assert_int_equal(dtype_of_result(c.p, OOO_OP_SIN), OOO_FP32);
	assert_int_equal(dtype_of_result(c.p, OOO_OP_GATHER), OOO_FP16);
	assert_int_equal(dtype_of_result(c.p, OOO_OP_COS), OOO_FP16);
	compiled_free(&c);
}

static void ranks_stay_distinct(void **state)
{
	struct build *b = build_new(1);
	uint32_t x = build_op1(b, OOO_OP_COS, vector(b, OOO_FP32, 8)), y;
	struct compiled c;

	(void)state;
	y = build_op1(b, OOO_OP_SIN, x);
	attr_init(&a, OOO_OP_ARG_MAX);
	build_output(b, build_op(b, OOO_OP_ARG_MAX, &a, y, OOO_NONE, OOO_NONE));
	y = build_op1(b, OOO_OP_NEG, x);
	build_output(b, build_op2(b, OOO_OP_LESS, y, build_scalar(b, 0.1f)));
	c = compile(b, LAYOUT_PLAIN, OOO_BF16, ALL_PRECISIONS);
	assert_int_equal(dtype_of_result(c.p, OOO_OP_COS), OOO_BF16);
	assert_int_equal(dtype_of_result(c.p, OOO_OP_SIN), OOO_FP32);
	assert_int_equal(dtype_of_result(c.p, OOO_OP_NEG), OOO_FP32);
	compiled_free(&c);
}

/* x / sqrt(sum(x^2) + e): the sum of 100 squares of 30 is beyond fp16 already. */
static void large_numbers_stay_in_range(void **state)
{
	struct build *b = build_new(1);
	uint32_t x = build_op1(b, OOO_OP_COS, vector(b, OOO_FP32, 100)), y;
	struct compiled c;

	(void)state;
	attr_init(&a, OOO_OP_REDUCE_SUM);
	a.axes = 1;
	y = build_op(b, OOO_OP_REDUCE_SUM, &a, build_op2(b, OOO_OP_MUL, x, x), OOO_NONE, OOO_NONE);
	y = build_op1(b, OOO_OP_SQRT, y);
	y = build_op2(b, OOO_OP_DIV, x, y);
	y = build_op2(b, OOO_OP_SUB, y, build_op2(b, OOO_OP_MIN, x, build_scalar(b, 1e30f)));
	build_output(b, build_op1(b, OOO_OP_ERF, y));
	c = compile(b, LAYOUT_PLAIN, OOO_FP16, ALL_PRECISIONS);
	assert_int_equal(dtype_of_result(c.p, OOO_OP_COS), OOO_FP16);
	assert_int_equal(dtype_of_result(c.p, OOO_OP_MUL), OOO_FP32);
	assert_int_equal(dtype_of_result(c.p, OOO_OP_REDUCE_SUM), OOO_FP32);
	assert_int_equal(dtype_of_result(c.p, OOO_OP_SQRT), OOO_FP32);
	assert_int_equal(dtype_of_result(c.p, OOO_OP_MIN), OOO_FP32);
	assert_int_equal(dtype_of_result(c.p, OOO_OP_DIV), OOO_FP16);
	compiled_free(&c);
}

/* What only changes its shape on the way out is written where it goes. */
static void outputs_need_no_copy(void **state)
{
	struct build *b = build_new(1);
	uint32_t x = build_op1(b, OOO_OP_COS, vector(b, OOO_FP32, 12));
	struct compiled c;

	(void)state;
	build_output(b, build_reshape(b, build_op1(b, OOO_OP_SIN, x), 3, 4));
	c = compile(b, LAYOUT_PLAIN, OOO_FP16, ALL_PRECISIONS);
	assert_steps(c.p, STEPS(OOO_OP_COS, OOO_OP_SIN));
	assert_int_equal(dtype_of_result(c.p, OOO_OP_COS), OOO_FP16);
	assert_int_equal(dtype_of_result(c.p, OOO_OP_SIN), OOO_FP32);
	compiled_free(&c);
}

/* Whatever the program: a reshaped or copied tensor has one type wherever it is named. */
static void random_programs(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct compiled c =
			compile(random_program(seed, 6 + seed % 40),
				seed & 1 ? LAYOUT_NHWC : LAYOUT_PLAIN, OOO_FP16, ALL_PRECISIONS);

		for (uint32_t t = 0; t < c.p->nr_tensors; t++) {
			const struct tensor *x = &c.p->tensors[t];

			if (x->place != PLACE_NONE)
				assert_int_equal(x->shape.dtype,
						 tensor_origin(c.p, t)->shape.dtype);
			if (x->place == PLACE_INPUT || x->place == PLACE_OUTPUT ||
			    x->place == PLACE_CONST)
				assert_int_equal(x->shape.dtype, OOO_FP32);
		}
		compiled_free(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(intermediates_become_small),
		cmocka_unit_test(needs_the_device),
		cmocka_unit_test(positions_stay_exact),
		cmocka_unit_test(ranks_stay_distinct),
		cmocka_unit_test(large_numbers_stay_in_range),
		cmocka_unit_test(outputs_need_no_copy),
		cmocka_unit_test(random_programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
