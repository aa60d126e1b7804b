/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the tenant socket: receive, check, reply. Nothing here knows of tenants or programs,
 * so the checks run on any bytes (tests/fuzz/handshake_fuzz.c). The rules are in
 * shared/abi/handshake.h.
 */
#ifndef OOO_AGENT_MESSAGES_H
#define OOO_AGENT_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/program/program.h"
#include "shared/abi/handshake.h"
#include "shared/abi/status.h"

union request_msg {
	struct ooo_msg msg;
	struct ooo_msg_hello hello;
	struct ooo_msg_load load;
	struct ooo_msg_bind bind;
	struct ooo_msg_unbind unbind; /* and UNLOAD */
	struct ooo_msg_stats stats;
	struct ooo_msg_admit admit;
};

union reply_msg {
	struct ooo_msg msg;
	struct ooo_msg_welcome welcome;
	struct ooo_msg_loaded loaded;
	struct ooo_msg_bound bound;
	struct ooo_msg_done done;
	struct ooo_msg_stats_reply stats;
	struct ooo_msg_admitted admitted;
};

#define MESSAGE_MAX_FDS 253 /* the kernel's SCM_MAX_FD */

struct received {
	union request_msg req; /* zero beyond bytes */
	size_t bytes;
	bool truncated; /* longer than any request */
	bool has_fds;
};

/*
 * Look at the next message of a non-blocking socket and leave it there. 0; -EAGAIN: none; -EPIPE:
 * the peer is gone.
 *
 * The kernel drops descriptors that came with a message and that nobody takes, and dropping the
 * last reference to somebody's file can block for as long as he likes (a TCP socket that lingers).
 * So a message with descriptors is either taken with all of them, or left in its socket, which the
 * loader's closer then closes.
 */
int message_peek(int sock, struct received *r);
/* Take the message just looked at. Returns how many descriptors came with it, in fds. */
unsigned message_take(int sock, int fds[MESSAGE_MAX_FDS]);
/* After shutdown(): take what is left. False: a message with descriptors is among it, unread. */
bool message_drain(int sock);

/*
 * Is it a well-formed request of this protocol, at this point of the conversation? OOO_OK: its
 * fields may be used. OOO_VERSION, OOO_BAD_MESSAGE: answer with why and close.
 */
enum ooo_status message_check(const struct received *r, bool greeted, char *why, size_t why_bytes);

/* A well-formed HELLO: its sizes. max_arena_bytes is the quota. OOO_OK, _INVALID, _QUOTA. */
enum ooo_status hello_check(const struct ooo_msg_hello *hello, uint64_t max_arena_bytes, char *why,
			    size_t why_bytes);

/* A LOAD's descriptor: is it a sealed memfd of the stated size? OOO_OK, OOO_BAD_PROGRAM. Does not
 * block, whatever it is. */
enum ooo_status program_fd_check(int fd, uint64_t bytes, char *why, size_t why_bytes);

/* A BIND's offsets against its program and the arena: OOO_OK and io[], OOO_INVALID, _BAD_BUFFER. */
enum ooo_status bind_check(const struct ooo_msg_bind *bind, const struct program *p, void *arena,
			   uint64_t arena_bytes, void *io[OOO_MAX_IO], char *why, size_t why_bytes);

/* Start the reply to a request of this type (unknown types: DONE); the rest is zero. */
void door_reply_init(union reply_msg *reply, uint16_t request_type, enum ooo_status status,
		     const char *text);
/* Send without blocking, with descriptors. 0 or -errno: the tenant does not read, or is gone. */
int door_reply_send(int sock, const union reply_msg *reply, const int *fds, unsigned nr_fds);

#endif
