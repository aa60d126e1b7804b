/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiled kernels inside the agent: one fatbin for each kernels/X.cu, made by cuda.mk and to be
 * given to cuModuleLoadData. A kernel's symbol is in exactly one of them. Built without nvcc, there
 * is none: nr_cuda_images is 0.
 */
#ifndef OOO_CUDA_IMAGE_H
#define OOO_CUDA_IMAGE_H

struct cuda_image {
	const char *name; /* "gemm" of kernels/gemm.cu */
	const void *data; /* 64-byte aligned */
	unsigned long bytes;
};

extern const struct cuda_image cuda_images[];
extern const unsigned nr_cuda_images;

#endif
