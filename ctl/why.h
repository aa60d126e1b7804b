/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a request's time went, and to whom: its whole life, from submission to finish, is cut where
 * bundles begin and end, and each piece goes to one of the parts below. They add up to its latency.
 */
#ifndef OOO_CTL_WHY_H
#define OOO_CTL_WHY_H

#include "ctl/flight.h"

/* PART(NAME, "key", "in words") */
#define WHY_PART_LIST(PART)                                                                        \
	PART(OWN, "own_work", "its own work")                                                      \
	PART(COPY, "big_copy", "big copy")                                                         \
	PART(QUEUE, "own_queue", "its tenant's other requests")                                    \
	PART(NEIGHBOUR, "heavy_neighbour", "heavy neighbour")                                      \
	PART(STOPPED, "host_stopped",                                                              \
	     "host stall: the dispatcher was stopped, or waited in the kernel")                    \
	PART(HOG, "host_cpu_hog", "host stall: other processes had the dispatcher's processor")    \
	PART(READER, "slow_reader", "slow reader: the tenant's completions stood unread")          \
	PART(ROOM, "ring_full", "ring full: as many requests in flight as completion slots")       \
	PART(HOLD, "hold", "held back for company")                                                \
	PART(RING, "ring", "in the ring while the dispatcher did other things")                    \
	PART(WINDOW, "window", "fetched, with the device idle")                                    \
	PART(LAUNCH, "launch", "on its way to the device")                                         \
	PART(RETIRE, "retire", "done, and not yet seen to be")

enum why_part {
#define PART(NAME, key, words) WHY_##NAME,
	WHY_PART_LIST(PART)
#undef PART
	WHY_PARTS
};

#define WHY_MAX_OTHERS 64

/* Time that a request waited for another tenant's steps. */
struct why_other {
	uint32_t tenant;
	uint64_t ns;
	uint64_t copy_ns; /* of that, for steps that only move data; not in ns */
};

struct why {
	const struct flight_device *d;
	const struct ooo_record_request *r;
	uint64_t part_ns[WHY_PARTS];
	struct why_other others[WHY_MAX_OTHERS]; /* the last one may stand for several */
	unsigned nr_others;
	bool bundles_lost; /* some of its time's bundles are no longer recorded */
};

/* What the search for bundles needs to know of a device; prepare once after reading. */
struct why_index {
	struct ooo_record_event *stalls; /* in order, none overlaps another */
	size_t nr_stalls;
	uint64_t longest_ns; /* from a bundle's start to its retirement */
	uint64_t first_ns;   /* bundles that ended before are not recorded */
};

int why_prepare(const struct flight_device *d, struct why_index *index); /* 0 or -ENOMEM */
void why_release(struct why_index *index);
void why_explain(const struct flight_device *d, const struct why_index *index,
		 const struct ooo_record_request *r, struct why *out);
/* The part with most of its time. */
enum why_part why_largest(const struct why *w);
/* The other tenant with most of it; NULL: none. */
const struct why_other *why_heaviest(const struct why *w);

/* Is it one that the command is about? */
bool why_wanted(const struct command *cmd, const struct flight_device *d,
		const struct ooo_record_request *r, uint64_t now_ns);

const char *why_key(enum why_part part);
const char *why_words(enum why_part part);

#endif
