/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which request goes first: device-free, clock-free, no allocation. A policy holds the requests that
 * have ready steps.
 *
 * Now: requests with a deadline go first, earliest deadline first; then tenants by weighted service
 * time (start-time fair queueing: the one that has had least per weight goes first; a tenant that
 * was idle does not save up credit), each tenant's requests in order of arrival.
 */
#ifndef OOO_AGENT_POLICY_H
#define OOO_AGENT_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/policy/heap.h"

struct request;
struct tenant;

struct policy {
	struct heap by_deadline; /* requests */
	struct heap by_vtime;    /* tenants with requests in their FIFO */
	uint64_t vclock;         /* vtime of the last tenant picked: where an idle one re-enters */
};

void policy_init(struct policy *p);
/* A request got ready steps. front: it had its place before, so it goes ahead of the tenant's
 * younger requests. */
void policy_add(struct policy *p, struct request *r, bool front);
void policy_remove(struct policy *p, struct request *r);
/* Take the most urgent request out; NULL: none. */
struct request *policy_next(struct policy *p);
bool policy_empty(const struct policy *p);
/* Account ns (may be negative: correction of a prediction) of device time to a tenant. */
void policy_charge(struct policy *p, struct tenant *t, int64_t ns);

#endif
