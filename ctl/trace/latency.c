// SPDX-License-Identifier: Apache-2.0
/* `trace latency`: histograms of each tenant's program, and stage. */
#include <bpf/bpf.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/trace/trace.h"

/* Behind the structs that it names. */
#include "bpf/latency.skel.h"

/* What the last report saw: the map's counters only grow. */
struct before {
	struct trace_program key[TRACE_PROGRAMS];
	struct trace_times *times[TRACE_PROGRAMS];
	unsigned nr;
	uint64_t lost;
};

static int load(struct trace *t)
{
	struct latency_bpf *skel = latency_bpf__open();

	if (!skel)
		return -errno;
	t->skel = skel;
	t->object = skel->obj;
	skel->rodata->tenant = t->tenant;
	t->state = calloc(1, sizeof(struct before));
	return t->state ? latency_bpf__load(skel) : -ENOMEM;
}

static struct trace_times *before_of(struct before *b, const struct trace_program *key)
{
	for (unsigned i = 0; i < b->nr; i++) {
		if (!memcmp(&b->key[i], key, sizeof(*key)))
			return b->times[i];
	}
	if (b->nr == TRACE_PROGRAMS)
		return NULL;
	b->key[b->nr] = *key;
	b->times[b->nr] = calloc(1, sizeof(struct trace_times));
	return b->times[b->nr++];
}

/* As much as tells the whole distribution: bounds in nanoseconds and how many are below each. */
static void add_buckets(cJSON *row, const uint64_t bucket[LATENCY_BUCKETS])
{
	cJSON *list = cJSON_AddArrayToObject(row, "buckets");

	for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
		double pair[2] = { i < LATENCY_BUCKETS - 1 ? (double)latency_bound_ns(i) : -1,
				   (double)bucket[i] };

		if (bucket[i])
			cJSON_AddItemToArray(list, cJSON_CreateDoubleArray(pair, 2));
	}
}

static void add_row(const struct trace *t, cJSON *rows, const struct trace_program *key,
		    unsigned stage, const struct trace_times *now, const struct trace_times *old)
{
	uint64_t bucket[LATENCY_BUCKETS], count = 0;
	cJSON *row;

	for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
		bucket[i] = now->bucket[stage][i] - old->bucket[stage][i];
		count += bucket[i];
	}
	if (!count)
		return;
	row = cJSON_CreateObject();
	trace_add_tenant(t, row, key->tenant);
	cJSON_AddNumberToObject(row, "program", key->program);
	cJSON_AddStringToObject(row, "stage",
				stage == TRACE_WHOLE ? "all" : flight_stage_key(stage));
	cJSON_AddNumberToObject(row, "count", (double)count);
	trace_add_us(row, "mean_us",
		     (double)(now->sum_ns[stage] - old->sum_ns[stage]) / (double)count);
	trace_add_us(row, "p50_us", trace_percentile(bucket, 0.5));
	trace_add_us(row, "p90_us", trace_percentile(bucket, 0.9));
	trace_add_us(row, "p99_us", trace_percentile(bucket, 0.99));
	add_buckets(row, bucket);
	cJSON_AddItemToArray(rows, row);
}

static int report(struct trace *t, cJSON *root, cJSON *rows)
{
	struct latency_bpf *skel = t->skel;
	struct before *b = t->state;
	int fd = bpf_map__fd(skel->maps.times);
	struct trace_program key, *prev = NULL;

	while (!bpf_map_get_next_key(fd, prev, &key)) {
		struct trace_times now, *old;

		prev = &key;
		if (!trace_wants(t, key.tenant) || bpf_map_lookup_elem(fd, &key, &now))
			continue;
		old = before_of(b, &key);
		if (!old)
			return -ENOMEM;
		for (unsigned stage = 0; stage <= TRACE_WHOLE; stage++)
			add_row(t, rows, &key, stage, &now, old);
		*old = now;
	}
	cJSON_AddNumberToObject(root, "lost", (double)(skel->bss->lost - b->lost));
	b->lost = skel->bss->lost;
	return 0;
}

static void latency_free(struct trace *t)
{
	struct before *b = t->state;

	for (unsigned i = 0; b && i < b->nr; i++)
		free(b->times[i]);
	free(b);
	latency_bpf__destroy(t->skel);
}

const struct trace_kind trace_latency = {
	.key = "latency",
	.rows = "stages",
	.load = load,
	.report = report,
	.free = latency_free,
};
