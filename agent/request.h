/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One record walks through the six stages of the flow. Which stage writes what:
 *
 *   fetch     cookie, deadline_ns, program_id, binding_id, submit_ns, fetch_ns, number
 *             (the one copy of the slot)
 *   bind      inst, binding, due_ns, work_ns, promised; status on refusal
 *   window    slot, lane, ready steps; the policy's node
 *   bundle    nr_ready down, nr_flying up, issued_ns
 *   retire    steps_done, service_ns, width, stage_ns; then the record is free again
 *
 * Records live in an array of the tenant's, one per completion slot, so a record is there whenever
 * a completion slot is: fetch needs no other check.
 */
#ifndef OOO_AGENT_REQUEST_H
#define OOO_AGENT_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/policy/heap.h"
#include "agent/policy/promise.h"
#include "shared/abi/record.h"

struct tenant;
struct program_inst;
struct device_binding;

enum request_state {
	REQUEST_FREE,
	REQUEST_WAITING, /* bound, waits for a workspace slot of its program */
	REQUEST_ACTIVE,  /* has a slot; steps ready or flying */
};

struct request {
	struct tenant *tenant;
	struct program_inst *inst;
	struct device_binding *binding;
	uint32_t binding_id;
	uint8_t state;    /* enum request_state */
	uint8_t pressure; /* enum pressure_state: agent/watch/pressure.h */
	bool dead;     /* failed or cancelled: issue no more steps, complete when none is flying */
	bool queued;   /* the policy holds it */
	uint16_t lane; /* from activation to the end */
	uint32_t status; /* enum ooo_status */
	uint32_t slot;
	uint32_t nr_ready;  /* steps that the window holds */
	uint32_t nr_flying; /* steps that the device holds */
	uint32_t steps_done;
	uint32_t width_sum; /* sum of bundle widths over its steps */
	uint32_t program_id;
	uint64_t cookie;
	uint64_t deadline_ns; /* 0 = none */
	uint64_t submit_ns;   /* as the tenant says, bounded */
	uint64_t fetch_ns, active_ns, start_ns;
	uint64_t number;       /* of the dispatcher's requests */
	uint16_t record_flags; /* enum ooo_record_request_flag */
	uint64_t staged_ns;    /* agent/watch/stage.h */
	uint64_t hold_ns;      /* held for company since its last step was issued */
	uint64_t stage_ns[OOO_RECORD_STAGES];
	uint64_t service_ns;
	uint64_t due_ns; /* its deadline, else what its tenant's SLO makes of its arrival; 0 = none */
	uint64_t work_ns;       /* predicted when it was bound: all its steps */
	uint64_t issued_ns;     /* of that, issued */
	uint64_t predicted_ns;  /* when it will finish, as admission control says; 0 = not asked */
	uint32_t nr_issued;     /* steps */
	bool promised;          /* admission control accepted its deadline */
	bool urgent;            /* it has a deadline or its tenant is of class latency */
	bool hopeless;          /* it cannot meet its deadline any more */
	struct promise promise; /* in the tree while work_ns of it is not 0 */
	struct request *next;   /* one list at a time: free, fetched, bound */
	struct request *all_next, *all_prev; /* the tenant's requests in flight */
	struct heap_node by_deadline; /* in its tenant's queue, or its program's of waiting ones */
};

/* Predicted work that is not issued yet. */
static inline uint64_t request_left_ns(const struct request *r)
{
	return r->work_ns > r->issued_ns ? r->work_ns - r->issued_ns : 0;
}

#define ORDER_UNPROMISED (1ull << 60) /* after all promised ones */
#define ORDER_ARRIVAL    (1ull << 61) /* after all that have a deadline which can be met */

/* Which of a tenant's requests goes first. */
static inline uint64_t request_order(const struct request *r)
{
	uint64_t due = r->due_ns & (ORDER_UNPROMISED - 1);

	if (r->promised)
		return due;
	if (r->due_ns && !r->hopeless)
		return ORDER_UNPROMISED | due;
	return ORDER_ARRIVAL | (r->number & (ORDER_ARRIVAL - 1));
}

#endif
