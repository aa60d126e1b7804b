// SPDX-License-Identifier: Apache-2.0
/* Modules, which all hold every kernel whatever their image, and launches. */
#include <stdio.h>
#include <string.h>

#include <memory>

#include "agent/device/cuda/task.h"
#include "tests/emu/driver/state.h"

namespace emu
{

constexpr unsigned static_dynamic = 48 << 10; /* without cuFuncSetAttribute */

unsigned close_modules(context *ctx)
{
	state &s = st();
	unsigned n = 0;

	for (auto i = s.functions.begin(); i != s.functions.end();) {
		if (i->first.first != ctx) {
			++i;
			continue;
		}
		delete i->second;
		i = s.functions.erase(i);
	}
	for (auto i = s.modules.begin(); i != s.modules.end();) {
		if ((*i)->ctx != ctx) {
			++i;
			continue;
		}
		delete *i;
		i = s.modules.erase(i);
		n++;
	}
	return n;
}

static function *function_of(CUfunction handle, context *ctx)
{
	for (const auto &i : st().functions)
		if (i.second == (function *)handle && i.first.first == ctx)
			return i.second;
	return nullptr;
}

/* The one parameter, wherever the caller put it. */
static const void *parameter_of(void **params, void **extra)
{
	if (params)
		return params[0];
	for (; extra && *extra; extra += 2)
		if (*extra == (void *)1) /* CU_LAUNCH_PARAM_BUFFER_POINTER */
			return extra[1];
	return nullptr;
}

static void run_grid(stream *s, const kernel *k, const struct cuda_launch *launch, shape grid,
		     uint64_t seed)
{
	char why[sizeof(st().fault)];

	if (run(k, launch, sizeof(*launch), grid, &s->grids, seed, why, sizeof(why)))
		return;

	std::lock_guard<fair_lock> guard(st().lock);

	fprintf(stderr, "emulator: %s\n", why);
	snprintf(st().fault, sizeof(st().fault), "%s", why);
	break_context(s->ctx, CUDA_ERROR_LAUNCH_FAILED);
}

static CUresult launch(function *f, stream *s, const shape &grid, const void *param)
{
	if (!f || !s)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!param || grid.blocks == 0 || grid.threads == 0)
		return CUDA_ERROR_INVALID_VALUE;
	if (grid.threads > f->k->threads || grid.shared_bytes > f->max_dynamic) {
		fprintf(stderr,
			"emulator: %s: %u threads, %u bytes of shared memory: allowed are %u, %u\n",
			f->k->symbol, grid.threads, grid.shared_bytes, f->k->threads,
			f->max_dynamic);
		return grid.threads > f->k->threads ? CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES
						    : CUDA_ERROR_INVALID_VALUE;
	}

	auto copy = std::make_shared<struct cuda_launch>();
	uint64_t seed = st().conf.seed * 0x9e3779b97f4a7c15u + st().nr_launches++;
	const kernel *k = f->k;

	memcpy(copy.get(), param, sizeof(*copy));
	submit(s, [=] { run_grid(s, k, copy.get(), grid, seed); });
	return CUDA_SUCCESS;
}

} // namespace emu

/* ---- the driver's functions -------------------------------------------------------------------- */

CUresult cuModuleLoadData(CUmodule *out, const void *image)
{
	ENTER(CONTEXT);
	if (!out || !image)
		return CUDA_ERROR_INVALID_VALUE;
	emu::module *m = new emu::module{ c.ctx };

	emu::st().modules.insert(m);
	*out = (CUmodule)m;
	return CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule handle)
{
	ENTER(CONTEXT);
	emu::module *m = (emu::module *)handle;

	if (emu::st().modules.erase(m) == 0)
		return CUDA_ERROR_INVALID_HANDLE;
	delete m;
	return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction *out, CUmodule handle, const char *name)
{
	ENTER(CONTEXT);
	const emu::kernel *k = emu::find_kernel(name);

	if (!emu::st().modules.count((emu::module *)handle))
		return CUDA_ERROR_INVALID_HANDLE;
	if (!k)
		return CUDA_ERROR_NOT_FOUND;
	emu::function *&f = emu::st().functions[{ c.ctx, k }];

	if (!f)
		f = new emu::function{ c.ctx, k, emu::static_dynamic };
	*out = (CUfunction)f;
	return CUDA_SUCCESS;
}

CUresult cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attribute, int value)
{
	ENTER(CONTEXT);
	emu::function *f = emu::function_of(handle, c.ctx);

	if (!f)
		return CUDA_ERROR_INVALID_HANDLE;
	if (attribute == CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT)
		return value >= -1 && value <= 100 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
	if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)
		return CUDA_ERROR_INVALID_VALUE;
	if (value < 0 || value > 227 << 10)
		return CUDA_ERROR_INVALID_VALUE;
	f->max_dynamic = (unsigned)value;
	return CUDA_SUCCESS;
}

CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction handle)
{
	ENTER(CONTEXT);
	emu::function *f = emu::function_of(handle, c.ctx);

	if (!f)
		return CUDA_ERROR_INVALID_HANDLE;
	switch (attribute) {
	case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
		*value = (int)f->k->threads;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES: /* known only when a block runs */
	case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
		*value = 0;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_PTX_VERSION:
		*value = 80;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_NUM_REGS:
		*value = 32;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
		*value = (int)f->max_dynamic;
		return CUDA_SUCCESS;
	default:
		return CUDA_ERROR_INVALID_VALUE;
	}
}

CUresult cuFuncLoad(CUfunction handle)
{
	ENTER(CONTEXT);
	return emu::function_of(handle, c.ctx) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

/* Here a kernel always ends before the next begins; but one that may overlap has to wait for it. */
CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction handle, void **params,
			  void **extra)
{
	ENTER(CONTEXT);
	emu::shape grid = { config->gridDimX, config->blockDimX, config->sharedMemBytes, false };

	if (config->gridDimY != 1 || config->gridDimZ != 1 || config->blockDimY != 1 ||
	    config->blockDimZ != 1)
		return CUDA_ERROR_INVALID_VALUE;
	for (unsigned i = 0; i < config->numAttrs; i++) {
		if (config->attrs[i].id != CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION)
			return CUDA_ERROR_INVALID_VALUE;
		grid.overlaps = config->attrs[i].value.programmaticStreamSerializationAllowed;
	}
	return emu::launch(emu::function_of(handle, c.ctx), emu::stream_of(config->hStream, c.ctx),
			   grid, emu::parameter_of(params, extra));
}

CUresult cuLaunchKernel(CUfunction handle, unsigned grid_x, unsigned grid_y, unsigned grid_z,
			unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
			CUstream stream, void **params, void **extra)
{
	ENTER(CONTEXT);
	emu::shape grid = { grid_x, block_x, shared_bytes, false };

	if (grid_y != 1 || grid_z != 1 || block_y != 1 || block_z != 1)
		return CUDA_ERROR_INVALID_VALUE;
	return emu::launch(emu::function_of(handle, c.ctx), emu::stream_of(stream, c.ctx), grid,
			   emu::parameter_of(params, extra));
}
