/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory that a tenant and the agent share: ring and arena, memfds made and sealed by the
 * agent, so that their size can never change under it and no access can raise SIGBUS.
 */
#ifndef OOO_AGENT_RING_MAP_H
#define OOO_AGENT_RING_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "agent/tenant/tenant.h"

#define ARENA_GRANULE 4096u

/* Entries as in the HELLO message, already checked. *fd is the caller's to close. 0 or -errno. */
int ring_map_create(struct ring_map *m, uint32_t sq_entries, uint32_t cq_entries, int *fd);
/* A ring made before, by an earlier process of this agent; the positions are the caller's to set.
 * -EINVAL: fd is no such ring. */
int ring_map_attach(struct ring_map *m, uint32_t sq_entries, uint32_t cq_entries, int fd);
void ring_map_destroy(struct ring_map *m); /* all zero is fine */

/* An arena of 0 bytes is an empty memfd and *arena NULL. Its pages count once touched. */
int arena_create(uint64_t bytes, void **arena, int *fd);
int arena_attach(uint64_t bytes, void **arena, int fd); /* likewise */
void arena_destroy(void *arena, uint64_t bytes);

#endif
