/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products on tensor cores: fp16, bf16 and tf32 with fp32 sums. */
#include "agent/device/cuda/kernels/gemm.cuh"
#include "agent/device/cuda/kernels/wgmma.cuh"

/*
 * WM x WN warps share the tile. A step is two chunks of k: 16 fp16 or bf16, 8 tf32; in units of
 * ldmatrix, whose elements are pairs of 16-bit or single 32-bit numbers alike, both look the same.
 */
template <u32 TYPE, u32 BM, u32 BN, u32 WM, u32 WN, u32 STAGES>
struct mma_core : gemm_shape<BM, BN, WM * WN * 32, STAGES> {
	static constexpr u32 ROWS = BM / WM, COLUMNS = BN / WN; /* of a warp */
	static constexpr u32 MI = ROWS / 16, NJ = COLUMNS / 8, SUMS = MI * NJ * 4;

	static_assert(ROWS % 16 == 0 && COLUMNS % 8 == 0 && (NJ == 1 || NJ % 2 == 0), "");

	DEVICE u32 lane() { return thread_id() % 32; }
	DEVICE u32 first_row() { return thread_id() / 32 % WM * ROWS; }
	DEVICE u32 first_column() { return thread_id() / 32 / WM * COLUMNS; }

	DEVICE void product(float *c, const u32 a[4], const u32 b[2])
	{
		if (TYPE == GEMM_F16)
			mma_f16(c, a, b);
		else if (TYPE == GEMM_BF16)
			mma_bf16(c, a, b);
		else
			mma_tf32(c, a, b);
	}

	/* at: in the ring, this lane's chunk of the first step. */
	DEVICE void load_columns(u32 (&b)[NJ][2], const u8 *ring, u32 at, u32 step)
	{
		const u8 *x = ring + (at ^ step * 2 * GEMM_CHUNK);

		if (NJ == 1) {
			ldmatrix_x2(b[0], x);
		} else {
#pragma unroll
			for (u32 j = 0; j < NJ; j += 2) {
				u32 r[4];

				ldmatrix_x4(r, x + j * 8 * GEMM_CHUNKS * GEMM_CHUNK);
				b[j][0] = r[0];
				b[j][1] = r[1];
				b[(j + 1) % NJ][0] = r[2];
				b[(j + 1) % NJ][1] = r[3];
			}
		}
#pragma unroll
		for (u32 j = 0; TYPE == GEMM_TF32 && j < NJ; j++) {
			b[j][0] = f32_to_tf32(bits_float(b[j][0]));
			b[j][1] = f32_to_tf32(bits_float(b[j][1]));
		}
	}

	DEVICE void multiply(float (&acc)[SUMS], const u8 *ring, u32 at, u32)
	{
		u32 l = lane(), row = first_row() + l % 16;
		u32 column = first_column() + l % 8 + (NJ > 1 ? l / 16 * 8 : 0);
		u32 w_at = at + gemm_swizzle(row, l / 16) * GEMM_CHUNK;
		u32 x_at = at + mma_core::W_BYTES + gemm_swizzle(column, l / 8 % 2) * GEMM_CHUNK;

#pragma unroll
		for (u32 step = 0; step < GEMM_CHUNKS / 2; step++) {
			const u8 *w = ring + (w_at ^ step * 2 * GEMM_CHUNK);
			u32 b[NJ][2], a[4];

			load_columns(b, ring, x_at, step);
#pragma unroll
			for (u32 i = 0; i < MI; i++) {
				ldmatrix_x4(a, w + i * 16 * GEMM_CHUNKS * GEMM_CHUNK);
#pragma unroll
				for (u32 j = 0; j < NJ; j++)
					product(&acc[(i * NJ + j) * 4], a, b[j]);
			}
		}
	}

	DEVICE void spread(const float (&acc)[SUMS], float *tile)
	{
		u32 g = lane() / 4, t = lane() % 4;

#pragma unroll
		for (u32 e = 0; e < SUMS; e++) {
			u32 i = e / 4 / NJ, j = e / 4 % NJ;
			u32 m = first_row() + i * 16 + g + e % 4 / 2 * 8;
			u32 n = first_column() + j * 8 + 2 * t + e % 2;

			tile[n * mma_core::PITCH + m] = acc[e];
		}
	}
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

/* BM / 64 warpgroups, one below the other. They find both operands in shared memory themselves. */
template <u32 TYPE, u32 BM, u32 BN, u32 STAGES>
struct wgmma_core : gemm_shape<BM, BN, BM * 2, STAGES> {
	static constexpr u32 SUMS = BN / 2;
	static constexpr bool ASYNC = true;

	DEVICE void settle(float (&acc)[SUMS]) { wgmma_wait(acc); }

	DEVICE void multiply(float (&acc)[SUMS], const u8 *ring, u32 at, u32)
	{
		u64 w = wgmma_operand(ring + at + thread_id() / 128 * GEMM_BLOCK_BYTES);
		u64 x = wgmma_operand(ring + at + wgmma_core::W_BYTES);

		wgmma_begin();
#pragma unroll
		for (u32 step = 0; step < GEMM_CHUNKS / 2; step++)
			wgmma<TYPE == GEMM_BF16, BN>(acc, w + step * 2, x + step * 2);
		wgmma_commit();
	}

	DEVICE void spread(const float (&acc)[SUMS], float *tile)
	{
		u32 l = thread_id() % 32, row = thread_id() / 32 * 16 + l / 4;

#pragma unroll
		for (u32 e = 0; e < SUMS; e++) {
			u32 m = row + e % 4 / 2 * 8, n = e / 4 * 8 + l % 4 * 2 + e % 2;

			tile[n * wgmma_core::PITCH + m] = acc[e];
		}
	}
};

/* Tiles of 64 rows and more take them. */
template <u32 TYPE, u32 BM, u32 BN, u32 WM, u32 WN, u32 STAGES, bool WIDE> struct core_of {
	using core = mma_core<TYPE, BM, BN, WM, WN, STAGES>;
};

template <u32 TYPE, u32 BM, u32 BN, u32 WM, u32 WN, u32 STAGES>
struct core_of<TYPE, BM, BN, WM, WN, STAGES, true> {
	using core = wgmma_core<TYPE, BM, BN, STAGES>;
};

#define GEMM_CORE(TYPE, BM, BN, WM, WN, STAGES)                                                    \
	core_of<TYPE, BM, BN, WM, WN, STAGES,                                                      \
		(TYPE == GEMM_F16 || TYPE == GEMM_BF16) && (BN >= 64) && WM * WN * 16 == BM>::core

#else
#define GEMM_CORE(TYPE, BM, BN, WM, WN, STAGES) mma_core<TYPE, BM, BN, WM, WN, STAGES>
#endif

#define GEMM_KERNEL(name, TYPE, BM, BN, WM, WN, STAGES, BLOCKS)                                    \
	KERNEL_FN(name, WM * WN * 32, BLOCKS)                                                      \
	{                                                                                          \
		SHARED_DYNAMIC(shared);                                                            \
		gemm_run<GEMM_CORE(TYPE, BM, BN, WM, WN, STAGES)>(&launch, shared);                 \
	}

GEMM_KERNEL(ooo_gemm_f16_128x128, GEMM_F16, 128, 128, 2, 4, 3, 2)
GEMM_KERNEL(ooo_gemm_f16_128x64, GEMM_F16, 128, 64, 4, 2, 4, 2)
GEMM_KERNEL(ooo_gemm_f16_64x64, GEMM_F16, 64, 64, 2, 2, 3, 4)
GEMM_KERNEL(ooo_gemm_f16_64x16, GEMM_F16, 64, 16, 4, 1, 7, 3)
GEMM_KERNEL(ooo_gemm_f16_64x8, GEMM_F16, 64, 8, 4, 1, 8, 3)
GEMM_KERNEL(ooo_gemm_bf16_128x128, GEMM_BF16, 128, 128, 2, 4, 3, 2)
GEMM_KERNEL(ooo_gemm_bf16_128x64, GEMM_BF16, 128, 64, 4, 2, 4, 2)
GEMM_KERNEL(ooo_gemm_bf16_64x64, GEMM_BF16, 64, 64, 2, 2, 3, 4)
GEMM_KERNEL(ooo_gemm_bf16_64x16, GEMM_BF16, 64, 16, 4, 1, 7, 3)
GEMM_KERNEL(ooo_gemm_bf16_64x8, GEMM_BF16, 64, 8, 4, 1, 8, 3)
GEMM_KERNEL(ooo_gemm_tf32_128x64, GEMM_TF32, 128, 64, 4, 2, 4, 2)
GEMM_KERNEL(ooo_gemm_tf32_64x64, GEMM_TF32, 64, 64, 2, 2, 3, 4)
GEMM_KERNEL(ooo_gemm_tf32_64x16, GEMM_TF32, 64, 16, 4, 1, 7, 3)
GEMM_KERNEL(ooo_gemm_tf32_64x8, GEMM_TF32, 64, 8, 4, 1, 8, 3)
