// SPDX-License-Identifier: Apache-2.0
#include "agent/watch/ledger.h"

#include <string.h>

void ledger_clear(struct ledger *l)
{
	memset(l, 0, sizeof(*l));
}

static uint32_t hash(uint32_t device, uint32_t uid, const char *name)
{
	uint32_t h = 2166136261u ^ device * 31 ^ uid * 16777619u;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return h ^ h >> 15;
}

static struct usage_row *append(struct ledger *l, uint32_t device, uint32_t uid, const char *name)
{
	struct usage_row *row = &l->rows[l->nr++];

	row->device = device;
	row->uid = uid;
	memset(row->name, 0, sizeof(row->name));
	memcpy(row->name, name, strnlen(name, sizeof(row->name) - 1));
	return row;
}

struct usage_row *ledger_row(struct ledger *l, uint32_t device, uint32_t uid, const char *name)
{
	uint32_t at = hash(device, uid, name) % LEDGER_SLOTS;

	l->changed = true;
	for (; l->slots[at]; at = (at + 1) % LEDGER_SLOTS) {
		struct usage_row *row = &l->rows[l->slots[at] - 1];

		if (row->device == device && row->uid == uid && !strcmp(row->name, name))
			return row;
	}
	if (l->nr == LEDGER_ROWS)
		return &l->rows[LEDGER_ROWS - 1];
	if (l->nr == LEDGER_ROWS - 1)
		return append(l, device, 0, "(others)");
	l->slots[at] = (uint16_t)(l->nr + 1);
	return append(l, device, uid, name);
}

void ledger_energy(struct ledger *l, const uint64_t *before, uint32_t nr_before, uint32_t device,
		   uint64_t mj)
{
	uint64_t sum = 0, seen = 0, given = 0;
	uint32_t nr = l->nr;

	for (uint32_t i = 0; i < nr; i++) {
		if (l->rows[i].device == device)
			sum += l->rows[i].v.device_ns - (i < nr_before ? before[i] : 0);
	}
	if (!sum) {
		ledger_row(l, device, 0, "(idle)")->v.energy_mj += mj;
		return;
	}
	l->changed = true;
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t upto;

		if (l->rows[i].device != device)
			continue;
		seen += l->rows[i].v.device_ns - (i < nr_before ? before[i] : 0);
		upto = (uint64_t)((double)mj * (double)seen / (double)sum + 0.5);
		l->rows[i].v.energy_mj += upto - given;
		given = upto;
	}
}
