/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrices whose columns are neighbours in memory, brought into shared memory 64 rows at a time
 * and multiplied there, row by row: what attention and recurrent layers have in common. Elements
 * are converted on the way; what is not there is 0.
 */
#ifndef OOO_CUDA_MATRIX_CUH
#define OOO_CUDA_MATRIX_CUH

#include "agent/device/cuda/kernels/prim.cuh"
#include "agent/device/cuda/kernels/values.cuh"

struct matrix {
	const u8 *p; /* NULL: absent */
	u32 row;     /* elements from one row to the next */
	u32 dtype;   /* a floating type */
	bool wide;   /* every 16 bytes of it, counted from the start of a row, move as one */
};

/* p is that of element 0; `at` elements on, the matrix begins. */
DEVICE struct matrix matrix_make(const void *p, u32 dtype, u64 at, u32 row, u32 columns)
{
	u32 each = dtype_bytes(dtype), per = 16 / each;
	struct matrix m = { (const u8 *)p, row, dtype, false };

	if (!p)
		return m;
	m.p += at * each;
	m.wide = columns % per == 0 && row % per == 0 && (u64)m.p % 16 == 0;
	return m;
}

DEVICE const u8 *matrix_at(const struct matrix *m, u32 row, u32 column)
{
	return m->p + ((u64)row * m->row + column) * dtype_bytes(m->dtype);
}

/* Columns column .. column + 3 of a row, 0 behind `columns`. column is a multiple of 4. */
DEVICE void matrix_load4(const struct matrix *m, u32 row, u32 column, u32 columns, float v[4])
{
	if (m->wide && m->dtype == OOO_FP32 && column + 4 <= columns) {
		vec4 x = load16(matrix_at(m, row, column));

		v[0] = bits_float(x.x);
		v[1] = bits_float(x.y);
		v[2] = bits_float(x.z);
		v[3] = bits_float(x.w);
		return;
	}
#pragma unroll
	for (u32 j = 0; j < 4; j++)
		v[j] = column + j < columns
			       ? load_f32(m->p, (u64)row * m->row + column + j, m->dtype)
			       : 0.0f;
}

/* ---- fp32: 256 threads, each 4 x 4 of a product of 64 x 64 ------------------------------------ */

#define MATRIX_SIDE  64
#define MATRIX_PITCH 68 /* floats of a line in shared memory */

/* 64 rows by 64 columns from (first, column) on, transposed: to[column][row]. */
DEVICE void matrix_load_transposed(float *to, const struct matrix *m, u32 first, u32 rows,
				   u32 column, u32 columns)
{
	u32 warp = thread_id() / 32, lane = thread_id() % 32;

	/* 8 rows by 16 columns a warp: whole sectors in memory, two-way conflicts here. */
	for (u32 u = warp; u < 32; u += 8) {
		u32 row = u % 8 * 8 + lane % 8, c = u / 8 * 16 + lane / 8 * 4;
		float v[4] = { 0.0f, 0.0f, 0.0f, 0.0f };

		if (first + row < rows && column + c < columns)
			matrix_load4(m, first + row, column + c, columns, v);
#pragma unroll
		for (u32 j = 0; j < 4; j++)
			to[(c + j) * MATRIX_PITCH + row] = v[j];
	}
}

/* The same, as it is: to[row][column]. */
DEVICE void matrix_load_plain(float *to, const struct matrix *m, u32 first, u32 rows, u32 column,
			      u32 columns)
{
	for (u32 i = thread_id(); i < MATRIX_SIDE * MATRIX_SIDE / 4; i += 256) {
		u32 row = i / (MATRIX_SIDE / 4), c = i % (MATRIX_SIDE / 4) * 4;
		float v[4] = { 0.0f, 0.0f, 0.0f, 0.0f };

		if (first + row < rows && column + c < columns)
			matrix_load4(m, first + row, column + c, columns, v);
		store16(to + row * MATRIX_PITCH + c, vec4{ float_bits(v[0]), float_bits(v[1]),
							   float_bits(v[2]), float_bits(v[3]) });
	}
}

/* c[i][j] += sum over the lines of a[line][4 * y + i] * b[line][4 * x + j], in their order */
DEVICE void matrix_multiply_fp32(float c[4][4], const float *a, const float *b, u32 lines)
{
	u32 x = thread_id() % 16, y = thread_id() / 16;

#pragma unroll 4
	for (u32 k = 0; k < lines; k++) {
		vec4 av = load16(a + k * MATRIX_PITCH + y * 4);
		vec4 bv = load16(b + k * MATRIX_PITCH + x * 4);
		float p[4] = { bits_float(av.x), bits_float(av.y), bits_float(av.z),
			       bits_float(av.w) };
		float q[4] = { bits_float(bv.x), bits_float(bv.y), bits_float(bv.z),
			       bits_float(bv.w) };

#pragma unroll
		for (int i = 0; i < 4; i++) {
#pragma unroll
			for (int j = 0; j < 4; j++)
				c[i][j] = fmaf(p[i], q[j], c[i][j]);
		}
	}
}

/* ---- fp16 and bf16: 128 threads, each warp 16 rows of a product of 64 x N --------------------- */

template <bool BF16> DEVICE u32 matrix_pack(float low, float high)
{
	if (BF16)
		return f32_to_bf16(low) | (u32)f32_to_bf16(high) << 16;
	return f32_to_f16(low) | (u32)f32_to_f16(high) << 16;
}

template <bool BF16> DEVICE void matrix_mma(float c[4], const u32 a[4], const u32 *b)
{
	if (BF16)
		mma_bf16(c, a, b);
	else
		mma_f16(c, a, b);
}

/* Chunk c, of 8 elements, in line `row` of a tile of D columns. Chunks are exchanged so that the
 * rows of a matrix that is loaded lie in different banks. */
template <int D> DEVICE u16 *matrix_chunk(u16 *tile, u32 row, u32 c)
{
	return tile + row * D + (c ^ (row & 7)) * 8;
}

/* ROWS rows by D columns from (first, column) on. Rows that need no conversion come asynchronously. */
template <int D, int ROWS, bool BF16>
DEVICE void matrix_load_half(u16 *tile, const struct matrix *m, u32 first, u32 rows, u32 column,
			     u32 columns)
{
	bool copy = m->wide && m->dtype == (BF16 ? OOO_BF16 : OOO_FP16);

#pragma unroll 4
	for (u32 i = thread_id(); i < ROWS * D / 8; i += 128) {
		u32 row = i / (D / 8), c = i % (D / 8), at = column + c * 8;
		bool there = first + row < rows && at < columns;
		u16 *to = matrix_chunk<D>(tile, row, c);

		if (copy) {
			cp_async16(to, there ? matrix_at(m, first + row, at) : m->p, there);
			continue;
		}
		float v[8] = { 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f };

		if (there) {
			matrix_load4(m, first + row, at, columns, v);
			matrix_load4(m, first + row, at + 4, columns, v + 4);
		}
		store16(to, vec4{ matrix_pack<BF16>(v[0], v[1]), matrix_pack<BF16>(v[2], v[3]),
				  matrix_pack<BF16>(v[4], v[5]), matrix_pack<BF16>(v[6], v[7]) });
	}
}

/* c += a b^T for the warp's 16 rows of a; c[n] are b's rows 8 n .. 8 n + 7. depth <= D. */
template <int D, int N, bool BF16>
DEVICE void matrix_multiply_half(float c[N / 8][4], u16 *a, u16 *b, u32 depth)
{
	u32 lane = thread_id() % 32, row = thread_id() / 32 * 16 + lane % 16;

#pragma unroll
	for (u32 k = 0; k < D / 8; k += 2) {
		u32 fa[4], fb[4];

		if (k * 8 >= depth)
			continue;
		ldmatrix_x4(fa, matrix_chunk<D>(a, row, k + lane / 16));
#pragma unroll
		for (u32 n = 0; n < N / 8; n += 2) {
			ldmatrix_x4(fb, matrix_chunk<D>(b, n * 8 + lane / 16 * 8 + lane % 8,
							k + lane / 8 % 2));
			matrix_mma<BF16>(c[n], fa, fb);
			matrix_mma<BF16>(c[n + 1], fa, fb + 2);
		}
	}
}

#endif
