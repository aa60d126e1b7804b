// SPDX-License-Identifier: Apache-2.0
/*
 * Partitions come and go while the flow runs: the device makes one between two turns, and its lanes
 * join the others; one goes when nobody is in it and nothing is left on its lanes. A device that
 * makes one may have to wait for what it has in flight, and the flow with it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/flow/flow.h"
#include "agent/tenant/errand.h"

static int find(const struct dispatcher *d, const char *name)
{
	for (int i = 0; i < DEVICE_MAX_PARTITIONS; i++)
		if (!strcmp(d->caps->partition[i].name, name))
			return i;
	return -1;
}

static int check(const struct dispatcher *d, struct errand *e)
{
	if (d->gone || d->lost || d->resetting) {
		snprintf(e->why, sizeof(e->why), "device %s: it failed and is not back",
			 d->caps->name);
		return -ENODEV;
	}
	if (d->ops->partition_add && d->caps->partitions)
		return 0;
	snprintf(e->why, sizeof(e->why),
		 "device %s cannot be partitioned: that takes a GPU that splits, and a driver for "
		 "CUDA 12.5 or later",
		 d->caps->name);
	return -EOPNOTSUPP;
}

static void report(const struct dispatcher *d, struct errand *e)
{
	memcpy(e->partition, d->caps->partition, sizeof(e->partition));
	e->nr_lanes = d->nr_lanes;
}

static int add(struct dispatcher *d, struct errand *e)
{
	int err = d->ops->partition_add(d->dev, e->name, e->units, e->why, sizeof(e->why));

	if (err)
		return err;
	d->nr_lanes = d->caps->nr_lanes < DEVICE_MAX_LANES ? d->caps->nr_lanes : DEVICE_MAX_LANES;
	e->units = d->caps->partition[find(d, e->name)].units;
	return 0;
}

static bool in_use(const struct dispatcher *d, int place)
{
	const struct device_partition *p = &d->caps->partition[place];

	for (const struct tenant *t = d->tenants; t; t = t->next)
		if (t->params.partition == (uint32_t)place + 1)
			return true;
	for (unsigned i = p->first_lane; i < p->first_lane + p->nr_lanes; i++)
		if (d->loads[i].nr_requests || d->lanes[i].nr_bundles)
			return true;
	return false;
}

static int del(struct dispatcher *d, struct errand *e)
{
	int place = find(d, e->name);

	if (place >= 0 && in_use(d, place)) {
		snprintf(e->why, sizeof(e->why),
			 "device %s: partition \"%s\": requests are in flight there", d->caps->name,
			 e->name);
		return -EBUSY;
	}
	return d->ops->partition_del(d->dev, e->name, e->why, sizeof(e->why));
}

int partition_mail(struct dispatcher *d, struct mail *mail)
{
	struct errand *e = mail->errand;
	int err = check(d, e);

	if (!err)
		err = mail->type == MAIL_PARTITION_ADD ? add(d, e) : del(d, e);
	report(d, e);
	return err;
}
