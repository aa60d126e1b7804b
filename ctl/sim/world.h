/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A simulated node: the agent's dispatcher, turn by turn, over the sim device, and tenants that live
 * in this process. Their rings are plain memory and are used as libooo uses them; nothing here
 * decides what runs when.
 */
#ifndef OOO_CTL_WORLD_H
#define OOO_CTL_WORLD_H

#include "agent/flow/flow.h"
#include "ctl/sim/device_file.h"

/* A program as its tenants load it; shared by them. */
struct world_program {
	struct program program;
	struct sim_cost cost; /* of each step */
};

/* A tenant and what libooo would hold for it. */
struct client {
	struct tenant t;
	struct program_inst *inst;
	uint32_t sq_tail, cq_head;
	uint32_t inflight, max_inflight;
	uint64_t slo_ns;   /* relative deadline of its requests; 0: none */
	bool deadline;     /* requests carry it; else the tenant's parameters alone do */
	uint64_t *waiting; /* arrivals that no room was for, a ring of waiting_room */
	uint32_t waiting_room, waiting_at, nr_waiting;
	struct mail mails[3];     /* what made it known to the dispatcher */
	struct client *next_done; /* completions to be read */
	bool done;
	void *user;
	unsigned group;
};

struct world {
	const struct sim_model *model;
	struct device *dev;
	struct mailbox mb;
	struct dispatcher *d;
	struct client *done; /* that have completions */
	uint32_t nr_clients;
	/* A completion of c; arrival_ns is what world_arrive() was told. May call world_arrive(). */
	void (*completed)(void *arg, struct client *c, const struct ooo_cqe *cqe,
			  uint64_t arrival_ns);
	void *arg;
};

/* A program of nr_steps steps after one another, for world_add(). */
int world_program_init(struct world_program *p, const struct device_file *f,
		       const struct measured_program *m, uint32_t nr_steps);
void world_program_fini(struct world_program *p);

/* 0 or -errno with a sentence in why. The model outlives the world. */
int world_open(struct world *w, const struct sim_model *model, const struct turn_config *turn,
	       char *why, size_t why_bytes);
/* c is zeroed but for its name in t, parameters, max_inflight, slo_ns, group; it outlives the world. */
int world_add(struct world *w, struct client *c, const struct world_program *p, char *why,
	      size_t why_bytes);
int world_settle(struct world *w); /* after the last world_add() */
void world_close(struct world *w);
void world_client_fini(struct world *w, struct client *c); /* after the last turn, before close */

uint64_t world_now(const struct world *w);
/* A request of c arrived at that time; it waits in the client while c has max_inflight in flight. */
int world_arrive(struct world *w, struct client *c, uint64_t arrival_ns);
/* One turn; next_ns is when something happens outside, beyond which time does not pass. False:
 * nothing is left to do and time went on to next_ns. */
bool world_turn(struct world *w, uint64_t next_ns);

#endif
