// SPDX-License-Identifier: Apache-2.0
#include "agent/tenant/errand.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/control/event.h"
#include "agent/tenant/registry.h"

#define WAIT_S                                                                                     \
	2 /* a device that makes a partition waits for what is in flight; ooo-ctl waits for 3 */

struct errand *errand_new(uint32_t type, uint32_t device)
{
	struct errand *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->mail.type = type;
	e->mail.errand = e;
	e->device = device;
	return e;
}

/* Under the lock. */
static void end(struct registry *r, struct errand *e)
{
	e->done = true;
	if (e->left)
		free(e);
	else
		pthread_cond_broadcast(&r->errand_done);
}

static void refuse(struct errand *e)
{
	e->result = -ESHUTDOWN;
	snprintf(e->why, sizeof(e->why),
		 "the agent ends or hands over to a fresh process: ask again");
}

int errand_run(struct registry *r, struct errand **errand, char *why, size_t why_bytes)
{
	struct errand *e = *errand, **link = &r->errands;
	struct timespec until;
	int err = 0, result;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += WAIT_S;
	registry_lock(r);
	while (*link)
		link = &(*link)->next;
	e->done = r->errands_closed;
	if (e->done)
		refuse(e);
	else
		*link = e;
	registry_wake_door(r);
	while (!e->done && !err)
		err = pthread_cond_timedwait(&r->errand_done, &r->lock, &until);
	result = e->done ? e->result : -ETIMEDOUT;
	if (result && e->done) {
		snprintf(why, why_bytes, "%s", e->why);
	} else if (result) {
		snprintf(why, why_bytes, "the device's dispatcher did not answer within %d s",
			 WAIT_S);
		e->left = true;
		*errand = NULL;
	}
	registry_unlock(r);
	return result;
}

struct errand *errand_take(struct registry *r)
{
	struct errand *e;

	registry_lock(r);
	e = r->errands;
	if (e)
		r->errands = e->next;
	registry_unlock(r);
	return e;
}

void errand_back(struct registry *r, struct errand *e)
{
	bool partition = e->mail.type == MAIL_PARTITION_ADD || e->mail.type == MAIL_PARTITION_DEL;
	struct registry_device *d = &r->agent.devices[e->device];

	e->result = e->mail.result;
	registry_lock(r);
	if (partition && !e->result) {
		memcpy(d->partition, e->partition, sizeof(d->partition));
		__atomic_store_n(&d->nr_lanes, e->nr_lanes, __ATOMIC_RELAXED);
		event_post(EVENT_PARTITION, NULL, e->device,
			   e->mail.type == MAIL_PARTITION_ADD ? e->units : 0, e->name);
	}
	end(r, e);
	registry_unlock(r);
}

void errand_close(struct registry *r)
{
	struct errand *e;

	registry_lock(r);
	r->errands_closed = true;
	while ((e = r->errands)) {
		r->errands = e->next;
		refuse(e);
		end(r, e);
	}
	registry_unlock(r);
}
