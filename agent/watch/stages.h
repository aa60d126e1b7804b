/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tenants' times by stage (shared/abi/stages.h), and who has which place in the array. The door
 * gives places away and takes them back; a tenant's dispatcher alone counts in its place.
 */
#ifndef OOO_AGENT_WATCH_STAGES_H
#define OOO_AGENT_WATCH_STAGES_H

#include "agent/tenant/tenant.h"
#include "agent/watch/pinned.h"
#include "shared/abi/stages.h"

#define STAGES_MAX 65536u

struct stages {
	struct ooo_tenant_stages *places; /* shared; NULL: there are none */
	uint32_t nr;
	int fd;                    /* of the map, or of a memfd; < 0: none */
	char pin[PINNED_MAX_PATH]; /* the map's; "": it is not pinned */
	uint32_t *free;            /* ring of nr places: the one that is free longest goes first */
	uint32_t first, nr_free;
};

#define STAGES_NONE                                                                                \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/* nr places, pinned below bpf_fs as name; "memory": in plain memory, "off": none. Says what it is if it
 * is not what was asked for. 0 or -errno: nothing is counted then. */
int stages_open(struct stages *s, uint32_t nr, const char *bpf_fs, const char *name);
/* What a process before this one opened. Takes fd. */
int stages_adopt(struct stages *s, int fd, uint32_t nr, const char *pin);
void stages_close(struct stages *s);

/* A place for that tenant: the one that it had before (its number + 1, 0: none), or the next free one.
 * NULL: none is left, and it is not counted. */
struct ooo_tenant_stages *stages_take(struct stages *s, const struct tenant *t, uint64_t before);
void stages_give(struct stages *s, struct ooo_tenant_stages *place); /* NULL does nothing */
/* Its number + 1; 0: none. */
uint64_t stages_place(const struct stages *s, const struct ooo_tenant_stages *place);

#define STAGES_SLICE_NS  1000000
#define STAGES_PER_SLICE 200 /* requests of a device; of more, one in a few stands for the others */

/* Start with zeros. */
struct stages_pace {
	uint64_t slice_end_ns;
	uint64_t requests; /* until this slice */
	uint32_t stride;   /* count every so many-th of a tenant's */
};

/* Once in a while: as many requests have ended by now. */
static inline void stages_pace(struct stages_pace *p, uint64_t requests, uint64_t now_ns)
{
	if (now_ns < p->slice_end_ns)
		return;
	p->stride = (uint32_t)((requests - p->requests) / STAGES_PER_SLICE);
	p->requests = requests;
	p->slice_end_ns = now_ns + STAGES_SLICE_NS;
}

/* The dispatcher, for a request that ends and weight - 1 before it. */
static inline void stages_add(struct ooo_tenant_stages *place, const struct request *r,
			      uint32_t weight)
{
	for (unsigned i = 0; i < OOO_RECORD_STAGES; i++) {
		struct ooo_stage_times *times = &place->stage[i];
		uint64_t ns = r->stage_ns[i];

		if (!ns)
			continue;
		stat_add(&times->sum_ns, ns * weight);
		stat_add(&times->bucket[latency_bucket(ns)], weight);
	}
}

static inline void stages_count(struct tenant *t, const struct stages_pace *p,
				const struct request *r)
{
	if (++t->stages_skipped < p->stride)
		return;
	stat_add(&t->stages->requests, t->stages_skipped);
	stages_add(t->stages, r, t->stages_skipped);
	t->stages_skipped = 0;
}

#endif
