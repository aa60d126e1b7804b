/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device file: what the simulator knows of a device, and the programs that were measured on it.
 * packaging/devices/ has two; `ooo-ctl calibrate` writes one. Keys, in the order of the structure:
 *
 *   format       "ooo-device/1"
 *   name         for people
 *   lanes, lane_depth, max_items, mixed_classes, width, threads, runahead
 *                as the agent's device says of itself; width 0: items run one at a time on threads
 *   launch       time of the dispatcher to launch a bundle
 *   gap          of a lane, for each bundle
 *   report       from a bundle's end until the dispatcher sees it
 *   spread       quantiles of a request's time against its median, evenly spaced
 *   classes      kernel class -> { fixed, gflop_per_s, gb_per_s, width }
 *   programs     name -> { steps, alone, together, class }: a request alone takes `alone` from
 *                submission to completion; many at once complete at the rate `together`
 */
#ifndef OOO_CTL_DEVICE_FILE_H
#define OOO_CTL_DEVICE_FILE_H

#include "agent/device/sim/sim.h"

#define DEVICE_FILE_FORMAT "ooo-device/1"

struct measured_program {
	char name[OOO_NAME_BYTES];
	uint32_t steps;
	double alone_ns, together_per_s;
	uint8_t klass;
};

struct device_file {
	struct sim_model model;
	struct measured_program *programs;
	unsigned nr_programs;
};

/* path: a file, or the name of a shipped one ("h100"). 0, -EINVAL, -ENOMEM with a sentence in why. */
int device_file_load(const char *path, struct device_file *out, char *why, size_t why_bytes);
void device_file_free(struct device_file *f);

/* NULL: none of this name. */
const struct measured_program *device_file_find(const struct device_file *f, const char *name);
/* Each step of it, when a request has `steps` of them. */
struct sim_cost device_file_cost(const struct device_file *f, const struct measured_program *p,
				 uint32_t steps);

#endif
