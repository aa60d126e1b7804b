// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/watch/latency.h"

#define SECOND 1000000000ull

static void test_bounds(void **state)
{
	for (unsigned i = 0; i + 1 < LATENCY_BUCKETS; i++) {
		uint64_t bound = latency_bound_ns(i);

		assert_int_equal(latency_bucket(bound - 1), i);
		assert_int_equal(latency_bucket(bound), i + 1);
		if (i) {
			assert_true(bound > latency_bound_ns(i - 1));
			assert_true(bound * 4 <= latency_bound_ns(i - 1) * 5);
		}
	}
	assert_int_equal(latency_bucket(0), 0);
	assert_int_equal(latency_bucket(UINT64_MAX), LATENCY_BUCKETS - 1);
}

static void near_ns(uint64_t got, uint64_t want)
{
	assert_in_range(got, want - want / 4, want + want / 4);
}

static void test_percentiles(void **state)
{
	struct latency_window w = { 0 };
	uint64_t counts[LATENCY_BUCKETS] = { 0 };

	latency_tick(&w, counts, SECOND);
	assert_int_equal(latency_percentile(&w, 0.5), 0);
	counts[latency_bucket(1000000)] += 980;
	counts[latency_bucket(50000000)] += 20;
	latency_tick(&w, counts, 2 * SECOND);
	near_ns(latency_percentile(&w, 0.50), 1000000);
	near_ns(latency_percentile(&w, 0.97), 1000000);
	near_ns(latency_percentile(&w, 0.99), 50000000);
	counts[LATENCY_BUCKETS - 1] += 100000;
	latency_tick(&w, counts, 3 * SECOND);
	assert_int_equal(latency_percentile(&w, 0.5), latency_bound_ns(LATENCY_BUCKETS - 2));
}

/* What is old gives way to what is new, and goes at last. */
static void test_fades(void **state)
{
	struct latency_window w = { 0 };
	uint64_t counts[LATENCY_BUCKETS] = { 0 }, now = SECOND;

	counts[latency_bucket(1000000)] = 1000;
	latency_tick(&w, counts, now);
	for (int i = 0; i < 30; i++) {
		counts[latency_bucket(8000000)] += 100;
		latency_tick(&w, counts, now += SECOND);
	}
	near_ns(latency_percentile(&w, 0.50), 8000000);
	for (int i = 0; i < 300; i++)
		latency_tick(&w, counts, now += SECOND);
	assert_int_equal(latency_percentile(&w, 0.99), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_percentiles),
		cmocka_unit_test(test_fades),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
