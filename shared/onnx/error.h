/* SPDX-License-Identifier: Apache-2.0 */
/* The error sentence of the calling thread. */
#ifndef OOO_ONNX_ERROR_H
#define OOO_ONNX_ERROR_H

/* Store the sentence; control characters from hostile names become '?'. */
void onnx_set_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The same as an expression whose value is rc, so that a function can end with it. */
#define onnx_fail(rc, ...)                                                                         \
	({                                                                                         \
		int rc_ = (rc);                                                                    \
		onnx_set_error(__VA_ARGS__);                                                       \
		rc_;                                                                               \
	})

#endif
