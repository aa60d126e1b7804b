/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pressure, in the sense of the kernel's PSI: the share of time that ready work stood waiting for
 * the device.
 *
 * A request is *stalled* while it waits for a workspace slot of its program, or has a step ready
 * (all that the step depends on was issued) and none on the device; it is *running* while at least
 * one of its steps is in a bundle, from the moment that the bundle is built until it is retired.
 * Submissions that stand in the ring, and requests that wait for their tenant, count as neither.
 *
 *   some   at least one request of the tenant is stalled
 *   full   at least one is stalled, and none is running
 *
 * A device has the same two, over the requests of all its tenants. What a lane has queued counts as
 * running: that is bounded by the run-ahead (--runahead-us), which therefore is the resolution.
 *
 * The dispatcher adds up nanoseconds of its clock when a request changes between the two, so a
 * stall that lasts is added at its next change. The averages over 10, 60 and 300 s are the
 * registry's: pressure_tick(), called about once a second, decays them by what was added since.
 */
#ifndef OOO_AGENT_WATCH_PRESSURE_H
#define OOO_AGENT_WATCH_PRESSURE_H

#include <stdint.h>

struct dispatcher;
struct request;

enum pressure_state {
	PRESSURE_NONE,
	PRESSURE_STALLED,
	PRESSURE_RUNNING,
	PRESSURE_STATES
};

/* Of a tenant or of a device; the dispatcher's. */
struct pressure {
	uint32_t nr[PRESSURE_STATES]; /* requests in each state; NONE is not counted */
	uint64_t since_ns;            /* up to here the totals are */
	uint64_t some_ns, full_ns;    /* counters, stat_add */
};

/* r may have changed: see what it is now. */
void pressure_note(struct dispatcher *d, struct request *r);
/* r is complete, or leaves its tenant. */
void pressure_leave(struct dispatcher *d, struct request *r);

enum pressure_span {
	PRESSURE_10S,
	PRESSURE_60S,
	PRESSURE_300S,
	PRESSURE_SPANS
};

/* What a reader keeps of one pressure: shares in [0, 1]. */
struct pressure_view {
	uint64_t at_ns; /* of the last tick; 0: none yet */
	uint64_t some_ns, full_ns;
	double some_avg[PRESSURE_SPANS], full_avg[PRESSURE_SPANS];
};

void pressure_tick(struct pressure_view *v, const struct pressure *p, uint64_t now_ns);

#endif
