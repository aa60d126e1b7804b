/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libooo-onnx: build a libooo program from an ONNX model (opset 7 to 22).
 *
 *   ooo_onnx_open -> look at inputs and outputs -> ooo_onnx_build -> ooo_load, ... (ooo.h)
 *
 * The rule of the import is: no wrong answers. A model is built as a whole or refused, and the
 * refusal names the node, the operator and the reason:
 *
 *   node 17 'conv5' (Conv): 3-d convolution is not supported
 *
 * Conventions. Functions return 0 or -errno; after a failure ooo_onnx_error() has the sentence.
 * -EOPNOTSUPP: the file is sound but something in it is not supported; -EINVAL: the file or an
 * argument is wrong; -EFBIG: too large; -ENOMEM; else what the operating system said.
 * Threads: a model may be used by one thread at a time; different models are independent.
 */
#ifndef OOO_ONNX_H
#define OOO_ONNX_H

#include <stddef.h>
#include <stdint.h>

#include "shared/client/ooo.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct ooo_onnx_model; /* a parsed model file */

/* The last error of this thread in a function of this header, as a sentence; never NULL. */
const char *ooo_onnx_error(void);

/* ---- models ---------------------------------------------------------------------------------- */

/* Parse a model file, or bytes in memory (which are copied). Free it with ooo_onnx_close(). */
int ooo_onnx_open(const char *path, struct ooo_onnx_model **out);
int ooo_onnx_open_mem(const void *data, size_t bytes, struct ooo_onnx_model **out);
void ooo_onnx_close(struct ooo_onnx_model *model);

/* The graph's name and the version of the ONNX operator set that the model is written in. */
const char *ooo_onnx_name(const struct ooo_onnx_model *model);
int ooo_onnx_opset(const struct ooo_onnx_model *model);

/* An input or output as the model declares it. */
struct ooo_onnx_io {
	const char *name;                    /* belongs to the model */
	enum ooo_dtype dtype;                /* 0: a type that programs cannot hold */
	int rank;                            /* -1: not declared */
	int64_t dims[OOO_MAX_RANK];          /* -1: dynamic */
	const char *dim_names[OOO_MAX_RANK]; /* of dynamic dimensions; NULL: it has no name */
};

/* Initialisers that old models also list among the inputs are constants and not counted. */
int ooo_onnx_nr_inputs(const struct ooo_onnx_model *model);
int ooo_onnx_nr_outputs(const struct ooo_onnx_model *model);

/* 0, or -ENOENT if there is no such i. */
int ooo_onnx_input(const struct ooo_onnx_model *model, int i, struct ooo_onnx_io *io);
int ooo_onnx_output(const struct ooo_onnx_model *model, int i, struct ooo_onnx_io *io);

/* ---- tensors --------------------------------------------------------------------------------- */

struct ooo_onnx_tensor {
	enum ooo_dtype dtype;
	int rank;
	int64_t dims[OOO_MAX_RANK];
	void *data; /* row-major; malloc()ed where the library filled it in */
	size_t nbytes;
	char *name; /* may be NULL; malloc()ed where the library filled it in */
};

/* Free what a reading function put into t, and clear t. */
void ooo_onnx_tensor_free(struct ooo_onnx_tensor *t);

/* ONNX TensorProto files (.pb), as the test data of the ONNX project has them. */
int ooo_onnx_read_pb(const char *path, struct ooo_onnx_tensor *t);
int ooo_onnx_write_pb(const char *path, const struct ooo_onnx_tensor *t);

/*
 * NumPy files: .npy, and the arrays of an .npz archive (stored or deflated). ooo_onnx_read_npz()
 * reads the array called `name`, or the number `index` if name is NULL; -ENOENT: there is none.
 * Fortran order is put into row-major order; big-endian and non-numeric arrays are refused.
 */
int ooo_onnx_read_npy(const char *path, struct ooo_onnx_tensor *t);
int ooo_onnx_read_npz(const char *path, const char *name, int index, struct ooo_onnx_tensor *t);
int ooo_onnx_write_npy(const char *path, const struct ooo_onnx_tensor *t);

/* ---- building -------------------------------------------------------------------------------- */

struct ooo_onnx_opts {
	size_t size;      /* sizeof(struct ooo_onnx_opts), set by OOO_ONNX_OPTS_INIT */
	const char *name; /* of the program; NULL: the graph's */

	/* Size of axis 0 of every input where it is dynamic; 0: do not set it. */
	int64_t batch;
	/* Sizes of named dynamic dimensions: "seq=128". */
	const char *const *dims;
	int nr_dims;
	/* Whole shapes of inputs: "pixels=1x3x224x224" ("x=" for a scalar). They must agree with
	 * what the model declares as fixed. */
	const char *const *shapes;
	int nr_shapes;

	/*
	 * Inputs to make constants, by their names: they are then not inputs of the program. Needed
	 * where a shape, an axis or the like is an input of the model.
	 */
	const struct ooo_onnx_tensor *fixed;
	int nr_fixed;

	/* Bytes that constants computed during import may take together (a tiny file can ask for
	 * large ones); 0: 2 GiB. */
	uint64_t max_generated_bytes;
};

#define OOO_ONNX_OPTS_INIT                                                                         \
	{                                                                                          \
		sizeof(struct ooo_onnx_opts), 0, 0, 0, 0, 0, 0, 0, 0, 0                            \
	}

/*
 * Build the program: its inputs are the model's, in the model's order, without the fixed ones; its
 * outputs are the model's. Every dynamic dimension must get a size through opts (which may be NULL
 * if there are none). Free *out with ooo_builder_free().
 */
int ooo_onnx_build(const struct ooo_onnx_model *model, const struct ooo_onnx_opts *opts,
		   struct ooo_builder **out);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
