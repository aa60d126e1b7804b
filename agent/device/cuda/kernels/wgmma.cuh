/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of a warpgroup (128 threads) on sm_90a, both operands in shared memory: rows of 128 bytes
 * of k, 16-byte chunk c of row r at chunk c ^ r % 8, which the PTX manual calls the 128-byte swizzle
 * and gemm_swizzle() is. They run asynchronously. What cp.async brought they see after its wait and a
 * barrier, without a proxy fence, which would wait for all that is still on its way as well.
 */
#ifndef OOO_CUDA_WGMMA_CUH
#define OOO_CUDA_WGMMA_CUH

#include "agent/device/cuda/kernels/prim.cuh"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

/* Eight rows are 1024 bytes; rows of 128 bytes need no distance between their parts. p: its first row
 * begins at a multiple of 1024 bytes; 32 bytes further is the next 16 numbers of k. */
DEVICE u64 wgmma_operand(const u8 *p)
{
	u32 at = (u32)__cvta_generic_to_shared(p);

	return (u64)(at >> 4 & 0x3fff) | 1ull << 16 | (u64)(1024 >> 4) << 32 | 1ull << 62;
}

/* Before the first product that adds to registers which something else wrote. */
DEVICE void wgmma_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

DEVICE void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

/* All that were committed are done: sums may be read, operands written over. */
template <u32 SUMS> DEVICE void wgmma_wait(float (&c)[SUMS])
{
	asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#pragma unroll
	for (u32 i = 0; i < SUMS; i++)
		asm volatile("" : "+f"(c[i])::"memory");
}

#define W1(i) "+f"(c[i])
#define W4(i) W1(i), W1(i + 1), W1(i + 2), W1(i + 3)

/* c += A B^T for 64 rows of A, so many of B, 16 numbers of k. Sums as mma.sync's, 16 rows a warp. */
DEVICE void wgmma_f16_64(float *c, u64 a, u64 b)
{
	asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {"
		     "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, "
		     "%17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
		     "}, %32, %33, 1, 1, 1, 0, 0;"
		     : W4(0), W4(4), W4(8), W4(12), W4(16), W4(20), W4(24), W4(28)
		     : "l"(a), "l"(b));
}

DEVICE void wgmma_bf16_64(float *c, u64 a, u64 b)
{
	asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
		     "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, "
		     "%17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
		     "}, %32, %33, 1, 1, 1, 0, 0;"
		     : W4(0), W4(4), W4(8), W4(12), W4(16), W4(20), W4(24), W4(28)
		     : "l"(a), "l"(b));
}

DEVICE void wgmma_f16_128(float *c, u64 a, u64 b)
{
	asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {"
		     "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, "
		     "%17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
		     "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, "
		     "%47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, "
		     "%62, %63"
		     "}, %64, %65, 1, 1, 1, 0, 0;"
		     : W4(0), W4(4), W4(8), W4(12), W4(16), W4(20), W4(24), W4(28), W4(32), W4(36), W4(40), W4(44), W4(48), W4(52), W4(56), W4(60)
		     : "l"(a), "l"(b));
}

DEVICE void wgmma_bf16_128(float *c, u64 a, u64 b)
{
	asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
		     "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, "
		     "%17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
		     "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, "
		     "%47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, "
		     "%62, %63"
		     "}, %64, %65, 1, 1, 1, 0, 0;"
		     : W4(0), W4(4), W4(8), W4(12), W4(16), W4(20), W4(24), W4(28), W4(32), W4(36), W4(40), W4(44), W4(48), W4(52), W4(56), W4(60)
		     : "l"(a), "l"(b));
}

#undef W1
#undef W4

template <bool BF16, u32 N> DEVICE void wgmma(float *c, u64 a, u64 b)
{
	if (N == 64 && BF16)
		wgmma_bf16_64(c, a, b);
	else if (N == 64)
		wgmma_f16_64(c, a, b);
	else if (BF16)
		wgmma_bf16_128(c, a, b);
	else
		wgmma_f16_128(c, a, b);
}

#endif
#endif
