/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every BPF program includes. Kernel structs are written out where one is needed, with the
 * fields that are read: CO-RE finds where they stand in the kernel at hand.
 */
#ifndef OOO_BPF_TRACE_BPF_H
#define OOO_BPF_TRACE_BPF_H

#include <stdbool.h>
#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

#include "bpf/trace.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define AGENT_PROBE SEC("usdt") /* ooo-ctl attaches it to the agent */

/* The probe's argument; 0 if it cannot be had. */
static __always_inline __u64 probe_arg(struct pt_regs *ctx, int nr)
{
	long value = 0;

	bpf_usdt_arg(ctx, nr, &value);
	return value;
}

#endif
