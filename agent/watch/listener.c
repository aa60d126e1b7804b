// SPDX-License-Identifier: Apache-2.0
#include "agent/watch/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifdef HAVE_MHD

#include <microhttpd.h>

#include "agent/turn.h"
#include "agent/watch/metrics.h"

#define MAX_CONNECTIONS 16
#define IDLE_SECONDS    10
#define MEMORY_BYTES    16384 /* of a connection: its headers */
#define CONTENT_TYPE    "application/openmetrics-text; version=1.0.0; charset=utf-8"

struct listener {
	struct registry *registry;
	struct MHD_Daemon *daemon;
	struct sockaddr_un local; /* sun_path is empty: not a Unix socket */
};

/* ---- the address ----------------------------------------------------------------------------- */

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un local;
	} at;
	socklen_t bytes;
};

static bool parse_port(const char *text, in_port_t *port)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	*port = htons((in_port_t)n);
	return text[0] >= '0' && text[0] <= '9' && !*end && n >= 1 && n <= 65535;
}

static bool parse_local(const char *path, struct address *a)
{
	a->at.local.sun_family = AF_UNIX;
	a->bytes = sizeof(a->at.local);
	return *path && (size_t)snprintf(a->at.local.sun_path, sizeof(a->at.local.sun_path), "%s",
					 path) < sizeof(a->at.local.sun_path);
}

/* Of this machine alone: what is shown of tenants is nobody else's business. */
static bool parse_loopback(const char *where, struct address *a)
{
	const char *colon = strrchr(where, ':');
	char host[64];

	if (!colon || (size_t)(colon - where) >= sizeof(host))
		return false;
	memcpy(host, where, (size_t)(colon - where));
	host[colon - where] = '\0';
	if (!strcmp(host, "[::1]")) {
		a->at.in6.sin6_family = AF_INET6;
		a->at.in6.sin6_addr = in6addr_loopback;
		a->bytes = sizeof(a->at.in6);
		return parse_port(colon + 1, &a->at.in6.sin6_port);
	}
	a->at.in.sin_family = AF_INET;
	a->bytes = sizeof(a->at.in);
	return inet_pton(AF_INET, host, &a->at.in.sin_addr) == 1 &&
	       ntohl(a->at.in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET &&
	       parse_port(colon + 1, &a->at.in.sin_port);
}

/* Take away what an agent that was killed left; -EADDRINUSE: somebody listens there. */
static int clear_local(const struct address *a)
{
	struct stat st;
	int fd, err = 0;

	if (lstat(a->at.local.sun_path, &st))
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && !connect(fd, &a->at.any, a->bytes))
		err = -EADDRINUSE;
	if (fd >= 0)
		close(fd);
	if (!err)
		unlink(a->at.local.sun_path);
	return err;
}

static int open_socket(const struct address *a)
{
	int one = 1, err, fd = socket(a->at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!bind(fd, &a->at.any, a->bytes) && !listen(fd, MAX_CONNECTIONS))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* ---- answers --------------------------------------------------------------------------------- */

static int put(void *arg, const char *text, size_t bytes)
{
	return fwrite(text, 1, bytes, arg) == bytes ? 0 : -ENOMEM;
}

/* NULL: no memory. */
static struct MHD_Response *metrics_response(struct registry *r)
{
	struct metrics *m = metrics_take(r, NULL, turn_clock_ns());
	char *text = NULL;
	size_t bytes = 0;
	FILE *f = m ? open_memstream(&text, &bytes) : NULL;
	uint64_t at = 0;
	int err = f ? metrics_write(m, &at, put, f) : -ENOMEM;
	struct MHD_Response *response;

	metrics_free(m);
	if (f && fclose(f))
		err = -ENOMEM;
	response = err ? NULL : MHD_create_response_from_buffer(bytes, text, MHD_RESPMEM_MUST_FREE);
	if (!response)
		free(text);
	else
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, CONTENT_TYPE);
	return response;
}

static struct MHD_Response *sentence(const char *text)
{
	return MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
					       MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result answer(void *arg, struct MHD_Connection *c, const char *url,
			      const char *method, const char *version, const char *upload,
			      size_t *upload_bytes, void **state)
{
	struct listener *l = arg;
	struct MHD_Response *response;
	unsigned status = MHD_HTTP_OK;
	enum MHD_Result sent;

	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
		status = MHD_HTTP_METHOD_NOT_ALLOWED;
		response = sentence("only GET is understood\n");
	} else if (strcmp(url, "/metrics") != 0) {
		status = MHD_HTTP_NOT_FOUND;
		response = sentence("the metrics are at /metrics\n");
	} else {
		response = metrics_response(l->registry);
	}
	if (!response)
		return MHD_NO;
	sent = MHD_queue_response(c, status, response);
	MHD_destroy_response(response);
	return sent;
}

static struct MHD_Daemon *start_daemon(struct listener *l, int fd)
{
	return MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL,
				answer, l, MHD_OPTION_LISTEN_SOCKET, fd,
				MHD_OPTION_CONNECTION_LIMIT, (unsigned)MAX_CONNECTIONS,
				MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_BYTES,
				MHD_OPTION_END);
}

int listener_start(const char *where, struct registry *r, struct listener **out, char *why,
		   size_t why_bytes)
{
	struct address a = { .bytes = 0 };
	bool local = !strncmp(where, "unix:", 5);
	struct listener *l;
	int fd, err = 0;

	if (!(local ? parse_local(where + 5, &a) : parse_loopback(where, &a))) {
		snprintf(why, why_bytes,
			 "--metrics: \"%s\" is neither a loopback address with its port, as "
			 "127.0.0.1:9402, nor unix:PATH",
			 where);
		return -EINVAL;
	}
	if (local)
		err = clear_local(&a);
	fd = err ? err : open_socket(&a);
	if (fd < 0) {
		snprintf(why, why_bytes, "--metrics: cannot listen at %s: %s", where,
			 strerror(-fd));
		return fd;
	}
	l = calloc(1, sizeof(*l));
	if (l) {
		l->registry = r;
		if (local)
			l->local = a.at.local;
		l->daemon = start_daemon(l, fd);
	}
	if (l && l->daemon) {
		*out = l;
		return 0;
	}
	snprintf(why, why_bytes, "--metrics: cannot start the HTTP server at %s", where);
	free(l);
	close(fd);
	return -ENOMEM;
}

void listener_stop(struct listener *l)
{
	if (!l)
		return;
	MHD_stop_daemon(l->daemon);
	if (l->local.sun_path[0])
		unlink(l->local.sun_path);
	free(l);
}

#else

int listener_start(const char *where, struct registry *r, struct listener **out, char *why,
		   size_t why_bytes)
{
	snprintf(why, why_bytes,
		 "--metrics: this agent was built without libmicrohttpd: install "
		 "libmicrohttpd-dev and build it again, or use ooo-ctl metrics");
	return -ENOTSUP;
}

void listener_stop(struct listener *l)
{
	(void)l;
}

#endif
