// SPDX-License-Identifier: Apache-2.0
#include "agent/device/cpu/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define LARGE_PAGE ((size_t)2 << 20)
/* Below this, what a half-used large page wastes weighs more. */
#define LARGE_MIN ((size_t)8 << 20)

struct region {
	struct region *next;
	char *map;
	size_t map_bytes, used, bytes; /* used and bytes count from base */
	char *base;                    /* at a large page's boundary */
};

struct arena {
	size_t hint;
	struct region *regions; /* the newest first */
};

static size_t round_up(size_t bytes, size_t to)
{
	return (bytes + to - 1) / to * to;
}

struct arena *arena_new(size_t hint)
{
	struct arena *arena = calloc(1, sizeof(*arena));

	if (arena)
		arena->hint = hint;
	return arena;
}

void arena_free(struct arena *arena)
{
	struct region *r;

	if (!arena)
		return;
	while ((r = arena->regions)) {
		arena->regions = r->next;
		munmap(r->map, r->map_bytes);
		free(r);
	}
	free(arena);
}

/* Address space only: pages are taken when they are written. */
static struct region *add_region(struct arena *arena, size_t bytes)
{
	size_t want = round_up(bytes > arena->hint ? bytes : arena->hint, LARGE_PAGE);
	struct region *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->bytes = want;
	r->map_bytes = want + LARGE_PAGE;
	r->map = mmap(NULL, r->map_bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r->map == MAP_FAILED) {
		free(r);
		return NULL;
	}
	r->base = (char *)round_up((uintptr_t)r->map, LARGE_PAGE);
	if (want >= LARGE_MIN) /* advice: works without */
		madvise(r->base, want, MADV_HUGEPAGE);
	r->next = arena->regions;
	arena->regions = r;
	return r;
}

void *arena_take(struct arena *arena, size_t bytes)
{
	struct region *r = arena->regions;
	char *at;

	if (bytes > SIZE_MAX / 2)
		return NULL;
	bytes = round_up(bytes ? bytes : 1, 64);
	if (!r || r->bytes - r->used < bytes)
		r = add_region(arena, bytes);
	if (!r)
		return NULL;
	at = r->base + r->used;
	r->used += bytes;
	return at;
}
