/* SPDX-License-Identifier: Apache-2.0 */
/* Which lane of the device runs a request: a pure function of the lanes' loads. */
#ifndef OOO_AGENT_LANE_H
#define OOO_AGENT_LANE_H

#include <stdint.h>

struct lane_load {
	uint64_t queued_ns;   /* predicted time of its built and flying bundles */
	uint64_t work_ns;     /* predicted time of its active requests, each from start to end */
	uint32_t nr_requests; /* active */
};

/*
 * The lane for a request of work_ns more, on a device where `width` steps run side by side.
 * Requests of one lane share bundles, those of different lanes do not: so lane 0 alone is used
 * until it has company enough, see lane.c.
 */
unsigned lane_choose(const struct lane_load *lanes, unsigned nr_lanes, unsigned width,
		     uint64_t work_ns);

#endif
