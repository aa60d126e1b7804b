/* SPDX-License-Identifier: Apache-2.0 */
/* The arena's allocator against a map of who owns each line. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/client/internal.h"

#define LINES 256

static uint64_t seed = 1;

static uint64_t splitmix(void)
{
	uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static int count_extents(const struct arena *arena)
{
	int n = 0;

	for (const struct extent *e = arena->extents; e; e = e->next)
		n++;
	return n;
}

static void test_rounding(void **state)
{
	struct arena arena = { 0 };
	uint64_t a, b, c;

	assert_int_equal(client_arena_init(&arena, 4096), 0);
	assert_int_equal(client_arena_alloc(&arena, 1, &a), 0);
	assert_int_equal(client_arena_alloc(&arena, 0, &b), 0);
	assert_int_equal(client_arena_alloc(&arena, 65, &c), 0);
	assert_int_equal(a, 0);
	assert_int_equal(b, 64);
	assert_int_equal(c, 128);
	assert_int_equal(client_arena_room(&arena), 4096 - 256);
	assert_int_equal(client_arena_alloc(&arena, 4096 - 255, &c), -ENOSPC);
	assert_int_equal(client_arena_alloc(&arena, UINT64_MAX, &c), -ENOSPC);
	assert_int_equal(client_arena_alloc(&arena, 4096 - 256, &c), 0);
	assert_int_equal(client_arena_room(&arena), 0);
	client_arena_destroy(&arena);
}

static void test_first_fit(void **state)
{
	struct arena arena = { 0 };
	uint64_t off[4], again;

	assert_int_equal(client_arena_init(&arena, 4096), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(client_arena_alloc(&arena, 1024, &off[i]), 0);
	client_arena_free(&arena, off[0]);
	client_arena_free(&arena, off[2]);
	assert_int_equal(client_arena_alloc(&arena, 2048, &again), -ENOSPC);
	client_arena_free(&arena, off[1]); /* joins both neighbours */
	assert_int_equal(client_arena_alloc(&arena, 3072, &again), 0);
	assert_int_equal(again, 0);
	client_arena_free(&arena, again);
	client_arena_free(&arena, off[3]);
	assert_int_equal(count_extents(&arena), 1);
	assert_int_equal(client_arena_room(&arena), 4096);
	client_arena_destroy(&arena);
}

struct block {
	uint64_t off, lines;
};

/* First fit, written the slow and obvious way. */
static int first_run(const uint8_t *owner, uint64_t lines)
{
	uint64_t run = 0;

	for (int i = 0; i < LINES; i++) {
		run = owner[i] ? 0 : run + 1;
		if (run == lines)
			return i + 1 - (int)lines;
	}
	return -1;
}

static void test_random(void **state)
{
	uint8_t owner[LINES] = { 0 };
	struct block blocks[LINES];
	struct arena arena = { 0 };
	int nr = 0;

	assert_int_equal(client_arena_init(&arena, LINES * 64), 0);
	for (int i = 0; i < 20000; i++) {
		uint64_t lines = 1 + splitmix() % 24, off;

		if (nr && splitmix() % 5 < 2) {
			int k = (int)(splitmix() % (uint64_t)nr);

			client_arena_free(&arena, blocks[k].off);
			memset(owner + blocks[k].off / 64, 0, blocks[k].lines);
			blocks[k] = blocks[--nr];
			continue;
		}
		int want = first_run(owner, lines);
		int rc = client_arena_alloc(&arena, lines * 64 - splitmix() % 64, &off);

		if (want < 0) {
			assert_int_equal(rc, -ENOSPC);
			continue;
		}
		assert_int_equal(rc, 0);
		assert_int_equal(off, want * 64);
		memset(owner + want, 1, lines);
		blocks[nr++] = (struct block){ .off = off, .lines = lines };
	}
	while (nr)
		client_arena_free(&arena, blocks[--nr].off);
	assert_int_equal(count_extents(&arena), 1);
	client_arena_destroy(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rounding),
		cmocka_unit_test(test_first_fit),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
