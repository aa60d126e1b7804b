// SPDX-License-Identifier: Apache-2.0
#include "tests/emu/emu.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/emu/fiber.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

/*
 * The thread sanitizer sees each thread of a block as a thread, and only the order that barriers,
 * collective operations and atomics make: it finds races of kernels. This file is not instrumented.
 */
#if defined(OOO_EMU_RACES)
#include <sanitizer/tsan_interface.h>
#define RELEASE(object) __tsan_release(object)
#define ACQUIRE(object) __tsan_acquire(object)
#else
#define RELEASE(object) ((void)(object))
#define ACQUIRE(object) ((void)(object))
#endif

namespace emu
{

/* A sanitizer's frames are several times as large. */
#if defined(__SANITIZE_ADDRESS__) || defined(OOO_EMU_RACES)
constexpr size_t stack_bytes = 256 << 10;
#else
constexpr size_t stack_bytes = 64 << 10;
#endif

constexpr size_t page = 4096;
constexpr size_t static_bytes = 128 << 10; /* the static half of the window, red zones included */
constexpr size_t static_limit = 48 << 10;  /* what a kernel may declare */
constexpr size_t dynamic_limit = 227 << 10;
constexpr size_t dynamic_bytes = 232 << 10;
constexpr size_t red_zone = 64;
constexpr uint8_t red = 0x5a;
/* NaN as fp32, fp16 and bf16, -1 as an integer, no address at all. */
constexpr uint8_t poison = 0xff;

enum state {
	READY,
	AT_BARRIER,
	AT_WARP,
	RETURNED
};

struct async_copy {
	void *dst;
	const void *src; /* null: zeros */
	size_t bytes;
	unsigned group;
};

struct thread {
	fiber f;
	place at;
	enum state state;
	bool waited;          /* for the grid before this one */
	unsigned nr_barriers; /* that it came to */
	unsigned copy_group;  /* of the next asynchronous copy */
	std::vector<async_copy> copies;
};

struct warp {
	unsigned nr_waiting;
	void (*all)(void *const *);
	const char *name;
	void *args[warp_lanes];
	unsigned nr_collectives;
	char order[2]; /* of this operation and the next, for the sanitizer */
};

struct array {
	const void *key;
	const char *name;
	uint8_t *at;
	size_t bytes;
};

/* Everything that one host thread runs blocks with. */
struct machine {
	fiber host;
	std::vector<thread> threads;
	warp warps[max_threads / warp_lanes];
	std::vector<array> arrays; /* declared so far by this block */
	uint8_t *window = nullptr; /* shared memory: static | hole | dynamic | hole */
	uint8_t *stacks = nullptr;
	size_t static_used, static_declared;
	uint8_t *dynamic; /* its end is the end of a page, but for the alignment */
	thread *current = nullptr;
	const kernel *k;
	const void *params;
	shape grid;
	order *o;
	unsigned nr_fibers = 0;
	unsigned nr_returned, nr_at_barrier;
	bool failed;
	char why[512];
	char started, failure, barriers[2]; /* points of order, for the sanitizer */

	~machine();
	void open();
	void make_fibers(unsigned n);
};

static thread_local std::unique_ptr<machine> machine_of_thread;
/* The same, to be read without a call. */
static thread_local machine *current_machine __attribute__((tls_model("initial-exec")));

static machine &self()
{
	return *current_machine;
}

/* ---- kernels --------------------------------------------------------------------------------- */

static kernel *kernels;

kernel::kernel(const char *symbol, kernel_fn run, unsigned threads)
    : symbol(symbol), run(run), threads(threads), next(kernels)
{
	kernels = this;
}

const kernel *find_kernel(const char *symbol)
{
	for (const kernel *k = kernels; k; k = k->next)
		if (strcmp(k->symbol, symbol) == 0)
			return k;
	return nullptr;
}

unsigned count_kernels()
{
	unsigned n = 0;

	for (const kernel *k = kernels; k; k = k->next)
		n++;
	return n;
}

/* ---- threads --------------------------------------------------------------------------------- */

static void *map_bytes(size_t bytes)
{
	void *p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		perror("emulator: mmap");
		abort();
	}
	return p;
}

constexpr size_t window_bytes = static_bytes + page + dynamic_bytes + page;
constexpr size_t all_stacks_bytes = max_threads * (stack_bytes + page);

void machine::open()
{
	arrays.reserve(64);
	window = (uint8_t *)map_bytes(window_bytes);
	mprotect(window + static_bytes, page, PROT_NONE);
	mprotect(window + window_bytes - page, page, PROT_NONE);
	stacks = (uint8_t *)map_bytes(all_stacks_bytes);
	threads.resize(max_threads);
}

machine::~machine()
{
	for (unsigned i = 0; i < nr_fibers; i++)
		fiber_drop(&threads[i].f);
	if (window) {
		ASAN_UNPOISON_MEMORY_REGION(window, window_bytes);
		munmap(window, window_bytes);
	}
	if (stacks)
		munmap(stacks, all_stacks_bytes);
}

static void yield()
{
	machine &m = self();

	fiber_switch(&m.current->f, &m.host);
}

/* A fiber runs its thread of one block after another. */
static void thread_main(void *arg)
{
	thread *t = (thread *)arg;

	for (;;) {
		machine &m = self();

		ACQUIRE(&m.started);
		if (!m.grid.overlaps)
			ACQUIRE(&m.o->points[m.o->nr_grids % 2]);
		m.k->run(*(const struct cuda_launch *)m.params);
		if (m.grid.overlaps && !t->waited)
			fail("returns without grid_wait");
		RELEASE(&m.o->points[(m.o->nr_grids + 1) % 2]);
		t->state = RETURNED;
		m.nr_returned++;
		yield();
	}
}

static uint8_t *stack_of(const machine &m, unsigned i)
{
	return m.stacks + i * (stack_bytes + page) + page;
}

void machine::make_fibers(unsigned n)
{
	for (; nr_fibers < n; nr_fibers++) {
		threads[nr_fibers].copies.reserve(64);
		mprotect(stack_of(*this, nr_fibers) - page, page, PROT_NONE);
		fiber_make(&threads[nr_fibers].f, stack_of(*this, nr_fibers), stack_bytes,
			   thread_main, &threads[nr_fibers]);
	}
}

const place &here()
{
	return self().current->at;
}

void fail(const char *format, ...)
{
	machine &m = self();
	va_list args;
	int n;

	n = snprintf(m.why, sizeof(m.why), "%s, block %u, thread %u: ", m.k->symbol,
		     m.current->at.block, m.current->at.thread);
	va_start(args, format);
	vsnprintf(m.why + n, sizeof(m.why) - (size_t)n, format, args);
	va_end(args);
	m.failed = true;
	RELEASE(&m.failure);
	yield();
	__builtin_unreachable(); /* a failed launch's fibers are made anew */
}

void need_aligned(const void *p, size_t bytes, const char *name)
{
	if ((uintptr_t)p % bytes != 0)
		fail("%s: address %p is not a multiple of %zu", name, p, bytes);
}

/* ---- waiting --------------------------------------------------------------------------------- */

void block_barrier()
{
	machine &m = self();
	char *order = &m.barriers[m.current->nr_barriers++ % 2];

	m.current->state = AT_BARRIER;
	m.nr_at_barrier++;
	RELEASE(order);
	yield();
	ACQUIRE(order);
}

void grid_barrier()
{
	machine &m = self();

	m.current->waited = true;
	ACQUIRE(&m.o->points[m.o->nr_grids % 2]);
}

void settle(order *o)
{
	ACQUIRE(&o->points[o->nr_grids % 2]);
}

void warp_collective(void (*all)(void *const args[warp_lanes]), void *arg, const char *name,
		     bool orders_memory)
{
	machine &m = self();
	thread *t = m.current;
	unsigned index = t->at.thread / warp_lanes;
	warp *w = &m.warps[index];
	char *order = orders_memory ? &w->order[w->nr_collectives % 2] : nullptr;

	if (w->nr_waiting == 0) {
		w->all = all;
		w->name = name;
	} else if (w->all != all) {
		fail("is at %s while its warp is at %s", name, w->name);
	}
	w->args[t->at.thread % warp_lanes] = arg;
	if (order)
		RELEASE(order);
	if (++w->nr_waiting < warp_lanes) {
		t->state = AT_WARP;
		yield();
		if (order)
			ACQUIRE(order);
		return;
	}
	if (order)
		ACQUIRE(order);
	all(w->args);
	w->nr_waiting = 0;
	w->nr_collectives++;
	for (unsigned i = 0; i < warp_lanes; i++)
		m.threads[index * warp_lanes + i].state = READY;
}

/* ---- shared memory --------------------------------------------------------------------------- */

/* As memset, which the sanitizer would take for a write of the calling thread. */
__attribute__((optimize("no-tree-loop-distribute-patterns"))) static void
fill(uint8_t *p, uint8_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		p[i] = value;
}

static size_t with_red_zone(size_t bytes)
{
	return (bytes + red_zone - 1) / red_zone * red_zone + red_zone;
}

void *shared_static(const void *key, size_t bytes, const char *name)
{
	machine &m = self();
	size_t rounded = with_red_zone(bytes);

	for (const array &a : m.arrays)
		if (a.key == key)
			return a.at;
	m.static_declared += (bytes + 15) / 16 * 16;
	if (m.static_declared > static_limit || m.static_used + rounded > static_bytes)
		fail("%s: %zu bytes of static shared memory are more than the %zu there are", name,
		     m.static_declared, static_limit);
	m.arrays.push_back({ key, name, m.window + m.static_used, bytes });
	m.static_used += rounded;

	uint8_t *at = m.arrays.back().at;

	ASAN_UNPOISON_MEMORY_REGION(at, rounded);
	fill(at, poison, bytes);
	fill(at + bytes, red, rounded - bytes);
	ASAN_POISON_MEMORY_REGION(at + bytes, rounded - bytes);
	return at;
}

void *shared_dynamic()
{
	return self().dynamic;
}

uint32_t shared_offset(const void *p, size_t bytes, const char *name)
{
	machine &m = self();
	size_t at = (size_t)((const uint8_t *)p - m.window);

	for (const array &a : m.arrays)
		if (p >= a.at && (const uint8_t *)p + bytes <= a.at + a.bytes)
			return (uint32_t)at;
	if (p < m.dynamic || (const uint8_t *)p + bytes > m.dynamic + m.grid.shared_bytes)
		fail("%s: %zu bytes at %p are not inside an array in shared memory", name, bytes,
		     p);
	return (uint32_t)at;
}

static void shared_begin(machine &m)
{
	size_t rounded = (m.grid.shared_bytes + 1023) / 1024 * 1024;

#if defined(OOO_EMU_RACES) /* new memory: the last block's threads never saw it */
	mmap(m.window, static_bytes, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	mmap(m.window + static_bytes + page, dynamic_bytes, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
#endif
	m.arrays.clear();
	m.static_used = red_zone;
	m.static_declared = 0;
	m.dynamic = m.window + static_bytes + page + dynamic_bytes - rounded;
	ASAN_POISON_MEMORY_REGION(m.window, static_bytes);
	ASAN_UNPOISON_MEMORY_REGION(m.dynamic - red_zone, red_zone + rounded);
	fill(m.dynamic - red_zone, red, red_zone);
	fill(m.dynamic, poison, m.grid.shared_bytes);
	fill(m.dynamic + m.grid.shared_bytes, red, rounded - m.grid.shared_bytes);
	ASAN_POISON_MEMORY_REGION(m.dynamic - red_zone, red_zone);
	ASAN_POISON_MEMORY_REGION(m.dynamic + m.grid.shared_bytes, rounded - m.grid.shared_bytes);
}

static bool is_red(const uint8_t *p, size_t bytes)
{
	ASAN_UNPOISON_MEMORY_REGION(p, bytes);
	for (size_t i = 0; i < bytes; i++)
		if (p[i] != red)
			return false;
	return true;
}

/* Red zones are as they were? */
static void shared_end(machine &m)
{
	size_t rounded = (m.grid.shared_bytes + 1023) / 1024 * 1024;
	const char *name = nullptr;

	for (const array &a : m.arrays)
		if (!is_red(a.at + a.bytes, with_red_zone(a.bytes) - a.bytes))
			name = a.name;
	if (!is_red(m.dynamic - red_zone, red_zone) ||
	    !is_red(m.dynamic + m.grid.shared_bytes, rounded - m.grid.shared_bytes))
		name = "the dynamic shared memory";
	if (!name)
		return;
	snprintf(m.why, sizeof(m.why), "%s, block %u: a write beyond the end of %s", m.k->symbol,
		 m.threads[0].at.block, name);
	m.failed = true;
}

/* ---- asynchronous copies ---------------------------------------------------------------------- */

void copy_async(void *dst, const void *src, size_t bytes, bool valid)
{
	thread *t = self().current;

	memset(dst, poison, bytes);
	t->copies.push_back({ dst, valid ? src : nullptr, bytes, t->copy_group });
}

void copy_commit()
{
	self().current->copy_group++;
}

/* All but the newest groups_left groups are complete. */
void copy_wait(unsigned groups_left)
{
	thread *t = self().current;
	size_t kept = 0;

	for (const async_copy &c : t->copies) {
		if (c.group + groups_left >= t->copy_group)
			t->copies[kept++] = c;
		else if (c.src)
			memcpy(c.dst, c.src, c.bytes);
		else
			memset(c.dst, 0, c.bytes);
	}
	t->copies.resize(kept);
}

/* ---- a grid ----------------------------------------------------------------------------------- */

static uint64_t random_next(uint64_t *seed)
{
	uint64_t x = *seed += 0x9e3779b97f4a7c15u;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static std::vector<unsigned> shuffled(unsigned n, uint64_t *seed)
{
	std::vector<unsigned> order(n);

	for (unsigned i = 0; i < n; i++)
		order[i] = i;
	for (unsigned i = n; i > 1; i--)
		std::swap(order[i - 1], order[random_next(seed) % i]);
	return order;
}

static std::string state_text(const machine &m, const thread &t)
{
	switch (t.state) {
	case RETURNED:
		return "has returned";
	case AT_BARRIER:
		return "waits at block_sync";
	case AT_WARP:
		return std::string("waits at ") + m.warps[t.at.thread / warp_lanes].name;
	default:
		return "runs";
	}
}

/* Nothing can run, and not all threads are at the barrier: name two that differ. */
static void report_divergence(machine &m)
{
	const thread *a = nullptr, *b = nullptr;

	for (unsigned i = 0; i < m.grid.threads; i++)
		if (m.threads[i].state != RETURNED && (!a || a->state != AT_WARP))
			a = &m.threads[i];
	for (unsigned i = 0; i < m.grid.threads; i++)
		if (!b && m.threads[i].state != a->state &&
		    (a->state != AT_WARP || i / warp_lanes == a->at.thread / warp_lanes))
			b = &m.threads[i];
	snprintf(m.why, sizeof(m.why), "%s, block %u: threads diverge: thread %u %s, thread %u %s",
		 m.k->symbol, a->at.block, a->at.thread, state_text(m, *a).c_str(),
		 b ? b->at.thread : 0, b ? state_text(m, *b).c_str() : "is not known");
	m.failed = true;
}

/* Run one warp until all its lanes wait for others or have returned. True: something ran. */
static bool run_warp(machine &m, unsigned index, bool backwards)
{
	bool any = false, ran;

	do {
		ran = false;
		for (unsigned i = 0; i < warp_lanes && !m.failed; i++) {
			unsigned lane = backwards ? warp_lanes - 1 - i : i;
			thread *t = &m.threads[index * warp_lanes + lane];

			if (t->state != READY)
				continue;
			m.current = t;
			fiber_switch(&m.host, &t->f);
			ran = any = true;
		}
	} while (ran && !m.failed);
	return any;
}

static void release_barrier(machine &m)
{
	for (unsigned i = 0; i < m.grid.threads; i++)
		m.threads[i].state = READY;
	m.nr_at_barrier = 0;
}

static void run_block(machine &m, unsigned block, uint64_t *seed)
{
	std::vector<unsigned> order = shuffled(m.grid.threads / warp_lanes, seed);

	shared_begin(m);
	m.nr_returned = m.nr_at_barrier = 0;
	for (unsigned i = 0; i < m.grid.threads; i++) {
		thread *t = &m.threads[i];

		t->at = { i, block, m.grid.blocks, m.grid.threads };
		t->state = READY;
		t->waited = false;
		t->nr_barriers = t->copy_group = 0;
		t->copies.clear();
	}
	for (warp &w : m.warps)
		w.nr_waiting = 0;
	RELEASE(&m.started);
	while (m.nr_returned < m.grid.threads && !m.failed) {
		bool backwards = random_next(seed) & 1, ran = false;

		for (unsigned index : order)
			ran |= !m.failed && run_warp(m, index, backwards);
		if (m.failed)
			return;
		if (m.nr_at_barrier == m.grid.threads)
			release_barrier(m);
		else if (!ran)
			report_divergence(m);
	}
	if (!m.failed)
		shared_end(m);
}

static bool grid_possible(const kernel *k, const shape &grid, char *why, size_t why_bytes)
{
	if (grid.threads == 0 || grid.threads > k->threads || grid.threads % warp_lanes != 0)
		snprintf(why, why_bytes, "%s: %u threads: its launch bounds say %u", k->symbol,
			 grid.threads, k->threads);
	else if (grid.blocks == 0)
		snprintf(why, why_bytes, "%s: a grid without blocks", k->symbol);
	else if (grid.shared_bytes > dynamic_limit)
		snprintf(why, why_bytes, "%s: %u bytes of shared memory: at most %zu", k->symbol,
			 grid.shared_bytes, dynamic_limit);
	else
		return true;
	return false;
}

bool run(const kernel *k, const void *params, size_t params_bytes, const shape &grid, order *o,
	 uint64_t seed, char *why, size_t why_bytes)
{
	alignas(16) char copy[4096]; /* as large as kernel parameters can be */

	if (!grid_possible(k, grid, why, why_bytes))
		return false;
	if (!machine_of_thread) {
		machine_of_thread = std::make_unique<machine>();
		machine_of_thread->open();
		current_machine = machine_of_thread.get();
	}

	machine &m = self();

	memcpy(copy, params, params_bytes < sizeof(copy) ? params_bytes : sizeof(copy));
	fiber_adopt(&m.host);
	m.k = k;
	m.params = copy;
	m.grid = grid;
	m.o = o;
	m.failed = false;
	m.make_fibers(grid.threads);
	for (unsigned block : shuffled(grid.blocks, &seed)) {
		run_block(m, block, &seed);
		if (m.failed)
			break;
	}
	o->nr_grids++;
	if (!m.failed)
		return true;
	ACQUIRE(&m.failure);
	snprintf(why, why_bytes, "%s", m.why);
	for (unsigned i = 0; i < m.nr_fibers; i++)
		fiber_drop(&m.threads[i].f);
	m.nr_fibers = 0; /* their stacks hold a launch that will not go on */
	return false;
}

} // namespace emu
