/* SPDX-License-Identifier: Apache-2.0 */
/* The workspace, the order that sharing it needs, the cost prior and the listing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/program/compiled.h"

/* Two buffers do for a chain, however long it is. Division does not fuse. */
static void reuses_memory(void **state)
{
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_FP32, 100, -1, -1, -1);
	uint32_t x = build_input(b, &s);
	struct compiled c;

	(void)state;
	for (int i = 0; i < 12; i++)
		x = build_op1(b, OOO_OP_SIN, x);
	build_output(b, x);
	c = compiled_new(b, LAYOUT_PLAIN, true);
	assert_int_equal(c.p->nr_steps, 12);
	assert_int_equal(c.p->workspace_bytes, 2 * 448);
	assert_int_equal(c.p->tensor_bytes, 11 * 448);
	for (uint32_t i = 0; i < 12; i++) { /* a chain, with no second edge */
		assert_int_equal(c.p->steps[i].nr_deps, i > 0);
		assert_int_equal(c.p->steps[i].nr_succ, i < 11);
	}
	compiled_free(&c);
}

/* The small one goes into the gap that it fits best. */
static void fills_gaps(void **state)
{
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_FP32, 4, 64, -1, -1);
	uint32_t x = build_input(b, &s), y[3], sum;
	struct compiled c;

	(void)state;
	for (int i = 0; i < 3; i++)
		y[i] = build_op1(b, OOO_OP_SIN, x);
	sum = build_op2(b, OOO_OP_POW, y[0], y[1]);
	sum = build_op2(b, OOO_OP_DIV, sum, y[2]);
	build_output(b, build_op1(b, OOO_OP_SIN, sum));
	c = compiled_new(b, LAYOUT_PLAIN, true);
	assert_int_equal(c.p->workspace_bytes, 4 * 1024); /* three and the first sum */
	compiled_free(&c);
}

static void aliases_outputs(void **state)
{
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_FP32, 4, 6, -1, -1);
	uint32_t x = build_op1(b, OOO_OP_SIN, build_input(b, &s));
	struct compiled c;

	(void)state;
	build_output(b, build_reshape(b, x, 3, 8));
	build_output(b, build_op1(b, OOO_OP_EXP, x)); /* reads what is the output's memory now */
	c = compiled_new(b, LAYOUT_PLAIN, true);
	assert_steps(c.p, STEPS(OOO_OP_SIN, OOO_OP_EXP));
	assert_int_equal(c.p->workspace_bytes, 0);
	assert_int_equal(tensor_origin(c.p, c.p->steps[0].out[0])->place, PLACE_OUTPUT);
	assert_int_equal(c.p->steps[1].nr_deps, 1);
	compiled_free(&c);
}

/* One tensor with many readers, whose bytes many others take over. */
static void bounds_edges(void **state)
{
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_FP32, 64, 64, -1, -1);
	uint32_t x = build_op1(b, OOO_OP_SIN, build_input(b, &s)), parts[40], sum = OOO_NONE;
	struct ooo_attr a;
	struct compiled c;
	uint64_t edges = 0;

	(void)state;
	attr_init(&a, OOO_OP_REDUCE_MAX);
	for (int i = 0; i < 40; i++) {
		a.axes = 2;
		parts[i] = build_op(b, OOO_OP_REDUCE_MAX, &a, x, OOO_NONE, OOO_NONE);
	}
	for (int i = 0; i < 40; i++)
		parts[i] = build_op1(b, OOO_OP_SIN, parts[i]);
	for (int i = 0; i < 40; i++)
		sum = i ? build_op2(b, OOO_OP_POW, sum, parts[i]) : parts[0];
	build_output(b, sum);
	c = compiled_new(b, LAYOUT_PLAIN, true);
	for (uint32_t i = 0; i < c.p->nr_steps; i++)
		edges += c.p->steps[i].nr_succ;
	assert_in_range(edges, c.p->nr_steps - 1, 6 * c.p->nr_steps);
	compiled_free(&c);
}

static void prices_steps(void **state)
{
	struct build *b = build_new(1);
	uint32_t x = build_conv(b, build_image(b, 1, 8, 10, 10), 16, 3, 1, 2, false);
	struct device_caps caps = { .flops_per_ns = 0.01, .bytes_per_ns = 1e9 };
	struct compiled c;
	struct step s;

	(void)state;
	x = build_matmul(b, build_reshape(b, build_op1(b, OOO_OP_RELU, x), 1, 1600), 10);
	build_output(b, x);
	c = compiled_new(b, LAYOUT_PLAIN, true);
	s = c.p->steps[0];
	assert_int_equal(s.flops, 2 * 1600 * 4 * 9 + 1600);
	assert_int_equal(s.traffic_bytes, 4 * (800 + 16 * 4 * 9 + 1600));
	assert_true(s.cost_ns > 500);
	assert_int_equal(c.p->steps[1].flops, 2 * 1600 * 10);
	step_cost(c.p, &s, &caps); /* bound by arithmetic */
	assert_int_equal(s.cost_ns, 500 + s.flops * 100);
	caps = (struct device_caps){ .flops_per_ns = 1e9, .bytes_per_ns = 0.01 };
	step_cost(c.p, &s, &caps); /* bound by memory */
	assert_in_range(s.cost_ns, 499 + s.traffic_bytes * 100, 501 + s.traffic_bytes * 100);
	caps.bytes_per_ns = 1e-12;
	step_cost(c.p, &s, &caps);
	assert_int_equal(s.cost_ns, UINT32_MAX);
	assert_int_equal(c.p->weight_bytes, 4 * (16 * 4 * 9 + 16000));
	compiled_free(&c);
}

static void prints(void **state)
{
	struct build *b = build_new(1);
	uint32_t x = build_conv(b, build_image(b, 1, 3, 4, 4), 5, 3, 1, 1, false);
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	struct compiled c;

	(void)state;
	build_output(b, build_op1(b, OOO_OP_RELU, x));
	c = compiled_new(b, LAYOUT_NHWC, true);
	program_print(c.p, f);
	fclose(f);
	assert_non_null(
		strstr(text, "program 'test': 2 operators in 2 steps, 1 inputs, 1 outputs"));
	assert_non_null(strstr(text, "Conv 0+Relu"));
	assert_non_null(strstr(text, "fp32[1,5,4,4] nhwc@0"));
	assert_non_null(strstr(text, "@input0"));
	assert_non_null(strstr(text, "@output0"));
	assert_non_null(strstr(text, "@const"));
	assert_non_null(strstr(text, "then Relu"));
	free(text);
	compiled_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reuses_memory),   cmocka_unit_test(fills_gaps),
		cmocka_unit_test(aliases_outputs), cmocka_unit_test(bounds_edges),
		cmocka_unit_test(prices_steps),    cmocka_unit_test(prints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
