// SPDX-License-Identifier: Apache-2.0
/*
 * The socket is connected to the agent's port, so the kernel refuses what other processes send to it;
 * what arrives is checked all the same, as something may have come before the socket was connected,
 * and the port may have changed hands since the agent published it.
 */
#include "ctl/link.h"

#include <errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#define ANSWER_MS      3000
#define RECEIVE_BUFFER (256 << 10) /* bytes: room for a dump's parts */
#define MAX_CURSORS    100000      /* requests of one dump */

struct link {
	struct agent_file agent;
	struct nl_sock *sock;
	uint32_t seq;
	bool warned;
};

/* One call under way. */
struct exchange {
	struct link *l;
	const struct link_request *request;
	link_record_fn fn;
	void *arg;
	char *why;
	size_t why_bytes;
	uint64_t cursor, next_cursor;
	bool has_cursor, has_next;
	bool done;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

bool link_sender_ok(const struct agent_file *agent, uint32_t port, const struct ucred *cred)
{
	return port == agent->port && cred && cred->pid == agent->pid && cred->uid == agent->uid;
}

static enum ctl_exit give_up(struct exchange *x, enum ctl_exit code, const char *what)
{
	snprintf(x->why, x->why_bytes, "%s", what);
	return code;
}

static enum ctl_exit gone(struct exchange *x, const char *what)
{
	const struct agent_file *a = &x->l->agent;

	snprintf(
		x->why, x->why_bytes,
		"no agent: %s at netlink port %u of pid %d: it ended without taking its file away, "
		"or it is in another network namespace",
		what, a->port, (int)a->pid);
	return CTL_NO_AGENT;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int connect_socket(struct link *l)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK, .nl_pid = l->agent.port };
	struct timeval wait = { .tv_sec = ANSWER_MS / 1000 };
	int fd = nl_socket_get_fd(l->sock);

	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return -errno;
	return 0;
}

enum ctl_exit ctl_link_open(const struct agent_file *agent, struct link **out, char *why,
			    size_t why_bytes)
{
	struct link *l = calloc(1, sizeof(*l));
	int err = -ENOMEM;

	if (!l)
		goto fail;
	l->agent = *agent;
	l->seq = (uint32_t)time(NULL);
	l->sock = nl_socket_alloc();
	if (!l->sock)
		goto fail;
	errno = 0;
	if (nl_connect(l->sock, NETLINK_USERSOCK)) {
		err = errno ? -errno : -EPROTONOSUPPORT;
		goto fail;
	}
	nl_socket_set_peer_port(l->sock, agent->port);
	nl_socket_set_buffer_size(l->sock, RECEIVE_BUFFER, 0);
	nl_socket_set_msg_buf_size(l->sock, OOO_CTL_MSG_BYTES);
	err = -EPROTONOSUPPORT;
	if (nl_socket_set_passcred(l->sock, 1))
		goto fail;
	err = connect_socket(l);
	if (err)
		goto fail;
	*out = l;
	return CTL_OK;

fail:
	snprintf(why, why_bytes, "cannot open a NETLINK_USERSOCK socket: %s", strerror(-err));
	ctl_link_close(l);
	return CTL_NO_AGENT;
}

void ctl_link_close(struct link *l)
{
	if (!l)
		return;
	if (l->sock)
		nl_socket_free(l->sock);
	free(l);
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* TENANT_ID and WEIGHT are older than the rest, and narrower. */
static int put_arg(struct nl_msg *msg, const struct link_request *r, int attr)
{
	if (r->text[attr])
		return nla_put_string(msg, attr, r->text[attr]);
	if (attr == OOO_CTL_A_TENANT_ID || attr == OOO_CTL_A_WEIGHT)
		return nla_put_u32(msg, attr, (uint32_t)r->value[attr]);
	return nla_put_u64(msg, attr, r->value[attr]);
}

static int put_args(struct nl_msg *msg, const struct link_request *r)
{
	int err = 0;

	for (int attr = 0; attr < OOO_CTL_A_LIMIT && !err; attr++)
		if (r->has & 1ull << attr)
			err = put_arg(msg, r, attr);
	return err;
}

static struct nl_msg *request_message(const struct exchange *x)
{
	int flags = NLM_F_REQUEST | (x->request->reply == OOO_CTL_DUMP ? NLM_F_DUMP : 0);
	struct nl_msg *msg = nlmsg_alloc_size(OOO_CTL_MAX_REQUEST);

	if (!msg)
		return NULL;
	if (nlmsg_put(msg, nl_socket_get_local_port(x->l->sock), x->l->seq, x->request->type, 0,
		      flags) &&
	    !nla_put_u32(msg, OOO_CTL_A_MAGIC, OOO_CTL_MAGIC) &&
	    !nla_put_u32(msg, OOO_CTL_A_VERSION, OOO_CTL_VERSION) &&
	    !(x->has_cursor && nla_put_u64(msg, OOO_CTL_A_CURSOR, x->cursor)) &&
	    !put_args(msg, x->request))
		return msg;
	nlmsg_free(msg);
	return NULL;
}

static enum ctl_exit send_request(struct exchange *x)
{
	struct nl_msg *msg = request_message(x);
	int n, err;

	if (!msg)
		return give_up(x, CTL_REFUSED, "out of memory");
	errno = 0;
	n = nl_send(x->l->sock, msg);
	err = errno;
	nlmsg_free(msg);
	if (n >= 0)
		return CTL_OK;
	if (err == ECONNREFUSED)
		return gone(x, "nobody listens");
	if (err == EAGAIN)
		return gone(x, "too many requests are waiting");
	snprintf(x->why, x->why_bytes, "cannot send to the agent: %s",
		 err ? strerror(err) : nl_geterror(n));
	return CTL_NO_AGENT;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static bool from_this_agent(const struct link *l, struct nlattr *id)
{
	return id && nla_len(id) == 8 && nla_get_u64(id) == l->agent.agent_id;
}

static enum ctl_exit another_agent(struct exchange *x)
{
	return give_up(
		x, CTL_NO_AGENT,
		"the answer is of another run of the agent than the published one: try again");
}

static enum ctl_exit take_error(struct exchange *x, struct nlmsghdr *nlh)
{
	const struct nlmsgerr *e = nlmsg_data(nlh);
	struct nlattr *text;

	if (nlmsg_datalen(nlh) < (int)sizeof(*e))
		return give_up(x, CTL_REFUSED, "the agent's error is cut short");
	if (!from_this_agent(x->l, nlmsg_find_attr(nlh, sizeof(*e), OOO_CTL_ERR_AGENT_ID)))
		return another_agent(x);
	x->done = true;
	if (!e->error && x->request->reply != OOO_CTL_ACK)
		return give_up(x, CTL_REFUSED, "the agent acknowledged without an answer");
	text = nlmsg_find_attr(nlh, sizeof(*e), NLMSGERR_ATTR_MSG);
	if (text && nla_len(text) > 0)
		snprintf(x->why, x->why_bytes, "%s%.*s", e->error ? "refused: " : "", nla_len(text),
			 (const char *)nla_data(text));
	else if (e->error)
		snprintf(x->why, x->why_bytes, "refused: %s", strerror(-e->error));
	else
		x->why[0] = 0;
	for (char *p = x->why; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	return e->error ? CTL_REFUSED : CTL_OK;
}

static enum ctl_exit take_done(struct exchange *x, struct nlmsghdr *nlh)
{
	struct nlattr *cursor;

	if (!from_this_agent(x->l, nlmsg_find_attr(nlh, sizeof(int), OOO_CTL_A_AGENT_ID)))
		return another_agent(x);
	cursor = nlmsg_find_attr(nlh, sizeof(int), OOO_CTL_A_CURSOR);
	if (cursor && nla_len(cursor) == 8) {
		x->has_next = true;
		x->next_cursor = nla_get_u64(cursor);
	}
	x->done = true;
	return CTL_OK;
}

static enum ctl_exit take_records(struct exchange *x, struct nlmsghdr *nlh)
{
	struct nlattr *nla;
	int rem, err;

	if (!from_this_agent(x->l, nlmsg_find_attr(nlh, 0, OOO_CTL_A_AGENT_ID)))
		return another_agent(x);
	nlmsg_for_each_attr(nla, nlh, 0, rem)
	{
		err = nla_is_nested(nla) ? x->fn(nla_type(nla), nla, x->arg) : 0;
		if (err == -ENOMEM)
			return give_up(x, CTL_REFUSED, "out of memory");
		if (err)
			return give_up(
				x, CTL_REFUSED,
				"the agent's answer is malformed: use the ooo-ctl of its release");
	}
	if (!(nlh->nlmsg_flags & NLM_F_MULTI))
		x->done = true;
	return CTL_OK;
}

static enum ctl_exit take_message(struct exchange *x, struct nlmsghdr *nlh)
{
	if (nlh->nlmsg_seq != x->l->seq)
		return CTL_OK; /* late answer to a call that was given up */
	if (nlh->nlmsg_type == NLMSG_ERROR)
		return take_error(x, nlh);
	if (nlh->nlmsg_type == NLMSG_DONE)
		return take_done(x, nlh);
	if (nlh->nlmsg_type == x->request->type)
		return take_records(x, nlh);
	return CTL_OK;
}

static enum ctl_exit strange_sender(struct exchange *x, uint32_t port, const struct ucred *cred)
{
	struct link *l = x->l;
	long pid = cred ? (long)cred->pid : 0, uid = cred ? (long)cred->uid : -1;

	if (port == l->agent.port) {
		snprintf(
			x->why, x->why_bytes,
			"no agent: netlink port %u answers as pid %ld, uid %ld, but the agent is pid %d, "
			"uid %u: another process has taken its port; not believed",
			port, pid, uid, (int)l->agent.pid, (unsigned)l->agent.uid);
		return CTL_NO_AGENT;
	}
	if (!l->warned)
		fprintf(stderr,
			"ooo-ctl: ignored a message from netlink port %u (pid %ld, uid %ld), which is not the agent\n",
			port, pid, uid);
	l->warned = true;
	return CTL_OK;
}

/* One datagram, which is there. */
static enum ctl_exit receive(struct exchange *x)
{
	struct sockaddr_nl from = { 0 };
	struct ucred *cred = NULL;
	unsigned char *buf = NULL;
	enum ctl_exit code = CTL_OK;
	int n = nl_recv(x->l->sock, &from, &buf, &cred);

	if (n <= 0) {
		if (n && n != -NLE_AGAIN && n != -NLE_INTR) {
			snprintf(x->why, x->why_bytes, "cannot receive: %s", nl_geterror(n));
			code = CTL_NO_AGENT;
		}
	} else if (!link_sender_ok(&x->l->agent, from.nl_pid, cred)) {
		code = strange_sender(x, from.nl_pid, cred);
	} else {
		struct nlmsghdr *nlh = (struct nlmsghdr *)buf;

		for (; nlmsg_ok(nlh, n) && code == CTL_OK && !x->done; nlh = nlmsg_next(nlh, &n))
			code = take_message(x, nlh);
	}
	free(buf);
	free(cred);
	return code;
}

/* The deadline starts again with each message of a dump, so that only silence ends it; strangers'
 * messages do not count. */
static enum ctl_exit take_answer(struct exchange *x)
{
	struct pollfd fd = { .fd = nl_socket_get_fd(x->l->sock), .events = POLLIN };
	uint64_t deadline = now_ms() + ANSWER_MS;
	enum ctl_exit code = CTL_OK;

	x->done = false;
	x->has_next = false;
	while (code == CTL_OK && !x->done) {
		uint64_t now = now_ms();

		if (now >= deadline)
			return gone(x, "no answer in 3 s");
		if (poll(&fd, 1, (int)(deadline - now)) > 0)
			code = receive(x);
	}
	return code;
}

enum ctl_exit ctl_link_call(struct link *l, const struct link_request *request, link_record_fn fn,
			    void *arg, char *why, size_t why_bytes)
{
	struct exchange x = {
		.l = l,
		.request = request,
		.fn = fn,
		.arg = arg,
		.why = why,
		.why_bytes = why_bytes,
		.cursor = request->cursor,
		.has_cursor = request->has_cursor,
	};

	for (int i = 0; i < MAX_CURSORS; i++) {
		enum ctl_exit code;

		l->seq++;
		code = send_request(&x);
		if (code == CTL_OK)
			code = take_answer(&x);
		if (code != CTL_OK || !x.has_next)
			return code;
		if (x.has_cursor && x.next_cursor <= x.cursor)
			break;
		x.has_cursor = true;
		x.cursor = x.next_cursor;
	}
	return give_up(&x, CTL_REFUSED, "the agent's answer does not come to an end");
}
