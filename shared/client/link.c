/* SPDX-License-Identifier: Apache-2.0 */
/* One connection to the agent: socket, HELLO, and the rings that come back with WELCOME. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/abi/ring_sync.h"
#include "shared/client/internal.h"

enum welcome_fd {
	FD_RING,
	FD_ARENA,
	FD_SQ_EVENT,
	FD_CQ_EVENT,
	NR_WELCOME_FDS
};

void client_link_init(struct link *link)
{
	memset(link, 0, sizeof(*link));
	link->sock = -1;
	link->sq_eventfd = -1;
	link->cq_eventfd = -1;
	link->arena_fd = -1;
}

void client_link_close(struct link *link)
{
	const int fds[] = { link->sock, link->sq_eventfd, link->cq_eventfd, link->arena_fd };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (link->ring)
		munmap(link->ring, link->ring_bytes);
	client_link_init(link);
}

bool client_link_lost(const struct link *link)
{
	/* POLLHUP and POLLERR are always reported; replies waiting to be read are of no interest. */
	struct pollfd pfd = { .fd = link->sock, .events = 0 };

	if (ring_load_acquire(&link->ring->agent_state) == OOO_AGENT_DROPPED)
		return true;
	return poll(&pfd, 1, 0) > 0;
}

static int open_socket(struct link *link, const struct link_options *opts, char *why,
		       size_t why_bytes)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	/* For connect, when the agent's backlog is full, and for send. */
	struct timeval timeout = { .tv_sec = opts->timeout_ms / 1000,
				   .tv_usec = (suseconds_t)(opts->timeout_ms % 1000) * 1000 };
	int rc;

	_Static_assert(sizeof(addr.sun_path) >= sizeof(opts->socket_path), "the path fits");
	memcpy(addr.sun_path, opts->socket_path, sizeof(opts->socket_path));
	link->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (link->sock < 0) {
		rc = -errno;
		snprintf(why, why_bytes, "cannot create a socket: %s", strerror(-rc));
		return rc;
	}
	if (setsockopt(link->sock, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout))) {
		rc = -errno;
		snprintf(why, why_bytes, "cannot set the socket's time-out: %s", strerror(-rc));
		return rc;
	}
	do
		rc = connect(link->sock, (struct sockaddr *)&addr, sizeof(addr)) ? -errno : 0;
	while (rc == -EINTR);
	if (rc == -EAGAIN)
		rc = -ETIMEDOUT;
	if (rc)
		snprintf(why, why_bytes, "no agent at %s: %s", opts->socket_path, strerror(-rc));
	return rc;
}

static bool power_of_two(uint32_t n)
{
	return n && !(n & (n - 1));
}

/* bytes of n records at off lie behind the ring's head and within its memory. */
static bool queue_fits(uint64_t off, uint64_t n, uint64_t each, uint64_t ring_bytes)
{
	return off >= sizeof(struct ooo_ring) && off % OOO_CACHE_LINE == 0 && off <= ring_bytes &&
	       n * each <= ring_bytes - off;
}

static const char *check_welcome(const struct ooo_msg_welcome *w, const struct link_options *opts,
				 const int *fds)
{
	struct stat st;

	if (!power_of_two(w->sq_entries) || w->sq_entries < OOO_RING_MIN_ENTRIES ||
	    w->sq_entries > OOO_RING_MAX_ENTRIES)
		return "the submission queue's size";
	if (!power_of_two(w->cq_entries) || w->cq_entries < w->sq_entries ||
	    w->cq_entries > 2 * OOO_RING_MAX_ENTRIES)
		return "the completion queue's size";
	if (!queue_fits(w->sq_off, w->sq_entries, sizeof(struct ooo_sqe), w->ring_bytes) ||
	    !queue_fits(w->cq_off, w->cq_entries, sizeof(struct ooo_cqe), w->ring_bytes))
		return "the queues' place";
	/* Beyond the end of its file a mapping is a SIGBUS, not memory. */
	if (fstat(fds[FD_RING], &st) || (uint64_t)st.st_size < w->ring_bytes)
		return "the ring's memory";
	if (w->arena_bytes < opts->arena_bytes || fstat(fds[FD_ARENA], &st) ||
	    (uint64_t)st.st_size < opts->arena_bytes)
		return "the arena's memory";
	return NULL;
}

static int map_ring(struct link *link, const struct ooo_msg_welcome *w, int fd, char *why,
		    size_t why_bytes)
{
	void *map = mmap(NULL, w->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED) {
		int rc = -errno;

		snprintf(why, why_bytes, "cannot map the rings: %s", strerror(-rc));
		return rc;
	}
	link->ring = map;
	link->ring_bytes = w->ring_bytes;
	link->sqes = (struct ooo_sqe *)((char *)map + w->sq_off);
	link->cqes = (const struct ooo_cqe *)((char *)map + w->cq_off);
	if (link->ring->magic == OOO_RING_MAGIC && link->ring->version == OOO_ABI_VERSION)
		return 0;
	snprintf(why, why_bytes, "the agent's rings are of another version");
	return -EPROTO;
}

static int set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK))
		return -errno;
	return 0;
}

/* Everything in fds now belongs to the link, save the ring's, which its mapping keeps. */
static int take_welcome(struct link *link, const struct ooo_msg_welcome *w,
			const struct link_options *opts, const int *fds, char *why,
			size_t why_bytes)
{
	const char *wrong;
	int rc;

	link->arena_fd = fds[FD_ARENA];
	link->sq_eventfd = fds[FD_SQ_EVENT];
	link->cq_eventfd = fds[FD_CQ_EVENT];
	wrong = check_welcome(w, opts, fds);
	if (wrong) {
		close(fds[FD_RING]);
		snprintf(why, why_bytes, "the agent's welcome makes no sense: %s", wrong);
		return -EPROTO;
	}
	rc = map_ring(link, w, fds[FD_RING], why, why_bytes);
	close(fds[FD_RING]);
	if (rc)
		return rc;
	rc = set_nonblock(link->cq_eventfd);
	if (!rc)
		rc = set_nonblock(link->sq_eventfd);
	if (rc) {
		snprintf(why, why_bytes, "cannot use the agent's eventfds: %s", strerror(-rc));
		return rc;
	}
	link->sq_entries = w->sq_entries;
	link->cq_entries = w->cq_entries;
	link->features = w->features;
	link->tenant = w->tenant;
	link->arena_bytes = w->arena_bytes;
	memcpy(link->device, w->device, sizeof(link->device));
	link->device[sizeof(link->device) - 1] = '\0';
	return 0;
}

int client_link_open(struct link *link, const struct link_options *opts, char *why,
		     size_t why_bytes)
{
	struct ooo_msg_hello hello = { .msg.type = OOO_MSG_HELLO,
				       .features = OOO_FEATURE_CANCEL,
				       .sq_entries = opts->sq_entries,
				       .cq_entries = 2 * opts->sq_entries,
				       .arena_bytes = opts->arena_bytes };
	int fds[NR_WELCOME_FDS];
	union reply reply;
	int rc;

	client_link_init(link);
	rc = open_socket(link, opts, why, why_bytes);
	if (rc)
		goto fail;
	memcpy(hello.name, opts->name, sizeof(hello.name));
	rc = client_exchange(link, &hello.msg, -1, OOO_MSG_WELCOME, &reply, fds, NR_WELCOME_FDS,
			     opts->timeout_ms, why, why_bytes);
	if (!rc)
		rc = take_welcome(link, &reply.welcome, opts, fds, why, why_bytes);
	if (rc)
		goto fail;
	return 0;
fail:
	client_link_close(link);
	return rc;
}
