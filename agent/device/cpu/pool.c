/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes and the claim protocol. Each lane has a ring of `depth` entries, one a bundle, numbered by a
 * free-running sequence:
 *
 *   tail   bundles submitted   (written by the dispatcher)
 *   head   bundles finished    (written by the worker that finished the last unit)
 *   claim  sequence, number of units and next unit of the one running bundle, in one word, so that a
 *          claim can never hit an entry that was recycled meanwhile
 *
 * A bundle starts when it is queued and its predecessor is finished. Both the dispatcher (after it moved
 * tail) and the finisher (after it moved head) look at the other's index; sequentially consistent
 * accesses make sure that at least one of them sees both, and the compare-and-swap of the claim word
 * from "predecessor, all taken" lets exactly one of them start it.
 */
#include "agent/device/cpu/pool.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/device/cpu/clock.h"
#include "agent/device/cpu/futex.h"
#include "shared/abi/ring_sync.h"

#define POLL_NS     200000 /* pool_poll() takes no further unit after this time */
#define STALL_NS    100000 /* waiting for other workers this long: let them have the core */
#define SPIN_MAX_NS 50000
#define SPIN_MIN_NS 4000
#define SPIN_CHECK  16 /* looks at the lanes between two looks at the clock */
#define CACHE_LINE  64

#define MAX_UNITS (BUNDLE_MAX_ITEMS * POOL_MAX_CHUNKS)

struct unit {
	uint16_t item, nr_items; /* items[item .. item + nr_items) of the bundle */
	uint16_t chunk;
};

struct entry {
	struct bundle *bundle;
	uint32_t nr_units;
	_Atomic uint32_t left; /* units not finished */
	struct unit units[MAX_UNITS];
};

struct lane {
	_Alignas(CACHE_LINE) _Atomic uint64_t claim; /* sequence << 32 | units << 16 | next */
	_Atomic uint32_t stamp;                      /* order in which running bundles started */
	_Alignas(CACHE_LINE) _Atomic uint32_t head;
	_Alignas(CACHE_LINE) _Atomic uint32_t tail;
	uint32_t reported; /* the dispatcher's */
	struct entry *entries;
};

struct worker_thread {
	_Alignas(CACHE_LINE) struct pool *pool;
	unsigned id;
	pthread_t thread;
	uint32_t spin_ns;
	_Atomic uint64_t units, sleeps;
};

struct pool {
	struct pool_config config;
	struct lane lanes[POOL_MAX_LANES];
	struct worker_thread *workers;
	unsigned nr_started; /* threads running, without worker 0 */
	uint64_t stalled_ns; /* the dispatcher's: since when it has waited for the others; 0: not */
	_Alignas(CACHE_LINE) _Atomic uint32_t stamp;
	_Alignas(CACHE_LINE) _Atomic uint32_t nr_sleepers;
	_Atomic uint32_t wake_seq; /* futex word */
	_Atomic uint32_t stop;
	_Atomic uint64_t wakes;
};

static uint64_t claim_word(uint32_t seq, uint32_t nr_units, uint32_t next)
{
	return (uint64_t)seq << 32 | nr_units << 16 | next;
}

static uint32_t claim_seq(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

static uint32_t claim_units(uint64_t word)
{
	return (uint32_t)word >> 16;
}

static uint32_t claim_next(uint64_t word)
{
	return (uint32_t)word & 0xffff;
}

static struct entry *lane_entry(struct pool *pool, struct lane *lane, uint32_t seq)
{
	return &lane->entries[seq & (pool->config.depth - 1)];
}

/* Units that nobody has taken yet, over all lanes. */
static uint32_t units_waiting(struct pool *pool)
{
	uint32_t n = 0;

	for (unsigned l = 0; l < pool->config.nr_lanes; l++) {
		uint64_t word = atomic_load(&pool->lanes[l].claim);

		n += claim_units(word) - claim_next(word);
	}
	return n;
}

/*
 * Wake sleepers for what is waiting, less the unit that the caller will take itself. A worker counts
 * itself a sleeper before it looks at the lanes for the last time (sequentially consistent), so
 * either it sees the units or it is seen here.
 */
static void wake_workers(struct pool *pool)
{
	uint32_t sleepers = atomic_load(&pool->nr_sleepers), waiting;

	if (!sleepers)
		return;
	waiting = units_waiting(pool);
	if (waiting <= 1)
		return;
	waiting--;
	atomic_fetch_add(&pool->wake_seq, 1);
	atomic_fetch_add_explicit(&pool->wakes, 1, memory_order_relaxed);
	futex_wake(&pool->wake_seq, waiting < sleepers ? waiting : sleepers);
}

/* Start bundle seq if it is queued, its predecessor is finished and nobody else has started it. */
static void lane_start(struct pool *pool, struct lane *lane, uint32_t seq)
{
	uint64_t word = atomic_load(&lane->claim);
	uint32_t nr;

	if (claim_seq(word) != seq - 1)
		return;
	nr = lane_entry(pool, lane, seq)->nr_units;
	if (!atomic_compare_exchange_strong(&lane->claim, &word, claim_word(seq, nr, 0)))
		return;
	atomic_store_explicit(&lane->stamp,
			      atomic_fetch_add_explicit(&pool->stamp, 1, memory_order_relaxed),
			      memory_order_relaxed);
	wake_workers(pool);
}

static void lane_finish(struct pool *pool, struct lane *lane, uint32_t seq)
{
	lane_entry(pool, lane, seq)->bundle->end_ns = clock_now_ns();
	atomic_store(&lane->head, seq + 1);
	if (atomic_load(&lane->tail) != seq + 1)
		lane_start(pool, lane, seq + 1);
}

/* The lane whose running bundle has units left; the one that started first if there are several. */
static struct lane *pick_lane(struct pool *pool, uint64_t *word)
{
	struct lane *best = NULL;
	uint32_t best_stamp = 0;

	for (unsigned l = 0; l < pool->config.nr_lanes; l++) {
		struct lane *lane = &pool->lanes[l];
		uint64_t w = atomic_load_explicit(&lane->claim, memory_order_acquire);
		uint32_t stamp = atomic_load_explicit(&lane->stamp, memory_order_relaxed);

		if (claim_next(w) >= claim_units(w))
			continue;
		if (best && (int32_t)(stamp - best_stamp) >= 0)
			continue;
		best = lane;
		best_stamp = stamp;
		*word = w;
	}
	return best;
}

static void run_unit(struct pool *pool, unsigned worker, struct entry *entry,
		     const struct unit *unit)
{
	struct bundle_item *items = entry->bundle->items;

	for (unsigned i = 0; i < unit->nr_items; i++)
		pool->config.run(pool->config.ctx, worker, &items[unit->item + i], unit->chunk);
}

/* Take one unit and execute it; false if there is none. */
static bool work(struct pool *pool, unsigned worker)
{
	struct worker_thread *self = &pool->workers[worker];
	struct entry *entry;
	struct lane *lane;
	uint32_t seq, next;
	uint64_t word = 0;

	do {
		lane = pick_lane(pool, &word);
		if (!lane)
			return false;
	} while (!atomic_compare_exchange_weak(&lane->claim, &word, word + 1));

	seq = claim_seq(word);
	next = claim_next(word);
	entry = lane_entry(pool, lane, seq);
	if (next == 0)
		entry->bundle->start_ns = clock_now_ns();
	run_unit(pool, worker, entry, &entry->units[next]);
	atomic_store_explicit(&self->units,
			      atomic_load_explicit(&self->units, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	if (atomic_fetch_sub(&entry->left, 1) == 1)
		lane_finish(pool, lane, seq);
	return true;
}

static bool work_waiting(struct pool *pool)
{
	return units_waiting(pool) > 0;
}

static void sleep_for_work(struct pool *pool, struct worker_thread *self)
{
	uint32_t seq = atomic_load(&pool->wake_seq);

	atomic_fetch_add(&pool->nr_sleepers, 1);
	if (!work_waiting(pool) && !atomic_load(&pool->stop)) {
		atomic_fetch_add_explicit(&self->sleeps, 1, memory_order_relaxed);
		futex_wait(&pool->wake_seq, seq);
	}
	atomic_fetch_sub(&pool->nr_sleepers, 1);
}

/* Spin for the next unit; true if one may be there. */
static bool spin_for_work(struct pool *pool, struct worker_thread *self)
{
	uint64_t until = clock_now_ns() + self->spin_ns;

	do {
		for (int i = 0; i < SPIN_CHECK; i++) {
			if (work_waiting(pool) ||
			    atomic_load_explicit(&pool->stop, memory_order_relaxed))
				return true;
			ring_cpu_relax();
		}
	} while (clock_now_ns() < until);
	return false;
}

static void spin_longer(struct worker_thread *self)
{
	self->spin_ns = self->spin_ns < SPIN_MAX_NS / 2 ? self->spin_ns * 2 : SPIN_MAX_NS;
}

/*
 * The spin adapts: it doubles while work comes within the time that the longest spin would have
 * lasted and halves while it does not, so that a lightly loaded device leaves the cores to others.
 */
static void wait_for_work(struct pool *pool, struct worker_thread *self)
{
	uint64_t slept;

	if (spin_for_work(pool, self)) {
		spin_longer(self);
		return;
	}
	slept = clock_now_ns();
	sleep_for_work(pool, self);
	slept = clock_now_ns() - slept;
	if (slept + self->spin_ns < SPIN_MAX_NS)
		spin_longer(self);
	else if (self->spin_ns > SPIN_MIN_NS)
		self->spin_ns /= 2;
}

static void *worker_main(void *arg)
{
	struct worker_thread *self = arg;
	struct pool *pool = self->pool;

	if (pool->config.start)
		pool->config.start(pool->config.ctx, self->id);
	while (!atomic_load_explicit(&pool->stop, memory_order_acquire)) {
		if (!work(pool, self->id))
			wait_for_work(pool, self);
	}
	return NULL;
}

static int start_threads(struct pool *pool)
{
	for (unsigned w = 1; w < pool->config.threads; w++) {
		struct worker_thread *worker = &pool->workers[w];
		char name[24];
		int err;

		err = pthread_create(&worker->thread, NULL, worker_main, worker);
		if (err)
			return -err;
		pool->nr_started++;
		snprintf(name, sizeof(name), "ooo-cpu/%u", w);
		name[15] = '\0'; /* the kernel's limit */
		pthread_setname_np(worker->thread, name);
	}
	return 0;
}

static int alloc_lanes(struct pool *pool)
{
	for (unsigned l = 0; l < pool->config.nr_lanes; l++) {
		struct lane *lane = &pool->lanes[l];

		lane->entries = calloc(pool->config.depth, sizeof(*lane->entries));
		if (!lane->entries)
			return -ENOMEM;
		atomic_init(&lane->claim, claim_word(UINT32_MAX, 0, 0));
	}
	return 0;
}

int pool_create(const struct pool_config *config, struct pool **out)
{
	struct pool *pool;
	int err;

	if (!config->threads || !config->nr_lanes || config->nr_lanes > POOL_MAX_LANES ||
	    !config->depth || (config->depth & (config->depth - 1)))
		return -EINVAL;
	pool = aligned_alloc(CACHE_LINE, sizeof(*pool));
	if (!pool)
		return -ENOMEM;
	*pool = (struct pool){ .config = *config };
	pool->workers = aligned_alloc(CACHE_LINE, config->threads * sizeof(*pool->workers));
	err = pool->workers ? alloc_lanes(pool) : -ENOMEM;
	if (err)
		goto fail;
	for (unsigned w = 0; w < config->threads; w++)
		pool->workers[w] =
			(struct worker_thread){ .pool = pool, .id = w, .spin_ns = SPIN_MAX_NS };
	if (config->start)
		config->start(config->ctx, 0);
	err = start_threads(pool);
	if (err)
		goto fail;
	*out = pool;
	return 0;
fail:
	pool_destroy(pool);
	return err;
}

void pool_destroy(struct pool *pool)
{
	if (!pool)
		return;
	atomic_store(&pool->stop, 1);
	atomic_fetch_add(&pool->wake_seq, 1);
	futex_wake(&pool->wake_seq, INT32_MAX);
	for (unsigned w = 1; w <= pool->nr_started; w++)
		pthread_join(pool->workers[w].thread, NULL);
	for (unsigned l = 0; l < POOL_MAX_LANES; l++)
		free(pool->lanes[l].entries);
	free(pool->workers);
	free(pool);
}

static bool same_weights(const struct bundle_item *a, const struct bundle_item *b)
{
	return a->program == b->program && a->step == b->step;
}

static unsigned count_runs(const struct bundle *bundle)
{
	unsigned runs = 1;

	for (uint32_t i = 1; i < bundle->nr_items; i++)
		runs += !same_weights(&bundle->items[i - 1], &bundle->items[i]);
	return runs;
}

/*
 * Cut the bundle into units. A run of items with the same weights is cut into as few pieces as still
 * occupy all workers twice over. This decides who computes what, never what is computed. 0: a step
 * has no chunks or too many.
 */
static uint32_t cut_bundle(struct pool *pool, const struct bundle *bundle, struct unit *units)
{
	unsigned want = 2 * pool->config.threads, runs = count_runs(bundle);
	uint32_t nr = 0;

	for (uint32_t first = 0, end; first < bundle->nr_items; first = end) {
		unsigned chunks = pool->config.chunks(pool->config.ctx, &bundle->items[first]);
		unsigned pieces, len;

		if (!chunks || chunks > POOL_MAX_CHUNKS)
			return 0;
		for (end = first + 1; end < bundle->nr_items; end++)
			if (!same_weights(&bundle->items[first], &bundle->items[end]))
				break;
		len = end - first;
		pieces = (want + runs * chunks - 1) / (runs * chunks);
		if (pieces > len)
			pieces = len;
		for (unsigned p = 0; p < pieces; p++) {
			uint16_t a = (uint16_t)(first + len * p / pieces);
			uint16_t b = (uint16_t)(first + len * (p + 1) / pieces);

			for (unsigned c = 0; c < chunks; c++)
				units[nr++] = (struct unit){ a, b - a, (uint16_t)c };
		}
	}
	return nr;
}

int pool_submit(struct pool *pool, struct bundle *bundle)
{
	struct lane *lane;
	struct entry *entry;
	uint32_t tail;

	if (bundle->lane >= pool->config.nr_lanes || !bundle->nr_items ||
	    bundle->nr_items > BUNDLE_MAX_ITEMS)
		return -EINVAL;
	lane = &pool->lanes[bundle->lane];
	tail = atomic_load_explicit(&lane->tail, memory_order_relaxed);
	if (tail - lane->reported >= pool->config.depth)
		return -EAGAIN;
	entry = lane_entry(pool, lane, tail);
	entry->nr_units = cut_bundle(pool, bundle, entry->units);
	if (!entry->nr_units)
		return -EINVAL;
	for (uint32_t i = 0; i < bundle->nr_items; i++) {
		bundle->items[i].service_ns = 0;
		bundle->items[i].status = 0;
		bundle->items[i].scope = SCOPE_NONE;
	}
	bundle->scope = SCOPE_NONE;
	bundle->start_ns = 0;
	bundle->end_ns = 0;
	entry->bundle = bundle;
	atomic_store_explicit(&entry->left, entry->nr_units, memory_order_relaxed);
	atomic_store(&lane->tail, tail + 1);
	if (atomic_load(&lane->head) == tail)
		lane_start(pool, lane, tail);
	return 0;
}

static unsigned report(struct pool *pool, struct bundle **done, unsigned max)
{
	unsigned n = 0;

	for (unsigned l = 0; l < pool->config.nr_lanes; l++) {
		struct lane *lane = &pool->lanes[l];
		uint32_t head = atomic_load_explicit(&lane->head, memory_order_acquire);

		while (n < max && lane->reported != head)
			done[n++] = lane_entry(pool, lane, lane->reported++)->bundle;
	}
	return n;
}

static bool in_flight(struct pool *pool)
{
	for (unsigned l = 0; l < pool->config.nr_lanes; l++) {
		if (pool->lanes[l].reported != atomic_load(&pool->lanes[l].tail))
			return true;
	}
	return false;
}

/*
 * Nothing to do here while others work. If that lasts, one of them may have lost its core to another
 * process, or to this very loop: a machine that is busy otherwise finishes sooner for a yield, and
 * on an idle one it returns at once.
 */
static void wait_for_others(struct pool *pool)
{
	uint64_t now;

	if (!in_flight(pool)) {
		pool->stalled_ns = 0;
		return;
	}
	now = clock_now_ns();
	if (!pool->stalled_ns)
		pool->stalled_ns = now;
	else if (now - pool->stalled_ns > STALL_NS)
		sched_yield();
}

unsigned pool_poll(struct pool *pool, struct bundle **done, unsigned max)
{
	unsigned n = report(pool, done, max);
	uint64_t until;

	if (!n && !work_waiting(pool)) {
		wait_for_others(pool);
		return 0;
	}
	pool->stalled_ns = 0;
	if (n)
		return n;
	until = clock_now_ns() + POLL_NS;
	while (work(pool, 0)) {
		n = report(pool, done, max);
		if (n || clock_now_ns() >= until)
			break;
	}
	return n ? n : report(pool, done, max);
}

void pool_stats(const struct pool *pool, struct pool_stats *out)
{
	*out = (struct pool_stats){ 0 };
	for (unsigned w = 0; w < pool->config.threads; w++) {
		const struct worker_thread *worker = &pool->workers[w];

		out->units += atomic_load_explicit(&worker->units, memory_order_relaxed);
		out->sleeps += atomic_load_explicit(&worker->sleeps, memory_order_relaxed);
	}
	out->wakes = atomic_load_explicit(&pool->wakes, memory_order_relaxed);
}
