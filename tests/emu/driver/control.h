/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the stand-in libcuda.so.1 exports beside the driver's functions: for tests, by dlsym.
 *
 * Its environment, read once:
 *
 *	OOO_EMU_ASYNC=1            a host thread for each stream; else work is done where it is submitted
 *	OOO_EMU_SEED=n             order of blocks and warps
 *	OOO_EMU_DEVICES=n          how many (1)
 *	OOO_EMU_MEMORY=bytes       of each device (4 GiB)
 *	OOO_EMU_SMS=n              multiprocessors (16)
 *	OOO_EMU_CAPABILITY=n       80, 90, ... (80)
 *	OOO_EMU_FAIL=n:result      the n-th call of the driver fails, counted from 1
 */
#ifndef OOO_EMU_CONTROL_H
#define OOO_EMU_CONTROL_H

#ifdef __cplusplus
extern "C" {
#endif

/* How many kernels there are; that the symbol is there says that this is no GPU's driver. */
unsigned ooo_emulated_kernels(void);

/* Calls of the driver so far, without those for names and versions. */
unsigned long ooo_emu_calls(void);
/* The n-th call from now on (1: the next) fails with this CUresult; 0 for n: none does. A result
 * that is fatal to a context on a GPU also is here. */
void ooo_emu_fail(unsigned long n, int result);
/* As in a process: once a context has died of an error, no other can be made. This is a new process. */
void ooo_emu_revive(void);
/* While on, streams take work but do not do it, as if the device hung. */
void ooo_emu_hold(int on);
/* Objects that were still there when their context was destroyed in good health. */
unsigned ooo_emu_leaks(void);
/* What the last kernel that failed did wrong; "" if none did. Valid until the next. */
const char *ooo_emu_fault(void);
/* Bytes of device memory in use, all devices. */
unsigned long ooo_emu_memory_used(void);

#ifdef __cplusplus
}
#endif
#endif
