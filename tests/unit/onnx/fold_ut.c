/* SPDX-License-Identifier: Apache-2.0 */
/* Operators on constants: the results come out of the import, not of the program. */
#include <math.h>

#include "tests/unit/onnx/maker.h"

static struct maker m;

static void begin(void)
{
	maker_init(&m, 13);
	INPUT(&m, "x", FLOAT, 2, 3, 4);
}

/* The output "y" of the model is this constant. */
static void assert_ints(int count, const int64_t *want)
{
	int64_t got[32];
	struct ooo_builder *b;

	maker_output(&m, "y");
	b = maker_build(&m, NULL);
	constant_output(b, 0, OOO_INT64, got, (size_t)count * sizeof(*got));
	for (int i = 0; i < count; i++)
		assert_int_equal(got[i], want[i]);
	ooo_builder_free(b);
}

#define ASSERT_INTS(...) assert_ints(DIMS(__VA_ARGS__))

/* What PyTorch exports for x.view(x.size(0), -1). */
static void test_shape_gather_concat_reshape(void **state)
{
	struct ooo_builder *b;
	Onnx__NodeProto *node;

	begin();
	maker_int(&m, "zero", 0);
	INTS(&m, "rest", -1);
	INTS(&m, "axes", 0);
	maker_node(&m, "Shape", "x", "shape");
	node = maker_node(&m, "Gather", "shape,zero", "batch");
	maker_attr_int(node, "axis", 0);
	maker_node(&m, "Unsqueeze", "batch,axes", "list");
	node = maker_node(&m, "Concat", "list,rest", "target");
	maker_attr_int(node, "axis", 0);
	maker_node(&m, "Reshape", "x,target", "y");
	maker_output(&m, "y");
	b = maker_build(&m, NULL);
	assert_int_equal(b->nr_ops, 1);
	assert_int_equal(b->ops[0].op, OOO_OP_RESHAPE);
	ASSERT_DIMS(output_decl(b, 0), 2, 12);
	ooo_builder_free(b);
}

static void test_shape_and_size(void **state)
{
	begin();
	maker_node(&m, "Shape", "x", "y");
	ASSERT_INTS(2, 3, 4);
	begin();
	m.opset.version = 15;
	maker_attr_int(maker_node(&m, "Shape", "x", "y"), "start", -2);
	ASSERT_INTS(3, 4);
	begin();
	maker_attr_int(maker_node(&m, "Shape", "x", "y"), "start", 1);
	maker_output(&m, "y");
	assert_refused(&m, NULL, "attribute 'start' is unknown"); /* before opset 15 */
	begin();
	maker_node(&m, "Size", "x", "y");
	ASSERT_INTS(24);
}

static void arithmetic(const char *op)
{
	begin();
	INTS(&m, "a", 7, -7, 5, 0);
	INTS(&m, "b", 2, 2, -3, 4);
	maker_node(&m, op, "a,b", "y");
}

static void test_arithmetic(void **state)
{
	arithmetic("Add");
	ASSERT_INTS(9, -5, 2, 4);
	arithmetic("Sub");
	ASSERT_INTS(5, -9, 8, -4);
	arithmetic("Mul");
	ASSERT_INTS(14, -14, -15, 0);
	arithmetic("Div");
	ASSERT_INTS(3, -3, -1, 0); /* towards zero */
	arithmetic("Max");
	ASSERT_INTS(7, 2, 5, 4);
	arithmetic("Min");
	ASSERT_INTS(2, -7, -3, 0);
	begin();
	INTS(&m, "a", 7, -7, 5);
	INTS(&m, "b", 3);
	maker_node(&m, "Mod", "a,b", "y");
	ASSERT_INTS(1, 2, 2); /* the sign of the divisor */
	begin();
	INTS(&m, "a", 2, -1, 0);
	INTS(&m, "b", 10, 3, 0);
	maker_node(&m, "Pow", "a,b", "y");
	ASSERT_INTS(1024, -1, 1);
	begin();
	INTS(&m, "a", 7, -7);
	maker_node(&m, "Neg", "a", "y");
	ASSERT_INTS(-7, 7);
	begin();
	INTS(&m, "a", 7, -7);
	maker_node(&m, "Abs", "a", "y");
	ASSERT_INTS(7, 7);
}

static void test_no_result(void **state)
{
	begin();
	INTS(&m, "a", INT64_MAX);
	INTS(&m, "b", 1);
	maker_node(&m, "Add", "a,b", "y");
	maker_output(&m, "y");
	assert_refused(&m, NULL,
		       "node 0 (Add): constants 9223372036854775807 and 1 have no result");
	begin();
	INTS(&m, "a", 1);
	INTS(&m, "b", 0);
	maker_node(&m, "Div", "a,b", "y");
	maker_output(&m, "y");
	assert_refused(&m, NULL, "have no result");
	begin();
	INTS(&m, "a", INT64_MIN);
	INTS(&m, "b", -1);
	maker_node(&m, "Div", "a,b", "y");
	maker_output(&m, "y");
	assert_refused(&m, NULL, "have no result");
	begin();
	INTS(&m, "a", 1ll << 40);
	maker_attr_int(maker_node(&m, "Cast", "a", "y"), "to", INT32);
	maker_output(&m, "y");
	assert_refused(&m, NULL, "does not fit into int32");
}

static void test_where_and_compare(void **state)
{
	begin();
	INTS(&m, "a", -1, 5, -1);
	INTS(&m, "minus", -1);
	INTS(&m, "one", 1);
	maker_node(&m, "Equal", "a,minus", "same");
	maker_node(&m, "Where", "same,one,a", "y");
	ASSERT_INTS(1, 5, 1);
}

static void slice(int64_t start, int64_t end, int64_t step)
{
	begin();
	INTS(&m, "a", 0, 1, 2, 3, 4, 5);
	INTS(&m, "start", start);
	INTS(&m, "end", end);
	INTS(&m, "axis", 0);
	INTS(&m, "step", step);
	maker_node(&m, "Slice", "a,start,end,axis,step", "y");
}

static void test_slices(void **state)
{
	slice(1, 4, 1);
	ASSERT_INTS(1, 2, 3);
	slice(-2, INT64_MAX, 1);
	ASSERT_INTS(4, 5);
	slice(-100, 100, 2);
	ASSERT_INTS(0, 2, 4);
	slice(-1, -100, -2);
	ASSERT_INTS(5, 3, 1);
	slice(100, 1, -1);
	ASSERT_INTS(5, 4, 3, 2);
	slice(1, 4, 0);
	maker_output(&m, "y");
	assert_refused(&m, NULL, "a step of 0");
	slice(-100, -200, -1);
	maker_output(&m, "y");
	assert_refused(&m, NULL, "negative step");
	slice(INT64_MIN, INT64_MAX, INT64_MIN);
	maker_output(&m, "y");
	assert_refused(&m, NULL, "is not possible");
}

static void test_moves(void **state)
{
	begin();
	maker_initializer(&m, "a", INT64, DIMS(2, 3), (int64_t[]){ 1, 2, 3, 4, 5, 6 }, 48);
	ATTR_INTS(maker_node(&m, "Transpose", "a", "y"), "perm", 1, 0);
	ASSERT_INTS(1, 4, 2, 5, 3, 6);
	begin();
	INTS(&m, "a", 1, 2, 3);
	INTS(&m, "times", 2);
	maker_node(&m, "Tile", "a,times", "y");
	ASSERT_INTS(1, 2, 3, 1, 2, 3);
	begin();
	maker_initializer(&m, "a", INT64, DIMS(2, 1), (int64_t[]){ 1, 2 }, 16);
	INTS(&m, "shape", 2, 2);
	maker_node(&m, "Expand", "a,shape", "y");
	ASSERT_INTS(1, 1, 2, 2);
	begin();
	INTS(&m, "a", 1, 2, 3);
	maker_node(&m, "Split", "a,sizes", "z,y");
	INTS(&m, "sizes", 1, 2);
	ASSERT_INTS(2, 3);
	begin();
	INTS(&m, "a", 10, 20, 30);
	INTS(&m, "at", -1, 0);
	maker_node(&m, "Gather", "a,at", "y");
	ASSERT_INTS(30, 10);
	begin();
	INTS(&m, "a", 10, 20, 30);
	INTS(&m, "at", 3);
	maker_node(&m, "Gather", "a,at", "y");
	maker_output(&m, "y");
	assert_refused(&m, NULL, "index 3 is outside an axis of 3");
}

static void test_reductions(void **state)
{
	begin();
	maker_initializer(&m, "a", INT64, DIMS(2, 2), (int64_t[]){ 1, 2, 3, 4 }, 32);
	INTS(&m, "axes", 0);
	maker_attr_int(maker_node(&m, "ReduceSum", "a,axes", "y"), "keepdims", 0);
	ASSERT_INTS(4, 6);
	begin();
	INTS(&m, "a", 1, 9, 3);
	maker_attr_int(maker_node(&m, "ReduceMax", "a", "y"), "keepdims", 0);
	ASSERT_INTS(9);
	begin();
	INTS(&m, "a", 2, 3, 4);
	maker_node(&m, "ReduceProd", "a", "y");
	ASSERT_INTS(24);
}

static void range(int64_t start, int64_t limit, int64_t delta)
{
	begin();
	maker_int(&m, "start", start);
	maker_int(&m, "limit", limit);
	maker_int(&m, "delta", delta);
	maker_node(&m, "Range", "start,limit,delta", "y");
}

static void test_makers_of_constants(void **state)
{
	Onnx__NodeProto *node;

	range(1, 8, 3);
	ASSERT_INTS(1, 4, 7);
	range(3, 0, -2);
	ASSERT_INTS(3, 1);
	range(0, 1ll << 50, 1);
	maker_output(&m, "y");
	assert_refused(&m, NULL, "is not possible");
	range(0, 5, 0);
	maker_output(&m, "y");
	assert_refused(&m, NULL, "is not possible");

	begin();
	INTS(&m, "shape", 3);
	node = maker_node(&m, "ConstantOfShape", "shape", "y");
	MAKER_ATTR(node, "value", TENSOR)->t =
		maker_tensor("v", INT64, DIMS(1), (int64_t[]){ 42 }, 8);
	ASSERT_INTS(42, 42, 42);

	begin();
	node = maker_node(&m, "Constant", "", "y");
	ATTR_INTS(node, "value_ints", 5, 6);
	ASSERT_INTS(5, 6);
	begin();
	m.opset.version = 11;
	node = maker_node(&m, "Constant", "", "y");
	ATTR_INTS(node, "value_ints", 5, 6);
	maker_output(&m, "y");
	assert_refused(&m, NULL, "this kind of value is not supported");
}

/* A few bytes that ask for a terabyte. */
static void test_limits(void **state)
{
	struct ooo_onnx_opts opts = OOO_ONNX_OPTS_INIT;

	begin();
	INTS(&m, "shape", 1 << 20, 1 << 20);
	maker_node(&m, "ConstantOfShape", "shape", "y");
	maker_output(&m, "y");
	assert_refused(&m, NULL, "node 0 (ConstantOfShape)");
	begin();
	INTS(&m, "shape", 1 << 20);
	maker_node(&m, "ConstantOfShape", "shape", "y");
	maker_output(&m, "y");
	opts.max_generated_bytes = 1 << 20;
	assert_refused(&m, &opts, "need too much memory");
	begin();
	INTS(&m, "shape", -5);
	maker_node(&m, "ConstantOfShape", "shape", "y");
	maker_output(&m, "y");
	assert_refused(&m, NULL, "negative or too large");
}

/* A large constant that many nodes go through, each with a small result. */
static void test_work_is_bounded(void **state)
{
	struct ooo_onnx_opts opts = OOO_ONNX_OPTS_INIT;
	struct ooo_builder *b;

	for (int many = 0; many < 2; many++) {
		begin();
		INTS(&m, "shape", 100000);
		INTS(&m, "axes", 0);
		MAKER_ATTR(maker_node(&m, "ConstantOfShape", "shape", "c"), "value", TENSOR)->t =
			maker_tensor("v", INT64, DIMS(1), (int64_t[]){ 1 }, 8);
		for (int i = 0; i < (many ? 40 : 4); i++) {
			char name[16];

			snprintf(name, sizeof(name), "s%d", i);
			maker_node(&m, "ReduceSum", "c,axes", name);
			maker_output(&m, name);
		}
		opts.max_generated_bytes = 1 << 20;
		if (many) {
			assert_refused(&m, &opts, "takes too long");
		} else {
			b = maker_build(&m, &opts);
			ooo_builder_free(b);
		}
	}
}

/* Types that no device computes in are converted here. */
static void test_casts(void **state)
{
	uint16_t halves[] = { 0x3c00, 0xc000, 0x7c00, 0x0001, 0x7bff };
	double doubles[] = { 0.1, -2.9 };
	struct ooo_builder *b;
	float got[5];

	begin();
	maker_initializer(&m, "a", HALF, DIMS(5), halves, sizeof(halves));
	maker_attr_int(maker_node(&m, "Cast", "a", "y"), "to", FLOAT);
	maker_output(&m, "y");
	b = maker_build(&m, NULL);
	constant_output(b, 0, OOO_FP32, got, sizeof(got));
	assert_true(got[0] == 1 && got[1] == -2 && isinf(got[2]) && got[3] == 0x1p-24f &&
		    got[4] == 65504);
	ooo_builder_free(b);

	begin();
	maker_initializer(&m, "a", DOUBLE, DIMS(2), doubles, sizeof(doubles));
	maker_attr_int(maker_node(&m, "Cast", "a", "f"), "to", FLOAT);
	maker_output(&m, "f");
	b = maker_build(&m, NULL);
	constant_output(b, 0, OOO_FP32, got, 2 * sizeof(float));
	assert_true(got[0] == 0.1f && got[1] == -2.9f);
	ooo_builder_free(b);

	begin();
	maker_initializer(&m, "a", DOUBLE, DIMS(2), doubles, sizeof(doubles));
	maker_attr_int(maker_node(&m, "Cast", "a", "y"), "to", INT64);
	ASSERT_INTS(0, -2);
}

/* Sizes of Resize come through floats. */
static void test_float_arithmetic(void **state)
{
	begin();
	maker_initializer(&m, "a", FLOAT, DIMS(3), (float[]){ 1.5f, 2.5f, -1.2f }, 12);
	maker_node(&m, "Floor", "a", "down");
	maker_attr_int(maker_node(&m, "Cast", "down", "y"), "to", INT64);
	ASSERT_INTS(1, 2, -2);
	begin();
	m.opset.version = 11;
	maker_initializer(&m, "a", FLOAT, DIMS(3), (float[]){ 1.5f, 2.5f, -1.2f }, 12);
	maker_node(&m, "Round", "a", "even");
	maker_attr_int(maker_node(&m, "Cast", "even", "y"), "to", INT64);
	ASSERT_INTS(2, 2, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shape_gather_concat_reshape),
		cmocka_unit_test(test_shape_and_size),
		cmocka_unit_test(test_arithmetic),
		cmocka_unit_test(test_no_result),
		cmocka_unit_test(test_where_and_compare),
		cmocka_unit_test(test_slices),
		cmocka_unit_test(test_moves),
		cmocka_unit_test(test_reductions),
		cmocka_unit_test(test_makers_of_constants),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_work_is_bounded),
		cmocka_unit_test(test_casts),
		cmocka_unit_test(test_float_arithmetic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
