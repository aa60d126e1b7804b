/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pointwise and moving operators on the cuda device: the cases of the plain kernels, and those in
 * which its own ways part - runs of four and single elements, units of every size, tiles through
 * shared memory - with operands in the tenant's memory and in the slot, in one type and in several.
 */
#include <errno.h>

#include "tests/unit/device/cuda_rig.h"
#include "tests/unit/device/kernel_cases.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct variant {
	uint32_t in, out;
	struct ct_options o;
};

static const struct variant variants[] = {
	{ OOO_FP32, OOO_FP32, { .items = 2 } },
	{ OOO_FP32, OOO_FP32, { .slots = ~0u, .out_slots = ~0u } },
	{ OOO_FP16, OOO_FP16, { .precision = OOO_FP16 } },
	{ OOO_BF16, OOO_FP32, { .precision = OOO_BF16 } },
	{ OOO_FP32, OOO_FP16, { .precision = OOO_FP16 } },
	{ OOO_INT64, 0, { .consts = 1 } },
	{ OOO_UINT8, 0, { .items = 2 } },
};

#define FOR_VARIANTS(V)                                                                            \
	for (const struct variant *V = variants; V < variants + COUNT(variants); V++)
#define FOR_FLOATS(V) for (const struct variant *V = variants; V < variants + 5; V++)

static uint64_t seed;

static void begin(struct kt *k, uint32_t op)
{
	kt_init(k, op, ++seed);
	if (op == OP_REORDER)
		k->step.klass = CLASS_MOVE;
}

/* The list's tests, with some of the fp32 tensors in a narrower type. */
static enum ooo_status run_without_blocks(struct kt *k)
{
	for (uint32_t i = 0; i < k->nr; i++)
		k->left_out = k->left_out || k->tensors[i].layout == LAYOUT_BLOCK16;
	return k->left_out ? OOO_OK : ct_runner(k);
}

static int setup_plain(void **state)
{
	(void)state;
	kt_runner = run_without_blocks;
	ct.options = (struct ct_options){ 0 };
	kt_narrow = 0;
	return 0;
}

static int setup_slots(void **state)
{
	setup_plain(state);
	ct.options = (struct ct_options){ .slots = ~0u, .out_slots = ~0u, .items = 2 };
	return 0;
}

static int setup_fp16(void **state)
{
	setup_plain(state);
	kt_narrow = OOO_FP16;
	return 0;
}

static int setup_bf16(void **state)
{
	setup_plain(state);
	kt_narrow = OOO_BF16;
	return 0;
}

static void binary(uint32_t op, uint32_t in, uint32_t out, const struct ct_options *o, int rank_a,
		   const int64_t *a, int rank_b, const int64_t *b)
{
	struct kt k;

	begin(&k, op);
	kt_in(&k, in, PLAIN, rank_a, a);
	kt_in(&k, in, PLAIN, rank_b, b);
	kt_out_as(&k, 1, PLAIN, out);
	ct_check(&k, o, 1e-6);
}

/* Runs of four: all lengths of the last one, the tile's edge, every way to broadcast a run. */
static void runs_of_four(void **state)
{
	(void)state;
	FOR_FLOATS(v)
	{
		for (int64_t n = 1; n < 14; n++)
			binary(OOO_OP_ADD, v->in, v->out, &v->o, DIMS(n), DIMS(n));
		for (int64_t n = 1020; n < 6145; n += 1024 + (n & 3))
			binary(OOO_OP_SUB, v->in, v->out, &v->o, DIMS(n), DIMS(1));
		binary(OOO_OP_MUL, v->in, v->out, &v->o, DIMS(5, 48), DIMS(48));
		binary(OOO_OP_MUL, v->in, v->out, &v->o, DIMS(48), DIMS(70, 48));
		binary(OOO_OP_MUL, v->in, v->out, &v->o, DIMS(70, 48), DIMS(70, 1));
		binary(OOO_OP_MUL, v->in, v->out, &v->o, DIMS(70, 49), DIMS(70, 1));
		binary(OOO_OP_DIV, v->in, v->out, &v->o, SCALAR, DIMS(3, 2, 8));
		binary(OOO_OP_SUB, v->in, v->out, &v->o, DIMS(3, 1, 2, 1, 8), DIMS(3, 5, 1, 4, 8));
	}
}

/* Eight axes of which no two merge; and none. */
static void every_rank(void **state)
{
	static const int64_t a[] = { 2, 1, 3, 1, 2, 1, 2, 1 }, b[] = { 1, 3, 1, 2, 1, 3, 1, 4 };

	(void)state;
	FOR_FLOATS(v)
	{
		for (int rank = 0; rank <= 8; rank++)
			binary(OOO_OP_ADD, v->in, v->out, &v->o, rank, a + 8 - rank, rank,
			       b + 8 - rank);
	}
	for (int rank = 0; rank <= 8; rank++)
		binary(OOO_OP_LESS, OOO_INT32, OOO_FP32, NULL, rank, a + 8 - rank, rank,
		       b + 8 - rank);
}

static void post_operations(void **state)
{
	static const uint32_t ops[] = { OOO_OP_ADD, OOO_OP_GELU, OOO_OP_TRANSPOSE };
	static const int64_t last[] = { 40, 41 };

	(void)state;
	for (size_t i = 0; i < COUNT(ops) * COUNT(last); i++) {
		int64_t d[] = { 2, 9, 7, last[i % 2] };

		FOR_FLOATS(v)
		{
			struct kt k;

			begin(&k, ops[i / 2]);
			kt_in(&k, v->in, PLAIN, 4, d);
			if (ops[i / 2] == OOO_OP_ADD)
				kt_in(&k, OOO_FP32, PLAIN, DIMS(9, 1, 1));
			if (ops[i / 2] == OOO_OP_TRANSPOSE)
				memcpy(k.step.attr.perm, (int32_t[]){ 0, 2, 3, 1 }, 16);
			kt_out_as(&k, 1, PLAIN, v->out);
			memcpy(d, k.tensors[k.out[0]].shape.dims, sizeof(d));
			kt_post(&k, (struct post){ .op = OOO_OP_MUL }, PLAIN, 4, d);
			kt_post(&k, (struct post){ .op = OOO_OP_RELU }, PLAIN, SCALAR);
			kt_post(&k, (struct post){ .op = OOO_OP_ADD }, PLAIN, 4, d);
			kt_post(&k, (struct post){ .op = OOO_OP_SWISH, .alpha = 1.5f }, PLAIN,
				SCALAR);
			ct_check(&k, &v->o, 2e-6);
		}
	}
}

static void transposed(const struct variant *v, int rank, const int64_t *dims, const int32_t *perm)
{
	struct kt k;

	begin(&k, OOO_OP_TRANSPOSE);
	kt_in(&k, v->in, PLAIN, rank, dims);
	memcpy(k.step.attr.perm, perm, (size_t)rank * sizeof(*perm));
	kt_out_as(&k, 1, PLAIN, v->out);
	ct_check(&k, &v->o, 0);
}

/* One axis small, the other, both, neither; edges of tiles; axes around them. */
static void transposes(void **state)
{
	static const int64_t sizes[][2] = { { 3, 700 },  { 700, 3 },  { 31, 33 },  { 64, 64 },
					    { 65, 129 }, { 2, 1030 }, { 1030, 2 }, { 5, 7 },
					    { 196, 17 }, { 1, 90 } };

	(void)state;
	FOR_VARIANTS(v)
	{
		for (size_t i = 0; i < COUNT(sizes); i++) {
			transposed(v, DIMS(sizes[i][0], sizes[i][1]), (int32_t[]){ 1, 0 });
			transposed(v, DIMS(2, sizes[i][0], sizes[i][1]), (int32_t[]){ 0, 2, 1 });
		}
		transposed(v, DIMS(2, 12, 17, 16), (int32_t[]){ 0, 2, 1, 3 });
		transposed(v, DIMS(3, 40, 2, 50), (int32_t[]){ 3, 2, 0, 1 });
		transposed(v, DIMS(2, 3, 2, 3, 2, 3, 2, 3), (int32_t[]){ 7, 5, 3, 1, 0, 2, 4, 6 });
	}
}

static void reorders_that_convert(void **state)
{
	static const int64_t shapes[][4] = {
		{ 2, 3, 20, 30 }, { 1, 64, 7, 7 }, { 2, 33, 9, 5 }, { 3, 1, 4, 4 }, { 2, 50, 1, 1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(shapes) * 2; i++) {
		FOR_VARIANTS(v)
		{
			struct kt k;

			begin(&k, OP_REORDER);
			kt_in(&k, v->in, i & 1 ? NHWC : PLAIN, 4, shapes[i / 2]);
			kt_out_as(&k, 1, i & 1 ? PLAIN : NHWC, v->out);
			if (v->out)
				k.tensors[k.out[0]].shape.dtype = v->out;
			ct_check(&k, &v->o, 0);
		}
	}
}

static void attribute_dims(struct kt *k, int rank, const int64_t *dims, const int64_t *start,
			   const int64_t *step)
{
	set_dims(&k->step.attr, rank, dims);
	memcpy(k->step.attr.start, start, (size_t)rank * sizeof(*start));
	if (step)
		memcpy(k->step.attr.step, step, (size_t)rank * sizeof(*step));
}

/* Units of 1 to 16 bytes: by where a slice begins and how long its rows are. */
static void slices(void **state)
{
	(void)state;
	FOR_VARIANTS(v)
	{
		for (int64_t start = 0; start < 9; start++) {
			struct kt k;

			begin(&k, OOO_OP_SLICE);
			kt_in(&k, v->in, PLAIN, DIMS(3, 5, 48));
			attribute_dims(&k, DIMS(3, 2, 48 - 2 * start),
				       (int64_t[]){ start % 3, start % 4, start },
				       (int64_t[]){ start % 3 ? -1 : 1, 1, 1 });
			k.step.attr.dims[0] = start % 3 + (start % 3 ? 1 : 3);
			kt_out_as(&k, 1, PLAIN, v->out);
			ct_check(&k, &v->o, 0);
		}
		for (int64_t step = -3; step < 4; step += 2) {
			struct kt k;

			begin(&k, OOO_OP_SLICE);
			kt_in(&k, v->in, PLAIN, DIMS(70, 90));
			attribute_dims(&k, DIMS(70, 30), (int64_t[]){ 69, step < 0 ? 89 : 0 },
				       (int64_t[]){ -1, step });
			kt_out_as(&k, 1, PLAIN, v->out);
			ct_check(&k, &v->o, 0);
		}
	}
}

static void joins_and_splits(void **state)
{
	(void)state;
	for (int axis = 0; axis < 3; axis++) {
		FOR_VARIANTS(v)
		{
			struct kt k;

			begin(&k, OOO_OP_CONCAT);
			k.step.attr.axis = axis;
			for (int i = 0; i < KT_IN; i++) {
				int64_t d[] = { 4, 8, 12 };

				d[axis] = i * 4 % 7;
				/* Each in a type of its own, as far as they mix. */
				kt_in(&k, v->out && i & 1 ? v->out : v->in, PLAIN, 3, d);
			}
			kt_out_as(&k, 1, PLAIN, v->out);
			ct_check(&k, &v->o, 0);

			begin(&k, OOO_OP_SPLIT);
			k.step.attr.axis = axis;
			kt_in(&k, v->in, PLAIN, DIMS(9, 12, 24));
			kt_out_as(&k, 3, PLAIN, v->out);
			k.absent[axis] = true;
			ct_check(&k, &v->o, 0);
		}
	}
}

static void tiles_of_eight_axes(void **state)
{
	(void)state;
	FOR_VARIANTS(v)
	{
		struct kt k;

		begin(&k, OOO_OP_TILE);
		kt_in(&k, v->in, PLAIN, DIMS(2, 3, 2, 2, 2, 2, 2, 3));
		set_dims(&k.step.attr, DIMS(4, 3, 4, 4, 2, 4, 4, 6));
		kt_out_as(&k, 1, PLAIN, v->out);
		ct_check(&k, &v->o, 0);
	}
}

static void padding(const struct variant *v, int mode, int rank, const int64_t *in,
		    const int64_t *out, const int64_t *start)
{
	struct kt k;

	begin(&k, OOO_OP_PAD);
	kt_in(&k, v->in, PLAIN, rank, in);
	attribute_dims(&k, rank, out, start, NULL);
	k.step.attr.mode = mode;
	k.step.attr.alpha = mode ? 0 : 1;
	kt_out_as(&k, 1, PLAIN, v->out);
	ct_check(&k, &v->o, 0);
}

#define D(...) ((const int64_t[]){ __VA_ARGS__ })

static void paddings(void **state)
{
	(void)state;
	FOR_VARIANTS(v)
	{
		for (int mode = 0; mode < 3; mode++) {
			padding(v, mode, 4, D(2, 3, 30, 20), D(2, 3, 36, 22), D(0, 0, 3, 1));
			padding(v, mode, 4, D(2, 3, 4, 5), D(3, 3, 4, 5), D(1, 0, 0, 0));
			padding(v, mode, 3, D(5, 9, 7), D(5, 12, 7), D(0, 8, 0));
			padding(v, mode, 3, D(5, 9, 7), D(1, 3, 2), D(-2, -3, -4));
			padding(v, mode, 1, D(50), D(3000 / 30), D(49));
			padding(v, mode, 0, D(0), D(0), D(0));
		}
	}
}

static void gathered(const struct variant *v, bool wide, int axis, int64_t outer, int64_t size,
		     int64_t inner, int64_t nr)
{
	struct kt k;

	begin(&k, OOO_OP_GATHER);
	k.step.attr.axis = axis;
	if (axis)
		kt_in(&k, v->in, PLAIN, DIMS(outer, size, inner));
	else
		kt_in(&k, v->in, PLAIN, DIMS(size, inner));
	kt_fill(&k, kt_in(&k, wide ? OOO_INT64 : OOO_INT32, PLAIN, DIMS(nr)), (double)-size,
		(double)size);
	kt_out_as(&k, 1, PLAIN, v->out);
	ct_check(&k, &v->o, 0);
}

/* Rows shorter and longer than a tile, of every unit. */
static void gathers_of_any_row(void **state)
{
	static const int64_t rows[] = { 1, 2, 3, 4, 8, 16, 33, 768, 2047, 2048, 2064, 4100 };

	(void)state;
	FOR_VARIANTS(v)
	{
		for (size_t i = 0; i < COUNT(rows); i++) {
			gathered(v, i & 1, 0, 1, 7, rows[i], 1 + 600 / (rows[i] + 8));
			gathered(v, !(i & 1), 1, 3, 5, rows[i], 4);
		}
		gathered(v, true, 0, 1, 3, 1, 1300);
	}
}

/* The others of the bundle do not notice, nor do this one's good rows. */
static void bad_rows_are_zero(void **state)
{
	static const int64_t rows[] = { 3, 4, 3000 };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct ct_options o = { .slots = 2 };
		struct kt k;

		begin(&k, OOO_OP_GATHER);
		kt_in(&k, OOO_FP32, PLAIN, DIMS(5, rows[i]));
		kt_in(&k, OOO_INT32, PLAIN, DIMS(3));
		memcpy(k.v[k.in[1]], V(2, 5, -5), 24);
		kt_put(&k, k.in[1]);
		kt_out(&k, 1, PLAIN);
		assert_int_equal(ct_run(&k, &o), OOO_BAD_INDEX);
		for (int64_t c = 0; c < 3 * rows[i]; c++) {
			int64_t from = c / rows[i] == 0 ? 2 : 0;

			k.v[k.out[0]][c] =
				c / rows[i] == 1 ? 0 : k.v[k.in[0]][from * rows[i] + c % rows[i]];
		}
		kt_expect(&k, 0, 0);
		kt_free(&k);
	}
}

static void choices_of_several_types(void **state)
{
	(void)state;
	FOR_FLOATS(v)
	{
		struct kt k;

		begin(&k, OOO_OP_WHERE);
		kt_in(&k, OOO_BOOL, PLAIN, DIMS(3, 1, 9));
		kt_in(&k, OOO_FP32, PLAIN, SCALAR);
		kt_in(&k, v->in, PLAIN, DIMS(3, 20, 9));
		kt_out_as(&k, 1, PLAIN, v->out);
		ct_check(&k, &v->o, 0);
	}
}

/* Angles far beyond what a reduction in fp32 can do. */
static void large_angles(void **state)
{
	(void)state;
	for (uint32_t op = OOO_OP_SIN; op <= OOO_OP_COS; op++) {
		for (double scale = 1; scale < 1e38; scale *= 1e4) {
			struct kt k;

			begin(&k, op);
			kt_fill(&k, kt_in(&k, OOO_FP32, PLAIN, DIMS(300)), -scale, scale);
			kt_out(&k, 1, PLAIN);
			ct_check(&k, NULL, 1e-6);
		}
	}
}

/* What no program of the compiler's holds is refused and not computed wrongly. */
static void unsupported_is_refused(void **state)
{
	struct ct_options o = { 0 };
	struct device_program *dp;
	struct ct_program *c;
	char why[256] = "";
	struct kt k;

	(void)state;
	begin(&k, OP_REORDER);
	kt_in(&k, OOO_FP32, PLAIN, DIMS(1, 5, 2, 2));
	kt_out(&k, 1, LAYOUT_BLOCK16);
	c = ct_program_new(&k, &o);
	assert_int_equal(ct.ops->load(ct.dev, &c->p, 1, &dp, why, sizeof(why)), -EOPNOTSUPP);
	assert_non_null(strstr(why, "channels in blocks"));
	ct_free(c);
	kt_free(&k);
}

static int open_device(void **state)
{
	(void)state;
	ct_open();
	return 0;
}

static int close_device(void **state)
{
	(void)state;
	ct_close();
	return 0;
}

#define PLAIN_CASE(f, exact) { "inputs: " #f, f, setup_plain, NULL, NULL },
#define SLOTS_CASE(f, exact) { "slots: " #f, f, setup_slots, NULL, NULL },
#define FP16_CASE(f, exact)  { "fp16: " #f, (exact) ? NULL : (f), setup_fp16, NULL, NULL },
#define BF16_CASE(f, exact)  { "bf16: " #f, (exact) ? NULL : (f), setup_bf16, NULL, NULL },

int main(void)
{
	const struct CMUnitTest all[] = {
		/* clang-format off */
		KERNEL_CASES(PLAIN_CASE)
		KERNEL_CASES(SLOTS_CASE)
		KERNEL_CASES(FP16_CASE)
		KERNEL_CASES(BF16_CASE)
		/* clang-format on */
		cmocka_unit_test_setup(runs_of_four, setup_plain),
		cmocka_unit_test_setup(every_rank, setup_plain),
		cmocka_unit_test_setup(post_operations, setup_plain),
		cmocka_unit_test_setup(transposes, setup_plain),
		cmocka_unit_test_setup(reorders_that_convert, setup_plain),
		cmocka_unit_test_setup(slices, setup_plain),
		cmocka_unit_test_setup(joins_and_splits, setup_plain),
		cmocka_unit_test_setup(tiles_of_eight_axes, setup_plain),
		cmocka_unit_test_setup(paddings, setup_plain),
		cmocka_unit_test_setup(gathers_of_any_row, setup_plain),
		cmocka_unit_test_setup(bad_rows_are_zero, setup_plain),
		cmocka_unit_test_setup(choices_of_several_types, setup_plain),
		cmocka_unit_test_setup(large_angles, setup_plain),
		cmocka_unit_test_setup(unsupported_is_refused, setup_plain),
	};
	struct CMUnitTest tests[COUNT(all)];
	size_t n = 0;

	for (size_t i = 0; i < COUNT(all); i++)
		if (all[i].test_func)
			tests[n++] = all[i];
	return _cmocka_run_group_tests("cuda_map", tests, n, open_device, close_device);
}
