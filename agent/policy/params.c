// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/params.h"

#include <errno.h>
#include <stdio.h>

#include "agent/device/device.h"

const char *const tenant_class_names[TENANT_CLASSES] = { "latency", "normal", "batch" };
const char *const tenant_admission_names[TENANT_ADMISSIONS] = { "late", "reject" };
const char *const tenant_isolate_names[TENANT_ISOLATES] = { "off", "auto", "on" };

struct bound {
	const char *name;
	uint64_t value, min, max;
};

int tenant_params_check(const struct tenant_params *p, char *why, size_t why_bytes)
{
	const struct bound bounds[] = {
		{ "weight", p->weight, 1, TENANT_WEIGHT_MAX },
		{ "class", p->klass, 0, TENANT_CLASSES - 1 },
		{ "admission", p->admission, 0, TENANT_ADMISSIONS - 1 },
		{ "isolate", p->isolate, 0, TENANT_ISOLATES - 1 },
		{ "inflight", p->max_inflight, 0, TENANT_INFLIGHT_MAX },
		{ "rate", p->rate, 0, TENANT_RATE_MAX },
		{ "sm-max", p->sm_max, 1, PERMILLE },
		{ "sm-min", p->sm_min, 0, p->sm_max },
		{ "partition", p->partition, 0, DEVICE_MAX_PARTITIONS },
		{ "slo (ns)", p->slo_ns, p->slo_ns ? TENANT_SLO_MIN_NS : 0, TENANT_SLO_MAX_NS },
	};

	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		const struct bound *b = &bounds[i];

		if (b->value >= b->min && b->value <= b->max)
			continue;
		snprintf(why, why_bytes, "%s %llu is not from %llu to %llu", b->name,
			 (unsigned long long)b->value, (unsigned long long)b->min,
			 (unsigned long long)b->max);
		return -ERANGE;
	}
	return 0;
}
