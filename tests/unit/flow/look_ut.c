/* SPDX-License-Identifier: Apache-2.0 */
/* What the control thread is told of a dispatcher: each request and bundle once, in bounded pieces. */
#include "agent/tenant/errand.h"
#include "tests/unit/flow/harness.h"

static const struct turn_config turn = TURN_CONFIG_DEFAULT;

struct scene {
	struct rig rig;
	struct fake_tenant *f;
	struct fake_program *p;
	struct errand *e;
};

/* Slots of the program, and entries of the tenant's ring; steps take a second on a device that waits. */
static void begin(struct scene *s, uint32_t slots, uint32_t entries)
{
	rig_open(&s->rig, (struct device_config){ .sim_step_ns = 1000000000 }, turn);
	s->f = tenant_make(&s->rig, 7, entries);
	s->p = program_make(&s->rig, s->f, 0, 3, slots, chain);
	s->e = errand_new(MAIL_LOOK_REQUESTS, 0);
	assert_non_null(s->e);
}

static void end(struct scene *s)
{
	free(s->e);
	rig_run(&s->rig);
	tenant_remove(&s->rig, s->f);
	program_free_memory(&s->rig, s->p);
	rig_close(&s->rig);
}

/* As mail between two turns, though this turn does more. */
static struct look *look(struct scene *s, uint32_t type, uint32_t from)
{
	struct mail *mail = &s->e->mail;

	*mail = (struct mail){ .type = type, .errand = s->e, .tenant = &s->f->t };
	s->e->look.from = from;
	assert_int_equal(mailbox_send(&s->rig.mb, mail), 0);
	while (mailbox_returned(&s->rig.mb) != mail)
		dispatcher_turn(s->rig.d);
	return &s->e->look;
}

static void nothing_in_flight(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, 2, 16);
	assert_int_equal(look(&s, MAIL_LOOK_REQUESTS, 0)->nr, 0);
	assert_false(s.e->look.more);
	assert_int_equal(look(&s, MAIL_LOOK_BUNDLES, 0)->nr, 0);
	push(s.f, 0, 1, 0);
	rig_run(&s.rig);
	assert_int_equal(look(&s, MAIL_LOOK_REQUESTS, 0)->nr, 0);
	assert_int_equal(look(&s, MAIL_LOOK_BUNDLES, 0)->nr, 0);
	end(&s);
}

static void states_and_bundles(void **state)
{
	unsigned running = 0, waiting = 0, items = 0;
	struct scene s;
	struct look *l;

	(void)state;
	begin(&s, 2, 16);
	for (uint64_t c = 0; c < 5; c++)
		push(s.f, 0, 100 + c, 0);
	dispatcher_turn(s.rig.d);
	l = look(&s, MAIL_LOOK_REQUESTS, 0);
	assert_int_equal(l->nr, 5);
	for (uint32_t i = 0; i < l->nr; i++) {
		const struct look_request *r = &l->requests[i];

		assert_in_range(r->cookie, 100, 104);
		assert_int_equal(r->steps, 3);
		assert_int_equal(r->due_ns, 0);
		running += r->state == LOOK_RUNNING;
		waiting += r->state == LOOK_WAITING;
	}
	assert_int_equal(running, 2);
	assert_int_equal(waiting, 3);
	l = look(&s, MAIL_LOOK_BUNDLES, 0);
	assert_true(l->nr > 0);
	for (uint32_t i = 0; i < l->nr; i++) {
		assert_int_equal(l->bundles[i].nr_members, 1);
		assert_int_equal(l->bundles[i].members[0].tenant, 7);
		assert_int_equal(l->bundles[i].members[0].items, l->bundles[i].items);
		items += l->bundles[i].items;
	}
	assert_true(items >= 2);
	end(&s);
}

/* More than fit in a piece: each once, wherever a piece begins. */
static void pieces(void **state)
{
	uint64_t seen[4] = { 0 };
	uint32_t nr = 0;
	struct scene s;
	struct look *l;

	(void)state;
	begin(&s, 1, 512);
	l = &s.e->look;
	for (uint64_t c = 0; c < 200; c++)
		push(s.f, 0, c, 0);
	for (int i = 0; i < 4; i++)
		dispatcher_turn(s.rig.d);
	assert_true(s.rig.d->nr_requests > 2 * LOOK_REQUESTS);
	do {
		uint32_t from = l->from;

		look_requests(s.rig.d, &s.f->t, l);
		assert_true(l->nr <= LOOK_REQUESTS);
		for (uint32_t i = 0; i < l->nr; i++, nr++) {
			uint64_t c = l->requests[i].cookie;

			assert_true(l->requests[i].place >= from && c < 200);
			assert_false(seen[c / 64] >> c % 64 & 1);
			seen[c / 64] |= 1ull << c % 64;
		}
	} while (l->more);
	assert_int_equal(nr, s.rig.d->nr_requests);
	/* Somebody else's idea of where to go on. */
	assert_int_equal(look(&s, MAIL_LOOK_REQUESTS, UINT32_MAX)->nr, 0);
	assert_int_equal(look(&s, MAIL_LOOK_BUNDLES, UINT32_MAX)->nr, 0);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_in_flight),
		cmocka_unit_test(states_and_bundles),
		cmocka_unit_test(pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
