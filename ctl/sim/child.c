// SPDX-License-Identifier: Apache-2.0
#include "ctl/sim/child.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_OUTPUT  (16u << 20)
#define START_TRIES 300 /* of 100 ms */

/* Beside this program, or where `make install` puts the agent. */
static int find_program(const char *name, char *path, size_t bytes)
{
	static const char *const places[] = { "/", "/../sbin/", "/../bin/" };
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0)
		return -ENOENT;
	self[n] = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char copy[4096];

		memcpy(copy, self, (size_t)n + 1);
		snprintf(path, bytes, "%s%s%s", dirname(copy), places[i], name);
		if (!access(path, X_OK))
			return 0;
	}
	return -ENOENT;
}

/* out and err: what it prints goes there; err -1: to our own. */
static pid_t start(const char *const argv[], const char *runtime_dir, int out, int err, char *why,
		   size_t why_bytes)
{
	char path[8192];
	pid_t pid;

	if (find_program(argv[0], path, sizeof(path))) {
		snprintf(why, why_bytes, "%s is not beside ooo-ctl, nor in ../sbin or ../bin",
			 argv[0]);
		return -1;
	}
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		snprintf(why, why_bytes, "cannot start %s: %s", argv[0], strerror(errno));
	if (pid)
		return pid;
	if (setenv("OOO_RUNTIME_DIR", runtime_dir, 1) || dup2(out, STDOUT_FILENO) < 0 ||
	    (err >= 0 && dup2(err, STDERR_FILENO) < 0))
		_exit(127);
	execv(path, (char *const *)argv);
	_exit(127);
}

static char *read_all(int fd)
{
	size_t room = 0, size = 0;
	char *text = NULL;
	ssize_t n = 1;

	while (n > 0 && size < MAX_OUTPUT) {
		if (room - size < 4096) {
			char *more = realloc(text, room + 65536);

			if (!more)
				break;
			text = more;
			room += 65536;
		}
		n = read(fd, text + size, room - size - 1);
		if (n > 0)
			size += (size_t)n;
		else if (n < 0 && errno == EINTR)
			n = 1;
	}
	if (text)
		text[size] = '\0';
	return text;
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

cJSON *child_json(const char *const argv[], const char *runtime_dir, char *why, size_t why_bytes)
{
	cJSON *root = NULL;
	char *text = NULL;
	int fds[2], status;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC)) {
		snprintf(why, why_bytes, "cannot make a pipe: %s", strerror(errno));
		return NULL;
	}
	pid = start(argv, runtime_dir, fds[1], -1, why, why_bytes);
	close(fds[1]);
	if (pid > 0) {
		text = read_all(fds[0]);
		status = wait_for(pid);
		root = text ? cJSON_Parse(text) : NULL;
		if (status || !root) {
			snprintf(why, why_bytes, "%s failed (exit status %d)", argv[0], status);
			cJSON_Delete(root);
			root = NULL;
		}
	}
	close(fds[0]);
	free(text);
	return root;
}

static bool ready(const struct private_agent *a)
{
	const struct timespec pause = { .tv_nsec = 100000000 };
	char path[128];

	snprintf(path, sizeof(path), "%s/agent.sock", a->dir);
	for (int i = 0; i < START_TRIES; i++) {
		if (!access(path, F_OK))
			return true;
		if (waitpid(a->pid, NULL, WNOHANG) == a->pid)
			break;
		nanosleep(&pause, NULL);
	}
	return false;
}

static void first_line(int fd, char *line, size_t bytes)
{
	ssize_t n = pread(fd, line, bytes - 1, 0);

	if (n > 0) {
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
	}
}

int private_agent_start(struct private_agent *a, const char *device, const char *threads, char *why,
			size_t why_bytes)
{
	const char *argv[] = { "ooo-agent", "--device", device, threads ? "--threads" : NULL,
			       threads,     NULL };
	const char *tmp = getenv("TMPDIR");
	char log[128], line[256] = "no reason given";
	int fd;

	snprintf(a->dir, sizeof(a->dir), "%.32s/ooo-calibrate.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(a->dir)) {
		snprintf(why, why_bytes, "cannot make %s: %s", a->dir, strerror(errno));
		return -EIO;
	}
	snprintf(log, sizeof(log), "%s/agent.log", a->dir);
	fd = open(log, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	a->pid = fd < 0 ? -1 : start(argv, a->dir, fd, fd, why, why_bytes);
	if (a->pid > 0 && !ready(a)) {
		first_line(fd, line, sizeof(line));
		snprintf(why, why_bytes, "the agent did not start: %s", line);
		private_agent_stop(a);
		a->pid = -1;
	}
	if (fd >= 0)
		close(fd);
	return a->pid > 0 ? 0 : -EIO;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void private_agent_stop(struct private_agent *a)
{
	if (a->pid > 0 && !kill(a->pid, SIGTERM))
		wait_for(a->pid);
	nftw(a->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
