/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OOO_CUDA_ENCODE_WINDOW_H
#define OOO_CUDA_ENCODE_WINDOW_H

#include "agent/device/cuda/cuda.h"

/* encode_resize.c; layouts and sizes have been checked. */
int encode_resize(struct cuda_plan *plan, const struct step *step, char *why, size_t why_bytes);

#endif
