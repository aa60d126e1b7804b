// SPDX-License-Identifier: Apache-2.0
/*
 * The file that tells ooo-ctl where the agent listens and how to know it: see shared/abi/control.h.
 * Written under another name and renamed, so that a reader sees a whole file or none.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/control/handler.h"
#include "agent/log.h"

#define TEMP_FILE OOO_CTL_FILE ".new"

static int write_text(struct control *c, int fd)
{
	struct stat netns;
	char text[256];
	int len;

	if (stat("/proc/self/ns/net", &netns))
		netns.st_ino = 0; /* unknown: ooo-ctl then does not compare */
	len = snprintf(text, sizeof(text),
		       "ooo-control %u\nport %" PRIu32 "\npid %d\nuid %u\nagent_id %016" PRIx64
		       "\nnetns %ju\n",
		       OOO_CTL_FILE_FORMAT, c->port, (int)getpid(), (unsigned)getuid(), c->agent_id,
		       (uintmax_t)netns.st_ino);
	if (write(fd, text, (size_t)len) != len)
		return errno ? -errno : -EIO;
	return fchmod(fd, 0644) ? -errno : 0;
}

int publish_write(struct control *c)
{
	const char *what = "create";
	int err, fd;

	unlinkat(c->dir_fd, TEMP_FILE, 0); /* of an agent that was killed */
	fd = openat(c->dir_fd, TEMP_FILE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    0600);
	if (fd < 0) {
		err = -errno;
		goto fail;
	}
	what = "write";
	errno = 0;
	err = write_text(c, fd);
	if (err)
		goto fail_unlink;
	what = "rename";
	if (renameat(c->dir_fd, TEMP_FILE, c->dir_fd, OOO_CTL_FILE)) {
		err = -errno;
		goto fail_unlink;
	}
	c->publish_fd = fd;
	return 0;

fail_unlink:
	unlinkat(c->dir_fd, TEMP_FILE, 0);
	close(fd);
fail:
	log_error("control: cannot %s %s/%s: %s", what, c->config.runtime_dir, TEMP_FILE,
		  strerror(-err));
	return err;
}

void publish_remove(struct control *c)
{
	struct stat ours, there;

	if (c->publish_fd < 0)
		return;
	/* Another agent may have taken the directory over. */
	if (!fstat(c->publish_fd, &ours) &&
	    !fstatat(c->dir_fd, OOO_CTL_FILE, &there, AT_SYMLINK_NOFOLLOW) &&
	    ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
		unlinkat(c->dir_fd, OOO_CTL_FILE, 0);
	close(c->publish_fd);
	c->publish_fd = -1;
}
