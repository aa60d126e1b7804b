// SPDX-License-Identifier: Apache-2.0
/*
 * An error took the device's context, and with it the workspace of every active request, or the
 * device itself. All active requests fail, with a status that says "resubmit"; tenants stay
 * connected and requests that wait for a slot keep waiting. Nothing new is built until the device
 * has given back all it holds and had one more poll() to recover in.
 *
 * After the loss of the device itself bind refuses whatever comes. Before that the door may mend it:
 * a fresh process can open a device that is lost to this one. Until it has decided, nothing is
 * fetched; what was fetched fails with a status that says "resubmit".
 */
#include "agent/flow/flow.h"
#include "agent/log.h"

static void kill_all(struct dispatcher *d)
{
	for (struct tenant *t = d->tenants; t; t = t->next) {
		struct request *r, *next;

		for (r = t->all_requests; r; r = next) {
			next = r->all_next;
			window_kill(d, r, OOO_DEVICE_RESET);
		}
	}
}

static void kill_requests(struct dispatcher *d, struct tenant *t, bool all)
{
	struct request *r, *next;

	for (r = t->all_requests; r; r = next) {
		next = r->all_next;
		if (r->state == REQUEST_ACTIVE)
			window_kill(d, r, OOO_DEVICE_RESET);
		else if (all && r->state == REQUEST_WAITING)
			window_kill(d, r, OOO_DEVICE_GONE);
	}
}

void fault_drop(struct dispatcher *d, struct bundle *b, enum error_scope scope)
{
	b->scope = (uint16_t)scope;
	b->start_ns = b->end_ns = d->now_ns;
	for (uint32_t i = 0; i < b->nr_items; i++) {
		b->items[i].service_ns = 0;
		b->items[i].status = OOO_OK; /* the bundle's scope says it all */
	}
	retire_bundle(d, b);
}

static void drop_built(struct dispatcher *d, struct lane *l, enum error_scope scope)
{
	struct bundle *b;

	while ((b = l->built_head)) {
		l->built_head = b->next;
		if (!l->built_head)
			l->built_tail = NULL;
		fault_drop(d, b, scope);
	}
}

static void lose(struct dispatcher *d)
{
	d->lost = d->halted = true;
	stat_add(&d->stats.lost, 1);
	kill_all(d);
	mailbox_nudge(d->mb);
}

bool fault_halted(struct dispatcher *d)
{
	if (!d->pause_by_ns || d->now_ns < d->pause_by_ns || !d->nr_requests)
		return false;
	d->pause_by_ns = 0;
	log_warn("device %s: %u requests take too long to wait for: they fail and may be submitted "
		 "again",
		 d->caps->name, d->nr_requests);
	kill_all(d);
	return true;
}

void fault_handle(struct dispatcher *d, enum error_scope scope)
{
	bool gone = scope == SCOPE_DEVICE && !d->gone && !d->lost;

	if (d->resetting && !gone)
		return;
	d->resetting = true;
	stat_add(&d->stats.resets, 1);
	if (gone && d->config.mend) {
		log_error("device %s: lost to this process: %u requests fail and may be submitted "
			  "again",
			  d->caps->name, d->nr_requests);
		lose(d);
	} else if (gone) {
		d->gone = true;
		stat_add(&d->stats.gone, 1);
		log_error("device %s: lost: its tenants' requests are refused from now on",
			  d->caps->name);
	} else {
		log_error("device %s: an error took what it held: %u requests fail and may be "
			  "submitted again",
			  d->caps->name, d->nr_requests);
	}
	for (struct tenant *t = d->tenants; t && !d->lost; t = t->next)
		kill_requests(d, t, d->gone);
	for (unsigned lane = 0; lane < d->nr_lanes; lane++)
		drop_built(d, &d->lanes[lane], scope);
}

void fault_settle(struct dispatcher *d)
{
	d->resetting = false;
	if (!d->gone && !d->lost)
		log_info("device %s: goes on", d->caps->name);
}
