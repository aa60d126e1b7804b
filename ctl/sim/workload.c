// SPDX-License-Identifier: Apache-2.0
/*
 * Equal tenants with Poisson arrivals are one Poisson process of their summed rate whose arrivals go
 * to tenants at random: a group costs the same whatever its size.
 */
#include "ctl/sim/workload.h"

#include <math.h>
#include <stdlib.h>

/* A stream of arrivals; the one with the earliest goes first. */
struct source {
	struct heap_node by_time;
	enum {
		STREAM_POISSON,
		STREAM_SHARED_POISSON,
		STREAM_SHARED_LIST,
		STREAM_LOOP, /* one request of a closed loop that thinks */
	} kind;
	uint32_t group, tenant;
	double at_ns, mean_ns; /* from the start */
	uint64_t random;
	uint64_t index, round; /* STREAM_SHARED_LIST */
	struct source *next_free;
};

struct workload {
	const struct scenario *s;
	uint64_t start_ns;
	struct heap due;
	struct source *sources;
	struct source *free_loops; /* of requests that are in flight */
	double *share_end;         /* by group: cumulated, of count * share */
};

static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* In (0, 1). */
static double unit(uint64_t *state)
{
	return ((double)(splitmix(state) >> 11) + 0.5) / 9007199254740992.0;
}

static void enqueue(struct workload *w, struct source *src)
{
	heap_insert(&w->due, &src->by_time, w->start_ns + (uint64_t)src->at_ns);
}

static void next_poisson(struct source *src)
{
	src->at_ns += -log(unit(&src->random)) * src->mean_ns;
}

/* False: the list is at its end, and a list of one moment has no next round. */
static bool next_listed(const struct workload *w, struct source *src)
{
	const struct scenario *s = w->s;

	if (src->index == s->nr_arrivals) {
		if (s->span_ns <= 0)
			return false;
		src->index = 0;
		src->round++;
	}
	src->at_ns = (double)s->arrivals[src->index++].at_ns + (double)src->round * s->span_ns;
	return true;
}

static uint64_t nr_loops(const struct scenario *s)
{
	uint64_t n = 0;

	for (uint32_t g = 0; g < s->nr_groups; g++) {
		if (s->groups[g].source == SOURCE_CLOSED)
			n += (uint64_t)s->groups[g].count * s->groups[g].inflight;
	}
	return n;
}

static void start_loops(struct workload *w, struct source *first, uint32_t group)
{
	const struct group *g = &w->s->groups[group];
	uint64_t n = (uint64_t)g->count * g->inflight;

	for (uint64_t i = 0; i < n; i++) {
		first[i] = (struct source){ .kind = STREAM_LOOP,
					    .group = group,
					    .tenant = (uint32_t)(i % g->count) };
		enqueue(w, &first[i]);
	}
}

static void start_shared(struct workload *w, struct source *src)
{
	const struct scenario *s = w->s;
	double sum = 0;

	for (uint32_t g = 0; g < s->nr_groups; g++) {
		if (s->groups[g].source == SOURCE_SHARED)
			sum += s->groups[g].share * s->groups[g].count;
		w->share_end[g] = sum;
	}
	src->random = s->seed * 0x2545f4914f6cdd1dull + 1;
	if (sum <= 0 && !(s->nr_arrivals && s->arrivals[0].tenant != UINT32_MAX))
		return;
	if (s->nr_arrivals) {
		src->kind = STREAM_SHARED_LIST;
		next_listed(w, src);
		enqueue(w, src);
	} else if (s->poisson_per_s > 0) {
		src->kind = STREAM_SHARED_POISSON;
		src->mean_ns = 1e9 / s->poisson_per_s;
		next_poisson(src);
		enqueue(w, src);
	}
}

struct workload *workload_new(const struct scenario *s, uint64_t start_ns)
{
	struct workload *w = calloc(1, sizeof(*w));
	struct source *src;

	if (!w)
		return NULL;
	w->s = s;
	w->start_ns = start_ns;
	w->sources = calloc(s->nr_groups + 1 + nr_loops(s), sizeof(*w->sources));
	w->share_end = calloc(s->nr_groups, sizeof(*w->share_end));
	if (!w->sources || !w->share_end) {
		workload_free(w);
		return NULL;
	}
	src = w->sources;
	start_shared(w, src++);
	for (uint32_t i = 0; i < s->nr_groups; i++) {
		const struct group *g = &s->groups[i];

		if (g->source == SOURCE_CLOSED) {
			start_loops(w, src, i);
			src += (uint64_t)g->count * g->inflight;
		} else if (g->source == SOURCE_POISSON) {
			*src = (struct source){ .kind = STREAM_POISSON,
						.group = i,
						.mean_ns = 1e9 / (g->rate * g->count),
						.random = s->seed * 0x9e3779b1u + i + 7919 };
			next_poisson(src);
			enqueue(w, src++);
		}
	}
	return w;
}

void workload_free(struct workload *w)
{
	if (!w)
		return;
	free(w->sources);
	free(w->share_end);
	free(w);
}

uint64_t workload_next_ns(const struct workload *w)
{
	return heap_empty(&w->due) ? UINT64_MAX : heap_min(&w->due)->key;
}

static uint32_t choose_tenant(const struct workload *w, uint32_t group, uint64_t *random)
{
	return (uint32_t)(unit(random) * w->s->groups[group].count);
}

static uint32_t choose_group(const struct workload *w, uint64_t *random)
{
	const struct scenario *s = w->s;
	double at = unit(random) * w->share_end[s->nr_groups - 1];
	uint32_t low = 0, high = s->nr_groups - 1;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (w->share_end[mid] > at)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

struct due workload_pop(struct workload *w)
{
	struct source *src = heap_entry(heap_pop(&w->due), struct source, by_time);
	struct due due = { src->by_time.key, src->group, src->tenant };
	const struct arrival *a;

	switch (src->kind) {
	case STREAM_POISSON:
		due.tenant = choose_tenant(w, src->group, &src->random);
		next_poisson(src);
		enqueue(w, src);
		break;
	case STREAM_SHARED_POISSON:
		due.group = choose_group(w, &src->random);
		due.tenant = choose_tenant(w, due.group, &src->random);
		next_poisson(src);
		enqueue(w, src);
		break;
	case STREAM_SHARED_LIST:
		a = &w->s->arrivals[src->index - 1];
		due.group = a->tenant == UINT32_MAX ? choose_group(w, &src->random) : a->group;
		due.tenant = a->tenant == UINT32_MAX ? choose_tenant(w, due.group, &src->random)
						     : a->tenant;
		if (next_listed(w, src))
			enqueue(w, src);
		break;
	case STREAM_LOOP:
		src->next_free = w->free_loops;
		w->free_loops = src;
		break;
	}
	return due;
}

void workload_completed(struct workload *w, uint32_t group, uint32_t tenant, uint64_t now_ns)
{
	struct source *src = w->free_loops;

	w->free_loops = src->next_free;
	src->group = group;
	src->tenant = tenant;
	src->at_ns = (double)(now_ns - w->start_ns) + w->s->groups[group].think_ns;
	enqueue(w, src);
}
