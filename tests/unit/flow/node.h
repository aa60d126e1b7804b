/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated node with exact costs and a few tenants, whose shares and deadlines a test looks at. */
#ifndef TESTS_FLOW_NODE_H
#define TESTS_FLOW_NODE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/sim/world.h"

#define CLIENTS 16

/* A node with tenants that keep a number of requests in flight, or arrive by hand. */
struct node {
	struct device_file file;
	struct world w;
	struct world_program programs[CLIENTS];
	struct client clients[CLIENTS];
	unsigned nr;
	bool loop[CLIENTS];
	uint64_t done[CLIENTS], good[CLIENTS], late[CLIENTS], refused[CLIENTS];
	uint64_t service_ns[CLIENTS];
	uint64_t longest_ns[CLIENTS]; /* latency */
};

static inline void completed(void *arg, struct client *c, const struct ooo_cqe *cqe,
			     uint64_t arrival_ns)
{
	struct node *n = arg;
	size_t i = (size_t)(c - n->clients);
	uint64_t latency = cqe->finish_ns - arrival_ns;

	n->service_ns[i] += cqe->service_ns;
	if (cqe->status == OOO_OK || cqe->status == OOO_LATE) {
		n->done[i]++;
		n->late[i] += cqe->status == OOO_LATE;
		n->good[i] += !c->slo_ns || latency <= c->slo_ns;
		if (latency > n->longest_ns[i])
			n->longest_ns[i] = latency;
	} else {
		n->refused[i]++;
	}
	if (n->loop[i])
		assert_int_equal(world_arrive(&n->w, c, world_now(&n->w)), 0);
}

static inline void node_open(struct node *n, unsigned width, unsigned lanes, uint32_t bundle_us)
{
	struct turn_config turn = TURN_CONFIG_DEFAULT;
	char why[256];

	turn.bundle_us = bundle_us;
	*n = (struct node){ .file.model = { .name = "exact",
					    .lanes = lanes,
					    .lane_depth = 16,
					    .max_items = BUNDLE_MAX_ITEMS,
					    .width = width,
					    .threads = 1,
					    .runahead_us = 100,
					    .mixed_classes = true } };
	assert_int_equal(world_open(&n->w, &n->file.model, &turn, why, sizeof(why)), 0);
	n->w.completed = completed;
	n->w.arg = n;
}

/* alone_us for the request's steps one after another; work: of that, the device's whole time. */
static inline struct client *node_add(struct node *n, uint32_t steps, double alone_us, double work,
				      uint32_t inflight, struct tenant_params params)
{
	struct measured_program m = { .steps = steps,
				      .alone_ns = alone_us * 1e3,
				      .together_per_s = 1e6 / (alone_us * work) };
	struct client *c = &n->clients[n->nr];
	char why[256];

	snprintf(m.name, sizeof(m.name), "p%u", n->nr);
	assert_int_equal(world_program_init(&n->programs[n->nr], &n->file, &m, steps), 0);
	c->t.params = params;
	c->max_inflight = inflight;
	assert_int_equal(world_add(&n->w, c, &n->programs[n->nr], why, sizeof(why)), 0);
	n->nr++;
	return c;
}

static inline void start_loops(struct node *n)
{
	assert_int_equal(world_settle(&n->w), 0);
	for (unsigned i = 0; i < n->nr; i++) {
		n->loop[i] = true;
		for (uint32_t k = 0; k < n->clients[i].max_inflight; k++)
			assert_int_equal(world_arrive(&n->w, &n->clients[i], world_now(&n->w)), 0);
	}
}

static inline void run_for(struct node *n, uint64_t ns)
{
	uint64_t end = world_now(&n->w) + ns;

	while (world_now(&n->w) < end)
		world_turn(&n->w, end);
}

static inline void node_close(struct node *n)
{
	for (unsigned i = 0; i < n->nr; i++) {
		world_client_fini(&n->w, &n->clients[i]);
		world_program_fini(&n->programs[i]);
	}
	world_close(&n->w);
}

static inline void forget(struct node *n)
{
	memset(n->done, 0, sizeof(n->done));
	memset(n->good, 0, sizeof(n->good));
	memset(n->late, 0, sizeof(n->late));
	memset(n->refused, 0, sizeof(n->refused));
	memset(n->service_ns, 0, sizeof(n->service_ns));
	memset(n->longest_ns, 0, sizeof(n->longest_ns));
}

static inline void assert_near(double value, double expected, double part)
{
	if (value < expected * (1 - part) || value > expected * (1 + part)) {
		print_error("%g, expected %g within %g %%\n", value, expected, part * 100);
		fail();
	}
}

static inline struct tenant_params weight(uint32_t w)
{
	struct tenant_params p = TENANT_PARAMS_DEFAULT;

	p.weight = w;
	return p;
}

static inline uint64_t splitmix(uint64_t *s)
{
	uint64_t z = *s += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

#endif
