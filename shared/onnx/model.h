/* SPDX-License-Identifier: Apache-2.0 */
/* A parsed model, as the importer sees it. */
#ifndef OOO_ONNX_MODEL_H
#define OOO_ONNX_MODEL_H

#include <stdbool.h>

#include "onnx/onnx.pb-c.h"
#include "shared/onnx/ooo-onnx.h"
#include "shared/onnx/wire.h"

#define MIN_OPSET 7
#define MAX_OPSET 22

struct ooo_onnx_model {
	struct wire_budget budget;
	Onnx__ModelProto *pb;
	const Onnx__GraphProto *graph; /* of pb */
	int opset;
	const Onnx__ValueInfoProto **inputs; /* those that are not initialisers */
	int nr_inputs;
};

/* 0 with *type and *shape (may be NULL: not declared), or -EOPNOTSUPP: not a tensor. */
int value_info_tensor(const Onnx__ValueInfoProto *info, int32_t *type,
		      const Onnx__TensorShapeProto **shape);

#endif
