/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NumPy's array format: a magic number and version, the length of a header, the header (a Python
 * dictionary as text, keys descr, fortran_order and shape), then the elements.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/lib/infer.h"
#include "shared/onnx/error.h"
#include "shared/onnx/file.h"
#include "shared/onnx/npy.h"
#include "shared/onnx/tensor_data.h"

static const char magic[] = "\x93NUMPY";

#define MAGIC_BYTES      6
#define MAX_HEADER_BYTES 4096

static const struct {
	const char *descr;
	enum ooo_dtype dtype;
} types[] = {
	{ "<f4", OOO_FP32 },  { "<f2", OOO_FP16 }, { "<f8", OOO_FP64 },  { "<i8", OOO_INT64 },
	{ "<i4", OOO_INT32 }, { "|b1", OOO_BOOL }, { "|u1", OOO_UINT8 }, { "|i1", OOO_INT8 },
};

#define NR_TYPES (sizeof(types) / sizeof(types[0]))

/* What follows 'key': in the header; NULL: there is no such key. */
static const char *find_key(const char *header, const char *key)
{
	char quoted[32];
	const char *at;

	snprintf(quoted, sizeof(quoted), "'%s':", key);
	at = strstr(header, quoted);
	if (!at)
		return NULL;
	at += strlen(quoted);
	return at + strspn(at, " ");
}

static int parse_descr(const char *header, const char *what, struct ooo_onnx_tensor *t)
{
	const char *at = find_key(header, "descr");

	for (size_t i = 0; at && i < NR_TYPES; i++) {
		size_t length = strlen(types[i].descr);

		if (*at == '\'' && !strncmp(at + 1, types[i].descr, length) &&
		    at[1 + length] == '\'') {
			t->dtype = types[i].dtype;
			return 0;
		}
	}
	return onnx_fail(-EOPNOTSUPP, "%s: elements of type %.12s are not supported", what,
			 at ? at : "(none)");
}

static int parse_shape(const char *header, const char *what, struct ooo_onnx_tensor *t)
{
	const char *at = find_key(header, "shape");

	if (!at || *at++ != '(')
		goto bad;
	for (at += strspn(at, " "); *at != ')'; at += strspn(at, ", ")) {
		char *end;

		if (t->rank == OOO_MAX_RANK)
			return onnx_fail(-EOPNOTSUPP, "%s: more than %d axes are not supported",
					 what, OOO_MAX_RANK);
		if (*at < '0' || *at > '9')
			goto bad;
		errno = 0;
		t->dims[t->rank++] = strtoll(at, &end, 10);
		if (errno)
			goto bad;
		at = end;
	}
	return 0;
bad:
	return onnx_fail(-EINVAL, "%s: not a sound .npy file: no valid shape", what);
}

/* Column-major elements into row-major order. */
static void transpose(struct ooo_onnx_tensor *t, const uint8_t *from)
{
	int64_t index[OOO_MAX_RANK] = { 0 }, strides[OOO_MAX_RANK], step = 1;
	size_t bytes = dtype_bytes(t->dtype);
	uint8_t *to = t->data;

	for (int i = 0; i < t->rank; i++) {
		strides[i] = step;
		step *= t->dims[i];
	}
	for (size_t i = 0; i < t->nbytes / bytes; i++, to += bytes) {
		int64_t at = 0;

		for (int axis = 0; axis < t->rank; axis++)
			at += index[axis] * strides[axis];
		memcpy(to, from + (size_t)at * bytes, bytes);
		for (int axis = t->rank - 1; axis >= 0 && ++index[axis] == t->dims[axis]; axis--)
			index[axis] = 0;
	}
}

static int parse_header(const uint8_t *data, size_t bytes, const char *what, char *header,
			size_t *start)
{
	size_t length;

	if (bytes < MAGIC_BYTES + 6 || memcmp(data, magic, MAGIC_BYTES) != 0)
		return onnx_fail(-EINVAL, "%s: not an .npy file", what);
	if (data[6] == 1) {
		length = data[8] | (size_t)data[9] << 8;
		*start = 10;
	} else if (data[6] == 2 || data[6] == 3) {
		length = data[8] | (size_t)data[9] << 8 | (size_t)data[10] << 16 |
			 (size_t)data[11] << 24;
		*start = 12;
	} else {
		return onnx_fail(-EOPNOTSUPP, "%s: .npy version %d is not supported", what,
				 data[6]);
	}
	if (length > bytes - *start || length >= MAX_HEADER_BYTES)
		return onnx_fail(-EINVAL, "%s: the header is cut short or too long", what);
	memcpy(header, data + *start, length);
	header[length] = '\0';
	*start += length;
	return 0;
}

int npy_parse(const uint8_t *data, size_t bytes, const char *what, struct ooo_onnx_tensor *t)
{
	char header[MAX_HEADER_BYTES];
	struct shape shape = { .dtype = 0 };
	const char *order;
	uint64_t need;
	size_t start = 0;
	int rc;

	memset(t, 0, sizeof(*t));
	rc = parse_header(data, bytes, what, header, &start);
	if (!rc)
		rc = parse_descr(header, what, t);
	if (!rc)
		rc = parse_shape(header, what, t);
	if (rc)
		return rc;
	shape.dtype = t->dtype;
	shape.rank = t->rank;
	memcpy(shape.dims, t->dims, sizeof(shape.dims));
	if (shape_bytes(&shape, &need) || need != bytes - start)
		return onnx_fail(-EINVAL,
				 "%s: the file does not hold as many elements as its shape"
				 " says",
				 what);
	order = find_key(header, "fortran_order");
	if (!order || (strncmp(order, "False", 5) != 0 && strncmp(order, "True", 4) != 0))
		return onnx_fail(-EINVAL, "%s: not a sound .npy file: no fortran_order", what);
	t->nbytes = (size_t)need;
	t->data = calloc(1, need ? t->nbytes : 1);
	if (!t->data)
		return onnx_fail(-ENOMEM, "%s: no memory for %zu bytes", what, t->nbytes);
	if (*order == 'T')
		transpose(t, data + start);
	else if (need)
		memcpy(t->data, data + start, t->nbytes);
	for (size_t i = 0; t->dtype == OOO_BOOL && i < t->nbytes; i++)
		((uint8_t *)t->data)[i] = ((uint8_t *)t->data)[i] != 0;
	return 0;
}

int ooo_onnx_read_npy(const char *path, struct ooo_onnx_tensor *t)
{
	uint8_t *data;
	size_t bytes;
	int rc;

	memset(t, 0, sizeof(*t));
	rc = file_read(path, &data, &bytes);
	if (rc)
		return rc;
	rc = npy_parse(data, bytes, path, t);
	free(data);
	return rc;
}

static const char *npy_descr(uint32_t dtype)
{
	for (size_t i = 0; i < NR_TYPES; i++)
		if (types[i].dtype == dtype)
			return types[i].descr;
	return NULL;
}

int ooo_onnx_write_npy(const char *path, const struct ooo_onnx_tensor *t)
{
	char head[512], dims[256] = "";
	const char *descr = npy_descr(t->dtype);
	struct shape shape;
	size_t at = 0, length;
	int rc = tensor_shape(t, &shape);

	if (rc)
		return rc;
	if (!descr)
		return onnx_fail(-EOPNOTSUPP, "%s: NumPy has no type for %s", path,
				 dtype_name(t->dtype));
	for (int i = 0; i < t->rank; i++)
		at += (size_t)snprintf(dims + at, sizeof(dims) - at, "%" PRId64 ",", t->dims[i]);
	/* Magic, version 1.0, length, text, blanks up to a multiple of 64, newline. */
	length = (size_t)snprintf(head + 10, sizeof(head) - 10,
				  "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr,
				  dims);
	while ((10 + length + 1) % 64)
		head[10 + length++] = ' ';
	head[10 + length++] = '\n';
	memcpy(head, magic, MAGIC_BYTES);
	head[6] = 1;
	head[7] = 0;
	head[8] = (char)(length & 0xff);
	head[9] = (char)(length >> 8);
	return file_write(path, head, 10 + length, t->data, t->nbytes);
}
