/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products in fp32 throughout. */
#include "agent/device/cuda/kernels/gemm.cuh"

/* Chunk c of row r of a stage that begins at `at` in the ring: four numbers. */
DEVICE void load4(float v[4], const u8 *ring, u32 at, u32 r, u32 c)
{
	vec4 q = load16(ring + at + gemm_swizzle(r, c) * GEMM_CHUNK);

	v[0] = bits_float(q.x);
	v[1] = bits_float(q.y);
	v[2] = bits_float(q.z);
	v[3] = bits_float(q.w);
}

/*
 * WM x WN warps share the tile; a thread has TM rows, four apart, and TN columns, eight apart. The
 * eight lanes that one load serves read eight neighbouring columns: no bank conflicts.
 */
template <u32 WM, u32 WN, u32 TM, u32 TN, u32 STAGES>
struct fma_core : gemm_shape<WM * TM * 4, WN * TN * 8, WM * WN * 32, STAGES> {
	static constexpr u32 SUMS = TM * TN;

	DEVICE u32 first_row() { return thread_id() / 32 % WM * TM * 4 + thread_id() % 32 / 8; }
	DEVICE u32 first_column() { return thread_id() / 32 / WM * TN * 8 + thread_id() % 8; }

	DEVICE void multiply(float (&acc)[SUMS], const u8 *ring, u32 at, u32)
	{
		u32 row = first_row(), column = first_column();

#pragma unroll 1
		for (u32 c = 0; c < GEMM_CHUNKS; c++) {
			float x[TN][4];

#pragma unroll
			for (u32 j = 0; j < TN; j++)
				load4(x[j], ring, at + fma_core::W_BYTES, column + j * 8, c);
#pragma unroll
			for (u32 i = 0; i < TM; i++) {
				float w[4];

				load4(w, ring, at, row + i * 4, c);
#pragma unroll
				for (u32 k = 0; k < 4; k++)
#pragma unroll
					for (u32 j = 0; j < TN; j++)
						acc[i * TN + j] = fmaf(w[k], x[j][k], acc[i * TN + j]);
			}
		}
	}

	DEVICE void spread(const float (&acc)[SUMS], float *tile)
	{
#pragma unroll
		for (u32 e = 0; e < SUMS; e++)
			tile[(first_column() + e % TN * 8) * fma_core::PITCH + first_row() + e / TN * 4] =
				acc[e];
	}
};

/* Few columns: a thread has one row and half of each block of k. */
template <u32 BN, u32 STAGES> struct row_core : gemm_shape<64, BN, 128, STAGES> {
	static constexpr u32 SUMS = BN;

	DEVICE u32 row() { return thread_id() % 64; }
	DEVICE u32 half() { return thread_id() / 64; }

	DEVICE void multiply(float (&acc)[SUMS], const u8 *ring, u32 at, u32 columns)
	{
#pragma unroll
		for (u32 i = 0; i < GEMM_CHUNKS / 2; i++) {
			u32 c = half() * (GEMM_CHUNKS / 2) + i;
			float w[4];

			load4(w, ring, at, row(), c);
#pragma unroll
			for (u32 j = 0; j < BN; j++) {
				float x[4];

				if (j >= columns)
					continue;
				load4(x, ring, at + row_core::W_BYTES, j, c);
#pragma unroll
				for (u32 k = 0; k < 4; k++)
					acc[j] = fmaf(w[k], x[k], acc[j]);
			}
		}
	}

	DEVICE void spread(const float (&acc)[SUMS], float *tile)
	{
#pragma unroll
		for (u32 j = 0; half() == 0 && j < BN; j++)
			tile[j * row_core::PITCH + row()] = acc[j];
		block_sync();
#pragma unroll
		for (u32 j = 0; half() == 1 && j < BN; j++)
			tile[j * row_core::PITCH + row()] += acc[j];
	}
};

KERNEL_FN(ooo_gemm_f32_128x64, 128, 3)
{
	SHARED_DYNAMIC(shared);
	gemm_run<fma_core<4, 1, 8, 8, 3>>(&launch, shared);
}

KERNEL_FN(ooo_gemm_f32_64x64, 64, 4)
{
	SHARED_DYNAMIC(shared);
	gemm_run<fma_core<2, 1, 8, 8, 3>>(&launch, shared);
}

KERNEL_FN(ooo_gemm_f32_64x8, 128, 3)
{
	SHARED_DYNAMIC(shared);
	gemm_run<row_core<8, 8>>(&launch, shared);
}
