/* SPDX-License-Identifier: Apache-2.0 */
/* Elements of any type to and from fp32. Integers beyond 2^24 need a path of their own. */
#ifndef OOO_CUDA_VALUES_CUH
#define OOO_CUDA_VALUES_CUH

#include "agent/device/cuda/kernels/prim.cuh"
#include "shared/abi/op.h"

DEVICE u32 dtype_bytes(u32 dtype)
{
	switch (dtype) {
	case OOO_FP32:
	case OOO_INT32:
		return 4;
	case OOO_FP16:
	case OOO_BF16:
		return 2;
	case OOO_INT64:
		return 8;
	default:
		return 1;
	}
}

/* Element i of p: fp32, fp16 or bf16. */
DEVICE float load_f32(const void *p, u64 i, u32 dtype)
{
	switch (dtype) {
	case OOO_FP16:
		return f16_to_f32(((const u16 *)p)[i]);
	case OOO_BF16:
		return bf16_to_f32(((const u16 *)p)[i]);
	default:
		return ((const float *)p)[i];
	}
}

DEVICE void store_f32(void *p, u64 i, u32 dtype, float v)
{
	switch (dtype) {
	case OOO_FP16:
		((u16 *)p)[i] = f32_to_f16(v);
		break;
	case OOO_BF16:
		((u16 *)p)[i] = f32_to_bf16(v);
		break;
	default:
		((float *)p)[i] = v;
	}
}

#endif
