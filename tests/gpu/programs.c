/* SPDX-License-Identifier: Apache-2.0 */
/* Whole programs on the cuda device: random ones, the zoo's networks, and long chains of steps. */
#include "tests/gpu/check.h"

#include <errno.h>

#include "ctl/run/zoo.h"
#include "shared/abi/status.h"
#include "shared/client/ooo.h"
#include "tests/gpu/exec.h"
#include "tests/unit/program/random.h"
#include "tests/unit/program/values.h"

static struct exec_device gpu, cpu;
static char why[EXEC_WHY];

static const struct precision {
	const char *name;
	uint8_t dtype;
	double limit; /* of ||out - want|| / ||want|| after a whole network */
} precisions[] = {
	{ "fp32", 0, 2e-4 },
	{ "tf32", OOO_TF32, 1e-2 },
	{ "fp16", OOO_FP16, 2e-2 },
	{ "bf16", OOO_BF16, 1e-1 },
};

static void open_gpu(void)
{
	if (exec_open(&gpu, &check_options.config, why))
		fail_msg("no cuda device: %s", why);
}

static void open_cpu(void)
{
	const struct device_config config = { .name = "cpu" };

	if (exec_open(&cpu, &config, why))
		fail_msg("no cpu device: %s", why);
}

static void run_all(struct exec_device *d, struct exec_request *r, unsigned n, uint16_t lane)
{
	int err = exec_run(d, r, n, lane);

	if (err)
		fail_msg("%s: %s", r->e->p->name, strerror(-err));
	for (unsigned i = 0; i < n; i++)
		if (r[i].status != OOO_OK || r[i].scope != SCOPE_NONE)
			fail_msg("%s: request %u: status %u, scope %u", r->e->p->name, i,
				 r[i].status, r[i].scope);
}

static uint16_t any_lane(void)
{
	return (uint16_t)check_below(gpu.ops->caps(gpu.dev)->nr_lanes);
}

/* ---- random programs --------------------------------------------------------------------------- */

/* ||have - want|| / ||want||; infinity if one has what the other has not. */
static double distance(const float *have, const float *want, size_t n)
{
	double err = 0, all = 1e-30;

	for (size_t i = 0; i < n; i++) {
		if (!isfinite(want[i]) && !isfinite(have[i]))
			continue;
		if (!isfinite(have[i]) || !isfinite(want[i]))
			return INFINITY;
		err += ((double)have[i] - want[i]) * ((double)have[i] - want[i]);
		all += (double)want[i] * want[i];
	}
	return sqrt(err / all);
}

static void run_random(const void *arg)
{
	uint64_t seed = *(const uint64_t *)arg, bytes;
	struct build *b = random_program(seed, 6 + seed % 30);
	void *data = build_encode(b, &bytes);
	struct exec_request r = { 0 };
	struct values want, have = { 0 };
	struct program *p;

	p = values_reference(data, bytes);
	values_new(p, b, &want);
	interp_run(p, want.in, want.out, seed);
	values_find_noise(p, &want);
	program_free(p);
	if (exec_load(&gpu, data, bytes, 0, 1, &r.e, why))
		fail_msg("seed %llu: %s", (unsigned long long)seed, why);
	exec_fill(r.e, 0, 1);
	for (uint32_t i = 0; i < r.e->p->nr_inputs; i++)
		memcpy(exec_io(r.e, 0, i), want.in[i], exec_io_bytes(r.e, i));
	run_all(&gpu, &r, 1, any_lane());
	for (uint32_t i = 0; i < r.e->p->nr_outputs; i++)
		have.out[i] = exec_io(r.e, 0, r.e->p->nr_inputs + i);
	values_compare(seed, r.e->p, &want, &have);
	check_count("steps", r.e->p->nr_steps);
	exec_free(r.e);
	values_free(&want);
	build_free(b);
}

void check_programs(void)
{
	unsigned n = check_options.tiny ? 20 : check_options.quick ? 60 : 500;

	open_gpu();
	for (unsigned i = 0; i < n; i++) {
		uint64_t seed = check_random() % 1000000;

		check_case(run_random, &seed, "random %llu", (unsigned long long)seed);
	}
	exec_close(&gpu);
}

/* ---- networks ---------------------------------------------------------------------------------- */

struct network {
	const char *name;
	unsigned copies; /* with distinct weights, side by side */
};

static const struct network networks[] = {
	{ "mlp", 4 },          { "lstm", 4 },      { "resnet18", 2 },
	{ "mobilenet_v2", 2 }, { "bert-base", 1 }, { "resnet50", 2 },
};

static struct exec *load_network(struct exec_device *d, const struct network *n, unsigned copy,
				 uint8_t precision)
{
	struct ooo_builder *b;
	struct exec *e = NULL;
	int err;

	if (zoo_build(n->name, 1, 100 + copy, &b, why, sizeof(why)))
		fail_msg("%s", why);
	err = exec_load_builder(d, b, precision, 1, &e, why);
	ooo_builder_free(b);
	if (err)
		fail_msg("%s", why);
	exec_fill(e, 0, 7 + copy);
	return e;
}

static void compare_outputs(const struct exec *have, const struct exec *want,
			    const struct precision *pr)
{
	for (uint32_t o = 0; o < want->p->nr_outputs; o++) {
		unsigned io = want->p->nr_inputs + o;
		const float *h = exec_io(have, 0, io), *w = exec_io(want, 0, io);
		double d = distance(h, w, exec_io_bytes(want, io) / 4);

		if (check_options.verbose)
			fprintf(stderr, "%s %s: output %u: %.2g\n", want->p->name, pr->name, o, d);
		if (!(d <= pr->limit))
			fail_msg("%s: output %u is %.3g away from the cpu device's, more than %.3g",
				 want->p->name, o, d, pr->limit);
	}
}

static struct {
	const struct network *n;
	struct exec *want[8];
} model;

static void run_network(const void *arg)
{
	const struct precision *pr = arg;
	struct exec_request r[8] = { 0 };

	for (unsigned i = 0; i < model.n->copies; i++)
		r[i].e = load_network(&gpu, model.n, i, pr->dtype);
	run_all(&gpu, r, model.n->copies, any_lane());
	for (unsigned i = 0; i < model.n->copies; i++) {
		compare_outputs(r[i].e, model.want[i], pr);
		check_count("steps", r[i].e->p->nr_steps);
	}
	for (unsigned i = 0; i < model.n->copies; i++)
		exec_free(r[i].e);
}

static void run_on_cpu(const void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < model.n->copies; i++) {
		struct exec_request r = { 0 };

		r.e = model.want[i] = load_network(&cpu, model.n, i, 0);
		run_all(&cpu, &r, 1, 0);
	}
}

void check_models(void)
{
	unsigned nr = check_options.tiny ? 0 : check_options.quick ? 4 : 6;

	open_gpu();
	open_cpu();
	for (unsigned i = 0; i < nr; i++) {
		memset(&model, 0, sizeof(model));
		model.n = &networks[i];
		if (check_case(run_on_cpu, NULL, "%s on the cpu", model.n->name))
			for (int k = 0; k < 4; k++)
				check_case(run_network, &precisions[k], "%s %s", model.n->name,
					   precisions[k].name);
		for (unsigned c = 0; c < model.n->copies; c++)
			exec_free(model.want[c]);
	}
	exec_close(&cpu);
	exec_close(&gpu);
}

/* ---- chains ------------------------------------------------------------------------------------ */

#define CHAIN_STEPS 24
#define CHAIN_MAX   16 /* requests side by side */

/* Each step reads all that the one before it wrote, in another order. */
static struct build *chain(uint64_t seed, int64_t rows, int64_t cols)
{
	struct build *b = build_new(seed);
	struct shape s = build_dims(OOO_FP32, rows, cols, -1, -1);
	uint32_t x = build_input(b, &s);
	struct ooo_attr a;

	for (int i = 0; i < CHAIN_STEPS / 4; i++) {
		struct shape w = build_dims(OOO_FP32, cols, cols, -1, -1);

		x = build_op2(b, OOO_OP_MATMUL, x, build_const(b, &w, NULL));
		attr_init(&a, OOO_OP_SOFTMAX);
		a.axis = 1;
		x = build_op(b, OOO_OP_SOFTMAX, &a, x, OOO_NONE, OOO_NONE);
		attr_init(&a, OOO_OP_TRANSPOSE);
		a.perm[0] = 1;
		a.perm[1] = 0;
		x = build_op(b, OOO_OP_TRANSPOSE, &a, x, OOO_NONE, OOO_NONE);
		x = build_op1(b, OOO_OP_SIN, x);
		x = build_op(b, OOO_OP_TRANSPOSE, &a, x, OOO_NONE, OOO_NONE);
	}
	build_output(b, x);
	return b;
}

static uint64_t checksum(const void *data, size_t n)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < n; i++)
		h = (h ^ ((const unsigned char *)data)[i]) * 0x100000001b3ull;
	return h;
}

static void run_chain(const void *arg)
{
	uint8_t precision = *(const uint8_t *)arg;
	unsigned rounds = check_options.tiny ? 20 : check_options.quick ? 500 : 10000;
	unsigned n = check_options.tiny ? 2 : CHAIN_MAX;
	struct exec_request r[CHAIN_MAX] = { 0 };
	uint64_t sums[CHAIN_MAX] = { 0 };

	for (unsigned i = 0; i < n; i++) {
		struct build *b = chain(i + 1, 5 + (int64_t)i, check_options.tiny ? 24 : 72);
		uint64_t bytes;
		void *data = build_encode(b, &bytes);

		build_free(b);
		if (exec_load(&gpu, data, bytes, precision, 1, &r[i].e, why))
			fail_msg("%s", why);
		exec_fill(r[i].e, 0, i);
	}
	for (unsigned round = 0; round < rounds; round++) {
		for (unsigned i = 0; i < n; i++)
			exec_poison_outputs(r[i].e, 0);
		run_all(&gpu, r, n, any_lane());
		for (unsigned i = 0; i < n; i++) {
			uint64_t sum = checksum(exec_io(r[i].e, 0, 1), exec_io_bytes(r[i].e, 1));

			if (!round)
				sums[i] = sum;
			else if (sum != sums[i])
				fail_msg("round %u: request %u: other bits than in the first",
					 round, i);
		}
	}
	check_count("rounds", rounds);
	for (unsigned i = 0; i < n; i++)
		exec_free(r[i].e);
}

void check_stress(void)
{
	static const uint8_t some[] = { 0, OOO_FP16 };

	open_gpu();
	for (int i = 0; i < 2; i++)
		check_case(run_chain, &some[i], "chains %s", i ? "fp16" : "fp32");
	exec_close(&gpu);
}
