/* SPDX-License-Identifier: Apache-2.0 */
/* Walks, and elements of any type. */
#ifndef OOO_CUDA_MAP_CUH
#define OOO_CUDA_MAP_CUH

#include "agent/device/cuda/kernels/launch.cuh"
#include "agent/device/cuda/kernels/values.cuh"
#include "agent/device/cuda/task_map.h"

/* Element e of a walk: where the first K operands have it, relative to base. */
template <int K> DEVICE void walk_at(const struct map_dim *dims, u32 rank, u32 e, int *at)
{
	for (u32 d = rank - 1; d; d--) {
		const struct map_dim *dim = &dims[d];
		u32 q = div_fast(e, &dim->by), r = e - q * dim->by.d;

#pragma unroll
		for (int k = 0; k < K; k++)
			at[k] += (int)r * dim->stride[k];
		e = q;
	}
#pragma unroll
	for (int k = 0; k < K; k++)
		at[k] += (int)e * dims[0].stride[k];
}

/* Any element's bits. */
DEVICE u64 load_bits(const void *p, i64 at, u32 bytes)
{
	switch (bytes) {
	case 1:
		return ((const u8 *)p)[at];
	case 2:
		return ((const u16 *)p)[at];
	case 4:
		return ((const u32 *)p)[at];
	default:
		return ((const u64 *)p)[at];
	}
}

DEVICE void store_bits(void *p, i64 at, u32 bytes, u64 v)
{
	switch (bytes) {
	case 1:
		((u8 *)p)[at] = (u8)v;
		break;
	case 2:
		((u16 *)p)[at] = (u16)v;
		break;
	case 4:
		((u32 *)p)[at] = (u32)v;
		break;
	default:
		((u64 *)p)[at] = v;
	}
}

/* Copies that convert hold the fp32 value's bits; the others the element's. */
DEVICE u64 load_unit(const void *p, i64 at, u32 bytes, u32 dtype)
{
	return bytes ? load_bits(p, at, bytes) : float_bits(load_f32(p, (u64)at, dtype));
}

DEVICE void store_unit(void *p, i64 at, u32 bytes, u32 dtype, u64 v)
{
	if (bytes)
		store_bits(p, at, bytes, v);
	else
		store_f32(p, (u64)at, dtype, bits_float((u32)v));
}

#endif
