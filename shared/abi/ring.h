/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rings that a tenant and the agent share: one submission queue (SQ, tenant to agent) and one
 * completion queue (CQ, agent to tenant), in one memfd that the agent created and sealed
 * (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL). Layout only; the accessors are in ring_sync.h and
 * nobody else touches the shared words. The design follows io_uring's rings; the agent plays the
 * kernel, so it trusts nothing here: sizes and masks live in private memory on both sides.
 *
 *   byte 0     struct ooo_ring (4 cache lines of indices, each line with one writer)
 *   sq_off     sq_entries x struct ooo_sqe
 *   cq_off     cq_entries x struct ooo_cqe
 *
 * Indices are free-running 32-bit counters, masked on use. One submission owns one completion: the
 * agent takes a submission only when the completion queue has room for it, so no completion is ever
 * lost and a tenant that reads nothing stalls only itself.
 *
 * Sleeping: a side that is about to sleep sets its NEED_WAKEUP flag, issues a full fence, and looks
 * at the peer's index again before it blocks on its eventfd. A side that has published an index
 * issues a full fence and writes to the peer's eventfd if the peer's flag is set.
 */
#ifndef OOO_ABI_RING_H
#define OOO_ABI_RING_H

#include <stddef.h>
#include <stdint.h>

#define OOO_RING_MAGIC       0x52304f4fu /* "OO0R" */
#define OOO_RING_MIN_ENTRIES 8u
#define OOO_RING_MAX_ENTRIES 4096u
#define OOO_CACHE_LINE       64
#define OOO_BUFFER_ALIGN     64 /* of every input and output in the arena, in bytes */

enum ooo_ring_flag {
	OOO_RING_NEED_WAKEUP = 1u << 0, /* the writer of this flag sleeps: write its eventfd */
};

enum ooo_agent_state {
	OOO_AGENT_RUNNING = 1,
	OOO_AGENT_DRAINING = 2, /* new submissions complete with OOO_DRAINING */
	OOO_AGENT_DROPPED = 3,  /* this tenant broke the protocol: drop_reason says how */
};

struct ooo_ring {
	/* line 0: constant after the handshake, for people with a debugger */
	uint32_t magic;
	uint32_t version;
	uint32_t sq_entries;
	uint32_t cq_entries;
	uint32_t sq_off;
	uint32_t cq_off;
	uint32_t resv0[10];
	/* line 1: written by the tenant */
	uint32_t sq_tail;
	uint32_t cq_head;
	uint32_t tenant_flags; /* enum ooo_ring_flag: the tenant sleeps */
	/* CLOCK_MONOTONIC in us, its low half, when it last began to read as many completions as
	 * the SQ has entries: for the agent to tell a slow reader. Statistics only. */
	uint32_t read_us;
	uint32_t resv1[12];
	/* line 2: written by the agent while it fetches */
	uint32_t sq_head;
	uint32_t agent_flags; /* enum ooo_ring_flag: the agent sleeps */
	uint32_t agent_state; /* enum ooo_agent_state */
	uint32_t drop_reason; /* enum ooo_status, valid in OOO_AGENT_DROPPED */
	uint32_t resv2[12];
	/* line 3: written by the agent while it retires */
	uint32_t cq_tail;
	uint32_t resv3[15];
};

enum ooo_sqe_op {
	OOO_SQE_SUBMIT = 1,
	OOO_SQE_CANCEL = 2, /* cookie names the submission; completes like any other, see below */
};

/*
 * One submission. A cancel gets a completion of its own with the same cookie, OOO_CQE_CANCEL set and
 * status OK (found; the request itself completes with OOO_CANCELLED, or with its result if it was
 * too late) or OOO_INVALID (no such cookie in flight).
 */
struct ooo_sqe {
	uint8_t op; /* enum ooo_sqe_op */
	uint8_t resv0[3];
	uint32_t program; /* id from the load reply */
	uint32_t binding; /* id from the bind reply */
	uint32_t resv1;
	uint64_t cookie;      /* returned in the completion, never interpreted */
	uint64_t deadline_ns; /* CLOCK_MONOTONIC, absolute; 0 = none */
	uint64_t submit_ns;   /* CLOCK_MONOTONIC when the tenant submitted; statistics only */
	uint64_t resv2[3];
};

enum ooo_cqe_flag {
	OOO_CQE_CANCEL = 1u << 0, /* answers an OOO_SQE_CANCEL */
};

struct ooo_cqe {
	uint64_t cookie;
	uint32_t status;       /* enum ooo_status */
	uint16_t flags;        /* enum ooo_cqe_flag */
	uint16_t width;        /* mean number of steps in the bundles it ran in, times 16 */
	uint64_t fetch_ns;     /* CLOCK_MONOTONIC when the agent took the submission */
	uint64_t start_ns;     /* when its first step was dispatched; 0 = never */
	uint64_t finish_ns;    /* when its last step was seen complete */
	uint64_t service_ns;   /* device time that its steps used */
	uint64_t predicted_ns; /* OOO_REFUSED: when it would have finished; else 0 */
	uint64_t resv;
};

#ifndef __cplusplus
_Static_assert(sizeof(struct ooo_ring) == 4 * OOO_CACHE_LINE, "ooo_ring is ABI");
_Static_assert(offsetof(struct ooo_ring, sq_tail) == 64, "ooo_ring is ABI");
_Static_assert(offsetof(struct ooo_ring, sq_head) == 128, "ooo_ring is ABI");
_Static_assert(offsetof(struct ooo_ring, cq_tail) == 192, "ooo_ring is ABI");
_Static_assert(sizeof(struct ooo_sqe) == 64, "ooo_sqe is ABI");
_Static_assert(offsetof(struct ooo_sqe, cookie) == 16, "ooo_sqe is ABI");
_Static_assert(sizeof(struct ooo_cqe) == 64, "ooo_cqe is ABI");
_Static_assert(offsetof(struct ooo_cqe, fetch_ns) == 16, "ooo_cqe is ABI");
#endif

#endif
