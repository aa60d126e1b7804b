/* SPDX-License-Identifier: Apache-2.0 */
/* The control thread's view: order, dumps that stop and go on, and what it may ask for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>

#include "agent/tenant/registry.h"

static struct registry r;
static struct tenant tenants[4];
static struct registry_entry entries[4];

static int set_up(void **state)
{
	if (registry_init(&r))
		return -1;
	for (uint32_t i = 0; i < 4; i++) {
		tenants[i] = (struct tenant){ .id = 10 * (i + 1), .params = TENANT_PARAMS_DEFAULT };
		snprintf(tenants[i].name, sizeof(tenants[i].name), "t%u", i);
		entries[i] = (struct registry_entry){ .tenant = &tenants[i], .connected_ns = i };
	}
	/* They come in no order when several dispatchers answer. */
	for (uint32_t i = 0; i < 4; i++)
		registry_add(&r, &entries[(i * 3 + 2) % 4]);
	return 0;
}

static int tear_down(void **state)
{
	registry_fini(&r);
	return 0;
}

static int collect(const struct tenant_view *t, void *arg)
{
	uint32_t *sum = arg;

	*sum = *sum * 100 + t->id;
	return t->id == 30 ? 7 : 0;
}

static void test_walk(void **state)
{
	struct tenant_view v;
	uint32_t sum = 0;

	assert_int_equal(registry_for_each_tenant(&r, collect, &sum), 7);
	assert_int_equal(sum, 102030);
	assert_true(registry_tenant_from(&r, 0, &v));
	assert_int_equal(v.id, 10);
	assert_true(registry_tenant_from(&r, 11, &v));
	assert_int_equal(v.id, 20);
	assert_string_equal(v.name, "t1");
	assert_false(registry_tenant_from(&r, 41, &v));
	/* From wherever the last look ended, in either direction. */
	for (uint32_t last = 0; last <= 40; last += 10) {
		for (uint32_t id = 0; id <= 40; id++) {
			registry_tenant_from(&r, last, &v);
			assert_true(registry_tenant_from(&r, id, &v));
			assert_int_equal(v.id, id <= 10 ? 10 : (id + 9) / 10 * 10);
		}
	}
	registry_tenant_from(&r, 20, &v);
	registry_remove(&r, &entries[1]);
	assert_true(registry_tenant_from(&r, 11, &v));
	assert_int_equal(v.id, 30);
	registry_remove(&r, &entries[3]);
	registry_remove(&r, &entries[0]);
	assert_int_equal(registry_agent(&r)->nr_tenants, 1);
	assert_int_equal(registry_agent(&r)->tenants_total, 4);
	registry_remove(&r, &entries[2]);
	assert_false(registry_tenant_from(&r, 0, &v));
	registry_add(&r, &entries[3]);
	assert_true(registry_tenant_from(&r, 0, &v));
}

static void test_programs(void **state)
{
	struct program p = { .name = "net", .nr_steps = 5, .nr_ops = 9 };
	struct program_inst a = { .program = &p, .weight_bytes = 10, .workspace_bytes = 1 };
	struct program_inst b = { .program = &p, .weight_bytes = 20, .workspace_bytes = 2 };
	struct program_view v;
	struct tenant_view t;

	registry_set_program(&r, &entries[1], 3, &a);
	registry_set_program(&r, &entries[1], 60, &b);
	registry_add_bindings(&r, &entries[1], 60, 2);
	registry_add_bindings(&r, &entries[1], 60, -1);
	stat_add(&b.requests, 42);
	assert_true(registry_tenant_from(&r, 20, &t));
	assert_int_equal(t.nr_programs, 2);
	assert_int_equal(t.weight_bytes, 30);
	assert_int_equal(t.workspace_bytes, 3);
	assert_true(registry_program_from(&r, 20, 0, &v));
	assert_int_equal(v.id, 3);
	assert_true(registry_program_from(&r, 20, 4, &v));
	assert_int_equal(v.id, 60);
	assert_int_equal(v.nr_bindings, 1);
	assert_int_equal(v.requests, 42);
	assert_int_equal(v.nr_steps, 5);
	assert_false(registry_program_from(&r, 20, 61, &v));
	assert_false(registry_program_from(&r, 20, UINT32_MAX, &v));
	assert_false(registry_program_from(&r, 21, 0, &v));
	registry_set_program(&r, &entries[1], 3, NULL);
	assert_true(registry_program_from(&r, 20, 0, &v));
	assert_int_equal(v.id, 60);
}

static void test_params(void **state)
{
	struct tenant_params params = TENANT_PARAMS_DEFAULT, taken;
	const struct device_caps caps = { .nr_lanes = 1 };
	struct tenant_view v;
	uint64_t count;
	char why[128];

	r.agent.devices[0].caps = &caps;
	params.weight = 0;
	assert_int_equal(registry_set_params(&r, 20, &params, why, sizeof(why)), -ERANGE);
	assert_non_null(strstr(why, "weight 0 is not from 1 to 10000"));
	params.weight = 300;
	assert_int_equal(registry_set_params(&r, 25, &params, why, sizeof(why)), -ENOENT);
	params.partition = 1;
	assert_int_equal(registry_set_params(&r, 20, &params, why, sizeof(why)), -ENODEV);
	assert_null(registry_take_changed(&r, &taken));
	params.partition = 0;
	assert_int_equal(registry_set_params(&r, 20, &params, why, sizeof(why)), 0);
	params.klass = TENANT_BATCH;
	assert_int_equal(registry_set_params(&r, 20, &params, why, sizeof(why)), 0);
	assert_true(registry_tenant_from(&r, 20, &v));
	assert_int_equal(v.params.weight, 300);
	/* Twice set, taken once, as it was last. */
	assert_ptr_equal(registry_take_changed(&r, &taken), &entries[1]);
	assert_int_equal(taken.weight, 300);
	assert_int_equal(taken.klass, TENANT_BATCH);
	assert_null(registry_take_changed(&r, &taken));
	/* Who leaves with a change not taken yet leaves the list. */
	assert_int_equal(registry_set_params(&r, 20, &params, why, sizeof(why)), 0);
	registry_remove(&r, &entries[1]);
	assert_null(registry_take_changed(&r, &taken));
	registry_add(&r, &entries[1]);
	assert_int_equal(read(r.door_fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 3);
}

static void test_asks(void **state)
{
	struct pollfd p = { .fd = r.door_fd, .events = POLLIN };

	assert_int_equal(registry_ask_evict(&r, 5), -ENOENT);
	assert_int_equal(poll(&p, 1, 0), 0); /* nobody is woken for nothing */
	assert_int_equal(registry_ask_evict(&r, 40), 0);
	assert_true(entries[3].evict);
	assert_int_equal(poll(&p, 1, 0), 1);
	registry_ask_drain(&r);
	assert_true(r.drain);
	assert_false(registry_agent(&r)->draining); /* asked is not done */
	registry_set_draining(&r, true);
	assert_true(registry_agent(&r)->draining);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_walk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_programs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_params, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_asks, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
