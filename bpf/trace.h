/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the BPF programs hand to ooo-ctl trace: values of maps and of ring buffers. */
#ifndef OOO_BPF_TRACE_H
#define OOO_BPF_TRACE_H

#include "shared/abi/histogram.h"
#include "shared/abi/record.h"

#define TRACE_ANY      UINT32_MAX /* tenant */
#define TRACE_PROGRAMS 1024       /* of all tenants that are traced */
#define TRACE_TENANTS  4096
#define TRACE_THREADS  16384
#define TRACE_WHOLE    OOO_RECORD_STAGES /* behind the stages: from submission to completion */

struct trace_program {
	uint32_t tenant, program;
};

/* latency: of one program; a stage counts where it took time. */
struct trace_times {
	uint64_t sum_ns[OOO_RECORD_STAGES + 1];
	uint64_t bucket[OOO_RECORD_STAGES + 1][LATENCY_BUCKETS];
};

/* rings: of one tenant. */
struct trace_ring {
	uint64_t published; /* times that completions were shown to it */
	uint64_t woken;     /* of those it slept and was woken by a system call */
	uint64_t unread;    /* sum over published: completions that it had not read */
	uint64_t full[2];   /* waits of its submissions: no room in flight, unread completions */
	uint64_t full_ns[2];
};

/* rings: of the dispatchers. */
struct trace_sleep {
	uint64_t won; /* about to sleep, when work came */
	uint64_t slept;
	uint64_t events; /* that woke them */
	uint64_t slept_ns;
};

enum trace_role {
	TRACE_AGENT = 1,
	TRACE_TENANT = 2,
};

/* offcpu: of one thread. */
struct trace_thread {
	uint32_t tgid;
	uint32_t role; /* enum trace_role */
	char comm[16];
	uint64_t blocked_ns; /* asleep, or waiting for something */
	uint64_t stopped_ns; /* by a signal or a debugger */
	uint64_t queued_ns;  /* ready to run, and not running */
	uint64_t queued_max_ns;
	uint64_t preempted, wakeups, faults;
	uint64_t since_ns; /* off the processor, or in the queue; 0: it runs */
	uint32_t state;    /* enum trace_state */
	uint32_t resv;
};

enum trace_state {
	TRACE_RUNS,
	TRACE_BLOCKED,
	TRACE_STOPPED,
	TRACE_QUEUED,
};

/* offcpu: of the device, from bundles that ended. */
struct trace_device {
	uint64_t bundles, launch_ns, run_ns, run_max_ns;
};

#endif
