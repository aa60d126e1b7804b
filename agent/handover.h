/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent hands over to a fresh image of itself: after a fault a GPU can be of no more use to the
 * process that met it, and an upgrade wants another program. The pid, the sockets, the tenants'
 * rings and arenas stay; execve() takes everything else, threads and contexts included.
 *
 * What stays is written as records into a sealed memfd, which `--resume FD` names to the new image.
 * It holds no addresses. The reader checks all of it before it uses any.
 */
#ifndef OOO_AGENT_HANDOVER_H
#define OOO_AGENT_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HANDOVER_VERSION   1
#define HANDOVER_MAX_BYTES (1ull << 30)
#define HANDOVER_MAX_WORDS 24
#define HANDOVER_NONE      UINT64_MAX /* in a field of kind FD_OR_NONE */

/* Devices in their order; then visitors and tenants. What belongs to a tenant follows it. */
enum handover_type {
	HANDOVER_AGENT = 1, /* the first record, and the only one of its kind */
	HANDOVER_DEVICE,    /* ends with its name */
	HANDOVER_VISITOR,
	HANDOVER_TENANT, /* ends with its name */
	HANDOVER_PARAMS, /* struct tenant_params; what an older agent does not know of is missing */
	HANDOVER_STATS,  /* struct tenant_stats, likewise */
	HANDOVER_PROGRAM,   /* of the tenant */
	HANDOVER_BINDING,   /* ends with the offsets of its buffers, 8 bytes each */
	HANDOVER_PARTITION, /* of the device before; ends with its name */
	HANDOVER_STAGES, /* the tenants' times by stage; ends with the map's path, if it has one */
	HANDOVER_TYPES
};

#define HANDOVER_FIELD(field, kind, min, max) uint64_t field;

struct handover_agent {
#define HANDOVER_AGENT HANDOVER_FIELD
#include "agent/handover.def"
};

struct handover_device {
#define HANDOVER_DEVICE HANDOVER_FIELD
#include "agent/handover.def"
};

struct handover_visitor {
#define HANDOVER_VISITOR HANDOVER_FIELD
#include "agent/handover.def"
};

struct handover_tenant {
#define HANDOVER_TENANT HANDOVER_FIELD
#include "agent/handover.def"
};

struct handover_program {
#define HANDOVER_PROGRAM HANDOVER_FIELD
#include "agent/handover.def"
};

struct handover_binding {
#define HANDOVER_BINDING HANDOVER_FIELD
#include "agent/handover.def"
};

struct handover_partition {
#define HANDOVER_PARTITION HANDOVER_FIELD
#include "agent/handover.def"
};

struct handover_stages {
#define HANDOVER_STAGES HANDOVER_FIELD
#include "agent/handover.def"
};

#undef HANDOVER_FIELD

struct handover_record {
	enum handover_type type;
	union {
		struct handover_agent agent;
		struct handover_device device;
		struct handover_visitor visitor;
		struct handover_tenant tenant;
		struct handover_program program;
		struct handover_binding binding;
		struct handover_partition partition;
		struct handover_stages stages;
		uint64_t words[HANDOVER_MAX_WORDS];
	};
	const void *tail; /* of the reader's memory */
	size_t tail_bytes;
};

/* ---- write ----------------------------------------------------------------------------------- */

struct handover_out;

struct handover_out *handover_new(void); /* NULL: no memory */
/* A failure shows in handover_seal(). */
void handover_put(struct handover_out *out, const struct handover_record *r);
int handover_seal(struct handover_out *out); /* the memfd, the caller's; < 0: -errno */
void handover_free(struct handover_out *out);

/*
 * Become the new image: argv, without an earlier --resume, and --resume fd. Only fd and the
 * descriptors of out's records stay open. Returns -errno if it could not; then all that can be done
 * is to exit. No other thread may be in the middle of something that must not end there.
 */
int handover_exec(const struct handover_out *out, int fd, char *const argv[]);

/* ---- read ------------------------------------------------------------------------------------ */

struct handover_in;

/* Check all of it, and let no other program inherit its descriptors. -EBADMSG with a sentence in
 * why. fd stays the caller's and may be closed at once. */
int handover_open(int fd, struct handover_in **in, char *why, size_t why_bytes);
/* The record at *at (0: the first), which moves on. False: there is none. */
bool handover_next(const struct handover_in *in, size_t *at, struct handover_record *r);
void handover_close(struct handover_in *in); /* leaves the descriptors in the records open */

/* ---- how often ------------------------------------------------------------------------------- */

#define HANDOVER_FAULTS    3
#define HANDOVER_WINDOW_NS 60000000000ull

struct handover_faults {
	uint64_t ns[HANDOVER_FAULTS]; /* newest first; 0: none */
};

/* A device was lost at now_ns. False: as it was as many times as there are within a minute before. */
bool handover_fault(struct handover_faults *f, uint64_t now_ns);

#endif
