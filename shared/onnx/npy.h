/* SPDX-License-Identifier: Apache-2.0 */
/* NumPy's array format in memory. */
#ifndef OOO_ONNX_NPY_H
#define OOO_ONNX_NPY_H

#include "shared/onnx/ooo-onnx.h"

/* An array from the bytes of an .npy file; `what` names it in errors. The elements are copied. */
int npy_parse(const uint8_t *data, size_t bytes, const char *what, struct ooo_onnx_tensor *t);

#endif
