/* SPDX-License-Identifier: Apache-2.0 */
/* When requests arrive, in order of time, from all sources together. */
#ifndef OOO_CTL_WORKLOAD_H
#define OOO_CTL_WORKLOAD_H

#include "agent/policy/heap.h"
#include "ctl/sim/scenario.h"

struct workload;

struct due {
	uint64_t at_ns;
	uint32_t group, tenant; /* tenant of the group */
};

/* Times count from start_ns. NULL: no memory. */
struct workload *workload_new(const struct scenario *s, uint64_t start_ns);
void workload_free(struct workload *w);

/* When the next request arrives; UINT64_MAX: none does until one completes. */
uint64_t workload_next_ns(const struct workload *w);
struct due workload_pop(struct workload *w);
/* A request of a closed loop completed: its successor arrives after the group's think time. */
void workload_completed(struct workload *w, uint32_t group, uint32_t tenant, uint64_t now_ns);

#endif
