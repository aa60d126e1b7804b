// SPDX-License-Identifier: Apache-2.0
/*
 * The policy file and the tenants that it is about. Everything but registry_admit() is called under
 * the registry's lock, so that nobody connects between the check of a new file and its coming into
 * force.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/log.h"
#include "agent/tenant/registry.h"

/* The path in version 2's hierarchy, "" if there is none or the process is gone. */
void registry_read_cgroup(struct registry_entry *e, pid_t pid)
{
	const size_t bytes = sizeof(e->cgroup);
	char *out = e->cgroup;
	char path[32], line[PATH_MAX + 64];
	size_t len;
	FILE *f;

	out[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "0::", 3) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		len = strnlen(line + 3, bytes - 1);
		memcpy(out, line + 3, len);
		out[len] = '\0';
		break;
	}
	fclose(f);
}

static const struct registry_device *device_of(const struct registry *r,
					       const struct registry_entry *e)
{
	return &r->agent.devices[e->tenant->device];
}

/* Whether f itself makes that partition on the device. */
static bool makes(const struct policy_file *f, const struct registry_device *d, const char *name)
{
	uint32_t nr;
	const struct policy_partition *p = policy_file_partitions(f, &nr);

	for (uint32_t i = 0; i < nr && d->caps->partitions; i++)
		if (!strcmp(p[i].name, name))
			return true;
	return false;
}

static int wanted(const struct registry *r, const struct policy_file *f,
		  const struct registry_entry *e, struct policy_result *out)
{
	const struct tenant *t = e->tenant;
	const struct policy_peer peer = { t->uid, t->gid, e->cgroup, t->name };
	const struct registry_device *d = device_of(r, e);

	policy_file_match(f, &peer, out);
	out->params.partition = out->partition ? registry_find_partition(d, out->partition) : 0;
	return out->partition && !out->params.partition ? -ENODEV : 0;
}

void registry_admit(struct registry *r, struct registry_entry *e, struct tenant *t)
{
	struct policy_result result;

	e->tenant = t;
	registry_read_cgroup(e, t->pid);
	registry_lock(r);
	if (wanted(r, r->policy, e, &result))
		log_tenant(LOG_LEVEL_WARN,
			   "tenant %u \"%s\": its device has no partition \"%s\", which the policy "
			   "gives it: it runs in none",
			   t->id, t->name, result.partition);
	registry_unlock(r);
	t->params = result.params;
}

bool registry_policy_from(const struct registry *r, const struct policy_file *f, uint32_t id,
			  struct policy_change *out)
{
	struct policy_result result;

	for (const struct registry_entry *e = r->head; e; e = e->next) {
		if (e->tenant->id < id)
			continue;
		wanted(r, f, e, &result);
		params_change(&e->params, &result.params,
			      registry_partition_name(device_of(r, e), &e->params),
			      result.partition ? result.partition : "none", out->text,
			      sizeof(out->text));
		if (!out->text[0])
			continue;
		out->tenant = e->tenant->id;
		out->uid = e->tenant->uid;
		out->rule = result.rule;
		memcpy(out->name, e->tenant->name, sizeof(out->name));
		return true;
	}
	return false;
}

int registry_policy_check(struct registry *r, const struct policy_file *f, char *why,
			  size_t why_bytes)
{
	struct policy_result result;

	for (struct registry_entry *e = r->head; e; e = e->next) {
		if (wanted(r, f, e, &result) && !makes(f, device_of(r, e), result.partition)) {
			snprintf(why, why_bytes,
				 "tenant %u \"%s\" would get partition \"%s\", which its device "
				 "does not have",
				 e->tenant->id, e->tenant->name, result.partition);
			return -ENODEV;
		}
		e->planned = result.params;
	}
	return 0;
}

unsigned registry_policy_load(struct registry *r, struct policy_file *f)
{
	char change[POLICY_CHANGE_BYTES], why[POLICY_WHY_BYTES];
	unsigned n = 0;

	for (struct registry_entry *e = r->head; e; e = e->next) {
		params_change(&e->params, &e->planned,
			      registry_partition_name(device_of(r, e), &e->params),
			      registry_partition_name(device_of(r, e), &e->planned), change,
			      sizeof(change));
		/* Checked with the file and with registry_policy_check(), under the same lock. */
		if (change[0] &&
		    !registry_set_params(r, e->tenant->id, &e->planned, why, sizeof(why)))
			n++;
	}
	policy_file_free(r->policy);
	r->policy = f;
	return n;
}
