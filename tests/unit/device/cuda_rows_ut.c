/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Normalisations, softmax and reductions on the cuda device: every way to cut a line into lanes,
 * every type and layout, operands in the tenant's memory and in the slot.
 */
#include "tests/unit/device/cuda_rig.h"

struct variant {
	uint32_t in, out;
	struct ct_options o;
};

static const struct variant variants[] = {
	{ OOO_FP32, OOO_FP32, { .items = 3 } },
	{ OOO_FP32, OOO_FP32, { .slots = ~0u, .out_slots = ~0u } },
	{ OOO_FP16, OOO_FP16, { .precision = OOO_FP16 } },
	{ OOO_BF16, OOO_BF16, { .precision = OOO_BF16 } },
	{ OOO_FP16, OOO_FP32, { .precision = OOO_FP16 } },
	{ OOO_FP32, OOO_FP16, { .precision = OOO_FP16 } },
};

#define FOR_VARIANTS(V)                                                                            \
	for (const struct variant *V = variants;                                                   \
	     V < variants + sizeof(variants) / sizeof(variants[0]); V++)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static uint64_t seed;

/* Around every change of lanes, of runs and of passes. */
static const int64_t lengths[] = { 1,   2,    7,    8,    9,    33,   64,   197,  256,  512, 513,
				   768, 1000, 1001, 1024, 1032, 2048, 4097, 8192, 8200, 9001 };

static void softmax(const struct variant *v, uint32_t op, int rank, const int64_t *dims, int axis,
		    uint32_t flags)
{
	struct kt k;

	kt_init(&k, op, ++seed);
	k.step.attr.axis = axis;
	k.step.attr.flags = flags;
	kt_in(&k, v->in, PLAIN, rank, dims);
	kt_out_as(&k, 1, PLAIN, v->out);
	ct_check(&k, &v->o, 1e-5);
}

/* Rows of n; the general reference sums anew for each element. */
static void softmax_rows(const struct variant *v, bool log, int64_t rows, int64_t n)
{
	const double *x;
	double *y;
	struct kt k;

	kt_init(&k, log ? OOO_OP_LOG_SOFTMAX : OOO_OP_SOFTMAX, ++seed);
	k.step.attr.axis = 1;
	x = k.v[kt_in(&k, v->in, PLAIN, DIMS(rows, n))];
	kt_out_as(&k, 1, PLAIN, v->out);
	y = k.v[k.out[0]];
	for (int64_t r = 0; r < rows; r++, x += n, y += n) {
		double sum = 0;

		for (int64_t i = 0; i < n; i++)
			sum += exp(x[i]);
		for (int64_t i = 0; i < n; i++)
			y[i] = log ? x[i] - __builtin_log(sum) : exp(x[i]) / sum;
	}
	assert_int_equal(ct_run(&k, &v->o), OOO_OK);
	kt_expect(&k, 0, 1e-5);
	kt_free(&k);
}

static void test_softmax(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(lengths); i++) {
		FOR_VARIANTS(v)
		{
			softmax_rows(v, false, lengths[i] > 1024 ? 2 : 13, lengths[i]);
			softmax_rows(v, true, lengths[i] > 1024 ? 2 : 13, lengths[i]);
		}
	}
}

static void test_softmax_axes(void **state)
{
	static const uint32_t ops[] = { OOO_OP_SOFTMAX, OOO_OP_LOG_SOFTMAX };

	(void)state;
	for (size_t i = 0; i < COUNT(ops); i++) {
		FOR_VARIANTS(v)
		{
			softmax(v, ops[i], DIMS(2, 21, 5, 7), 1, 0);
			softmax(v, ops[i], DIMS(2, 3, 5, 7), 0, 0);
			softmax(v, ops[i], DIMS(1, 2, 70, 3), 2, 0);
			softmax(v, ops[i], DIMS(1, 300, 1, 40), 1, 0);
			softmax(v, ops[i], DIMS(3, 1, 2, 2), 1, 0);
			softmax(v, ops[i], DIMS(2, 3, 4, 5), 1, OOO_ATTR_FLATTEN);
		}
	}
}

/* Exponents at the edge: equal elements, one that outweighs all, infinities. */
static void test_softmax_extremes(void **state)
{
	(void)state;
	for (int kind = 0; kind < 4; kind++) {
		struct kt k;
		uint32_t x;

		kt_init(&k, kind & 1 ? OOO_OP_LOG_SOFTMAX : OOO_OP_SOFTMAX, ++seed);
		k.step.attr.axis = 1;
		x = kt_in(&k, OOO_FP32, PLAIN, DIMS(3, 40));
		for (int i = 0; i < 40; i++) {
			k.v[x][i] = 1000;
			k.v[x][40 + i] = i == 17 ? 3e4 : -3e4;
			k.v[x][80 + i] = kind < 2 && i % 3 ? -INFINITY : 88 - i;
		}
		kt_put(&k, x);
		kt_out_as(&k, 1, PLAIN, OOO_FP32);
		ct_check(&k, NULL, 1e-5);
	}
}

static void layer_norm(const struct variant *v, int64_t n, bool shift, bool constant, double offset)
{
	int64_t rows = n > 1024 ? 2 : 11;
	struct ct_options o = v->o;
	struct kt k;
	uint32_t x;

	kt_init(&k, OOO_OP_LAYER_NORM, ++seed);
	k.step.attr.axis = 1;
	x = kt_in(&k, v->in, PLAIN, DIMS(rows, n));
	for (int64_t i = 0; i < rows * n; i++)
		k.v[x][i] += offset;
	kt_put(&k, x);
	kt_in(&k, OOO_FP32, PLAIN, DIMS(n));
	if (shift)
		kt_in(&k, OOO_FP32, PLAIN, DIMS(n));
	kt_out_as(&k, 1, PLAIN, v->out);
	if (!constant)
		o.inputs = ~0u;
	/* One element alone is its own mean: what is left is rounding, times 1 / sqrt(epsilon). */
	ct_check(&k, &o, offset != 0 ? 1e-3 : 2e-5);
}

static void test_layer_norm(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(lengths); i++) {
		FOR_VARIANTS(v)
		{
			layer_norm(v, lengths[i], i % 2, i % 3, 0);
			if (lengths[i] > 100)
				layer_norm(v, lengths[i], true, true, 8);
		}
	}
}

static void test_layer_norm_axes(void **state)
{
	(void)state;
	FOR_VARIANTS(v)
	{
		struct kt k;

		kt_init(&k, OOO_OP_LAYER_NORM, ++seed);
		k.step.attr.axis = 1;
		kt_in(&k, v->in, PLAIN, DIMS(3, 4, 10));
		kt_in(&k, OOO_FP32, PLAIN, DIMS(4, 10));
		kt_in(&k, OOO_FP32, PLAIN, DIMS(4, 10));
		kt_out_as(&k, 1, PLAIN, v->out);
		ct_check(&k, &v->o, 2e-5);
	}
}

static void instance_norm(const struct variant *v, enum layout layout, int rank,
			  const int64_t *dims)
{
	struct kt k;

	kt_init(&k, OOO_OP_INSTANCE_NORM, ++seed);
	kt_in(&k, v->in, layout, rank, dims);
	kt_in(&k, OOO_FP32, PLAIN, DIMS(dims[1]));
	kt_in(&k, OOO_FP32, PLAIN, DIMS(dims[1]));
	kt_out_as(&k, 1, layout, v->out);
	ct_check(&k, &v->o, 2e-5);
}

static void test_instance_norm(void **state)
{
	(void)state;
	FOR_VARIANTS(v)
	{
		FOR_LAYOUTS(l)
		{
			instance_norm(v, l, DIMS(2, 5, 6, 7));
			instance_norm(v, l, DIMS(1, 40, 9, 16));
			instance_norm(v, l, DIMS(1, 3, 101, 90));
		}
		instance_norm(v, PLAIN, DIMS(2, 5, 9));
	}
}

static void batch_norm(const struct variant *v, enum layout layout, int rank, const int64_t *dims,
		       bool constant)
{
	struct ct_options o = v->o;
	struct kt k;

	kt_init(&k, OOO_OP_BATCH_NORM, ++seed);
	kt_in(&k, v->in, layout, rank, dims);
	for (int i = 1; i < 5; i++) {
		uint32_t id = kt_in(&k, OOO_FP32, PLAIN, DIMS(dims[1]));

		if (i == 4)
			kt_fill(&k, id, 0.1, 2);
	}
	kt_out_as(&k, 1, layout, v->out);
	if (!constant)
		o.inputs = ~0u;
	ct_check(&k, &o, 2e-5);
}

static void test_batch_norm(void **state)
{
	(void)state;
	FOR_VARIANTS(v)
	{
		for (int constant = 0; constant < 2; constant++) {
			FOR_LAYOUTS(l)
			{
				batch_norm(v, l, DIMS(2, 24, 6, 17), constant);
				batch_norm(v, l, DIMS(1, 3, 1, 5), constant);
			}
			batch_norm(v, PLAIN, DIMS(7, 9), constant);
			batch_norm(v, PLAIN, DIMS(2, 3, 2, 2, 5), constant);
		}
	}
}

static void test_lrn(void **state)
{
	(void)state;
	FOR_VARIANTS(v)
	{
		for (int size = 1; size < 12; size++) {
			FOR_LAYOUTS(l)
			{
				struct kt k;

				kt_init(&k, OOO_OP_LRN, ++seed);
				k.step.attr.kernel[0] = size;
				k.step.attr.alpha = 0.5f;
				k.step.attr.beta = size % 2 ? 0.75f : 0.6f;
				k.step.attr.bias = 1.5f;
				kt_in(&k, v->in, l, DIMS(2, 7, 3, 5));
				kt_out_as(&k, 1, l, v->out);
				ct_check(&k, &v->o, 1e-5);
			}
		}
	}
}

/* ---- reductions ------------------------------------------------------------------------------ */

struct reduction {
	int rank;
	int64_t dims[6];
	uint32_t axes;
};

static const struct reduction reductions[] = {
	{ 4, { 2, 3, 5, 7 }, 0xc },
	{ 4, { 2, 3, 5, 7 }, 0x5 },
	{ 4, { 2, 3, 5, 7 }, 0xa },
	{ 4, { 2, 3, 5, 7 }, 0xf },
	{ 3, { 2, 300, 40 }, 0x2 },
	{ 3, { 2, 30, 40 }, 0x1 },
	{ 2, { 3, 5000 }, 0x2 },
	{ 1, { 40000 }, 0x1 },
	{ 2, { 5000, 6 }, 0x1 },
	{ 2, { 30000, 3 }, 0x1 },
	{ 6, { 2, 3, 2, 3, 2, 3 }, 0x15 },
	{ 6, { 2, 3, 2, 3, 2, 3 }, 0x2a },
	{ 2, { 1, 4 }, 0x1 },
	{ 3, { 600, 3, 2 }, 0x4 },
};

static const uint32_t reduce_ops[] = { OOO_OP_REDUCE_MEAN, OOO_OP_REDUCE_SUM, OOO_OP_REDUCE_MAX,
				       OOO_OP_REDUCE_MIN };

static void reduce(const struct variant *v, uint32_t op, const struct reduction *r, uint32_t flags,
		   enum layout from, enum layout to)
{
	struct kt k;

	kt_init(&k, op, ++seed);
	k.step.attr.axes = r->axes;
	k.step.attr.flags = flags;
	kt_in(&k, v->in, from, r->rank, r->dims);
	kt_out_as(&k, 1, to, v->out);
	if (op == OOO_OP_REDUCE_SUM && flags) {
		const struct shape y = k.tensors[k.out[0]].shape;

		kt_post(&k, (struct post){ .op = OOO_OP_MUL }, to, y.rank, y.dims);
		kt_post(&k, (struct post){ .op = OOO_OP_SIGMOID }, to, SCALAR);
	}
	ct_check(&k, &v->o, 2e-6);
}

static void test_reduce(void **state)
{
	(void)state;
	FOR_VARIANTS(v)
	{
		for (size_t i = 0; i < COUNT(reductions); i++) {
			for (size_t o = 0; o < COUNT(reduce_ops); o++) {
				reduce(v, reduce_ops[o], &reductions[i], 0, PLAIN, PLAIN);
				reduce(v, reduce_ops[o], &reductions[i], OOO_ATTR_KEEPDIMS, PLAIN,
				       PLAIN);
			}
		}
	}
}

static void test_reduce_images(void **state)
{
	(void)state;
	FOR_VARIANTS(v)
	{
		for (size_t i = 0; i < 4; i++) {
			for (size_t o = 0; o < COUNT(reduce_ops); o++) {
				reduce(v, reduce_ops[o], &reductions[i], 0, NHWC, PLAIN);
				reduce(v, reduce_ops[o], &reductions[i], OOO_ATTR_KEEPDIMS, NHWC,
				       NHWC);
			}
		}
	}
}

/* A NaN anywhere is the extreme, and where the extreme is. */
static void test_reduce_nan(void **state)
{
	(void)state;
	for (int kind = 0; kind < 4; kind++) {
		for (int at = 0; at < 2000; at += 333) {
			struct kt k;
			uint32_t x;

			kt_init(&k,
				kind == 0   ? OOO_OP_REDUCE_MAX
				: kind == 1 ? OOO_OP_REDUCE_MIN
				: kind == 2 ? OOO_OP_ARG_MAX
					    : OOO_OP_ARG_MIN,
				++seed);
			if (kind < 2)
				k.step.attr.axes = 2;
			else
				k.step.attr.axis = 1;
			x = kt_in(&k, OOO_FP32, PLAIN, DIMS(2, 2000));
			k.v[x][at] = NAN;
			k.v[x][at + 1] = NAN;
			kt_put(&k, x);
			kt_out_as(&k, 1, PLAIN, OOO_FP32);
			assert_int_equal(ct_run(&k, NULL), OOO_OK);
			if (kind < 2)
				assert_true(isnan(((float *)kt_data(&k, k.out[0]))[0]));
			else
				assert_int_equal(((int64_t *)kt_data(&k, k.out[0]))[0], at);
			kt_free(&k);
		}
	}
}

struct search {
	int rank;
	int64_t dims[4];
	int axis;
};

static const struct search searches[] = {
	{ 2, { 3, 1000 }, 1 },     { 2, { 3, 20001 }, 1 },    { 4, { 2, 21, 6, 5 }, 1 },
	{ 4, { 2, 21, 6, 5 }, 0 }, { 4, { 2, 21, 6, 5 }, 3 }, { 3, { 2, 1, 4 }, 1 },
	{ 1, { 7 }, 0 },
};

/* few: few distinct values, so that there are equals. */
static void search(const struct variant *v, const struct search *s, uint32_t op, uint32_t flags,
		   bool few)
{
	struct kt k;
	uint32_t x;

	kt_init(&k, op, ++seed);
	k.step.attr.axis = s->axis;
	k.step.attr.flags = flags;
	x = kt_in(&k, v->in, PLAIN, s->rank, s->dims);
	for (int64_t i = 0; few && i < rig_elems(&k.tensors[x].shape); i++)
		k.v[x][i] = floor(k.v[x][i]);
	kt_put(&k, x);
	kt_out_as(&k, 1, PLAIN, v->out);
	ct_check(&k, &v->o, 0);
}

static void test_arg(void **state)
{
	(void)state;
	FOR_VARIANTS(v)
	{
		for (size_t i = 0; i < COUNT(searches); i++) {
			for (int few = 0; few < 2; few++) {
				search(v, &searches[i], OOO_OP_ARG_MAX, 0, few);
				search(v, &searches[i], OOO_OP_ARG_MAX, OOO_ATTR_LAST_INDEX, few);
				search(v, &searches[i], OOO_OP_ARG_MIN, OOO_ATTR_KEEPDIMS, few);
				search(v, &searches[i], OOO_OP_ARG_MIN, OOO_ATTR_LAST_INDEX, few);
			}
		}
	}
}

static int setup(void **state)
{
	(void)state;
	ct_open();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ct_close();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_softmax),          cmocka_unit_test(test_softmax_axes),
		cmocka_unit_test(test_softmax_extremes), cmocka_unit_test(test_layer_norm),
		cmocka_unit_test(test_layer_norm_axes),  cmocka_unit_test(test_instance_norm),
		cmocka_unit_test(test_batch_norm),       cmocka_unit_test(test_lrn),
		cmocka_unit_test(test_reduce),           cmocka_unit_test(test_reduce_images),
		cmocka_unit_test(test_reduce_nan),       cmocka_unit_test(test_arg),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
