// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fnmatch.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/sim/scenario.h"
#include "ctl/sim/schema.h"
#include "ctl/words.h"

#define HOUR_NS 3600e9

/* Parameters of a tenant, as both files have them; what is absent stays. */
struct raw_params {
	char klass[16], admission[16];
	uint32_t weight, max_inflight, sm_min, sm_max;
	double slo_ns, rate_cap;
	bool deadlines;
};

#define AT(member) offsetof(struct raw_params, member)
#define PARAM_FIELDS                                                                               \
	{ "weight", SCHEMA_U32, AT(weight), 1, TENANT_WEIGHT_MAX, false },                         \
		{ "class", SCHEMA_TEXT, AT(klass), 0, 16, false },                                 \
		{ "admission", SCHEMA_TEXT, AT(admission), 0, 16, false },                         \
		{ "max_inflight", SCHEMA_U32, AT(max_inflight), 0, TENANT_INFLIGHT_MAX, false },   \
		{ "sm_min", SCHEMA_U32, AT(sm_min), 0, PERMILLE, false },                          \
		{ "sm_max", SCHEMA_U32, AT(sm_max), 1, PERMILLE, false },                          \
		{ "rate_cap", SCHEMA_RATE, AT(rate_cap), 1, TENANT_RATE_MAX, false },              \
		{ "slo", SCHEMA_TIME, AT(slo_ns), TENANT_SLO_MIN_NS, TENANT_SLO_MAX_NS, false },   \
	{                                                                                          \
		"deadlines", SCHEMA_BOOL, AT(deadlines), 0, 0, false                               \
	}

static const struct schema_field param_fields[] = { PARAM_FIELDS };

struct raw_group {
	struct raw_params params; /* first: its offsets hold */
	char name[OOO_NAME_BYTES], program[OOO_NAME_BYTES];
	uint32_t count, inflight, closed;
	double rate, think_ns, share;
};

#define GROUP_AT(member) offsetof(struct raw_group, member)
static const struct schema_field group_fields[] = {
	PARAM_FIELDS,
	{ "name", SCHEMA_TEXT, GROUP_AT(name), 0, OOO_NAME_BYTES, true },
	{ "program", SCHEMA_TEXT, GROUP_AT(program), 0, OOO_NAME_BYTES, true },
	{ "count", SCHEMA_U32, GROUP_AT(count), 1, SCENARIO_MAX_TENANTS, false },
	{ "inflight", SCHEMA_U32, GROUP_AT(inflight), 1, 4096, false },
	{ "closed", SCHEMA_U32, GROUP_AT(closed), 1, 4096, false },
	{ "rate", SCHEMA_RATE, GROUP_AT(rate), 1e-9, 1e9, false },
	{ "think", SCHEMA_TIME, GROUP_AT(think_ns), 0, HOUR_NS, false },
	{ "share", SCHEMA_NUMBER, GROUP_AT(share), 0, 1e9, false },
};

struct raw_file {
	const cJSON *groups;
};

static const struct schema_field file_fields[] = {
	{ "groups", SCHEMA_PART, offsetof(struct raw_file, groups), 0, 0, true },
};

struct raw_policy {
	double runahead_ns, bundle_ns;
	uint32_t max_items;
	const cJSON *tenants;
};

#define POLICY_AT(member) offsetof(struct raw_policy, member)
static const struct schema_field policy_fields[] = {
	{ "runahead", SCHEMA_TIME, POLICY_AT(runahead_ns), 1000, 60e9, false },
	{ "bundle", SCHEMA_TIME, POLICY_AT(bundle_ns), 1000, 60e9, false },
	{ "max_items", SCHEMA_U32, POLICY_AT(max_items), 1, BUNDLE_MAX_ITEMS, false },
	{ "tenants", SCHEMA_PART, POLICY_AT(tenants), 0, 0, false },
};

#define NR(fields) ((int)(sizeof(fields) / sizeof((fields)[0])))

/* One of the words of an enumeration of tenant_params. */
static int read_word(const char *text, const char *path, const char *key, const char *const *words,
		     int nr, uint8_t *out, char *why, size_t why_bytes)
{
	int near;

	for (int i = 0; i < nr; i++) {
		if (!strcmp(text, words[i])) {
			*out = (uint8_t)i;
			return 0;
		}
	}
	near = words_nearest(text, words, nr);
	snprintf(why, why_bytes, "%s.%s: unknown word \"%s\", did you mean \"%s\"?", path, key,
		 text, words[near >= 0 ? near : 0]);
	return -EINVAL;
}

static void raw_from(const struct group *g, struct raw_params *raw)
{
	*raw = (struct raw_params){
		.weight = g->params.weight,
		.max_inflight = g->params.max_inflight,
		.sm_min = g->params.sm_min,
		.sm_max = g->params.sm_max,
		.slo_ns = g->slo_ns,
		.rate_cap = g->params.rate,
		.deadlines = g->deadlines,
	};
}

static int take_params(const struct raw_params *raw, const char *path, struct group *g, char *why,
		       size_t why_bytes)
{
	struct tenant_params *p = &g->params;
	int err = 0;

	if (raw->klass[0])
		err = read_word(raw->klass, path, "class", tenant_class_names, TENANT_CLASSES,
				&p->klass, why, why_bytes);
	if (!err && raw->admission[0])
		err = read_word(raw->admission, path, "admission", tenant_admission_names,
				TENANT_ADMISSIONS, &p->admission, why, why_bytes);
	if (err)
		return err;
	p->weight = raw->weight;
	p->max_inflight = raw->max_inflight;
	p->sm_min = raw->sm_min;
	p->sm_max = raw->sm_max;
	p->rate = (uint32_t)raw->rate_cap;
	p->slo_ns = (uint64_t)raw->slo_ns;
	g->slo_ns = raw->slo_ns;
	g->deadlines = raw->deadlines;
	if (g->deadlines && !p->slo_ns) {
		snprintf(why, why_bytes, "%s.deadlines: needs \"slo\", which they follow from",
			 path);
		return -EINVAL;
	}
	return tenant_params_check(p, why, why_bytes);
}

static int find_program(const struct scenario *s, const char *path, const char *name,
			struct measured_program *out, char *why, size_t why_bytes)
{
	const struct measured_program *p = device_file_find(&s->device, name);
	size_t at;

	if (p) {
		*out = *p;
		return 0;
	}
	at = (size_t)snprintf(why, why_bytes, "%s.program: the device file has no \"%s\", it has",
			      path, name);
	for (unsigned i = 0; i < s->device.nr_programs && at < why_bytes; i++)
		at += (size_t)snprintf(why + at, why_bytes - at, " %s", s->device.programs[i].name);
	return -EINVAL;
}

static int read_group(const cJSON *item, struct scenario *s, char *why, size_t why_bytes)
{
	struct group *g = &s->groups[s->nr_groups];
	struct raw_group raw = { .count = 1, .inflight = 32, .share = 1 };
	char path[32];
	int err;

	*g = (struct group){ .params = TENANT_PARAMS_DEFAULT };
	raw_from(g, &raw.params);
	snprintf(path, sizeof(path), "groups[%u]", s->nr_groups);
	err = schema_read(item, path, group_fields, NR(group_fields), &raw, why, why_bytes);
	if (!err)
		err = take_params(&raw.params, path, g, why, why_bytes);
	if (!err)
		err = find_program(s, path, raw.program, &g->program, why, why_bytes);
	if (err)
		return err;
	if (raw.rate > 0 && raw.closed) {
		snprintf(why, why_bytes,
			 "%s: has both \"rate\" and \"closed\": requests arrive one way", path);
		return -EINVAL;
	}
	snprintf(g->name, sizeof(g->name), "%s", raw.name);
	g->count = raw.count;
	g->inflight = raw.closed ? raw.closed : raw.inflight;
	g->source = raw.closed ? SOURCE_CLOSED : raw.rate > 0 ? SOURCE_POISSON : SOURCE_SHARED;
	g->rate = raw.rate;
	g->think_ns = raw.think_ns;
	g->share = raw.share;
	s->nr_groups++;
	return 0;
}

static int read_groups(const cJSON *root, struct scenario *s, char *why, size_t why_bytes)
{
	struct raw_file raw = { 0 };
	uint64_t tenants = 0;
	const cJSON *item;
	int nr, err = schema_read(root, "tenants", file_fields, NR(file_fields), &raw, why,
				  why_bytes);

	if (err)
		return err;
	nr = cJSON_IsArray(raw.groups) ? cJSON_GetArraySize(raw.groups) : 0;
	if (nr < 1 || nr > SCENARIO_MAX_GROUPS) {
		snprintf(why, why_bytes, "groups: expected an array of 1 to %d groups",
			 SCENARIO_MAX_GROUPS);
		return -EINVAL;
	}
	s->groups = calloc((size_t)nr, sizeof(*s->groups));
	if (!s->groups) {
		snprintf(why, why_bytes, "no memory");
		return -ENOMEM;
	}
	cJSON_ArrayForEach(item, raw.groups) {
		err = read_group(item, s, why, why_bytes);
		if (err)
			return err;
		tenants += s->groups[s->nr_groups - 1].count;
	}
	if (tenants > SCENARIO_MAX_TENANTS) {
		snprintf(why, why_bytes, "groups: %llu tenants in all, at most %d are possible",
			 (unsigned long long)tenants, SCENARIO_MAX_TENANTS);
		return -EINVAL;
	}
	return 0;
}

int tenants_file_load(const char *path, struct scenario *s, char *why, size_t why_bytes)
{
	cJSON *root = schema_load(path, why, why_bytes);
	char sentence[512];
	int err;

	if (!root)
		return -EINVAL;
	err = read_groups(root, s, sentence, sizeof(sentence));
	if (err)
		snprintf(why, why_bytes, "%s: %s", path, sentence);
	cJSON_Delete(root);
	return err;
}

static int apply_rule(const cJSON *rule, const struct scenario *s, struct policy_file *out,
		      char *why, size_t why_bytes)
{
	char path[96];
	bool matched = false;

	snprintf(path, sizeof(path), "tenants.%.64s", rule->string);
	for (uint32_t i = 0; i < s->nr_groups; i++) {
		struct group *g = &out->groups[i];
		struct raw_params raw;
		int err;

		if (fnmatch(rule->string, g->name, 0))
			continue;
		matched = true;
		raw_from(g, &raw);
		err = schema_read(rule, path, param_fields, NR(param_fields), &raw, why, why_bytes);
		if (!err)
			err = take_params(&raw, path, g, why, why_bytes);
		if (err)
			return err;
	}
	if (!matched) {
		snprintf(why, why_bytes, "%s: no group has such a name", path);
		return -EINVAL;
	}
	return 0;
}

static int read_policy(const cJSON *root, const struct scenario *s, struct policy_file *out,
		       char *why, size_t why_bytes)
{
	struct raw_policy raw = { 0 };
	const cJSON *rule;
	int err =
		schema_read(root, "policy", policy_fields, NR(policy_fields), &raw, why, why_bytes);

	if (err)
		return err;
	if (raw.runahead_ns > 0)
		out->turn.runahead_us = (uint32_t)(raw.runahead_ns / 1e3);
	if (raw.bundle_ns > 0)
		out->turn.bundle_us = (uint32_t)(raw.bundle_ns / 1e3);
	if (raw.max_items)
		out->turn.max_width = raw.max_items;
	if (raw.tenants && !cJSON_IsObject(raw.tenants)) {
		snprintf(why, why_bytes, "tenants: expected an object by name");
		return -EINVAL;
	}
	cJSON_ArrayForEach(rule, raw.tenants) {
		err = apply_rule(rule, s, out, why, why_bytes);
		if (err)
			return err;
	}
	return 0;
}

int policy_file_load(const char *path, const struct scenario *s, struct policy_file *out, char *why,
		     size_t why_bytes)
{
	char copy[4096], sentence[512];
	cJSON *root;
	int err;

	*out = (struct policy_file){ .name = "default", .turn = TURN_CONFIG_DEFAULT };
	out->groups = malloc(s->nr_groups * sizeof(*out->groups));
	if (!out->groups) {
		snprintf(why, why_bytes, "no memory");
		return -ENOMEM;
	}
	memcpy(out->groups, s->groups, s->nr_groups * sizeof(*out->groups));
	if (!path)
		return 0;
	snprintf(copy, sizeof(copy), "%s", path);
	snprintf(out->name, sizeof(out->name), "%s", basename(copy));
	root = schema_load(path, why, why_bytes);
	if (!root)
		return -EINVAL;
	err = read_policy(root, s, out, sentence, sizeof(sentence));
	if (err)
		snprintf(why, why_bytes, "%s: %s", path, sentence);
	cJSON_Delete(root);
	return err;
}

void scenario_free(struct scenario *s)
{
	device_file_free(&s->device);
	free(s->groups);
	free(s->arrivals);
	*s = (struct scenario){ 0 };
}
