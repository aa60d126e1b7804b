/* SPDX-License-Identifier: Apache-2.0 */
/* The dispatcher: one thread per device that runs the six stages of the flow in order. */
#ifndef OOO_AGENT_TURN_H
#define OOO_AGENT_TURN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/device/device.h"
#include "agent/mailbox.h"
#include "agent/policy/policy.h"
#include "agent/tenant/tenant.h"

struct record;

struct turn_config {
	uint32_t spin_us;      /* look for work this long before sleeping */
	uint32_t runahead_us;  /* predicted device time that one lane may queue; see below */
	uint32_t bundle_us;    /* predicted device time of one bundle, beyond its leader */
	uint32_t max_width;    /* items of a bundle; 0 = the device's limit */
	struct record *record; /* the flight recorder, the caller's; NULL: off */
	/* Tenants of this process: told of completions instead of by their descriptors. NULL: none. */
	void (*published)(void *arg, struct tenant *t);
	void *published_arg;
	bool mend; /* the door may hand over to a fresh process, which a lost device may work in */
	bool gone; /* there is no device: refuse everything */
	bool halted; /* fetch nothing before MAIL_RESUME */
};

#define TURN_RUNAHEAD_DEVICE UINT32_MAX /* what the device likes best */

#define TURN_CONFIG_DEFAULT                                                                        \
	{                                                                                          \
		.spin_us = 50, .runahead_us = TURN_RUNAHEAD_DEVICE, .bundle_us = 2000,             \
	}

/* Counters of the device's dispatcher; one writer, read with stat_read(). */
struct turn_stats {
	uint64_t turns, sleeps, wakeups;
	uint64_t requests, bundles, items; /* mean bundle width = items / bundles */
	uint64_t shared_bundles;           /* that held steps of more than one tenant */
	uint64_t merged_items;   /* items that followed another of the same program and step */
	uint64_t busy_ns;        /* sum of bundles' device time */
	uint64_t service_ns;     /* sum of items' device time */
	uint64_t runahead_holds; /* turns in which run-ahead kept ready steps back */
	uint64_t company_holds;  /* turns in which a lane waited for company */
	uint64_t errors;         /* bundles with an error scope beyond one request */
	uint64_t resets;         /* errors that took all that the device held */
	uint64_t lost;           /* 1: of no use in this process; the door decides what follows */
	uint64_t gone;           /* 1: the device is lost for good */
	uint64_t drops;          /* tenants dropped for breaking the protocol */
	uint64_t spread;         /* 1024ths: agent/flow/admit.c; 0: not measured */
};

struct dispatcher; /* private to agent/turn.c and agent/flow: see agent/flow/flow.h */

/* Start the dispatcher thread over an open device. The mailbox belongs to the caller. */
int dispatcher_start(const struct turn_config *config, const struct device_ops *ops,
		     struct device *dev, struct mailbox *mb, struct dispatcher **out);
/* After MAIL_STOP came back: wait for the thread and free. */
void dispatcher_join(struct dispatcher *d);
const struct turn_stats *dispatcher_stats(const struct dispatcher *d);
const struct pressure *dispatcher_pressure(const struct dispatcher *d);
const struct turn_config *dispatcher_config(const struct dispatcher *d); /* resolved */

uint64_t turn_clock_ns(void); /* CLOCK_MONOTONIC */

/* Without a thread, for tests and benchmarks: the same loop body, never sleeps. True if it did
 * any work. */
struct dispatcher *dispatcher_new(const struct turn_config *config, const struct device_ops *ops,
				  struct device *dev, struct mailbox *mb);
bool dispatcher_turn(struct dispatcher *d);
void dispatcher_free(struct dispatcher *d);

#endif
