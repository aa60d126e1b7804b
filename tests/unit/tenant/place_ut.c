// SPDX-License-Identifier: Apache-2.0
/* Free memory first, then company; never a device that is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/tenant/place.h"

#define GIB (1ull << 30)

static void fewest_tenants_among_equals(void **state)
{
	const struct place_load d[] = {
		{ .free_bytes = 80 * GIB, .tenants = 2 },
		{ .free_bytes = 79 * GIB, .tenants = 1 },
		{ .free_bytes = 78 * GIB, .tenants = 1 },
	};

	(void)state;
	assert_int_equal(place_choose(d, 1), 0);
	assert_int_equal(place_choose(d, 3), 1);
}

static void memory_before_company(void **state)
{
	const struct place_load d[] = {
		{ .free_bytes = 10 * GIB, .tenants = 0 },
		{ .free_bytes = 40 * GIB, .tenants = 9 },
	};

	(void)state;
	assert_int_equal(place_choose(d, 2), 1);
}

static void lost_devices_take_nobody(void **state)
{
	struct place_load d[] = {
		{ .free_bytes = 80 * GIB, .gone = true },
		{ .free_bytes = 0, .tenants = 100 },
	};

	(void)state;
	assert_int_equal(place_choose(d, 2), 1);
	d[1].gone = true;
	assert_int_equal(place_choose(d, 2), -1);
	assert_int_equal(place_choose(d, 0), -1);
}

static void tenants_spread(void **state)
{
	struct place_load d[3] = { { .free_bytes = GIB },
				   { .free_bytes = GIB },
				   { .free_bytes = GIB } };

	(void)state;
	for (int i = 0; i < 30; i++)
		d[place_choose(d, 3)].tenants++;
	for (int i = 0; i < 3; i++)
		assert_int_equal(d[i].tenants, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fewest_tenants_among_equals),
		cmocka_unit_test(memory_before_company),
		cmocka_unit_test(lost_devices_take_nobody),
		cmocka_unit_test(tenants_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
