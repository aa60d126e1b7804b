/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One record walks through the six stages of the flow. Which stage writes what:
 *
 *   fetch     cookie, deadline_ns, program_id, binding_id, fetch_ns   (the one copy of the slot)
 *   bind      inst, binding, status on refusal
 *   window    slot, ready steps; the policy's node
 *   bundle    nr_ready down, nr_flying up
 *   retire    steps_done, service_ns, width; then the record is free again
 *
 * Records live in an array of the tenant's, one per completion slot, so a record is there whenever
 * a completion slot is: fetch needs no other check.
 */
#ifndef OOO_AGENT_REQUEST_H
#define OOO_AGENT_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/policy/heap.h"

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
	uint8_t state; /* enum request_state */
	bool dead;     /* failed or cancelled: issue no more steps, complete when none is flying */
	bool queued;   /* the policy holds it */
	uint32_t status; /* enum ooo_status */
	uint32_t slot;
	uint32_t nr_ready;  /* steps that the window holds */
	uint32_t nr_flying; /* steps that the device holds */
	uint32_t steps_done;
	uint32_t width_sum; /* sum of bundle widths over its steps */
	uint32_t program_id;
	uint64_t cookie;
	uint64_t deadline_ns; /* 0 = none */
	uint64_t fetch_ns, start_ns;
	uint64_t service_ns;
	struct request *next, *prev;         /* one list at a time: free, waiting, policy FIFO */
	struct request *all_next, *all_prev; /* the tenant's requests in flight */
	struct heap_node by_deadline;
};

#endif
