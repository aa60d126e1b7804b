/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over the graph: names, order, inputs, outputs, options, and what it refuses. */
#include "tests/unit/onnx/maker.h"

static struct maker m;

/* y = Relu(x) over [2, 3]. */
static void relu_model(void)
{
	maker_init(&m, 13);
	INPUT(&m, "x", FLOAT, 2, 3);
	maker_node(&m, "Relu", "x", "y");
	maker_output(&m, "y");
}

static void test_relu(void **state)
{
	struct ooo_builder *b;

	relu_model();
	b = maker_build(&m, NULL);
	assert_int_equal(b->nr_ops, 1);
	assert_int_equal(b->ops[0].op, OOO_OP_RELU);
	assert_int_equal(b->nr_inputs, 1);
	ASSERT_DIMS(output_decl(b, 0), 2, 3);
	assert_string_equal(b->name, "test");
	ooo_builder_free(b);
}

static void test_messages_name_the_node(void **state)
{
	relu_model();
	m.graph.node[0]->name = maker_text("first", 5);
	maker_attr_int(m.graph.node[0], "colour", 3);
	assert_refused(&m, NULL, "node 0 'first' (Relu): attribute 'colour' is unknown");
	relu_model();
	m.graph.node[0]->op_type = maker_text("Bogus", 5);
	assert_refused(&m, NULL, "node 0 (Bogus): this operator is not supported");
	relu_model();
	m.graph.node[0]->domain = maker_text("com.example", 11);
	assert_refused(&m, NULL, "domain 'com.example'");
}

static void test_attribute_twice(void **state)
{
	relu_model();
	m.graph.node[0]->op_type = maker_text("Elu", 3);
	maker_attr_float(m.graph.node[0], "alpha", 1);
	maker_attr_float(m.graph.node[0], "alpha", 2);
	assert_refused(&m, NULL, "given twice");
}

static void test_attribute_of_wrong_type(void **state)
{
	relu_model();
	m.graph.node[0]->op_type = maker_text("Elu", 3);
	maker_attr_int(m.graph.node[0], "alpha", 1);
	assert_refused(&m, NULL, "attribute alpha has the wrong type");
}

static void test_opsets(void **state)
{
	relu_model();
	m.opset.version = 6;
	assert_refused(&m, NULL, "opset 6");
	relu_model();
	m.opset.version = 23;
	assert_refused(&m, NULL, "opset 23");
	relu_model();
	m.opset.domain = maker_text("ai.onnx.ml", 10);
	assert_refused(&m, NULL, "no operator set ai.onnx");
	relu_model();
	m.model.ir_version = 2;
	assert_refused(&m, NULL, "IR version 2");
	relu_model();
	m.opset.version = 13;
	m.graph.node[0]->op_type = maker_text("HardSwish", 9);
	assert_refused(&m, NULL, "exists from opset 14 on");
}

static void test_order_and_names(void **state)
{
	relu_model();
	maker_node(&m, "Relu", "y", "z");
	maker_node(&m, "Relu", "w", "v");
	maker_node(&m, "Relu", "z", "w");
	maker_output(&m, "v");
	assert_refused(&m, NULL, "input 0 'w' is not the result of an earlier node");
	relu_model();
	maker_node(&m, "Abs", "x", "y");
	assert_refused(&m, NULL, "the name 'y' is given to two values");
	relu_model();
	maker_output(&m, "nowhere");
	assert_refused(&m, NULL, "output 'nowhere' of the model is not computed");
}

/* What no output needs is not looked at. */
static void test_dead_nodes(void **state)
{
	struct ooo_builder *b;

	relu_model();
	maker_node(&m, "Bogus", "x", "unused");
	maker_initializer(&m, "text", STRING, 0, NULL, NULL, 0);
	b = maker_build(&m, NULL);
	assert_int_equal(b->nr_ops, 1);
	ooo_builder_free(b);
}

static void test_outputs_that_need_copies(void **state)
{
	struct ooo_builder *b;

	relu_model();
	maker_node(&m, "Identity", "y", "same");
	maker_output(&m, "same"); /* one tensor twice */
	maker_output(&m, "x");    /* an input */
	maker_float(&m, "c", 4);
	maker_output(&m, "c"); /* a constant */
	b = maker_build(&m, NULL);
	assert_int_equal(b->nr_outputs, 4);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(output_decl(b, i)->shape.rank, i < 3 ? 2 : 0);
	ooo_builder_free(b);
}

/* Old models list initialisers among the inputs; those are constants. */
static void test_initializer_among_inputs(void **state)
{
	struct ooo_builder *b;

	relu_model();
	INPUT(&m, "w", FLOAT, 2, 3);
	ZEROS(&m, "w", 2, 3);
	maker_node(&m, "Add", "y,w", "z");
	maker_output(&m, "z");
	b = maker_build(&m, NULL);
	assert_int_equal(b->nr_inputs, 1);
	ooo_builder_free(b);
}

static void dynamic_model(void)
{
	maker_init(&m, 13);
	INPUT(&m, "x", FLOAT, -1, 3, -7); /* d1, 3, d7 */
	maker_node(&m, "Relu", "x", "y");
	maker_output(&m, "y");
}

static void test_dynamic_dimensions(void **state)
{
	const char *dims[] = { "d7=5" }, *wrong[] = { "d9=5" }, *bad[] = { "d7=5x" };
	const char *shapes[] = { "x=2x3x4" }, *contrary[] = { "x=2x4x4" }, *unknown[] = { "q=2" };
	struct ooo_onnx_opts opts = OOO_ONNX_OPTS_INIT;
	struct ooo_builder *b;

	dynamic_model();
	assert_refused(&m, NULL, "input 'x': axis 0 is dynamic ('d1') and needs a size");
	opts.batch = 8;
	dynamic_model();
	assert_refused(&m, &opts, "axis 2 is dynamic ('d7')");
	opts.dims = dims;
	opts.nr_dims = 1;
	dynamic_model();
	b = maker_build(&m, &opts);
	ASSERT_DIMS(output_decl(b, 0), 8, 3, 5);
	ooo_builder_free(b);
	opts.dims = wrong;
	dynamic_model();
	assert_refused(&m, &opts, "'d9=5': no input has a dynamic dimension of this name");
	opts.dims = bad;
	dynamic_model();
	assert_refused(&m, &opts, "not of the form NAME=SIZE");

	opts.nr_dims = 0;
	opts.batch = 0;
	opts.nr_shapes = 1;
	opts.shapes = shapes;
	dynamic_model();
	b = maker_build(&m, &opts);
	ASSERT_DIMS(output_decl(b, 0), 2, 3, 4);
	ooo_builder_free(b);
	opts.shapes = contrary;
	dynamic_model();
	assert_refused(&m, &opts, "fixes axis 1 at 3, it cannot be 4");
	opts.shapes = unknown;
	dynamic_model();
	assert_refused(&m, &opts, "'q=2': the model has no input of this name");
}

static void test_batch_of_a_fixed_model(void **state)
{
	struct ooo_onnx_opts opts = OOO_ONNX_OPTS_INIT;

	opts.batch = 4;
	relu_model();
	assert_refused(&m, &opts, "a batch of 4 is not possible");
	opts.batch = 1ll << 50;
	relu_model();
	assert_refused(&m, &opts, "is not possible");
	opts.size = 8;
	relu_model();
	assert_refused(&m, &opts, "OOO_ONNX_OPTS_INIT");
}

/* Reshape by an input works once the input is fixed. */
static void test_fixed_inputs(void **state)
{
	int64_t shape[] = { 3, 2 };
	struct ooo_onnx_tensor fixed = { .dtype = OOO_INT64,
					 .rank = 1,
					 .dims = { 2 },
					 .data = shape,
					 .nbytes = sizeof(shape),
					 .name = (char *)"s" };
	struct ooo_onnx_opts opts = OOO_ONNX_OPTS_INIT;
	struct ooo_builder *b;

	opts.fixed = &fixed;
	maker_init(&m, 13);
	INPUT(&m, "x", FLOAT, 2, 3);
	INPUT(&m, "s", INT64, 2);
	maker_node(&m, "Reshape", "x,s", "y");
	maker_output(&m, "y");
	assert_refused(&m, &opts, "input 1 (shape) must be a constant");
	opts.nr_fixed = 1;
	b = maker_build(&m, &opts);
	assert_int_equal(b->nr_inputs, 1);
	ASSERT_DIMS(output_decl(b, 0), 3, 2);
	ooo_builder_free(b);
	fixed.dtype = OOO_INT32;
	assert_refused(&m, &opts, "a tensor's shape needs 8 bytes but it has 16");
	fixed.nbytes = 8;
	assert_refused(&m, &opts, "input 's' is int64 in the model but is to be fixed as int32");
	fixed.name = (char *)"t";
	assert_refused(&m, &opts, "the model has no input of this name");
}

static void test_input_types(void **state)
{
	maker_init(&m, 13);
	INPUT(&m, "x", STRING, 2);
	maker_node(&m, "Identity", "x", "y");
	maker_output(&m, "y");
	assert_refused(&m, NULL, "input 'x': elements of type STRING are not supported");
	maker_init(&m, 13);
	INPUT(&m, "x", FLOAT, 1, 1, 1, 1, 1, 1, 1, 1, 1);
	maker_node(&m, "Identity", "x", "y");
	maker_output(&m, "y");
	assert_refused(&m, NULL, "9 axes");
}

static void test_output_type_is_checked(void **state)
{
	relu_model();
	m.graph.output[0] = maker_value("y", INT64, -1, NULL);
	assert_refused(&m, NULL, "declared as INT64 but computed as fp32");
}

static void add_branch(Onnx__NodeProto *node, const char *name, const char *op)
{
	Onnx__AttributeProto *a = MAKER_ATTR(node, name, GRAPH);
	struct maker branch;

	onnx__graph_proto__init(&branch.graph);
	maker_node(&branch, op, "x", "inner");
	maker_output(&branch, "inner");
	a->g = maker_copy(&branch.graph, sizeof(branch.graph));
}

static void if_model(int32_t type, uint8_t condition)
{
	Onnx__NodeProto *node;

	maker_init(&m, 13);
	INPUT(&m, "x", FLOAT, 2);
	maker_initializer(&m, "cond", type, 0, NULL, &condition, 1);
	node = maker_node(&m, "If", "cond", "y");
	add_branch(node, "then_branch", "Relu");
	add_branch(node, "else_branch", "Tanh");
	maker_output(&m, "y");
}

static void test_if_with_constant_condition(void **state)
{
	struct ooo_builder *b;

	if_model(BOOL, 1);
	b = maker_build(&m, NULL);
	assert_non_null(find_op(b, OOO_OP_RELU));
	assert_null(find_op(b, OOO_OP_TANH));
	ooo_builder_free(b);
	if_model(BOOL, 0);
	b = maker_build(&m, NULL);
	assert_non_null(find_op(b, OOO_OP_TANH));
	ooo_builder_free(b);
	if_model(BOOL, 1);
	m.graph.n_initializer = 0;
	INPUT(&m, "cond", BOOL, 1);
	assert_refused(&m, NULL, "input 0 (cond) must be a constant");
}

static void test_description(void **state)
{
	struct ooo_onnx_model *model;
	struct ooo_onnx_io io;
	size_t bytes;
	uint8_t *data;

	dynamic_model();
	data = maker_pack(&m, &bytes);
	assert_int_equal(ooo_onnx_open_mem(data, bytes, &model), 0);
	assert_int_equal(ooo_onnx_opset(model), 13);
	assert_string_equal(ooo_onnx_name(model), "test");
	assert_int_equal(ooo_onnx_nr_inputs(model), 1);
	assert_int_equal(ooo_onnx_nr_outputs(model), 1);
	assert_int_equal(ooo_onnx_input(model, 0, &io), 0);
	assert_int_equal(io.dtype, OOO_FP32);
	assert_int_equal(io.rank, 3);
	assert_int_equal(io.dims[0], -1);
	assert_string_equal(io.dim_names[0], "d1");
	assert_int_equal(io.dims[1], 3);
	assert_null(io.dim_names[1]);
	assert_int_equal(ooo_onnx_output(model, 0, &io), 0);
	assert_int_equal(io.rank, -1);
	assert_int_equal(ooo_onnx_input(model, 1, &io), -ENOENT);
	assert_int_equal(ooo_onnx_input(model, -1, &io), -ENOENT);
	ooo_onnx_close(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_relu),
		cmocka_unit_test(test_messages_name_the_node),
		cmocka_unit_test(test_attribute_twice),
		cmocka_unit_test(test_attribute_of_wrong_type),
		cmocka_unit_test(test_opsets),
		cmocka_unit_test(test_order_and_names),
		cmocka_unit_test(test_dead_nodes),
		cmocka_unit_test(test_outputs_that_need_copies),
		cmocka_unit_test(test_initializer_among_inputs),
		cmocka_unit_test(test_dynamic_dimensions),
		cmocka_unit_test(test_batch_of_a_fixed_model),
		cmocka_unit_test(test_fixed_inputs),
		cmocka_unit_test(test_input_types),
		cmocka_unit_test(test_output_type_is_checked),
		cmocka_unit_test(test_if_with_constant_condition),
		cmocka_unit_test(test_description),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
