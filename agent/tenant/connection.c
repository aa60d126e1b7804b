/* SPDX-License-Identifier: Apache-2.0 */
/* One connection: its messages one by one, and its end, at whatever moment that comes. */
#include "agent/tenant/connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/control/event.h"
#include "agent/log.h"
#include "agent/watch/stages.h"

#define WATCH_ALWAYS EPOLLRDHUP /* EPOLLHUP and EPOLLERR come unasked */

static void watch(struct door_tenant *c, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = &c->source };

	if (c->door->handover_by_ns || c->door->past)
		ev.events &= ~(uint32_t)EPOLLIN; /* the next process reads it */
	if (c->in_epoll)
		epoll_ctl(c->door->epoll_fd, EPOLL_CTL_MOD, c->sock, &ev);
}

static void dispatch_request(struct door_tenant *c, int fd)
{
	switch (c->req.msg.type) {
	case OOO_MSG_HELLO:
		request_hello(c);
		break;
	case OOO_MSG_LOAD:
		request_load(c, fd);
		break;
	case OOO_MSG_BIND:
		request_bind(c);
		break;
	case OOO_MSG_UNBIND:
		request_unbind(c);
		break;
	case OOO_MSG_UNLOAD:
		request_unload(c);
		break;
	case OOO_MSG_STATS:
		request_stats(c);
		break;
	case OOO_MSG_ADMIT:
		request_admit(c);
		break;
	}
}

/* Take the LOAD's descriptor; -1: it was not right, and the connection is closed. */
static int take_fd(struct door_tenant *c)
{
	int *fds = c->strays;

	c->nr_strays = message_take(c->sock, fds);
	if (c->nr_strays == 0) {
		conn_reject(c, OOO_NO_MEMORY, "LOAD: the agent has too many files open");
		return -1;
	}
	if (c->nr_strays > 1) {
		conn_reject(c, OOO_BAD_MESSAGE, "LOAD: more than one descriptor came with it");
		return -1;
	}
	c->nr_strays = 0;
	return fds[0];
}

static void receive(struct door_tenant *c)
{
	struct received r;
	enum ooo_status status;
	char why[OOO_TEXT_BYTES];
	int fd = -1, err = message_peek(c->sock, &r);

	if (err == -EAGAIN)
		return;
	if (err) {
		conn_leave(c);
		return;
	}
	c->req = r.req;
	status = message_check(&r, c->counted, why, sizeof(why));
	if (status != OOO_OK) {
		conn_reject(c, status, why);
		return;
	}
	if (r.has_fds) {
		fd = take_fd(c);
		if (fd < 0)
			return;
	} else {
		message_take(c->sock, c->strays); /* none, as we know */
	}
	dispatch_request(c, fd);
}

static void conn_ready(struct source *s, uint32_t events)
{
	struct door_tenant *c = (struct door_tenant *)s; /* its first member */

	if (c->gone)
		return;
	if (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP))
		conn_leave(c);
	else if (!c->busy && !c->door->handover_by_ns && !c->door->past)
		receive(c);
}

struct door_tenant *conn_new(struct door *door, int sock, const struct peer *peer)
{
	struct door_tenant *c = calloc(1, sizeof(*c));
	/* While others resume, it waits. */
	struct epoll_event ev = { .events = (door->past ? 0 : EPOLLIN) | WATCH_ALWAYS };

	if (!c)
		return NULL;
	c->source.ready = conn_ready;
	c->door = door;
	c->device = &door->devices[0];
	c->sock = sock;
	c->peer = *peer;
	c->mail.cookie = c->job.cookie = c;
	for (int i = 0; i < TENANT_NR_FDS; i++)
		c->tenant_fds[i] = -1;
	ev.data.ptr = &c->source;
	if (epoll_ctl(door->epoll_fd, EPOLL_CTL_ADD, sock, &ev)) {
		free(c);
		return NULL;
	}
	c->in_epoll = true;
	c->hello_by_ns = door_now_ns() + door->config.limits.hello_ms * 1000000ull;
	conn_list_move(c, &door->greeting);
	return c;
}

struct door_tenant *conn_again(struct door *door, int sock, const struct peer *peer)
{
	struct door_tenant *c = conn_new(door, sock, peer);

	if (!c)
		return NULL;
	conn_list_move(c, &door->tenants);
	watch(c, WATCH_ALWAYS);
	return c;
}

void conn_listen(struct door_tenant *c, bool on)
{
	if (!c->busy && !c->gone)
		watch(c, on ? EPOLLIN | WATCH_ALWAYS : WATCH_ALWAYS);
}

void conn_mail(struct door_tenant *c, uint32_t type, void (*resume)(struct door_tenant *c))
{
	c->busy = true;
	c->resume = resume;
	c->mail.type = type;
	c->mail.tenant = c->tenant;
	watch(c, WATCH_ALWAYS);
	door_send_mail(c->device, &c->mail);
}

void conn_params(struct door_tenant *c, const struct tenant_params *params)
{
	if (c->leaving)
		return; /* MAIL_TENANT_DEL is on its way */
	c->params_again = c->params_sent;
	c->next_params = *params;
	if (c->params_sent)
		return;
	c->params = *params;
	c->params_sent = true;
	c->params_mail = (struct mail){
		.type = MAIL_TENANT_PARAMS,
		.tenant = c->tenant,
		.params = &c->params,
		.cookie = c,
	};
	door_send_mail(c->device, &c->params_mail);
}

void conn_params_back(struct door_tenant *c)
{
	c->params_sent = false;
	if (c->params_again)
		conn_params(c, &c->next_params);
}

void conn_job(struct door_tenant *c, uint32_t type, void (*resume)(struct door_tenant *c))
{
	c->busy = true;
	c->resume = resume;
	c->job.type = type;
	c->job.tenant = c->tenant;
	watch(c, WATCH_ALWAYS);
	loader_post(c->device->loader, &c->job);
}

static void close_strays(struct door_tenant *c, void (*resume)(struct door_tenant *c))
{
	c->job.fds = c->strays;
	c->job.nr_fds = c->nr_strays;
	conn_job(c, JOB_CLOSE, resume);
}

/* ---- replies --------------------------------------------------------------------------------- */

void conn_reply(struct door_tenant *c, const union reply_msg *reply)
{
	int err = 0;

	if (!c->gone && c->tenant_fds[0] >= 0)
		err = door_reply_send(c->sock, reply, c->tenant_fds, TENANT_NR_FDS);
	else if (!c->gone)
		err = door_reply_send(c->sock, reply, NULL, 0);
	tenant_close_fds(c->tenant_fds);
	if (err == -EAGAIN)
		log_tenant(LOG_LEVEL_WARN, "pid %d, uid %u: it does not read its replies",
			   (int)c->peer.pid, c->peer.uid);
	if (err || c->gone) {
		conn_leave(c);
	} else {
		watch(c, EPOLLIN | WATCH_ALWAYS);
	}
}

void conn_refuse(struct door_tenant *c, enum ooo_status status, const char *why)
{
	union reply_msg reply;

	log_tenant(LOG_LEVEL_DEBUG, "pid %d, uid %u: refused: %s", (int)c->peer.pid, c->peer.uid,
		   why);
	door_reply_init(&reply, c->req.msg.type, status, why);
	conn_reply(c, &reply);
}

static void fd_closed(struct door_tenant *c)
{
	c->nr_strays = 0;
	conn_refuse(c, c->refusal, c->refusal_text);
}

void conn_refuse_fd(struct door_tenant *c, int fd, enum ooo_status status, const char *why)
{
	c->refusal = status;
	snprintf(c->refusal_text, sizeof(c->refusal_text), "%s", why);
	c->strays[0] = fd;
	c->nr_strays = 1;
	close_strays(c, fd_closed);
}

void conn_reject(struct door_tenant *c, enum ooo_status status, const char *why)
{
	union reply_msg reply;

	log_tenant(LOG_LEVEL_WARN, "pid %d, uid %u: connection closed: %s", (int)c->peer.pid,
		   c->peer.uid, why);
	door_reply_init(&reply, c->req.msg.type, status, why);
	tenant_close_fds(c->tenant_fds);
	if (!c->gone)
		door_reply_send(c->sock, &reply, NULL,
				0); /* it is closed whether that arrives or not */
	conn_leave(c);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void conn_dead(struct door_tenant *c)
{
	if (c->closing)
		c->door->nr_closing--;
	conn_list_move(c, &c->door->dead);
}

/* Whoever sent the descriptors decides how long it takes to close them. */
static void leave_close(struct door_tenant *c)
{
	if (!message_drain(c->sock)) {
		c->strays[c->nr_strays++] = c->sock;
		c->sock = -1;
	}
	if (!c->nr_strays) {
		conn_dead(c);
		return;
	}
	c->closing = true;
	c->door->nr_closing++;
	close_strays(c, conn_dead);
}

static void leave_released(struct door_tenant *c)
{
	c->device->nr_tenants--;
	c->tenant = NULL;
	leave_close(c);
}

static void leave_release(struct door_tenant *c)
{
	stages_give(c->door->config.stages, c->tenant->stages);
	c->job.insts = c->entry.programs;
	conn_job(c, JOB_RELEASE, leave_released);
}

/* The dispatcher has let go of the tenant: nothing of it is in flight. */
static void leave_flow(struct door_tenant *c)
{
	struct tenant *t = c->tenant;

	log_tenant(LOG_LEVEL_INFO, "tenant %u \"%s\" (pid %d, uid %u): disconnected, %llu requests",
		   t->id, t->name, (int)t->pid, t->uid,
		   (unsigned long long)stat_read(&t->stats.completed));
	event_post(EVENT_DISCONNECT, t, t->device, stat_read(&t->stats.completed), NULL);
	registry_remove(c->door->config.registry, &c->entry);
	leave_release(c);
}

void conn_leave(struct door_tenant *c)
{
	c->gone = true;
	if (c->in_epoll) {
		epoll_ctl(c->door->epoll_fd, EPOLL_CTL_DEL, c->sock, NULL);
		c->in_epoll = false;
		shutdown(c->sock, SHUT_RDWR); /* the peer may still read what was sent */
	}
	if (c->busy || c->leaving)
		return;
	if (c->added && handover_stops(c->door))
		return; /* no dispatcher would let go of it; the next process finds it hung up */
	c->leaving = true;
	if (c->added)
		conn_mail(c, MAIL_TENANT_DEL, leave_flow);
	else if (c->tenant)
		leave_release(c);
	else
		leave_close(c);
}
