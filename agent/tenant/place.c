// SPDX-License-Identifier: Apache-2.0
#include "agent/tenant/place.h"

int place_choose(const struct place_load *devices, unsigned nr)
{
	uint64_t most = 0;
	int best = -1;

	for (unsigned i = 0; i < nr; i++) {
		if (!devices[i].gone && devices[i].free_bytes > most)
			most = devices[i].free_bytes;
	}
	for (unsigned i = 0; i < nr; i++) {
		if (devices[i].gone || devices[i].free_bytes < most - most / 8)
			continue;
		if (best < 0 || devices[i].tenants < devices[best].tenants)
			best = (int)i;
	}
	return best;
}
