/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on the tenant socket: one request, one reply, descriptors alongside. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "shared/client/internal.h"

#define MAX_FDS 8 /* room for more than any reply carries, so that strays are seen and closed */

static size_t message_bytes(uint16_t type)
{
	switch (type) {
	case OOO_MSG_HELLO:
		return sizeof(struct ooo_msg_hello);
	case OOO_MSG_LOAD:
		return sizeof(struct ooo_msg_load);
	case OOO_MSG_BIND:
		return sizeof(struct ooo_msg_bind);
	case OOO_MSG_UNBIND:
	case OOO_MSG_UNLOAD:
		return sizeof(struct ooo_msg_unbind);
	case OOO_MSG_STATS:
		return sizeof(struct ooo_msg_stats);
	case OOO_MSG_ADMIT:
		return sizeof(struct ooo_msg_admit);
	case OOO_MSG_WELCOME:
		return sizeof(struct ooo_msg_welcome);
	case OOO_MSG_LOADED:
		return sizeof(struct ooo_msg_loaded);
	case OOO_MSG_BOUND:
		return sizeof(struct ooo_msg_bound);
	case OOO_MSG_DONE:
		return sizeof(struct ooo_msg_done);
	case OOO_MSG_STATS_REPLY:
		return sizeof(struct ooo_msg_stats_reply);
	case OOO_MSG_ADMITTED:
		return sizeof(struct ooo_msg_admitted);
	default:
		return 0;
	}
}

/* The agent's sentence in a refusal, "" if it sent none. */
static const char *reply_text(union reply *reply)
{
	char *text;

	switch (reply->msg.type) {
	case OOO_MSG_WELCOME:
		text = reply->welcome.text;
		break;
	case OOO_MSG_LOADED:
		text = reply->loaded.text;
		break;
	case OOO_MSG_BOUND:
		text = reply->bound.text;
		break;
	case OOO_MSG_DONE:
		text = reply->done.text;
		break;
	case OOO_MSG_ADMITTED:
		text = reply->admitted.text;
		break;
	default:
		return "";
	}
	text[OOO_TEXT_BYTES - 1] = '\0';
	return text;
}

static void close_all(int *fds, int nr_fds)
{
	for (int i = 0; i < nr_fds; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static int send_message(int sock, const struct ooo_msg *msg, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = (void *)msg, .iov_len = msg->bytes };
	struct msghdr head = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd >= 0) {
		memset(&control, 0, sizeof(control));
		head.msg_control = control.buf;
		head.msg_controllen = sizeof(control.buf);
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&head);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	do
		n = sendmsg(sock, &head, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	if (errno == EAGAIN) /* SO_SNDTIMEO */
		return -ETIMEDOUT;
	return errno == EPIPE || errno == ENOTCONN ? -ECONNRESET : -errno;
}

/* Wait until there is something to read; deadline_ns 0: for ever. */
static int wait_readable(int sock, uint64_t deadline_ns)
{
	struct pollfd pfd = { .fd = sock, .events = POLLIN };

	for (;;) {
		struct timespec ts, *left = NULL;
		int n;

		if (deadline_ns) {
			uint64_t now = ooo_now_ns();
			uint64_t ns = deadline_ns > now ? deadline_ns - now : 0;

			ts.tv_sec = (time_t)(ns / 1000000000u);
			ts.tv_nsec = (long)(ns % 1000000000u);
			left = &ts;
		}
		n = ppoll(&pfd, 1, left, NULL);
		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static int take_fds(struct msghdr *head, int *fds)
{
	int nr_fds = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c; c = CMSG_NXTHDR(head, c)) {
		int n = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (int i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + (size_t)i * sizeof(int), sizeof(fd));
			if (nr_fds < MAX_FDS)
				fds[nr_fds++] = fd;
			else
				close(fd);
		}
	}
	return nr_fds;
}

/* One message with its descriptors. The number of bytes, or -errno and nothing is kept. */
static ssize_t receive_message(int sock, union reply *reply, int *fds, int *nr_fds,
			       uint64_t deadline_ns)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(MAX_FDS * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = reply, .iov_len = sizeof(*reply) };
	struct msghdr head = { .msg_iov = &iov,
			       .msg_iovlen = 1,
			       .msg_control = control.buf,
			       .msg_controllen = sizeof(control.buf) };
	ssize_t n;
	int rc;

	*nr_fds = 0;
	do {
		rc = wait_readable(sock, deadline_ns);
		if (rc)
			return rc;
		n = recvmsg(sock, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	if (n < 0)
		return errno == ECONNRESET ? -ECONNRESET : -errno;
	*nr_fds = take_fds(&head, fds);
	if (n == 0 || (head.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		close_all(fds, *nr_fds);
		*nr_fds = 0;
		return n == 0 ? -ECONNRESET : -EPROTO;
	}
	return n;
}

static int check_reply(union reply *reply, ssize_t n, uint16_t want, char *why, size_t why_bytes)
{
	const struct ooo_msg *msg = &reply->msg;

	if ((size_t)n < sizeof(*msg) || msg->magic != OOO_MSG_MAGIC) {
		snprintf(why, why_bytes, "what answers on the socket is not an agent");
		return -EPROTO;
	}
	if (msg->version != OOO_ABI_VERSION) {
		snprintf(why, why_bytes,
			 "the agent speaks protocol version %u, this library version %u: "
			 "install the same release of both",
			 msg->version, OOO_ABI_VERSION);
		return -EPROTO;
	}
	/* A refusal may come as the plain DONE whatever was asked. */
	if ((msg->type != want && !(msg->type == OOO_MSG_DONE && msg->status)) ||
	    msg->bytes != (size_t)n || (size_t)n != message_bytes(msg->type)) {
		snprintf(why, why_bytes,
			 "the agent answered with a malformed message (type %u, %zd bytes)",
			 msg->type, n);
		return -EPROTO;
	}
	if (!msg->status)
		return 0;
	const char *text = reply_text(reply);
	snprintf(why, why_bytes, "%s", text[0] ? text : ooo_strstatus(msg->status));
	return client_status_errno(msg->status);
}

static int explain(int rc, const char *when, uint32_t timeout_ms, char *why, size_t why_bytes)
{
	if (rc == -ECONNRESET)
		snprintf(why, why_bytes, "the agent closed the connection");
	else if (rc == -ETIMEDOUT)
		snprintf(why, why_bytes, "no answer from the agent within %u ms", timeout_ms);
	else
		snprintf(why, why_bytes, "%s: %s", when, strerror(-rc));
	return rc;
}

int client_exchange(struct link *link, struct ooo_msg *req, int fd, uint16_t want,
		    union reply *reply, int *fds, int nr_fds, uint32_t timeout_ms, char *why,
		    size_t why_bytes)
{
	uint64_t deadline_ns = timeout_ms ? ooo_now_ns() + timeout_ms * UINT64_C(1000000) : 0;
	int got[MAX_FDS], nr_got;
	ssize_t n;
	int rc;

	req->magic = OOO_MSG_MAGIC;
	req->version = OOO_ABI_VERSION;
	req->bytes = (uint32_t)message_bytes(req->type);
	req->status = 0;
	rc = send_message(link->sock, req, fd);
	/* The agent may have refused and closed before it read this: its reply says why. */
	if (rc && rc != -ECONNRESET)
		return explain(rc, "cannot send to the agent", timeout_ms, why, why_bytes);
	for (;;) {
		n = receive_message(link->sock, reply, got, &nr_got, deadline_ns);
		if (n < 0) {
			if (n == -ETIMEDOUT)
				link->nr_overdue++;
			return explain((int)n, "cannot receive from the agent", timeout_ms, why,
				       why_bytes);
		}
		if (!link->nr_overdue)
			break;
		link->nr_overdue--;
		close_all(got, nr_got);
	}
	rc = check_reply(reply, n, want, why, why_bytes);
	if (!rc && nr_got != nr_fds) {
		snprintf(why, why_bytes, "the agent sent %d descriptors instead of %d", nr_got,
			 nr_fds);
		rc = -EPROTO;
	}
	if (rc)
		close_all(got, nr_got);
	else if (nr_fds)
		memcpy(fds, got, (size_t)nr_fds * sizeof(*fds));
	return rc;
}
