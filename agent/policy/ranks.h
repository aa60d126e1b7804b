/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tenants' queues by rank: a 4-ary heap in an array that holds the keys themselves, so that finding
 * a place among thousands of tenants touches a few cache lines and none of the tenants'. Equal keys
 * come out in the order of insertion, so that runs are reproducible.
 */
#ifndef OOO_AGENT_RANKS_H
#define OOO_AGENT_RANKS_H

#include <stddef.h>
#include <stdint.h>

struct tenant_queue;

struct rank {
	uint64_t key, seq;
	struct tenant_queue *queue; /* its index is where it stands */
};

struct ranks {
	struct rank *at;
	uint32_t nr, room;
	uint64_t seq;
};

/* Room for so many; -ENOMEM: as before. The only allocation. */
int ranks_reserve(struct ranks *h, uint32_t room);
void ranks_free(struct ranks *h);

void ranks_insert(struct ranks *h, struct tenant_queue *q, uint64_t key); /* there is room */
void ranks_remove(struct ranks *h, struct tenant_queue *q);               /* it stands there */
/* The same as remove and insert. */
void ranks_move(struct ranks *h, struct tenant_queue *q, uint64_t key);

/* The first; NULL: none. */
static inline const struct rank *ranks_first(const struct ranks *h)
{
	return h->nr ? h->at : NULL;
}

#endif
