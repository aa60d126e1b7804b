// SPDX-License-Identifier: Apache-2.0
/* The scheduling policy through the whole flow, on the sim device: shares, deadlines, caps, holds. */
#include <errno.h>

#include "tests/unit/flow/harness.h"

#define MAX 24

static const struct turn_config turn = { .runahead_us = 100, .bundle_us = 200 };

struct load {
	struct rig rig;
	struct fake_tenant *f[MAX];
	struct fake_program *p[MAX];
	uint32_t n;
	uint64_t sent, done[MAX], ok[MAX], refused[MAX], capped[MAX], late[MAX];
};

/* Every step takes what the tenant's programs say, to the nanosecond, one after the other. */
static void exact_cost(struct load *l, uint32_t i, uint32_t step_ns)
{
	struct program_inst *inst = &l->p[i]->inst;

	inst->work_ns = 0;
	for (uint32_t s = 0; s < l->p[i]->p.nr_steps; s++) {
		inst->cost_ns[s] = step_ns;
		inst->work_ns += step_ns;
	}
	inst->nr_measured = 100;
}

static bool jump;                   /* poll() moves the clock to the next end */
static uint64_t exact_ns, fixed_ns; /* the device's clock; what a bundle costs beside its steps */
static struct bundle *flying[64];
static unsigned nr_flying;
static uint64_t free_at;

/* A device of one place: a bundle takes the sum of what was predicted. */
static int exact_submit(struct device *dev, struct bundle *b)
{
	uint64_t at = free_at > exact_ns ? free_at : exact_ns;

	(void)dev;
	if (nr_flying == 64)
		return -EAGAIN;
	b->start_ns = at;
	at += fixed_ns;
	b->scope = SCOPE_NONE;
	for (uint32_t i = 0; i < b->nr_items; i++) {
		at += b->items[i].predicted_ns;
		b->items[i].service_ns = b->items[i].predicted_ns;
		b->items[i].status = OOO_OK;
	}
	b->end_ns = free_at = at;
	flying[nr_flying++] = b;
	return 0;
}

static unsigned exact_poll(struct device *dev, struct bundle **done, unsigned max)
{
	(void)dev;
	(void)max;
	if (!nr_flying || (!jump && flying[0]->end_ns > exact_ns))
		return 0;
	if (flying[0]->end_ns > exact_ns)
		exact_ns = flying[0]->end_ns;
	done[0] = flying[0];
	memmove(flying, flying + 1, --nr_flying * sizeof(flying[0]));
	return 1;
}

static uint64_t exact_clock(struct device *dev)
{
	(void)dev;
	return exact_ns;
}

static struct device_ops exact_ops;

static void load_open(struct load *l, struct turn_config config)
{
	memset(l, 0, sizeof(*l));
	rig_open(&l->rig, (struct device_config){ 0 }, config);
	exact_ops = sim_device_ops;
	exact_ops.submit = exact_submit;
	exact_ops.poll = exact_poll;
	exact_ops.clock_ns = exact_clock;
	exact_ns = 1000000000;
	free_at = fixed_ns = 0;
	nr_flying = 0;
	jump = true;
	l->rig.d->ops = &exact_ops;
}

static uint32_t load_add(struct load *l, uint32_t steps, uint32_t step_ns, uint32_t weight)
{
	uint32_t i = l->n++;

	l->f[i] = tenant_make(&l->rig, i, 256);
	l->p[i] = program_make(&l->rig, l->f[i], 0, steps, 64, chain);
	l->f[i]->t.params.weight = weight;
	exact_cost(l, i, step_ns);
	return i;
}

static void load_close(struct load *l)
{
	for (uint32_t i = 0; i < l->n; i++) {
		tenant_remove(&l->rig, l->f[i]);
		program_free_memory(&l->rig, l->p[i]);
	}
	rig_close(&l->rig);
}

static void drain(struct load *l)
{
	for (uint32_t i = 0; i < l->n; i++) {
		while (reapable(l->f[i])) {
			struct ooo_cqe cqe = reap(l->f[i]);

			l->done[i]++;
			l->ok[i] += cqe.status == OOO_OK;
			l->late[i] += cqe.status == OOO_LATE;
			l->refused[i] += cqe.status == OOO_REFUSED;
			l->capped[i] += cqe.status == OOO_CAPPED;
		}
	}
}

/* Keep `inflight` requests of each tenant there for so long. */
static void saturate(struct load *l, const uint32_t *inflight, uint64_t slo_ns, uint64_t for_ns)
{
	uint64_t sent[MAX], end = exact_ns + for_ns;

	for (uint32_t i = 0; i < l->n; i++)
		sent[i] = l->done[i];
	while (exact_ns < end) {
		for (uint32_t i = 0; i < l->n; i++) {
			while (sent[i] - l->done[i] < inflight[i])
				push(l->f[i], 0, sent[i]++,
				     slo_ns && i % 2 ? exact_ns + slo_ns : 0);
		}
		dispatcher_turn(l->rig.d);
		drain(l);
	}
}

static double share(const struct load *l, uint32_t i)
{
	double all = 0;

	for (uint32_t k = 0; k < l->n; k++)
		all += (double)l->f[k]->t.stats.service_ns;
	return (double)l->f[i]->t.stats.service_ns / all;
}

static void near(double value, double want, double permille)
{
	if (value < want * (1 - permille / 1000) || value > want * (1 + permille / 1000))
		fail_msg("%f is not %f within %f permille", value, want, permille);
}

/* Whatever their models and sizes, and whether they set deadlines. */
static void weights_are_shares(void **state)
{
	const uint32_t steps[] = { 1, 7, 50 }, sizes[] = { 5000, 20000, 90000, 3000000 };
	uint64_t s = 1;

	(void)state;
	for (int round = 0; round < 16; round++) {
		uint32_t inflight[3];
		struct load l;

		load_open(&l, turn);
		for (uint32_t i = 0; i < 3; i++) {
			s = s * 6364136223846793005ull + 1442695040888963407ull;
			load_add(&l, steps[(s >> 33) % 3], sizes[(s >> 40) % 4], 100u << i);
			l.f[i]->t.params.admission = ADMISSION_LATE;
			inflight[i] = 4 + (uint32_t)(s >> 50) % 40 + 1000000 / sizes[(s >> 40) % 4];
		}
		saturate(&l, inflight, round % 2 ? 5000000 : 0, 4000000000ull);
		for (uint32_t i = 0; i < 3; i++)
			near(share(&l, i), (double)(1 << i) / 7, 20);
		load_close(&l);
	}
}

static void equals_are_equal(void **state)
{
	uint32_t inflight[16];
	double sum = 0, squares = 0;
	struct load l;

	(void)state;
	load_open(&l, turn);
	for (uint32_t i = 0; i < 16; i++) {
		load_add(&l, 1 + i, 5000 * (1 + i * 7), 100);
		inflight[i] = 200 / (1 + i);
	}
	saturate(&l, inflight, 0, 2000000000);
	for (uint32_t i = 0; i < 16; i++) {
		sum += share(&l, i);
		squares += share(&l, i) * share(&l, i);
	}
	assert_true(sum * sum / (16 * squares) > 0.99);
	load_close(&l);
}

/* A class gives an earlier place, not more: latency gets its half, batch its documented part. */
static void classes_keep_to_their_shares(void **state)
{
	const uint32_t inflight[] = { 16, 16, 16 };
	struct load l;

	(void)state;
	load_open(&l, turn);
	for (uint32_t i = 0; i < 3; i++) {
		load_add(&l, 4, 20000, 100);
		l.f[i]->t.params.klass = (uint8_t)i;
	}
	saturate(&l, inflight, 0, 1500000000);
	near(share(&l, TENANT_LATENCY), 10.0 / 21, 20);
	near(share(&l, TENANT_NORMAL), 10.0 / 21, 20);
	near(share(&l, TENANT_BATCH), 1.0 / 21, 120);
	load_close(&l);
}

/* New weights hold from the mail on. */
static void params_take_effect(void **state)
{
	const uint32_t inflight[] = { 16, 16 };
	struct tenant_params params = TENANT_PARAMS_DEFAULT;
	uint64_t before[2];
	struct mail mail;
	struct load l;

	(void)state;
	load_open(&l, turn);
	load_add(&l, 3, 30000, 100);
	load_add(&l, 3, 30000, 100);
	saturate(&l, inflight, 0, 1000000000);
	near(share(&l, 0), 0.5, 20);
	params.weight = 900;
	mail = (struct mail){ .type = MAIL_TENANT_PARAMS, .tenant = &l.f[0]->t, .params = &params };
	assert_int_equal(mailbox_send(&l.rig.mb, &mail), 0);
	dispatcher_turn(l.rig.d);
	assert_ptr_equal(mailbox_returned(&l.rig.mb), &mail);
	for (uint32_t i = 0; i < 2; i++)
		before[i] = l.f[i]->t.stats.service_ns;
	saturate(&l, inflight, 0, 1000000000);
	near((double)(l.f[0]->t.stats.service_ns - before[0]),
	     9 * (double)(l.f[1]->t.stats.service_ns - before[1]), 30);
	load_close(&l);
}

/* Who cannot use his share does not save it up: then the others would stand still. */
static void no_credit_for_waiting(void **state)
{
	uint32_t inflight[] = { 1, 32 };
	uint64_t before;
	struct load l;

	(void)state;
	load_open(&l, turn);
	load_add(&l, 1, 1000, 100);
	load_add(&l, 1, 20000, 100);
	saturate(&l, inflight, 0, 1000000000);
	before = l.f[1]->t.stats.service_ns;
	inflight[0] = 32;
	saturate(&l, inflight, 0, 40000000);
	assert_true(l.f[1]->t.stats.service_ns - before > 40000000 * 4 / 10);
	load_close(&l);
}

/* Admitted deadlines are met, exactly; the others are told when they would have been done. */
static void admitted_deadlines_are_met(void **state)
{
	uint64_t s = 99, admitted = 0, refused = 0;

	(void)state;
	for (int round = 0; round < 40; round++) {
		uint64_t due[256];
		struct load l;

		load_open(&l, turn);
		for (uint32_t i = 0; i < 4; i++)
			load_add(&l, 1 + i * 2, 2000 + 5000 * i, 100);
		for (int step = 0; step < 400; step++) {
			uint32_t i;

			s = s * 6364136223846793005ull + 1442695040888963407ull;
			i = (uint32_t)(s >> 33) % 4;
			if (s >> 62)
				due[step % 256] =
					exact_ns + l.p[i]->inst.work_ns + (s >> 36) % 400000;
			if (s >> 62)
				push(l.f[i], 0, due[step % 256], due[step % 256]);
			dispatcher_turn(l.rig.d);
			for (uint32_t k = 0; k < 4; k++) {
				while (reapable(l.f[k])) {
					struct ooo_cqe cqe = reap(l.f[k]);

					if (cqe.status == OOO_REFUSED) {
						refused++;
						assert_true(cqe.predicted_ns > cqe.fetch_ns);
						continue;
					}
					if (cqe.status == OOO_LATE)
						fail_msg("round %d: late by %llu", round,
							 (unsigned long long)(cqe.finish_ns -
									      cqe.cookie));
					admitted++;
				}
			}
		}
		rig_run(&l.rig);
		for (uint32_t i = 0; i < 4; i++) {
			assert_int_equal(l.f[i]->t.stats.broken, 0);
			assert_int_equal(l.f[i]->t.stats.late, 0);
		}
		assert_null(l.rig.d->promises.root);
		assert_int_equal(l.rig.d->backlog_ns, 0);
		load_close(&l);
	}
	assert_true(admitted > 5000 && refused > 500);
}

/* At twice the load that the device carries, as many are in time as at its best, and everybody
 * gets his part of that, whoever asks first. */
static double goodput(uint64_t period_ns)
{
	uint64_t next[4], end;
	double good = 0;
	struct load l;

	load_open(&l, turn);
	for (uint32_t i = 0; i < 4; i++) {
		load_add(&l, 5, 20000, 100);
		next[i] = exact_ns + i * 1000;
	}
	end = exact_ns + 1000000000;
	while (exact_ns < end) {
		for (uint32_t i = 0; i < 4; i++) {
			for (; next[i] <= exact_ns; next[i] += period_ns)
				push(l.f[i], 0, 0, next[i] + 3000000);
		}
		if (!dispatcher_turn(l.rig.d) && !nr_flying)
			exact_ns += 1000;
		drain(&l);
	}
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(l.late[i], 0);
		good += (double)l.ok[i];
	}
	for (uint32_t i = 0; i < 4; i++)
		near((double)l.ok[i], good / 4, 100);
	load_close(&l);
	return good;
}

static void overload_keeps_goodput(void **state)
{
	(void)state;
	assert_true(goodput(200000) > 0.9 * goodput(420000));
}

static void caps_refuse(void **state)
{
	struct load l;

	(void)state;
	load_open(&l, turn);
	load_add(&l, 1, 1000, 100);
	l.f[0]->t.params.max_inflight = 3;
	for (uint64_t c = 0; c < 8; c++)
		push(l.f[0], 0, c, 0);
	rig_run(&l.rig);
	drain(&l);
	assert_int_equal(l.ok[0], 3);
	assert_int_equal(l.capped[0], 5);
	assert_int_equal(l.f[0]->t.stats.refused, 5);
	l.f[0]->t.params.max_inflight = 0;
	l.f[0]->t.params.rate = 1000; /* a hundred at once, then one a millisecond */
	for (uint64_t c = 0; c < 150; c++)
		push(l.f[0], 0, c, 0);
	rig_run(&l.rig);
	drain(&l);
	assert_int_equal(l.ok[0], 3 + 101);
	exact_ns += 5000000;
	for (uint64_t c = 0; c < 9; c++)
		push(l.f[0], 0, c, 0);
	rig_run(&l.rig);
	drain(&l);
	assert_int_equal(l.ok[0], 3 + 101 + 5);
	load_close(&l);
}

/* Twenty tenants in a closed loop: their requests are gathered while the device is busy. */
static void company_is_waited_for(void **state)
{
	double width[2];

	(void)state;
	for (int hold = 0; hold < 2; hold++) {
		uint64_t begin;
		struct load l;

		load_open(&l, turn);
		rig_caps(&l.rig)->launch_ns = hold ? 8500 : 0;
		l.rig.d->width = 16;
		fixed_ns = 12000;
		jump = false;
		for (uint32_t i = 0; i < 20; i++) {
			load_add(&l, 1, 50, 100);
		}
		begin = exact_ns;
		/* They come one by one: each turn sees one more of them. */
		while (exact_ns < begin + 50000000) {
			for (uint32_t i = 0; i < 20; i++) {
				if (l.f[i]->sq_tail != l.done[i])
					continue;
				push(l.f[i], 0, 0, 0);
				exact_ns += 100;
				dispatcher_turn(l.rig.d);
			}
			if (!dispatcher_turn(l.rig.d))
				exact_ns += 200;
			drain(&l);
		}
		width[hold] = (double)l.rig.d->stats.items / (double)l.rig.d->stats.bundles;
		assert_true(!hold || l.rig.d->stats.company_holds > 0);
		jump = true;
		load_close(&l);
	}
	if (width[1] < 1.5 * width[0])
		fail_msg("mean width %f with holds, %f without", width[1], width[0]);
}

/* An idle device gets what is there at once, and a chain under way is not held. */
static void nobody_waits_for_nothing(void **state)
{
	struct load l;

	(void)state;
	load_open(&l, turn);
	rig_caps(&l.rig)->launch_ns = 8500;
	load_add(&l, 20, 1000, 100);
	for (uint64_t c = 0; c < 50; c++) {
		push(l.f[0], 0, c, 0);
		rig_run(&l.rig);
		drain(&l);
	}
	assert_int_equal(l.done[0], 50);
	assert_int_equal(l.rig.d->stats.company_holds, 0);
	load_close(&l);
}

/* A tenant may take half of the places of a bundle; another one has two for sure. */
static void sm_shares_hold_in_bundles(void **state)
{
	struct load l;

	(void)state;
	load_open(&l, (struct turn_config){ .runahead_us = 100, .bundle_us = 2000 });
	l.rig.d->width = 8;
	load_add(&l, 1, 10000, 100);
	load_add(&l, 1, 10000, 100);
	l.f[0]->t.params.sm_max = 500;
	for (uint64_t c = 0; c < 32; c++) {
		push(l.f[0], 0, c, 0);
		push(l.f[1], 0, c, 0);
	}
	l.rig.d->now_ns = exact_ns;
	fetch_run(l.rig.d);
	bind_run(l.rig.d);
	window_run(l.rig.d);
	bundle_run(l.rig.d);
	for (struct bundle *b = l.rig.d->lanes[0].built_head; b; b = b->next) {
		uint32_t of[2] = { 0 };

		for (uint32_t i = 0; i < b->nr_items; i++)
			of[((const struct request *)b->items[i].request)->tenant->id]++;
		assert_true(of[0] <= 4);
	}
	rig_run(&l.rig);
	drain(&l);
	assert_int_equal(l.done[0] + l.done[1], 64);
	load_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weights_are_shares),
		cmocka_unit_test(equals_are_equal),
		cmocka_unit_test(classes_keep_to_their_shares),
		cmocka_unit_test(params_take_effect),
		cmocka_unit_test(no_credit_for_waiting),
		cmocka_unit_test(admitted_deadlines_are_met),
		cmocka_unit_test(overload_keeps_goodput),
		cmocka_unit_test(caps_refuse),
		cmocka_unit_test(company_is_waited_for),
		cmocka_unit_test(nobody_waits_for_nothing),
		cmocka_unit_test(sm_shares_hold_in_bundles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
