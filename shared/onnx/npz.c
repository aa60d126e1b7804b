/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NumPy's archives: zip files of .npy files, stored or deflated. The directory at the end of the
 * file is what counts; of an entry's own header only the length is used.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "shared/onnx/error.h"
#include "shared/onnx/file.h"
#include "shared/onnx/npy.h"

#define END_BYTES   22 /* end of central directory record, without its comment */
#define ENTRY_BYTES 46 /* entry of the central directory */
#define LOCAL_BYTES 30 /* header in front of an entry's data */

struct archive {
	const char *path;
	const uint8_t *data;
	size_t bytes;
};

struct entry {
	const char *name; /* not terminated */
	size_t name_bytes;
	unsigned method;
	uint32_t crc, packed, unpacked, local;
};

static unsigned le16(const uint8_t *p)
{
	return p[0] | (unsigned)p[1] << 8;
}

static uint32_t le32(const uint8_t *p)
{
	return le16(p) | (uint32_t)le16(p + 2) << 16;
}

static int broken(const struct archive *a)
{
	return onnx_fail(-EINVAL, "%s: not a sound .npz file", a->path);
}

/* The end record is the last thing in the file but for a comment. */
static int find_directory(const struct archive *a, size_t *at, unsigned *nr)
{
	size_t back = END_BYTES;

	for (; back <= a->bytes && back < END_BYTES + 65536; back++) {
		const uint8_t *p = a->data + a->bytes - back;

		if (memcmp(p, "PK\5\6", 4) != 0)
			continue;
		*nr = le16(p + 10);
		*at = le32(p + 16);
		return *at < a->bytes ? 0 : broken(a);
	}
	return broken(a);
}

static int read_entry(const struct archive *a, size_t *at, struct entry *e)
{
	const uint8_t *p = a->data + *at;
	size_t length;

	if (*at > a->bytes || a->bytes - *at < ENTRY_BYTES || memcmp(p, "PK\1\2", 4) != 0)
		return broken(a);
	e->name = (const char *)p + ENTRY_BYTES;
	e->name_bytes = le16(p + 28);
	e->method = le16(p + 10);
	e->crc = le32(p + 16);
	e->packed = le32(p + 20);
	e->unpacked = le32(p + 24);
	e->local = le32(p + 42);
	length = ENTRY_BYTES + e->name_bytes + le16(p + 30) + le16(p + 32);
	if (length > a->bytes - *at)
		return broken(a);
	*at += length;
	return 0;
}

static int inflate_entry(const struct archive *a, const struct entry *e, const uint8_t *from,
			 uint8_t *to)
{
	z_stream z = { .next_in = (Bytef *)from,
		       .avail_in = e->packed,
		       .next_out = to,
		       .avail_out = e->unpacked };
	int rc;

	if (inflateInit2(&z, -MAX_WBITS) != Z_OK)
		return onnx_fail(-ENOMEM, "%s: no memory", a->path);
	rc = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	return rc == Z_STREAM_END && z.total_out == e->unpacked ? 0 : broken(a);
}

static int parse_entry(const struct archive *a, const struct entry *e, const uint8_t *data,
		       struct ooo_onnx_tensor *t)
{
	size_t name_bytes = e->name_bytes;
	int rc;

	if (crc32(crc32(0, NULL, 0), data, e->unpacked) != e->crc)
		return broken(a);
	rc = npy_parse(data, e->unpacked, a->path, t);
	if (rc)
		return rc;
	if (name_bytes > 4 && !memcmp(e->name + name_bytes - 4, ".npy", 4))
		name_bytes -= 4;
	t->name = strndup(e->name, name_bytes);
	if (t->name)
		return 0;
	ooo_onnx_tensor_free(t);
	return onnx_fail(-ENOMEM, "%s: no memory", a->path);
}

static int unpack(const struct archive *a, const struct entry *e, struct ooo_onnx_tensor *t)
{
	const uint8_t *p = a->data + e->local;
	uint8_t *buffer;
	size_t start;
	int rc;

	if (e->local > a->bytes || a->bytes - e->local < LOCAL_BYTES || memcmp(p, "PK\3\4", 4) != 0)
		return broken(a);
	start = e->local + LOCAL_BYTES + le16(p + 26) + le16(p + 28);
	if (start > a->bytes || e->packed > a->bytes - start)
		return broken(a);
	if (e->method == 0)
		return e->packed == e->unpacked ? parse_entry(a, e, a->data + start, t) : broken(a);
	if (e->method != Z_DEFLATED)
		return onnx_fail(-EOPNOTSUPP,
				 "%s: packed by method %u, supported are stored and"
				 " deflated",
				 a->path, e->method);
	/* Deflate packs to a thousandth at best: a larger claim is a lie. */
	if (e->unpacked / 1040 > e->packed)
		return broken(a);
	buffer = malloc(e->unpacked ? e->unpacked : 1);
	if (!buffer)
		return onnx_fail(-ENOMEM, "%s: no memory for %u bytes", a->path, e->unpacked);
	rc = inflate_entry(a, e, a->data + start, buffer);
	if (!rc)
		rc = parse_entry(a, e, buffer, t);
	free(buffer);
	return rc;
}

static bool is_called(const struct entry *e, const char *name)
{
	size_t length = strlen(name);

	if (e->name_bytes < length || memcmp(e->name, name, length) != 0)
		return false;
	return e->name_bytes == length ||
	       (e->name_bytes == length + 4 && !memcmp(e->name + length, ".npy", 4));
}

static int find(const struct archive *a, const char *name, int index, struct ooo_onnx_tensor *t)
{
	struct entry e;
	unsigned nr = 0;
	size_t at = 0;
	int rc = find_directory(a, &at, &nr);

	for (unsigned i = 0; !rc && i < nr; i++) {
		rc = read_entry(a, &at, &e);
		if (!rc && (name ? is_called(&e, name) : (int)i == index))
			return unpack(a, &e, t);
	}
	if (rc)
		return rc;
	if (name)
		return onnx_fail(-ENOENT, "%s: holds no array called '%s'", a->path, name);
	return onnx_fail(-ENOENT, "%s: holds no array number %d", a->path, index);
}

int ooo_onnx_read_npz(const char *path, const char *name, int index, struct ooo_onnx_tensor *t)
{
	struct archive a = { .path = path };
	uint8_t *data;
	int rc;

	memset(t, 0, sizeof(*t));
	rc = file_read(path, &data, &a.bytes);
	if (rc)
		return rc;
	a.data = data;
	rc = find(&a, name, index, t);
	free(data);
	return rc;
}
