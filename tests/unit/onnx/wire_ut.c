/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that are no model, or try to exhaust the stack or the memory. */
#include "tests/unit/onnx/maker.h"

static int open_bytes(const void *data, size_t bytes)
{
	struct ooo_onnx_model *model;
	int rc = ooo_onnx_open_mem(data, bytes, &model);

	if (rc)
		assert_null(model);
	ooo_onnx_close(model);
	return rc;
}

static size_t put_varint(uint8_t *to, uint64_t v)
{
	size_t n = 0;

	for (; v > 127; v >>= 7)
		to[n++] = (uint8_t)(v | 128);
	to[n++] = (uint8_t)v;
	return n;
}

/* levels: 3 n + 1. ModelProto.graph = 7, GraphProto.node = 1, NodeProto.attribute = 5, AttributeProto.g = 6. */
static size_t nest(uint8_t *data, size_t max, int levels)
{
	static const uint8_t tags[] = { 6 << 3 | 2, 5 << 3 | 2, 1 << 3 | 2 };
	size_t at = max, length = 0;

	for (int i = 0; i < levels; i++) {
		uint8_t head[16];
		size_t n = 1;

		head[0] = i == levels - 1 ? 7 << 3 | 2 : tags[i % 3];
		n += put_varint(head + 1, length);
		at -= n;
		memcpy(data + at, head, n);
		length += n;
	}
	memmove(data, data + at, length);
	return length;
}

static void test_depth(void **state)
{
	size_t max = 4 << 20, bytes;
	uint8_t *data = malloc(max);

	assert_non_null(data);
	bytes = nest(data, max, 61);
	assert_true(open_bytes(data, bytes) < 0);
	assert_null(strstr(ooo_onnx_error(), "nested too deeply")); /* not for that */
	bytes = nest(data, max, 499999);
	assert_int_equal(open_bytes(data, bytes), -EINVAL);
	assert_non_null(strstr(ooo_onnx_error(), "nested too deeply"));
	free(data);
}

/* Two bytes each for a message that takes a hundred. */
static void test_memory(void **state)
{
	size_t inner = 64 << 20, bytes;
	uint8_t *data = malloc(inner + 16);

	assert_non_null(data);
	data[0] = 7 << 3 | 2;
	bytes = 1 + put_varint(data + 1, inner);
	for (size_t i = 0; i < inner; i += 2) {
		data[bytes + i] = 1 << 3 | 2;
		data[bytes + i + 1] = 0;
	}
	assert_int_equal(open_bytes(data, bytes + inner), -EINVAL);
	assert_non_null(strstr(ooo_onnx_error(), "too much memory"));
	free(data);
}

static void test_garbage(void **state)
{
	uint64_t random = 12345;
	uint8_t data[200];

	for (int round = 0; round < 20000; round++) {
		size_t bytes = 1 + (size_t)round % sizeof(data);

		for (size_t i = 0; i < bytes; i++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			data[i] = (uint8_t)(random >> 32);
		}
		assert_true(open_bytes(data, bytes) < 0);
		assert_true(*ooo_onnx_error());
	}
}

static void small_model(struct maker *m)
{
	Onnx__NodeProto *node;

	maker_init(m, 13);
	INPUT(m, "x", FLOAT, 1, 2, 4, 4);
	ZEROS(m, "w", 2, 2, 3, 3);
	node = maker_node(m, "Conv", "x,w", "c");
	ATTR_INTS(node, "pads", 1, 1, 1, 1);
	INTS(m, "s", 0, -1);
	maker_node(m, "Reshape", "c,s", "y");
	maker_output(m, "y");
}

/* Cut short, and with each byte changed: errors or models, but no harm. */
static void test_mutations(void **state)
{
	struct maker m;
	uint8_t *data;
	size_t bytes;
	int built = 0;

	small_model(&m);
	data = maker_pack(&m, &bytes);
	for (size_t cut = 0; cut < bytes; cut++)
		open_bytes(data, cut);
	for (size_t i = 0; i < bytes * 8; i++) {
		struct ooo_onnx_opts opts = OOO_ONNX_OPTS_INIT;
		struct ooo_onnx_model *model;
		struct ooo_builder *b = NULL;

		opts.max_generated_bytes = 1 << 20;
		data[i / 8] ^= (uint8_t)(1 << i % 8);
		if (!ooo_onnx_open_mem(data, bytes, &model)) {
			built += !ooo_onnx_build(model, &opts, &b);
			ooo_builder_free(b);
			ooo_onnx_close(model);
		}
		data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	assert_true(built > 0);
}

/* A name that would play tricks on a terminal. */
static void test_names_in_messages(void **state)
{
	struct ooo_builder *b;
	struct maker m;

	small_model(&m);
	m.graph.node[0]->name = maker_text("a\x1b[2Jb\n", 7);
	m.graph.node[0]->op_type = maker_text("Nope", 4);
	assert_true(maker_try(&m, NULL, &b) < 0);
	assert_non_null(strstr(ooo_onnx_error(), "'a?[2Jb?' (Nope)"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_mutations),
		cmocka_unit_test(test_names_in_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
