/* SPDX-License-Identifier: Apache-2.0 */
/* The cpu device's worker pool: order, exactly-once, back-pressure, lost wake-ups. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/device/cpu/clock.h"
#include "agent/device/cpu/pool.h"

#define NR_BUNDLES 32
#define STEPS      16

/* What the tasks share. The plain fields are written by whoever runs a task and read by tasks of the
 * lane's next bundle: a sanitizer sees every missing order. */
struct rig {
	struct pool *pool;
	unsigned threads;
	uint64_t lane_sum[POOL_MAX_LANES][STEPS];    /* by step: chunk and order dependent */
	uint64_t hits[NR_BUNDLES][BUNDLE_MAX_ITEMS]; /* atomic: chunks seen, one bit each */
	struct bundle bundles[NR_BUNDLES];
	unsigned started; /* atomic: bit w: worker w has run start() */
	unsigned who;     /* atomic: bit w: worker w has run a task */
	unsigned meet;    /* tasks wait until this many are inside */
	unsigned inside;  /* atomic */
	unsigned errors;  /* atomic */
	uint64_t spin_ns; /* a task takes at least this long */
};

static uint64_t next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* Chunks of a step follow from its number: 1, 2, 3, 4, 1, ... and once the most there can be. */
static unsigned rig_chunks(void *ctx, const struct bundle_item *item)
{
	(void)ctx;
	return item->step == STEPS - 1 ? POOL_MAX_CHUNKS : 1 + item->step % 4;
}

static void rig_start(void *ctx, unsigned worker)
{
	struct rig *r = ctx;

	__atomic_fetch_or(&r->started, 1u << worker, __ATOMIC_RELAXED);
}

static void meet_others(struct rig *r)
{
	uint64_t until = clock_now_ns() + 10000000000ull;

	__atomic_fetch_add(&r->inside, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n(&r->inside, __ATOMIC_RELAXED) < r->meet) {
		if (clock_now_ns() > until) {
			__atomic_fetch_add(&r->errors, 1, __ATOMIC_RELAXED);
			return;
		}
		usleep(50);
	}
}

static void rig_run(void *ctx, unsigned worker, struct bundle_item *item, unsigned chunk)
{
	struct rig *r = ctx;
	size_t b = (size_t)(uintptr_t)item->request;
	uint64_t *hits = &r->hits[b][item - r->bundles[b].items], bit = 1ull << chunk;
	uint64_t until = clock_now_ns() + r->spin_ns;

	__atomic_fetch_or(&r->who, 1u << worker, __ATOMIC_RELAXED);
	if (__atomic_fetch_or(hits, bit, __ATOMIC_RELAXED) & bit)
		__atomic_fetch_add(&r->errors, 1, __ATOMIC_RELAXED);
	if (r->meet)
		meet_others(r);
	/* One chunk of the bundle's first item carries the chain of the lane: not atomic on purpose. */
	if (item == r->bundles[b].items && chunk == 0) {
		uint64_t *sum = r->lane_sum[r->bundles[b].lane];

		for (int i = 0; i < STEPS; i++)
			sum[i] = sum[i] * 31 + item->slot + (uint64_t)i;
	}
	__atomic_fetch_add(&item->service_ns, 1, __ATOMIC_RELAXED);
	while (clock_now_ns() < until)
		;
}

static void rig_open(struct rig *r, unsigned threads, unsigned lanes, unsigned depth)
{
	struct pool_config config = {
		.threads = threads,
		.nr_lanes = lanes,
		.depth = depth,
		.ctx = r,
		.start = rig_start,
		.chunks = rig_chunks,
		.run = rig_run,
	};

	memset(r, 0, sizeof(*r));
	r->threads = threads;
	assert_int_equal(pool_create(&config, &r->pool), 0);
}

/* Items in runs of equal step, as the flow orders them. */
static void fill(struct rig *r, size_t b, uint16_t lane, uint32_t serial, uint64_t *seed)
{
	struct bundle *bundle = &r->bundles[b];
	uint32_t step = 0;

	bundle->lane = lane;
	bundle->nr_items = 1 + (uint32_t)(next_random(seed) % (next_random(seed) % 8 ? 6 : 128));
	for (uint32_t i = 0; i < bundle->nr_items; i++) {
		if (i == 0 || next_random(seed) % 3 == 0)
			step = (uint32_t)(next_random(seed) % STEPS);
		bundle->items[i] = (struct bundle_item){ .step = step,
							 .slot = serial,
							 .request = (void *)(uintptr_t)b,
							 .service_ns = 99 };
		r->hits[b][i] = 0;
	}
}

static void check_done(struct rig *r, const struct bundle *bundle)
{
	size_t b = (size_t)(bundle - r->bundles);

	assert_in_range(b, 0, NR_BUNDLES - 1);
	assert_true(bundle->start_ns && bundle->start_ns <= bundle->end_ns);
	assert_int_equal(bundle->scope, SCOPE_NONE);
	for (uint32_t i = 0; i < bundle->nr_items; i++) {
		unsigned n = rig_chunks(r, &bundle->items[i]);
		uint64_t all = n == 64 ? UINT64_MAX : (1ull << n) - 1;

		assert_int_equal(r->hits[b][i], all);
		assert_int_equal(bundle->items[i].service_ns, n);
		assert_int_equal(bundle->items[i].status, 0);
	}
}

/* Random bundles on every lane, as many in flight as fit; each lane's chain must be in order. */
static void stress(unsigned threads, unsigned lanes, unsigned rounds, uint64_t seed)
{
	static struct rig r;
	uint64_t expect[POOL_MAX_LANES][STEPS] = { { 0 } };
	uint32_t next_serial[POOL_MAX_LANES] = { 0 }, next_done[POOL_MAX_LANES] = { 0 };
	bool busy[NR_BUNDLES] = { false };
	unsigned submitted = 0, finished = 0;

	rig_open(&r, threads, lanes, 4);
	while (finished < rounds) {
		struct bundle *done[3];
		unsigned n, tries = (unsigned)(next_random(&seed) % 4);

		for (size_t b = 0; b < NR_BUNDLES && tries && submitted < rounds; b++) {
			uint16_t lane = (uint16_t)(next_random(&seed) % lanes);

			if (busy[b])
				continue;
			tries--;
			fill(&r, b, lane, next_serial[lane], &seed);
			if (pool_submit(r.pool, &r.bundles[b]) == -EAGAIN)
				continue;
			busy[b] = true;
			submitted++;
			for (int i = 0; i < STEPS; i++)
				expect[lane][i] =
					expect[lane][i] * 31 + next_serial[lane] + (uint64_t)i;
			next_serial[lane]++;
		}
		n = pool_poll(r.pool, done, 3);
		for (unsigned i = 0; i < n; i++) {
			check_done(&r, done[i]);
			assert_int_equal(done[i]->items[0].slot, next_done[done[i]->lane]++);
			busy[done[i] - r.bundles] = false;
		}
		finished += n;
	}
	assert_int_equal(r.errors, 0);
	pool_destroy(r.pool);
	assert_memory_equal(expect, r.lane_sum, sizeof(expect));
	assert_int_equal(r.started, (1u << threads) - 1);
}

static void bundles_of_a_lane_run_in_order(void **state)
{
	(void)state;
	stress(1, 1, 5000, 1);
	stress(2, 1, 20000, 2);
	stress(2, 2, 20000, 3);
	stress(4, 1, 3000, 4);
	stress(4, 3, 3000, 5);
}

static void a_full_lane_refuses(void **state)
{
	static struct rig r;
	uint64_t seed = 9;
	struct bundle *done[8];
	unsigned n = 0;

	(void)state;
	rig_open(&r, 1, 1, 4);
	for (size_t b = 0; b < 5; b++)
		fill(&r, b, 0, (uint32_t)b, &seed);
	for (size_t b = 0; b < 4; b++)
		assert_int_equal(pool_submit(r.pool, &r.bundles[b]), 0);
	assert_int_equal(pool_submit(r.pool, &r.bundles[4]), -EAGAIN);
	while (!n)
		n = pool_poll(r.pool, done, 8);
	assert_int_equal(n, 1);
	assert_ptr_equal(done[0], &r.bundles[0]);
	assert_int_equal(pool_submit(r.pool, &r.bundles[4]), 0);
	while (n < 5)
		n += pool_poll(r.pool, done, 8);
	pool_destroy(r.pool);
}

static unsigned bad_chunks(void *ctx, const struct bundle_item *item)
{
	(void)ctx;
	return item->step;
}

static void bad_arguments_are_refused(void **state)
{
	static struct rig r;
	struct pool_config config = { .threads = 1, .nr_lanes = 1, .depth = 3 };
	struct bundle *b = &r.bundles[0];
	struct pool *pool;

	(void)state;
	assert_int_equal(pool_create(&config, &pool), -EINVAL);
	config.depth = 4;
	config.threads = 0;
	assert_int_equal(pool_create(&config, &pool), -EINVAL);
	config.threads = 1;
	config.nr_lanes = POOL_MAX_LANES + 1;
	assert_int_equal(pool_create(&config, &pool), -EINVAL);
	config.nr_lanes = 1;
	config.chunks = bad_chunks;
	assert_int_equal(pool_create(&config, &pool), 0);
	b->nr_items = 0;
	assert_int_equal(pool_submit(pool, b), -EINVAL);
	b->nr_items = 1;
	b->lane = 1;
	b->items[0].step = 1;
	assert_int_equal(pool_submit(pool, b), -EINVAL);
	b->lane = 0;
	b->items[0].step = 0;
	assert_int_equal(pool_submit(pool, b), -EINVAL);
	b->items[0].step = POOL_MAX_CHUNKS + 1;
	assert_int_equal(pool_submit(pool, b), -EINVAL);
	assert_int_equal(pool_poll(pool, &b, 1), 0);
	pool_destroy(pool);
	pool_destroy(NULL);
}

/* A task that cannot finish alone: it returns only once a sleeping worker was woken and joined. */
static void sleeping_workers_are_woken(void **state)
{
	static struct rig r;
	struct pool_stats stats;
	struct bundle *done;

	(void)state;
	rig_open(&r, 3, 1, 4);
	r.meet = 3;
	for (int round = 0; round < 30; round++) {
		uint64_t slept = 0;

		r.inside = 0;
		memset(r.hits, 0, sizeof(r.hits));
		r.bundles[0].nr_items = 1;
		r.bundles[0].items[0] = (struct bundle_item){ .step = 2 }; /* 3 chunks */
		/* Every other round at a moment when both workers sleep. */
		for (int i = 0; round % 2 && i < 200; i++) {
			pool_stats(r.pool, &stats);
			if (i && stats.sleeps == slept)
				break;
			slept = stats.sleeps;
			usleep(1000);
		}
		assert_int_equal(pool_submit(r.pool, &r.bundles[0]), 0);
		while (!pool_poll(r.pool, &done, 1))
			;
		check_done(&r, done);
	}
	assert_int_equal(r.errors, 0);
	assert_int_equal(r.who, 7);
	pool_destroy(r.pool);
}

/* The finisher of a bundle starts the next: what is queued runs without a call from the dispatcher. */
static void queued_bundles_run_without_the_dispatcher(void **state)
{
	static struct rig r;
	uint64_t seed = 5, until;
	struct bundle *done[4];
	struct pool_stats stats = { 0 };

	(void)state;
	rig_open(&r, 2, 1, 4);
	r.spin_ns = 1000;
	for (size_t b = 0; b < 4; b++) {
		fill(&r, b, 0, (uint32_t)b, &seed);
		r.bundles[b].nr_items = 1;
		r.bundles[b].items[0].step = 1; /* 2 chunks */
		assert_int_equal(pool_submit(r.pool, &r.bundles[b]), 0);
	}
	until = clock_now_ns() + 10000000000ull;
	while (stats.units < 8 && clock_now_ns() < until) {
		usleep(100);
		pool_stats(r.pool, &stats);
	}
	assert_int_equal(stats.units, 8);
	assert_int_equal(pool_poll(r.pool, done, 4), 4);
	for (int i = 0; i < 4; i++)
		check_done(&r, done[i]);
	assert_int_equal(r.who, 2);
	pool_destroy(r.pool);
}

static void an_idle_pool_uses_no_processor(void **state)
{
	static struct rig r;
	struct timespec a, b;
	int64_t used;

	(void)state;
	rig_open(&r, 4, 1, 4);
	usleep(20000);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	usleep(200000);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	used = (b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec;
	assert_in_range(used, 0, 20000000);
	pool_destroy(r.pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bundles_of_a_lane_run_in_order),
		cmocka_unit_test(a_full_lane_refuses),
		cmocka_unit_test(bad_arguments_are_refused),
		cmocka_unit_test(sleeping_workers_are_woken),
		cmocka_unit_test(queued_bundles_run_without_the_dispatcher),
		cmocka_unit_test(an_idle_pool_uses_no_processor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
