// SPDX-License-Identifier: Apache-2.0
#include "ctl/sim/outcome.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/sim/workload.h"
#include "ctl/sim/world.h"
#include "shared/abi/status.h"

#define MAX_STEP_EVENTS 30e6 /* steps of a whole run, where the caller sets no limit */

struct run {
	const struct scenario *s;
	const struct policy_file *policy;
	struct outcome *out;
	struct world world;
	struct workload *load;
	struct world_program *programs; /* by group */
	struct client *clients;
	uint64_t *first; /* by group: its first client */
	int err;         /* of a callback */
};

static double requests_expected(const struct scenario *s)
{
	double seconds = s->duration_ns / 1e9, n = 0, loops = 0;

	for (uint32_t i = 0; i < s->nr_groups; i++) {
		const struct group *g = &s->groups[i];

		if (g->source == SOURCE_POISSON)
			n += g->rate * g->count * seconds;
		else if (g->source == SOURCE_CLOSED)
			loops += g->program.together_per_s * seconds;
	}
	if (s->nr_arrivals)
		n += s->span_ns > 0 ? (double)s->nr_arrivals * s->duration_ns / s->span_ns
				    : (double)s->nr_arrivals;
	return n + loops + s->poisson_per_s * seconds;
}

uint32_t scenario_steps(const struct scenario *s, const struct measured_program *p)
{
	double most = MAX_STEP_EVENTS / (requests_expected(s) + 1);

	if (s->max_steps)
		most = s->max_steps;
	if (most < 1)
		most = 1;
	return p->steps < most ? p->steps : (uint32_t)most;
}

static void count(struct tally *t, const struct ooo_cqe *cqe, uint64_t latency_ns, double slo_ns)
{
	t->service_ns += cqe->service_ns;
	switch (cqe->status) {
	case OOO_OK:
	case OOO_LATE:
		t->done++;
		t->good += slo_ns > 0 ? (double)latency_ns <= slo_ns : cqe->status == OOO_OK;
		if (t->latency)
			histogram_add(t->latency, latency_ns);
		break;
	case OOO_REFUSED:
		t->refused++;
		break;
	default:
		t->failed++;
	}
}

static void completed(void *arg, struct client *c, const struct ooo_cqe *cqe, uint64_t arrival_ns)
{
	struct run *r = arg;
	const struct group *g = &r->policy->groups[c->group];
	uint64_t at = cqe->finish_ns, index = (uint64_t)(c - r->clients);
	uint64_t latency = at > arrival_ns ? at - arrival_ns : 0;

	count(&r->out->total, cqe, latency, g->slo_ns);
	count(&r->out->groups[c->group], cqe, latency, g->slo_ns);
	count(&r->out->tenants[index], cqe, latency, g->slo_ns);
	if (g->source == SOURCE_CLOSED)
		workload_completed(r->load, c->group, (uint32_t)(index - r->first[c->group]),
				   world_now(&r->world));
}

static int make_histograms(const struct scenario *s, bool per_tenant, struct outcome *o)
{
	bool ok;

	o->total.latency = calloc(1, sizeof(*o->total.latency));
	ok = o->total.latency != NULL;
	for (uint32_t i = 0; ok && i < s->nr_groups; i++)
		ok = (o->groups[i].latency = calloc(1, sizeof(*o->groups[i].latency)));
	for (uint64_t i = 0; ok && per_tenant && i < o->nr_tenants; i++)
		ok = (o->tenants[i].latency = calloc(1, sizeof(*o->tenants[i].latency)));
	return ok ? 0 : -ENOMEM;
}

static int allocate(struct run *r, bool per_tenant)
{
	const struct scenario *s = r->s;
	struct outcome *o = r->out;

	r->first = calloc(s->nr_groups + 1, sizeof(*r->first));
	if (!r->first)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->nr_groups; i++)
		r->first[i + 1] = r->first[i] + s->groups[i].count;
	o->nr_tenants = r->first[s->nr_groups];
	o->groups = calloc(s->nr_groups + 1, sizeof(*o->groups));
	o->tenants = calloc(o->nr_tenants + 1, sizeof(*o->tenants));
	r->programs = calloc(s->nr_groups + 1, sizeof(*r->programs));
	r->clients = calloc(o->nr_tenants + 1, sizeof(*r->clients));
	if (!o->groups || !o->tenants || !r->programs || !r->clients)
		return -ENOMEM;
	return make_histograms(s, per_tenant, o);
}

static int add_group(struct run *r, uint32_t group, char *why, size_t why_bytes)
{
	const struct group *g = &r->policy->groups[group];
	struct world_program *p = &r->programs[group];
	int err = world_program_init(p, &r->s->device, &g->program,
				     scenario_steps(r->s, &g->program));

	for (uint32_t i = 0; !err && i < g->count; i++) {
		struct client *c = &r->clients[r->first[group] + i];

		c->t.params = g->params;
		c->max_inflight = g->inflight;
		c->slo_ns = (uint64_t)g->slo_ns;
		c->deadline = g->deadlines;
		c->group = group;
		snprintf(c->t.name, sizeof(c->t.name), "%s", g->name);
		err = world_add(&r->world, c, p, why, why_bytes);
	}
	return err;
}

static int go(struct run *r)
{
	uint64_t start = world_now(&r->world), end = start + (uint64_t)r->s->duration_ns;
	uint64_t now = start;

	while (now < end && !r->err) {
		uint64_t next = workload_next_ns(r->load);

		while (next <= now) {
			struct due due = workload_pop(r->load);
			uint64_t index = r->first[due.group] + due.tenant;

			r->out->total.offered++;
			r->out->groups[due.group].offered++;
			r->out->tenants[index].offered++;
			r->err = world_arrive(&r->world, &r->clients[index], due.at_ns);
			if (r->err)
				return r->err;
			next = workload_next_ns(r->load);
		}
		world_turn(&r->world, next < end ? next : end);
		now = world_now(&r->world);
	}
	return r->err;
}

/* (sum x)^2 / (n sum x^2): 1 if all have the same, 1 / n if one has all. */
static double jain(double sum, double squares, uint64_t n)
{
	return n && squares > 0 ? sum * sum / ((double)n * squares) : 1;
}

static void fairness(struct run *r)
{
	double service = 0, service2 = 0, served = 0, served2 = 0;
	struct outcome *o = r->out;
	uint64_t n = 0;

	for (uint64_t i = 0; i < o->nr_tenants; i++) {
		const struct tally *t = &o->tenants[i];
		double x = (double)t->service_ns / r->clients[i].t.params.weight;
		double y = t->offered ? (double)t->good / (double)t->offered : 0;

		if (!t->offered)
			continue;
		n++;
		service += x;
		service2 += x * x;
		served += y;
		served2 += y * y;
	}
	o->jain_service = jain(service, service2, n);
	o->jain_served = jain(served, served2, n);
}

static void summarize(struct run *r)
{
	const struct turn_stats *stats = dispatcher_stats(r->world.d);
	struct outcome *o = r->out;

	o->policy = r->policy->name;
	o->seconds = r->s->duration_ns / 1e9;
	o->bundles = stats->bundles;
	o->items = stats->items;
	o->busy_ns = stats->busy_ns;
	o->nr_lanes = r->s->device.model.lanes;
	fairness(r);
}

static void run_free(struct run *r)
{
	for (uint64_t i = 0; r->clients && i < r->out->nr_tenants; i++)
		world_client_fini(&r->world, &r->clients[i]);
	for (uint32_t i = 0; r->programs && i < r->s->nr_groups; i++)
		world_program_fini(&r->programs[i]);
	workload_free(r->load);
	free(r->programs);
	free(r->clients);
	free(r->first);
}

int outcome_run(const struct scenario *s, const struct policy_file *policy, bool per_tenant,
		struct outcome *out, char *why, size_t why_bytes)
{
	struct run r = { .s = s, .policy = policy, .out = out };
	int err;

	*out = (struct outcome){ 0 };
	snprintf(why, why_bytes, "no memory");
	err = world_open(&r.world, &s->device.model, &policy->turn, why, why_bytes);
	if (err)
		return err;
	r.world.completed = completed;
	r.world.arg = &r;
	err = allocate(&r, per_tenant);
	for (uint32_t i = 0; !err && i < s->nr_groups; i++)
		err = add_group(&r, i, why, why_bytes);
	if (!err)
		err = world_settle(&r.world);
	if (!err) {
		r.load = workload_new(s, world_now(&r.world));
		err = r.load ? go(&r) : -ENOMEM;
	}
	if (!err)
		summarize(&r);
	run_free(&r);
	world_close(&r.world);
	return err;
}

void outcome_free(struct outcome *o, const struct scenario *s)
{
	free(o->total.latency);
	for (uint32_t i = 0; o->groups && i < s->nr_groups; i++)
		free(o->groups[i].latency);
	for (uint64_t i = 0; o->tenants && i < o->nr_tenants; i++)
		free(o->tenants[i].latency);
	free(o->groups);
	free(o->tenants);
}
