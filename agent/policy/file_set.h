/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the policy file's reader: where it is, what is wrong there, and the parameters of one "set". */
#ifndef OOO_AGENT_POLICY_FILE_SET_H
#define OOO_AGENT_POLICY_FILE_SET_H

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/policy/params.h"

enum policy_parameter {
	POLICY_WEIGHT,
	POLICY_CLASS,
	POLICY_SLO,
	POLICY_MEMORY,
	POLICY_INFLIGHT,
	POLICY_RATE,
	POLICY_PARTITION,
	POLICY_ISOLATE,
	POLICY_ADMISSION,
	POLICY_SM_MIN,
	POLICY_SM_MAX,
	NR_POLICY_PARAMETERS
};

struct policy_set {
	uint32_t has; /* bits: enum policy_parameter */
	struct tenant_params params;
	const char *partition; /* in the document */
};

/* Where we are in the document, and what is wrong there. */
struct policy_reader {
	char path[64];
	char *why;
	size_t why_bytes;
};

/* -EINVAL, with a sentence in r->why that begins with the place. */
int policy_wrong(struct policy_reader *r, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The key's place among words, and that it comes once. */
int policy_take_key(struct policy_reader *r, const cJSON *item, const char *what,
		    const char *const *words, int nr, uint32_t *seen);
int policy_take_number(struct policy_reader *r, const char *key, const cJSON *v, uint64_t min,
		       uint64_t max, uint64_t *out);
int policy_take_string(struct policy_reader *r, const char *key, const cJSON *v, const char **out);
/* An object of parameters; what depends on two of them is checked over the defaults. */
int policy_take_set(struct policy_reader *r, const cJSON *v, const struct policy_set *defaults,
		    struct policy_set *s);
/* All but the partition, which is a name: the caller knows the device. */
void policy_merge(struct tenant_params *to, const struct policy_set *s);

#endif
