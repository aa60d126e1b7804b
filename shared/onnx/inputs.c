/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shapes of the model's inputs. Each dynamic dimension takes its size from the caller's options:
 * a whole shape comes first, then a named dimension, then the batch for axis 0. Sizes that the
 * model fixes are never changed: its nodes may depend on them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "shared/onnx/error.h"
#include "shared/onnx/inputs.h"
#include "shared/onnx/tensor_data.h"

#define MAX_SIZE (1ll << 40)

/* Does "NAME=..." start with this name? Names may contain '=', values do not. */
static const char *option_value(const char *option, const char *name)
{
	const char *value = strrchr(option, '=');
	size_t length = strlen(name);

	if (!value || (size_t)(value - option) != length || strncmp(option, name, length) != 0)
		return NULL;
	return value + 1;
}

static int parse_size(const char **s, int64_t *size)
{
	char *end;
	long long v;

	if (**s < '0' || **s > '9')
		return -EINVAL;
	errno = 0;
	v = strtoll(*s, &end, 10);
	if (errno || v > MAX_SIZE)
		return -EINVAL;
	*s = end;
	*size = v;
	return 0;
}

static int parse_shape(const char *s, struct shape *shape)
{
	shape->rank = 0;
	if (!*s)
		return 0;
	for (;;) {
		if (shape->rank == OOO_MAX_RANK || parse_size(&s, &shape->dims[shape->rank]))
			return -EINVAL;
		shape->rank++;
		if (!*s)
			return 0;
		if (*s++ != 'x')
			return -EINVAL;
	}
}

static int find_dim(const struct ooo_onnx_opts *opts, const char *name, int64_t *size)
{
	for (int i = 0; name && i < opts->nr_dims; i++) {
		const char *value = option_value(opts->dims[i], name);

		if (value)
			return parse_size(&value, size);
	}
	return -ENOENT;
}

static const char *find_shape(const struct ooo_onnx_opts *opts, const char *name)
{
	for (int i = 0; i < opts->nr_shapes; i++) {
		const char *value = option_value(opts->shapes[i], name);

		if (value)
			return value;
	}
	return NULL;
}

static bool has_dim(const struct ooo_onnx_model *model, const char *option)
{
	struct ooo_onnx_io io;

	for (int i = 0; !ooo_onnx_input(model, i, &io); i++)
		for (int k = 0; k < io.rank; k++)
			if (io.dim_names[k] && option_value(option, io.dim_names[k]))
				return true;
	return false;
}

static bool has_input(const struct ooo_onnx_model *model, const char *option)
{
	struct ooo_onnx_io io;

	for (int i = 0; !ooo_onnx_input(model, i, &io); i++)
		if (option_value(option, io.name))
			return true;
	return false;
}

static int check_dims(const struct ooo_onnx_model *model, const struct ooo_onnx_opts *opts)
{
	for (int i = 0; i < opts->nr_dims; i++) {
		const char *value = strrchr(opts->dims[i], '=');
		int64_t size;

		if (!value++ || parse_size(&value, &size) || *value)
			return onnx_fail(-EINVAL, "'%s' is not of the form NAME=SIZE",
					 opts->dims[i]);
		if (!has_dim(model, opts->dims[i]))
			return onnx_fail(-EINVAL,
					 "'%s': no input has a dynamic dimension of this"
					 " name",
					 opts->dims[i]);
	}
	return 0;
}

static int check_shapes(const struct ooo_onnx_model *model, const struct ooo_onnx_opts *opts)
{
	for (int i = 0; i < opts->nr_shapes; i++) {
		const char *value = strrchr(opts->shapes[i], '=');
		struct shape shape;

		if (!value || parse_shape(value + 1, &shape))
			return onnx_fail(-EINVAL, "'%s' is not of the form NAME=1x2x3",
					 opts->shapes[i]);
		if (!has_input(model, opts->shapes[i]))
			return onnx_fail(-EINVAL, "'%s': the model has no input of this name",
					 opts->shapes[i]);
	}
	return 0;
}

static int check_batch(const struct ooo_onnx_model *model, const struct ooo_onnx_opts *opts)
{
	struct ooo_onnx_io io;
	bool possible = false;

	if (!opts->batch)
		return 0;
	if (opts->batch < 0 || opts->batch > MAX_SIZE)
		return onnx_fail(-EINVAL, "a batch of %" PRId64 " is not possible", opts->batch);
	for (int i = 0; !ooo_onnx_input(model, i, &io); i++)
		possible = possible || io.rank < 0 ||
			   (io.rank > 0 && (io.dims[0] < 0 || io.dims[0] == opts->batch));
	if (!possible)
		return onnx_fail(-EINVAL,
				 "the model fixes the size of axis 0 of all its inputs: a"
				 " batch of %" PRId64 " is not possible",
				 opts->batch);
	return 0;
}

int inputs_check_opts(const struct ooo_onnx_model *model, const struct ooo_onnx_opts *opts)
{
	int rc = check_dims(model, opts);

	if (!rc)
		rc = check_shapes(model, opts);
	if (!rc)
		rc = check_batch(model, opts);
	for (int i = 0; !rc && i < opts->nr_fixed; i++) {
		struct ooo_onnx_io io;
		int k = 0;

		if (!opts->fixed[i].name)
			return onnx_fail(-EINVAL, "a fixed input needs a name");
		while (!ooo_onnx_input(model, k, &io) && strcmp(io.name, opts->fixed[i].name) != 0)
			k++;
		if (k == model->nr_inputs)
			return onnx_fail(-EINVAL,
					 "'%s' is to be fixed, but the model has no input"
					 " of this name",
					 opts->fixed[i].name);
	}
	return rc;
}

/* Does the shape agree with what the model declares? */
static int check_declared(const struct ooo_onnx_io *io, const struct shape *shape)
{
	if (io->rank < 0)
		return 0;
	if (io->rank != shape->rank)
		return onnx_fail(-EINVAL, "input '%s' has %d axes in the model, not %d", io->name,
				 io->rank, shape->rank);
	for (int i = 0; i < io->rank; i++)
		if (io->dims[i] >= 0 && io->dims[i] != shape->dims[i])
			return onnx_fail(-EINVAL,
					 "input '%s': the model fixes axis %d at %" PRId64
					 ", it cannot be %" PRId64,
					 io->name, i, io->dims[i], shape->dims[i]);
	return 0;
}

static int declared_dim(const struct ooo_onnx_opts *opts, const struct ooo_onnx_io *io, int i,
			int64_t *size)
{
	*size = io->dims[i];
	if (*size >= 0 || !find_dim(opts, io->dim_names[i], size))
		return 0;
	if (i == 0 && opts->batch) {
		*size = opts->batch;
		return 0;
	}
	if (io->dim_names[i])
		return onnx_fail(-EINVAL, "input '%s': axis %d is dynamic ('%s') and needs a size",
				 io->name, i, io->dim_names[i]);
	return onnx_fail(-EINVAL, "input '%s': axis %d is dynamic and needs a size", io->name, i);
}

/* The type, which is needed whatever the shape. */
static int describe(const struct ooo_onnx_model *model, int i, struct ooo_onnx_io *io)
{
	const Onnx__TensorShapeProto *shape = NULL;
	int32_t type = 0;

	ooo_onnx_input(model, i, io);
	if (value_info_tensor(model->inputs[i], &type, &shape))
		return onnx_fail(-EOPNOTSUPP, "input '%s' is not a tensor, which is not supported",
				 io->name);
	if (!io->dtype)
		return onnx_fail(-EOPNOTSUPP, "input '%s': elements of type %s are not supported",
				 io->name, onnx_type_name(type));
	if (shape && shape->n_dim > OOO_MAX_RANK)
		return onnx_fail(-EOPNOTSUPP, "input '%s': %zu axes are more than the %d supported",
				 io->name, shape->n_dim, OOO_MAX_RANK);
	return 0;
}

int input_shape(const struct ooo_onnx_model *model, const struct ooo_onnx_opts *opts, int i,
		struct shape *shape)
{
	struct ooo_onnx_io io;
	const char *given;
	int rc = describe(model, i, &io);

	if (rc)
		return rc;
	memset(shape, 0, sizeof(*shape));
	shape->dtype = io.dtype;
	given = find_shape(opts, io.name);
	if (given) {
		parse_shape(given, shape);
		return check_declared(&io, shape);
	}
	if (io.rank < 0)
		return onnx_fail(-EINVAL,
				 "input '%s': the model does not say its shape, so it must"
				 " be given",
				 io.name);
	shape->rank = io.rank;
	for (int k = 0; k < io.rank; k++) {
		rc = declared_dim(opts, &io, k, &shape->dims[k]);
		if (rc)
			return rc;
	}
	return 0;
}

const struct ooo_onnx_tensor *input_fixed(const struct ooo_onnx_opts *opts, const char *name)
{
	for (int i = 0; i < opts->nr_fixed; i++)
		if (!strcmp(opts->fixed[i].name, name))
			return &opts->fixed[i];
	return NULL;
}

int input_check_fixed(const struct ooo_onnx_model *model, int i, const struct ooo_onnx_tensor *t,
		      struct shape *shape)
{
	struct ooo_onnx_io io;
	int rc = describe(model, i, &io);

	if (!rc)
		rc = tensor_shape(t, shape);
	if (!rc)
		rc = check_declared(&io, shape);
	if (!rc && io.dtype != t->dtype)
		rc = onnx_fail(-EINVAL, "input '%s' is %s in the model but is to be fixed as %s",
			       io.name, dtype_name(io.dtype), dtype_name(t->dtype));
	return rc;
}
