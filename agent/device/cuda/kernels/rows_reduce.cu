/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reductions over any axes, and ArgMax / ArgMin. A group of threads takes one output element, each
 * every so many of what is reduced; then the group's results are combined as a tree. Both orders
 * follow from the task alone.
 */
#include "agent/device/cuda/kernels/rows.cuh"
#include "agent/device/cuda/kernels/unary.cuh"
#include "agent/device/cuda/task_rows.h"

#define NOWHERE 0xffffffffu

DEVICE u32 axes_at(const struct reduce_axes *a, u32 i)
{
	u32 at = 0;

#pragma unroll
	for (u32 k = REDUCE_AXES - 1; k > 0; k--) {
		if (k < a->rank) {
			u32 rest = div_fast(i, &a->dims[k]);

			at += (i - rest * a->dims[k].d) * a->stride[k];
			i = rest;
		}
	}
	return at + i * a->stride[0];
}

DEVICE i64 load_int(const void *p, u64 i, u32 dtype)
{
	return dtype == OOO_INT32 ? (i64)((const int *)p)[i] : ((const i64 *)p)[i];
}

DEVICE void store_int(void *p, u64 i, u32 dtype, i64 v)
{
	if (dtype == OOO_INT32)
		((int *)p)[i] = (int)v;
	else
		((i64 *)p)[i] = v;
}

/* How values of the two kinds are read, compared and written. A minimum is the maximum of what
 * flip() makes of the values: an order upside down, and back. */

DEVICE float get(const void *p, u64 i, u32 dtype, float)
{
	return load_f32(p, i, dtype);
}
DEVICE i64 get(const void *p, u64 i, u32 dtype, i64)
{
	return load_int(p, i, dtype);
}
DEVICE void put(void *p, u64 i, u32 dtype, float v)
{
	store_f32(p, i, dtype, v);
}
DEVICE void put(void *p, u64 i, u32 dtype, i64 v)
{
	store_int(p, i, dtype, v);
}
DEVICE float flip(float v)
{
	return -v;
}
DEVICE i64 flip(i64 v)
{
	return ~v;
}
DEVICE bool is_nan(float v)
{
	return v != v;
}
DEVICE bool is_nan(i64)
{
	return false;
}
DEVICE float divided(float v, u32 n)
{
	return n > 1 ? v / (float)n : v;
}
DEVICE i64 divided(i64 v, u32 n)
{
	return n > 1 ? v / (i64)n : v;
}

template <typename V> struct best {
	V value;
	u32 at; /* NOWHERE: of nothing */
};

/* A NaN beats every number, the first of several. */
template <typename V> DEVICE bool beats(const struct best<V> &a, const struct best<V> &b, bool last)
{
	if (a.at == NOWHERE || b.at == NOWHERE)
		return a.at != NOWHERE;
	if (is_nan(a.value) || is_nan(b.value))
		return is_nan(a.value) && (!is_nan(b.value) || a.at < b.at);
	if (a.value != b.value)
		return a.value > b.value;
	return last ? a.at > b.at : a.at < b.at;
}

/* One thread's share of one output element. */
struct share {
	const void *x;
	const struct reduce_axes *reduced;
	u32 dtype, base;      /* element of x */
	u32 first, end, step; /* of the reduced indices */
};

DEVICE u64 share_at(const struct share *s, u32 r)
{
	u32 at = s->reduced->rank > 1 ? axes_at(s->reduced, r) : r * s->reduced->stride[0];

	return s->base + (u64)at;
}

/* A sum and what rounding took from it: many elements of both signs must not drown in it. */
struct total {
	float sum, rest;
};

DEVICE void add(struct total *t, float v)
{
	float sum = t->sum + v, part = sum - t->sum;

	t->rest += (t->sum - (sum - part)) + (v - part);
	t->sum = sum;
}

DEVICE void add(struct total *t, struct total v)
{
	add(t, v.sum);
	t->rest += v.rest;
}

DEVICE void add(i64 *t, i64 v)
{
	*t += v;
}

/* The rest of an infinite sum is none. */
DEVICE float whole(struct total t)
{
	return t.rest == t.rest ? t.sum + t.rest : t.sum;
}
DEVICE i64 whole(i64 t)
{
	return t;
}

template <typename V, typename T> DEVICE T share_sum(const struct share *s, T sum)
{
#pragma unroll 4
	for (u32 r = s->first; r < s->end; r += s->step)
		add(&sum, get(s->x, share_at(s, r), s->dtype, V()));
	return sum;
}

template <typename V>
DEVICE struct best<V> share_best(const struct share *s, bool flipped, bool last) {
	struct best<V> b = {
		0, NOWHERE
	};

#pragma unroll 4
	for (u32 r = s->first; r < s->end; r += s->step) {
		struct best<V> a = {
			get(s->x, share_at(s, r), s->dtype, V()), r
		};

		if (flipped)
			a.value = flip(a.value);
		if (beats(a, b, last))
			b = a;
	}
	return b;
}

/* The group's threads are `stride` apart, `lanes` of them; the result is thread 0's. */
template <typename T>
DEVICE T tree_sum(T v, T *values, u32 lane, u32 lanes, u32 stride)
{
	u32 me = thread_id();

	values[me] = v;
	for (u32 half = lanes / 2; half; half /= 2) {
		block_sync();
		if (lane < half)
			add(&values[me], values[me + half * stride]);
	}
	return values[me];
}

template <typename V>
DEVICE struct best<V> tree_best(struct best<V> b, V *values, u32 *places, u32 lane, u32 lanes,
				u32 stride, bool last) {
	u32 me = thread_id();

	for (u32 half = lanes / 2; half; half /= 2) {
		values[me] = b.value;
		places[me] = b.at;
		block_sync();
		if (lane < half) {
			u32 there = me + half * stride;
			struct best<V> other = {
				values[there], places[there]
			};

			if (beats(other, b, last))
				b = other;
		}
		block_sync();
	}
	return b;
}

/* Post-operations are on real numbers, and only where the result goes. */
DEVICE float
posted(const struct tile *t, const struct reduce_task *task, float v, u32 k)
{
	return task->head.nr_post ? post_apply(t, &task->head, v, k) : v;
}
DEVICE i64 posted(const struct tile *, const struct reduce_task *, i64 v, u32)
{
	return v;
}

template <typename V, typename T>
DEVICE void reduce(const struct tile *t, const struct reduce_task *task, T zero, u64 *shared,
		   u32 *places)
{
	u32 lanes = 1u << task->lanes_log, groups = ROWS_THREADS >> task->lanes_log;
	u32 lane = task->across ? thread_id() & (lanes - 1) : thread_id() / groups;
	u32 group = task->across ? thread_id() >> task->lanes_log : thread_id() & (groups - 1);
	u32 stride = task->across ? 1 : groups;
	u32 block = div_fast(t->index, &task->by_splits);
	u32 split = t->index - block * task->splits, k = block * groups + group;
	bool live = k < task->kept.count;
	void *y = operand_address(t, &task->y);
	struct share s;
	V result;

	s.x = operand_address(t, &task->x);
	s.reduced = &task->reduced;
	s.dtype = task->x.dtype;
	s.base = live ? axes_at(&task->kept, k) : 0;
	s.first = split * task->chunk + lane;
	s.end = task->reduced.count - split * task->chunk;
	s.end = live ? split * task->chunk + (s.end < task->chunk ? s.end : task->chunk) : 0;
	s.step = lanes;
	live = live && lane == 0;
	if (task->kind == REDUCE_KIND_SUM) {
		T sum = tree_sum(share_sum<V>(&s, zero), (T *)shared, lane, lanes, stride);

		result = divided(whole(sum), task->divide);
	} else {
		bool last = task->last;
		struct best<V> b = share_best<V>(&s, task->flip, last);

		b = tree_best(b, (V *)shared, places, lane, lanes, stride, last);
		if (live && task->kind == REDUCE_KIND_ARG) {
			store_int(y, k, OOO_INT64, (i64)b.at);
			return;
		}
		result = task->flip ? flip(b.value) : b.value;
	}
	if (live)
		put(y, (u64)k * task->splits + split, task->y.dtype, posted(t, task, result, k));
}

KERNEL_FN(ooo_reduce, ROWS_THREADS, 4)
{
	SHARED(u64, shared, ROWS_THREADS);
	SHARED(u32, places, ROWS_THREADS);
	struct tile t = tile_find(&launch);
	const struct reduce_task *task = (const struct reduce_task *)t.task;

	if (task->x.dtype == OOO_INT32 || task->x.dtype == OOO_INT64) {
		reduce<i64>(&t, task, (i64)0, shared, places);
	} else {
		struct total zero = { 0, 0 };

		reduce<float>(&t, task, zero, shared, places);
	}
	tile_finish(&launch);
}
