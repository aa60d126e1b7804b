// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/flow/harness.h"

#define NEAR(value, want) assert_true((value) > (want)-1e-6 && (value) < (want) + 1e-6)

static struct dispatcher d;
static struct tenant a, b;

static struct request ready(struct tenant *t)
{
	return (struct request){ .tenant = t, .state = REQUEST_ACTIVE, .nr_ready = 1 };
}

static void issue(struct request *r)
{
	r->nr_ready = 0;
	r->nr_flying = 1;
	pressure_note(&d, r);
}

static void expect(const struct pressure *p, uint64_t some_ns, uint64_t full_ns)
{
	assert_int_equal(stat_read(&p->some_ns), some_ns);
	assert_int_equal(stat_read(&p->full_ns), full_ns);
}

/* b waits for a, then runs; a's second request waits for a workspace slot. */
static void test_some_and_full(void **state)
{
	struct request ra = ready(&a), rb = ready(&b), waits = { .tenant = &a };

	d.now_ns = 1000;
	pressure_note(&d, &ra);
	issue(&ra);
	pressure_note(&d, &rb);
	waits.state = REQUEST_WAITING;
	pressure_note(&d, &waits);
	d.now_ns = 1400;
	issue(&rb);
	expect(&b.pressure, 400, 400);
	d.now_ns = 1500;
	pressure_leave(&d, &ra);
	expect(&a.pressure, 500, 0);
	d.now_ns = 1600; /* a's other one now waits alone */
	issue(&waits);
	expect(&a.pressure, 600, 100);
	expect(&b.pressure, 400, 400);
	expect(&d.pressure, 600, 0); /* something ran at every moment */
	d.now_ns = 9000;
	pressure_leave(&d, &rb);
	pressure_leave(&d, &waits);
	pressure_leave(&d, &waits);
	expect(&d.pressure, 600, 0);
	for (int i = PRESSURE_STALLED; i < PRESSURE_STATES; i++)
		assert_int_equal(a.pressure.nr[i] + b.pressure.nr[i] + d.pressure.nr[i], 0);
}

static void test_averages(void **state)
{
	struct pressure p = { .some_ns = 700000000 };
	struct pressure_view v = { 0 };
	uint64_t now = 1000000000;

	pressure_tick(&v, &p, now); /* what was before the first look counts nowhere */
	NEAR(v.some_avg[PRESSURE_10S], 0);
	for (int i = 0; i < 3600; i++) {
		p.some_ns += 500000000;
		p.full_ns += 250000000;
		pressure_tick(&v, &p, now += 1000000000);
	}
	for (int i = 0; i < PRESSURE_SPANS; i++) {
		assert_true(v.some_avg[i] > 0.499 && v.some_avg[i] < 0.501);
		assert_true(v.full_avg[i] > 0.249 && v.full_avg[i] < 0.251);
	}
	for (int i = 0; i < 10; i++)
		pressure_tick(&v, &p, now += 1000000000);
	assert_true(v.some_avg[PRESSURE_10S] < 0.2);
	assert_true(v.some_avg[PRESSURE_300S] > 0.4);
	p.some_ns += 100000000000ull; /* one long stall, added at its end */
	pressure_tick(&v, &p, now += 1000000000);
	assert_true(v.some_avg[PRESSURE_10S] < 0.3);
}

/* Through the whole flow: a program with one slot, four requests at once. */
static void test_flow(void **state)
{
	struct rig rig;
	struct fake_tenant *t;
	struct fake_program *p;

	rig_open(&rig, (struct device_config){ .sim_step_ns = 1000 },
		 (struct turn_config)TURN_CONFIG_DEFAULT);
	t = tenant_make(&rig, 1, 8);
	p = program_make(&rig, t, 0, 1, 1, chain);
	for (int i = 0; i < 4; i++)
		push(t, 0, (uint64_t)i, 0);
	rig_run(&rig);
	assert_int_equal(t->t.stats.completed, 4);
	/* The last one waited for three others; each moment one ran. */
	assert_int_equal(t->t.pressure.some_ns, 3000);
	assert_int_equal(t->t.pressure.full_ns, 0);
	assert_int_equal(rig.d->pressure.some_ns, 3000);
	for (int i = PRESSURE_STALLED; i < PRESSURE_STATES; i++)
		assert_int_equal(t->t.pressure.nr[i] + rig.d->pressure.nr[i], 0);
	tenant_remove(&rig, t);
	program_free_memory(&rig, p);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_some_and_full),
		cmocka_unit_test(test_averages),
		cmocka_unit_test(test_flow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
