/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's primitives, thin names over PTX. Kernels use these and no toolkit header, so that
 * the same source also compiles as plain C++ for the emulator that runs kernels without a GPU
 * (tests/emu/prim_emu.h), and for run-time compilation.
 */
#ifndef OOO_CUDA_PRIM_CUH
#define OOO_CUDA_PRIM_CUH

#ifdef OOO_EMULATE
#include "tests/emu/prim_emu.h"
#else

typedef unsigned char u8;
typedef unsigned short u16; /* also the bits of an fp16 or bf16 */
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define DEVICE static __device__ __forceinline__
/* A kernel: KERNEL_FN(symbol, threads, blocks per SM) { ... launch ... } */
#define KERNEL_FN(symbol, threads, blocks)                                                         \
	extern "C" __global__ void __launch_bounds__(threads, blocks)                              \
		symbol(const __grid_constant__ struct cuda_launch launch)
#define SHARED(type, name, n) __shared__ __align__(16) type name[n]
/* The launch's dynamic shared memory, 16-byte aligned. */
#define SHARED_DYNAMIC(name) extern __shared__ __align__(1024) u8 name[]

DEVICE u32 thread_id() { return threadIdx.x; }
DEVICE u32 block_id() { return blockIdx.x; }
DEVICE u32 grid_size() { return gridDim.x; }
DEVICE u32 block_threads() { return blockDim.x; }

DEVICE void block_sync() { __syncthreads(); }
DEVICE void warp_sync() { __syncwarp(); }
DEVICE float shfl_xor(float x, int mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }
DEVICE u32 shfl_xor(u32 x, int mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }
DEVICE float shfl(float x, int lane) { return __shfl_sync(0xffffffffu, x, lane); }
DEVICE u32 shfl(u32 x, int lane) { return __shfl_sync(0xffffffffu, x, lane); }
DEVICE u32 warp_ballot(bool p) { return __ballot_sync(0xffffffffu, p); }

/* ---- memory ---------------------------------------------------------------------------------- */

struct __align__(16) vec4 {
	u32 x, y, z, w;
};

DEVICE vec4 load16(const void *p) { return *(const vec4 *)p; }
DEVICE void store16(void *p, vec4 v) { *(vec4 *)p = v; }
/* Weights and descriptors: never written while a kernel runs. */
DEVICE vec4 load16_const(const void *p)
{
	vec4 v;

	asm("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
	    : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
	    : "l"(p));
	return v;
}

DEVICE u32 shared_address(const void *p) { return (u32)__cvta_generic_to_shared(p); }

/* 16 bytes global -> shared, asynchronously; zeros if not valid (src is then not read). */
DEVICE void cp_async16(void *dst, const void *src, bool valid)
{
	asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(dst)),
		     "l"(src), "r"(valid ? 16 : 0)
		     : "memory");
}
DEVICE void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> DEVICE void cp_async_wait()
{
	asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/* Release and acquire, which is all that messages need; __threadfence() would order more. */
DEVICE void fence_device() { asm volatile("fence.acq_rel.gpu;" ::: "memory"); }
DEVICE void fence_system() { asm volatile("fence.acq_rel.sys;" ::: "memory"); }
DEVICE u32 atomic_add(u32 *p, u32 n) { return atomicAdd(p, n); }
/* Release at system scope: the host sees all that went before when it sees this. */
DEVICE void store_release_system(u32 *p, u32 v)
{
	asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(p), "r"(v) : "memory");
}
/* Several threads may store, all of them the same. */
DEVICE void store_volatile(u8 *p, u8 v) { *(volatile u8 *)p = v; }
/* Whole; after what a fence at system scope put before it. */
DEVICE void store_volatile(u64 *p, u64 v) { *(volatile u64 *)p = v; }
DEVICE u32 load_volatile(const u32 *p) { return *(const volatile u32 *)p; }
/*
 * Kernels of one stream overlap where the device can (programmatic dependent launch): this one may
 * have begun while the one before still runs. grid_wait() returns when that one is complete and its
 * writes are seen; until then a kernel may only read what never changes, and write nothing.
 * grid_release() lets the next one begin once all blocks have come here. Every thread calls both.
 */
DEVICE void grid_wait()
{
#if __CUDA_ARCH__ >= 900
	asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
DEVICE void grid_release()
{
#if __CUDA_ARCH__ >= 900
	asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
DEVICE void trap() { asm volatile("trap;"); }
DEVICE u64 globaltimer()
{
	u64 t;

	asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
	return t;
}

/* ---- numbers --------------------------------------------------------------------------------- */

DEVICE float f16_to_f32(u16 h)
{
	float f;

	asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h));
	return f;
}
DEVICE u16 f32_to_f16(float f)
{
	u16 h;

	asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f));
	return h;
}
DEVICE float bf16_to_f32(u16 h) { return __uint_as_float((u32)h << 16); }
DEVICE u16 f32_to_bf16(float f)
{
	u16 h;

	asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h) : "f"(f));
	return h;
}
/* Rounded to tf32, in the bits of an fp32. */
DEVICE u32 f32_to_tf32(float f)
{
	u32 t;

	asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(t) : "f"(f));
	return t;
}
DEVICE u32 float_bits(float f) { return __float_as_uint(f); }
DEVICE float bits_float(u32 u) { return __uint_as_float(u); }
DEVICE u32 mul_hi(u32 a, u32 b) { return __umulhi(a, b); }

/* ---- tensor cores ---------------------------------------------------------------------------- */

/* Lane l gives the address of row l % 8 of matrix l / 8: 8x8 matrices of 16-bit elements. */
DEVICE void ldmatrix_x4(u32 r[4], const void *row)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
		     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
		     : "r"(shared_address(row))
		     : "memory");
}
DEVICE void ldmatrix_x2(u32 r[2], const void *row)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
		     : "=r"(r[0]), "=r"(r[1])
		     : "r"(shared_address(row))
		     : "memory");
}
DEVICE void ldmatrix_x4_trans(u32 r[4], const void *row)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
		     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
		     : "r"(shared_address(row))
		     : "memory");
}
DEVICE void ldmatrix_x2_trans(u32 r[2], const void *row)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
		     : "=r"(r[0]), "=r"(r[1])
		     : "r"(shared_address(row))
		     : "memory");
}

/* c += a b: m16n8k16, fp32 accumulators. Fragments as PTX defines them. */
DEVICE void mma_f16(float c[4], const u32 a[4], const u32 b[2])
{
	asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
	    "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
	    : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
	    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
DEVICE void mma_bf16(float c[4], const u32 a[4], const u32 b[2])
{
	asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
	    "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
	    : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
	    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
/* m16n8k8; a and b rounded with f32_to_tf32. */
DEVICE void mma_tf32(float c[4], const u32 a[4], const u32 b[2])
{
	asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
	    "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
	    : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
	    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#endif
#endif
