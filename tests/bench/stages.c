// SPDX-License-Identifier: Apache-2.0
/*
 * What counting the times by stage costs: one tenant with 64 requests in flight on a device that takes
 * no time, on the real clock. Rounds with and without a place in the array take turns, so that what
 * else the machine does meets both alike. Prints one JSON object: medians of nanoseconds a request in
 * the dispatcher's turns, and their ratio.
 */
#include <errno.h>
#include <stdio.h>

#include "agent/watch/stages.h"
#include "tests/unit/flow/harness.h"

#define INFLIGHT 64
#define REQUESTS 50000
#define ROUNDS   101

static struct bundle *held;

static int instant_submit(struct device *dev, struct bundle *b)
{
	(void)dev;
	if (held)
		return -EAGAIN;
	b->start_ns = b->end_ns = turn_clock_ns();
	for (uint32_t i = 0; i < b->nr_items; i++) {
		b->items[i].service_ns = 0;
		b->items[i].status = OOO_OK;
	}
	b->scope = SCOPE_NONE;
	held = b;
	return 0;
}

static unsigned instant_poll(struct device *dev, struct bundle **done, unsigned max)
{
	(void)dev;
	(void)max;
	if (!held)
		return 0;
	done[0] = held;
	held = NULL;
	return 1;
}

static double ns_per_request(struct rig *rig, struct fake_tenant *f)
{
	uint64_t spent = 0, sent = 0;

	while (sent < REQUESTS) {
		uint64_t begin;

		for (; f->sq_tail - f->cq_head < INFLIGHT; sent++)
			push(f, 0, sent, 0);
		begin = turn_clock_ns();
		dispatcher_turn(rig->d);
		spent += turn_clock_ns() - begin;
		while (reapable(f))
			reap(f);
	}
	return (double)spent / (double)sent;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(void)
{
	struct ooo_tenant_stages *place = calloc(1, sizeof(*place));
	struct turn_config turn = { .runahead_us = 1000, .bundle_us = 2000 };
	struct device_ops ops = sim_device_ops;
	double ns[2][ROUNDS];
	struct fake_program *p;
	struct fake_tenant *f;
	struct rig rig;

	rig_open(&rig, (struct device_config){ 0 }, turn);
	ops.submit = instant_submit;
	ops.poll = instant_poll;
	ops.clock_ns = NULL;
	rig.d->ops = &ops;
	f = tenant_make(&rig, 0, INFLIGHT);
	p = program_make(&rig, f, 0, 1, INFLIGHT, chain);
	for (int i = 0; i < 2 * ROUNDS; i++) {
		f->t.stages = i % 2 ? place : NULL;
		ns[i % 2][i / 2] = ns_per_request(&rig, f);
	}
	for (int i = 0; i < 2; i++)
		qsort(ns[i], ROUNDS, sizeof(double), by_value);
	printf("{\"bench\":\"stages\",\"requests\":%u,\"off_ns\":%.1f,\"counted_ns\":%.1f,\"ratio\":%.4f}\n",
	       ROUNDS * REQUESTS, ns[0][ROUNDS / 2], ns[1][ROUNDS / 2],
	       ns[1][ROUNDS / 2] / ns[0][ROUNDS / 2]);
	f->t.stages = NULL;
	while (rig.d->nr_requests)
		dispatcher_turn(rig.d);
	tenant_remove(&rig, f);
	program_free_memory(&rig, p);
	rig_close(&rig);
	free(place);
	return 0;
}
