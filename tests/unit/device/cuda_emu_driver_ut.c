/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The emulated driver: what it exports, what it refuses, what it finds wrong with kernels, and the
 * faults that tests order. Everything runs twice: work done where it is submitted, then by threads.
 */
#include "tests/unit/device/cuda_emu_rig.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

/* The thread sanitizer sees the race as well, and ends a process with this. */
#define RACE_FOUND 66

#define OOM              2
#define INVALID_VALUE    1
#define INVALID_CONTEXT  201
#define NOT_FOUND        500
#define NOT_READY        600
#define ILLEGAL_ADDRESS  700
#define OUT_OF_RESOURCES 701
#define REGISTERED       712
#define NOT_REGISTERED   713
#define LAUNCH_FAILED    719

static bool expecting_race;

/* A new context in place of a broken one. */
static void renew(void)
{
	static const char image[] = "any";
	void *context;

	/* No reset helps in the process that met the fault. */
	assert_int_equal(emu.ctx_reset(0), 0);
	assert_int_equal(emu.ctx_retain(&context, 0), LAUNCH_FAILED);
	emu.revive();
	assert_int_equal(emu.ctx_retain(&context, 0), 0);
	assert_int_equal(emu.ctx_release(0), 0);
	assert_ptr_equal(context, emu.context);
	assert_int_equal(emu.module_load(&emu.module, image), 0);
}

static void test_exports(void **state)
{
	(void)state;
#define DRIVER_FN(name, symbol, version, need, args) emu_symbol(symbol);
#include "agent/device/cuda/driver.def"
	assert_true(emu.kernels() > 5);
}

/* What kernels.def says of the kernels is what their sources say. */
static void test_kernel_table(void **state)
{
	const struct {
		const char *symbol;
		int threads, shared_bytes;
	} table[] = {
#define KERNEL(NAME, image, symbol, threads, shared_bytes) { symbol, threads, shared_bytes },
#include "agent/device/cuda/kernels.def"
#undef KERNEL
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		void *function;
		int threads;

		if (emu.get_function(&function, emu.module, table[i].symbol) != 0)
			fail_msg("kernels.def: there is no kernel %s", table[i].symbol);
		assert_int_equal(emu.get_attribute(&threads, 0, function), 0);
		if (threads < table[i].threads)
			fail_msg("kernels.def: %s: %d threads, but its launch bounds say %d",
				 table[i].symbol, table[i].threads, threads);
		assert_int_equal(emu.set_attribute(function, 8, table[i].shared_bytes), 0);
	}
}

static bool sanitized(const char *sanitizer)
{
	const char *name = getenv("OOO_SANITIZE");

	return name && strcmp(name, sanitizer) == 0;
}

static void expect_fault(uint32_t seq, uint32_t offset, const char *message)
{
	static float in[64], out[64];
	struct cuda_launch launch = { .seq = seq, .nr_entries = offset };
	device_t from, to;
	result_t result;

	assert_int_equal(emu.alloc(&from, sizeof(in)), 0);
	assert_int_equal(emu.alloc(&to, sizeof(out)), 0);
	launch.record = from;
	launch.progress = to;
	result = emu_start("test_wrong", 3, 64, 512, &launch);
	if (result == 0)
		result = emu.stream_sync(NULL);
	assert_int_equal(result, LAUNCH_FAILED);
	if (!strstr(emu.fault(), message))
		fail_msg("\"%s\" does not say \"%s\"", emu.fault(), message);
	assert_int_equal(emu.alloc(&from, 16), LAUNCH_FAILED);
	renew();
}

static void test_wrong_kernels(void **state)
{
	(void)state;
	expect_fault(0, 0, "diverge");
	expect_fault(1, 0, "diverge");
	expect_fault(2, 0, "while its warp is at");
	expect_fault(5, 0, "not a multiple of 16");
	expect_fault(7, 0, "not inside an array in shared memory");
	if (sanitized("asan"))
		return; /* it ends the process at the first write beyond */
	expect_fault(3, 1, "beyond the end of a");
	expect_fault(4, 512 - 63, "beyond the end of the dynamic");
}

/* Not an error: the value of a neighbour that has not come that far is a NaN. */
static void test_race_is_seen(void **state)
{
	float in[64] = { 0 }, out[64];
	unsigned nans = 0;

	(void)state;
	if (sanitized("tsan") && !expecting_race)
		return;
	assert_int_equal(emu_run("test_wrong", 1, 64, 512, 6, in, sizeof(in), out, sizeof(out)), 0);
	for (unsigned i = 0; i < 64; i++)
		nans += out[i] != out[i];
	assert_true(nans > 0);
}

static void test_launch_limits(void **state)
{
	struct cuda_launch launch = { 0 };
	void *function;

	(void)state;
	assert_int_equal(emu.get_function(&function, emu.module, "no_such_kernel"), NOT_FOUND);
	assert_int_equal(emu.get_function(&function, emu.module, "test_copy"), 0);
	assert_int_equal(emu_start("test_copy", 1, 128, 2048, &launch), OUT_OF_RESOURCES);
	assert_int_equal(emu_start("test_copy", 0, 64, 2048, &launch), INVALID_VALUE);
	assert_int_equal(emu_start("test_copy", 1, 64, 49153, &launch), INVALID_VALUE);
	assert_int_equal(emu.set_attribute(function, 8, 228 << 10), INVALID_VALUE);
	assert_int_equal(emu.set_attribute(function, 8, 100 << 10), 0);
}

static void test_memory(void **state)
{
	size_t free_bytes, total, after;
	unsigned char byte = 0;
	device_t at, more;

	(void)state;
	assert_int_equal(emu.mem_info(&free_bytes, &total), 0);
	assert_int_equal(emu.alloc(&at, 1000), 0);
	assert_int_equal(at % 256, 0);
	assert_int_equal(emu.from_device(&byte, at + 999, 1, NULL), 0);
	assert_int_equal(emu.stream_sync(NULL), 0);
	assert_int_equal(byte, 0xff);
	assert_int_equal(emu.set8(at, 7, 1000, NULL), 0);
	assert_int_equal(emu.from_device(&byte, at + 999, 1, NULL), 0);
	assert_int_equal(emu.stream_sync(NULL), 0);
	assert_int_equal(byte, 7);
	assert_int_equal(emu.from_device(&byte, at + 1000, 1, NULL), INVALID_VALUE);
	assert_int_equal(emu.mem_info(&after, &total), 0);
	assert_int_equal(free_bytes - after, 1000);
	assert_int_equal(emu.memory_used(), total - after);
	assert_int_equal(emu.alloc(&more, total), OOM);
	assert_int_equal(emu.free(at + 256), INVALID_VALUE);
	assert_int_equal(emu.free(at), 0);
	assert_int_equal(emu.free(at), INVALID_VALUE);
}

static void test_host_memory(void **state)
{
	char *pages = aligned_alloc(4096, 4 * 4096);

	(void)state;
	assert_non_null(pages);
	assert_int_equal(emu.host_register(pages, 8192, 0), 0);
	assert_int_equal(emu.host_register(pages + 8191, 100, 0), REGISTERED);
	assert_int_equal(emu.host_register(pages + 8192, 8192, 0), 0);
	assert_int_equal(emu.host_unregister(pages), 0);
	assert_int_equal(emu.host_unregister(pages), NOT_REGISTERED);
	assert_int_equal(emu.host_unregister(pages + 8192), 0);
	free(pages);
}

static void test_ordered_failures(void **state)
{
	size_t free_bytes, total;
	unsigned long calls;

	(void)state;
	calls = emu.calls();
	emu.fail_call(2, OOM);
	assert_int_equal(emu.mem_info(&free_bytes, &total), 0);
	assert_int_equal(emu.mem_info(&free_bytes, &total), OOM);
	assert_int_equal(emu.mem_info(&free_bytes, &total), 0);
	assert_int_equal(emu.calls() - calls, 3);
	emu.fail_call(1, ILLEGAL_ADDRESS);
	assert_int_equal(emu.mem_info(&free_bytes, &total), ILLEGAL_ADDRESS);
	assert_int_equal(emu.mem_info(&free_bytes, &total), ILLEGAL_ADDRESS);
	renew();
	assert_int_equal(emu.mem_info(&free_bytes, &total), 0);
}

/* Streams take work while the device hangs, and do it in order when it goes on. */
static void test_hold(void **state)
{
	static unsigned char out[4096];
	device_t at;
	void *stream;

	(void)state;
	assert_int_equal(emu.alloc(&at, sizeof(out)), 0);
	assert_int_equal(emu.stream_create(&stream, 1, 0), 0);
	emu.hold(1);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(emu.set8(at + i, (unsigned char)i, sizeof(out) - i, stream), 0);
	assert_int_equal(emu.from_device(out, at, sizeof(out), stream), 0);
	assert_int_equal(emu.stream_query(stream), NOT_READY);
	assert_int_equal(out[100], 0);
	emu.hold(0);
	assert_int_equal(emu.stream_sync(stream), 0);
	assert_int_equal(emu.stream_query(stream), 0);
	for (unsigned i = 0; i < sizeof(out); i++)
		assert_int_equal(out[i], i < 9 ? i : 9);
	assert_int_equal(emu.stream_destroy(stream), 0);
	assert_int_equal(emu.free(at), 0);
}

/* A hung device is reset: what was queued is never done, and nobody waits for it. */
static void test_reset_while_held(void **state)
{
	unsigned char byte = 1;
	unsigned leaks = emu.leaks();
	device_t at;
	void *stream;

	(void)state;
	assert_int_equal(emu.alloc(&at, 256), 0);
	assert_int_equal(emu.stream_create(&stream, 1, 0), 0);
	emu.hold(1);
	assert_int_equal(emu.from_device(&byte, at, 1, stream), 0);
	emu.fail_call(1, ILLEGAL_ADDRESS);
	assert_int_equal(emu.stream_query(stream), ILLEGAL_ADDRESS);
	renew();
	emu.hold(0);
	assert_int_equal(byte, 1);
	assert_int_equal(emu.leaks(), leaks);
	assert_int_equal(emu.stream_query(stream), 400);
}

/* Two streams at once, each in its own order. */
static void test_streams(void **state)
{
	enum {
		N = 64
	};
	static uint32_t words[2][N + 1][256];
	struct cuda_launch launch = { 0 };
	void *streams[2], *function, *params[] = { &launch };
	device_t at[2];

	(void)state;
	assert_int_equal(emu.get_function(&function, emu.module, "test_reverse"), 0);
	for (unsigned s = 0; s < 2; s++) {
		assert_int_equal(emu.stream_create(&streams[s], 1, 0), 0);
		assert_int_equal(emu.alloc(&at[s], sizeof(words[s])), 0);
		for (unsigned i = 0; i < 256; i++)
			words[s][0][i] = i + s;
		assert_int_equal(emu.to_device(at[s], words[s], sizeof(words[s]), streams[s]), 0);
	}
	for (unsigned i = 0; i < N; i++) {
		for (unsigned s = 0; s < 2; s++) {
			launch.record = at[s] + i * 1024;
			launch.progress = at[s] + (i + 1) * 1024;
			assert_int_equal(emu.launch(function, 1, 1, 1, 256, 1, 1, 0, streams[s],
						    params, NULL),
					 0);
		}
	}
	for (unsigned s = 0; s < 2; s++) {
		assert_int_equal(emu.from_device(words[s], at[s], sizeof(words[s]), streams[s]), 0);
		assert_int_equal(emu.stream_sync(streams[s]), 0);
		for (unsigned i = 0; i < 256; i++) {
			assert_int_equal(words[s][N][i], i + s);
			assert_int_equal(words[s][N - 1][i], 255 - i + s);
		}
		assert_int_equal(emu.stream_destroy(streams[s]), 0);
		assert_int_equal(emu.free(at[s]), 0);
	}
}

struct crowd {
	device_t at;
	void *stream;
	atomic_bool stop;
	atomic_uint nr_calls;
	unsigned max_calls;
};

#define CROWD_BYTES (64u << 20)

/* Work upon work, as a dispatcher submits it. */
static void *crowd_main(void *arg)
{
	struct crowd *c = arg;

	if (emu.ctx_set(emu.context))
		return NULL;
	while (!atomic_load(&c->stop) && c->nr_calls < c->max_calls) {
		emu.set8(c->at, 1, CROWD_BYTES, c->stream);
		emu.stream_sync(c->stream);
		c->nr_calls++;
	}
	return NULL;
}

/* Another thread gets its turn, however busy the first keeps the driver. */
static void test_turns(void **state)
{
	enum {
		N = 50
	};
	struct crowd c = { .max_calls = N * 20 };
	size_t free_bytes, total;
	pthread_t thread;

	(void)state;
	assert_int_equal(emu.alloc(&c.at, CROWD_BYTES), 0);
	assert_int_equal(emu.stream_create(&c.stream, 1, 0), 0);
	assert_int_equal(pthread_create(&thread, NULL, crowd_main, &c), 0);
	for (int i = 0; i < N; i++) {
		unsigned n = atomic_load(&c.nr_calls);

		while (atomic_load(&c.nr_calls) == n && n < c.max_calls)
			sched_yield();
		assert_int_equal(emu.mem_info(&free_bytes, &total), 0);
	}
	atomic_store(&c.stop, true);
	pthread_join(thread, NULL);
	assert_in_range(c.nr_calls, 0, c.max_calls - 1);
	assert_int_equal(emu.stream_destroy(c.stream), 0);
	assert_int_equal(emu.free(c.at), 0);
}

static void test_leaks(void **state)
{
	unsigned leaks = emu.leaks();
	void *context;
	device_t at;

	(void)state;
	assert_int_equal(emu.module_unload(emu.module), 0);
	assert_int_equal(emu.alloc(&at, 100), 0);
	assert_int_equal(emu.ctx_release(0), 0);
	assert_int_equal(emu.leaks(), leaks + 1);
	assert_int_equal(emu.alloc(&at, 100), INVALID_CONTEXT);
	assert_int_equal(emu.memory_used(), 0);
	assert_int_equal(emu.ctx_retain(&context, 0), 0);
	assert_int_equal(emu.ctx_set(context), 0);
	assert_int_equal(emu.module_load(&emu.module, "any"), 0);
}

static int run_all(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exports),       cmocka_unit_test(test_kernel_table),
		cmocka_unit_test(test_wrong_kernels), cmocka_unit_test(test_race_is_seen),
		cmocka_unit_test(test_launch_limits), cmocka_unit_test(test_memory),
		cmocka_unit_test(test_host_memory),   cmocka_unit_test(test_ordered_failures),
		cmocka_unit_test(test_hold),          cmocka_unit_test(test_reset_while_held),
		cmocka_unit_test(test_streams),       cmocka_unit_test(test_turns),
		cmocka_unit_test(test_leaks),
	};

	return cmocka_run_group_tests(tests, emu_open, emu_close);
}

static int run_race(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_race_is_seen) };

	expecting_race = true;
	return cmocka_run_group_tests(tests, emu_open, emu_close);
}

/* What a process that runs this ends with. */
static int status_of(int (*run)(void), const char *async)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		setenv("OOO_EMU_ASYNC", async, 1);
		exit(run());
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		perror("fork");
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The library reads its environment once, hence a process for each way. */
int main(void)
{
	int race = status_of(run_race, "0");

	if (race != (sanitized("tsan") ? RACE_FOUND : 0)) {
		fprintf(stderr, "the race: status %d\n", race);
		return 1;
	}
	return status_of(run_all, "1") || status_of(run_all, "0");
}
