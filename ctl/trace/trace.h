/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `ooo-ctl trace`: a BPF program on the agent's probes for as long as the command runs. Links and maps
 * are descriptors of this process and nothing is pinned: whatever ends it, the kernel takes them back.
 */
#ifndef OOO_CTL_TRACE_TRACE_H
#define OOO_CTL_TRACE_TRACE_H

#include <bpf/libbpf.h>

#include "bpf/trace.h"
#include "ctl/flight.h"
#include "ctl/verb.h"

struct cJSON;
struct trace;

struct trace_kind {
	const char *key, *rows; /* JSON: of the whole, and of the list of rows */
	/* Open and load into t->object; 0 or -errno. */
	int (*load)(struct trace *t);
	/* Once all is attached; may be NULL. */
	int (*begin)(struct trace *t);
	/* While time passes; NULL: nothing to do. Returns after ms or earlier. */
	void (*wait)(struct trace *t, int ms);
	/* What came since the last report: a flat object for each row into rows, totals into root. */
	int (*report)(struct trace *t, struct cJSON *root, struct cJSON *rows);
	void (*free)(struct trace *t);
};

extern const struct trace_kind trace_latency, trace_slow, trace_rings, trace_offcpu;

#define TRACE_MAX_LINKS 8

struct trace {
	const struct trace_kind *kind;
	struct agent_file agent;
	const char *runtime_dir;
	const char *what;     /* the tenant that the user named; NULL: all */
	uint32_t tenant;      /* its id; TRACE_ANY: a name, or all */
	uint32_t count;       /* of slow: how many */
	struct flight flight; /* names; nr is 0 if there is no recorder */
	struct bpf_object *object;
	struct bpf_link *links[TRACE_MAX_LINKS];
	unsigned nr_links;
	void *skel, *state; /* the kind's */
};

/* Read who the tenants are; flight_close() when done. */
void trace_names(struct trace *t);
bool trace_wants(const struct trace *t, uint32_t tenant);
/* Adds "tenant" and "name". */
void trace_add_tenant(const struct trace *t, struct cJSON *row, uint32_t tenant);
void trace_add_us(struct cJSON *row, const char *key, double ns);
/* In ns, between the bounds of its bucket; 0 of nothing. */
double trace_percentile(const uint64_t bucket[LATENCY_BUCKETS], double share);

#endif
