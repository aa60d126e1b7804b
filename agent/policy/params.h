/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the administrator decides for a tenant. The wanted values live in the registry, where the
 * control thread changes them (registry_set_params()); the door carries them to the dispatcher as
 * one mail (MAIL_TENANT_PARAMS), which takes them over between two turns: all of a change at once,
 * within a few turns, and no request is lost by it. Requests that run keep their lane; everything
 * else holds for them too.
 */
#ifndef OOO_AGENT_PARAMS_H
#define OOO_AGENT_PARAMS_H

#include <stddef.h>
#include <stdint.h>

#define TENANT_WEIGHT_DEFAULT 100
#define TENANT_WEIGHT_MAX     10000
#define TENANT_SLO_MIN_NS     1000ull          /* below, no device could */
#define TENANT_SLO_MAX_NS     3600000000000ull /* an hour */
#define TENANT_INFLIGHT_MAX   8192             /* completion slots of the largest ring */
#define TENANT_RATE_MAX       100000000        /* requests a second */
#define PERMILLE              1000

/* Who goes first when all are within their share: see policy.h. */
enum tenant_class {
	TENANT_LATENCY,
	TENANT_NORMAL,
	TENANT_BATCH,
	TENANT_CLASSES
};

/* What happens to a request whose deadline cannot be met. */
enum tenant_admission {
	ADMISSION_LATE,   /* it is served, late */
	ADMISSION_REJECT, /* it is refused at submit, with the predicted finish */
	TENANT_ADMISSIONS
};

/* Whether its steps run in a lane of their own. */
enum tenant_isolate {
	ISOLATE_OFF,
	ISOLATE_AUTO, /* while they take much longer than predicted */
	ISOLATE_ON,
	TENANT_ISOLATES
};

struct tenant_params {
	uint32_t weight;       /* share of device time relative to others, 1..TENANT_WEIGHT_MAX */
	uint8_t klass;         /* enum tenant_class */
	uint8_t admission;     /* enum tenant_admission */
	uint8_t isolate;       /* enum tenant_isolate */
	uint32_t max_inflight; /* requests fetched and not complete; 0 = as its ring allows */
	uint32_t rate;         /* requests a second, with bursts of a tenth of it; 0 = any */
	uint32_t sm_min;       /* permille of the device that its bundles may always take */
	uint32_t sm_max;       /* permille of a bundle's width that its steps may take */
	uint32_t partition;    /* of its device: 0 none, else its place + 1 */
	uint64_t slo_ns;       /* fetch to finish, where a request has no deadline; 0 = none */
	uint64_t memory_bytes; /* device memory, weights and workspace; 0 = the agent's limits */
};

#define TENANT_PARAMS_DEFAULT                                                                      \
	{                                                                                          \
		.weight = TENANT_WEIGHT_DEFAULT, .klass = TENANT_NORMAL,                           \
		.admission = ADMISSION_REJECT, .isolate = ISOLATE_AUTO, .sm_max = PERMILLE,        \
	}

/* The words of the enumerations, as the command line and the policy file have them. */
extern const char *const tenant_class_names[TENANT_CLASSES];
extern const char *const tenant_admission_names[TENANT_ADMISSIONS];
extern const char *const tenant_isolate_names[TENANT_ISOLATES];

/* 0; -ERANGE with a sentence in why that names the parameter and its bounds. Whether the partition
 * is there, registry_set_params() checks. */
int tenant_params_check(const struct tenant_params *params, char *why, size_t why_bytes);

#endif
