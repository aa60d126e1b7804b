/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader: threads for what takes its time and must delay neither the door nor the dispatcher.
 * The door posts jobs and gets each back, with its result, exactly once: loader_fd() becomes
 * readable, loader_done() hands them out. A job has one owner at any time.
 *
 * Three queues, so that no kind of job waits for another kind: LOAD (compiles take seconds), the
 * quick ones, and CLOSE. CLOSE is for descriptors that a tenant sent: closing one can block for as
 * long as its owner likes (a file of FUSE, a TCP socket that lingers), or take its time (a memfd of
 * many gigabytes), and then only other such closes wait.
 */
#ifndef OOO_AGENT_LOADER_H
#define OOO_AGENT_LOADER_H

#include <stddef.h>
#include <stdint.h>

#include "agent/tenant/tenant.h"

enum job_type {
	JOB_LOAD, /* tenant, index, fd, bytes, limits -> inst, which keeps fd; closed on failure */
	JOB_BIND, /* inst, io -> binding */
	JOB_UNBIND,  /* binding */
	JOB_UNLOAD,  /* inst: with its bindings; frees it */
	JOB_RELEASE, /* tenant, insts[TENANT_MAX_PROGRAMS]: everything; frees them */
	JOB_CLOSE,   /* fds, nr_fds */
};

struct job {
	uint32_t type; /* enum job_type */
	int result;    /* 0 or -errno */
	struct tenant *tenant;
	struct program_inst *inst;
	struct program_inst **insts;
	struct device_binding *binding;
	uint32_t index; /* LOAD: the instance's id */
	int fd;
	const int *fds;
	uint32_t nr_fds;
	uint64_t bytes;
	bool share_weights; /* LOAD: equal weights of one user are stored once, if the device can */
	uint8_t precision;  /* LOAD: enum ooo_dtype to compute in; 0: as declared */
	uint64_t max_weight_bytes, max_workspace_bytes; /* LOAD: what the tenant has left */
	uint64_t memory_bytes, memory_used; /* LOAD: its quota of both together; 0: none */
	void *io[OOO_MAX_IO];
	char why[OOO_TEXT_BYTES]; /* of a result < 0 */
	void *cookie;             /* the sender's */
	struct job *next;
};

struct loader;

int loader_start(const struct device_ops *ops, struct device *dev, struct loader **out);
/* Every posted job has come back, except CLOSE jobs that block: their thread is left behind. */
void loader_stop(struct loader *l);

void loader_post(struct loader *l, struct job *job);
int loader_fd(const struct loader *l);     /* for poll */
struct job *loader_done(struct loader *l); /* NULL: none */

#endif
