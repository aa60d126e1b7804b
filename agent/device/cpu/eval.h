/* SPDX-License-Identifier: Apache-2.0 */
/* The cpu device's operators on plain buffers: constant folding, for every device. */
#ifndef OOO_AGENT_DEVICE_CPU_EVAL_H
#define OOO_AGENT_DEVICE_CPU_EVAL_H

#include "agent/program/program.h"

/* One step, on the calling thread. */
int cpu_eval(const struct step *step, const struct tensor *tensors, const void *const *in,
	     void *const *out);

#endif
