/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tenant used, counted by its dispatcher. Device time is the time of the bundles that the
 * device ran, each shared among its steps by what the device says that each took of it (on a GPU: by
 * tiles): the tenants' sum is the devices' busy time, to the nanosecond.
 */
#ifndef OOO_AGENT_WATCH_METER_H
#define OOO_AGENT_WATCH_METER_H

#include "agent/device/device.h"

/* One writer, the dispatcher; others read with stat_read(). */
struct tenant_meter {
	uint64_t device_ns;
	uint64_t requests;                  /* that ran to their end */
	uint64_t input_bytes, output_bytes; /* of these */
	uint64_t weight_bytes;              /* of the programs that were loaded */
};

/* A bundle's time on its way to the items, one after the other. */
struct meter_split {
	uint64_t took_ns, given_ns;
	uint64_t sum, seen; /* of weights: service times, and 1 each so that none is without */
};

static inline struct meter_split meter_split(const struct bundle *b)
{
	struct meter_split s = { .took_ns = b->end_ns - b->start_ns, .sum = b->nr_items };

	for (uint32_t i = 0; i < b->nr_items; i++)
		s.sum += b->items[i].service_ns;
	return s;
}

static inline uint64_t meter_next(struct meter_split *s, const struct bundle_item *item)
{
	uint64_t before = s->given_ns;

	s->seen += item->service_ns + 1ull;
	/* The last item's share is what is left. */
	s->given_ns = s->seen == s->sum
			      ? s->took_ns
			      : (uint64_t)((double)s->took_ns * (double)s->seen / (double)s->sum);
	return s->given_ns - before;
}

#endif
