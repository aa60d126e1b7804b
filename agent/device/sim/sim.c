// SPDX-License-Identifier: Apache-2.0
/*
 * The sim device: executes nothing, takes a fixed time per bundle and per item on a virtual clock,
 * and can fail every n-th bundle. Time moves only when poll() finds nothing finished: it then jumps
 * to the end of the next bundle. For tests, for the ring benchmark (zero cost), and later for
 * planning with a calibrated cost table.
 *
 * Results are not computed: outputs keep what the arena held.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "agent/device/device.h"
#include "shared/abi/status.h"

#define SIM_LANE_DEPTH 16
#define SIM_SLOTS      64

struct device {
	struct device_caps caps;
	uint64_t step_ns, item_ns;
	uint32_t fail_every, fail_scope;
	uint64_t now_ns;      /* virtual, starts at CLOCK_MONOTONIC so that deadlines make sense */
	uint64_t lane_end_ns; /* when the lane has run all that is queued */
	uint64_t nr_bundles;
	struct bundle *head, *tail; /* queued, in order */
	unsigned nr_queued;
};

struct device_program {
	unsigned slots;
	uint64_t weight_bytes;
};

struct device_binding {
	int unused; /* nothing is read or written */
};

static int sim_open(const struct device_config *config, struct device **out, char *why,
		    size_t why_bytes)
{
	struct device *dev = calloc(1, sizeof(*dev));
	struct timespec ts;

	if (!dev) {
		snprintf(why, why_bytes, "sim: no memory");
		return -ENOMEM;
	}
	clock_gettime(CLOCK_MONOTONIC, &ts);
	dev->now_ns = (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
	dev->lane_end_ns = dev->now_ns;
	dev->step_ns = config->sim_step_ns;
	dev->item_ns = config->sim_item_ns;
	dev->fail_every = config->sim_fail_every;
	dev->fail_scope = config->sim_fail_scope;
	dev->caps = (struct device_caps){
		.name = "sim",
		.nr_lanes = 1,
		.lane_depth = SIM_LANE_DEPTH,
		.max_items = BUNDLE_MAX_ITEMS,
		.mixed_classes = true,
		.executes = false,
		.virtual_clock = true,
		.image_layout = LAYOUT_PLAIN,
		.threads = 1,
		.flops_per_ns = 1e12, /* the prior must not suggest a cost that the clock lacks */
		.bytes_per_ns = 1e12,
	};
	snprintf(dev->caps.description, sizeof(dev->caps.description),
		 "virtual clock, %llu ns a bundle and %llu ns an item",
		 (unsigned long long)dev->step_ns, (unsigned long long)dev->item_ns);
	*out = dev;
	return 0;
}

static void sim_close(struct device *dev)
{
	free(dev);
}

static const struct device_caps *sim_caps(const struct device *dev)
{
	return &dev->caps;
}

static int sim_load(struct device *dev, const struct program *program, unsigned max_slots,
		    struct device_program **out, char *why, size_t why_bytes)
{
	struct device_program *dp = calloc(1, sizeof(*dp));

	(void)dev;
	if (!dp) {
		snprintf(why, why_bytes, "program \"%s\": no memory", program->name);
		return -ENOMEM;
	}
	dp->slots = max_slots < SIM_SLOTS ? max_slots : SIM_SLOTS;
	dp->weight_bytes = program->weight_bytes;
	*out = dp;
	return 0;
}

static void sim_unload(struct device *dev, struct device_program *dp)
{
	(void)dev;
	free(dp);
}

static unsigned sim_slots(const struct device_program *dp)
{
	return dp->slots;
}

static void sim_footprint(const struct device_program *dp, uint64_t *weight_bytes,
			  uint64_t *workspace_bytes)
{
	*weight_bytes = dp->weight_bytes;
	*workspace_bytes = 0;
}

static int sim_bind(struct device *dev, struct device_program *dp, void *const *io,
		    struct device_binding **out)
{
	(void)dev;
	(void)dp;
	(void)io;
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

static void sim_unbind(struct device *dev, struct device_binding *binding)
{
	(void)dev;
	free(binding);
}

static void inject(struct device *dev, struct bundle *b)
{
	if (!dev->fail_every || dev->nr_bundles % dev->fail_every)
		return;
	if (dev->fail_scope >= SCOPE_CONTEXT) {
		b->scope = (uint16_t)dev->fail_scope;
	} else {
		b->items[0].status = OOO_BAD_INDEX;
		b->items[0].scope = SCOPE_REQUEST;
	}
}

static int sim_submit(struct device *dev, struct bundle *b)
{
	uint64_t start = dev->lane_end_ns > dev->now_ns ? dev->lane_end_ns : dev->now_ns;
	uint64_t cost = dev->step_ns + dev->item_ns * b->nr_items;

	if (dev->nr_queued == SIM_LANE_DEPTH)
		return -EAGAIN;
	dev->nr_queued++;
	dev->nr_bundles++;
	b->start_ns = start;
	b->end_ns = dev->lane_end_ns = start + cost;
	b->scope = SCOPE_NONE;
	for (uint32_t i = 0; i < b->nr_items; i++) {
		b->items[i].status = OOO_OK;
		b->items[i].scope = SCOPE_NONE;
		b->items[i].service_ns = (uint32_t)(cost / b->nr_items);
	}
	inject(dev, b);
	b->next = NULL;
	if (dev->tail)
		dev->tail->next = b;
	else
		dev->head = b;
	dev->tail = b;
	return 0;
}

static unsigned sim_poll(struct device *dev, struct bundle **done, unsigned max)
{
	unsigned n = 0;

	if (dev->head && dev->head->end_ns > dev->now_ns)
		dev->now_ns = dev->head->end_ns;
	while (n < max && dev->head && dev->head->end_ns <= dev->now_ns) {
		struct bundle *b = dev->head;

		dev->head = b->next;
		if (!dev->head)
			dev->tail = NULL;
		dev->nr_queued--;
		done[n++] = b;
	}
	return n;
}

static uint64_t sim_clock_ns(struct device *dev)
{
	return dev->now_ns;
}

const struct device_ops sim_device_ops = {
	.name = "sim",
	.api_version = DEVICE_API_VERSION,
	.open = sim_open,
	.close = sim_close,
	.caps = sim_caps,
	.load = sim_load,
	.unload = sim_unload,
	.slots = sim_slots,
	.footprint = sim_footprint,
	.bind = sim_bind,
	.unbind = sim_unbind,
	.submit = sim_submit,
	.poll = sim_poll,
	.clock_ns = sim_clock_ns,
};
