/* SPDX-License-Identifier: Apache-2.0 */
/* The array of shared/abi/stages.h as a BPF map with BTF, and its name in a BPF file system. */
#ifndef OOO_AGENT_WATCH_PINNED_H
#define OOO_AGENT_WATCH_PINNED_H

#include <stddef.h>
#include <stdint.h>

#define PINNED_MAX_PATH 256
#define PINNED_FS       "/sys/fs/bpf"
#define PINNED_FOLDER   "ooo" /* in it */
#define PINNED_NAME     "stages"

/*
 * A map of nr values that can be mapped, pinned as bpf_fs/PINNED_FOLDER/name in the place of what an agent
 * that was killed left there; what such agents left below their own names goes as well. Returns the map,
 * with its path in pin, or with "" and the reason in why if it could not be pinned. -errno with a
 * sentence in why: no map.
 */
int pinned_make(uint32_t nr, const char *bpf_fs, const char *name, char pin[PINNED_MAX_PATH],
		char *why, size_t why_bytes);
void pinned_remove(const char *pin);

#endif
