// SPDX-License-Identifier: Apache-2.0
/*
 * Tenants' arenas: host memory that the device reads and writes in place.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/device/cuda/cuda.h"
#include "agent/log.h"

struct arena {
	char *base;
	size_t bytes;
	uint64_t address; /* on the device; 0: not mapped */
	bool owned;       /* not mapped by another device of this process before */
};

struct cuda_arenas {
	struct arena *rows; /* sorted by base */
	size_t nr, max;
};

int cuda_arenas_open(struct device *dev)
{
	dev->arenas = calloc(1, sizeof(*dev->arenas));
	return dev->arenas ? 0 : -ENOMEM;
}

static int map(struct device *dev, struct arena *arena)
{
	CUdeviceptr at;
	CUresult result;

	result = dev->drv->cuMemHostRegister(arena->base, arena->bytes,
					     CU_MEMHOSTREGISTER_PORTABLE |
						     CU_MEMHOSTREGISTER_DEVICEMAP);
	arena->owned = result == CUDA_SUCCESS;
	if (result == CUDA_SUCCESS || result == CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED)
		result = dev->drv->cuMemHostGetDevicePointer(&at, arena->base, 0);
	if (result) {
		log_warn("device %s: an arena of %zu bytes cannot be mapped: %s", dev->caps.name,
			 arena->bytes, cuda_error_name(dev->drv, result));
		if (arena->owned)
			dev->drv->cuMemHostUnregister(arena->base);
		arena->owned = false;
		return cuda_scope(result) == SCOPE_REQUEST ? -ENOMEM : -EIO;
	}
	arena->address = at;
	return 0;
}

static void unmap(struct device *dev, struct arena *arena)
{
	if (arena->owned && !cuda_context_use(dev))
		dev->drv->cuMemHostUnregister(arena->base); /* fails only with its context */
	arena->owned = false;
	arena->address = 0;
}

/* The first that ends behind host. */
static size_t find(const struct cuda_arenas *a, const char *host)
{
	size_t low = 0, high = a->nr;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (host < a->rows[mid].base + a->rows[mid].bytes)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static int make_room(struct cuda_arenas *a)
{
	size_t max = a->max ? a->max * 2 : 16;
	struct arena *rows;

	if (a->nr < a->max)
		return 0;
	rows = realloc(a->rows, max * sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	a->rows = rows;
	a->max = max;
	return 0;
}

static int add(struct device *dev, char *base, size_t bytes)
{
	struct cuda_arenas *a = dev->arenas;
	struct arena arena = { .base = base, .bytes = bytes };
	size_t at = find(a, base);
	int err;

	if (!bytes || (at < a->nr && a->rows[at].base < base + bytes))
		return -EINVAL;
	err = make_room(a);
	if (!err)
		err = cuda_context_use(dev);
	if (!err)
		err = map(dev, &arena);
	if (err)
		return err;
	memmove(a->rows + at + 1, a->rows + at, (a->nr - at) * sizeof(*a->rows));
	a->rows[at] = arena;
	a->nr++;
	return 0;
}

int cuda_map_arena(struct device *dev, void *base, size_t bytes)
{
	int err;

	pthread_mutex_lock(&dev->lock);
	err = add(dev, base, bytes);
	pthread_mutex_unlock(&dev->lock);
	return err;
}

void cuda_unmap_arena(struct device *dev, void *base)
{
	struct cuda_arenas *a = dev->arenas;
	size_t at;

	pthread_mutex_lock(&dev->lock);
	at = find(a, base);
	if (at < a->nr && a->rows[at].base == base) {
		unmap(dev, &a->rows[at]);
		a->nr--;
		memmove(a->rows + at, a->rows + at + 1, (a->nr - at) * sizeof(*a->rows));
	}
	pthread_mutex_unlock(&dev->lock);
}

uint64_t cuda_arena_address(struct device *dev, const void *host)
{
	const struct cuda_arenas *a = dev->arenas;
	const char *p = host;
	size_t at = find(a, p);

	if (at == a->nr || p < a->rows[at].base || !a->rows[at].address)
		return 0;
	return a->rows[at].address + (uint64_t)(p - a->rows[at].base);
}

void cuda_arenas_close(struct device *dev)
{
	if (!dev->arenas)
		return;
	for (size_t i = 0; i < dev->arenas->nr; i++)
		unmap(dev, &dev->arenas->rows[i]);
	free(dev->arenas->rows);
	free(dev->arenas);
	dev->arenas = NULL;
}
