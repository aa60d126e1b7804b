// SPDX-License-Identifier: Apache-2.0
/* The six stages together, turn by turn, on the sim device: right, exactly once, and alone in failure. */
#include <errno.h>

#include "shared/abi/ring_sync.h"
#include "tests/unit/flow/harness.h"

static const struct turn_config turn = TURN_CONFIG_DEFAULT;

static void completes_each_request_once(void **state)
{
	struct device_config cfg = { .sim_step_ns = 1000 };
	struct rig rig;
	struct fake_tenant *f;
	struct fake_program *p;
	uint64_t seen = 0;

	(void)state;
	rig_open(&rig, cfg, turn);
	f = tenant_make(&rig, 1, 64);
	p = program_make(&rig, f, 3, 5, 4, chain);
	for (uint64_t i = 0; i < 60; i++)
		push(f, 3, i, 0);
	rig_run(&rig);
	assert_int_equal(reapable(f), 60);
	for (int i = 0; i < 60; i++) {
		struct ooo_cqe cqe = reap(f);

		assert_int_equal(cqe.status, OOO_OK);
		assert_false(seen >> cqe.cookie & 1);
		seen |= 1ull << cqe.cookie;
		assert_true(cqe.start_ns >= cqe.fetch_ns && cqe.finish_ns > cqe.start_ns);
	}
	assert_int_equal(f->t.stats.completed, 60);
	assert_int_equal(f->t.stats.steps, 300);
	assert_int_equal(p->inst.nr_free_slots, 4);
	tenant_remove(&rig, f);
	program_free_memory(&rig, p);
	rig_close(&rig);
}

static void tenants_share_bundles(void **state)
{
	struct device_config cfg = { .sim_step_ns = 1000 };
	struct rig rig;
	struct fake_tenant *f[4];
	struct fake_program *p[4];

	(void)state;
	rig_open(&rig, cfg, turn);
	for (uint32_t i = 0; i < 4; i++) {
		f[i] = tenant_make(&rig, i, 8);
		p[i] = program_make(&rig, f[i], 0, 10, 2, chain);
	}
	for (uint32_t i = 0; i < 4; i++)
		push(f[i], 0, i, 0);
	rig_run(&rig);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(reap(f[i]).width, 4 * 16);
	assert_int_equal(rig.d->stats.bundles, 10);
	assert_int_equal(rig.d->stats.shared_bundles, 10);
	for (uint32_t i = 0; i < 4; i++) {
		tenant_remove(&rig, f[i]);
		program_free_memory(&rig, p[i]);
	}
	rig_close(&rig);
}

/* Same program and step: adjacent in the bundle, wherever the policy put them. */
static void same_weights_stand_together(void **state)
{
	struct rig rig;
	struct fake_tenant *f[2];
	struct fake_program *p[2];
	struct bundle *b;

	(void)state;
	rig_open(&rig, (struct device_config){ 0 }, turn);
	for (uint32_t i = 0; i < 2; i++) {
		f[i] = tenant_make(&rig, i, 8);
		p[i] = program_make(&rig, f[i], 0, 1, 4, chain);
	}
	for (uint64_t c = 0; c < 8; c++)
		push(f[c % 2], 0, c, 0);
	rig.d->now_ns = 1;
	fetch_run(rig.d);
	bind_run(rig.d);
	window_run(rig.d);
	bundle_run(rig.d);
	b = rig.d->lanes[0].built_head;
	assert_non_null(b);
	assert_int_equal(b->nr_items, 8);
	for (int i = 1; i < 8; i++) {
		if (i != 4)
			assert_ptr_equal(b->items[i].program, b->items[i - 1].program);
	}
	assert_int_equal(rig.d->stats.merged_items, 6);
	rig_run(&rig);
	for (uint32_t i = 0; i < 2; i++) {
		tenant_remove(&rig, f[i]);
		program_free_memory(&rig, p[i]);
	}
	rig_close(&rig);
}

static bool diamond(uint32_t i, uint32_t j)
{
	return (i == 0 && (j == 1 || j == 2)) || (j == 3 && (i == 1 || i == 2));
}

static void branches_of_one_request_share_a_bundle(void **state)
{
	struct rig rig;
	struct fake_tenant *f;
	struct fake_program *p;

	(void)state;
	rig_open(&rig, (struct device_config){ 0 }, turn);
	f = tenant_make(&rig, 1, 8);
	p = program_make(&rig, f, 0, 4, 1, diamond);
	push(f, 0, 7, 0);
	rig_run(&rig);
	assert_int_equal(reap(f).status, OOO_OK);
	assert_int_equal(rig.d->stats.bundles, 3);
	assert_int_equal(rig.d->stats.items, 4);
	tenant_remove(&rig, f);
	program_free_memory(&rig, p);
	rig_close(&rig);
}

static void earliest_deadline_goes_first(void **state)
{
	struct device_config cfg = { .sim_step_ns = 1000000 };
	struct turn_config narrow = { .max_width = 1, .runahead_us = 0, .bundle_us = 1 };
	struct rig rig;
	struct fake_tenant *f;
	struct fake_program *p;
	uint64_t now;

	(void)state;
	rig_open(&rig, cfg, narrow);
	f = tenant_make(&rig, 1, 8);
	p = program_make(&rig, f, 0, 1, 8, chain);
	now = sim_device_ops.clock_ns(rig.dev);
	push(f, 0, 1, 0);
	push(f, 0, 2, now + 1000000000);
	push(f, 0, 3, now + 500000000);
	rig_run(&rig);
	assert_int_equal(reap(f).cookie, 3);
	assert_int_equal(reap(f).cookie, 2);
	assert_int_equal(reap(f).cookie, 1);
	tenant_remove(&rig, f);
	program_free_memory(&rig, p);
	rig_close(&rig);
}

static void service_follows_weights(void **state)
{
	struct device_config cfg = { .sim_step_ns = 100000 };
	struct turn_config narrow = { .max_width = 1, .runahead_us = 0, .bundle_us = 1 };
	struct rig rig;
	struct fake_tenant *f[3];
	struct fake_program *p[3];
	uint64_t total = 0;

	(void)state;
	rig_open(&rig, cfg, narrow);
	for (uint32_t i = 0; i < 3; i++) {
		f[i] = tenant_make(&rig, i, 64);
		f[i]->t.params.weight = 100u << i;
		p[i] = program_make(&rig, f[i], 0, 1 + i, 64, chain);
	}
	for (int turns = 0; turns < 20000; turns++) {
		for (uint32_t i = 0; i < 3; i++) {
			while (reapable(f[i]))
				reap(f[i]);
			while (f[i]->t.inflight + (f[i]->sq_tail - f[i]->t.ring.sq_head) < 32)
				push(f[i], 0, 0, 0);
		}
		dispatcher_turn(rig.d);
	}
	for (uint32_t i = 0; i < 3; i++)
		total += f[i]->t.stats.service_ns;
	for (uint32_t i = 0; i < 3; i++) {
		double share = (double)f[i]->t.stats.service_ns / (double)total;

		assert_true(share > (1 << i) / 7.0 * 0.98 && share < (1 << i) / 7.0 * 1.02);
	}
	for (uint32_t i = 0; i < 3; i++) {
		tenant_remove(&rig, f[i]);
		program_free_memory(&rig, p[i]);
	}
	rig_close(&rig);
}

static void refusals_name_what_is_wrong(void **state)
{
	struct rig rig;
	struct fake_tenant *f;
	struct fake_program *p;

	(void)state;
	rig_open(&rig, (struct device_config){ 0 }, turn);
	f = tenant_make(&rig, 1, 8);
	p = program_make(&rig, f, 0, 1, 1, chain);
	push(f, 1, 10, 0);
	push(f, 0xffffffff, 11, 0);
	push_sqe(f, (struct ooo_sqe){ .op = OOO_SQE_SUBMIT, .binding = 1, .cookie = 12 });
	push_sqe(f, (struct ooo_sqe){ .op = OOO_SQE_SUBMIT, .binding = ~0u, .cookie = 13 });
	push(f, 0, 14, 1);
	push_sqe(f, (struct ooo_sqe){ .op = 99, .cookie = 15 });
	push_sqe(f, (struct ooo_sqe){ .op = OOO_SQE_SUBMIT, .resv1 = 1, .cookie = 16 });
	push(f, 0, 17, 0);
	rig_run(&rig);
	assert_int_equal(reapable(f), 8);
	while (reapable(f)) {
		static const uint32_t want[] = { OOO_NO_PROGRAM, OOO_NO_PROGRAM, OOO_NO_BINDING,
						 OOO_NO_BINDING, OOO_REFUSED,    OOO_BAD_SLOT,
						 OOO_BAD_SLOT,   OOO_OK };
		struct ooo_cqe cqe = reap(f);

		assert_int_equal(cqe.status, want[cqe.cookie - 10]);
	}
	tenant_remove(&rig, f);
	program_free_memory(&rig, p);
	rig_close(&rig);
}

static void lying_index_drops_that_tenant_alone(void **state)
{
	struct device_config cfg = { .sim_step_ns = 1000 };
	struct rig rig;
	struct fake_tenant *bad, *good;
	struct fake_program *p[2];

	(void)state;
	rig_open(&rig, cfg, turn);
	bad = tenant_make(&rig, 1, 8);
	good = tenant_make(&rig, 2, 8);
	p[0] = program_make(&rig, bad, 0, 3, 1, chain);
	p[1] = program_make(&rig, good, 0, 3, 1, chain);
	push(bad, 0, 1, 0);
	dispatcher_turn(rig.d);
	bad->t.ring.ring->sq_tail = bad->sq_tail + 1000;
	push(good, 0, 2, 0);
	rig_run(&rig);
	assert_true(bad->t.dropped);
	assert_int_equal(bad->t.ring.ring->agent_state, OOO_AGENT_DROPPED);
	assert_false(good->t.dropped);
	assert_int_equal(reap(good).status, OOO_OK);
	tenant_remove(&rig, bad);
	tenant_remove(&rig, good);
	program_free_memory(&rig, p[0]);
	program_free_memory(&rig, p[1]);
	rig_close(&rig);
}

static void unread_completions_stall_only_their_tenant(void **state)
{
	struct rig rig;
	struct fake_tenant *slow, *good;
	struct fake_program *p[2];

	(void)state;
	rig_open(&rig, (struct device_config){ 0 }, turn);
	slow = tenant_make(&rig, 1, 8);
	good = tenant_make(&rig, 2, 8);
	p[0] = program_make(&rig, slow, 0, 1, 2, chain);
	p[1] = program_make(&rig, good, 0, 1, 2, chain);
	for (uint64_t i = 0; i < 40; i++) {
		if (slow->sq_tail - slow->t.ring.sq_head < 8)
			push(slow, 0, i, 0);
		push(good, 0, i, 0);
		rig_run(&rig);
		assert_int_equal(reap(good).cookie, i);
	}
	assert_int_equal(reapable(slow), slow->t.ring.cq_entries);
	assert_int_equal(reap(slow).cookie, 0);
	rig_run(&rig);
	assert_int_equal(reapable(slow), slow->t.ring.cq_entries);
	tenant_remove(&rig, slow);
	tenant_remove(&rig, good);
	program_free_memory(&rig, p[0]);
	program_free_memory(&rig, p[1]);
	rig_close(&rig);
}

static void cancel_answers_and_stops(void **state)
{
	struct device_config cfg = { .sim_step_ns = 1000 };
	struct rig rig;
	struct fake_tenant *f;
	struct fake_program *p;
	int cancelled = 0, done = 0, replies = 0;

	(void)state;
	rig_open(&rig, cfg, turn);
	f = tenant_make(&rig, 1, 16);
	p = program_make(&rig, f, 0, 3, 1, chain);
	for (uint64_t i = 0; i < 4; i++)
		push(f, 0, i, 0);
	dispatcher_turn(rig.d); /* one has the slot, three wait for it */
	push_sqe(f, (struct ooo_sqe){ .op = OOO_SQE_CANCEL, .cookie = 2 });
	push_sqe(f, (struct ooo_sqe){ .op = OOO_SQE_CANCEL, .cookie = 77 });
	rig_run(&rig);
	assert_int_equal(reapable(f), 6);
	while (reapable(f)) {
		struct ooo_cqe cqe = reap(f);

		if (cqe.flags & OOO_CQE_CANCEL) {
			assert_int_equal(cqe.status, cqe.cookie == 2 ? OOO_OK : OOO_INVALID);
			replies++;
		} else if (cqe.status == OOO_CANCELLED) {
			assert_int_equal(cqe.cookie, 2);
			cancelled++;
		} else {
			assert_int_equal(cqe.status, OOO_OK);
			done++;
		}
	}
	assert_int_equal(replies, 2);
	assert_int_equal(cancelled, 1);
	assert_int_equal(done, 3);
	tenant_remove(&rig, f);
	program_free_memory(&rig, p);
	rig_close(&rig);
}

static void tenant_leaves_with_work_in_flight(void **state)
{
	struct device_config cfg = { .sim_step_ns = 1000 };
	struct rig rig;
	struct fake_tenant *gone, *stays;
	struct fake_program *p[2];

	(void)state;
	for (int turns = 0; turns < 8; turns++) {
		rig_open(&rig, cfg, turn);
		gone = tenant_make(&rig, 1, 16);
		stays = tenant_make(&rig, 2, 16);
		p[0] = program_make(&rig, gone, 0, 6, 2, chain);
		p[1] = program_make(&rig, stays, 0, 6, 2, chain);
		for (uint64_t i = 0; i < 10; i++) {
			push(gone, 0, i, 0);
			push(stays, 0, i, 0);
		}
		for (int i = 0; i < turns; i++)
			dispatcher_turn(rig.d);
		tenant_remove(&rig, gone);
		rig_run(&rig);
		assert_int_equal(reapable(stays), 10);
		while (reapable(stays))
			assert_int_equal(reap(stays).status, OOO_OK);
		tenant_remove(&rig, stays);
		program_free_memory(&rig, p[0]);
		program_free_memory(&rig, p[1]);
		rig_close(&rig);
	}
}

static void device_failure_is_retryable(void **state)
{
	struct device_config cfg = { .sim_step_ns = 1000,
				     .sim_fail_every = 4,
				     .sim_fail_scope = SCOPE_CONTEXT };
	struct rig rig;
	struct fake_tenant *f;
	struct fake_program *p;
	int failed = 0;

	(void)state;
	rig_open(&rig, cfg, turn);
	f = tenant_make(&rig, 1, 16);
	p = program_make(&rig, f, 0, 3, 1, chain);
	for (uint64_t i = 0; i < 12; i++)
		push(f, 0, i, 0);
	rig_run(&rig);
	assert_int_equal(reapable(f), 12);
	while (reapable(f)) {
		struct ooo_cqe cqe = reap(f);

		assert_true(cqe.status == OOO_OK || cqe.status == OOO_DEVICE_RESET);
		failed += cqe.status == OOO_DEVICE_RESET;
	}
	assert_true(failed > 0 && failed < 12);
	assert_int_equal(p->inst.nr_free_slots, 1);
	tenant_remove(&rig, f);
	program_free_memory(&rig, p);
	rig_close(&rig);
}

/* All that is in flight in all lanes dies at once; what waits, and what comes, runs. */
static void context_failure_takes_all_that_is_active(void **state)
{
	struct device_config cfg = { .sim_step_ns = 1000000,
				     .sim_lanes = 4,
				     .sim_fail_every = 6,
				     .sim_fail_scope = SCOPE_CONTEXT };
	struct rig rig;
	struct fake_tenant *f[2];
	struct fake_program *p[2];
	int failed = 0;

	(void)state;
	rig_open(&rig, cfg, turn);
	for (uint32_t i = 0; i < 2; i++) {
		f[i] = tenant_make(&rig, i, 16);
		p[i] = program_make(&rig, f[i], 0, 3, 2, chain);
		p[i]->inst.work_ns = 100000000; /* long: lanes open */
	}
	for (uint64_t c = 0; c < 8; c++)
		push(f[c % 2], 0, c, 0);
	while (!rig.d->stats.resets)
		dispatcher_turn(rig.d);
	assert_int_equal(rig.d->nr_flying, 0);
	for (unsigned lane = 0; lane < 4; lane++)
		assert_null(rig.d->lanes[lane].built_head);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(reapable(f[i]), 2);
	rig_run(&rig);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(reapable(f[i]), 4);
		while (reapable(f[i])) {
			uint32_t status = reap(f[i]).status;

			assert_true(status == OOO_OK || status == OOO_DEVICE_RESET);
			failed += status == OOO_DEVICE_RESET;
		}
		assert_false(f[i]->t.dropped);
		assert_int_equal(p[i]->inst.nr_free_slots, 2);
	}
	assert_true(failed >= 4);
	for (uint32_t i = 0; i < 2; i++) {
		tenant_remove(&rig, f[i]);
		program_free_memory(&rig, p[i]);
	}
	rig_close(&rig);
}

static void lost_device_refuses_what_comes(void **state)
{
	struct device_config cfg = { .sim_step_ns = 1000,
				     .sim_fail_every = 3,
				     .sim_fail_scope = SCOPE_DEVICE };
	struct rig rig;
	struct fake_tenant *f;
	struct fake_program *p;
	uint32_t resets = 0;

	(void)state;
	rig_open(&rig, cfg, turn);
	f = tenant_make(&rig, 1, 16);
	p = program_make(&rig, f, 0, 4, 2, chain);
	for (uint64_t c = 0; c < 6; c++)
		push(f, 0, c, 0);
	rig_run(&rig);
	assert_int_equal(reapable(f), 6);
	while (reapable(f)) {
		uint32_t status = reap(f).status;

		assert_true(status == OOO_DEVICE_RESET || status == OOO_DEVICE_GONE);
		resets += status == OOO_DEVICE_RESET;
	}
	assert_int_equal(resets, 2);
	assert_int_equal(rig.d->stats.gone, 1);
	push(f, 0, 7, 0);
	rig_run(&rig);
	assert_int_equal(reap(f).status, OOO_DEVICE_GONE);
	assert_int_equal(rig.d->nr_flying, 0);
	tenant_remove(&rig, f);
	program_free_memory(&rig, p);
	rig_close(&rig);
}

static void bad_index_fails_one_request(void **state)
{
	struct device_config cfg = { .sim_step_ns = 1000,
				     .sim_fail_every = 5,
				     .sim_fail_scope = SCOPE_REQUEST };
	struct rig rig;
	struct fake_tenant *f;
	struct fake_program *p;
	int failed = 0;

	(void)state;
	rig_open(&rig, cfg, turn);
	f = tenant_make(&rig, 1, 16);
	p = program_make(&rig, f, 0, 2, 4, chain);
	for (uint64_t i = 0; i < 16; i++)
		push(f, 0, i, 0);
	rig_run(&rig);
	assert_int_equal(reapable(f), 16);
	while (reapable(f))
		failed += reap(f).status == OOO_BAD_INDEX;
	assert_int_equal(failed, rig.d->stats.bundles / 5);
	tenant_remove(&rig, f);
	program_free_memory(&rig, p);
	rig_close(&rig);
}

static void drain_finishes_what_was_taken(void **state)
{
	struct device_config cfg = { .sim_step_ns = 1000 };
	struct rig rig;
	struct fake_tenant *f;
	struct fake_program *p;
	struct mail drain = { .type = MAIL_DRAIN };

	(void)state;
	rig_open(&rig, cfg, turn);
	f = tenant_make(&rig, 1, 16);
	p = program_make(&rig, f, 0, 4, 1, chain);
	for (uint64_t i = 0; i < 5; i++)
		push(f, 0, i, 0);
	dispatcher_turn(rig.d);
	assert_int_equal(mailbox_send(&rig.mb, &drain), 0);
	dispatcher_turn(rig.d);
	push(f, 0, 99, 0);
	rig_run(&rig);
	assert_ptr_equal(mailbox_returned(&rig.mb), &drain);
	assert_int_equal(f->t.ring.ring->agent_state, OOO_AGENT_DRAINING);
	assert_int_equal(reapable(f), 6);
	while (reapable(f)) {
		struct ooo_cqe cqe = reap(f);

		assert_int_equal(cqe.status, cqe.cookie == 99 ? OOO_DRAINING : OOO_OK);
	}
	tenant_remove(&rig, f);
	program_free_memory(&rig, p);
	rig_close(&rig);
}

static void busy_programs_cannot_be_removed(void **state)
{
	struct device_config cfg = { .sim_step_ns = 1000 };
	struct rig rig;
	struct fake_tenant *f;
	struct fake_program *p;
	struct mail del = { .type = MAIL_PROGRAM_DEL }, unbind = { .type = MAIL_BIND_DEL };

	(void)state;
	rig_open(&rig, cfg, turn);
	f = tenant_make(&rig, 1, 8);
	p = program_make(&rig, f, 0, 1, 1, chain);
	push(f, 0, 1, 0);
	rig.d->now_ns = 1;
	fetch_run(rig.d);
	bind_run(rig.d);
	del.inst = unbind.inst = &p->inst;
	mailbox_send(&rig.mb, &del);
	mailbox_send(&rig.mb, &unbind);
	mail_run(rig.d);
	assert_int_equal(del.result, -EBUSY);
	assert_int_equal(unbind.result, -EBUSY);
	while (mailbox_returned(&rig.mb))
		;
	rig_run(&rig);
	assert_int_equal(rig_mail(&rig, unbind).result, 0);
	assert_int_equal(rig_mail(&rig, del).result, 0);
	push(f, 0, 2, 0);
	rig_run(&rig);
	reap(f);
	assert_int_equal(reap(f).status, OOO_NO_PROGRAM);
	tenant_remove(&rig, f);
	program_free_memory(&rig, p);
	rig_close(&rig);
}

static void steps_of_one_class_share_a_bundle(void **state)
{
	struct rig rig;
	struct fake_tenant *f[4];
	struct fake_program *p[4];

	(void)state;
	rig_open(&rig, (struct device_config){ 0 }, turn);
	rig_caps(&rig)->mixed_classes = false;
	for (uint32_t i = 0; i < 4; i++) {
		f[i] = tenant_make(&rig, i, 8);
		p[i] = program_make(&rig, f[i], 0, 1, 1, chain);
		p[i]->inst.klass[0] = (uint16_t)(i % 2);
	}
	for (uint32_t i = 0; i < 4; i++)
		push(f[i], 0, i, 0);
	rig_run(&rig);
	assert_int_equal(rig.d->stats.bundles, 2);
	assert_int_equal(rig.d->stats.items, 4);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(reap(f[i]).width, 2 * 16);
		tenant_remove(&rig, f[i]);
		program_free_memory(&rig, p[i]);
	}
	rig_close(&rig);
}

/* Requests long enough to open lanes, each with a chain of steps. */
struct lanes_rig {
	struct rig rig;
	struct fake_tenant *f;
	struct fake_program *p;
};

static void lanes_open(struct lanes_rig *l, uint32_t lanes, struct turn_config config)
{
	struct device_config cfg = { .sim_step_ns = 1000000, .sim_lanes = lanes };

	rig_open(&l->rig, cfg, config);
	l->f = tenant_make(&l->rig, 1, 64);
	l->p = program_make(&l->rig, l->f, 0, 8, 64, chain);
	for (uint32_t i = 0; i < 8; i++)
		l->p->inst.cost_ns[i] = 1000000;
	l->p->inst.work_ns = 8000000;
}

static void lanes_close(struct lanes_rig *l)
{
	tenant_remove(&l->rig, l->f);
	program_free_memory(&l->rig, l->p);
	rig_close(&l->rig);
}

static void lanes_run_side_by_side(void **state)
{
	struct lanes_rig l;
	uint64_t start;

	(void)state;
	lanes_open(&l, 4, turn);
	start = sim_device_ops.clock_ns(l.rig.dev);
	for (uint64_t i = 0; i < 4; i++)
		push(l.f, 0, i, 0);
	rig_run(&l.rig);
	for (int i = 0; i < 4; i++)
		assert_int_equal(reap(l.f).finish_ns - start, 8000000);
	assert_int_equal(l.rig.d->stats.bundles, 32);
	lanes_close(&l);
}

/* A request's steps depend on each other by the order of their lane: they may not change it. */
static void a_request_keeps_its_lane(void **state)
{
	struct turn_config wide = { .runahead_us = 1000000, .bundle_us = 2000 };
	struct lanes_rig l;

	(void)state;
	lanes_open(&l, 4, wide);
	for (uint64_t i = 0; i < 12; i++)
		push(l.f, 0, i, 0);
	l.rig.d->now_ns = sim_device_ops.clock_ns(l.rig.dev);
	fetch_run(l.rig.d);
	bind_run(l.rig.d);
	window_run(l.rig.d);
	bundle_run(l.rig.d);
	for (uint32_t lane = 0; lane < 4; lane++) {
		assert_int_equal(l.rig.d->loads[lane].nr_requests, 3);
		assert_non_null(l.rig.d->lanes[lane].built_head);
		for (struct bundle *b = l.rig.d->lanes[lane].built_head; b; b = b->next) {
			assert_int_equal(b->lane, lane);
			for (uint32_t i = 0; i < b->nr_items; i++)
				assert_int_equal(((struct request *)b->items[i].request)->lane,
						 lane);
		}
	}
	rig_run(&l.rig);
	assert_int_equal(reapable(l.f), 12);
	for (uint32_t lane = 0; lane < 4; lane++) {
		assert_int_equal(l.rig.d->loads[lane].nr_requests, 0);
		assert_int_equal(l.rig.d->loads[lane].work_ns, 0);
		assert_int_equal(l.rig.d->loads[lane].queued_ns, 0);
		assert_int_equal(l.rig.d->lanes[lane].nr_bundles, 0);
	}
	lanes_close(&l);
}

/* A partition's lanes are for the tenants in it alone, and they have no others. */
static void partitions_keep_their_lanes(void **state)
{
	struct device_config cfg = { .sim_step_ns = 1000000, .sim_lanes = 3 };
	struct rig rig;
	struct fake_tenant *f[2];
	struct fake_program *p[2];

	(void)state;
	rig_open(&rig, cfg, turn);
	rig_caps(&rig)->partition[1] =
		(struct device_partition){ .name = "fast", .first_lane = 2, .nr_lanes = 1 };
	dispatcher_free(rig.d);
	rig.d = dispatcher_new(&turn, &sim_device_ops, rig.dev, &rig.mb);
	for (uint32_t i = 0; i < 2; i++) {
		f[i] = tenant_make(&rig, i, 64);
		p[i] = program_make(&rig, f[i], 0, 1, 64, chain);
		p[i]->inst.work_ns = 10000000;
		f[i]->t.params.partition = 2 * i;
	}
	for (uint64_t c = 0; c < 16; c++)
		push(f[c % 2], 0, c, 0);
	rig.d->now_ns = sim_device_ops.clock_ns(rig.dev);
	fetch_run(rig.d);
	bind_run(rig.d);
	window_run(rig.d);
	assert_int_equal(rig.d->loads[0].nr_requests, 4);
	assert_int_equal(rig.d->loads[1].nr_requests, 4);
	assert_int_equal(rig.d->loads[2].nr_requests, 8);
	rig_run(&rig);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(reapable(f[i]), 8);
		tenant_remove(&rig, f[i]);
		program_free_memory(&rig, p[i]);
	}
	rig_close(&rig);
}

static int (*sim_submit)(struct device *dev, struct bundle *b);

static int submit_lane_0_full(struct device *dev, struct bundle *b)
{
	return b->lane ? sim_submit(dev, b) : -EAGAIN;
}

static void a_full_lane_holds_back_itself_alone(void **state)
{
	struct device_ops full = sim_device_ops;
	struct lanes_rig l;

	(void)state;
	lanes_open(&l, 2, turn);
	sim_submit = sim_device_ops.submit;
	full.submit = submit_lane_0_full;
	l.rig.d->ops = &full;
	push(l.f, 0, 0, 0);
	push(l.f, 0, 1, 0);
	rig_run(&l.rig);
	assert_int_equal(reapable(l.f), 1);
	assert_int_equal(reap(l.f).cookie, 1);
	assert_int_equal(l.rig.d->lanes[0].nr_bundles, 2); /* run-ahead: one more than 1 ms */
	l.rig.d->ops = &sim_device_ops;
	rig_run(&l.rig);
	assert_int_equal(reap(l.f).cookie, 0);
	lanes_close(&l);
}

static uint64_t next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* Random submissions, cancels, slow readers and departures: every submission completes once. */
static void random_histories_complete_exactly_once(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct device_config cfg = { .sim_step_ns = 500, .sim_item_ns = 10 };
		uint64_t s = seed * 0x9e3779b97f4a7c15ull;
		uint32_t sent[4] = { 0 }, got[4] = { 0 }, cancels[4] = { 0 }, replies[4] = { 0 };
		struct fake_tenant *f[4];
		struct fake_program *p[4];
		struct rig rig;

		cfg.sim_fail_every = seed % 3 ? 0 : 17;
		cfg.sim_fail_scope = seed % 31 == 0  ? SCOPE_DEVICE
				     : seed % 2 == 0 ? SCOPE_CONTEXT
						     : SCOPE_REQUEST;
		cfg.sim_lanes = (uint32_t)(1 + seed / 2 % 4);
		rig_open(&rig, cfg, turn);
		if (seed % 5 == 0)
			rig_caps(&rig)->mixed_classes = false;
		for (uint32_t i = 0; i < 4; i++) {
			f[i] = tenant_make(&rig, i, 8u << next_random(&s) % 3);
			f[i]->t.params.weight = 1 + (uint32_t)(next_random(&s) % 300);
			p[i] = program_make(&rig, f[i], 0, 1 + (uint32_t)(next_random(&s) % 7),
					    1 + (uint32_t)(next_random(&s) % 4),
					    next_random(&s) % 2 ? chain : diamond);
			for (uint32_t j = 0; j < p[i]->p.nr_steps; j++)
				p[i]->inst.klass[j] = (uint16_t)(next_random(&s) % 2);
		}
		for (int step = 0; step < 400; step++) {
			uint32_t i = (uint32_t)(next_random(&s) % 4);
			uint64_t now = sim_device_ops.clock_ns(rig.dev);
			bool room = f[i]->sq_tail - f[i]->t.ring.sq_head < f[i]->t.ring.sq_entries;

			switch (next_random(&s) % 5) {
			case 0:
			case 1:
				if (room)
					push(f[i], 0, sent[i]++,
					     next_random(&s) % 2 ? now + next_random(&s) % 9000
								 : 0);
				break;
			case 2:
				if (room) {
					push_sqe(f[i], (struct ooo_sqe){ .op = OOO_SQE_CANCEL,
									 .cookie = next_random(&s) %
										   64 });
					cancels[i]++;
				}
				break;
			default:
				dispatcher_turn(rig.d);
				while (reapable(f[i]) && next_random(&s) % 4) {
					if (reap(f[i]).flags & OOO_CQE_CANCEL)
						replies[i]++;
					else
						got[i]++;
				}
			}
		}
		for (int round = 0; round < 8; round++) {
			rig_run(&rig);
			for (uint32_t i = 0; i < 4; i++) {
				while (reapable(f[i])) {
					if (reap(f[i]).flags & OOO_CQE_CANCEL)
						replies[i]++;
					else
						got[i]++;
				}
			}
		}
		for (uint32_t i = 0; i < 4; i++) {
			assert_int_equal(got[i], sent[i]);
			assert_int_equal(replies[i], cancels[i]);
			assert_int_equal(p[i]->inst.nr_free_slots, p[i]->inst.nr_slots);
			assert_int_equal(p[i]->inst.inflight, 0);
			tenant_remove(&rig, f[i]);
			program_free_memory(&rig, p[i]);
		}
		rig_close(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(completes_each_request_once),
		cmocka_unit_test(tenants_share_bundles),
		cmocka_unit_test(same_weights_stand_together),
		cmocka_unit_test(branches_of_one_request_share_a_bundle),
		cmocka_unit_test(earliest_deadline_goes_first),
		cmocka_unit_test(service_follows_weights),
		cmocka_unit_test(refusals_name_what_is_wrong),
		cmocka_unit_test(lying_index_drops_that_tenant_alone),
		cmocka_unit_test(unread_completions_stall_only_their_tenant),
		cmocka_unit_test(cancel_answers_and_stops),
		cmocka_unit_test(tenant_leaves_with_work_in_flight),
		cmocka_unit_test(device_failure_is_retryable),
		cmocka_unit_test(context_failure_takes_all_that_is_active),
		cmocka_unit_test(lost_device_refuses_what_comes),
		cmocka_unit_test(bad_index_fails_one_request),
		cmocka_unit_test(drain_finishes_what_was_taken),
		cmocka_unit_test(busy_programs_cannot_be_removed),
		cmocka_unit_test(steps_of_one_class_share_a_bundle),
		cmocka_unit_test(lanes_run_side_by_side),
		cmocka_unit_test(a_request_keeps_its_lane),
		cmocka_unit_test(partitions_keep_their_lanes),
		cmocka_unit_test(a_full_lane_holds_back_itself_alone),
		cmocka_unit_test(random_histories_complete_exactly_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
