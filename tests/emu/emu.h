/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine that runs the kernels without a GPU: blocks one after another, the threads of a block
 * as fibers of one host thread. A thread runs until it waits for its warp or its block, so a value
 * taken from another thread without a barrier between is a value that is not there yet.
 *
 * What it finds: threads that do not all come to a barrier or a warp's operation, shared memory
 * read before it is written (it begins as NaNs), asynchronous copies that nobody waited for (their
 * destination stays NaN until then), accesses beyond an array in shared memory, addresses that are
 * not aligned as the instruction demands. Any of these ends the launch with a message.
 */
#ifndef OOO_EMU_H
#define OOO_EMU_H

#include <stddef.h>
#include <stdint.h>

struct cuda_launch;

namespace emu
{

constexpr unsigned max_threads = 1024; /* of a block */
constexpr unsigned warp_lanes = 32;

using kernel_fn = void (*)(const struct cuda_launch &launch);

/* A kernel makes itself known: one static object each, see KERNEL_FN in prim_emu.h. */
struct kernel {
	const char *symbol;
	kernel_fn run;
	unsigned threads; /* of its launch bounds */
	kernel *next;

	kernel(const char *symbol, kernel_fn run, unsigned threads);
};

const kernel *find_kernel(const char *symbol);
unsigned count_kernels();

/*
 * The order of a stream's kernels, for the thread sanitizer: a kernel comes after those before it
 * (from grid_wait() on, if it may overlap them), but the host learns of that only by what it reads
 * or waits for.
 */
struct order {
	char points[2];
	unsigned nr_grids = 0;
};

/* The calling host thread comes after all grids that were run in this order. */
void settle(order *o);

struct shape {
	unsigned blocks, threads;
	unsigned shared_bytes; /* dynamic */
	bool overlaps;         /* launched so that it may begin before the grid before it ends */
};

/* Run a grid to its end. params is copied. False: why says what a kernel did wrong. */
bool run(const kernel *k, const void *params, size_t params_bytes, const shape &grid, order *o,
	 uint64_t seed, char *why, size_t why_bytes);

/* ---- for the kernels' primitives, called on a fiber ------------------------------------------ */

/* Where the calling thread is. */
struct place {
	uint32_t thread, block, grid, threads;
};
const place &here();

void block_barrier();
/* The grid before this one is complete. */
void grid_barrier();

/*
 * An operation of the whole warp: when all its lanes have come with the same `all`, it is called
 * once with what each brought. Only warp_sync orders memory as well.
 */
void warp_collective(void (*all)(void *const args[warp_lanes]), void *arg, const char *name,
		     bool orders_memory = false);

/* An array of this block in shared memory; key: of the declaration. */
void *shared_static(const void *key, size_t bytes, const char *name);
void *shared_dynamic();
/* p's address in the shared window; ends the launch if p is elsewhere. */
uint32_t shared_offset(const void *p, size_t bytes, const char *name);

void copy_async(void *dst, const void *src, size_t bytes, bool valid);
void copy_commit();
void copy_wait(unsigned groups_left);

void need_aligned(const void *p, size_t bytes, const char *name);
/* End the launch. */
[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

} // namespace emu

#endif
