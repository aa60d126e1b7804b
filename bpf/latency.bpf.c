// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * latency: histograms for each program of each tenant, and stage. One dispatcher serves a tenant, and
 * so nobody else adds to its counters at the same time: plain additions are exact.
 */
#include "bpf/trace.bpf.h"

const volatile __u32 tenant = TRACE_ANY;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TRACE_PROGRAMS);
	__type(key, struct trace_program);
	__type(value, struct trace_times);
} times SEC(".maps");

struct trace_times none; /* what a program starts from */
__u64 lost;              /* requests of more programs than the map holds */

static __always_inline void add(struct trace_times *t, unsigned stage, __u64 ns)
{
	unsigned bucket = latency_bucket(ns);

	barrier_var(bucket); /* the verifier wants to see the bound */
	if (bucket >= LATENCY_BUCKETS)
		return;
	t->sum_ns[stage] += ns;
	t->bucket[stage][bucket]++;
}

static __always_inline struct trace_times *find(const struct trace_program *key)
{
	struct trace_times *t = bpf_map_lookup_elem(&times, key);

	if (t)
		return t;
	bpf_map_update_elem(&times, key, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&times, key);
}

AGENT_PROBE
int done(struct pt_regs *ctx)
{
	struct ooo_record_request r;
	struct trace_program key;
	struct trace_times *t;

	key.tenant = probe_arg(ctx, 0);
	if (tenant != TRACE_ANY && tenant != key.tenant)
		return 0;
	key.program = probe_arg(ctx, 1);
	if (bpf_probe_read_user(&r, sizeof(r), (const void *)probe_arg(ctx, 3)))
		return 0;
	t = find(&key);
	if (!t) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
#pragma unroll
	for (unsigned stage = 0; stage < OOO_RECORD_STAGES; stage++) {
		if (r.stage_ns[stage])
			add(t, stage, r.stage_ns[stage]);
	}
	add(t, TRACE_WHOLE, r.finish_ns - r.submit_ns);
	return 0;
}
