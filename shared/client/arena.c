/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Space in the arena: first fit over a list of extents, used and free, that covers all of it. The
 * list lives in private memory, so that nothing written through a buffer's pointer can damage it.
 * Bindings come and go rarely, and there are at most some thousands: a list is fast enough.
 */
#include <errno.h>
#include <stdlib.h>

#include "shared/client/internal.h"

static uint64_t rounded(uint64_t bytes)
{
	if (bytes > UINT64_MAX - OOO_BUFFER_ALIGN)
		return UINT64_MAX; /* more than there can be */
	if (!bytes)
		bytes = 1;
	return (bytes + OOO_BUFFER_ALIGN - 1) / OOO_BUFFER_ALIGN * OOO_BUFFER_ALIGN;
}

int client_arena_init(struct arena *arena, uint64_t bytes)
{
	arena->extents = calloc(1, sizeof(*arena->extents));
	if (!arena->extents)
		return -ENOMEM;
	arena->bytes = bytes / OOO_BUFFER_ALIGN * OOO_BUFFER_ALIGN;
	arena->extents->bytes = arena->bytes;
	return 0;
}

void client_arena_destroy(struct arena *arena)
{
	while (arena->extents) {
		struct extent *e = arena->extents;

		arena->extents = e->next;
		free(e);
	}
}

int client_arena_alloc(struct arena *arena, uint64_t bytes, uint64_t *off)
{
	struct extent *e = arena->extents;

	bytes = rounded(bytes);
	while (e && (e->used || e->bytes < bytes))
		e = e->next;
	if (!e)
		return -ENOSPC;
	if (e->bytes > bytes) {
		struct extent *rest = malloc(sizeof(*rest));

		if (!rest)
			return -ENOMEM;
		*rest = (struct extent){ .off = e->off + bytes,
					 .bytes = e->bytes - bytes,
					 .next = e->next };
		e->bytes = bytes;
		e->next = rest;
	}
	e->used = true;
	*off = e->off;
	return 0;
}

/* Two free neighbours become one. */
static void merge_next(struct extent *e)
{
	struct extent *next = e->next;

	if (!next || e->used || next->used)
		return;
	e->bytes += next->bytes;
	e->next = next->next;
	free(next);
}

void client_arena_free(struct arena *arena, uint64_t off)
{
	struct extent *before = NULL, *e = arena->extents;

	while (e && e->off != off) {
		before = e;
		e = e->next;
	}
	if (!e)
		return;
	e->used = false;
	merge_next(e);
	if (before)
		merge_next(before);
}

uint64_t client_arena_room(const struct arena *arena)
{
	uint64_t room = 0;

	for (const struct extent *e = arena->extents; e; e = e->next)
		if (!e->used && e->bytes > room)
			room = e->bytes;
	return room;
}
