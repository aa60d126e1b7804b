// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/policy/rate.h"

static void near(double value, double expected)
{
	assert_true(value > expected * 0.999 - 1e-6 && value < expected * 1.001 + 1e-6);
}

static void shares_are_filled_up(void **state)
{
	const struct rate_peer busy[] = { { 1, 1000 }, { 1, 2000 } };
	const struct rate_peer light[] = { { 0.1, 1000 }, { 1, 1000 } };

	(void)state;
	near(rate_share(NULL, 0, 1000), 1);
	near(rate_share(busy, 2, 1000), 0.25);
	near(rate_share(busy, 2, 3000), 0.5);
	near(rate_share(light, 2, 1000), 0.45); /* the first uses less than its third */
	near(rate_share(light, 1, 1000), 0.9);
	near(rate_share(busy, 2, 0), 0);
}

/* 1 ms of work of which nothing runs side by side, on the whole device. */
static struct rate_ask ask(double per_s, uint64_t slo_ns)
{
	return (struct rate_ask){ .per_s = per_s,
				  .slo_ns = slo_ns,
				  .work_ns = 1000000,
				  .path_ns = 1000000,
				  .blocked_ns = 100000,
				  .side_by_side = 1,
				  .share = 1 };
}

static void a_rate_beyond_capacity_is_refused(void **state)
{
	struct rate_ask a = ask(1001, 0);
	struct rate_answer answer = rate_admit(&a);

	(void)state;
	assert_false(answer.admitted);
	assert_true(answer.bound_ns == UINT64_MAX);
	near(answer.most_per_s, 1000);
	a.side_by_side = 8;
	near(rate_admit(&a).most_per_s, 8000);
	a.share = 0.25;
	near(rate_admit(&a).most_per_s, 2000);
	a.share = 0;
	assert_false(rate_admit(&a).admitted);
}

static void the_bound_grows_with_the_rate(void **state)
{
	uint64_t before = 0;

	(void)state;
	for (double rate = 1; rate < 1000; rate += 7) {
		struct rate_ask a = ask(rate, 0);
		struct rate_answer answer = rate_admit(&a);

		assert_true(answer.admitted);
		assert_true(answer.bound_ns >= before && answer.bound_ns >= 1100000);
		before = answer.bound_ns;
	}
	assert_true(before > 100000000);
}

static void most_is_the_highest_rate_in_time(void **state)
{
	struct rate_ask a = ask(500, 3000000);
	struct rate_answer at, answer = rate_admit(&a);

	(void)state;
	assert_true(answer.most_per_s > 0 && answer.most_per_s < 1000);
	a.per_s = answer.most_per_s * 0.999;
	at = rate_admit(&a);
	assert_true(at.admitted && at.bound_ns <= 3000000 && at.bound_ns > 2900000);
	a.per_s = answer.most_per_s * 1.001;
	at = rate_admit(&a);
	assert_true(!at.admitted && at.bound_ns > 3000000);
	a = ask(1, 1000000); /* alone it takes longer than that */
	answer = rate_admit(&a);
	assert_true(!answer.admitted && answer.most_per_s == 0 && answer.bound_ns >= 1100000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_are_filled_up),
		cmocka_unit_test(a_rate_beyond_capacity_is_refused),
		cmocka_unit_test(the_bound_grows_with_the_rate),
		cmocka_unit_test(most_is_the_highest_rate_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
