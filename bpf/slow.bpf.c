// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* slow: whole records of requests that took more than ooo-ctl has seen of the slowest so far. */
#include "bpf/trace.bpf.h"

const volatile __u32 tenant = TRACE_ANY;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} records SEC(".maps");

__u64 above_ns; /* ooo-ctl raises it as it collects */
__u64 seen;
__u64 lost; /* the ring buffer was full */

AGENT_PROBE
int done(struct pt_regs *ctx)
{
	struct ooo_record_request r;
	void *slot;

	if (tenant != TRACE_ANY && tenant != (__u32)probe_arg(ctx, 0))
		return 0;
	if (bpf_probe_read_user(&r, sizeof(r), (const void *)probe_arg(ctx, 3)))
		return 0;
	__sync_fetch_and_add(&seen, 1);
	if (r.finish_ns - r.submit_ns <= above_ns)
		return 0;
	slot = bpf_ringbuf_reserve(&records, sizeof(r), 0);
	if (!slot) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	__builtin_memcpy(slot, &r, sizeof(r));
	bpf_ringbuf_submit(slot, 0);
	return 0;
}
