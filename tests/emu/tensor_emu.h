/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ldmatrix and mma of prim.cuh, a warp at a time, with the fragments that PTX defines: with
 * g = lane / 4 and t = lane % 4, lane holds of an m16n8k16 product
 *
 *	a[0] A[g][2t, 2t+1]     a[1] A[g+8][2t, 2t+1]     b[0] B[2t, 2t+1][g]
 *	a[2] A[g][2t+8, 2t+9]   a[3] A[g+8][2t+8, 2t+9]   b[1] B[2t+8, 2t+9][g]
 *	c[0, 1] C[g][2t, 2t+1]  c[2, 3] C[g+8][2t, 2t+1]
 *
 * Products are exact; their sum is rounded once, where the hardware's last bits may differ.
 */
#ifndef OOO_TENSOR_EMU_H
#define OOO_TENSOR_EMU_H

struct emu_ldmatrix {
	u32 *r;
	u16 row[8]; /* that the lane's address points to */
};

template <int N, bool TRANS> EMU_WARP void emu_all_ldmatrix(void *const *args)
{
	u16 matrix[8][8];

	for (unsigned m = 0; m < N; m++) {
		for (unsigned row = 0; row < 8; row++)
			for (unsigned i = 0; i < 8; i++)
				matrix[row][i] = ((emu_ldmatrix *)args[m * 8 + row])->row[i];
		for (unsigned lane = 0; lane < 32; lane++) {
			unsigned g = lane / 4, t = lane % 4;
			u16 low = TRANS ? matrix[2 * t][g] : matrix[g][2 * t];
			u16 high = TRANS ? matrix[2 * t + 1][g] : matrix[g][2 * t + 1];

			((emu_ldmatrix *)args[lane])->r[m] = low | (u32)high << 16;
		}
	}
}

template <int N, bool TRANS>
DEVICE void emu_load_matrices(u32 *r, const void *row, const char *name)
{
	emu_ldmatrix l = { r, { 0 } };

	if ((thread_id() & 31) < N * 8) { /* the others' addresses are not used */
		emu::need_aligned(row, 16, name);
		emu::shared_offset(row, 16, name);
		for (unsigned i = 0; i < 8; i++)
			l.row[i] = ((const u16 *)row)[i];
	}
	emu::warp_collective(emu_all_ldmatrix<N, TRANS>, &l, name);
}

DEVICE void ldmatrix_x4(u32 r[4], const void *row)
{
	emu_load_matrices<4, false>(r, row, "ldmatrix_x4");
}
DEVICE void ldmatrix_x2(u32 r[2], const void *row)
{
	emu_load_matrices<2, false>(r, row, "ldmatrix_x2");
}
DEVICE void ldmatrix_x4_trans(u32 r[4], const void *row)
{
	emu_load_matrices<4, true>(r, row, "ldmatrix_x4_trans");
}
DEVICE void ldmatrix_x2_trans(u32 r[2], const void *row)
{
	emu_load_matrices<2, true>(r, row, "ldmatrix_x2_trans");
}

struct emu_mma {
	float *c;
	const u32 *a, *b;
};

/* C += A B of one warp, from matrices of K columns. */
template <int K>
EMU_WARP void emu_multiply(void *const *args, const float a[16][K], const float b[K][8])
{
	for (unsigned lane = 0; lane < 32; lane++) {
		float *c = ((emu_mma *)args[lane])->c;

		for (unsigned i = 0; i < 4; i++) {
			unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
			double sum = c[i];

			for (unsigned k = 0; k < K; k++)
				sum += (double)a[row][k] * b[k][column];
			c[i] = (float)sum;
		}
	}
}

template <float (*VALUE)(u16)> EMU_WARP void emu_all_mma16(void *const *args)
{
	float a[16][16], b[16][8];

	for (unsigned lane = 0; lane < 32; lane++) {
		const emu_mma *m = (emu_mma *)args[lane];
		unsigned g = lane / 4, t = lane % 4;

		for (unsigned i = 0; i < 8; i++) /* halves of the four registers */
			a[g + i / 2 % 2 * 8][2 * t + i / 4 * 8 + i % 2] =
				VALUE((u16)(m->a[i / 2] >> (i % 2 * 16)));
		for (unsigned i = 0; i < 4; i++)
			b[2 * t + i / 2 * 8 + i % 2][g] = VALUE((u16)(m->b[i / 2] >> (i % 2 * 16)));
	}
	emu_multiply<16>(args, a, b);
}

/* The hardware does not look at the low 13 bits. */
inline float emu_tf32(u32 bits)
{
	return emu::float_of(bits & ~0x1fffu);
}

EMU_WARP void emu_all_mma8(void *const *args)
{
	float a[16][8], b[8][8];

	for (unsigned lane = 0; lane < 32; lane++) {
		const emu_mma *m = (emu_mma *)args[lane];
		unsigned g = lane / 4, t = lane % 4;

		for (unsigned i = 0; i < 4; i++)
			a[g + i % 2 * 8][t + i / 2 * 4] = emu_tf32(m->a[i]);
		for (unsigned i = 0; i < 2; i++)
			b[t + i * 4][g] = emu_tf32(m->b[i]);
	}
	emu_multiply<8>(args, a, b);
}

inline float emu_bf16(u16 h)
{
	return emu::float_of((u32)h << 16);
}

DEVICE void mma_f16(float c[4], const u32 a[4], const u32 b[2])
{
	emu_mma m = { c, a, b };

	emu::warp_collective(emu_all_mma16<emu::float_of_f16>, &m, "mma_f16");
}
DEVICE void mma_bf16(float c[4], const u32 a[4], const u32 b[2])
{
	emu_mma m = { c, a, b };

	emu::warp_collective(emu_all_mma16<emu_bf16>, &m, "mma_bf16");
}
DEVICE void mma_tf32(float c[4], const u32 a[4], const u32 b[2])
{
	emu_mma m = { c, a, b };

	emu::warp_collective(emu_all_mma8, &m, "mma_tf32");
}

#endif
