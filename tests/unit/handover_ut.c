/* SPDX-License-Identifier: Apache-2.0 */
/* The state that one process of the agent leaves to the next: round trip, damage, older agents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/handover.c"

static char why[256];
static int fds[2];

static int set_up(void **state)
{
	return pipe(fds);
}

static int tear_down(void **state)
{
	close(fds[0]);
	close(fds[1]);
	return 0;
}

static struct handover_record agent_record(void)
{
	return (struct handover_record){
		.type = HANDOVER_AGENT,
		.agent = {
			.listen_fd = (uint64_t)fds[0],
			.lock_fd = (uint64_t)fds[1],
			.control_fd = HANDOVER_NONE,
			.agent_id = 0x1122334455667788,
			.last_id = 77,
		},
	};
}

static struct handover_record tenant_record(void)
{
	uint64_t fd = (uint64_t)fds[0];

	return (struct handover_record){
		.type = HANDOVER_TENANT,
		.tenant = {
			.sock = fd, .ring_fd = fd, .arena_fd = fd, .sq_eventfd = fd, .cq_eventfd = fd,
			.id = 5, .pid = 1234, .uid = 1000, .gid = 100, .device = 1,
			.arena_bytes = 1 << 20, .sq_entries = 64, .cq_entries = 128,
			.sq_head = UINT32_MAX, .cq_tail = 3, .cq_head = UINT32_MAX - 4,
		},
		.tail = "alpha",
		.tail_bytes = 5,
	};
}

/* A state with one of each. */
static struct handover_out *whole(void)
{
	static const uint64_t offsets[] = { 0, 4096, 8192 };
	static const struct tenant_params params = TENANT_PARAMS_DEFAULT;
	struct handover_out *out = handover_new();
	struct handover_record r = agent_record();

	handover_put(out, &r);
	r = (struct handover_record){ .type = HANDOVER_DEVICE, .tail = "cuda", .tail_bytes = 4 };
	handover_put(out, &r);
	r = tenant_record();
	handover_put(out, &r);
	r = (struct handover_record){
		.type = HANDOVER_PARAMS,
		.tail = &params,
		.tail_bytes = sizeof(params),
	};
	handover_put(out, &r);
	r = (struct handover_record){
		.type = HANDOVER_PROGRAM,
		.program = { .fd = (uint64_t)fds[1], .id = 3, .bytes = 4096, .requests = 9 },
	};
	handover_put(out, &r);
	r = (struct handover_record){
		.type = HANDOVER_BINDING,
		.binding = { .program = 3, .id = 1023 },
		.tail = offsets,
		.tail_bytes = sizeof(offsets),
	};
	handover_put(out, &r);
	return out;
}

static void test_round_trip(void **state)
{
	struct handover_out *out = whole();
	struct handover_record r, t = tenant_record();
	struct handover_in *in;
	int fd = handover_seal(out);
	size_t at = 0;

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1); /* nobody can change it any more */
	assert_int_equal(handover_open(fd, &in, why, sizeof(why)), 0);
	close(fd);
	assert_true(handover_next(in, &at, &r));
	assert_int_equal(r.type, HANDOVER_AGENT);
	assert_true(r.agent.agent_id == 0x1122334455667788);
	assert_true(r.agent.control_fd == HANDOVER_NONE);
	assert_true(handover_next(in, &at, &r));
	assert_int_equal(r.type, HANDOVER_DEVICE);
	assert_memory_equal(r.tail, "cuda", 4);
	assert_true(handover_next(in, &at, &r));
	assert_int_equal(r.type, HANDOVER_TENANT);
	assert_memory_equal(&r.tenant, &t.tenant, sizeof(t.tenant));
	assert_int_equal(r.tail_bytes, 5);
	assert_true(handover_next(in, &at, &r) && r.type == HANDOVER_PARAMS);
	assert_int_equal(((const struct tenant_params *)r.tail)->weight, TENANT_WEIGHT_DEFAULT);
	assert_true(handover_next(in, &at, &r) && r.type == HANDOVER_PROGRAM);
	assert_int_equal(r.program.requests, 9);
	assert_true(handover_next(in, &at, &r) && r.type == HANDOVER_BINDING);
	assert_int_equal(((const uint64_t *)r.tail)[2], 8192);
	assert_false(handover_next(in, &at, &r));
	handover_close(in);
	handover_free(out);
	/* What it names goes to no other program. */
	assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
}

/* These bytes, sealed, as the writer would. */
static int sealed(const void *data, size_t bytes, int seals)
{
	int fd = memfd_create("state", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, data, bytes), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void expect_refused(const void *data, size_t bytes, int seals, const char *word)
{
	struct handover_in *in = NULL;
	int fd = sealed(data, bytes, seals);

	why[0] = '\0';
	assert_int_equal(handover_open(fd, &in, why, sizeof(why)), -EBADMSG);
	assert_null(in);
	assert_int_equal(strncmp(why, "cannot resume: ", 15), 0);
	if (word && !strstr(why, word))
		fail_msg("\"%s\" does not say \"%s\"", why, word);
	close(fd);
}

static char *contents(struct handover_out *out, size_t *bytes)
{
	int fd = handover_seal(out);
	char *data;

	*bytes = (size_t)lseek(fd, 0, SEEK_END);
	data = malloc(*bytes);
	assert_int_equal(pread(fd, data, *bytes, 0), *bytes);
	close(fd);
	handover_free(out);
	return data;
}

static void test_cut_off(void **state)
{
	size_t bytes;
	char *data = contents(whole(), &bytes);

	expect_refused(data, bytes, 0, "sealed");
	for (size_t n = 0; n < bytes; n++)
		expect_refused(data, n, HANDOVER_SEALS, NULL);
	free(data);
}

/* Any byte changed: the sum is wrong, or the header. */
static void test_damaged(void **state)
{
	size_t bytes;
	char *data = contents(whole(), &bytes);

	for (size_t i = 0; i < bytes; i++) {
		data[i] ^= 0x10;
		expect_refused(data, bytes, HANDOVER_SEALS, NULL);
		data[i] ^= 0x10;
	}
	data[4]++;
	expect_refused(data, bytes, HANDOVER_SEALS, "version");
	free(data);
}

static void expect_wrong(const struct handover_record *wrong, const char *word)
{
	struct handover_out *out = handover_new();
	struct handover_record r = agent_record();
	size_t bytes;
	char *data;

	handover_put(out, &r);
	handover_put(out, wrong);
	data = contents(out, &bytes);
	expect_refused(data, bytes, HANDOVER_SEALS, word);
	free(data);
}

/* Whole and with the right sum, but with something in it that cannot be. */
static void test_bounds(void **state)
{
	struct handover_record r = tenant_record();

	r.tenant.cq_entries = 1 << 30;
	expect_wrong(&r, "cq_entries is 1073741824");
	r = tenant_record();
	r.tenant.id = 0;
	expect_wrong(&r, "its id is 0");
	r = tenant_record();
	r.tenant.ring_fd = 1000000;
	expect_wrong(&r, "ring_fd is 1000000");
	r = tenant_record();
	r.tenant.sock = HANDOVER_NONE;
	expect_wrong(&r, "sock");
	r = tenant_record();
	r.tail = "a name that is longer than a name can be";
	r.tail_bytes = strlen(r.tail);
	expect_wrong(&r, "more in it");
	r = agent_record(); /* a second one */
	expect_wrong(&r, "no record of type 1");
	r = (struct handover_record){
		.type = HANDOVER_BINDING,
		.binding.id = PROGRAM_MAX_BINDINGS,
	};
	expect_wrong(&r, "its id is 1024");
}

/* An older agent's record is shorter: what it did not know of is 0. */
static void test_older(void **state)
{
	struct {
		struct header header;
		struct record_head head;
		uint64_t words[5];
	} old = { .head = { .type = HANDOVER_AGENT, .nr_words = 5 } };
	struct handover_record r = agent_record();
	struct handover_in *in;
	size_t at = 0;
	int fd;

	memcpy(old.words, r.words, sizeof(old.words));
	old.header = (struct header){ HANDOVER_MAGIC, HANDOVER_VERSION,
				      sizeof(old) - sizeof(old.header), 0 };
	old.header.sum = sum_of(&old.head, old.header.bytes);
	fd = sealed(&old, sizeof(old), HANDOVER_SEALS);
	assert_int_equal(handover_open(fd, &in, why, sizeof(why)), 0);
	assert_true(handover_next(in, &at, &r));
	assert_true(r.agent.agent_id == 0x1122334455667788);
	assert_int_equal(r.agent.last_id, 0);
	handover_close(in);
	close(fd);
}

static void test_arguments(void **state)
{
	static const char *const argv[] = { "ooo-agent",  "--resume", "7", "--device", "cpu",
					    "--resume=9", "--resume", "8", NULL };
	char *to[9] = { 0 };

	assert_int_equal(copy_args(to, (char *const *)(uintptr_t)argv), 3);
	assert_string_equal(to[0], "ooo-agent");
	assert_string_equal(to[1], "--device");
	assert_string_equal(to[2], "cpu");
}

static void test_how_often(void **state)
{
	struct handover_faults f = { { 0 } };
	uint64_t s = 1000000000ull;

	assert_true(handover_fault(&f, 100 * s));
	assert_true(handover_fault(&f, 110 * s));
	assert_true(handover_fault(&f, 120 * s));
	assert_false(handover_fault(&f, 130 * s));
	assert_false(handover_fault(&f, 159 * s)); /* a refusal does not count */
	assert_true(handover_fault(&f, 160 * s));
	assert_false(handover_fault(&f, 169 * s));
	assert_true(handover_fault(&f, 171 * s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_damaged),    cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_older),      cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_how_often),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
