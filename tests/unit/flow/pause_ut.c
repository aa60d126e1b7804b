/* SPDX-License-Identifier: Apache-2.0 */
/* The flow stands still for a handover: nothing is fetched, nothing is lost, and it can go on. */
#include "tests/unit/flow/harness.h"

static const struct turn_config turn = TURN_CONFIG_DEFAULT;

struct scene {
	struct rig rig;
	struct fake_tenant *f;
	struct fake_program *p;
};

static void begin(struct scene *s, struct device_config cfg, struct turn_config config)
{
	rig_open(&s->rig, cfg, config);
	s->f = tenant_make(&s->rig, 1, 32);
	s->p = program_make(&s->rig, s->f, 0, 4, 2, chain);
}

static void end(struct scene *s)
{
	tenant_remove(&s->rig, s->f);
	program_free_memory(&s->rig, s->p);
	rig_close(&s->rig);
}

static void submit(struct scene *s, uint64_t from, uint64_t to)
{
	for (uint64_t c = from; c < to; c++)
		push(s->f, 0, c, 0);
}

/* All completions that are there, each cookie once; how many have this status. */
static unsigned count(struct scene *s, uint64_t *seen, uint32_t status)
{
	unsigned n = 0;

	while (reapable(s->f)) {
		struct ooo_cqe cqe = reap(s->f);

		assert_in_range(cqe.cookie, 0, 63);
		assert_false(*seen >> cqe.cookie & 1);
		*seen |= 1ull << cqe.cookie;
		n += cqe.status == status;
	}
	return n;
}

static void accepted_work_completes(void **state)
{
	struct mail pause = { .type = MAIL_PAUSE, .index = 100000 };
	struct scene s;
	uint64_t seen = 0;

	(void)state;
	begin(&s, (struct device_config){ .sim_step_ns = 1000 }, turn);
	submit(&s, 0, 6);
	dispatcher_turn(s.rig.d);
	assert_int_equal(mailbox_send(&s.rig.mb, &pause), 0);
	submit(&s, 6, 12); /* may come too late to be fetched */
	rig_run(&s.rig);
	assert_ptr_equal(mailbox_returned(&s.rig.mb), &pause);
	assert_int_equal(s.rig.d->nr_requests, 0);
	assert_int_equal(s.f->t.ring.sq_head, 6);
	assert_int_equal(count(&s, &seen, OOO_OK), 6);
	rig_mail(&s.rig, (struct mail){ .type = MAIL_RESUME });
	rig_run(&s.rig);
	assert_int_equal(count(&s, &seen, OOO_OK), 6);
	assert_true(seen == (1ull << 12) - 1);
	end(&s);
}

/* No time left: what runs and what waits says that it may be submitted again, once. */
static void what_takes_too_long_is_reset(void **state)
{
	struct mail pause = { .type = MAIL_PAUSE };
	struct scene s;
	uint64_t seen = 0;

	(void)state;
	begin(&s, (struct device_config){ .sim_step_ns = 1000000 }, turn);
	submit(&s, 0, 10);
	dispatcher_turn(s.rig.d);
	assert_int_equal(s.rig.d->nr_requests, 10);
	assert_int_equal(mailbox_send(&s.rig.mb, &pause), 0);
	rig_run(&s.rig);
	assert_ptr_equal(mailbox_returned(&s.rig.mb), &pause);
	assert_in_range(count(&s, &seen, OOO_DEVICE_RESET), 1, 10);
	assert_true(seen == (1ull << 10) - 1);
	assert_int_equal(s.p->inst.nr_free_slots, 2);
	assert_int_equal(s.p->inst.inflight, 0);
	rig_mail(&s.rig, (struct mail){ .type = MAIL_RESUME });
	submit(&s, 10, 14);
	rig_run(&s.rig);
	assert_int_equal(count(&s, &seen, OOO_OK), 4);
	end(&s);
}

/* A pause that is called off gives its mail back first. */
static void resume_ends_a_pause(void **state)
{
	struct mail pause = { .type = MAIL_PAUSE, .index = 100000 };
	struct mail resume = { .type = MAIL_RESUME };
	struct scene s;
	uint64_t seen = 0;

	(void)state;
	begin(&s, (struct device_config){ .sim_step_ns = 1000000 }, turn);
	submit(&s, 0, 4);
	dispatcher_turn(s.rig.d);
	assert_int_equal(mailbox_send(&s.rig.mb, &pause), 0);
	assert_int_equal(mailbox_send(&s.rig.mb, &resume), 0);
	dispatcher_turn(s.rig.d);
	assert_ptr_equal(mailbox_returned(&s.rig.mb), &pause);
	assert_ptr_equal(mailbox_returned(&s.rig.mb), &resume);
	submit(&s, 4, 8);
	rig_run(&s.rig);
	assert_int_equal(count(&s, &seen, OOO_OK), 8);
	end(&s);
}

static void begins_halted(void **state)
{
	struct turn_config config = turn;
	struct scene s;
	uint64_t seen = 0;

	(void)state;
	config.halted = true;
	begin(&s, (struct device_config){ .sim_step_ns = 1000 }, config);
	submit(&s, 0, 3);
	rig_run(&s.rig);
	assert_int_equal(s.f->t.ring.sq_head, 0);
	rig_mail(&s.rig, (struct mail){ .type = MAIL_RESUME });
	rig_run(&s.rig);
	assert_int_equal(count(&s, &seen, OOO_OK), 3);
	end(&s);
}

/* The door may mend it: nobody is told that it is gone before the door says so. */
static void a_lost_device_waits_for_the_door(void **state)
{
	struct device_config cfg = { .sim_step_ns = 1000,
				     .sim_fail_every = 7,
				     .sim_fail_scope = SCOPE_DEVICE };
	struct turn_config config = turn;
	struct scene s;
	uint64_t seen = 0;

	(void)state;
	config.mend = true;
	begin(&s, cfg, config);
	submit(&s, 0, 8);
	while (!s.rig.d->stats.lost)
		dispatcher_turn(s.rig.d);
	submit(&s, 8, 10);
	rig_run(&s.rig);
	assert_int_equal(s.rig.d->stats.gone, 0);
	assert_int_equal(s.rig.d->nr_requests, 0);
	assert_int_equal(s.rig.d->nr_flying, 0);
	assert_in_range(count(&s, &seen, OOO_DEVICE_RESET), 1, 8);
	assert_true(seen == (1ull << 8) - 1);
	rig_mail(&s.rig, (struct mail){ .type = MAIL_PAUSE, .index = 1000 });
	rig_mail(&s.rig, (struct mail){ .type = MAIL_RESUME }); /* it does not */
	rig_run(&s.rig);
	assert_int_equal(s.rig.d->stats.gone, 1);
	assert_int_equal(count(&s, &seen, OOO_DEVICE_GONE), 2);
	end(&s);
}

static void a_device_that_is_gone_from_the_start(void **state)
{
	struct turn_config config = turn;
	struct scene s;
	uint64_t seen = 0;

	(void)state;
	config.gone = true;
	begin(&s, (struct device_config){ .sim_step_ns = 1000 }, config);
	submit(&s, 0, 3);
	rig_run(&s.rig);
	assert_int_equal(count(&s, &seen, OOO_DEVICE_GONE), 3);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepted_work_completes),
		cmocka_unit_test(what_takes_too_long_is_reset),
		cmocka_unit_test(resume_ends_a_pause),
		cmocka_unit_test(begins_halted),
		cmocka_unit_test(a_lost_device_waits_for_the_door),
		cmocka_unit_test(a_device_that_is_gone_from_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
