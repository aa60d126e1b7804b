/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for one program's packed weights: taken piece by piece while the program loads, given back
 * all at once. Large programs get large pages: weights are streamed once a request, and a miss of the
 * address cache every 4 KiB costs up to a tenth of a layer that is bound by them.
 */
#ifndef OOO_AGENT_CPU_ARENA_H
#define OOO_AGENT_CPU_ARENA_H

#include <stddef.h>

struct arena;

/* hint: about how many bytes will be taken. NULL: no memory. */
struct arena *arena_new(size_t hint);
void arena_free(struct arena *arena); /* NULL is allowed */

/* Zeroed, aligned to 64 bytes. NULL: no memory. */
void *arena_take(struct arena *arena, size_t bytes);

#endif
