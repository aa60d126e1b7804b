/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame of gpu_check: cases that fail alone, counted by group. The assertions of the unit tests'
 * headers end the case here and not the program, so include this before them.
 */
#ifndef OOO_GPU_CHECK_H
#define OOO_GPU_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/device/device.h"

struct check_options {
	struct device_config config; /* of the cuda device */
	const char *bin;             /* folder of ooo-agent and ooo-run */
	const char *only;            /* group; NULL: all */
	uint64_t seed;
	bool quick; /* a sample of the cases */
	bool tiny;  /* and small ones only: for the emulated driver */
	bool verbose;
};

extern struct check_options check_options;

/* Run one case; what it says with check_fail() or check_skip() ends it. */
bool check_case(void (*fn)(const void *arg), const void *arg, const char *name, ...)
	__attribute__((format(printf, 3, 4)));
_Noreturn void check_fail(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
_Noreturn void check_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Something worth a line in the group's summary: "steps", "bundles". */
void check_count(const char *what, uint64_t n);

/* Run one group in a process of its own, with the options of this one. Its exit status. */
int check_again(const char *group);

/* splitmix64 from the seed */
uint64_t check_random(void);
static inline uint32_t check_below(uint32_t n)
{
	return (uint32_t)(check_random() >> 33) % n;
}

/* The groups. */
void check_operators(void);
void check_isolation(void);
void check_programs(void);
void check_models(void);
void check_stress(void);
void check_faults(void);
void check_trap(void); /* only when asked for: the process cannot use the GPU afterwards */
void check_memory(void);
void check_agent(void);

#undef fail_msg
#undef assert_true
#undef assert_false
#undef assert_null
#undef assert_non_null
#undef assert_ptr_equal
#undef assert_int_equal
#undef assert_in_range
#define fail_msg(...) check_fail(__FILE__, __LINE__, __VA_ARGS__)
#define assert_true(x)                                                                             \
	do {                                                                                       \
		if (!(x))                                                                          \
			fail_msg("%s is not so", #x);                                              \
	} while (0)
#define assert_false(x)        assert_true(!(x))
#define assert_null(x)         assert_true(!(x))
#define assert_non_null(x)     assert_true((x) != NULL)
#define assert_ptr_equal(a, b) assert_true((const void *)(a) == (const void *)(b))
#define assert_int_equal(a, b)                                                                     \
	do {                                                                                       \
		long long a_ = (long long)(a), b_ = (long long)(b);                                \
		if (a_ != b_)                                                                      \
			fail_msg("%s is %lld, not %lld", #a, a_, b_);                              \
	} while (0)
#define assert_in_range(x, low, high) assert_true((x) >= (low) && (x) <= (high))

#endif
