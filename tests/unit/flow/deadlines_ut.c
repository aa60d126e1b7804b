// SPDX-License-Identifier: Apache-2.0
/*
 * What admission control promises is kept, always, where costs are exact: on random sets of requests
 * that some order serves in time. Such a set is made from a schedule: jobs back to back, some after a
 * pause; each arrives at or before its start there and is due at or after its end, later by what
 * cannot be interrupted: what a lane has queued and two bundles. In half of the cases others load the
 * device meanwhile: tenants in a closed loop, and one whose late requests are served late.
 *
 *   make property CASES=100000 SEED=1     the long run, together with property_ut's
 */
#include "tests/unit/flow/node.h"

#define JOBS      60
#define OTHERS    3
#define FIRST_JOB 1000000000 /* where the sim device's clock starts */

struct job {
	uint64_t arrival_ns, deadline_ns;
	uint32_t client;
};

struct set {
	uint64_t random;
	struct node node;
	uint32_t nr_clients; /* the others follow */
	uint64_t cost_ns[CLIENTS];
	uint64_t blocked_ns; /* what an urgent request may have to wait for */
	struct job jobs[JOBS];
};

static int by_arrival(const void *a, const void *b)
{
	const struct job *x = a, *y = b;

	return x->arrival_ns < y->arrival_ns ? -1 : x->arrival_ns > y->arrival_ns;
}

static uint32_t below(struct set *s, uint32_t n)
{
	return (uint32_t)(splitmix(&s->random) % n);
}

static void add_program(struct set *s, uint32_t i, struct tenant_params params, uint32_t inflight)
{
	uint32_t steps = 1 + below(s, 8);
	uint64_t step_us = 5 + below(s, 60);

	s->cost_ns[i] = steps * step_us * 1000;
	if (step_us * 1000 > s->blocked_ns)
		s->blocked_ns = step_us * 1000;
	node_add(&s->node, steps, (double)(steps * step_us), 1, inflight, params);
}

static void open_set(struct set *s, uint64_t seed)
{
	uint32_t others;

	*s = (struct set){ .random = seed };
	node_open(&s->node, 1, 1, 50);
	if (below(s, 2)) /* one step at a time: plain EDF */
		s->node.w.d->config.max_width = 1;
	s->nr_clients = 2 + below(s, 6);
	for (uint32_t i = 0; i < s->nr_clients; i++)
		add_program(s, i, weight(1 + below(s, 1000)), 64);
	others = below(s, 2) ? 1 + below(s, OTHERS) : 0;
	for (uint32_t i = 0; i < others; i++) {
		struct tenant_params params = weight(1 + below(s, 1000));

		params.klass = (uint8_t)below(s, TENANT_CLASSES);
		params.admission = ADMISSION_LATE;
		params.slo_ns = below(s, 2) ? 1000 * (1 + below(s, 2000)) : 0;
		add_program(s, s->nr_clients + i, params, 1 + below(s, 4));
	}
	s->blocked_ns = 2 * s->blocked_ns + (s->node.file.model.runahead_us + 50) * 1000 + 1000;
	assert_int_equal(world_settle(&s->node.w), 0);
}

static void make_jobs(struct set *s)
{
	uint64_t at = world_now(&s->node.w) + 1000;

	for (int i = 0; i < JOBS; i++) {
		struct job *job = &s->jobs[i];
		uint64_t early = below(s, 3000000);

		if (below(s, 4) == 0)
			at += below(s, 300000);
		job->client = below(s, s->nr_clients);
		job->arrival_ns = at > early + FIRST_JOB ? at - early : FIRST_JOB;
		at += s->cost_ns[job->client];
		job->deadline_ns = at + s->blocked_ns + below(s, 500000);
	}
	qsort(s->jobs, JOBS, sizeof(s->jobs[0]), by_arrival);
}

static void start_others(struct set *s)
{
	struct node *n = &s->node;

	for (uint32_t i = s->nr_clients; i < n->nr; i++) {
		n->loop[i] = true;
		assert_int_equal(world_arrive(&n->w, &n->clients[i], world_now(&n->w)), 0);
	}
}

static void run_jobs(struct set *s)
{
	struct node *n = &s->node;

	for (int i = 0; i < JOBS; i++) {
		const struct job *job = &s->jobs[i];
		struct client *c = &n->clients[job->client];

		while (world_now(&n->w) < job->arrival_ns)
			world_turn(&n->w, job->arrival_ns);
		c->deadline = true;
		c->slo_ns = job->deadline_ns - job->arrival_ns;
		assert_int_equal(world_arrive(&n->w, c, job->arrival_ns), 0);
	}
	run_for(n, 60000000);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void promises_are_kept(void **state)
{
	uint64_t cases = setting("OOO_PROPERTY_CASES", 2000);
	uint64_t first = setting("OOO_PROPERTY_SEED", 1), given = 0, broken = 0;

	(void)state;
	for (uint64_t seed = first; seed < first + cases; seed++) {
		static struct set s;
		uint64_t before = broken;

		open_set(&s, seed);
		make_jobs(&s);
		start_others(&s);
		run_jobs(&s);
		for (uint32_t i = 0; i < s.node.nr; i++) {
			given += s.node.clients[i].t.stats.promised;
			broken += s.node.clients[i].t.stats.broken;
		}
		if (broken > before)
			print_message("seed %llu: %llu promises broken\n", (unsigned long long)seed,
				      (unsigned long long)(broken - before));
		node_close(&s.node);
	}
	print_message("%llu promises, %llu broken\n", (unsigned long long)given,
		      (unsigned long long)broken);
	assert_int_equal(broken, 0);
	assert_true(given > cases);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(promises_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
