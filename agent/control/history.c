// SPDX-License-Identifier: Apache-2.0
/*
 * What the counters were: a second ago, for rates, and at the last reset. The counters themselves
 * belong to the dispatcher and only ever grow; a reset is a remembered baseline here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/control/handler.h"

_Static_assert(sizeof(struct turn_stats) % sizeof(uint64_t) == 0, "counters alone");
_Static_assert(sizeof(struct tenant_stats) % sizeof(uint64_t) == 0, "counters alone");

/* Structs of nothing but counters, as arrays. */
static void counters_read(void *to, const void *live, size_t bytes)
{
	const uint64_t *src = live;
	uint64_t *dst = to;

	for (size_t i = 0; i < bytes / sizeof(*dst); i++)
		dst[i] = stat_read(&src[i]);
}

static void counters_subtract(void *from, const void *base, size_t bytes)
{
	const uint64_t *sub = base;
	uint64_t *dst = from;

	for (size_t i = 0; i < bytes / sizeof(*dst); i++)
		dst[i] -= sub[i];
}

static void counters_add(void *to, const void *more, size_t bytes)
{
	const uint64_t *add = more;
	uint64_t *dst = to;

	for (size_t i = 0; i < bytes / sizeof(*dst); i++)
		dst[i] += add[i];
}

static void take(struct snapshot *s, const struct history *h, uint64_t now_ns)
{
	s->at_ns = now_ns;
	for (unsigned i = 0; i < h->nr_live; i++)
		counters_read(&s->stats[i], h->live[i], sizeof(s->stats[i]));
}

void history_init(struct history *h, const struct registry_agent *agent, uint64_t now_ns)
{
	memset(h, 0, sizeof(*h));
	h->nr_live = agent->nr_devices;
	for (unsigned i = 0; i < h->nr_live; i++)
		h->live[i] = agent->devices[i].stats;
	h->base.at_ns = agent->start_ns;
	take(&h->last, h, now_ns);
	h->before = h->last;
}

void history_fini(struct history *h)
{
	free(h->tenant_base);
	h->tenant_base = NULL;
	h->nr_tenant_base = 0;
}

uint64_t history_tick(struct history *h, uint64_t now_ns)
{
	uint64_t age = now_ns - h->last.at_ns;

	if (age < HISTORY_TICK_NS)
		return HISTORY_TICK_NS - age;
	h->before = h->last;
	take(&h->last, h, now_ns);
	return HISTORY_TICK_NS;
}

static void since(const struct history *h, const struct snapshot *s, unsigned device,
		  struct turn_stats *out)
{
	counters_read(out, h->live[device], sizeof(*out));
	counters_subtract(out, &s->stats[device], sizeof(*out));
}

static void since_all(const struct history *h, const struct snapshot *s, struct turn_stats *out)
{
	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < h->nr_live; i++) {
		struct turn_stats one;

		since(h, s, i, &one);
		counters_add(out, &one, sizeof(*out));
	}
}

void history_recent_of(const struct history *h, unsigned device, uint64_t now_ns,
		       struct turn_stats *out, uint64_t *window_ns)
{
	since(h, &h->before, device, out);
	*window_ns = now_ns - h->before.at_ns;
}

void history_recent(const struct history *h, uint64_t now_ns, struct turn_stats *out,
		    uint64_t *window_ns)
{
	since_all(h, &h->before, out);
	*window_ns = now_ns - h->before.at_ns;
}

void history_since_reset(const struct history *h, uint64_t now_ns, struct turn_stats *out,
			 uint64_t *since_ns)
{
	since_all(h, &h->base, out);
	*since_ns = now_ns - h->base.at_ns;
}

static int compare_base(const void *a, const void *b)
{
	uint32_t x = ((const struct tenant_base *)a)->id, y = ((const struct tenant_base *)b)->id;

	return x < y ? -1 : x > y;
}

void history_tenant(const struct history *h, const struct tenant_view *t, struct tenant_stats *out)
{
	const struct tenant_base key = { .id = t->id }, *base = NULL;

	counters_read(out, t->stats, sizeof(*out));
	if (h->nr_tenant_base)
		base = bsearch(&key, h->tenant_base, h->nr_tenant_base, sizeof(key), compare_base);
	if (base)
		counters_subtract(out, &base->stats, sizeof(*out));
}

struct collect {
	struct tenant_base *list;
	unsigned nr, max;
};

static int collect_tenant(const struct tenant_view *t, void *arg)
{
	struct collect *c = arg;

	if (c->nr == c->max)
		return -EAGAIN;
	c->list[c->nr].id = t->id;
	counters_read(&c->list[c->nr].stats, t->stats, sizeof(c->list->stats));
	c->nr++;
	return 0;
}

/* Memory first, then the lock: tenants that connect in between make it try again with more. */
int history_reset(struct history *h, struct registry *r, uint64_t now_ns)
{
	struct collect c = { 0 };
	int err;

	do {
		registry_lock(r);
		c.max = registry_agent(r)->nr_tenants + 16;
		registry_unlock(r);
		c.nr = 0;
		free(c.list);
		c.list = calloc(c.max, sizeof(*c.list));
		if (!c.list)
			return -ENOMEM;
		registry_lock(r);
		err = registry_for_each_tenant(r, collect_tenant, &c);
		registry_unlock(r);
	} while (err);
	free(h->tenant_base);
	h->tenant_base = c.list;
	h->nr_tenant_base = c.nr;
	take(&h->base, h, now_ns);
	return 0;
}
