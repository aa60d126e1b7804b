// SPDX-License-Identifier: Apache-2.0
/* The cuda device: which GPU, what it can do, and its table of operations. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/device/cpu/eval.h"
#include "agent/device/cuda/cuda.h"
#include "agent/device/cuda/image.h"
#include "agent/log.h"

#define MIN_CAPABILITY      80
#define DEFAULT_LANES       2
#define DEFAULT_DEADLINE_MS 2000
#define FP32_PER_SM         128 /* multiply-adds in one clock */
#define SMS_PER_ITEM        8   /* that a typical item fills */
#define RUNAHEAD_US         25
#define LAUNCH_NS                                                                                  \
	8500 /* submit to completion seen, of a launch that computes nothing, on an H100 */
#define MIN_BUDGET (256ull << 20)
#define MAX_BUDGET (4ull << 30)

/* ---- which GPU --------------------------------------------------------------------------------- */

static void uuid_text(const CUuuid *uuid, char out[48])
{
	int n = snprintf(out, 48, "GPU-");

	for (int i = 0; i < 16; i++)
		n += snprintf(out + n, 48 - (size_t)n, "%s%02x",
			      i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
			      (unsigned char)uuid->bytes[i]);
}

/* The one whose UUID begins like this, with or without "GPU-". */
static int find_uuid(struct device *dev, const char *text, int count, char *why, size_t why_bytes)
{
	const char *begin = strncasecmp(text, "GPU-", 4) ? text : text + 4;
	int nr_found = 0;

	for (int i = 0; i < count; i++) {
		char name[48];
		CUuuid uuid;
		CUdevice cu;

		if (dev->drv->cuDeviceGet(&cu, i) || dev->drv->cuDeviceGetUuid(&uuid, cu))
			continue;
		uuid_text(&uuid, name);
		if (strncasecmp(name + 4, begin, strlen(begin)) != 0)
			continue;
		dev->cu = cu;
		nr_found++;
	}
	if (nr_found == 1)
		return 0;
	snprintf(why, why_bytes, "cuda: GPU \"%s\": %s of the %d here has this UUID", text,
		 nr_found ? "more than one" : "none", count);
	return -ENODEV;
}

static int find_gpu(struct device *dev, const char *text, char *why, size_t why_bytes)
{
	int count = 0, index = 0;
	CUresult result = dev->drv->cuDeviceGetCount(&count);

	if (!result && text &&
	    (strlen(text) > 3 || !text[0] || text[strspn(text, "0123456789")] != '\0'))
		return find_uuid(dev, text, count, why, why_bytes);
	for (const char *p = text; p && *p; p++)
		index = index * 10 + (*p - '0');
	if (!result && index >= count) {
		snprintf(why, why_bytes, "cuda: there is no GPU %d, only %d", index, count);
		return -ENODEV;
	}
	if (!result)
		result = dev->drv->cuDeviceGet(&dev->cu, index);
	if (!result)
		return 0;
	snprintf(why, why_bytes, "cuda: GPU %d: %s", index, cuda_error_name(dev->drv, result));
	return -ENODEV;
}

/* ---- what it can do ---------------------------------------------------------------------------- */

struct facts {
	char name[64];
	int major, minor, sms, clock_khz, memory_khz, bus_bits, shared_bytes, compute_mode;
	size_t memory_bytes;
};

static CUresult ask(struct device *dev, struct facts *f)
{
	const struct {
		int *to;
		CUdevice_attribute attribute;
		bool needed;
	} rows[] = {
		{ &f->major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, true },
		{ &f->minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, true },
		{ &f->sms, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, true },
		{ &f->shared_bytes, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, true },
		{ &f->compute_mode, CU_DEVICE_ATTRIBUTE_COMPUTE_MODE, false },
		{ &f->clock_khz, CU_DEVICE_ATTRIBUTE_CLOCK_RATE, false },
		{ &f->memory_khz, CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, false },
		{ &f->bus_bits, CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH, false },
	};
	CUresult result = dev->drv->cuDeviceGetName(f->name, sizeof(f->name), dev->cu);

	f->name[sizeof(f->name) - 1] = '\0';
	if (!result)
		result = dev->drv->cuDeviceTotalMem(&f->memory_bytes, dev->cu);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && !result; i++) {
		result = dev->drv->cuDeviceGetAttribute(rows[i].to, rows[i].attribute, dev->cu);
		if (!rows[i].needed) {
			*rows[i].to = result ? 0 : *rows[i].to;
			result = CUDA_SUCCESS;
		}
	}
	return result;
}

/* The prior's rates: what is left of the peaks in practice, on average. Learned from then on. */
static void fill_rates(struct device_caps *caps, const struct facts *f)
{
	double ghz = f->clock_khz > 0 ? f->clock_khz * 1e-6 : 1.5;
	double bytes_per_ns = 2.0 * f->memory_khz * 1e-6 * f->bus_bits / 8;

	caps->flops_per_ns = 0.5 * 2 * FP32_PER_SM * f->sms * ghz;
	caps->bytes_per_ns = 0.7 * (bytes_per_ns > 1 ? bytes_per_ns : 500);
}

static void fill_caps(struct device *dev, const struct facts *f)
{
	struct device_caps *caps = &dev->caps;

	*caps = (struct device_caps){
		.name = "cuda",
		.nr_lanes = dev->nr_base_lanes,
		.lane_depth = CUDA_LANE_DEPTH,
		.max_items = CUDA_MAX_ENTRIES,
		.executes = true,
		.image_layout = LAYOUT_NHWC,
		.threads = 1,
		.width = f->sms > SMS_PER_ITEM ? (unsigned)f->sms / SMS_PER_ITEM : 1,
		.runahead_us = RUNAHEAD_US,
		.launch_ns = LAUNCH_NS,
		.attention = true,
		.precisions = 1u << OOO_FP16 | 1u << OOO_BF16 | 1u << OOO_TF32,
	};
	fill_rates(caps, f);
	snprintf(caps->description, sizeof(caps->description),
		 "%.40s, %u SMs, %u GiB, capability %u.%u, driver %u.%u", f->name,
		 (unsigned)f->sms % 10000, (unsigned)(f->memory_bytes >> 30) % 10000,
		 (unsigned)f->major % 100, (unsigned)f->minor % 10,
		 (unsigned)dev->drv->version / 1000 % 1000,
		 (unsigned)dev->drv->version % 1000 / 10);
}

static uint64_t default_budget(uint64_t memory_bytes)
{
	uint64_t budget = memory_bytes / 32;

	if (budget < MIN_BUDGET)
		return MIN_BUDGET;
	return budget > MAX_BUDGET ? MAX_BUDGET : budget;
}

static void note_uuid(struct device *dev)
{
	CUuuid uuid;

	if (!dev->drv->cuDeviceGetUuid(&uuid, dev->cu))
		uuid_text(&uuid, dev->caps.uuid);
}

static int examine(struct device *dev, const struct device_config *config, char *why,
		   size_t why_bytes)
{
	struct facts f = { 0 };
	CUresult result = ask(dev, &f);

	if (result) {
		snprintf(why, why_bytes, "cuda: the GPU's attributes: %s",
			 cuda_error_name(dev->drv, result));
		return -ENODEV;
	}
	dev->capability = f.major * 10 + f.minor;
	dev->sms = f.sms;
	dev->max_shared_bytes = f.shared_bytes > 0 ? (unsigned)f.shared_bytes : 0;
	dev->memory_bytes = f.memory_bytes;
	dev->workspace_budget =
		config->memory_bytes ? config->memory_bytes : default_budget(f.memory_bytes);
	fill_caps(dev, &f);
	if (dev->capability < MIN_CAPABILITY || f.sms < 1) {
		snprintf(why, why_bytes,
			 "cuda: %s has compute capability %d.%d; %d.%d or later is needed", f.name,
			 f.major, f.minor, MIN_CAPABILITY / 10, MIN_CAPABILITY % 10);
		return -ENODEV;
	}
	if (f.compute_mode == CU_COMPUTEMODE_PROHIBITED) {
		snprintf(why, why_bytes, "cuda: %s is set to compute mode \"prohibited\"", f.name);
		return -ENODEV;
	}
	return 0;
}

/* ---- open and close ---------------------------------------------------------------------------- */

static void configure(struct device *dev, const struct device_config *config)
{
	unsigned deadline_ms =
		config->launch_deadline_ms ? config->launch_deadline_ms : DEFAULT_DEADLINE_MS;

	pthread_mutex_init(&dev->lock, NULL);
	dev->drv = &dev->driver;
	dev->nr_base_lanes = config->cuda_lanes ? config->cuda_lanes : DEFAULT_LANES;
	if (dev->nr_base_lanes > CUDA_MAX_LANES - DEVICE_MAX_PARTITIONS)
		dev->nr_base_lanes = CUDA_MAX_LANES - DEVICE_MAX_PARTITIONS;
	dev->nr_lanes = dev->nr_base_lanes;
	dev->launch_deadline_ns = deadline_ms * 1000000ull;
	dev->fault_every = config->cuda_fault_every;
}

static void cuda_close(struct device *dev)
{
	if (dev->ctx)
		cuda_context_use(dev);
	cuda_flight_close(dev);
	cuda_weights_close(dev);
	cuda_arenas_close(dev);
	cuda_partitions_close(dev);
	cuda_context_close(dev);
	pthread_mutex_destroy(&dev->lock);
	free(dev);
}

/* "NAME=SMS" of the command line. */
static int add_partition(struct device *dev, const char *text, char *why, size_t why_bytes)
{
	const char *equals = strrchr(text, '=');
	char name[DEVICE_PARTITION_NAME], *end = NULL;
	unsigned long sms =
		equals && isdigit((unsigned char)equals[1]) ? strtoul(equals + 1, &end, 10) : 0;

	if (!end || *end || sms == 0 || sms > 65536 || (size_t)(equals - text) >= sizeof(name) ||
	    equals == text) {
		snprintf(why, why_bytes, "partition \"%s\": is not NAME=SMS", text);
		return -EINVAL;
	}
	snprintf(name, sizeof(name), "%.*s", (int)(equals - text), text);
	return cuda_partition_add(dev, name, (unsigned)sms, why, why_bytes);
}

static int start(struct device *dev, const struct device_config *config, char *why,
		 size_t why_bytes)
{
	int err = cuda_context_open(dev, why, why_bytes);

	for (unsigned i = 0; i < DEVICE_MAX_PARTITIONS && !err; i++) {
		if (config->partitions[i])
			err = add_partition(dev, config->partitions[i], why, why_bytes);
	}
	if (err)
		return err;
	err = cuda_arenas_open(dev);
	if (!err)
		err = cuda_weights_open(dev);
	if (!err)
		err = cuda_flight_open(dev);
	if (err)
		snprintf(why, why_bytes, "cuda: memory for its tables: %s", strerror(-err));
	return err;
}

static int cuda_open(const struct device_config *config, struct device **out, char *why,
		     size_t why_bytes)
{
	struct device *dev = calloc(1, sizeof(*dev));
	int err;

	if (!dev) {
		snprintf(why, why_bytes, "cuda: no memory");
		return -ENOMEM;
	}
	configure(dev, config);
	err = cuda_driver_open(&dev->driver, config->cuda_library, why, why_bytes);
	if (!err && !nr_cuda_images && !dev->driver.emulated) {
		snprintf(why, why_bytes, "cuda: built without CUDA kernels (no nvcc)");
		err = -ENODEV;
	}
	if (!err)
		err = find_gpu(dev, config->cuda_uuid, why, why_bytes);
	if (!err)
		err = examine(dev, config, why, why_bytes);
	if (!err)
		note_uuid(dev);
	if (!err)
		err = cuda_partitions_open(dev);
	if (!err)
		err = start(dev, config, why, why_bytes);
	if (err) {
		cuda_close(dev);
		return err;
	}
	*out = dev;
	return 0;
}

static unsigned cuda_count(const struct device_config *config, char *why, size_t why_bytes)
{
	struct cuda_driver drv;
	int count = 0;
	CUresult result;

	if (cuda_driver_open(&drv, config->cuda_library, why, why_bytes))
		return 0;
	result = drv.cuDeviceGetCount(&count);
	if (result || count < 1) {
		snprintf(why, why_bytes, "cuda: no GPU: %s", cuda_error_name(&drv, result));
		return 0;
	}
	return (unsigned)count;
}

/* What others have taken counts, and what lies free in our chunks does not. While a load
 * has the lock, the answer is the one before. */
static void cuda_memory(struct device *dev, uint64_t *used_bytes, uint64_t *total_bytes)
{
	size_t free_bytes, total;
	uint64_t taken, held;

	if (!pthread_mutex_trylock(&dev->lock)) {
		if (!cuda_context_use(dev) && !dev->drv->cuMemGetInfo(&free_bytes, &total)) {
			cuda_memory_usage(dev, &taken, &held);
			__atomic_store_n(&dev->memory_used, total - free_bytes - (held - taken),
					 __ATOMIC_RELAXED);
		}
		pthread_mutex_unlock(&dev->lock);
	}
	*used_bytes = __atomic_load_n(&dev->memory_used, __ATOMIC_RELAXED);
	*total_bytes = dev->memory_bytes;
}

static const struct device_caps *cuda_caps(const struct device *dev)
{
	return &dev->caps;
}

const struct device_ops cuda_device_ops = {
	.name = "cuda",
	.api_version = DEVICE_API_VERSION,
	.count = cuda_count,
	.open = cuda_open,
	.close = cuda_close,
	.caps = cuda_caps,
	.load = cuda_load,
	.unload = cuda_unload,
	.slots = cuda_slots,
	.step_class = cuda_step_class,
	.footprint = cuda_footprint,
	.bind = cuda_bind,
	.unbind = cuda_unbind,
	.memory = cuda_memory,
	.map_arena = cuda_map_arena,
	.unmap_arena = cuda_unmap_arena,
	.partition_add = cuda_partition_add,
	.partition_del = cuda_partition_del,
	.submit = cuda_submit,
	.poll = cuda_poll,
	.eval = cpu_eval,
};
