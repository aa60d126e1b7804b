/* SPDX-License-Identifier: Apache-2.0 */
/* A client's life: options, connect, errors, statistics, disconnect. Reconnect has its own file. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/abi/ring_sync.h"
#include "shared/client/internal.h"

#define DEFAULT_SOCKET      "/run/ooo/agent.sock"
#define DEFAULT_SQ_ENTRIES  256
#define DEFAULT_ARENA_BYTES (UINT64_C(64) << 20)
#define DEFAULT_TIMEOUT_MS  5000
#define PAGE                4096 /* unit of the arena's size in the protocol */

int client_fail(struct ooo_client *client, int rc, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(client->error, sizeof(client->error), format, args);
	va_end(args);
	client->error_since_gone = client_is_gone(client);
	return rc;
}

const char *ooo_error(const struct ooo_client *client)
{
	if (client_is_gone(client) && !client->error_since_gone)
		return client->gone_text;
	return client->error;
}

/* A caller compiled against an older or newer ooo.h: what it does not know keeps its default. */
static int read_options(const struct ooo_options *in, struct ooo_options *o, char *why,
			size_t why_bytes)
{
	static const struct ooo_options defaults = OOO_OPTIONS_INIT;

	*o = defaults;
	if (!in)
		return 0;
	if (in->size < offsetof(struct ooo_options, socket) + sizeof(o->socket)) {
		snprintf(why, why_bytes, "ooo_options.size is %zu: start from OOO_OPTIONS_INIT",
			 in->size);
		return -EINVAL;
	}
	for (size_t i = sizeof(*o); i < in->size; i++)
		if (((const char *)in)[i]) {
			snprintf(why, why_bytes,
				 "an option is set that this release of libooo does not have");
			return -EINVAL;
		}
	memcpy(o, in, in->size < sizeof(*o) ? in->size : sizeof(*o));
	return 0;
}

static int read_name(const char *name, char *to, char *why, size_t why_bytes)
{
	if (name)
		snprintf(to, OOO_NAME_BYTES, "%s", name);
	else
		snprintf(to, OOO_NAME_BYTES, "%.20s-%d", program_invocation_short_name,
			 (int)getpid());
	for (char *c = to; *c; c++) {
		if (*c >= ' ' && *c <= '~')
			continue;
		if (name) {
			snprintf(why, why_bytes, "the tenant's name is not printable ASCII");
			return -EINVAL;
		}
		*c = '?';
	}
	return 0;
}

static int read_socket(const char *path, char *to, size_t to_bytes, char *why, size_t why_bytes)
{
	const char *dir = secure_getenv("OOO_RUNTIME_DIR");
	const char *own = secure_getenv("XDG_RUNTIME_DIR");
	int n;

	if (path)
		n = snprintf(to, to_bytes, "%s", path);
	else if (dir && *dir)
		n = snprintf(to, to_bytes, "%s/agent.sock", dir);
	else
		n = snprintf(to, to_bytes, "%s", DEFAULT_SOCKET);
	/* No agent of the machine's: perhaps this user runs one of his own. */
	if (!path && !(dir && *dir) && own && *own && access(to, F_OK)) {
		n = snprintf(to, to_bytes, "%s/ooo/agent.sock", own);
		if (n < 0 || (size_t)n >= to_bytes || access(to, F_OK))
			n = snprintf(to, to_bytes, "%s", DEFAULT_SOCKET);
	}
	if (n > 0 && (size_t)n < to_bytes)
		return 0;
	snprintf(why, why_bytes, "the agent's socket has a path of %d bytes: 1 to %zu are possible",
		 n, to_bytes - 1);
	return n > 0 ? -ENAMETOOLONG : -EINVAL;
}

static int read_sizes(const struct ooo_options *o, struct link_options *to, char *why,
		      size_t why_bytes)
{
	uint32_t want = o->sq_entries ? o->sq_entries : DEFAULT_SQ_ENTRIES;
	uint64_t arena = o->arena_bytes ? o->arena_bytes : DEFAULT_ARENA_BYTES;

	if (want > OOO_RING_MAX_ENTRIES) {
		snprintf(why, why_bytes, "%u submissions in flight are more than %u", want,
			 OOO_RING_MAX_ENTRIES);
		return -EINVAL;
	}
	to->sq_entries = OOO_RING_MIN_ENTRIES;
	while (to->sq_entries < want)
		to->sq_entries *= 2;
	if (arena > (uint64_t)PTRDIFF_MAX - PAGE) {
		snprintf(why, why_bytes, "an arena of %llu bytes cannot be addressed",
			 (unsigned long long)arena);
		return -EINVAL;
	}
	to->arena_bytes = (arena + PAGE - 1) / PAGE * PAGE;
	to->timeout_ms = o->timeout_ms ? o->timeout_ms : DEFAULT_TIMEOUT_MS;
	return 0;
}

static struct ooo_client *client_new(void)
{
	struct ooo_client *client = aligned_alloc(_Alignof(struct ooo_client), sizeof(*client));

	if (!client)
		return NULL;
	memset(client, 0, sizeof(*client));
	client_link_init(&client->link);
	client->epoll_fd = -1;
	client->arena.base = MAP_FAILED;
	pthread_mutex_init(&client->lock, NULL);
	return client;
}

static void client_free(struct ooo_client *client)
{
	while (client->programs)
		client_program_free(client->programs);
	client_link_close(&client->link);
	if (client->epoll_fd >= 0)
		close(client->epoll_fd);
	if (client->arena.base != MAP_FAILED)
		munmap(client->arena.base, client->opts.arena_bytes);
	client_arena_destroy(&client->arena);
	free(client->entries);
	free(client->free_ring);
	pthread_mutex_destroy(&client->lock);
	free(client);
}

static int map_arena(struct ooo_client *client, char *why, size_t why_bytes)
{
	struct link *link = &client->link;
	int rc = client_arena_init(&client->arena, client->opts.arena_bytes);

	if (!rc) {
		client->arena.base = mmap(NULL, client->opts.arena_bytes, PROT_READ | PROT_WRITE,
					  MAP_SHARED, link->arena_fd, 0);
		rc = client->arena.base == MAP_FAILED ? -errno : 0;
	}
	if (rc)
		snprintf(why, why_bytes, "cannot map the arena: %s", strerror(-rc));
	close(link->arena_fd);
	link->arena_fd = -1;
	return rc;
}

int client_watch(int epoll_fd, const struct link *link)
{
	struct epoll_event completions = { .events = EPOLLIN };
	struct epoll_event hang_up = { .events = 0 }; /* reported all the same */

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, link->cq_eventfd, &completions))
		return -errno;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, link->sock, &hang_up)) {
		int rc = -errno;

		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, link->cq_eventfd, NULL);
		return rc;
	}
	return 0;
}

void client_unwatch(int epoll_fd, const struct link *link)
{
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, link->cq_eventfd, NULL);
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, link->sock, NULL);
}

static int client_open(struct ooo_client *client, char *why, size_t why_bytes)
{
	int rc = client_link_open(&client->link, &client->opts, why, why_bytes);

	if (rc)
		/* A draining agent is no agent for who comes now. */
		return rc == -EAGAIN ? -ECONNREFUSED : rc;
	rc = map_arena(client, why, why_bytes);
	if (rc)
		return rc;
	rc = client_requests_init(client, &client->link);
	if (!rc) {
		client->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		rc = client->epoll_fd < 0 ? -errno : client_watch(client->epoll_fd, &client->link);
	}
	if (rc)
		snprintf(why, why_bytes, "cannot set up the connection: %s", strerror(-rc));
	memcpy(client->device, client->link.device, sizeof(client->device));
	return rc;
}

int ooo_connect(const struct ooo_options *opts, struct ooo_client **out, char *text,
		size_t text_bytes)
{
	char why[CLIENT_ERROR_BYTES] = "out of memory";
	struct ooo_client *client = client_new();
	struct ooo_options o;
	int rc = -ENOMEM;

	*out = NULL;
	if (!client)
		goto out;
	rc = read_options(opts, &o, why, sizeof(why));
	if (!rc)
		rc = read_name(o.name, client->opts.name, why, sizeof(why));
	if (!rc)
		rc = read_socket(o.socket, client->opts.socket_path,
				 sizeof(client->opts.socket_path), why, sizeof(why));
	if (!rc)
		rc = read_sizes(&o, &client->opts, why, sizeof(why));
	if (!rc) {
		client->spin_us = o.spin_us;
		rc = client_open(client, why, sizeof(why));
	}
	if (!rc)
		*out = client;
	else
		client_free(client);
out:
	if (text && text_bytes)
		snprintf(text, text_bytes, "%s", rc ? why : "");
	return rc;
}

void ooo_disconnect(struct ooo_client *client)
{
	if (client)
		client_free(client);
}

int client_ask(struct ooo_client *client, struct link *link, struct ooo_msg *req, int fd,
	       uint16_t want, union reply *reply, uint32_t timeout_ms, const char *what)
{
	bool current = link == &client->link;
	char why[CLIENT_ERROR_BYTES / 2];
	int rc;

	if (current && client_is_gone(client))
		return client_fail(client, -ECONNRESET, "%s: %s", what, client->gone_text);
	rc = client_exchange(link, req, fd, want, reply, NULL, 0, timeout_ms, why, sizeof(why));
	if (current && rc == -EPROTO) /* nobody knows what the next message would answer */
		shutdown(link->sock, SHUT_RDWR);
	if (current && (rc == -EPROTO || rc == -ECONNRESET))
		client_mark_gone(client);
	return rc ? client_fail(client, rc, "%s: %s", what, why) : 0;
}

int ooo_stats(struct ooo_client *client, struct ooo_stats *stats)
{
	struct ooo_msg_stats req = { .msg.type = OOO_MSG_STATS };
	union reply reply;
	int rc = client_ask(client, &client->link, &req.msg, -1, OOO_MSG_STATS_REPLY, &reply,
			    client->opts.timeout_ms, "statistics");

	if (rc)
		return rc;
	*stats = (struct ooo_stats){
		.submitted = reply.stats.submitted,
		.completed = reply.stats.completed,
		.failed = reply.stats.failed,
		.late = reply.stats.late,
		.refused = reply.stats.refused,
		.cancelled = reply.stats.cancelled,
		.steps = reply.stats.steps,
		.bundles = reply.stats.bundles,
		.service_ns = reply.stats.service_ns,
		.weight_bytes = reply.stats.weight_bytes,
		.workspace_bytes = reply.stats.workspace_bytes,
	};
	return 0;
}

const char *ooo_device(const struct ooo_client *client)
{
	return client->device;
}

uint32_t ooo_tenant_id(const struct ooo_client *client)
{
	return client->link.tenant;
}
