// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* rings: who waited for room, and how often either side had to be woken by a system call. */
#include "bpf/trace.bpf.h"

const volatile __u32 tenant = TRACE_ANY;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TRACE_TENANTS);
	__type(key, __u32);
	__type(value, struct trace_ring);
} rings SEC(".maps");

struct trace_ring none;
struct trace_sleep sleeps;
__u64 lost; /* of more tenants than the map holds */

static __always_inline struct trace_ring *find(struct pt_regs *ctx)
{
	__u32 key = probe_arg(ctx, 0);
	struct trace_ring *t;

	if (tenant != TRACE_ANY && tenant != key)
		return NULL;
	t = bpf_map_lookup_elem(&rings, &key);
	if (t)
		return t;
	bpf_map_update_elem(&rings, &key, &none, BPF_NOEXIST);
	t = bpf_map_lookup_elem(&rings, &key);
	if (!t)
		__sync_fetch_and_add(&lost, 1);
	return t;
}

AGENT_PROBE
int full(struct pt_regs *ctx)
{
	struct trace_ring *t = find(ctx);
	bool reader = probe_arg(ctx, 1);

	if (!t)
		return 0;
	t->full[reader ? 1 : 0]++;
	t->full_ns[reader ? 1 : 0] += probe_arg(ctx, 2);
	return 0;
}

AGENT_PROBE
int wake(struct pt_regs *ctx)
{
	struct trace_ring *t = find(ctx);

	if (!t)
		return 0;
	t->published++;
	t->unread += probe_arg(ctx, 1);
	t->woken += !!probe_arg(ctx, 2);
	return 0;
}

AGENT_PROBE
int sleep(struct pt_regs *ctx)
{
	if (probe_arg(ctx, 0)) {
		__sync_fetch_and_add(&sleeps.won, 1);
		return 0;
	}
	__sync_fetch_and_add(&sleeps.slept, 1);
	__sync_fetch_and_add(&sleeps.events, probe_arg(ctx, 1));
	__sync_fetch_and_add(&sleeps.slept_ns, probe_arg(ctx, 2));
	return 0;
}
