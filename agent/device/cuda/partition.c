// SPDX-License-Identifier: Apache-2.0
/*
 * Partitions: green contexts, each with some of the GPU's multiprocessors and with lanes of its own.
 * The GPU is split once into groups of the smallest size that it allows; a partition is some of
 * them, and as long as there is one, the other lanes have what is left.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/device/cuda/cuda.h"

#define MAX_GROUPS      64
#define PARTITION_LANES 1
#define FREE            0 /* owner of a group: the base; else 1 + index of the partition */

struct cuda_partitions {
	CUdevResource groups[MAX_GROUPS], rest;
	uint8_t owner[MAX_GROUPS];
	unsigned nr_groups, group_sms;
	bool has_rest; /* fewer multiprocessors than a group */
	CUgreenCtx green[DEVICE_MAX_PARTITIONS];
	CUgreenCtx base; /* NULL while there is no partition: the whole device */
};

static int failed(struct device *dev, CUresult result, const char *what, char *why,
		  size_t why_bytes)
{
	snprintf(why, why_bytes, "device %s: partitions: %s: %s", dev->caps.name, what,
		 cuda_error_name(dev->drv, result));
	return result == CUDA_ERROR_OUT_OF_MEMORY ? -ENOMEM : -EIO;
}

/* Groups of equal size; the driver rounds it up to what the GPU allows. */
static int split(struct device *dev, char *why, size_t why_bytes)
{
	struct cuda_partitions *p = dev->partitions;
	unsigned n = MAX_GROUPS;
	CUdevResource all;
	CUresult result;

	result = dev->drv->cuDeviceGetDevResource(dev->cu, &all, CU_DEV_RESOURCE_TYPE_SM);
	if (!result)
		result = dev->drv->cuDevSmResourceSplitByCount(p->groups, &n, &all, &p->rest, 0, 1);
	if (result)
		return failed(dev, result, "the GPU cannot be split", why, why_bytes);
	if (n < 2 || n > MAX_GROUPS || !p->groups[0].sm.smCount) {
		snprintf(why, why_bytes, "device %s: partitions: the GPU splits into %u parts only",
			 dev->caps.name, n);
		return -EOPNOTSUPP;
	}
	p->nr_groups = n;
	p->group_sms = p->groups[0].sm.smCount;
	p->has_rest = p->rest.type == CU_DEV_RESOURCE_TYPE_SM && p->rest.sm.smCount > 0;
	return 0;
}

/* A green context of all groups with this owner. */
static int make_green(struct device *dev, uint8_t owner, CUgreenCtx *out, char *why,
		      size_t why_bytes)
{
	struct cuda_partitions *p = dev->partitions;
	CUdevResource mine[MAX_GROUPS + 1];
	CUdevResourceDesc desc;
	unsigned n = 0;
	CUresult result;

	for (unsigned i = 0; i < p->nr_groups; i++) {
		if (p->owner[i] == owner)
			mine[n++] = p->groups[i];
	}
	if (owner == FREE && p->has_rest)
		mine[n++] = p->rest;
	result = dev->drv->cuDevResourceGenerateDesc(&desc, mine, n);
	if (!result)
		result =
			dev->drv->cuGreenCtxCreate(out, desc, dev->cu, CU_GREEN_CTX_DEFAULT_STREAM);
	if (!result)
		return 0;
	*out = NULL;
	return failed(dev, result, "no green context", why, why_bytes);
}

static CUresult make_stream(struct device *dev, CUgreenCtx green, CUstream *out)
{
	CUresult result;

	*out = NULL;
	if (green)
		result = dev->drv->cuGreenCtxStreamCreate(out, green, CU_STREAM_NON_BLOCKING,
							  dev->priority);
	else
		result = dev->drv->cuStreamCreateWithPriority(out, CU_STREAM_NON_BLOCKING,
							      dev->priority);
	return result;
}

static void drop_stream(struct device *dev, CUstream *stream)
{
	if (*stream)
		dev->drv->cuStreamDestroy(*stream);
	*stream = NULL;
}

/* ---- the lanes of no partition ----------------------------------------------------------------- */

static bool any_partition(const struct cuda_partitions *p)
{
	for (unsigned i = 0; i < p->nr_groups; i++) {
		if (p->owner[i] != FREE)
			return true;
	}
	return false;
}

/* Put the base lanes on the groups that are now free. On failure nothing has changed. What they
 * have in flight is waited for: a lane's order must hold across the change. */
static int remake_base(struct device *dev, char *why, size_t why_bytes)
{
	struct cuda_partitions *p = dev->partitions;
	CUstream streams[CUDA_MAX_LANES] = { 0 };
	CUgreenCtx base = NULL;
	CUresult result = CUDA_SUCCESS;
	int err = 0;

	if (any_partition(p))
		err = make_green(dev, FREE, &base, why, why_bytes);
	if (err)
		return err;
	for (unsigned i = 0; i < dev->nr_base_lanes && !result; i++)
		result = make_stream(dev, base, &streams[i]);
	for (unsigned i = 0; i < dev->nr_base_lanes && !result; i++)
		result = dev->drv->cuStreamSynchronize(dev->lanes[i].stream);
	if (result) {
		for (unsigned i = 0; i < dev->nr_base_lanes; i++)
			drop_stream(dev, &streams[i]);
		if (base)
			dev->drv->cuGreenCtxDestroy(base);
		return failed(dev, result, "the other lanes cannot be moved", why, why_bytes);
	}
	for (unsigned i = 0; i < dev->nr_base_lanes; i++) {
		drop_stream(dev, &dev->lanes[i].stream);
		dev->lanes[i].stream = streams[i];
	}
	if (p->base)
		dev->drv->cuGreenCtxDestroy(p->base);
	p->base = base;
	return 0;
}

/* ---- one partition ----------------------------------------------------------------------------- */

static void drop_lanes(struct device *dev, unsigned index)
{
	const struct device_partition *part = &dev->caps.partition[index];

	for (unsigned i = 0; i < part->nr_lanes; i++)
		drop_stream(dev, &dev->lanes[part->first_lane + i].stream);
	if (dev->partitions->green[index])
		dev->drv->cuGreenCtxDestroy(dev->partitions->green[index]);
	dev->partitions->green[index] = NULL;
}

static int make_lanes(struct device *dev, unsigned index, char *why, size_t why_bytes)
{
	const struct device_partition *part = &dev->caps.partition[index];
	CUgreenCtx *green = &dev->partitions->green[index];
	CUresult result = CUDA_SUCCESS;
	int err = make_green(dev, (uint8_t)(index + 1), green, why, why_bytes);

	for (unsigned i = 0; i < part->nr_lanes && !err && !result; i++)
		result = make_stream(dev, *green, &dev->lanes[part->first_lane + i].stream);
	if (result)
		err = failed(dev, result, "no stream", why, why_bytes);
	if (err)
		drop_lanes(dev, index);
	return err;
}

/* Free groups, from the end, for a partition of so many SMs. Some group stays with the base. */
static int take_groups(struct device *dev, unsigned index, unsigned sms, char *why,
		       size_t why_bytes)
{
	struct cuda_partitions *p = dev->partitions;
	unsigned want = sms / p->group_sms + (sms % p->group_sms != 0), have = 0;

	for (unsigned i = 0; i < p->nr_groups; i++)
		have += p->owner[i] == FREE;
	if (want + 1 > have) {
		snprintf(why, why_bytes,
			 "device %s: a partition of %u SMs: %u are the most that there are now, in "
			 "steps of %u",
			 dev->caps.name, sms, have ? (have - 1) * p->group_sms : 0, p->group_sms);
		return -ENOSPC;
	}
	for (unsigned i = p->nr_groups; i-- > 0 && want;) {
		if (p->owner[i] != FREE)
			continue;
		p->owner[i] = (uint8_t)(index + 1);
		dev->caps.partition[index].units += p->groups[i].sm.smCount;
		want--;
	}
	return 0;
}

static void release(struct device *dev, unsigned index)
{
	struct cuda_partitions *p = dev->partitions;

	drop_lanes(dev, index);
	for (unsigned i = 0; i < p->nr_groups; i++) {
		if (p->owner[i] == index + 1)
			p->owner[i] = FREE;
	}
	dev->caps.partition[index] = (struct device_partition){ 0 };
}

static int find(const struct device *dev, const char *name)
{
	for (int i = 0; i < DEVICE_MAX_PARTITIONS; i++) {
		if (!strcmp(dev->caps.partition[i].name, name))
			return i;
	}
	return -1;
}

static int check(struct device *dev, const char *name, unsigned sms, char *why, size_t why_bytes)
{
	if (!dev->caps.partitions) {
		snprintf(why, why_bytes,
			 "device %s: no partitions: a driver for CUDA 12.5 or later and a GPU that "
			 "splits are needed",
			 dev->caps.name);
		return -EOPNOTSUPP;
	}
	if (!name[0] || strlen(name) >= DEVICE_PARTITION_NAME || !sms) {
		snprintf(why, why_bytes,
			 "device %s: a partition needs a name of 1 to %d bytes and an SM at least",
			 dev->caps.name, DEVICE_PARTITION_NAME - 1);
		return -EINVAL;
	}
	if (find(dev, name) >= 0) {
		snprintf(why, why_bytes, "device %s: partition \"%s\": exists already",
			 dev->caps.name, name);
		return -EEXIST;
	}
	if (find(dev, "") < 0) {
		snprintf(why, why_bytes, "device %s: partition \"%s\": there are %d already",
			 dev->caps.name, name, DEVICE_MAX_PARTITIONS);
		return -ENOSPC;
	}
	return 0;
}

int cuda_partition_add(struct device *dev, const char *name, unsigned sms, char *why,
		       size_t why_bytes)
{
	struct device_partition *part;
	unsigned index;
	int err = check(dev, name, sms, why, why_bytes);

	if (!err)
		err = cuda_context_use(dev);
	if (err)
		return err;
	index = (unsigned)find(dev, "");
	part = &dev->caps.partition[index];
	snprintf(part->name, sizeof(part->name), "%s", name);
	part->first_lane = dev->nr_base_lanes + index * PARTITION_LANES;
	part->nr_lanes = PARTITION_LANES;
	err = take_groups(dev, index, sms, why, why_bytes);
	if (!err)
		err = make_lanes(dev, index, why, why_bytes);
	if (!err)
		err = remake_base(dev, why, why_bytes);
	if (err) {
		release(dev, index);
		return err;
	}
	if (dev->nr_lanes < part->first_lane + part->nr_lanes)
		dev->nr_lanes = part->first_lane + part->nr_lanes;
	for (unsigned i = 0; i < part->nr_lanes; i++)
		dev->lanes[part->first_lane + i].partition = (uint16_t)(index + 1);
	dev->caps.nr_lanes = dev->nr_lanes;
	return 0;
}

int cuda_partition_del(struct device *dev, const char *name, char *why, size_t why_bytes)
{
	int index = name[0] ? find(dev, name) : -1;
	int err = cuda_context_use(dev);

	if (index < 0) {
		snprintf(why, why_bytes, "device %s: partition \"%s\": there is none of this name",
			 dev->caps.name, name);
		return -ENOENT;
	}
	if (err) {
		snprintf(why, why_bytes, "device %s: has no context", dev->caps.name);
		return err;
	}
	release(dev, (unsigned)index);
	/* If it fails, the base lanes have fewer SMs than they could, and work. */
	return remake_base(dev, why, why_bytes);
}

/* ---- the whole --------------------------------------------------------------------------------- */

int cuda_partitions_open(struct device *dev)
{
	char why[160];

	dev->partitions = calloc(1, sizeof(*dev->partitions));
	if (!dev->partitions)
		return -ENOMEM;
	dev->caps.partitions = dev->drv->partitions && !split(dev, why, sizeof(why));
	return 0;
}

/* Streams go with the context; green contexts do not. */
static void drop_greens(struct device *dev)
{
	struct cuda_partitions *p = dev->partitions;

	for (unsigned i = 0; i < DEVICE_MAX_PARTITIONS; i++) {
		if (p->green[i])
			dev->drv->cuGreenCtxDestroy(p->green[i]);
		p->green[i] = NULL;
	}
	if (p->base)
		dev->drv->cuGreenCtxDestroy(p->base);
	p->base = NULL;
}

void cuda_partitions_close(struct device *dev)
{
	if (!dev->partitions)
		return;
	if (!cuda_context_use(dev)) {
		for (unsigned i = 0; i < DEVICE_MAX_PARTITIONS; i++)
			drop_lanes(dev, i);
		for (unsigned i = 0; i < dev->nr_base_lanes && dev->partitions->base; i++)
			drop_stream(dev, &dev->lanes[i].stream);
	}
	drop_greens(dev);
	free(dev->partitions);
	dev->partitions = NULL;
}
