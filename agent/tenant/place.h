/* SPDX-License-Identifier: Apache-2.0 */
/* Which device a new tenant goes to. */
#ifndef OOO_AGENT_PLACE_H
#define OOO_AGENT_PLACE_H

#include <stdbool.h>
#include <stdint.h>

struct place_load {
	bool gone;
	uint64_t free_bytes; /* of its memory */
	uint32_t tenants;    /* placed on it */
};

/*
 * The index of the device to take, or -1 if all are gone. Memory first: a tenant stays where it
 * was placed, and cannot load what does not fit. What differs by less than an eighth counts as
 * equal; among equals the one with the fewest tenants, then the first.
 */
int place_choose(const struct place_load *devices, unsigned nr);

#endif
