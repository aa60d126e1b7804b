// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/control/event.h"
#include "agent/tenant/tenant.h"

#define THREADS 4
#define POSTS   20000u

static void test_order_and_content(void **state)
{
	static struct tenant t = { .id = 7, .uid = 1000, .name = "web" };
	struct event e;
	char long_text[2 * EVENT_TEXT_BYTES];

	memset(long_text, 'x', sizeof(long_text));
	long_text[sizeof(long_text) - 1] = '\0';
	event_post(EVENT_CONNECT, &t, 1, 100, NULL);
	event_post(EVENT_DRAIN, NULL, 0, 0, long_text);
	assert_true(event_take(&e));
	assert_int_equal(e.kind, EVENT_CONNECT);
	assert_int_equal(e.tenant, 7);
	assert_int_equal(e.uid, 1000);
	assert_int_equal(e.device, 1);
	assert_int_equal(e.value, 100);
	assert_string_equal(e.name, "web");
	assert_string_equal(e.text, "");
	assert_true(e.at_ns > 0);
	assert_true(event_take(&e));
	assert_int_equal(e.tenant, EVENT_NO_TENANT);
	assert_string_equal(e.name, "");
	assert_int_equal(strlen(e.text), EVENT_TEXT_BYTES - 1);
	assert_false(event_take(&e));
	assert_string_equal(event_word(EVENT_SLO_MISS), "slo_miss");
	assert_string_equal(event_word(NR_EVENT_KINDS), "?");
}

/* What finds no room is counted, and the queue goes on behind it. */
static void test_full(void **state)
{
	struct event e;

	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < EVENT_QUEUE + 5; i++)
			event_post(EVENT_LOAD, NULL, 0, i, NULL);
		assert_int_equal(event_take_lost(), 5);
		assert_int_equal(event_take_lost(), 0);
		for (unsigned i = 0; i < EVENT_QUEUE; i++) {
			assert_true(event_take(&e));
			assert_int_equal(e.value, i);
		}
		assert_false(event_take(&e));
	}
}

static void *post_many(void *arg)
{
	for (unsigned i = 0; i < POSTS; i++)
		event_post(EVENT_LOAD, NULL, (uint32_t)(uintptr_t)arg, i, "x");
	return NULL;
}

/* Every event is taken once or counted lost, and each thread's own come in its order. */
static void test_threads(void **state)
{
	uint64_t next[THREADS] = { 0 }, taken = 0, missing = 0;
	pthread_t threads[THREADS];
	struct event e;

	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, post_many, (void *)i), 0);
	while (taken + missing < THREADS * (uint64_t)POSTS) {
		missing += event_take_lost();
		if (!event_take(&e))
			continue;
		assert_true(e.device < THREADS);
		assert_true(e.value >= next[e.device]);
		assert_string_equal(e.text, "x");
		next[e.device] = e.value + 1;
		taken++;
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_false(event_take(&e));
	assert_int_equal(event_take_lost(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_content),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
