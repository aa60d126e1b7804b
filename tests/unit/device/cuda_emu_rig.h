/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The emulated driver by its own functions, without the device on top; for tests of the emulator.
 *
 * cuda_emu_ut also runs on a GPU, to show that the emulator does as it does: compile prim_test.cu
 * with nvcc -cubin, name the result in OOO_PRIM_IMAGE, and the driver in OOO_EMU_DRIVER.
 */
#ifndef OOO_CUDA_EMU_RIG_H
#define OOO_CUDA_EMU_RIG_H

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/device/cuda/task.h"
#include "tests/emu/driver/control.h"

typedef int result_t;                /* CUresult */
typedef unsigned long long device_t; /* CUdeviceptr */

static struct {
	void *library, *context, *module;
	char *image; /* of OOO_PRIM_IMAGE: this is a GPU */
	result_t (*init)(unsigned flags);
	result_t (*ctx_retain)(void **out, int device);
	result_t (*ctx_release)(int device);
	result_t (*ctx_reset)(int device);
	result_t (*ctx_set)(void *ctx);
	result_t (*module_load)(void **out, const void *image);
	result_t (*module_unload)(void *module);
	result_t (*get_function)(void **out, void *module, const char *name);
	result_t (*get_attribute)(int *value, unsigned attribute, void *function);
	result_t (*set_attribute)(void *function, unsigned attribute, int value);
	result_t (*alloc)(device_t *out, size_t bytes);
	result_t (*free)(device_t at);
	result_t (*mem_info)(size_t *free_bytes, size_t *total_bytes);
	result_t (*host_register)(void *p, size_t bytes, unsigned flags);
	result_t (*host_unregister)(void *p);
	result_t (*to_device)(device_t to, const void *from, size_t bytes, void *stream);
	result_t (*from_device)(void *to, device_t from, size_t bytes, void *stream);
	result_t (*set8)(device_t at, unsigned char value, size_t bytes, void *stream);
	result_t (*stream_create)(void **out, unsigned flags, int priority);
	result_t (*stream_destroy)(void *stream);
	result_t (*stream_query)(void *stream);
	result_t (*stream_sync)(void *stream);
	result_t (*launch)(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
			   unsigned by, unsigned bz, unsigned shared, void *stream, void **params,
			   void **extra);
	unsigned (*kernels)(void);
	unsigned long (*calls)(void);
	void (*fail_call)(unsigned long n, int result);
	void (*revive)(void);
	void (*hold)(int on);
	unsigned (*leaks)(void);
	const char *(*fault)(void);
	unsigned long (*memory_used)(void);
} emu;

static void *emu_symbol(const char *name)
{
	void *p = dlsym(emu.library, name);

	if (!p && (!emu.image || strncmp(name, "ooo_", 4) != 0))
		fail_msg("%s is not in the emulated driver", name);
	return p;
}

static void emu_symbols(void)
{
	const struct {
		void *to;
		const char *name;
	} all[] = {
		{ &emu.init, "cuInit" },
		{ &emu.ctx_retain, "cuDevicePrimaryCtxRetain" },
		{ &emu.ctx_release, "cuDevicePrimaryCtxRelease_v2" },
		{ &emu.ctx_reset, "cuDevicePrimaryCtxReset_v2" },
		{ &emu.ctx_set, "cuCtxSetCurrent" },
		{ &emu.module_load, "cuModuleLoadData" },
		{ &emu.module_unload, "cuModuleUnload" },
		{ &emu.get_function, "cuModuleGetFunction" },
		{ &emu.get_attribute, "cuFuncGetAttribute" },
		{ &emu.set_attribute, "cuFuncSetAttribute" },
		{ &emu.alloc, "cuMemAlloc_v2" },
		{ &emu.free, "cuMemFree_v2" },
		{ &emu.mem_info, "cuMemGetInfo_v2" },
		{ &emu.host_register, "cuMemHostRegister_v2" },
		{ &emu.host_unregister, "cuMemHostUnregister" },
		{ &emu.to_device, "cuMemcpyHtoDAsync_v2" },
		{ &emu.from_device, "cuMemcpyDtoHAsync_v2" },
		{ &emu.set8, "cuMemsetD8Async" },
		{ &emu.stream_create, "cuStreamCreateWithPriority" },
		{ &emu.stream_destroy, "cuStreamDestroy_v2" },
		{ &emu.stream_query, "cuStreamQuery" },
		{ &emu.stream_sync, "cuStreamSynchronize" },
		{ &emu.launch, "cuLaunchKernel" },
		{ &emu.kernels, "ooo_emulated_kernels" },
		{ &emu.calls, "ooo_emu_calls" },
		{ &emu.fail_call, "ooo_emu_fail" },
		{ &emu.revive, "ooo_emu_revive" },
		{ &emu.hold, "ooo_emu_hold" },
		{ &emu.leaks, "ooo_emu_leaks" },
		{ &emu.fault, "ooo_emu_fault" },
		{ &emu.memory_used, "ooo_emu_memory_used" },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		void *p = emu_symbol(all[i].name);

		memcpy(all[i].to, &p, sizeof(p));
	}
}

/* The image of the test kernels; the emulator has its own and takes any. */
static char *emu_read_image(const char *path)
{
	char *image = calloc(1, 4 << 20);
	FILE *file = fopen(path, "rb");

	assert_non_null(image);
	if (!file || fread(image, 1, 4 << 20, file) == 0)
		fail_msg("%s cannot be read", path);
	fclose(file);
	return image;
}

static int emu_open(void **state)
{
	const char *path = getenv("OOO_EMU_DRIVER"), *image = getenv("OOO_PRIM_IMAGE");

	(void)state;
	if (image && *image)
		emu.image = emu_read_image(image);
	emu.library = dlopen(path ? path : "build/emu/libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!emu.library)
		fail_msg("%s", dlerror());
	emu_symbols();
	assert_int_equal(emu.init(0), 0);
	assert_int_equal(emu.ctx_retain(&emu.context, 0), 0);
	assert_int_equal(emu.ctx_set(emu.context), 0);
	assert_int_equal(emu.module_load(&emu.module, emu.image ? emu.image : "any"), 0);
	return 0;
}

static int emu_close(void **state)
{
	unsigned leaks = 0;

	(void)state;
	assert_int_equal(emu.module_unload(emu.module), 0);
	if (!emu.image)
		leaks = emu.leaks();
	assert_int_equal(emu.ctx_release(0), 0);
	if (!emu.image)
		assert_int_equal(emu.leaks(), leaks);
	free(emu.image);
	dlclose(emu.library);
	return 0;
}

/* A launch of a kernel of prim_test.cu on the default stream. */
static result_t emu_start(const char *kernel, unsigned blocks, unsigned threads, unsigned shared,
			  const struct cuda_launch *launch)
{
	struct cuda_launch copy = *launch;
	void *params[] = { &copy }, *function;

	assert_int_equal(emu.get_function(&function, emu.module, kernel), 0);
	return emu.launch(function, blocks, 1, 1, threads, 1, 1, shared, NULL, params, NULL);
}

/* Run it: in_bytes from in, out_bytes to out (as many, zero before, as out is large). */
static result_t emu_run(const char *kernel, unsigned blocks, unsigned threads, unsigned shared,
			uint32_t seq, const void *in, size_t in_bytes, void *out, size_t out_bytes)
{
	struct cuda_launch launch = { .seq = seq };
	device_t from, to;
	result_t result;

	assert_int_equal(emu.alloc(&from, in_bytes), 0);
	assert_int_equal(emu.alloc(&to, out_bytes), 0);
	assert_int_equal(emu.to_device(from, in, in_bytes, NULL), 0);
	memset(out, 0, out_bytes);
	assert_int_equal(emu.to_device(to, out, out_bytes, NULL), 0);
	launch.record = from;
	launch.progress = to;
	result = emu_start(kernel, blocks, threads, shared, &launch);
	if (result == 0)
		result = emu.from_device(out, to, out_bytes, NULL);
	if (result == 0)
		result = emu.stream_sync(NULL);
	if (result == 0) {
		assert_int_equal(emu.free(from), 0);
		assert_int_equal(emu.free(to), 0);
	}
	return result;
}

#endif
