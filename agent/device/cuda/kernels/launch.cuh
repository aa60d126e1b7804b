/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every kernel begins and ends with: find the block's task, resolve operands, and report.
 *
 *	KERNEL_FN(ooo_example, 256, 2)
 *	{
 *		struct tile t = tile_find(&launch);
 *		const struct example_task *task = (const struct example_task *)t.task;
 *		...
 *		tile_finish(&launch);	// by all threads of the block, once, on every path
 *	}
 */
#ifndef OOO_CUDA_LAUNCH_CUH
#define OOO_CUDA_LAUNCH_CUH

#include "agent/device/cuda/kernels/prim.cuh"
#include "agent/device/cuda/task.h"

struct tile {
	const struct cuda_task *task;
	u8 *slot;       /* the request's workspace */
	const u64 *io;  /* the binding's addresses */
	u32 index;      /* of this tile in the task */
	u32 item;       /* in the bundle */
};

/* The block's task. Before grid_wait(): of the tile only the task and what it calls constant may be
 * read; tile_begin() has to follow. */
DEVICE struct tile tile_find_early(const struct cuda_launch *l)
{
	u32 block = block_id(), low = 0, high = l->nr_entries ? l->nr_entries - 1 : 0;
	struct tile t;

	while (low < high) { /* the first entry whose tile_end is beyond block */
		u32 mid = (low + high) / 2;

		if (block < l->entries[mid].tile_end)
			high = mid;
		else
			low = mid + 1;
	}
	t.task = (const struct cuda_task *)l->entries[low].task;
	t.slot = (u8 *)l->entries[low].slot;
	t.io = (const u64 *)l->entries[low].io;
	t.index = block - (low ? l->entries[low - 1].tile_end : 0);
	t.item = l->entries[low].item;
	return t;
}

/*
 * From here on everything may be read and written. The next launch may come only now: one let in
 * before the wait would let in the one after it, and blocks of several launches would share an SM
 * while others have none.
 */
DEVICE void tile_begin(const struct cuda_launch *l)
{
	grid_wait();
	grid_release();
	if (block_id() == 0 && thread_id() == 0 && (l->flags & CUDA_LAUNCH_FIRST))
		((struct cuda_progress *)l->progress)->start_ns = globaltimer();
}

DEVICE struct tile tile_find(const struct cuda_launch *l)
{
	struct tile t = tile_find_early(l);

	tile_begin(l);
	return t;
}

/* The operand's address; NULL if it is absent. */
DEVICE void *operand_address(const struct tile *t, const struct cuda_operand *o)
{
	switch (o->place) {
	case CUDA_SLOT:
		return t->slot + o->at;
	case CUDA_CONST:
		return (void *)o->at;
	case CUDA_IO:
		return (void *)t->io[o->at];
	default:
		return (void *)0;
	}
}

/* The item's request fails with this status (enum ooo_status); its neighbours do not notice. */
DEVICE void tile_report(const struct cuda_launch *l, const struct tile *t, u32 status)
{
	store_volatile(&((struct cuda_record *)l->record)->status[t->item], (u8)status);
	fence_system();
}

/* The block is done. Its writes, also those to host memory, are visible before the record is. */
DEVICE void tile_finish(const struct cuda_launch *l)
{
	struct cuda_progress *p = (struct cuda_progress *)l->progress;
	struct cuda_record *r = (struct cuda_record *)l->record;
	u64 start, end;

	if (!(l->flags & CUDA_LAUNCH_LAST))
		return; /* stream order does the rest */
	block_sync();
	if (thread_id() != 0)
		return;
	/* Cumulative: covers what the barrier showed to this thread. Pairs with the last block's, which
	 * passes it on to the host; at system scope here it would cost each block a round trip. */
	fence_device();
	if (atomic_add(&p->blocks_done, 1) != grid_size() - 1)
		return;
	start = ((volatile struct cuda_progress *)p)->start_ns;
	p->blocks_done = 0;
	fence_system();
	end = globaltimer();
	store_volatile((u64 *)&r->end_ns, end);
	store_volatile((u64 *)&r->done, cuda_done(l->seq, end - start));
}

/* n / d and n % d for a divisor fixed at load (struct cuda_div). */
DEVICE u32 div_fast(u32 n, const struct cuda_div *d)
{
	return d->d == 1 ? n : mul_hi(n, d->magic) >> d->shift;
}

#endif
