/* SPDX-License-Identifier: Apache-2.0 */
/* Where images stay in the image layout, and where they are reordered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/program/compiled.h"

static struct ooo_attr a;

static unsigned nr_reorders(const struct program *p)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < p->nr_steps; i++)
		n += p->steps[i].op == OP_REORDER;
	return n;
}

static void expect(struct build *b, enum layout layout, const uint32_t *ops)
{
	struct compiled c = compiled_new(b, layout, true);

	assert_steps(c.p, ops);
	compiled_free(&c);
}

static uint32_t pool(struct build *b, uint32_t x)
{
	attr_init(&a, OOO_OP_MAX_POOL);
	a.kernel[0] = a.kernel[1] = a.stride[0] = a.stride[1] = 2;
	return build_op(b, OOO_OP_MAX_POOL, &a, x, OOO_NONE, OOO_NONE);
}

static uint32_t concat(struct build *b, uint32_t x, uint32_t y, int axis)
{
	attr_init(&a, OOO_OP_CONCAT);
	a.axis = axis;
	return build_op(b, OOO_OP_CONCAT, &a, x, y, OOO_NONE);
}

/* A residual net from the input to its logits: nothing is reordered, not even at the ends. */
static void keeps_a_net_in_one_layout(void **state)
{
	(void)state;
	for (enum layout layout = LAYOUT_NHWC; layout <= LAYOUT_BLOCK16; layout++) {
		struct build *b = build_new(1);
		uint32_t x = build_image(b, 1, 3, 16, 16), y;
		struct compiled c;

		x = pool(b, build_conv(b, x, 16, 3, 1, 1, true));
		y = build_conv(b, build_op1(b, OOO_OP_RELU, x), 16, 3, 1, 16, true);
		y = build_op2(b, OOO_OP_ADD, build_batch_norm(b, y, 1), x);
		y = build_op1(b, OOO_OP_GLOBAL_AVERAGE_POOL, y);
		y = build_matmul(b, build_reshape(b, y, 1, 16), 10);
		build_output(b, y);
		c = compiled_new(b, layout, true);
		assert_steps(c.p, STEPS(OOO_OP_CONV, OOO_OP_MAX_POOL, OOO_OP_RELU, OOO_OP_CONV,
					OOO_OP_GLOBAL_AVERAGE_POOL, OOO_OP_MATMUL));
		for (int i = 0; i < 5; i++)
			assert_int_equal(c.p->tensors[c.p->steps[i].out[0]].layout, layout);
		assert_int_equal(c.p->tensors[c.p->steps[0].in[0]].place, PLACE_INPUT);
		assert_int_equal(c.p->tensors[c.p->steps[5].in[0]].layout, LAYOUT_PLAIN);
		compiled_free(&c);
	}
}

static void reorders_outputs_once(void **state)
{
	struct build *b = build_new(1);
	uint32_t x = build_conv(b, build_image(b, 1, 3, 4, 4), 5, 3, 1, 1, false);

	(void)state;
	build_output(b, x);
	build_output(b, build_conv(b, x, 4, 3, 1, 1, false)); /* reads the image, not the output */
	expect(b, LAYOUT_NHWC, STEPS(OOO_OP_CONV, OP_REORDER, OOO_OP_CONV, OP_REORDER));
}

static void reorders_for_plain_steps_once(void **state)
{
	struct build *b = build_new(1);
	uint32_t x = build_conv(b, build_image(b, 1, 3, 4, 4), 4, 3, 1, 1, false), y, z;

	(void)state;
	attr_init(&a, OOO_OP_SOFTMAX);
	a.axis = 3;
	y = build_op(b, OOO_OP_SOFTMAX, &a, x, OOO_NONE, OOO_NONE);
	a.axis = 1;
	z = build_op(b, OOO_OP_SOFTMAX, &a, x, OOO_NONE, OOO_NONE);
	build_output(b, y);
	build_output(b, z);
	expect(b, LAYOUT_NHWC, STEPS(OOO_OP_CONV, OP_REORDER, OOO_OP_SOFTMAX, OOO_OP_SOFTMAX));
}

/* Without a convolution there is no reason to leave the plain layout. */
static void follows_only_images(void **state)
{
	struct build *b = build_new(1);
	uint32_t x = build_image(b, 1, 3, 4, 4);

	(void)state;
	build_output(b, build_op1(b, OOO_OP_SIN, pool(b, build_batch_norm(b, x, 1))));
	expect(b, LAYOUT_NHWC, STEPS(OOO_OP_BATCH_NORM, OOO_OP_MAX_POOL, OOO_OP_SIN));
}

static void gates_channels(void **state)
{
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_FP32, 16, 1, 1, -1);
	uint32_t x = build_conv(b, build_image(b, 2, 3, 4, 4), 16, 3, 1, 1, false), y;
	struct compiled c;

	(void)state;
	y = build_op1(b, OOO_OP_SIGMOID, build_op1(b, OOO_OP_GLOBAL_AVERAGE_POOL, x));
	x = build_op2(b, OOO_OP_MUL, x, y);
	x = build_op2(b, OOO_OP_POW, x, build_const(b, &s, NULL));
	x = build_op2(b, OOO_OP_DIV, x, build_scalar(b, 2));
	build_output(b, x);
	c = compiled_new(b, LAYOUT_NHWC, true);
	assert_steps(c.p, STEPS(OOO_OP_CONV, OOO_OP_GLOBAL_AVERAGE_POOL, OOO_OP_SIGMOID, OOO_OP_MUL,
				OOO_OP_POW, OOO_OP_DIV, OP_REORDER));
	compiled_free(&c);
}

/* Broadcasting that is not by channel is left to the plain layout. */
static void combines_rows_plain(void **state)
{
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_FP32, 4, -1, -1, -1);
	uint32_t x = build_conv(b, build_image(b, 2, 3, 4, 4), 4, 3, 1, 1, false);

	(void)state;
	build_output(b, build_op2(b, OOO_OP_SUB, x, build_const(b, &s, NULL)));
	expect(b, LAYOUT_NHWC, STEPS(OOO_OP_CONV, OP_REORDER, OOO_OP_SUB));
}

static void joins_channels(void **state)
{
	struct build *b;
	uint32_t x, y;

	(void)state;
	for (int channels = 16; channels <= 20; channels += 4) {
		b = build_new(1);
		x = build_image(b, 2, 3, 4, 4);
		y = build_conv(b, x, channels, 3, 1, 1, false);
		x = build_conv(b, x, 7, 3, 1, 1, false);
		x = concat(b, y, x, 1);
		build_output(b, build_conv(b, x, 4, 3, 1, 1, false));
		if (channels == 16)
			expect(b, LAYOUT_BLOCK16,
			       STEPS(OOO_OP_CONV, OOO_OP_CONV, OOO_OP_CONCAT, OOO_OP_CONV,
				     OP_REORDER));
		else
			expect(b, LAYOUT_BLOCK16,
			       STEPS(OOO_OP_CONV, OOO_OP_CONV, OP_REORDER, OP_REORDER,
				     OOO_OP_CONCAT, OP_REORDER, OOO_OP_CONV, OP_REORDER));
	}
	b = build_new(1);
	x = build_conv(b, build_image(b, 2, 3, 4, 4), 4, 3, 1, 1, false);
	build_output(b, concat(b, x, x, 2));
	expect(b, LAYOUT_NHWC, STEPS(OOO_OP_CONV, OP_REORDER, OOO_OP_CONCAT));
}

static void collapses_to_a_pool(void **state)
{
	struct build *b = build_new(1);
	uint32_t x = build_conv(b, build_image(b, 2, 3, 4, 4), 4, 3, 1, 1, false);
	struct compiled c;

	(void)state;
	attr_init(&a, OOO_OP_REDUCE_MEAN);
	a.axes = 0xc;
	build_output(b, build_op(b, OOO_OP_REDUCE_MEAN, &a, x, OOO_NONE, OOO_NONE));
	c = compiled_new(b, LAYOUT_NHWC, true);
	/* the pool writes the output itself */
	assert_steps(c.p, STEPS(OOO_OP_CONV, OOO_OP_GLOBAL_AVERAGE_POOL));
	assert_int_equal(tensor_origin(c.p, c.p->steps[1].out[0])->place, PLACE_OUTPUT);
	compiled_free(&c);
}

static void reorders_residuals(void **state)
{
	struct build *b = build_new(1);
	uint32_t x = build_image(b, 1, 4, 4, 4), y = build_conv(b, x, 4, 3, 1, 1, false);
	struct compiled c;

	(void)state;
	build_output(b, build_op2(b, OOO_OP_ADD, y, x));
	c = compiled_new(b, LAYOUT_NHWC, true);
	/* The convolution reads the input as it is, the sum needs it as an image. */
	assert_steps(c.p, STEPS(OP_REORDER, OOO_OP_CONV, OP_REORDER));
	assert_int_equal(c.p->steps[1].post[0].operand, c.p->steps[0].out[0]);
	compiled_free(&c);
}

static void pads_blocks(void **state)
{
	struct build *b = build_new(1);
	struct compiled c;

	(void)state;
	build_output(b, build_conv(b, build_image(b, 2, 3, 4, 4), 17, 3, 1, 1, false));
	c = compiled_new(b, LAYOUT_BLOCK16, true);
	assert_int_equal(nr_reorders(c.p), 1);
	assert_int_equal(c.p->tensors[c.p->steps[0].out[0]].bytes, 2 * 32 * 4 * 4 * 4);
	compiled_free(&c);
	/* Rank 3 stays plain. */
	b = build_new(1);
	{
		struct shape s = build_dims(OOO_FP32, 1, 3, 9, -1), w;
		uint32_t x = build_input(b, &s);

		w = build_dims(OOO_FP32, 4, 3, 1, -1);
		attr_init(&a, OOO_OP_CONV);
		build_output(b,
			     build_op(b, OOO_OP_CONV, &a, x, build_const(b, &w, NULL), OOO_NONE));
	}
	expect(b, LAYOUT_BLOCK16, STEPS(OOO_OP_CONV));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_a_net_in_one_layout),
		cmocka_unit_test(reorders_outputs_once),
		cmocka_unit_test(reorders_for_plain_steps_once),
		cmocka_unit_test(follows_only_images),
		cmocka_unit_test(gates_channels),
		cmocka_unit_test(combines_rows_plain),
		cmocka_unit_test(joins_channels),
		cmocka_unit_test(collapses_to_a_pool),
		cmocka_unit_test(reorders_residuals),
		cmocka_unit_test(pads_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
