/* SPDX-License-Identifier: Apache-2.0 */
/* What a fault takes with it and what comes back; what does not fit; what is left behind. */
#include "tests/gpu/check.h"

#include <errno.h>

#include "agent/device/cuda/cuda.h"
#include "shared/abi/status.h"
#include "tests/gpu/exec.h"
#include "tests/unit/program/build.h"

#define SLACK_BYTES (96ull << 20) /* chunks that the device keeps for the next load */

static struct exec_device gpu;
static char why[EXEC_WHY];

static void open_gpu(const struct device_config *config)
{
	if (exec_open(&gpu, config, why))
		fail_msg("no cuda device: %s", why);
}

/* Some products with weights of their own, which a new context must bring back. */
static struct exec *load_net(uint64_t seed)
{
	struct build *b = build_new(seed);
	struct shape s = build_dims(OOO_FP32, 3, 40, -1, -1);
	struct shape w = build_dims(OOO_FP32, 40, 40, -1, -1);
	uint32_t x = build_input(b, &s);
	struct exec *e = NULL;
	struct ooo_attr a;
	uint64_t bytes;
	void *data;

	for (int i = 0; i < 4; i++) {
		attr_init(&a, OOO_OP_SOFTMAX);
		a.axis = 1;
		x = build_op2(b, OOO_OP_MATMUL, x, build_const(b, &w, NULL));
		x = build_op(b, OOO_OP_SOFTMAX, &a, x, OOO_NONE, OOO_NONE);
	}
	build_output(b, x);
	data = build_encode(b, &bytes);
	build_free(b);
	if (exec_load(&gpu, data, bytes, 0, 1, &e, why))
		fail_msg("%s", why);
	exec_fill(e, 0, seed);
	return e;
}

/* True: all requests came through. False: a fault took them and the device, as it should. */
static bool try_run(struct exec_request *r, unsigned n)
{
	int err = exec_run(&gpu, r, n, 0);

	if (err && err != -EIO && err != -ENODEV)
		fail_msg("run: %s", strerror(-err));
	for (unsigned i = 0; i < n; i++) {
		if (r[i].scope != SCOPE_NONE && r[i].scope != SCOPE_DEVICE)
			fail_msg("a fault of scope %u", r[i].scope);
		if (err || r[i].scope)
			return false;
		assert_int_equal(r[i].status, OOO_OK);
	}
	return true;
}

#define NR_NETS 3

static void take_references(float want[NR_NETS][120])
{
	struct exec_request r[NR_NETS] = { 0 };

	open_gpu(&check_options.config);
	for (unsigned i = 0; i < NR_NETS; i++)
		r[i].e = load_net(i + 1);
	if (!try_run(r, NR_NETS))
		fail_msg("a fault that was not asked for");
	for (unsigned i = 0; i < NR_NETS; i++) {
		memcpy(want[i], exec_io(r[i].e, 0, 1), sizeof(want[i]));
		exec_free(r[i].e);
	}
	exec_close(&gpu);
}

/* In a process of its own, which is of no more use to the GPU then: every 31st bundle traps, and a
 * run takes 8. */
static void trap(const void *arg)
{
	struct device_config config = check_options.config;
	struct exec_request r[NR_NETS] = { 0 };
	unsigned nr_good = 0;
	float want[NR_NETS][120];
	struct bundle *none;

	(void)arg;
	take_references(want);
	config.cuda_fault_every = 31;
	open_gpu(&config);
	for (unsigned i = 0; i < NR_NETS; i++)
		r[i].e = load_net(i + 1);
	while (try_run(r, NR_NETS)) {
		for (unsigned i = 0; i < NR_NETS; i++) {
			if (memcmp(want[i], exec_io(r[i].e, 0, 1), sizeof(want[i])) != 0)
				fail_msg("run %u: other results than without faults", nr_good);
			exec_poison_outputs(r[i].e, 0);
		}
		if (++nr_good > 10)
			fail_msg("no fault in %u runs", nr_good);
	}
	if (!nr_good)
		fail_msg("not one run came through");
	assert_int_equal(gpu.ops->poll(gpu.dev, &none, 1), 0);
	if (exec_run(&gpu, r, 1, 0) != -ENODEV)
		fail_msg("the device takes work after a fault");
	for (unsigned i = 0; i < NR_NETS; i++)
		exec_free(r[i].e);
	exec_close(&gpu);
}

void check_trap(void)
{
	check_case(trap, NULL, "a bundle traps");
}

/* What another process did to the GPU does not show here, during and after. */
static void recover(const void *arg)
{
	float want[NR_NETS][120], got[NR_NETS][120];

	(void)arg;
	take_references(want);
	for (int i = 0; i < (check_options.tiny ? 2 : 5); i++) {
		if (check_again("trap"))
			fail_msg("fault %d: see above", i);
		take_references(got);
		if (memcmp(want, got, sizeof(want)) != 0)
			fail_msg("fault %d: other results after it", i);
		check_count("faults", 1);
	}
}

void check_faults(void)
{
	check_case(recover, NULL, "a fault, and a fresh process");
}

/* ---- memory ------------------------------------------------------------------------------------ */

static uint64_t free_memory(void)
{
	size_t left, all;

	assert_int_equal(cuda_context_use(gpu.dev), 0);
	assert_int_equal(gpu.dev->drv->cuMemGetInfo(&left, &all), 0);
	return left;
}

/* n tensors of 2 GiB that are all alive before the first is read again. */
static void *huge_program(unsigned n, uint64_t *bytes)
{
	struct build *b = build_new(1);
	struct shape s = build_dims(OOO_FP32, 1, -1, -1, -1);
	uint32_t x = build_input(b, &s), *t = calloc(n, sizeof(*t));
	struct ooo_attr a;
	void *data;

	for (unsigned i = 0; i < n; i++) {
		attr_init(&a, OOO_OP_EXPAND);
		a.rank = 1;
		a.dims[0] = 1 << 29;
		x = build_op1(b, OOO_OP_SIN, x);
		t[i] = build_op(b, OOO_OP_EXPAND, &a, x, OOO_NONE, OOO_NONE);
	}
	x = t[0];
	for (unsigned i = 1; i < n; i++)
		x = build_op2(b, OOO_OP_ADD, x, t[i]);
	attr_init(&a, OOO_OP_REDUCE_MAX);
	a.axes = 1;
	build_output(b, build_op(b, OOO_OP_REDUCE_MAX, &a, x, OOO_NONE, OOO_NONE));
	data = build_encode(b, bytes);
	build_free(b);
	free(t);
	return data;
}

static void refuse_too_large(const void *arg)
{
	struct exec *e = NULL;
	uint64_t before, after, bytes;
	void *data;
	int err;

	(void)arg;
	open_gpu(&check_options.config);
	before = free_memory();
	data = huge_program((unsigned)(before >> 31) + 4, &bytes);
	err = exec_load(&gpu, data, bytes, 0, 1, &e, why);
	if (err != -ENOMEM)
		fail_msg("a program larger than the memory: %s (%s)",
			 err ? strerror(-err) : "taken", why);
	if (!strpbrk(why, "0123456789"))
		fail_msg("the refusal names no size: %s", why);
	after = free_memory();
	if (after + SLACK_BYTES < before)
		fail_msg("%llu bytes were left behind", (unsigned long long)(before - after));
	e = load_net(1);
	if (!try_run(&(struct exec_request){ .e = e }, 1))
		fail_msg("a fault after the refusal");
	exec_free(e);
	exec_close(&gpu);
}

static void load_again_and_again(const void *arg)
{
	int rounds = check_options.tiny ? 5 : 200;
	uint64_t before = 0;

	(void)arg;
	open_gpu(&check_options.config);
	for (int i = 0; i < rounds; i++) {
		struct exec *e = load_net((uint64_t)i + 1);

		if (!try_run(&(struct exec_request){ .e = e }, 1))
			fail_msg("a fault in round %d", i);
		exec_free(e);
		if (i == 1)
			before = free_memory();
	}
	if (free_memory() + (1 << 20) < before)
		fail_msg("%d loads left %llu bytes behind", rounds,
			 (unsigned long long)(before - free_memory()));
	check_count("loads", (uint64_t)rounds);
	exec_close(&gpu);
}

void check_memory(void)
{
	check_case(refuse_too_large, NULL, "larger than the device");
	check_case(load_again_and_again, NULL, "load again and again");
}
