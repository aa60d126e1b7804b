// SPDX-License-Identifier: Apache-2.0
/* Few requests share lane 0; many long ones spread; short ones do not stand behind long ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "agent/flow/lane.h"

#define LANES 8
#define WIDTH 8
#define US    1000ull

struct rig {
	struct lane_load lanes[LANES];
	unsigned used; /* lanes that took a request */
};

static unsigned add(struct rig *rig, unsigned nr_lanes, uint64_t work_ns)
{
	unsigned lane = lane_choose(rig->lanes, nr_lanes, WIDTH, work_ns);

	assert_true(lane < nr_lanes);
	rig->used += !rig->lanes[lane].nr_requests;
	rig->lanes[lane].nr_requests++;
	rig->lanes[lane].work_ns += work_ns;
	return lane;
}

static void one_lane_takes_all(void **state)
{
	struct rig rig = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++) {
		rig.lanes[0].queued_ns += 1000000;
		assert_int_equal(add(&rig, 1, 500 * US), 0);
	}
}

static void short_requests_stay_together(void **state)
{
	struct rig rig = { 0 };

	(void)state;
	for (int i = 0; i < 20; i++)
		assert_int_equal(add(&rig, LANES, 10 * US), 0);
}

static void a_single_request_takes_lane_0(void **state)
{
	static const uint64_t work[] = { 0, 1, 10 * US, 100000 * US, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(work) / sizeof(work[0]); i++) {
		struct rig rig = { 0 };

		assert_int_equal(add(&rig, LANES, work[i]), 0);
	}
}

static void many_long_requests_spread_evenly(void **state)
{
	struct rig rig = { 0 };

	(void)state;
	for (int i = 0; i < WIDTH; i++)
		assert_int_equal(add(&rig, LANES, 450 * US), 0);
	for (int i = 0; i < WIDTH; i++)
		add(&rig, LANES, 450 * US);
	assert_int_equal(rig.used, 2);
	for (int i = 0; i < 20 * WIDTH; i++)
		add(&rig, LANES, 450 * US);
	assert_int_equal(rig.used, LANES);
	for (int i = 1; i < LANES; i++)
		assert_true(rig.lanes[i].nr_requests + WIDTH >= rig.lanes[0].nr_requests);
}

static void a_short_request_passes_long_ones(void **state)
{
	struct rig rig = { 0 };

	(void)state;
	add(&rig, LANES, 20000 * US);
	rig.lanes[0].queued_ns = 1000 * US;
	rig.lanes[1].queued_ns = 20 * US;
	assert_int_equal(add(&rig, LANES, 10 * US), 2);
	/* A long one would rather have the company. */
	assert_int_equal(add(&rig, LANES, 20000 * US), 0);
	for (int i = 0; i < LANES; i++)
		rig.lanes[i].queued_ns = 1000 * US;
	assert_int_equal(add(&rig, LANES, 10 * US), 0);
}

static void width_0_is_1(void **state)
{
	const struct lane_load lanes[2] = { { .nr_requests = 1, .work_ns = 500 * US } };

	(void)state;
	assert_int_equal(lane_choose(lanes, 2, 0, 500 * US), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_lane_takes_all),
		cmocka_unit_test(short_requests_stay_together),
		cmocka_unit_test(a_single_request_takes_lane_0),
		cmocka_unit_test(many_long_requests_spread_evenly),
		cmocka_unit_test(a_short_request_passes_long_ones),
		cmocka_unit_test(width_0_is_1),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
