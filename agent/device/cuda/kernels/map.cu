// SPDX-License-Identifier: Apache-2.0
/*
 * Pointwise steps on floats, and copies of anything. A thread has eight elements of a tile: two runs
 * of four neighbours, or eight that are 256 apart. All are loaded before the first is used, and the
 * operator is looked at once for four.
 */
#include "agent/device/cuda/kernels/map.cuh"
#include "agent/device/cuda/kernels/unary.cuh"

#define EACH  _Pragma("unroll") for (int i = 0; i < 8; i++)
#define EACH4 _Pragma("unroll") for (int i = 0; i < 4; i++)

/* The first element of run q, and element i of those that stand alone. */
DEVICE u32 run_at(const struct tile *t, u32 q)
{
	return t->index * MAP_QUAD_TILE + (q * MAP_THREADS + thread_id()) * 4;
}

DEVICE u32 single_at(const struct tile *t, u32 i)
{
	return t->index * MAP_QUAD_TILE + i * MAP_THREADS + thread_id();
}

/* How many of a run's four exist. */
DEVICE u32 run_length(const struct map_task *m, u32 e)
{
	return e >= m->elems ? 0 : m->elems - e < 4 ? m->elems - e : 4;
}

/* Where operand k has element e. */
template <int K> DEVICE i64 element_at(const struct map_task *m, u32 e)
{
	int at[K + 1];

#pragma unroll
	for (int k = 0; k <= K; k++)
		at[k] = 0;
	walk_at<K + 1>(m->dim, m->rank, e, at);
	return (i64)m->base[K] + at[K];
}

/* Neighbours at, at + 1, .. at + 3 of p, of which n exist. at is a multiple of 4. */
DEVICE void load_quad(const u8 *p, i64 at, u32 dtype, u32 n, float *v)
{
	if (n == 4 && dtype == OOO_FP32) {
		vec4 q = load16(p + at * 4);

		v[0] = bits_float(q.x);
		v[1] = bits_float(q.y);
		v[2] = bits_float(q.z);
		v[3] = bits_float(q.w);
	} else if (n == 4) {
		u64 q = *(const u64 *)(p + at * 2);

#pragma unroll
		for (int i = 0; i < 4; i++)
			v[i] = dtype == OOO_FP16 ? f16_to_f32((u16)(q >> 16 * i))
						 : bf16_to_f32((u16)(q >> 16 * i));
	} else {
#pragma unroll
		for (u32 i = 0; i < 4; i++)
			v[i] = i < n ? load_f32(p, (u64)at + i, dtype) : 0;
	}
}

DEVICE void store_quad(u8 *p, i64 at, u32 dtype, u32 n, const float *v)
{
	if (n == 4 && dtype == OOO_FP32) {
		vec4 q = { float_bits(v[0]), float_bits(v[1]), float_bits(v[2]), float_bits(v[3]) };

		store16(p + at * 4, q);
	} else if (n == 4) {
		u64 q = 0;

#pragma unroll
		for (int i = 0; i < 4; i++)
			q |= (u64)(dtype == OOO_FP16 ? f32_to_f16(v[i]) : f32_to_bf16(v[i]))
			     << 16 * i;
		*(u64 *)(p + at * 2) = q;
	} else {
#pragma unroll
		for (u32 i = 0; i < 4; i++)
			if (i < n)
				store_f32(p, (u64)at + i, dtype, v[i]);
	}
}

/* One run of an operand; a broadcast run is one element. */
DEVICE void load_run(const u8 *p, i64 at, u32 dtype, bool run, u32 n, float *v)
{
	float one;

	if (run) {
		load_quad(p, at, dtype, n, v);
		return;
	}
	one = n ? load_f32(p, (u64)at, dtype) : 0;
#pragma unroll
	for (int i = 0; i < 4; i++)
		v[i] = one;
}

DEVICE void load_quads(const struct tile *t, const struct map_task *m, float *x, float *y)
{
	const u8 *px = (const u8 *)operand_address(t, &m->operand[1]);
	const u8 *py = (const u8 *)operand_address(t, &m->operand[2]);

#pragma unroll
	for (u32 q = 0; q < 2; q++) {
		u32 e = run_at(t, q), n = run_length(m, e);
		int at[3] = { 0, m->base[1], m->base[2] };

		if (n)
			walk_at<3>(m->dim, m->rank, e, at);
		load_run(px, at[1], m->operand[1].dtype, m->inner_stride[0], n, x + 4 * q);
		if (py)
			load_run(py, at[2], m->operand[2].dtype, m->inner_stride[1], n, y + 4 * q);
	}
}

DEVICE void load_singles(const struct tile *t, const struct map_task *m, float *x, float *y)
{
	const void *px = operand_address(t, &m->operand[1]);
	const void *py = operand_address(t, &m->operand[2]);

	EACH
	{
		u32 e = single_at(t, (u32)i);
		int at[3] = { 0, m->base[1], m->base[2] };

		if (e >= m->elems)
			continue;
		walk_at<3>(m->dim, m->rank, e, at);
		x[i] = load_f32(px, (u64)(i64)at[1], m->operand[1].dtype);
		if (py)
			y[i] = load_f32(py, (u64)(i64)at[2], m->operand[2].dtype);
	}
}

/* A post-operation's operand lies as the output does. */
DEVICE void load_post(const struct tile *t, const struct map_task *m, const struct cuda_operand *o,
		      float *y)
{
	const u8 *p = (const u8 *)operand_address(t, o);

	if (m->mode == MAP_QUADS) {
#pragma unroll
		for (u32 q = 0; q < 2; q++) {
			u32 e = run_at(t, q), n = run_length(m, e);

			load_quad(p, n ? element_at<0>(m, e) : 0, o->dtype, n, y + 4 * q);
		}
		return;
	}
	EACH
	{
		u32 e = single_at(t, (u32)i);

		if (e < m->elems)
			y[i] = load_f32(p, (u64)element_at<0>(m, e), o->dtype);
	}
}

DEVICE void store_floats(const struct tile *t, const struct map_task *m, const float *x)
{
	u8 *out = (u8 *)operand_address(t, &m->operand[0]);
	u32 dtype = m->operand[0].dtype;

	if (m->mode == MAP_QUADS) {
#pragma unroll
		for (u32 q = 0; q < 2; q++) {
			u32 e = run_at(t, q), n = run_length(m, e);

			store_quad(out, n ? element_at<0>(m, e) : 0, dtype, n, x + 4 * q);
		}
		return;
	}
	EACH
	{
		u32 e = single_at(t, (u32)i);

		if (e < m->elems)
			store_f32(out, (u64)element_at<0>(m, e), dtype, x[i]);
	}
}

DEVICE void binary_floats(u32 op, float *x, const float *y)
{
	switch (op) {
	case OOO_OP_ADD:
		EACH4 x[i] += y[i];
		break;
	case OOO_OP_SUB:
		EACH4 x[i] -= y[i];
		break;
	case OOO_OP_MUL:
		EACH4 x[i] *= y[i];
		break;
	case OOO_OP_DIV:
		EACH4 x[i] /= y[i];
		break;
	case OOO_OP_POW:
		EACH4 x[i] = y[i] == 2.0f ? x[i] * x[i] : powf(x[i], y[i]);
		break;
	case OOO_OP_MIN: /* NaN wins */
		EACH4 x[i] = x[i] < y[i] || x[i] != x[i] ? x[i] : y[i];
		break;
	case OOO_OP_MAX:
		EACH4 x[i] = x[i] > y[i] || x[i] != x[i] ? x[i] : y[i];
		break;
	default: /* PRELU */
		EACH4 x[i] = x[i] < 0 ? x[i] * y[i] : x[i];
	}
}

/* One of the operators of ops.def: a case for each of its class leaves one test for all elements. */
DEVICE void unary_floats(u32 op, int mode, float alpha, float beta, float *x)
{
	switch (op) {
#define MAP_CASE_POINTWISE(code)                                                                   \
	case code:                                                                                 \
		EACH4 x[i] = unary_f32<code>(mode, alpha, beta, x[i]);                             \
		break;
#define MAP_CASE_CONV(code)
#define MAP_CASE_MATMUL(code)
#define MAP_CASE_NORM(code)
#define MAP_CASE_POOL(code)
#define MAP_CASE_REDUCE(code)
#define MAP_CASE_MOVE(code)
#define MAP_CASE_RNN(code)
#define OP(NAME, name, code, min_in, max_in, min_out, max_out, klass) MAP_CASE_##klass(code)
#include "shared/abi/ops.def"
#undef OP
	}
}

/* Both halves by one body: the functions are long, and eight at a time want too many registers. */
DEVICE void compute_floats(u32 op, int mode, float alpha, float beta, float *x, float *y)
{
#pragma unroll 1
	for (int half = 0; half < 2; half++) {
		if (op < OOO_OP_IDENTITY)
			binary_floats(op, x, y);
		else
			unary_floats(op, mode, alpha, beta, x);
#pragma unroll
		for (int i = 0; i < 4; i++) {
			float vx = x[i], vy = y[i];

			x[i] = x[i + 4];
			x[i + 4] = vx;
			y[i] = y[i + 4];
			y[i + 4] = vy;
		}
	}
}

/* The step's operator is stage 0, then come its post-operations. */
DEVICE void map_floats(const struct tile *t, const struct map_task *m)
{
	float alpha = m->alpha, beta = m->beta, x[8], y[8];
	u32 op = m->head.op;
	int mode = m->attr_mode;

	EACH x[i] = y[i] = 0;
	if (m->mode == MAP_QUADS)
		load_quads(t, m, x, y);
	else
		load_singles(t, m, x, y);
#pragma unroll 1
	for (u32 stage = 0;; stage++) {
		const struct cuda_post *p = &m->head.post[stage];

		compute_floats(op, mode, alpha, beta, x, y);
		if (stage == m->head.nr_post)
			break;
		op = p->op;
		mode = p->mode;
		alpha = p->alpha;
		beta = p->beta;
		if (op < OOO_OP_IDENTITY)
			load_post(t, m, &p->operand, y);
	}
	store_floats(t, m, x);
}

template <class T, int N> DEVICE void map_units(const struct tile *t, const struct map_task *m)
{
	const T *in = (const T *)operand_address(t, &m->operand[1]) + m->base[1];
	T *out = (T *)operand_address(t, &m->operand[0]) + m->base[0], v[N];
	u32 first = t->index * (N * MAP_THREADS) + thread_id();
	int to[N];

#pragma unroll
	for (int i = 0; i < N; i++) {
		u32 e = first + (u32)i * MAP_THREADS;
		int at[2] = { 0, 0 };

		if (e < m->elems) {
			walk_at<2>(m->dim, m->rank, e, at);
			v[i] = in[at[1]];
		}
		to[i] = at[0];
	}
#pragma unroll
	for (int i = 0; i < N; i++)
		if (first + (u32)i * MAP_THREADS < m->elems)
			out[to[i]] = v[i];
}

/* Where position i of a padded axis comes from; -1: the constant. */
DEVICE int pad_source(int i, int size, u32 mode)
{
	if (i >= 0 && i < size)
		return i;
	if (mode == 0)
		return -1;
	if (mode == 2)
		return i < 0 ? 0 : size - 1;
	return i < 0 ? -i : 2 * (size - 1) - i; /* the step's check: never beyond the other end */
}

DEVICE u64 pad_value(const struct map_task *m, const void *in, u32 e)
{
	bool inside = true;
	i64 at = 0;

	for (u32 d = m->rank; d--;) {
		const struct map_dim *dim = &m->dim[d];
		u32 q = div_fast(e, &dim->by);
		int i = pad_source((int)(e - q * dim->by.d) - dim->stride[2], dim->stride[3],
				   m->pad_mode);

		inside = inside && i >= 0;
		at += (i64)i * dim->stride[1];
		e = q;
	}
	return inside ? load_unit(in, at, m->unit_bytes, m->operand[1].dtype) : m->fill;
}

DEVICE void map_pad(const struct tile *t, const struct map_task *m)
{
	const void *in = operand_address(t, &m->operand[1]);
	void *out = operand_address(t, &m->operand[0]);
	u32 first = t->index * MAP_UNIT_TILE + thread_id();
	u64 v[4];

#pragma unroll 1
	for (u32 half = 0; half < 2; half++, first += 4 * MAP_THREADS) {
#pragma unroll
		for (int i = 0; i < 4; i++) {
			u32 e = first + (u32)i * MAP_THREADS;

			v[i] = e < m->elems ? pad_value(m, in, e) : 0;
		}
#pragma unroll
		for (int i = 0; i < 4; i++) {
			u32 e = first + (u32)i * MAP_THREADS;

			if (e < m->elems)
				store_unit(out, e, m->unit_bytes, m->operand[0].dtype, v[i]);
		}
	}
}

KERNEL_FN(ooo_map, 256, 3)
{
	struct tile t = tile_find(&launch);
	const struct map_task *m = (const struct map_task *)t.task;

	if (m->mode <= MAP_SINGLES)
		map_floats(&t, m);
	else if (m->mode == MAP_PAD)
		map_pad(&t, m);
	else if (m->unit_bytes == 16)
		map_units<vec4, 4>(&t, m);
	else if (m->unit_bytes == 8)
		map_units<u64, 8>(&t, m);
	else if (m->unit_bytes == 4)
		map_units<u32, 8>(&t, m);
	else if (m->unit_bytes == 2)
		map_units<u16, 8>(&t, m);
	else
		map_units<u8, 8>(&t, m);
	tile_finish(&launch);
}
