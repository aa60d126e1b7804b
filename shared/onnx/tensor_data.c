/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tensors between ONNX's encoding and row-major memory. A TensorProto holds its elements either as
 * raw little-endian bytes or in a typed list; the list of 32-bit integers also serves the types
 * that are shorter than that.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "shared/onnx/error.h"
#include "shared/onnx/file.h"
#include "shared/onnx/tensor_data.h"
#include "shared/onnx/wire.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "raw data is used in place");

#define FLOAT    ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
#define FLOAT16  ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16
#define BFLOAT16 ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16
#define DOUBLE   ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE
#define INT64    ONNX__TENSOR_PROTO__DATA_TYPE__INT64
#define INT32    ONNX__TENSOR_PROTO__DATA_TYPE__INT32
#define INT8     ONNX__TENSOR_PROTO__DATA_TYPE__INT8
#define UINT8    ONNX__TENSOR_PROTO__DATA_TYPE__UINT8
#define BOOL     ONNX__TENSOR_PROTO__DATA_TYPE__BOOL

static const struct {
	int32_t type;
	enum ooo_dtype dtype;
} types[] = {
	{ FLOAT, OOO_FP32 },  { FLOAT16, OOO_FP16 }, { BFLOAT16, OOO_BF16 },
	{ INT64, OOO_INT64 }, { INT32, OOO_INT32 },  { BOOL, OOO_BOOL },
	{ UINT8, OOO_UINT8 }, { INT8, OOO_INT8 },    { DOUBLE, OOO_FP64 },
};

#define NR_TYPES (sizeof(types) / sizeof(types[0]))

enum ooo_dtype dtype_from_onnx(int32_t type)
{
	for (size_t i = 0; i < NR_TYPES; i++)
		if (types[i].type == type)
			return types[i].dtype;
	return 0;
}

int32_t dtype_to_onnx(uint32_t dtype)
{
	for (size_t i = 0; i < NR_TYPES; i++)
		if (types[i].dtype == dtype)
			return types[i].type;
	return 0;
}

const char *onnx_type_name(int32_t type)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(
		&onnx__tensor_proto__data_type__descriptor, type);

	return v ? v->name : "an unknown type";
}

int tensor_shape(const struct ooo_onnx_tensor *t, struct shape *shape)
{
	uint64_t bytes;

	memset(shape, 0, sizeof(*shape));
	shape->dtype = t->dtype;
	shape->rank = t->rank;
	if (t->rank < 0 || t->rank > OOO_MAX_RANK)
		return onnx_fail(-EINVAL, "a tensor has rank %d (0 .. %d)", t->rank, OOO_MAX_RANK);
	memcpy(shape->dims, t->dims, (size_t)t->rank * sizeof(t->dims[0]));
	if (shape_bytes(shape, &bytes) || bytes > OOO_MAX_TENSOR_BYTES)
		return onnx_fail(-EINVAL, "a tensor has no valid type and shape, or is too large");
	if (bytes != t->nbytes)
		return onnx_fail(-EINVAL, "a tensor's shape needs %" PRIu64 " bytes but it has %zu",
				 bytes, t->nbytes);
	return 0;
}

static int check_header(const Onnx__TensorProto *pb, const char *what, struct ooo_onnx_tensor *t)
{
	struct shape shape = { .dtype = 0 };
	uint64_t bytes;

	if (pb->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL || pb->n_external_data)
		return onnx_fail(-EOPNOTSUPP,
				 "%s: its data is in another file, which is not"
				 " supported; save the model as one file",
				 what);
	if (pb->segment)
		return onnx_fail(-EOPNOTSUPP, "%s: segmented tensors are not supported", what);
	shape.dtype = t->dtype = dtype_from_onnx(pb->data_type);
	if (!t->dtype)
		return onnx_fail(-EOPNOTSUPP, "%s: elements of type %s are not supported", what,
				 onnx_type_name(pb->data_type));
	if (pb->n_dims > OOO_MAX_RANK)
		return onnx_fail(-EOPNOTSUPP, "%s: %zu axes are more than the %d supported", what,
				 pb->n_dims, OOO_MAX_RANK);
	shape.rank = t->rank = (int)pb->n_dims;
	for (size_t i = 0; i < pb->n_dims; i++)
		shape.dims[i] = t->dims[i] = pb->dims[i];
	if (shape_bytes(&shape, &bytes) || bytes > OOO_MAX_TENSOR_BYTES)
		return onnx_fail(-EINVAL, "%s: its dimensions are negative or too large", what);
	t->nbytes = (size_t)bytes;
	return 0;
}

/* The typed list that an element type uses, seen as bytes: where, how many, size of its elements. */
static size_t typed_list(const Onnx__TensorProto *pb, const void **list, size_t *unit)
{
	switch (pb->data_type) {
	case FLOAT:
		*list = pb->float_data;
		*unit = sizeof(float);
		return pb->n_float_data;
	case DOUBLE:
		*list = pb->double_data;
		*unit = sizeof(double);
		return pb->n_double_data;
	case INT64:
		*list = pb->int64_data;
		*unit = sizeof(int64_t);
		return pb->n_int64_data;
	default:
		*list = pb->int32_data;
		*unit = sizeof(int32_t);
		return pb->n_int32_data;
	}
}

/* Elements shorter than the list's 32 bits; each must fit. */
static int narrow(const char *what, const int32_t *from, size_t n, struct ooo_onnx_tensor *t)
{
	static const struct {
		int32_t low, high;
	} range[OOO_DTYPE_LIMIT] = {
		[OOO_FP16] = { 0, 65535 }, [OOO_BF16] = { 0, 65535 },  [OOO_BOOL] = { 0, 1 },
		[OOO_UINT8] = { 0, 255 },  [OOO_INT8] = { -128, 127 },
	};
	uint8_t *to = t->data;

	for (size_t i = 0; i < n; i++) {
		if (from[i] < range[t->dtype].low || from[i] > range[t->dtype].high)
			return onnx_fail(-EINVAL, "%s: element %zu is %d, out of range for %s",
					 what, i, from[i], dtype_name(t->dtype));
		if (dtype_bytes(t->dtype) == 2)
			((uint16_t *)t->data)[i] = (uint16_t)from[i];
		else
			to[i] = (uint8_t)from[i];
	}
	return 0;
}

/* Booleans come as any byte; here they are 0 or 1. */
static void copy_bools(const uint8_t *from, struct ooo_onnx_tensor *t)
{
	uint8_t *to = t->data;

	for (size_t i = 0; i < t->nbytes; i++)
		to[i] = from[i] != 0;
}

static int own(struct ooo_onnx_tensor *t, const char *what, bool *owned)
{
	t->data = malloc(t->nbytes ? t->nbytes : 1);
	if (!t->data)
		return onnx_fail(-ENOMEM, "%s: no memory for %zu bytes", what, t->nbytes);
	*owned = true;
	return 0;
}

static int from_raw(const Onnx__TensorProto *pb, const char *what, struct ooo_onnx_tensor *t,
		    bool *owned)
{
	if (pb->raw_data.len != t->nbytes)
		return onnx_fail(-EINVAL, "%s: its shape needs %zu bytes but it has %zu", what,
				 t->nbytes, pb->raw_data.len);
	if (t->dtype == OOO_BOOL) {
		if (own(t, what, owned))
			return -ENOMEM;
		copy_bools(pb->raw_data.data, t);
		return 0;
	}
	t->data = pb->raw_data.data;
	return 0;
}

static int from_list(const Onnx__TensorProto *pb, const char *what, struct ooo_onnx_tensor *t,
		     bool *owned)
{
	size_t bytes = dtype_bytes(t->dtype), unit, n;
	const void *list;

	n = typed_list(pb, &list, &unit);
	if (n != t->nbytes / bytes)
		return onnx_fail(-EINVAL, "%s: its shape needs %zu elements but it has %zu", what,
				 t->nbytes / bytes, n);
	if (unit == bytes) {
		t->data = (void *)list;
		return 0;
	}
	if (own(t, what, owned))
		return -ENOMEM;
	return narrow(what, list, n, t);
}

int tensor_from_pb(const Onnx__TensorProto *pb, const char *what, struct ooo_onnx_tensor *t,
		   bool *owned)
{
	size_t lists = pb->n_float_data + pb->n_int32_data + pb->n_int64_data + pb->n_double_data +
		       pb->n_uint64_data + pb->n_string_data;
	int rc;

	memset(t, 0, sizeof(*t));
	*owned = false;
	rc = check_header(pb, what, t);
	if (rc)
		return rc;
	if (pb->has_raw_data && pb->raw_data.len && lists)
		return onnx_fail(-EINVAL, "%s: has its data twice", what);
	rc = pb->has_raw_data && !lists ? from_raw(pb, what, t, owned)
					: from_list(pb, what, t, owned);
	if (rc && *owned) {
		free(t->data);
		t->data = NULL;
		*owned = false;
	}
	return rc;
}

void ooo_onnx_tensor_free(struct ooo_onnx_tensor *t)
{
	free(t->data);
	free(t->name);
	memset(t, 0, sizeof(*t));
}

/* A tensor of its own, independent of pb. */
static int detach(const Onnx__TensorProto *pb, const char *path, struct ooo_onnx_tensor *t)
{
	const void *data;
	bool owned;
	int rc = tensor_from_pb(pb, path, t, &owned);

	if (rc)
		return rc;
	if (!owned) {
		data = t->data;
		if (own(t, path, &owned))
			return -ENOMEM;
		if (t->nbytes)
			memcpy(t->data, data, t->nbytes);
	}
	if (pb->name) {
		t->name = strdup(pb->name);
		if (!t->name)
			return onnx_fail(-ENOMEM, "%s: no memory", path);
	}
	return 0;
}

int ooo_onnx_read_pb(const char *path, struct ooo_onnx_tensor *t)
{
	struct wire_budget budget;
	ProtobufCMessage *pb;
	uint8_t *data;
	size_t bytes;
	int rc;

	memset(t, 0, sizeof(*t));
	rc = file_read(path, &data, &bytes);
	if (rc)
		return rc;
	/* A scalar 0.0 with no name is a message, but nothing at all is not a tensor. */
	pb = wire_unpack(data, bytes, &onnx__tensor_proto__descriptor, &budget);
	free(data);
	if (!pb)
		return onnx_fail(-EINVAL, "%s: %s", path, ooo_onnx_error());
	rc = detach((const Onnx__TensorProto *)pb, path, t);
	protobuf_c_message_free_unpacked(pb, &budget.allocator);
	if (rc)
		ooo_onnx_tensor_free(t);
	return rc;
}

int ooo_onnx_write_pb(const char *path, const struct ooo_onnx_tensor *t)
{
	Onnx__TensorProto pb = ONNX__TENSOR_PROTO__INIT;
	struct shape shape;
	uint8_t *buffer;
	size_t bytes;
	int rc = tensor_shape(t, &shape);

	if (rc)
		return rc;
	pb.n_dims = (size_t)shape.rank;
	pb.dims = shape.dims;
	pb.has_data_type = 1;
	pb.data_type = dtype_to_onnx(shape.dtype);
	pb.name = t->name;
	pb.has_raw_data = 1;
	pb.raw_data.data = t->data;
	pb.raw_data.len = t->nbytes;
	bytes = onnx__tensor_proto__get_packed_size(&pb);
	buffer = malloc(bytes);
	if (!buffer)
		return onnx_fail(-ENOMEM, "%s: no memory for %zu bytes", path, bytes);
	onnx__tensor_proto__pack(&pb, buffer);
	rc = file_write(path, buffer, bytes, NULL, 0);
	free(buffer);
	return rc;
}
