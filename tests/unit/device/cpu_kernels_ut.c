/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain kernels against double precision, plain and channels last, with post-operations, cut
 * into chunks. tests/unit/device/cpu_kernels_rig.h checks what holds for all of them.
 */
#include "tests/unit/device/kernel_cases.h"

#define CASE(function, exact) cmocka_unit_test(function),

int main(void)
{
	const struct CMUnitTest tests[] = { KERNEL_CASES(CASE) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
