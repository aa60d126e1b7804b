/* SPDX-License-Identifier: Apache-2.0 */
/* The cuda device when the driver fails: each of its calls in turn, faults, hangs, lost contexts. */
#include "tests/unit/device/cuda_session.h"

static unsigned leaks_before;

static void begin(struct session *s)
{
	cs_init(s);
	leaks_before = emu.leaks();
	assert_int_equal(emu.memory_used(), 0);
}

/* nr_kept: what may go with its context only, as the call that frees it was made to fail, or as the
 * context was reset. */
static void end(struct session *s, unsigned nr_kept)
{
	cs_unload(s);
	cs_close(s);
	emu.fail_call(0, 0);
	emu.revive();
	assert_int_equal(emu.memory_used(), 0);
	assert_in_range(emu.leaks() - leaks_before, 0, nr_kept);
	cs_fini(s);
}

static void test_runs(void **state)
{
	struct session s;
	uint64_t weights, workspace, taken, held;

	begin(&s);
	assert_int_equal(cs_open(&s), 0);
	assert_int_equal(cs_load(&s), 0);
	assert_true(cs_works(&s, 0));
	assert_true(cs_works(&s, 1));
	assert_true(s.bundle.end_ns >= s.bundle.start_ns);
	cuda_device_ops.footprint(s.dp, &weights, &workspace);
	assert_true(weights >= CS_K * CS_N * sizeof(float));
	cuda_memory_usage(s.dev, &taken, &held);
	assert_true(taken >= weights && held >= taken);
	cuda_device_ops.memory(s.dev, &held, &workspace);
	assert_int_equal(held, taken);
	assert_true(workspace > taken);
	assert_int_equal(cuda_device_ops.count(&s.config, s.why, sizeof(s.why)), 1);
	s.config.cuda_library = "/nonexistent/libcuda.so.1";
	assert_int_equal(cuda_device_ops.count(&s.config, s.why, sizeof(s.why)), 0);
	assert_non_null(strstr(s.why, "no NVIDIA driver"));
	end(&s, 0);
}

/* Open with the n-th call failing, for every n until none is left to fail. */
static unsigned long open_faults(int result)
{
	for (unsigned long n = 1;; n++) {
		unsigned long calls;
		struct session s;
		int err;

		begin(&s);
		calls = emu.calls();
		emu.fail_call(n, result);
		err = cs_open(&s);
		calls = emu.calls() - calls;
		if (err) {
			assert_null(s.dev);
			assert_true(s.why[0] != '\0');
		} else {
			emu.fail_call(0, 0);
			assert_int_equal(cs_load(&s), 0);
			assert_true(cs_works(&s, 0));
		}
		end(&s, 1);
		if (!err && calls < n)
			return n;
		assert_true(n < 5000);
	}
}

static void test_open_faults(void **state)
{
	assert_true(open_faults(CUDA_ERROR_OUT_OF_MEMORY) > 20);
	open_faults(CUDA_ERROR_LAUNCH_FAILED);
	open_faults(CUDA_ERROR_UNKNOWN);
}

/* A whole life with the n-th call after open failing. What a step refuses is refused cleanly; what
 * was submitted comes back; and the device works again, unless it is lost to this process. */
static bool life_with_fault(unsigned long n, int result)
{
	unsigned long calls;
	struct session s;
	bool loaded;

	begin(&s);
	assert_int_equal(cs_open(&s), 0);
	calls = emu.calls();
	emu.fail_call(n, result);
	loaded = !cs_load(&s);
	if (loaded) {
		bool works = false;

		cs_run(&s, 0);
		for (int i = 0; i < 4 && !works; i++)
			works = cs_works(&s, 0);
		assert_true(works != s.dev->lost);
		assert_true(works || cs_run(&s, 0) == -ENODEV);
	} else {
		assert_true(s.why[0] || s.binding == NULL);
	}
	cs_unload(&s);
	cs_close(&s);
	calls = emu.calls() - calls;
	end(&s, 8);
	return calls >= n;
}

static void life_faults(int result)
{
	unsigned long n = 1;

	while (life_with_fault(n, result))
		assert_true(n++ < 5000);
	assert_true(n > 10);
}

static void test_life_faults(void **state)
{
	life_faults(CUDA_ERROR_OUT_OF_MEMORY);
	life_faults(CUDA_ERROR_ILLEGAL_ADDRESS);
	life_faults(CUDA_ERROR_LAUNCH_FAILED);
}

/* The third bundle traps: it is reported once, and the device takes nothing more here. */
static void test_fault_every(void **state)
{
	struct session s;

	begin(&s);
	s.config.cuda_fault_every = 3;
	assert_int_equal(cs_open(&s), 0);
	assert_int_equal(cs_load(&s), 0);
	assert_true(cs_works(&s, 0) && cs_works(&s, 1));
	assert_int_equal(cs_run(&s, 0), 0);
	assert_int_equal(s.bundle.scope, SCOPE_DEVICE);
	assert_true(s.dev->lost);
	for (uint16_t lane = 0; lane < 2; lane++)
		assert_int_equal(cs_run(&s, lane), -ENODEV);
	cs_unload(&s);
	assert_true(cs_load(&s) < 0);
	cs_unload(&s);
	cs_close(&s);
	assert_true(cs_open(&s) < 0); /* nor does a new one open, before there is a new process */
	assert_non_null(strstr(s.why, "CUDA_ERROR_LAUNCH_FAILED"));
	emu.revive();
	s.config.cuda_fault_every = 0;
	assert_int_equal(cs_open(&s), 0);
	assert_int_equal(cs_load(&s), 0);
	assert_true(cs_works(&s, 0));
	end(&s, 8);
}

/* Submit, and poll until the device has given up the bundle that does not finish. */
static void give_up(struct session *s)
{
	struct bundle *b = &s->bundle, *done;

	memset(b, 0, sizeof(*b));
	b->nr_items = 1;
	b->submit_ns = clock_now_ns();
	b->items[0] = (struct bundle_item){ .program = s->dp, .binding = s->binding };
	emu.hold(1);
	assert_int_equal(cuda_device_ops.submit(s->dev, b), 0);
	while (!s->dev->lost)
		assert_int_equal(cuda_device_ops.poll(s->dev, &done, 1), 0);
}

/* It hangs: the bundle is given up, and the device with it. */
static void test_deadline(void **state)
{
	struct bundle *done = NULL;
	struct session s;

	begin(&s);
	s.config.launch_deadline_ms = 20;
	assert_int_equal(cs_open(&s), 0);
	assert_int_equal(cs_load(&s), 0);
	log_set_level(LOG_LEVEL_ERROR);
	give_up(&s);
	while (!done)
		cuda_device_ops.poll(s.dev, &done, 1);
	assert_ptr_equal(done, &s.bundle);
	assert_int_equal(done->scope, SCOPE_DEVICE);
	assert_int_equal(cuda_device_ops.poll(s.dev, &done, 1), 0);
	emu.hold(0);
	assert_int_equal(cs_run(&s, 0), -ENODEV);
	end(&s, 40); /* of a context that was given up while it hung */
}

static void expect(int got, int wanted, const struct session *s, const char *word)
{
	assert_int_equal(got, wanted);
	if (!strstr(s->why, word))
		fail_msg("\"%s\" does not say \"%s\"", s->why, word);
}

static int add(struct session *s, const char *name, unsigned sms)
{
	return cuda_device_ops.partition_add(s->dev, name, sms, s->why, sizeof(s->why));
}

static int del(struct session *s, const char *name)
{
	return cuda_device_ops.partition_del(s->dev, name, s->why, sizeof(s->why));
}

static void test_partitions(void **state)
{
	const struct device_caps *caps;
	struct session s;

	begin(&s);
	s.config.partitions[0] = "fast=4";
	assert_int_equal(cs_open(&s), 0);
	caps = cuda_device_ops.caps(s.dev);
	assert_true(caps->partitions);
	assert_string_equal(caps->partition[0].name, "fast");
	assert_true(caps->partition[0].units >= 4);
	assert_int_equal(caps->partition[0].first_lane, 2);
	assert_int_equal(cs_load(&s), 0);
	for (uint16_t lane = 0; lane < 3; lane++)
		assert_true(cs_works(&s, lane));
	expect(add(&s, "fast", 2), -EEXIST, &s, "exists");
	expect(add(&s, "big", 4096), -ENOSPC, &s, "the most");
	expect(add(&s, "", 2), -EINVAL, &s, "name");
	expect(add(&s, "none", 0), -EINVAL, &s, "SM");
	expect(del(&s, "slow"), -ENOENT, &s, "slow");
	expect(del(&s, ""), -ENOENT, &s, "none");
	assert_int_equal(add(&s, "slow", 2), 0);
	assert_int_equal(caps->nr_lanes, 4);
	assert_true(cs_works(&s, 3));
	assert_int_equal(del(&s, "fast"), 0);
	assert_true(cs_works(&s, 0) && cs_works(&s, 3));
	assert_int_equal(add(&s, "again", 2), 0); /* takes the place of "fast" */
	assert_true(cs_works(&s, 2));
	assert_int_equal(del(&s, "slow"), 0);
	assert_int_equal(del(&s, "again"), 0);
	assert_true(cs_works(&s, 0) && cs_works(&s, 1));
	end(&s, 8);
}

static void test_bad_partition(void **state)
{
	const char *bad[] = { "x",
			      "x=",
			      "=4",
			      "x=0",
			      "x=4y",
			      "x=-1",
			      "a name that is longer than there is room for=4" };
	struct session s;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		begin(&s);
		s.config.partitions[0] = bad[i];
		expect(cs_open(&s), -EINVAL, &s, bad[i]);
		end(&s, 0);
	}
	begin(&s);
	s.config.partitions[0] = "x=100000";
	assert_true(cs_open(&s) < 0);
	end(&s, 0);
}

/* Partitions with the n-th call failing. */
static void test_partition_faults(void **state)
{
	unsigned long calls, n = 0;

	do {
		struct session s;

		n++;
		begin(&s);
		assert_int_equal(cs_open(&s), 0);
		assert_int_equal(cs_load(&s), 0);
		calls = emu.calls();
		emu.fail_call(n, CUDA_ERROR_OUT_OF_MEMORY);
		if (!add(&s, "a", 2))
			del(&s, "a");
		calls = emu.calls() - calls;
		emu.fail_call(0, 0);
		assert_true(cs_works(&s, 0) && cs_works(&s, 1));
		assert_int_equal(add(&s, "b", 2), 0);
		assert_true(cs_works(&s, (uint16_t)s.dev->caps.partition[0].first_lane) ||
			    s.dev->caps.partition[0].name[0] == 'a');
		end(&s, 2);
	} while (calls >= n && n < 1000);
	assert_in_range(n, 8, 999);
}

/* What lies in an arena has an address there, and nothing else has. */
static void test_arenas(void **state)
{
	struct session s;

	begin(&s);
	assert_int_equal(cs_open(&s), 0);
	assert_int_equal(cuda_arena_address(s.dev, s.arena), 0);
	assert_int_equal(cs_load(&s), 0);
	assert_true(cuda_arena_address(s.dev, s.arena) != 0);
	assert_true(cuda_arena_address(s.dev, s.arena + CS_ARENA_BYTES - 1) ==
		    cuda_arena_address(s.dev, s.arena) + CS_ARENA_BYTES - 1);
	assert_int_equal(cuda_arena_address(s.dev, s.arena - 1), 0);
	assert_int_equal(cuda_arena_address(s.dev, s.arena + CS_ARENA_BYTES), 0);
	assert_int_equal(cuda_device_ops.map_arena(s.dev, s.arena, CS_ARENA_BYTES), -EINVAL);
	assert_int_equal(cuda_device_ops.map_arena(s.dev, s.arena + 4096, 4096), -EINVAL);
	assert_int_equal(cuda_device_ops.map_arena(s.dev, s.arena - 4096, 8192), -EINVAL);
	assert_int_equal(cuda_device_ops.map_arena(s.dev, s.arena, 0), -EINVAL);
	cuda_device_ops.unmap_arena(s.dev, s.arena + 1); /* not one */
	assert_true(cs_works(&s, 0));
	end(&s, 0);
}

/* Many, mapped and unmapped in an order of their own, against a plain list. */
static void test_many_arenas(void **state)
{
	enum {
		NR = 64,
		BYTES = 8192
	};
	bool mapped[NR] = { false };
	uint64_t seed = 88172645463325252ull;
	struct session s;
	char *memory;

	begin(&s);
	assert_int_equal(cs_open(&s), 0);
	memory = mmap(NULL, NR * BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(memory != MAP_FAILED);
	for (int step = 0; step < 2000; step++) {
		unsigned i;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		i = (unsigned)(seed >> 20) % NR;
		if (mapped[i])
			cuda_device_ops.unmap_arena(s.dev, memory + i * BYTES);
		else
			assert_int_equal(
				cuda_device_ops.map_arena(s.dev, memory + i * BYTES, BYTES), 0);
		mapped[i] = !mapped[i];
		for (unsigned k = 0; k < NR; k++)
			assert_true(!cuda_arena_address(s.dev, memory + k * BYTES + 5000) ==
				    !mapped[k]);
	}
	for (unsigned i = 0; i < NR; i++)
		cuda_device_ops.unmap_arena(s.dev, memory + i * BYTES);
	munmap(memory, NR * BYTES);
	end(&s, 0);
}

static void test_which_gpu(void **state)
{
	struct session s;

	begin(&s);
	s.config.cuda_uuid = "1";
	assert_int_equal(cs_open(&s), -ENODEV);
	assert_non_null(strstr(s.why, "no GPU 1"));
	s.config.cuda_uuid = "GPU-nothing";
	assert_int_equal(cs_open(&s), -ENODEV);
	assert_non_null(strstr(s.why, "GPU-nothing"));
	s.config.cuda_uuid = "99999999999999999999";
	assert_int_equal(cs_open(&s), -ENODEV);
	s.config.cuda_uuid = "0";
	assert_int_equal(cs_open(&s), 0);
	assert_non_null(strstr(s.dev->caps.description, "Emulated"));
	end(&s, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs),          cmocka_unit_test(test_open_faults),
		cmocka_unit_test(test_life_faults),   cmocka_unit_test(test_fault_every),
		cmocka_unit_test(test_deadline),      cmocka_unit_test(test_partitions),
		cmocka_unit_test(test_bad_partition), cmocka_unit_test(test_partition_faults),
		cmocka_unit_test(test_arenas),        cmocka_unit_test(test_many_arenas),
		cmocka_unit_test(test_which_gpu),
	};

	return cmocka_run_group_tests(tests, emu_load, NULL);
}
