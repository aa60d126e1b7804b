/* SPDX-License-Identifier: Apache-2.0 */
/* Partitions made and taken away for the administrator, and for a policy file. */
#ifndef OOO_AGENT_CONTROL_PARTITION_H
#define OOO_AGENT_CONTROL_PARTITION_H

#include <stddef.h>
#include <stdint.h>

#include "agent/policy/file.h"

struct registry;

/* On this device; < 0: on all that can be partitioned, at least one. 0 with the devices where it was
 * made, a bit for each; -errno with a sentence in why, and then it is nowhere. */
int partitions_make(struct registry *r, int device, const char *name, uint32_t units,
		    uint32_t *made, char *why, size_t why_bytes);
/* Undo that: nobody is in it yet. */
void partitions_unmake(struct registry *r, uint32_t devices, const char *name);
/* device as above. -EBUSY: tenants are in it; -ENOENT: none has that name. */
int partitions_del(struct registry *r, int device, const char *name, char *why, size_t why_bytes);

/* Where a policy's partitions were made; p is in its file. */
struct partitions_made {
	const struct policy_partition *p;
	uint32_t nr;
	uint32_t devices[POLICY_MAX_PARTITIONS];
};

/* Make those of f that are missing: all, or none and -errno with a sentence in why. */
int partitions_of_policy(struct registry *r, const struct policy_file *f,
			 struct partitions_made *made, char *why, size_t why_bytes);
void partitions_undo(struct registry *r, const struct partitions_made *made);
/* Take away what the policy before had and f has not. How many stay, as tenants are in them. */
unsigned partitions_drop(struct registry *r, const struct policy_partition *old, uint32_t nr_old,
			 const struct policy_file *f);

#endif
