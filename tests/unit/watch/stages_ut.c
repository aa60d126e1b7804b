// SPDX-License-Identifier: Apache-2.0
/* Who has which place, what is counted there, and that a process after this one finds it again. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/watch/stages.h"

static struct tenant tenants[5];

static int setup(void **state)
{
	for (uint32_t i = 0; i < 5; i++) {
		tenants[i].id = 100 + i;
		snprintf(tenants[i].name, sizeof(tenants[i].name), "t%u", i);
	}
	return 0;
}

static void test_places(void **state)
{
	struct ooo_tenant_stages *place[3];
	struct stages s;

	assert_int_equal(stages_open(&s, 3, "memory", "x"), 0);
	assert_string_equal(s.pin, "");
	for (int i = 0; i < 3; i++) {
		place[i] = stages_take(&s, &tenants[i], 0);
		assert_int_equal(stages_place(&s, place[i]), i + 1);
		assert_string_equal(place[i]->name, tenants[i].name);
		assert_int_equal(place[i]->connected, 1);
		place[i]->requests = 7;
	}
	assert_null(stages_take(&s, &tenants[3], 0)); /* that tenant is not counted */
	stages_give(&s, NULL);
	stages_give(&s, place[1]);
	stages_give(&s, place[0]);
	/* Who went stays to be seen until the place is needed: the one free longest goes first. */
	assert_int_equal(place[1]->connected, 0);
	assert_int_equal(place[1]->requests, 7);
	assert_ptr_equal(stages_take(&s, &tenants[3], 0), place[1]);
	assert_int_equal(place[1]->requests, 0);
	assert_int_equal(place[1]->tenant, 103);
	assert_ptr_equal(stages_take(&s, &tenants[4], 0), place[0]);
	assert_null(stages_take(&s, &tenants[0], 0));
	stages_close(&s);
	assert_null(s.places);
	assert_null(stages_take(&s, &tenants[0], 0));
	assert_null(stages_take(NULL, &tenants[0], 0));
}

static void test_count(void **state)
{
	struct ooo_tenant_stages place = { 0 };
	struct stages_pace pace = { 0 };
	struct tenant t = { .stages = &place };
	struct request r = { 0 };

	r.stage_ns[OOO_STAGE_RING] = 500;
	r.stage_ns[OOO_STAGE_RUN] = 5000;
	stages_count(&t, &pace, &r);
	r.stage_ns[OOO_STAGE_RING] = 0;
	stages_count(&t, &pace, &r);
	assert_int_equal(place.requests, 2);
	assert_int_equal(place.stage[OOO_STAGE_RING].sum_ns, 500);
	assert_int_equal(place.stage[OOO_STAGE_RING].bucket[0], 1);
	assert_int_equal(place.stage[OOO_STAGE_RUN].sum_ns, 10000);
	assert_int_equal(place.stage[OOO_STAGE_RUN].bucket[latency_bucket(5000)], 2);
	assert_int_equal(place.stage[OOO_STAGE_HOLD].sum_ns, 0);
}

/* However many come in a slice: those that are counted stand for all. */
static void test_pace(void **state)
{
	struct ooo_tenant_stages place = { 0 };
	struct stages_pace pace = { 0 };
	struct tenant t = { .stages = &place };
	struct request r = { 0 };
	uint64_t ended = 0, counted, now_ns = 5000000000ull;

	r.stage_ns[OOO_STAGE_RUN] = 2000;
	for (unsigned slice = 0; slice < 40; slice++) {
		unsigned n = slice < 20 ? STAGES_PER_SLICE / 2 : 17 * STAGES_PER_SLICE + 3;

		for (unsigned i = 0; i < n; i++) {
			stages_pace(&pace, ended++, now_ns);
			stages_count(&t, &pace, &r);
		}
		if (slice == 19)
			assert_int_equal(pace.stride, 0); /* each one */
		now_ns += STAGES_SLICE_NS;
	}
	assert_int_equal(pace.stride, 17);
	counted = place.stage[OOO_STAGE_RUN].bucket[latency_bucket(2000)];
	assert_int_equal(counted, place.requests);
	assert_in_range(counted, ended - 17, ended);
	assert_int_equal(place.stage[OOO_STAGE_RUN].sum_ns, counted * 2000);
	/* Fewer again: exact again, with what was left over. */
	now_ns += STAGES_SLICE_NS;
	stages_pace(&pace, ended, now_ns);
	stages_pace(&pace, ended, now_ns + STAGES_SLICE_NS);
	stages_count(&t, &pace, &r);
	assert_int_equal(place.requests, ended + 1);
	assert_int_equal(place.stage[OOO_STAGE_RUN].bucket[latency_bucket(2000)], ended + 1);
}

static void test_taken_over(void **state)
{
	struct ooo_tenant_stages *a, *b;
	struct stages before, after;

	assert_int_equal(stages_open(&before, 4, "memory", "x"), 0);
	a = stages_take(&before, &tenants[0], 0);
	b = stages_take(&before, &tenants[1], 0);
	b->requests = 9;
	a->requests = 8;
	stages_give(&before, a);
	assert_int_equal(stages_adopt(&after, dup(before.fd), before.nr, ""), 0);
	/* Its place, with what is in it; nobody else's, whatever number is asked for. */
	b = stages_take(&after, &tenants[1], stages_place(&before, b));
	assert_int_equal(stages_place(&after, b), 2);
	assert_int_equal(b->requests, 9);
	b = stages_take(&after, &tenants[2], 2);
	assert_int_equal(stages_place(&after, b), 1);
	assert_int_equal(b->requests, 0);
	assert_int_equal(stages_place(&after, stages_take(&after, &tenants[3], 99)), 3);
	assert_int_equal(stages_place(&after, stages_take(&after, &tenants[4], 0)), 4);
	stages_close(&after);
	stages_close(&before);
}

static void test_shorter_than_said(void **state)
{
	struct stages before, after;

	assert_int_equal(stages_open(&before, 2, "memory", "x"), 0);
	assert_int_equal(stages_adopt(&after, dup(before.fd), 3, ""), -EINVAL);
	assert_true(after.fd < 0);
	stages_close(&before);
}

static void test_off(void **state)
{
	struct stages s;

	assert_int_equal(stages_open(&s, 2, "off", "x"), 0);
	assert_null(stages_take(&s, &tenants[0], 0));
	stages_give(&s, NULL);
	stages_close(&s);
}

/* With the right to make maps or without it: counted all the same. */
static void test_no_bpf_fs(void **state)
{
	struct stages s;

	assert_int_equal(stages_open(&s, 2, "/proc", "x"), 0);
	assert_string_equal(s.pin, "");
	stages_take(&s, &tenants[0], 0)->requests = 1;
	stages_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_count),
		cmocka_unit_test(test_pace),
		cmocka_unit_test(test_taken_over),
		cmocka_unit_test(test_shorter_than_said),
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_no_bpf_fs),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
