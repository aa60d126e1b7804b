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
#include "agent/policy/file.h"
#include "agent/policy/rate.h"
#include "agent/tenant/tenant.h"
#include "agent/turn.h"
#include "shared/lib/usage.h"

struct registry_device {
	const struct device_ops *ops; /* for memory() only: load and submit belong to other threads */
	struct device *dev;
	const struct device_caps *caps;
	const struct turn_stats *stats; /* read with stat_read() */
	const struct turn_config *config;
	const struct pressure *pressure; /* read with stat_read(); NULL: not known */
	struct pressure_view stalled;    /* as of the last registry_tick() */
	/* As the device last said; under the lock, caps' own are the dispatcher's. */
	struct device_partition partition[DEVICE_MAX_PARTITIONS];
	uint32_t closing;  /* place + 1 of one that goes: nobody new gets it */
	uint32_t nr_lanes; /* read with registry_device_lanes() */
};

/* The agent itself. Constant once the control thread runs, except the last three. */
struct registry_agent {
	pid_t pid;
	uint64_t agent_id; /* as in the WELCOME message */
	uint64_t start_ns; /* CLOCK_MONOTONIC */
	const char *runtime_dir;
	const char *socket_path;
	const char *device_why; /* which devices were taken, and why */
	struct registry_device devices[DEVICE_MAX_OPEN];
	uint32_t nr_devices;
	uint32_t max_tenants;
	uint64_t max_weight_bytes, max_workspace_bytes; /* of one tenant */
	uint32_t nr_tenants;                            /* connected now */
	uint64_t tenants_total;                         /* connected since the start */
	bool draining;
};

/* What the last seconds were like; see registry_tick(). */
struct tenant_watch {
	struct latency_window latency;
	struct pressure_view stalled;
	struct tenant_use {
		uint64_t at_ns, device_ns; /* at the last tick */
		double lanes;              /* that it kept busy in the second before */
	} use;
};

struct tenant_view {
	uint32_t id;
	pid_t pid;
	uid_t uid;
	gid_t gid;
	char name[OOO_NAME_BYTES];
	struct tenant_params params; /* as last set: the dispatcher has them a few turns later */
	uint32_t device;             /* index */
	uint64_t connected_ns;       /* CLOCK_MONOTONIC */
	uint64_t arena_bytes;
	uint32_t sq_entries, cq_entries;
	uint32_t nr_programs;
	uint64_t weight_bytes, workspace_bytes; /* of all its programs */
	const struct tenant_stats *stats;       /* valid under the lock; read with stat_read() */
	const struct ooo_tenant_stages *stages; /* likewise; NULL: not counted */
	const struct tenant_watch *watch;       /* valid under the lock */
	const struct pressure *stalled;         /* likewise; read with stat_read() */
};

struct program_view {
	uint32_t id;
	char name[OOO_NAME_BYTES];
	uint32_t nr_steps, nr_ops; /* after and before the compiler */
	uint32_t nr_bindings;
	uint32_t slots;
	uint32_t precision;                     /* enum ooo_dtype that it computes in */
	uint64_t weight_bytes, workspace_bytes; /* device memory taken */
	uint64_t requests;                      /* so far */
	const struct program *program;          /* immutable; valid under the lock */
};

struct registry;
struct errand;

void registry_lock(struct registry *r);
void registry_unlock(struct registry *r);

/* ---- under the lock -------------------------------------------------------------------------- */

const struct registry_agent *registry_agent(const struct registry *r);
/* Any thread, no lock: this cannot change back. */
bool registry_device_gone(const struct registry_device *d);
bool registry_device_lost(const struct registry_device *d); /* to this process */
uint32_t registry_device_lanes(const struct registry_device *d);
/* Place + 1 of its partition of that name; 0: it has none. */
uint32_t registry_find_partition(const struct registry_device *d, const char *name);
const char *registry_partition_name(const struct registry_device *d, const struct tenant_params *p);

/* Call fn for every tenant in order of id; a non-zero result ends the walk and is returned. */
int registry_for_each_tenant(const struct registry *r,
			     int (*fn)(const struct tenant_view *t, void *arg), void *arg);
/* The tenant with the lowest id that is >= id: for dumps that stop and go on. False: none. */
bool registry_tenant_from(struct registry *r, uint32_t id, struct tenant_view *view);
/* Programs of one tenant in order of id, likewise. */
bool registry_program_from(struct registry *r, uint32_t tenant, uint32_t id,
			   struct program_view *view);

struct step_view {
	char name[48];
	uint32_t klass;   /* enum kernel_class */
	uint32_t waits;   /* steps that it needs */
	uint32_t cost_ns; /* as learned */
	uint64_t flops;
};

/* A step of the program; false: there is none of that number, or no such program. */
bool registry_step(struct registry *r, uint32_t tenant, uint32_t program, uint32_t step,
		   struct step_view *view);

/* Set all of a tenant's parameters in one step; the door carries them to the dispatcher. 0; -ENOENT:
 * no such tenant; -ERANGE, -ENODEV (its device has no such partition) with a sentence in why. */
int registry_set_params(struct registry *r, uint32_t tenant, const struct tenant_params *params,
			char *why, size_t why_bytes);

/* How a policy file would change a tenant. */
struct policy_change {
	uint32_t tenant;
	uid_t uid;
	char name[OOO_NAME_BYTES];
	int rule; /* that it is of, -1: the defaults alone */
	char text[POLICY_CHANGE_BYTES];
};

/* The first tenant with an id >= id that f would change; false: none. f NULL: no policy file. */
bool registry_policy_from(const struct registry *r, const struct policy_file *f, uint32_t id,
			  struct policy_change *out);
/* Whether f can come into force. 0, or -ENODEV with a sentence in why. */
int registry_policy_check(struct registry *r, const struct policy_file *f, char *why,
			  size_t why_bytes);
/* After the check, under the same hold of the lock: f is the registry's and holds for all that are
 * connected. Returns how many tenants it changed. */
unsigned registry_policy_load(struct registry *r, struct policy_file *f);

/* Admission of a rate: the answer, and what it is made of. */
struct rate_view {
	struct rate_answer answer;
	double share;      /* of the device that the tenant may count on */
	uint64_t slo_ns;   /* 0: none */
	uint64_t work_ns;  /* predicted device time of a request, step after step */
	uint32_t measured; /* requests that the prediction comes from; 0: it is a guess */
};

/* slo_ns 0: the tenant's own. 0 or -ENOENT. */
int registry_admit_rate(const struct registry *r, uint32_t tenant, uint32_t program, double per_s,
			uint64_t slo_ns, struct rate_view *out);

/* Ask the door (it acts on it soon after): drain and exit as on SIGTERM; disconnect one tenant.
 * These only take notes and write an eventfd. 0; -ENOENT: no such tenant. */
void registry_ask_drain(struct registry *r);
void registry_ask_restart(struct registry *r); /* hand over to a fresh process, as on SIGUSR2 */
int registry_ask_evict(struct registry *r, uint32_t tenant);
/* Likewise: refuse new work and new tenants, or take them again; nobody is disconnected. */
void registry_ask_refuse(struct registry *r, bool refuse);

/* Call about once a second, without the lock: the averages of all views move on. */
void registry_tick(struct registry *r, uint64_t now_ns);

/* ---- the door's side ------------------------------------------------------------------------- */

struct registry_entry {
	struct tenant *tenant;
	uint64_t connected_ns;
	struct program_inst *programs[TENANT_MAX_PROGRAMS];
	uint32_t nr_bindings[TENANT_MAX_PROGRAMS];
	struct tenant_params params;      /* wanted */
	uint32_t nr_changes;              /* of its params */
	char cgroup[POLICY_CGROUP_BYTES]; /* of its process when it connected */
	struct tenant_params planned;     /* of registry_policy_check() */
	bool changed; /* in the list of those whose params the door has to send */
	struct registry_entry *next_changed;
	bool evict; /* asked for */
	struct tenant_watch watch;
	/* Metering: memory held so far, and what of all was billed. */
	double memory_byte_s;
	uint64_t memory_ns; /* counted up to then */
	struct usage_values billed;
	struct registry_entry *next, *prev;
};

struct registry {
	pthread_mutex_t lock;
	struct registry_agent agent;
	struct registry_entry *head, *tail; /* in order of tenant id */
	struct registry_entry *last;        /* looked up: the next one is near it; NULL: none */
	struct registry_entry *changed;
	struct policy_file *policy; /* in force; NULL: none */
	bool drain, restart;        /* asked for */
	bool refuse;                /* wanted */
	int door_fd;                /* eventfd that the door polls */
	struct errand *errands;     /* to be sent; agent/tenant/errand.h */
	bool errands_closed;
	pthread_cond_t errand_done;
	/* Told what a tenant used since it was last told; under the lock. NULL: nobody asks. */
	void (*bill)(void *arg, const struct tenant *t, const struct usage_values *used);
	void *bill_arg;
};

/* Bill all tenants, under the lock; one that leaves is billed by itself. */
void registry_bill(struct registry *r);

int registry_init(struct registry *r); /* 0 or -errno */
void registry_wake_door(struct registry *r);
/* A device before its flow starts: what caps says of lanes and partitions. */
void registry_read_partitions(struct registry_device *d);
void registry_tick_use(struct registry_entry *e, uint64_t now_ns); /* registry_tick()'s part */
void registry_fini(struct registry *r);
/* For the policy's rules; no lock. */
void registry_read_cgroup(struct registry_entry *e, pid_t pid);
/* What the policy says of a tenant that connects: fills its params and the entry's cgroup. */
void registry_admit(struct registry *r, struct registry_entry *e, struct tenant *t);
/* These take the lock. The entry belongs to the caller and stays in place until removed. */
void registry_add(struct registry *r, struct registry_entry *e);
void registry_remove(struct registry *r, struct registry_entry *e);
void registry_set_program(struct registry *r, struct registry_entry *e, uint32_t id,
			  struct program_inst *inst);
void registry_add_bindings(struct registry *r, struct registry_entry *e, uint32_t id, int n);
/* Of its device memory, as last set; 0: the agent's limits alone. */
uint64_t registry_memory_quota(struct registry *r, const struct registry_entry *e);
void registry_set_draining(struct registry *r, bool draining);
/* An entry whose params changed, and the params; NULL: none. */
struct registry_entry *registry_take_changed(struct registry *r, struct tenant_params *params);

#endif
