/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sim device's model of a real one, and its clock. A bundle of items i on a lane takes
 *
 *	launch   of the dispatcher's own time, before anything else happens
 *	gap      on the lane, whatever the bundle holds
 *	         + the longest latency[i], or, where the device has more to do than that,
 *	         until all the work that its lanes have begun is done: sum of work[i]
 *	report   until the dispatcher sees that it is complete; the lane goes on meanwhile
 *
 * latency is an item's time alone on the device, work what it takes of the whole device: an item of
 * 4 us of which eight run side by side has 0.5 us of work. Lanes run side by side and share the
 * device in order of submission.
 */
#ifndef OOO_AGENT_SIM_H
#define OOO_AGENT_SIM_H

#include "agent/device/device.h"
#include "shared/lib/infer.h"

#define SIM_MAX_SPREAD 65

struct sim_cost {
	uint32_t latency_ns, work_ns;
};

/* A roofline with a fixed part: fixed + the longer of flops / rate and bytes / rate. */
struct sim_class {
	double fixed_ns, flops_per_ns, bytes_per_ns;
	double width; /* items of this class that run side by side */
};

struct sim_model {
	char name[64];
	unsigned lanes, lane_depth, max_items;
	unsigned width;   /* device_caps.width; 0: items are charged what they take on a thread */
	unsigned threads; /* device_caps.threads */
	unsigned runahead_us;
	bool mixed_classes;
	uint64_t launch_ns, gap_ns, report_ns;
	struct sim_class classes[NR_CLASSES];
	/* Quantiles of a request's time on the device against the median, evenly spaced from the least
	 * to the greatest; each request draws its own factor. nr_spread 0: always 1. */
	double spread[SIM_MAX_SPREAD];
	unsigned nr_spread;
	uint64_t seed;
};

/* What the classes say of a step. */
struct sim_cost sim_class_cost(const struct sim_class *c, uint64_t flops, uint64_t bytes);

/* Device programs cost what their steps' classes say, until told otherwise. */
void sim_set_cost(struct device_program *dp, uint32_t step, struct sim_cost cost);

/* poll() never moves the clock beyond this: something outside happens then. */
void sim_set_limit(struct device *dev, uint64_t ns);
/* Nothing is in flight: time passes. */
void sim_advance(struct device *dev, uint64_t ns);

extern const struct device_ops sim_device_ops;

#endif
