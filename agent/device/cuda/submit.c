// SPDX-License-Identifier: Apache-2.0
/*
 * A bundle -> launches. Mostly one: all items' tasks of the same kernel side by side. Steps of
 * several phases, or more tasks than a launch holds, make several launches in the lane's order; the
 * last one reports the bundle. No allocation, no encoding and no call but the launch itself.
 */
#include <errno.h>
#include <string.h>

#include "agent/device/cpu/clock.h"
#include "agent/device/cuda/flight.h"

struct builder {
	struct device *dev;
	struct cuda_flight *flight;
	const struct bundle *bundle;
	struct cuda_launch *launch;
	CUstream stream;
	unsigned kernel; /* of the entries gathered so far */
	unsigned nr_launched;
};

static int launch(struct builder *b, unsigned kernel, uint32_t flags)
{
	struct cuda_launch *l = b->launch;
	void *params[] = { l };
	/* The kernel may begin while the one before it ends: see grid_wait(). */
	CUlaunchAttribute overlap = {
		.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
		.value.programmaticStreamSerializationAllowed = 1,
	};
	CUlaunchConfig config = {
		.gridDimX = l->nr_entries ? l->entries[l->nr_entries - 1].tile_end : 1,
		.gridDimY = 1,
		.gridDimZ = 1,
		.blockDimX = cuda_kernel_info[kernel].threads,
		.blockDimY = 1,
		.blockDimZ = 1,
		.sharedMemBytes = cuda_kernel_info[kernel].shared_bytes,
		.hStream = b->stream,
		.attrs = &overlap,
		.numAttrs = b->dev->overlaps,
	};
	CUresult result;

	l->flags = flags | (b->nr_launched ? 0 : CUDA_LAUNCH_FIRST);
	result = b->dev->drv->cuLaunchKernelEx(&config, b->dev->kernels[kernel], params, NULL);
	if (result) {
		if (cuda_scope(result) >= SCOPE_CONTEXT)
			b->dev->lost = true;
		return -EIO;
	}
	b->nr_launched++;
	l->nr_entries = 0;
	return 0;
}

/* Everything gathered goes out; more of this bundle follows. */
static int flush(struct builder *b)
{
	return b->launch->nr_entries ? launch(b, b->kernel, 0) : 0;
}

static int add_phase(struct builder *b, uint32_t item, const struct cuda_phase *ph)
{
	const struct bundle_item *it = &b->bundle->items[item];
	const struct device_program *dp = it->program;
	struct cuda_launch *l = b->launch;

	for (uint32_t i = 0; i < ph->nr_tasks; i++) {
		const struct cuda_task_ref *task = &dp->tasks[ph->first_task + i];
		uint32_t before = l->nr_entries ? l->entries[l->nr_entries - 1].tile_end : 0;

		if (l->nr_entries == CUDA_MAX_ENTRIES || b->kernel != ph->kernel ||
		    before > INT32_MAX - task->nr_tiles) {
			int err = flush(b);

			if (err)
				return err;
			before = 0;
		}
		b->kernel = ph->kernel;
		l->entries[l->nr_entries++] = (struct cuda_entry){
			.task = task->address,
			.slot = dp->slots.address + it->slot * dp->slot_bytes,
			.io = it->binding->table.address,
			.tile_end = before + task->nr_tiles,
			.item = item,
		};
	}
	return 0;
}

/* Phase p of every item that has one, kernel by kernel. */
static int add_phases(struct builder *b, uint32_t p, bool *more)
{
	uint8_t done[BUNDLE_MAX_ITEMS] = { 0 };

	*more = false;
	for (uint32_t i = 0; i < b->bundle->nr_items; i++) {
		uint16_t kernel = 0;
		bool first = true;

		if (done[i])
			continue;
		for (uint32_t j = i; j < b->bundle->nr_items; j++) {
			const struct bundle_item *it = &b->bundle->items[j];
			const struct cuda_step *cs = &it->program->steps[it->step];
			const struct cuda_phase *ph = &it->program->phases[cs->first_phase + p];
			int err;

			if (done[j] || cs->nr_phases <= p) {
				done[j] = 1;
				continue;
			}
			if (first)
				kernel = ph->kernel;
			first = false;
			if (ph->kernel != kernel)
				continue;
			done[j] = 1;
			*more |= cs->nr_phases > p + 1;
			err = add_phase(b, j, ph);
			if (err)
				return err;
		}
	}
	return 0;
}

/* A later phase may depend on this one: it needs a launch of its own. */
static int build(struct builder *b)
{
	bool more = true;
	int err;

	for (uint32_t p = 0; more; p++) {
		err = add_phases(b, p, &more);
		if (!err && more)
			err = flush(b);
		if (err)
			return err;
	}
	if (!b->launch->nr_entries)
		b->kernel = KERNEL_NOP; /* nothing to compute: the lane's order still holds */
	return launch(b, b->kernel, CUDA_LAUNCH_LAST);
}

static void clear_outcome(struct bundle *bundle, struct cuda_record *r)
{
	for (uint32_t i = 0; i < bundle->nr_items; i++) {
		bundle->items[i].status = OOO_OK;
		bundle->items[i].scope = SCOPE_NONE;
		bundle->items[i].service_ns = 0;
	}
	bundle->scope = SCOPE_NONE;
	r->end_ns = 0;
	memset(r->status, 0, bundle->nr_items);
}

static bool fault_due(struct device *dev)
{
	return dev->fault_every && ++dev->flight->nr_bundles % dev->fault_every == 0;
}

int cuda_submit(struct device *dev, struct bundle *bundle)
{
	struct cuda_flight *flight = dev->flight;
	struct flight_lane *lane = &flight->lanes[bundle->lane];
	uint32_t slot = flight_slot(bundle->lane, lane->tail);
	struct builder b = {
		.dev = dev,
		.flight = flight,
		.bundle = bundle,
		.launch = &flight->launch,
		.stream = dev->lanes[bundle->lane].stream,
	};
	int err;

	if (lane->tail - lane->head == CUDA_LANE_DEPTH)
		return -EAGAIN;
	if (dev->lost)
		return -ENODEV;
	err = cuda_context_use(dev);
	if (err)
		return err;
	clear_outcome(bundle, &flight->records[slot]);
	b.launch->record = flight->records_device + slot * sizeof(struct cuda_record);
	b.launch->progress = flight->progress.address + slot * sizeof(struct cuda_progress);
	b.launch->seq = flight_seq(lane->tail);
	b.launch->nr_entries = 0;
	err = fault_due(dev) ? launch(&b, KERNEL_TRAP, CUDA_LAUNCH_LAST) : build(&b);
	if (err && !b.nr_launched)
		return dev->lost ? -ENODEV : err;
	/* A part of it runs: it is the device's to report, and there will be no record. */
	if (err)
		dev->lost = true;
	lane->bundles[lane->tail % CUDA_LANE_DEPTH] = bundle;
	lane->submitted_ns[lane->tail % CUDA_LANE_DEPTH] = clock_now_ns();
	lane->tail++;
	return 0;
}
