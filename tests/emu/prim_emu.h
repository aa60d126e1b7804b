/* SPDX-License-Identifier: Apache-2.0 */
/* prim.cuh for a machine without a GPU: the same names as C++ (see emu.h). */
#ifndef OOO_PRIM_EMU_H
#define OOO_PRIM_EMU_H

#include <math.h>
#include <string.h>
#include <time.h>

#include "tests/emu/emu.h"
#include "tests/emu/numbers.h"

#define DEVICE static inline __attribute__((unused))
#define KERNEL_FN(symbol, threads, blocks)                                                         \
	static void symbol(const struct cuda_launch &launch);                                      \
	static emu::kernel symbol##_kernel(#symbol, symbol, threads);                              \
	static void symbol([[maybe_unused]] const struct cuda_launch &launch)
#define SHARED(type, name, n)                                                                      \
	static const char name##_key = 0;                                                          \
	type(&name)[n] = *(type(*)[n])emu::shared_static(&name##_key, sizeof(type) * (n), #name)
#define SHARED_DYNAMIC(name) u8 *const name = (u8 *)emu::shared_dynamic()

#define __restrict__ __restrict

/* One line a primitive, as in prim.cuh. */
/* clang-format off */

DEVICE u32 thread_id() { return emu::here().thread; }
DEVICE u32 block_id() { return emu::here().block; }
DEVICE u32 grid_size() { return emu::here().grid; }
DEVICE u32 block_threads() { return emu::here().threads; }

DEVICE void block_sync() { emu::block_barrier(); }

/* ---- warps ------------------------------------------------------------------------------------ */

struct emu_shuffle {
	u32 in, out;
	int from;
};

/* What one lane does for all is no access of that lane's: the sanitizer does not look. */
#define EMU_WARP inline __attribute__((no_sanitize("thread")))

EMU_WARP void emu_all_sync(void *const *) {}
EMU_WARP void emu_all_shuffle(void *const *args)
{
	for (unsigned i = 0; i < emu::warp_lanes; i++) {
		emu_shuffle *s = (emu_shuffle *)args[i];

		s->out = ((emu_shuffle *)args[s->from & 31])->in;
	}
}
EMU_WARP void emu_all_ballot(void *const *args)
{
	u32 bits = 0;

	for (unsigned i = 0; i < emu::warp_lanes; i++)
		bits |= (((emu_shuffle *)args[i])->in & 1) << i;
	for (unsigned i = 0; i < emu::warp_lanes; i++)
		((emu_shuffle *)args[i])->out = bits;
}

DEVICE void warp_sync() { emu::warp_collective(emu_all_sync, NULL, "warp_sync", true); }
DEVICE u32 shfl(u32 x, int lane)
{
	emu_shuffle s = { x, 0, lane };

	emu::warp_collective(emu_all_shuffle, &s, "shfl");
	return s.out;
}
DEVICE u32 shfl_xor(u32 x, int mask) { return shfl(x, (int)(thread_id() & 31) ^ mask); }
DEVICE float shfl(float x, int lane) { return emu::float_of(shfl(emu::bits_of(x), lane)); }
DEVICE float shfl_xor(float x, int mask) { return emu::float_of(shfl_xor(emu::bits_of(x), mask)); }
DEVICE u32 warp_ballot(bool p)
{
	emu_shuffle s = { p, 0, 0 };

	emu::warp_collective(emu_all_ballot, &s, "warp_ballot");
	return s.out;
}

/* ---- memory ----------------------------------------------------------------------------------- */

struct alignas(16) vec4 {
	u32 x, y, z, w;
};

DEVICE vec4 load16(const void *p)
{
	vec4 v;

	emu::need_aligned(p, 16, "load16");
	memcpy(&v, p, sizeof(v));
	return v;
}
DEVICE void store16(void *p, vec4 v)
{
	emu::need_aligned(p, 16, "store16");
	memcpy(p, &v, sizeof(v));
}
DEVICE vec4 load16_const(const void *p) { return load16(p); }

DEVICE u32 shared_address(const void *p) { return emu::shared_offset(p, 1, "shared_address"); }

DEVICE void cp_async16(void *dst, const void *src, bool valid)
{
	emu::need_aligned(dst, 16, "cp_async16, destination");
	emu::need_aligned(src, 16, "cp_async16, source");
	emu::shared_offset(dst, 16, "cp_async16");
	emu::copy_async(dst, src, 16, valid);
}
DEVICE void cp_async_commit() { emu::copy_commit(); }
template <int N> DEVICE void cp_async_wait() { emu::copy_wait(N); }

#if defined(__SANITIZE_THREAD__) /* it sees no fences; atomic_add orders what it has to */
DEVICE void fence_system() {}
#else
DEVICE void fence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
#endif
DEVICE void fence_device() { fence_system(); }
DEVICE u32 atomic_add(u32 *p, u32 n) { return __atomic_fetch_add(p, n, __ATOMIC_ACQ_REL); }
DEVICE void store_release_system(u32 *p, u32 v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
DEVICE void store_volatile(u8 *p, u8 v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
DEVICE void store_volatile(u64 *p, u64 v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
DEVICE u32 load_volatile(const u32 *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
DEVICE void grid_wait() { emu::grid_barrier(); }
DEVICE void grid_release() {}
DEVICE void trap() { emu::fail("trap"); }
DEVICE u64 globaltimer()
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

/* ---- numbers ---------------------------------------------------------------------------------- */

DEVICE float f16_to_f32(u16 h) { return emu::float_of_f16(h); }
DEVICE u16 f32_to_f16(float f) { return emu::f16_of_float(f); }
DEVICE float bf16_to_f32(u16 h) { return emu::float_of((u32)h << 16); }
DEVICE u16 f32_to_bf16(float f) { return emu::bf16_of_float(f); }
DEVICE u32 f32_to_tf32(float f) { return emu::tf32_of_float(f); }
DEVICE u32 float_bits(float f) { return emu::bits_of(f); }
DEVICE float bits_float(u32 u) { return emu::float_of(u); }
DEVICE u32 mul_hi(u32 a, u32 b) { return (u32)(((u64)a * b) >> 32); }
DEVICE float rsqrtf(float x) { return 1.0f / sqrtf(x); }

/* clang-format on */

/* ---- tensor cores ----------------------------------------------------------------------------- */

#include "tests/emu/tensor_emu.h"

#endif
