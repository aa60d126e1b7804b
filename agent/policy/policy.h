/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which request goes first. Deterministic, no device, no clock, no allocation: the agent and the
 * simulator drive the same code.
 *
 * A policy is a queue for each lane of the requests that have ready steps, and one account of device
 * time for all lanes:
 *
 *   who may    A tenant's virtual time advances by what it used over its weight. Its lag is how far it
 *              is behind the mean of the active ones, weighted: what it is owed. It is within its
 *              share while it is owed something, or owes no more than its class's tolerance (EEVDF's
 *              eligibility: Stoica, Abdel-Wahab, "Earliest Eligible Virtual Deadline First", 1995).
 *   who first  Of those within their share: promised requests (admission control accepted their
 *              deadline) earliest deadline first; then by class, latency, normal, batch; in a class
 *              the earliest deadline - the request's own, else its arrival plus the tenant's SLO -
 *              and then the earliest virtual deadline: virtual time plus the request's remaining
 *              work over the weight.
 *   who else   Those beyond their share go when nobody within has a ready step (no lane idles for
 *              fairness), or ride along where a bundle has room that costs no time.
 *
 * A deadline that cannot be met any more counts for nothing: the request goes in order of arrival,
 * after those that can meet theirs.
 *
 * So neither class nor deadlines gain device time, only an earlier place: lag decides who may.
 * Saturating tenants get device time by weight. A batch tenant's weight counts a BATCH_SHARE-th while
 * it competes with others: it starves first, and never forever.
 *
 * Service is charged when a step is issued, with its prediction, and corrected when it is measured.
 * What a tenant is owed is bounded (LAG_NS and a few of the longest steps): who cannot use his share,
 * since his steps wait for each other, does not save it up. Who was idle comes back with the lag that
 * he left with, bounded likewise; debts are paid while others are served.
 */
#ifndef OOO_AGENT_POLICY_H
#define OOO_AGENT_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/device/device.h"
#include "agent/policy/heap.h"
#include "agent/policy/params.h"
#include "agent/policy/ranks.h"

#define POLICY_BATCH_SHARE 10 /* a batch tenant's weight counts a tenth */

struct request;
struct tenant;

struct policy_lane {
	struct ranks within; /* tenants within their share: by promise, class and deadline */
	struct ranks beyond; /* the others, by the virtual time at which they are within again */
	uint32_t nr_queued, nr_fresh; /* requests; of those, not begun */
};

struct policy {
	struct policy_lane lanes[DEVICE_MAX_LANES];
	unsigned nr_lanes;
	uint64_t now_ns;       /* set by the driver: whose deadlines can still be met? */
	uint64_t vtime;        /* weighted mean of the active tenants' */
	int64_t moment;        /* sum of weight x (virtual time - vtime) over them */
	uint64_t weight_sum;   /* of the active tenants */
	uint64_t longest_ns;   /* of the charges, slowly forgotten */
	uint32_t nr_active;    /* tenants */
	uint32_t nr_tenants;   /* that are known */
	uint64_t tolerance_ns; /* what a normal tenant may owe */
	struct tenant *away;   /* see policy_waits() */
};

/* What a tenant's weight counts beside others'. */
static inline uint32_t policy_weight(const struct tenant_params *p)
{
	return p->weight * (p->klass == TENANT_BATCH ? 1 : POLICY_BATCH_SHARE);
}

void policy_init(struct policy *p, unsigned nr_lanes);
void policy_free(struct policy *p);

/* A tenant comes, for whom room is made (-ENOMEM), and goes; nothing of it is queued then. */
int policy_tenant_add(struct policy *p);
void policy_tenant_del(struct policy *p);

/* The tenant's first request became active; its last one ended. */
void policy_join(struct policy *p, struct tenant *t);
void policy_leave(struct policy *p, struct tenant *t);
void policy_set_params(struct policy *p, struct tenant *t, const struct tenant_params *params);

/* A request has ready steps: it goes to its lane's queue; or it shall go no more. */
void policy_add(struct policy *p, struct request *r);
void policy_remove(struct policy *p, struct request *r);
/* The lane's first request, which stays; NULL: none. */
struct request *policy_first(struct policy *p, unsigned lane);
bool policy_empty(const struct policy *p, unsigned lane);
bool policy_within(const struct policy *p, struct tenant *t);
/* Whether r, which is beyond its share, had better not queue up behind what the device runs: somebody
 * who is owed much has all that he sent on the device, and would find r before his next. */
bool policy_waits(struct policy *p, const struct request *r);
/* Account ns (may be negative: correction of a prediction) of device time to a tenant. */
void policy_charge(struct policy *p, struct tenant *t, int64_t ns);
/* How long `ns` of work take at the tenant's share of one item's place on the device, beside those
 * who are active now. */
uint64_t policy_share_ns(const struct policy *p, const struct tenant *t, uint64_t ns);
/* What it is owed, in ns of device time; < 0: it owes. */
int64_t policy_lag_ns(const struct policy *p, const struct tenant *t);

#endif
