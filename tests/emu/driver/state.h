/* SPDX-License-Identifier: Apache-2.0 */
/* The stand-in driver's objects. One lock for all of them, held by every call but while it waits. */
#ifndef OOO_EMU_STATE_H
#define OOO_EMU_STATE_H

#include <stdint.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "agent/device/cuda/driver.h"
#include "tests/emu/driver/fair_lock.h"
#include "tests/emu/emu.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

/* The functions by their plain names; the symbols carry the version that the agent asks for. */
extern "C" {
#define DRIVER_FN(name, symbol, version, need, args)                                               \
	__attribute__((visibility("default"))) CUresult name args __asm__(symbol);
#include "agent/device/cuda/driver.def"
}

namespace emu
{

/* A device's primary context: there is no other kind. */
struct context {
	int device;
	unsigned retained = 0;
	CUresult sticky = CUDA_SUCCESS; /* what every call returns from now on */
	struct stream *default_stream = nullptr;
};

/* A set of multiprocessors. It shares everything else with the primary context. */
struct green {
	context *ctx;
	unsigned sms;
};

struct allocation {
	context *ctx;
	uint8_t *map; /* with a guard page at either end */
	size_t map_bytes;
	size_t bytes;
	bool host;
};

struct module {
	context *ctx;
};

struct function {
	context *ctx;
	const kernel *k;
	unsigned max_dynamic;
};

/* Work in order. Without OOO_EMU_ASYNC there is no worker: whoever submits does the work. */
struct stream {
	context *ctx;
	std::deque<std::function<void()>> queue;
	order grids;
	uint64_t nr_queued = 0, nr_done = 0;
	bool stop = false, busy = false;
	std::thread worker;
};

struct config {
	bool async;
	uint64_t seed;
	int devices, sms, capability;
	size_t memory_bytes;
};

struct state {
	fair_lock lock;
	std::condition_variable_any changed; /* a queue, or hold */
	config conf;
	bool initialised = false, held = false, dead = false; /* a context died of an error */
	std::map<int, context *> contexts; /* by device; kept for good once made */
	std::set<green *> greens;
	std::deque<green> descriptions;             /* of what a green context shall have */
	std::map<uint64_t, allocation> allocations; /* by the address handed out */
	std::map<uint64_t, std::pair<context *, size_t>> registered; /* host ranges */
	std::set<module *> modules;
	std::map<std::pair<context *, const kernel *>, function *> functions;
	std::set<stream *> streams;
	std::map<int, size_t> used; /* bytes by device */
	unsigned long nr_calls = 0, fail_at = 0;
	CUresult fail_with = CUDA_SUCCESS;
	unsigned nr_leaks = 0;
	uint64_t nr_launches = 0;
	char fault[512] = "";

	state();
};

state &st();
extern thread_local context *current_context;

enum need {
	NOTHING, /* works before cuInit */
	DRIVER,  /* cuInit has been called */
	CONTEXT, /* a healthy context is current */
};

/* One call of the driver: counted, perhaps made to fail, and locked until it returns. */
struct call {
	std::unique_lock<fair_lock> lock;
	CUresult result;
	context *ctx;

	explicit call(enum need need);
};

#define ENTER(need)                                                                                \
	emu::call c(emu::need);                                                                    \
	if (c.result != CUDA_SUCCESS)                                                              \
	return c.result

/* After this the context only returns result. */
void break_context(context *ctx, CUresult result);
bool is_fatal(CUresult result);

/* Destroy what ctx owns and say how much it was; the lock is free while worker threads end. */
unsigned close_streams(context *ctx, std::unique_lock<fair_lock> &lock);
unsigned close_memory(context *ctx);
unsigned close_modules(context *ctx);

/* Append to a stream and, without workers, do it. The lock is held. */
void submit(stream *s, std::function<void()> work);
/* Do what is queued, without workers. */
void pump(stream *s);
/* The calling thread comes after what ctx's streams have done, as freeing memory does. */
void settle_all(context *ctx);
stream *stream_of(CUstream handle, context *ctx);
stream *make_stream(context *ctx);

/* Is [at, at + bytes) inside an allocation or registered host memory? */
bool device_range(uint64_t at, size_t bytes);
/* Pinned host memory: the device reads it when it gets there, not at the call. */
bool pinned_range(const void *p, size_t bytes);

} // namespace emu

#endif
