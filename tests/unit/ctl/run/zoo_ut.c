/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in networks: they are what their names say, and their weights follow from the seed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ctl/run/zoo.h"
#include "shared/client/internal.h"

static struct ooo_builder *build(const char *name, uint64_t seed)
{
	struct ooo_builder *b;
	char why[256];

	if (zoo_build(name, 1, seed, &b, why, sizeof(why)))
		fail_msg("%s", why);
	return b;
}

static const struct tensor_decl *find(const struct ooo_builder *b, enum ooo_role role, uint32_t io)
{
	for (uint32_t i = 0; i < b->nr_tensors; i++)
		if (b->tensors[i].role == role && b->tensors[i].io == io)
			return &b->tensors[i];
	fail_msg("tensor not found");
	return NULL;
}

static uint64_t nr_weights(const struct ooo_builder *b)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < b->nr_tensors; i++)
		if (b->tensors[i].role == OOO_ROLE_CONST)
			bytes += b->tensors[i].data_bytes;
	return bytes / sizeof(float);
}

static unsigned count_ops(const struct ooo_builder *b, enum ooo_op op)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < b->nr_ops; i++)
		n += b->ops[i].op == op;
	return n;
}

/* Known from the papers: parameters in millions, convolutions or products, size of the output. */
static void test_sizes(void **state)
{
	static const struct {
		const char *name;
		double millions;
		enum ooo_op op;
		unsigned nr;
		int64_t outputs;
	} models[] = {
		{ "resnet50", 25.6, OOO_OP_CONV, 53, 1000 },
		{ "resnet18", 11.7, OOO_OP_CONV, 20, 1000 },
		{ "mobilenet_v2", 3.5, OOO_OP_CONV, 52, 1000 },
		{ "bert-base", 109.1, OOO_OP_MATMUL, 98, 2 },
		{ "mlp", 8.4, OOO_OP_MATMUL, 8, 1024 },
		{ "lstm", 4.2, OOO_OP_LSTM, 2, 16 * 512 },
	};

	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
		struct ooo_builder *b = build(models[i].name, 1);
		double millions = (double)nr_weights(b) / 1e6;
		int64_t elems;

		assert_non_null(strstr(zoo_list(), models[i].name));
		if (millions < models[i].millions * 0.98 || millions > models[i].millions * 1.02)
			fail_msg("%s has %.2f million weights", models[i].name, millions);
		assert_int_equal(count_ops(b, models[i].op), models[i].nr);
		assert_int_equal(shape_elems(&find(b, OOO_ROLE_OUTPUT, 0)->shape, &elems), 0);
		assert_int_equal(elems, models[i].outputs);
		ooo_builder_free(b);
	}
}

/* The program's bytes as one number. */
static uint64_t hash(const struct ooo_builder *b)
{
	uint64_t bytes, h = 14695981039346656037ull;
	char why[256];
	uint64_t *map;
	int fd;

	if (client_encode(b, &fd, &bytes, why, sizeof(why)))
		fail_msg("%s", why);
	map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	for (uint64_t i = 0; i < bytes / sizeof(*map); i++)
		h = (h ^ map[i]) * 1099511628211ull;
	munmap(map, bytes);
	close(fd);
	return h;
}

static void test_seeds(void **state)
{
	struct ooo_builder *a = build("mlp", 7), *same = build("mlp", 7), *other = build("mlp", 8);

	assert_true(hash(a) == hash(same));
	assert_true(hash(a) != hash(other));
	ooo_builder_free(a);
	ooo_builder_free(same);
	ooo_builder_free(other);
}

static void test_bert_inputs(void **state)
{
	struct ooo_builder *b = build("bert-base", 1);

	assert_int_equal(b->nr_inputs, 2);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(find(b, OOO_ROLE_INPUT, i)->shape.dtype, OOO_INT64);
		assert_int_equal(find(b, OOO_ROLE_INPUT, i)->shape.dims[1], 128);
	}
	ooo_builder_free(b);
}

static void test_products(void **state)
{
	static const char *const wrong[] = {
		"gemm",           "gemm-1x2",       "gemm-1x2x",
		"gemm-0x2x3",     "gemm-1x-2x3",    "gemm-1x2x3x4",
		"gemm-1x2x3-fp8", "gemm-1x2x65537", "gemm-1x2x99999999999999999999"
	};
	struct ooo_builder *b = build("gemm-5x3x7-fp16", 1);
	char why[256];

	assert_int_equal(nr_weights(b), 7 * 5);
	assert_int_equal(find(b, OOO_ROLE_INPUT, 0)->shape.dtype, OOO_FP16);
	assert_int_equal(find(b, OOO_ROLE_INPUT, 0)->shape.dims[0], 3);
	assert_int_equal(find(b, OOO_ROLE_OUTPUT, 0)->shape.dims[1], 5);
	ooo_builder_free(b);
	b = build("gemm-512x1x512", 1);
	assert_int_equal(find(b, OOO_ROLE_INPUT, 0)->shape.dtype, OOO_FP32);
	assert_int_equal(count_ops(b, OOO_OP_CAST), 0);
	ooo_builder_free(b);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(zoo_build(wrong[i], 1, 1, &b, why, sizeof(why)), -ENOENT);
}

static uint64_t elems(const struct ooo_builder *b, enum ooo_role role)
{
	const struct shape *s = &find(b, role, 0)->shape;
	uint64_t n = 1;

	for (int32_t i = 0; i < s->rank; i++)
		n *= (uint64_t)s->dims[i];
	return n;
}

static void test_batch(void **state)
{
	static const char *const names[] = { "resnet18", "mobilenet_v2", "bert-base", "mlp",
					     "lstm" };
	struct ooo_builder *one, *three;
	char why[256];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		one = build(names[i], 1);
		if (zoo_build(names[i], 3, 1, &three, why, sizeof(why)))
			fail_msg("%s", why);
		assert_int_equal(elems(three, OOO_ROLE_INPUT), elems(one, OOO_ROLE_INPUT) * 3);
		assert_int_equal(elems(three, OOO_ROLE_OUTPUT), elems(one, OOO_ROLE_OUTPUT) * 3);
		assert_int_equal(nr_weights(three), nr_weights(one));
		ooo_builder_free(one);
		ooo_builder_free(three);
	}
	assert_int_equal(zoo_build("gemm-5x3x7", 2, 1, &three, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "batch"));
}

static void test_unknown_name(void **state)
{
	struct ooo_builder *b;
	char why[256];

	assert_int_equal(zoo_build("alexnet", 1, 1, &b, why, sizeof(why)), -ENOENT);
	assert_null(b);
	assert_non_null(strstr(why, "alexnet"));
	assert_non_null(strstr(why, "resnet50, "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),       cmocka_unit_test(test_seeds),
		cmocka_unit_test(test_bert_inputs), cmocka_unit_test(test_products),
		cmocka_unit_test(test_batch),       cmocka_unit_test(test_unknown_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
