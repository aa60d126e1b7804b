/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop. Sources of events: the listening socket, the connections, mail that is back from
 * the dispatcher, jobs that are back from the loader, what the control thread asks for, signals.
 * There is a timeout only while something waits for one, so an idle agent does not wake up.
 *
 * End: drain (MAIL_DRAIN: everything accepted completes) -> all connections leave -> MAIL_STOP.
 */
#include "agent/tenant/door.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/log.h"
#include "agent/tenant/connection.h"

#define EVENTS_PER_ROUND  64
#define ACCEPTS_PER_ROUND 16   /* then the others get their turn */
#define MAX_GREETING      256  /* connections without HELLO; the oldest makes room */
#define MAX_CLOSING       4096 /* connections whose descriptors do not close */
#define LISTEN_AGAIN_NS   1000000000ull

uint64_t door_now_ns(void)
{
	return turn_clock_ns();
}

void conn_list_move(struct door_tenant *c, struct conn_list *to)
{
	struct conn_list *from = c->list;

	if (from) {
		*(c->prev ? &c->prev->next : &from->head) = c->next;
		*(c->next ? &c->next->prev : &from->tail) = c->prev;
		from->nr--;
	}
	c->list = to;
	c->next = NULL;
	c->prev = to->tail;
	*(to->tail ? &to->tail->next : &to->head) = c;
	to->tail = c;
	to->nr++;
}

/* ---- mail and jobs --------------------------------------------------------------------------- */

static void flush_unsent(struct door *door)
{
	struct mail *mail;

	while ((mail = door->unsent_head) && !mailbox_send(door->config.mailbox, mail)) {
		door->unsent_head = mail->next;
		if (!door->unsent_head)
			door->unsent_tail = NULL;
	}
}

void door_send_mail(struct door *door, struct mail *mail)
{
	mail->next = NULL;
	if (door->unsent_tail)
		door->unsent_tail->next = mail;
	else
		door->unsent_head = mail;
	door->unsent_tail = mail;
	flush_unsent(door);
}

static void clear_eventfd(int fd)
{
	uint64_t count;

	/* -EAGAIN: somebody read it before; either way it is clear. */
	if (read(fd, &count, sizeof(count)) < 0)
		return;
}

static void resume(struct door_tenant *c)
{
	c->busy = false;
	c->resume(c);
}

static void listen_on(struct door *door, bool on)
{
	struct epoll_event ev = { .events = on ? EPOLLIN : 0, .data.ptr = &door->listener };

	epoll_ctl(door->epoll_fd, EPOLL_CTL_MOD, door->config.listen_fd, &ev);
}

static void all_leave(struct conn_list *list)
{
	struct door_tenant *c, *next;

	for (c = list->head; c; c = next) {
		next = c->next;
		conn_leave(c);
	}
}

static void mail_ready(struct source *s, uint32_t events)
{
	struct door *door = ((struct source_of_door *)s)->door;
	struct mail *mail;

	clear_eventfd(door->config.mailbox->door_fd);
	while ((mail = mailbox_returned(door->config.mailbox))) {
		if (mail == &door->drain_mail) {
			log_info("drained: everything accepted is complete");
			door->drained = true;
			listen_on(door, false);
			all_leave(&door->greeting);
			all_leave(&door->tenants);
		} else if (mail == &door->stop_mail) {
			door->stopped = true;
		} else {
			resume(mail->cookie);
		}
	}
	flush_unsent(door);
}

static void jobs_ready(struct source *s, uint32_t events)
{
	struct door *door = ((struct source_of_door *)s)->door;
	struct job *job;

	clear_eventfd(loader_fd(door->config.loader));
	while ((job = loader_done(door->config.loader)))
		resume(job->cookie);
}

/* ---- accepting ------------------------------------------------------------------------------- */

static void accepted(struct door *door, int sock)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct peer peer;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len)) {
		close(sock);
		return;
	}
	peer = (struct peer){ .pid = cred.pid, .uid = cred.uid, .gid = cred.gid };
	if (door->greeting.nr >= MAX_GREETING) {
		log_tenant(LOG_LEVEL_WARN,
			   "pid %d, uid %u: connection closed: it said nothing and others wait",
			   (int)door->greeting.head->peer.pid, door->greeting.head->peer.uid);
		conn_leave(door->greeting.head);
	}
	if (!conn_new(door, sock, &peer))
		close(sock);
}

/* The socket would be readable all the time: look again in a while. */
static void accept_later(struct door *door, const char *why)
{
	log_tenant(LOG_LEVEL_WARN, "cannot accept a connection now: %s", why);
	listen_on(door, false);
	door->listen_again_ns = door_now_ns() + LISTEN_AGAIN_NS;
}

static void listener_ready(struct source *s, uint32_t events)
{
	struct door *door = ((struct source_of_door *)s)->door;

	if (door->nr_closing >= MAX_CLOSING) {
		accept_later(door, "too many descriptors of tenants do not close");
		return;
	}
	for (int i = 0; i < ACCEPTS_PER_ROUND; i++) {
		int sock =
			accept4(door->config.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (sock >= 0) {
			accepted(door, sock);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			   errno == ENOMEM) {
			accept_later(door, strerror(errno));
			return;
		} else if (errno != ECONNABORTED && errno != EINTR) {
			return;
		}
	}
}

/* ---- asked from outside ---------------------------------------------------------------------- */

static void start_drain(struct door *door)
{
	if (door->drain_by_ns)
		return;
	log_info("draining: new work is refused, %u tenants are connected", door->tenants.nr);
	door->drain_by_ns = door_now_ns() + door->config.limits.drain_ms * 1000000ull;
	registry_set_draining(door->config.registry);
	door->drain_mail.type = MAIL_DRAIN;
	door_send_mail(door, &door->drain_mail);
}

static struct door_tenant *take_evicted(struct registry *r, bool *drain)
{
	struct door_tenant *c = NULL;

	registry_lock(r);
	*drain = r->drain;
	for (struct registry_entry *e = r->head; e && !c; e = e->next) {
		if (e->evict)
			c = (void *)((char *)e - offsetof(struct door_tenant, entry));
	}
	if (c)
		c->entry.evict = false;
	registry_unlock(r);
	return c;
}

static void asked_ready(struct source *s, uint32_t events)
{
	struct door *door = ((struct source_of_door *)s)->door;
	struct door_tenant *c;
	bool drain;

	clear_eventfd(door->config.registry->door_fd);
	while ((c = take_evicted(door->config.registry, &drain))) {
		log_info("tenant %u \"%s\" (pid %d, uid %u): evicted by the administrator",
			 c->tenant->id, c->tenant->name, (int)c->tenant->pid, c->tenant->uid);
		conn_leave(c);
	}
	if (drain)
		start_drain(door);
}

static void signals_ready(struct source *s, uint32_t events)
{
	struct door *door = ((struct source_of_door *)s)->door;
	struct signalfd_siginfo info;

	while (read(door->config.signal_fd, &info, sizeof(info)) == sizeof(info)) {
		log_info("signal %s", sigabbrev_np((int)info.ssi_signo));
		if (door->drain_by_ns) {
			log_warn("the second signal: exit at once, %u tenants are connected",
				 door->tenants.nr);
			door->result = -EINTR;
		}
		start_drain(door);
	}
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void bury_dead(struct door *door)
{
	struct door_tenant *c;

	while ((c = door->dead.head)) {
		door->dead.head = c->next;
		if (c->sock >= 0)
			close(c->sock); /* drained: this drops nobody's file */
		free(c->programs);
		free(c);
	}
	door->dead = (struct conn_list){ 0 };
}

static void expire(struct door *door)
{
	uint64_t now = door_now_ns();
	struct door_tenant *c;

	while ((c = door->greeting.head) && c->hello_by_ns <= now) {
		log_tenant(LOG_LEVEL_WARN, "pid %d, uid %u: connection closed: no HELLO in %u ms",
			   (int)c->peer.pid, c->peer.uid, door->config.limits.hello_ms);
		conn_leave(c);
	}
	if (door->listen_again_ns && door->listen_again_ns <= now) {
		door->listen_again_ns = 0;
		listen_on(door, !door->drained);
	}
	if (door->drain_by_ns && door->drain_by_ns <= now) {
		log_error("the drain takes longer than %u ms: %u tenants are left",
			  door->config.limits.drain_ms, door->tenants.nr);
		door->result = -ETIMEDOUT;
	}
}

/* Milliseconds until the first of what has a time, rounded up; -1: nothing has. */
static int next_timeout(const struct door *door)
{
	uint64_t now, next = UINT64_MAX;

	if (door->greeting.head)
		next = door->greeting.head->hello_by_ns;
	if (door->listen_again_ns && door->listen_again_ns < next)
		next = door->listen_again_ns;
	if (door->drain_by_ns && door->drain_by_ns < next)
		next = door->drain_by_ns;
	if (next == UINT64_MAX)
		return -1;
	now = door_now_ns();
	return next <= now ? 0 : (int)((next - now + 999999) / 1000000);
}

/* Drained and everybody gone, but for descriptors that may never close: stop the dispatcher. */
static void stop_if_empty(struct door *door)
{
	if (!door->drained || door->stop_mail.type)
		return;
	if (door->greeting.nr + door->tenants.nr > door->nr_closing)
		return;
	door->stop_mail.type = MAIL_STOP;
	door_send_mail(door, &door->stop_mail);
}

int door_run(struct door *door)
{
	struct epoll_event events[EVENTS_PER_ROUND];

	while (!door->result && !door->stopped) {
		int n = epoll_wait(door->epoll_fd, events, EVENTS_PER_ROUND, next_timeout(door));

		for (int i = 0; i < n; i++) {
			struct source *s = events[i].data.ptr;

			s->ready(s, events[i].events);
		}
		expire(door);
		stop_if_empty(door);
		bury_dead(door);
	}
	return door->result;
}

static int add_source(struct door *door, struct source_of_door *s, int fd,
		      void (*ready)(struct source *s, uint32_t events))
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &s->source };

	s->source.ready = ready;
	s->door = door;
	if (fd < 0)
		return 0;
	return epoll_ctl(door->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

int door_new(const struct door_config *config, struct door **out)
{
	struct door *door = calloc(1, sizeof(*door));
	int err;

	if (!door)
		return -ENOMEM;
	door->config = *config;
	door->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	err = door->epoll_fd < 0 ? -errno : 0;
	if (!err)
		err = add_source(door, &door->listener, config->listen_fd, listener_ready);
	if (!err)
		err = add_source(door, &door->mail, config->mailbox->door_fd, mail_ready);
	if (!err)
		err = add_source(door, &door->jobs, loader_fd(config->loader), jobs_ready);
	if (!err)
		err = add_source(door, &door->asked, config->registry->door_fd, asked_ready);
	if (!err)
		err = add_source(door, &door->signals, config->signal_fd, signals_ready);
	if (err) {
		door_free(door);
		return err;
	}
	*out = door;
	return 0;
}

void door_free(struct door *door)
{
	if (!door)
		return;
	bury_dead(door);
	if (door->epoll_fd >= 0)
		close(door->epoll_fd);
	free(door);
}
