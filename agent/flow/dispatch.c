// SPDX-License-Identifier: Apache-2.0
/*
 * Dispatch: hand built bundles to the device, each lane's in order, the lanes by turns. A full lane
 * keeps its own for the next turn; a bundle that the device refuses is retired at once with a retryable status.
 */
#include <errno.h>

#include "agent/flow/flow.h"
#include "agent/log.h"
#include "shared/lib/probe.h"

static void probe_bundle(const struct bundle *b)
{
	const struct request *first = b->items[0].request;

	if (probe_launched_wanted())
		probe_launched(b->lane, b->nr_items, first->tenant->id, b->predicted_ns);
}

static void refuse(struct dispatcher *d, struct bundle *b, int err)
{
	log_error("device %s: refused a bundle of %u steps (error %d): its requests fail",
		  d->caps->name, b->nr_items, -err);
	fault_drop(d, b, err == -ENODEV ? SCOPE_DEVICE : SCOPE_CONTEXT);
}

/* The lane's first built bundle; false: none, or the lane is full. */
static bool submit_one(struct dispatcher *d, struct lane *l)
{
	struct bundle *b = l->built_head;
	struct bundle *next;
	int err;

	if (!b)
		return false;
	next = b->next;
	b->submit_ns = d->now_ns;
	err = d->ops->submit(d->dev, b);
	if (err == -EAGAIN)
		return false;
	l->built_head = next;
	if (!next)
		l->built_tail = NULL;
	if (err) {
		refuse(d, b, err);
	} else {
		d->nr_flying++;
		probe_bundle(b);
	}
	return true;
}

bool dispatch_run(struct dispatcher *d)
{
	bool did = false, more;

	do {
		more = false;
		for (unsigned lane = 0; lane < d->nr_lanes; lane++)
			more |= submit_one(d, &d->lanes[lane]);
		did |= more;
	} while (more);
	return did;
}
