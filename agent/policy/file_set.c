// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/file_set.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "shared/lib/nearest.h"
#include "shared/lib/units.h"

static const char *const parameter_words[NR_POLICY_PARAMETERS] = {
	"weight",    "class",   "slo",       "memory", "inflight", "rate",
	"partition", "isolate", "admission", "sm-min", "sm-max",
};

int policy_wrong(struct policy_reader *r, const char *key, const char *fmt, ...)
{
	va_list args;
	int n = snprintf(r->why, r->why_bytes, "%s%s%.40s: ", r->path,
			 r->path[0] && key[0] ? "." : "", key);

	if (n < 0 || (size_t)n >= r->why_bytes)
		return -EINVAL;
	va_start(args, fmt);
	vsnprintf(r->why + n, r->why_bytes - (size_t)n, fmt, args);
	va_end(args);
	return -EINVAL;
}

static int wrong_word(struct policy_reader *r, const char *key, const char *given, const char *what,
		      const char *const *words, int nr)
{
	int near = nearest_word(given, words, nr);
	char list[128] = "";

	for (int i = 0; i < nr; i++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s",
			 i ? i == nr - 1 ? " or " : ", " : "", words[i]);
	return policy_wrong(r, key, "\"%.40s\" is no %s: expected %s%s%s%s", given, what, list,
			    near >= 0 ? "; did you mean \"" : "", near >= 0 ? words[near] : "",
			    near >= 0 ? "\"?" : "");
}

/* ---- values ---------------------------------------------------------------------------------- */

int policy_take_number(struct policy_reader *r, const char *key, const cJSON *v, uint64_t min,
		       uint64_t max, uint64_t *out)
{
	if (!cJSON_IsNumber(v) || v->valuedouble < (double)min || v->valuedouble > (double)max ||
	    v->valuedouble != (double)(uint64_t)v->valuedouble)
		return policy_wrong(r, key, "expected a whole number from %llu to %llu",
				    (unsigned long long)min, (unsigned long long)max);
	*out = (uint64_t)v->valuedouble;
	return 0;
}

/* A number and its unit as on the command line; "none" stands for 0. */
static int take_amount(struct policy_reader *r, const char *key, const cJSON *v, enum units units,
		       uint64_t *out)
{
	const char *text = cJSON_IsString(v) ? v->valuestring : "";

	*out = 0;
	if (!strcmp(text, "none") || !strcmp(text, "off") || units_parse(text, units, out))
		return 0;
	if (cJSON_IsNumber(v))
		return policy_wrong(r, key,
				    "a bare number has no unit: expected a string such as %s",
				    units_example(units));
	return policy_wrong(r, key, "expected a string of a number and its unit, such as %s",
			    units_example(units));
}

static int take_word(struct policy_reader *r, const char *key, const cJSON *v,
		     const char *const *words, int nr, uint8_t *out)
{
	const char *given = cJSON_IsString(v) ? v->valuestring : "";

	for (int i = 0; i < nr; i++) {
		if (!strcmp(given, words[i])) {
			*out = (uint8_t)i;
			return 0;
		}
	}
	return wrong_word(r, key, given, key, words, nr);
}

int policy_take_string(struct policy_reader *r, const char *key, const cJSON *v, const char **out)
{
	if (!cJSON_IsString(v) || !v->valuestring[0])
		return policy_wrong(r, key, "expected a string that is not empty");
	*out = v->valuestring;
	return 0;
}

/* ---- objects --------------------------------------------------------------------------------- */

int policy_take_key(struct policy_reader *r, const cJSON *item, const char *what,
		    const char *const *words, int nr, uint32_t *seen)
{
	for (int i = 0; i < nr; i++) {
		if (strcmp(item->string, words[i]) != 0)
			continue;
		if (*seen & 1u << i)
			return policy_wrong(r, item->string, "is given twice");
		*seen |= 1u << i;
		return i;
	}
	return wrong_word(r, item->string, item->string, what, words, nr);
}

static int take_parameter(struct policy_reader *r, const cJSON *v, enum policy_parameter id,
			  struct policy_set *s)
{
	struct tenant_params *p = &s->params;
	const char *key = v->string;
	uint64_t n = 0;
	int err = 0;

	switch (id) {
	case POLICY_WEIGHT:
		err = policy_take_number(r, key, v, 1, TENANT_WEIGHT_MAX, &n);
		p->weight = (uint32_t)n;
		return err;
	case POLICY_CLASS:
		return take_word(r, key, v, tenant_class_names, TENANT_CLASSES, &p->klass);
	case POLICY_SLO:
		err = take_amount(r, key, v, UNITS_TIME, &p->slo_ns);
		break;
	case POLICY_MEMORY:
		return take_amount(r, key, v, UNITS_SIZE, &p->memory_bytes);
	case POLICY_INFLIGHT:
		err = policy_take_number(r, key, v, 0, TENANT_INFLIGHT_MAX, &n);
		p->max_inflight = (uint32_t)n;
		return err;
	case POLICY_RATE:
		err = take_amount(r, key, v, UNITS_RATE, &n);
		if (!err && n > TENANT_RATE_MAX)
			return policy_wrong(r, key, "is more than %d/s", TENANT_RATE_MAX);
		p->rate = (uint32_t)n;
		return err;
	case POLICY_PARTITION:
		return policy_take_string(r, key, v, &s->partition);
	case POLICY_ISOLATE:
		return take_word(r, key, v, tenant_isolate_names, TENANT_ISOLATES, &p->isolate);
	case POLICY_ADMISSION:
		return take_word(r, key, v, tenant_admission_names, TENANT_ADMISSIONS,
				 &p->admission);
	case POLICY_SM_MIN:
	case POLICY_SM_MAX:
		err = take_amount(r, key, v, UNITS_SHARE, &n);
		if (!err && n > PERMILLE)
			return policy_wrong(r, key, "is more than 100%%");
		*(id == POLICY_SM_MIN ? &p->sm_min : &p->sm_max) = (uint32_t)n;
		return err;
	case NR_POLICY_PARAMETERS:
		break;
	}
	return err;
}

void policy_merge(struct tenant_params *to, const struct policy_set *s)
{
	const struct tenant_params *p = &s->params;

	for (uint32_t has = s->has; has; has &= has - 1) {
		switch ((enum policy_parameter)__builtin_ctz(has)) {
		case POLICY_WEIGHT:
			to->weight = p->weight;
			break;
		case POLICY_CLASS:
			to->klass = p->klass;
			break;
		case POLICY_SLO:
			to->slo_ns = p->slo_ns;
			break;
		case POLICY_MEMORY:
			to->memory_bytes = p->memory_bytes;
			break;
		case POLICY_INFLIGHT:
			to->max_inflight = p->max_inflight;
			break;
		case POLICY_RATE:
			to->rate = p->rate;
			break;
		case POLICY_ISOLATE:
			to->isolate = p->isolate;
			break;
		case POLICY_ADMISSION:
			to->admission = p->admission;
			break;
		case POLICY_SM_MIN:
			to->sm_min = p->sm_min;
			break;
		case POLICY_SM_MAX:
			to->sm_max = p->sm_max;
			break;
		case POLICY_PARTITION: /* a name: the caller knows the device */
		case NR_POLICY_PARAMETERS:
			break;
		}
	}
}

int policy_take_set(struct policy_reader *r, const cJSON *v, const struct policy_set *defaults,
		    struct policy_set *s)
{
	struct tenant_params all = TENANT_PARAMS_DEFAULT;
	char why[128];
	const cJSON *item;

	if (!cJSON_IsObject(v))
		return policy_wrong(r, "", "expected an object of parameters");
	cJSON_ArrayForEach(item, v) {
		int id = policy_take_key(r, item, "parameter", parameter_words,
					 NR_POLICY_PARAMETERS, &s->has);

		if (id < 0 || take_parameter(r, item, (enum policy_parameter)id, s))
			return -EINVAL;
	}
	/* What depends on two of them, as sm-min on sm-max. */
	if (defaults)
		policy_merge(&all, defaults);
	policy_merge(&all, s);
	return tenant_params_check(&all, why, sizeof(why)) ? policy_wrong(r, "", "%s", why) : 0;
}
