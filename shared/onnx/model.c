/* SPDX-License-Identifier: Apache-2.0 */
/* From the file to a ModelProto that is fit for import, and what it says about itself. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "shared/abi/program.h"
#include "shared/onnx/error.h"
#include "shared/onnx/file.h"
#include "shared/onnx/model.h"
#include "shared/onnx/tensor_data.h"

/* Versions of the file format whose changes are known: 3 introduced operator set imports. */
#define MIN_IR_VERSION 3
#define MAX_IR_VERSION 10

static bool is_default_domain(const char *domain)
{
	return !domain || !*domain || !strcmp(domain, "ai.onnx");
}

static int find_opset(struct ooo_onnx_model *model)
{
	const Onnx__ModelProto *pb = model->pb;
	int64_t version = 0;

	for (size_t i = 0; i < pb->n_opset_import; i++) {
		if (!is_default_domain(pb->opset_import[i]->domain))
			continue;
		if (version)
			return onnx_fail(-EINVAL, "the model imports two operator sets ai.onnx");
		version = pb->opset_import[i]->version;
	}
	if (!version)
		return onnx_fail(-EOPNOTSUPP, "the model imports no operator set ai.onnx");
	if (version < MIN_OPSET || version > MAX_OPSET)
		return onnx_fail(-EOPNOTSUPP,
				 "the model uses opset %" PRId64 ", supported are %d to"
				 " %d: convert it",
				 version, MIN_OPSET, MAX_OPSET);
	model->opset = (int)version;
	return 0;
}

static int check_model(struct ooo_onnx_model *model)
{
	const Onnx__ModelProto *pb = model->pb;

	if (!pb->graph)
		return onnx_fail(-EINVAL, "the file holds no graph: not an ONNX model");
	if (pb->ir_version < MIN_IR_VERSION || pb->ir_version > MAX_IR_VERSION)
		return onnx_fail(-EOPNOTSUPP,
				 "the model has IR version %" PRId64 ", supported are %d"
				 " to %d",
				 pb->ir_version, MIN_IR_VERSION, MAX_IR_VERSION);
	for (size_t i = 0; i < pb->n_functions; i++)
		if (is_default_domain(pb->functions[i]->domain))
			return onnx_fail(-EOPNOTSUPP, "the model redefines the operator '%s'",
					 pb->functions[i]->name ? pb->functions[i]->name : "");
	if (pb->graph->n_sparse_initializer)
		return onnx_fail(-EOPNOTSUPP, "sparse initialisers are not supported");
	model->graph = pb->graph;
	return find_opset(model);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names of the initialisers, sorted; *n of them. NULL: no memory. */
static const char **sorted_initializers(const Onnx__GraphProto *graph, size_t *n)
{
	const char **names = calloc(graph->n_initializer + 1, sizeof(*names));

	*n = 0;
	for (size_t i = 0; names && i < graph->n_initializer; i++)
		if (graph->initializer[i]->name)
			names[(*n)++] = graph->initializer[i]->name;
	if (names)
		qsort(names, *n, sizeof(*names), compare_names);
	return names;
}

static int list_inputs(struct ooo_onnx_model *model)
{
	const Onnx__GraphProto *graph = model->graph;
	const char **names;
	size_t n;
	int rc = 0;

	if (graph->n_input > OOO_PROG_MAX_TENSORS || graph->n_output > OOO_PROG_MAX_TENSORS)
		return onnx_fail(-EOPNOTSUPP, "the model has more than %u inputs or outputs",
				 OOO_PROG_MAX_TENSORS);
	names = sorted_initializers(graph, &n);
	model->inputs = calloc(graph->n_input + 1, sizeof(Onnx__ValueInfoProto *));
	if (!names || !model->inputs) {
		rc = onnx_fail(-ENOMEM, "no memory for the list of inputs");
		goto out;
	}
	for (size_t i = 0; i < graph->n_input; i++) {
		const char *name = graph->input[i]->name;

		if (!name || !*name) {
			rc = onnx_fail(-EINVAL, "input %zu of the model has no name", i);
			goto out;
		}
		if (!bsearch(&name, names, n, sizeof(*names), compare_names))
			model->inputs[model->nr_inputs++] = graph->input[i];
	}
out:
	free(names);
	return rc;
}

/* data is the caller's; what is kept of it is copied. */
static int parse(const uint8_t *data, size_t bytes, struct ooo_onnx_model **out)
{
	struct ooo_onnx_model *model = calloc(1, sizeof(*model));
	int rc = -EINVAL;

	*out = NULL;
	if (!model)
		return onnx_fail(-ENOMEM, "no memory");
	model->pb = (Onnx__ModelProto *)wire_unpack(data, bytes, &onnx__model_proto__descriptor,
						    &model->budget);
	if (model->pb)
		rc = check_model(model);
	if (!rc)
		rc = list_inputs(model);
	if (rc) {
		ooo_onnx_close(model);
		return rc;
	}
	*out = model;
	return 0;
}

int ooo_onnx_open_mem(const void *data, size_t bytes, struct ooo_onnx_model **out)
{
	*out = NULL;
	if (bytes > MAX_FILE_BYTES)
		return onnx_fail(-EFBIG, "the model is larger than 2 GiB, which is not supported");
	return parse(data, bytes, out);
}

int ooo_onnx_open(const char *path, struct ooo_onnx_model **out)
{
	uint8_t *data;
	size_t bytes;
	int rc;

	*out = NULL;
	rc = file_read(path, &data, &bytes);
	if (rc)
		return rc;
	rc = parse(data, bytes, out);
	free(data);
	if (rc)
		onnx_fail(rc, "%s: %s", path, ooo_onnx_error());
	return rc;
}

void ooo_onnx_close(struct ooo_onnx_model *model)
{
	if (!model)
		return;
	if (model->pb)
		onnx__model_proto__free_unpacked(model->pb, &model->budget.allocator);
	free(model->inputs);
	free(model);
}

const char *ooo_onnx_name(const struct ooo_onnx_model *model)
{
	return model->graph->name ? model->graph->name : "";
}

int ooo_onnx_opset(const struct ooo_onnx_model *model)
{
	return model->opset;
}

int ooo_onnx_nr_inputs(const struct ooo_onnx_model *model)
{
	return model->nr_inputs;
}

int ooo_onnx_nr_outputs(const struct ooo_onnx_model *model)
{
	return (int)model->graph->n_output;
}

int value_info_tensor(const Onnx__ValueInfoProto *info, int32_t *type,
		      const Onnx__TensorShapeProto **shape)
{
	if (!info->type || info->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
		return -EOPNOTSUPP;
	*type = info->type->tensor_type->elem_type;
	*shape = info->type->tensor_type->shape;
	return 0;
}

static void describe(const Onnx__ValueInfoProto *info, struct ooo_onnx_io *io)
{
	const Onnx__TensorShapeProto *shape = NULL;
	int32_t type = 0;

	memset(io, 0, sizeof(*io));
	io->name = info->name ? info->name : "";
	io->rank = -1;
	if (value_info_tensor(info, &type, &shape))
		return;
	io->dtype = dtype_from_onnx(type);
	if (!shape || shape->n_dim > OOO_MAX_RANK)
		return;
	io->rank = (int)shape->n_dim;
	for (int i = 0; i < io->rank; i++) {
		const Onnx__TensorShapeProto__Dimension *dim = shape->dim[i];

		io->dims[i] = -1;
		if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE &&
		    dim->dim_value >= 0)
			io->dims[i] = dim->dim_value;
		if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM &&
		    dim->dim_param && *dim->dim_param)
			io->dim_names[i] = dim->dim_param;
	}
}

int ooo_onnx_input(const struct ooo_onnx_model *model, int i, struct ooo_onnx_io *io)
{
	if (i < 0 || i >= model->nr_inputs)
		return -ENOENT;
	describe(model->inputs[i], io);
	return 0;
}

int ooo_onnx_output(const struct ooo_onnx_model *model, int i, struct ooo_onnx_io *io)
{
	if (i < 0 || (size_t)i >= model->graph->n_output)
		return -ENOENT;
	describe(model->graph->output[i], io);
	return 0;
}
