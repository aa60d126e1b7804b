// SPDX-License-Identifier: Apache-2.0
/* Who gets how much, on a sim device with exact costs. */
#include "tests/unit/flow/node.h"

/* Saturating tenants share device time as 1:2:4, whatever their programs are. */
static void weights_1_2_4(void **state)
{
	static const struct {
		uint32_t steps;
		double alone_us, work;
	} programs[][3] = {
		{ { 1, 500, 1 }, { 1, 500, 1 }, { 1, 500, 1 } },
		{ { 50, 700, 0.25 }, { 1, 10, 0.125 }, { 10, 3000, 0.5 } },
		{ { 1, 10, 0.125 }, { 50, 700, 0.25 }, { 10, 3000, 0.5 } },
		{ { 10, 3000, 0.5 }, { 20, 1400, 0.3 }, { 1, 20, 0.125 } },
	};

	(void)state;
	for (size_t c = 0; c < sizeof(programs) / sizeof(programs[0]); c++) {
		static struct node n;
		double sum = 0;

		node_open(&n, 8, 1, 2000);
		for (uint32_t i = 0; i < 3; i++)
			node_add(&n, programs[c][i].steps, programs[c][i].alone_us,
				 programs[c][i].work, 512, weight(100u << i));
		start_loops(&n);
		run_for(&n, 200000000);
		forget(&n);
		run_for(&n, 4000000000);
		for (int i = 0; i < 3; i++)
			sum += (double)n.service_ns[i];
		for (int i = 0; i < 3; i++)
			assert_near((double)n.service_ns[i], sum * (1 << i) / 7, 0.02);
		node_close(&n);
	}
}

/* Sixteen equal tenants: Jain's index of device time is 0.99 or more, also with two lanes. */
static void sixteen_equal(void **state)
{
	(void)state;
	for (unsigned lanes = 1; lanes <= 2; lanes++) {
		static struct node n;
		double sum = 0, squares = 0;

		node_open(&n, 8, lanes, 2000);
		for (uint32_t i = 0; i < 16; i++)
			node_add(&n, 57, 727, 0.23, 2, weight(100));
		start_loops(&n);
		run_for(&n, 2000000000);
		for (int i = 0; i < 16; i++) {
			sum += (double)n.service_ns[i];
			squares += (double)n.service_ns[i] * (double)n.service_ns[i];
		}
		print_message("%u lanes: Jain index %.4f\n", lanes, sum * sum / (16 * squares));
		assert_true(sum * sum / (16 * squares) >= 0.99);
		node_close(&n);
	}
}

/* Nobody starves: with three saturating neighbours of ten times the weight, the fourth gets its share
 * and none of its requests waits for ever. */
static void nobody_starves(void **state)
{
	static struct node n;

	(void)state;
	node_open(&n, 4, 1, 2000);
	for (uint32_t i = 0; i < 4; i++)
		node_add(&n, 10, 1000, 0.5, 4, weight(i == 3 ? 100 : 1000));
	start_loops(&n);
	run_for(&n, 5000000000);
	assert_true(n.done[3] > 0);
	assert_near((double)n.service_ns[3],
		    (double)(n.service_ns[0] + n.service_ns[1] + n.service_ns[2]) / 30, 0.1);
	assert_true(n.longest_ns[3] < 1000000000);
	node_close(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weights_1_2_4),
		cmocka_unit_test(sixteen_equal),
		cmocka_unit_test(nobody_starves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
