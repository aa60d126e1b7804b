// SPDX-License-Identifier: Apache-2.0
/*
 * Rows of a table, by indices that may be the tenant's: each is read once by a tile, checked, and
 * used from shared memory. A bad one leaves a row of zeros and fails its own request.
 */
#include "agent/device/cuda/kernels/map.cuh"
#include "shared/abi/status.h"

/* The table's row for row r of the output; -1: there is none. */
DEVICE int find_row(const struct gather_task *m, const void *index, u32 r)
{
	u32 outer = div_fast(r, &m->by_index), i = r - outer * m->by_index.d;
	i64 v = m->index.dtype == OOO_INT32 ? ((const volatile int *)index)[i]
					    : ((const volatile i64 *)index)[i];

	if (v < 0)
		v += m->size;
	return v >= 0 && v < (i64)m->size ? (int)(outer * m->size + (u32)v) : -1;
}

/* T: a unit in registers; units that change their type hold fp32. */
template <class T> DEVICE T load_row(const void *p, i64 at, u32 bytes, u32 dtype)
{
	if constexpr (sizeof(T) == 4)
		return (T)load_unit(p, at, bytes, dtype);
	else
		return ((const T *)p)[at];
}

template <class T> DEVICE void store_row(void *p, i64 at, u32 bytes, u32 dtype, T v)
{
	if constexpr (sizeof(T) == 4)
		store_unit(p, at, bytes, dtype, v);
	else
		((T *)p)[at] = v;
}

template <class T, int N>
DEVICE void copy_rows(const struct tile *t, const struct gather_task *m, u32 row, u32 unit,
		      const int *source)
{
	const void *table = operand_address(t, &m->table);
	void *out = operand_address(t, &m->out);
	u32 rows = m->rows - row < m->rows_per_tile ? m->rows - row : m->rows_per_tile;
	u32 width = m->row - unit < m->units_per_tile ? m->row - unit : m->units_per_tile;
	T v[N];

#pragma unroll
	for (u32 i = 0; i < N; i++) {
		u32 k = i * MAP_THREADS + thread_id(), r = div_fast(k, &m->by_units);
		u32 u = k - r * m->units_per_tile;

		v[i] = T();
		if (r < rows && u < width && source[r] >= 0)
			v[i] = load_row<T>(table, (i64)source[r] * m->row + unit + u, m->unit_bytes,
					   m->table.dtype);
	}
#pragma unroll
	for (u32 i = 0; i < N; i++) {
		u32 k = i * MAP_THREADS + thread_id(), r = div_fast(k, &m->by_units);
		u32 u = k - r * m->units_per_tile;

		if (r < rows && u < width)
			store_row<T>(out, (i64)(row + r) * m->row + unit + u, m->unit_bytes,
				     m->out.dtype, v[i]);
	}
}

KERNEL_FN(ooo_map_gather, 256, 4)
{
	SHARED(int, source, MAP_THREADS);
	struct tile t = tile_find(&launch);
	const struct gather_task *m = (const struct gather_task *)t.task;
	u32 part = div_fast(t.index, &m->by_tiles), row = part * m->rows_per_tile;
	u32 unit = (t.index - part * m->by_tiles.d) * m->units_per_tile;

	if (thread_id() < m->rows_per_tile && row + thread_id() < m->rows) {
		int r = find_row(m, operand_address(&t, &m->index), row + thread_id());

		if (r < 0)
			tile_report(&launch, &t, OOO_BAD_INDEX);
		source[thread_id()] = r;
	}
	block_sync();
	switch (m->unit_bytes) {
	case 16:
		copy_rows<vec4, GATHER_TILE16 / MAP_THREADS>(&t, m, row, unit, source);
		break;
	case 8:
		copy_rows<u64, GATHER_TILE / MAP_THREADS>(&t, m, row, unit, source);
		break;
	case 2:
		copy_rows<u16, GATHER_TILE / MAP_THREADS>(&t, m, row, unit, source);
		break;
	case 1:
		copy_rows<u8, GATHER_TILE / MAP_THREADS>(&t, m, row, unit, source);
		break;
	default:
		copy_rows<u32, GATHER_TILE / MAP_THREADS>(&t, m, row, unit, source);
	}
	tile_finish(&launch);
}
