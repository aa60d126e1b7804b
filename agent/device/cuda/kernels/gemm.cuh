/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all matrix products share: a ring of stages in shared memory that cp.async fills, sums split
 * along k, and the way out. A core C supplies the arithmetic:
 *
 *	gemm_shape, SUMS		tile, threads, ring; accumulators of a thread
 *	multiply(acc, ring, at, columns)	acc += W X^T of the block of k at ring + at; so many of
 *					BN columns are in use
 *	ASYNC			multiply() only begins; settle(acc), by all threads before a barrier,
 *				ends it
 *	spread(acc, tile)		acc -> tile[n * PITCH + m] in shared memory, by all threads
 */
#ifndef OOO_CUDA_GEMM_CUH
#define OOO_CUDA_GEMM_CUH

#include "agent/device/cuda/kernels/gemm_out.cuh"
#include "agent/device/cuda/kernels/gemm_part.cuh"

/*
 * Gathers X. A thread has one column of chunks in several rows of the tile: their pixels stay, the tap
 * and the chunk within it advance by GEMM_CHUNKS chunks a block.
 */
template <class C> struct gemm_gather {
	static constexpr u32 STEP = C::THREADS / GEMM_CHUNKS; /* rows between a thread's */
	static constexpr u32 ROWS = (C::BN + STEP - 1) / STEP;

	const struct gemm_task *task;
	const u8 *base;
	int pixel[ROWS]; /* chunks from base; may lie outside X: only valid ones are read */
	int y[ROWS], x[ROWS];
	u32 valid;	  /* bit i: row i's pixel of this tap lies in X */
	u32 own;	  /* bytes to this thread's chunk of the first of its rows, in a tile */
	int tap_offset;	  /* chunks from a pixel to its tap's first */
	int tap_y, tap_x; /* pixels from the first tap */
	u32 rows_left, columns_left, chunk, chunks, height, width;
};

template <class C>
DEVICE void gather_pixel(gemm_gather<C> *g, const struct gemm_part *p, u32 i, u32 n)
{
	const struct gemm_task *t = p->task;
	u32 image = div_fast(n, &t->plane), in_plane = n - image * t->plane.d;
	u32 row = div_fast(in_plane, &t->row), column = in_plane - row * t->row.d;

	g->y[i] = (int)row * t->stride[0] - t->pad[0];
	g->x[i] = (int)column * t->stride[1] - t->pad[1];
	g->pixel[i] = (int)image * t->x_image + g->y[i] * t->x_row + g->x[i] * t->x_column;
	if (n >= t->n)
		g->y[i] = -0x40000000; /* no tap reaches the picture */
}

template <class C> DEVICE void gather_validate(gemm_gather<C> *g)
{
	g->valid = 0;
#pragma unroll
	for (u32 i = 0; i < g->ROWS; i++)
		g->valid |= (u32)(g->rows_left && (u32)(g->y[i] + g->tap_y) < g->height &&
				  (u32)(g->x[i] + g->tap_x) < g->width)
			    << i;
}

template <class C> DEVICE void gather_start(gemm_gather<C> *g, const struct gemm_part *p)
{
	const struct gemm_task *t = p->task;
	u32 q = p->first * GEMM_CHUNKS + thread_id() % GEMM_CHUNKS;
	u32 tap = q / t->chunks, row = tap / t->kernel[1], column = tap - row * t->kernel[1];

	g->task = t;
	g->base = p->x;
	g->height = t->height;
	g->width = t->width;
	g->chunks = t->chunks;
	g->chunk = q - tap * t->chunks;
	g->rows_left = t->kernel[0] > row ? t->kernel[0] - row : 0;
	g->columns_left = t->kernel[1] - column;
	g->tap_y = (int)row * t->dilation[0];
	g->tap_x = (int)column * t->dilation[1];
	g->tap_offset = g->tap_y * t->x_row + g->tap_x * t->x_column;
#pragma unroll
	for (u32 i = 0; i < g->ROWS; i++)
		gather_pixel(g, p, i, p->n0 + thread_id() / GEMM_CHUNKS + i * g->STEP);
	static_assert(gemm_gather<C>::STEP % 8 == 0, "all rows of a thread are swizzled alike");
	g->own = gemm_swizzle(thread_id() / GEMM_CHUNKS, thread_id() % GEMM_CHUNKS) * GEMM_CHUNK;
	gather_validate(g);
}

/* What changes rarely stays in the task, not in registers. */
template <class C> DEVICE void gather_next_tap(gemm_gather<C> *g)
{
	const struct gemm_task *t = g->task;

	g->chunk -= g->chunks;
	if (--g->columns_left) {
		g->tap_x += t->dilation[1];
	} else {
		g->columns_left = t->kernel[1];
		g->rows_left--;
		g->tap_x = 0;
		g->tap_y += t->dilation[0];
	}
	g->tap_offset = g->tap_y * t->x_row + g->tap_x * t->x_column;
}

/* Copy this block of k to tile and go to the next. */
template <class C> DEVICE void gather_copy(gemm_gather<C> *g, u8 *tile)
{
	constexpr u32 ROW_BYTES = GEMM_CHUNKS * GEMM_CHUNK;
	u32 row = thread_id() / GEMM_CHUNKS;
	int offset = g->tap_offset + (int)g->chunk;

#pragma unroll
	for (u32 i = 0; i < g->ROWS; i++)
		if (C::BN % g->STEP == 0 || row + i * g->STEP < C::BN)
			cp_async16(tile + g->own + i * g->STEP * ROW_BYTES,
				   g->base + (i64)(g->pixel[i] + offset) * GEMM_CHUNK,
				   g->valid >> i & 1);
	g->chunk += GEMM_CHUNKS;
	if (g->chunk < g->chunks || !g->rows_left)
		return;
	while (g->chunk >= g->chunks && g->rows_left)
		gather_next_tap(g);
	gather_validate(g);
}

/* Copy the tile's rows of one block of k. to_next: bytes between blocks of neighbouring rows. */
template <class C>
DEVICE void gemm_copy_weights(u8 *tile, const u8 *block, u64 to_next, u32 row_blocks)
{
	constexpr u32 CHUNKS = C::BM * GEMM_CHUNKS, BLOCK = GEMM_ROWS * GEMM_CHUNKS;

#pragma unroll
	for (u32 i = 0; i < CHUNKS / C::THREADS; i++) {
		u32 at = i * C::THREADS + thread_id(), b = i * C::THREADS / BLOCK;

		cp_async16(tile + at * GEMM_CHUNK, block + b * to_next + at % BLOCK * GEMM_CHUNK,
			   b < row_blocks);
	}
}

/*
 * acc = the part's sums over its blocks of k. Constant weights are on their way before the kernel
 * before this one has ended. The ring is free for other use afterwards; the rows' biases are behind
 * the task.
 */
template <class C>
DEVICE void gemm_sum(float (&acc)[C::SUMS], const struct cuda_launch *launch, const struct tile *t,
		     struct gemm_part *p, u8 *ring)
{
	constexpr u32 LAST = (C::STAGES - 1) * C::STAGE_BYTES;
	u64 to_next = (u64)p->task->blocks * GEMM_BLOCK_BYTES;
	u32 row_blocks = (p->task->m - p->m0 + GEMM_ROWS - 1) / GEMM_ROWS;
	u32 columns = p->task->n - p->n0, blocks = p->blocks, fill = LAST, use = 0;
	bool early = p->task->w.place == CUDA_CONST;
	const u8 *w = p->w;
	gemm_gather<C> gather;
	float bias;

#pragma unroll 1
	for (u32 k = 0; early && k < C::STAGES - 1 && k < blocks; k++)
		gemm_copy_weights<C>(ring + k * C::STAGE_BYTES, w + k * GEMM_BLOCK_BYTES, to_next,
				     row_blocks);
	tile_begin(launch);
	p->x = (const u8 *)operand_address(t, &p->task->x) + p->x_offset;
	bias = gemm_row_bias<C>(t, p);
	gather_start(&gather, p);
#pragma unroll 1
	for (u32 k = 0; k < C::STAGES - 1; k++) {
		u8 *stage = ring + k * C::STAGE_BYTES;

		if (k < blocks) {
			if (!early)
				gemm_copy_weights<C>(stage, w, to_next, row_blocks);
			gather_copy(&gather, stage + C::W_BYTES);
			w += GEMM_BLOCK_BYTES;
		}
		cp_async_commit();
	}
	if (thread_id() < C::BM)
		((float *)(ring + C::RING_BYTES + GEMM_TASK_BYTES))[thread_id()] = bias;
#pragma unroll
	for (u32 i = 0; i < C::SUMS; i++)
		acc[i] = 0;
#pragma unroll 1
	for (u32 k = 0; k < blocks; k++) {
		cp_async_wait<C::STAGES - 2>();
		C::settle(acc);
		block_sync();
		if (C::ASYNC)
			C::multiply(acc, ring, use, columns);
		if (k + C::STAGES - 1 < blocks) {
			gemm_copy_weights<C>(ring + fill, w, to_next, row_blocks);
			gather_copy(&gather, ring + fill + C::W_BYTES);
			w += GEMM_BLOCK_BYTES;
			fill = fill == LAST ? 0 : fill + C::STAGE_BYTES;
		}
		cp_async_commit();
		if (!C::ASYNC)
			C::multiply(acc, ring, use, columns);
		use = use == LAST ? 0 : use + C::STAGE_BYTES;
	}
	cp_async_wait<0>();
	C::settle(acc);
	block_sync();
}

/* Add FLIGHT quads of partial sums from number `first` on, all read before the first is added. */
template <u32 SUMS, u32 FLIGHT, u32 STRIDE>
DEVICE void gemm_add_partial(float (&acc)[SUMS], u32 first, const vec4 *partial)
{
	vec4 q[FLIGHT];

#pragma unroll
	for (u32 i = 0; i < FLIGHT; i++)
		q[i] = load16(partial + (first / 4 + i) * STRIDE);
#pragma unroll
	for (u32 i = 0; i < FLIGHT; i++) {
		acc[first + 4 * i] += bits_float(q[i].x);
		acc[first + 4 * i + 1] += bits_float(q[i].y);
		acc[first + 4 * i + 2] += bits_float(q[i].z);
		acc[first + 4 * i + 3] += bits_float(q[i].w);
	}
}

/*
 * Hand in a split's sums. True: all have been, and acc holds their sum. Partial sums lie in the order
 * of threads, so that neighbours read and write neighbours. last: a word of shared memory.
 */
template <class C>
DEVICE bool gemm_gather_splits(float (&acc)[C::SUMS], const struct tile *t,
			       const struct gemm_part *p, u32 *last)
{
	constexpr u32 FLIGHT = C::SUMS / 4 < 8 ? C::SUMS / 4 : 8;
	vec4 *partial = (vec4 *)operand_address(t, &p->task->partial) + thread_id();
	u32 *arrived = (u32 *)operand_address(t, &p->task->arrived) + p->tile;
	u32 splits = p->task->splits;
	bool all;

	partial += (u64)p->tile * splits * (C::SUMS / 4) * C::THREADS;
#pragma unroll
	for (u32 i = 0; i < C::SUMS; i += 4)
		store16(partial + (p->split * (C::SUMS / 4) + i / 4) * C::THREADS,
			vec4{ float_bits(acc[i]), float_bits(acc[i + 1]), float_bits(acc[i + 2]),
			      float_bits(acc[i + 3]) });
	fence_device();
	block_sync();
	if (thread_id() == 0) {
		last[0] = atomic_add(arrived, 1) == splits - 1;
		if (last[0])
			*arrived = 0;
	}
	block_sync();
	all = last[0];
	block_sync(); /* it is written over next */
	if (!all)
		return false;
	fence_device();
#pragma unroll
	for (u32 i = 0; i < C::SUMS; i++)
		acc[i] = 0;
#pragma unroll 1
	for (u32 s = 0; s < splits; s++, partial += C::SUMS / 4 * C::THREADS)
#pragma unroll
		for (u32 i = 0; i < C::SUMS; i += 4 * FLIGHT)
			gemm_add_partial<C::SUMS, FLIGHT, C::THREADS>(acc, i, partial);
	return true;
}

/*
 * The task comes to shared memory at once: read where it is, its fields would come a cache line at a
 * time, each as late as memory is far.
 */
template <class C> DEVICE void gemm_fetch_task(struct tile *t, u8 *shared)
{
	/* A blob is a multiple of 16 bytes. */
	constexpr u32 CHUNKS = (sizeof(struct gemm_task) + GEMM_CHUNK - 1) / GEMM_CHUNK;
	u8 *copy = shared + C::RING_BYTES;

	static_assert(CHUNKS <= C::THREADS && CHUNKS * GEMM_CHUNK <= GEMM_TASK_BYTES, "");
	if (thread_id() < CHUNKS)
		store16(copy + thread_id() * GEMM_CHUNK,
			load16_const((const u8 *)t->task + thread_id() * GEMM_CHUNK));
	block_sync();
	t->task = (const struct cuda_task *)copy;
}

template <class C> DEVICE void gemm_run(const struct cuda_launch *launch, u8 *shared)
{
	struct tile t = tile_find_early(launch);
	struct gemm_part p;
	float acc[C::SUMS];

	gemm_fetch_task<C>(&t, shared);
	p = gemm_locate<C>(&t);
	gemm_sum<C>(acc, launch, &t, &p, shared);
	if (p.task->splits == 1 || gemm_gather_splits<C>(acc, &t, &p, (u32 *)shared)) {
		struct gemm_out o = { &t, p.task, operand_address(&t, &p.task->y),
				      p.y + p.task->y_first, p.bias };
		const float *bias = (const float *)(shared + C::RING_BYTES + GEMM_TASK_BYTES);
		float *tile = (float *)shared;

		C::spread(acc, tile);
		block_sync();
		if (p.task->y_channel == 1)
			gemm_write_channels<C>(&o, &p, bias, tile);
		else
			gemm_write_pixels<C>(&o, &p, bias, tile);
	}
	tile_finish(launch);
}

#endif
