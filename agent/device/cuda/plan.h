/* SPDX-License-Identifier: Apache-2.0 */
/* Between load.c and plan.c: a program on the device, and the same while it is being made. */
#ifndef OOO_CUDA_PLAN_H
#define OOO_CUDA_PLAN_H

#include "agent/device/cuda/cuda.h"

struct device_binding {
	struct cuda_mem table; /* uint64_t device addresses: inputs, then outputs */
};

struct device_program {
	struct device *dev;
	const struct program *program;
	struct cuda_step *steps; /* nr_steps of program */
	struct cuda_phase *phases;
	struct cuda_task_ref *tasks;
	uint32_t nr_phases, nr_tasks;
	struct cuda_mem task_mem;     /* the tasks' blobs */
	struct cuda_weight **weights; /* what the tasks point to */
	uint32_t nr_weights;
	uint64_t weight_bytes;
	unsigned max_slots, nr_slots;
	uint64_t slot_bytes;
	struct cuda_mem slots;
};

/*
 * Encode every step of dp->program and bring the result to the device: fills steps, phases, tasks,
 * task_mem, weights and slot_bytes. On failure dp holds what has to be released with it.
 */
int plan_program_steps(struct device *dev, struct device_program *dp, char *why, size_t why_bytes);

#endif
