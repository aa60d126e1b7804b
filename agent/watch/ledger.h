/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of the period that runs: a fixed table, so that whoever adds to it allocates nothing. */
#ifndef OOO_AGENT_WATCH_LEDGER_H
#define OOO_AGENT_WATCH_LEDGER_H

#include <stdbool.h>

#include "shared/lib/usage.h"

#define LEDGER_ROWS  4096 /* the last one takes all that find no place */
#define LEDGER_SLOTS 8192 /* power of two */

struct ledger {
	struct usage_row rows[LEDGER_ROWS];
	uint16_t slots[LEDGER_SLOTS]; /* row + 1; 0 free */
	uint32_t nr;
	bool changed; /* since this was last cleared */
};

void ledger_clear(struct ledger *l);
/* The row of this tenant, new if need be. */
struct usage_row *ledger_row(struct ledger *l, uint32_t device, uint32_t uid, const char *name);
/* Share energy among a device's rows by the device time that each was billed since `before`, rows as
 * they were then (fewer, perhaps); without any, it is the row "(idle)"'s, of user 0. */
void ledger_energy(struct ledger *l, const uint64_t *before, uint32_t nr_before, uint32_t device,
		   uint64_t mj);

#endif
