/* SPDX-License-Identifier: Apache-2.0 */
/* The energy that GPUs used, as the driver's management library (NVML) counts it, where it is there. */
#ifndef OOO_AGENT_WATCH_ENERGY_H
#define OOO_AGENT_WATCH_ENERGY_H

#include <stdbool.h>
#include <stdint.h>

struct energy;

/* library NULL: libnvidia-ml.so.1. NULL if it is not there or does not start. */
struct energy *energy_open(const char *library);
void energy_close(struct energy *e); /* NULL does nothing */
/* Millijoules since the driver was loaded. False: it does not say, for this GPU ("GPU-..."). */
bool energy_read(struct energy *e, const char *uuid, uint64_t *mj);

#endif
