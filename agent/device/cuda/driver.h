/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CUDA driver's interface, as much of it as the agent uses, by our own declarations: the agent
 * builds on machines without a toolkit and starts on machines without a driver. With the real cuda.h
 * included before, its types are taken instead; a unit test compares the two. C and C++.
 */
#ifndef OOO_CUDA_DRIVER_H
#define OOO_CUDA_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CUDA_MIN_DRIVER 12000 /* 1000 * major + 10 * minor */

#ifndef CUDA_VERSION

typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUgreenCtx_st *CUgreenCtx;
typedef struct CUdevResourceDesc_st *CUdevResourceDesc;

typedef struct CUuuid_st {
	char bytes[16];
} CUuuid;

typedef struct CUdevSmResource_st {
	unsigned smCount;
	unsigned minSmPartitionSize;
	unsigned smCoscheduledAlignment;
} CUdevSmResource;

/* Larger than the driver's of today: later ones may write more of it. */
typedef struct CUdevResource_st {
	unsigned type;
	unsigned char padding[92];
	union {
		CUdevSmResource sm;
		unsigned char oversize[48];
	};
} CUdevResource;

typedef enum cudaError_enum {
#define DRIVER_RESULT(name, value, scope) name = value,
#include "agent/device/cuda/driver.def"
} CUresult;

enum {
#define DRIVER_CONST(name, value) name = value,
#include "agent/device/cuda/driver.def"
};

typedef struct CUlaunchAttribute_st {
	unsigned id;
	char pad[4];
	union {
		char bytes[64];
		int programmaticStreamSerializationAllowed;
	} value;
} CUlaunchAttribute;

typedef struct CUlaunchConfig_st {
	unsigned gridDimX, gridDimY, gridDimZ;
	unsigned blockDimX, blockDimY, blockDimZ;
	unsigned sharedMemBytes;
	CUstream hStream;
	CUlaunchAttribute *attrs;
	unsigned numAttrs;
} CUlaunchConfig;

typedef unsigned CUdevice_attribute;
typedef unsigned CUfunction_attribute;
typedef unsigned CUdevResourceType;

#endif

struct cuda_driver {
#define DRIVER_FN(name, symbol, version, need, args) CUresult(*name) args;
#include "agent/device/cuda/driver.def"
	void *library;   /* dlopen's */
	int version;     /* 1000 * major + 10 * minor */
	bool emulated;   /* the stand-in of the tests: brings its own kernels */
	bool partitions; /* all that green contexts need is there */
};

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Open the driver's library (NULL: libcuda.so.1) and fill drv. 0, or -ENODEV with a sentence in why
 * that says what is missing. The library stays loaded when drv is closed: the driver does not stand
 * being unloaded.
 */
int cuda_driver_open(struct cuda_driver *drv, const char *library, char *why, size_t why_bytes);

/* "CUDA_ERROR_OUT_OF_MEMORY (out of memory)" of this thread's last call; never NULL. */
const char *cuda_error_name(const struct cuda_driver *drv, CUresult result);

#ifdef __cplusplus
}
#endif

#endif
