/* SPDX-License-Identifier: Apache-2.0 */
/* Making and freeing tenants and program instances. They are handed to the dispatcher by mail. */
#ifndef OOO_AGENT_OBJECT_H
#define OOO_AGENT_OBJECT_H

#include <stddef.h>
#include <stdint.h>

#include "agent/tenant/tenant.h"

struct peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

/* The descriptors that a tenant gets with its WELCOME, in this order. */
enum {
	TENANT_FD_RING,
	TENANT_FD_ARENA,
	TENANT_FD_SQ,
	TENANT_FD_CQ,
	TENANT_NR_FDS
};

/*
 * A tenant from its checked HELLO. fds[] are the tenant's: the caller sends them and then closes
 * them with tenant_close_fds(). -ENOMEM, -EMFILE, ...
 */
int tenant_new(const struct ooo_msg_hello *hello, const struct peer *peer, uint32_t id, int sock,
	       struct tenant **out, int fds[TENANT_NR_FDS]);
void tenant_close_fds(int fds[TENANT_NR_FDS]);

/* A tenant of an earlier process of this agent. The descriptors become the tenant's, also on
 * failure; sock stays the caller's. */
struct tenant_past {
	const char *name;
	struct peer peer;
	uint32_t id, sq_entries, cq_entries;
	uint64_t arena_bytes;
	uint32_t sq_head, cq_tail, cq_head; /* positions in the rings */
	int sock, sq_eventfd, cq_eventfd, ring_fd, arena_fd;
};

int tenant_again(const struct tenant_past *past, struct tenant **out); /* -EINVAL, -ENOMEM, ... */
/* NULL is fine. Nothing of it is in flight; its instances are freed already. */
void tenant_free(struct tenant *t);

/*
 * An instance of a compiled and loaded program; owns neither. -ENOMEM; -E2BIG: a step has more
 * predecessors than the window counts (the sentence in why names it).
 */
int program_inst_new(struct tenant *t, uint32_t id, const struct program *program,
		     struct device_program *dp, unsigned nr_slots, struct program_inst **out,
		     char *why, size_t why_bytes);
/* Take the device's classes of steps, if it has its own, in place of the kernels'. */
void program_inst_classify(struct program_inst *inst, const struct device_ops *ops);
void program_inst_free(struct program_inst *inst); /* NULL is fine */

#endif
