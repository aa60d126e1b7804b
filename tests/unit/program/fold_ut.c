/* SPDX-License-Identifier: Apache-2.0 */
/* What simplify, fold, match, absorb and fuse make of small programs, step by step. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/program/compiled.h"

static struct ooo_attr a;

static void expect(struct build *b, uint32_t out, const uint32_t *ops)
{
	struct compiled c;

	if (out != OOO_NONE)
		build_output(b, out);
	c = compiled_new(b, LAYOUT_PLAIN, true);
	assert_steps(c.p, ops);
	compiled_free(&c);
}

static uint32_t transpose(struct build *b, uint32_t x, int p0, int p1, int p2)
{
	attr_init(&a, OOO_OP_TRANSPOSE);
	a.perm[0] = p0;
	a.perm[1] = p1;
	a.perm[2] = p2;
	return build_op(b, OOO_OP_TRANSPOSE, &a, x, OOO_NONE, OOO_NONE);
}

static uint32_t clip(struct build *b, uint32_t x, float low, float high)
{
	attr_init(&a, OOO_OP_CLIP);
	a.alpha = low;
	a.beta = high;
	return build_op(b, OOO_OP_CLIP, &a, x, OOO_NONE, OOO_NONE);
}

/* ---- simplify -------------------------------------------------------------------------------- */

static void drops_copies(void **state)
{
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_FP32, 2, 1, 6, -1);
	uint32_t x = build_input(b, &s);

	(void)state;
	x = build_op1(b, OOO_OP_SIN, x);
	x = build_op1(b, OOO_OP_IDENTITY, x);
	x = clip(b, x, -INFINITY, INFINITY);
	x = transpose(b, x, 1, 0, 2);
	x = build_reshape(b, x, 3, 4);
	x = build_reshape(b, x, 4, 3);
	expect(b, build_op1(b, OOO_OP_EXP, x), STEPS(OOO_OP_SIN, OOO_OP_EXP));
}

/* From an input or a constant to an output something has to copy. */
static void keeps_copies_to_outputs(void **state)
{
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_FP32, 2, 3, -1, -1);
	uint32_t x = build_input(b, &s);

	(void)state;
	build_output(b, build_op1(b, OOO_OP_IDENTITY, x));
	build_output(b, build_op1(b, OOO_OP_IDENTITY, build_const(b, &s, NULL)));
	x = build_reshape(b, x, 3, 2);
	build_output(b, build_op1(b, OOO_OP_IDENTITY, x));
	expect(b, OOO_NONE, STEPS(OOO_OP_IDENTITY, OOO_OP_IDENTITY, OOO_OP_IDENTITY));
}

static void copies_outputs_once(void **state)
{
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_FP32, 2, 3, -1, -1);
	uint32_t x = build_op1(b, OOO_OP_SIN, build_input(b, &s));

	(void)state;
	/* The first output is written by Sin itself, the second is a copy of it. */
	build_output(b, build_op1(b, OOO_OP_IDENTITY, x));
	expect(b, build_reshape(b, x, 6, 1), STEPS(OOO_OP_SIN, OOO_OP_RESHAPE));
}

static void takes_transposes_and_padding(void **state)
{
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_FP32, 2, 4, 3, -1);
	uint32_t x = build_op1(b, OOO_OP_SIN, build_input(b, &s));
	struct compiled c;

	(void)state;
	build_output(b, build_op2(b, OOO_OP_MATMUL, x, transpose(b, x, 0, 2, 1)));
	x = build_image(b, 1, 3, 5, 5);
	attr_init(&a, OOO_OP_PAD);
	a.rank = 4;
	for (int i = 0; i < 4; i++) {
		a.start[i] = i == 3;
		a.dims[i] = build_shape(b, x).dims[i] + (i == 2 ? 1 : i == 3 ? 3 : 0);
	}
	x = build_op(b, OOO_OP_PAD, &a, x, OOO_NONE, OOO_NONE);
	build_output(b, build_conv(b, x, 4, 3, 1, 1, false));
	c = compiled_new(b, LAYOUT_PLAIN, true);
	assert_steps(c.p, STEPS(OOO_OP_SIN, OOO_OP_MATMUL, OOO_OP_CONV));
	assert_int_equal(c.p->steps[1].attr.flags, OOO_ATTR_TRANS_B);
	assert_int_equal(c.p->steps[2].attr.pad[0], 1);
	assert_int_equal(c.p->steps[2].attr.pad[1], 2);
	assert_int_equal(c.p->steps[2].attr.pad[2], 2);
	assert_int_equal(c.p->steps[2].attr.pad[3], 3);
	compiled_free(&c);
}

static void drops_what_nobody_reads(void **state)
{
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_FP32, 2, 3, -1, -1);
	uint32_t x = build_input(b, &s);

	(void)state;
	build_op1(b, OOO_OP_SIN, build_op1(b, OOO_OP_EXP, x));
	expect(b, build_op1(b, OOO_OP_SQRT, x), STEPS(OOO_OP_SQRT));
}

/* ---- fold ------------------------------------------------------------------------------------ */

static void folds_constants(void **state)
{
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_FP32, 2, 3, -1, -1);
	uint32_t x = build_input(b, &s), y = build_fill(b, &s, 4);
	struct compiled c;
	float v;

	(void)state;
	y = build_reshape(b, build_op1(b, OOO_OP_SQRT, y), 3, 2);
	y = transpose(b, y, 1, 0, 0);
	build_output(b, build_op2(b, OOO_OP_SUB, x, y));
	c = compiled_new(b, LAYOUT_PLAIN, true);
	assert_steps(c.p, STEPS(OOO_OP_SUB));
	memcpy(&v, c.p->tensors[c.p->steps[0].in[1]].data, sizeof(v));
	assert_true(v == 2);
	assert_int_equal(c.p->weight_bytes, 24);
	compiled_free(&c);
}

/* An enlargement is left to run time; so are what the cpu refuses and what is an output. */
static void folds_within_reason(void **state)
{
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_INT64, 1, -1, -1, -1),
		     t = build_dims(OOO_FP32, 5, 2, -1, -1);
	const int64_t index = 7; /* out of range: an error at run time */
	uint32_t x;

	(void)state;
	attr_init(&a, OOO_OP_EXPAND);
	a.rank = 1;
	a.dims[0] = 20000;
	x = build_op(b, OOO_OP_EXPAND, &a, build_scalar(b, 2), OOO_NONE, OOO_NONE);
	build_output(b, build_op1(b, OOO_OP_SIN, x));
	x = build_op2(b, OOO_OP_GATHER, build_const(b, &t, NULL), build_const(b, &s, &index));
	build_output(b, build_op1(b, OOO_OP_SIN, x));
	expect(b, build_op1(b, OOO_OP_SIN, build_const(b, &t, NULL)),
	       STEPS(OOO_OP_EXPAND, OOO_OP_SIN, OOO_OP_GATHER, OOO_OP_SIN, OOO_OP_SIN));
}

static void folds_within_quota(void **state)
{
	struct compile_opts opts = { .eval = interp_eval };
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_FP32, 16, -1, -1, -1);
	struct program *p;
	uint64_t bytes;
	void *data;

	(void)state;
	build_output(b, build_op2(b, OOO_OP_SUB, build_input(b, &s),
				  build_op1(b, OOO_OP_SIN, build_const(b, &s, NULL))));
	data = build_encode(b, &bytes);
	opts.max_weight_bytes = 127; /* 64 are sent, 64 would be made */
	assert_int_equal(program_compile_mem(data, bytes, &opts, &p, NULL, 0), 0);
	assert_int_equal(p->nr_steps, 2);
	program_free(p);
	opts.max_weight_bytes = 128;
	assert_int_equal(program_compile_mem(data, bytes, &opts, &p, NULL, 0), 0);
	assert_int_equal(p->nr_steps, 1);
	program_free(p);
	free(data);
	build_free(b);
}

/* ---- match ----------------------------------------------------------------------------------- */

static void expect_one(struct build *b, uint32_t out, uint32_t op, float alpha, int mode)
{
	struct compiled c;

	build_output(b, out);
	c = compiled_new(b, LAYOUT_PLAIN, true);
	assert_steps(c.p, STEPS(op));
	assert_true(fabsf(c.p->steps[0].attr.alpha - alpha) < 1e-6f);
	assert_int_equal(c.p->steps[0].attr.mode, mode);
	compiled_free(&c);
}

static struct build *with_input(uint32_t *x)
{
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_FP32, 2, 3, 4, -1);

	*x = build_input(b, &s);
	return b;
}

static void matches_gates(void **state)
{
	struct build *b;
	uint32_t x, y;

	(void)state;
	b = with_input(&x);
	y = build_op1(b, OOO_OP_SIGMOID, x);
	expect_one(b, build_op2(b, OOO_OP_MUL, y, x), OOO_OP_SWISH, 1, 0);

	b = with_input(&x);
	attr_init(&a, OOO_OP_HARD_SIGMOID);
	a.alpha = 1.0f / 6;
	y = build_op(b, OOO_OP_HARD_SIGMOID, &a, x, OOO_NONE, OOO_NONE);
	expect_one(b, build_op2(b, OOO_OP_MUL, x, y), OOO_OP_HARD_SWISH, 0, 0);

	for (int i = 0; i < 4; i++) {
		uint32_t ops[2] = { OOO_OP_DIV, OOO_OP_MUL };

		b = with_input(&x);
		y = clip(b, build_op2(b, OOO_OP_ADD, build_scalar(b, 3), x), 0, 6);
		if (i & 1)
			y = build_op2(b, OOO_OP_MUL, y, x);
		y = build_op2(b, ops[i / 2], y, build_scalar(b, i / 2 ? 1.0f / 6 : 6));
		expect_one(b, y, i & 1 ? OOO_OP_HARD_SWISH : OOO_OP_HARD_SIGMOID,
			   i & 1 ? 0 : 1.0f / 6, 0);
	}
	/* a gate of something else */
	b = with_input(&x);
	y = build_op1(b, OOO_OP_SIGMOID, build_op1(b, OOO_OP_SIN, x));
	build_output(b, build_op2(b, OOO_OP_MUL, x, y));
	expect(b, OOO_NONE, STEPS(OOO_OP_SIN));
}

static void matches_gelu(void **state)
{
	(void)state;
	for (int form = 0; form < 6; form++) {
		uint32_t x, e, half, one;
		struct build *b = with_input(&x);

		half = build_scalar(b, 0.5f);
		one = build_scalar(b, 1);
		if (form < 3)
			e = build_op2(b, OOO_OP_DIV, x, build_scalar(b, 1.4142135f));
		else
			e = build_op2(b, OOO_OP_MUL, build_scalar(b, 0.70710677f), x);
		e = build_op2(b, OOO_OP_ADD, one, build_op1(b, OOO_OP_ERF, e));
		if (form % 3 == 0)
			e = build_op2(b, OOO_OP_MUL, build_op2(b, OOO_OP_MUL, x, e), half);
		else if (form % 3 == 1)
			e = build_op2(b, OOO_OP_MUL, build_op2(b, OOO_OP_MUL, half, x), e);
		else
			e = build_op2(b, OOO_OP_MUL, build_op2(b, OOO_OP_MUL, e, half), x);
		expect_one(b, e, OOO_OP_GELU, 0, 0);
	}
}

static void matches_gelu_by_tanh(void **state)
{
	(void)state;
	for (int form = 0; form < 2; form++) {
		uint32_t x, t;
		struct build *b = with_input(&x);

		t = form ? build_op2(b, OOO_OP_POW, x, build_scalar(b, 3))
			 : build_op2(b, OOO_OP_MUL, x, build_op2(b, OOO_OP_MUL, x, x));
		t = build_op2(b, OOO_OP_MUL, t, build_scalar(b, 0.044715f));
		t = build_op2(b, OOO_OP_ADD, x, t);
		t = build_op2(b, OOO_OP_MUL, build_scalar(b, 0.7978846f), t);
		t = build_op2(b, OOO_OP_ADD, build_op1(b, OOO_OP_TANH, t), build_scalar(b, 1));
		t = build_op2(b, OOO_OP_MUL, build_op2(b, OOO_OP_MUL, x, t), build_scalar(b, 0.5f));
		expect_one(b, t, OOO_OP_GELU, 0, 1);
	}
}

static uint32_t mean(struct build *b, uint32_t x, uint32_t axes)
{
	attr_init(&a, OOO_OP_REDUCE_MEAN);
	a.axes = axes;
	a.flags = OOO_ATTR_KEEPDIMS;
	return build_op(b, OOO_OP_REDUCE_MEAN, &a, x, OOO_NONE, OOO_NONE);
}

static void matches_layer_norm(void **state)
{
	(void)state;
	for (int form = 0; form < 8; form++) {
		struct shape tail = build_dims(OOO_FP32, 3, 4, -1, -1);
		uint32_t x, d, v;
		struct build *b = with_input(&x);
		struct compiled c;

		d = build_op2(b, OOO_OP_SUB, x, mean(b, x, 6));
		v = form & 1 ? build_op2(b, OOO_OP_MUL, d, d)
			     : build_op2(b, OOO_OP_POW, d, build_scalar(b, 2));
		v = build_op2(b, OOO_OP_ADD, mean(b, v, 6), build_scalar(b, 0.25f));
		if (form & 2)
			d = build_op2(b, OOO_OP_SUB, x, mean(b, x, 6));
		v = build_op2(b, OOO_OP_DIV, d, build_op1(b, OOO_OP_SQRT, v));
		v = build_op2(b, OOO_OP_MUL, build_const(b, &tail, NULL), v);
		if (form & 4)
			v = build_op2(b, OOO_OP_ADD, v, build_const(b, &tail, NULL));
		build_output(b, v);
		c = compiled_new(b, LAYOUT_PLAIN, true);
		assert_steps(c.p, STEPS(OOO_OP_LAYER_NORM));
		assert_int_equal(c.p->steps[0].attr.axis, 1);
		assert_true(c.p->steps[0].attr.alpha == 0.25f);
		assert_int_equal(c.p->steps[0].nr_in, form & 4 ? 3 : 2);
		compiled_free(&c);
	}
}

/* ---- absorb ---------------------------------------------------------------------------------- */

static void absorbs_affine_steps(void **state)
{
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_FP32, 4, 1, 1, -1);
	uint32_t x = build_conv(b, build_image(b, 1, 3, 5, 5), 4, 3, 1, 1, true);

	(void)state;
	x = build_batch_norm(b, x, 1);
	x = build_op2(b, OOO_OP_ADD, build_const(b, &s, NULL), x);
	x = build_op2(b, OOO_OP_DIV, x, build_scalar(b, 255));
	x = build_reshape(b, x, 4, 25);
	x = build_matmul(b, x, 7);
	s = build_dims(OOO_FP32, 1, 7, -1, -1);
	x = build_op2(b, OOO_OP_SUB, x, build_const(b, &s, NULL));
	x = build_batch_norm(b, x, 1);
	expect(b, x, STEPS(OOO_OP_CONV, OOO_OP_MATMUL));
}

static void absorbs_a_factor_as_alpha(void **state)
{
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_FP32, 5, 3, -1, -1);
	uint32_t x = build_matmul(b, build_input(b, &s), 7);
	struct compiled c;

	(void)state;
	build_output(b, build_op2(b, OOO_OP_DIV, x, build_scalar(b, 8)));
	c = compiled_new(b, LAYOUT_PLAIN, true);
	assert_steps(c.p, STEPS(OOO_OP_MATMUL));
	assert_true(c.p->steps[0].attr.alpha == 0.125f);
	compiled_free(&c);
}

/* Scores of attention, scaled as exporters do it. */
static void absorbs_factors_from_afar(void **state)
{
	(void)state;
	for (int form = 0; form < 2; form++) {
		struct build *b = build_new(1);
		struct shape s = build_dims(OOO_FP32, 2, 5, 6, -1);
		uint32_t x = build_input(b, &s), q = build_matmul(b, x, 8),
			 k = build_matmul(b, x, 8);
		struct compiled c;

		q = transpose(b, build_reshape(b, q, 10, 8), 1, 0, 0);
		k = build_reshape(b, k, 10, 8);
		if (form)
			q = build_op2(b, OOO_OP_MUL, build_scalar(b, 0.25f), q);
		x = build_op2(b, OOO_OP_MATMUL, q, k);
		if (!form)
			x = build_op2(b, OOO_OP_DIV, x, build_scalar(b, 4));
		build_output(b, x);
		c = compiled_new(b, LAYOUT_PLAIN, true);
		assert_steps(c.p, STEPS(OOO_OP_MATMUL, OOO_OP_MATMUL, OOO_OP_MATMUL));
		assert_true(c.p->steps[0].attr.alpha == 0.25f);
		assert_true(c.p->steps[1].attr.alpha == 1 && c.p->steps[2].attr.alpha == 1);
		compiled_free(&c);
	}
}

static void absorbs_no_more_than_it_may(void **state)
{
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_FP32, 1, 4, 5, 5), v = build_dims(OOO_FP32, 4, -1, -1, -1);
	uint32_t x = build_image(b, 1, 3, 5, 5), y;

	(void)state;
	/* read twice */
	y = build_conv(b, x, 4, 3, 1, 1, false);
	build_output(b, y);
	build_output(b, build_batch_norm(b, y, 1));
	/* a variance below zero, a division by zero: not a number, at run time */
	build_output(b, build_batch_norm(b, build_conv(b, x, 4, 3, 1, 1, false), -1));
	y = build_conv(b, x, 4, 3, 1, 1, false);
	build_output(b, build_op2(b, OOO_OP_DIV, y, build_scalar(b, 0)));
	/* by element, not by channel */
	y = build_conv(b, x, 4, 3, 1, 1, false);
	build_output(b, build_op2(b, OOO_OP_SUB, y, build_const(b, &s, NULL)));
	/* the constant is what is subtracted from */
	y = build_conv(b, x, 4, 3, 1, 1, false);
	build_output(b, build_op2(b, OOO_OP_SUB, build_scalar(b, 1), y));
	/* the weights are no constant */
	y = build_op2(b, OOO_OP_MATMUL, build_input(b, &v),
		      build_reshape(b, build_input(b, &v), 4, 1));
	expect(b, build_op2(b, OOO_OP_DIV, y, build_scalar(b, 2)),
	       STEPS(OOO_OP_CONV, OOO_OP_BATCH_NORM, OOO_OP_CONV, OOO_OP_BATCH_NORM, OOO_OP_CONV,
		     OOO_OP_DIV, OOO_OP_CONV, OOO_OP_SUB, OOO_OP_CONV, OOO_OP_SUB, OOO_OP_MATMUL,
		     OOO_OP_DIV));
}

/* ---- fuse ------------------------------------------------------------------------------------ */

static void fuses_residuals(void **state)
{
	struct build *b = build_new(1);
	uint32_t x = build_image(b, 1, 4, 5, 5), y, z;
	struct compiled c;

	(void)state;
	y = build_conv(b, x, 4, 3, 1, 1, true); /* fused, and so moved behind the other */
	z = build_op1(b, OOO_OP_RELU, build_conv(b, x, 4, 1, 1, 1, true));
	z = build_op1(b, OOO_OP_GLOBAL_MAX_POOL, z);
	z = build_conv(b, build_op2(b, OOO_OP_ADD, x, z), 4, 3, 1, 1, false);
	build_output(b, build_op1(b, OOO_OP_RELU, build_op2(b, OOO_OP_ADD, y, z)));
	c = compiled_new(b, LAYOUT_PLAIN, true);
	assert_steps(c.p, STEPS(OOO_OP_CONV, OOO_OP_CONV, OOO_OP_GLOBAL_MAX_POOL, OOO_OP_ADD,
				OOO_OP_CONV));
	assert_int_equal(c.p->steps[1].nr_post, 1);
	assert_int_equal(c.p->steps[4].nr_post, 2);
	assert_int_equal(c.p->steps[4].post[0].op, OOO_OP_ADD);
	assert_int_equal(c.p->steps[4].post[0].operand, c.p->steps[0].out[0]);
	assert_int_equal(c.p->steps[4].post[1].op, OOO_OP_RELU);
	assert_int_equal(c.p->steps[4].post[1].operand, OOO_NONE);
	compiled_free(&c);
}

static void fuses_attributes(void **state)
{
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_FP32, 2, 3, -1, -1);
	uint32_t x = build_matmul(b, build_input(b, &s), 4);
	struct compiled c;

	(void)state;
	x = clip(b, x, -2, 3);
	attr_init(&a, OOO_OP_GELU);
	a.mode = 1;
	build_output(b, build_op(b, OOO_OP_GELU, &a, x, OOO_NONE, OOO_NONE));
	c = compiled_new(b, LAYOUT_PLAIN, true);
	assert_steps(c.p, STEPS(OOO_OP_MATMUL));
	assert_true(c.p->steps[0].post[0].alpha == -2 && c.p->steps[0].post[0].beta == 3);
	assert_int_equal(c.p->steps[0].post[1].mode, 1);
	assert_string_equal(c.p->steps[0].name, "MatMul 0+Clip+Gelu");
	compiled_free(&c);
}

static void fuses_no_more_than_it_may(void **state)
{
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_FP32, 2, 3, -1, -1),
		     v = build_dims(OOO_FP32, 3, -1, -1, -1);
	uint32_t x = build_input(b, &s), y;

	(void)state;
	/* an output is read by the tenant */
	y = build_matmul(b, x, 3);
	build_output(b, y);
	build_output(b, build_op1(b, OOO_OP_RELU, y));
	/* the sum with itself, and what would broadcast the result */
	y = build_matmul(b, x, 3);
	build_output(b, build_op2(b, OOO_OP_ADD, y, y));
	y = build_matmul(b, build_input(b, &v), 3);
	build_output(b, build_op2(b, OOO_OP_MUL, y, x));
	/* four post-operations, not five */
	y = build_matmul(b, x, 3);
	for (int i = 0; i < 5; i++)
		y = build_op1(b, OOO_OP_TANH, y);
	/* a comparison's result is no fp32 */
	build_output(b, build_op2(b, OOO_OP_LESS, y, x));
	expect(b, OOO_NONE,
	       STEPS(OOO_OP_MATMUL, OOO_OP_RELU, OOO_OP_MATMUL, OOO_OP_ADD, OOO_OP_MATMUL,
		     OOO_OP_MUL, OOO_OP_MATMUL, OOO_OP_TANH, OOO_OP_LESS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(drops_copies),
		cmocka_unit_test(keeps_copies_to_outputs),
		cmocka_unit_test(copies_outputs_once),
		cmocka_unit_test(takes_transposes_and_padding),
		cmocka_unit_test(drops_what_nobody_reads),
		cmocka_unit_test(folds_constants),
		cmocka_unit_test(folds_within_reason),
		cmocka_unit_test(folds_within_quota),
		cmocka_unit_test(matches_gates),
		cmocka_unit_test(matches_gelu),
		cmocka_unit_test(matches_gelu_by_tanh),
		cmocka_unit_test(matches_layer_norm),
		cmocka_unit_test(absorbs_affine_steps),
		cmocka_unit_test(absorbs_a_factor_as_alpha),
		cmocka_unit_test(absorbs_factors_from_afar),
		cmocka_unit_test(absorbs_no_more_than_it_may),
		cmocka_unit_test(fuses_residuals),
		cmocka_unit_test(fuses_attributes),
		cmocka_unit_test(fuses_no_more_than_it_may),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
