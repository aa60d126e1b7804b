/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The importer: the input is a model file. Dynamic dimensions get a size, so that the import gets
 * as far as it can; what generated constants may take is bounded, so that a run stays short. The
 * same bytes also stand for a .npy file.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "shared/onnx/npy.h"
#include "shared/onnx/ooo-onnx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void require(int ok)
{
	if (!ok)
		abort();
}

static void build(const struct ooo_onnx_model *model)
{
	struct ooo_onnx_opts opts = OOO_ONNX_OPTS_INIT;
	struct ooo_builder *builder;
	struct ooo_onnx_io io;

	for (int i = 0; i < ooo_onnx_nr_inputs(model); i++) {
		require(!ooo_onnx_input(model, i, &io));
		require(io.name && io.rank >= -1 && io.rank <= OOO_MAX_RANK);
		if (io.rank > 0 && io.dims[0] < 0)
			opts.batch = 2;
	}
	for (int i = 0; i < ooo_onnx_nr_outputs(model); i++)
		require(!ooo_onnx_output(model, i, &io));
	opts.max_generated_bytes = 1 << 20;
	if (ooo_onnx_build(model, &opts, &builder)) {
		require(!builder && *ooo_onnx_error());
		return;
	}
	ooo_builder_free(builder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct ooo_onnx_tensor t;
	struct ooo_onnx_model *model;

	if (!npy_parse(data, bytes, "input", &t))
		ooo_onnx_tensor_free(&t);
	if (ooo_onnx_open_mem(data, bytes, &model)) {
		require(!model && *ooo_onnx_error());
		return 0;
	}
	build(model);
	ooo_onnx_close(model);
	return 0;
}
