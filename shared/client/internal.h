/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libooo's private structures. Ownership: a client owns its link (one connection: socket, eventfds,
 * ring), its arena mapping and its programs; a program owns its bindings and the sealed memfd that
 * it was loaded from. A builder stands alone.
 *
 * Who writes what while requests run:
 *   submitters  under client->lock: struct submit_side, and entries that are free
 *   the poller  (one thread, no lock): struct poll_side, and entries in flight
 * An entry of the in-flight table passes from one to the other through the ring (submit) and
 * through the free ring (reap), so that neither path takes the other's lock.
 */
#ifndef OOO_CLIENT_INTERNAL_H
#define OOO_CLIENT_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/abi/handshake.h"
#include "shared/abi/program.h"
#include "shared/abi/ring.h"
#include "shared/client/ooo.h"
#include "shared/lib/infer.h"

#define CLIENT_ERROR_BYTES 512

/* ---- one connection (link.c, message.c) ------------------------------------------------------ */

struct link {
	int sock; /* every descriptor: -1 = none */
	int sq_eventfd;
	int cq_eventfd;
	int arena_fd;        /* until it is mapped */
	uint32_t nr_overdue; /* replies that came too late, to be thrown away */
	struct ooo_ring *ring;
	size_t ring_bytes;
	struct ooo_sqe *sqes;
	const struct ooo_cqe *cqes;
	uint32_t sq_entries, cq_entries; /* as granted: never read from shared memory */
	uint32_t features;
	uint32_t tenant;
	uint64_t arena_bytes; /* as granted, at least what was asked for */
	char device[OOO_NAME_BYTES];
};

struct link_options {
	char socket_path[108];
	char name[OOO_NAME_BYTES];
	uint32_t sq_entries;
	uint64_t arena_bytes;
	uint32_t timeout_ms;
};

union reply {
	struct ooo_msg msg;
	struct ooo_msg_welcome welcome;
	struct ooo_msg_loaded loaded;
	struct ooo_msg_bound bound;
	struct ooo_msg_done done;
	struct ooo_msg_stats_reply stats;
	struct ooo_msg_admitted admitted;
};

void client_link_init(struct link *link);
int client_link_open(struct link *link, const struct link_options *opts, char *why,
		     size_t why_bytes);
void client_link_close(struct link *link);
/* The agent closed the connection, or says in the ring that it dropped this tenant. */
bool client_link_lost(const struct link *link);

/*
 * Send req (its header is filled here, bytes and type apart) with fd (or -1), and take the reply of
 * type want. timeout_ms 0: none. The descriptors of a reply go to fds[nr_fds] (all of them are
 * there on success). -errno with a sentence in why; -ECONNRESET: the connection is lost.
 */
int client_exchange(struct link *link, struct ooo_msg *req, int fd, uint16_t want,
		    union reply *reply, int *fds, int nr_fds, uint32_t timeout_ms, char *why,
		    size_t why_bytes);

/* ---- arena: first fit over extents in private memory (arena.c) ------------------------------- */

struct extent {
	uint64_t off, bytes; /* multiples of OOO_BUFFER_ALIGN */
	struct extent *next;
	bool used;
};

struct arena {
	char *base;
	uint64_t bytes;
	struct extent *extents; /* by offset, without gaps */
};

int client_arena_init(struct arena *arena, uint64_t bytes);
void client_arena_destroy(struct arena *arena);
/* bytes is rounded up, 0 counts as 1. 0, -ENOSPC, -ENOMEM. */
int client_arena_alloc(struct arena *arena, uint64_t bytes, uint64_t *off);
void client_arena_free(struct arena *arena, uint64_t off);
uint64_t client_arena_room(const struct arena *arena); /* the largest free extent */

/* ---- requests (submit.c, poll.c, wait.c) ----------------------------------------------------- */

/*
 * A request in flight. The wire's cookie is gen << 32 | index, so a completion is checked against
 * the table, and the user's cookie may be anything. gen is odd while in flight.
 */
struct entry {
	uint64_t cookie; /* the user's */
	uint64_t submit_ns;
	struct ooo_binding *binding;
	uint32_t gen;
	uint32_t cancel_gen; /* submitters': gen for which a cancel was sent */
};

struct submit_side {
	uint32_t sq_tail;        /* ours, published */
	uint32_t sq_head_cached; /* the agent's, as last read */
	uint32_t free_head;
	uint32_t free_tail_cached;
	uint32_t nr_submitted; /* free-running; read by others */
	uint32_t nr_cancels;   /* sent, free-running */
};

/* How long waits took of late: decides how long the next one stays awake (wait.c). */
struct spin {
	uint32_t recent_us; /* moving average, SPIN_MAX_US at most */
	uint32_t in_vain;   /* waits in a row that were longer than that */
};

#define SPIN_MAX_US  100
#define SPIN_IN_VAIN 3 /* then spin less and less */

struct poll_side {
	uint32_t cq_head;         /* ours, published */
	uint32_t cq_tail_cached;  /* the agent's, as last read */
	uint32_t free_tail;       /* published to the submitters */
	uint32_t nr_reaped;       /* free-running; read by others */
	uint32_t nr_cancels_done; /* read by submitters */
	uint32_t lost_cursor;     /* next entry to report once the agent is gone */
	bool armed;               /* NEED_WAKEUP is set, and the eventfd may have been written */
	uint64_t looked_ns;       /* coarse clock when the socket was last looked at */
	struct spin spin;
};

struct ooo_client {
	struct link link;
	struct entry *entries;
	uint32_t *free_ring;  /* indices of free entries; head under the lock, tail the poller's */
	uint32_t nr_entries;  /* power of two: requests in flight at most */
	uint32_t max_cancels; /* in flight at most, so that completions always have room */
	uint32_t gone;        /* 0, or the enum ooo_status of what is still in flight */
	int epoll_fd;
	uint32_t spin_us;

	_Alignas(OOO_CACHE_LINE) pthread_mutex_t lock;
	struct submit_side sub;

	_Alignas(OOO_CACHE_LINE) struct poll_side pol;

	_Alignas(OOO_CACHE_LINE) struct link_options opts;
	struct arena arena;
	struct ooo_program *programs;
	char device[OOO_NAME_BYTES];
	char error[CLIENT_ERROR_BYTES];
	char gone_text[CLIENT_ERROR_BYTES]; /* written once, before gone is set */
	bool error_since_gone;
};

/* Hang-up and completions of link in the descriptor that the user polls. */
int client_watch(int epoll_fd, const struct link *link);
void client_unwatch(int epoll_fd, const struct link *link);

/* client_exchange() for the client's errors: what names the object ("load program 'x'"). */
int client_ask(struct ooo_client *client, struct link *link, struct ooo_msg *req, int fd,
	       uint16_t want, union reply *reply, uint32_t timeout_ms, const char *what);

/* Empty table and counters for a new link. 0 or -ENOMEM. */
int client_requests_init(struct ooo_client *client, const struct link *link);
/* Microseconds to spin, if asked_us are asked for; and what a wait teaches. */
uint32_t spin_budget(const struct spin *s, uint32_t asked_us);
void spin_learn(struct spin *s, uint64_t waited_us);
bool client_is_gone(const struct ooo_client *client);
/* From now on nothing is submitted, and what is in flight will be reported lost. */
void client_mark_gone(struct ooo_client *client);
bool client_look(struct ooo_client *client); /* mark gone if the link is lost: is it gone? */
void client_disarm(struct ooo_client *client);

__attribute__((format(printf, 3, 4))) int client_fail(struct ooo_client *client, int rc,
						      const char *format, ...);

/* ---- programs and bindings (program.c, binding.c) -------------------------------------------- */

struct ooo_program {
	struct ooo_client *client;
	struct ooo_program *next;
	struct ooo_binding *bindings;
	char name[OOO_NAME_BYTES];
	int fd; /* the sealed encoding, kept to load it again */
	uint64_t bytes;
	uint32_t precision;
	struct ooo_program_info info;
	struct shape io[OOO_MAX_IO]; /* inputs, then outputs */
};

struct ooo_binding {
	struct ooo_client *client;
	uint32_t program_id, id; /* what a submission names */
	uint32_t nr_submitted;   /* submitters', under the lock */
	uint32_t nr_reaped;      /* the poller's */
	struct ooo_program *program;
	struct ooo_binding *next;
	uint64_t off, bytes; /* in the arena */
	uint64_t io_off[OOO_MAX_IO];
};

int client_send_load(struct ooo_client *client, struct link *link, struct ooo_program *program);
int client_send_bind(struct ooo_client *client, struct link *link, struct ooo_binding *binding);
void client_program_free(struct ooo_program *program);
void client_binding_free(struct ooo_binding *binding);
uint32_t client_binding_inflight(const struct ooo_binding *binding);

/* Send UNBIND (or UNLOAD, with binding 0): 0 also when the agent knows no such thing. */
int client_send_drop(struct ooo_client *client, uint16_t type, uint32_t program, uint32_t binding,
		     const char *what);

int client_status_errno(uint32_t status);

/* ---- builder (builder.c, store.c, encode.c) -------------------------------------------------- */

struct tensor_decl {
	struct shape shape;
	uint32_t role; /* enum ooo_role */
	uint32_t io;
	uint64_t data_off, data_bytes;
};

/*
 * The constants' data, from the start in the memfd that will be sealed and sent: a model is held
 * once, however large. The tables are written behind the data when it is sealed.
 */
struct store {
	int fd; /* -1 until it is needed */
	bool sealed;
	bool stale;               /* the builder has changed since */
	uint64_t data_bytes;      /* multiple of 64 */
	uint64_t total_bytes;     /* once sealed */
	struct store_slot *slots; /* hash table of what is there, to store equal data once */
	uint32_t nr_slots, nr_used;
};

struct ooo_builder {
	char name[OOO_NAME_BYTES];
	bool invalid_name;
	struct tensor_decl *tensors;
	struct ooo_prog_op *ops;
	uint32_t *operands;
	uint32_t nr_tensors, max_tensors;
	uint32_t nr_ops, max_ops;
	uint32_t nr_operands, max_operands;
	uint32_t nr_inputs, nr_outputs;
	struct store *store;
	char error[CLIENT_ERROR_BYTES];
};

struct store *client_store_new(void);
void client_store_free(struct store *store);
/* Add nbytes of data, or find them: *off counts from the start of the data. 0 or -errno. */
int client_store_add(struct store *store, const char *name, const void *data, uint64_t nbytes,
		     uint64_t *off);
/* Make it writable again after a seal: a copy in a new memfd. */
int client_store_reopen(struct store *store, const char *name);
#define STORE_DATA_OFF 192 /* bytes: the header, rounded up to 64 */

/* The sealed encoding in *fd (the caller's to close) of *bytes bytes. 0 or -errno with a why. */
int client_encode(const struct ooo_builder *b, int *fd, uint64_t *bytes, char *why,
		  size_t why_bytes);

/* write(2) all of it. */
int client_write_at(int fd, const void *data, uint64_t bytes, uint64_t off);

#endif
