// SPDX-License-Identifier: Apache-2.0
/* Inputs: from .npy, .npz or .pb files where given, else random from the seed. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/run/run.h"

static bool has_suffix(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && !strcmp(s + n - m, suffix);
}

int read_tensor(const char *path, const char *name, int index, struct ooo_onnx_tensor *t, char *why,
		size_t why_bytes)
{
	int err;

	if (has_suffix(path, ".npz"))
		err = ooo_onnx_read_npz(path, name, index, t);
	else if (has_suffix(path, ".npy"))
		err = ooo_onnx_read_npy(path, t);
	else if (has_suffix(path, ".pb"))
		err = ooo_onnx_read_pb(path, t);
	else {
		snprintf(why, why_bytes, "%s: unknown kind of file; use .npy, .npz or .pb", path);
		return -EINVAL;
	}
	if (err)
		snprintf(why, why_bytes, "%s", ooo_onnx_error());
	return err;
}

/* Normal deviate, Box and Muller (Annals of Mathematical Statistics 29, 1958). */
static float normal(uint64_t *random)
{
	double u = random_unit(random), v = random_unit(random);

	return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

static void fill_random(void *data, size_t nbytes, enum ooo_dtype dtype, int64_t int_max,
			uint64_t *random)
{
	size_t n = nbytes / ooo_dtype_bytes(dtype);

	for (size_t i = 0; i < n; i++) {
		uint64_t v = random_next(random) % (uint64_t)int_max;

		switch (dtype) {
		case OOO_FP32:
			((float *)data)[i] = normal(random);
			break;
		case OOO_INT64:
			((int64_t *)data)[i] = (int64_t)v;
			break;
		case OOO_INT32:
			((int32_t *)data)[i] = (int32_t)v;
			break;
		case OOO_BOOL:
			((uint8_t *)data)[i] = v & 1;
			break;
		default: /* 8-bit integers; 16-bit floats: zero, a valid value of each */
			memset((char *)data + i * ooo_dtype_bytes(dtype), 0,
			       ooo_dtype_bytes(dtype));
		}
	}
}

/* The file given for input i, by name or by position; *name is set where the option names one. */
static const char *file_for(const struct run_options *o, const char *io_name, int i)
{
	int position = 0;

	for (int k = 0; k < o->nr_inputs; k++) {
		const char *eq = strchr(o->inputs[k], '=');

		if (eq) {
			size_t n = (size_t)(eq - o->inputs[k]);

			if (io_name && strlen(io_name) == n && !strncmp(o->inputs[k], io_name, n))
				return eq + 1;
		} else if (position++ == i) {
			return o->inputs[k];
		} else if (has_suffix(o->inputs[k], ".npz")) {
			return o->inputs[k]; /* an archive serves all inputs, by name */
		}
	}
	return NULL;
}

static int fill_from_file(const char *path, const char *io_name, int i, void *buf, size_t nbytes,
			  enum ooo_dtype dtype, char *why, size_t why_bytes)
{
	struct ooo_onnx_tensor t = { 0 };
	int err;

	err = read_tensor(path, io_name, i, &t, why, why_bytes);
	if (err == -ENOENT && io_name)
		err = read_tensor(path, NULL, i, &t, why, why_bytes);
	if (err)
		return err;
	if (t.dtype != dtype || t.nbytes != nbytes) {
		snprintf(why, why_bytes,
			 "%s: has %zu bytes of %s, but input %d needs %zu bytes of %s", path,
			 t.nbytes, ooo_dtype_name(t.dtype), i, nbytes, ooo_dtype_name(dtype));
		err = -EINVAL;
	} else {
		memcpy(buf, t.data, nbytes);
	}
	ooo_onnx_tensor_free(&t);
	return err;
}

int inputs_fill(const struct run_options *o, const struct run_model *m,
		const struct ooo_program *program, const struct ooo_binding *binding, int tenant,
		char *why, size_t why_bytes)
{
	uint64_t random = o->seed * 1000003 + (uint64_t)tenant;
	struct ooo_program_info info;

	ooo_program_info(program, &info);
	for (int i = 0; i < (int)info.nr_inputs; i++) {
		struct ooo_onnx_io io = { 0 };
		size_t nbytes = ooo_input_bytes(program, i);
		void *buf = ooo_binding_input(binding, i);
		int64_t dims[OOO_MAX_RANK];
		enum ooo_dtype dtype;
		int rank;
		const char *path;
		int err;

		ooo_input_desc(program, i, &dtype, &rank, dims);
		if (m->onnx)
			ooo_onnx_input(m->onnx, i, &io);
		path = file_for(o, io.name, i);
		if (!path || !strcmp(path, "random")) {
			fill_random(buf, nbytes, dtype, o->int_max, &random);
			continue;
		}
		err = fill_from_file(path, io.name, i, buf, nbytes, dtype, why, why_bytes);
		if (err)
			return err;
	}
	return 0;
}
