/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy file: which tenants get which parameters. JSON:
 *
 *	{
 *	  "partitions": { "NAME": { "sms": N }, ... },
 *	  "defaults": { PARAMETERS },
 *	  "rules": [
 *	    { "match": { CONDITIONS }, "set": { PARAMETERS } },
 *	    ...
 *	  ]
 *	}
 *
 * All parts are optional. A tenant gets the built-in parameters, then those of "defaults", then
 * those of the first rule of which all conditions hold; a rule without conditions holds for all.
 *
 * Partitions are made, at the start and by a load, on all devices that can be partitioned; those that
 * only the policy before had go once nobody is in them.
 *
 *	CONDITIONS
 *	  "uid": N, "gid": N   of the process, as the kernel says
 *	  "user": "NAME"       the same as uid, by name; looked up when the file is read
 *	  "cgroup": "GLOB"     path of the process's control group (version 2), as in /proc/PID/cgroup
 *	  "unit": "GLOB"       a component of that path, such as web.service
 *	  "name": "GLOB"       the name that the process declared: its word alone
 *	PARAMETERS, with their units as on the command line of `ooo-ctl tenant set`
 *	  "weight": 1..10000   "class": "latency|normal|batch"   "slo": "5ms"
 *	  "memory": "4GiB"     "inflight": 0..8192               "rate": "2000/s"
 *	  "partition": "NAME", or "none"                         "isolate": "off|auto|on"
 *	  "admission": "reject|late"                             "sm-min": "10%", "sm-max": "50%"
 *
 * A key that is none of these, twice the same key, a value of another type or out of its bounds
 * fails the file as a whole, with a sentence that says where: "rules[3].set.slo: ...".
 */
#ifndef OOO_AGENT_POLICY_FILE_H
#define OOO_AGENT_POLICY_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/policy/params.h"

#define POLICY_FILE_MAX     (16u << 20) /* bytes */
#define POLICY_FILE_DEFAULT "/etc/ooo/policy.json"
#define POLICY_CGROUP_BYTES 256
#define POLICY_WHY_BYTES    256
#define POLICY_CHANGE_BYTES 160

#define POLICY_MAX_PARTITIONS 4

struct policy_partition {
	char name[32];
	uint32_t units; /* multiprocessors at least */
};

struct policy_file;

/* What the conditions look at. */
struct policy_peer {
	uid_t uid;
	gid_t gid;
	const char *cgroup; /* "" if not known */
	const char *name;
};

struct policy_result {
	struct tenant_params params; /* but for the partition: */
	const char *partition;       /* its name, in the file; NULL: none */
	int rule;                    /* that matched, -1: none */
};

/* 0, or -EINVAL or -ENOMEM with a sentence in why. The text is copied. */
int policy_file_parse(const char *text, size_t bytes, struct policy_file **out, char *why,
		      size_t why_bytes);
void policy_file_free(struct policy_file *f); /* NULL does nothing */
uint32_t policy_file_rules(const struct policy_file *f);
const struct policy_partition *policy_file_partitions(const struct policy_file *f, uint32_t *nr);
const char *policy_file_text(const struct policy_file *f, size_t *bytes);
/* f NULL: no file, so the built-in parameters. */
void policy_file_match(const struct policy_file *f, const struct policy_peer *peer,
		       struct policy_result *out);

/* "weight 100 -> 200, class normal -> latency": how two sets differ; "" if they do not. Cut to fit.
 * Partitions by name, "none" of none. */
void params_change(const struct tenant_params *from, const struct tenant_params *to,
		   const char *from_partition, const char *to_partition, char *text, size_t bytes);

#endif
