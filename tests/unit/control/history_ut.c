// SPDX-License-Identifier: Apache-2.0
/* Rates over the last second, and counters since a reset. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/control/fixture.h"

#define SECOND HISTORY_TICK_NS

static int setup(void **state)
{
	*state = fixture_new();
	return 0;
}

static int teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

static void test_ticks(void **state)
{
	struct turn_stats live = { 0 }, out;
	struct registry_agent agent = { .devices[0].stats = &live, .nr_devices = 1 };
	struct history h;
	uint64_t window;

	history_init(&h, &agent, SECOND);
	live.requests = 10;
	assert_int_equal(history_tick(&h, SECOND + 1), SECOND - 1);
	history_recent(&h, 3 * SECOND / 2, &out, &window);
	assert_int_equal(out.requests, 10);
	assert_int_equal(window, SECOND / 2);
	/* After the first tick the window still reaches to the start, after the second to the first. */
	assert_int_equal(history_tick(&h, 2 * SECOND), SECOND);
	live.requests = 14;
	history_recent(&h, 5 * SECOND / 2, &out, &window);
	assert_int_equal(out.requests, 14);
	assert_int_equal(window, 3 * SECOND / 2);
	assert_int_equal(history_tick(&h, 3 * SECOND), SECOND);
	history_recent(&h, 3 * SECOND, &out, &window);
	assert_int_equal(out.requests, 4);
	assert_int_equal(window, SECOND);
	history_fini(&h);
}

static void test_devices_add_up(void **state)
{
	struct turn_stats live[2] = { { .requests = 1 }, { .requests = 10 } }, out;
	struct registry_agent agent = { .devices = { { .stats = &live[0] }, { .stats = &live[1] } },
					.nr_devices = 2 };
	struct history h;
	uint64_t window;

	history_init(&h, &agent, SECOND);
	live[0].requests += 5;
	live[1].requests += 70;
	history_recent(&h, 2 * SECOND, &out, &window);
	assert_int_equal(out.requests, 75);
	history_recent_of(&h, 1, 2 * SECOND, &out, &window);
	assert_int_equal(out.requests, 70);
	assert_int_equal(window, SECOND);
	history_since_reset(&h, 2 * SECOND, &out, &window);
	assert_int_equal(out.requests, 86);
	history_fini(&h);
}

/* At once after the start there is no time to measure over. */
static void test_no_window(void **state)
{
	struct turn_stats live = { .requests = 3 }, out;
	struct registry_agent agent = { .devices[0].stats = &live, .nr_devices = 1 };
	struct history h;
	uint64_t window;

	history_init(&h, &agent, SECOND);
	history_recent(&h, SECOND, &out, &window);
	assert_int_equal(out.requests, 0);
	assert_int_equal(window, 0);
	history_fini(&h);
}

static struct tenant_stats tenant_since_reset(struct fixture *f, uint32_t id)
{
	struct tenant_stats out;
	struct tenant_view view;

	assert_true(registry_tenant_from(&f->registry, id, &view));
	assert_int_equal(view.id, id);
	history_tenant(&f->c.history, &view, &out);
	return out;
}

static void test_reset(void **state)
{
	struct fixture *f = *state;
	struct turn_stats out;
	uint64_t since;

	for (uint32_t id = 1; id <= 100; id++)
		fixture_tenant(f, id, 0, 0);
	f->stats.bundles = 70;
	history_since_reset(&f->c.history, FIXTURE_NOW, &out, &since);
	assert_int_equal(out.bundles, 70);
	assert_int_equal(since, FIXTURE_NOW - 1000000000ull); /* since the agent's start */
	assert_int_equal(tenant_since_reset(f, 50).completed, 500);

	assert_int_equal(history_reset(&f->c.history, &f->registry, FIXTURE_NOW), 0);
	history_since_reset(&f->c.history, FIXTURE_NOW + 5, &out, &since);
	assert_int_equal(out.bundles, 0);
	assert_int_equal(since, 5);
	for (uint32_t id = 1; id <= 100; id++)
		assert_int_equal(tenant_since_reset(f, id).completed, 0);

	f->stats.bundles = 72;
	f->tenants[49]->tenant.stats.completed += 3;
	fixture_tenant(f, 101, 0, 0);
	history_since_reset(&f->c.history, FIXTURE_NOW + 5, &out, &since);
	assert_int_equal(out.bundles, 2);
	assert_int_equal(tenant_since_reset(f, 50).completed, 3);
	assert_int_equal(tenant_since_reset(f, 101).completed, 1010);
	/* The counters themselves are the dispatcher's, and untouched. */
	assert_int_equal(f->stats.bundles, 72);
	assert_int_equal(f->tenants[0]->tenant.stats.completed, 10);

	assert_int_equal(history_reset(&f->c.history, &f->registry, FIXTURE_NOW + 9), 0);
	assert_int_equal(tenant_since_reset(f, 101).completed, 0);
}

static void test_reset_without_tenants(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(history_reset(&f->c.history, &f->registry, FIXTURE_NOW), 0);
	fixture_tenant(f, 1, 0, 0);
	assert_int_equal(tenant_since_reset(f, 1).completed, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ticks),
		cmocka_unit_test(test_devices_add_up),
		cmocka_unit_test(test_no_window),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset_without_tenants, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
