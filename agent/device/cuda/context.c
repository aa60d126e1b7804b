// SPDX-License-Identifier: Apache-2.0
/*
 * The device's context: modules, kernels, streams. It is the primary context, as green contexts
 * share memory and functions with no other. After an error that kills it the driver makes no context
 * in this process any more; the agent then goes on in a fresh one (agent/handover.h).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/device/cpu/clock.h"
#include "agent/device/cuda/flight.h"
#include "agent/device/cuda/image.h"
#include "agent/log.h"

#define NR_CLOCK_SAMPLES 32
#define CLOCK_WINDOW_NS  (1000ull * 1000 * 1000)
#define DEFAULT_DYNAMIC  (48 << 10) /* bytes of shared memory without asking for more */
#define SHARED_CARVEOUT  100        /* percent: the most, and for all: a change drains an SM */

/* Of the context that is current on this thread; contexts are numbered from 1. */
static _Thread_local uint32_t current_generation;
static uint32_t last_generation;

static int failed(struct device *dev, CUresult result, const char *what, char *why,
		  size_t why_bytes)
{
	snprintf(why, why_bytes, "device %s: %s: %s", dev->caps.name, what,
		 cuda_error_name(dev->drv, result));
	return result == CUDA_ERROR_OUT_OF_MEMORY ? -ENOMEM : -EIO;
}

int cuda_context_use(struct device *dev)
{
	if (!dev->ctx)
		return -EIO;
	if (current_generation == dev->generation)
		return 0;
	if (dev->drv->cuCtxSetCurrent(dev->ctx))
		return -EIO;
	current_generation = dev->generation;
	return 0;
}

/* ---- kernels ----------------------------------------------------------------------------------- */

static int load_module(struct device *dev, const char *name, const void *image, char *why,
		       size_t why_bytes)
{
	char what[96];
	CUresult result;

	if (dev->nr_modules == CUDA_MAX_MODULES) {
		snprintf(why, why_bytes, "device %s: more than %d images of kernels",
			 dev->caps.name, CUDA_MAX_MODULES);
		return -E2BIG;
	}
	result = dev->drv->cuModuleLoadData(&dev->modules[dev->nr_modules], image);
	if (result) {
		snprintf(what, sizeof(what), "kernels \"%s\" cannot be loaded", name);
		return failed(dev, result, what, why, why_bytes);
	}
	dev->nr_modules++;
	return 0;
}

static int load_modules(struct device *dev, char *why, size_t why_bytes)
{
	if (dev->drv->emulated) /* it has them all, whatever the image */
		return load_module(dev, "emulated", "emulated", why, why_bytes);
	for (unsigned i = 0; i < nr_cuda_images; i++) {
		int err =
			load_module(dev, cuda_images[i].name, cuda_images[i].data, why, why_bytes);

		if (err)
			return err;
	}
	return 0;
}

/* Modules stand in the order of the images; what emulates a driver has them all in one. */
static CUresult find_function(struct device *dev, const struct cuda_kernel_info *info,
			      CUfunction *out)
{
	unsigned m = 0;

	while (m < dev->nr_modules && !dev->drv->emulated &&
	       strcmp(cuda_images[m].name, info->image) != 0)
		m++;
	if (m == dev->nr_modules)
		return CUDA_ERROR_NOT_FOUND;
	return dev->drv->cuModuleGetFunction(out, dev->modules[m], info->symbol);
}

/* Loaded now, with the shared memory that it wants, and without local memory: the driver would
 * stop the device to make room for that. */
static CUresult prepare_function(struct device *dev, const struct cuda_kernel_info *info,
				 CUfunction fn, int *local_bytes)
{
	const struct cuda_driver *drv = dev->drv;
	CUresult result = drv->cuFuncLoad ? drv->cuFuncLoad(fn) : CUDA_SUCCESS;

	if (!result)
		result = drv->cuFuncGetAttribute(local_bytes, CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES,
						 fn);
	if (!result && info->shared_bytes > DEFAULT_DYNAMIC)
		result =
			drv->cuFuncSetAttribute(fn, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
						(int)info->shared_bytes);
	if (!result)
		result = drv->cuFuncSetAttribute(
			fn, CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, SHARED_CARVEOUT);
	return result;
}

static int find_kernel(struct device *dev, unsigned k, char *why, size_t why_bytes)
{
	const struct cuda_kernel_info *info = &cuda_kernel_info[k];
	char what[96];
	int local_bytes = 0;
	CUresult result;

	snprintf(what, sizeof(what), "kernel %s", info->symbol);
	result = find_function(dev, info, &dev->kernels[k]);
	if (result)
		return failed(dev, result, what, why, why_bytes);
	if (info->shared_bytes > dev->max_shared_bytes) {
		log_info("device %s: %s wants %u bytes of shared memory, the GPU has %u: not used",
			 dev->caps.name, what, info->shared_bytes, dev->max_shared_bytes);
		dev->kernels[k] = NULL;
		return 0;
	}
	result = prepare_function(dev, info, dev->kernels[k], &local_bytes);
	if (result)
		return failed(dev, result, what, why, why_bytes);
	if (local_bytes) {
		snprintf(why, why_bytes,
			 "device %s: %s keeps %d bytes in local memory, which this "
			 "GPU's driver would stop all work for",
			 dev->caps.name, what, local_bytes);
		return -EOPNOTSUPP;
	}
	return 0;
}

static int find_kernels(struct device *dev, char *why, size_t why_bytes)
{
	for (unsigned k = 0; k < NR_CUDA_KERNELS; k++) {
		int err = find_kernel(dev, k, why, why_bytes);

		if (err)
			return err;
	}
	return 0;
}

/* ---- streams ----------------------------------------------------------------------------------- */

/* Uploads give way to the lanes. */
static int make_streams(struct device *dev, char *why, size_t why_bytes)
{
	const struct cuda_driver *drv = dev->drv;
	int least, greatest;
	CUresult result = drv->cuCtxGetStreamPriorityRange(&least, &greatest);

	if (!result)
		result = drv->cuStreamCreateWithPriority(&dev->load_stream, CU_STREAM_NON_BLOCKING,
							 least);
	dev->priority = greatest;
	for (unsigned i = 0; i < dev->nr_base_lanes && !result; i++)
		result = drv->cuStreamCreateWithPriority(&dev->lanes[i].stream,
							 CU_STREAM_NON_BLOCKING, greatest);
	return result ? failed(dev, result, "its streams", why, why_bytes) : 0;
}

static void drop_streams(struct device *dev)
{
	for (unsigned i = 0; i < CUDA_MAX_LANES; i++) {
		if (dev->lanes[i].stream)
			dev->drv->cuStreamDestroy(dev->lanes[i].stream);
		dev->lanes[i].stream = NULL;
	}
	if (dev->load_stream)
		dev->drv->cuStreamDestroy(dev->load_stream);
	dev->load_stream = NULL;
}

/* ---- the clock --------------------------------------------------------------------------------- */

/* The device wrote device_ns before the host saw it: host_ns - device_ns is at least the offset, and
 * the least of many is close to it. Windows, as the clocks drift apart. */
void cuda_clock_seen(struct device *dev, uint64_t device_ns, uint64_t host_ns)
{
	int64_t offset = (int64_t)(host_ns - device_ns);

	if (host_ns - dev->clock_window_ns > CLOCK_WINDOW_NS) {
		dev->clock_last_ns = dev->clock_best_ns;
		dev->clock_best_ns = offset;
		dev->clock_window_ns = host_ns;
	}
	if (offset < dev->clock_best_ns)
		dev->clock_best_ns = offset;
	dev->clock_offset_ns =
		dev->clock_best_ns < dev->clock_last_ns ? dev->clock_best_ns : dev->clock_last_ns;
}

/* Run the kernel that does nothing; 0 when its record is there. */
static CUresult run_nop(struct device *dev, struct cuda_launch *l, const struct cuda_record *r)
{
	uint64_t start = clock_now_ns(), asked = start, now;
	void *params[] = { l };
	CUresult result;

	result = dev->drv->cuLaunchKernel(dev->kernels[KERNEL_NOP], 1, 1, 1,
					  cuda_kernel_info[KERNEL_NOP].threads, 1, 1, 0,
					  dev->lanes[0].stream, params, NULL);
	while (!result && !flight_done(r, l->seq)) {
		now = clock_now_ns();
		if (now - start > dev->launch_deadline_ns)
			return CUDA_ERROR_LAUNCH_TIMEOUT;
		if (now - asked < 1000 * 1000)
			continue;
		asked = now;
		result = dev->drv->cuStreamQuery(dev->lanes[0].stream);
		if (result == CUDA_ERROR_NOT_READY)
			result = CUDA_SUCCESS;
	}
	return result;
}

/* Also the proof that kernels run at all. */
static int calibrate(struct device *dev, char *why, size_t why_bytes)
{
	struct cuda_launch l = { .flags = CUDA_LAUNCH_FIRST | CUDA_LAUNCH_LAST, .nr_entries = 1 };
	struct cuda_mem progress = { 0 };
	struct cuda_record *record;
	CUresult result = CUDA_SUCCESS;
	int err;

	record = cuda_host_take(dev, sizeof(*record), &l.record);
	if (!record) {
		snprintf(why, why_bytes, "device %s: no pinned memory", dev->caps.name);
		return -ENOMEM;
	}
	err = cuda_mem_take(dev, sizeof(struct cuda_progress), &progress, why, why_bytes);
	if (err)
		goto out;
	err = cuda_zero(dev, progress.address, sizeof(struct cuda_progress));
	snprintf(why, why_bytes, "device %s: its memory cannot be written", dev->caps.name);
	l.progress = progress.address;
	l.entries[0].tile_end = 1;
	memset(record, 0, sizeof(*record));
	dev->clock_best_ns = dev->clock_last_ns = INT64_MAX;
	for (uint32_t i = 0; i < NR_CLOCK_SAMPLES && !err && !result; i++) {
		l.seq = i + 1;
		record->end_ns = 0;
		result = run_nop(dev, &l, record);
		if (!result)
			cuda_clock_seen(dev, record->end_ns, clock_now_ns());
	}
	if (result)
		err = failed(dev, result, "a kernel that does nothing failed", why, why_bytes);
out:
	cuda_mem_give(dev, &progress);
	cuda_host_give(dev, record);
	return err;
}

/* ---- the whole --------------------------------------------------------------------------------- */

static int make_context(struct device *dev, char *why, size_t why_bytes)
{
	const struct cuda_driver *drv = dev->drv;
	CUresult result;

	/* A thread that waits for an upload sleeps. */
	result = drv->cuDevicePrimaryCtxSetFlags(dev->cu, CU_CTX_SCHED_BLOCKING_SYNC);
	if (!result)
		result = drv->cuDevicePrimaryCtxRetain(&dev->ctx, dev->cu);
	if (result) {
		dev->ctx = NULL;
		return failed(dev, result, "no context", why, why_bytes);
	}
	dev->generation = __atomic_add_fetch(&last_generation, 1, __ATOMIC_RELAXED);
	if (cuda_context_use(dev)) {
		snprintf(why, why_bytes, "device %s: its context cannot be used", dev->caps.name);
		return -EIO;
	}
	return 0;
}

int cuda_context_open(struct device *dev, char *why, size_t why_bytes)
{
	int err = make_context(dev, why, why_bytes);

	if (!err)
		err = load_modules(dev, why, why_bytes);
	if (!err)
		err = find_kernels(dev, why, why_bytes);
	if (!err)
		err = make_streams(dev, why, why_bytes);
	if (err)
		return err;
	err = cuda_memory_open(dev);
	if (err) {
		snprintf(why, why_bytes, "device %s: no pinned memory", dev->caps.name);
		return err;
	}
	return calibrate(dev, why, why_bytes);
}

/* What stands without a context: modules and streams went with it. */
static void forget_objects(struct device *dev)
{
	memset(dev->modules, 0, sizeof(dev->modules));
	memset(dev->kernels, 0, sizeof(dev->kernels));
	dev->nr_modules = 0;
	for (unsigned i = 0; i < CUDA_MAX_LANES; i++)
		dev->lanes[i].stream = NULL;
	dev->load_stream = NULL;
	dev->ctx = NULL;
}

void cuda_context_close(struct device *dev)
{
	bool usable = !cuda_context_use(dev);

	cuda_memory_close(dev);
	if (!dev->ctx)
		return;
	if (usable) {
		drop_streams(dev);
		while (dev->nr_modules)
			dev->drv->cuModuleUnload(dev->modules[--dev->nr_modules]);
		dev->drv->cuCtxSetCurrent(NULL);
	}
	if (dev->drv->cuDevicePrimaryCtxRelease(dev->cu)) {
		dev->drv->cuDevicePrimaryCtxReset(dev->cu);
		dev->drv->cuDevicePrimaryCtxRelease(dev->cu);
	}
	current_generation = 0;
	forget_objects(dev);
}
