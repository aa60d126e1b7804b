/* SPDX-License-Identifier: Apache-2.0 */
/* The error sentence of the calling thread. */
#ifndef OOO_ONNX_ERROR_H
#define OOO_ONNX_ERROR_H

/* Store the sentence (control characters from hostile names become '?') and return rc. */
int onnx_fail(int rc, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
