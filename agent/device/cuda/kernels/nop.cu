// SPDX-License-Identifier: Apache-2.0
/* Kernels that compute nothing: one for bundles without work, one that fails, for tests. */
#include "agent/device/cuda/kernels/launch.cuh"

KERNEL_FN(ooo_nop, 32, 1)
{
	tile_find(&launch);
	tile_finish(&launch);
}

/* Kills the context, as a bad address would. */
KERNEL_FN(ooo_trap, 32, 1)
{
	trap();
}
