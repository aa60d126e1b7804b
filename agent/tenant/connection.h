/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the door: its state, and one connection.
 *
 * A connection has at most one thing outstanding, a mail or a job; when it is back, resume(c) goes
 * on. While something is outstanding the socket is not read. A hang-up only marks the connection as
 * gone; it is taken apart, in stages of the same kind, when nothing is outstanding any more:
 *
 *   MAIL_TENANT_DEL -> out of the registry -> JOB_RELEASE -> JOB_CLOSE if need be -> dead
 */
#ifndef OOO_AGENT_CONNECTION_H
#define OOO_AGENT_CONNECTION_H

#include "agent/tenant/door.h"
#include "agent/tenant/messages.h"
#include "agent/tenant/object.h"

struct source { /* what an epoll event leads to */
	void (*ready)(struct source *s, uint32_t events);
};

struct source_of_door {
	struct source source;
	struct door *door;
};

struct door_program {
	struct program_inst *inst;                         /* NULL: the id is free */
	uint64_t bindings_used[PROGRAM_MAX_BINDINGS / 64]; /* ids taken */
};

struct door_tenant { /* a connection */
	struct source source;
	struct door *door;
	int sock;
	struct peer peer;
	uint64_t hello_by_ns; /* CLOCK_MONOTONIC */
	bool in_epoll;
	bool busy;             /* mail or job is outstanding */
	bool gone;             /* hung up, or to be closed: no reply reaches it */
	bool leaving;          /* being taken apart */
	bool closing;          /* waits for JOB_CLOSE and nothing else */
	bool counted;          /* among the tenants: it has said a good HELLO */
	bool added;            /* to the dispatcher and the registry */
	struct tenant *tenant; /* NULL before HELLO; the dispatcher's until MAIL_TENANT_DEL is back */
	int tenant_fds[TENANT_NR_FDS]; /* on their way to the tenant */
	struct registry_entry entry;
	struct door_program *programs; /* TENANT_MAX_PROGRAMS, allocated with the tenant */
	uint64_t weight_bytes, workspace_bytes;

	/* the request in hand */
	union request_msg req;
	uint32_t index;                  /* the new program's or binding's id */
	int strays[MESSAGE_MAX_FDS + 1]; /* descriptors for JOB_CLOSE, with room for the socket */
	uint32_t nr_strays;
	enum ooo_status refusal; /* of a LOAD whose descriptor is being closed */
	char refusal_text[OOO_TEXT_BYTES];
	void (*resume)(struct door_tenant *c);
	struct mail mail;
	struct job job;

	struct conn_list *list; /* the one it is in */
	struct door_tenant *next, *prev;
};

struct conn_list {
	struct door_tenant *head, *tail; /* in order of arrival */
	uint32_t nr;
};

struct door {
	struct door_config config;
	int epoll_fd;
	struct source_of_door listener, mail, jobs, asked, signals;
	uint64_t listen_again_ns;  /* when to poll the listening socket again; 0: it is polled */
	struct conn_list greeting; /* have not said a good HELLO yet */
	struct conn_list tenants;
	struct conn_list dead; /* freed after this round's events */
	uint32_t nr_closing;
	uint32_t last_id;
	struct mail *unsent_head, *unsent_tail; /* the mailbox was full */
	struct mail drain_mail, stop_mail;
	uint64_t drain_by_ns; /* 0: not draining */
	bool drained, stopped;
	int result; /* of door_run(), once it is not 0 */
};

/* door.c */
uint64_t door_now_ns(void);
void door_send_mail(struct door *door, struct mail *mail);
void conn_list_move(struct door_tenant *c, struct conn_list *to);
/* c's stages: send what c->mail or c->job holds; resume(c) goes on with the result. */
void conn_mail(struct door_tenant *c, uint32_t type, void (*resume)(struct door_tenant *c));
void conn_job(struct door_tenant *c, uint32_t type, void (*resume)(struct door_tenant *c));

/* connection.c */
struct door_tenant *conn_new(struct door *door, int sock, const struct peer *peer);
void conn_leave(struct door_tenant *c); /* close it now, or when what is outstanding is back */
void conn_reply(struct door_tenant *c, const union reply_msg *reply);
/* Refuse the request in hand; the connection goes on. */
void conn_refuse(struct door_tenant *c, enum ooo_status status, const char *why);
/* The same, after the descriptor that came with it is closed. */
void conn_refuse_fd(struct door_tenant *c, int fd, enum ooo_status status, const char *why);
/* The same, and close it. */
void conn_reject(struct door_tenant *c, enum ooo_status status, const char *why);

/* requests.c: each answers sooner or later */
void request_hello(struct door_tenant *c);
void request_load(struct door_tenant *c, int fd);
void request_bind(struct door_tenant *c);
void request_unbind(struct door_tenant *c);
void request_unload(struct door_tenant *c);
void request_stats(struct door_tenant *c);

#endif
