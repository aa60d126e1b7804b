/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors between ONNX's encoding and row-major memory. */
#ifndef OOO_ONNX_TENSOR_DATA_H
#define OOO_ONNX_TENSOR_DATA_H

#include <stdbool.h>

#include "onnx/onnx.pb-c.h"
#include "shared/lib/infer.h"
#include "shared/onnx/ooo-onnx.h"

/* TensorProto.DataType to enum ooo_dtype and back; 0 if there is no such type here. */
enum ooo_dtype dtype_from_onnx(int32_t type);
int32_t dtype_to_onnx(uint32_t dtype);
const char *onnx_type_name(int32_t type);

/*
 * The elements of pb. t->data points into pb where its encoding allows that, else at malloc()ed
 * memory; *owned says which. `what` names the tensor in errors. t->name stays NULL. 0 or -errno.
 */
int tensor_from_pb(const Onnx__TensorProto *pb, const char *what, struct ooo_onnx_tensor *t,
		   bool *owned);

/* Shape of t with the checks that hold for all: known type, rank, sizes and nbytes that agree. */
int tensor_shape(const struct ooo_onnx_tensor *t, struct shape *shape);

#endif
