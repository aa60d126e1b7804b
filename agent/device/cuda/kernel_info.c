// SPDX-License-Identifier: Apache-2.0
#include "agent/device/cuda/cuda.h"

const struct cuda_kernel_info cuda_kernel_info[NR_CUDA_KERNELS] = {
#define KERNEL(NAME, image, symbol, threads, shared_bytes) { image, symbol, threads, shared_bytes },
#include "agent/device/cuda/kernels.def"
#undef KERNEL
};
