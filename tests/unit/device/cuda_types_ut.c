/* SPDX-License-Identifier: Apache-2.0 */
/* Our declarations of the driver's interface against the toolkit's cuda.h, where there is one. The
 * comparison is the compiler's; the test says whether it took place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#if __has_include(<cuda.h>)
#include <cuda.h>
#endif

#if defined(CUDA_VERSION) && CUDA_VERSION >= 13000 /* earlier ones have not all of it */

#include "agent/device/cuda/driver.h"

#define DRIVER_FN(name, symbol, version, need, args)                                               \
	_Static_assert(__builtin_types_compatible_p(__typeof__(&(name)), CUresult(*) args),        \
		       "parameters of " #name);
#define DRIVER_CONST(name, value)         _Static_assert((name) == (value), #name);
#define DRIVER_RESULT(name, value, scope) _Static_assert((name) == (value), #name);
#include "agent/device/cuda/driver.def"

/* What the enums' own list does not cover. */
_Static_assert(sizeof(CUdevResource) == 144 && sizeof(CUuuid) == 16, "as in driver.h");
_Static_assert(offsetof(CUdevResource, sm) == 96, "as in driver.h");
_Static_assert(sizeof(CUdeviceptr) == 8 && sizeof(CUdevice) == 4, "as in driver.h");

/* The symbol's version is that of the declaration: the header renames the function to it. */
#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

static void test_symbols(void **state)
{
	static const struct {
		const char *renamed, *symbol;
	} rows[] = {
#define DRIVER_FN(name, symbol, version, need, args) { TEXT(name), symbol },
#include "agent/device/cuda/driver.def"
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(rows[i].renamed, rows[i].symbol);
}

#else

static void test_symbols(void **state)
{
	printf("no cuda.h of CUDA 13 or later here: nothing is compared\n");
	skip();
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_symbols) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
