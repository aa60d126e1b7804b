/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tenant socket (SOCK_SEQPACKET, default /run/ooo/agent.sock): one request message, one reply,
 * in order. Layout only. Every message starts with struct ooo_msg; a message of the wrong size, type
 * or version, or with a reserved field that is not zero, is answered with OOO_BAD_MESSAGE and the
 * connection is closed. The first message must be HELLO; there is one per connection.
 *
 *   HELLO   -> WELCOME  and four descriptors (SCM_RIGHTS): ring memfd, arena memfd, SQ eventfd (the
 *                       tenant writes it to wake the agent), CQ wake descriptor (readable when the
 *                       agent woke the tenant; read it empty, what is in it means nothing)
 *   LOAD    -> LOADED   carries one descriptor: the program (shared/abi/program.h) in a memfd sealed
 *                       with F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW, so that it cannot change
 *                       while the agent reads it. A compile takes as long as it takes; other
 *                       tenants are not delayed by it.
 *   BIND    -> BOUND    names arena offsets for every input and output, validated once, here
 *   UNBIND  -> DONE     refused (OOO_BUSY) while a request on it is in flight
 *   UNLOAD  -> DONE     refused (OOO_BUSY) while a request of it is in flight
 *   STATS   -> STATS_REPLY
 *   ADMIT   -> ADMITTED  whether requests at a rate would be in time; promises nothing
 *
 * Closing the socket disconnects: requests in flight finish, then everything is released.
 */
#ifndef OOO_ABI_HANDSHAKE_H
#define OOO_ABI_HANDSHAKE_H

#include <stddef.h>
#include <stdint.h>

#define OOO_MSG_MAGIC   0x4d304f4fu /* "OO0M" */
#define OOO_ABI_VERSION 1u

#define OOO_NAME_BYTES 32  /* tenant and program names, NUL-terminated, printable ASCII */
#define OOO_TEXT_BYTES 256 /* reason in a reply, NUL-terminated */
#define OOO_MAX_IO     64  /* inputs plus outputs of one program */

enum ooo_feature {
	OOO_FEATURE_CANCEL = 1u << 0,
};

enum ooo_msg_type {
	OOO_MSG_HELLO = 1,
	OOO_MSG_LOAD = 2,
	OOO_MSG_BIND = 3,
	OOO_MSG_UNBIND = 4,
	OOO_MSG_UNLOAD = 5,
	OOO_MSG_STATS = 6,
	OOO_MSG_ADMIT = 7,
	OOO_MSG_WELCOME = 65,
	OOO_MSG_LOADED = 66,
	OOO_MSG_BOUND = 67,
	OOO_MSG_DONE = 68,
	OOO_MSG_STATS_REPLY = 69,
	OOO_MSG_ADMITTED = 70,
};

struct ooo_msg {
	uint32_t magic;
	uint16_t version;
	uint16_t type;   /* enum ooo_msg_type */
	uint32_t bytes;  /* of the whole message */
	uint32_t status; /* enum ooo_status; 0 in requests */
};

struct ooo_msg_hello {
	struct ooo_msg msg;
	char name[OOO_NAME_BYTES]; /* declared tenant name, e.g. the service; empty = "pid-N" */
	uint32_t features;         /* wanted, enum ooo_feature */
	uint32_t sq_entries;       /* power of two, OOO_RING_MIN_ENTRIES..OOO_RING_MAX_ENTRIES */
	uint32_t cq_entries;       /* power of two, >= sq_entries, <= 2 * OOO_RING_MAX_ENTRIES */
	uint32_t resv0;
	uint64_t arena_bytes; /* multiple of 4096; 0 = none */
	uint64_t resv[4];
};

struct ooo_msg_welcome {
	struct ooo_msg msg;
	uint32_t tenant;   /* id, unique while the agent runs */
	uint32_t features; /* granted */
	uint32_t sq_entries;
	uint32_t cq_entries;
	uint64_t ring_bytes;
	uint64_t arena_bytes;
	uint32_t sq_off;
	uint32_t cq_off;
	uint64_t agent_id; /* differs between two runs of the agent */
	char device[OOO_NAME_BYTES];
	char text[OOO_TEXT_BYTES]; /* why status is not OK */
	uint64_t resv[4];
};

struct ooo_msg_load {
	struct ooo_msg msg;
	uint64_t program_bytes; /* size of the memfd */
	uint32_t precision;     /* enum ooo_dtype that fp32 may be computed in; 0 = as declared */
	uint32_t flags;         /* 0 */
	uint64_t resv[4];
};

struct ooo_msg_loaded {
	struct ooo_msg msg;
	uint32_t program;         /* id, unique within the tenant */
	uint32_t nr_steps;        /* after fusion */
	uint32_t nr_ops;          /* before */
	uint32_t slots;           /* requests of this program that can run at once */
	uint64_t weight_bytes;    /* packed, on the device */
	uint64_t workspace_bytes; /* planned peak of intermediates, one slot */
	uint64_t tensor_bytes;    /* what they would take without the plan */
	char text[OOO_TEXT_BYTES];
	uint64_t resv[4];
};

struct ooo_msg_bind {
	struct ooo_msg msg;
	uint32_t program;
	uint32_t nr;                 /* inputs first, then outputs, as the program declares them */
	uint64_t offset[OOO_MAX_IO]; /* bytes into the arena; beyond nr zero */
};

struct ooo_msg_bound {
	struct ooo_msg msg;
	uint32_t binding; /* id, unique within the program */
	uint32_t resv0;
	char text[OOO_TEXT_BYTES];
};

struct ooo_msg_unbind { /* also UNLOAD, with binding 0 */
	struct ooo_msg msg;
	uint32_t program;
	uint32_t binding;
};

struct ooo_msg_done {
	struct ooo_msg msg;
	char text[OOO_TEXT_BYTES];
};

struct ooo_msg_stats {
	struct ooo_msg msg;
};

struct ooo_msg_stats_reply {
	struct ooo_msg msg;
	uint64_t submitted;
	uint64_t completed; /* with any status */
	uint64_t failed;    /* with a status other than OK and LATE */
	uint64_t late;
	uint64_t refused;
	uint64_t cancelled;
	uint64_t steps;
	uint64_t bundles;    /* that held at least one of its steps */
	uint64_t service_ns; /* device time used */
	uint64_t weight_bytes;
	uint64_t workspace_bytes;
	uint64_t resv[5];
};

struct ooo_msg_admit {
	struct ooo_msg msg;
	uint32_t program;
	uint32_t resv0;
	uint64_t rate_milli; /* requests in 1000 s */
	uint64_t slo_ns;     /* 0 = as the administrator set for the tenant */
};

struct ooo_msg_admitted {
	struct ooo_msg msg;
	uint32_t admitted;   /* 0 or 1 */
	uint32_t measured;   /* requests that the prediction comes from; 0 = a guess */
	uint64_t most_milli; /* the highest rate that would be admitted */
	uint64_t bound_ns; /* 99 of 100 take no longer at the rate asked for; UINT64_MAX = no bound */
	char text[OOO_TEXT_BYTES];
	uint64_t resv[4];
};

#ifndef __cplusplus
_Static_assert(sizeof(struct ooo_msg) == 16, "ABI");
_Static_assert(sizeof(struct ooo_msg_hello) == 104, "ABI");
_Static_assert(sizeof(struct ooo_msg_welcome) == 384, "ABI");
_Static_assert(sizeof(struct ooo_msg_load) == 64, "ABI");
_Static_assert(sizeof(struct ooo_msg_loaded) == 344, "ABI");
_Static_assert(sizeof(struct ooo_msg_bind) == 24 + 8 * OOO_MAX_IO, "ABI");
_Static_assert(sizeof(struct ooo_msg_bound) == 280, "ABI");
_Static_assert(sizeof(struct ooo_msg_unbind) == 24, "ABI");
_Static_assert(sizeof(struct ooo_msg_done) == 272, "ABI");
_Static_assert(sizeof(struct ooo_msg_stats_reply) == 144, "ABI");
_Static_assert(sizeof(struct ooo_msg_admit) == 40, "ABI");
_Static_assert(sizeof(struct ooo_msg_admitted) == 328, "ABI");
#endif

#endif
