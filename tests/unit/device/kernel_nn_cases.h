/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every device must give for the operators of networks: windows, products, norms, reductions,
 * recurrent layers, and what is fused behind them. CASE(function, exact): exact if it counts on fp32 to the last digit.
 */
#ifndef OOO_TESTS_KERNEL_NN_CASES_H
#define OOO_TESTS_KERNEL_NN_CASES_H

#include "tests/unit/device/cpu_kernels_reference.h"

static void reductions(void **state)
{
	static const uint32_t masks[] = { 0x1, 0x2, 0x8, 0xc, 0x5, 0xf };

	(void)state;
	for (uint32_t op = OOO_OP_REDUCE_MEAN; op <= OOO_OP_REDUCE_MIN; op++) {
		for (int i = 0; i < 6; i++) {
			for (int keep = 0; keep < 2; keep++) {
				FOR_LAYOUTS(l)
				{
					struct kt k;

					kt_init(&k, op, (uint64_t)i);
					kt_in(&k, OOO_FP32, l, DIMS(3, 40, 24, 25));
					k.step.attr.axes = masks[i];
					k.step.attr.flags = keep ? OOO_ATTR_KEEPDIMS : 0;
					kt_out(&k, 1, keep && l == NHWC ? NHWC : PLAIN);
					kt_check(&k, 2e-6);
				}
			}
		}
	}
}

static void arg_extremes(void **state)
{
	(void)state;
	for (int i = 0; i < 2 * 2 * 2 * 3; i++) {
		struct kt k;

		kt_init(&k, i & 1 ? OOO_OP_ARG_MIN : OOO_OP_ARG_MAX, (uint64_t)i);
		kt_in(&k, OOO_FP32, PLAIN, DIMS(30, 40, 20));
		kt_fill(&k, 0, -9, 9);
		for (int64_t e = 0; e < 30 * 40 * 20; e++) /* ties */
			k.v[0][e] = floor(k.v[0][e]);
		kt_put(&k, 0);
		k.step.attr.axis = i / 8;
		k.step.attr.flags =
			(i & 2 ? OOO_ATTR_KEEPDIMS : 0) | (i & 4 ? OOO_ATTR_LAST_INDEX : 0);
		kt_out(&k, 1, PLAIN);
		kt_check(&k, 0);
	}
}

static void windows(void **state)
{
	static const struct {
		uint32_t op;
		int kernel[2], stride[2], dilation[2], pad[4];
		uint32_t flags;
	} cases[] = {
		{ OOO_OP_MAX_POOL, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1, 1, 1 }, 0 },
		{ OOO_OP_MAX_POOL, { 2, 3 }, { 1, 2 }, { 2, 3 }, { 1, 2, 0, 1 }, OOO_ATTR_CEIL_MODE },
		{ OOO_OP_AVERAGE_POOL, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1, 1, 1 }, 0 },
		{ OOO_OP_AVERAGE_POOL,
		  { 3, 4 },
		  { 2, 3 },
		  { 1, 1 },
		  { 1, 2, 0, 1 },
		  OOO_ATTR_COUNT_INCLUDE_PAD },
		{ OOO_OP_AVERAGE_POOL,
		  { 3, 3 },
		  { 2, 2 },
		  { 1, 1 },
		  { 0, 1, 1, 0 },
		  OOO_ATTR_CEIL_MODE | OOO_ATTR_COUNT_INCLUDE_PAD },
		{ OOO_OP_AVERAGE_POOL,
		  { 4, 2 },
		  { 3, 3 },
		  { 1, 1 },
		  { 1, 0, 0, 1 },
		  OOO_ATTR_CEIL_MODE },
		{ OOO_OP_GLOBAL_MAX_POOL, { 0 }, { 0 }, { 0 }, { 0 }, 0 },
		{ OOO_OP_GLOBAL_AVERAGE_POOL, { 0 }, { 0 }, { 0 }, { 0 }, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		FOR_LAYOUTS(l)
		{
			struct kt k;

			kt_init(&k, cases[i].op, i);
			memcpy(k.step.attr.kernel, cases[i].kernel, sizeof(cases[i].kernel));
			memcpy(k.step.attr.stride, cases[i].stride, sizeof(cases[i].stride));
			memcpy(k.step.attr.dilation, cases[i].dilation, sizeof(cases[i].dilation));
			memcpy(k.step.attr.pad, cases[i].pad, sizeof(cases[i].pad));
			k.step.attr.flags = cases[i].flags;
			kt_in(&k, OOO_FP32, l, DIMS(2, 19, 40, 41));
			kt_out(&k, 1, l);
			kt_post(&k, (struct post){ .op = OOO_OP_RELU }, PLAIN, SCALAR);
			kt_check(&k, 2e-6);
		}
	}
}

static void convolutions(void **state)
{
	(void)state;
	for (int i = 0; i < 16; i++) {
		bool transposed = i & 1, grouped = i & 2, flat = i & 8;
		enum layout l = flat ? PLAIN : i & 4 ? NHWC : PLAIN;
		int group = grouped ? 2 : 1;
		int64_t x[] = { 2, 6, 9, 11 }, w[] = { 8, 6 / group, 3, 2 };
		struct kt k;

		kt_init(&k, transposed ? OOO_OP_CONV_TRANSPOSE : OOO_OP_CONV, (uint64_t)i);
		memcpy(k.step.attr.kernel, (int[]){ flat ? 1 : 3, 2 }, 8);
		memcpy(k.step.attr.stride, (int[]){ flat ? 1 : 2, 3 }, 8);
		memcpy(k.step.attr.dilation, (int[]){ flat ? 1 : 2, 1 }, 8);
		memcpy(k.step.attr.pad, (int[]){ flat ? 0 : 1, 1, 0, 1 }, 16);
		k.step.attr.out_pad[1] = transposed;
		k.step.attr.group = group;
		if (transposed) {
			w[0] = 6;
			w[1] = 8 / group;
		}
		if (flat) {
			x[2] = 30;
			w[2] = 2;
		}
		kt_in(&k, OOO_FP32, l, flat ? 3 : 4, x);
		kt_in(&k, OOO_FP32, PLAIN, flat ? 3 : 4, w);
		kt_in(&k, OOO_FP32, PLAIN, DIMS(8));
		kt_out(&k, 1, l);
		kt_check(&k, 5e-6);
	}
}

static void matrix_products(void **state)
{
	static const struct {
		struct rig_shape a, b, bias;
		uint32_t flags;
	} cases[] = {
		{ { 2, { 50, 60 } }, { 2, { 60, 70 } }, { -1, { 0 } }, 0 },
		{ { 2, { 60, 50 } },
		  { 2, { 70, 60 } },
		  { 1, { 70 } },
		  OOO_ATTR_TRANS_A | OOO_ATTR_TRANS_B },
		{ { 2, { 50, 60 } }, { 2, { 70, 60 } }, { 2, { 50, 1 } }, OOO_ATTR_TRANS_B },
		{ { 4, { 2, 1, 5, 6 } }, { 3, { 3, 6, 7 } }, { -1, { 0 } }, 0 },
		{ { 4, { 2, 3, 6, 5 } }, { 4, { 1, 3, 6, 7 } }, { 2, { 5, 7 } }, OOO_ATTR_TRANS_A },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct kt k;

		kt_init(&k, OOO_OP_MATMUL, i);
		k.step.attr.flags = cases[i].flags;
		k.step.attr.alpha = i & 1 ? 0.5f : 1;
		k.step.attr.beta = i & 2 ? 0.25f : 1;
		kt_in(&k, OOO_FP32, PLAIN, cases[i].a.rank, cases[i].a.dims);
		kt_in(&k, OOO_FP32, PLAIN, cases[i].b.rank, cases[i].b.dims);
		if (cases[i].bias.rank >= 0)
			kt_in(&k, OOO_FP32, PLAIN, cases[i].bias.rank, cases[i].bias.dims);
		kt_out(&k, 1, PLAIN);
		kt_check(&k, 1e-5);
	}
}

/* ONNX: a vector on the left is a row, on the right a column, and the axis goes again. */
static void matrix_times_vector(void **state)
{
	static const struct {
		struct rig_shape a, b;
	} cases[] = {
		{ { 1, { 60 } }, { 1, { 60 } } },
		{ { 1, { 60 } }, { 3, { 4, 60, 7 } } },
		{ { 3, { 4, 7, 60 } }, { 1, { 60 } } },
	};

	(void)state;
	for (int i = 0; i < 3; i++) {
		int64_t rows = i == 2 ? 28 : 1, cols = i == 1 ? 7 : 1, batch = i == 1 ? 4 : 1;
		struct kt k;

		kt_init(&k, OOO_OP_MATMUL, (uint64_t)i);
		k.step.attr.alpha = k.step.attr.beta = 1;
		kt_in(&k, OOO_FP32, PLAIN, cases[i].a.rank, cases[i].a.dims);
		kt_in(&k, OOO_FP32, PLAIN, cases[i].b.rank, cases[i].b.dims);
		kt_out(&k, 1, PLAIN);
		assert_int_equal(kt_run(&k), OOO_OK);
		for (int64_t e = 0; e < batch * rows * cols; e++) {
			int64_t row = e / cols % rows, col = e % cols, b = e / (rows * cols);
			double sum = 0;

			for (int64_t j = 0; j < 60; j++)
				sum += k.v[0][row * 60 + j] * k.v[1][(b * 60 + j) * cols + col];
			k.v[k.out[0]][e] = sum;
		}
		kt_expect(&k, 0, 1e-5);
		kt_free(&k);
	}
}

static void softmaxes(void **state)
{
	(void)state;
	for (int i = 0; i < 12; i++) {
		struct kt k;

		kt_init(&k, i & 1 ? OOO_OP_LOG_SOFTMAX : OOO_OP_SOFTMAX, (uint64_t)i);
		k.step.attr.axis = i / 4;
		k.step.attr.flags = i & 2 ? OOO_ATTR_FLATTEN : 0;
		kt_fill(&k, kt_in(&k, OOO_FP32, PLAIN, DIMS(6, 30, 7)), -20, 20);
		kt_out(&k, 1, PLAIN);
		kt_check(&k, 2e-6);
	}
}

static void norms(void **state)
{
	(void)state;
	FOR_LAYOUTS(l)
	{
		struct kt k;

		kt_init(&k, OOO_OP_BATCH_NORM, 1);
		k.step.attr.alpha = 1e-5f;
		kt_in(&k, OOO_FP32, l, DIMS(2, 33, 20, 21));
		for (int i = 0; i < 4; i++)
			kt_fill(&k, kt_in(&k, OOO_FP32, PLAIN, DIMS(33)), 0.5, 2);
		kt_out(&k, 1, l);
		kt_check(&k, 5e-6);

		kt_init(&k, OOO_OP_INSTANCE_NORM, 1);
		k.step.attr.alpha = 1e-5f;
		kt_in(&k, OOO_FP32, l, DIMS(2, 5, 6, 7));
		kt_in(&k, OOO_FP32, PLAIN, DIMS(5));
		kt_in(&k, OOO_FP32, PLAIN, DIMS(5));
		kt_out(&k, 1, l);
		kt_check(&k, 5e-6);

		for (int size = 1; size < 6; size++) {
			kt_init(&k, OOO_OP_LRN, (uint64_t)size);
			k.step.attr.kernel[0] = size;
			k.step.attr.alpha = 0.3f;
			kt_in(&k, OOO_FP32, l, DIMS(2, 13, 9, 11));
			kt_out(&k, 1, l);
			kt_check(&k, 2e-6);
		}
	}
}

static void layer_norms(void **state)
{
	(void)state;
	for (int i = 0; i < 6; i++) {
		int64_t d[] = { 5, 12, 30 };
		struct kt k;

		kt_init(&k, OOO_OP_LAYER_NORM, (uint64_t)i);
		k.step.attr.axis = i / 2;
		k.step.attr.alpha = 1e-5f;
		kt_in(&k, OOO_FP32, PLAIN, 3, d);
		kt_in(&k, OOO_FP32, PLAIN, 3 - i / 2, d + i / 2);
		if (i & 1)
			kt_in(&k, OOO_FP32, PLAIN, 3 - i / 2, d + i / 2);
		kt_out(&k, 1, PLAIN);
		kt_check(&k, 5e-6);
	}
}

/* Each kind of post-operation, in order, on kernels that count in different units. */
static void post_operations(void **state)
{
	static const uint32_t ops[] = { OOO_OP_ADD, OOO_OP_RELU, OOO_OP_AVERAGE_POOL,
					OOO_OP_REDUCE_SUM, OOO_OP_CONCAT };

	(void)state;
	for (int i = 0; i < 5; i++) {
		FOR_LAYOUTS(l)
		{
			struct kt k;

			kt_init(&k, ops[i], (uint64_t)i);
			kt_in(&k, OOO_FP32, l, DIMS(2, 33, 20, 30));
			if (ops[i] == OOO_OP_ADD || ops[i] == OOO_OP_CONCAT)
				kt_in(&k, OOO_FP32, l, DIMS(2, 33, 20, 30));
			if (ops[i] == OOO_OP_REDUCE_SUM) {
				k.step.attr.axes = 1;
				k.step.attr.flags = OOO_ATTR_KEEPDIMS;
			}
			if (ops[i] == OOO_OP_CONCAT)
				k.step.attr.axis = 2;
			kt_out(&k, 1, l);
			kt_post(&k, (struct post){ .op = OOO_OP_ADD }, l, 4,
				k.tensors[k.out[0]].shape.dims);
			kt_post(&k, (struct post){ .op = OOO_OP_CLIP, .alpha = -1, .beta = 2 },
				PLAIN, SCALAR);
			kt_post(&k, (struct post){ .op = OOO_OP_MUL }, PLAIN, DIMS(33, 1, 1));
			kt_post(&k, (struct post){ .op = OOO_OP_SIGMOID }, PLAIN, SCALAR);
			kt_check(&k, 5e-6);
		}
	}
}

struct rnn_case {
	bool lstm, peephole, sequences, initial, bias;
	int mode;
	uint32_t flags;
	float clip;
};

enum {
	T = 4,
	N = 3,
	I = 5,
	H = 7
};

static double limit(double v, double clip)
{
	return clip > 0 ? fmin(fmax(v, -clip), clip) : v;
}

static double sigma(double v)
{
	return 1 / (1 + exp(-v));
}

/* Gate g of unit j before its activation: W x + Wb, or R h + Rb. */
static double gate(const struct kt *k, int dir, int gates, int g, int j, const double *v,
		   bool recurrent)
{
	int width = recurrent ? H : I, row = (dir * gates + g) * H + j;
	const double *m = k->v[k->in[recurrent ? 2 : 1]] + row * width;
	double sum = 0;

	for (int i = 0; i < width; i++)
		sum += m[i] * v[i];
	if (k->in[3] != OOO_NONE)
		sum += k->v[k->in[3]][(dir * 2 + recurrent) * gates * H + g * H + j];
	return sum;
}

/* One step of unit j; c is the unit's cell. Returns the new h. */
static double lstm_unit(const struct kt *k, const struct rnn_case *r, int dir, int j,
			const double *x, const double *h, double *c)
{
	double a[4], p[3] = { 0 };

	for (int g = 0; g < 4; g++)
		a[g] = gate(k, dir, 4, g, j, x, false) + gate(k, dir, 4, g, j, h, true);
	for (int g = 0; g < 3 && r->peephole; g++)
		p[g] = k->v[k->in[7]][(dir * 3 + g) * H + j];
	a[0] = sigma(limit(a[0] + p[0] * *c, r->clip));
	a[2] = r->flags & OOO_ATTR_INPUT_FORGET ? 1 - a[0]
						: sigma(limit(a[2] + p[2] * *c, r->clip));
	*c = a[2] * *c + a[0] * tanh(limit(a[3], r->clip));
	return sigma(limit(a[1] + p[1] * *c, r->clip)) * tanh(*c);
}

static double gru_unit(const struct kt *k, const struct rnn_case *r, int dir, int j,
		       const double *x, const double *h)
{
	double z = sigma(
		limit(gate(k, dir, 3, 0, j, x, false) + gate(k, dir, 3, 0, j, h, true), r->clip));
	double gated[H], reset[H], linear;

	for (int i = 0; i < H; i++) {
		reset[i] = sigma(limit(
			gate(k, dir, 3, 1, i, x, false) + gate(k, dir, 3, 1, i, h, true), r->clip));
		gated[i] = reset[i] * h[i];
	}
	linear = r->flags & OOO_ATTR_LINEAR_BEFORE_RESET ? reset[j] * gate(k, dir, 3, 2, j, h, true)
							 : gate(k, dir, 3, 2, j, gated, true);
	linear = tanh(limit(gate(k, dir, 3, 2, j, x, false) + linear, r->clip));
	return (1 - z) * linear + z * h[j];
}

static void rnn_reference(struct kt *k, const struct rnn_case *r)
{
	int dirs = r->mode == 2 ? 2 : 1;

	for (int slot = 0; slot < dirs * N; slot++) {
		int dir = slot / N, b = slot % N, length = T;
		double h[H] = { 0 }, c[H] = { 0 }, next[H];

		if (r->sequences)
			length = (int)fmin(fmax(k->v[k->in[4]][b], 0), T);
		for (int j = 0; r->initial && j < H; j++) {
			h[j] = k->v[k->in[5]][slot * H + j];
			c[j] = r->lstm ? k->v[k->in[6]][slot * H + j] : 0;
		}
		for (int s = 0; s < T; s++) {
			bool backwards = r->mode == 1 || dir == 1, behind = s >= length;
			int t = backwards && !behind ? length - 1 - s : s;
			const double *x = k->v[k->in[0]] + (t * N + b) * I;
			double *y = k->v[k->out[0]] + ((t * dirs + dir) * N + b) * H;

			for (int j = 0; j < H && !behind; j++)
				next[j] = r->lstm ? lstm_unit(k, r, dir, j, x, h, &c[j])
						  : gru_unit(k, r, dir, j, x, h);
			if (!behind)
				memcpy(h, next, sizeof(h));
			for (int j = 0; j < H; j++)
				y[j] = behind ? 0 : h[j];
		}
		memcpy(k->v[k->out[1]] + slot * H, h, sizeof(h));
		if (r->lstm)
			memcpy(k->v[k->out[2]] + slot * H, c, sizeof(c));
	}
}

static void rnn_operands(struct kt *k, const struct rnn_case *r)
{
	int64_t dirs = r->mode == 2 ? 2 : 1, gates = r->lstm ? 4 : 3;

	kt_in(k, OOO_FP32, PLAIN, DIMS(T, N, I));
	kt_in(k, OOO_FP32, PLAIN, DIMS(dirs, gates * H, I));
	kt_in(k, OOO_FP32, PLAIN, DIMS(dirs, gates * H, H));
	if (r->bias)
		kt_in(k, OOO_FP32, PLAIN, DIMS(dirs, 2 * gates * H));
	else
		kt_absent(k);
	if (r->sequences) {
		uint32_t id = kt_in(k, OOO_INT32, PLAIN, DIMS(N));

		/* Lengths are the tenant's: any number may stand there. */
		memcpy(k->v[id], (double[]){ 3, -2, 1e9 }, 24);
		kt_put(k, id);
	} else {
		kt_absent(k);
	}
	for (int i = 5; i < (r->lstm ? 7 : 6); i++) {
		if (r->initial)
			kt_in(k, OOO_FP32, PLAIN, DIMS(dirs, N, H));
		else
			kt_absent(k);
	}
	if (r->peephole)
		kt_in(k, OOO_FP32, PLAIN, DIMS(dirs, 3 * H));
}

static void recurrent_layers(void **state)
{
	static const struct rnn_case cases[] = {
		{ .lstm = true },
		{ .lstm = true, .bias = true, .initial = true, .peephole = true, .mode = 2 },
		{ .lstm = true, .bias = true, .sequences = true, .mode = 1, .clip = 0.5f },
		{ .lstm = true,
		  .initial = true,
		  .mode = 2,
		  .sequences = true,
		  .flags = OOO_ATTR_INPUT_FORGET },
		{ .bias = true },
		{ .bias = true, .initial = true, .mode = 2, .flags = OOO_ATTR_LINEAR_BEFORE_RESET },
		{ .bias = true, .sequences = true, .mode = 1, .clip = 0.5f },
		{ .sequences = true, .initial = true, .mode = 2 },
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		const struct rnn_case *r = &cases[i / 2];
		int nr = r->lstm ? 3 : 2;
		struct kt k;

		kt_init(&k, r->lstm ? OOO_OP_LSTM : OOO_OP_GRU, i);
		k.step.attr.hidden = H;
		k.step.attr.mode = r->mode;
		k.step.attr.flags = r->flags;
		k.step.attr.alpha = r->clip;
		rnn_operands(&k, r);
		kt_out(&k, nr, PLAIN);
		/* Every second time the last result alone is wanted. */
		for (int o = 0; i & 1 && o < nr - 1; o++)
			k.absent[o] = true;
		assert_int_equal(kt_run(&k), OOO_OK);
		rnn_reference(&k, r);
		for (int o = 0; o < nr; o++)
			if (!k.absent[o])
				kt_expect(&k, o, 5e-6);
		kt_free(&k);
	}
}

/* Probabilities depend on differences alone: large logits lose no digits. */
static void log_softmax_of_large_numbers(void **state)
{
	struct kt k;

	(void)state;
	kt_init(&k, OOO_OP_LOG_SOFTMAX, 1);
	kt_in(&k, OOO_FP32, PLAIN, DIMS(4));
	memcpy(k.v[0], (double[]){ 20000, 20001, 20000.5, 19999 }, 32);
	kt_put(&k, 0);
	kt_out(&k, 1, PLAIN);
	kt_check(&k, 1e-6);
}

static void global_pools_over_three_axes(void **state)
{
	(void)state;
	for (uint32_t op = OOO_OP_GLOBAL_MAX_POOL; op <= OOO_OP_GLOBAL_AVERAGE_POOL; op++) {
		struct kt k;

		kt_init(&k, op, op);
		kt_in(&k, OOO_FP32, PLAIN, DIMS(2, 3, 4, 5, 6));
		kt_out(&k, 1, PLAIN);
		assert_int_equal(kt_run(&k), OOO_OK);
		for (int64_t plane = 0; plane < 6; plane++) {
			double sum = 0, best = -INFINITY;

			for (int64_t i = plane * 120; i < (plane + 1) * 120; i++) {
				sum += k.v[0][i];
				best = fmax(best, k.v[0][i]);
			}
			k.v[k.out[0]][plane] = op == OOO_OP_GLOBAL_MAX_POOL ? best : sum / 120;
		}
		kt_expect(&k, 0, 2e-6);
		kt_free(&k);
	}
}

#define KERNEL_NN_CASES(CASE)                                                                      \
	CASE(reductions, false)                                                                    \
	CASE(arg_extremes, false)                                                                  \
	CASE(windows, false)                                                                       \
	CASE(convolutions, false)                                                                  \
	CASE(matrix_products, false)                                                               \
	CASE(matrix_times_vector, false)                                                           \
	CASE(softmaxes, false)                                                                     \
	CASE(norms, false)                                                                         \
	CASE(layer_norms, false)                                                                   \
	CASE(post_operations, false)                                                               \
	CASE(recurrent_layers, false)                                                              \
	CASE(log_softmax_of_large_numbers, true)                                                   \
	CASE(global_pools_over_three_axes, false)

#endif
