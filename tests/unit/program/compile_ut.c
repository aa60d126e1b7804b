/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random programs: whatever the compiler makes of them keeps its promises, and computes what the
 * program computes without folding, fusing and layouts, in any order that its dependencies allow.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/device/device.h"
#include "agent/program/passes.h"
#include "tests/unit/program/build.h"
#include "tests/unit/program/check.h"
#include "tests/unit/program/interp.h"
#include "tests/unit/program/random.h"
#include "tests/unit/program/values.h"

#define NR_PROGRAMS 300

static struct program *compile(const void *data, uint64_t bytes, const struct compile_opts *opts)
{
	char why[256] = "";
	struct program *p;
	int rc = program_compile_mem(data, bytes, opts, &p, why, sizeof(why));

	if (rc)
		fail_msg("%s", why);
	assert_int_equal(check_program(p), 0);
	return p;
}

static void run_and_compare(uint64_t seed, const struct program *p, const struct values *want)
{
	struct values have = *want;

	for (uint32_t i = 0; i < p->nr_outputs; i++)
		have.out[i] = malloc(want->nr_out[i] * 4 + 1);
	for (uint64_t order = 0; order < 2; order++) {
		interp_run(p, have.in, have.out, seed + order);
		values_compare(seed, p, want, &have);
	}
	for (uint32_t i = 0; i < p->nr_outputs; i++)
		free(have.out[i]);
}

static void check_seed(uint64_t seed, uint64_t *fused)
{
	static const uint8_t layouts[] = { LAYOUT_PLAIN, LAYOUT_NHWC, LAYOUT_BLOCK16 };
	struct build *b = random_program(seed, 6 + seed % 30);
	uint64_t bytes;
	void *data = build_encode(b, &bytes);
	struct program *p = values_reference(data, bytes);
	struct values want;

	values_new(p, b, &want);
	interp_run(p, want.in, want.out, seed);
	values_find_noise(p, &want);
	run_and_compare(seed, p, &want);
	program_free(p);
	for (int i = 0; i < 6; i++) {
		struct device_caps caps = { .image_layout = layouts[i / 2] };
		struct compile_opts opts = { .caps = &caps, .eval = i % 2 ? interp_eval : NULL };

		p = compile(data, bytes, &opts);
		assert_in_range(p->nr_steps, 1, UINT32_MAX);
		if (!i)
			*fused += p->nr_ops - p->nr_steps;
		run_and_compare(seed, p, &want);
		program_free(p);
	}
	values_free(&want);
	free(data);
	build_free(b);
}

static void random_programs(void **state)
{
	const char *one = getenv("OOO_TEST_SEED");
	uint64_t fused = 0;

	(void)state;
	if (one)
		check_seed(strtoull(one, NULL, 10), &fused);
	for (uint64_t seed = 1; !one && seed <= NR_PROGRAMS; seed++)
		check_seed(seed, &fused);
	/* The programs hold what the passes look for: about a third of the steps goes away. */
	assert_true(one || fused > 5 * NR_PROGRAMS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
