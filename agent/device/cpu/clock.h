/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OOO_AGENT_DEVICE_CPU_CLOCK_H
#define OOO_AGENT_DEVICE_CPU_CLOCK_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC in ns: through the vDSO, no system call. */
static inline uint64_t clock_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif
