// SPDX-License-Identifier: Apache-2.0
/*
 * Pointwise steps that are not floats alone: integers, truth values, casts, Where. A thread has four
 * elements, 256 apart; integers of any type are computed in 64 bits and wrap when stored.
 */
#include "agent/device/cuda/kernels/map.cuh"

#define EACH _Pragma("unroll") for (int i = 0; i < 4; i++)

/* What an element is computed in: a double where its type is real, else an integer. */
union number {
	i64 i;
	double d;
};

DEVICE i64 load_int(const void *p, i64 at, u32 dtype)
{
	switch (dtype) {
	case OOO_INT64:
		return ((const i64 *)p)[at];
	case OOO_INT32:
		return ((const int *)p)[at];
	case OOO_INT8:
		return ((const signed char *)p)[at];
	case OOO_BOOL:
		return ((const u8 *)p)[at] != 0;
	default:
		return ((const u8 *)p)[at];
	}
}

DEVICE void store_int(void *p, i64 at, u32 dtype, i64 v)
{
	store_bits(p, at, dtype_bytes(dtype), dtype == OOO_BOOL ? v != 0 : (u64)v);
}

DEVICE double load_real(const void *p, i64 at, u32 dtype)
{
	return dtype == OOO_FP64 ? ((const double *)p)[at] : (double)load_f32(p, (u64)at, dtype);
}

DEVICE void store_real(void *p, i64 at, u32 dtype, double v)
{
	if (dtype == OOO_FP64)
		((double *)p)[at] = v;
	else
		store_f32(p, (u64)at, dtype, (float)v);
}

DEVICE bool is_real(u32 dtype)
{
	return dtype <= OOO_BF16 || dtype == OOO_FP64;
}

/* A division by zero gives 0 instead of whatever the machine does. */
DEVICE i64 divide_int(i64 a, i64 b)
{
	if (!b)
		return 0;
	if (b == -1)
		return (i64)(0 - (u64)a);
	if (a == (int)a && b == (int)b)
		return (int)a / (int)b;
	return a / b;
}

DEVICE i64 power_int(i64 a, i64 b)
{
	u64 result = 1, base = (u64)a;

	if (b < 0)
		return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0;
	for (u64 e = (u64)b; e; e >>= 1, base *= base)
		if (e & 1)
			result *= base;
	return (i64)result;
}

/* Conversions to integers saturate; NaN becomes 0. */
DEVICE i64 clip_bound(float v)
{
	return v >= 9223372036854775808.0f    ? 0x7fffffffffffffffll
	       : v <= -9223372036854775808.0f ? -0x7fffffffffffffffll - 1
					      : (i64)v;
}

DEVICE i64 compute_int(const struct map_task *m, i64 a, i64 b)
{
	switch (m->head.op) {
	case OOO_OP_ADD:
		return (i64)((u64)a + (u64)b);
	case OOO_OP_SUB:
		return (i64)((u64)a - (u64)b);
	case OOO_OP_MUL:
		return (i64)((u64)a * (u64)b);
	case OOO_OP_DIV:
		return divide_int(a, b);
	case OOO_OP_POW:
		return power_int(a, b);
	case OOO_OP_MIN:
		return a < b ? a : b;
	case OOO_OP_MAX:
		return a > b ? a : b;
	case OOO_OP_NEG:
		return (i64)(0 - (u64)a);
	case OOO_OP_ABS:
		return a < 0 ? (i64)(0 - (u64)a) : a;
	case OOO_OP_SIGN:
		return (a > 0) - (a < 0);
	case OOO_OP_RELU:
		return a < 0 ? 0 : a;
	case OOO_OP_CLIP:
		if ((double)a < (double)m->alpha)
			return clip_bound(m->alpha);
		return (double)a > (double)m->beta ? clip_bound(m->beta) : a;
	case OOO_OP_NOT:
		return !a;
	default:
		return a;
	}
}

template <class T> DEVICE bool compare(u32 op, T a, T b)
{
	switch (op) {
	case OOO_OP_EQUAL:
		return a == b;
	case OOO_OP_LESS:
		return a < b;
	case OOO_OP_GREATER:
		return a > b;
	case OOO_OP_LESS_EQUAL:
		return a <= b;
	case OOO_OP_GREATER_EQUAL:
		return a >= b;
	case OOO_OP_AND:
		return a != 0 && b != 0;
	case OOO_OP_OR:
		return a != 0 || b != 0;
	default: /* XOR */
		return (a != 0) != (b != 0);
	}
}

/* Truncates and saturates; NaN becomes 0. */
DEVICE i64 whole(double v, u32 dtype)
{
	i64 low = dtype == OOO_INT64   ? -0x7fffffffffffffffll - 1
		  : dtype == OOO_INT32 ? -2147483648ll
		  : dtype == OOO_INT8  ? -128
				       : 0;
	i64 high = dtype == OOO_INT64   ? 0x7fffffffffffffffll
		   : dtype == OOO_INT32 ? 2147483647
		   : dtype == OOO_INT8  ? 127
					: 255;

	if (v != v)
		return 0;
	/* 2^63 - 1 rounds up to 2^63, which is out of range as well. */
	return v <= (double)low ? low : v >= (double)high ? high : (i64)v;
}

/* The element as what it is computed in. */
DEVICE union number load_number(const void *p, i64 at, u32 dtype, bool real)
{
	union number n;

	if (real)
		n.d = load_real(p, at, dtype);
	else
		n.i = load_int(p, at, dtype);
	return n;
}

DEVICE void store_cast(void *out, i64 at, u32 want, union number v, bool real)
{
	if (is_real(want))
		store_real(out, at, want, real ? v.d : (double)v.i);
	else if (real)
		store_int(out, at, want, want == OOO_BOOL ? v.d != 0 : whole(v.d, want));
	else
		store_int(out, at, want, v.i);
}

/* Where a thread's elements are in each operand. */
struct four {
	i64 at[MAP_OPERANDS][4];
	bool valid[4];
};

DEVICE void locate(const struct tile *t, const struct map_task *m, struct four *f)
{
	EACH
	{
		u32 e = t->index * MAP_VALUE_TILE + (u32)i * MAP_THREADS + thread_id();
		int at[MAP_OPERANDS] = { 0, 0, 0, 0 };

		f->valid[i] = e < m->elems;
		if (f->valid[i])
			walk_at<MAP_OPERANDS>(m->dim, m->rank, e, at);
#pragma unroll
		for (int k = 0; k < MAP_OPERANDS; k++)
			f->at[k][i] = (i64)m->base[k] + at[k];
	}
}

DEVICE void map_where(const struct tile *t, const struct map_task *m, const struct four *f)
{
	const void *cond = operand_address(t, &m->operand[1]);
	const void *x = operand_address(t, &m->operand[2]), *y = operand_address(t, &m->operand[3]);
	void *out = operand_address(t, &m->operand[0]);
	u64 a[4], b[4];
	bool c[4];

	EACH if (f->valid[i])
	{
		c[i] = ((const u8 *)cond)[f->at[1][i]] != 0;
		a[i] = load_unit(x, f->at[2][i], m->unit_bytes, m->operand[2].dtype);
		b[i] = load_unit(y, f->at[3][i], m->unit_bytes, m->operand[3].dtype);
	}
	EACH if (f->valid[i]) store_unit(out, f->at[0][i], m->unit_bytes, m->operand[0].dtype,
					 c[i] ? a[i] : b[i]);
}

DEVICE void map_cast(const struct tile *t, const struct map_task *m, const struct four *f)
{
	const void *x = operand_address(t, &m->operand[1]);
	void *out = operand_address(t, &m->operand[0]);
	u32 have = m->operand[1].dtype, want = m->operand[0].dtype;
	bool real = is_real(have);
	union number v[4];

	EACH if (f->valid[i]) v[i] = load_number(x, f->at[1][i], have, real);
	EACH if (f->valid[i]) store_cast(out, f->at[0][i], want, v[i], real);
}

DEVICE void map_compare_floats(const struct tile *t, const struct map_task *m, const struct four *f)
{
	const void *x = operand_address(t, &m->operand[1]), *y = operand_address(t, &m->operand[2]);
	u8 *out = (u8 *)operand_address(t, &m->operand[0]);
	float a[4], b[4];

	EACH if (f->valid[i])
	{
		a[i] = load_f32(x, (u64)f->at[1][i], m->operand[1].dtype);
		b[i] = load_f32(y, (u64)f->at[2][i], m->operand[2].dtype);
	}
	EACH if (f->valid[i]) out[f->at[0][i]] = compare(m->head.op, a[i], b[i]);
}

DEVICE void map_ints(const struct tile *t, const struct map_task *m, const struct four *f)
{
	const void *x = operand_address(t, &m->operand[1]), *y = operand_address(t, &m->operand[2]);
	void *out = operand_address(t, &m->operand[0]);
	i64 a[4], b[4];

	EACH if (f->valid[i])
	{
		a[i] = load_int(x, f->at[1][i], m->operand[1].dtype);
		b[i] = y ? load_int(y, f->at[2][i], m->operand[2].dtype) : 0;
	}
#pragma unroll 1
	for (int n = 0; n < 4; n++) { /* one body: they are long, and move along */
		i64 r = m->mode == MAP_COMPARE_INT ? compare(m->head.op, a[0], b[0])
						   : compute_int(m, a[0], b[0]);

		a[0] = a[1], a[1] = a[2], a[2] = a[3], a[3] = r;
		b[0] = b[1], b[1] = b[2], b[2] = b[3];
	}
	EACH if (f->valid[i]) store_int(out, f->at[0][i], m->operand[0].dtype, a[i]);
}

KERNEL_FN(ooo_map_values, 256, 4)
{
	struct tile t = tile_find(&launch);
	const struct map_task *m = (const struct map_task *)t.task;
	struct four f;

	locate(&t, m, &f);
	if (m->mode == MAP_WHERE)
		map_where(&t, m, &f);
	else if (m->mode == MAP_CAST)
		map_cast(&t, m, &f);
	else if (m->mode == MAP_COMPARE_FLOAT)
		map_compare_floats(&t, m, &f);
	else
		map_ints(&t, m, &f);
	tile_finish(&launch);
}
