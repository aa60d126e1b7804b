// SPDX-License-Identifier: Apache-2.0
/*
 * Stands where a device was that cannot be opened any more: its tenants stay connected and are told
 * (OOO_DEVICE_GONE), and ooo-ctl shows it as lost. Takes no program and no bundle.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/device/device.h"

struct device {
	struct device_caps caps;
};

static void gone_close(struct device *dev)
{
	free(dev);
}

static const struct device_caps *gone_caps(const struct device *dev)
{
	return &dev->caps;
}

static int gone_load(struct device *dev, const struct program *program, unsigned max_slots,
		     struct device_program **out, char *why, size_t why_bytes)
{
	(void)program, (void)max_slots, (void)out;
	snprintf(why, why_bytes, "device %s: is lost", dev->caps.name);
	return -ENODEV;
}

static int gone_submit(struct device *dev, struct bundle *bundle)
{
	(void)dev, (void)bundle;
	return -ENODEV;
}

static unsigned gone_poll(struct device *dev, struct bundle **done, unsigned max)
{
	(void)dev, (void)done, (void)max;
	return 0;
}

/* No more: without a program none of the others is called. */
static const struct device_ops gone_device_ops = {
	.name = "gone",
	.api_version = DEVICE_API_VERSION,
	.close = gone_close,
	.caps = gone_caps,
	.load = gone_load,
	.submit = gone_submit,
	.poll = gone_poll,
};

int device_gone(const char *name, struct device_opened *out)
{
	struct device *dev = calloc(1, sizeof(*dev));

	if (!dev)
		return -ENOMEM;
	dev->caps = (struct device_caps){ .nr_lanes = 1, .lane_depth = 1, .max_items = 1 };
	snprintf(dev->caps.name, sizeof(dev->caps.name), "%s", name);
	snprintf(dev->caps.description, sizeof(dev->caps.description), "could not be opened again");
	out->ops = &gone_device_ops;
	out->dev = dev;
	return 0;
}
