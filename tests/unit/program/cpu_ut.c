/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random programs, compiled for the cpu device and run on it: it takes whatever the compiler makes,
 * and gives what the program says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/device/device.h"
#include "shared/abi/status.h"
#include "tests/unit/program/random.h"
#include "tests/unit/program/values.h"

#define NR_PROGRAMS 120

static const struct device_ops *ops;
static struct device *dev;
static char why[512];

/* One step after the other, each a bundle of its own. */
static void run(const struct program *p, struct device_program *dp, struct device_binding *binding)
{
	for (uint32_t i = 0; i < p->nr_steps; i++) {
		struct bundle *b = calloc(1, sizeof(*b)), *done = NULL;

		b->nr_items = 1;
		b->items[0].program = dp;
		b->items[0].binding = binding;
		b->items[0].step = i;
		assert_int_equal(ops->submit(dev, b), 0);
		while (!ops->poll(dev, &done, 1))
			;
		assert_ptr_equal(done, b);
		assert_int_equal(b->scope, SCOPE_NONE);
		assert_int_equal(b->items[0].status, OOO_OK);
		free(b);
	}
}

static void load_and_run(const struct program *p, struct values *v)
{
	struct device_binding *binding;
	struct device_program *dp;
	void *io[OOO_MAX_IO];

	if (ops->load(dev, p, 1, &dp, why, sizeof(why)))
		fail_msg("%s", why);
	for (uint32_t i = 0; i < p->nr_inputs; i++)
		io[i] = v->in[i];
	for (uint32_t i = 0; i < p->nr_outputs; i++) {
		io[p->nr_inputs + i] = v->out[i];
		memset(v->out[i], 0xff, v->nr_out[i] * 4);
	}
	assert_int_equal(ops->bind(dev, dp, io, &binding), 0);
	run(p, dp, binding);
	ops->unbind(dev, binding);
	ops->unload(dev, dp);
}

static void check_seed(uint64_t seed)
{
	struct build *b = random_program(seed, 6 + seed % 30);
	struct compile_opts opts = { .caps = ops->caps(dev), .eval = ops->eval };
	struct values want, have;
	struct program *p;
	uint64_t bytes;
	void *data = build_encode(b, &bytes);

	p = values_reference(data, bytes);
	values_new(p, b, &want);
	values_new(p, b, &have);
	interp_run(p, want.in, want.out, seed);
	values_find_noise(p, &want);
	program_free(p);
	if (program_compile_mem(data, bytes, &opts, &p, why, sizeof(why)))
		fail_msg("%s", why);
	for (uint32_t i = 0; i < p->nr_inputs; i++)
		memcpy(have.in[i], want.in[i], p->tensors[p->inputs[i]].bytes);
	load_and_run(p, &have);
	values_compare(seed, p, &want, &have);
	program_free(p);
	values_free(&want);
	values_free(&have);
	free(data);
	build_free(b);
}

static void random_programs(void **state)
{
	const char *one = getenv("OOO_TEST_SEED");
	const struct device_config config = { .name = "cpu", .threads = 2 };

	(void)state;
	if (device_open(&config, &ops, &dev, why, sizeof(why)))
		fail_msg("%s", why);
	if (one)
		check_seed(strtoull(one, NULL, 10));
	for (uint64_t seed = 1; !one && seed <= NR_PROGRAMS; seed++)
		check_seed(seed);
	ops->close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
