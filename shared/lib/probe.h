/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe_NAME(...) fires the USDT probe NAME of shared/abi/probes.def. A tracer that attaches raises
 * the probe's semaphore; with nobody listening a probe costs one load and a branch. Built without
 * sys/sdt.h (systemtap-sdt-dev) they are empty.
 */
#ifndef OOO_LIB_PROBE_H
#define OOO_LIB_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#if __has_include(<sys/sdt.h>)

#define _SDT_HAS_SEMAPHORES 1 /* NOLINT(bugprone-reserved-identifier): what sys/sdt.h asks for */
#include <sys/sdt.h>

#define PROBE(name, a, b, c, d, help)                                                              \
	extern volatile unsigned short ooo_##name##_semaphore                                      \
		__attribute__((visibility("hidden")));                                             \
	static inline bool probe_##name##_wanted(void)                                             \
	{                                                                                          \
		return __builtin_expect(ooo_##name##_semaphore, 0);                                \
	}                                                                                          \
	static inline void probe_##name(uint64_t a, uint64_t b, uint64_t c, uint64_t d)            \
	{                                                                                          \
		if (probe_##name##_wanted())                                                       \
			STAP_PROBE4(ooo, name, a, b, c, d);                                        \
	}

#else

#define PROBE(name, a, b, c, d, help)                                                              \
	static inline bool probe_##name##_wanted(void)                                             \
	{                                                                                          \
		return false;                                                                      \
	}                                                                                          \
	static inline void probe_##name(uint64_t a, uint64_t b, uint64_t c, uint64_t d)            \
	{                                                                                          \
	}

#endif

#include "shared/abi/probes.def"
#undef PROBE

#endif
