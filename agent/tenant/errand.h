/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the control thread wants of a dispatcher and waits for. The errand goes by the door, which
 * sends it as mail, so that the dispatcher hears of it between two turns and never meets a lock:
 *
 *   control: errand_run() -> door: errand_take(), mail -> dispatcher -> door: errand_back() -> control
 *
 * A control thread that has waited long enough leaves the errand to whoever ends it.
 */
#ifndef OOO_AGENT_ERRAND_H
#define OOO_AGENT_ERRAND_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/device/device.h"
#include "agent/flow/look.h"
#include "agent/mailbox.h"

#define ERRAND_WHY_BYTES 192

struct registry;

struct errand {
	struct mail mail; /* its type says what is wanted */
	uint32_t device;  /* index */
	int result;       /* 0 or -errno, with a sentence in why */
	char why[ERRAND_WHY_BYTES];

	/* MAIL_PARTITION_ADD, MAIL_PARTITION_DEL */
	char name[DEVICE_PARTITION_NAME];
	uint32_t units;                                           /* wanted, then had */
	struct device_partition partition[DEVICE_MAX_PARTITIONS]; /* as they are now */
	uint32_t nr_lanes;

	/* MAIL_LOOK_*; the door finds the tenant, -ENOENT: it is not there any more */
	uint32_t tenant; /* id */
	struct look look;

	bool done, left;
	struct errand *next;
};

/* Zeroed; NULL: no memory. */
struct errand *errand_new(uint32_t type, uint32_t device);
/* Control: run it and wait, without the registry's lock. Its result; -ETIMEDOUT: *e is no longer the
 * caller's and NULL. */
int errand_run(struct registry *r, struct errand **e, char *why, size_t why_bytes);

/* Door: the next one to be sent; NULL: none. Then what came back. */
struct errand *errand_take(struct registry *r);
void errand_back(struct registry *r, struct errand *e);
/* The door stops looking: what waits fails, and so does what comes. */
void errand_close(struct registry *r);

#endif
