/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/tenant/object.h"
#include "agent/tenant/ring_map.h"
#include "shared/abi/ring_sync.h"

void tenant_close_fds(int fds[TENANT_NR_FDS])
{
	for (int i = 0; i < TENANT_NR_FDS; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

/*
 * The descriptors that wake either side.
 *
 * Towards the agent: an eventfd. The agent only polls it, so it can never block there.
 *
 * Towards the tenant: a socket pair, of which each side has its own end. An eventfd would be one
 * open file for both: a tenant that clears its O_NONBLOCK and fills the counter would stop the
 * dispatcher, and with it every other tenant, in write(). (So would a pipe, whose reader holds a
 * lock while it faults in a page that the tenant serves itself.) The send buffer is as small as can
 * be: a few wake-ups that are not read yet are as good as many, and one read takes them all. The
 * tenant cannot send: nothing of its (descriptors that do not close) waits in the agent's end.
 */
static int make_wake_fds(struct tenant *t, int fds[TENANT_NR_FDS])
{
	int pair[2], smallest = 1;

	t->sq_eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->sq_eventfd < 0)
		return -errno;
	fds[TENANT_FD_SQ] = fcntl(t->sq_eventfd, F_DUPFD_CLOEXEC, 0);
	if (fds[TENANT_FD_SQ] < 0)
		return -errno;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		return -errno;
	t->cq_eventfd = pair[0];
	fds[TENANT_FD_CQ] = pair[1];
	if (setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &smallest, sizeof(smallest)) ||
	    shutdown(pair[0], SHUT_RD))
		return -errno;
	return 0;
}

static int make_requests(struct tenant *t, uint32_t nr)
{
	t->requests = calloc(nr, sizeof(*t->requests));
	if (!t->requests)
		return -ENOMEM;
	for (uint32_t i = nr; i-- > 0;) {
		t->requests[i].next = t->free_requests;
		t->free_requests = &t->requests[i];
	}
	return 0;
}

static int keep_fds(struct tenant *t, const int fds[TENANT_NR_FDS])
{
	t->ring_fd = fcntl(fds[TENANT_FD_RING], F_DUPFD_CLOEXEC, 0);
	if (t->ring_fd >= 0)
		t->arena_fd = fcntl(fds[TENANT_FD_ARENA], F_DUPFD_CLOEXEC, 0);
	return t->arena_fd < 0 ? -errno : 0;
}

int tenant_new(const struct ooo_msg_hello *hello, const struct peer *peer, uint32_t id, int sock,
	       struct tenant **out, int fds[TENANT_NR_FDS])
{
	struct tenant *t = calloc(1, sizeof(*t));
	int err;

	for (int i = 0; i < TENANT_NR_FDS; i++)
		fds[i] = -1;
	if (!t)
		return -ENOMEM;
	t->id = id;
	t->pid = peer->pid;
	t->uid = peer->uid;
	t->gid = peer->gid;
	t->sock = sock;
	t->sq_eventfd = t->cq_eventfd = t->ring_fd = t->arena_fd = -1;
	t->params = (struct tenant_params)TENANT_PARAMS_DEFAULT;
	if (hello->name[0])
		snprintf(t->name, sizeof(t->name), "%s", hello->name);
	else
		snprintf(t->name, sizeof(t->name), "pid-%d", (int)peer->pid);
	err = make_wake_fds(t, fds);
	if (!err)
		err = make_requests(t, hello->cq_entries);
	if (!err)
		err = ring_map_create(&t->ring, hello->sq_entries, hello->cq_entries,
				      &fds[TENANT_FD_RING]);
	if (!err)
		err = arena_create(hello->arena_bytes, &t->arena, &fds[TENANT_FD_ARENA]);
	if (!err)
		err = keep_fds(t, fds);
	if (err) {
		tenant_close_fds(fds);
		tenant_free(t);
		return err;
	}
	t->arena_bytes = hello->arena_bytes;
	*out = t;
	return 0;
}

/* The positions are the agent's own: what the tenant wrote over them in the ring does not count. */
static int take_positions(struct tenant *t, const struct tenant_past *past)
{
	struct ring_map *m = &t->ring;

	if (past->cq_tail - past->cq_head > m->cq_entries)
		return -EINVAL;
	m->sq_head = past->sq_head;
	m->cq_tail = past->cq_tail;
	m->cq_head_cached = past->cq_head;
	ring_store_relaxed(&m->ring->agent_flags, 0); /* it is awake: awake_add() */
	ring_store_release(&m->ring->sq_head, m->sq_head);
	ring_store_release(&m->ring->cq_tail, m->cq_tail);
	return 0;
}

int tenant_again(const struct tenant_past *past, struct tenant **out)
{
	struct tenant *t = calloc(1, sizeof(*t));
	int err;

	if (!t) {
		int fds[TENANT_NR_FDS] = { past->ring_fd, past->arena_fd, past->sq_eventfd,
					   past->cq_eventfd };

		tenant_close_fds(fds);
		return -ENOMEM;
	}
	t->id = past->id;
	t->pid = past->peer.pid;
	t->uid = past->peer.uid;
	t->gid = past->peer.gid;
	t->sock = past->sock;
	t->sq_eventfd = past->sq_eventfd;
	t->cq_eventfd = past->cq_eventfd;
	t->ring_fd = past->ring_fd;
	t->arena_fd = past->arena_fd;
	t->params = (struct tenant_params)TENANT_PARAMS_DEFAULT;
	snprintf(t->name, sizeof(t->name), "%s", past->name);
	err = make_requests(t, past->cq_entries);
	if (!err)
		err = ring_map_attach(&t->ring, past->sq_entries, past->cq_entries, t->ring_fd);
	if (!err)
		err = take_positions(t, past);
	if (!err)
		err = arena_attach(past->arena_bytes, &t->arena, t->arena_fd);
	if (err) {
		tenant_free(t);
		return err;
	}
	t->arena_bytes = past->arena_bytes;
	*out = t;
	return 0;
}

void tenant_free(struct tenant *t)
{
	if (!t)
		return;
	arena_destroy(t->arena, t->arena_bytes);
	ring_map_destroy(&t->ring);
	if (t->sq_eventfd >= 0)
		close(t->sq_eventfd);
	if (t->cq_eventfd >= 0)
		close(t->cq_eventfd);
	if (t->ring_fd >= 0)
		close(t->ring_fd);
	if (t->arena_fd >= 0)
		close(t->arena_fd);
	free(t->requests);
	free(t);
}
