// SPDX-License-Identifier: Apache-2.0
/*
 * The dispatcher, and the place to start reading.
 *
 * OoO treats a device like an out-of-order VLIW core treats its functional units. Tenants declare
 * programs of operators; nobody fixes where and with whom an operator runs until the moment it does
 * (late binding). One thread per device runs turn(), six stages in order, each in a file of its own
 * below agent/flow:
 *
 *   fetch     bounds the peer's index, promises a completion slot, copies the submission once
 *   bind      ids -> program, binding, workspace; refusals
 *   window    holds the ready steps of requests that have a workspace slot
 *   bundle    packs ready steps of many tenants into one launch, in the policy's order
 *   dispatch  hands bundles to the device
 *   retire    takes finished bundles, charges tenants, learns costs, posts completions
 *
 * One record, struct request, walks through them. There is no lock, no allocation and no system call
 * while there is work; the dispatcher sleeps when there has been none for spin_us.
 *
 * The other threads: the door (main thread) accepts tenants and sends what they load here by mail;
 * the loader compiles programs; control answers ooo-ctl. None of them can delay a turn.
 */
#include "agent/turn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "agent/flow/flow.h"
#include "agent/log.h"
#include "shared/abi/ring_sync.h"

uint64_t turn_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

bool dispatcher_turn(struct dispatcher *d)
{
	bool did = false;

	d->now_ns = d->ops->clock_ns ? d->ops->clock_ns(d->dev) : turn_clock_ns();
	stat_add(&d->stats.turns, 1);
	if (mailbox_pending(d->mb))
		did |= mail_run(d);
	did |= fetch_run(d);
	did |= bind_run(d);
	did |= window_run(d);
	did |= bundle_run(d);
	did |= dispatch_run(d);
	did |= retire_run(d);
	mail_settle(d);
	return did;
}

/* Anything that a turn could act on, or that the device still holds? */
static bool work_pending(struct dispatcher *d)
{
	if (d->nr_requests || d->nr_flying || mailbox_pending(d->mb))
		return true;
	for (struct tenant *t = d->tenants; t; t = t->next) {
		if (!t->dropped && !t->leaving &&
		    ring_load_acquire(&t->ring.ring->sq_tail) != t->ring.sq_head)
			return true;
	}
	return false;
}

static void set_need_wakeup(struct dispatcher *d, uint32_t flags)
{
	for (struct tenant *t = d->tenants; t; t = t->next)
		ring_store_relaxed(&t->ring.ring->agent_flags, flags);
}

static void turn_sleep(struct dispatcher *d)
{
	struct epoll_event events[16];

	set_need_wakeup(d, OOO_RING_NEED_WAKEUP);
	/* Pairs with the tenant's fence between publishing sq_tail and reading agent_flags: either it
	 * sees the flag, or work_pending() sees its submission. */
	ring_full_fence();
	if (!work_pending(d)) {
		stat_add(&d->stats.sleeps, 1);
		/* Edge-triggered: eventfds are never read, each write is an event of its own. */
		if (epoll_wait(d->epoll_fd, events, 16, -1) > 0)
			stat_add(&d->stats.wakeups, 1);
	}
	set_need_wakeup(d, 0);
}

static void *dispatcher_main(void *arg)
{
	struct dispatcher *d = arg;
	uint64_t idle_since = 0;

	pthread_setname_np(pthread_self(), "ooo-dispatcher");
	while (!d->stop) {
		if (dispatcher_turn(d) || d->nr_flying) {
			idle_since = 0;
			continue;
		}
		if (!idle_since)
			idle_since = turn_clock_ns();
		if (turn_clock_ns() - idle_since < d->config.spin_us * 1000ull) {
			ring_cpu_relax();
			continue;
		}
		turn_sleep(d);
		idle_since = 0;
	}
	return NULL;
}

static int pool_init(struct dispatcher *d)
{
	unsigned n = d->caps->lane_depth + RETIRE_BATCH;

	d->bundles = calloc(n, sizeof(*d->bundles));
	if (!d->bundles)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		d->bundles[i].next = d->free_bundles;
		d->free_bundles = &d->bundles[i];
	}
	return 0;
}

struct dispatcher *dispatcher_new(const struct turn_config *config, const struct device_ops *ops,
				  struct device *dev, struct mailbox *mb)
{
	struct dispatcher *d = calloc(1, sizeof(*d));
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };

	if (!d)
		return NULL;
	d->config = *config;
	d->ops = ops;
	d->dev = dev;
	d->caps = ops->caps(dev);
	d->mb = mb;
	if (!d->config.max_width || d->config.max_width > d->caps->max_items)
		d->config.max_width = d->caps->max_items;
	policy_init(&d->policy);
	d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (d->epoll_fd < 0)
		goto fail;
	if (epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, mb->dispatcher_fd, &ev) || pool_init(d))
		goto fail_epoll;
	return d;

fail_epoll:
	close(d->epoll_fd);
fail:
	free(d);
	return NULL;
}

void dispatcher_free(struct dispatcher *d)
{
	if (!d)
		return;
	close(d->epoll_fd);
	free(d->bundles);
	free(d);
}

int dispatcher_start(const struct turn_config *config, const struct device_ops *ops,
		     struct device *dev, struct mailbox *mb, struct dispatcher **out)
{
	struct dispatcher *d = dispatcher_new(config, ops, dev, mb);
	int err;

	if (!d)
		return -ENOMEM;
	err = pthread_create(&d->thread, NULL, dispatcher_main, d);
	if (err) {
		dispatcher_free(d);
		return -err;
	}
	*out = d;
	return 0;
}

void dispatcher_join(struct dispatcher *d)
{
	pthread_join(d->thread, NULL);
	dispatcher_free(d);
}

const struct turn_stats *dispatcher_stats(const struct dispatcher *d)
{
	return &d->stats;
}
