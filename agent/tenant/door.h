/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tenant door: the main thread's event loop over the listening socket and its connections. It
 * never waits for anyone. What takes time goes to the loader, what touches the flow goes to the
 * dispatcher by mail, and the tenant is answered when that is back.
 */
#ifndef OOO_AGENT_DOOR_H
#define OOO_AGENT_DOOR_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/mailbox.h"
#include "agent/tenant/loader.h"
#include "agent/tenant/registry.h"

struct door_limits {
	uint32_t max_tenants;
	uint32_t max_tenants_per_uid; /* 0 = max_tenants */
	uint64_t max_arena_bytes;     /* of one tenant, as are the next two */
	uint64_t max_weight_bytes;
	uint64_t max_workspace_bytes;
	uint32_t hello_ms; /* a connection that says nothing is closed after this long */
	uint32_t drain_ms; /* a drain that takes longer is given up */
};

#define DOOR_LIMITS_DEFAULT                                                                        \
	{                                                                                          \
		.max_tenants = 1024, .max_arena_bytes = 4ull << 30,                                \
		.max_weight_bytes = UINT64_MAX, .max_workspace_bytes = UINT64_MAX,                 \
		.hello_ms = 5000, .drain_ms = 30000,                                               \
	}

struct door_config {
	struct door_limits limits;
	int listen_fd; /* listening, SOCK_SEQPACKET; these are the caller's and outlive the door */
	int signal_fd; /* signalfd: the first signal drains, the second stops at once; -1: none */
	struct mailbox *mailbox;
	struct loader *loader;
	struct registry *registry;
};

struct door;

int door_new(const struct door_config *config, struct door **out); /* 0 or -errno */
/*
 * Serve until drained. 0: everything accepted was completed and released, and the dispatcher has
 * taken MAIL_STOP. -EINTR: a second signal, -ETIMEDOUT: the drain took too long; then things are
 * still in flight, and all that is left to do is to exit.
 */
int door_run(struct door *door);
void door_free(struct door *door); /* after a door_run() that returned 0 */

#endif
