// SPDX-License-Identifier: Apache-2.0
/*
 * What must hold of the flow whatever tenants do, on random histories over the sim device with exact
 * costs. A history is a seed: random device, tenants, programs, and then operations one after
 * another; what it must show is checked after each turn and at the end.
 *
 *   make property CASES=100000 SEED=1     the long run
 *
 * A history that fails is cut to the shortest prefix that still fails, and both numbers are printed:
 * OOO_PROPERTY_SEED=n OOO_PROPERTY_CASES=1 runs it again.
 */
#include <stdio.h>

#include "agent/device/sim/sim.h"
#include "agent/log.h"
#include "tests/unit/flow/harness.h"

#define MAX_TENANTS  6
#define MAX_PROGRAMS 2
#define MAX_STEPS    10
#define MAX_SENT     4096 /* requests of one tenant */
#define MAX_OPS      120
#define SETTLE_TURNS 200000
#define HOLD_NS      0 /* that a lane may be idle with a ready step, over the end of a turn */

struct rng {
	uint64_t s;
};

static uint64_t next(struct rng *r)
{
	uint64_t z = r->s += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static uint32_t below(struct rng *r, uint32_t n)
{
	return (uint32_t)(next(r) % n);
}

static uint32_t between(struct rng *r, uint32_t low, uint32_t high)
{
	return low + below(r, high - low + 1);
}

static bool chance(struct rng *r, uint32_t percent)
{
	return below(r, 100) < percent;
}

/* A tenant, and what it may expect. */
struct actor {
	struct fake_tenant *f;
	struct fake_program *programs[MAX_PROGRAMS];
	uint32_t nr_programs;
	uint32_t sent;             /* requests */
	uint32_t cancels, replies; /* and what answered them */
	uint32_t completed;        /* requests */
	uint8_t answers[MAX_SENT]; /* by cookie: completions */
	uint64_t deadline[MAX_SENT];
	uint64_t service_ns;
};

struct history {
	struct rng rng;
	struct sim_model model;
	struct rig rig;
	struct actor actors[MAX_TENANTS];
	uint32_t nr_actors;
	struct device_ops ops; /* the sim device's, and counts */
	uint32_t launches[DEVICE_MAX_LANES], seen[DEVICE_MAX_LANES], all, all_seen;
	uint64_t idle_since[DEVICE_MAX_LANES]; /* with a ready step; 0: not so */
	uint32_t idle_turns;                   /* of the whole device, with a ready step */
	uint64_t digest;                       /* of all that was observed */
	bool faults;
	char error[256];
};

#define require(h, condition, ...)                                                                 \
	do {                                                                                       \
		if (!(condition) && !(h)->error[0])                                                \
			snprintf((h)->error, sizeof((h)->error), __VA_ARGS__);                     \
	} while (0)

static void observe(struct history *h, uint64_t value)
{
	h->digest = (h->digest ^ value) * 0x100000001b3ull;
}

static uint64_t now(const struct history *h)
{
	return sim_device_ops.clock_ns(h->rig.dev);
}

static struct history *current; /* the device's operations have no argument of ours */

static int counting_submit(struct device *dev, struct bundle *b)
{
	int err = sim_device_ops.submit(dev, b);

	if (!err) {
		current->launches[b->lane]++;
		current->all++;
	}
	return err;
}

static uint32_t edge_seed, edge_percent;

static bool random_edge(uint32_t i, uint32_t j)
{
	struct rng r = { edge_seed * 1000003ull + i * 1009 + j };

	return chance(&r, edge_percent);
}

static void make_program(struct history *h, struct actor *a, uint32_t id)
{
	uint32_t n = chance(&h->rng, 3) ? 0 : between(&h->rng, 1, MAX_STEPS);
	uint32_t scale = chance(&h->rng, 50) ? 5000 : 100000;
	struct fake_program *p;

	edge_seed = (uint32_t)next(&h->rng);
	edge_percent = below(&h->rng, 101);
	p = program_make(&h->rig, a->f, id, n, between(&h->rng, 1, 4), random_edge);
	p->inst.work_ns = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t latency = between(&h->rng, 1, scale);
		uint32_t width = h->model.width ? between(&h->rng, 1, h->model.width) : 1;

		sim_set_cost(p->inst.dp, i,
			     (struct sim_cost){ latency, latency / width ? latency / width : 1 });
		p->inst.cost_ns[i] = latency;
		p->inst.work_ns += latency;
		p->inst.klass[i] = (uint16_t)below(&h->rng, NR_CLASSES);
	}
	a->programs[id] = p;
	a->nr_programs++;
}

static void random_params(struct rng *r, struct tenant_params *p)
{
	p->weight = chance(r, 50) ? TENANT_WEIGHT_DEFAULT : between(r, 1, 1000);
	p->klass = (uint8_t)below(r, TENANT_CLASSES);
	p->admission = (uint8_t)below(r, TENANT_ADMISSIONS);
	p->isolate = (uint8_t)below(r, TENANT_ISOLATES);
	if (chance(r, 20))
		p->max_inflight = between(r, 1, 8);
	if (chance(r, 10))
		p->rate = between(r, 100, 100000);
	if (chance(r, 20))
		p->slo_ns = between(r, 10000, 10000000);
	if (chance(r, 20))
		p->sm_max = between(r, 100, PERMILLE);
}

static void make_actor(struct history *h, uint32_t id)
{
	struct actor *a = &h->actors[id];
	uint32_t programs = between(&h->rng, 1, MAX_PROGRAMS);

	*a = (struct actor){ .f = tenant_make(&h->rig, id + 1, 1u << between(&h->rng, 1, 6)) };
	random_params(&h->rng, &a->f->t.params);
	for (uint32_t i = 0; i < programs; i++)
		make_program(h, a, i);
}

static void open_history(struct history *h, uint64_t seed)
{
	struct turn_config turn = TURN_CONFIG_DEFAULT;
	struct device_config device = { .sim_model = &h->model };

	memset(h, 0, sizeof(*h));
	h->rng.s = seed;
	h->digest = 0xcbf29ce484222325ull;
	h->model = (struct sim_model){
		.name = "random",
		.lanes = chance(&h->rng, 50) ? 1 : between(&h->rng, 2, 4),
		.lane_depth = between(&h->rng, 1, 16),
		.max_items = between(&h->rng, 1, BUNDLE_MAX_ITEMS),
		.width = chance(&h->rng, 70) ? between(&h->rng, 1, 16) : 0,
		.threads = 1,
		.runahead_us = chance(&h->rng, 50) ? 25 : 1000,
		.mixed_classes = chance(&h->rng, 70),
		.launch_ns = chance(&h->rng, 50) ? 0 : below(&h->rng, 5000),
		.gap_ns = chance(&h->rng, 50) ? 0 : below(&h->rng, 3000),
		.report_ns = chance(&h->rng, 50) ? 0 : below(&h->rng, 8000),
		.seed = seed,
	};
	turn.bundle_us = chance(&h->rng, 50) ? 2000 : between(&h->rng, 10, 500);
	h->faults = chance(&h->rng, 25);
	if (h->faults) {
		device.sim_fail_every = between(&h->rng, 2, 40);
		device.sim_fail_scope = chance(&h->rng, 50) ? SCOPE_REQUEST : SCOPE_CONTEXT;
	}
	rig_open(&h->rig, device, turn);
	current = h;
	h->ops = sim_device_ops;
	h->ops.submit = counting_submit;
	h->rig.d->ops = &h->ops;
	h->nr_actors = between(&h->rng, 1, MAX_TENANTS);
	for (uint32_t i = 0; i < h->nr_actors; i++)
		make_actor(h, i);
}

/* ---- what completions must be -------------------------------------------------- */

static void check_completion(struct history *h, struct actor *a, const struct ooo_cqe *cqe)
{
	uint64_t deadline;

	observe(h, cqe->cookie);
	observe(h, cqe->status);
	observe(h, cqe->finish_ns);
	if (cqe->flags & OOO_CQE_CANCEL) {
		a->replies++;
		return;
	}
	a->completed++;
	require(h, cqe->cookie < a->sent, "completion of a request that was never sent");
	if (cqe->cookie >= a->sent)
		return;
	require(h, a->answers[cqe->cookie]++ == 0, "a request completed twice");
	deadline = a->deadline[cqe->cookie];
	a->service_ns += cqe->service_ns;
	if (cqe->status == OOO_OK)
		require(h, !deadline || cqe->finish_ns <= deadline, "late, and not called late");
	if (cqe->status == OOO_LATE && deadline)
		require(h, cqe->finish_ns > deadline, "called late, and in time");
	if (cqe->status == OOO_OK || cqe->status == OOO_LATE)
		require(h, !cqe->start_ns || cqe->start_ns >= cqe->fetch_ns,
			"started before it was fetched");
	require(h, cqe->finish_ns >= cqe->fetch_ns, "finished before it was fetched");
	require(h, h->faults || cqe->status != OOO_DEVICE_RESET, "a reset without a fault");
}

static void reap_some(struct history *h, struct actor *a, uint32_t n)
{
	while (n-- && reapable(a->f)) {
		struct ooo_cqe cqe = reap(a->f);

		check_completion(h, a, &cqe);
	}
}

/* ---- what must hold after every turn --------------------------------------------- */

/* The lanes that have a step which could run now, as bits. */
static uint32_t ready_lanes(const struct history *h, uint32_t *inflight)
{
	uint32_t lanes = 0;

	*inflight = 0;
	for (const struct tenant *t = h->rig.d->tenants; t; t = t->next) {
		for (const struct request *r = t->all_requests; r; r = r->all_next) {
			++*inflight;
			if (r->state == REQUEST_ACTIVE && !r->dead && r->nr_ready)
				lanes |= 1u << r->lane;
		}
	}
	return lanes;
}

static void check_turn(struct history *h)
{
	const struct dispatcher *d = h->rig.d;
	uint32_t inflight, ready = ready_lanes(h, &inflight);
	uint64_t at = now(h);

	require(h, inflight == d->nr_requests, "%u requests are counted, %u are there",
		d->nr_requests, inflight);
	/* Work conservation: nothing waits while the whole device is idle, and no lane is idle for
	 * long. A turn that ends with completions acts on them in the next one. */
	if (ready && !d->nr_flying && !d->resetting && h->all == h->all_seen)
		h->idle_turns++;
	else
		h->idle_turns = 0;
	h->all_seen = h->all;
	require(h, h->idle_turns < 3, "the device is idle and a step is ready");
	for (unsigned i = 0; i < d->nr_lanes; i++) {
		bool idle = ready & 1u << i && !d->lanes[i].nr_bundles && !d->resetting &&
			    h->launches[i] == h->seen[i];

		h->seen[i] = h->launches[i];
		if (!idle)
			h->idle_since[i] = 0;
		else if (!h->idle_since[i])
			h->idle_since[i] = at;
		require(h, !idle || at - h->idle_since[i] <= HOLD_NS,
			"lane %u is idle for %llu us and a step is ready", i,
			(unsigned long long)(at - h->idle_since[i]) / 1000);
	}
}

static bool turn(struct history *h)
{
	bool did = dispatcher_turn(h->rig.d);

	check_turn(h);
	return did;
}

/* ---- operations ----------------------------------------------------------------------- */

static bool has_room(const struct actor *a)
{
	return a->f->sq_tail - a->f->t.ring.ring->sq_head < a->f->t.ring.sq_entries;
}

static void op_submit(struct history *h, struct actor *a)
{
	for (uint32_t n = between(&h->rng, 1, 8); n-- && has_room(a) && a->sent < MAX_SENT;) {
		uint32_t program = below(&h->rng, a->nr_programs);
		uint64_t deadline = 0;

		if (chance(&h->rng, 40))
			deadline = now(h) + between(&h->rng, 1000, 5000000);
		if (chance(&h->rng, 2))
			program = 40; /* no such program */
		a->deadline[a->sent] = deadline;
		push(a->f, program, a->sent++, deadline);
	}
}

static void op_cancel(struct history *h, struct actor *a)
{
	if (!has_room(a) || !a->sent)
		return;
	a->cancels++;
	push_sqe(a->f, (struct ooo_sqe){ .op = OOO_SQE_CANCEL,
					 .cookie = chance(&h->rng, 80) ? below(&h->rng, a->sent)
								       : MAX_SENT });
}

static void op_params(struct history *h, struct actor *a)
{
	struct tenant_params params = a->f->t.params;
	struct mail mail = { .type = MAIL_TENANT_PARAMS, .tenant = &a->f->t, .params = &params };

	random_params(&h->rng, &params);
	assert_int_equal(mailbox_send(&h->rig.mb, &mail), 0);
	turn(h);
	assert_ptr_equal(mailbox_returned(&h->rig.mb), &mail);
}

static bool settle(struct history *h)
{
	for (int i = 0, idle = 0; idle < 2; i++) {
		if (i == SETTLE_TURNS) {
			require(h, false, "requests wait for ever: %u are in flight",
				h->rig.d->nr_requests);
			return false;
		}
		idle = turn(h) ? 0 : idle + 1;
		if (idle && h->rig.d->nr_requests) { /* held back by a cap: time must pass */
			sim_advance(h->rig.dev, now(h) + 100000);
			idle = 0;
		}
		for (uint32_t a = 0; a < h->nr_actors; a++)
			reap_some(h, &h->actors[a], 1000);
		if (h->error[0])
			return false;
	}
	return true;
}

/* The tenant goes, whatever it has in flight; another comes in its place. */
static void op_kill(struct history *h, struct actor *a)
{
	struct mail mail = { .type = MAIL_TENANT_DEL, .tenant = &a->f->t };
	struct mail *back = NULL;
	uint32_t id = (uint32_t)(a - h->actors);

	assert_int_equal(mailbox_send(&h->rig.mb, &mail), 0);
	for (int i = 0; i < SETTLE_TURNS && !back && !h->error[0]; i++) {
		turn(h);
		back = mailbox_returned(&h->rig.mb);
	}
	require(h, back, "a tenant that leaves is never let go");
	if (h->error[0])
		return;
	reap_some(h, a, UINT32_MAX);
	require(h, a->completed == a->f->t.stats.submitted,
		"a tenant left with %u completions for %llu requests taken", a->completed,
		(unsigned long long)a->f->t.stats.submitted);
	for (uint32_t i = 0; i < a->nr_programs; i++)
		program_free_memory(&h->rig, a->programs[i]);
	tenant_free_memory(a->f);
	make_actor(h, id);
}

static void operate(struct history *h)
{
	struct actor *a = &h->actors[below(&h->rng, h->nr_actors)];
	uint32_t what = below(&h->rng, 100);

	if (what < 45) {
		op_submit(h, a);
	} else if (what < 52) {
		op_cancel(h, a);
	} else if (what < 55) {
		op_params(h, a);
	} else if (what < 57) {
		op_kill(h, a);
	} else if (what < 65) {
		reap_some(h, a, below(&h->rng, 16));
	} else if (what < 70 && !h->rig.d->nr_flying) {
		sim_advance(h->rig.dev, now(h) + below(&h->rng, 2000000));
	} else {
		for (uint32_t n = between(&h->rng, 1, 20); n-- && !h->error[0];)
			turn(h);
	}
}

static void check_end(struct history *h)
{
	const struct turn_stats *s = dispatcher_stats(h->rig.d);
	uint64_t most = s->busy_ns > s->service_ns ? s->busy_ns : s->service_ns;
	uint64_t least = s->busy_ns + s->service_ns - most;

	for (uint32_t i = 0; i < h->nr_actors; i++) {
		const struct actor *a = &h->actors[i];

		require(h, a->completed == a->sent, "tenant %u: %u requests, %u completions", i,
			a->sent, a->completed);
		require(h, a->replies == a->cancels, "tenant %u: %u cancels, %u replies", i,
			a->cancels, a->replies);
		require(h, !a->f->t.inflight, "tenant %u: %u in flight at the end", i,
			a->f->t.inflight);
	}
	for (unsigned i = 0; i < h->rig.d->nr_lanes; i++)
		require(h, !h->rig.d->loads[i].queued_ns && !h->rig.d->loads[i].nr_requests,
			"lane %u: still loaded at the end", i);
	/* What items are charged is what the device was busy: to a nanosecond each. */
	if (h->model.width && !h->faults)
		require(h, most - least <= s->items, "%llu ns of service, %llu ns busy",
			(unsigned long long)s->service_ns, (unsigned long long)s->busy_ns);
	observe(h, s->busy_ns);
	observe(h, s->bundles);
}

static void close_history(struct history *h)
{
	for (uint32_t i = 0; i < h->nr_actors; i++) {
		tenant_remove(&h->rig, h->actors[i].f);
		for (uint32_t p = 0; p < h->actors[i].nr_programs; p++)
			program_free_memory(&h->rig, h->actors[i].programs[p]);
	}
	rig_close(&h->rig);
}

/* The digest of what was observed; h->error says what was wrong. */
static uint64_t run_history(struct history *h, uint64_t seed, uint32_t ops)
{
	open_history(h, seed);
	for (uint32_t i = 0; i < ops && !h->error[0]; i++)
		operate(h);
	if (!h->error[0] && settle(h))
		check_end(h);
	if (!h->error[0])
		close_history(h);
	return h->digest;
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

/* The shortest prefix that fails. */
static uint32_t shrink(struct history *h, uint64_t seed)
{
	for (uint32_t ops = 0; ops < MAX_OPS; ops++) {
		run_history(h, seed, ops);
		if (h->error[0])
			return ops;
	}
	return MAX_OPS;
}

static void test_random_histories(void **state)
{
	uint64_t cases = setting("OOO_PROPERTY_CASES", 6000),
		 seed = setting("OOO_PROPERTY_SEED", 1);
	static struct history h;

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	for (uint64_t i = 0; i < cases; i++) {
		run_history(&h, seed + i, MAX_OPS);
		if (!h.error[0])
			continue;
		print_message("seed %llu: %s\n", (unsigned long long)(seed + i), h.error);
		print_message("shortest: %u operations: %s\n", shrink(&h, seed + i), h.error);
		fail();
	}
}

static void test_same_seed_same_history(void **state)
{
	uint64_t seed = setting("OOO_PROPERTY_SEED", 1);
	static struct history h;

	(void)state;
	for (uint64_t i = 0; i < 100; i++) {
		uint64_t first = run_history(&h, seed + i, MAX_OPS);

		assert_true(run_history(&h, seed + i, MAX_OPS) == first);
	}
	assert_true(run_history(&h, seed, MAX_OPS) != run_history(&h, seed + 1, MAX_OPS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_histories),
		cmocka_unit_test(test_same_seed_same_history),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
