// SPDX-License-Identifier: Apache-2.0
/* The probes' semaphores: the kernel counts here who listens. */
#include "shared/lib/probe.h"

#if __has_include(<sys/sdt.h>)

#define PROBE(name, a, b, c, d, help)                                                              \
	volatile unsigned short ooo_##name##_semaphore __attribute__((section(".probes")));
#include "shared/abi/probes.def"
#undef PROBE

#endif
