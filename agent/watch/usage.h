/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: what each tenant used, by user and name, kept in files that outlive the agent (see
 * shared/lib/usage.h). A thread of its own bills the tenants five times a second and writes; the door
 * bills a tenant that leaves, by way of the registry. Killed, the agent loses what is not billed.
 */
#ifndef OOO_AGENT_WATCH_USAGE_H
#define OOO_AGENT_WATCH_USAGE_H

#include <stdbool.h>
#include <sys/types.h>

struct registry;
struct usage;

struct usage_config {
	const char *runtime_dir;
	struct registry *registry; /* outlives the ledger */
	bool has_group;
	gid_t group;              /* may read the files */
	const char *nvml_library; /* NULL: libnvidia-ml.so.1 */
};

/* Take up the files, set what makes no sense aside, and start. 0, or -errno after a log line. */
int usage_start(const struct usage_config *config, struct usage **out);
/* Bill and write a last time; NULL does nothing. The registry is still there. */
void usage_stop(struct usage *u);

#endif
