// SPDX-License-Identifier: Apache-2.0
/* The ledger's rows, the split of energy, and the lines of its files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "agent/watch/ledger.h"

static struct ledger l;

static void test_rows(void **state)
{
	char name[16];

	ledger_clear(&l);
	ledger_row(&l, 0, 5, "a")->v.device_ns = 7;
	assert_int_equal(ledger_row(&l, 0, 5, "a")->v.device_ns, 7);
	assert_int_equal(ledger_row(&l, 0, 6, "a")->v.device_ns, 0);
	assert_int_equal(ledger_row(&l, 1, 5, "a")->v.device_ns, 0);
	assert_int_equal(l.nr, 3);
	/* More than have a place: the rest is together, and nothing is lost. */
	for (unsigned i = 0; i < 2 * LEDGER_ROWS; i++) {
		snprintf(name, sizeof(name), "t%u", i);
		ledger_row(&l, 0, 1, name)->v.requests++;
	}
	assert_int_equal(l.nr, LEDGER_ROWS);
	assert_string_equal(l.rows[LEDGER_ROWS - 1].name, "(others)");
	for (unsigned i = 1; i < LEDGER_ROWS; i++)
		l.rows[0].v.requests += l.rows[i].v.requests;
	assert_int_equal(l.rows[0].v.requests, 2 * LEDGER_ROWS);
}

static void test_energy_split(void **state)
{
	uint64_t before[2] = { 100, 0 };

	ledger_clear(&l);
	ledger_row(&l, 0, 1, "a")->v.device_ns = 400;
	ledger_row(&l, 1, 1, "other GPU")->v.device_ns = 1000;
	ledger_row(&l, 0, 1, "b")->v.device_ns = 700; /* new since */
	ledger_energy(&l, before, 2, 0, 1001);
	assert_int_equal(l.rows[0].v.energy_mj, 300);
	assert_int_equal(l.rows[1].v.energy_mj, 0);
	assert_int_equal(l.rows[0].v.energy_mj + l.rows[2].v.energy_mj, 1001);
	before[0] = 400;
	ledger_clear(&l);
	ledger_row(&l, 0, 1, "a")->v.device_ns = 400;
	ledger_energy(&l, before, 1, 0, 50);
	assert_int_equal(ledger_row(&l, 0, 0, "(idle)")->v.energy_mj, 50);
}

static void test_lines(void **state)
{
	struct usage_row row = { 10, 20, 1, 1000, { 1, 2, 3, 4, 5, 6, 7 }, "my tenant" }, back;
	char text[USAGE_LINE_BYTES] = "";
	FILE *f = fmemopen(text, sizeof(text), "w");

	usage_write(f, &row);
	fclose(f);
	assert_string_equal(text, "10 20 1 1000 1 2 3 4 5 6 7 my tenant\n");
	assert_true(usage_parse(text, &back));
	assert_memory_equal(&row, &back, sizeof(row));
	assert_false(usage_parse("", &back));
	assert_false(usage_parse("10 20 1 1000 1 2 3 4 5 6 7\n", &back));
	assert_false(usage_parse("10 20 1 1000 1 2 3 4 5 6 7 \n", &back));
	assert_false(usage_parse("10 9 1 1000 1 2 3 4 5 6 7 back in time\n", &back));
	assert_false(usage_parse("10 20 1 1000 1 -2 3 4 5 6 7 x\n", &back));
	assert_false(usage_parse("10 20 1 4294967296 1 2 3 4 5 6 7 x\n", &back));
	assert_false(usage_parse("10 20 1 1000 1 2 3 4 5 6 18446744073709551616 x\n", &back));
	assert_false(usage_parse("10 20 1 1000 1 2 3 4 5 6 7 \x01\n", &back));
	assert_false(usage_parse(
		"10 20 1 1000 1 2 3 4 5 6 7 a-name-of-more-than-thirty-one-letters\n", &back));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_energy_split),
		cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
