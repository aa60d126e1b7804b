// SPDX-License-Identifier: Apache-2.0
/*
 * Programs and bindings on the device: encode, allocate, upload.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/device/cuda/plan.h"

#define MIN_SLOTS 2

static void free_program(struct device_program *dp)
{
	for (uint32_t i = 0; i < dp->nr_weights; i++)
		cuda_weight_put(dp->dev, dp->weights[i]);
	cuda_mem_give(dp->dev, &dp->task_mem);
	cuda_mem_give(dp->dev, &dp->slots);
	free(dp->weights);
	free(dp->steps);
	free(dp->phases);
	free(dp->tasks);
	free(dp);
}

/* As many slots as the budget has room for, but no fewer than a request that runs and one that
 * waits behind it need. */
static int make_slots(struct device *dev, struct device_program *dp, char *why, size_t why_bytes)
{
	uint64_t one = dp->slot_bytes;
	uint64_t n = one ? dev->workspace_budget / one : dp->max_slots;
	int err;

	if (n < MIN_SLOTS)
		n = MIN_SLOTS;
	if (n > dp->max_slots)
		n = dp->max_slots;
	dp->nr_slots = (unsigned)n;
	if (!one)
		return 0;
	err = cuda_mem_take(dev, one * n, &dp->slots, why, why_bytes);
	return err ? err : cuda_zero(dev, dp->slots.address, one * n);
}

static int make(struct device *dev, struct device_program *dp, char *why, size_t why_bytes)
{
	int err = plan_program_steps(dev, dp, why, why_bytes);

	if (err)
		return err;
	snprintf(why, why_bytes, "program \"%s\": the device failed while it was loaded",
		 dp->program->name);
	return make_slots(dev, dp, why, why_bytes);
}

int cuda_load(struct device *dev, const struct program *program, unsigned max_slots,
	      struct device_program **out, char *why, size_t why_bytes)
{
	struct device_program *dp = calloc(1, sizeof(*dp));
	int err;

	if (!dp) {
		snprintf(why, why_bytes, "program \"%s\": no memory", program->name);
		return -ENOMEM;
	}
	dp->dev = dev;
	dp->program = program;
	dp->max_slots = max_slots;
	pthread_mutex_lock(&dev->lock);
	err = make(dev, dp, why, why_bytes);
	if (err)
		free_program(dp);
	else
		*out = dp;
	pthread_mutex_unlock(&dev->lock);
	return err;
}

void cuda_unload(struct device *dev, struct device_program *dp)
{
	pthread_mutex_lock(&dev->lock);
	free_program(dp);
	pthread_mutex_unlock(&dev->lock);
}

unsigned cuda_slots(const struct device_program *dp)
{
	return dp->nr_slots;
}

void cuda_footprint(const struct device_program *dp, uint64_t *weight_bytes,
		    uint64_t *workspace_bytes)
{
	*weight_bytes = dp->weight_bytes;
	*workspace_bytes = dp->slot_bytes * dp->nr_slots;
}

uint16_t cuda_step_class(const struct device_program *dp, uint32_t step)
{
	return dp->steps[step].klass;
}

/* ---- bindings ---------------------------------------------------------------------------------- */

static int place_binding(struct device *dev, struct device_binding *b, void *const *io, unsigned nr)
{
	uint64_t table[OOO_MAX_IO];
	char why[160];
	int err;

	for (unsigned i = 0; i < nr; i++) {
		table[i] = cuda_arena_address(dev, io[i]);
		if (!table[i] && io[i])
			return -EFAULT;
	}
	err = cuda_mem_take(dev, (nr ? nr : 1) * sizeof(table[0]), &b->table, why, sizeof(why));
	return err || !nr ? err : cuda_upload(dev, b->table.address, table, nr * sizeof(table[0]));
}

int cuda_bind(struct device *dev, struct device_program *dp, void *const *io,
	      struct device_binding **out)
{
	unsigned nr = dp->program->nr_inputs + dp->program->nr_outputs;
	struct device_binding *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return -ENOMEM;
	pthread_mutex_lock(&dev->lock);
	err = place_binding(dev, b, io, nr);
	if (err) {
		cuda_mem_give(dev, &b->table);
		pthread_mutex_unlock(&dev->lock);
		free(b);
		return err;
	}
	pthread_mutex_unlock(&dev->lock);
	*out = b;
	return 0;
}

void cuda_unbind(struct device *dev, struct device_binding *b)
{
	pthread_mutex_lock(&dev->lock);
	cuda_mem_give(dev, &b->table);
	pthread_mutex_unlock(&dev->lock);
	free(b);
}
