/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is simulated: groups of equal tenants, when their requests arrive, and the policy.
 *
 * TENANTS FILE: { "groups": [ group, ... ] }, where a group has
 *
 *   name, program           the program is one of the device file's
 *   count                   tenants (1)
 *   weight, class, admission, sm_min, sm_max, max_inflight, rate_cap
 *                           as `ooo-ctl tenant set` has them
 *   slo                     latency that it wants, from arrival; goodput counts what keeps to it
 *   deadlines               true: each request carries its deadline, arrival + slo
 *   inflight                requests that a tenant has in flight at most (32)
 *   rate                    Poisson arrivals of each tenant; or
 *   closed, think           so many requests in flight at all times, `think` after each; or
 *   share                   neither: its tenants' part of the arrivals on the command line (1)
 *
 * POLICY FILE: { runahead, bundle, max_items, tenants: { "name or glob": { weight, class, ... } } }:
 * limits of the dispatcher, and parameters in the place of the tenants file's; the last match of a
 * key holds.
 */
#ifndef OOO_CTL_SCENARIO_H
#define OOO_CTL_SCENARIO_H

#include "agent/turn.h"
#include "ctl/sim/device_file.h"

#define SCENARIO_MAX_GROUPS  4096
#define SCENARIO_MAX_TENANTS 1000000

enum source_kind {
	SOURCE_SHARED, /* the command line's arrivals */
	SOURCE_POISSON,
	SOURCE_CLOSED,
};

struct group {
	char name[OOO_NAME_BYTES];
	struct measured_program program;
	uint32_t count;
	struct tenant_params params;
	double slo_ns; /* 0: none */
	bool deadlines;
	uint32_t inflight;
	enum source_kind source;
	double rate; /* of each tenant */
	double think_ns, share;
};

/* A recorded or traced arrival. */
struct arrival {
	uint64_t at_ns;
	uint32_t group, tenant; /* tenant of the group; UINT32_MAX: by share */
};

struct scenario {
	struct device_file device;
	struct group *groups;
	uint32_t nr_groups;
	/* shared arrivals, one of these or none */
	struct arrival *arrivals;
	uint64_t nr_arrivals;
	double span_ns; /* of arrivals, to the next round's first */
	double poisson_per_s;
	double duration_ns;
	uint64_t seed;
	uint32_t max_steps; /* of a request; 0: as many as keep the run short */
};

struct policy_file {
	char name[64];
	struct turn_config turn;
	struct group *groups; /* the scenario's, with this policy's parameters */
};

int tenants_file_load(const char *path, struct scenario *s, char *why, size_t why_bytes);
/* path NULL: the tenants file's own parameters. */
int policy_file_load(const char *path, const struct scenario *s, struct policy_file *out, char *why,
		     size_t why_bytes);
/* A CSV whose first column is a time, as for ooo-run --arrivals; per_s > 0 rescales it. */
int trace_load(const char *path, double per_s, struct scenario *s, char *why, size_t why_bytes);
/* What `ooo-ctl record save` wrote. Groups of the tenants file keep their parameters. */
int replay_load(const char *path, struct scenario *s, char *why, size_t why_bytes);
void scenario_free(struct scenario *s);

/* Steps of a request of this program: all, or fewer so that the whole run stays short. */
uint32_t scenario_steps(const struct scenario *s, const struct measured_program *p);

#endif
