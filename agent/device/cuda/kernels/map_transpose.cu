// SPDX-License-Identifier: Apache-2.0
/*
 * Copies that turn an inner axis into an outer one. A tile is read along the input's neighbours and
 * written along the output's; it crosses over in shared memory, whose rows have an odd length so
 * that neither side meets bank conflicts. A thread's eight elements are all loaded before the first
 * is used.
 */
#include "agent/device/cuda/kernels/map.cuh"

#define PER_THREAD (TRANSPOSE_TILE / MAP_THREADS)

/* Of one tile: where it lies, and how much of it exists. */
struct patch {
	i64 in, out; /* elements from the operand's begin */
	u32 a, b;    /* sizes */
	u32 pitch;
};

DEVICE struct patch find_patch(const struct transpose_task *m, u32 index)
{
	u32 rest = div_fast(index, &m->by_b_tiles);
	u32 b0 = (index - rest * m->by_b_tiles.d) * m->b_tile;
	u32 outer = div_fast(rest, &m->by_a_tiles);
	u32 a0 = (rest - outer * m->by_a_tiles.d) * m->a_tile;
	int at[2] = { 0, 0 };
	struct patch p;

	if (m->rank)
		walk_at<2>(m->dim, m->rank, outer, at);
	p.out = (i64)m->out_base + at[0] + a0 + (i64)b0 * m->b_stride;
	p.in = (i64)m->in_base + at[1] + b0 + (i64)a0 * m->a_stride;
	p.a = m->a - a0 < m->a_tile ? m->a - a0 : m->a_tile;
	p.b = m->b - b0 < m->b_tile ? m->b - b0 : m->b_tile;
	p.pitch = m->b_tile | 1;
	return p;
}

/* S: what shared memory holds. Floats that change their type cross over as fp32. */
template <class S>
DEVICE void transpose(const struct tile *t, const struct transpose_task *m, S *shared)
{
	struct patch p = find_patch(m, t->index);
	const void *in = operand_address(t, &m->in);
	void *out = operand_address(t, &m->out);
	u32 count = m->a_tile * m->b_tile;
	S v[PER_THREAD];

#pragma unroll
	for (u32 i = 0; i < PER_THREAD; i++) {
		u32 k = i * MAP_THREADS + thread_id(), a = div_fast(k, &m->by_b_tile);
		u32 b = k - a * m->b_tile;

		v[i] = 0;
		if (k < count && a < p.a && b < p.b)
			v[i] = (S)load_unit(in, p.in + (i64)a * m->a_stride + b, m->unit_bytes,
					    m->in.dtype);
	}
#pragma unroll
	for (u32 i = 0; i < PER_THREAD; i++) {
		u32 k = i * MAP_THREADS + thread_id(), a = div_fast(k, &m->by_b_tile);

		if (k < count)
			shared[a * p.pitch + k - a * m->b_tile] = v[i];
	}
	block_sync();
#pragma unroll
	for (u32 i = 0; i < PER_THREAD; i++) {
		u32 k = i * MAP_THREADS + thread_id(), b = div_fast(k, &m->by_a_tile);
		u32 a = k - b * m->a_tile;

		if (k < count && a < p.a && b < p.b)
			store_unit(out, p.out + (i64)b * m->b_stride + a, m->unit_bytes,
				   m->out.dtype, shared[a * p.pitch + b]);
	}
}

KERNEL_FN(ooo_map_transpose, 256, 4)
{
	SHARED(u64, shared, TRANSPOSE_SHARED);
	struct tile t = tile_find(&launch);
	const struct transpose_task *m = (const struct transpose_task *)t.task;

	if (m->unit_bytes == 8)
		transpose(&t, m, shared);
	else
		transpose(&t, m, (u32 *)shared);
	tile_finish(&launch);
}
