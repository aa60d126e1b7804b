/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes and constant operands of a node. Each attribute that a function asks for is marked;
 * attrs_done() refuses the node if one is left: what we do not know, we do not ignore.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/onnx/error.h"
#include "shared/onnx/import.h"

#define ATTR(TYPE) ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##TYPE

int refuse(struct node *n, const char *fmt, ...)
{
	const char *name = n->pb->name;
	const char *op = n->pb->op_type ? n->pb->op_type : "?";
	char why[400];
	va_list ap;

	if (n->rc)
		return n->rc;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	n->rc = -EOPNOTSUPP;
	if (name && *name)
		return onnx_fail(n->rc, "node %zu '%.80s' (%.40s): %s", n->index, name, op, why);
	return onnx_fail(n->rc, "node %zu (%.40s): %s", n->index, op, why);
}

int account(struct node *n, int64_t elems)
{
	if ((uint64_t)elems > n->im->work_left)
		return refuse(n, "computing the model's constants takes too long");
	n->im->work_left -= (uint64_t)elems;
	return n->rc;
}

static const Onnx__AttributeProto *look_up(const struct node *n, const char *name)
{
	for (size_t i = 0; i < n->pb->n_attribute; i++) {
		const Onnx__AttributeProto *a = n->pb->attribute[i];

		if (!a->name || strcmp(a->name, name) != 0)
			continue;
		n->seen[i] = true;
		return a;
	}
	return NULL;
}

bool attr_has(const struct node *n, const char *name)
{
	for (size_t i = 0; i < n->pb->n_attribute; i++)
		if (n->pb->attribute[i]->name && !strcmp(n->pb->attribute[i]->name, name))
			return true;
	return false;
}

void attr_ignore(struct node *n, const char *name)
{
	look_up(n, name);
}

const Onnx__AttributeProto *attr_find(struct node *n, const char *name,
				      Onnx__AttributeProto__AttributeType type)
{
	const Onnx__AttributeProto *a = n->rc ? NULL : look_up(n, name);

	if (!a)
		return NULL;
	if (a->ref_attr_name && *a->ref_attr_name) {
		refuse(n, "attribute %s refers to a function's attribute", name);
		return NULL;
	}
	if (a->type != type) {
		refuse(n, "attribute %s has the wrong type", name);
		return NULL;
	}
	return a;
}

int64_t attr_int(struct node *n, const char *name, int64_t otherwise)
{
	const Onnx__AttributeProto *a = attr_find(n, name, ATTR(INT));

	return a ? a->i : otherwise;
}

int attr_range(struct node *n, const char *name, int otherwise, int low, int high)
{
	int64_t v = attr_int(n, name, otherwise);

	if (v >= low && v <= high)
		return (int)v;
	refuse(n, "attribute %s is %" PRId64 " but must be %d to %d", name, v, low, high);
	return otherwise;
}

bool attr_flag(struct node *n, const char *name, bool otherwise)
{
	return attr_range(n, name, otherwise, 0, 1);
}

float attr_float(struct node *n, const char *name, float otherwise)
{
	const Onnx__AttributeProto *a = attr_find(n, name, ATTR(FLOAT));

	return a ? a->f : otherwise;
}

const char *attr_string(struct node *n, const char *name, const char *otherwise)
{
	const Onnx__AttributeProto *a = attr_find(n, name, ATTR(STRING));
	char *copy;

	if (!a)
		return otherwise;
	copy = import_alloc(n->im, a->s.len + 1);
	if (!copy) {
		refuse(n, "attribute %s: %s", name, ooo_onnx_error());
		return otherwise;
	}
	if (a->s.len)
		memcpy(copy, a->s.data, a->s.len);
	return copy;
}

int attr_enum(struct node *n, const char *name, const char *otherwise, const char *const *names,
	      int nr_names)
{
	const char *s = attr_string(n, name, otherwise);

	for (int i = 0; i < nr_names; i++)
		if (!strcmp(s, names[i]))
			return i;
	refuse(n, "%s '%.40s' is not supported", name, s);
	return 0;
}

int attr_ints(struct node *n, const char *name, int64_t *v, int max)
{
	const Onnx__AttributeProto *a = attr_find(n, name, ATTR(INTS));

	if (!a)
		return -1;
	if (a->n_ints > (size_t)max) {
		refuse(n, "attribute %s has %zu elements, more than the %d that are possible", name,
		       a->n_ints, max);
		return 0;
	}
	if (a->n_ints)
		memcpy(v, a->ints, a->n_ints * sizeof(*v));
	return (int)a->n_ints;
}

int normal_axis(struct node *n, int64_t axis, int rank)
{
	if (axis < -rank || axis >= rank) {
		refuse(n, "axis %" PRId64 " is outside the operand's rank %d", axis, rank);
		return 0;
	}
	return (int)(axis < 0 ? axis + rank : axis);
}

int attr_axis(struct node *n, const char *name, int64_t otherwise, int rank)
{
	return normal_axis(n, attr_int(n, name, otherwise), rank);
}

int attrs_done(struct node *n)
{
	for (size_t i = 0; !n->rc && i < n->pb->n_attribute; i++) {
		const char *name = n->pb->attribute[i]->name;

		if (!n->seen[i])
			refuse(n, "attribute '%.60s' is unknown here or given twice",
			       name ? name : "");
	}
	return n->rc;
}

struct value *operand(const struct node *n, int i)
{
	return i < n->nr_in ? n->in[i] : NULL;
}

int64_t value_elems(const struct value *v)
{
	int64_t elems = 0;

	shape_elems(&v->shape, &elems);
	return elems;
}

bool is_int(const struct value *v)
{
	return v->shape.dtype == OOO_INT64 || v->shape.dtype == OOO_INT32 ||
	       v->shape.dtype == OOO_INT8 || v->shape.dtype == OOO_UINT8;
}

bool is_float(const struct value *v)
{
	return v->shape.dtype == OOO_FP32 || v->shape.dtype == OOO_FP64;
}

/* Elements may lie at any address: raw data comes as it was in the file. */
#define LOAD(type, v, i)                                                                           \
	({                                                                                         \
		type x_;                                                                           \
		memcpy(&x_, (const char *)(v)->data + (size_t)(i) * sizeof(x_), sizeof(x_));       \
		x_;                                                                                \
	})

int64_t value_int(const struct value *v, int64_t i)
{
	switch (v->shape.dtype) {
	case OOO_INT64:
		return LOAD(int64_t, v, i);
	case OOO_INT32:
		return LOAD(int32_t, v, i);
	case OOO_INT8:
		return LOAD(int8_t, v, i);
	default: /* bool, uint8 */
		return LOAD(uint8_t, v, i);
	}
}

double value_number(const struct value *v, int64_t i)
{
	switch (v->shape.dtype) {
	case OOO_FP32:
		return (double)LOAD(float, v, i);
	case OOO_FP64:
		return LOAD(double, v, i);
	default:
		return (double)value_int(v, i);
	}
}

/* Present and constant, or refused. */
static struct value *constant_operand(struct node *n, int i, const char *what)
{
	struct value *v = n->rc ? NULL : operand(n, i);

	if (v && !v->constant) {
		refuse(n,
		       "input %d (%s) must be a constant; if it is an input of the model, fix its"
		       " value",
		       i, what);
		return NULL;
	}
	return v;
}

int operand_ints(struct node *n, int i, const char *what, int64_t *v, int max)
{
	struct value *from = constant_operand(n, i, what);
	int64_t elems;

	if (!from)
		return -1;
	elems = value_elems(from);
	if (from->shape.dtype != OOO_INT64 && from->shape.dtype != OOO_INT32)
		refuse(n, "input %d (%s) is %s but must be int64", i, what,
		       dtype_name(from->shape.dtype));
	else if (from->shape.rank > 1)
		refuse(n, "input %d (%s) has rank %d but must be a list", i, what,
		       from->shape.rank);
	else if (elems > max)
		refuse(n,
		       "input %d (%s) has %" PRId64 " elements, more than the %d that are"
		       " possible",
		       i, what, elems, max);
	if (n->rc)
		return -1;
	for (int64_t k = 0; k < elems; k++)
		v[k] = value_int(from, k);
	return (int)elems;
}

double operand_number(struct node *n, int i, const char *what, double otherwise)
{
	struct value *from = constant_operand(n, i, what);

	if (!from)
		return otherwise;
	if (value_elems(from) == 1 &&
	    (is_int(from) || is_float(from) || from->shape.dtype == OOO_BOOL))
		return value_number(from, 0);
	refuse(n, "input %d (%s) must be one number", i, what);
	return otherwise;
}
