/* SPDX-License-Identifier: Apache-2.0 */
/* What the verifier lets through, what it refuses, and that it says why. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/program/program.h"
#include "tests/unit/program/build.h"
#include "tests/unit/program/check.h"

static char why[256];

static int compile(struct build *b, const struct compile_opts *opts)
{
	struct program *p;
	uint64_t bytes;
	void *data = build_encode(b, &bytes);
	int rc = program_compile_mem(data, bytes, opts, &p, why, sizeof(why));

	if (!rc)
		assert_int_equal(check_program(p), 0);
	else
		assert_null(p);
	program_free(p);
	free(data);
	return rc;
}

static void assert_refused(struct build *b, const char *sentence)
{
	why[0] = 0;
	assert_int_equal(compile(b, NULL), -EINVAL);
	if (!strstr(why, sentence))
		fail_msg("'%s' is not in '%s'", sentence, why);
	build_free(b);
}

/* input 0 -> Relu -> t2 -> Add constant -> output 0 */
static struct build *small(void)
{
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_FP32, 2, 3, -1, -1);
	uint32_t x = build_input(b, &s), c = build_const(b, &s, NULL);

	build_output(b, build_op2(b, OOO_OP_ADD, build_op1(b, OOO_OP_RELU, x), c));
	return b;
}

static void accepts(void **state)
{
	struct build *b = small();

	(void)state;
	assert_int_equal(compile(b, NULL), 0);
	build_free(b);
}

static void refuses_bad_headers(void **state)
{
	static const struct {
		size_t at;
		uint32_t value;
		const char *sentence;
	} bad[] = {
#define AT(field) offsetof(struct ooo_prog_header, field)
		{ AT(magic), 7, "magic" },
		{ AT(version), 9, "version 9" },
		{ AT(resv0), 1, "reserved" },
		{ AT(resv[3]), 1, "reserved" },
		{ AT(nr_tensors), OOO_PROG_MAX_TENSORS + 1, "tensors" },
		{ AT(nr_ops), OOO_PROG_MAX_OPS + 1, "operators" },
		{ AT(nr_tensors), 1000, "table of tensors" },
		{ AT(nr_ops), 1000, "table of operators" },
		{ AT(nr_operands), 100000, "table of operands" },
		{ AT(nr_outputs), 0, "no output" },
		{ AT(nr_inputs), 64, "at most" },
		{ AT(nr_inputs), 2, "no tensor is input 1" },
		{ AT(nr_outputs), 2, "no tensor is output 1" },
		{ AT(tensors_off), 4, "table of tensors" },
		{ AT(tensors_off), 145, "table of tensors" },
		{ AT(ops_off), 0xfffffff8, "table of operators" },
		{ AT(operands_off), 0, "table of operands" },
		{ AT(data_off), 0, "data is out of place" },
		{ AT(data_off), 152, "data is out of place" },
		{ AT(data_bytes), 0xffffff, "data is out of place" },
		{ AT(name), 0x01010101, "printable" },
#undef AT
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct build *b = small();
		struct program *p;
		uint64_t bytes;
		char *data = build_encode(b, &bytes);

		memcpy(data + bad[i].at, &bad[i].value, sizeof(bad[i].value));
		assert_int_equal(program_compile_mem(data, bytes, NULL, &p, why, sizeof(why)),
				 -EINVAL);
		if (!strstr(why, bad[i].sentence))
			fail_msg("%zu: '%s' is not in '%s'", i, bad[i].sentence, why);
		free(data);
		build_free(b);
	}
}

static void refuses_lengths(void **state)
{
	struct build *b = small();
	struct program *p;
	uint64_t bytes;
	char *data = build_encode(b, &bytes);

	(void)state;
	for (uint64_t n = 0; n < bytes; n++)
		assert_int_equal(program_compile_mem(data, n, NULL, &p, why, sizeof(why)), -EINVAL);
	assert_int_equal(program_compile_mem(data + 8, bytes - 8, NULL, &p, why, sizeof(why)),
			 -EINVAL);
	free(data);
	build_free(b);
}

static void refuses_endless_name(void **state)
{
	struct build *b = small();

	(void)state;
	memset(b->head.name, 'x', sizeof(b->head.name));
	assert_refused(b, "no end");
}

/* tensors of small(): 0 input, 1 constant, 2 temporary, 3 output */
static void refuses_bad_tensors(void **state)
{
	struct build *b;

	(void)state;
#define BAD(change, sentence)                                                                      \
	do {                                                                                       \
		b = small();                                                                       \
		change;                                                                            \
		assert_refused(b, sentence);                                                       \
	} while (0)
	BAD(b->tensors[2].dtype = 0, "tensor 2: there is no element type 0");
	BAD(b->tensors[2].dtype = OOO_DTYPE_LIMIT, "element type");
	BAD(b->tensors[2].dtype = OOO_TF32, "element type");
	BAD(b->tensors[2].rank = 9, "rank 9");
	BAD(b->tensors[2].dims[0] = -1, "negative");
	BAD(b->tensors[2].dims[5] = 1, "beyond the rank");
	BAD(b->tensors[2].dims[0] = INT64_MAX, "larger than");
	BAD(b->tensors[2].dims[0] = 1ll << 32, "larger than");
	BAD(b->tensors[2].role = 4, "no role 4");
	BAD(b->tensors[2].io = 1, "io");
	BAD(b->tensors[2].resv[1] = 1, "reserved");
	BAD(b->tensors[2].data_bytes = 64, "only constants");
	BAD(b->tensors[0].io = 1, "there is no input 1");
	BAD(b->tensors[3].io = 1, "there is no output 1");
	BAD(b->tensors[1].role = OOO_ROLE_INPUT;
	    b->tensors[1].data_bytes = 0, "input 0 is tensor 0 already");
	BAD(b->tensors[1].data_bytes = 20, "takes 24 bytes");
	BAD(b->tensors[1].data_off = 8, "out of place");
	BAD(b->tensors[1].data_off = 64, "out of place");
	BAD(b->tensors[1].data_off = UINT64_MAX - 63, "out of place");
}

/* operands of small(): 0, 2 of Relu; 2, 1, 3 of Add */
static void refuses_bad_steps(void **state)
{
	struct build *b;

	(void)state;
	BAD(b->ops[0].op = 0, "step 0: there is no operator with code 0");
	BAD(b->ops[0].op = OOO_OP_LIMIT, "no operator");
	BAD(b->ops[0].resv = 1, "reserved");
	BAD(b->ops[0].nr_in = 2, "Relu 0: 2 operands");
	BAD(b->ops[0].nr_in = 0; b->ops[0].operands = 1, "takes 1 to 1");
	BAD(b->ops[0].nr_out = 65535, "65535 outputs");
	BAD(b->ops[1].operands = 3, "table's end");
	BAD(b->ops[1].operands = UINT32_MAX, "table's end");
	BAD(b->operands[0] = 4, "operand 0 is tensor 4 of 4");
	BAD(b->operands[0] = OOO_NONE, "absent");
	BAD(b->operands[0] = 2, "has not been written");
	BAD(b->operands[0] = 3, "has not been written");
	BAD(b->operands[1] = OOO_NONE, "output 0 is tensor");
	BAD(b->operands[1] = 0, "cannot be written");
	BAD(b->operands[1] = 1, "cannot be written");
	BAD(b->operands[4] = 2, "written before");
	BAD(b->ops[0].attr.alpha = 1, "attribute alpha is set");
	BAD(b->tensors[3].dims[0] = 3, "is declared fp32[3,3] but is fp32[2,3]");
	BAD(b->head.nr_ops = 1, "no operator writes output 0");
#undef BAD
}

static void keeps_quotas(void **state)
{
	struct compile_opts opts = { .max_weight_bytes = 23 };
	struct build *b = small();

	(void)state;
	assert_int_equal(compile(b, &opts), -EDQUOT);
	assert_non_null(strstr(why, "weights"));
	opts.max_weight_bytes = 24;
	assert_int_equal(compile(b, &opts), 0);
	build_free(b);

	/* two results that are alive at once: 2 x 64 bytes */
	b = build_new(1);
	{
		struct shape s = build_dims(OOO_FP32, 16, -1, -1, -1);
		uint32_t x = build_input(b, &s), y = build_op1(b, OOO_OP_EXP, x);
		uint32_t z = build_op1(b, OOO_OP_SIN, x);

		build_output(b, build_op2(b, OOO_OP_POW, y, z));
	}
	opts = (struct compile_opts){ .max_workspace_bytes = 127 };
	assert_int_equal(compile(b, &opts), -EDQUOT);
	assert_non_null(strstr(why, "workspace"));
	opts.max_workspace_bytes = 128;
	assert_int_equal(compile(b, &opts), 0);
	build_free(b);
}

static int memfd_of(struct build *b, int seals, uint64_t *bytes)
{
	void *data = build_encode(b, bytes);
	int fd = memfd_create("program", MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, *bytes), (ssize_t)*bytes);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	free(data);
	return fd;
}

static void wants_seals(void **state)
{
	const int all = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
	const int some[] = { 0, F_SEAL_WRITE, F_SEAL_WRITE | F_SEAL_SHRINK,
			     F_SEAL_SHRINK | F_SEAL_GROW };
	struct build *b = small();
	struct program *p;
	uint64_t bytes;
	int fd, pipes[2];

	(void)state;
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
		fd = memfd_of(b, some[i], &bytes);
		assert_int_equal(program_compile(fd, bytes, NULL, &p, why, sizeof(why)), -EINVAL);
		assert_non_null(strstr(why, "sealed"));
		close(fd);
	}
	fd = memfd_of(b, all, &bytes);
	assert_int_equal(program_compile(fd, bytes + 1, NULL, &p, why, sizeof(why)), -EINVAL);
	assert_int_equal(program_compile(fd, bytes, NULL, &p, why, sizeof(why)), 0);
	close(fd);
	assert_string_equal(p->name, "test");
	assert_int_equal(check_program(p), 0);
	program_free(p);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(program_compile(pipes[0], bytes, NULL, &p, why, sizeof(why)), -EINVAL);
	assert_int_equal(program_compile(-1, bytes, NULL, &p, why, sizeof(why)), -EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	build_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts),
		cmocka_unit_test(refuses_bad_headers),
		cmocka_unit_test(refuses_lengths),
		cmocka_unit_test(refuses_endless_name),
		cmocka_unit_test(refuses_bad_tensors),
		cmocka_unit_test(refuses_bad_steps),
		cmocka_unit_test(keeps_quotas),
		cmocka_unit_test(wants_seals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
