/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the control plane. A datagram walks through
 *
 *   netlink.c  receive, verify the sender, pace
 *   verbs.c    header, attributes, permission, then the verb's handler
 *   permit.c   who may what, how often
 *   history.c  rates over the last second, counters since the last reset
 *   answer.c   records into messages, errors
 *
 * and publish.c tells ooo-ctl where all this listens. One thread runs it: nothing here is locked,
 * save what the registry locks.
 */
#ifndef OOO_AGENT_CONTROL_HANDLER_H
#define OOO_AGENT_CONTROL_HANDLER_H

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/control/control.h"
#include "agent/control/event.h"
#include "agent/tenant/registry.h"
#include "shared/abi/control.h"

struct nl_sock;

/* As the kernel vouches for it. */
struct sender {
	uint32_t port;
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

/* ---- permit.c -------------------------------------------------------------------------------- */

#define PERMIT_BUCKETS  64 /* by uid; users who share one share its rate */
#define PERMIT_CACHE    16
#define PERMIT_CACHE_NS 5000000000ull /* how long an answer of the user database is believed */

struct permit {
	uid_t agent_uid;
	bool has_group;
	gid_t group;
	struct permit_bucket {
		uint64_t filled_ns;
		uint64_t millitokens;
	} buckets[PERMIT_BUCKETS];
	struct permit_answer {
		uid_t uid;
		bool known, member;
		uint64_t asked_ns;
	} cache[PERMIT_CACHE];
	unsigned next_cache;
};

/* group: NULL or a name; -ENOENT if there is none of that name. */
int permit_init(struct permit *p, const char *group, uid_t agent_uid);
bool permit_admin(struct permit *p, const struct sender *from, uint64_t now_ns);
/* Take one token of the sender's; false: he asks too often. */
uint32_t permit_rate_of(const struct permit *p, const struct sender *from); /* requests a second */
bool permit_rate(struct permit *p, const struct sender *from, uint64_t now_ns);

/* ---- history.c ------------------------------------------------------------------------------- */

#define HISTORY_TICK_NS 1000000000ull

struct snapshot {
	uint64_t at_ns;
	struct turn_stats stats[DEVICE_MAX_OPEN]; /* of each device */
};

struct tenant_base {
	uint32_t id;
	struct tenant_stats stats;
};

struct history {
	const struct turn_stats *live[DEVICE_MAX_OPEN];
	unsigned nr_live;
	struct snapshot before, last; /* HISTORY_TICK_NS apart, so `before` is 1 to 2 ticks old */
	struct snapshot base;         /* the last reset, else the start */
	struct tenant_base *tenant_base; /* in order of id: who was there at the last reset */
	unsigned nr_tenant_base;
};

void history_init(struct history *h, const struct registry_agent *agent, uint64_t now_ns);
void history_fini(struct history *h);
/* Take a snapshot if one is due; how long until the next, in ns. */
uint64_t history_tick(struct history *h, uint64_t now_ns);
/* What happened since `before`, on one device or on all; *window_ns is how long that is. */
void history_recent_of(const struct history *h, unsigned device, uint64_t now_ns,
		       struct turn_stats *out, uint64_t *window_ns);
void history_recent(const struct history *h, uint64_t now_ns, struct turn_stats *out,
		    uint64_t *window_ns);
void history_since_reset(const struct history *h, uint64_t now_ns, struct turn_stats *out,
			 uint64_t *since_ns);
/* Under the registry's lock, which keeps t->stats in place. */
void history_tenant(const struct history *h, const struct tenant_view *t, struct tenant_stats *out);
int history_reset(struct history *h, struct registry *r, uint64_t now_ns); /* 0 or -ENOMEM */

/* ---- event_log.c ------------------------------------------------------------------------------ */

#define EVENT_LOG 1024 /* events that are kept */

struct event_base {
	uint32_t id;
	uint64_t refused, late;
};

struct event_log {
	struct event ring[EVENT_LOG]; /* event n at n % EVENT_LOG */
	uint64_t first, next;         /* numbers of the oldest there ever was, and of the next */
	struct event_base *base;      /* tenants' counters at the last scan, in order of id */
	unsigned nr_base;
	uint64_t scanned_ns;
};

/* Take what was posted, and now and then make events of what tenants' counters grew by. */
void event_log_run(struct event_log *log, struct registry *r, uint64_t now_ns);
void event_log_fini(struct event_log *log);

/* ---- the thread's state ---------------------------------------------------------------------- */

struct control_stats {
	uint64_t calls, errors, drops;
};

struct control {
	struct control_config config;
	struct registry *registry;
	uint64_t agent_id;
	struct permit permit;
	struct history history;
	struct event_log events;
	struct control_stats stats;
	struct control_stats base; /* at the last reset */
	struct nl_sock *sock;
	uint32_t port;
	int stop_fd;    /* eventfd: end the thread */
	int dir_fd;     /* the runtime directory */
	int publish_fd; /* the published file, kept open so that no other takes its inode */
	pthread_t thread;
	/* Send without waiting: 0 or -errno. Tests put their own here. */
	int (*send)(struct control *c, uint32_t port, const void *data, size_t bytes);
};

/* ---- publish.c ------------------------------------------------------------------------------- */

int publish_write(struct control *c);   /* 0 or -errno, said in the log */
void publish_remove(struct control *c); /* only what publish_write() put there */

/* ---- answer.c --------------------------------------------------------------------------------- */

/* An answer under way. */
struct answer {
	struct control *c;
	const struct sender *to;
	const struct nlmsghdr *request;
	bool multi;
	struct nl_msg *msg;  /* the part being filled */
	unsigned nr_records; /* in it */
	unsigned nr_parts;   /* begun */
};

/* Puts the fields of one record; < 0 if one did not fit. */
typedef int (*fill_fn)(struct nl_msg *msg, const void *data);

void answer_init(struct answer *r, struct control *c, const struct sender *to,
		 const struct nlmsghdr *request, bool multi);
/* Add one record. 0; -ENOSPC: this answer is as long as it may be, go on at a cursor; -EMSGSIZE:
 * fits in no message; -EAGAIN: the reader does not read, give up; -ENOMEM. */
int answer_put(struct answer *r, enum ooo_ctl_attr group, fill_fn fill, const void *data);
/* Send what is left and end a dump. more: cursor to go on from; NULL: that was all. */
int answer_end(struct answer *r, const uint64_t *more);
void answer_abort(struct answer *r);
/* A sentence for ooo-ctl's user; err 0 acknowledges. */
void answer_error(struct control *c, const struct sender *to, const struct nlmsghdr *request,
		  int err, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* ---- verbs.c --------------------------------------------------------------------------------- */

/* One datagram, of any content. False if its sender asks too often. */
bool control_handle(struct control *c, const struct sender *from, const void *data, size_t bytes,
		    uint64_t now_ns);

/* Why a call is refused; returns err. */
struct refusal {
	int err;
	char text[OOO_CTL_TEXT_BYTES];
};

int refuse(struct refusal *why, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- show_agent.c, show.c ---------------------------------------------------------------------------------- */

/* One checked request. */
struct call {
	struct control *c;
	const struct sender *from;
	const struct nlmsghdr *request;
	bool admin;
	uint64_t now_ns;
	bool has_cursor;
	uint64_t cursor; /* 0 without */
	/* What was given, by enum ooo_ctl_attr. */
	uint64_t has;
	uint64_t value[OOO_CTL_A_LIMIT];
	char name[OOO_NAME_BYTES], partition[OOO_NAME_BYTES], program[OOO_NAME_BYTES];
	struct refusal *why;
};

static inline bool call_has(const struct call *call, int attr)
{
	return call->has & 1ull << attr;
}

/* Does the call mean this tenant? All of them, if it names none. */
bool call_means(const struct call *call, const struct tenant_view *t);

/* 0 if answered; -errno is answered by the caller. */
/* Answer with one record. */
int answer_one(const struct call *call, enum ooo_ctl_attr group, fill_fn fill, const void *data);
/* part / whole in thousandths; 0 of nothing. */
uint64_t milli(uint64_t part, uint64_t whole);

/* show_agent.c */
uint32_t agent_lanes(const struct registry_agent *agent); /* of all devices */
int show_status(const struct call *call);
int show_devices(const struct call *call);
int show_partitions(const struct call *call);

/* show.c */
int show_tenants(const struct call *call);
int show_params(const struct call *call);
int show_programs(const struct call *call);
int show_stats(const struct call *call);
/* May the sender know of it? */
bool visible(const struct call *call, const struct tenant_view *t);
/* Of those whom he may know of, does the call mean somebody? True if it names none. */
bool somebody_meant(const struct call *call);
/* Is this the program that the call names, by its name or id? */
bool program_meant(const struct call *call, const struct program_view *p);

/* show_flow.c: what the dispatchers have in hand */
int show_requests(const struct call *call);
int show_bundles(const struct call *call);

/* show_steps.c */
int show_steps(const struct call *call);

/* partition.c */
int partition_add(const struct call *call);
int partition_del(const struct call *call);

/* policy_verbs.c */
int policy_show(const struct call *call);
int policy_diff(const struct call *call);
int policy_load(const struct call *call);

/* admit_verb.c */
int admit_ask(const struct call *call);

/* event_log.c */
int show_events(const struct call *call);

/* show_metrics.c */
int show_metrics(const struct call *call);

/* change.c: what only administrators may. -errno has a sentence in call->why. */
int change_stats(const struct call *call);
int change_tenant(const struct call *call);
int change_kick(const struct call *call);
int change_drain(const struct call *call);
int change_resume(const struct call *call);
int change_process(const struct call *call);

#endif
