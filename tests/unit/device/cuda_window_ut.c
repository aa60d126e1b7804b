/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling, depthwise convolution and resizing on the cuda device: all types, layouts and windows. */
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

struct window {
	int64_t channels, height, width;
	int multiplier; /* of a convolution */
	int kernel[2], stride[2], dilation[2], pad[4];
	uint32_t flags; /* of a pool */
};

static void set_window(struct ooo_attr *a, const struct window *w)
{
	memcpy(a->kernel, w->kernel, sizeof(a->kernel));
	memcpy(a->stride, w->stride, sizeof(a->stride));
	memcpy(a->dilation, w->dilation, sizeof(a->dilation));
	memcpy(a->pad, w->pad, sizeof(a->pad));
}

static const struct window pools[] = {
	{ 8, 9, 10, 0, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1, 1, 1 }, 0 },
	{ 16, 7, 6, 0, { 2, 3 }, { 1, 2 }, { 1, 1 }, { 0, 1, 1, 2 }, OOO_ATTR_CEIL_MODE },
	{ 5, 9, 8, 0, { 3, 2 }, { 2, 3 }, { 2, 1 }, { 1, 0, 2, 1 }, OOO_ATTR_CEIL_MODE },
	{ 24, 7, 7, 0, { 7, 7 }, { 1, 1 }, { 1, 1 }, { 0 }, 0 },
	{ 3, 8, 8, 0, { 2, 2 }, { 2, 2 }, { 1, 1 }, { 0 }, 0 },
};

static void pool(const struct variant *v, const struct window *w, uint32_t op, uint32_t flags,
		 enum layout from, enum layout to)
{
	struct kt k;

	kt_init(&k, op, ++seed);
	set_window(&k.step.attr, w);
	k.step.attr.flags = w->flags | flags;
	kt_in(&k, v->in, from, DIMS(2, w->channels, w->height, w->width));
	kt_out_as(&k, 1, to, v->out);
	if (flags || w->channels % 2)
		kt_post(&k, (struct post){ .op = OOO_OP_RELU }, to, SCALAR);
	ct_check(&k, &v->o, 1e-5);
}

static void test_pool(void **state)
{
	(void)state;
	FOR_VARIANTS(v)
	{
		for (size_t i = 0; i < COUNT(pools); i++) {
			FOR_LAYOUTS(l)
			{
				pool(v, &pools[i], OOO_OP_MAX_POOL, 0, l, l);
				pool(v, &pools[i], OOO_OP_AVERAGE_POOL, 0, l, l);
				pool(v, &pools[i], OOO_OP_AVERAGE_POOL, OOO_ATTR_COUNT_INCLUDE_PAD,
				     l, l);
			}
			pool(v, &pools[i], OOO_OP_MAX_POOL, 0, PLAIN, NHWC);
			pool(v, &pools[i], OOO_OP_AVERAGE_POOL, 0, NHWC, PLAIN);
		}
	}
}

static void test_pool_1d(void **state)
{
	static const uint32_t ops[] = { OOO_OP_MAX_POOL, OOO_OP_AVERAGE_POOL };

	(void)state;
	FOR_VARIANTS(v)
	{
		for (size_t i = 0; i < COUNT(ops); i++) {
			struct kt k;

			kt_init(&k, ops[i], ++seed);
			k.step.attr.kernel[1] = 4;
			k.step.attr.stride[1] = 3;
			k.step.attr.pad[1] = 2;
			k.step.attr.pad[3] = 1;
			k.step.attr.flags =
				OOO_ATTR_CEIL_MODE | (i ? OOO_ATTR_COUNT_INCLUDE_PAD : 0);
			kt_in(&k, v->in, PLAIN, DIMS(2, 5, 19));
			kt_out_as(&k, 1, PLAIN, v->out);
			ct_check(&k, &v->o, 1e-5);
		}
	}
}

static void global(const struct variant *v, uint32_t op, enum layout layout, int rank,
		   const int64_t *dims)
{
	struct kt k;

	kt_init(&k, op, ++seed);
	kt_in(&k, v->in, layout, rank, dims);
	kt_out_as(&k, 1, layout, v->out);
	ct_check(&k, &v->o, 2e-5);
}

static void test_global_pool(void **state)
{
	static const uint32_t ops[] = { OOO_OP_GLOBAL_MAX_POOL, OOO_OP_GLOBAL_AVERAGE_POOL };

	(void)state;
	FOR_VARIANTS(v)
	{
		for (size_t i = 0; i < COUNT(ops); i++) {
			FOR_LAYOUTS(l)
			{
				global(v, ops[i], l, DIMS(2, 40, 7, 7));
				global(v, ops[i], l, DIMS(1, 3, 50, 61));
				global(v, ops[i], l, DIMS(2, 64, 1, 1));
			}
			global(v, ops[i], PLAIN, DIMS(2, 4, 33));
		}
	}
}

/* ---- depthwise convolution ------------------------------------------------------------------- */

static const struct window convolutions[] = {
	{ 8, 9, 10, 1, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1, 1, 1 }, 0 },
	{ 32, 9, 11, 1, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1, 1, 1 }, 0 },
	{ 24, 9, 7, 1, { 5, 5 }, { 1, 1 }, { 1, 1 }, { 2, 2, 2, 2 }, 0 },
	{ 16, 9, 12, 1, { 5, 5 }, { 2, 2 }, { 1, 1 }, { 1, 2, 2, 1 }, 0 },
	{ 16, 9, 12, 1, { 3, 3 }, { 1, 1 }, { 2, 3 }, { 2, 3, 2, 3 }, 0 },
	{ 7, 9, 7, 1, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1, 1, 1 }, 0 },
	{ 8, 6, 7, 2, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1, 1, 1 }, 0 },
	{ 3, 8, 8, 3, { 2, 4 }, { 3, 2 }, { 1, 2 }, { 0, 2, 1, 0 }, 0 },
	{ 8, 3, 3, 1, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 0 }, 0 },
	{ 16, 9, 12, 1, { 1, 7 }, { 1, 3 }, { 1, 1 }, { 0, 3, 0, 3 }, 0 },
	{ 16, 9, 12, 1, { 7, 3 }, { 3, 1 }, { 1, 1 }, { 3, 1, 3, 1 }, 0 },
};

static void convolve(const struct variant *v, const struct window *w, enum layout from,
		     enum layout to, int kind)
{
	int64_t outputs = w->channels * w->multiplier;
	struct ct_options o = v->o;
	struct kt k;

	kt_init(&k, OOO_OP_CONV, ++seed);
	set_window(&k.step.attr, w);
	k.step.attr.group = (int32_t)w->channels;
	kt_in(&k, v->in, from, DIMS(2, w->channels, w->height, w->width));
	kt_in(&k, OOO_FP32, PLAIN, DIMS(outputs, 1, w->kernel[0], w->kernel[1]));
	if (kind)
		kt_in(&k, OOO_FP32, PLAIN, DIMS(outputs));
	kt_out_as(&k, 1, to, v->out);
	if (kind == 2) {
		const int64_t *y = k.tensors[k.out[0]].shape.dims;

		kt_post(&k, (struct post){ .op = OOO_OP_ADD }, to, DIMS(y[0], y[1], y[2], y[3]));
		kt_post(&k, (struct post){ .op = OOO_OP_CLIP, .alpha = 0, .beta = 6 }, to, SCALAR);
	}
	if (kind == 3)
		o.inputs = 6;
	ct_check(&k, &o, 2e-5);
}

static void test_depthwise(void **state)
{
	(void)state;
	FOR_VARIANTS(v)
	{
		for (size_t i = 0; i < COUNT(convolutions); i++) {
			for (int kind = 0; kind < 4; kind++) {
				convolve(v, &convolutions[i], NHWC, NHWC, kind);
				convolve(v, &convolutions[i], PLAIN, PLAIN, kind);
				convolve(v, &convolutions[i], PLAIN, NHWC, kind);
			}
		}
	}
}

static void test_depthwise_1d(void **state)
{
	(void)state;
	FOR_VARIANTS(v)
	{
		struct kt k;

		kt_init(&k, OOO_OP_CONV, ++seed);
		k.step.attr.kernel[1] = 5;
		k.step.attr.pad[1] = 2;
		k.step.attr.group = 6;
		kt_in(&k, v->in, PLAIN, DIMS(2, 6, 19));
		kt_in(&k, OOO_FP32, PLAIN, DIMS(6, 1, 5));
		kt_in(&k, OOO_FP32, PLAIN, DIMS(6));
		kt_out_as(&k, 1, PLAIN, v->out);
		ct_check(&k, &v->o, 2e-5);
	}
}

/* ---- resizing -------------------------------------------------------------------------------- */

struct sizes {
	int rank;
	int64_t in[4], out[4];
};

static const struct sizes sizes[] = {
	{ 4, { 2, 3, 5, 7 }, { 2, 3, 10, 14 } },
	{ 4, { 1, 8, 5, 7 }, { 1, 8, 3, 5 } },
	{ 4, { 1, 16, 1, 1 }, { 1, 16, 4, 5 } },
	{ 4, { 2, 3, 6, 8 }, { 2, 3, 12, 8 } },
	{ 4, { 1, 2, 8, 6 }, { 1, 2, 1, 9 } },
	{ 3, { 2, 3, 9 }, { 2, 3, 20 } },
	{ 1, { 9 }, { 20 } },
	{ 4, { 2, 3, 4, 5 }, { 2, 3, 4, 5 } },
};

static void resize(const struct variant *v, const struct sizes *s, uint32_t dtype, int coord,
		   int mode, bool scaled, enum layout from, enum layout to)
{
	struct kt k;

	kt_init(&k, OOO_OP_RESIZE, ++seed);
	k.step.attr.mode = mode == 4;
	k.step.attr.nearest_mode = mode % 4;
	k.step.attr.coord = coord;
	k.step.attr.rank = s->rank;
	memcpy(k.step.attr.dims, s->out, (size_t)s->rank * sizeof(s->out[0]));
	/* Scales that are exact: rounded ones decide differently where a cell ends. */
	for (int i = 0; i < s->rank; i++)
		scaled = scaled && s->out[i] % s->in[i] == 0;
	for (int i = 0; scaled && i < s->rank; i++)
		k.step.attr.scale[i] = (float)(s->out[i] / s->in[i]);
	kt_in(&k, dtype, from, s->rank, s->in);
	kt_out_as(&k, 1, to, v->out);
	ct_check(&k, &v->o, 1e-5);
}

static void test_resize(void **state)
{
	unsigned n = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		for (int kind = 0; kind < 40; kind++) {
			int coord = kind % 4, mode = kind / 4 % 5;
			const struct variant *v = &variants[n++ % COUNT(variants)];

			resize(v, &sizes[i], v->in, coord, mode, kind >= 20, PLAIN, PLAIN);
			if (sizes[i].rank != 4)
				continue;
			resize(v, &sizes[i], v->in, coord, mode, kind >= 20, NHWC, NHWC);
			resize(v, &sizes[i], v->in, coord, mode, kind >= 20, PLAIN, NHWC);
		}
	}
}

static void test_resize_types(void **state)
{
	static const uint32_t types[] = { OOO_BOOL, OOO_UINT8, OOO_INT8, OOO_INT32, OOO_INT64 };

	(void)state;
	for (size_t i = 0; i < COUNT(types); i++)
		resize(&variants[0], &sizes[0], types[i], 0, 0, false, PLAIN, PLAIN);
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
		cmocka_unit_test(test_pool),         cmocka_unit_test(test_pool_1d),
		cmocka_unit_test(test_global_pool),  cmocka_unit_test(test_depthwise),
		cmocka_unit_test(test_depthwise_1d), cmocka_unit_test(test_resize),
		cmocka_unit_test(test_resize_types),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
