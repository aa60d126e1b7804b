// SPDX-License-Identifier: Apache-2.0
/*
 * A bounded queue of many producers and one consumer after Dmitry Vyukov: each cell's number says
 * whose turn it is. A producer that is held up between taking a cell and filling it holds up the
 * consumer alone.
 */
#include "agent/control/event.h"

#include <string.h>
#include <time.h>

#include "agent/tenant/tenant.h"

#define MASK (EVENT_QUEUE - 1)

_Static_assert((EVENT_QUEUE & MASK) == 0, "positions are masked");

/* Cell i waits for the producer of position p (p & MASK == i) while its turn is p, and for the
 * consumer while it is p + 1. Stored less i, so that zeroed memory is an empty queue. */
static struct cell {
	uint64_t turn;
	struct event event;
} cells[EVENT_QUEUE];

static uint64_t tail; /* of the producers */
static uint64_t head; /* of the consumer */
static uint64_t lost;

static const char *const words[NR_EVENT_KINDS] = {
#define EVENT(NAME, word, help) word,
#include "shared/abi/events.def"
};

const char *event_word(uint32_t kind)
{
	return kind < NR_EVENT_KINDS ? words[kind] : "?";
}

static uint64_t turn_of(uint64_t at)
{
	/* Pairs with the release in pass(): the event as it was left. */
	return __atomic_load_n(&cells[at & MASK].turn, __ATOMIC_ACQUIRE) + (at & MASK);
}

static void pass(uint64_t at, uint64_t turn)
{
	/* Pairs with the acquire in turn_of(). */
	__atomic_store_n(&cells[at & MASK].turn, turn - (at & MASK), __ATOMIC_RELEASE);
}

static bool take_cell(uint64_t *at)
{
	*at = __atomic_load_n(&tail, __ATOMIC_RELAXED);
	for (;;) {
		uint64_t turn = turn_of(*at);

		if (turn < *at)
			return false; /* not yet taken since the last time round */
		if (turn > *at)
			*at = __atomic_load_n(&tail, __ATOMIC_RELAXED);
		else if (__atomic_compare_exchange_n(&tail, at, *at + 1, true, __ATOMIC_RELAXED,
						     __ATOMIC_RELAXED))
			return true;
	}
}

static void copy_text(char *to, size_t bytes, const char *from)
{
	size_t len = from ? strnlen(from, bytes - 1) : 0;

	if (len)
		memcpy(to, from, len);
	to[len] = '\0';
}

void event_post(enum event_kind kind, const struct tenant *t, uint32_t device, uint64_t value,
		const char *text)
{
	struct timespec now;
	struct event *e;
	uint64_t at;

	if (!take_cell(&at)) {
		__atomic_fetch_add(&lost, 1, __ATOMIC_RELAXED);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	e = &cells[at & MASK].event;
	e->at_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	e->kind = kind;
	e->value = value;
	e->device = device;
	e->tenant = t ? t->id : EVENT_NO_TENANT;
	e->uid = t ? t->uid : 0;
	copy_text(e->name, sizeof(e->name), t ? t->name : NULL);
	copy_text(e->text, sizeof(e->text), text);
	pass(at, at + 1);
}

bool event_take(struct event *out)
{
	if (turn_of(head) != head + 1)
		return false;
	*out = cells[head & MASK].event;
	pass(head, head + EVENT_QUEUE);
	head++;
	return true;
}

uint64_t event_take_lost(void)
{
	return __atomic_exchange_n(&lost, 0, __ATOMIC_RELAXED);
}
