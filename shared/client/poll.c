/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Completions: one thread at a time, no lock. Real ones come from the completion queue; when the
 * agent is gone, what is still in flight is reported here, each exactly once: an entry is reported
 * only while its generation is odd, and reporting makes it even.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "shared/abi/ring_sync.h"
#include "shared/client/internal.h"
#include "shared/lib/probe.h"

#define LOOK_EVERY_NS 1000000 /* how often a poll that finds nothing looks at the socket */

bool client_is_gone(const struct ooo_client *client)
{
	return ring_load_acquire(&client->gone) != 0;
}

void client_mark_gone(struct ooo_client *client)
{
	const struct ooo_ring *ring = client->link.ring;

	/* Under the lock: a submitter is either before this, and reported, or sees it. */
	pthread_mutex_lock(&client->lock);
	if (client_is_gone(client)) {
		;
	} else if (ring_load_acquire(&ring->agent_state) == OOO_AGENT_DROPPED) {
		snprintf(client->gone_text, sizeof(client->gone_text),
			 "the agent dropped this tenant (%s): ooo_reconnect() starts afresh",
			 ooo_strstatus(ring_load_relaxed(&ring->drop_reason)));
		ring_store_release(&client->gone, OOO_DROPPED);
	} else {
		snprintf(client->gone_text, sizeof(client->gone_text),
			 "the agent at %s went away: ooo_reconnect() once it is back",
			 client->opts.socket_path);
		ring_store_release(&client->gone, OOO_AGENT_GONE);
	}
	pthread_mutex_unlock(&client->lock);
}

static uint64_t coarse_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

bool client_look(struct ooo_client *client)
{
	if (client_is_gone(client))
		return true;
	client->pol.looked_ns = coarse_ns();
	if (!client_link_lost(&client->link))
		return false;
	client_mark_gone(client);
	return true;
}

void client_disarm(struct ooo_client *client)
{
	char wakeups[256]; /* more than the agent leaves unread */
	ssize_t n;

	ring_store_relaxed(&client->link.ring->tenant_flags, 0);
	n = read(client->link.cq_eventfd, wakeups,
		 sizeof(wakeups)); /* -EAGAIN: it was not written */
	(void)n;
	client->pol.armed = false;
}

/* The entry goes back; the caller publishes free_tail and nr_reaped behind cq_head. */
static void retire(struct ooo_client *c, uint32_t index, uint32_t nr)
{
	struct entry *entry = &c->entries[index];
	struct ooo_binding *binding = entry->binding;

	c->free_ring[(c->pol.free_tail + nr) & (c->nr_entries - 1)] = index;
	ring_store_relaxed(&entry->gen, entry->gen + 1);
	ring_store_release(&binding->nr_reaped, binding->nr_reaped + 1);
}

static void give_back(struct ooo_client *c, uint32_t nr)
{
	ring_store_release(&c->pol.free_tail, c->pol.free_tail + nr);
	ring_store_release(&c->pol.nr_reaped, c->pol.nr_reaped + nr);
}

static void probe_completion(const struct ooo_client *c, const struct ooo_completion *done)
{
	uint64_t now_ns;

	if (!probe_reaped_wanted())
		return;
	now_ns = ooo_now_ns();
	probe_reaped((uintptr_t)c, done->cookie, now_ns - done->submit_ns,
		     now_ns > done->finish_ns ? now_ns - done->finish_ns : 0);
}

/* A completion that belongs to a request in flight fills *done; others are ignored. */
static bool take(struct ooo_client *c, const struct ooo_cqe *cqe, uint32_t nr,
		 struct ooo_completion *done)
{
	uint64_t cookie = cqe->cookie;
	uint32_t index = (uint32_t)cookie;
	uint32_t gen = (uint32_t)(cookie >> 32);
	const struct entry *entry;

	if (index >= c->nr_entries)
		return false;
	entry = &c->entries[index];
	if (!(gen & 1) || ring_load_acquire(&entry->gen) != gen)
		return false;
	*done = (struct ooo_completion){
		.cookie = entry->cookie,
		.status = cqe->status,
		.width = (float)cqe->width / 16,
		.submit_ns = entry->submit_ns,
		.fetch_ns = cqe->fetch_ns,
		.start_ns = cqe->start_ns,
		.finish_ns = cqe->finish_ns,
		.service_ns = cqe->service_ns,
		.predicted_ns = cqe->predicted_ns,
	};
	probe_completion(c, done);
	retire(c, index, nr);
	return true;
}

static bool look_at_queue(struct ooo_client *c)
{
	struct poll_side *p = &c->pol;
	/* Pairs with the agent's release of cq_tail after it filled the slots. */
	uint32_t tail = ring_load_acquire(&c->link.ring->cq_tail);

	if (tail - p->cq_head > c->link.cq_entries) { /* not an agent's index: trust it no more */
		client_mark_gone(c);
		return false;
	}
	if (tail - p->cq_head >= c->link.sq_entries)
		ring_store_relaxed(&c->link.ring->read_us, (uint32_t)(ooo_now_ns() / 1000));
	p->cq_tail_cached = tail;
	return tail != p->cq_head;
}

static int reap(struct ooo_client *c, struct ooo_completion *done, int max)
{
	struct poll_side *p = &c->pol;
	uint32_t head = p->cq_head, nr_cancels = 0;
	int n = 0;

	if (head == p->cq_tail_cached && !look_at_queue(c))
		return 0;
	while (n < max && head != p->cq_tail_cached) {
		const struct ooo_cqe *cqe = &c->link.cqes[head++ & (c->link.cq_entries - 1)];

		if (cqe->flags & OOO_CQE_CANCEL)
			nr_cancels++;
		else if (take(c, cqe, (uint32_t)n, &done[n]))
			n++;
	}
	p->cq_head = head;
	/*
	 * The queue's room before the entries and cancels that it belongs to: whoever submits with
	 * one of these does so behind this store, so the agent always finds room and never has to
	 * sleep for it. That is why there is no fence and no wake-up here.
	 */
	ring_store_release(&c->link.ring->cq_head, head);
	ring_store_release(&p->nr_cancels_done, p->nr_cancels_done + nr_cancels);
	give_back(c, (uint32_t)n);
	return n;
}

/* Report what will never complete. Nothing is submitted any more, so the table only empties. */
static int reap_lost(struct ooo_client *c, struct ooo_completion *done, int max)
{
	uint32_t status = ring_load_acquire(&c->gone);
	uint32_t *i = &c->pol.lost_cursor;
	int n = 0;

	for (; n < max && *i < c->nr_entries; ++*i) {
		const struct entry *entry = &c->entries[*i];

		if (!(ring_load_acquire(&entry->gen) & 1))
			continue;
		done[n] = (struct ooo_completion){ .cookie = entry->cookie,
						   .status = status,
						   .submit_ns = entry->submit_ns };
		retire(c, *i, (uint32_t)n++);
	}
	give_back(c, (uint32_t)n);
	return n;
}

static bool look_is_due(const struct ooo_client *c)
{
	return coarse_ns() - c->pol.looked_ns >= LOOK_EVERY_NS;
}

int ooo_poll(struct ooo_client *client, struct ooo_completion *done, int max)
{
	bool woken = client->pol.armed;
	int n;

	if (max <= 0)
		return 0;
	if (woken)
		client_disarm(client);
	n = reap(client, done, max);
	if (n)
		return n;
	if (!client_is_gone(client) && !woken && !look_is_due(client))
		return 0;
	if (!client_look(client))
		return 0;
	/* What completed before the end, then what did not. */
	n = reap(client, done, max);
	return n + reap_lost(client, done + n, max - n);
}
