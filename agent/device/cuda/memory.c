// SPDX-License-Identifier: Apache-2.0
/*
 * Device memory: taken from the driver in chunks, as its own calls wait for all that runs, and
 * handed out in pieces by first fit. A chunk that becomes empty goes back, but for one of the usual
 * size. All uploads pass through one pinned buffer on the load stream: nothing here touches the
 * legacy stream, which would wait for every lane.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/device/cpu/clock.h"
#include "agent/device/cuda/cuda.h"

#define MIB         (1ull << 20)
#define CHUNK_BYTES (64 * MIB) /* the usual size */
#define LARGE_BYTES (32 * MIB) /* requests from here on have a chunk of their own */
#define LARGE_UNIT  (2 * MIB)  /* and what it is a multiple of: the GPU's page */
#define PIECE_ALIGN 256ull
#define HALF_BYTES  (2 * MIB) /* of the pinned buffer: 50 us of PCIe */
#define SPIN_NS     (50 * 1000)
#define NAP_NS      (20 * 1000)

/* A chunk is all extents, in order of address; no two free ones are neighbours. */
struct extent {
	struct extent *next;
	uint64_t offset, bytes;
	bool taken;
};

struct chunk {
	struct chunk *next;
	CUdeviceptr base;
	uint64_t bytes;
	uint64_t taken_bytes;
	struct extent *extents;
};

struct cuda_memory {
	struct chunk *chunks;
	uint64_t held_bytes, taken_bytes;
	unsigned nr_host; /* pieces of pinned host memory */
	char *staging;    /* two halves of HALF_BYTES */
};

static uint64_t round_up(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

/* ---- chunks ------------------------------------------------------------------------------------ */

static void refuse(struct device *dev, uint64_t bytes, CUresult result, char *why, size_t why_bytes)
{
	size_t free_bytes = 0, total = 0;

	if (dev->drv->cuMemGetInfo(&free_bytes, &total))
		free_bytes = total = 0;
	snprintf(why, why_bytes,
		 "device memory: %llu MiB asked for; %llu MiB of %llu MiB are free: %s",
		 (unsigned long long)((bytes + MIB - 1) / MIB),
		 (unsigned long long)(free_bytes / MIB), (unsigned long long)(total / MIB),
		 cuda_error_name(dev->drv, result));
}

static void free_extents(struct chunk *chunk)
{
	while (chunk->extents) {
		struct extent *next = chunk->extents->next;

		free(chunk->extents);
		chunk->extents = next;
	}
}

static CUresult allocate(struct device *dev, uint64_t bytes, CUdeviceptr *base, uint64_t *got)
{
	CUresult result;

	*got = bytes >= LARGE_BYTES ? round_up(bytes, LARGE_UNIT) : CHUNK_BYTES;
	result = dev->drv->cuMemAlloc(base, *got);
	if (result != CUDA_ERROR_OUT_OF_MEMORY || bytes >= LARGE_BYTES)
		return result;
	*got = round_up(bytes, LARGE_UNIT); /* a nearly full device may still have this much */
	return dev->drv->cuMemAlloc(base, *got);
}

static int add_chunk(struct device *dev, uint64_t bytes, struct chunk **out, char *why,
		     size_t why_bytes)
{
	struct chunk *chunk = calloc(1, sizeof(*chunk));
	struct extent *all = calloc(1, sizeof(*all));
	CUresult result;

	if (!chunk || !all) {
		snprintf(why, why_bytes, "device memory: no host memory to keep account of it");
		goto fail;
	}
	result = allocate(dev, bytes, &chunk->base, &chunk->bytes);
	if (result) {
		refuse(dev, bytes, result, why, why_bytes);
		goto fail;
	}
	all->bytes = chunk->bytes;
	chunk->extents = all;
	chunk->next = dev->memory->chunks;
	dev->memory->chunks = chunk;
	dev->memory->held_bytes += chunk->bytes;
	*out = chunk;
	return 0;
fail:
	free(chunk);
	free(all);
	return -ENOMEM;
}

static void drop_chunk(struct device *dev, struct chunk *chunk)
{
	struct chunk **at = &dev->memory->chunks;

	while (*at && *at != chunk)
		at = &(*at)->next;
	if (*at)
		*at = chunk->next;
	dev->memory->held_bytes -= chunk->bytes;
	dev->memory->taken_bytes -= chunk->taken_bytes;
	if (!cuda_context_use(dev))
		dev->drv->cuMemFree(chunk->base); /* fails only with its context */
	free_extents(chunk);
	free(chunk);
}

/* An empty chunk goes, unless it is the only one that is empty and of the usual size. */
static void chunk_emptied(struct device *dev, struct chunk *chunk)
{
	bool other = false;

	for (struct chunk *c = dev->memory->chunks; c; c = c->next)
		other |= c != chunk && !c->taken_bytes && c->bytes == CHUNK_BYTES;
	if (other || chunk->bytes != CHUNK_BYTES)
		drop_chunk(dev, chunk);
}

/* ---- pieces ------------------------------------------------------------------------------------ */

/* Cut the piece off the front of a free extent. */
static int carve(struct chunk *chunk, struct extent *e, uint64_t bytes)
{
	if (e->bytes > bytes) {
		struct extent *rest = calloc(1, sizeof(*rest));

		if (!rest)
			return -ENOMEM;
		rest->next = e->next;
		rest->offset = e->offset + bytes;
		rest->bytes = e->bytes - bytes;
		e->next = rest;
		e->bytes = bytes;
	}
	e->taken = true;
	chunk->taken_bytes += bytes;
	return 0;
}

static struct extent *first_fit(struct device *dev, uint64_t bytes, struct chunk **chunk)
{
	for (struct chunk *c = dev->memory->chunks; c; c = c->next) {
		if (c->bytes - c->taken_bytes < bytes)
			continue;
		for (struct extent *e = c->extents; e; e = e->next) {
			if (!e->taken && e->bytes >= bytes) {
				*chunk = c;
				return e;
			}
		}
	}
	return NULL;
}

int cuda_mem_take(struct device *dev, uint64_t bytes, struct cuda_mem *out, char *why,
		  size_t why_bytes)
{
	struct chunk *chunk;
	struct extent *e;
	int err = cuda_context_use(dev);

	if (err) {
		snprintf(why, why_bytes, "device memory: the device has no context");
		return err;
	}
	if (bytes > UINT64_MAX / 2) {
		snprintf(why, why_bytes, "device memory: %llu bytes asked for",
			 (unsigned long long)bytes);
		return -ENOMEM;
	}
	bytes = round_up(bytes ? bytes : 1, PIECE_ALIGN);
	e = first_fit(dev, bytes, &chunk);
	if (!e) {
		err = add_chunk(dev, bytes, &chunk, why, why_bytes);
		if (err)
			return err;
		e = chunk->extents;
	}
	err = carve(chunk, e, bytes);
	if (err) {
		snprintf(why, why_bytes, "device memory: no host memory to keep account of it");
		if (!chunk->taken_bytes)
			chunk_emptied(dev, chunk);
		return err;
	}
	dev->memory->taken_bytes += bytes;
	*out = (struct cuda_mem){ chunk->base + e->offset, bytes, chunk };
	return 0;
}

/* Join the extent behind with e if both are free. */
static void join_next(struct extent *e)
{
	struct extent *next = e->next;

	if (e->taken || !next || next->taken)
		return;
	e->bytes += next->bytes;
	e->next = next->next;
	free(next);
}

void cuda_mem_give(struct device *dev, struct cuda_mem *mem)
{
	struct chunk *chunk = mem->chunk;
	struct extent *before = NULL, *e;

	if (!chunk)
		return;
	for (e = chunk->extents; chunk->base + e->offset != mem->address; e = e->next)
		before = e;
	e->taken = false;
	chunk->taken_bytes -= mem->bytes;
	dev->memory->taken_bytes -= mem->bytes;
	join_next(e);
	if (before)
		join_next(before);
	if (!chunk->taken_bytes)
		chunk_emptied(dev, chunk);
	*mem = (struct cuda_mem){ 0 };
}

/* ---- pinned host memory ------------------------------------------------------------------------ */

void *cuda_host_take(struct device *dev, size_t bytes, uint64_t *device_address)
{
	CUdeviceptr at;
	void *host;

	if (cuda_context_use(dev))
		return NULL;
	if (dev->drv->cuMemHostAlloc(&host, bytes,
				     CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP))
		return NULL;
	if (dev->drv->cuMemHostGetDevicePointer(&at, host, 0)) {
		dev->drv->cuMemFreeHost(host);
		return NULL;
	}
	dev->memory->nr_host++;
	if (device_address)
		*device_address = at;
	return host;
}

void cuda_host_give(struct device *dev, void *host)
{
	if (!host)
		return;
	dev->memory->nr_host--;
	if (!cuda_context_use(dev))
		dev->drv->cuMemFreeHost(host); /* of a lost context: goes with it */
}

/* ---- copies ------------------------------------------------------------------------------------ */

/* Until the load stream is empty; not for ever, as the device may hang. */
static int wait_load(struct device *dev)
{
	const struct timespec nap = { .tv_nsec = NAP_NS };
	uint64_t start = clock_now_ns();
	CUresult result;

	while ((result = dev->drv->cuStreamQuery(dev->load_stream)) == CUDA_ERROR_NOT_READY) {
		uint64_t waited = clock_now_ns() - start;

		if (waited > dev->launch_deadline_ns)
			return -EIO;
		if (waited > SPIN_NS)
			nanosleep(&nap, NULL);
	}
	return result ? -EIO : 0;
}

/* While one half is on its way the other is filled. */
int cuda_upload(struct device *dev, uint64_t to, const void *from, uint64_t bytes)
{
	const char *src = from;
	unsigned half = 0;
	int err = cuda_context_use(dev);

	for (uint64_t at = 0; at < bytes && !err; half ^= 1) {
		size_t n = bytes - at < HALF_BYTES ? (size_t)(bytes - at) : HALF_BYTES;
		char *buf = dev->memory->staging + half * HALF_BYTES;

		memcpy(buf, src + at, n);
		if (at)
			err = wait_load(dev);
		if (!err && dev->drv->cuMemcpyHtoDAsync(to + at, buf, n, dev->load_stream))
			err = -EIO;
		at += n;
	}
	return err ? err : wait_load(dev);
}

int cuda_zero(struct device *dev, uint64_t at, uint64_t bytes)
{
	int err = cuda_context_use(dev);

	if (err || !bytes)
		return err;
	if (dev->drv->cuMemsetD8Async(at, 0, bytes, dev->load_stream))
		return -EIO;
	return wait_load(dev);
}

/* ---- the whole --------------------------------------------------------------------------------- */

int cuda_memory_open(struct device *dev)
{
	if (!dev->memory)
		dev->memory = calloc(1, sizeof(*dev->memory));
	if (!dev->memory)
		return -ENOMEM;
	dev->memory->staging = cuda_host_take(dev, 2 * HALF_BYTES, NULL);
	return dev->memory->staging ? 0 : -ENOMEM;
}

void cuda_memory_close(struct device *dev)
{
	if (!dev->memory)
		return;
	while (dev->memory->chunks)
		drop_chunk(dev, dev->memory->chunks);
	cuda_host_give(dev, dev->memory->staging);
	free(dev->memory);
	dev->memory = NULL;
}

void cuda_memory_usage(const struct device *dev, uint64_t *taken_bytes, uint64_t *held_bytes)
{
	*taken_bytes = dev->memory->taken_bytes;
	*held_bytes = dev->memory->held_bytes;
}

static bool chunk_is_sound(const struct chunk *chunk)
{
	uint64_t at = 0, taken = 0;

	for (const struct extent *e = chunk->extents; e; e = e->next) {
		if (e->offset != at || !e->bytes || (!e->taken && e->next && !e->next->taken))
			return false;
		at += e->bytes;
		taken += e->taken ? e->bytes : 0;
	}
	return at == chunk->bytes && taken == chunk->taken_bytes;
}

int cuda_memory_check(const struct device *dev, char *why, size_t why_bytes)
{
	const struct cuda_memory *m = dev->memory;

	for (const struct chunk *c = m->chunks; c; c = c->next) {
		if (!chunk_is_sound(c)) {
			snprintf(why, why_bytes, "the chunk at %llx: its list is wrong",
				 (unsigned long long)c->base);
			return -EINVAL;
		}
	}
	if (m->taken_bytes || m->nr_host != (m->staging ? 1 : 0)) {
		snprintf(why, why_bytes, "%llu bytes and %u pieces of host memory are still taken",
			 (unsigned long long)m->taken_bytes, m->nr_host - (m->staging ? 1 : 0));
		return -EINVAL;
	}
	return 0;
}
