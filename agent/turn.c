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
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "agent/flow/flow.h"
#include "agent/log.h"
#include "shared/abi/ring_sync.h"
#include "shared/lib/probe.h"

#define RUNAHEAD_US     1000 /* unless the device knows better */
#define DISPATCHER_NICE (-5)

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
	d->policy.now_ns = d->now_ns;
	if (d->record && !d->caps->virtual_clock)
		stall_turn(&d->stall, d->record, d->now_ns);
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
	if (d->nr_requests || d->nr_flying || d->resetting || mailbox_pending(d->mb))
		return true;
	return !d->halted && awake_pending(d);
}

static void turn_sleep(struct dispatcher *d)
{
	uint64_t start_ns = probe_sleep_wanted() ? turn_clock_ns() : 0;
	unsigned events = 0;
	bool won;

	awake_need_wakeup(d, OOO_RING_NEED_WAKEUP);
	/* Pairs with the tenant's fence between publishing sq_tail and reading agent_flags: either it
	 * sees the flag, or work_pending() sees its submission. Dozing tenants write their eventfds,
	 * which end the wait, also if they did so before it. */
	ring_full_fence();
	won = work_pending(d);
	if (!won) {
		stat_add(&d->stats.sleeps, 1);
		events = awake_wait(d, -1);
		if (events)
			stat_add(&d->stats.wakeups, 1);
	}
	awake_need_wakeup(d, 0);
	if (start_ns)
		probe_sleep(won, events, turn_clock_ns() - start_ns, d->stats.wakeups);
}

/*
 * Tenants that wait awake may be more than there are processors; all of them wait for this thread,
 * so it does not take turns with them. Not where the device computes on the same processors. Without
 * the right to it all goes on as it is.
 */
static void take_precedence(const struct dispatcher *d)
{
	if (d->caps->width && setpriority(PRIO_PROCESS, 0, DISPATCHER_NICE))
		log_info("device %s: its dispatcher stays at the common priority: %s",
			 d->caps->name, strerror(errno));
}

static void *dispatcher_main(void *arg)
{
	struct dispatcher *d = arg;
	uint64_t idle_since = 0;

	pthread_setname_np(pthread_self(), "ooo-dispatcher");
	take_precedence(d);
	if (d->record)
		stall_init(&d->stall);
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
		stall_slept(&d->stall);
		idle_since = 0;
	}
	if (d->record)
		stall_fini(&d->stall);
	return NULL;
}

/* With the lanes of partitions that are yet to come. */
static unsigned max_lanes(const struct dispatcher *d)
{
	unsigned n = d->caps->partitions ? d->nr_base_lanes + DEVICE_MAX_PARTITIONS : 0;

	if (n < d->nr_lanes)
		n = d->nr_lanes;
	return n < DEVICE_MAX_LANES ? n : DEVICE_MAX_LANES;
}

static int pool_init(struct dispatcher *d)
{
	unsigned n = max_lanes(d) * (d->caps->lane_depth + 1);

	d->bundles = n ? calloc(n, sizeof(*d->bundles)) : NULL;
	if (!d->bundles)
		return -ENOMEM;
	d->nr_bundles = n;
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
	d->record = config->record;
	d->gone = config->gone;
	d->halted = config->halted;
	d->stats.gone = config->gone;
	if (!d->config.max_width || d->config.max_width > d->caps->max_items)
		d->config.max_width = d->caps->max_items;
	if (d->config.runahead_us == TURN_RUNAHEAD_DEVICE)
		d->config.runahead_us = d->caps->runahead_us ? d->caps->runahead_us : RUNAHEAD_US;
	d->nr_lanes = d->caps->nr_lanes ? d->caps->nr_lanes : 1;
	if (d->nr_lanes > DEVICE_MAX_LANES)
		d->nr_lanes = DEVICE_MAX_LANES;
	d->nr_base_lanes = d->nr_lanes;
	for (unsigned i = 0; i < DEVICE_MAX_PARTITIONS; i++) {
		const struct device_partition *p = &d->caps->partition[i];

		if (p->name[0] && p->first_lane < d->nr_base_lanes)
			d->nr_base_lanes = p->first_lane;
	}
	d->width = d->caps->width ? d->caps->width : d->caps->threads;
	if (!d->width)
		d->width = 1;
	policy_init(&d->policy, max_lanes(d));
	d->promises.width = d->width;
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
	policy_free(&d->policy);
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

const struct turn_config *dispatcher_config(const struct dispatcher *d)
{
	return &d->config;
}

const struct turn_stats *dispatcher_stats(const struct dispatcher *d)
{
	return &d->stats;
}

const struct pressure *dispatcher_pressure(const struct dispatcher *d)
{
	return &d->pressure;
}
