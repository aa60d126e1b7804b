/* SPDX-License-Identifier: Apache-2.0 */
/* Device memory: pieces never overlap, all comes back, refusals say the sizes, copies are exact. */
#include "tests/unit/device/cuda_session.h"

#define MIB       (1ull << 20)
#define NR_PIECES 96

static struct session s;

static int open_device(void **state)
{
	emu_load(state);
	cs_init(&s);
	assert_int_equal(cs_open(&s), 0);
	return 0;
}

static int close_device(void **state)
{
	(void)state;
	cs_close(&s);
	assert_int_equal(emu.memory_used(), 0);
	assert_int_equal(emu.leaks(), 0);
	cs_fini(&s);
	return 0;
}

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed >> 11;
}

static bool overlap(const struct cuda_mem *a, const struct cuda_mem *b)
{
	return a->chunk && b->chunk && a->address < b->address + b->bytes &&
	       b->address < a->address + a->bytes;
}

static uint64_t taken(void)
{
	uint64_t in_use, held;

	cuda_memory_usage(s.dev, &in_use, &held);
	assert_true(held >= in_use);
	return in_use;
}

static void test_random(void **state)
{
	struct cuda_mem pieces[NR_PIECES] = { 0 };
	uint64_t seed = 0x9e3779b97f4a7c15ull, before = taken();
	char why[256];

	for (int step = 0; step < 4000; step++) {
		struct cuda_mem *m = &pieces[next(&seed) % NR_PIECES];
		uint64_t bytes = next(&seed) % (1u << (next(&seed) % 22));

		if (m->chunk) {
			cuda_mem_give(s.dev, m);
			assert_null(m->chunk);
			continue;
		}
		assert_int_equal(cuda_mem_take(s.dev, bytes, m, why, sizeof(why)), 0);
		assert_true(m->bytes >= bytes && m->bytes > 0);
		assert_int_equal(m->address % 256, 0);
		for (int i = 0; i < NR_PIECES; i++)
			assert_false(&pieces[i] != m && overlap(&pieces[i], m));
	}
	for (int i = 0; i < NR_PIECES; i++)
		cuda_mem_give(s.dev, &pieces[i]);
	assert_int_equal(taken(), before);
}

/* A piece between two that come back first joins with both. */
static void test_merging(void **state)
{
	struct cuda_mem m[3], all;
	uint64_t before = taken();
	char why[256];

	for (int i = 0; i < 3; i++)
		assert_int_equal(cuda_mem_take(s.dev, 8 * MIB, &m[i], why, sizeof(why)), 0);
	all = m[0];
	cuda_mem_give(s.dev, &m[0]);
	cuda_mem_give(s.dev, &m[2]);
	cuda_mem_give(s.dev, &m[1]);
	assert_int_equal(cuda_mem_take(s.dev, 24 * MIB, &m[0], why, sizeof(why)), 0);
	assert_int_equal(m[0].address, all.address);
	cuda_mem_give(s.dev, &m[0]);
	assert_int_equal(taken(), before);
}

/* Large requests have chunks of their own, which go back at once. */
static void test_large(void **state)
{
	struct cuda_mem m;
	uint64_t used = emu.memory_used();
	char why[256];

	assert_int_equal(cuda_mem_take(s.dev, 100 * MIB + 1, &m, why, sizeof(why)), 0);
	assert_int_equal(emu.memory_used(), used + 102 * MIB);
	cuda_mem_give(s.dev, &m);
	assert_int_equal(emu.memory_used(), used);
}

static void test_chunks_go_back(void **state)
{
	struct cuda_mem m[12];
	uint64_t used = emu.memory_used();
	char why[256];

	for (int i = 0; i < 12; i++)
		assert_int_equal(cuda_mem_take(s.dev, 20 * MIB, &m[i], why, sizeof(why)), 0);
	assert_true(emu.memory_used() > used + 128 * MIB);
	for (int i = 0; i < 12; i++)
		cuda_mem_give(s.dev, &m[i]);
	assert_true(emu.memory_used() <= used + 64 * MIB);
}

static void test_refusal(void **state)
{
	struct cuda_mem m[16], more;
	char why[256] = "";
	int n = 0;

	assert_int_equal(cuda_mem_take(s.dev, 4096 * MIB, &more, why, sizeof(why)), -ENOMEM);
	assert_non_null(strstr(why, "4096 MiB asked for"));
	assert_non_null(strstr(why, "of 512 MiB are free"));
	assert_int_equal(cuda_mem_take(s.dev, UINT64_MAX, &more, why, sizeof(why)), -ENOMEM);
	while (n < 16 && !cuda_mem_take(s.dev, 50 * MIB, &m[n], why, sizeof(why)))
		n++;
	assert_int_equal(n, 9); /* one in the chunk that is there, eight of their own */
	/* Too little for a chunk of the usual size, enough for the request. */
	assert_int_equal(cuda_mem_take(s.dev, 20 * MIB, &more, why, sizeof(why)), 0);
	cuda_mem_give(s.dev, &more);
	while (n--)
		cuda_mem_give(s.dev, &m[n]);
}

static void download(void *to, uint64_t from, size_t bytes)
{
	assert_int_equal(s.dev->drv->cuMemcpyDtoHAsync(to, from, bytes, s.dev->load_stream), 0);
	assert_int_equal(s.dev->drv->cuStreamSynchronize(s.dev->load_stream), 0);
}

static void test_copies(void **state)
{
	static const size_t sizes[] = { 1,       3,           4096,        2 * MIB - 1,
					2 * MIB, 2 * MIB + 1, 4 * MIB + 5, 9 * MIB + 77 };
	uint64_t seed = 77;
	char why[256];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		unsigned char *data = malloc(sizes[i] + 8), *back = malloc(sizes[i] + 8);
		struct cuda_mem m;

		for (size_t k = 0; k < sizes[i]; k++)
			data[k] = (unsigned char)next(&seed);
		assert_int_equal(cuda_mem_take(s.dev, sizes[i] + 8, &m, why, sizeof(why)), 0);
		assert_int_equal(cuda_zero(s.dev, m.address, sizes[i] + 8), 0);
		assert_int_equal(cuda_upload(s.dev, m.address + 4, data, sizes[i]), 0);
		download(back, m.address, sizes[i] + 8);
		assert_memory_equal(back + 4, data, sizes[i]);
		for (int k = 0; k < 4; k++)
			assert_int_equal(back[k] | back[sizes[i] + 4 + (size_t)k], 0);
		cuda_mem_give(s.dev, &m);
		free(data);
		free(back);
	}
	assert_int_equal(cuda_upload(s.dev, 0, NULL, 0), 0);
	assert_int_equal(cuda_zero(s.dev, 0, 0), 0);
	/* Not the device's memory. */
	assert_int_equal(cuda_upload(s.dev, 4096, "abc", 3), -EIO);
}

static void test_host_memory(void **state)
{
	uint64_t address = 0;
	char *p = cuda_host_take(s.dev, 5000, &address);

	assert_non_null(p);
	assert_true(address != 0);
	memset(p, 1, 5000);
	cuda_host_give(s.dev, p);
	cuda_host_give(s.dev, NULL);
}

/* The check that the other tests rely on sees what is not given back. */
static void test_check(void **state)
{
	struct cuda_mem m;
	char why[256];
	void *host;

	cuda_flight_close(s.dev);
	assert_int_equal(cuda_memory_check(s.dev, why, sizeof(why)), 0);
	assert_int_equal(cuda_mem_take(s.dev, 300, &m, why, sizeof(why)), 0);
	assert_int_equal(cuda_memory_check(s.dev, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "512 bytes"));
	cuda_mem_give(s.dev, &m);
	host = cuda_host_take(s.dev, 300, NULL);
	assert_int_equal(cuda_memory_check(s.dev, why, sizeof(why)), -EINVAL);
	cuda_host_give(s.dev, host);
	assert_int_equal(cuda_memory_check(s.dev, why, sizeof(why)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),      cmocka_unit_test(test_merging),
		cmocka_unit_test(test_large),       cmocka_unit_test(test_chunks_go_back),
		cmocka_unit_test(test_refusal),     cmocka_unit_test(test_copies),
		cmocka_unit_test(test_host_memory), cmocka_unit_test(test_check),
	};

	setenv("OOO_EMU_MEMORY", "536870912", 1);
	return cmocka_run_group_tests(tests, open_device, close_device);
}
