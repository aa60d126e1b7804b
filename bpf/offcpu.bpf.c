// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * offcpu: when threads of the agent and of its tenants did not run, and why. Raw tracepoints, which
 * need no tracefs. Beside it the device's own times, so that a stall by the host is told apart from
 * one by the device.
 */
#include "bpf/trace.bpf.h"

struct task_struct {
	unsigned int __state;
	int pid, tgid;
	char comm[16];
} __attribute__((preserve_access_index));

/* Before 5.14. */
struct task_struct___long {
	long state;
} __attribute__((preserve_access_index));

#define STOPPED 0xc /* __TASK_STOPPED | __TASK_TRACED: what a signal or a debugger does */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TRACE_TENANTS);
	__type(key, __u32);   /* process */
	__type(value, __u32); /* enum trace_role */
} watched SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TRACE_THREADS);
	__type(key, __u32); /* thread */
	__type(value, struct trace_thread);
} threads SEC(".maps");

struct trace_thread none;
struct trace_device device;
__u64 lost; /* of more threads than the map holds */

static __always_inline struct trace_thread *find(struct task_struct *task)
{
	__u32 tgid = BPF_CORE_READ(task, tgid), tid = BPF_CORE_READ(task, pid);
	__u32 *role = bpf_map_lookup_elem(&watched, &tgid);
	struct trace_thread *t;

	if (!role)
		return NULL;
	t = bpf_map_lookup_elem(&threads, &tid);
	if (!t) {
		bpf_map_update_elem(&threads, &tid, &none, BPF_NOEXIST);
		t = bpf_map_lookup_elem(&threads, &tid);
		if (!t) {
			__sync_fetch_and_add(&lost, 1);
			return NULL;
		}
		t->tgid = tgid;
		t->role = *role;
		bpf_core_read_str(t->comm, sizeof(t->comm), &task->comm);
	}
	return t;
}

static __always_inline void went_by(struct trace_thread *t, __u64 now_ns)
{
	__u64 ns = t->since_ns && now_ns > t->since_ns ? now_ns - t->since_ns : 0;

	if (t->state == TRACE_BLOCKED)
		t->blocked_ns += ns;
	else if (t->state == TRACE_STOPPED)
		t->stopped_ns += ns;
	else if (t->state == TRACE_QUEUED) {
		t->queued_ns += ns;
		if (ns > t->queued_max_ns)
			t->queued_max_ns = ns;
	}
}

static __always_inline __u32 state_of(struct task_struct *task)
{
	struct task_struct___long *before = (void *)task;

	if (bpf_core_field_exists(task->__state))
		return BPF_CORE_READ(task, __state);
	return BPF_CORE_READ(before, state);
}

SEC("raw_tp/sched_switch")
int sched_switch(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *prev = (void *)ctx->args[1], *next = (void *)ctx->args[2];
	__u64 now_ns = bpf_ktime_get_ns();
	struct trace_thread *t = find(prev);

	if (t) {
		__u32 state = state_of(prev);

		t->since_ns = now_ns;
		t->state = state & STOPPED ? TRACE_STOPPED : TRACE_BLOCKED;
		if (ctx->args[0] || !state) { /* preempted, or it yielded */
			t->state = TRACE_QUEUED;
			t->preempted++;
		}
	}
	t = find(next);
	if (t) {
		went_by(t, now_ns);
		t->state = TRACE_RUNS;
		t->since_ns = 0;
	}
	return 0;
}

SEC("raw_tp/sched_wakeup")
int sched_wakeup(struct bpf_raw_tracepoint_args *ctx)
{
	struct trace_thread *t = find((void *)ctx->args[0]);
	__u64 now_ns = bpf_ktime_get_ns();

	/* It may be told to wake before it has gone to sleep. */
	if (!t || t->state == TRACE_RUNS || t->state == TRACE_QUEUED)
		return 0;
	went_by(t, now_ns);
	t->state = TRACE_QUEUED;
	t->since_ns = now_ns;
	t->wakeups++;
	return 0;
}

SEC("raw_tp/page_fault_user")
int page_fault_user(struct bpf_raw_tracepoint_args *ctx)
{
	struct trace_thread *t = find((void *)bpf_get_current_task());

	if (t)
		t->faults++;
	return 0;
}

AGENT_PROBE
int ran(struct pt_regs *ctx)
{
	__u64 run_ns = probe_arg(ctx, 3);

	__sync_fetch_and_add(&device.bundles, 1);
	__sync_fetch_and_add(&device.launch_ns, probe_arg(ctx, 2));
	__sync_fetch_and_add(&device.run_ns, run_ns);
	if (run_ns > device.run_max_ns)
		device.run_max_ns = run_ns;
	return 0;
}
