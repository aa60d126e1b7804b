/* SPDX-License-Identifier: Apache-2.0 */
/* Programs loaded in the agent. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shared/client/internal.h"

#define RETRY_NS 100000 /* between two tries when the agent is about to let go of something */

int client_send_load(struct ooo_client *client, struct link *link, struct ooo_program *program)
{
	struct ooo_msg_load req = { .msg.type = OOO_MSG_LOAD,
				    .program_bytes = program->bytes,
				    .precision = program->precision };
	struct ooo_program_info *info = &program->info;
	char what[OOO_NAME_BYTES + 32];
	union reply reply;
	int rc;

	snprintf(what, sizeof(what), "load program '%s'", program->name);
	/* No time-out: a compile takes as long as it takes, and a dead agent is noticed anyway. */
	rc = client_ask(client, link, &req.msg, program->fd, OOO_MSG_LOADED, &reply, 0, what);
	if (rc)
		return rc;
	info->id = reply.loaded.program;
	info->nr_steps = reply.loaded.nr_steps;
	info->nr_ops = reply.loaded.nr_ops;
	info->slots = reply.loaded.slots;
	info->weight_bytes = reply.loaded.weight_bytes;
	info->workspace_bytes = reply.loaded.workspace_bytes;
	info->tensor_bytes = reply.loaded.tensor_bytes;
	return 0;
}

static int read_program_opts(struct ooo_client *client, const struct ooo_program_opts *opts,
			     uint32_t *precision)
{
	*precision = 0;
	if (!opts)
		return 0;
	if (opts->size != sizeof(*opts))
		return client_fail(client, -EINVAL,
				   "load: ooo_program_opts.size is %zu, it must be sizeof (%zu)",
				   opts->size, sizeof(*opts));
	switch ((uint32_t)opts->precision) {
	case 0:
	case OOO_FP32:
	case OOO_TF32:
	case OOO_BF16:
	case OOO_FP16:
		break;
	default:
		return client_fail(client, -EINVAL,
				   "load: ooo_program_opts.precision is %u, which is none of"
				   " OOO_FP32, OOO_TF32, OOO_BF16 and OOO_FP16",
				   (unsigned)opts->precision);
	}
	*precision = opts->precision;
	return 0;
}

static void copy_io(struct ooo_program *program, const struct ooo_builder *b)
{
	program->info.nr_inputs = b->nr_inputs;
	program->info.nr_outputs = b->nr_outputs;
	for (uint32_t id = 0; id < b->nr_tensors; id++) {
		const struct tensor_decl *t = &b->tensors[id];

		if (t->role == OOO_ROLE_INPUT)
			program->io[t->io] = t->shape;
		else if (t->role == OOO_ROLE_OUTPUT)
			program->io[b->nr_inputs + t->io] = t->shape;
	}
}

int ooo_load(struct ooo_client *client, const struct ooo_builder *b,
	     const struct ooo_program_opts *opts, struct ooo_program **out)
{
	char why[CLIENT_ERROR_BYTES / 2];
	struct ooo_program *program;
	uint32_t precision;
	int rc;

	*out = NULL;
	rc = read_program_opts(client, opts, &precision);
	if (rc)
		return rc;
	program = calloc(1, sizeof(*program));
	if (!program)
		return client_fail(client, -ENOMEM, "load program '%s': out of memory", b->name);
	memcpy(program->name, b->name, sizeof(program->name));
	program->precision = precision;
	program->fd = -1;
	rc = client_encode(b, &program->fd, &program->bytes, why, sizeof(why));
	if (rc) {
		client_fail(client, rc, "load program '%s': %s", b->name, why);
		goto fail;
	}
	copy_io(program, b);
	rc = client_send_load(client, &client->link, program);
	if (rc)
		goto fail;
	program->client = client;
	program->next = client->programs;
	client->programs = program;
	*out = program;
	return 0;
fail:
	if (program->fd >= 0)
		close(program->fd);
	free(program);
	return rc;
}

void client_program_free(struct ooo_program *program)
{
	struct ooo_program **at = &program->client->programs;

	while (program->bindings)
		client_binding_free(program->bindings);
	while (*at != program)
		at = &(*at)->next;
	*at = program->next;
	close(program->fd);
	free(program);
}

int client_send_drop(struct ooo_client *client, uint16_t type, uint32_t program, uint32_t binding,
		     const char *what)
{
	uint64_t end_ns = ooo_now_ns() + client->opts.timeout_ms * UINT64_C(1000000);
	struct ooo_msg_unbind req = { .program = program, .binding = binding };
	union reply reply;
	int rc;

	for (;;) {
		req.msg.type = type;
		rc = client_ask(client, &client->link, &req.msg, -1, OOO_MSG_DONE, &reply,
				client->opts.timeout_ms, what);
		/* Nothing is in flight, for its completions are here: the agent is just behind. */
		if (rc != -EBUSY || ooo_now_ns() >= end_ns)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = RETRY_NS }, NULL);
	}
	/* What an agent that is gone, or that took an earlier try, does not have any more is gone. */
	return rc == -ECONNRESET || rc == -EPROTO || rc == -ENOENT ? 0 : rc;
}

int ooo_unload(struct ooo_program *program)
{
	struct ooo_client *client = program->client;
	char what[OOO_NAME_BYTES + 32];
	int rc;

	snprintf(what, sizeof(what), "unload program '%s'", program->name);
	for (const struct ooo_binding *b = program->bindings; b; b = b->next)
		if (client_binding_inflight(b))
			return client_fail(client, -EBUSY, "%s: requests of it are in flight",
					   what);
	rc = client_send_drop(client, OOO_MSG_UNLOAD, program->info.id, 0, what);
	if (rc)
		return rc;
	client_program_free(program);
	return 0;
}

int ooo_admit(struct ooo_program *program, double per_s, uint64_t slo_ns, struct ooo_admission *out)
{
	struct ooo_client *client = program->client;
	struct ooo_msg_admit req = { .msg.type = OOO_MSG_ADMIT,
				     .program = program->info.id,
				     .slo_ns = slo_ns };
	union reply reply;
	int rc;

	if (!(per_s >= 0 && per_s <= 1e12))
		return client_fail(client, -EINVAL, "admission of program '%s': no such rate",
				   program->name);
	req.rate_milli = (uint64_t)(per_s * 1000);
	rc = client_ask(client, &client->link, &req.msg, -1, OOO_MSG_ADMITTED, &reply,
			client->opts.timeout_ms, "admission of a rate");
	if (rc)
		return rc;
	*out = (struct ooo_admission){
		.admitted = reply.admitted.admitted != 0,
		.measured = reply.admitted.measured,
		.most_per_s = (double)reply.admitted.most_milli / 1000,
		.bound_ns = reply.admitted.bound_ns,
	};
	return 0;
}

void ooo_program_info(const struct ooo_program *program, struct ooo_program_info *info)
{
	*info = program->info;
}

/* Input or output i, NULL if there is none. */
static const struct shape *io_shape(const struct ooo_program *program, int i, bool output)
{
	uint32_t first = output ? program->info.nr_inputs : 0;
	uint32_t n = output ? program->info.nr_outputs : program->info.nr_inputs;

	return i >= 0 && (uint32_t)i < n ? &program->io[first + (uint32_t)i] : NULL;
}

static size_t io_bytes(const struct shape *shape)
{
	uint64_t bytes;

	return shape && !shape_bytes(shape, &bytes) ? bytes : 0;
}

static int io_desc(const struct shape *shape, enum ooo_dtype *dtype, int *rank, int64_t *dims)
{
	if (!shape)
		return -EINVAL;
	*dtype = (enum ooo_dtype)shape->dtype;
	*rank = shape->rank;
	memcpy(dims, shape->dims, sizeof(shape->dims));
	return 0;
}

size_t ooo_input_bytes(const struct ooo_program *program, int i)
{
	return io_bytes(io_shape(program, i, false));
}

size_t ooo_output_bytes(const struct ooo_program *program, int i)
{
	return io_bytes(io_shape(program, i, true));
}

int ooo_input_desc(const struct ooo_program *program, int i, enum ooo_dtype *dtype, int *rank,
		   int64_t *dims)
{
	return io_desc(io_shape(program, i, false), dtype, rank, dims);
}

int ooo_output_desc(const struct ooo_program *program, int i, enum ooo_dtype *dtype, int *rank,
		    int64_t *dims)
{
	return io_desc(io_shape(program, i, true), dtype, rank, dims);
}
