// SPDX-License-Identifier: Apache-2.0
/* The devices built in, and which one to take. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/device/device.h"

extern const struct device_ops cuda_device_ops, cpu_device_ops, sim_device_ops;

const struct device_ops *const device_table[] = {
	&cuda_device_ops,
	&cpu_device_ops,
	&sim_device_ops,
	NULL,
};

/* What opens, and what is said about it. */
struct opening {
	struct device_config config;
	struct device_opened *opened;
	unsigned nr, max;
	char *why;
	size_t why_bytes;
};

static void say(struct opening *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Clauses with semicolons between them; what does not fit is cut. */
static void say(struct opening *o, const char *fmt, ...)
{
	size_t used = strlen(o->why);
	va_list ap;

	if (used && used + 3 < o->why_bytes)
		used += (size_t)snprintf(o->why + used, o->why_bytes - used, "; ");
	va_start(ap, fmt);
	vsnprintf(o->why + used, o->why_bytes - used, fmt, ap);
	va_end(ap);
}

static const struct device_ops *find(const char *name, size_t bytes)
{
	for (int i = 0; device_table[i]; i++) {
		if (strlen(device_table[i]->name) == bytes &&
		    !memcmp(device_table[i]->name, name, bytes))
			return device_table[i];
	}
	return NULL;
}

static int open_one(struct opening *o, const struct device_ops *ops)
{
	struct device_opened *next = &o->opened[o->nr];
	char why[160] = "";
	int err;

	if (o->nr == o->max) {
		say(o, "%s: %u devices are open, the most that an agent takes", ops->name, o->nr);
		return -ENOSPC;
	}
	err = ops->open(&o->config, &next->dev, why, sizeof(why));
	if (err) {
		say(o, "%s", why);
		return err;
	}
	next->ops = ops;
	o->nr++;
	return 0;
}

/* All devices of a kind: those that open. */
static int open_kind(struct opening *o, const struct device_ops *ops)
{
	unsigned before = o->nr, count = 1;
	char index[16], why[160] = "";
	int err = -ENODEV;

	if (!ops->count || o->config.cuda_uuid)
		return open_one(o, ops);
	count = ops->count(&o->config, why, sizeof(why));
	if (!count)
		say(o, "%s", why);
	for (unsigned i = 0; i < count && o->nr < o->max; i++) {
		int failed;

		snprintf(index, sizeof(index), "%u", i);
		o->config.cuda_uuid = index;
		failed = open_one(o, ops);
		if (failed)
			err = failed;
	}
	o->config.cuda_uuid = NULL;
	return o->nr > before ? 0 : err;
}

/* The best that works here; a device that does not execute is never taken unasked. */
static int open_best(struct opening *o)
{
	for (int i = 0; device_table[i]; i++) {
		unsigned before = o->nr;

		if (open_kind(o, device_table[i]))
			continue;
		if (o->opened[before].ops->caps(o->opened[before].dev)->executes) {
			say(o, "%s, the best that works here", device_table[i]->name);
			return 0;
		}
		while (o->nr > before) {
			o->nr--;
			device_table[i]->close(o->opened[o->nr].dev);
		}
	}
	say(o, "no device works");
	return -ENODEV;
}

/* One word of the list: NAME or NAME:WHICH. */
static int open_word(struct opening *o, const char *word, size_t bytes)
{
	const char *colon = memchr(word, ':', bytes);
	size_t name = colon ? (size_t)(colon - word) : bytes;
	const struct device_ops *ops = find(word, name);
	char which[64];
	int err;

	if (bytes == 4 && !memcmp(word, "auto", 4))
		return open_best(o);
	if (!ops || (colon && (ops != &cuda_device_ops || bytes - name - 1 >= sizeof(which)))) {
		say(o, "device \"%.*s\": there is none; use auto, cuda, cuda:GPU, cpu or sim",
		    (int)bytes, word);
		return -EINVAL;
	}
	if (colon) {
		snprintf(which, sizeof(which), "%.*s", (int)(bytes - name - 1), colon + 1);
		o->config.cuda_uuid = which;
	}
	err = open_kind(o, ops);
	o->config.cuda_uuid = NULL;
	if (!err)
		say(o, "%.*s, as asked for", (int)bytes, word);
	return err;
}

static int open_list(struct opening *o, const char *list)
{
	int err = 0;

	while (!err) {
		size_t bytes = strcspn(list, ",");

		err = open_word(o, list, bytes);
		if (!list[bytes])
			break;
		list += bytes + 1;
	}
	if (!err)
		return 0;
	while (o->nr) {
		o->nr--;
		o->opened[o->nr].ops->close(o->opened[o->nr].dev);
	}
	return err;
}

int device_open_all(const struct device_config *config,
		    struct device_opened opened[DEVICE_MAX_OPEN], unsigned *nr, char *why,
		    size_t why_bytes)
{
	struct opening o = {
		.config = *config,
		.opened = opened,
		.max = DEVICE_MAX_OPEN,
		.why = why,
		.why_bytes = why_bytes,
	};
	int err;

	why[0] = '\0';
	err = open_list(&o, config->name ? config->name : "auto");
	*nr = o.nr;
	return err;
}

int device_open(const struct device_config *config, const struct device_ops **ops,
		struct device **dev, char *why, size_t why_bytes)
{
	const char *name = config->name ? config->name : "auto";
	struct device_opened opened = { 0 };
	struct opening o = {
		.config = *config,
		.opened = &opened,
		.max = 1,
		.why = why,
		.why_bytes = why_bytes,
	};
	int err;

	why[0] = '\0';
	err = open_word(&o, name, strlen(name));
	if (!err) {
		*ops = opened.ops;
		*dev = opened.dev;
	}
	return err;
}
