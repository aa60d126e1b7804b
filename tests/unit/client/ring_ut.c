/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: submit, poll, wait, arm, cancel, against a fake agent that works. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <sys/time.h>

#include "shared/client/internal.h"
#include "tests/unit/client/fake_agent.h"

#define N 16 /* floats of the buffers */

static struct fake_agent *agent;
static struct ooo_client *client;
static struct ooo_program *program;

static int start(void **state)
{
	agent = fake_new();
	client = fake_connect(agent, 8, 1 << 20);
	program = fake_relu(client, N);
	return !program;
}

static int stop(void **state)
{
	ooo_disconnect(client);
	fake_free(agent);
	return 0;
}

static struct ooo_binding *bound(void)
{
	struct ooo_binding *binding;

	assert_int_equal(ooo_bind(program, &binding), 0);
	return binding;
}

/* Poll until n have come, at most 10 s. */
static void reap(struct ooo_completion *done, int n)
{
	uint64_t end = ooo_now_ns() + UINT64_C(10000000000);
	int got = 0;

	while (got < n && ooo_now_ns() < end) {
		got += ooo_poll(client, done + got, n - got);
		if (got < n)
			sched_yield();
	}
	assert_int_equal(got, n);
}

static void wait_until(const uint32_t *word, uint32_t least)
{
	for (int i = 0; i < 10000 && fake_get(word) < least; i++)
		usleep(1000);
	assert_true(fake_get(word) >= least);
}

static void test_one(void **state)
{
	struct ooo_binding *binding = bound();
	struct ooo_completion done;
	char *in = ooo_binding_input(binding, 0), *out = ooo_binding_output(binding, 0);
	uint64_t before = ooo_now_ns();

	for (int i = 0; i < 4 * N; i++)
		in[i] = (char)i;
	assert_int_equal(ooo_submit(binding, 0, 0xfeedfacecafebeef), 0);
	assert_int_equal(ooo_inflight(client), 1);
	assert_int_equal(ooo_wait(client, &done, 1, -1), 1);
	assert_int_equal(ooo_inflight(client), 0);
	assert_true(done.cookie == 0xfeedfacecafebeef);
	assert_int_equal(done.status, OOO_OK);
	assert_true(done.width == 1.5f);
	assert_true(done.submit_ns >= before && done.submit_ns <= ooo_now_ns());
	assert_int_equal(done.fetch_ns * 100 + done.start_ns * 10 + done.finish_ns, 123);
	for (int i = 0; i < 4 * N; i++)
		assert_int_equal(out[i], (char)(i + 1));
}

static void test_queue_full(void **state)
{
	struct ooo_binding *binding = bound();
	struct ooo_completion done[16];

	fake_put(&agent->hold, 1);
	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(ooo_submit(binding, 0, i), 0);
	assert_int_equal(ooo_submit(binding, 0, 8), -EAGAIN);
	wait_until(&agent->nr_taken, 8);
	assert_int_equal(ooo_submit(binding, 0, 8), -EAGAIN); /* fetched is not finished */
	assert_int_equal(ooo_inflight(client), 8);
	assert_int_equal(ooo_unbind(binding), -EBUSY);
	assert_int_equal(ooo_unload(program), -EBUSY);
	fake_set(agent, &agent->hold, 0);
	reap(done, 3);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(ooo_submit(binding, 0, 100 + i), 0);
	assert_int_equal(ooo_submit(binding, 0, 8), -EAGAIN);
	reap(done, 8);
	assert_int_equal(ooo_inflight(client), 0);
	assert_int_equal(ooo_poll(client, done, 16), 0);
	assert_int_equal(ooo_unbind(binding), 0);
}

static void test_wrap_around(void **state)
{
	struct ooo_binding *binding = bound();
	uint64_t sent = 0, seen = 0;

	while (seen < 20000) {
		struct ooo_completion done[5];
		int n;

		while (sent < 20000 && ooo_submit(binding, 0, sent) == 0)
			sent++;
		n = ooo_poll(client, done, 5);
		for (int i = 0; i < n; i++) /* this agent keeps the order */
			assert_int_equal(done[i].cookie, seen++);
	}
	assert_int_equal(ooo_inflight(client), 0);
	assert_int_equal(fake_get(&agent->nr_taken), 20000);
}

#define NR_THREADS 4
#define PER_THREAD 2000

static void *submitter(void *arg)
{
	struct ooo_binding *binding = ((void **)arg)[0];
	uint64_t first = (uint64_t)(uintptr_t)((void **)arg)[1];

	for (uint64_t i = 0; i < PER_THREAD; i++)
		while (ooo_submit(binding, 0, first + i) == -EAGAIN)
			sched_yield();
	return NULL;
}

static void test_many_submitters(void **state)
{
	static uint8_t seen[NR_THREADS * PER_THREAD];
	pthread_t threads[NR_THREADS];
	void *args[NR_THREADS][2];
	struct ooo_completion done[8];
	int got = 0;

	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < NR_THREADS; i++) {
		args[i][0] = bound();
		args[i][1] = (void *)(uintptr_t)(i * PER_THREAD);
		assert_int_equal(pthread_create(&threads[i], NULL, submitter, args[i]), 0);
	}
	while (got < NR_THREADS * PER_THREAD) {
		int n = ooo_wait(client, done, 8, INT64_C(1000000000));

		assert_true(n > 0 || n == -ENOENT); /* nothing in flight just now */
		for (int i = 0; i < n; i++, got++) {
			assert_int_equal(done[i].status, OOO_OK);
			assert_int_equal(seen[done[i].cookie]++, 0);
		}
	}
	for (int i = 0; i < NR_THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(ooo_unbind(args[i][0]), 0);
	}
	assert_int_equal(ooo_inflight(client), 0);
}

static void test_cancel(void **state)
{
	struct ooo_binding *binding = bound();
	struct ooo_completion done[8];

	fake_put(&agent->hold, 1);
	for (uint64_t i = 0; i < 6; i++)
		assert_int_equal(ooo_submit(binding, 0, i % 3), 0);
	wait_until(&agent->nr_taken, 6);
	assert_int_equal(ooo_cancel(client, 1), 0);
	assert_int_equal(ooo_cancel(client, 1), 0); /* again: not sent twice */
	assert_int_equal(ooo_cancel(client, 77), 0);
	reap(done, 2); /* the cancels' own completions do not show */
	assert_int_equal(fake_get(&agent->nr_taken), 8);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(done[i].cookie, 1);
		assert_int_equal(done[i].status, OOO_CANCELLED);
	}
	assert_int_equal(ooo_inflight(client), 4);
	fake_set(agent, &agent->hold, 0);
	reap(done, 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(done[i].status, OOO_OK);
	assert_int_equal(ooo_cancel(client, 0), 0); /* completed long ago */
	assert_int_equal(fake_get(&agent->nr_taken), 8);
}

/* Every slot holds a request, and each is cancelled: completions have room for both kinds. */
static void test_cancel_all(void **state)
{
	struct ooo_binding *binding = bound();
	struct ooo_completion done[8];

	for (int round = 0; round < 100; round++) {
		fake_put(&agent->hold, 1);
		for (uint64_t i = 0; i < 8; i++)
			assert_int_equal(ooo_submit(binding, 0, 5), 0);
		int got = 0;

		while (ooo_cancel(client, 5) == -EAGAIN)
			got += ooo_poll(client, done + got, 8 - got);
		reap(done + got, 8 - got);
		for (int i = 0; i < 8; i++)
			assert_int_equal(done[i].status, OOO_CANCELLED);
		fake_put(&agent->hold, 0);
	}
	assert_int_equal(fake_get(&agent->nr_taken), 1600);
}

/* A cancel needs a slot of the queue, and does not take one that is not there. */
static void test_cancel_queue_full(void **state)
{
	struct ooo_binding *binding = bound();
	struct ooo_completion done[8];

	fake_put(&agent->stall, 1);
	fake_put(&agent->hold, 1);
	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(ooo_submit(binding, 0, i), 0);
	assert_int_equal(ooo_cancel(client, 3), -EAGAIN);
	fake_set(agent, &agent->stall, 0);
	wait_until(&agent->nr_taken, 8);
	assert_int_equal(ooo_cancel(client, 3), 0);
	fake_set(agent, &agent->hold, 0);
	reap(done, 8);
}

static void test_no_cancel_feature(void **state)
{
	client->link.features = 0;
	assert_int_equal(ooo_cancel(client, 1), -EOPNOTSUPP);
}

/* Completions that nobody waits for, or twice, change nothing. */
static void test_stray_completions(void **state)
{
	struct ooo_binding *binding = bound();
	struct ooo_completion done[8];

	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(ooo_submit(binding, 0, i), 0);
	reap(done, 8); /* every entry has been used: its old cookie means something */
	fake_put(&agent->hold, 1);
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(ooo_submit(binding, 0, i), 0);
	wait_until(&agent->nr_taken, 12);
	fake_set(agent, &agent->stray_completions, 8);
	while (fake_get(&agent->stray_completions))
		sched_yield();
	usleep(10000);
	assert_int_equal(ooo_poll(client, done, 8), 0);
	assert_int_equal(ooo_inflight(client), 4);
	fake_set(agent, &agent->hold, 0);
	reap(done, 4);
	assert_int_equal(ooo_inflight(client), 0);
}

/* An index that no agent would write: not trusted, the client is gone rather than stuck. */
static void test_mad_index(void **state)
{
	struct ooo_binding *binding = bound();
	struct ooo_completion done[8];

	fake_put(&agent->stall, 1);
	assert_int_equal(ooo_submit(binding, 0, 9), 0);
	ring_store_release(&client->link.ring->cq_tail, 0x80000000u);
	reap(done, 1);
	assert_int_equal(done[0].cookie, 9);
	assert_int_equal(done[0].status, OOO_AGENT_GONE);
	assert_int_equal(ooo_submit(binding, 0, 9), -ECONNRESET);
}

static void on_alarm(int sig)
{
	(void)sig;
}

static void test_wait(void **state)
{
	struct ooo_binding *binding = bound();
	struct ooo_completion done[8];
	struct sigaction act = { .sa_handler = on_alarm }, old;
	struct itimerval timer = { .it_value.tv_usec = 20000 };
	uint64_t before;

	assert_int_equal(ooo_wait(client, done, 8, -1), -ENOENT);
	assert_int_equal(ooo_wait(client, done, 0, -1), -EINVAL);
	assert_int_equal(ooo_poll(client, done, 0), 0);
	fake_put(&agent->hold, 1);
	assert_int_equal(ooo_submit(binding, 0, 1), 0);
	assert_int_equal(ooo_wait(client, done, 8, 0), 0);
	before = ooo_now_ns();
	assert_int_equal(ooo_wait(client, done, 8, 5000000), 0);
	assert_true(ooo_now_ns() - before >= 5000000);
	sigaction(SIGALRM, &act, &old);
	setitimer(ITIMER_REAL, &timer, NULL);
	assert_int_equal(ooo_wait(client, done, 8, -1), -EINTR);
	sigaction(SIGALRM, &old, NULL);
	fake_set(agent, &agent->hold, 0);
	assert_int_equal(ooo_wait(client, done, 8, -1), 1);
	assert_int_equal(client->link.ring->tenant_flags, 0);
}

static void *let_go(void *arg)
{
	usleep(30000);
	fake_set(agent, &agent->hold, 0);
	return arg;
}

/* Both ends sleep, and wake each other. */
static void test_sleep_and_wake(void **state)
{
	struct ooo_binding *binding = bound();
	struct ooo_completion done[8];
	pthread_t thread;

	client->spin_us = 0;
	for (uint32_t i = 0; i < 5; i++) {
		fake_put(&agent->hold, 1);
		wait_until(&agent->nr_sleeps, i + 1);
		assert_int_equal(ooo_submit(binding, 0, i), 0);
		pthread_create(&thread, NULL, let_go, NULL);
		assert_int_equal(ooo_wait(client, done, 8, -1), 1);
		assert_int_equal(done[0].cookie, i);
		pthread_join(thread, NULL);
		assert_true(fake_get(&agent->nr_wakeups) > i);
	}
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, timeout_ms) > 0;
}

static void test_eventfd(void **state)
{
	struct ooo_binding *binding = bound();
	struct ooo_completion done[8];
	int fd = ooo_eventfd(client);

	assert_false(readable(fd, 0));
	for (int i = 0; i < 3; i++) {
		fake_put(&agent->hold, 1);
		assert_int_equal(ooo_submit(binding, 0, 1), 0);
		assert_int_equal(ooo_arm(client), 0);
		assert_false(readable(fd, 10));
		fake_set(agent, &agent->hold, 0);
		assert_true(readable(fd, 10000));
		assert_int_equal(ooo_arm(client), 1);
		assert_int_equal(ooo_poll(client, done, 8), 1);
		assert_false(readable(fd, 0)); /* drained */
		assert_int_equal(ooo_arm(client), 0);
		assert_int_equal(ooo_poll(client, done, 8), 0);
	}
	/* Not armed: no wake-up, and no system call for it in the agent. */
	uint32_t before = fake_get(&agent->nr_wakeups);
	assert_int_equal(ooo_submit(binding, 0, 1), 0);
	reap(done, 1);
	assert_int_equal(fake_get(&agent->nr_wakeups), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one),
		TEST(test_queue_full),
		TEST(test_wrap_around),
		TEST(test_many_submitters),
		TEST(test_cancel),
		TEST(test_cancel_all),
		TEST(test_cancel_queue_full),
		TEST(test_no_cancel_feature),
		TEST(test_stray_completions),
		TEST(test_mad_index),
		TEST(test_wait),
		TEST(test_sleep_and_wake),
		TEST(test_eventfd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
