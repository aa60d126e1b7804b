// SPDX-License-Identifier: Apache-2.0
#include "agent/control/policy_store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/log.h"
#include "agent/policy/file.h"

static int read_all(int fd, char *text, size_t bytes)
{
	size_t at = 0;

	while (at < bytes) {
		ssize_t n = read(fd, text + at, bytes - at);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EIO;
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int read_file(const char *path, struct policy_file **out, char *why, size_t why_bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = -EINVAL;
	char *text = NULL;
	struct stat st;

	if (fd < 0) {
		err = -errno;
		snprintf(why, why_bytes, "%s", strerror(-err));
		return err;
	}
	snprintf(why, why_bytes, "it is no file of at most %u bytes", POLICY_FILE_MAX);
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size <= POLICY_FILE_MAX) {
		text = malloc((size_t)st.st_size + 1);
		err = text ? read_all(fd, text, (size_t)st.st_size) : -ENOMEM;
		if (err)
			snprintf(why, why_bytes, "%s", strerror(-err));
		else
			err = policy_file_parse(text, (size_t)st.st_size, out, why, why_bytes);
	}
	free(text);
	close(fd);
	return err;
}

static int write_all(int fd, const char *text, size_t bytes)
{
	for (size_t at = 0; at < bytes;) {
		ssize_t n = write(fd, text + at, bytes - at);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	return fsync(fd) ? -errno : 0;
}

/* By rename: whoever reads finds the old one or the new one. */
static int replace(const char *path, const char *text, size_t bytes)
{
	char tmp[PATH_MAX];
	int fd, err;

	if (snprintf(tmp, sizeof(tmp), "%s.new", path) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	err = write_all(fd, text, bytes);
	close(fd);
	if (!err && rename(tmp, path))
		err = -errno;
	if (err)
		unlink(tmp);
	return err;
}

static int last_path(const char *path, char *out, size_t bytes)
{
	return snprintf(out, bytes, "%s.last", path) >= (int)bytes ? -ENAMETOOLONG : 0;
}

/* /etc/ooo is not there on a fresh machine; what else is wrong the write will tell. */
static void make_folder(const char *path)
{
	char dir[PATH_MAX];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return;
	*slash = '\0';
	if (mkdir(dir, 0755) && errno != EEXIST)
		log_warn("policy: %s: cannot make the folder: %s", dir, strerror(errno));
}

int policy_store_write(const char *path, const struct policy_file *f, char *why, size_t why_bytes)
{
	char last[PATH_MAX];
	size_t bytes;
	const char *text = policy_file_text(f, &bytes);
	int err = last_path(path, last, sizeof(last));

	make_folder(path);

	if (!err)
		err = replace(last, text, bytes);
	if (!err)
		err = replace(path, text, bytes);
	if (err)
		snprintf(why, why_bytes,
			 "the agent cannot keep the policy in %s: %s; nothing was changed", path,
			 strerror(-err));
	return err;
}

struct policy_file *policy_store_read(const char *path)
{
	char why[POLICY_WHY_BYTES], last[PATH_MAX];
	struct policy_file *f = NULL;
	size_t bytes;
	const char *text;
	int err = read_file(path, &f, why, sizeof(why));

	if (err == -ENOENT)
		return NULL;
	if (last_path(path, last, sizeof(last)))
		return f;
	if (!err) {
		text = policy_file_text(f, &bytes);
		if (replace(last, text, bytes))
			log_warn("%s: cannot keep a copy of the policy there", last);
		log_info("policy: %s, %u rules", path, policy_file_rules(f));
		return f;
	}
	log_error("policy: %s: %s", path, why);
	err = read_file(last, &f, why, sizeof(why));
	if (err)
		log_error("policy: %s: %s; tenants get the built-in parameters", last, why);
	else
		log_warn("policy: the last good one holds, %s, %u rules: mend %s, then `ooo-ctl "
			 "policy load` it",
			 last, policy_file_rules(f), path);
	return f;
}
