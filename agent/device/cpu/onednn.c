// SPDX-License-Identifier: Apache-2.0
#include "agent/device/cpu/onednn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Weak: a oneDNN built without OpenMP has no such knob and needs none. */
extern void omp_set_num_threads(int n) __attribute__((weak));

void onednn_single_thread(void)
{
	static __thread bool done;

	if (!done && omp_set_num_threads)
		omp_set_num_threads(1);
	done = true;
}

int onednn_open(unsigned workers, struct onednn **out)
{
	struct onednn *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	onednn_single_thread();
	if (dnnl_engine_create(&o->engine, dnnl_cpu, 0))
		goto fail;
	for (; o->workers < workers; o->workers++) {
		if (dnnl_stream_create(&o->streams[o->workers], o->engine,
				       dnnl_stream_default_flags))
			goto fail;
	}
	*out = o;
	return 0;
fail:
	onednn_close(o);
	return -EIO;
}

void onednn_close(struct onednn *o)
{
	if (!o)
		return;
	for (unsigned i = 0; i < o->workers; i++)
		dnnl_stream_destroy(o->streams[i]);
	if (o->engine)
		dnnl_engine_destroy(o->engine);
	free(o);
}

static void free_chunk(struct onednn_chunk *c, unsigned workers)
{
	for (unsigned i = 0; i < c->nr_args; i++) {
		struct chunk_arg *a = &c->args[i];

		for (unsigned w = 0; a->source != ARG_FIXED && w < workers; w++) {
			if (a->mem[w])
				dnnl_memory_destroy(a->mem[w]);
		}
		free(a->mem);
	}
	if (c->prim)
		dnnl_primitive_destroy(c->prim);
}

void onednn_unload(struct onednn_step *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->nr_chunks; i++)
		free_chunk(&s->chunks[i], s->workers);
	for (unsigned i = 0; i < s->nr_packed; i++)
		dnnl_memory_destroy(s->packed[i].mem);
	free(s->chunks);
	free(s->packed);
	free(s);
}

size_t onednn_packed_bytes(const struct onednn_step *s)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < s->nr_packed; i++)
		bytes += s->packed[i].bytes;
	return bytes;
}

static bool any_empty(const struct prim_build *b)
{
	const struct step *s = b->step;
	int64_t n;

	for (int i = 0; i < s->nr_in; i++) {
		if (s->in[i] != OOO_NONE && (shape_elems(&b->tensors[s->in[i]].shape, &n) || !n))
			return true;
	}
	return shape_elems(&b->tensors[s->out[0]].shape, &n) || !n;
}

static int build(struct prim_build *b)
{
	if (any_empty(b))
		return -EOPNOTSUPP;
	switch (b->step->op) {
	case OOO_OP_CONV:
	case OOO_OP_CONV_TRANSPOSE:
		return onednn_conv(b);
	case OOO_OP_MATMUL:
		return onednn_matmul(b);
	case OOO_OP_MAX_POOL:
	case OOO_OP_AVERAGE_POOL:
	case OOO_OP_GLOBAL_AVERAGE_POOL:
	case OOO_OP_GLOBAL_MAX_POOL:
		return onednn_pool(b);
	case OOO_OP_SOFTMAX:
	case OOO_OP_LOG_SOFTMAX:
	case OOO_OP_LAYER_NORM:
	case OOO_OP_LRN:
		return onednn_norm(b);
	default:
		return -EOPNOTSUPP;
	}
}

/* One attempt, with the first nr_post post-operations in the primitives. */
static int try_load(struct prim_build *b, int nr_post, struct onednn_step **out)
{
	const struct step *step = b->step;
	struct onednn_step *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->workers = b->o->workers;
	s->nr_post = nr_post;
	s->rest = *step;
	s->rest.nr_post = (uint16_t)(step->nr_post - nr_post);
	memmove(s->rest.post, step->post + nr_post, s->rest.nr_post * sizeof(*step->post));
	b->out = s;
	b->nr_post = nr_post;
	err = build(b);
	if (err)
		onednn_unload(s);
	else
		*out = s;
	return err;
}

int onednn_load(struct onednn *o, const struct program *program, const struct step *step,
		unsigned threads, struct arena *arena, struct onednn_step **out)
{
	struct prim_build b = {
		.o = o,
		.program = program,
		.step = step,
		.tensors = program->tensors,
		.threads = threads,
		.arena = arena,
	};
	int err = -EOPNOTSUPP;

	onednn_single_thread();
	for (int nr_post = step->nr_post; err && nr_post >= 0; nr_post--) {
		err = try_load(&b, nr_post, out);
		if (err == -ENOMEM || err == dnnl_out_of_memory)
			return -ENOMEM;
	}
	/* Whatever oneDNN's reason, a plain kernel can do it. */
	return err ? -EOPNOTSUPP : 0;
}
