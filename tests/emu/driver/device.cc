// SPDX-License-Identifier: Apache-2.0
/* Devices and their primary contexts. */
#include <stdio.h>
#include <string.h>

#include "tests/emu/driver/state.h"

namespace emu
{

static bool has_device(int device)
{
	return device >= 0 && device < st().conf.devices;
}

/* What is left of a healthy context is a leak; a broken one takes all with it. */
static void close_context(context *ctx, std::unique_lock<fair_lock> &lock)
{
	unsigned streams = close_streams(ctx, lock), memory = close_memory(ctx);
	unsigned modules = close_modules(ctx), left = streams + memory + modules;

	if (ctx->sticky == CUDA_SUCCESS && left > 0) {
		fprintf(stderr,
			"emulator: a context ends with %u streams, %u pieces of memory, %u modules\n",
			streams, memory, modules);
		st().nr_leaks += left;
	}
	ctx->default_stream = nullptr;
	ctx->sticky = CUDA_ERROR_CONTEXT_IS_DESTROYED;
}

static context *context_of(int device)
{
	auto found = st().contexts.find(device);

	return found == st().contexts.end() ? nullptr : found->second;
}

static int attribute_of(CUdevice_attribute attribute)
{
	switch (attribute) {
	case CU_DEVICE_ATTRIBUTE_CLOCK_RATE:
		return 1980000;
	case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
		return st().conf.sms;
	case CU_DEVICE_ATTRIBUTE_COMPUTE_MODE:
		return 0;
	case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE:
		return 2619000;
	case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH:
		return 5120;
	case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
		return st().conf.capability / 10;
	case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
		return st().conf.capability % 10;
	case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
		return 227 << 10;
	default:
		return -1;
	}
}

static const char *name_of(CUresult result)
{
	switch (result) {
#define DRIVER_RESULT(name, value, scope)                                                          \
	case name:                                                                                 \
		return #name;
#include "agent/device/cuda/driver.def"
	}
	return nullptr;
}

} // namespace emu

CUresult cuInit(unsigned flags)
{
	ENTER(NOTHING);
	if (flags != 0)
		return CUDA_ERROR_INVALID_VALUE;
	if (emu::st().conf.devices == 0)
		return CUDA_ERROR_NO_DEVICE;
	emu::st().initialised = true;
	return CUDA_SUCCESS;
}

CUresult cuDriverGetVersion(int *version)
{
	*version = 13000;
	return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult result, const char **name)
{
	*name = emu::name_of(result);
	return *name ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult result, const char **text)
{
	*text = emu::name_of(result) ? "from the emulator" : nullptr;
	return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuDeviceGetCount(int *count)
{
	ENTER(DRIVER);
	*count = emu::st().conf.devices;
	return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
	ENTER(DRIVER);
	*device = ordinal;
	return emu::has_device(ordinal) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDeviceGetName(char *name, int bytes, CUdevice device)
{
	ENTER(DRIVER);
	if (!emu::has_device(device))
		return CUDA_ERROR_INVALID_DEVICE;
	snprintf(name, (size_t)bytes, "Emulated GPU %d", device);
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice device)
{
	ENTER(DRIVER);
	memset(uuid, 0, sizeof(*uuid));
	uuid->bytes[0] = (char)0xe0;
	uuid->bytes[15] = (char)device;
	return emu::has_device(device) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device)
{
	ENTER(DRIVER);
	if (!emu::has_device(device))
		return CUDA_ERROR_INVALID_DEVICE;
	*value = emu::attribute_of(attribute);
	return *value >= 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuDeviceTotalMem(size_t *bytes, CUdevice device)
{
	ENTER(DRIVER);
	*bytes = emu::st().conf.memory_bytes;
	return emu::has_device(device) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDevicePrimaryCtxSetFlags(CUdevice device, unsigned flags)
{
	ENTER(DRIVER);
	if (!emu::has_device(device))
		return CUDA_ERROR_INVALID_DEVICE;
	/* How to wait, and whether local memory stays; CU_CTX_MAP_HOST is refused, as by GPUs. */
	return (flags & ~0x17u) == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* A context that was reset, or released by all, begins anew at its old address. Not in a process that
 * met a fault: a GPU's driver (580, H200) makes no context there any more, whatever was reset. */
CUresult cuDevicePrimaryCtxRetain(CUcontext *out, CUdevice device)
{
	ENTER(DRIVER);
	if (!emu::has_device(device))
		return CUDA_ERROR_INVALID_DEVICE;
	if (emu::st().dead)
		return CUDA_ERROR_LAUNCH_FAILED;
	emu::context *&ctx = emu::st().contexts[device];

	if (!ctx)
		ctx = new emu::context{ device };
	if (ctx->sticky == CUDA_ERROR_CONTEXT_IS_DESTROYED)
		ctx->sticky = CUDA_SUCCESS;
	ctx->retained++;
	*out = (CUcontext)ctx;
	return ctx->sticky;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice device)
{
	ENTER(DRIVER);
	emu::context *ctx = emu::context_of(device);

	if (!ctx || ctx->retained == 0)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (--ctx->retained == 0)
		emu::close_context(ctx, c.lock);
	return CUDA_SUCCESS;
}

/* What it held is gone, and its fault; who retained it has still to release it. */
CUresult cuDevicePrimaryCtxReset(CUdevice device)
{
	ENTER(DRIVER);
	emu::context *ctx = emu::context_of(device);

	if (!emu::has_device(device))
		return CUDA_ERROR_INVALID_DEVICE;
	if (ctx && ctx->retained > 0)
		emu::close_context(ctx, c.lock);
	return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext handle)
{
	ENTER(DRIVER);
	emu::context *ctx = (emu::context *)handle;

	if (ctx && (emu::context_of(ctx->device) != ctx || ctx->retained == 0))
		return CUDA_ERROR_INVALID_CONTEXT;
	emu::current_context = ctx;
	return CUDA_SUCCESS;
}

CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
	ENTER(CONTEXT);
	*least = 0;
	*greatest = -5;
	return CUDA_SUCCESS;
}
