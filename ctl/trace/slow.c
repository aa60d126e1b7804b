// SPDX-License-Identifier: Apache-2.0
/* `trace slow`: the slowest requests, each with the time of all its stages. */
#include <bpf/bpf.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/trace/trace.h"

/* Behind the structs that it names. */
#include "bpf/slow.skel.h"

struct slowest {
	struct trace *trace;
	struct ring_buffer *ring;
	uint64_t seen, lost; /* at the last report */
	unsigned nr;
	struct ooo_record_request list[]; /* the slowest first */
};

static uint64_t latency_ns(const struct ooo_record_request *r)
{
	return r->finish_ns - r->submit_ns;
}

static int take(void *arg, void *data, size_t bytes)
{
	struct slowest *s = arg;
	struct slow_bpf *skel = s->trace->skel;
	struct ooo_record_request r;
	unsigned i;

	if (bytes < sizeof(r))
		return 0;
	memcpy(&r, data, sizeof(r));
	if (s->nr == s->trace->count) {
		if (latency_ns(&r) <= latency_ns(&s->list[s->nr - 1]))
			return 0;
		s->nr--;
	}
	for (i = s->nr++; i > 0 && latency_ns(&s->list[i - 1]) < latency_ns(&r); i--)
		s->list[i] = s->list[i - 1];
	s->list[i] = r;
	/* A name is looked at in the end only: until then all tenants compete. */
	if (s->nr == s->trace->count)
		skel->bss->above_ns = latency_ns(&s->list[s->nr - 1]);
	return 0;
}

static int load(struct trace *t)
{
	struct slow_bpf *skel = slow_bpf__open();
	struct slowest *s;
	int err;

	if (!skel)
		return -errno;
	t->skel = skel;
	t->object = skel->obj;
	skel->rodata->tenant = t->tenant;
	s = t->state = calloc(1, sizeof(*s) + t->count * sizeof(s->list[0]));
	if (!s)
		return -ENOMEM;
	s->trace = t;
	err = slow_bpf__load(skel);
	if (err)
		return err;
	s->ring = ring_buffer__new(bpf_map__fd(skel->maps.records), take, s, NULL);
	return s->ring ? 0 : -errno;
}

static void wait_ms(struct trace *t, int ms)
{
	struct slowest *s = t->state;

	ring_buffer__poll(s->ring, ms);
}

static void add_row(const struct trace *t, cJSON *rows, const struct ooo_record_request *r)
{
	cJSON *row = cJSON_CreateObject();
	char key[32];

	trace_add_tenant(t, row, r->tenant);
	cJSON_AddNumberToObject(row, "program", r->program);
	cJSON_AddNumberToObject(row, "request", (double)r->number);
	cJSON_AddStringToObject(row, "status", flight_status_key(r->status));
	trace_add_us(row, "latency_us", (double)latency_ns(r));
	for (unsigned i = 0; i < OOO_STAGE_WAKE; i++) {
		snprintf(key, sizeof(key), "%s_us", flight_stage_key(i));
		trace_add_us(row, key, (double)r->stage_ns[i]);
	}
	cJSON_AddNumberToObject(row, "steps", r->steps);
	trace_add_us(row, "service_us", (double)r->service_ns);
	cJSON_AddItemToArray(rows, row);
}

static int report(struct trace *t, cJSON *root, cJSON *rows)
{
	struct slowest *s = t->state;
	struct slow_bpf *skel = t->skel;

	ring_buffer__consume(s->ring);
	cJSON_AddNumberToObject(root, "requests", (double)(skel->bss->seen - s->seen));
	cJSON_AddNumberToObject(root, "lost", (double)(skel->bss->lost - s->lost));
	for (unsigned i = 0; i < s->nr; i++) {
		if (trace_wants(t, s->list[i].tenant))
			add_row(t, rows, &s->list[i]);
	}
	s->seen = skel->bss->seen;
	s->lost = skel->bss->lost;
	s->nr = 0;
	skel->bss->above_ns = 0;
	return 0;
}

static void slow_free(struct trace *t)
{
	struct slowest *s = t->state;

	if (s)
		ring_buffer__free(s->ring);
	free(s);
	slow_bpf__destroy(t->skel);
}

const struct trace_kind trace_slow = {
	.key = "slow",
	.rows = "requests_slowest",
	.load = load,
	.wait = wait_ms,
	.report = report,
	.free = slow_free,
};
