/* SPDX-License-Identifier: Apache-2.0 */
/* A look at a protobuf message before it is unpacked. */
#include <errno.h>
#include <stdlib.h>

#include "shared/onnx/error.h"
#include "shared/onnx/wire.h"

#define MAX_DEPTH 64 /* a nested If takes three levels */

struct cursor {
	const uint8_t *at, *end;
};

static int read_varint(struct cursor *c, uint64_t *v)
{
	*v = 0;
	for (int shift = 0; shift < 64 && c->at < c->end; shift += 7) {
		uint8_t byte = *c->at++;

		*v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return 0;
	}
	return -EINVAL;
}

static int skip(struct cursor *c, uint64_t bytes)
{
	if (bytes > (uint64_t)(c->end - c->at))
		return -EINVAL;
	c->at += bytes;
	return 0;
}

static int check(struct cursor c, const ProtobufCMessageDescriptor *type, int depth);

/* A length-delimited field: look inside if it is a message. `once` has the singular ones seen. */
static int check_delimited(struct cursor *c, const ProtobufCMessageDescriptor *type,
			   unsigned number, uint64_t *once, int depth)
{
	const ProtobufCFieldDescriptor *field;
	struct cursor inner = { .at = NULL };
	uint64_t bytes;

	if (read_varint(c, &bytes))
		return -EINVAL;
	inner.at = c->at;
	if (skip(c, bytes))
		return -EINVAL;
	inner.end = c->at;
	field = protobuf_c_message_descriptor_get_field(type, number);
	if (!field || field->type != PROTOBUF_C_TYPE_MESSAGE)
		return 0;
	if (field->label != PROTOBUF_C_LABEL_REPEATED) {
		uint64_t bit = 1ull << ((field - type->fields) & 63);

		if (*once & bit)
			return -EINVAL;
		*once |= bit;
	}
	return check(inner, field->descriptor, depth + 1);
}

/* A function of its own frame size times MAX_DEPTH: small. */
static int check(struct cursor c, const ProtobufCMessageDescriptor *type, int depth)
{
	uint64_t once = 0;

	if (depth > MAX_DEPTH)
		return -EINVAL;
	while (c.at < c.end) {
		uint64_t key, ignored;
		int rc;

		if (read_varint(&c, &key) || key >> 32)
			return -EINVAL;
		switch (key & 7) {
		case PROTOBUF_C_WIRE_TYPE_VARINT:
			rc = read_varint(&c, &ignored);
			break;
		case PROTOBUF_C_WIRE_TYPE_64BIT:
			rc = skip(&c, 8);
			break;
		case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
			rc = check_delimited(&c, type, (unsigned)(key >> 3), &once, depth);
			break;
		case PROTOBUF_C_WIRE_TYPE_32BIT:
			rc = skip(&c, 4);
			break;
		default:
			rc = -EINVAL;
			break;
		}
		if (rc)
			return rc;
	}
	return 0;
}

int wire_check(const uint8_t *data, size_t bytes, const ProtobufCMessageDescriptor *type)
{
	return check((struct cursor){ data, data + bytes }, type, 0);
}

static void *budget_alloc(void *arg, size_t bytes)
{
	struct wire_budget *budget = arg;
	void *p;

	if (bytes > budget->left || budget->left - bytes < 32)
		return NULL;
	p = malloc(bytes ? bytes : 1);
	if (p)
		budget->left -= bytes + 32; /* malloc's own share */
	return p;
}

static void budget_free(void *arg, void *p)
{
	free(p);
}

void wire_budget_init(struct wire_budget *budget, size_t bytes)
{
	budget->allocator.alloc = budget_alloc;
	budget->allocator.free = budget_free;
	budget->allocator.allocator_data = budget;
	budget->left = 8 * bytes + (64u << 20);
}

ProtobufCMessage *wire_unpack(const uint8_t *data, size_t bytes,
			      const ProtobufCMessageDescriptor *type, struct wire_budget *budget)
{
	ProtobufCMessage *message;

	if (!bytes) {
		onnx_fail(-EINVAL, "the file is empty");
		return NULL;
	}
	if (wire_check(data, bytes, type)) {
		onnx_fail(-EINVAL, "not a sound %s: broken, cut short or nested too deeply",
			  type->short_name);
		return NULL;
	}
	wire_budget_init(budget, bytes);
	message = protobuf_c_message_unpack(type, &budget->allocator, bytes, data);
	if (!message)
		onnx_fail(-EINVAL,
			  "not a sound %s: a field has the wrong type, or it needs too"
			  " much memory",
			  type->short_name);
	return message;
}
