/* SPDX-License-Identifier: Apache-2.0 */
/* The builder, and its encoding read back against shared/abi/program.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/client/internal.h"

struct encoded {
	int fd;
	uint64_t bytes;
	const char *map;
	const struct ooo_prog_header *head;
	const struct ooo_prog_tensor *tensors;
	const struct ooo_prog_op *ops;
	const uint32_t *operands;
};

static struct encoded encode(const struct ooo_builder *b)
{
	struct encoded e = { .fd = -1 };
	char why[256] = "";
	struct stat st;

	if (client_encode(b, &e.fd, &e.bytes, why, sizeof(why)))
		fail_msg("encode: %s", why);
	assert_int_equal(fstat(e.fd, &st), 0);
	assert_int_equal(st.st_size, e.bytes);
	e.map = mmap(NULL, e.bytes, PROT_READ, MAP_SHARED, e.fd, 0);
	assert_ptr_not_equal(e.map, MAP_FAILED);
	e.head = (const void *)e.map;
	e.tensors = (const void *)(e.map + e.head->tensors_off);
	e.ops = (const void *)(e.map + e.head->ops_off);
	e.operands = (const void *)(e.map + e.head->operands_off);
	return e;
}

static void release(struct encoded *e)
{
	munmap((void *)e->map, e->bytes);
	close(e->fd);
}

static const char *const_data(const struct encoded *e, uint32_t id)
{
	assert_int_equal(e->tensors[id].role, OOO_ROLE_CONST);
	assert_int_equal(e->tensors[id].data_off % 64, 0);
	assert_true(e->tensors[id].data_off + e->tensors[id].data_bytes <= e->head->data_bytes);
	return e->map + e->head->data_off + e->tensors[id].data_off;
}

/* Offsets within bounds and aligned, ids defined before use, reserved fields zero. */
static void check_abi(const struct encoded *e)
{
	const struct ooo_prog_header *h = e->head;
	static const char zero[64];

	assert_int_equal(h->magic, OOO_PROG_MAGIC);
	assert_int_equal(h->version, OOO_PROG_VERSION);
	assert_int_equal(h->bytes, e->bytes);
	assert_int_equal(h->data_off % 64, 0);
	assert_int_equal(h->tensors_off % 8 + h->ops_off % 8 + h->operands_off % 8, 0);
	assert_true(h->data_off >= sizeof(*h) && h->data_off + h->data_bytes <= h->bytes);
	assert_true(h->tensors_off + h->nr_tensors * sizeof(*e->tensors) <= h->bytes);
	assert_true(h->ops_off + h->nr_ops * sizeof(*e->ops) <= h->bytes);
	assert_true(h->operands_off + h->nr_operands * sizeof(uint32_t) <= h->bytes);
	assert_memory_equal(h->resv, zero, sizeof(h->resv));
	assert_int_equal(h->resv0, 0);
	for (uint32_t i = 0; i < h->nr_ops; i++) {
		const struct ooo_prog_op *op = &e->ops[i];

		assert_true(op->operands + op->nr_in + op->nr_out <= h->nr_operands);
		assert_int_equal(op->resv, 0);
		for (uint32_t k = 0; k < op->nr_in; k++)
			assert_true(e->operands[op->operands + k] == OOO_NONE ||
				    e->operands[op->operands + k] <
					    e->operands[op->operands + op->nr_in]);
	}
	for (uint32_t i = 0; i < h->nr_tensors; i++)
		assert_memory_equal(e->tensors[i].resv, zero, sizeof(e->tensors[i].resv));
}

/* relu(x * W + bias) */
static struct ooo_builder *dense(float *w, float *bias)
{
	struct ooo_builder *b = ooo_builder_new("dense");
	uint32_t in[3], y;
	int relu;

	for (int i = 0; i < 6; i++)
		w[i] = (float)i;
	for (int i = 0; i < 3; i++)
		bias[i] = (float)-i;
	in[0] = (uint32_t)ooo_input(b, OOO_FP32, 2, (int64_t[]){ 4, 2 });
	in[1] = (uint32_t)ooo_const(b, OOO_FP32, 2, (int64_t[]){ 2, 3 }, w, 24);
	in[2] = (uint32_t)ooo_const(b, OOO_FP32, 1, (int64_t[]){ 3 }, bias, 12);
	assert_int_equal(ooo_op(b, OOO_OP_MATMUL, NULL, in, 3, &y, 1), 0);
	relu = ooo_op1(b, OOO_OP_RELU, NULL, y);
	assert_true(relu > 0);
	assert_int_equal(ooo_output(b, (uint32_t)relu), 0);
	return b;
}

static void test_round_trip(void **state)
{
	float w[6], bias[3];
	struct ooo_builder *b = dense(w, bias);
	struct encoded e = encode(b);
	struct ooo_attr neutral;

	check_abi(&e);
	assert_string_equal(e.head->name, "dense");
	assert_int_equal(e.head->nr_tensors, 5);
	assert_int_equal(e.head->nr_ops, 2);
	assert_int_equal(e.head->nr_operands, 6);
	assert_int_equal(e.head->nr_inputs, 1);
	assert_int_equal(e.head->nr_outputs, 1);
	assert_int_equal(e.tensors[0].role, OOO_ROLE_INPUT);
	assert_int_equal(e.tensors[3].role, OOO_ROLE_TEMP);
	assert_int_equal(e.tensors[4].role, OOO_ROLE_OUTPUT);
	assert_int_equal(e.tensors[4].rank, 2);
	assert_int_equal(e.tensors[4].dims[0], 4);
	assert_int_equal(e.tensors[4].dims[1], 3);
	assert_memory_equal(const_data(&e, 1), w, sizeof(w));
	assert_memory_equal(const_data(&e, 2), bias, sizeof(bias));
	assert_int_equal(e.ops[0].op, OOO_OP_MATMUL);
	assert_int_equal(e.ops[0].nr_in, 3);
	ooo_attr_init(&neutral, OOO_OP_MATMUL);
	assert_memory_equal(&e.ops[0].attr, &neutral, sizeof(neutral));
	assert_int_equal(e.operands[e.ops[1].operands], 3);
	assert_int_equal(e.operands[e.ops[1].operands + 1], 4);
	release(&e);
	ooo_builder_free(b);
}

static void test_sealed(void **state)
{
	float w[6], bias[3];
	struct ooo_builder *b = dense(w, bias);
	struct encoded e = encode(b);

	assert_int_equal(fcntl(e.fd, F_GET_SEALS) & (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW),
			 F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
	assert_int_equal(pwrite(e.fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(e.fd, 1), -1);
	assert_int_equal(fcntl(e.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ooo_builder_free(b);
	assert_int_equal(e.head->magic, OOO_PROG_MAGIC); /* outlives the builder */
	release(&e);
}

static void test_encode_again(void **state)
{
	float w[6], bias[3], more[3] = { 9, 9, 9 };
	struct ooo_builder *b = dense(w, bias);
	struct encoded first = encode(b), same = encode(b), grown;
	struct stat st[2];
	int c, y;

	fstat(first.fd, &st[0]);
	fstat(same.fd, &st[1]);
	assert_int_equal(st[0].st_ino, st[1].st_ino); /* one memfd, two descriptors */
	c = ooo_const(b, OOO_FP32, 1, (int64_t[]){ 3 }, more, sizeof(more));
	y = ooo_op2(b, OOO_OP_ADD, NULL, 4, (uint32_t)c);
	assert_int_equal(ooo_output(b, (uint32_t)y), 0);
	grown = encode(b);
	check_abi(&grown);
	assert_int_equal(grown.head->nr_outputs, 2);
	assert_memory_equal(const_data(&grown, 1), w, sizeof(w));
	assert_memory_equal(const_data(&grown, (uint32_t)c), more, sizeof(more));
	assert_int_equal(first.head->nr_outputs, 1); /* what was sent did not change */
	check_abi(&first);
	release(&first);
	release(&same);
	release(&grown);
	ooo_builder_free(b);
}

static void test_equal_data_once(void **state)
{
	enum {
		N = 300000
	};
	struct ooo_builder *b = ooo_builder_new("tied");
	char *data = calloc(1, N);
	uint64_t bytes;
	uint32_t id[4];
	int sum;

	for (int i = 0; i < 4; i++) {
		data[N - 1] = (char)(i / 2); /* 0 0 1 1: they differ in the last byte */
		id[i] = (uint32_t)ooo_const(b, OOO_UINT8, 1, (int64_t[]){ N }, data, N);
	}
	assert_int_equal(b->tensors[id[0]].data_off, b->tensors[id[1]].data_off);
	assert_int_equal(b->tensors[id[2]].data_off, b->tensors[id[3]].data_off);
	assert_int_not_equal(b->tensors[id[0]].data_off, b->tensors[id[2]].data_off);
	bytes = b->store->data_bytes;
	assert_true(bytes >= 2 * N && bytes < 2 * N + 128);
	/* a shorter one with the same beginning is another one */
	id[0] = (uint32_t)ooo_const(b, OOO_UINT8, 1, (int64_t[]){ N - 1 }, data, N - 1);
	assert_true(b->store->data_bytes > bytes);
	sum = ooo_output(b, id[3]);
	assert_int_equal(sum, 0);
	free(data);
	ooo_builder_free(b);
}

static void test_many_constants(void **state)
{
	struct ooo_builder *b = ooo_builder_new("many");
	struct encoded e;

	for (int64_t i = 0; i < 5000; i++) {
		int64_t value = i / 2;
		int id = ooo_const(b, OOO_INT64, 0, NULL, &value, sizeof(value));

		assert_int_equal(id, i);
	}
	assert_int_equal(ooo_output(b, 4999), 0);
	assert_int_equal(b->store->data_bytes, 2500 * 64);
	e = encode(b);
	check_abi(&e);
	for (uint32_t i = 0; i < 5000; i++) {
		int64_t value;

		memcpy(&value, const_data(&e, i), sizeof(value));
		assert_int_equal(value, i / 2);
	}
	release(&e);
	ooo_builder_free(b);
}

/* Outputs that are inputs, constants or outputs already get copies. */
static void test_output_copies(void **state)
{
	struct ooo_builder *b = ooo_builder_new("copies");
	uint32_t x = (uint32_t)ooo_input(b, OOO_FP32, 1, (int64_t[]){ 2 });
	uint32_t c = (uint32_t)ooo_const(b, OOO_FP32, 1, (int64_t[]){ 2 }, (float[]){ 1, 2 }, 8);
	uint32_t y = (uint32_t)ooo_op2(b, OOO_OP_ADD, NULL, x, c);
	struct encoded e;
	uint32_t seen = 0;

	assert_int_equal(ooo_output(b, y) | ooo_output(b, x) | ooo_output(b, c) | ooo_output(b, y),
			 0);
	e = encode(b);
	check_abi(&e);
	assert_int_equal(e.head->nr_outputs, 4);
	assert_int_equal(e.head->nr_ops, 4);
	for (uint32_t i = 0; i < e.head->nr_tensors; i++)
		if (e.tensors[i].role == OOO_ROLE_OUTPUT)
			seen |= 1u << e.tensors[i].io;
	assert_int_equal(seen, 15);
	for (uint32_t i = 1; i < 4; i++)
		assert_int_equal(e.ops[i].op, OOO_OP_IDENTITY);
	assert_int_equal(e.operands[e.ops[1].operands], x);
	assert_int_equal(e.operands[e.ops[2].operands], c);
	assert_int_equal(e.operands[e.ops[3].operands], y);
	release(&e);
	ooo_builder_free(b);
}

static void expect_error(struct ooo_builder *b, int rc, const char *part)
{
	assert_int_equal(rc, -EINVAL);
	if (!strstr(ooo_builder_error(b), part))
		fail_msg("\"%s\" does not say \"%s\"", ooo_builder_error(b), part);
}

static void test_errors(void **state)
{
	struct ooo_builder *b = ooo_builder_new("errors");
	int64_t wide[OOO_MAX_RANK + 1] = { 1, 1, 1, 1, 1, 1, 1, 1, 1 };
	uint32_t x = (uint32_t)ooo_input(b, OOO_FP32, 2, (int64_t[]){ 4, 2 }), out[40];
	float w[6] = { 0 };
	uint32_t in[3] = { x, x, x };

	assert_string_equal(ooo_builder_error(b), "");
	expect_error(b, ooo_input(b, (enum ooo_dtype)99, 1, wide), "element type 99");
	expect_error(b, ooo_input(b, OOO_FP32, OOO_MAX_RANK + 1, wide), "rank 9");
	expect_error(b, ooo_input(b, OOO_FP32, -1, wide), "rank -1");
	expect_error(b, ooo_input(b, OOO_FP32, 1, (int64_t[]){ -1 }), "dims[0] is -1");
	expect_error(b, ooo_input(b, OOO_FP32, 2, (int64_t[]){ INT64_MAX, 8 }), "16 GiB");
	expect_error(b, ooo_const(b, OOO_FP32, 1, (int64_t[]){ 6 }, w, 20), "24 bytes, not 20");
	expect_error(b, ooo_const(b, OOO_FP32, 1, (int64_t[]){ 6 }, NULL, 24), "data is NULL");
	expect_error(b, ooo_op(b, (enum ooo_op)191, NULL, in, 1, out, 1), "code 191");
	expect_error(b, ooo_op(b, OOO_OP_RELU, NULL, in, 2, out, 1),
		     "Relu (operator 0): 2 operands");
	expect_error(b, ooo_op(b, OOO_OP_RELU, NULL, in, -1, out, 1), "-1 operands");
	expect_error(b, ooo_op(b, OOO_OP_RELU, NULL, in, 1, out, 2), "2 outputs");
	expect_error(b, ooo_op1(b, OOO_OP_RELU, NULL, 77), "no tensor 77");
	/* what failed first is what is said */
	expect_error(b, ooo_op1(b, OOO_OP_RELU, NULL, (uint32_t)ooo_input(b, OOO_FP32, -1, wide)),
		     "Relu (operator 0): operand 0: no tensor, for its call failed: input 1: rank");
	expect_error(b, ooo_output(b, (uint32_t)ooo_op1(b, OOO_OP_RELU, NULL, 77)),
		     "output 0: no tensor, for its call failed: Relu (operator 0): operand 0");
	expect_error(b, ooo_op2(b, OOO_OP_MATMUL, NULL, x, x), "MatMul (operator 0)");
	expect_error(b, ooo_output(b, 5), "no tensor 5");
	/* nothing of all that stuck */
	assert_int_equal(b->nr_tensors, 1);
	assert_int_equal(b->nr_ops + b->nr_operands + b->nr_outputs, 0);
	ooo_builder_free(b);
	ooo_builder_free(NULL);
}

static void test_limits(void **state)
{
	struct ooo_builder *b = ooo_builder_new("a name of more than thirty-one bytes");
	char why[256];
	uint64_t bytes;
	int fd;

	assert_string_equal(b->name, "a name of more than thirty-one ");
	assert_int_equal(client_encode(b, &fd, &bytes, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "no output"));
	for (int i = 0; i < OOO_MAX_IO - 1; i++)
		assert_int_equal(ooo_input(b, OOO_FP32, 0, NULL), i);
	assert_int_equal(ooo_output(b, 0), 0);
	expect_error(b, ooo_output(b, 1), "more than 64 inputs and outputs");
	expect_error(b, ooo_input(b, OOO_FP32, 0, NULL), "more than 64 inputs and outputs");
	ooo_builder_free(b);
	b = ooo_builder_new("tab\there");
	assert_int_equal(ooo_output(b, (uint32_t)ooo_input(b, OOO_FP32, 0, NULL)), 0);
	assert_int_equal(client_encode(b, &fd, &bytes, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "printable"));
	ooo_builder_free(b);
}

static void test_query(void **state)
{
	struct ooo_builder *b = ooo_builder_new(NULL);
	int x = ooo_input(b, OOO_FP32, 2, (int64_t[]){ 3, 5 });
	int64_t dims[OOO_MAX_RANK];
	enum ooo_dtype dtype;
	int rank;

	assert_int_equal(ooo_tensor(b, (uint32_t)x, &dtype, &rank, dims), 0);
	assert_int_equal(dtype, OOO_FP32);
	assert_int_equal(rank, 2);
	assert_int_equal(dims[0] * 100 + dims[1], 305);
	assert_int_equal(ooo_tensor(b, 1, &dtype, &rank, dims), -EINVAL);
	assert_int_equal(ooo_builder_arena_bytes(b, 3), 3 * 64);
	assert_int_equal(ooo_output(b, (uint32_t)x), 0);
	assert_int_equal(ooo_builder_arena_bytes(b, 3), 6 * 64);
	assert_int_equal(ooo_dtype_bytes(OOO_BF16), 2);
	assert_int_equal(ooo_dtype_bytes((enum ooo_dtype)77), 0);
	assert_string_equal(ooo_dtype_name(OOO_FP32), "fp32");
	assert_string_equal(ooo_op_name(OOO_OP_CONV), "Conv");
	assert_string_equal(ooo_op_name((enum ooo_op)0), "?");
	assert_string_equal(ooo_status_key(OOO_LATE), "late");
	assert_string_equal(ooo_strstatus(OOO_OK), "completed");
	assert_string_equal(ooo_status_key(99), "unknown");
	assert_non_null(ooo_strstatus(99));
	ooo_builder_free(b);
}

/* A large constant is held once: in the memfd, not on the heap as well. */
static void test_large(void **state)
{
	enum {
		N = 16 << 20
	};
	struct ooo_builder *b = ooo_builder_new("large");
	char *data = malloc(N);
	struct encoded e;
	struct stat st;

	for (uint32_t i = 0; i < N / 4; i++)
		memcpy(data + 4 * i, &i, 4);
	assert_int_equal(ooo_const(b, OOO_FP32, 1, (int64_t[]){ N / 4 }, data, N), 0);
	fstat(b->store->fd, &st);
	assert_true(st.st_blocks * 512 >= N);
	assert_int_equal(ooo_output(b, 0), 0);
	e = encode(b);
	assert_int_equal(fstat(b->store->fd, &st), 0);
	assert_true(st.st_blocks * 512 < N + 65536);
	assert_true(e.bytes < N + 4096);
	assert_memory_equal(const_data(&e, 0), data, N);
	release(&e);
	free(data);
	ooo_builder_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_sealed),
		cmocka_unit_test(test_encode_again),   cmocka_unit_test(test_equal_data_once),
		cmocka_unit_test(test_many_constants), cmocka_unit_test(test_output_copies),
		cmocka_unit_test(test_errors),         cmocka_unit_test(test_limits),
		cmocka_unit_test(test_query),          cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
