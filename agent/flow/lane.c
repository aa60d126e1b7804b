// SPDX-License-Identifier: Apache-2.0
/*
 * Lanes run at the same time, so that the end of one bundle, when few of its blocks are left, is
 * the middle of another's. But only requests of one lane share bundles: each further lane costs
 * launches, and weights that are read once more. So a lane is opened only when those that are open
 * have
 *
 *   - as many requests as the device runs side by side: their bundles fill it; and
 *   - much to do: many requests of one short step each are over before a second launch pays.
 *
 * Among the open lanes the one with the least work takes the request. Where even that one has so
 * much queued already that a short request would wait for longer than it runs, the emptiest lane
 * of all takes it: a short request does not stand behind long ones.
 *
 * 20 tenants with one short step each, or one tenant: lane 0 only, wide bundles. 16 tenants with a
 * ResNet each on a device of width 8: two lanes of eight.
 */
#include "agent/flow/lane.h"

#define OPEN_WORK_NS 400000 /* of a full width, for each open lane */
#define WAIT_NS      50000  /* a wait that is always worth the company */
#define WAIT_SHARE   4      /* as is a quarter of the request's own time */

static uint64_t ceil_div(uint64_t n, uint64_t d)
{
	return (n + d - 1) / d;
}

static unsigned nr_open(const struct lane_load *lanes, unsigned nr_lanes, unsigned width,
			uint64_t work_ns)
{
	uint64_t requests = 1, work = work_ns, open, by_work;

	for (unsigned i = 0; i < nr_lanes; i++) {
		requests += lanes[i].nr_requests;
		work += lanes[i].work_ns;
	}
	open = ceil_div(requests, width);
	by_work = ceil_div(work, (uint64_t)width * OPEN_WORK_NS);
	if (by_work < open)
		open = by_work;
	if (!open)
		open = 1;
	return open < nr_lanes ? (unsigned)open : nr_lanes;
}

unsigned lane_choose(const struct lane_load *lanes, unsigned nr_lanes, unsigned width,
		     uint64_t work_ns)
{
	uint64_t wait = work_ns / WAIT_SHARE > WAIT_NS ? work_ns / WAIT_SHARE : WAIT_NS;
	unsigned open, best = 0;

	if (nr_lanes < 2)
		return 0;
	open = nr_open(lanes, nr_lanes, width ? width : 1, work_ns);
	for (unsigned i = 1; i < open; i++) {
		if (lanes[i].work_ns < lanes[best].work_ns)
			best = i;
	}
	if (lanes[best].queued_ns <= wait)
		return best;
	for (unsigned i = 0; i < nr_lanes; i++) {
		if (lanes[i].queued_ns < lanes[best].queued_ns)
			best = i;
	}
	return best;
}
