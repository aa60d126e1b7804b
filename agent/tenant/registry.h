/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent is doing, for the control thread: who is connected, what is loaded, on which
 * device. The door (main thread) is the only writer of the list; readers hold the lock, during
 * which no tenant and no program that they see goes away. The door never holds the lock over a
 * system call or an allocation, and neither should a reader: copy out, then format.
 *
 * The dispatcher knows nothing of the registry: counters are read with stat_read() where it keeps
 * them, in struct tenant, struct program_inst and struct turn_stats.
 */
#ifndef OOO_AGENT_REGISTRY_H
#define OOO_AGENT_REGISTRY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/device/device.h"
#include "agent/tenant/tenant.h"
#include "agent/turn.h"

#define REGISTRY_WEIGHT_MAX 10000u

/* The agent itself. Constant once the control thread runs, except the last three. */
struct registry_agent {
	pid_t pid;
	uint64_t agent_id; /* as in the WELCOME message */
	uint64_t start_ns; /* CLOCK_MONOTONIC */
	const char *runtime_dir;
	const char *socket_path;
	const char *device_why;       /* which device was taken, and why */
	const struct device_ops *ops; /* for caps only: load and submit belong to other threads */
	struct device *dev;
	const struct device_caps *caps;
	const struct turn_stats *stats; /* read with stat_read() */
	const struct turn_config *config;
	uint32_t max_tenants;
	uint32_t nr_tenants;    /* connected now */
	uint64_t tenants_total; /* connected since the start */
	bool draining;
};

struct tenant_view {
	uint32_t id;
	pid_t pid;
	uid_t uid;
	gid_t gid;
	char name[OOO_NAME_BYTES];
	uint32_t weight;
	uint64_t connected_ns; /* CLOCK_MONOTONIC */
	uint64_t arena_bytes;
	uint32_t sq_entries, cq_entries;
	uint32_t nr_programs;
	uint64_t weight_bytes, workspace_bytes; /* of all its programs */
	const struct tenant_stats *stats;       /* valid under the lock; read with stat_read() */
};

struct program_view {
	uint32_t id;
	char name[OOO_NAME_BYTES];
	uint32_t nr_steps, nr_ops; /* after and before the compiler */
	uint32_t nr_bindings;
	uint32_t slots;
	uint64_t weight_bytes, workspace_bytes; /* device memory taken */
	uint64_t requests;                      /* so far */
	const struct program *program;          /* immutable; valid under the lock */
};

struct registry;

void registry_lock(struct registry *r);
void registry_unlock(struct registry *r);

/* ---- under the lock -------------------------------------------------------------------------- */

const struct registry_agent *registry_agent(const struct registry *r);

/* Call fn for every tenant in order of id; a non-zero result ends the walk and is returned. */
int registry_for_each_tenant(const struct registry *r,
			     int (*fn)(const struct tenant_view *t, void *arg), void *arg);
/* The tenant with the lowest id that is >= id: for dumps that stop and go on. False: none. */
bool registry_tenant_from(const struct registry *r, uint32_t id, struct tenant_view *view);
/* Programs of one tenant in order of id, likewise. */
bool registry_program_from(const struct registry *r, uint32_t tenant, uint32_t id,
			   struct program_view *view);

/* Set a tenant's share, 1..REGISTRY_WEIGHT_MAX. 0; -ENOENT: no such tenant; -ERANGE. */
int registry_set_weight(struct registry *r, uint32_t tenant, uint32_t weight);

/* Ask the door (it acts on it soon after): drain and exit as on SIGTERM; disconnect one tenant.
 * These only take notes and write an eventfd. 0; -ENOENT: no such tenant. */
void registry_ask_drain(struct registry *r);
int registry_ask_evict(struct registry *r, uint32_t tenant);

/* ---- the door's side ------------------------------------------------------------------------- */

struct registry_entry {
	struct tenant *tenant;
	uint64_t connected_ns;
	struct program_inst *programs[TENANT_MAX_PROGRAMS];
	uint32_t nr_bindings[TENANT_MAX_PROGRAMS];
	bool evict; /* asked for */
	struct registry_entry *next, *prev;
};

struct registry {
	pthread_mutex_t lock;
	struct registry_agent agent;
	struct registry_entry *head, *tail; /* in order of tenant id */
	bool drain;                         /* asked for */
	int door_fd;                        /* eventfd that the door polls */
};

int registry_init(struct registry *r); /* 0 or -errno */
void registry_fini(struct registry *r);
/* These take the lock. The entry belongs to the caller and stays in place until removed. */
void registry_add(struct registry *r, struct registry_entry *e);
void registry_remove(struct registry *r, struct registry_entry *e);
void registry_set_program(struct registry *r, struct registry_entry *e, uint32_t id,
			  struct program_inst *inst);
void registry_add_bindings(struct registry *r, struct registry_entry *e, uint32_t id, int n);
void registry_set_draining(struct registry *r);

#endif
