// SPDX-License-Identifier: Apache-2.0
/* Green contexts: how many multiprocessors each may have. All work runs alike, whoever's it is. */
#include <string.h>

#include "tests/emu/driver/state.h"

namespace emu
{

static unsigned granularity()
{
	return st().conf.capability >= 90 ? 8 : 2;
}

static CUdevResource resource_of(unsigned sms)
{
	CUdevResource r;

	memset(&r, 0, sizeof(r));
	r.type = CU_DEV_RESOURCE_TYPE_SM;
	r.sm.smCount = sms;
	r.sm.minSmPartitionSize = r.sm.smCoscheduledAlignment = granularity();
	return r;
}

} // namespace emu

CUresult cuDeviceGetDevResource(CUdevice device, CUdevResource *resource, CUdevResourceType type)
{
	ENTER(DRIVER);
	if (device < 0 || device >= emu::st().conf.devices)
		return CUDA_ERROR_INVALID_DEVICE;
	if (type != CU_DEV_RESOURCE_TYPE_SM)
		return CUDA_ERROR_INVALID_RESOURCE_TYPE;
	*resource = emu::resource_of((unsigned)emu::st().conf.sms);
	return CUDA_SUCCESS;
}

/* Without groups it only says how many there can be. */
CUresult cuDevSmResourceSplitByCount(CUdevResource *groups, unsigned *nr_groups,
				     const CUdevResource *from, CUdevResource *rest, unsigned flags,
				     unsigned min_sms)
{
	ENTER(DRIVER);
	unsigned step = emu::granularity();
	unsigned each = (min_sms + step - 1) / step * step, most;

	if (from->type != CU_DEV_RESOURCE_TYPE_SM || flags != 0 || min_sms > from->sm.smCount)
		return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
	each = each ? each : step;
	most = from->sm.smCount / each;
	if (most == 0)
		return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
	if (!groups) {
		*nr_groups = most;
		return CUDA_SUCCESS;
	}
	*nr_groups = *nr_groups < most ? *nr_groups : most;
	for (unsigned i = 0; i < *nr_groups; i++)
		groups[i] = emu::resource_of(each);
	if (rest) {
		*rest = emu::resource_of(from->sm.smCount - *nr_groups * each);
		if (rest->sm.smCount == 0)
			memset(rest, 0, sizeof(*rest));
	}
	return CUDA_SUCCESS;
}

CUresult cuDevResourceGenerateDesc(CUdevResourceDesc *desc, CUdevResource *resources,
				   unsigned nr_resources)
{
	ENTER(DRIVER);
	unsigned sms = 0;

	for (unsigned i = 0; i < nr_resources; i++) {
		if (resources[i].type != CU_DEV_RESOURCE_TYPE_SM)
			return CUDA_ERROR_INVALID_RESOURCE_TYPE;
		sms += resources[i].sm.smCount;
	}
	if (sms == 0)
		return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
	emu::st().descriptions.push_back({ nullptr, sms });
	*desc = (CUdevResourceDesc)&emu::st().descriptions.back();
	return CUDA_SUCCESS;
}

/* It holds on to the device's primary context. */
CUresult cuGreenCtxCreate(CUgreenCtx *out, CUdevResourceDesc desc, CUdevice device, unsigned flags)
{
	ENTER(CONTEXT);
	if (!desc || flags != CU_GREEN_CTX_DEFAULT_STREAM || c.ctx->device != device)
		return CUDA_ERROR_INVALID_VALUE;
	emu::green *g = new emu::green{ c.ctx, ((emu::green *)desc)->sms };

	c.ctx->retained++;
	emu::st().greens.insert(g);
	*out = (CUgreenCtx)g;
	return CUDA_SUCCESS;
}

CUresult cuGreenCtxDestroy(CUgreenCtx handle)
{
	ENTER(DRIVER);
	emu::green *g = (emu::green *)handle;

	if (emu::st().greens.erase(g) == 0)
		return CUDA_ERROR_INVALID_HANDLE;
	g->ctx->retained--;
	delete g;
	return CUDA_SUCCESS;
}
