/* SPDX-License-Identifier: Apache-2.0 */
/* What a simulated run came to, and how it is shown. */
#ifndef OOO_CTL_OUTCOME_H
#define OOO_CTL_OUTCOME_H

#include "ctl/run/histogram.h"
#include "ctl/sim/scenario.h"

struct tally {
	uint64_t offered; /* requests that arrived */
	uint64_t done;    /* complete with a result */
	uint64_t good;    /* of these, within the group's slo; all without one */
	uint64_t refused; /* by admission or a cap */
	uint64_t failed;  /* any other error */
	uint64_t service_ns;
	struct histogram *latency; /* arrival to completion, of done; NULL: not kept */
};

struct outcome {
	const char *policy;
	double seconds; /* simulated */
	uint64_t bundles, items;
	uint64_t busy_ns; /* sum over lanes */
	unsigned nr_lanes;
	struct tally total;
	struct tally *groups;  /* by group */
	struct tally *tenants; /* by tenant, groups one after another */
	uint64_t nr_tenants;
	double jain_service; /* fairness of device time by weight over tenants with requests */
	double jain_served;  /* fairness of the share of requests that complete in time */
};

/* Run the scenario under the policy. per_tenant: keep latencies by tenant too. 0 or -errno. */
int outcome_run(const struct scenario *s, const struct policy_file *policy, bool per_tenant,
		struct outcome *out, char *why, size_t why_bytes);
void outcome_free(struct outcome *o, const struct scenario *s);

struct report_options {
	bool json, per_tenant;
	const char *device;
};

/* b: the run under the policy to compare with, or NULL. 0 or -ENOMEM. */
int report_print(const struct scenario *s, const struct outcome *a, const struct outcome *b,
		 const struct report_options *options);

#endif
