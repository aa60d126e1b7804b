/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/log.h"

#define LISTEN_BACKLOG 1024

static int fail(int err, char *why, size_t why_bytes, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int fail(int err, char *why, size_t why_bytes, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, why_bytes, fmt, ap);
	va_end(ap);
	return err;
}

static int choose_dir(struct runtime *rt, const char *dir, char *why, size_t why_bytes)
{
	const char *env = getenv("OOO_RUNTIME_DIR");
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	const char *below = "";
	int n;

	if (!dir && env && env[0])
		dir = env;
	if (!dir && geteuid() == 0)
		dir = "/run/ooo";
	if (!dir && xdg && xdg[0]) {
		dir = xdg;
		below = "/ooo";
	}
	if (!dir)
		return fail(-ENOENT, why, why_bytes,
			    "no folder for the socket: set OOO_RUNTIME_DIR or give --runtime-dir "
			    "(only root has /run/ooo, and XDG_RUNTIME_DIR is not set)");
	snprintf(rt->dir, sizeof(rt->dir), "%s%s", dir, below);
	n = snprintf(rt->socket_path, sizeof(rt->socket_path), "%s%s/agent.sock", dir, below);
	if (n >= (int)sizeof(rt->socket_path))
		return fail(-ENAMETOOLONG, why, why_bytes,
			    "%s: too long for a socket's path (%d bytes at most); choose another "
			    "--runtime-dir",
			    dir, (int)sizeof(rt->socket_path) - 1);
	return 0;
}

/* Root's is for all users; anybody else's for himself. An existing folder keeps its mode. */
static int make_dir(const struct runtime *rt, char *why, size_t why_bytes)
{
	mode_t mode = geteuid() == 0 ? 0755 : 0700;
	struct stat st;

	if (mkdir(rt->dir, mode) == 0) {
		if (chmod(rt->dir, mode)) /* whatever the umask is */
			return fail(-errno, why, why_bytes, "%s: %s", rt->dir, strerror(errno));
		return 0;
	}
	if (errno != EEXIST)
		return fail(-errno, why, why_bytes, "%s: cannot make the folder: %s", rt->dir,
			    strerror(errno));
	if (stat(rt->dir, &st) || !S_ISDIR(st.st_mode))
		return fail(-ENOTDIR, why, why_bytes, "%s: not a folder", rt->dir);
	if (st.st_mode & S_IWOTH && !(st.st_mode & S_ISVTX))
		log_warn("%s: every user may replace the agent's socket there; remove write "
			 "permission for others",
			 rt->dir);
	return 0;
}

static int lock_dir(struct runtime *rt, char *why, size_t why_bytes)
{
	char path[RUNTIME_PATH_BYTES + 16];
	char pid[16] = "";
	int err;

	snprintf(path, sizeof(path), "%s/agent.lock", rt->dir);
	rt->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (rt->lock_fd < 0)
		return fail(-errno, why, why_bytes, "%s: %s", path, strerror(errno));
	if (flock(rt->lock_fd, LOCK_EX | LOCK_NB)) {
		err = errno;
		if (pread(rt->lock_fd, pid, sizeof(pid) - 1, 0) < 0)
			pid[0] = '\0';
		pid[strcspn(pid, "\n")] = '\0';
		if (err == EWOULDBLOCK)
			return fail(-EBUSY, why, why_bytes,
				    "another agent (pid %s) serves %s; stop it or choose another "
				    "--runtime-dir",
				    pid[0] ? pid : "unknown", rt->dir);
		return fail(-err, why, why_bytes, "%s: cannot lock: %s", path, strerror(err));
	}
	/* For the message above only; the lock is what counts. */
	snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(rt->lock_fd, 0) || pwrite(rt->lock_fd, pid, strlen(pid), 0) < 0)
		return fail(-errno, why, why_bytes, "%s: %s", path, strerror(errno));
	return 0;
}

/* The lock is ours, so a socket that is there already is a dead agent's. */
static int listen_in_dir(struct runtime *rt, char *why, size_t why_bytes)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	memcpy(addr.sun_path, rt->socket_path, sizeof(addr.sun_path));
	rt->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (rt->listen_fd < 0)
		return fail(-errno, why, why_bytes, "socket: %s", strerror(errno));
	if (unlink(rt->socket_path) && errno != ENOENT)
		return fail(-errno, why, why_bytes, "%s: cannot remove the old socket: %s",
			    rt->socket_path, strerror(errno));
	if (bind(rt->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    chmod(rt->socket_path, 0666) || listen(rt->listen_fd, LISTEN_BACKLOG))
		return fail(-errno, why, why_bytes, "%s: cannot listen: %s", rt->socket_path,
			    strerror(errno));
	return 0;
}

int runtime_open(struct runtime *rt, const char *dir, char *why, size_t why_bytes)
{
	int err;

	memset(rt, 0, sizeof(*rt));
	rt->lock_fd = rt->listen_fd = -1;
	err = choose_dir(rt, dir, why, why_bytes);
	if (!err)
		err = make_dir(rt, why, why_bytes);
	if (!err)
		err = lock_dir(rt, why, why_bytes);
	if (!err)
		err = listen_in_dir(rt, why, why_bytes);
	if (err)
		runtime_close(rt);
	return err;
}

int runtime_adopt(struct runtime *rt, const char *dir, int lock_fd, int listen_fd, char *why,
		  size_t why_bytes)
{
	memset(rt, 0, sizeof(*rt));
	rt->lock_fd = lock_fd;
	rt->listen_fd = listen_fd;
	return choose_dir(rt, dir, why, why_bytes);
}

void runtime_close(struct runtime *rt)
{
	if (rt->listen_fd >= 0) {
		unlink(rt->socket_path);
		close(rt->listen_fd);
	}
	if (rt->lock_fd >= 0)
		close(rt->lock_fd);
	rt->lock_fd = rt->listen_fd = -1;
}
