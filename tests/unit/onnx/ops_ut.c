/* SPDX-License-Identifier: Apache-2.0 */
/* Operators whose attributes need care: windows, versions, what is refused. */
#include <math.h>

#include "tests/unit/onnx/maker.h"

static struct maker m;
static struct ooo_builder *b;

static Onnx__NodeProto *begin(int opset, const char *op, const char *in)
{
	maker_init(&m, opset);
	INPUT(&m, "x", FLOAT, 1, 4, 7, 7);
	maker_output(&m, "y");
	return maker_node(&m, op, in, "y");
}

static const struct ooo_prog_op *only_op(enum ooo_op op)
{
	const struct ooo_prog_op *found;

	b = maker_build(&m, NULL);
	found = find_op(b, op);
	assert_non_null(found);
	return found;
}

static Onnx__NodeProto *conv(const char *auto_pad, int64_t stride)
{
	Onnx__NodeProto *node = begin(11, "Conv", "x,w");

	ZEROS(&m, "w", 8, 4, 4, 4);
	ATTR_INTS(node, "strides", stride, stride);
	if (auto_pad)
		maker_attr_text(node, "auto_pad", auto_pad);
	return node;
}

static void assert_pads(int top, int left, int bottom, int right)
{
	const struct ooo_attr *a = &only_op(OOO_OP_CONV)->attr;

	assert_int_equal(a->pad[0], top);
	assert_int_equal(a->pad[1], left);
	assert_int_equal(a->pad[2], bottom);
	assert_int_equal(a->pad[3], right);
	ooo_builder_free(b);
}

static void test_auto_pad(void **state)
{
	conv("SAME_UPPER", 1);
	assert_pads(1, 1, 2, 2);
	conv("SAME_LOWER", 1);
	assert_pads(2, 2, 1, 1);
	conv("SAME_UPPER", 5); /* 2 outputs: 5 + 4 - 7 = 2 */
	assert_pads(1, 1, 1, 1);
	conv("VALID", 1);
	assert_pads(0, 0, 0, 0);
	ATTR_INTS(conv("SAME_UPPER", 1), "pads", 1, 1, 1, 1);
	assert_refused(&m, NULL, "both pads and auto_pad");
	conv("SAME_MIDDLE", 1);
	assert_refused(&m, NULL, "auto_pad 'SAME_MIDDLE' is not supported");
}

static void test_conv_refusals(void **state)
{
	Onnx__NodeProto *node;

	ATTR_INTS(conv(NULL, 1), "kernel_shape", 3, 4);
	assert_refused(&m, NULL, "kernel_shape has 3 but the weight 4");
	ATTR_INTS(conv(NULL, 1), "pads", 1, 1, 1);
	assert_refused(&m, NULL, "attribute pads has 3 elements, not 4");
	ATTR_INTS(conv(NULL, 1), "pads", -1, 0, 0, 0);
	assert_refused(&m, NULL, "attribute pads has -1");
	ATTR_INTS(conv(NULL, 1), "dilations", 1, 1ll << 40);
	assert_refused(&m, NULL, "attribute dilations has 1099511627776");
	maker_attr_int(conv(NULL, 1), "group", 0);
	assert_refused(&m, NULL, "attribute group is 0");
	maker_attr_int(conv(NULL, 1), "group", 2);
	assert_refused(&m, NULL, "weight has 4 input channels per group");

	maker_init(&m, 11);
	INPUT(&m, "x", FLOAT, 1, 2, 5, 5, 5);
	ZEROS(&m, "w", 2, 2, 3, 3, 3);
	node = maker_node(&m, "Conv", "x,w", "y");
	node->name = maker_text("deep", 4);
	maker_output(&m, "y");
	assert_refused(&m, NULL, "node 0 'deep' (Conv): an input of rank 5 (3-d) is not supported");
}

static void test_conv_1d(void **state)
{
	const struct ooo_attr *a;
	Onnx__NodeProto *node;

	maker_init(&m, 11);
	INPUT(&m, "x", FLOAT, 1, 2, 9);
	ZEROS(&m, "w", 2, 2, 3);
	node = maker_node(&m, "Conv", "x,w", "y");
	ATTR_INTS(node, "pads", 1, 2);
	ATTR_INTS(node, "strides", 2);
	maker_output(&m, "y");
	a = &only_op(OOO_OP_CONV)->attr;
	assert_int_equal(a->kernel[0], 1);
	assert_int_equal(a->kernel[1], 3);
	assert_int_equal(a->stride[0], 1);
	assert_int_equal(a->stride[1], 2);
	assert_int_equal(a->pad[0] + a->pad[2], 0);
	assert_int_equal(a->pad[1], 1);
	assert_int_equal(a->pad[3], 2);
	ASSERT_DIMS(output_decl(b, 0), 1, 2, 5);
	ooo_builder_free(b);
}

static Onnx__NodeProto *transposed(int opset)
{
	Onnx__NodeProto *node = begin(opset, "ConvTranspose", "x,w");

	ZEROS(&m, "w", 4, 2, 3, 3);
	ATTR_INTS(node, "strides", 2, 2);
	return node;
}

static void test_conv_transpose(void **state)
{
	const struct ooo_prog_op *op;

	transposed(11);
	only_op(OOO_OP_CONV_TRANSPOSE);
	ASSERT_DIMS(output_decl(b, 0), 1, 2, 15, 15);
	ooo_builder_free(b);
	maker_attr_text(transposed(11), "auto_pad", "SAME_UPPER");
	op = only_op(OOO_OP_CONV_TRANSPOSE);
	assert_int_equal(op->attr.pad[0], 0);
	assert_int_equal(op->attr.pad[2], 1);
	ASSERT_DIMS(output_decl(b, 0), 1, 2, 14, 14);
	ooo_builder_free(b);
	ATTR_INTS(transposed(11), "output_shape", 14, 14);
	assert_int_equal(only_op(OOO_OP_CONV_TRANSPOSE)->attr.pad[0], 1);
	ooo_builder_free(b);
	ATTR_INTS(transposed(9), "output_shape", 14, 14);
	assert_refused(&m, NULL, "not defined before opset 11");
	ATTR_INTS(transposed(11), "output_shape", 17, 17);
	assert_refused(&m, NULL, "negative padding");
}

static Onnx__NodeProto *pool(int opset, const char *op, int64_t kernel, int64_t stride)
{
	Onnx__NodeProto *node = begin(opset, op, "x");

	ATTR_INTS(node, "kernel_shape", kernel, kernel);
	ATTR_INTS(node, "strides", stride, stride);
	return node;
}

static void test_pool_rounding_up(void **state)
{
	Onnx__NodeProto *node;

	maker_attr_int(pool(11, "MaxPool", 2, 2), "ceil_mode", 1);
	only_op(OOO_OP_MAX_POOL);
	ASSERT_DIMS(output_decl(b, 0), 1, 4, 4, 4);
	ooo_builder_free(b);
	node = pool(11, "MaxPool", 1, 5); /* 0, 5, and 10, which is behind the input */
	maker_attr_int(node, "ceil_mode", 1);
	ATTR_INTS(node, "pads", 0, 0, 0, 0);
	assert_refused(&m, NULL, "window in the padding alone");
	node = pool(11, "AveragePool", 2, 2);
	maker_attr_int(node, "ceil_mode", 1);
	maker_attr_int(node, "count_include_pad", 1);
	assert_refused(&m, NULL, "ceil_mode with count_include_pad");
	maker_attr_int(pool(9, "MaxPool", 2, 2), "ceil_mode", 0);
	assert_refused(&m, NULL, "attribute 'ceil_mode' is unknown");
	node = pool(11, "MaxPool", 2, 2);
	MAKER_PUSH(node->output, node->n_output, maker_text("where", 5));
	maker_output(&m, "where");
	assert_refused(&m, NULL, "the output Indices is not supported");
}

static void test_batch_norm_of_training(void **state)
{
	static const char in[] = "x,s,b,m,v";
	Onnx__NodeProto *node;

	for (int kind = 0; kind < 4; kind++) {
		node = begin(kind == 1 ? 8 : 14, "BatchNormalization", in);
		ZEROS(&m, "s", 4);
		ZEROS(&m, "b", 4);
		ZEROS(&m, "m", 4);
		ZEROS(&m, "v", 4);
		maker_attr_float(node, "momentum", 0.5f);
		maker_attr_float(node, "epsilon", 0.25f);
		if (kind == 1)
			maker_attr_int(node, "spatial", 0);
		if (kind == 2)
			maker_attr_int(node, "training_mode", 1);
		if (kind == 3)
			MAKER_PUSH(node->output, node->n_output, maker_text("mean", 4));
		if (kind == 0) {
			assert_true(only_op(OOO_OP_BATCH_NORM)->attr.alpha == 0.25f);
			ooo_builder_free(b);
		} else {
			assert_refused(&m, NULL,
				       kind == 1   ? "spatial"
				       : kind == 2 ? "training_mode"
						   : "outputs of training");
		}
	}
}

static void test_softmax_versions(void **state)
{
	const struct ooo_attr *a;

	begin(11, "Softmax", "x");
	a = &only_op(OOO_OP_SOFTMAX)->attr;
	assert_int_equal(a->axis, 1);
	assert_int_equal(a->flags, OOO_ATTR_FLATTEN);
	ooo_builder_free(b);
	begin(13, "Softmax", "x");
	a = &only_op(OOO_OP_SOFTMAX)->attr;
	assert_int_equal(a->axis, 3);
	assert_int_equal(a->flags, 0);
	ooo_builder_free(b);
	maker_attr_int(begin(13, "Softmax", "x"), "axis", 4);
	assert_refused(&m, NULL, "axis 4 is outside the operand's rank 4");
}

static void test_clip_versions(void **state)
{
	const struct ooo_attr *a;

	maker_attr_float(begin(7, "Clip", "x"), "max", 6);
	a = &only_op(OOO_OP_CLIP)->attr;
	assert_true(isinf(a->alpha) && a->alpha < 0 && a->beta == 6);
	ooo_builder_free(b);
	begin(11, "Clip", "x,low");
	maker_float(&m, "low", -1);
	a = &only_op(OOO_OP_CLIP)->attr;
	assert_true(a->alpha == -1 && isinf(a->beta));
	ooo_builder_free(b);
	maker_attr_float(begin(11, "Clip", "x"), "max", 6);
	assert_refused(&m, NULL, "attribute 'max' is unknown");
	begin(11, "Clip", "x,low,high");
	maker_float(&m, "low", 1);
	maker_float(&m, "high", 0);
	assert_refused(&m, NULL, "are not an interval");
}

/* The same cut by attributes and by operands. */
static void test_slice_versions(void **state)
{
	Onnx__NodeProto *node = begin(9, "Slice", "x");

	ATTR_INTS(node, "starts", 1, -3);
	ATTR_INTS(node, "ends", 3, 1000);
	ATTR_INTS(node, "axes", 1, 3);
	only_op(OOO_OP_SLICE);
	ASSERT_DIMS(output_decl(b, 0), 1, 2, 7, 3);
	ooo_builder_free(b);
	begin(10, "Slice", "x,s,e,a");
	INTS(&m, "s", 1, -3);
	INTS(&m, "e", 3, 1000);
	INTS(&m, "a", 1, 3);
	only_op(OOO_OP_SLICE);
	ASSERT_DIMS(output_decl(b, 0), 1, 2, 7, 3);
	ooo_builder_free(b);
	begin(10, "Slice", "x,s,e,a");
	INTS(&m, "s", 1, 1);
	INTS(&m, "e", 3, 3);
	INTS(&m, "a", 1, -3);
	assert_refused(&m, NULL, "axis 1 is given twice");
}

static void test_axes_versions(void **state)
{
	ATTR_INTS(begin(11, "Squeeze", "x"), "axes", 0);
	only_op(OOO_OP_RESHAPE);
	ASSERT_DIMS(output_decl(b, 0), 4, 7, 7);
	ooo_builder_free(b);
	begin(13, "Squeeze", "x,axes");
	INTS(&m, "axes", -4);
	only_op(OOO_OP_RESHAPE);
	ASSERT_DIMS(output_decl(b, 0), 4, 7, 7);
	ooo_builder_free(b);
	ATTR_INTS(begin(13, "Squeeze", "x"), "axes", 0);
	assert_refused(&m, NULL, "attribute 'axes' is unknown");
	ATTR_INTS(begin(11, "Squeeze", "x"), "axes", 1);
	assert_refused(&m, NULL, "axis 1 has the size 4, not 1");
	ATTR_INTS(begin(11, "Unsqueeze", "x"), "axes", 0, -1);
	only_op(OOO_OP_RESHAPE);
	ASSERT_DIMS(output_decl(b, 0), 1, 1, 4, 7, 7, 1);
	ooo_builder_free(b);
	begin(13, "ReduceSum", "x,axes");
	INTS(&m, "axes", 1, -1);
	assert_int_equal(only_op(OOO_OP_REDUCE_SUM)->attr.axes, 0xa);
	ASSERT_DIMS(output_decl(b, 0), 1, 1, 7, 1);
	ooo_builder_free(b);
	ATTR_INTS(begin(11, "ReduceSum", "x"), "axes", 2);
	ASSERT_DIMS((only_op(OOO_OP_REDUCE_SUM), output_decl(b, 0)), 1, 4, 1, 7);
	ooo_builder_free(b);
}

static void test_reshape_rules(void **state)
{
	begin(13, "Reshape", "x,s");
	INTS(&m, "s", 0, -1, 7);
	ASSERT_DIMS((only_op(OOO_OP_RESHAPE), output_decl(b, 0)), 1, 28, 7);
	ooo_builder_free(b);
	begin(13, "Reshape", "x,s");
	INTS(&m, "s", -1, -1);
	assert_refused(&m, NULL, "a second -1");
	begin(13, "Reshape", "x,s");
	INTS(&m, "s", 5, -1);
	assert_refused(&m, NULL, "196 elements do not fit");
	begin(13, "Reshape", "x,s");
	INTS(&m, "s", 1ll << 40, 1ll << 40, -1);
	assert_refused(&m, NULL, "too large");
	begin(13, "Reshape", "x,s");
	INTS(&m, "s", 5, 5);
	assert_refused(&m, NULL, "the number of elements differs");
	maker_attr_int(begin(14, "Reshape", "x,s"), "allowzero", 1);
	INTS(&m, "s", 0, 196);
	assert_refused(&m, NULL, "the number of elements differs");
}

static Onnx__NodeProto *resize(int opset, float scale)
{
	Onnx__NodeProto *node = begin(opset, "Resize", opset > 10 ? "x,,s" : "x,s");

	maker_initializer(&m, "s", FLOAT, DIMS(4), (float[]){ 1, 1, scale, scale }, 16);
	return node;
}

static void test_resize_versions(void **state)
{
	const struct ooo_attr *a;
	Onnx__NodeProto *node;

	resize(10, 2);
	a = &only_op(OOO_OP_RESIZE)->attr;
	assert_int_equal(a->coord, OOO_COORD_ASYMMETRIC);
	assert_int_equal(a->nearest_mode, OOO_NEAREST_FLOOR);
	ASSERT_DIMS(output_decl(b, 0), 1, 4, 14, 14);
	ooo_builder_free(b);
	resize(10, 0.6f);
	assert_refused(&m, NULL, "is not clear before opset 11");
	resize(13, 2);
	a = &only_op(OOO_OP_RESIZE)->attr;
	assert_int_equal(a->coord, OOO_COORD_HALF_PIXEL);
	assert_int_equal(a->nearest_mode, OOO_NEAREST_ROUND_PREFER_FLOOR);
	ooo_builder_free(b);
	maker_attr_text(resize(13, 2), "mode", "cubic");
	assert_refused(&m, NULL, "mode 'cubic' is not supported");
	maker_attr_text(resize(13, 2), "coordinate_transformation_mode", "tf_crop_and_resize");
	assert_refused(&m, NULL, "coordinate_transformation_mode 'tf_crop_and_resize'");
	resize(13, NAN);
	assert_refused(&m, NULL, "a scale of nan");
	node = begin(9, "Upsample", "x,s");
	maker_initializer(&m, "s", FLOAT, DIMS(4), (float[]){ 1, 1, 2, 3 }, 16);
	maker_attr_text(node, "mode", "linear");
	ASSERT_DIMS((only_op(OOO_OP_RESIZE), output_decl(b, 0)), 1, 4, 14, 21);
	ooo_builder_free(b);
	begin(10, "Upsample", "x,s");
	maker_initializer(&m, "s", FLOAT, DIMS(4), (float[]){ 1, 1, 2, 3 }, 16);
	assert_refused(&m, NULL, "does not exist after opset 9");
}

static void test_gemm(void **state)
{
	const struct ooo_prog_op *op;
	Onnx__NodeProto *node;

	maker_init(&m, 11);
	INPUT(&m, "x", FLOAT, 3, 2);
	ZEROS(&m, "w", 5, 3);
	ZEROS(&m, "c", 5);
	node = maker_node(&m, "Gemm", "x,w,c", "y");
	maker_attr_float(node, "alpha", 0.5f);
	maker_attr_float(node, "beta", 2);
	maker_attr_int(node, "transA", 1);
	maker_attr_int(node, "transB", 1);
	maker_output(&m, "y");
	op = only_op(OOO_OP_MATMUL);
	assert_int_equal(op->nr_in, 3);
	assert_int_equal(op->attr.flags, OOO_ATTR_TRANS_A | OOO_ATTR_TRANS_B);
	assert_true(op->attr.alpha == 0.5f && op->attr.beta == 2);
	ASSERT_DIMS(output_decl(b, 0), 2, 5);
	ooo_builder_free(b);
}

static void test_dropout(void **state)
{
	begin(13, "Dropout", "x,ratio,training");
	maker_float(&m, "ratio", 0.5f);
	maker_initializer(&m, "training", BOOL, 0, NULL, "\1", 1);
	assert_refused(&m, NULL, "training_mode is not supported");
	begin(13, "Dropout", "x,ratio,training");
	maker_float(&m, "ratio", 0.5f);
	maker_initializer(&m, "training", BOOL, 0, NULL, "\0", 1);
	ASSERT_DIMS((only_op(OOO_OP_IDENTITY), output_decl(b, 0)), 1, 4, 7, 7);
	ooo_builder_free(b);
}

/* Exporters list outputs that nobody uses. */
static void test_unused_outputs(void **state)
{
	Onnx__NodeProto *node = begin(7, "Dropout", "x");

	MAKER_PUSH(node->output, node->n_output, maker_text("mask", 4));
	ASSERT_DIMS((only_op(OOO_OP_IDENTITY), output_decl(b, 0)), 1, 4, 7, 7);
	ooo_builder_free(b);
	maker_output(&m, "mask");
	assert_refused(&m, NULL, "the mask is not supported before opset 12");
	node = pool(11, "MaxPool", 2, 2);
	MAKER_PUSH(node->output, node->n_output, maker_text("where", 5));
	assert_int_equal(only_op(OOO_OP_MAX_POOL)->nr_out, 1);
	ooo_builder_free(b);

	/* Equal parts: all outputs count. */
	node = begin(11, "Split", "x");
	MAKER_PUSH(node->output, node->n_output, maker_text("rest", 4));
	maker_attr_int(node, "axis", 1);
	ASSERT_DIMS((only_op(OOO_OP_SPLIT), output_decl(b, 0)), 1, 2, 7, 7);
	ooo_builder_free(b);
}

static Onnx__NodeProto *lstm(void)
{
	Onnx__NodeProto *node;

	maker_init(&m, 14);
	INPUT(&m, "x", FLOAT, 3, 2, 5);
	ZEROS(&m, "w", 1, 16, 5);
	ZEROS(&m, "r", 1, 16, 4);
	maker_initializer(&m, "lens", INT32, DIMS(2), (int32_t[]){ 3, 3 }, 8);
	node = maker_node(&m, "LSTM", "x,w,r,,lens", ",y");
	maker_attr_int(node, "hidden_size", 4);
	maker_output(&m, "y");
	return node;
}

static void activation(Onnx__NodeProto *node, const char *third)
{
	Onnx__AttributeProto *a = MAKER_ATTR(node, "activations", STRINGS);
	const char *names[] = { "Sigmoid", "Tanh", third };

	a->n_strings = 3;
	a->strings = maker_alloc(3 * sizeof(*a->strings));
	for (int i = 0; i < 3; i++) {
		a->strings[i].data = maker_copy(names[i], strlen(names[i]));
		a->strings[i].len = strlen(names[i]);
	}
}

static void test_lstm(void **state)
{
	const struct ooo_prog_op *op;

	activation(lstm(), "Tanh");
	op = only_op(OOO_OP_LSTM);
	assert_int_equal(op->nr_in, 3); /* full lengths need not be said */
	assert_int_equal(op->nr_out, 2);
	assert_int_equal(op->attr.hidden, 4);
	ASSERT_DIMS(output_decl(b, 0), 1, 2, 4);
	ooo_builder_free(b);
	activation(lstm(), "Relu");
	assert_refused(&m, NULL, "activation 2 is 'Relu', supported is the default Tanh");
	maker_attr_int(lstm(), "layout", 1);
	assert_refused(&m, NULL, "layout 1 is not supported");
	maker_attr_float(lstm(), "clip", 0);
	assert_refused(&m, NULL, "a clip of 0");
	lstm()->attribute[0]->i = 5;
	assert_refused(&m, NULL, "hidden_size does not agree with R");
}

/* More parts than the operator can hold sizes of. */
static void test_split_into_slices(void **state)
{
	Onnx__NodeProto *node;

	maker_init(&m, 11);
	INPUT(&m, "x", FLOAT, 11);
	node = maker_node(&m, "Split", "x", "a,b,c,d,e,f,g,h,i,j");
	ATTR_INTS(node, "split", 1, 1, 1, 1, 1, 1, 1, 1, 1, 2);
	maker_output(&m, "j");
	maker_output(&m, "a");
	only_op(OOO_OP_SLICE);
	ASSERT_DIMS(output_decl(b, 0), 2);
	ASSERT_DIMS(output_decl(b, 1), 1);
	ooo_builder_free(b);
	node->attribute[0]->ints[0] = 2;
	assert_refused(&m, NULL, "do not add up to 11");
}

static void test_variadic(void **state)
{
	begin(8, "Sum", "x,x,x");
	b = maker_build(&m, NULL);
	assert_int_equal(b->nr_ops, 2);
	ooo_builder_free(b);
	begin(8, "Mean", "x,c");
	maker_float(&m, "c", 1);
	only_op(OOO_OP_DIV);
	ooo_builder_free(b);
	begin(7, "Mean", "x,c");
	maker_float(&m, "c", 1);
	assert_refused(&m, NULL, "one shape before opset 8");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_auto_pad),
		cmocka_unit_test(test_conv_refusals),
		cmocka_unit_test(test_conv_1d),
		cmocka_unit_test(test_conv_transpose),
		cmocka_unit_test(test_pool_rounding_up),
		cmocka_unit_test(test_batch_norm_of_training),
		cmocka_unit_test(test_softmax_versions),
		cmocka_unit_test(test_clip_versions),
		cmocka_unit_test(test_slice_versions),
		cmocka_unit_test(test_axes_versions),
		cmocka_unit_test(test_reshape_rules),
		cmocka_unit_test(test_resize_versions),
		cmocka_unit_test(test_gemm),
		cmocka_unit_test(test_dropout),
		cmocka_unit_test(test_unused_outputs),
		cmocka_unit_test(test_lstm),
		cmocka_unit_test(test_split_into_slices),
		cmocka_unit_test(test_variadic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
