/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a request's time goes (enum ooo_record_stage). A cursor, staged_ns, walks from its submission
 * to its end; each call gives the time since the cursor to one stage and moves it, so at any moment
 * exactly one stage holds and together they are the request's latency.
 *
 *   submitted .. fetched                                   RING
 *   .. its bundle goes to the device                       WINDOW, of that HOLD what hold_ns says
 *   .. the device begins the bundle                        LAUNCH
 *   .. the device ends it                                  RUN, or COPY if its steps only move data
 *   .. the dispatcher has seen the last one end            RETIRE
 *
 * Where bundles of a request overlap or follow without a gap, the time is RUN's; a bundle that is
 * handed over while the one before runs leaves no WINDOW. Times are the dispatcher's clock and the
 * device's; a device's that lie outside of what is possible are moved to its edge.
 */
#ifndef OOO_AGENT_WATCH_STAGE_H
#define OOO_AGENT_WATCH_STAGE_H

#include "agent/device/device.h"
#include "agent/program/program.h"
#include "agent/request.h"

/* Does it compute nothing? */
static inline bool stage_is_copy(const struct step *step)
{
	return step->klass == CLASS_MOVE || step->op == OOO_OP_IDENTITY;
}

static inline void stage_until(struct request *r, enum ooo_record_stage stage, uint64_t ns)
{
	if (ns > r->staged_ns) {
		r->stage_ns[stage] += ns - r->staged_ns;
		r->staged_ns = ns;
	}
}

/* submit_ns is what the tenant wrote: any number. A request is at most an hour late. */
static inline void stage_fetched(struct request *r, uint64_t submit_ns, uint64_t now_ns)
{
	if (!submit_ns || submit_ns > now_ns || now_ns - submit_ns > 3600000000000ull)
		submit_ns = now_ns;
	r->submit_ns = r->staged_ns = submit_ns;
	stage_until(r, OOO_STAGE_RING, now_ns);
}

/* One of its steps was in a bundle that is done. Once for each step: later ones add nothing. */
static inline void stage_ran(struct request *r, const struct bundle *b, bool copy, uint64_t now_ns)
{
	uint64_t end = b->end_ns < now_ns ? b->end_ns : now_ns;
	uint64_t start = b->start_ns < end ? b->start_ns : end;
	uint64_t held = r->hold_ns;

	if (b->submit_ns > r->staged_ns && held) {
		uint64_t waited = b->submit_ns - r->staged_ns;

		stage_until(r, OOO_STAGE_HOLD, r->staged_ns + (held < waited ? held : waited));
		r->hold_ns = 0;
	}
	stage_until(r, OOO_STAGE_WINDOW, b->submit_ns < start ? b->submit_ns : start);
	stage_until(r, OOO_STAGE_LAUNCH, start);
	stage_until(r, copy ? OOO_STAGE_COPY : OOO_STAGE_RUN, end);
}

static inline void stage_finished(struct request *r, uint64_t now_ns)
{
	stage_until(r, r->steps_done ? OOO_STAGE_RETIRE : OOO_STAGE_WINDOW, now_ns);
}

#endif
