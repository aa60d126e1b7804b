// SPDX-License-Identifier: Apache-2.0
/* Convolutions and matrix products on the cuda device, over the emulated driver. */
#include "tests/unit/device/cuda_rig.h"

#define RANDOM_CASES 120

static const uint8_t precisions[] = { OOO_FP32, OOO_TF32, OOO_FP16, OOO_BF16 };

/* Of results whose sums have k terms of up to 4 each. */
static double tolerance_of(uint8_t precision, int64_t k)
{
	double unit = precision == OOO_BF16 ? 8e-3 : precision == OOO_FP32 ? 1e-6 : 1e-3;

	return 4 * unit * sqrt((double)k);
}

static int64_t pick(uint64_t *seed, int64_t low, int64_t high)
{
	return low + (int64_t)((rig_float(seed) + 1) / 2 * 0.999999 * (double)(high - low + 1));
}

/* What a tensor in the workspace is in a program of this precision. */
static uint32_t narrow(uint8_t precision)
{
	return precision == OOO_TF32 ? OOO_FP32 : precision;
}

static void add_posts(struct kt *k, uint64_t *seed, enum layout layout)
{
	static const uint32_t ops[] = { OOO_OP_RELU, OOO_OP_CLIP, OOO_OP_TANH, OOO_OP_ADD,
					OOO_OP_MUL };
	const struct shape y = k->tensors[k->out[0]].shape;
	int nr = (int)pick(seed, 0, 2);

	for (int i = 0; i < nr; i++)
		kt_post(k,
			(struct post){ .op = ops[pick(seed, 0, 4)],
				       .operand = OOO_NONE,
				       .alpha = -1,
				       .beta = 1.5f },
			layout, y.rank, y.dims);
}

/* ---- convolutions ------------------------------------------------------------------------------ */

struct conv_case {
	int rank;
	int64_t n, in, out, groups; /* channels of a group */
	int64_t h, w, kh, kw;
	int32_t stride[2], dilation[2], pad[4];
	bool bias;
	enum layout x, y;
	uint32_t x_dtype, y_dtype;
};

static bool conv_fits(const struct conv_case *c, bool transposed)
{
	int64_t h = c->h + c->pad[0] + c->pad[2] - (c->kh - 1) * c->dilation[0];
	int64_t w = c->w + c->pad[1] + c->pad[3] - (c->kw - 1) * c->dilation[1];

	if (transposed) {
		h = (c->h - 1) * c->stride[0] + (c->kh - 1) * c->dilation[0] + 1 - c->pad[0] -
		    c->pad[2];
		w = (c->w - 1) * c->stride[1] + (c->kw - 1) * c->dilation[1] + 1 - c->pad[1] -
		    c->pad[3];
	}
	return h > 0 && w > 0;
}

static void conv_operands(struct kt *k, const struct conv_case *c, bool transposed)
{
	int64_t x[] = { c->n, c->in * c->groups, c->h, c->w };
	int64_t w[] = { c->out * c->groups, c->in, c->kh, c->kw };

	if (transposed) {
		w[0] = c->in * c->groups;
		w[1] = c->out;
	}
	if (c->rank == 3) {
		x[2] = x[3];
		w[2] = w[3];
	}
	kt_in(k, c->x_dtype, c->x, c->rank, x);
	kt_in(k, OOO_FP32, LAYOUT_PLAIN, c->rank, w);
	if (c->bias)
		kt_in(k, OOO_FP32, LAYOUT_PLAIN, DIMS(c->out * c->groups));
}

static void conv_run(const struct conv_case *c, uint32_t op, uint8_t precision, uint64_t seed,
		     bool posts)
{
	struct ct_options o = { .precision = precision, .items = seed % 3 == 0 ? 2 : 1 };
	struct ooo_attr *a;
	struct kt k;

	kt_init(&k, op, seed);
	a = &k.step.attr;
	a->group = (int32_t)c->groups;
	a->kernel[0] = (int32_t)c->kh;
	a->kernel[1] = (int32_t)c->kw;
	memcpy(a->stride, c->stride, sizeof(a->stride));
	memcpy(a->dilation, c->dilation, sizeof(a->dilation));
	memcpy(a->pad, c->pad, sizeof(a->pad));
	conv_operands(&k, c, op == OOO_OP_CONV_TRANSPOSE);
	if (seed % 5 == 0)
		o.inputs = 2; /* weights that are computed at run time */
	kt_out_as(&k, 1, c->y, c->y_dtype);
	if (posts)
		add_posts(&k, &seed, c->y);
	ct_check(&k, &o, tolerance_of(precision, c->in * c->kh * c->kw));
}

static void conv_random(uint32_t op, uint64_t seed)
{
	uint8_t precision = precisions[pick(&seed, 0, 3)];
	struct conv_case c = {
		.rank = pick(&seed, 0, 3) ? 4 : 3,
		.n = pick(&seed, 1, 3),
		.groups = pick(&seed, 0, 3) ? 1 : pick(&seed, 2, 3),
		.in = pick(&seed, 0, 1) ? 8 * pick(&seed, 1, 9) : pick(&seed, 2, 20),
		.out = pick(&seed, 1, 70),
		.h = pick(&seed, 1, 9),
		.w = pick(&seed, 1, 9),
		.kh = pick(&seed, 1, 4),
		.kw = pick(&seed, 1, 4),
		.bias = pick(&seed, 0, 1),
		.x_dtype = pick(&seed, 0, 2) ? narrow(precision) : OOO_FP32,
		.y_dtype = pick(&seed, 0, 2) ? narrow(precision) : OOO_FP32,
	};

	for (int i = 0; i < 2; i++) {
		c.stride[i] = (int32_t)pick(&seed, 1, 3);
		c.dilation[i] = (int32_t)pick(&seed, 1, 3);
		c.pad[i] = (int32_t)pick(&seed, 0, 3);
		c.pad[i + 2] = (int32_t)pick(&seed, 0, 3);
	}
	if (c.rank == 3) {
		c.h = c.kh = c.stride[0] = c.dilation[0] = 1;
		c.pad[0] = c.pad[2] = 0;
	} else {
		c.x = pick(&seed, 0, 2) ? LAYOUT_NHWC : LAYOUT_PLAIN;
		c.y = pick(&seed, 0, 2) ? LAYOUT_NHWC : LAYOUT_PLAIN;
	}
	if (conv_fits(&c, op == OOO_OP_CONV_TRANSPOSE))
		conv_run(&c, op, precision, seed, true);
}

static void test_conv_random(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= RANDOM_CASES; seed++)
		conv_random(OOO_OP_CONV, seed * 7919);
}

static void test_conv_transpose_random(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= RANDOM_CASES; seed++)
		conv_random(OOO_OP_CONV_TRANSPOSE, seed * 104729);
}

/* A 3 x 3 layer that is split along k, in each type; and a strided 1 x 1 with large tiles. */
static void test_conv_layers(void **state)
{
	const struct conv_case deep = {
		.rank = 4,
		.n = 1,
		.in = 128,
		.out = 80,
		.groups = 1,
		.h = 7,
		.w = 7,
		.kh = 3,
		.kw = 3,
		.stride = { 1, 1 },
		.dilation = { 1, 1 },
		.pad = { 1, 1, 1, 1 },
		.bias = true,
		.x = LAYOUT_NHWC,
		.y = LAYOUT_NHWC,
		.x_dtype = OOO_FP32,
		.y_dtype = OOO_FP32,
	};
	const struct conv_case wide = {
		.rank = 4,
		.n = 1,
		.in = 64,
		.out = 250,
		.groups = 1,
		.h = 22,
		.w = 21,
		.kh = 1,
		.kw = 1,
		.stride = { 2, 2 },
		.dilation = { 1, 1 },
		.bias = true,
		.x = LAYOUT_NHWC,
		.y = LAYOUT_NHWC,
		.x_dtype = OOO_FP32,
		.y_dtype = OOO_FP32,
	};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct conv_case c = deep;

		c.x_dtype = c.y_dtype = narrow(precisions[i]);
		conv_run(&c, OOO_OP_CONV, precisions[i], 6 + i, true);
		c = wide;
		c.x_dtype = c.y_dtype = narrow(precisions[i]);
		conv_run(&c, OOO_OP_CONV, precisions[i], 11 + i, false);
	}
}

/* ---- matrix products --------------------------------------------------------------------------- */

/* Batches of both operands: up to three axes, each of size 1 in one operand or another. */
static int random_batch(uint64_t *seed, int64_t *a, int64_t *b)
{
	int nr = (int)pick(seed, 0, 3);

	for (int i = 0; i < nr; i++) {
		int64_t size = pick(seed, 1, 3);

		a[i] = pick(seed, 0, 3) ? size : 1;
		b[i] = pick(seed, 0, 3) ? size : 1;
	}
	return nr;
}

/* A vector on the left is a row, on the right a column. */
static void promote(struct shape *a, struct shape *b, struct shape *y)
{
	if (b->rank == 1) {
		b->dims[b->rank++] = 1;
		y->dims[y->rank++] = 1;
	}
	if (a->rank == 1) {
		a->dims[a->rank++] = a->dims[0];
		a->dims[0] = 1;
		y->dims[y->rank] = y->rank ? y->dims[y->rank - 1] : 1;
		y->dims[y->rank ? y->rank - 1 : 0] = 1;
		y->rank++;
	}
}

static void matmul_reference(struct kt *k)
{
	const struct shape own = k->tensors[k->out[0]].shape;
	struct shape a = *kt_dims(k, 0), b = *kt_dims(k, 1), y = own;
	uint32_t flags = k->step.attr.flags;
	double *v = k->v[k->out[0]];
	int64_t m, n, kk;

	promote(&a, &b, &y);
	m = y.dims[y.rank - 1];
	n = y.dims[y.rank - 2];
	kk = a.dims[a.rank - (flags & OOO_ATTR_TRANS_A ? 2 : 1)];
	for (int64_t i = 0; i < rig_elems(&y); i++) {
		int64_t column = i % m, row = i / m % n, batch = i / (m * n);
		const double *x = k->v[k->in[0]] + ref_batch_offset(&a, &y, batch);
		const double *w = k->v[k->in[1]] + ref_batch_offset(&b, &y, batch);
		double sum = 0;

		for (int64_t j = 0; j < kk; j++)
			sum += x[flags & OOO_ATTR_TRANS_A ? j * n + row : row * kk + j] *
			       w[flags & OOO_ATTR_TRANS_B ? column * kk + j : j * m + column];
		v[i] = k->step.attr.alpha * sum;
		if (k->step.nr_in > 2)
			v[i] += k->step.attr.beta * broadcast(k, k->in[2], &own, i);
		for (int p = 0; p < k->step.nr_post; p++) {
			const struct post *post = &k->step.post[p];

			if (post->op == OOO_OP_ADD)
				v[i] += k->v[post->operand][i];
			else if (post->op == OOO_OP_MUL)
				v[i] *= k->v[post->operand][i];
			else
				v[i] = kt_unary(post->op, post->alpha, post->beta, post->mode,
						v[i]);
		}
	}
}

static void matmul_check(struct kt *k, const struct ct_options *o, double tolerance)
{
	assert_int_equal(ct_run(k, o), OOO_OK);
	matmul_reference(k);
	kt_expect(k, 0, tolerance);
	kt_free(k);
}

static void matmul_bias(struct kt *k, uint64_t *seed)
{
	const struct shape *in[2] = { &k->tensors[k->in[0]].shape, &k->tensors[k->in[1]].shape };
	struct shape fp32[2] = { *in[0], *in[1] }, y;
	const struct shape *as_fp32[2] = { &fp32[0], &fp32[1] };
	int64_t dims[OOO_MAX_RANK];
	char why[256];
	int rank;

	fp32[0].dtype = fp32[1].dtype = OOO_FP32;
	assert_int_equal(
		op_infer(OOO_OP_MATMUL, &k->step.attr, as_fp32, 2, &y, 1, why, sizeof(why)), 0);
	rank = (int)pick(seed, 0, y.rank);
	for (int i = 0; i < rank; i++)
		dims[i] = pick(seed, 0, 1) ? y.dims[y.rank - rank + i] : 1;
	kt_in(k, OOO_FP32, LAYOUT_PLAIN, rank, dims);
}

static void matmul_random(uint64_t seed)
{
	uint8_t precision = precisions[pick(&seed, 0, 3)];
	int64_t m = pick(&seed, 1, pick(&seed, 0, 1) ? 20 : 150);
	int64_t n = pick(&seed, 1, pick(&seed, 0, 1) ? 17 : 140);
	int64_t kk = pick(&seed, 0, 1) ? 8 * pick(&seed, 1, 40) : pick(&seed, 1, 300);
	bool ta = pick(&seed, 0, 3) == 0, tb = pick(&seed, 0, 1);
	struct ct_options o = { .precision = precision };
	int64_t a[8], b[8];
	struct kt k;
	int nr;

	kt_init(&k, OOO_OP_MATMUL, seed);
	k.step.attr.flags = (ta ? OOO_ATTR_TRANS_A : 0) | (tb ? OOO_ATTR_TRANS_B : 0);
	k.step.attr.alpha = pick(&seed, 0, 1) ? 1 : 0.5f;
	k.step.attr.beta = pick(&seed, 0, 1) ? 1 : -2;
	nr = random_batch(&seed, a, b);
	a[nr] = ta ? kk : n;
	a[nr + 1] = ta ? n : kk;
	b[nr] = tb ? m : kk;
	b[nr + 1] = tb ? kk : m;
	kt_in(&k, pick(&seed, 0, 2) ? narrow(precision) : OOO_FP32, LAYOUT_PLAIN, nr + 2, a);
	kt_in(&k, pick(&seed, 0, 2) ? OOO_FP32 : narrow(precision), LAYOUT_PLAIN, nr + 2, b);
	if (pick(&seed, 0, 1))
		matmul_bias(&k, &seed);
	o.inputs = (uint32_t)pick(&seed, 0, 1) << 1 | (uint32_t)pick(&seed, 0, 1) << 2;
	o.slots = (uint32_t)pick(&seed, 0, 3);
	kt_out_as(&k, 1, LAYOUT_PLAIN, pick(&seed, 0, 1) ? narrow(precision) : OOO_FP32);
	add_posts(&k, &seed, LAYOUT_PLAIN);
	matmul_check(&k, &o, tolerance_of(precision, kk));
}

static void test_matmul_random(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= RANDOM_CASES; seed++)
		matmul_random(seed * 1299709);
}

/* Vectors on the left, on the right and on both sides. */
static void test_matmul_vectors(void **state)
{
	static const int64_t vector[] = { 40 }, left[] = { 3, 5, 40 }, right[] = { 3, 40, 6 };

	(void)state;
	for (unsigned i = 0; i < 4 * 3; i++) {
		struct ct_options o = { .precision = precisions[i / 3] };
		struct kt k;

		kt_init(&k, OOO_OP_MATMUL, i);
		kt_in(&k, OOO_FP32, LAYOUT_PLAIN, i % 3 == 1 ? 3 : 1, i % 3 == 1 ? left : vector);
		kt_in(&k, OOO_FP32, LAYOUT_PLAIN, i % 3 == 0 ? 3 : 1, i % 3 == 0 ? right : vector);
		kt_out_as(&k, 1, LAYOUT_PLAIN, OOO_FP32);
		matmul_check(&k, &o, tolerance_of(o.precision, 40));
	}
}

/* One long sum for one column: many splits, and the same bits for every request of a bundle. */
static void test_gemv_splits(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct ct_options o = { .precision = precisions[i], .items = 3 };
		struct kt k;

		kt_init(&k, OOO_OP_MATMUL, i);
		k.step.attr.flags = OOO_ATTR_TRANS_B;
		kt_in(&k, narrow(precisions[i]), LAYOUT_PLAIN, DIMS(1, 2500));
		kt_in(&k, OOO_FP32, LAYOUT_PLAIN, DIMS(130, 2500));
		kt_out_as(&k, 1, LAYOUT_PLAIN, narrow(precisions[i]));
		matmul_check(&k, &o, tolerance_of(precisions[i], 2500));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conv_layers),           cmocka_unit_test(test_conv_random),
		cmocka_unit_test(test_conv_transpose_random), cmocka_unit_test(test_matmul_random),
		cmocka_unit_test(test_matmul_vectors),        cmocka_unit_test(test_gemv_splits),
	};
	int failed;

	ct_open();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	ct_close();
	return failed;
}
