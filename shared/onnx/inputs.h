/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes of the model's inputs, from the model and from the caller's options. */
#ifndef OOO_ONNX_INPUTS_H
#define OOO_ONNX_INPUTS_H

#include "shared/lib/infer.h"
#include "shared/onnx/model.h"

/* Options that can be wrong on their own: names that the model does not have, bad syntax. */
int inputs_check_opts(const struct ooo_onnx_model *model, const struct ooo_onnx_opts *opts);

/* The shape of input i, or a sentence on what is missing. */
int input_shape(const struct ooo_onnx_model *model, const struct ooo_onnx_opts *opts, int i,
		struct shape *shape);

/* The constant that the caller wants for the input called name; NULL: none. */
const struct ooo_onnx_tensor *input_fixed(const struct ooo_onnx_opts *opts, const char *name);
/* Does it fit what the model declares? *shape is its shape. */
int input_check_fixed(const struct ooo_onnx_model *model, int i, const struct ooo_onnx_tensor *t,
		      struct shape *shape);

#endif
