// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/ranks.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "agent/tenant/tenant.h"

#define WAYS 4 /* children: half a level for twice the comparisons, all in one or two cache lines */

int ranks_reserve(struct ranks *h, uint32_t room)
{
	struct rank *at;

	if (room <= h->room)
		return 0;
	at = realloc(h->at, room * sizeof(*at));
	if (!at)
		return -ENOMEM;
	h->at = at;
	h->room = room;
	return 0;
}

void ranks_free(struct ranks *h)
{
	free(h->at);
	*h = (struct ranks){ 0 };
}

static bool before(const struct rank *a, const struct rank *b)
{
	if (a->key != b->key)
		return a->key < b->key;
	return a->seq < b->seq;
}

static void put(struct ranks *h, uint32_t i, const struct rank *r)
{
	h->at[i] = *r;
	r->queue->index = i;
}

/* There is a hole at i: r goes there or further up. */
static void sift_up(struct ranks *h, uint32_t i, const struct rank *r)
{
	while (i) {
		uint32_t parent = (i - 1) / WAYS;

		if (!before(r, &h->at[parent]))
			break;
		put(h, i, &h->at[parent]);
		i = parent;
	}
	put(h, i, r);
}

static uint32_t first_child(const struct ranks *h, uint32_t i)
{
	uint32_t child = i * WAYS + 1, end = child + WAYS, first = child;

	if (end > h->nr)
		end = h->nr;
	for (child++; child < end; child++) {
		if (before(&h->at[child], &h->at[first]))
			first = child;
	}
	return first;
}

/* There is a hole at i: r goes there or further down. */
static void sift_down(struct ranks *h, uint32_t i, const struct rank *r)
{
	while (i * WAYS + 1 < h->nr) {
		uint32_t child = first_child(h, i);

		if (!before(&h->at[child], r))
			break;
		put(h, i, &h->at[child]);
		i = child;
	}
	put(h, i, r);
}

static void sift(struct ranks *h, uint32_t i, const struct rank *r)
{
	if (i && before(r, &h->at[(i - 1) / WAYS]))
		sift_up(h, i, r);
	else
		sift_down(h, i, r);
}

void ranks_insert(struct ranks *h, struct tenant_queue *q, uint64_t key)
{
	const struct rank r = { .key = key, .seq = h->seq++, .queue = q };

	sift_up(h, h->nr++, &r);
}

void ranks_remove(struct ranks *h, struct tenant_queue *q)
{
	const struct rank last = h->at[--h->nr];

	if (last.queue != q)
		sift(h, q->index, &last);
}

void ranks_move(struct ranks *h, struct tenant_queue *q, uint64_t key)
{
	const struct rank r = { .key = key, .seq = h->seq++, .queue = q };

	sift(h, q->index, &r);
}
