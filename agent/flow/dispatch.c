// SPDX-License-Identifier: Apache-2.0
/*
 * Dispatch: hand built bundles to the device, in order. A full lane keeps them for the next turn;
 * a bundle that the device refuses is retired at once with a retryable status.
 */
#include <errno.h>

#include "agent/flow/flow.h"
#include "agent/log.h"

static void refuse(struct dispatcher *d, struct bundle *b, int err)
{
	log_error("device %s: refused a bundle of %u steps (error %d): its requests fail",
		  d->caps->name, b->nr_items, -err);
	b->scope = SCOPE_CONTEXT;
	b->start_ns = b->end_ns = d->now_ns;
	for (uint32_t i = 0; i < b->nr_items; i++)
		b->items[i].service_ns = 0;
	retire_bundle(d, b);
}

bool dispatch_run(struct dispatcher *d)
{
	bool did = false;

	while (d->built_head) {
		struct bundle *b = d->built_head;
		struct bundle *next = b->next;
		int err;

		b->submit_ns = d->now_ns;
		err = d->ops->submit(d->dev, b);
		if (err == -EAGAIN)
			break;
		d->built_head = next;
		if (!next)
			d->built_tail = NULL;
		if (err)
			refuse(d, b, err);
		else
			d->nr_flying++;
		did = true;
	}
	return did;
}
