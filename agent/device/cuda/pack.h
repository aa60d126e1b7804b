/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of the host on their way to the device: fp32, fp16, bf16. */
#ifndef OOO_CUDA_PACK_H
#define OOO_CUDA_PACK_H

#include <stdint.h>

float pack_load(const void *data, int64_t at, uint32_t dtype);
/* To the nearest, ties to even; too large for fp16 becomes infinite. */
void pack_store(void *to, uint64_t at, uint32_t dtype, float f);

#endif
