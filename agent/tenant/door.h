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
	bool no_weight_sharing; /* store equal weights of one user's tenants once for each tenant */
	uint32_t hello_ms;      /* a connection that says nothing is closed after this long */
	uint32_t drain_ms;      /* a drain that takes longer is given up */
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
	struct door_device_config {
		struct mailbox *mailbox;
		struct loader *loader;
	} devices[DEVICE_MAX_OPEN]; /* in the registry's order */
	unsigned nr_devices;
	struct registry *registry;
	struct stages *stages; /* tenants' times by stage; NULL: not counted; the caller's */
	struct handover_faults *faults; /* NULL: a lost device is gone; the caller's */
};

struct door;
struct handover_faults;
struct handover_in;
struct handover_out;
struct stages;

#define DOOR_HANDOVER 1 /* of door_run() */

int door_new(const struct door_config *config, struct door **out); /* 0 or -errno */
/*
 * Serve until drained, or until DOOR_HANDOVER: SIGUSR2, registry_ask_restart(), or a device that is
 * lost to this process. 0: everything accepted was completed and released, and the dispatchers have
 * taken MAIL_STOP. -EINTR: a second signal, -ETIMEDOUT: the drain took too long; then things are
 * still in flight, and all that is left to do is to exit.
 */
int door_run(struct door *door);
void door_free(struct door *door); /* after a door_run() that returned 0 */

/*
 * A door_run() that returned DOOR_HANDOVER has stopped the dispatchers with nothing in flight: once
 * their threads are joined, put visitors and tenants into records. All descriptors stay the door's.
 */
void door_save(const struct door *door, struct handover_out *out);
uint32_t door_last_id(const struct door *door);
/* Before door_run(): take them over. past stays until door_run() is over. */
void door_resume(struct door *door, const struct handover_in *past, uint32_t last_id);

#endif
