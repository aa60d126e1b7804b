// SPDX-License-Identifier: Apache-2.0
/*
 * The control thread and its socket.
 *
 * NETLINK_USERSOCK lets any user send to any port of the same network namespace. The kernel attaches
 * the sender's port and, because of SO_PASSCRED, his credentials; a sender cannot leave them out, and
 * only one with CAP_SYS_ADMIN or CAP_SETUID can attach others than his own. A flood fills the socket's
 * buffer, where it makes the senders wait, and is read at a bounded pace; answers are sent without
 * waiting. So neither can hold up more than other askers.
 */
#include <errno.h>
#include <fcntl.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent/control/handler.h"
#include "agent/log.h"

#define RECEIVE_BUFFER (1 << 20) /* bytes; the kernel may give less */
#define BATCH          16        /* datagrams between two looks at the clock */
#define PACE_NS        1000000 /* pause after a batch with a flood in it: at most 16000 a second */

static int send_now(struct control *c, uint32_t port, const void *data, size_t bytes)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK, .nl_pid = port };
	int fd = nl_socket_get_fd(c->sock);

	if (sendto(fd, data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&to,
		   sizeof(to)) < 0)
		return -errno;
	return 0;
}

static bool verified(struct msghdr *msg, const struct sockaddr_nl *addr, struct sender *from)
{
	struct ucred cred;

	if (msg->msg_namelen != sizeof(*addr) || addr->nl_family != AF_NETLINK || !addr->nl_pid ||
	    addr->nl_groups)
		return false;
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(msg); cm; cm = CMSG_NXTHDR(msg, cm)) {
		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_CREDENTIALS ||
		    cm->cmsg_len != CMSG_LEN(sizeof(cred)))
			continue;
		memcpy(&cred, CMSG_DATA(cm), sizeof(cred));
		*from = (struct sender){ addr->nl_pid, cred.pid, cred.uid, cred.gid };
		return true;
	}
	return false;
}

/* One datagram. -EAGAIN: none is there; 1: its sender asks too often. */
static int receive(struct control *c, uint64_t now_ns)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} ancillary;
	_Alignas(struct nlmsghdr) char data[OOO_CTL_MAX_REQUEST];
	struct sockaddr_nl addr = { 0 };
	struct iovec iov = { data, sizeof(data) };
	struct msghdr msg = {
		.msg_name = &addr,
		.msg_namelen = sizeof(addr),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &ancillary,
		.msg_controllen = sizeof(ancillary),
	};
	struct sender from;
	ssize_t n = recvmsg(nl_socket_get_fd(c->sock), &msg, MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0)
		return -errno;
	if (!verified(&msg, &addr, &from)) {
		c->stats.calls++;
		c->stats.drops++;
		return 0;
	}
	/* n is the datagram's real length; control_handle() refuses it if it did not fit. */
	return control_handle(c, &from, data, (size_t)n, now_ns) ? 0 : 1;
}

static void receive_batch(struct control *c)
{
	const struct timespec pace = { .tv_nsec = PACE_NS };
	uint64_t now_ns = turn_clock_ns();
	bool slow = false;
	int err = 0;

	for (int i = 0; i < BATCH && err != -EAGAIN; i++) {
		err = receive(c, now_ns);
		if (err > 0)
			slow = true;
		if (err < 0 && err != -EAGAIN && err != -EINTR) {
			log_tenant(LOG_LEVEL_WARN, "control: receive: %s", strerror(-err));
			slow = true;
		}
	}
	if (slow)
		nanosleep(&pace, NULL);
}

/* How long until the next one. */
static uint64_t tick(struct control *c)
{
	uint64_t now_ns = turn_clock_ns(), wait_ns = history_tick(&c->history, now_ns);

	event_log_run(&c->events, c->registry, now_ns);
	if (wait_ns == HISTORY_TICK_NS)
		registry_tick(c->registry, now_ns);
	return wait_ns;
}

static void *control_thread(void *arg)
{
	struct control *c = arg;
	struct pollfd fds[2] = {
		{ .fd = nl_socket_get_fd(c->sock), .events = POLLIN },
		{ .fd = c->stop_fd, .events = POLLIN },
	};

	while (!fds[1].revents) {
		uint64_t wait_ns = tick(c);

		if (poll(fds, 2, (int)(wait_ns / 1000000) + 1) < 0) {
			fds[0].revents = 0;
			fds[1].revents = 0;
		}
		if (fds[0].revents)
			receive_batch(c);
	}
	return NULL;
}

static int open_socket(struct control *c)
{
	int err;

	c->sock = nl_socket_alloc();
	if (!c->sock)
		return -ENOMEM;
	errno = 0;
	if (c->config.socket_fd > 0)
		err = nl_socket_set_fd(c->sock, NETLINK_USERSOCK, c->config.socket_fd);
	else
		err = nl_connect(c->sock, NETLINK_USERSOCK);
	if (err) {
		err = errno ? -errno : -EPROTONOSUPPORT;
		log_error("control: cannot open a NETLINK_USERSOCK socket: %s", strerror(-err));
		return err;
	}
	nl_socket_set_buffer_size(c->sock, RECEIVE_BUFFER, 0);
	if (nl_socket_set_passcred(c->sock, 1) || nl_socket_set_nonblocking(c->sock)) {
		log_error("control: cannot have credentials attached to messages");
		return -EPROTONOSUPPORT;
	}
	c->port = nl_socket_get_local_port(c->sock);
	return 0;
}

/* Signals are main's: none may be taken here. */
static int start_thread(struct control *c)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&c->thread, NULL, control_thread, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err) {
		log_error("control: cannot start the thread: %s", strerror(err));
		return -err;
	}
	pthread_setname_np(c->thread, "ooo-control");
	return 0;
}

static void free_control(struct control *c)
{
	publish_remove(c);
	history_fini(&c->history);
	event_log_fini(&c->events);
	if (c->sock)
		nl_socket_free(c->sock);
	if (c->stop_fd >= 0)
		close(c->stop_fd);
	if (c->dir_fd >= 0)
		close(c->dir_fd);
	free(c);
}

static int open_files(struct control *c)
{
	int err;

	c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->stop_fd < 0)
		return -errno;
	c->dir_fd = open(c->config.runtime_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->dir_fd >= 0)
		return 0;
	err = -errno;
	log_error("control: cannot open the runtime directory %s: %s", c->config.runtime_dir,
		  strerror(-err));
	return err;
}

int control_start(const struct control_config *config, struct control **out)
{
	const struct registry_agent *agent = registry_agent(config->registry);
	struct control *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->config = *config;
	c->registry = config->registry;
	c->agent_id = agent->agent_id;
	c->events.first = c->events.next = config->first_event;
	c->send = send_now;
	c->stop_fd = c->dir_fd = c->publish_fd = -1;
	history_init(&c->history, agent, turn_clock_ns());
	err = permit_init(&c->permit, config->group, getuid());
	if (!err)
		err = open_files(c);
	if (!err)
		err = open_socket(c);
	if (!err)
		err = publish_write(c);
	if (!err)
		err = start_thread(c);
	if (err) {
		free_control(c);
		return err;
	}
	*out = c;
	return 0;
}

static void stop_thread(struct control *c)
{
	uint64_t one = 1;
	ssize_t n;

	do
		n = write(c->stop_fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	pthread_join(c->thread, NULL);
}

int control_hand_over(struct control *c, uint64_t *next_event)
{
	stop_thread(c);
	*next_event = c->events.next;
	return nl_socket_get_fd(c->sock);
}

void control_stop(struct control *c)
{
	if (!c)
		return;
	publish_remove(c); /* first: who comes now finds no agent, not a silent one */
	stop_thread(c);
	free_control(c);
}
