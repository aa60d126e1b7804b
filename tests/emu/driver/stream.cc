// SPDX-License-Identifier: Apache-2.0
#include "tests/emu/driver/state.h"

namespace emu
{

/* Do the oldest work of a stream. The lock is free meanwhile: work takes it if it must. */
static void work_once(stream *s, std::unique_lock<fair_lock> &lock)
{
	std::function<void()> work = std::move(s->queue.front());

	s->queue.pop_front();
	s->busy = true;
	if (s->ctx->sticky == CUDA_SUCCESS) {
		lock.unlock();
		work();
		lock.lock();
	}
	s->busy = false;
	s->nr_done++;
	st().changed.notify_all();
}

static void worker_main(stream *s)
{
	std::unique_lock<fair_lock> lock(st().lock);

	while (!s->stop) {
		if (s->queue.empty() || st().held)
			st().changed.wait(lock);
		else
			work_once(s, lock);
	}
}

/* Without workers one thread at a time works: whichever submits, with the lock. */
void pump(stream *s)
{
	while (!s->queue.empty() && !st().held) {
		std::function<void()> work = std::move(s->queue.front());

		s->queue.pop_front();
		if (s->ctx->sticky == CUDA_SUCCESS)
			work();
		s->nr_done++;
	}
	st().changed.notify_all();
}

void submit(stream *s, std::function<void()> work)
{
	s->queue.push_back(std::move(work));
	s->nr_queued++;
	if (st().conf.async)
		st().changed.notify_all();
	else
		pump(s);
}

stream *make_stream(context *ctx)
{
	stream *s = new stream;

	s->ctx = ctx;
	st().streams.insert(s);
	if (st().conf.async)
		s->worker = std::thread(worker_main, s);
	return s;
}

/* The context's default stream comes into being when it is first named. */
stream *stream_of(CUstream handle, context *ctx)
{
	stream *s = (stream *)handle;

	if (!handle) {
		if (!ctx->default_stream)
			ctx->default_stream = make_stream(ctx);
		return ctx->default_stream;
	}
	return st().streams.count(s) ? s : nullptr;
}

static void close_stream(stream *s, std::unique_lock<fair_lock> &lock)
{
	st().streams.erase(s);
	s->stop = true;
	st().changed.notify_all();
	if (s->worker.joinable()) {
		lock.unlock();
		s->worker.join();
		lock.lock();
	}
	settle(&s->grids);
	delete s;
}

unsigned close_streams(context *ctx, std::unique_lock<fair_lock> &lock)
{
	unsigned n = 0;

	for (;;) {
		stream *next = nullptr;

		for (stream *s : st().streams)
			if (s->ctx == ctx)
				next = s;
		if (!next)
			break;
		n += next != ctx->default_stream;
		close_stream(next, lock);
	}
	return n;
}

/* Until s has done all that is queued now, or its context broke. */
static CUresult wait_stream(call &c, stream *s)
{
	context *ctx = s->ctx;
	uint64_t target = s->nr_queued;

	st().changed.wait(c.lock, [&] {
		return !st().streams.count(s) || s->nr_done >= target ||
		       (ctx->sticky != CUDA_SUCCESS && !s->busy);
	});
	if (st().streams.count(s))
		settle(&s->grids);
	return ctx->sticky;
}

void settle_all(context *ctx)
{
	for (stream *s : st().streams)
		if (s->ctx == ctx)
			settle(&s->grids);
}

} // namespace emu

/* ---- the driver's functions -------------------------------------------------------------------- */

CUresult cuStreamCreateWithPriority(CUstream *out, unsigned flags, int priority)
{
	ENTER(CONTEXT);
	(void)priority; /* any is taken, as by the driver */
	if (flags > CU_STREAM_NON_BLOCKING)
		return CUDA_ERROR_INVALID_VALUE;
	*out = (CUstream)emu::make_stream(c.ctx);
	return CUDA_SUCCESS;
}

CUresult cuGreenCtxStreamCreate(CUstream *out, CUgreenCtx handle, unsigned flags, int priority)
{
	ENTER(CONTEXT);
	emu::green *g = (emu::green *)handle;

	(void)priority;
	if (!emu::st().greens.count(g) || flags != CU_STREAM_NON_BLOCKING)
		return CUDA_ERROR_INVALID_VALUE;
	*out = (CUstream)emu::make_stream(g->ctx);
	return CUDA_SUCCESS;
}

CUresult cuStreamDestroy(CUstream handle)
{
	ENTER(CONTEXT);
	emu::stream *s = (emu::stream *)handle;

	if (!handle || !emu::st().streams.count(s))
		return CUDA_ERROR_INVALID_HANDLE;
	emu::wait_stream(c, s);
	if (emu::st().streams.count(s))
		emu::close_stream(s, c.lock);
	return CUDA_SUCCESS;
}

CUresult cuStreamQuery(CUstream handle)
{
	ENTER(CONTEXT);
	emu::stream *s = emu::stream_of(handle, c.ctx);

	if (!s)
		return CUDA_ERROR_INVALID_HANDLE;
	if (s->nr_done != s->nr_queued)
		return CUDA_ERROR_NOT_READY;
	emu::settle(&s->grids);
	return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize(CUstream handle)
{
	ENTER(CONTEXT);
	emu::stream *s = emu::stream_of(handle, c.ctx);

	return s ? emu::wait_stream(c, s) : CUDA_ERROR_INVALID_HANDLE;
}
