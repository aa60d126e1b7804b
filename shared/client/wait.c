/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for completions: spin, then sleep on the completion eventfd and the socket. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <time.h>

#include "shared/abi/ring_sync.h"
#include "shared/client/internal.h"

#define POLLS_PER_CLOCK  8  /* a look at the clock costs as much as some polls */
#define CLOCKS_PER_YIELD 16 /* some microseconds */

int ooo_arm(struct ooo_client *client)
{
	struct ooo_ring *ring = client->link.ring;

	if (client_is_gone(client))
		return ooo_inflight(client) ? 1 : -ECONNRESET;
	client->pol.armed = true;
	ring_store_relaxed(&ring->tenant_flags, OOO_RING_NEED_WAKEUP);
	/* Pairs with the agent's fence between publishing cq_tail and looking at tenant_flags. */
	ring_full_fence();
	return ring_load_acquire(&ring->cq_tail) != client->pol.cq_head;
}

int ooo_eventfd(const struct ooo_client *client)
{
	return client->epoll_fd;
}

/*
 * To sleep and be woken costs about as much as a short request takes, so where completions come
 * within SPIN_MAX_US it pays to wait awake for twice as long as they took of late. Where they do
 * not, a core would be burnt for nothing: after some waits in vain half as long each time, down to
 * not at all. One short wait is enough to try again. 0 and what is longer than SPIN_MAX_US is the
 * caller's own decision and holds as it is.
 */
uint32_t spin_budget(const struct spin *s, uint32_t asked_us)
{
	uint32_t twice = s->recent_us * 2, halvings;

	if (!asked_us || asked_us >= SPIN_MAX_US)
		return asked_us;
	if (s->in_vain >= SPIN_IN_VAIN) {
		halvings = s->in_vain - SPIN_IN_VAIN + 1;
		return halvings < 32 ? asked_us >> halvings : 0;
	}
	if (twice < asked_us)
		return asked_us;
	return twice < SPIN_MAX_US ? twice : SPIN_MAX_US;
}

void spin_learn(struct spin *s, uint64_t waited_us)
{
	uint32_t us = waited_us < SPIN_MAX_US ? (uint32_t)waited_us : SPIN_MAX_US;

	s->recent_us = (s->recent_us * 3 + us) / 4;
	if (waited_us <= SPIN_MAX_US)
		s->in_vain = 0;
	else if (s->in_vain < UINT32_MAX)
		s->in_vain++;
}

/*
 * Where more tenants wait awake than there are processors, one that waits in vain keeps a processor
 * from another whose completion is there: it lets others go first every few microseconds.
 */
static int spin_until(struct ooo_client *client, struct ooo_completion *done, int max,
		      uint64_t end_ns)
{
	unsigned looks = 0;

	do {
		if (++looks % CLOCKS_PER_YIELD == 0)
			sched_yield();
		for (int i = 0; i < POLLS_PER_CLOCK; i++) {
			int n = ooo_poll(client, done, max);

			if (n)
				return n;
			ring_cpu_relax();
		}
	} while (ooo_now_ns() < end_ns);
	return 0;
}

/* 0: something happened, or it is end_ns. -EINTR: a signal. */
static int sleep_until(const struct ooo_client *client, uint64_t end_ns)
{
	struct pollfd pfds[] = {
		{ .fd = client->link.cq_eventfd, .events = POLLIN },
		{ .fd = client->link.sock, .events = 0 }, /* hang-up is reported all the same */
	};
	struct timespec ts, *left = NULL;

	if (end_ns != UINT64_MAX) {
		uint64_t now = ooo_now_ns();
		uint64_t ns = end_ns > now ? end_ns - now : 0;

		ts.tv_sec = (time_t)(ns / 1000000000u);
		ts.tv_nsec = (long)(ns % 1000000000u);
		left = &ts;
	}
	return ppoll(pfds, 2, left, NULL) < 0 ? -errno : 0;
}

int ooo_wait(struct ooo_client *client, struct ooo_completion *done, int max, int64_t timeout_ns)
{
	struct spin *spin = &client->pol.spin;
	uint64_t start, end = UINT64_MAX, spin_end;
	uint32_t spin_us;
	int n, rc = 0;

	if (max <= 0)
		return -EINVAL;
	n = ooo_poll(client, done, max);
	if (n || !timeout_ns)
		return n;
	if (!ooo_inflight(client))
		return -ENOENT;
	start = ooo_now_ns();
	if (timeout_ns >= 0)
		end = start + (uint64_t)timeout_ns;
	spin_us = spin_budget(spin, client->spin_us);
	spin_end = start + spin_us * UINT64_C(1000);
	if (spin_us)
		n = spin_until(client, done, max, spin_end < end ? spin_end : end);
	while (!n && !rc && ooo_now_ns() < end) {
		if (ooo_arm(client) == 0)
			rc = sleep_until(client, end);
		n = ooo_poll(client, done, max);
	}
	spin_learn(spin, (ooo_now_ns() - start) / 1000);
	return n ? n : rc;
}
