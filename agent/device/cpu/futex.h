/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OOO_AGENT_DEVICE_CPU_FUTEX_H
#define OOO_AGENT_DEVICE_CPU_FUTEX_H

#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Sleep while *word == value. May return early: the caller looks again. */
static inline void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
	syscall(SYS_futex, (uint32_t *)word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static inline void futex_wake(_Atomic uint32_t *word, uint32_t nr)
{
	syscall(SYS_futex, (uint32_t *)word, FUTEX_WAKE_PRIVATE, nr, NULL, NULL, 0);
}

#endif
