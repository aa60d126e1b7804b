/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention as exporters write it becomes one step that computes the same; what only looks like it
 * stays as it is. The programs as declared run on the cpu device.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shared/abi/status.h"
#include "tests/unit/program/compiled.h"
#include "tests/unit/program/values.h"

enum {
	B = 2,
	S = 5,
	H = 3,
	D = 4,
	E = H * D
};

static const struct device_ops *ops;
static struct device *dev;

/* ---- building ---------------------------------------------------------------------------------- */

static uint32_t reshape(struct build *b, uint32_t x, int rank, const int64_t *dims)
{
	struct ooo_attr a;

	attr_init(&a, OOO_OP_RESHAPE);
	a.rank = rank;
	memcpy(a.dims, dims, (size_t)rank * sizeof(*dims));
	return build_op(b, OOO_OP_RESHAPE, &a, x, OOO_NONE, OOO_NONE);
}

static uint32_t transpose(struct build *b, uint32_t x, int rank, const int32_t *perm)
{
	struct ooo_attr a;

	attr_init(&a, OOO_OP_TRANSPOSE);
	memcpy(a.perm, perm, (size_t)rank * sizeof(*perm));
	return build_op(b, OOO_OP_TRANSPOSE, &a, x, OOO_NONE, OOO_NONE);
}

#define RESHAPE(b, x, ...)                                                                         \
	reshape(b, x, sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t),                        \
		(const int64_t[]){ __VA_ARGS__ })
#define TRANSPOSE(b, x, ...)                                                                       \
	transpose(b, x, sizeof((int32_t[]){ __VA_ARGS__ }) / sizeof(int32_t),                      \
		  (const int32_t[]){ __VA_ARGS__ })

static uint32_t input(struct build *b, int64_t d0, int64_t d1, int64_t d2, int64_t d3)
{
	struct shape s = build_dims(OOO_FP32, d0, d1, d2, d3);

	return build_input(b, &s);
}

static uint32_t softmax(struct build *b, uint32_t x, int axis)
{
	struct ooo_attr a;

	attr_init(&a, OOO_OP_SOFTMAX);
	a.axis = axis;
	return build_op(b, OOO_OP_SOFTMAX, &a, x, OOO_NONE, OOO_NONE);
}

/* x W + bias */
static uint32_t linear(struct build *b, uint32_t x, int64_t columns)
{
	struct shape s = build_dims(OOO_FP32, columns, -1, -1, -1);

	return build_op2(b, OOO_OP_ADD, build_matmul(b, x, columns), build_const(b, &s, NULL));
}

static uint32_t scaled(struct build *b, uint32_t x, float factor)
{
	return build_op2(b, OOO_OP_MUL, x, build_scalar(b, factor));
}

static uint32_t product(struct build *b, uint32_t x, uint32_t y)
{
	return build_op2(b, OOO_OP_MATMUL, x, y);
}

/* x[B,S,E] -> [B,H,S,D] */
static uint32_t heads(struct build *b, uint32_t x)
{
	return TRANSPOSE(b, RESHAPE(b, linear(b, x, E), B, S, H, D), 0, 2, 1, 3);
}

/* [B,H,S,D] -> [B,S,E] */
static uint32_t merged(struct build *b, uint32_t x)
{
	return RESHAPE(b, TRANSPOSE(b, x, 0, 2, 1, 3), B, S, E);
}

/* Where(p is NaN, 0, p) */
static uint32_t guard(struct build *b, uint32_t p)
{
	uint32_t nan = build_op1(b, OOO_OP_NOT, build_op2(b, OOO_OP_EQUAL, p, p));

	return build_op(b, OOO_OP_WHERE, NULL, nan, build_scalar(b, 0), p);
}

static void finish(struct build *b, uint32_t out)
{
	build_output(b, linear(b, out, E));
}

/* ---- running ----------------------------------------------------------------------------------- */

static void run_on_cpu(const struct program *p, struct values *v)
{
	struct device_binding *binding;
	struct device_program *dp;
	void *io[OOO_MAX_IO];
	char why[256] = "";

	if (ops->load(dev, p, 1, &dp, why, sizeof(why)))
		fail_msg("%s", why);
	for (uint32_t i = 0; i < p->nr_inputs; i++)
		io[i] = v->in[i];
	for (uint32_t i = 0; i < p->nr_outputs; i++)
		io[p->nr_inputs + i] = v->out[i];
	assert_int_equal(ops->bind(dev, dp, io, &binding), 0);
	for (uint32_t i = 0; i < p->nr_steps; i++) {
		struct bundle *b = calloc(1, sizeof(*b)), *done = NULL;

		b->nr_items = 1;
		b->items[0].program = dp;
		b->items[0].binding = binding;
		b->items[0].step = i;
		assert_int_equal(ops->submit(dev, b), 0);
		while (!ops->poll(dev, &done, 1))
			;
		assert_int_equal(b->items[0].status, OOO_OK);
		free(b);
	}
	ops->unbind(dev, binding);
	ops->unload(dev, dp);
}

static struct program *compile(const void *data, uint64_t bytes, bool attention)
{
	struct device_caps caps = *ops->caps(dev);
	struct compile_opts opts = { .caps = &caps, .eval = ops->eval };
	char why[256] = "";
	struct program *p;

	caps.attention = attention;
	if (program_compile_mem(data, bytes, &opts, &p, why, sizeof(why)))
		fail_msg("%s", why);
	assert_int_equal(check_program(p), 0);
	return p;
}

static unsigned count(const struct program *p, uint32_t op)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < p->nr_steps; i++)
		n += p->steps[i].op == op;
	return n;
}

/* The program becomes exactly these steps and computes the same. Takes the builder. */
static void expect(struct build *b, const uint32_t *steps)
{
	struct values want, have;
	struct program *p;
	uint64_t bytes;
	void *data = build_encode(b, &bytes);

	p = compile(data, bytes, false);
	assert_int_equal(count(p, OP_ATTENTION), 0);
	values_new(p, b, &want);
	values_new(p, b, &have);
	run_on_cpu(p, &want);
	program_free(p);
	p = compile(data, bytes, true);
	assert_steps(p, steps);
	for (uint32_t order = 0; order < 2; order++) {
		interp_run(p, want.in, have.out, order);
		values_compare(order, p, &want, &have);
	}
	program_free(p);
	values_free(&want);
	values_free(&have);
	free(data);
	build_free(b);
}

#define PROJECT OOO_OP_MATMUL, OOO_OP_MATMUL, OOO_OP_MATMUL

/* Nothing is recognised. Takes the builder. */
static void expect_none(struct build *b)
{
	uint64_t bytes;
	void *data = build_encode(b, &bytes);
	struct program *p = compile(data, bytes, true);

	if (count(p, OP_ATTENTION)) {
		program_print(p, stderr);
		fail_msg("attention where there is none");
	}
	program_free(p);
	free(data);
	build_free(b);
}

/* ---- exporters --------------------------------------------------------------------------------- */

/* Transformers' eager form: the scores are scaled; the mask is [B,1,1,S], [1,1,S,S] or [B,1,S,S]. */
static void eager(void **state)
{
	(void)state;
	for (int form = 0; form < 8; form++) {
		struct build *b = build_new(1);
		uint32_t x = input(b, B, S, E, -1), q = heads(b, x), k = heads(b, x), s;
		uint32_t v = heads(b, x);

		s = product(b, q, TRANSPOSE(b, k, 0, 1, 3, 2));
		s = form & 1 ? build_op2(b, OOO_OP_DIV, s, build_scalar(b, 2)) : scaled(b, s, 0.5f);
		if (form / 2 == 1)
			s = build_op2(b, OOO_OP_ADD, s, input(b, B, 1, 1, S));
		else if (form / 2 == 2)
			s = build_op2(b, OOO_OP_ADD, input(b, 1, 1, S, S), s);
		else if (form / 2 == 3)
			s = build_op2(b, OOO_OP_ADD, s, input(b, B, 1, S, S));
		finish(b, merged(b, product(b, softmax(b, s, 3), v)));
		expect(b, STEPS(PROJECT, OP_ATTENTION, OOO_OP_MATMUL));
	}
}

/* torch's sdpa by its newer exporter: both sides are scaled, K is turned in three axes, NaN is 0. */
static void sdpa(void **state)
{
	struct build *b = build_new(2);
	uint32_t x = input(b, B, S, E, -1), q = heads(b, x), k = heads(b, x), v = heads(b, x), p;

	(void)state;
	k = TRANSPOSE(b, RESHAPE(b, k, B * H, S, D), 0, 2, 1);
	k = scaled(b, RESHAPE(b, k, B, H, D, S), 0.7f);
	p = product(b, scaled(b, q, 0.7f), k);
	p = softmax(b, build_op2(b, OOO_OP_ADD, p, input(b, B, 1, S, S)), 3);
	finish(b, merged(b, product(b, guard(b, p), v)));
	expect(b, STEPS(PROJECT, OP_ATTENTION, OOO_OP_MATMUL));
}

/* A row without keys: NaN, or 0 behind the guard. */
static void unseeing(void **state)
{
	(void)state;
	for (int guarded = 0; guarded < 2; guarded++) {
		struct build *b = build_new(3);
		struct shape ms = build_dims(OOO_FP32, S, S, -1, -1);
		uint32_t q = input(b, B, H, S, D), k = input(b, B, H, S, D), p;
		float mask[S * S] = { 0 };

		for (int j = 0; j < S; j++)
			mask[2 * S + j] = -INFINITY;
		p = product(b, q, TRANSPOSE(b, k, 0, 1, 3, 2));
		p = softmax(b, build_op2(b, OOO_OP_ADD, p, build_const(b, &ms, mask)), 3);
		build_output(b, product(b, guarded ? guard(b, p) : p, input(b, B, H, S, D)));
		expect(b, STEPS(OP_ATTENTION));
	}
}

/* torch.nn.MultiheadAttention: [S,B,E], batch and heads are one axis, bmm. */
static void multihead(void **state)
{
	struct build *b = build_new(4);
	uint32_t x = input(b, S, B, E, -1), part[3], p;

	(void)state;
	for (int i = 0; i < 3; i++)
		part[i] = TRANSPOSE(b, RESHAPE(b, linear(b, x, E), S, B * H, D), 1, 0, 2);
	p = product(b, scaled(b, part[0], 0.5f), TRANSPOSE(b, part[1], 0, 2, 1));
	p = product(b, softmax(b, p, 2), part[2]);
	finish(b, RESHAPE(b, TRANSPOSE(b, p, 1, 0, 2), S, B, E));
	expect(b, STEPS(PROJECT, OP_ATTENTION, OOO_OP_MATMUL));
}

static uint32_t take(struct build *b, uint32_t x, int64_t index)
{
	struct shape s = { .dtype = OOO_INT64, .rank = 0 };
	struct ooo_attr a;

	attr_init(&a, OOO_OP_GATHER);
	return build_op(b, OOO_OP_GATHER, &a, x, build_const(b, &s, &index), OOO_NONE);
}

/* timm's ViT: Q, K and V of one product, taken apart by Gather, Split or Slice. */
static void together(void **state)
{
	(void)state;
	for (int form = 0; form < 3; form++) {
		struct build *b = build_new(5);
		uint32_t x = linear(b, input(b, B, S, E, -1), 3 * E), part[3], p;
		struct ooo_attr a;

		x = TRANSPOSE(b, RESHAPE(b, x, B, S, 3, H, D), 2, 0, 3, 1, 4);
		attr_init(&a, OOO_OP_SPLIT);
		if (form == 1)
			assert_int_equal(build_op_n(b, OOO_OP_SPLIT, &a, &x, 1, part, 3), 0);
		for (int i = 0; i < 3; i++) {
			attr_init(&a, OOO_OP_SLICE);
			a.rank = 5;
			memcpy(a.dims, (int64_t[]){ 1, B, H, S, D }, 5 * sizeof(int64_t));
			a.start[0] = i;
			for (int k = 0; k < 5; k++)
				a.step[k] = 1;
			if (form == 0)
				part[i] = take(b, x, i == 2 ? -1 : i);
			else if (form == 2)
				part[i] = build_op(b, OOO_OP_SLICE, &a, x, OOO_NONE, OOO_NONE);
			if (form)
				part[i] = RESHAPE(b, part[i], B, H, S, D);
		}
		p = product(b, scaled(b, part[0], 0.5f), TRANSPOSE(b, part[1], 0, 1, 3, 2));
		finish(b, merged(b, product(b, softmax(b, p, 3), part[2])));
		expect(b, STEPS(OOO_OP_MATMUL, OP_ATTENTION, OOO_OP_MATMUL));
	}
}

/* K turned by one transposition, and one head of K and V for all. */
static void other_forms(void **state)
{
	struct build *b = build_new(6);
	uint32_t x = input(b, B, S, E, -1), q = heads(b, x), k, v, p;

	(void)state;
	k = TRANSPOSE(b, RESHAPE(b, linear(b, x, E), B, S, H, D), 0, 2, 3, 1);
	p = softmax(b, scaled(b, product(b, q, k), 0.5f), 3);
	finish(b, merged(b, product(b, p, heads(b, x))));
	expect(b, STEPS(PROJECT, OP_ATTENTION, OOO_OP_MATMUL));

	b = build_new(7);
	x = input(b, B, S, E, -1);
	q = heads(b, x);
	k = RESHAPE(b, linear(b, x, D), B, 1, S, D);
	v = RESHAPE(b, linear(b, x, D), B, 1, S, D);
	p = product(b, q, TRANSPOSE(b, k, 0, 1, 3, 2));
	finish(b, merged(b, product(b, softmax(b, p, 3), v)));
	expect(b, STEPS(PROJECT, OP_ATTENTION, OOO_OP_MATMUL));
}

/* Products of three axes with the scores reshaped between them: windows, and decompositions. */
static void reshaped(void **state)
{
	struct build *b = build_new(8);
	uint32_t x = input(b, B, S, E, -1), q = heads(b, x), k = heads(b, x), v = heads(b, x), p;
	struct shape bias = build_dims(OOO_FP32, 1, H, S, S);

	(void)state;
	q = RESHAPE(b, q, B * H, S, D);
	k = RESHAPE(b, TRANSPOSE(b, k, 0, 1, 3, 2), B * H, D, S);
	v = RESHAPE(b, v, B * H, S, D);
	p = RESHAPE(b, product(b, scaled(b, q, 0.5f), k), B, H, S, S);
	p = softmax(b, build_op2(b, OOO_OP_ADD, p, build_const(b, &bias, NULL)), 3);
	p = RESHAPE(b, p, B * H, S, S);
	finish(b, merged(b, RESHAPE(b, product(b, p, v), B, H, S, D)));
	expect(b, STEPS(PROJECT, OP_ATTENTION, OOO_OP_MATMUL));
}

/* ---- what it is not ---------------------------------------------------------------------------- */

static uint32_t scores(struct build *b, uint32_t *v)
{
	uint32_t q = input(b, B, H, S, D), k = input(b, B, H, S, D);

	*v = input(b, B, H, S, D);
	return product(b, q, TRANSPOSE(b, k, 0, 1, 3, 2));
}

/* The scores or the probabilities are results too. */
static void other_readers(void **state)
{
	(void)state;
	for (int form = 0; form < 4; form++) {
		struct build *b = build_new(9);
		uint32_t v, s = scores(b, &v), p = softmax(b, s, 3), out = product(b, p, v);

		if (form == 0)
			build_output(b, p);
		else if (form == 1)
			build_output(b, s);
		else
			build_output(b, build_op1(b, OOO_OP_RELU, form == 2 ? p : s));
		build_output(b, out);
		expect_none(b);
	}
}

static void unlike(void **state)
{
	(void)state;
	for (int form = 0; form < 6; form++) {
		struct build *b = build_new(10);
		uint32_t v, s = scores(b, &v), p = OOO_NONE;

		if (form == 0) /* the softmax is along queries */
			p = softmax(b, s, 2);
		else if (form == 1) /* two masks */
			s = build_op2(b, OOO_OP_ADD,
				      build_op2(b, OOO_OP_ADD, s, input(b, B, 1, 1, S)),
				      input(b, 1, 1, S, S));
		else if (form == 2) /* the factor is a vector */
			s = build_op2(b, OOO_OP_MUL, s, input(b, S, -1, -1, -1));
		else if (form == 3) /* the mask is scaled, too */
			s = scaled(b, build_op2(b, OOO_OP_ADD, s, input(b, B, 1, 1, S)), 2);
		else if (form == 4) /* a column of a mask */
			s = build_op2(b, OOO_OP_ADD, s, input(b, B, 1, S, 1));
		else /* something between */
			p = build_op1(b, OOO_OP_RELU, softmax(b, s, 3));
		if (p == OOO_NONE)
			p = softmax(b, s, 3);
		build_output(b, product(b, p, v));
		expect_none(b);
	}
}

/* Heads that are too long, and a K whose columns are not neighbours. */
static void too_much(void **state)
{
	struct build *b = build_new(11);
	uint32_t q = input(b, 1, 2, S, 257), k = input(b, 1, 2, S, 257), p;

	(void)state;
	p = softmax(b, product(b, q, TRANSPOSE(b, k, 0, 1, 3, 2)), 3);
	build_output(b, product(b, p, input(b, 1, 2, S, D)));
	expect_none(b);

	b = build_new(12);
	p = softmax(b, product(b, input(b, B, H, S, D), input(b, B, H, D, S)), 3);
	build_output(b, product(b, p, input(b, B, H, S, D)));
	expect_none(b);
}

static int setup(void **state)
{
	const struct device_config config = { .name = "cpu", .threads = 1 };
	char why[256] = "";

	(void)state;
	if (device_open(&config, &ops, &dev, why, sizeof(why)))
		fail_msg("%s", why);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ops->close(dev);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(eager),    cmocka_unit_test(sdpa),
		cmocka_unit_test(unseeing), cmocka_unit_test(multihead),
		cmocka_unit_test(together), cmocka_unit_test(other_forms),
		cmocka_unit_test(reshaped), cmocka_unit_test(other_readers),
		cmocka_unit_test(unlike),   cmocka_unit_test(too_much),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
