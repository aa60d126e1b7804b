/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the driver's functions: which libraries and drivers it refuses, and in what words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/device/cuda/driver.c"

static char why[256];

static int fake_version;
static CUresult fake_result;

static CUresult get_version(int *version)
{
	*version = fake_version;
	return CUDA_SUCCESS;
}

static CUresult init(unsigned flags)
{
	assert_int_equal(flags, 0);
	return fake_result;
}

static CUresult error_string(CUresult result, const char **text)
{
	*text = "words of the driver";
	return result == CUDA_ERROR_NOT_FOUND ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

static struct cuda_driver fake(int version)
{
	struct cuda_driver drv = { 0 };

	/* Any address will do for functions that are not called. */
	for (size_t i = 0; i < NR_ROWS; i++) {
		void *p = &fake_version;

		memcpy((char *)&drv + rows[i].off, &p, sizeof(p));
	}
	drv.cuDriverGetVersion = get_version;
	drv.cuInit = init;
	drv.cuGetErrorString = error_string;
	drv.version = fake_version = version;
	return drv;
}

static void expect(int got, const char *word)
{
	assert_int_equal(got, -ENODEV);
	if (!strstr(why, word))
		fail_msg("\"%s\" does not say \"%s\"", why, word);
}

static void test_libraries(void **state)
{
	struct cuda_driver drv;

	expect(cuda_driver_open(&drv, "/nonexistent/libcuda.so.1", why, sizeof(why)),
	       "/nonexistent/libcuda.so.1");
	expect(cuda_driver_open(&drv, "libm.so.6", why, sizeof(why)), "has no cuInit");
	assert_non_null(strstr(why, "12.0"));
}

static void test_old_driver(void **state)
{
	struct cuda_driver drv = fake(11080);

	fake_result = CUDA_SUCCESS;
	expect(start(&drv, "lib", why, sizeof(why)), "for CUDA 11.8");
	drv = fake(CUDA_MIN_DRIVER);
	assert_int_equal(start(&drv, "lib", why, sizeof(why)), 0);
}

static void test_start(void **state)
{
	struct cuda_driver drv = fake(13000);

	fake_result = CUDA_ERROR_NO_DEVICE;
	expect(start(&drv, "lib", why, sizeof(why)), "finds no GPU");
	fake_result = CUDA_ERROR_SYSTEM_DRIVER_MISMATCH;
	expect(start(&drv, "lib", why, sizeof(why)), "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH");
	assert_non_null(strstr(why, "words of the driver"));
}

/* What a driver exports but is too old for is not used. */
static void test_optional(void **state)
{
	struct cuda_driver drv = fake(13000);

	drop_newer(&drv);
	assert_non_null(drv.cuFuncLoad);
	assert_true(drv.partitions);
	drv = fake(12040);
	drop_newer(&drv);
	assert_non_null(drv.cuFuncLoad);
	assert_null(drv.cuGreenCtxStreamCreate);
	assert_false(drv.partitions);
	drv = fake(12000);
	drop_newer(&drv);
	assert_null(drv.cuFuncLoad);
	assert_null(drv.cuGreenCtxCreate);
	assert_non_null(drv.cuLaunchKernel);
	assert_false(drv.partitions);
}

static void test_scopes(void **state)
{
	assert_int_equal(cuda_scope(CUDA_SUCCESS), SCOPE_NONE);
	assert_int_equal(cuda_scope(CUDA_ERROR_NOT_READY), SCOPE_NONE);
	assert_int_equal(cuda_scope(CUDA_ERROR_OUT_OF_MEMORY), SCOPE_REQUEST);
	assert_int_equal(cuda_scope(CUDA_ERROR_INVALID_VALUE), SCOPE_REQUEST);
	assert_int_equal(cuda_scope(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES), SCOPE_REQUEST);
	assert_int_equal(cuda_scope(CUDA_ERROR_ILLEGAL_ADDRESS), SCOPE_CONTEXT);
	assert_int_equal(cuda_scope(CUDA_ERROR_LAUNCH_FAILED), SCOPE_CONTEXT);
	assert_int_equal(cuda_scope(CUDA_ERROR_ECC_UNCORRECTABLE), SCOPE_CONTEXT);
	assert_int_equal(cuda_scope(CUDA_ERROR_DEINITIALIZED), SCOPE_DEVICE);
	assert_int_equal(cuda_scope(CUDA_ERROR_NO_DEVICE), SCOPE_DEVICE);
	assert_int_equal(cuda_scope((CUresult)12345), SCOPE_CONTEXT);
	for (size_t i = 0; i < NR_RESULTS; i++)
		assert_in_range(results[i].scope, SCOPE_NONE, SCOPE_DEVICE);
}

static void test_names(void **state)
{
	struct cuda_driver drv = fake(13000);

	assert_string_equal(cuda_error_name(&drv, CUDA_ERROR_OUT_OF_MEMORY),
			    "CUDA_ERROR_OUT_OF_MEMORY (words of the driver)");
	assert_string_equal(cuda_error_name(&drv, CUDA_ERROR_NOT_FOUND), "CUDA_ERROR_NOT_FOUND");
	assert_string_equal(cuda_error_name(NULL, CUDA_ERROR_UNKNOWN), "CUDA_ERROR_UNKNOWN");
	assert_string_equal(cuda_error_name(&drv, (CUresult)12345),
			    "CUDA error 12345 (words of the driver)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_libraries), cmocka_unit_test(test_old_driver),
		cmocka_unit_test(test_start),     cmocka_unit_test(test_optional),
		cmocka_unit_test(test_scopes),    cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
