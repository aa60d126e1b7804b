// SPDX-License-Identifier: Apache-2.0
/* Dozing tenants cost a turn nothing, and no wake-up is lost, whoever sleeps at what moment. */
#include <pthread.h>
#include <time.h>

#include "shared/abi/ring_sync.h"
#include "tests/unit/flow/harness.h"

static struct turn_config turn = TURN_CONFIG_DEFAULT;

static bool dozes(const struct fake_tenant *f)
{
	return f->t.ring.ring->agent_flags & OOO_RING_NEED_WAKEUP;
}

static void one_request(struct rig *rig, struct fake_tenant *f)
{
	push(f, 0, 1, 0);
	rig_run(rig);
	assert_int_equal(reap(f).status, OOO_OK);
}

static void test_idle_tenants_doze(void **state)
{
	struct fake_tenant *busy, *idle[100];
	struct fake_program *program, *theirs;
	struct rig rig;

	(void)state;
	rig_open(&rig, (struct device_config){ .sim_step_ns = 10000 }, turn);
	busy = tenant_make(&rig, 1, 4);
	program = program_make(&rig, busy, 0, 4, 2, chain);
	for (uint32_t i = 0; i < 100; i++)
		idle[i] = tenant_make(&rig, 2 + i, 4);
	theirs = program_make(&rig, idle[50], 0, 1, 1, chain);
	for (int i = 0; i < 30; i++)
		one_request(&rig, busy); /* 40 us of virtual time each */
	assert_false(dozes(busy));
	for (int i = 0; i < 100; i++)
		assert_true(dozes(idle[i]));
	assert_ptr_equal(rig.d->awake, &busy->t);
	assert_null(busy->t.awake_next);
	assert_int_equal(rig.d->nr_dozing, 100);
	one_request(&rig, idle[50]);
	assert_false(dozes(idle[50]));
	assert_int_equal(rig.d->nr_dozing, 99);
	for (int i = 0; i < 100; i++)
		tenant_remove(&rig, idle[i]);
	assert_int_equal(rig.d->nr_dozing, 0);
	program_free_memory(&rig, theirs);
	tenant_remove(&rig, busy);
	assert_null(rig.d->awake);
	program_free_memory(&rig, program);
	rig_close(&rig);
}

/* A tenant that waits for something long is awake when that completes, for what it sends next. */
static void test_completion_wakes(void **state)
{
	struct fake_program *long_program, *short_program;
	struct fake_tenant *f, *other;
	struct rig rig;

	(void)state;
	rig_open(&rig, (struct device_config){ .sim_step_ns = 100000, .sim_lanes = 2 }, turn);
	f = tenant_make(&rig, 1, 4);
	other = tenant_make(&rig, 2, 4);
	long_program = program_make(&rig, f, 0, 20, 1, chain);
	short_program = program_make(&rig, other, 0, 1, 1, chain);
	push(f, 0, 1, 0);
	for (int i = 0; i < 200 && !dozes(f); i++) {
		if (other->sq_tail == other->cq_head)
			push(other, 0, 2, 0);
		dispatcher_turn(rig.d);
		while (reapable(other))
			reap(other);
	}
	assert_true(dozes(f));
	assert_int_equal(f->t.inflight, 1);
	rig_run(&rig);
	assert_int_equal(reap(f).status, OOO_OK);
	assert_false(dozes(f));
	tenant_remove(&rig, f);
	tenant_remove(&rig, other);
	program_free_memory(&rig, long_program);
	program_free_memory(&rig, short_program);
	rig_close(&rig);
}

static void test_dropped_stays_out(void **state)
{
	struct fake_program *program;
	struct fake_tenant *bad;
	struct rig rig;

	(void)state;
	rig_open(&rig, (struct device_config){ 0 }, turn);
	bad = tenant_make(&rig, 1, 4);
	program = program_make(&rig, bad, 0, 1, 1, chain);
	bad->t.ring.ring->sq_tail = 1000;
	rig_run(&rig);
	assert_true(bad->t.dropped);
	assert_null(rig.d->awake);
	assert_int_equal(eventfd_write(bad->t.sq_eventfd, 1), 0);
	rig_run(&rig);
	assert_null(rig.d->awake);
	assert_int_equal(rig.d->nr_dozing, 0);
	tenant_remove(&rig, bad);
	program_free_memory(&rig, program);
	rig_close(&rig);
}

/*
 * The handshake with a real dispatcher thread, real time and tenants in threads of their own, which
 * pause for longer and for less long than it takes them to doze and the dispatcher to sleep.
 */
#define STRESS_TENANTS 6
#define STRESS_ROUNDS  1500

struct stress {
	struct fake_tenant *f;
	uint64_t random;
	bool lost;
	pthread_t thread;
};

static uint64_t xorshift(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	return *s ^= *s << 17;
}

static void pause_ns(uint64_t ns)
{
	struct timespec ts = { .tv_nsec = (long)ns };

	if (ns)
		nanosleep(&ts, NULL);
}

static void stress_submit(struct fake_tenant *f)
{
	struct ring_map *m = &f->t.ring;

	m->sqes[f->sq_tail & m->sq_mask] = (struct ooo_sqe){ .op = OOO_SQE_SUBMIT };
	ring_store_release(&m->ring->sq_tail, ++f->sq_tail);
	/* Pairs with the dispatcher's fence between setting NEED_WAKEUP and looking at sq_tail. */
	ring_full_fence();
	if (ring_load_relaxed(&m->ring->agent_flags) & OOO_RING_NEED_WAKEUP)
		eventfd_write(f->t.sq_eventfd, 1);
}

static void *stress_main(void *arg)
{
	struct stress *s = arg;
	struct ooo_ring *ring = s->f->t.ring.ring;

	for (int i = 0; i < STRESS_ROUNDS && !s->lost; i++) {
		static const uint64_t pauses[] = { 0, 0, 0, 30000, 60000, 200000, 550000, 900000 };
		uint64_t waited = 0;

		stress_submit(s->f);
		while (ring_load_acquire(&ring->cq_tail) == s->f->cq_head && !s->lost) {
			pause_ns(20000);
			/* A minute: not slow, but lost. */
			s->lost = ++waited > 60000000000ull / 20000;
		}
		ring_store_release(&ring->cq_head, ++s->f->cq_head);
		pause_ns(pauses[xorshift(&s->random) % 8]);
	}
	return NULL;
}

static void test_no_wakeup_is_lost(void **state)
{
	struct fake_program *program[STRESS_TENANTS];
	struct stress s[STRESS_TENANTS];
	struct device_ops ops = sim_device_ops;
	struct mail stop = { .type = MAIL_STOP };
	struct dispatcher *d;
	struct rig rig;

	(void)state;
	/* Made and added by hand, then handed to a dispatcher of its own thread and the real clock. */
	rig_open(&rig, (struct device_config){ 0 }, turn);
	ops.clock_ns = NULL;
	for (uint32_t i = 0; i < STRESS_TENANTS; i++) {
		s[i] = (struct stress){ .f = tenant_make(&rig, i, 4), .random = 88172645 + i };
		program[i] = program_make(&rig, s[i].f, 0, 2, 1, chain);
	}
	dispatcher_free(rig.d);
	assert_int_equal(dispatcher_start(&turn, &ops, rig.dev, &rig.mb, &d), 0);
	for (uint32_t i = 0; i < STRESS_TENANTS; i++) {
		struct mail mail = { .type = MAIL_TENANT_ADD, .tenant = &s[i].f->t };

		s[i].f->t.awake = s[i].f->t.dozing = false;
		assert_int_equal(mailbox_send(&rig.mb, &mail), 0);
		while (!mailbox_returned(&rig.mb))
			pause_ns(100000);
		assert_int_equal(mail.result, 0);
	}
	for (uint32_t i = 0; i < STRESS_TENANTS; i++)
		assert_int_equal(pthread_create(&s[i].thread, NULL, stress_main, &s[i]), 0);
	for (uint32_t i = 0; i < STRESS_TENANTS; i++) {
		pthread_join(s[i].thread, NULL);
		assert_false(s[i].lost);
		assert_int_equal(s[i].f->cq_head, STRESS_ROUNDS);
	}
	assert_int_equal(mailbox_send(&rig.mb, &stop), 0);
	while (!mailbox_returned(&rig.mb))
		pause_ns(100000);
	dispatcher_join(d);
	for (uint32_t i = 0; i < STRESS_TENANTS; i++) {
		program_free_memory(&rig, program[i]);
		tenant_free_memory(s[i].f);
	}
	mailbox_fini(&rig.mb);
	sim_device_ops.close(rig.dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle_tenants_doze),
		cmocka_unit_test(test_completion_wakes),
		cmocka_unit_test(test_dropped_stays_out),
		cmocka_unit_test(test_no_wakeup_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
