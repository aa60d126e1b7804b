/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inputs and outputs of random programs, what the outputs should be, and how near is near enough.
 * Include after cmocka.h.
 */
#ifndef OOO_TESTS_PROGRAM_VALUES_H
#define OOO_TESTS_PROGRAM_VALUES_H

#include "agent/program/passes.h"
#include "tests/unit/program/build.h"
#include "tests/unit/program/check.h"
#include "tests/unit/program/interp.h"

#define NUDGE 3e-7f /* a few roundings */

struct values {
	float *in[OOO_MAX_IO], *out[OOO_MAX_IO];
	size_t nr_out[OOO_MAX_IO]; /* elements */
	double noise[OOO_MAX_IO];  /* by which an output moves if every result is off by NUDGE */
};

/* As declared: no pass but those that a program cannot do without. */
static inline struct program *values_reference(const void *data, uint64_t bytes)
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

static inline float *values_alloc(size_t bytes)
{
	return aligned_alloc(TENSOR_ALIGN, (bytes / TENSOR_ALIGN + 1) * TENSOR_ALIGN);
}

static inline float *values_random(struct build *b, size_t bytes)
{
	float *v = values_alloc(bytes);

	for (size_t i = 0; i < bytes / 4; i++)
		v[i] = build_random_float(b);
	return v;
}

static inline void values_new(const struct program *p, struct build *b, struct values *v)
{
	memset(v, 0, sizeof(*v));
	for (uint32_t i = 0; i < p->nr_inputs; i++)
		v->in[i] = values_random(b, p->tensors[p->inputs[i]].bytes);
	for (uint32_t i = 0; i < p->nr_outputs; i++) {
		v->nr_out[i] = p->tensors[p->outputs[i]].bytes / 4;
		v->out[i] = values_alloc(p->tensors[p->outputs[i]].bytes);
	}
}

static inline void values_free(struct values *v)
{
	for (int i = 0; i < OOO_MAX_IO; i++) {
		free(v->in[i]);
		free(v->out[i]);
	}
}

static inline bool values_alike(double want, double have, double tolerance)
{
	return isfinite(want) ? fabs(want - have) <= tolerance : !isfinite(have);
}

static inline void values_compare(uint64_t seed, const struct program *p, const struct values *want,
				  const struct values *have)
{
	for (uint32_t i = 0; i < p->nr_outputs; i++) {
		double largest = 1e-3;

		for (size_t k = 0; k < want->nr_out[i]; k++)
			if (isfinite(want->out[i][k]))
				largest = fmax(largest, fabs((double)want->out[i][k]));
		for (size_t k = 0; k < want->nr_out[i]; k++) {
			double a = (double)want->out[i][k], b = (double)have->out[i][k];

			if (values_alike(a, b, 1e-4 * largest + 5 * want->noise[i]))
				continue;
			program_print(p, stderr);
			fail_msg("seed %llu, output %u, element %zu: %g, not %g",
				 (unsigned long long)seed, i, k, b, a);
		}
	}
}

/* How much rounding can matter to this program: some cancel nearly everything. */
static inline void values_find_noise(const struct program *p, struct values *want)
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

#endif
