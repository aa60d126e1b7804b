/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that this one starts: those installed with it. */
#ifndef OOO_CTL_CHILD_H
#define OOO_CTL_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <cjson/cJSON.h>

/* Run to the end and take what it prints as JSON; NULL with a sentence in why. argv[0] is a name such
 * as "ooo-run". */
cJSON *child_json(const char *const argv[], const char *runtime_dir, char *why, size_t why_bytes);

/* Start an agent on a device in a new runtime directory of its own, and wait until it is ready. */
struct private_agent {
	char dir[64];
	pid_t pid;
};
int private_agent_start(struct private_agent *a, const char *device, const char *threads, char *why,
			size_t why_bytes);
void private_agent_stop(struct private_agent *a);

#endif
