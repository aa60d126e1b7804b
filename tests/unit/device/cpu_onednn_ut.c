/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the cpu device computes, against double precision: one list of cases, each run alone, then all
 * of them beside each other, with one thread and with two. Bits must not change.
 */
#include "tests/unit/device/cpu_onednn_cases.h"
#include "tests/unit/device/cpu_reference.h"

#define TOLERANCE 2e-5 /* of the largest result */

extern const struct device_ops cpu_device_ops;

struct setup {
	struct device *dev;
	struct rig *rigs[NR_RIG_CASES];
};

static void open_device(struct setup *s, unsigned threads)
{
	struct device_config config = { .name = "cpu", .threads = threads };
	char why[256] = "";

	if (cpu_device_ops.open(&config, &s->dev, why, sizeof(why)))
		fail_msg("%s", why);
	for (size_t i = 0; i < NR_RIG_CASES; i++) {
		s->rigs[i] = rig_new(&rig_cases[i], i + 1);
		rig_load(s->rigs[i], &cpu_device_ops, s->dev);
	}
}

static void close_device(struct setup *s)
{
	for (size_t i = 0; i < NR_RIG_CASES; i++) {
		rig_unload(s->rigs[i], &cpu_device_ops, s->dev);
		rig_free(s->rigs[i]);
	}
	cpu_device_ops.close(s->dev);
}

static size_t out_bytes(const struct rig *r)
{
	return r->tensors[RIG_MAX_IN].bytes;
}

/* Run one item of the rig with nobody beside it; returns its output. */
static float *run_alone(struct setup *s, struct rig *r, unsigned slot)
{
	static struct bundle b;
	float *out = malloc(out_bytes(r));

	b.nr_items = 1;
	b.items[0] = rig_item(r, slot);
	rig_submit(&cpu_device_ops, s->dev, &b);
	assert_true(b.items[0].service_ns > 0);
	rig_output(r, slot, out);
	return out;
}

/* The right results of each case, computed once: operands follow from the case's number. */
static const double *expected(struct rig *r)
{
	static double *results[NR_RIG_CASES];
	double **want = &results[r->c - rig_cases];

	if (!*want) {
		*want = malloc(out_bytes(r) / sizeof(float) * sizeof(**want));
		ref_run(r, 1, *want);
	}
	return *want;
}

/* What must be a plain kernel is one everywhere; what need not be depends on the processor. */
static bool primitive_as_expected(const struct rig *r)
{
	bool primitive = r->dp->steps[0].prim;

#if defined(__x86_64__)
	if (r->step.klass == CLASS_CONV || r->step.klass == CLASS_MATMUL)
		return primitive != r->c->plain;
#endif
	return !primitive || !r->c->plain;
}

/* False, with a message: wrong. */
static bool check_case(struct setup *s, struct rig *r)
{
	const double *want = expected(r);
	double top = 0, worst = 0;
	float *got = run_alone(s, r, 1);

	for (size_t i = 0; i < out_bytes(r) / sizeof(float); i++) {
		top = fmax(top, fabs(want[i]));
		worst = isnan(got[i]) ? INFINITY : fmax(worst, fabs(want[i] - got[i]));
	}
	free(got);
	if (!primitive_as_expected(r)) {
		print_error("%s: run by a %s\n", r->c->name,
			    r->c->plain ? "primitive" : "plain kernel");
		return false;
	}
	if (worst <= TOLERANCE * top)
		return true;
	print_error("%s: error %g of %g\n", r->c->name, worst, top);
	return false;
}

static void check_all(unsigned threads)
{
	unsigned wrong = 0;
	struct setup s;

	open_device(&s, threads);
	for (size_t i = 0; i < NR_RIG_CASES; i++)
		wrong += !check_case(&s, s.rigs[i]);
	close_device(&s);
	assert_int_equal(wrong, 0);
}

static void results_are_right(void **state)
{
	(void)state;
	check_all(2);
}

/* All cases in mixed bundles of neighbours in random numbers, against the bits of a run alone. */
static void check_mixed(struct setup *s, float *const *alone, uint64_t seed)
{
	static struct bundle b;
	size_t first = rig_random(&seed) % NR_RIG_CASES, nr = 0;

	b.nr_items = 0;
	while (b.nr_items + RIG_SLOTS <= BUNDLE_MAX_ITEMS && nr < NR_RIG_CASES) {
		struct rig *r = s->rigs[(first + nr++) % NR_RIG_CASES];
		unsigned slots = 1 + (unsigned)(rig_random(&seed) % RIG_SLOTS);

		for (unsigned slot = 0; slot < slots; slot++) {
			rig_fill(r, slot, 7);
			b.items[b.nr_items++] = rig_item(r, slot);
		}
	}
	rig_submit(&cpu_device_ops, s->dev, &b);
	for (uint32_t i = 0; i < b.nr_items; i++) {
		struct rig *r = b.items[i].request;
		size_t c = (size_t)(r->c - rig_cases);
		float *out = malloc(out_bytes(r));

		rig_output(r, b.items[i].slot, out);
		if (b.items[i].slot == 1 && memcmp(out, alone[c], out_bytes(r)))
			fail_msg("%s: other bits beside neighbours", r->c->name);
		free(out);
	}
}

static void neighbours_and_threads_change_no_bit(void **state)
{
	float *alone[NR_RIG_CASES];
	struct setup s;

	(void)state;
	open_device(&s, 1);
	for (size_t i = 0; i < NR_RIG_CASES; i++)
		alone[i] = run_alone(&s, s.rigs[i], 1);
	for (uint64_t seed = 1; seed <= 4; seed++)
		check_mixed(&s, alone, seed);
	close_device(&s);
	open_device(&s, 2);
	for (uint64_t seed = 1; seed <= 8; seed++)
		check_mixed(&s, alone, seed);
	close_device(&s);
	for (size_t i = 0; i < NR_RIG_CASES; i++)
		free(alone[i]);
}

/* More threads cut finer: not the same bits, but right results. */
static void many_threads_are_right(void **state)
{
	(void)state;
	check_all(7);
}

static void the_footprint_is_told(void **state)
{
	struct setup s;

	(void)state;
	open_device(&s, 2);
	for (size_t i = 0; i < NR_RIG_CASES; i++) {
		struct rig *r = s.rigs[i];
		uint64_t weights = 0, workspace = 0;

		cpu_device_ops.footprint(r->dp, &weights, &workspace);
		assert_true(workspace >= RIG_SLOTS * r->program.workspace_bytes);
		if (!r->c->plain && r->in[1] != OOO_NONE && r->tensors[1].place == PLACE_CONST)
			assert_true(weights >= r->tensors[1].bytes);
	}
	close_device(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_are_right),
		cmocka_unit_test(neighbours_and_threads_change_no_bit),
		cmocka_unit_test(many_threads_are_right),
		cmocka_unit_test(the_footprint_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
