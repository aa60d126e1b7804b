// SPDX-License-Identifier: Apache-2.0
/* `trace rings`: whose rings were full, and what the two sides' sleeping cost. */
#include <bpf/bpf.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/trace/trace.h"

/* Behind the structs that it names. */
#include "bpf/rings.skel.h"

/* What the last report saw: the counters only grow. */
struct before {
	struct trace_sleep sleeps;
	uint64_t lost;
	unsigned nr;
	uint32_t key[TRACE_TENANTS];
	struct trace_ring ring[TRACE_TENANTS];
};

static int load(struct trace *t)
{
	struct rings_bpf *skel = rings_bpf__open();

	if (!skel)
		return -errno;
	t->skel = skel;
	t->object = skel->obj;
	skel->rodata->tenant = t->tenant;
	t->state = calloc(1, sizeof(struct before));
	return t->state ? rings_bpf__load(skel) : -ENOMEM;
}

static struct trace_ring *before_of(struct before *b, uint32_t tenant)
{
	for (unsigned i = 0; i < b->nr; i++) {
		if (b->key[i] == tenant)
			return &b->ring[i];
	}
	if (b->nr == TRACE_TENANTS)
		return NULL;
	b->key[b->nr] = tenant;
	return &b->ring[b->nr++];
}

static void add_row(const struct trace *t, cJSON *rows, uint32_t tenant,
		    const struct trace_ring *now, const struct trace_ring *old)
{
	cJSON *row = cJSON_CreateObject();
	uint64_t published = now->published - old->published, woken = now->woken - old->woken;

	trace_add_tenant(t, row, tenant);
	cJSON_AddNumberToObject(row, "published", (double)published);
	cJSON_AddNumberToObject(row, "awake", (double)(published - woken));
	cJSON_AddNumberToObject(row, "woken", (double)woken);
	cJSON_AddNumberToObject(row, "unread_mean",
				published ? (double)(now->unread - old->unread) / (double)published
					  : 0);
	cJSON_AddNumberToObject(row, "full", (double)(now->full[0] - old->full[0]));
	trace_add_us(row, "full_us", (double)(now->full_ns[0] - old->full_ns[0]));
	cJSON_AddNumberToObject(row, "unread", (double)(now->full[1] - old->full[1]));
	trace_add_us(row, "unread_us", (double)(now->full_ns[1] - old->full_ns[1]));
	cJSON_AddItemToArray(rows, row);
}

static int report(struct trace *t, cJSON *root, cJSON *rows)
{
	struct rings_bpf *skel = t->skel;
	struct before *b = t->state;
	int fd = bpf_map__fd(skel->maps.rings);
	struct trace_sleep sleeps = skel->bss->sleeps;
	uint32_t key, *prev = NULL;

	while (!bpf_map_get_next_key(fd, prev, &key)) {
		struct trace_ring now, *old;

		prev = &key;
		if (!trace_wants(t, key) || bpf_map_lookup_elem(fd, &key, &now))
			continue;
		old = before_of(b, key);
		if (!old)
			return -ENOMEM;
		add_row(t, rows, key, &now, old);
		*old = now;
	}
	cJSON_AddNumberToObject(root, "sleeps_won", (double)(sleeps.won - b->sleeps.won));
	cJSON_AddNumberToObject(root, "sleeps", (double)(sleeps.slept - b->sleeps.slept));
	cJSON_AddNumberToObject(root, "wakeups", (double)(sleeps.events - b->sleeps.events));
	trace_add_us(root, "slept_us", (double)(sleeps.slept_ns - b->sleeps.slept_ns));
	cJSON_AddNumberToObject(root, "lost", (double)(skel->bss->lost - b->lost));
	b->sleeps = sleeps;
	b->lost = skel->bss->lost;
	return 0;
}

static void rings_free(struct trace *t)
{
	free(t->state);
	rings_bpf__destroy(t->skel);
}

const struct trace_kind trace_rings = {
	.key = "rings",
	.rows = "tenants",
	.load = load,
	.report = report,
	.free = rings_free,
};
