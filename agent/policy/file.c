// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/file.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fnmatch.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/policy/file_set.h"

enum condition {
	BY_UID,
	BY_GID,
	BY_USER,
	BY_CGROUP,
	BY_UNIT,
	BY_NAME,
	NR_CONDITIONS
};

static const char *const condition_words[NR_CONDITIONS] = { "uid",    "gid",  "user",
							    "cgroup", "unit", "name" };
struct rule {
	uint32_t has; /* bits: enum condition; USER is kept as UID */
	uid_t uid;
	gid_t gid;
	const char *cgroup, *unit, *name; /* in the document */
	struct policy_set set;
};

struct policy_file {
	struct policy_partition partitions[POLICY_MAX_PARTITIONS];
	uint32_t nr_partitions;
	cJSON *doc; /* owns the strings */
	char *text;
	size_t bytes;
	struct policy_set defaults;
	struct rule *rules;
	uint32_t nr_rules;
};

static int take_user(struct policy_reader *r, const cJSON *v, uid_t *uid)
{
	const char *name = "";
	const struct passwd *pw;

	if (policy_take_string(r, v->string, v, &name))
		return -EINVAL;
	pw = getpwnam(name);
	if (!pw)
		return policy_wrong(r, v->string, "there is no user \"%.40s\" on this machine",
				    name);
	*uid = pw->pw_uid;
	return 0;
}

static int take_condition(struct policy_reader *r, const cJSON *v, enum condition id,
			  struct rule *rule)
{
	uint64_t n = 0;
	int err = 0;

	switch (id) {
	case BY_UID:
		err = policy_take_number(r, v->string, v, 0, UINT32_MAX - 1, &n);
		rule->uid = (uid_t)n;
		return err;
	case BY_GID:
		err = policy_take_number(r, v->string, v, 0, UINT32_MAX - 1, &n);
		rule->gid = (gid_t)n;
		return err;
	case BY_USER:
		return take_user(r, v, &rule->uid);
	case BY_CGROUP:
		return policy_take_string(r, v->string, v, &rule->cgroup);
	case BY_UNIT:
		return policy_take_string(r, v->string, v, &rule->unit);
	case BY_NAME:
		return policy_take_string(r, v->string, v, &rule->name);
	case NR_CONDITIONS:
		break;
	}
	return err;
}

static int take_match(struct policy_reader *r, const cJSON *v, struct rule *rule)
{
	const cJSON *item;

	if (!cJSON_IsObject(v))
		return policy_wrong(r, "", "expected an object of conditions");
	cJSON_ArrayForEach(item, v) {
		int id = policy_take_key(r, item, "condition", condition_words, NR_CONDITIONS,
					 &rule->has);

		if (id < 0 || take_condition(r, item, (enum condition)id, rule))
			return -EINVAL;
	}
	if (rule->has & 1u << BY_UID && rule->has & 1u << BY_USER)
		return policy_wrong(r, "", "takes uid or user, not both");
	return 0;
}

static int take_rule(struct policy_reader *r, const cJSON *v, uint32_t index, struct policy_file *f)
{
	static const char *const words[] = { "match", "set" };
	struct rule *rule = &f->rules[index];
	const cJSON *item;
	uint32_t seen = 0;

	snprintf(r->path, sizeof(r->path), "rules[%u]", index);
	if (!cJSON_IsObject(v))
		return policy_wrong(r, "", "expected an object with \"match\" and \"set\"");
	cJSON_ArrayForEach(item, v) {
		int id, err;

		snprintf(r->path, sizeof(r->path), "rules[%u]", index);
		id = policy_take_key(r, item, "part of a rule", words, 2, &seen);
		if (id < 0)
			return -EINVAL;
		snprintf(r->path, sizeof(r->path), "rules[%u].%s", index, words[id]);
		err = id ? policy_take_set(r, item, &f->defaults, &rule->set)
			 : take_match(r, item, rule);
		if (err)
			return err;
	}
	return 0;
}

static int take_rules(struct policy_reader *r, const cJSON *v, struct policy_file *f)
{
	const cJSON *item;
	uint32_t i = 0;
	int err;

	if (!cJSON_IsArray(v))
		return policy_wrong(r, "rules", "expected an array of rules");
	f->nr_rules = (uint32_t)cJSON_GetArraySize(v);
	f->rules = calloc(f->nr_rules + 1, sizeof(*f->rules));
	if (!f->rules) {
		policy_wrong(r, "rules", "out of memory");
		return -ENOMEM;
	}
	cJSON_ArrayForEach(item, v) {
		err = take_rule(r, item, i++, f);
		if (err)
			return err;
	}
	return 0;
}

static int take_partition(struct policy_reader *r, const cJSON *v, struct policy_file *f)
{
	static const char *const words[] = { "sms" };
	struct policy_partition *p = &f->partitions[f->nr_partitions];
	uint64_t units = 0;
	uint32_t seen = 0;
	const cJSON *item;

	snprintf(r->path, sizeof(r->path), "partitions");
	if (f->nr_partitions == POLICY_MAX_PARTITIONS)
		return policy_wrong(r, v->string, "more than %d partitions", POLICY_MAX_PARTITIONS);
	if (!v->string[0] || strlen(v->string) >= sizeof(p->name) || !strcmp(v->string, "none") ||
	    strpbrk(v->string, " \t\n\"'"))
		return policy_wrong(r, v->string,
				    "a partition's name is one word of at most %zu bytes, not none",
				    sizeof(p->name) - 1);
	for (uint32_t i = 0; i < f->nr_partitions; i++)
		if (!strcmp(f->partitions[i].name, v->string))
			return policy_wrong(r, v->string, "is given twice");
	snprintf(r->path, sizeof(r->path), "partitions.%.31s", v->string);
	if (!cJSON_IsObject(v))
		return policy_wrong(r, "", "expected an object with \"sms\"");
	cJSON_ArrayForEach(item, v) {
		if (policy_take_key(r, item, "part of a partition", words, 1, &seen) < 0 ||
		    policy_take_number(r, item->string, item, 1, 65536, &units))
			return -EINVAL;
	}
	if (!units)
		return policy_wrong(r, "sms", "is missing");
	snprintf(p->name, sizeof(p->name), "%s", v->string);
	p->units = (uint32_t)units;
	f->nr_partitions++;
	return 0;
}

static int take_partitions(struct policy_reader *r, const cJSON *v, struct policy_file *f)
{
	const cJSON *item;
	int err = 0;

	if (!cJSON_IsObject(v))
		return policy_wrong(r, "partitions", "expected an object of partitions");
	cJSON_ArrayForEach(item, v) {
		err = take_partition(r, item, f);
		if (err)
			break;
	}
	if (!err)
		r->path[0] = '\0';
	return err;
}

static int take_document(struct policy_reader *r, struct policy_file *f)
{
	static const char *const words[] = { "defaults", "rules", "partitions" };
	const cJSON *item, *parts[3] = { NULL };
	uint32_t seen = 0;
	int err = 0;

	if (!cJSON_IsObject(f->doc))
		return policy_wrong(r, "policy",
				    "expected an object with \"defaults\" and \"rules\"");
	cJSON_ArrayForEach(item, f->doc) {
		int id = policy_take_key(r, item, "part of a policy", words, 3, &seen);

		if (id < 0)
			return -EINVAL;
		parts[id] = item;
	}
	if (parts[0]) {
		snprintf(r->path, sizeof(r->path), "defaults");
		err = policy_take_set(r, parts[0], NULL, &f->defaults);
		r->path[0] = '\0';
	}
	if (!err && parts[2])
		err = take_partitions(r, parts[2], f);
	return !err && parts[1] ? take_rules(r, parts[1], f) : err;
}

/* Line and column, from 1. */
static int wrong_json(struct policy_reader *r, const char *text, const char *at)
{
	unsigned line = 1, column = 1;

	for (const char *s = text; s < at; s++) {
		column = *s == '\n' ? 1 : column + 1;
		line += *s == '\n';
	}
	snprintf(r->why, r->why_bytes, "line %u, column %u: this is no JSON", line, column);
	return -EINVAL;
}

int policy_file_parse(const char *text, size_t bytes, struct policy_file **out, char *why,
		      size_t why_bytes)
{
	struct policy_reader r = { .why = why, .why_bytes = why_bytes };
	struct policy_file *f = calloc(1, sizeof(*f));
	const char *end = NULL;
	int err = -ENOMEM;

	snprintf(why, why_bytes, "out of memory");
	if (!f)
		return err;
	if (bytes > POLICY_FILE_MAX) {
		snprintf(why, why_bytes, "the file is larger than %u bytes", POLICY_FILE_MAX);
		err = -EINVAL;
		goto fail;
	}
	f->text = malloc(bytes + 1);
	if (!f->text)
		goto fail;
	memcpy(f->text, text, bytes);
	f->text[bytes] = '\0';
	f->bytes = bytes;
	/* The NUL is part of what is read, so that nothing may follow the document. */
	f->doc = cJSON_ParseWithLengthOpts(f->text, bytes + 1, &end, true);
	err = f->doc ? take_document(&r, f) : wrong_json(&r, f->text, end ? end : f->text);
	if (err)
		goto fail;
	*out = f;
	return 0;

fail:
	policy_file_free(f);
	return err;
}

void policy_file_free(struct policy_file *f)
{
	if (!f)
		return;
	cJSON_Delete(f->doc);
	free(f->rules);
	free(f->text);
	free(f);
}

uint32_t policy_file_rules(const struct policy_file *f)
{
	return f->nr_rules;
}

const struct policy_partition *policy_file_partitions(const struct policy_file *f, uint32_t *nr)
{
	*nr = f ? f->nr_partitions : 0;
	return f ? f->partitions : NULL;
}

const char *policy_file_text(const struct policy_file *f, size_t *bytes)
{
	*bytes = f->bytes;
	return f->text;
}

/* ---- matching -------------------------------------------------------------------------------- */

static bool unit_matches(const char *glob, const char *cgroup)
{
	char part[POLICY_CGROUP_BYTES];

	while (*cgroup) {
		size_t len = strcspn(cgroup, "/");

		if (len && len < sizeof(part)) {
			memcpy(part, cgroup, len);
			part[len] = '\0';
			if (!fnmatch(glob, part, 0))
				return true;
		}
		cgroup += len + (cgroup[len] == '/');
	}
	return false;
}

static bool matches(const struct rule *rule, const struct policy_peer *peer)
{
	if (rule->has & (1u << BY_UID | 1u << BY_USER) && rule->uid != peer->uid)
		return false;
	if (rule->has & 1u << BY_GID && rule->gid != peer->gid)
		return false;
	if (rule->name && fnmatch(rule->name, peer->name, 0))
		return false;
	if (rule->cgroup && fnmatch(rule->cgroup, peer->cgroup, 0))
		return false;
	return !rule->unit || unit_matches(rule->unit, peer->cgroup);
}

static void apply(struct policy_result *out, const struct policy_set *s)
{
	policy_merge(&out->params, s);
	if (s->has & 1u << POLICY_PARTITION)
		out->partition = strcmp(s->partition, "none") != 0 ? s->partition : NULL;
}

void policy_file_match(const struct policy_file *f, const struct policy_peer *peer,
		       struct policy_result *out)
{
	*out = (struct policy_result){ .params = TENANT_PARAMS_DEFAULT, .rule = -1 };
	if (!f)
		return;
	apply(out, &f->defaults);
	for (uint32_t i = 0; i < f->nr_rules; i++) {
		if (!matches(&f->rules[i], peer))
			continue;
		apply(out, &f->rules[i].set);
		out->rule = (int)i;
		return;
	}
}
