/* SPDX-License-Identifier: Apache-2.0 */
/* How long a wait stays awake, from how long those before it took. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shared/client/internal.h"

static void learn(struct spin *s, uint64_t waited_us, unsigned times)
{
	while (times--)
		spin_learn(s, waited_us);
}

static void test_begins_as_asked(void **state)
{
	struct spin s = { 0 };

	assert_int_equal(spin_budget(&s, 20), 20);
	assert_int_equal(spin_budget(&s, 1), 1);
}

static void test_follows_short_waits(void **state)
{
	struct spin s = { 0 };

	learn(&s, 40, 20);
	assert_in_range(spin_budget(&s, 20), 60, 80);
	learn(&s, 90, 20);
	assert_int_equal(spin_budget(&s, 20), SPIN_MAX_US);
	learn(&s, 5, 20);
	assert_int_equal(spin_budget(&s, 20), 20);
}

/* A few long waits change little; a row of them ends the spinning within as many again. */
static void test_gives_up_quickly(void **state)
{
	struct spin s = { 0 };
	uint32_t before;

	learn(&s, 40, 20);
	learn(&s, 5000, SPIN_IN_VAIN - 1);
	assert_true(spin_budget(&s, 20) >= 20);
	learn(&s, 5000, 1);
	before = spin_budget(&s, 20);
	assert_int_equal(before, 10);
	for (int i = 0; i < 4; i++) {
		learn(&s, 5000, 1);
		assert_true(spin_budget(&s, 20) < before);
		before = spin_budget(&s, 20);
	}
	assert_int_equal(before, 0);
	learn(&s, 5000, 1000);
	assert_int_equal(spin_budget(&s, 20), 0);
}

static void test_tries_again(void **state)
{
	struct spin s = { 0 };

	learn(&s, 5000, 1000);
	learn(&s, 30, 1);
	assert_in_range(spin_budget(&s, 20), 20, SPIN_MAX_US);
}

/* What the caller wants at any price. */
static void test_fixed(void **state)
{
	struct spin s = { 0 };

	for (int i = 0; i < 50; i++) {
		assert_int_equal(spin_budget(&s, 0), 0);
		assert_int_equal(spin_budget(&s, 100), 100);
		assert_int_equal(spin_budget(&s, 60000000), 60000000);
		learn(&s, i % 2 ? 10 : 10000, 3);
	}
	s.in_vain = UINT32_MAX;
	spin_learn(&s, UINT64_MAX);
	assert_int_equal(s.in_vain, UINT32_MAX);
	assert_int_equal(spin_budget(&s, 99), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_begins_as_asked),
		cmocka_unit_test(test_follows_short_waits),
		cmocka_unit_test(test_gives_up_quickly),
		cmocka_unit_test(test_tries_again),
		cmocka_unit_test(test_fixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
