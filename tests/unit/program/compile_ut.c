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

#define NR_PROGRAMS 300
#define NUDGE       3e-7f /* a few roundings */

struct values {
	float *in[OOO_MAX_IO], *out[OOO_MAX_IO];
	size_t nr_out[OOO_MAX_IO]; /* elements */
	double noise[OOO_MAX_IO];  /* by which an output moves if every result is off by NUDGE */
};

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

/* As declared: no pass but those that a program cannot do without. */
static struct program *compile_literally(const void *data, uint64_t bytes)
{
	static const struct compile_opts opts;
	struct program *p = calloc(1, sizeof(*p));
	char why[256];
	struct graph g;

	assert_int_equal(graph_init(&g, p, &opts, why, sizeof(why)), 0);
	if (pass_verify(&g, data, bytes))
		fail_msg("%s", why);
	assert_int_equal(pass_plan(&g), 0);
	assert_int_equal(pass_deps(&g), 0);
	graph_done(&g);
	assert_int_equal(check_program(p), 0);
	return p;
}

static float *random_floats(struct build *b, size_t bytes)
{
	float *v = malloc(bytes + 1);

	for (size_t i = 0; i < bytes / 4; i++)
		v[i] = build_random_float(b);
	return v;
}

static void set_up(const struct program *p, struct build *b, struct values *v)
{
	memset(v, 0, sizeof(*v));
	for (uint32_t i = 0; i < p->nr_inputs; i++)
		v->in[i] = random_floats(b, p->tensors[p->inputs[i]].bytes);
	for (uint32_t i = 0; i < p->nr_outputs; i++) {
		v->nr_out[i] = p->tensors[p->outputs[i]].bytes / 4;
		v->out[i] = malloc(p->tensors[p->outputs[i]].bytes + 1);
	}
}

static void tear_down(struct values *v)
{
	for (int i = 0; i < OOO_MAX_IO; i++) {
		free(v->in[i]);
		free(v->out[i]);
	}
}

static bool alike(double want, double have, double tolerance)
{
	return isfinite(want) ? fabs(want - have) <= tolerance : !isfinite(have);
}

static void compare(uint64_t seed, const struct program *p, const struct values *want,
		    const struct values *have)
{
	for (uint32_t i = 0; i < p->nr_outputs; i++) {
		double largest = 1e-3;

		for (size_t k = 0; k < want->nr_out[i]; k++)
			if (isfinite(want->out[i][k]))
				largest = fmax(largest, fabs((double)want->out[i][k]));
		for (size_t k = 0; k < want->nr_out[i]; k++) {
			double a = (double)want->out[i][k], b = (double)have->out[i][k];

			if (alike(a, b, 1e-4 * largest + 5 * want->noise[i]))
				continue;
			program_print(p, stderr);
			fail_msg("seed %llu, output %u, element %zu: %g, not %g",
				 (unsigned long long)seed, i, k, b, a);
		}
	}
}

/* How much rounding can matter to this program: some cancel nearly everything. */
static void find_noise(const struct program *p, struct values *want)
{
	struct values moved = *want;

	for (uint32_t i = 0; i < p->nr_outputs; i++)
		moved.out[i] = malloc(want->nr_out[i] * 4 + 1);
	interp_nudge = NUDGE;
	interp_run(p, moved.in, moved.out, 1);
	interp_nudge = 0;
	for (uint32_t i = 0; i < p->nr_outputs; i++) {
		for (size_t k = 0; k < want->nr_out[i]; k++) {
			double by = fabs((double)moved.out[i][k] - (double)want->out[i][k]);

			if (isfinite(by))
				want->noise[i] = fmax(want->noise[i], by);
		}
		free(moved.out[i]);
	}
}

static void run_and_compare(uint64_t seed, const struct program *p, const struct values *want)
{
	struct values have = *want;

	for (uint32_t i = 0; i < p->nr_outputs; i++)
		have.out[i] = malloc(want->nr_out[i] * 4 + 1);
	for (uint64_t order = 0; order < 2; order++) {
		interp_run(p, have.in, have.out, seed + order);
		compare(seed, p, want, &have);
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
	struct program *p = compile_literally(data, bytes);
	struct values want;

	set_up(p, b, &want);
	interp_run(p, want.in, want.out, seed);
	find_noise(p, &want);
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
	tear_down(&want);
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
