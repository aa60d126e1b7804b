/* SPDX-License-Identifier: Apache-2.0 */
/* The control thread's view: order, dumps that stop and go on, and what it may ask for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

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
		tenants[i] = (struct tenant){ .id = 10 * (i + 1), .weight = 100 };
		snprintf(tenants[i].name, sizeof(tenants[i].name), "t%u", i);
		entries[i] = (struct registry_entry){ .tenant = &tenants[i], .connected_ns = i };
		registry_add(&r, &entries[i]);
	}
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

static void test_asks(void **state)
{
	struct pollfd p = { .fd = r.door_fd, .events = POLLIN };

	assert_int_equal(registry_set_weight(&r, 20, 0), -ERANGE);
	assert_int_equal(registry_set_weight(&r, 20, REGISTRY_WEIGHT_MAX + 1), -ERANGE);
	assert_int_equal(registry_set_weight(&r, 25, 1), -ENOENT);
	assert_int_equal(registry_set_weight(&r, 20, 300), 0);
	assert_int_equal(tenants[1].weight, 300);
	assert_int_equal(tenants[0].weight, 100);
	assert_int_equal(registry_ask_evict(&r, 5), -ENOENT);
	assert_int_equal(poll(&p, 1, 0), 0); /* nobody is woken for nothing */
	assert_int_equal(registry_ask_evict(&r, 40), 0);
	assert_true(entries[3].evict);
	assert_int_equal(poll(&p, 1, 0), 1);
	registry_ask_drain(&r);
	assert_true(r.drain);
	assert_false(registry_agent(&r)->draining); /* asked is not done */
	registry_set_draining(&r);
	assert_true(registry_agent(&r)->draining);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_walk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_programs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_asks, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
