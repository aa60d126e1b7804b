/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files in and out. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/onnx/error.h"
#include "shared/onnx/file.h"

static int read_all(int fd, uint8_t *p, size_t bytes)
{
	while (bytes) {
		ssize_t got = read(fd, p, bytes);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			return -EIO;
		p += got;
		bytes -= (size_t)got;
	}
	return 0;
}

static int check_file(const char *path, int fd, size_t *bytes)
{
	struct stat st;

	if (fstat(fd, &st))
		return onnx_fail(-errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return onnx_fail(-EINVAL, "%s: not a regular file", path);
	if ((uint64_t)st.st_size > MAX_FILE_BYTES)
		return onnx_fail(-EFBIG, "%s: larger than 2 GiB, which is not supported", path);
	*bytes = (size_t)st.st_size;
	return 0;
}

int file_read(const char *path, uint8_t **data, size_t *bytes)
{
	/* Without O_NONBLOCK the open of a FIFO would wait for a writer. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int rc;

	*data = NULL;
	if (fd < 0)
		return onnx_fail(-errno, "%s: %s", path, strerror(errno));
	rc = check_file(path, fd, bytes);
	if (rc)
		goto out;
	*data = malloc(*bytes ? *bytes : 1);
	if (!*data) {
		rc = onnx_fail(-ENOMEM, "%s: no memory for its %zu bytes", path, *bytes);
		goto out;
	}
	rc = read_all(fd, *data, *bytes);
	if (rc) {
		onnx_fail(rc, "%s: %s", path, strerror(-rc));
		free(*data);
		*data = NULL;
	}
out:
	close(fd);
	return rc;
}

static int write_all(int fd, const uint8_t *p, size_t bytes)
{
	while (bytes) {
		ssize_t put = write(fd, p, bytes);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		p += put;
		bytes -= (size_t)put;
	}
	return 0;
}

int file_write(const char *path, const void *head, size_t head_bytes, const void *body,
	       size_t body_bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	int rc;

	if (fd < 0)
		return onnx_fail(-errno, "%s: %s", path, strerror(errno));
	rc = write_all(fd, head, head_bytes);
	if (!rc)
		rc = write_all(fd, body, body_bytes);
	if (close(fd) && !rc)
		rc = -errno;
	if (rc)
		onnx_fail(rc, "%s: %s", path, strerror(-rc));
	return rc;
}
