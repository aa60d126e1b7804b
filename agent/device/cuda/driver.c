// SPDX-License-Identifier: Apache-2.0
/* The driver's library: found, checked, and its functions in one table. */
#include "agent/device/cuda/driver.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/device/cuda/cuda.h"

#define DEFAULT_LIBRARY "libcuda.so.1"

enum need {
	OPTIONAL,
	REQUIRED
};

static const struct row {
	const char *name, *symbol;
	int version;
	enum need need;
	size_t off; /* in struct cuda_driver */
} rows[] = {
#define DRIVER_FN(name, symbol, version, need, args)                                               \
	{ #name, symbol, version, need, offsetof(struct cuda_driver, name) },
#include "agent/device/cuda/driver.def"
};

#define NR_ROWS (sizeof(rows) / sizeof(rows[0]))

static const struct {
	CUresult result;
	enum error_scope scope;
	const char *name;
} results[] = {
#define DRIVER_RESULT(name, value, scope) { name, scope, #name },
#include "agent/device/cuda/driver.def"
};

#define NR_RESULTS (sizeof(results) / sizeof(results[0]))

/* One that this list does not have yet is taken for the worst that can be mended. */
enum error_scope cuda_scope(CUresult result)
{
	for (size_t i = 0; i < NR_RESULTS; i++) {
		if (results[i].result == result)
			return results[i].scope;
	}
	return SCOPE_CONTEXT;
}

static const char *result_name(CUresult result)
{
	for (size_t i = 0; i < NR_RESULTS; i++) {
		if (results[i].result == result)
			return results[i].name;
	}
	return NULL;
}

const char *cuda_error_name(const struct cuda_driver *drv, CUresult result)
{
	static _Thread_local char buf[160];
	const char *name = result_name(result), *text = NULL;

	if (drv && drv->cuGetErrorString && drv->cuGetErrorString(result, &text))
		text = NULL;
	if (name)
		snprintf(buf, sizeof(buf), "%s%s%s%s", name, text ? " (" : "", text ? text : "",
			 text ? ")" : "");
	else
		snprintf(buf, sizeof(buf), "CUDA error %d%s%s%s", (int)result, text ? " (" : "",
			 text ? text : "", text ? ")" : "");
	return buf;
}

static void *function_at(const struct cuda_driver *drv, size_t off)
{
	void *fn;

	memcpy(&fn, (const char *)drv + off, sizeof(fn));
	return fn;
}

/* An optional function of a driver too old for it is as if it were not there. */
static int fill(struct cuda_driver *drv, const char *library, char *why, size_t why_bytes)
{
	for (size_t i = 0; i < NR_ROWS; i++) {
		void *fn = dlsym(drv->library, rows[i].symbol);

		if (!fn && rows[i].need == REQUIRED) {
			snprintf(why, why_bytes,
				 "%s: has no %s: a CUDA driver of %d.%d or later is needed",
				 library, rows[i].symbol, CUDA_MIN_DRIVER / 1000,
				 CUDA_MIN_DRIVER % 1000 / 10);
			return -ENODEV;
		}
		memcpy((char *)drv + rows[i].off, &fn, sizeof(fn));
	}
	return 0;
}

static void drop_newer(struct cuda_driver *drv)
{
	void *none = NULL;

	for (size_t i = 0; i < NR_ROWS; i++) {
		if (rows[i].need == OPTIONAL && rows[i].version > drv->version)
			memcpy((char *)drv + rows[i].off, &none, sizeof(none));
	}
	drv->partitions = true;
	for (size_t i = 0; i < NR_ROWS; i++) {
		if ((strstr(rows[i].name, "Green") || strstr(rows[i].name, "Resource")) &&
		    !function_at(drv, rows[i].off))
			drv->partitions = false;
	}
}

static int start(struct cuda_driver *drv, const char *library, char *why, size_t why_bytes)
{
	CUresult result = drv->cuDriverGetVersion(&drv->version);

	if (!result && drv->version < CUDA_MIN_DRIVER) {
		snprintf(why, why_bytes,
			 "%s: the driver is for CUDA %d.%d; %d.%d or later is needed", library,
			 drv->version / 1000, drv->version % 1000 / 10, CUDA_MIN_DRIVER / 1000,
			 CUDA_MIN_DRIVER % 1000 / 10);
		return -ENODEV;
	}
	if (!result)
		result = drv->cuInit(0);
	if (result == CUDA_ERROR_NO_DEVICE) {
		snprintf(why, why_bytes, "the NVIDIA driver finds no GPU");
		return -ENODEV;
	}
	if (result) {
		snprintf(why, why_bytes, "%s: the driver does not start: %s", library,
			 cuda_error_name(drv, result));
		return -ENODEV;
	}
	return 0;
}

int cuda_driver_open(struct cuda_driver *drv, const char *library, char *why, size_t why_bytes)
{
	const char *name = library ? library : DEFAULT_LIBRARY;
	int err;

	*drv = (struct cuda_driver){ 0 };
	/* A kernel's first launch must not load code: that waits for all that runs. */
	setenv("CUDA_MODULE_LOADING", "EAGER", 0);
	drv->library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	if (!drv->library && library)
		snprintf(why, why_bytes, "no NVIDIA driver (%s)", dlerror());
	else if (!drv->library)
		snprintf(why, why_bytes, "no NVIDIA driver (%s not found)", name);
	if (!drv->library)
		return -ENODEV;
	drv->emulated = dlsym(drv->library, "ooo_emulated_kernels") != NULL;
	err = fill(drv, name, why, why_bytes);
	if (!err)
		err = start(drv, name, why, why_bytes);
	if (!err)
		drop_newer(drv);
	return err;
}
