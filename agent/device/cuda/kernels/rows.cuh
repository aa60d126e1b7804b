/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of 8 elements in registers; what rows*.cu and window.cu share. */
#ifndef OOO_CUDA_ROWS_CUH
#define OOO_CUDA_ROWS_CUH

#include "agent/device/cuda/kernels/launch.cuh"
#include "agent/device/cuda/kernels/values.cuh"

#define INFINITE bits_float(0x7f800000)

DEVICE bool aligned16(const void *p)
{
	return ((u64)p & 15) == 0;
}

DEVICE float half_of(u32 word, u32 high, u32 dtype)
{
	u16 h = (u16)(high ? word >> 16 : word);

	return dtype == OOO_FP16 ? f16_to_f32(h) : bf16_to_f32(h);
}

DEVICE u32 halves(float low, float high, u32 dtype)
{
	if (dtype == OOO_FP16)
		return (u32)f32_to_f16(low) | (u32)f32_to_f16(high) << 16;
	return (u32)f32_to_bf16(low) | (u32)f32_to_bf16(high) << 16;
}

DEVICE void unpack4(vec4 a, float v[4])
{
	v[0] = bits_float(a.x);
	v[1] = bits_float(a.y);
	v[2] = bits_float(a.z);
	v[3] = bits_float(a.w);
}

DEVICE vec4 pack4(const float v[4])
{
	vec4 a;

	a.x = float_bits(v[0]);
	a.y = float_bits(v[1]);
	a.z = float_bits(v[2]);
	a.w = float_bits(v[3]);
	return a;
}

/* Elements i .. i + 7 of p; wide: their address is a multiple of 16 bytes. */
DEVICE void load8(const void *p, u64 i, u32 dtype, bool wide, float v[8])
{
	if (!wide) {
#pragma unroll
		for (int k = 0; k < 8; k++)
			v[k] = load_f32(p, i + k, dtype);
	} else if (dtype == OOO_FP32) {
		vec4 a = load16((const float *)p + i), b = load16((const float *)p + i + 4);

		unpack4(a, v);
		unpack4(b, v + 4);
	} else {
		vec4 a = load16((const u16 *)p + i);

		v[0] = half_of(a.x, 0, dtype);
		v[1] = half_of(a.x, 1, dtype);
		v[2] = half_of(a.y, 0, dtype);
		v[3] = half_of(a.y, 1, dtype);
		v[4] = half_of(a.z, 0, dtype);
		v[5] = half_of(a.z, 1, dtype);
		v[6] = half_of(a.w, 0, dtype);
		v[7] = half_of(a.w, 1, dtype);
	}
}

DEVICE void store8(void *p, u64 i, u32 dtype, bool wide, const float v[8])
{
	if (!wide) {
#pragma unroll
		for (int k = 0; k < 8; k++)
			store_f32(p, i + k, dtype, v[k]);
	} else if (dtype == OOO_FP32) {
		store16((float *)p + i, pack4(v));
		store16((float *)p + i + 4, pack4(v + 4));
	} else {
		vec4 a;

		a.x = halves(v[0], v[1], dtype);
		a.y = halves(v[2], v[3], dtype);
		a.z = halves(v[4], v[5], dtype);
		a.w = halves(v[6], v[7], dtype);
		store16((u16 *)p + i, a);
	}
}

#endif
