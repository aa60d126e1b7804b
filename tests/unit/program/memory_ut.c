/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each allocation of a compilation fails once: the compiler says so or does without, and loses
 * nothing (the leak check of the address sanitizer sees to that). The linker wraps the allocator.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/device/device.h"
#include "agent/program/program.h"
#include "tests/unit/program/check.h"
#include "tests/unit/program/interp.h"
#include "tests/unit/program/random.h"

#define NR_PROGRAMS 40

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *p, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *p, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);

static long allowed = -1; /* allocations until one fails, once; -1: all succeed */
static bool failed;

static bool fails(void)
{
	if (allowed < 0 || failed)
		return false;
	failed = !allowed--;
	return failed;
}

void *__wrap_malloc(size_t bytes)
{
	return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
	return fails() ? NULL : __real_calloc(n, bytes);
}

void *__wrap_realloc(void *p, size_t bytes)
{
	return fails() ? NULL : __real_realloc(p, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
	return fails() ? NULL : __real_aligned_alloc(alignment, bytes);
}

/* The interpreter's own memory is not the matter here. */
static int eval(const struct step *step, const struct tensor *tensors, const void *const *in,
		void *const *out)
{
	long kept = allowed;
	int rc;

	allowed = -1;
	rc = interp_eval(step, tensors, in, out);
	allowed = kept;
	return rc;
}

/* False: there are fewer allocations than that. */
static bool compile_failing(const void *data, uint64_t bytes, const struct compile_opts *opts,
			    long at)
{
	char why[256] = "";
	struct program *p;
	int rc;

	failed = false;
	allowed = at;
	rc = program_compile_mem(data, bytes, opts, &p, why, sizeof(why));
	allowed = -1;
	if (rc) {
		assert_int_equal(rc, -ENOMEM);
		assert_null(p);
		assert_true(failed);
		assert_non_null(strstr(why, "out of memory"));
		return true;
	}
	assert_int_equal(check_program(p), 0);
	program_free(p);
	return failed;
}

static void survives_any_failure(void **state)
{
	unsigned nr = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= NR_PROGRAMS; seed++) {
		struct build *b = random_program(seed, 6 + seed % 12);
		uint64_t bytes;
		void *data = build_encode(b, &bytes);

		for (uint8_t layout = LAYOUT_PLAIN; layout <= LAYOUT_BLOCK16; layout++) {
			struct device_caps caps = { .image_layout = layout };
			struct compile_opts opts = { .caps = &caps, .eval = eval };

			for (long at = 0; compile_failing(data, bytes, &opts, at); at++)
				nr++;
		}
		free(data);
		build_free(b);
	}
	assert_in_range(nr, 1000, 1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(survives_any_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
