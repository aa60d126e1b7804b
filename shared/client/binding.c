/* SPDX-License-Identifier: Apache-2.0 */
/* Bindings: one block of the arena for the inputs and outputs of a request. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/client/internal.h"

int client_send_bind(struct ooo_client *client, struct link *link, struct ooo_binding *binding)
{
	const struct ooo_program *program = binding->program;
	struct ooo_msg_bind req = { .msg.type = OOO_MSG_BIND, .program = program->info.id };
	char what[OOO_NAME_BYTES + 32];
	union reply reply;
	int rc;

	snprintf(what, sizeof(what), "bind program '%s'", program->name);
	req.nr = program->info.nr_inputs + program->info.nr_outputs;
	for (uint32_t i = 0; i < req.nr; i++)
		req.offset[i] = binding->off + binding->io_off[i];
	rc = client_ask(client, link, &req.msg, -1, OOO_MSG_BOUND, &reply, client->opts.timeout_ms,
			what);
	if (rc)
		return rc;
	binding->program_id = program->info.id;
	binding->id = reply.bound.binding;
	return 0;
}

/* Offsets within the block, each buffer on its own cache lines. */
static uint64_t lay_out(const struct ooo_program *program, uint64_t *io_off)
{
	uint32_t n = program->info.nr_inputs + program->info.nr_outputs;
	uint64_t off = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t bytes = 0;

		/* At most 64 tensors of OOO_MAX_TENSOR_BYTES: no overflow. */
		shape_bytes(&program->io[i], &bytes);
		io_off[i] = off;
		off += (bytes + OOO_BUFFER_ALIGN - 1) / OOO_BUFFER_ALIGN * OOO_BUFFER_ALIGN;
	}
	return off;
}

int ooo_bind(struct ooo_program *program, struct ooo_binding **out)
{
	struct ooo_client *client = program->client;
	struct ooo_binding *binding;
	int rc;

	*out = NULL;
	binding = calloc(1, sizeof(*binding));
	if (!binding)
		return client_fail(client, -ENOMEM, "bind program '%s': out of memory",
				   program->name);
	binding->client = client;
	binding->program = program;
	binding->bytes = lay_out(program, binding->io_off);
	rc = client_arena_alloc(&client->arena, binding->bytes, &binding->off);
	if (rc) {
		client_fail(
			client, rc,
			"bind program '%s': it takes %llu bytes, and the largest free piece of the "
			"arena (%llu bytes) has %llu: connect with a larger arena_bytes",
			program->name, (unsigned long long)binding->bytes,
			(unsigned long long)client->arena.bytes,
			(unsigned long long)client_arena_room(&client->arena));
		goto fail;
	}
	rc = client_send_bind(client, &client->link, binding);
	if (rc)
		goto fail_arena;
	binding->next = program->bindings;
	program->bindings = binding;
	*out = binding;
	return 0;
fail_arena:
	client_arena_free(&client->arena, binding->off);
fail:
	free(binding);
	return rc;
}

void client_binding_free(struct ooo_binding *binding)
{
	struct ooo_binding **at = &binding->program->bindings;

	while (*at != binding)
		at = &(*at)->next;
	*at = binding->next;
	client_arena_free(&binding->client->arena, binding->off);
	free(binding);
}

int ooo_unbind(struct ooo_binding *binding)
{
	struct ooo_client *client = binding->client;
	char what[OOO_NAME_BYTES + 32];
	int rc;

	snprintf(what, sizeof(what), "unbind from program '%s'", binding->program->name);
	if (client_binding_inflight(binding))
		return client_fail(client, -EBUSY, "%s: a request on it is in flight", what);
	rc = client_send_drop(client, OOO_MSG_UNBIND, binding->program_id, binding->id, what);
	if (rc)
		return rc;
	client_binding_free(binding);
	return 0;
}

static void *io_buffer(const struct ooo_binding *binding, int i, uint32_t first, uint32_t n)
{
	if (i < 0 || (uint32_t)i >= n)
		return NULL;
	return binding->client->arena.base + binding->off + binding->io_off[first + (uint32_t)i];
}

void *ooo_binding_input(const struct ooo_binding *binding, int i)
{
	return io_buffer(binding, i, 0, binding->program->info.nr_inputs);
}

void *ooo_binding_output(const struct ooo_binding *binding, int i)
{
	const struct ooo_program_info *info = &binding->program->info;

	return io_buffer(binding, i, info->nr_inputs, info->nr_outputs);
}
