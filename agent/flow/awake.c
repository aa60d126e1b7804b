// SPDX-License-Identifier: Apache-2.0
/*
 * Awake tenants are the ones whose rings fetch looks at: those that submitted, or were sent a
 * completion, in the last AWAKE_NS. The others doze: their ring says NEED_WAKEUP, so that the next
 * submission writes the tenant's eventfd, and a turn does nothing for them, however many they are.
 *
 * A tenant in a closed loop stays awake: its completion counts, so what it submits next costs
 * neither side a system call. What a dozing tenant submits is found within WAKE_POLL_NS, at once if
 * the dispatcher sleeps.
 */
#include <sys/epoll.h>

#include "agent/flow/flow.h"
#include "shared/abi/ring_sync.h"

#define AWAKE_NS     500000
#define WAKE_POLL_NS 20000 /* a busy dispatcher looks for wake-ups this often: 1 % of its time */
#define WAKE_EVENTS  64

static void append(struct dispatcher *d, struct tenant *t)
{
	t->awake = true;
	t->awake_next = NULL;
	t->awake_prev = d->awake_tail;
	if (d->awake_tail)
		d->awake_tail->awake_next = t;
	else
		d->awake = t;
	d->awake_tail = t;
}

static void take_out(struct dispatcher *d, struct tenant *t)
{
	t->awake = false;
	if (t->awake_prev)
		t->awake_prev->awake_next = t->awake_next;
	else
		d->awake = t->awake_next;
	if (t->awake_next)
		t->awake_next->awake_prev = t->awake_prev;
	else
		d->awake_tail = t->awake_prev;
	t->awake_next = t->awake_prev = NULL;
}

/* Without an eventfd it is this process that wakes it (awake_touch): nothing to poll for. */
static void count_dozing(struct dispatcher *d, const struct tenant *t, int by)
{
	if (t->sq_eventfd >= 0)
		d->nr_dozing += (uint32_t)by;
}

void awake_add(struct dispatcher *d, struct tenant *t)
{
	t->active_ns = d->now_ns;
	append(d, t);
}

void awake_remove(struct dispatcher *d, struct tenant *t)
{
	if (t->awake)
		take_out(d, t);
	else if (t->dozing)
		count_dozing(d, t, -1);
	t->dozing = false;
}

void awake_touch(struct dispatcher *d, struct tenant *t)
{
	t->active_ns = d->now_ns;
	if (!t->dozing)
		return;
	t->dozing = false;
	count_dozing(d, t, -1);
	ring_store_relaxed(&t->ring.ring->agent_flags, 0);
	append(d, t);
}

static bool ring_empty(const struct tenant *t)
{
	return ring_load_acquire(&t->ring.ring->sq_tail) == t->ring.sq_head;
}

void awake_expire(struct dispatcher *d, struct tenant *t)
{
	if (d->now_ns - t->active_ns < AWAKE_NS)
		return;
	ring_store_relaxed(&t->ring.ring->agent_flags, OOO_RING_NEED_WAKEUP);
	/* Pairs with the tenant's fence between publishing sq_tail and reading agent_flags: either it
	 * sees the flag and writes the eventfd, or its submission is seen here. */
	ring_full_fence();
	if (!ring_empty(t)) {
		ring_store_relaxed(&t->ring.ring->agent_flags, 0);
		return;
	}
	take_out(d, t);
	t->dozing = true;
	count_dozing(d, t, 1);
}

bool awake_pending(const struct dispatcher *d)
{
	for (const struct tenant *t = d->awake; t; t = t->awake_next) {
		if (!ring_empty(t))
			return true;
	}
	return false;
}

void awake_need_wakeup(struct dispatcher *d, uint32_t flags)
{
	for (struct tenant *t = d->awake; t; t = t->awake_next)
		ring_store_relaxed(&t->ring.ring->agent_flags, flags);
}

unsigned awake_wait(struct dispatcher *d, int timeout_ms)
{
	struct epoll_event events[WAKE_EVENTS];
	/* Edge-triggered: eventfds are never read, each write is an event of its own. A tenant's leaves
	 * the set before the tenant goes, so what is reported here is there. */
	int n = epoll_wait(d->epoll_fd, events, WAKE_EVENTS, timeout_ms);

	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr) /* NULL: mail */
			awake_touch(d, events[i].data.ptr);
	}
	/* There may be more: look again in the next turn. */
	d->wake_poll_ns = n == WAKE_EVENTS ? 0 : d->now_ns + WAKE_POLL_NS;
	return n > 0 ? (unsigned)n : 0;
}

void awake_poll(struct dispatcher *d)
{
	/* A virtual clock stands still while the device has nothing to do. */
	if (d->nr_dozing && (d->now_ns >= d->wake_poll_ns || d->caps->virtual_clock))
		awake_wait(d, 0);
}
