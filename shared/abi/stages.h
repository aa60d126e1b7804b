/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the requests of each tenant spent their time, counted by the agent at all times: an array of
 * struct ooo_tenant_stages, a BPF map of one value for each tenant that `bpftool map dump` shows, or
 * plain memory where the agent may make no map (agent/watch/stages.h). The stages are those of the flight
 * recorder (record.h); their sums add up to the requests' latencies, from submission to completion.
 *
 * While a device ends more than 200 requests in a millisecond, one in a few of a tenant's is taken for all
 * of them, weighted: what counts costs about 1 % that way.
 *
 * Each counter is written by one thread with plain stores, and only grows. Several counters are not
 * read at one moment.
 */
#ifndef OOO_ABI_STAGES_H
#define OOO_ABI_STAGES_H

#include <stdint.h>

#include "shared/abi/handshake.h"
#include "shared/abi/histogram.h"
#include "shared/abi/record.h"

struct ooo_stage_times {
	uint64_t sum_ns;
	uint64_t bucket[LATENCY_BUCKETS]; /* histogram.h: requests in which the stage took time */
};

struct ooo_tenant_stages {
	uint32_t tenant;    /* its id; 0: nobody had this place yet */
	uint32_t connected; /* 0: it went, and the place is free for another */
	char name[OOO_NAME_BYTES];
	uint64_t requests; /* that ended */
	struct ooo_stage_times stage[OOO_RECORD_STAGES];
};

_Static_assert(sizeof(struct ooo_stage_times) == 8 * (1 + LATENCY_BUCKETS), "no gaps");
_Static_assert(sizeof(struct ooo_tenant_stages) ==
		       16 + OOO_NAME_BYTES + OOO_RECORD_STAGES * sizeof(struct ooo_stage_times),
	       "no gaps: a value of the map is as long");

#endif
