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
#include "agent/policy/params.h"
#include "agent/request.h"
#include "agent/watch/latency.h"
#include "agent/watch/pressure.h"
#include "agent/watch/meter.h"
#include "shared/abi/handshake.h"
#include "shared/abi/ring.h"
#include "shared/abi/status.h"

#define TENANT_MAX_PROGRAMS  64
#define PROGRAM_MAX_BINDINGS 1024
#define PROGRAM_MAX_SLOTS    64

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
	uint64_t promised, broken; /* deadlines that admission accepted; of those, not met */
	uint64_t slo_missed;       /* done after its deadline, or after its SLO without one */
	uint64_t steps;            /* executed */
	uint64_t bundles;          /* that held at least one of its steps */
	uint64_t width_sum;        /* over its steps: number of items of the bundle it ran in */
	uint64_t service_ns;       /* device time */
	uint64_t latency_ns_sum;   /* fetch to finish, over completed */
	uint64_t wakeups;          /* eventfd writes to a sleeping tenant */
	uint64_t latency[LATENCY_BUCKETS]; /* fetch to finish, over completed */
	uint64_t kept;                     /* of promised: met */
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

/* The tenant's place in the policy's queue of one lane. */
struct tenant_queue {
	struct tenant *tenant;
	struct heap requests;             /* those with ready steps */
	uint32_t index;                   /* where in the lane's ranks it stands */
	uint8_t place;                    /* in which of them */
	uint64_t placed_at, placed_vtime; /* the mean and the tenant's virtual time then */
};

/* A program of one tenant: the compiled form, the device's form, and the dispatcher's state. */
struct program_inst {
	uint32_t id; /* index in tenant->programs */
	struct tenant *tenant;
	const struct program *program;
	struct device_program *dp;
	uint64_t weight_bytes, workspace_bytes;
	uint64_t input_bytes, output_bytes; /* of one request */
	/* As it was loaded, for a process that takes over. */
	int fd;
	uint64_t fd_bytes;
	uint8_t precision; /* that the tenant permitted */
	/* dispatcher's: */
	uint32_t nr_slots;
	uint32_t free_slots[PROGRAM_MAX_SLOTS]; /* stack */
	uint32_t nr_free_slots;
	struct slot_state slots[PROGRAM_MAX_SLOTS];
	uint16_t *deps_init; /* nr_steps: each step's nr_deps, what deps_left starts from */
	uint16_t *klass;     /* nr_steps: steps of one class may share a bundle */
	uint32_t *cost_ns; /* nr_steps: learned service time (EWMA), starts from the compiler's prior */
	uint64_t work_ns;    /* sum of cost_ns; stat_add */
	uint32_t path_share; /* 1024ths of it: the longest chain of steps that wait for each other */
	uint32_t nr_measured; /* requests that ran to their end: until then costs are a guess */
	uint32_t inflight;    /* requests */
	struct heap waiting;  /* requests without a slot, in the order in which they get one */
	struct device_binding *bindings[PROGRAM_MAX_BINDINGS];
	uint32_t binding_inflight[PROGRAM_MAX_BINDINGS];
	uint64_t requests; /* counter, stat_add */
};

/* Of so much of its work, what has to run one after the other: never less than it will be. */
static inline uint64_t program_path_ns(const struct program_inst *inst, uint64_t work_ns)
{
	return inst->path_share ? work_ns - work_ns / 1024 * (1024 - inst->path_share) : work_ns;
}

struct tenant {
	/* constant once published */
	uint32_t id;
	pid_t pid;
	uid_t uid;
	gid_t gid;
	char name[OOO_NAME_BYTES];
	void *arena; /* agent's mapping */
	uint64_t arena_bytes;
	uint32_t device; /* index: where it was placed */
	int sock;       /* the door's; the dispatcher may only shutdown(2) it, to drop the tenant */
	int sq_eventfd; /* wakes the dispatcher */
	int cq_eventfd; /* wakes the tenant */
	int ring_fd, arena_fd;            /* of what is mapped, for a process that takes over */
	struct ooo_tenant_stages *stages; /* its dispatcher counts there; NULL: nobody does */

	/* dispatcher's */
	struct tenant_params params; /* what holds; the wanted ones are in the registry */
	struct ring_map ring;
	struct program_inst *programs[TENANT_MAX_PROGRAMS];
	struct request *requests; /* cq_entries records */
	struct request *free_requests;
	struct request *all_requests; /* in flight */
	uint32_t inflight;
	bool unpublished;     /* completions are in the CQ whose tail the tenant does not see yet */
	struct mail *leaving; /* MAIL_TENANT_DEL, held until inflight is 0 */
	bool dropped;         /* broke the protocol: fetch no more */
	uint16_t waited;      /* why its ring was not fetched: enum ooo_record_request_flag */
	uint64_t waited_ns;   /* since when */
	uint32_t stages_skipped; /* requests since the last that was counted in stages */
	uint64_t full_ns;        /* when it last had all in flight that it can; 0: never */
	uint64_t unread_ns;  /* since when all that it may have in flight stands unread; 0: not */
	uint32_t nr_active;  /* requests that hold a slot */
	uint64_t vtime;      /* policy's: service so far over weight */
	uint64_t vtime_of;   /* policy's: the weight that vtime_rate is for */
	uint64_t vtime_rate; /* policy's: virtual time of one ns of service, 2^-32 */
	int64_t lag_vtime;   /* policy's: behind the mean, when it was last active */
	bool policy_active;  /* policy's: counts in the mean */
	uint64_t request_ns; /* predicted work of its latest request */
	uint64_t backlog_ns; /* predicted work that is bound and not issued */
	uint32_t nr_bound;   /* requests that bind accepted and that are not complete */
	uint64_t rate_ns;    /* token bucket: when the next submission is due */
	uint64_t building;   /* number of the bundle being built that holds building_items of it */
	uint32_t building_items;
	bool isolated; /* its steps share no bundles */
	bool wanting;  /* it was refused lately: agent/flow/admit.c */
	uint64_t refused_ns;
	struct tenant *wanting_next, *wanting_prev;
	bool expected;     /* to submit soon: agent/flow/hold.c */
	uint64_t done_ns;  /* when nothing of it was left in flight; 0: something is */
	uint64_t think_ns; /* mean time from there to its next submission; 0: not known */
	struct tenant *expected_next, *expected_prev;
	struct tenant_queue queues[DEVICE_MAX_LANES]; /* policy's */
	uint32_t fair_lanes;                          /* bits: in whose queue it stands */
	uint64_t last_bundle; /* number of the last bundle that held one of its steps */
	struct tenant *next;  /* the dispatcher's list */
	bool awake, dozing;   /* whether fetch looks at its ring; dropped or leaving: neither */
	uint64_t active_ns;   /* when it last submitted or was sent a completion */
	struct tenant *awake_next, *awake_prev;
	struct tenant *next_unpublished;

	struct tenant_stats stats;
	struct pressure pressure;
	struct tenant_meter meter;

	/* door's */
	struct door_tenant *door;

	/* loader's */
	bool arena_mapped; /* into the device */
};

#endif
