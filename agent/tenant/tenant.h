/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tenant and its loaded programs, and who owns which part:
 *
 *   door      (main thread: sockets) creates and frees tenants, fills the constant part, keeps the
 *             id tables; hears from the dispatcher only through returned mail
 *   loader    (its own thread) compiles, loads, binds, unloads: the slow calls into the device
 *   dispatcher (one thread) the ring, requests, slots, bindings table: everything on the hot path
 *   control   (its own thread) reads identity and counters under door's lock; counters have one
 *             writer, the dispatcher, and are read with relaxed loads
 *
 * A tenant becomes the dispatcher's with MAIL_TENANT_ADD and is the door's again when
 * MAIL_TENANT_DEL comes back: from then on nothing of it is in flight.
 */
#ifndef OOO_AGENT_TENANT_H
#define OOO_AGENT_TENANT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/device/device.h"
#include "agent/policy/heap.h"
#include "agent/request.h"
#include "shared/abi/handshake.h"
#include "shared/abi/ring.h"
#include "shared/abi/status.h"

#define TENANT_MAX_PROGRAMS   64
#define PROGRAM_MAX_BINDINGS  1024
#define PROGRAM_MAX_SLOTS     64
#define TENANT_WEIGHT_DEFAULT 100

/* The agent's half of the rings: sizes and masks here, never read back from shared memory. */
struct ring_map {
	struct ooo_ring *ring; /* shared; NULL once unmapped */
	struct ooo_sqe *sqes;
	struct ooo_cqe *cqes;
	size_t bytes;
	uint32_t sq_entries, cq_entries;
	uint32_t sq_mask, cq_mask;
	uint32_t sq_head;        /* ours */
	uint32_t cq_tail;        /* ours */
	uint32_t cq_head_cached; /* the tenant's, as last read and bounded */
};

/* Counters: written by the dispatcher (stat_add), read by anyone (stat_read). */
struct tenant_stats {
	uint64_t submitted, completed, failed, late, refused, cancelled;
	uint64_t steps;          /* executed */
	uint64_t bundles;        /* that held at least one of its steps */
	uint64_t width_sum;      /* over its steps: number of items of the bundle it ran in */
	uint64_t service_ns;     /* device time */
	uint64_t latency_ns_sum; /* fetch to finish, over completed */
	uint64_t wakeups;        /* eventfd writes to a sleeping tenant */
};

static inline void stat_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline uint64_t stat_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* Dependency state of one request in one workspace slot; arrays made at load. */
struct slot_state {
	uint16_t *deps_left; /* nr_steps: predecessors not yet issued */
	uint32_t *ready;     /* FIFO of ready steps, nr_steps long */
	uint32_t ready_head, ready_tail;
};

/* A program of one tenant: the compiled form, the device's form, and the dispatcher's state. */
struct program_inst {
	uint32_t id; /* index in tenant->programs */
	struct tenant *tenant;
	const struct program *program;
	struct device_program *dp;
	uint64_t weight_bytes, workspace_bytes;
	/* dispatcher's: */
	uint32_t nr_slots;
	uint32_t free_slots[PROGRAM_MAX_SLOTS]; /* stack */
	uint32_t nr_free_slots;
	struct slot_state slots[PROGRAM_MAX_SLOTS];
	uint16_t *deps_init; /* nr_steps: each step's nr_deps, what deps_left starts from */
	uint32_t *cost_ns; /* nr_steps: learned service time (EWMA), starts from the compiler's prior */
	uint32_t inflight;                           /* requests */
	struct request *waiting_head, *waiting_tail; /* for a slot, in order of arrival */
	struct device_binding *bindings[PROGRAM_MAX_BINDINGS];
	uint32_t binding_inflight[PROGRAM_MAX_BINDINGS];
	uint64_t requests; /* counter, stat_add */
};

struct tenant {
	/* constant once published */
	uint32_t id;
	pid_t pid;
	uid_t uid;
	gid_t gid;
	char name[OOO_NAME_BYTES];
	uint32_t weight; /* share of device time relative to others */
	void *arena;     /* agent's mapping */
	uint64_t arena_bytes;
	int sock;       /* the door's; the dispatcher may only shutdown(2) it, to drop the tenant */
	int sq_eventfd; /* wakes the dispatcher */
	int cq_eventfd; /* wakes the tenant */

	/* dispatcher's */
	struct ring_map ring;
	struct program_inst *programs[TENANT_MAX_PROGRAMS];
	struct request *requests; /* cq_entries records */
	struct request *free_requests;
	struct request *all_requests; /* in flight */
	uint32_t inflight;
	bool unpublished;     /* completions are in the CQ whose tail the tenant does not see yet */
	struct mail *leaving; /* MAIL_TENANT_DEL, held until inflight is 0 */
	bool dropped;         /* broke the protocol: fetch no more */
	uint64_t vtime;       /* fair queueing: weighted service so far, ns * 100 / weight */
	struct request *fifo_head, *fifo_tail; /* policy: requests with ready steps, no deadline */
	struct heap_node by_vtime;
	bool in_fair_heap;
	uint64_t last_bundle; /* number of the last bundle that held one of its steps */
	struct tenant *next;  /* the dispatcher's list */
	struct tenant *next_unpublished;

	struct tenant_stats stats;

	/* door's */
	struct door_tenant *door;
};

#endif
