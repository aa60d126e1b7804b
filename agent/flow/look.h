/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a dispatcher has in hand, copied between two turns for the control thread: a bounded piece at
 * a time, so that a turn waits some microseconds for it at most. Times are as of then.
 */
#ifndef OOO_FLOW_LOOK_H
#define OOO_FLOW_LOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/device/device.h"

#define LOOK_REQUESTS 64  /* at a time */
#define LOOK_RECORDS  512 /* of a tenant, in use or not, at a time */
#define LOOK_BUNDLES  64
#define LOOK_MEMBERS  8 /* tenants of a bundle that are told by name */

enum look_state {
	LOOK_WAITING, /* for a workspace slot of its program */
	LOOK_READY,   /* steps could run */
	LOOK_RUNNING, /* the device holds steps of it; of a bundle: the device holds it */
	LOOK_ENDING,  /* failed or cancelled, and its last steps are not back */
	LOOK_BUILT,   /* a bundle that the device has not taken yet */
	LOOK_STATES
};

extern const char *const look_state_names[LOOK_STATES];

struct look_request {
	uint64_t number;  /* of the dispatcher's requests */
	uint64_t cookie;  /* the tenant's */
	uint64_t age_ns;  /* since it was submitted */
	uint64_t due_ns;  /* from submission to when it is due; 0: no deadline and no SLO */
	uint64_t left_ns; /* predicted work that is not issued */
	uint32_t place;   /* to begin a piece with it */
	uint32_t program; /* id */
	uint32_t state;   /* enum look_state */
	uint32_t lane;    /* once it has a slot */
	uint32_t steps, steps_done;
};

struct look_bundle {
	uint64_t age_ns; /* since it was submitted to the device; 0 before */
	uint64_t predicted_ns;
	uint32_t place; /* to begin a piece with it */
	uint32_t lane;
	uint32_t state; /* enum look_state */
	uint32_t klass; /* kernel class of its first item */
	uint32_t items;
	uint32_t nr_members; /* tenants */
	struct {
		uint32_t tenant, items;
	} members[LOOK_MEMBERS];
	uint32_t others; /* items of more tenants */
};

/* A piece: what is wanted, and what was found. */
struct look {
	uint32_t from; /* place to begin at: 0, then what was there after the piece before */
	bool more;     /* there is, from `from` on */
	uint32_t nr;
	union {
		struct look_request requests[LOOK_REQUESTS];
		struct look_bundle bundles[LOOK_BUNDLES];
	};
};

struct dispatcher;
struct tenant;

void look_requests(const struct dispatcher *d, const struct tenant *t, struct look *look);
void look_bundles(const struct dispatcher *d, struct look *look);

#endif
