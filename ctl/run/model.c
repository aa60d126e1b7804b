// SPDX-License-Identifier: Apache-2.0
/* Where a tenant's program comes from: an ONNX file or the zoo. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/run/run.h"
#include "ctl/run/zoo.h"

int model_open(const struct run_options *o, struct run_model *m, char *why, size_t why_bytes)
{
	int err;

	m->onnx = NULL;
	if (o->zoo)
		return 0;
	err = ooo_onnx_open(o->model, &m->onnx);
	if (err) /* the sentence names the file */
		snprintf(why, why_bytes, "%s", ooo_onnx_error());
	return err;
}

void model_close(struct run_model *m)
{
	if (m->onnx)
		ooo_onnx_close(m->onnx);
	m->onnx = NULL;
}

int model_build(const struct run_options *o, const struct run_model *m, int tenant,
		struct ooo_builder **out, char *why, size_t why_bytes)
{
	struct ooo_onnx_opts opts = OOO_ONNX_OPTS_INIT;
	int err;

	if (o->zoo)
		return zoo_build(o->zoo, o->batch ? o->batch : 1, o->seed + (uint64_t)tenant, out,
				 why, why_bytes);
	opts.batch = o->batch;
	opts.dims = o->dims;
	opts.nr_dims = o->nr_dims;
	opts.shapes = o->shapes;
	opts.nr_shapes = o->nr_shapes;
	err = ooo_onnx_build(m->onnx, &opts, out);
	if (err)
		snprintf(why, why_bytes, "%s: %s", o->model, ooo_onnx_error());
	return err;
}
