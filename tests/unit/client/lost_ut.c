/* SPDX-License-Identifier: Apache-2.0 */
/* The agent dies, or drops this tenant; the client notices, reports, and reconnects. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "shared/client/internal.h"
#include "tests/unit/client/fake_agent.h"

#define N 16

static struct fake_agent *agent;
static struct ooo_client *client;
static struct ooo_program *program;
static struct ooo_binding *binding;

static int start(void **state)
{
	agent = fake_new();
	client = fake_connect(agent, 16, 1 << 20);
	program = fake_relu(client, N);
	return !program || ooo_bind(program, &binding);
}

static int stop(void **state)
{
	ooo_disconnect(client);
	fake_free(agent);
	return 0;
}

static void wait_taken(uint32_t n)
{
	for (int i = 0; i < 10000 && fake_get(&agent->nr_taken) < n; i++)
		usleep(1000);
	assert_true(fake_get(&agent->nr_taken) >= n);
}

/* n requests that the agent has, and does not complete. */
static void hold(uint64_t n)
{
	uint32_t taken = fake_get(&agent->nr_taken);

	fake_put(&agent->hold, 1);
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(ooo_submit(binding, 0, i), 0);
	wait_taken(taken + (uint32_t)n);
}

static void check_works(void)
{
	struct ooo_completion done;
	char *in = ooo_binding_input(binding, 0), *out = ooo_binding_output(binding, 0);

	fake_set(agent, &agent->hold, 0);
	in[3]++;
	assert_int_equal(ooo_submit(binding, 0, 42), 0);
	assert_int_equal(ooo_wait(client, &done, 1, INT64_C(10000000000)), 1);
	assert_int_equal(done.cookie, 42);
	assert_int_equal(done.status, OOO_OK);
	assert_int_equal(out[3], (char)(in[3] + 1));
}

/* What completed before the end is reported as it was, the rest as lost, each once. */
static void test_each_once(void **state)
{
	struct ooo_completion done[16];
	int ok = 0, lost = 0, n;
	uint32_t seen = 0;

	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(ooo_submit(binding, 0, i), 0);
	wait_taken(5);
	hold(0);
	for (uint64_t i = 5; i < 12; i++)
		assert_int_equal(ooo_submit(binding, 0, i), 0);
	wait_taken(12);
	fake_kill(agent);
	while ((n = ooo_wait(client, done, 3, -1)) > 0) {
		assert_true(n <= 3);
		for (int i = 0; i < n; i++) {
			assert_int_equal(seen >> done[i].cookie & 1, 0);
			seen |= 1u << done[i].cookie;
			assert_int_equal(done[i].status,
					 done[i].cookie < 5 ? OOO_OK : OOO_AGENT_GONE);
			assert_true(done[i].submit_ns);
			ok += done[i].status == OOO_OK;
			lost += done[i].status == OOO_AGENT_GONE;
		}
	}
	assert_int_equal(n, -ENOENT);
	assert_int_equal(ok * 100 + lost, 507);
	assert_int_equal(ooo_inflight(client), 0);
	assert_int_equal(ooo_poll(client, done, 16), 0);
	assert_int_equal(ooo_submit(binding, 0, 1), -ECONNRESET);
	assert_int_equal(ooo_cancel(client, 1), -ECONNRESET);
	assert_int_equal(ooo_arm(client), -ECONNRESET);
	assert_non_null(strstr(ooo_error(client), "went away"));
	fake_start(agent);
}

/* A caller who only ever polls learns of it within 100 ms. */
static void test_poll_only(void **state)
{
	struct ooo_completion done[16];
	uint64_t killed;
	int got = 0;

	hold(4);
	assert_int_equal(ooo_poll(client, done, 16), 0);
	fake_kill(agent);
	killed = ooo_now_ns();
	while (got < 4) {
		got += ooo_poll(client, done, 16);
		assert_true(ooo_now_ns() - killed < UINT64_C(2000000000));
	}
	assert_int_equal(done[0].status, OOO_AGENT_GONE);
	fake_start(agent);
}

static void *killer(void *arg)
{
	usleep(30000);
	fake_kill(agent);
	return arg;
}

static void test_sleeping_wait(void **state)
{
	struct ooo_completion done[16];
	pthread_t thread;

	client->spin_us = 0;
	hold(3);
	pthread_create(&thread, NULL, killer, NULL);
	assert_int_equal(ooo_wait(client, done, 16, -1), 3);
	assert_int_equal(done[2].status, OOO_AGENT_GONE);
	pthread_join(thread, NULL);
	fake_start(agent);
}

static void test_spinning_wait(void **state)
{
	struct ooo_completion done[16];
	pthread_t thread;

	client->spin_us = 60000000;
	hold(3);
	pthread_create(&thread, NULL, killer, NULL);
	assert_int_equal(ooo_wait(client, done, 16, -1), 3);
	assert_int_equal(done[2].status, OOO_AGENT_GONE);
	pthread_join(thread, NULL);
	fake_start(agent);
}

static void test_load_while_it_dies(void **state)
{
	pthread_t thread;

	fake_put(&agent->fault, FAULT_SILENT); /* a compile that takes for ever */
	pthread_create(&thread, NULL, killer, NULL);
	assert_null(fake_relu(client, 4));
	assert_non_null(strstr(ooo_error(client), "load program 'relu': the agent closed"));
	pthread_join(thread, NULL);
	assert_int_equal(ooo_submit(binding, 0, 1), -ECONNRESET);
	assert_int_equal(ooo_unbind(binding), 0); /* nobody to tell */
	assert_int_equal(ooo_unload(program), 0);
	fake_start(agent);
}

static void test_dropped(void **state)
{
	struct ooo_completion done[16];

	hold(3);
	fake_set(agent, &agent->drop_reason, OOO_BAD_SLOT);
	assert_int_equal(ooo_wait(client, done, 16, -1), 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(done[i].status, OOO_DROPPED);
	assert_non_null(strstr(ooo_error(client), "dropped this tenant"));
	assert_non_null(strstr(ooo_error(client), "malformed"));
	assert_int_equal(ooo_submit(binding, 0, 1), -ECONNRESET);
	assert_int_equal(ooo_reconnect(client), 0);
	check_works();
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, timeout_ms) > 0;
}

static void test_eventfd_hang_up(void **state)
{
	struct ooo_completion done[16];
	int fd = ooo_eventfd(client);

	hold(2);
	assert_int_equal(ooo_arm(client), 0);
	assert_false(readable(fd, 0));
	fake_kill(agent);
	assert_true(readable(fd, 10000));
	assert_int_equal(ooo_poll(client, done, 1), 1); /* at once: it was armed */
	assert_int_equal(ooo_arm(client), 1);
	assert_int_equal(ooo_poll(client, done, 16), 1);
	assert_int_equal(ooo_arm(client), -ECONNRESET);
	fake_start(agent);
	assert_int_equal(ooo_reconnect(client), 0);
	assert_int_equal(ooo_eventfd(client), fd);
	assert_false(readable(fd, 0));
	assert_int_equal(ooo_arm(client), 0);
	assert_int_equal(ooo_submit(binding, 0, 1), 0);
	assert_false(readable(fd, 10));
	fake_set(agent, &agent->hold, 0);
	assert_true(readable(fd, 10000));
	assert_int_equal(ooo_poll(client, done, 16), 1);
}

/* Pointers, contents and places stay, whatever ids the agent gives now. */
static void test_reconnect(void **state)
{
	struct ooo_completion done[16];
	struct ooo_program *other = fake_relu(client, 1000);
	struct ooo_binding *b2, *b3;
	char *in = ooo_binding_input(binding, 0), *in3;
	uint64_t off;
	int fds;

	assert_int_equal(ooo_bind(other, &b2), 0);
	assert_int_equal(ooo_bind(other, &b3), 0);
	assert_int_equal(ooo_unbind(b2), 0); /* leaves a hole */
	in3 = ooo_binding_input(b3, 0);
	off = b3->off;
	memset(in, 3, 4 * N);
	memset(in3, 5, 4000);
	check_works();
	fds = fake_count_fds();
	for (int round = 0; round < 3; round++) {
		hold(4);
		fake_kill(agent);
		fake_start(agent);
		assert_int_equal(ooo_wait(client, done, 2, -1), 2);
		assert_int_equal(ooo_reconnect(client), -EBUSY);
		assert_non_null(strstr(ooo_error(client), "2 completions are unread"));
		assert_int_equal(ooo_wait(client, done, 16, -1), 2);
		assert_int_equal(ooo_reconnect(client), 0);
		assert_string_equal(ooo_error(client), "");
		assert_int_equal(ooo_reconnect(client), 0); /* nothing to do */
		assert_ptr_equal(ooo_binding_input(binding, 0), in);
		assert_ptr_equal(ooo_binding_input(b3, 0), in3);
		assert_int_equal(b3->off, off);
		for (int i = 0; i < 4000; i++)
			assert_int_equal(in3[i], 5);
		check_works();
		assert_int_equal(ooo_submit(b3, 0, 7), 0);
		assert_int_equal(ooo_wait(client, done, 1, -1), 1);
		assert_int_equal(((char *)ooo_binding_output(b3, 0))[3999], 6);
		assert_true(fake_fds_settle(fds));
	}
	assert_int_equal(fake_get(&agent->nr_load), 2 + 3 * 2);
	assert_int_equal(ooo_bind(other, &b2), 0); /* the hole is still free */
	assert_true(b2->off < off);
	assert_int_equal(ooo_unload(other), 0);
}

static void test_reconnect_fails(void **state)
{
	struct ooo_completion done[16];
	char *in = ooo_binding_input(binding, 0);

	memset(in, 9, 4 * N);
	hold(1);
	fake_kill(agent);
	assert_int_equal(ooo_wait(client, done, 16, -1), 1);
	assert_int_equal(ooo_reconnect(client), -ECONNREFUSED);
	unlink(agent->path);
	assert_int_equal(ooo_reconnect(client), -ENOENT);
	assert_non_null(strstr(ooo_error(client), "reconnect: no agent at"));
	fake_start(agent);
	fake_put(&agent->refuse, OOO_DRAINING);
	assert_int_equal(ooo_reconnect(client), -ECONNREFUSED);
	assert_int_equal(in[5], 9);
	for (int i = 0; i < 20; i++) { /* refused or cut off at HELLO, LOAD and BIND */
		int before = fake_count_fds();

		client->opts.timeout_ms = 100;
		fake_put(&agent->fault, i % 2 ? FAULT_SHORT : FAULT_HANG_UP);
		assert_true(ooo_reconnect(client) < 0);
		assert_true(fake_fds_settle(before));
		assert_int_equal(ooo_submit(binding, 0, 1), -ECONNRESET);
	}
	client->opts.timeout_ms = 5000;
	assert_int_equal(ooo_reconnect(client), 0);
	assert_int_equal(in[5], 9);
	check_works();
}

/* A program that the new agent refuses: said so, and everything can be tried again. */
static void test_reconnect_refused(void **state)
{
	struct ooo_completion done[16];
	struct link fresh;
	char why[256];

	hold(1);
	fake_kill(agent);
	fake_start(agent);
	assert_int_equal(ooo_wait(client, done, 16, -1), 1);
	assert_int_equal(client_link_open(&fresh, &client->opts, why, sizeof(why)), 0);
	fake_put(&agent->refuse, OOO_BAD_PROGRAM);
	assert_int_equal(client_send_load(client, &fresh, program), -EINVAL);
	assert_string_equal(ooo_error(client), "load program 'relu': step 3 is beyond me");
	client_link_close(&fresh);
	assert_int_equal(ooo_reconnect(client), 0);
	check_works();
}

/* Threads that submit all the time while the agent dies: none is left without a completion. */
static uint32_t nr_accepted;

static void *submit_until_reset(void *arg)
{
	int rc;

	do {
		rc = ooo_submit(binding, 0, 1);
		if (rc == 0)
			__atomic_fetch_add(&nr_accepted, 1, __ATOMIC_RELAXED);
		else if (rc == -EAGAIN)
			sched_yield();
	} while (rc != -ECONNRESET);
	return arg;
}

static void test_submitters_while_it_dies(void **state)
{
	struct ooo_completion done[16];
	pthread_t threads[3], kill_thread;
	uint32_t got = 0;

	nr_accepted = 0;
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, submit_until_reset, NULL);
	pthread_create(&kill_thread, NULL, killer, NULL);
	while (!client_is_gone(client)) {
		int n = ooo_poll(client, done, 16);

		got += (uint32_t)n;
		if (!n)
			sched_yield();
	}
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	pthread_join(kill_thread, NULL);
	for (int n; (n = ooo_poll(client, done, 16)) > 0;)
		got += (uint32_t)n;
	assert_int_equal(got, nr_accepted);
	assert_int_equal(ooo_inflight(client), 0);
	assert_int_equal(client_binding_inflight(binding), 0);
	fake_start(agent);
	assert_int_equal(ooo_reconnect(client), 0);
	check_works();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_each_once),
		TEST(test_poll_only),
		TEST(test_sleeping_wait),
		TEST(test_spinning_wait),
		TEST(test_load_while_it_dies),
		TEST(test_dropped),
		TEST(test_eventfd_hang_up),
		TEST(test_reconnect),
		TEST(test_reconnect_fails),
		TEST(test_reconnect_refused),
		TEST(test_submitters_while_it_dies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
