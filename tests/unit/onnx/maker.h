/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small ONNX models, made node by node and packed by protobuf-c; and a look at the program that is
 * built from them. Memory comes from one static arena, which maker_init() empties.
 */
#ifndef OOO_TESTS_ONNX_MAKER_H
#define OOO_TESTS_ONNX_MAKER_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "onnx/onnx.pb-c.h"
#include "shared/client/internal.h"
#include "shared/onnx/ooo-onnx.h"

#define FLOAT  ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
#define DOUBLE ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE
#define HALF   ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16
#define INT64  ONNX__TENSOR_PROTO__DATA_TYPE__INT64
#define INT32  ONNX__TENSOR_PROTO__DATA_TYPE__INT32
#define BOOL   ONNX__TENSOR_PROTO__DATA_TYPE__BOOL
#define STRING ONNX__TENSOR_PROTO__DATA_TYPE__STRING

#define MAKER_LIST 64 /* nodes, inputs, attributes, ... at most */

struct maker {
	Onnx__ModelProto model;
	Onnx__GraphProto graph;
	Onnx__OperatorSetIdProto opset, *opsets[1];
};

static _Alignas(16) char maker_arena[1 << 20];
static size_t maker_used;

static inline void *maker_alloc(size_t bytes)
{
	void *p = maker_arena + maker_used;

	maker_used += (bytes + 15) & ~(size_t)15;
	if (maker_used > sizeof(maker_arena))
		abort();
	return memset(p, 0, bytes);
}

static inline char *maker_text(const char *s, size_t length)
{
	char *copy = maker_alloc(length + 1);

	memcpy(copy, s, length);
	return copy;
}

static inline void *maker_copy(const void *from, size_t bytes)
{
	return bytes ? memcpy(maker_alloc(bytes), from, bytes) : NULL;
}

/* An element more in a list of pointers of protobuf-c. */
#define MAKER_PUSH(list, n, element)                                                               \
	do {                                                                                       \
		if (!(list))                                                                       \
			(list) = maker_alloc(MAKER_LIST * sizeof(*(list)));                        \
		if ((n) == MAKER_LIST)                                                             \
			abort();                                                                   \
		(list)[(n)++] = (element);                                                         \
	} while (0)

static inline void maker_init(struct maker *m, int opset)
{
	maker_used = 0;
	onnx__model_proto__init(&m->model);
	onnx__graph_proto__init(&m->graph);
	onnx__operator_set_id_proto__init(&m->opset);
	m->opset.has_version = 1;
	m->opset.version = opset;
	m->opsets[0] = &m->opset;
	m->model.has_ir_version = 1;
	m->model.ir_version = 8;
	m->model.n_opset_import = 1;
	m->model.opset_import = m->opsets;
	m->model.graph = &m->graph;
	m->graph.name = maker_text("test", 4);
}

/* dims: NULL for an unknown shape; negative: dynamic, called "d<-dim>". */
static inline Onnx__ValueInfoProto *maker_value(const char *name, int32_t type, int rank,
						const int64_t *dims)
{
	Onnx__ValueInfoProto *info = maker_alloc(sizeof(*info));
	Onnx__TypeProto *t = maker_alloc(sizeof(*t));
	Onnx__TypeProto__Tensor *tensor = maker_alloc(sizeof(*tensor));

	onnx__value_info_proto__init(info);
	onnx__type_proto__init(t);
	onnx__type_proto__tensor__init(tensor);
	info->name = maker_text(name, strlen(name));
	info->type = t;
	t->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
	t->tensor_type = tensor;
	tensor->has_elem_type = 1;
	tensor->elem_type = type;
	if (rank < 0)
		return info;
	tensor->shape = maker_alloc(sizeof(*tensor->shape));
	onnx__tensor_shape_proto__init(tensor->shape);
	for (int i = 0; i < rank; i++) {
		Onnx__TensorShapeProto__Dimension *dim = maker_alloc(sizeof(*dim));
		char param[32];

		onnx__tensor_shape_proto__dimension__init(dim);
		if (dims[i] < 0) {
			snprintf(param, sizeof(param), "d%d", (int)-dims[i]);
			dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
			dim->dim_param = maker_text(param, strlen(param));
		} else {
			dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
			dim->dim_value = dims[i];
		}
		MAKER_PUSH(tensor->shape->dim, tensor->shape->n_dim, dim);
	}
	return info;
}

#define DIMS(...)                                                                                  \
	(int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), (const int64_t[])             \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}
#define INPUT(m, name, type, ...)                                                                  \
	MAKER_PUSH((m)->graph.input, (m)->graph.n_input, maker_value(name, type, DIMS(__VA_ARGS__)))

static inline void maker_output(struct maker *m, const char *name)
{
	Onnx__ValueInfoProto *info = maker_alloc(sizeof(*info));

	onnx__value_info_proto__init(info);
	info->name = maker_text(name, strlen(name));
	MAKER_PUSH(m->graph.output, m->graph.n_output, info);
}

static inline Onnx__TensorProto *maker_tensor(const char *name, int32_t type, int rank,
					      const int64_t *dims, const void *data, size_t bytes)
{
	Onnx__TensorProto *t = maker_alloc(sizeof(*t));

	onnx__tensor_proto__init(t);
	t->name = maker_text(name, strlen(name));
	t->has_data_type = 1;
	t->data_type = type;
	t->n_dims = (size_t)rank;
	t->dims = maker_copy(dims, (size_t)rank * sizeof(*dims));
	t->has_raw_data = 1;
	t->raw_data.len = bytes;
	t->raw_data.data = maker_copy(data, bytes);
	return t;
}

static inline Onnx__TensorProto *maker_initializer(struct maker *m, const char *name, int32_t type,
						   int rank, const int64_t *dims, const void *data,
						   size_t bytes)
{
	Onnx__TensorProto *t = maker_tensor(name, type, rank, dims, data, bytes);

	MAKER_PUSH(m->graph.initializer, m->graph.n_initializer, t);
	return t;
}

/* A list of integers, or one number, as an initialiser. */
static inline void maker_ints(struct maker *m, const char *name, int count, const int64_t *v)
{
	int64_t dims[] = { count };

	maker_initializer(m, name, INT64, 1, dims, v, (size_t)count * sizeof(*v));
}

#define INTS(m, name, ...) maker_ints(m, name, DIMS(__VA_ARGS__))

static inline void maker_int(struct maker *m, const char *name, int64_t v)
{
	maker_initializer(m, name, INT64, 0, NULL, &v, sizeof(v));
}

static inline void maker_float(struct maker *m, const char *name, float v)
{
	maker_initializer(m, name, FLOAT, 0, NULL, &v, sizeof(v));
}

/* Weights of this shape, all zero. */
static inline void maker_zeros(struct maker *m, const char *name, int rank, const int64_t *dims)
{
	size_t bytes = sizeof(float);

	for (int i = 0; i < rank; i++)
		bytes *= (size_t)dims[i];
	maker_initializer(m, name, FLOAT, rank, dims, maker_alloc(bytes), bytes);
}

#define ZEROS(m, name, ...) maker_zeros(m, name, DIMS(__VA_ARGS__))

/* "a,b,,c" into a list of names. */
static inline size_t maker_names(char ***list, const char *names)
{
	size_t n = 0;

	while (*names || n) {
		size_t length = strcspn(names, ",");

		MAKER_PUSH(*list, n, maker_text(names, length));
		if (!names[length])
			break;
		names += length + 1;
	}
	return n;
}

static inline Onnx__NodeProto *maker_node(struct maker *m, const char *op, const char *in,
					  const char *out)
{
	Onnx__NodeProto *node = maker_alloc(sizeof(*node));

	onnx__node_proto__init(node);
	node->op_type = maker_text(op, strlen(op));
	node->n_input = maker_names(&node->input, in);
	node->n_output = maker_names(&node->output, out);
	MAKER_PUSH(m->graph.node, m->graph.n_node, node);
	return node;
}

static inline Onnx__AttributeProto *maker_attr(Onnx__NodeProto *node, const char *name,
					       Onnx__AttributeProto__AttributeType type)
{
	Onnx__AttributeProto *a = maker_alloc(sizeof(*a));

	onnx__attribute_proto__init(a);
	a->name = maker_text(name, strlen(name));
	a->has_type = 1;
	a->type = type;
	MAKER_PUSH(node->attribute, node->n_attribute, a);
	return a;
}

#define MAKER_ATTR(node, name, TYPE)                                                               \
	maker_attr(node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##TYPE)

static inline void maker_attr_int(Onnx__NodeProto *node, const char *name, int64_t v)
{
	Onnx__AttributeProto *a = MAKER_ATTR(node, name, INT);

	a->has_i = 1;
	a->i = v;
}

static inline void maker_attr_float(Onnx__NodeProto *node, const char *name, float v)
{
	Onnx__AttributeProto *a = MAKER_ATTR(node, name, FLOAT);

	a->has_f = 1;
	a->f = v;
}

static inline void maker_attr_ints(Onnx__NodeProto *node, const char *name, int count,
				   const int64_t *v)
{
	Onnx__AttributeProto *a = MAKER_ATTR(node, name, INTS);

	a->n_ints = (size_t)count;
	a->ints = maker_copy(v, (size_t)count * sizeof(*v));
}

#define ATTR_INTS(node, name, ...) maker_attr_ints(node, name, DIMS(__VA_ARGS__))

static inline void maker_attr_text(Onnx__NodeProto *node, const char *name, const char *s)
{
	Onnx__AttributeProto *a = MAKER_ATTR(node, name, STRING);

	a->has_s = 1;
	a->s.len = strlen(s);
	a->s.data = maker_copy(s, strlen(s));
}

/* The model's bytes, in the arena. */
static inline uint8_t *maker_pack(struct maker *m, size_t *bytes)
{
	uint8_t *data;

	*bytes = onnx__model_proto__get_packed_size(&m->model);
	data = maker_alloc(*bytes);
	onnx__model_proto__pack(&m->model, data);
	return data;
}

/* ---- what becomes of it ----------------------------------------------------------------------- */

/* Open and build. 0 with *b, or an error whose sentence is in ooo_onnx_error(). */
static inline int maker_try(struct maker *m, const struct ooo_onnx_opts *opts,
			    struct ooo_builder **b)
{
	struct ooo_onnx_model *model;
	size_t bytes;
	uint8_t *data = maker_pack(m, &bytes);
	int rc = ooo_onnx_open_mem(data, bytes, &model);

	*b = NULL;
	if (rc)
		return rc;
	rc = ooo_onnx_build(model, opts, b);
	ooo_onnx_close(model);
	return rc;
}

static inline struct ooo_builder *maker_build(struct maker *m, const struct ooo_onnx_opts *opts)
{
	struct ooo_builder *b;

	if (maker_try(m, opts, &b))
		fail_msg("refused: %s", ooo_onnx_error());
	return b;
}

/* It must be refused, with a sentence that has this in it. */
static inline void assert_refused(struct maker *m, const struct ooo_onnx_opts *opts,
				  const char *part)
{
	struct ooo_builder *b;
	int rc = maker_try(m, opts, &b);

	if (!rc) {
		ooo_builder_free(b);
		fail_msg("accepted, expected: %s", part);
	}
	assert_true(rc == -EOPNOTSUPP || rc == -EINVAL || rc == -EFBIG);
	assert_null(b);
	if (!strstr(ooo_onnx_error(), part))
		fail_msg("expected \"%s\" in \"%s\"", part, ooo_onnx_error());
}

/* The tensor that is output number i. */
static inline const struct tensor_decl *output_decl(const struct ooo_builder *b, uint32_t i)
{
	for (uint32_t k = 0; k < b->nr_tensors; k++)
		if (b->tensors[k].role == OOO_ROLE_OUTPUT && b->tensors[k].io == i)
			return &b->tensors[k];
	fail_msg("there is no output %u", i);
	return NULL;
}

static inline void assert_dims(const struct tensor_decl *t, int rank, const int64_t *dims)
{
	assert_int_equal(t->shape.rank, rank);
	for (int i = 0; i < rank; i++)
		assert_int_equal(t->shape.dims[i], dims[i]);
}

#define ASSERT_DIMS(t, ...) assert_dims(t, DIMS(__VA_ARGS__))

/* The only operator of a kind; NULL: there is none. */
static inline const struct ooo_prog_op *find_op(const struct ooo_builder *b, enum ooo_op op)
{
	for (uint32_t i = 0; i < b->nr_ops; i++)
		if (b->ops[i].op == op)
			return &b->ops[i];
	return NULL;
}

/* The elements of a constant that the program outputs (through a copy). */
static inline void constant_output(const struct ooo_builder *b, uint32_t i, enum ooo_dtype dtype,
				   void *to, size_t bytes)
{
	const struct tensor_decl *out = output_decl(b, i), *from = NULL;
	uint64_t total;
	char why[256], *map;
	int fd;

	for (uint32_t k = 0; k < b->nr_ops; k++)
		if (b->operands[b->ops[k].operands + b->ops[k].nr_in] == out - b->tensors)
			from = &b->tensors[b->operands[b->ops[k].operands]];
	assert_non_null(from);
	assert_int_equal(from->role, OOO_ROLE_CONST);
	assert_int_equal(from->shape.dtype, dtype);
	assert_int_equal(from->data_bytes, bytes);
	if (client_encode(b, &fd, &total, why, sizeof(why)))
		fail_msg("%s", why);
	map = mmap(NULL, total, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	memcpy(to, map + ((const struct ooo_prog_header *)map)->data_off + from->data_off, bytes);
	munmap(map, total);
	close(fd);
}

#endif
