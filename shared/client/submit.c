/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Submissions and cancels: any number of threads, one small lock. A submission takes an entry of
 * the in-flight table and a slot of the submission queue, and publishes the queue's tail at once,
 * so that the agent can start while the tenant prepares the next one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/abi/ring_sync.h"
#include "shared/client/internal.h"
#include "shared/lib/probe.h"

int client_requests_init(struct ooo_client *client, const struct link *link)
{
	uint32_t n = link->sq_entries;
	struct entry *entries = calloc(n, sizeof(*entries));
	uint32_t *free_ring = malloc(n * sizeof(*free_ring));

	if (!entries || !free_ring) {
		free(entries);
		free(free_ring);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < n; i++)
		free_ring[i] = i;
	free(client->entries);
	free(client->free_ring);
	client->entries = entries;
	client->free_ring = free_ring;
	client->nr_entries = n;
	client->max_cancels = link->cq_entries - n;
	/* nr_submitted and nr_reaped go on: the bindings' counts do, too. */
	client->sub.sq_tail = 0;
	client->sub.sq_head_cached = 0;
	client->sub.free_head = 0;
	client->sub.free_tail_cached = n;
	client->sub.nr_cancels = 0;
	client->pol.cq_head = 0;
	client->pol.cq_tail_cached = 0;
	client->pol.free_tail = n;
	client->pol.nr_cancels_done = 0;
	client->pol.lost_cursor = 0;
	client->pol.armed = false;
	client->pol.looked_ns = 0;
	return 0;
}

static bool queue_has_room(struct ooo_client *c)
{
	struct submit_side *s = &c->sub;

	if (s->sq_tail - s->sq_head_cached < c->link.sq_entries)
		return true;
	/* Pairs with the agent's release of sq_head after it copied the slots. */
	s->sq_head_cached = ring_load_acquire(&c->link.ring->sq_head);
	return s->sq_tail - s->sq_head_cached < c->link.sq_entries;
}

static bool entry_is_free(struct ooo_client *c)
{
	struct submit_side *s = &c->sub;

	if (s->free_head != s->free_tail_cached)
		return true;
	/* Pairs with the poller's release of free_tail after it put entries back. */
	s->free_tail_cached = ring_load_acquire(&c->pol.free_tail);
	return s->free_head != s->free_tail_cached;
}

/* Show the agent the slot that has just been filled; wake it if it sleeps. */
static void publish(struct ooo_client *c)
{
	static const uint64_t one = 1;
	ssize_t n;

	ring_store_release(&c->link.ring->sq_tail, ++c->sub.sq_tail);
	/* Pairs with the agent's fence between setting NEED_WAKEUP and looking at sq_tail again. */
	ring_full_fence();
	if (ring_load_relaxed(&c->link.ring->agent_flags) & OOO_RING_NEED_WAKEUP) {
		/* It fails only when the counter is full: then the agent is awake in a moment. */
		n = write(c->link.sq_eventfd, &one, sizeof(one));
		(void)n;
	}
}

static struct ooo_sqe *next_slot(struct ooo_client *c)
{
	return &c->link.sqes[c->sub.sq_tail & (c->link.sq_entries - 1)];
}

static int submit_locked(struct ooo_binding *binding, uint64_t deadline_ns, uint64_t cookie,
			 uint64_t now_ns)
{
	struct ooo_client *c = binding->client;
	struct entry *entry;
	uint32_t index, gen;

	if (client_is_gone(c))
		return -ECONNRESET;
	if (!entry_is_free(c) || !queue_has_room(c)) {
		probe_busy((uintptr_t)c, cookie, c->nr_entries, now_ns);
		return -EAGAIN;
	}
	index = c->free_ring[c->sub.free_head++ & (c->nr_entries - 1)];
	entry = &c->entries[index];
	gen = ring_load_relaxed(&entry->gen) + 1;
	entry->cookie = cookie;
	entry->submit_ns = now_ns;
	entry->binding = binding;
	/* Pairs with the poller's acquire, so that no agent's word is needed for what is in here. */
	ring_store_release(&entry->gen, gen);
	ring_store_relaxed(&binding->nr_submitted, binding->nr_submitted + 1);
	ring_store_relaxed(&c->sub.nr_submitted, c->sub.nr_submitted + 1);
	*next_slot(c) = (struct ooo_sqe){
		.op = OOO_SQE_SUBMIT,
		.program = binding->program_id,
		.binding = binding->id,
		.cookie = (uint64_t)gen << 32 | index,
		.deadline_ns = deadline_ns,
		.submit_ns = now_ns,
	};
	publish(c);
	probe_submitted((uintptr_t)c, cookie, deadline_ns, now_ns);
	return 0;
}

int ooo_submit(struct ooo_binding *binding, uint64_t deadline_ns, uint64_t cookie)
{
	uint64_t now_ns = ooo_now_ns();
	int rc;

	pthread_mutex_lock(&binding->client->lock);
	rc = submit_locked(binding, deadline_ns, cookie, now_ns);
	pthread_mutex_unlock(&binding->client->lock);
	return rc;
}

/* A cancel's completion needs room in the completion queue that no request counts on. */
static bool cancel_has_room(const struct ooo_client *c)
{
	uint32_t done = ring_load_acquire(&c->pol.nr_cancels_done);

	return c->sub.nr_cancels - done < c->max_cancels;
}

/* The poller may retire an entry meanwhile: then the agent finds nothing to cancel, and says so. */
static int cancel_locked(struct ooo_client *c, uint64_t cookie)
{
	if (client_is_gone(c))
		return -ECONNRESET;
	if (!(c->link.features & OOO_FEATURE_CANCEL))
		return -EOPNOTSUPP;
	for (uint32_t i = 0; i < c->nr_entries; i++) {
		struct entry *entry = &c->entries[i];
		uint32_t gen = ring_load_relaxed(&entry->gen);

		if (!(gen & 1) || entry->cookie != cookie || entry->cancel_gen == gen)
			continue;
		if (!cancel_has_room(c) || !queue_has_room(c))
			return -EAGAIN; /* the next call goes on from here */
		entry->cancel_gen = gen;
		c->sub.nr_cancels++;
		*next_slot(c) = (struct ooo_sqe){ .op = OOO_SQE_CANCEL,
						  .cookie = (uint64_t)gen << 32 | i,
						  .submit_ns = ooo_now_ns() };
		publish(c);
	}
	return 0;
}

int ooo_cancel(struct ooo_client *client, uint64_t cookie)
{
	int rc;

	pthread_mutex_lock(&client->lock);
	rc = cancel_locked(client, cookie);
	pthread_mutex_unlock(&client->lock);
	return rc;
}

uint32_t client_binding_inflight(const struct ooo_binding *binding)
{
	/* Pairs with the poller's release: it is done with the binding. */
	return ring_load_relaxed(&binding->nr_submitted) - ring_load_acquire(&binding->nr_reaped);
}

uint32_t ooo_inflight(const struct ooo_client *client)
{
	/* Reaped first: what is reaped was submitted, so the difference is never negative. */
	uint32_t reaped = ring_load_acquire(&client->pol.nr_reaped);

	return ring_load_relaxed(&client->sub.nr_submitted) - reaped;
}
