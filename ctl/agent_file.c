// SPDX-License-Identifier: Apache-2.0
/*
 * The file by which an agent makes itself known. Who can write it decides to whom ooo-ctl talks, so
 * its owner is checked: root may name any user as the agent's; everybody else only himself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/link.h"

#define FILE_BYTES 1024

static enum ctl_exit no_agent(char *why, size_t why_bytes, const char *dir, const char *what)
{
	snprintf(why, why_bytes, "no agent: %s/%s %s", dir, OOO_CTL_FILE, what);
	return CTL_NO_AGENT;
}

static const char *check_owner(const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "is no regular file";
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return "may be written by others than its owner: not believed";
	return NULL;
}

/* A line of a key, one blank and digits alone: strtoull() would take more. */
static bool take_line(const char **at, const char *key, int base, uint64_t max, uint64_t *out)
{
	size_t len = strlen(key), digits;
	char *end;

	if (strncmp(*at, key, len) != 0 || (*at)[len] != ' ')
		return false;
	*at += len + 1;
	digits = strspn(*at, base == 16 ? "0123456789abcdef" : "0123456789");
	errno = 0;
	*out = strtoull(*at, &end, base);
	if (!digits || end != *at + digits || *end != '\n' || errno || *out > max)
		return false;
	*at = end + 1;
	return true;
}

static bool parse_text(const char *at, struct agent_file *f)
{
	uint64_t format, port, pid, uid;

	if (!take_line(&at, "ooo-control", 10, UINT32_MAX, &format) ||
	    format != OOO_CTL_FILE_FORMAT)
		return false;
	if (!take_line(&at, "port", 10, UINT32_MAX, &port) || !port ||
	    !take_line(&at, "pid", 10, INT32_MAX, &pid) || !pid ||
	    !take_line(&at, "uid", 10, UINT32_MAX, &uid) ||
	    !take_line(&at, "agent_id", 16, UINT64_MAX, &f->agent_id) ||
	    !take_line(&at, "netns", 10, UINT64_MAX, &f->netns) || *at)
		return false;
	f->port = (uint32_t)port;
	f->pid = (pid_t)pid;
	f->uid = (uid_t)uid;
	return true;
}

static int read_text(const char *dir, char text[FILE_BYTES], struct stat *st)
{
	char path[4096];
	ssize_t n;
	int fd, err = 0;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, OOO_CTL_FILE) >= sizeof(path))
		return -ENAMETOOLONG;
	/* O_NONBLOCK: a FIFO there must not hold us. */
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, st)) {
		err = -errno;
	} else if (S_ISREG(st->st_mode)) {
		n = read(fd, text, FILE_BYTES - 1);
		if (n < 0)
			err = -errno;
		else
			text[n] = '\0';
	}
	close(fd);
	return err;
}

enum ctl_exit agent_file_read(const char *dir, struct agent_file *out, char *why, size_t why_bytes)
{
	char text[FILE_BYTES] = "", what[128];
	struct stat st = { 0 }, netns;
	const char *wrong;
	int err = read_text(dir, text, &st);

	if (err == -ENOENT)
		return no_agent(
			why, why_bytes, dir,
			"is not there: start ooo-agent, or name the place with --runtime-dir");
	if (err)
		return no_agent(why, why_bytes, dir, strerror(-err));
	wrong = check_owner(&st);
	if (wrong)
		return no_agent(why, why_bytes, dir, wrong);
	memset(out, 0, sizeof(*out));
	if (!parse_text(text, out))
		return no_agent(why, why_bytes, dir,
				"is not of this release: use the ooo-ctl of the agent's release");
	if (st.st_uid != 0 && st.st_uid != out->uid) {
		snprintf(what, sizeof(what),
			 "belongs to uid %u but says that the agent's is %u: not believed",
			 (unsigned)st.st_uid, (unsigned)out->uid);
		return no_agent(why, why_bytes, dir, what);
	}
	if (out->netns && !stat("/proc/self/ns/net", &netns) && netns.st_ino != out->netns) {
		snprintf(what, sizeof(what),
			 "is of another network namespace, which netlink does not cross: use "
			 "nsenter -t %d -n",
			 (int)out->pid);
		return no_agent(why, why_bytes, dir, what);
	}
	return CTL_OK;
}
