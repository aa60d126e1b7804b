// SPDX-License-Identifier: Apache-2.0
/*
 * One tenant process: connect, load, bind `inflight` sets of buffers, wait for the start, then keep
 * them busy. Latency counts from the moment a request *arrives* (by the schedule, where there is
 * one), so a tenant that falls behind does not flatter itself.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl/run/run.h"

#define REAP_BATCH 64

/* One set of buffers and the request on it. */
struct lane {
	struct ooo_binding *binding;
	uint64_t arrival_ns;
	bool busy;
};

struct tenant_run {
	const struct run_options *o;
	const struct run_model *m;
	struct run_shared *shared;
	struct tenant_result *r;
	int index;
	struct ooo_client *client;
	struct ooo_program *program;
	struct lane *lanes;
	uint32_t *free_lanes;
	uint32_t nr_free;
	struct arrivals arrivals;
	uint64_t next_arrival_ns; /* absolute; UINT64_MAX: none left */
	struct expected expected;
	uint64_t solo_hash;
	char why[RUN_TEXT_BYTES];
};

static uint32_t shared_read(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void set_phase(struct tenant_run *t, uint32_t phase)
{
	__atomic_store_n(&t->r->phase, phase, __ATOMIC_RELEASE);
}

static void nap(long ns)
{
	struct timespec ts = { .tv_nsec = ns };

	nanosleep(&ts, NULL);
}

static int connect_and_load(struct tenant_run *t)
{
	struct ooo_program_opts program_opts = { sizeof(program_opts), t->o->precision };
	struct ooo_options opts = OOO_OPTIONS_INIT;
	struct ooo_builder *builder = NULL;
	char name[32];
	int err;

	err = model_build(t->o, t->m, t->index, &builder, t->why, sizeof(t->why));
	if (err)
		return err;
	snprintf(name, sizeof(name), "%.20s-%d", t->o->name, t->index);
	opts.name = name;
	opts.socket = t->o->socket;
	opts.sq_entries = t->o->inflight;
	opts.spin_us = t->o->spin_us;
	opts.arena_bytes = ooo_builder_arena_bytes(builder, t->o->inflight);
	err = ooo_connect(&opts, &t->client, t->why, sizeof(t->why));
	if (err)
		goto out;
	if (t->index == 0)
		snprintf(t->shared->device, sizeof(t->shared->device), "%s", ooo_device(t->client));
	err = ooo_load(t->client, builder, &program_opts, &t->program);
	if (err)
		snprintf(t->why, sizeof(t->why), "%s", ooo_error(t->client));
out:
	ooo_builder_free(builder);
	return err;
}

static int bind_lanes(struct tenant_run *t)
{
	t->lanes = calloc(t->o->inflight, sizeof(*t->lanes));
	t->free_lanes = calloc(t->o->inflight, sizeof(*t->free_lanes));
	if (!t->lanes || !t->free_lanes) {
		snprintf(t->why, sizeof(t->why), "no memory");
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < t->o->inflight; i++) {
		int err = ooo_bind(t->program, &t->lanes[i].binding);

		if (err) {
			snprintf(t->why, sizeof(t->why), "%s", ooo_error(t->client));
			return err;
		}
		err = inputs_fill(t->o, t->m, t->program, t->lanes[i].binding, t->index, t->why,
				  sizeof(t->why));
		if (err)
			return err;
		t->free_lanes[t->nr_free++] = t->o->inflight - 1 - i;
	}
	return 0;
}

static void note_program(struct tenant_run *t)
{
	struct ooo_program_info info;

	ooo_program_info(t->program, &info);
	t->r->nr_steps = info.nr_steps;
	t->r->nr_ops = info.nr_ops;
	t->r->weight_bytes = info.weight_bytes;
	t->r->workspace_bytes = info.workspace_bytes;
	t->r->tensor_bytes = info.tensor_bytes;
}

static void check_outputs(struct tenant_run *t, const struct lane *lane)
{
	struct tenant_result *r = t->r;

	if (t->o->check_solo) {
		r->output_hash = outputs_hash(t->program, lane->binding);
		if (r->output_hash != t->solo_hash)
			r->solo_mismatches++;
	}
	if (t->expected.nr && !outputs_agree(t->o, &t->expected, t->program, lane->binding, r,
					     t->why, sizeof(t->why))) {
		if (!r->wrong++)
			snprintf(r->text, sizeof(r->text), "%s", t->why);
	}
}

static void count(struct tenant_run *t, const struct ooo_completion *c)
{
	struct tenant_result *r = t->r;
	struct lane *lane = &t->lanes[c->cookie];
	uint64_t now = ooo_now_ns();

	r->completed++;
	r->width_sum += (double)c->width;
	r->service_ns += c->service_ns;
	switch (c->status) {
	case OOO_LATE:
		r->late++;
		/* fall through */
	case OOO_OK:
		r->ok++;
		histogram_add(&r->latency, now - lane->arrival_ns);
		check_outputs(t, lane);
		break;
	case OOO_REFUSED:
	case OOO_DRAINING:
		r->refused++;
		break;
	default:
		if (!r->failed++)
			snprintf(r->text, sizeof(r->text), "a request failed: %s",
				 ooo_strstatus(c->status));
		r->first_failure = c->status;
	}
	lane->busy = false;
	t->free_lanes[t->nr_free++] = (uint32_t)c->cookie;
	r->end_ns = now;
}

/* One request on lane 0, to its end. */
static int run_once(struct tenant_run *t)
{
	struct ooo_completion c;
	int n, err = ooo_submit(t->lanes[0].binding, 0, 0);

	if (err)
		return err;
	do
		n = ooo_wait(t->client, &c, 1, -1);
	while (n == -EINTR);
	if (n < 1 || c.status != OOO_OK) {
		snprintf(t->why, sizeof(t->why), "the solo request failed: %s",
			 n < 1 ? strerror(-n) : ooo_strstatus(c.status));
		return n < 0 ? n : -EIO;
	}
	return 0;
}

/* Each tenant in its turn, with nobody else running: what the bits must be later. */
static int run_solo(struct tenant_run *t)
{
	int err;

	while (shared_read(&t->shared->solo_turn) != (uint32_t)t->index)
		nap(200000);
	err = run_once(t);
	t->solo_hash = err ? 0 : outputs_hash(t->program, t->lanes[0].binding);
	__atomic_store_n(&t->r->solo_done, 1, __ATOMIC_RELEASE);
	return err;
}

static bool finished(const struct tenant_run *t, uint64_t now)
{
	if (shared_read(&t->shared->stop) || t->next_arrival_ns == UINT64_MAX)
		return true;
	if (t->o->requests)
		return t->r->started == t->o->requests;
	return now >= t->shared->start_ns + (uint64_t)(t->o->duration_s * 1e9);
}

static int submit(struct tenant_run *t, uint64_t now)
{
	bool scheduled = t->o->rate > 0 || t->o->arrivals;
	uint32_t i = t->free_lanes[t->nr_free - 1];
	struct lane *lane = &t->lanes[i];
	uint64_t deadline;
	int err;

	lane->arrival_ns = scheduled ? t->next_arrival_ns : now;
	deadline = t->o->deadline_ns ? lane->arrival_ns + t->o->deadline_ns : 0;
	err = ooo_submit(lane->binding, deadline, i);
	if (err)
		return err;
	t->nr_free--;
	lane->busy = true;
	t->r->started++;
	if (scheduled)
		t->next_arrival_ns = t->shared->start_ns + arrivals_next(&t->arrivals);
	return 0;
}

/* Submit all that has arrived and has buffers. */
static int submit_arrived(struct tenant_run *t)
{
	uint64_t now = ooo_now_ns();

	while (t->nr_free && !finished(t, now) && t->next_arrival_ns <= now) {
		int err = submit(t, now);

		if (err == -EAGAIN)
			return 0;
		if (err)
			return err;
	}
	return 0;
}

/* How long to wait for a completion before the next request arrives. */
static int64_t patience_ns(const struct tenant_run *t)
{
	uint64_t now = ooo_now_ns();

	if (!t->nr_free || finished(t, now))
		return 100000000;
	return t->next_arrival_ns > now ? (int64_t)(t->next_arrival_ns - now) : 0;
}

static int run_load(struct tenant_run *t)
{
	struct ooo_completion done[REAP_BATCH];
	int n, err;

	t->next_arrival_ns = t->shared->start_ns + arrivals_next(&t->arrivals);
	while (ooo_now_ns() < t->shared->start_ns)
		nap(100000);
	set_phase(t, PHASE_RUNNING);
	t->r->start_ns = t->shared->start_ns;
	for (;;) {
		err = submit_arrived(t);
		if (err)
			return err;
		if (!ooo_inflight(t->client)) {
			int64_t wait = patience_ns(t);

			if (finished(t, ooo_now_ns()))
				return 0;
			if (wait > 0)
				nap(wait > 10000000 ? 10000000 : (long)wait);
			continue;
		}
		n = ooo_wait(t->client, done, REAP_BATCH, patience_ns(t));
		if (n < 0 && n != -EINTR)
			return n;
		for (int i = 0; i < n; i++)
			count(t, &done[i]);
	}
}

static int prepare(struct tenant_run *t)
{
	int err = expected_load(t->o, &t->expected, t->why, sizeof(t->why));

	if (!err)
		err = arrivals_open(t->o, t->index, &t->arrivals, t->why, sizeof(t->why));
	if (!err)
		err = connect_and_load(t);
	if (!err)
		err = bind_lanes(t);
	if (!err)
		note_program(t);
	return err;
}

static void wait_for_start(struct tenant_run *t)
{
	set_phase(t, PHASE_READY);
	while (!shared_read(&t->shared->go) && !shared_read(&t->shared->stop))
		nap(200000);
}

int tenant_main(const struct run_options *o, const struct run_model *m, struct run_shared *shared,
		int index)
{
	struct tenant_run t = {
		.o = o, .m = m, .shared = shared, .r = &shared->tenants[index], .index = index
	};
	int err = prepare(&t);

	if (!err) {
		set_phase(&t, PHASE_READY);
		if (o->check_solo)
			err = run_solo(&t);
	}
	if (!err) {
		wait_for_start(&t);
		err = run_load(&t);
		if (err && !t.why[0])
			snprintf(t.why, sizeof(t.why), "%s", ooo_error(t.client));
	}
	if (!err && o->output && index == 0)
		err = outputs_save(o, t.program, t.lanes[0].binding, t.why, sizeof(t.why));
	if (err)
		snprintf(t.r->text, sizeof(t.r->text), "%s", t.why);
	set_phase(&t, err ? PHASE_FAILED : PHASE_DONE);
	ooo_disconnect(t.client);
	arrivals_close(&t.arrivals);
	expected_free(&t.expected);
	free(t.lanes);
	free(t.free_lanes);
	return err ? 1 : 0;
}
