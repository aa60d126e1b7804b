/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting, the exchange of messages, and programs and bindings, against a fake agent. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "shared/client/internal.h"
#include "tests/unit/client/fake_agent.h"

static struct fake_agent *agent;

static int start(void **state)
{
	agent = fake_new();
	return 0;
}

static int stop(void **state)
{
	fake_free(agent);
	return 0;
}

static void expect_text(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" does not say \"%s\"", text, part);
}

/* Connect must fail, leave nothing open, and say why. */
static void expect_refusal(const struct ooo_options *opts, int want, const char *part)
{
	struct ooo_client *client = (void *)&agent;
	char text[512] = "";
	int before = fake_count_fds();

	assert_int_equal(ooo_connect(opts, &client, text, sizeof(text)), want);
	assert_null(client);
	expect_text(text, part);
	assert_true(fake_fds_settle(before));
	assert_int_equal(ooo_connect(opts, &client, NULL, 0), want);
}

static void test_options(void **state)
{
	struct ooo_options opts = OOO_OPTIONS_INIT;
	char path[200];

	opts.socket = agent->path;
	opts.size = 0;
	expect_refusal(&opts, -EINVAL, "OOO_OPTIONS_INIT");
	opts = (struct ooo_options)OOO_OPTIONS_INIT;
	opts.socket = agent->path;
	opts.name = "caf\xc3\xa9";
	expect_refusal(&opts, -EINVAL, "printable ASCII");
	opts.name = NULL;
	opts.sq_entries = OOO_RING_MAX_ENTRIES + 1;
	expect_refusal(&opts, -EINVAL, "4097 submissions");
	opts.sq_entries = 0;
	opts.arena_bytes = UINT64_MAX - 5;
	expect_refusal(&opts, -EINVAL, "arena");
	opts.arena_bytes = 0;
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	opts.socket = path;
	expect_refusal(&opts, -ENAMETOOLONG, "199 bytes");
	opts.socket = "";
	expect_refusal(&opts, -EINVAL, "0 bytes");
	opts.socket = "/nowhere/agent.sock";
	expect_refusal(&opts, -ENOENT, "no agent at /nowhere/agent.sock");
}

/* A caller of another release: shorter options are completed, longer ones refused if in use. */
static void test_options_size(void **state)
{
	struct {
		struct ooo_options opts;
		uint64_t future;
	} later = { OOO_OPTIONS_INIT, 0 };
	struct ooo_client *client;

	later.opts.socket = agent->path;
	later.opts.size = sizeof(later);
	assert_int_equal(ooo_connect(&later.opts, &client, NULL, 0), 0);
	ooo_disconnect(client);
	later.future = 1;
	expect_refusal(&later.opts, -EINVAL, "does not have");
	later.opts.size = offsetof(struct ooo_options, name);
	later.opts.name = (const char *)1; /* not looked at */
	assert_int_equal(ooo_connect(&later.opts, &client, NULL, 0), 0);
	assert_int_equal(client->spin_us, 20);
	ooo_disconnect(client);
}

static void test_defaults(void **state)
{
	struct ooo_client *client;
	char name[OOO_NAME_BYTES];

	setenv("OOO_RUNTIME_DIR", agent->dir, 1);
	assert_int_equal(ooo_connect(NULL, &client, NULL, 0), 0);
	assert_int_equal(client->link.sq_entries, 256);
	assert_int_equal(client->link.cq_entries, 512);
	assert_int_equal(client->arena.bytes, 64 << 20);
	snprintf(name, sizeof(name), "%.20s-%d", program_invocation_short_name, (int)getpid());
	assert_string_equal(agent->last_name, name);
	assert_string_equal(ooo_device(client), "fake");
	assert_int_equal(ooo_tenant_id(client), 7);
	assert_string_equal(ooo_error(client), "");
	assert_int_equal(ooo_inflight(client), 0);
	ooo_disconnect(client);
	ooo_disconnect(NULL);
	unsetenv("OOO_RUNTIME_DIR");
}

/* A user's own agent is found where there is none of the machine's. */
static void test_own_agent(void **state)
{
	struct ooo_client *client;
	char link[80];

	if (!access("/run/ooo/agent.sock", F_OK))
		skip();
	unsetenv("OOO_RUNTIME_DIR");
	setenv("XDG_RUNTIME_DIR", agent->dir, 1);
	expect_refusal(NULL, -ENOENT, "no agent at /run/ooo/agent.sock");
	snprintf(link, sizeof(link), "%s/ooo", agent->dir);
	assert_int_equal(symlink(".", link), 0);
	assert_int_equal(ooo_connect(NULL, &client, NULL, 0), 0);
	ooo_disconnect(client);
	unlink(link);
	unsetenv("XDG_RUNTIME_DIR");
}

static void test_rounding(void **state)
{
	struct ooo_client *client = fake_connect(agent, 100, 5000);

	assert_int_equal(client->link.sq_entries, 128);
	assert_int_equal(client->arena.bytes, 8192);
	ooo_disconnect(client);
	client = fake_connect(agent, 1, 1);
	assert_int_equal(client->link.sq_entries, OOO_RING_MIN_ENTRIES);
	ooo_disconnect(client);
}

static void test_no_agent(void **state)
{
	struct ooo_options opts = OOO_OPTIONS_INIT;

	opts.socket = agent->path;
	fake_kill(agent); /* the socket's file stays */
	expect_refusal(&opts, -ECONNREFUSED, "no agent at");
	fake_start(agent);
}

static void test_hello_faults(void **state)
{
	static const struct {
		uint32_t fault, status;
		int rc;
		const char *part;
	} cases[] = {
		{ FAULT_SILENT, 0, -ETIMEDOUT, "within 50 ms" },
		{ FAULT_LATE, 0, -ETIMEDOUT, "within 50 ms" },
		{ FAULT_VERSION, 0, -EPROTO, "protocol version 2, this library version 1" },
		{ FAULT_MAGIC, 0, -EPROTO, "not an agent" },
		{ FAULT_TYPE, 0, -EPROTO, "malformed" },
		{ FAULT_SHORT, 0, -EPROTO, "malformed" },
		{ FAULT_HANG_UP, 0, -ECONNRESET, "closed the connection" },
		{ FAULT_NO_FDS, 0, -EPROTO, "0 descriptors instead of 4" },
		{ FAULT_STRAY_FDS, 0, -EPROTO, "2 descriptors instead of 4" },
		{ FAULT_BIG_RING, 0, -EPROTO, "the ring's memory" },
		{ FAULT_NONE, OOO_DENIED, -EACCES, "the door is closed" },
		{ FAULT_NONE, OOO_QUOTA, -EDQUOT, "the door is closed" },
		{ FAULT_NONE, OOO_VERSION, -EPROTO, "the door is closed" },
		{ FAULT_NONE, OOO_DRAINING, -ECONNREFUSED, "the door is closed" },
		{ FAULT_PLAIN_DONE, OOO_NO_MEMORY, -ENOMEM, "plainly refused" },
	};
	struct ooo_options opts = OOO_OPTIONS_INIT;

	opts.socket = agent->path;
	opts.timeout_ms = 50;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ooo_client *client;
		char text[512] = "";
		int before = fake_count_fds();

		fake_put(&agent->fault, cases[i].fault);
		fake_put(&agent->refuse, cases[i].status);
		if (ooo_connect(&opts, &client, text, sizeof(text)) != cases[i].rc)
			fail_msg("case %zu: not %d but \"%s\"", i, cases[i].rc, text);
		assert_null(client);
		expect_text(text, cases[i].part);
		assert_true(fake_fds_settle(before));
	}
}

static void test_program(void **state)
{
	struct ooo_client *client = fake_connect(agent, 8, 1 << 20);
	struct ooo_builder *b = ooo_builder_new("two");
	struct ooo_program_opts opts = { .size = sizeof(opts), .precision = OOO_BF16 };
	int64_t dims[OOO_MAX_RANK];
	struct ooo_program_info info;
	struct ooo_program *program;
	enum ooo_dtype dtype;
	int rank;

	ooo_input(b, OOO_FP32, 2, (int64_t[]){ 2, 3 });
	ooo_input(b, OOO_INT64, 1, (int64_t[]){ 5 });
	assert_int_equal(ooo_output(b, 1) | ooo_output(b, 0), 0);
	assert_int_equal(ooo_load(client, b, &opts, &program), 0);
	ooo_builder_free(b);
	assert_int_equal(fake_get(&agent->last_precision), OOO_BF16);
	ooo_program_info(program, &info);
	assert_int_equal(info.nr_inputs * 10 + info.nr_outputs, 22);
	assert_int_equal(info.nr_ops * 10 + info.slots, 24);
	assert_int_equal(ooo_input_bytes(program, 0), 24);
	assert_int_equal(ooo_input_bytes(program, 1), 40);
	assert_int_equal(ooo_output_bytes(program, 0), 40);
	assert_int_equal(ooo_output_bytes(program, 1), 24);
	assert_int_equal(ooo_output_bytes(program, 2) + ooo_input_bytes(program, -1), 0);
	assert_int_equal(ooo_output_desc(program, 1, &dtype, &rank, dims), 0);
	assert_int_equal(dtype * 100 + rank * 10 + dims[1], OOO_FP32 * 100 + 23);
	assert_int_equal(ooo_input_desc(program, 2, &dtype, &rank, dims), -EINVAL);
	assert_int_equal(ooo_unload(program), 0);
	assert_int_equal(fake_get(&agent->nr_unload), 1);
	ooo_disconnect(client);
}

static void test_load_refused(void **state)
{
	struct ooo_client *client = fake_connect(agent, 8, 1 << 20);
	struct ooo_program_opts opts = { .size = 1 };
	struct ooo_builder *b = ooo_builder_new("empty");
	struct ooo_program *program = (void *)client;
	struct ooo_stats stats;
	int before;

	assert_int_equal(ooo_stats(client, &stats), 0); /* the agent is done with HELLO */
	before = fake_count_fds();
	assert_int_equal(ooo_load(client, b, &opts, &program), -EINVAL);
	expect_text(ooo_error(client), "ooo_program_opts.size is 1");
	assert_null(program);
	assert_int_equal(ooo_load(client, b, NULL, &program), -EINVAL);
	expect_text(ooo_error(client), "load program 'empty': it has no output");
	opts = (struct ooo_program_opts){ .size = sizeof(opts), .precision = OOO_DTYPE_LIMIT };
	assert_int_equal(ooo_load(client, b, &opts, &program), -EINVAL);
	expect_text(ooo_error(client), "precision is 11, which is none of");
	ooo_builder_free(b);
	fake_put(&agent->refuse, OOO_BAD_PROGRAM);
	assert_null(fake_relu(client, 4));
	assert_string_equal(ooo_error(client), "load program 'relu': step 3 is beyond me");
	fake_put(&agent->refuse, OOO_QUOTA);
	assert_null(fake_relu(client, 4));
	assert_int_equal(ooo_stats(client, &stats), 0);
	assert_true(fake_fds_settle(before));
	assert_non_null(fake_relu(client, 4)); /* a refusal leaves the connection as it was */
	ooo_disconnect(client);
}

static void test_bind(void **state)
{
	struct ooo_client *client = fake_connect(agent, 8, 4096);
	struct ooo_program *program = fake_relu(client, 100); /* 400 bytes: 2 x 448 a binding */
	struct ooo_binding *b[5];

	for (int i = 0; i < 4; i++) {
		assert_int_equal(ooo_bind(program, &b[i]), 0);
		assert_int_equal((uintptr_t)ooo_binding_input(b[i], 0) % 64, 0);
		assert_int_equal((uintptr_t)ooo_binding_output(b[i], 0) % 64, 0);
		memset(ooo_binding_input(b[i], 0), 2 * i, 400);
		memset(ooo_binding_output(b[i], 0), 2 * i + 1, 400);
	}
	for (int i = 0; i < 4; i++) { /* nobody's buffers overlap */
		assert_int_equal(((char *)ooo_binding_input(b[i], 0))[399], 2 * i);
		assert_int_equal(((char *)ooo_binding_output(b[i], 0))[0], 2 * i + 1);
	}
	assert_null(ooo_binding_input(b[0], 1));
	assert_null(ooo_binding_output(b[0], -1));
	assert_int_equal(ooo_bind(program, &b[4]), -ENOSPC);
	expect_text(ooo_error(client), "takes 896 bytes");
	assert_null(b[4]);
	assert_int_equal(ooo_unbind(b[1]), 0);
	fake_put(&agent->refuse, OOO_NO_PROGRAM);
	assert_int_equal(ooo_bind(program, &b[4]), -ENOENT); /* its space comes back */
	assert_int_equal(ooo_bind(program, &b[4]), 0);
	assert_int_equal(fake_get(&agent->nr_unbind), 1);
	ooo_disconnect(client);
}

static void test_stats_and_lateness(void **state)
{
	struct ooo_client *client = fake_connect(agent, 8, 4096);
	struct ooo_program *program;
	struct ooo_binding *binding;
	struct ooo_stats stats;

	assert_int_equal(ooo_stats(client, &stats), 0);
	assert_int_equal(stats.bundles, 3);
	client->opts.timeout_ms = 50;
	fake_put(&agent->fault, FAULT_LATE);
	assert_int_equal(ooo_stats(client, &stats), -ETIMEDOUT);
	expect_text(ooo_error(client), "statistics: no answer");
	client->opts.timeout_ms = 5000;
	/* The late reply is not taken for the next one's. */
	program = fake_relu(client, 4);
	assert_non_null(program);
	assert_int_equal(ooo_bind(program, &binding), 0);
	fake_put(&agent->refuse, OOO_UNSUPPORTED);
	assert_int_equal(ooo_stats(client, &stats), -EOPNOTSUPP);
	ooo_disconnect(client);
}

/* An agent that is just behind says BUSY; one that lost the object says so; both are no errors. */
static void test_unload_tries_again(void **state)
{
	struct ooo_client *client = fake_connect(agent, 8, 1 << 20);
	struct ooo_program *program = fake_relu(client, 4);
	struct ooo_binding *binding;

	assert_int_equal(ooo_bind(program, &binding), 0);
	fake_put(&agent->refuse, OOO_BUSY);
	assert_int_equal(ooo_unbind(binding), 0);
	assert_int_equal(ooo_bind(program, &binding), 0);
	fake_put(&agent->refuse, OOO_NO_PROGRAM);
	assert_int_equal(ooo_unload(program), 0); /* with its binding */
	assert_null(client->programs);
	assert_int_equal(client_arena_room(&client->arena), 1 << 20);
	ooo_disconnect(client);
}

static void test_nonsense_ends_the_connection(void **state)
{
	struct ooo_client *client = fake_connect(agent, 8, 1 << 20);
	struct ooo_program *program = fake_relu(client, 4);
	struct ooo_binding *binding;
	struct ooo_stats stats;

	assert_int_equal(ooo_bind(program, &binding), 0);
	fake_put(&agent->fault, FAULT_SHORT);
	assert_int_equal(ooo_stats(client, &stats), -EPROTO);
	assert_int_equal(ooo_submit(binding, 0, 1), -ECONNRESET);
	assert_int_equal(ooo_stats(client, &stats), -ECONNRESET);
	assert_int_equal(ooo_reconnect(client), 0);
	assert_int_equal(ooo_stats(client, &stats), 0);
	fake_put(&agent->fault, FAULT_STRAY_FDS);
	assert_int_equal(ooo_stats(client, &stats), -EPROTO);
	ooo_disconnect(client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_options),
		TEST(test_options_size),
		TEST(test_defaults),
		TEST(test_own_agent),
		TEST(test_rounding),
		TEST(test_no_agent),
		TEST(test_hello_faults),
		TEST(test_program),
		TEST(test_load_refused),
		TEST(test_bind),
		TEST(test_stats_and_lateness),
		TEST(test_unload_tries_again),
		TEST(test_nonsense_ends_the_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
