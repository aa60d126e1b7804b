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

/* The door's end of one device's threads. */
struct door_device {
	struct source_of_device {
		struct source source;
		struct door_device *device;
	} mail, jobs;
	struct door *door;
	struct mailbox *mailbox;
	struct loader *loader;
	struct mail *unsent_head, *unsent_tail; /* the mailbox was full */
	struct mail drain_mail, stop_mail, pause_mail, resume_mail, refuse_mail;
	uint32_t nr_tenants; /* placed on it */
	bool drained, stopped, paused;
	bool loss_seen;   /* of a device that is lost to this process */
	bool refuses;     /* new work, as the dispatcher last said */
	bool refuse_sent; /* refuse_mail is on its way */
};

struct door_program {
	struct program_inst *inst;                /* NULL: the id is free */
	uint64_t *bindings[PROGRAM_MAX_BINDINGS]; /* the offsets of each's buffers; NULL: free */
};

struct door_tenant { /* a connection */
	struct source source;
	struct door *door;
	struct door_device *device; /* where it is placed; the first until it says HELLO */
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
	uint32_t index; /* the new program's or binding's id */
	size_t past_at; /* next record of its past, while it resumes */
	uint64_t past_requests;
	uint32_t past_device;            /* index, in the process before */
	int strays[MESSAGE_MAX_FDS + 1]; /* descriptors for JOB_CLOSE, with room for the socket */
	uint32_t nr_strays;
	enum ooo_status refusal; /* of a LOAD whose descriptor is being closed */
	char refusal_text[OOO_TEXT_BYTES];
	void (*resume)(struct door_tenant *c);
	struct mail mail;
	struct mail params_mail; /* beside `mail`: the dispatcher copies its params at once */
	struct tenant_params params, next_params; /* sent; to be sent after that */
	bool params_sent, params_again;
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
	struct source_of_door listener, asked, signals;
	struct door_device devices[DEVICE_MAX_OPEN];
	uint64_t listen_again_ns;  /* when to poll the listening socket again; 0: it is polled */
	struct conn_list greeting; /* have not said a good HELLO yet */
	struct conn_list tenants;
	struct conn_list dead; /* freed after this round's events */
	uint32_t nr_closing;
	uint32_t last_id;
	bool refuses;                   /* the administrator lets nothing new in */
	uint64_t drain_by_ns;           /* 0: not draining */
	bool drained;                   /* every device is */
	uint64_t handover_by_ns;        /* 0: not handing over */
	const struct handover_in *past; /* until all tenants in it are back; the caller's */
	uint64_t past_ns;               /* since when */
	uint32_t nr_resuming;
	int result; /* of door_run(), once it is not 0 */
};

/* door.c */
uint64_t door_now_ns(void);
void door_send_mail(struct door_device *device, struct mail *mail);
void door_listen(struct door *door, bool on);   /* for new connections and signals */
void door_visitor(struct door *door, int sock); /* a new connection; closes it on failure */
bool door_stop_devices(struct door *door);      /* MAIL_STOP to all; true: all have taken it */
/* Where c goes: the device that it had before if that works, -1 for none; its index. */
int door_place(struct door_tenant *c, int before);
const struct registry_device *door_registry_device(const struct door_device *device);
void conn_list_move(struct door_tenant *c, struct conn_list *to);
/* c's stages: send what c->mail or c->job holds; resume(c) goes on with the result. */
/* The administrator changed them. */
void conn_params(struct door_tenant *c, const struct tenant_params *params);
void conn_params_back(struct door_tenant *c);
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

/* A HELLO's work without a HELLO: a tenant of an earlier process. It owns the socket. */
struct door_tenant *conn_again(struct door *door, int sock, const struct peer *peer);
void conn_listen(struct door_tenant *c,
		 bool on); /* read requests, unless something is outstanding */

/* handover.c */
void handover_start(struct door *door, const char *reason);
bool handover_stops(const struct door *door); /* the dispatchers take no more mail */
bool handover_settle(struct door *door);      /* after each round; true: all is quiet and stopped */
bool handover_mail(struct door_device *device, struct mail *mail); /* false: it is not its own */

/* requests.c: each answers sooner or later */
void request_hello(struct door_tenant *c); /* places it on a device */
void request_load(struct door_tenant *c, int fd);
void request_bind(struct door_tenant *c);
void request_unbind(struct door_tenant *c);
void request_unload(struct door_tenant *c);
void request_stats(struct door_tenant *c);
void request_admit(struct door_tenant *c);
void program_loaded(struct door_tenant *c, struct program_inst *inst);
int binding_keep(struct door_program *p, uint32_t id, const uint64_t *offsets); /* -ENOMEM */
void programs_free(struct door_tenant *c); /* the door's table of them */

#endif
