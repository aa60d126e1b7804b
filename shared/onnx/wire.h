/* SPDX-License-Identifier: Apache-2.0 */
/* A look at a protobuf message before it is unpacked. */
#ifndef OOO_ONNX_WIRE_H
#define OOO_ONNX_WIRE_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

/*
 * protobuf-c unpacks nested messages by recursion without a limit and merges a message field that
 * appears twice; this refuses both, so that a hostile file cannot exhaust the stack. 0 or -EINVAL.
 */
int wire_check(const uint8_t *data, size_t bytes, const ProtobufCMessageDescriptor *type);

/* An allocator for one unpacked message with a limit on its memory. */
struct wire_budget {
	ProtobufCAllocator allocator;
	size_t left;
};

/* What `bytes` of message may need at most; a tiny encoding can stand for much larger structs. */
void wire_budget_init(struct wire_budget *budget, size_t bytes);

/* wire_check() and unpack; NULL with the error set. Free with protobuf_c_message_free_unpacked(). */
ProtobufCMessage *wire_unpack(const uint8_t *data, size_t bytes,
			      const ProtobufCMessageDescriptor *type, struct wire_budget *budget);

#endif
