// SPDX-License-Identifier: Apache-2.0
/*
 * The sim device: executes nothing, takes time on a virtual clock, and can fail every n-th bundle.
 * Time moves only when poll() finds nothing finished: it then jumps to the end of the next bundle.
 * What a bundle takes is fixed per bundle and per item, each lane for itself (tests, and the ring
 * benchmark at zero cost), or follows the model of a real device (sim.h: planning).
 *
 * Results are not computed: outputs keep what the arena held.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/device/sim/sim.h"
#include "shared/abi/status.h"

#define SIM_LANE_DEPTH 16
#define SIM_SLOTS      64
#define SIM_UNITS      128u /* processors, which partitions have in steps of: */
#define SIM_UNIT_STEP  8u

struct sim_lane {
	uint64_t end_ns;            /* when it has run all that is queued */
	struct bundle *head, *tail; /* queued, in order */
	unsigned nr_queued;
};

struct device {
	struct device_caps caps;
	const struct sim_model *model; /* NULL: step_ns and item_ns */
	unsigned nr_base_lanes;        /* of no partition */
	uint64_t step_ns, item_ns;
	uint64_t work_end_ns; /* the device has done all the work of the bundles so far */
	uint64_t limit_ns;
	uint64_t random;
	uint32_t fail_every, fail_scope;
	bool paced;      /* now_ns is CLOCK_MONOTONIC */
	uint64_t now_ns; /* virtual, starts at CLOCK_MONOTONIC so that deadlines make sense */
	uint64_t nr_bundles;
	struct sim_lane lanes[DEVICE_MAX_LANES];
	unsigned nr_queued; /* in all lanes */
	bool failed; /* an error took the context: all that is queued fails, nothing new runs */
	bool gone;   /* the device itself */
};

struct device_program {
	unsigned slots;
	uint64_t weight_bytes;
	struct sim_cost *costs;  /* by step; NULL without a model */
	float factor[SIM_SLOTS]; /* of the request in that slot, see sim_model.spread */
};

struct device_binding {
	int unused; /* nothing is read or written */
};

struct sim_cost sim_class_cost(const struct sim_class *c, uint64_t flops, uint64_t bytes)
{
	double compute = c->flops_per_ns > 0 ? (double)flops / c->flops_per_ns : 0;
	double memory = c->bytes_per_ns > 0 ? (double)bytes / c->bytes_per_ns : 0;
	double ns = c->fixed_ns + (compute > memory ? compute : memory);
	double work = c->width > 1 ? ns / c->width : ns;

	return (struct sim_cost){
		.latency_ns = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX,
		.work_ns = work < UINT32_MAX ? (uint32_t)work : UINT32_MAX,
	};
}

static uint64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* The clock starts at 1 s, so that a run depends on nothing but its seed. */
static void use_model(struct device *dev, const struct sim_model *m)
{
	struct device_caps *caps = &dev->caps;

	dev->model = m;
	dev->now_ns = 1000000000;
	dev->random = m->seed * 2654435761u + 88172645463325252ull;
	caps->nr_lanes = m->lanes;
	caps->lane_depth = m->lane_depth;
	caps->max_items = m->max_items;
	caps->mixed_classes = m->mixed_classes;
	caps->width = m->width;
	caps->threads = m->threads;
	caps->runahead_us = m->runahead_us;
	caps->launch_ns = (unsigned)m->launch_ns;
	snprintf(caps->description, sizeof(caps->description), "virtual clock, after %s", m->name);
}

static int sim_open(const struct device_config *config, struct device **out, char *why,
		    size_t why_bytes)
{
	struct device *dev = calloc(1, sizeof(*dev));

	if (!dev) {
		snprintf(why, why_bytes, "sim: no memory");
		return -ENOMEM;
	}
	dev->paced = config->sim_paced;
	dev->now_ns = monotonic_ns();
	dev->limit_ns = UINT64_MAX;
	dev->step_ns = config->sim_step_ns;
	dev->item_ns = config->sim_item_ns;
	dev->fail_every = config->sim_fail_every;
	dev->fail_scope = config->sim_fail_scope;
	dev->caps = (struct device_caps){
		.name = "sim",
		.nr_lanes = config->sim_lanes ? config->sim_lanes : 1,
		.lane_depth = SIM_LANE_DEPTH,
		.max_items = BUNDLE_MAX_ITEMS,
		.mixed_classes = true,
		.executes = false,
		.virtual_clock = !config->sim_paced,
		.image_layout = LAYOUT_PLAIN,
		.threads = 1,
		.flops_per_ns = 1e12, /* the prior must not suggest a cost that the clock lacks */
		.bytes_per_ns = 1e12,
	};
	snprintf(dev->caps.description, sizeof(dev->caps.description),
		 "%s clock, %llu ns a bundle and %llu ns an item", dev->paced ? "real" : "virtual",
		 (unsigned long long)dev->step_ns, (unsigned long long)dev->item_ns);
	if (config->sim_model)
		use_model(dev, config->sim_model);
	/* A model says how lanes share the whole device, not a part of it. */
	dev->caps.partitions = !config->sim_model &&
			       dev->caps.nr_lanes + DEVICE_MAX_PARTITIONS <= DEVICE_MAX_LANES;
	dev->nr_base_lanes = dev->caps.nr_lanes;
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

	if (dp && dev->model)
		dp->costs = calloc(program->nr_steps + 1, sizeof(*dp->costs));
	if (!dp || (dev->model && !dp->costs)) {
		free(dp);
		snprintf(why, why_bytes, "program \"%s\": no memory", program->name);
		return -ENOMEM;
	}
	for (uint32_t i = 0; dp->costs && i < program->nr_steps; i++) {
		const struct step *s = &program->steps[i];

		dp->costs[i] =
			sim_class_cost(&dev->model->classes[s->klass], s->flops, s->traffic_bytes);
	}
	dp->slots = max_slots < SIM_SLOTS ? max_slots : SIM_SLOTS;
	dp->weight_bytes = program->weight_bytes;
	*out = dp;
	return 0;
}

static void sim_unload(struct device *dev, struct device_program *dp)
{
	(void)dev;
	free(dp->costs);
	free(dp);
}

void sim_set_cost(struct device_program *dp, uint32_t step, struct sim_cost cost)
{
	dp->costs[step] = cost;
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

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	return *state ^= *state << 17;
}

/* Between two quantiles, linearly. */
static float draw_factor(struct device *dev)
{
	const struct sim_model *m = dev->model;
	double at = (double)(random_next(&dev->random) >> 11) / 9007199254740992.0;
	unsigned i;

	if (m->nr_spread < 2)
		return 1;
	at *= m->nr_spread - 1;
	i = (unsigned)at;
	return (float)(m->spread[i] + (m->spread[i + 1] - m->spread[i]) * (at - i));
}

/* The costs of an item, with what its request drew when its first step came. */
static void item_cost(struct device *dev, const struct bundle_item *item, double *latency,
		      double *work)
{
	struct device_program *dp = item->program;
	const struct sim_cost *c = &dp->costs[item->step];

	if (!item->step)
		dp->factor[item->slot] = draw_factor(dev);
	*latency = c->latency_ns * (double)dp->factor[item->slot];
	*work = c->work_ns * (double)dp->factor[item->slot];
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* What each item is charged adds up to the device's time, or is its own on a thread. */
static void charge_items(const struct device *dev, struct bundle *b, const double *work,
			 const double *latency, double work_sum)
{
	double took = (double)(b->end_ns - b->start_ns);

	for (uint32_t i = 0; i < b->nr_items; i++) {
		double ns = !dev->model->width ? latency[i]
			    : work_sum > 0     ? took * work[i] / work_sum
					       : took / b->nr_items;

		b->items[i].service_ns = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
	}
}

static void run_by_model(struct device *dev, struct sim_lane *lane, struct bundle *b)
{
	const struct sim_model *m = dev->model;
	double latency[BUNDLE_MAX_ITEMS], work[BUNDLE_MAX_ITEMS], longest = 0, sum = 0;

	for (uint32_t i = 0; i < b->nr_items; i++) {
		item_cost(dev, &b->items[i], &latency[i], &work[i]);
		sum += work[i];
		if (latency[i] > longest)
			longest = latency[i];
	}
	dev->now_ns += m->launch_ns;
	b->start_ns = later(dev->now_ns, lane->end_ns);
	dev->work_end_ns = later(dev->work_end_ns, b->start_ns + m->gap_ns) + (uint64_t)sum;
	b->end_ns = later(b->start_ns + m->gap_ns + (uint64_t)longest, dev->work_end_ns);
	charge_items(dev, b, work, latency, sum);
}

static void run_by_count(const struct device *dev, const struct sim_lane *lane, struct bundle *b)
{
	uint64_t cost = dev->step_ns + dev->item_ns * b->nr_items;

	b->start_ns = later(lane->end_ns, dev->now_ns);
	b->end_ns = b->start_ns + cost;
	for (uint32_t i = 0; i < b->nr_items; i++)
		b->items[i].service_ns = (uint32_t)(cost / b->nr_items);
}

static int sim_submit(struct device *dev, struct bundle *b)
{
	struct sim_lane *lane = &dev->lanes[b->lane];

	if (dev->paced)
		dev->now_ns = monotonic_ns();
	if (dev->failed)
		return dev->gone ? -ENODEV : -EIO;
	if (lane->nr_queued == dev->caps.lane_depth)
		return -EAGAIN;
	lane->nr_queued++;
	dev->nr_queued++;
	dev->nr_bundles++;
	b->scope = SCOPE_NONE;
	for (uint32_t i = 0; i < b->nr_items; i++) {
		b->items[i].status = OOO_OK;
		b->items[i].scope = SCOPE_NONE;
	}
	if (dev->model)
		run_by_model(dev, lane, b);
	else
		run_by_count(dev, lane, b);
	lane->end_ns = b->end_ns;
	inject(dev, b);
	b->next = NULL;
	if (lane->tail)
		lane->tail->next = b;
	else
		lane->head = b;
	lane->tail = b;
	return 0;
}

/* The lane whose first bundle ends next; NULL: nothing is queued. */
static struct sim_lane *next_lane(struct device *dev)
{
	struct sim_lane *next = NULL;

	for (unsigned i = 0; i < dev->caps.nr_lanes; i++) {
		struct sim_lane *lane = &dev->lanes[i];

		if (lane->head && (!next || lane->head->end_ns < next->head->end_ns))
			next = lane;
	}
	return next;
}

static struct bundle *finish(struct device *dev, struct sim_lane *lane)
{
	struct bundle *b = lane->head;

	lane->head = b->next;
	if (!lane->head)
		lane->tail = NULL;
	lane->nr_queued--;
	dev->nr_queued--;
	if (b->scope >= SCOPE_CONTEXT)
		dev->failed = true;
	else if (dev->failed)
		b->scope = SCOPE_CONTEXT;
	if (b->scope == SCOPE_DEVICE)
		dev->gone = true;
	return b;
}

static uint64_t seen_ns(const struct device *dev, const struct sim_lane *lane)
{
	return lane->head->end_ns + (dev->model ? dev->model->report_ns : 0);
}

static unsigned sim_poll(struct device *dev, struct bundle **done, unsigned max)
{
	struct sim_lane *lane = next_lane(dev);
	unsigned n = 0;

	if (dev->paced) {
		dev->now_ns = monotonic_ns();
	} else if (lane && seen_ns(dev, lane) > dev->now_ns) {
		uint64_t to = seen_ns(dev, lane);

		dev->now_ns = later(dev->now_ns, to < dev->limit_ns ? to : dev->limit_ns);
	}
	while (n < max && lane && (seen_ns(dev, lane) <= dev->now_ns || dev->failed)) {
		done[n++] = finish(dev, lane);
		lane = next_lane(dev);
	}
	/* With nothing left in flight the context is made anew. */
	if (!dev->nr_queued)
		dev->failed = dev->gone;
	return n;
}

void sim_set_limit(struct device *dev, uint64_t ns)
{
	dev->limit_ns = ns;
}

void sim_advance(struct device *dev, uint64_t ns)
{
	dev->now_ns = later(dev->now_ns, ns);
}

static uint64_t sim_clock_ns(struct device *dev)
{
	return dev->paced ? monotonic_ns() : dev->now_ns;
}

/* ---- partitions: lanes behind the others ------------------------------------------------------- */

static int find_partition(const struct device *dev, const char *name)
{
	for (int i = 0; i < DEVICE_MAX_PARTITIONS; i++)
		if (!strcmp(dev->caps.partition[i].name, name))
			return i;
	return -1;
}

/* Some processors stay with the lanes of no partition. */
static unsigned free_units(const struct device *dev)
{
	unsigned n = SIM_UNITS - SIM_UNIT_STEP;

	for (unsigned i = 0; i < DEVICE_MAX_PARTITIONS; i++)
		n -= dev->caps.partition[i].units;
	return n;
}

static int sim_partition_add(struct device *dev, const char *name, unsigned units, char *why,
			     size_t why_bytes)
{
	unsigned take = (units + SIM_UNIT_STEP - 1) / SIM_UNIT_STEP * SIM_UNIT_STEP;
	int at = find_partition(dev, "");
	struct device_partition *p;

	if (!name[0] || strlen(name) >= DEVICE_PARTITION_NAME || !units) {
		snprintf(why, why_bytes, "device sim: a partition needs a name and an SM at least");
		return -EINVAL;
	}
	if (find_partition(dev, name) >= 0) {
		snprintf(why, why_bytes, "device sim: partition \"%s\": exists already", name);
		return -EEXIST;
	}
	if (at < 0) {
		snprintf(why, why_bytes, "device sim: partition \"%s\": there are %d already", name,
			 DEVICE_MAX_PARTITIONS);
		return -ENOSPC;
	}
	if (units > SIM_UNITS || take > free_units(dev)) {
		snprintf(
			why, why_bytes,
			"device sim: a partition of %u SMs: %u are the most that there are now, in "
			"steps of %u",
			units, free_units(dev), SIM_UNIT_STEP);
		return -ENOSPC;
	}
	p = &dev->caps.partition[at];
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->units = take;
	p->first_lane = dev->nr_base_lanes + (unsigned)at;
	p->nr_lanes = 1;
	if (dev->caps.nr_lanes <= p->first_lane)
		dev->caps.nr_lanes = p->first_lane + 1;
	return 0;
}

static int sim_partition_del(struct device *dev, const char *name, char *why, size_t why_bytes)
{
	int at = name[0] ? find_partition(dev, name) : -1;

	if (at < 0) {
		snprintf(why, why_bytes, "device sim: partition \"%s\": there is none of this name",
			 name);
		return -ENOENT;
	}
	dev->caps.partition[at] = (struct device_partition){ 0 };
	return 0;
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
	.partition_add = sim_partition_add,
	.partition_del = sim_partition_del,
	.submit = sim_submit,
	.poll = sim_poll,
	.clock_ns = sim_clock_ns,
};
