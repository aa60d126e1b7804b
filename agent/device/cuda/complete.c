// SPDX-License-Identifier: Apache-2.0
/*
 * Completion: records that the last block of a bundle's last launch writes to host memory, with the
 * device's own times. Polling reads one word of each lane's oldest record; the driver is asked only
 * when nothing has happened for a while, for errors, which leave no record.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/device/cpu/clock.h"
#include "agent/device/cuda/flight.h"
#include "agent/log.h"

#define CHECK_NS (2ull * 1000 * 1000) /* between two questions to the driver */

/* Whether the kernels were made for devices that let them overlap, as all or none were. */
static bool can_overlap(const struct device *dev)
{
	int made_for = 0;

	return !dev->drv->cuFuncGetAttribute(&made_for, CU_FUNC_ATTRIBUTE_PTX_VERSION,
					     dev->kernels[KERNEL_NOP]) &&
	       made_for >= 90;
}

int cuda_flight_open(struct device *dev)
{
	struct cuda_flight *f = calloc(1, sizeof(*f));
	size_t bytes = CUDA_MAX_RECORDS * sizeof(struct cuda_record);
	char why[160];
	int err;

	if (!f)
		return -ENOMEM;
	dev->flight = f;
	dev->overlaps = can_overlap(dev);
	f->records = cuda_host_take(dev, bytes, &f->records_device);
	if (!f->records)
		return -ENOMEM;
	memset(f->records, 0, bytes);
	bytes = CUDA_MAX_RECORDS * sizeof(struct cuda_progress);
	err = cuda_mem_take(dev, bytes, &f->progress, why, sizeof(why));
	return err ? err : cuda_zero(dev, f->progress.address, bytes);
}

void cuda_flight_close(struct device *dev)
{
	struct cuda_flight *f = dev->flight;

	if (!f)
		return;
	cuda_mem_give(dev, &f->progress);
	cuda_host_give(dev, f->records);
	free(f);
	dev->flight = NULL;
}

static uint64_t host_ns(const struct device *dev, uint64_t device_ns)
{
	return device_ns + (uint64_t)dev->clock_offset_ns;
}

static uint64_t tiles_of(const struct bundle_item *it)
{
	return it->program->steps ? it->program->steps[it->step].tiles : 0;
}

/* The bundle's time, by the tiles that each item had in it. */
static void share_time(struct bundle *b, uint64_t ns)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < b->nr_items; i++)
		sum += tiles_of(&b->items[i]);
	for (uint32_t i = 0; i < b->nr_items; i++) {
		uint64_t share = sum ? ns * tiles_of(&b->items[i]) / sum : 0;

		b->items[i].service_ns = share < UINT32_MAX ? (uint32_t)share : UINT32_MAX;
	}
}

static void read_record(struct device *dev, struct flight_lane *lane, const struct cuda_record *r,
			struct bundle *b)
{
	uint64_t start = r->end_ns - (uint32_t)r->done;

	/* Behind another bundle of the lane, the time counts from that one's end. */
	if (start < lane->last_end_ns)
		start = lane->last_end_ns;
	if (start > r->end_ns)
		start = r->end_ns;
	lane->last_end_ns = r->end_ns;
	cuda_clock_seen(dev, r->end_ns, clock_now_ns());
	b->start_ns = host_ns(dev, start);
	b->end_ns = host_ns(dev, r->end_ns);
	share_time(b, r->end_ns - start);
	for (uint32_t i = 0; i < b->nr_items; i++) {
		if (!r->status[i])
			continue;
		b->items[i].status = r->status[i];
		b->items[i].scope = SCOPE_REQUEST;
	}
}

static unsigned poll_lane(struct device *dev, unsigned index, struct bundle **done, unsigned max)
{
	struct flight_lane *lane = &dev->flight->lanes[index];
	unsigned n = 0;

	while (n < max && lane->head != lane->tail) {
		struct cuda_record *r = &dev->flight->records[flight_slot(index, lane->head)];
		struct bundle *b = lane->bundles[lane->head % CUDA_LANE_DEPTH];

		if (!flight_done(r, flight_seq(lane->head)))
			break;
		read_record(dev, lane, r, b);
		lane->head++;
		done[n++] = b;
	}
	return n;
}

/* ---- when nothing completes -------------------------------------------------------------------- */

static bool in_flight(const struct flight_lane *lane)
{
	return lane->head != lane->tail;
}

/* Report what is left. It is lost with its context. */
static unsigned fail_all(struct device *dev, struct bundle **done, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < dev->nr_lanes; i++) {
		struct flight_lane *lane = &dev->flight->lanes[i];

		while (in_flight(lane) && n < max) {
			struct bundle *b = lane->bundles[lane->head++ % CUDA_LANE_DEPTH];

			b->scope = SCOPE_DEVICE;
			b->start_ns = b->end_ns = clock_now_ns();
			done[n++] = b;
		}
	}
	return n;
}

/* A stream that has an error, or that is finished without a record, or a launch beyond its deadline:
 * the context is of no more use, and no other can be made in this process. */
static void look_for_errors(struct device *dev)
{
	uint64_t now = clock_now_ns();

	if (now - dev->flight->checked_ns < CHECK_NS)
		return;
	dev->flight->checked_ns = now;
	for (unsigned i = 0; i < dev->nr_lanes; i++) {
		struct flight_lane *lane = &dev->flight->lanes[i];
		unsigned at = lane->head % CUDA_LANE_DEPTH;
		uint64_t age = now - lane->submitted_ns[at];
		CUresult result;

		if (!in_flight(lane) || age < CHECK_NS)
			continue;
		result = dev->drv->cuStreamQuery(dev->lanes[i].stream);
		if (result && result != CUDA_ERROR_NOT_READY) {
			log_error("device %s: lane %u: %s: the device is lost", dev->caps.name, i,
				  cuda_error_name(dev->drv, result));
			dev->lost = true;
		} else if (dev->launch_deadline_ns && age > dev->launch_deadline_ns) {
			log_error("device %s: lane %u: a bundle of %u steps has not finished after "
				  "%llu ms: the device is given up",
				  dev->caps.name, i, lane->bundles[at]->nr_items,
				  (unsigned long long)(age / 1000000));
			dev->lost = true;
		}
	}
}

unsigned cuda_poll(struct device *dev, struct bundle **done, unsigned max)
{
	unsigned n = 0;

	if (dev->lost)
		return fail_all(dev, done, max);
	for (unsigned i = 0; i < dev->nr_lanes && n < max; i++)
		n += poll_lane(dev, i, done + n, max - n);
	if (!n)
		look_for_errors(dev);
	return n;
}
