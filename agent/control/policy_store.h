/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the policy file is kept: PATH is what holds after a start, and what the administrator may
 * edit; PATH.last is the last one that came into force, for when PATH is broken.
 */
#ifndef OOO_AGENT_POLICY_STORE_H
#define OOO_AGENT_POLICY_STORE_H

#include <stddef.h>

struct policy_file;

/* At the start: PATH, else the last good one, with an error line; NULL: neither is there. */
struct policy_file *policy_store_read(const char *path);
/* Replace both, each as a whole. 0, or -errno with a sentence in why. */
int policy_store_write(const char *path, const struct policy_file *f, char *why, size_t why_bytes);

#endif
