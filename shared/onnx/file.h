/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files in and out. */
#ifndef OOO_ONNX_FILE_H
#define OOO_ONNX_FILE_H

#include <stddef.h>
#include <stdint.h>

#define MAX_FILE_BYTES (2ull << 30) /* also the limit of protobuf */

/* Read a regular file; *data is malloc()ed. 0 or -errno with the error set. */
int file_read(const char *path, uint8_t **data, size_t *bytes);

/* Write head and then body into a new or cut file. 0 or -errno with the error set. */
int file_write(const char *path, const void *head, size_t head_bytes, const void *body,
	       size_t body_bytes);

#endif
