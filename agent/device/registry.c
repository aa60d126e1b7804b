// SPDX-License-Identifier: Apache-2.0
/* The devices built in, and which one to take. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/device/device.h"

extern const struct device_ops cpu_device_ops, sim_device_ops;

const struct device_ops *const device_table[] = { &cpu_device_ops, &sim_device_ops, NULL };

static int open_named(const struct device_config *config, const struct device_ops **ops,
		      struct device **dev, char *why, size_t why_bytes)
{
	for (int i = 0; device_table[i]; i++) {
		int err;

		if (strcmp(device_table[i]->name, config->name) != 0)
			continue;
		err = device_table[i]->open(config, dev, why, why_bytes);
		if (err)
			return err;
		*ops = device_table[i];
		snprintf(why, why_bytes, "%s, as asked for", config->name);
		return 0;
	}
	snprintf(why, why_bytes, "device \"%s\": there is none; use auto, cpu or sim",
		 config->name);
	return -EINVAL;
}

/* The best that works here; a device that does not execute is never taken unasked. */
static int open_best(const struct device_config *config, const struct device_ops **ops,
		     struct device **dev, char *why, size_t why_bytes)
{
	char reason[160] = "", tried[320] = "";

	for (int i = 0; device_table[i]; i++) {
		size_t used = strlen(tried);

		if (device_table[i]->open(config, dev, reason, sizeof(reason))) {
			snprintf(tried + used, sizeof(tried) - used, "%s%s", used ? "; " : "",
				 reason);
			continue;
		}
		if (!device_table[i]->caps(*dev)->executes) {
			device_table[i]->close(*dev);
			continue;
		}
		*ops = device_table[i];
		snprintf(why, why_bytes, "%s, the best that works here%s%s", device_table[i]->name,
			 used ? ": " : "", tried);
		return 0;
	}
	snprintf(why, why_bytes, "no device works: %s", tried);
	return -ENODEV;
}

int device_open(const struct device_config *config, const struct device_ops **ops,
		struct device **dev, char *why, size_t why_bytes)
{
	if (!config->name || !strcmp(config->name, "auto"))
		return open_best(config, ops, dev, why, why_bytes);
	return open_named(config, ops, dev, why, why_bytes);
}
