/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tenant door's message parser: the input is a conversation. Each message is preceded by two
 * bytes: its length in bytes 0..511 and flags (9th bit of the length, descriptors, -, truncated, BIND). What
 * the checks let through must hold what the door then relies on.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/tenant/messages.h"
#include "shared/abi/ring.h"

#define ARENA_BYTES 65536u

static char arena[ARENA_BYTES] __attribute__((aligned(64)));

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void require(int ok)
{
	if (!ok)
		abort();
}

static void use_hello(const struct ooo_msg_hello *h)
{
	char why[OOO_TEXT_BYTES];
	enum ooo_status status = hello_check(h, ARENA_BYTES, why, sizeof(why));

	require(memchr(h->name, 0, sizeof(h->name)) != NULL);
	if (status != OOO_OK) {
		require(memchr(why, 0, sizeof(why)) && why[0]);
		return;
	}
	require(h->sq_entries >= OOO_RING_MIN_ENTRIES && h->sq_entries <= OOO_RING_MAX_ENTRIES);
	require(h->cq_entries >= h->sq_entries && h->cq_entries <= 2 * OOO_RING_MAX_ENTRIES);
	require(__builtin_popcount(h->sq_entries) == 1 && __builtin_popcount(h->cq_entries) == 1);
	require(h->arena_bytes <= ARENA_BYTES);
}

/* Against a program whose buffers have sizes of all kinds. */
static void use_bind(const struct ooo_msg_bind *b)
{
	static const int64_t sizes[] = { 1, 64, 0, 65536, 100 };
	struct tensor tensors[5];
	uint32_t inputs[] = { 0, 1, 2 }, outputs[] = { 3, 4 };
	struct program p = {
		.name = "fuzz",
		.tensors = tensors,
		.nr_tensors = 5,
		.nr_inputs = 3,
		.nr_outputs = 2,
		.inputs = inputs,
		.outputs = outputs,
	};
	char why[OOO_TEXT_BYTES];
	void *io[OOO_MAX_IO];

	memset(tensors, 0, sizeof(tensors));
	for (int i = 0; i < 5; i++) {
		tensors[i].shape.dtype = OOO_UINT8;
		tensors[i].shape.rank = 1;
		tensors[i].shape.dims[0] = sizes[i];
	}
	if (bind_check(b, &p, arena, ARENA_BYTES, io, why, sizeof(why)) != OOO_OK)
		return;
	require(b->nr == 5);
	for (int i = 0; i < 5; i++) {
		require((char *)io[i] >= arena && (uintptr_t)io[i] % OOO_BUFFER_ALIGN == 0);
		require((char *)io[i] + sizes[i] <= arena + ARENA_BYTES);
	}
}

static void one_message(const struct received *r, bool *greeted)
{
	char why[OOO_TEXT_BYTES] = "";
	enum ooo_status status = message_check(r, *greeted, why, sizeof(why));
	union reply_msg reply;

	door_reply_init(&reply, r->req.msg.type, status, why);
	require(reply.msg.bytes >= sizeof(struct ooo_msg) && reply.msg.bytes <= sizeof(reply));
	if (status != OOO_OK) {
		require(status == OOO_BAD_MESSAGE || status == OOO_VERSION);
		require(why[0]);
		return;
	}
	require(r->req.msg.bytes == r->bytes && !r->truncated);
	require(r->has_fds == (r->req.msg.type == OOO_MSG_LOAD));
	switch (r->req.msg.type) {
	case OOO_MSG_HELLO:
		require(!*greeted);
		*greeted = true;
		use_hello(&r->req.hello);
		break;
	case OOO_MSG_BIND:
		use_bind(&r->req.bind);
		break;
	default:
		require(*greeted);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	bool greeted = false;

	while (bytes >= 2) {
		struct received r = { .has_fds = data[1] & 2, .truncated = data[1] & 8 };
		size_t n = (size_t)data[0] | (size_t)(data[1] & 1) << 8;

		if (data[1] & 16) /* BIND is longer than 511 */
			n = sizeof(struct ooo_msg_bind);
		data += 2;
		bytes -= 2;
		if (n > bytes)
			n = bytes;
		if (n > sizeof(r.req))
			n = sizeof(r.req);
		memcpy(&r.req, data, n);
		r.bytes = n;
		one_message(&r, &greeted);
		data += n;
		bytes -= n;
	}
	return 0;
}
