// SPDX-License-Identifier: Apache-2.0
/* Execute a chunk: operands' addresses into this worker's memory objects, then the primitive. */
#include <string.h>

#include "agent/device/cpu/kernels_impl.h"
#include "agent/device/cpu/onednn.h"

/* Plain rows of images, channels last, into scratch. */
static void gather_rows(const struct onednn_chunk *c, const float *in, float *scratch)
{
	int64_t plane = c->gather.height * c->gather.width, n = c->gather.rows * c->gather.width;
	int64_t channels = c->gather.channels;
	const float *from = in + c->gather.offset;

	for (int64_t image = 0; image < c->gather.images; image++) {
		for (int64_t ch = 0; ch < channels; ch++) {
			for (int64_t i = 0; i < n; i++)
				scratch[i * channels + ch] = from[ch * plane + i];
		}
		from += channels * plane;
		scratch += channels * n;
	}
}

static void copy_part(const struct chunk_copy *copy, char *tensor, char *scratch)
{
	for (size_t row = 0; row < copy->rows; row++) {
		char *there = tensor + copy->offset + row * copy->stride;
		char *here = scratch + copy->scratch + row * copy->bytes;

		if (copy->source == ARG_OUT)
			memcpy(there, here, copy->bytes);
		else
			memcpy(here, there, copy->bytes);
	}
}

static void copy_parts(const struct onednn_chunk *c, enum arg_source source, void *const *tensors,
		       void *scratch)
{
	for (unsigned i = 0; i < c->nr_copies; i++) {
		if (c->copies[i].source == source)
			copy_part(&c->copies[i], tensors[c->copies[i].index], scratch);
	}
}

/* The post-operations that the primitive does not do. */
static void run_rest(const struct onednn_step *s, const struct onednn_chunk *c,
		     const struct kernel_args *args)
{
	struct kernel_args rest = *args;

	if (!s->rest.nr_post)
		return;
	rest.step = &s->rest;
	rest.post = args->post + s->nr_post;
	for (int64_t i = 0; i < c->written.runs; i++) {
		int64_t from = c->written.from + i * c->written.stride;

		kernel_post(&rest, from, from + c->written.len);
	}
}

enum ooo_status onednn_run(struct onednn *o, const struct onednn_step *s, unsigned chunk,
			   unsigned worker, const struct kernel_args *k)
{
	const struct onednn_chunk *c = &s->chunks[chunk];
	dnnl_exec_arg_t args[CHUNK_MAX_ARGS];
	dnnl_status_t err;

	onednn_single_thread();
	if (c->gather.images)
		gather_rows(c, k->in[0], k->scratch);
	copy_parts(c, ARG_POST, k->post, k->scratch);
	for (unsigned i = 0; i < c->nr_args; i++) {
		const struct chunk_arg *a = &c->args[i];
		char *base = NULL;

		args[i].arg = a->arg;
		args[i].memory = a->mem[a->source == ARG_FIXED ? 0 : worker];
		switch (a->source) {
		case ARG_IN:
			base = k->in[a->index];
			break;
		case ARG_OUT:
			base = k->out[a->index];
			break;
		case ARG_POST:
			base = k->post[a->index];
			break;
		case ARG_SCRATCH:
			base = k->scratch;
			break;
		default:
			continue;
		}
		dnnl_memory_set_data_handle(args[i].memory, base + a->offset);
	}
	err = dnnl_primitive_execute(c->prim, o->streams[worker], (int)c->nr_args, args);
	if (err)
		return err == dnnl_out_of_memory ? OOO_NO_MEMORY : OOO_DEVICE_RESET;
	copy_parts(c, ARG_OUT, k->out, k->scratch);
	run_rest(s, c, k);
	return OOO_OK;
}
