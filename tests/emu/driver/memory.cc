// SPDX-License-Identifier: Apache-2.0
/* Device memory is host memory between guard pages; a device address is the host's. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <vector>

#include "tests/emu/driver/state.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

namespace emu
{

constexpr size_t page = 4096;
constexpr size_t alignment = 256;

/* The end of the memory is the end of a page, but for the alignment. Its bytes are NaNs. */
static uint64_t allocate(context *ctx, size_t bytes, bool host)
{
	size_t rounded = (bytes + alignment - 1) / alignment * alignment;
	size_t pages = (rounded + page - 1) / page * page;
	allocation a = { ctx, nullptr, pages + 2 * page, bytes, host };
	uint8_t *at;

	a.map = (uint8_t *)mmap(nullptr, a.map_bytes, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (a.map == (uint8_t *)MAP_FAILED)
		return 0;
	mprotect(a.map, page, PROT_NONE);
	mprotect(a.map + a.map_bytes - page, page, PROT_NONE);
	at = a.map + page + pages - rounded;
	memset(at, 0xff, bytes);
	ASAN_POISON_MEMORY_REGION(a.map + page, pages - rounded);
	ASAN_POISON_MEMORY_REGION(at + bytes, rounded - bytes);
	st().allocations[(uint64_t)at] = a;
	return (uint64_t)at;
}

static void release(const allocation &a)
{
	ASAN_UNPOISON_MEMORY_REGION(a.map + page, a.map_bytes - 2 * page);
	munmap(a.map, a.map_bytes);
	if (!a.host)
		st().used[a.ctx->device] -= a.bytes;
}

/* Free an allocation of this kind. */
static CUresult free_at(uint64_t at, bool host)
{
	auto found = st().allocations.find(at);

	if (found == st().allocations.end() || found->second.host != host)
		return CUDA_ERROR_INVALID_VALUE;
	settle_all(found->second.ctx);
	release(found->second);
	st().allocations.erase(found);
	return CUDA_SUCCESS;
}

unsigned close_memory(context *ctx)
{
	state &s = st();
	unsigned n = 0;

	for (auto i = s.allocations.begin(); i != s.allocations.end();) {
		if (i->second.ctx != ctx) {
			++i;
			continue;
		}
		release(i->second);
		i = s.allocations.erase(i);
		n++;
	}
	for (auto i = s.registered.begin(); i != s.registered.end();) {
		if (i->second.first != ctx) {
			++i;
			continue;
		}
		i = s.registered.erase(i);
		n++;
	}
	return n;
}

static bool in_registered(uint64_t at, size_t bytes)
{
	auto i = st().registered.upper_bound(at);

	if (i == st().registered.begin())
		return false;
	--i;
	return at + bytes <= i->first + i->second.second;
}

static const allocation *allocation_of(uint64_t at, size_t bytes)
{
	auto i = st().allocations.upper_bound(at);

	if (i == st().allocations.begin())
		return nullptr;
	--i;
	return at + bytes <= i->first + i->second.bytes ? &i->second : nullptr;
}

bool device_range(uint64_t at, size_t bytes)
{
	return allocation_of(at, bytes) || in_registered(at, bytes);
}

bool pinned_range(const void *p, size_t bytes)
{
	return device_range((uint64_t)p, bytes);
}

/* ---- copies and fills ------------------------------------------------------------------------- */

/* What the caller may reuse after the call is copied now. */
static CUresult copy_to_device(stream *s, uint64_t to, const void *from, size_t bytes)
{
	if (!s || !device_range(to, bytes))
		return s ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_HANDLE;
	if (pinned_range(from, bytes)) {
		submit(s, [=] {
			settle(&s->grids);
			memcpy((void *)to, from, bytes);
		});
		return CUDA_SUCCESS;
	}

	std::vector<uint8_t> staged((const uint8_t *)from, (const uint8_t *)from + bytes);

	submit(s, [s, to, staged = std::move(staged)] {
		settle(&s->grids);
		memcpy((void *)to, staged.data(), staged.size());
	});
	return CUDA_SUCCESS;
}

static CUresult copy_from(stream *s, void *to, uint64_t from, size_t bytes)
{
	if (!s || !device_range(from, bytes))
		return s ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_HANDLE;
	submit(s, [=] {
		settle(&s->grids);
		memcpy(to, (const void *)from, bytes);
	});
	return CUDA_SUCCESS;
}

static CUresult fill(stream *s, uint64_t at, unsigned char value, size_t bytes)
{
	if (!s || !device_range(at, bytes))
		return s ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_HANDLE;
	submit(s, [=] {
		settle(&s->grids);
		memset((void *)at, value, bytes);
	});
	return CUDA_SUCCESS;
}

} // namespace emu

/* ---- the driver's functions -------------------------------------------------------------------- */

CUresult cuMemAlloc(CUdeviceptr *out, size_t bytes)
{
	ENTER(CONTEXT);
	size_t &used = emu::st().used[c.ctx->device];

	if (bytes == 0 || !out)
		return CUDA_ERROR_INVALID_VALUE;
	if (bytes > emu::st().conf.memory_bytes - used)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*out = emu::allocate(c.ctx, bytes, false);
	if (!*out)
		return CUDA_ERROR_OUT_OF_MEMORY;
	used += bytes;
	return CUDA_SUCCESS;
}

CUresult cuMemFree(CUdeviceptr at)
{
	ENTER(CONTEXT);
	return emu::free_at(at, false);
}

CUresult cuMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
	ENTER(CONTEXT);
	*total_bytes = emu::st().conf.memory_bytes;
	*free_bytes = *total_bytes - emu::st().used[c.ctx->device];
	return CUDA_SUCCESS;
}

CUresult cuMemHostAlloc(void **out, size_t bytes, unsigned flags)
{
	ENTER(CONTEXT);
	(void)flags;
	if (bytes == 0 || !out)
		return CUDA_ERROR_INVALID_VALUE;
	*out = (void *)emu::allocate(c.ctx, bytes, true);
	return *out ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuMemFreeHost(void *p)
{
	ENTER(CONTEXT);
	return emu::free_at((uint64_t)p, true);
}

CUresult cuMemHostRegister(void *p, size_t bytes, unsigned flags)
{
	ENTER(CONTEXT);
	uint64_t at = (uint64_t)p & ~(uint64_t)4095,
		 end = ((uint64_t)p + bytes + 4095) & ~(uint64_t)4095;

	(void)flags;
	if (bytes == 0 || !p)
		return CUDA_ERROR_INVALID_VALUE;
	for (const auto &r : emu::st().registered) {
		uint64_t other = r.first & ~(uint64_t)4095, other_end = r.first + r.second.second;

		if (at < other_end && other < end)
			return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
	}
	emu::st().registered[(uint64_t)p] = { c.ctx, bytes };
	return CUDA_SUCCESS;
}

CUresult cuMemHostUnregister(void *p)
{
	ENTER(CONTEXT);
	return emu::st().registered.erase((uint64_t)p) ? CUDA_SUCCESS
						       : CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
}

CUresult cuMemHostGetDevicePointer(CUdeviceptr *out, void *p, unsigned flags)
{
	ENTER(CONTEXT);
	(void)flags;
	if (!emu::pinned_range(p, 1))
		return CUDA_ERROR_INVALID_VALUE;
	*out = (CUdeviceptr)p;
	return CUDA_SUCCESS;
}

CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
	ENTER(CONTEXT);
	return emu::copy_to_device(emu::stream_of(stream, c.ctx), to, from, bytes);
}

CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
	ENTER(CONTEXT);
	return emu::copy_from(emu::stream_of(stream, c.ctx), to, from, bytes);
}

CUresult cuMemsetD8Async(CUdeviceptr at, unsigned char value, size_t n, CUstream stream)
{
	ENTER(CONTEXT);
	return emu::fill(emu::stream_of(stream, c.ctx), at, value, n);
}
