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

#include "agent/control/event.h"
#include "agent/log.h"
#include "agent/tenant/connection.h"
#include "agent/tenant/errand.h"

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

static void flush_unsent(struct door_device *device)
{
	struct mail *mail;

	while ((mail = device->unsent_head) && !mailbox_send(device->mailbox, mail)) {
		device->unsent_head = mail->next;
		if (!device->unsent_head)
			device->unsent_tail = NULL;
	}
}

void door_send_mail(struct door_device *device, struct mail *mail)
{
	mail->next = NULL;
	if (device->unsent_tail)
		device->unsent_tail->next = mail;
	else
		device->unsent_head = mail;
	device->unsent_tail = mail;
	flush_unsent(device);
}

const struct registry_device *door_registry_device(const struct door_device *device)
{
	const struct door *door = device->door;

	return &door->config.registry->agent.devices[device - door->devices];
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
	struct epoll_event ev = { .data.ptr = &door->listener };

	if (on && !door->handover_by_ns && !door->past)
		ev.events = EPOLLIN;
	epoll_ctl(door->epoll_fd, EPOLL_CTL_MOD, door->config.listen_fd, &ev);
}

/* A signal that comes while this is off is the next process's: it stays pending. */
void door_listen(struct door *door, bool on)
{
	struct epoll_event ev = { .events = on ? EPOLLIN : 0, .data.ptr = &door->signals };

	listen_on(door, on);
	if (door->config.signal_fd >= 0)
		epoll_ctl(door->epoll_fd, EPOLL_CTL_MOD, door->config.signal_fd, &ev);
	ev.data.ptr = &door->asked;
	epoll_ctl(door->epoll_fd, EPOLL_CTL_MOD, door->config.registry->door_fd, &ev);
}

static void all_leave(struct conn_list *list)
{
	struct door_tenant *c, *next;

	for (c = list->head; c; c = next) {
		next = c->next;
		conn_leave(c);
	}
}

/* The last device to have drained ends the service. */
static void device_drained(struct door_device *device)
{
	struct door *door = device->door;

	device->drained = true;
	for (unsigned i = 0; i < door->config.nr_devices; i++) {
		if (!door->devices[i].drained)
			return;
	}
	log_info("drained: everything accepted is complete");
	door->drained = true;
	listen_on(door, false);
	all_leave(&door->greeting);
	all_leave(&door->tenants);
}

/* One mail at a time: what the administrator wants may change while it is out. */
static void send_refuse(struct door_device *device)
{
	bool refuse = device->door->refuses;

	if (device->refuse_sent || device->refuses == refuse)
		return;
	device->refuse_sent = true;
	device->refuse_mail = (struct mail){ .type = MAIL_REFUSE, .index = refuse };
	door_send_mail(device, &device->refuse_mail);
}

static void refuse_back(struct door_device *device)
{
	device->refuse_sent = false;
	device->refuses = device->refuse_mail.index;
	send_refuse(device);
}

static void mail_ready(struct source *s, uint32_t events)
{
	struct door_device *device = ((struct source_of_device *)s)->device;
	struct mail *mail;

	clear_eventfd(device->mailbox->door_fd);
	while ((mail = mailbox_returned(device->mailbox))) {
		if (handover_mail(device, mail))
			continue;
		if (mail == &device->drain_mail)
			device_drained(device);
		else if (mail == &device->stop_mail)
			device->stopped = true;
		else if (mail == &device->refuse_mail)
			refuse_back(device);
		else if (mail->errand)
			errand_back(device->door->config.registry, mail->errand);
		else if (mail->type == MAIL_TENANT_PARAMS)
			conn_params_back(mail->cookie);
		else
			resume(mail->cookie);
	}
	flush_unsent(device);
}

static void jobs_ready(struct source *s, uint32_t events)
{
	struct door_device *device = ((struct source_of_device *)s)->device;
	struct job *job;

	clear_eventfd(loader_fd(device->loader));
	while ((job = loader_done(device->loader)))
		resume(job->cookie);
}

/* ---- accepting ------------------------------------------------------------------------------- */

void door_visitor(struct door *door, int sock)
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
			door_visitor(door, sock);
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
	event_post(EVENT_DRAIN, NULL, 0, door->tenants.nr, NULL);
	registry_set_draining(door->config.registry, true);
	for (unsigned i = 0; i < door->config.nr_devices; i++) {
		door->devices[i].drain_mail.type = MAIL_DRAIN;
		door_send_mail(&door->devices[i], &door->devices[i].drain_mail);
	}
}

static void set_refuses(struct door *door, bool refuse)
{
	if (door->refuses == refuse || door->drain_by_ns)
		return;
	log_info(refuse ? "draining until told to resume: new work is refused"
			: "resumed: new work is taken");
	event_post(refuse ? EVENT_DRAIN : EVENT_RESUME, NULL, 0, door->tenants.nr, NULL);
	door->refuses = refuse;
	registry_set_draining(door->config.registry, refuse);
	for (unsigned i = 0; i < door->config.nr_devices; i++)
		send_refuse(&door->devices[i]);
}

static struct door_tenant *take_evicted(struct registry *r)
{
	struct door_tenant *c = NULL;

	registry_lock(r);
	for (struct registry_entry *e = r->head; e && !c; e = e->next) {
		if (e->evict)
			c = (void *)((char *)e - offsetof(struct door_tenant, entry));
	}
	if (c)
		c->entry.evict = false;
	registry_unlock(r);
	return c;
}

static struct door_tenant *conn_of(struct registry_entry *e)
{
	return (void *)((char *)e - offsetof(struct door_tenant, entry));
}

/* It stays until the mail to it is back: what takes it away is sent later, in order. */
static struct tenant *find_tenant(const struct door *door, uint32_t id)
{
	for (const struct door_tenant *c = door->tenants.head; c; c = c->next) {
		if (c->tenant && c->tenant->id == id)
			return c->added && !c->leaving ? c->tenant : NULL;
	}
	return NULL;
}

static void send_errand(struct door *door, struct errand *e)
{
	if (e->mail.type == MAIL_LOOK_REQUESTS) {
		e->mail.tenant = find_tenant(door, e->tenant);
		if (!e->mail.tenant) {
			e->mail.result = -ENOENT;
			errand_back(door->config.registry, e);
			return;
		}
		e->device = e->mail.tenant->device;
	}
	door_send_mail(&door->devices[e->device], &e->mail);
}

static void asked_ready(struct source *s, uint32_t events)
{
	struct door *door = ((struct source_of_door *)s)->door;
	struct tenant_params params;
	struct registry_entry *e;
	struct door_tenant *c;
	struct errand *errand;
	bool drain, restart, refuse;

	clear_eventfd(door->config.registry->door_fd);
	while ((e = registry_take_changed(door->config.registry, &params)))
		conn_params(conn_of(e), &params);
	while ((errand = errand_take(door->config.registry)))
		send_errand(door, errand);
	while ((c = take_evicted(door->config.registry))) {
		log_info("tenant %u \"%s\" (pid %d, uid %u): evicted by the administrator",
			 c->tenant->id, c->tenant->name, (int)c->tenant->pid, c->tenant->uid);
		conn_leave(c);
	}
	registry_lock(door->config.registry);
	drain = door->config.registry->drain;
	refuse = door->config.registry->refuse;
	restart = door->config.registry->restart;
	door->config.registry->restart = false;
	registry_unlock(door->config.registry);
	set_refuses(door, refuse);
	if (drain)
		start_drain(door);
	else if (restart)
		handover_start(door, "restart");
}

static void signals_ready(struct source *s, uint32_t events)
{
	struct door *door = ((struct source_of_door *)s)->door;
	struct signalfd_siginfo info;

	while (read(door->config.signal_fd, &info, sizeof(info)) == sizeof(info)) {
		log_info("signal %s", sigabbrev_np((int)info.ssi_signo));
		if (info.ssi_signo == SIGUSR2) {
			handover_start(door, "restart");
			continue;
		}
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
		programs_free(c);
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
	if (door->handover_by_ns && door->handover_by_ns < next)
		next = door->handover_by_ns;
	if (next == UINT64_MAX)
		return -1;
	now = door_now_ns();
	return next <= now ? 0 : (int)((next - now + 999999) / 1000000);
}

bool door_stop_devices(struct door *door)
{
	bool all = true;

	for (unsigned i = 0; i < door->config.nr_devices; i++) {
		struct door_device *device = &door->devices[i];

		all &= device->stopped;
		if (device->stop_mail.type)
			continue;
		device->stop_mail.type = MAIL_STOP;
		door_send_mail(device, &device->stop_mail);
	}
	return all;
}

/* Drained and everybody gone, but for descriptors that may never close: stop the dispatchers. True
 * once all of them have. */
static bool stop_if_empty(struct door *door)
{
	if (!door->drained || door->greeting.nr + door->tenants.nr > door->nr_closing)
		return false;
	return door_stop_devices(door);
}

int door_run(struct door *door)
{
	struct epoll_event events[EVENTS_PER_ROUND];
	bool stopped = false;

	while (!door->result && !stopped) {
		int n = epoll_wait(door->epoll_fd, events, EVENTS_PER_ROUND, next_timeout(door));

		for (int i = 0; i < n; i++) {
			struct source *s = events[i].data.ptr;

			s->ready(s, events[i].events);
		}
		expire(door);
		stopped = stop_if_empty(door);
		bury_dead(door);
		if (!stopped && handover_settle(door))
			door->result = DOOR_HANDOVER;
	}
	errand_close(door->config.registry);
	return door->result;
}

static int watch_source(struct door *door, struct source *s, int fd,
			void (*ready)(struct source *s, uint32_t events))
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = s };

	s->ready = ready;
	if (fd < 0)
		return 0;
	return epoll_ctl(door->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

static int add_source(struct door *door, struct source_of_door *s, int fd,
		      void (*ready)(struct source *s, uint32_t events))
{
	s->door = door;
	return watch_source(door, &s->source, fd, ready);
}

static int add_device(struct door *door, struct door_device *device,
		      const struct door_device_config *config)
{
	int err;

	device->door = door;
	device->mailbox = config->mailbox;
	device->loader = config->loader;
	device->mail.device = device->jobs.device = device;
	err = watch_source(door, &device->mail.source, config->mailbox->door_fd, mail_ready);
	if (err)
		return err;
	return watch_source(door, &device->jobs.source, loader_fd(config->loader), jobs_ready);
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
	for (unsigned i = 0; i < config->nr_devices && !err; i++)
		err = add_device(door, &door->devices[i], &config->devices[i]);
	if (!err)
		err = add_source(door, &door->asked, config->registry->door_fd, asked_ready);
	if (!err)
		err = add_source(door, &door->signals, config->signal_fd, signals_ready);
	if (err) {
		door_free(door);
		return err;
	}
	/* As the process before was told. */
	door->refuses = config->registry->refuse;
	for (unsigned i = 0; i < config->nr_devices; i++)
		send_refuse(&door->devices[i]);
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
