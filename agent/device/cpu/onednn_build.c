// SPDX-License-Identifier: Apache-2.0
/* What the families of primitives are made with: chunks, arguments, packed weights. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/device/cpu/onednn.h"

const void *build_const(const struct prim_build *b, uint32_t tensor)
{
	const struct tensor *t = tensor_origin(b->program, tensor);

	return t->place == PLACE_CONST ? t->data : NULL;
}

struct onednn_chunk *build_chunk(struct prim_build *b)
{
	struct onednn_step *s = b->out;
	struct onednn_chunk *more;

	if (s->nr_chunks == CPU_MAX_CHUNKS)
		return NULL;
	more = realloc(s->chunks, (s->nr_chunks + 1) * sizeof(*more));
	if (!more)
		return NULL;
	s->chunks = more;
	memset(&s->chunks[s->nr_chunks], 0, sizeof(*more));
	return &s->chunks[s->nr_chunks++];
}

int build_arg(struct prim_build *b, struct onednn_chunk *c, int arg, md_arg md,
	      enum arg_source source, unsigned index, size_t offset)
{
	struct chunk_arg *a = &c->args[c->nr_args];

	if (c->nr_args == CHUNK_MAX_ARGS)
		return -EOPNOTSUPP;
	*a = (struct chunk_arg){
		.arg = arg, .source = (uint8_t)source, .index = (uint8_t)index, .offset = offset
	};
	a->mem = calloc(b->o->workers, sizeof(dnnl_memory_t));
	if (!a->mem)
		return -ENOMEM;
	c->nr_args++;
	for (unsigned i = 0; i < b->o->workers; i++) {
		int err = dnnl_memory_create(&a->mem[i], md, b->o->engine, DNNL_MEMORY_NONE);

		if (err)
			return err;
	}
	return 0;
}

/* Run a primitive here and now, on the loader's own stream. */
static int run_now(struct prim_build *b, dnnl_primitive_desc_t pd, dnnl_memory_t from,
		   dnnl_memory_t to)
{
	dnnl_exec_arg_t args[] = { { DNNL_ARG_FROM, from }, { DNNL_ARG_TO, to } };
	dnnl_primitive_t prim;
	dnnl_stream_t stream;
	int err = dnnl_primitive_create(&prim, pd);

	if (err)
		return err;
	err = dnnl_stream_create(&stream, b->o->engine, dnnl_stream_default_flags);
	if (!err) {
		err = dnnl_primitive_execute(prim, stream, 2, args);
		dnnl_stream_wait(stream);
		dnnl_stream_destroy(stream);
	}
	dnnl_primitive_destroy(prim);
	return err;
}

static int reorder(struct prim_build *b, md_arg have, const void *data, md_arg want,
		   dnnl_memory_t to)
{
	dnnl_primitive_desc_t pd;
	dnnl_memory_t from;
	int err = dnnl_memory_create(&from, have, b->o->engine, (void *)data);

	if (err)
		return err;
	err = dnnl_reorder_primitive_desc_create(&pd, have, b->o->engine, want, b->o->engine, NULL);
	if (!err) {
		err = run_now(b, pd, from, to);
		dnnl_primitive_desc_destroy(pd);
	}
	dnnl_memory_destroy(from);
	return err;
}

static int scaled_copy(md_arg have, const void *data, float scale, float **out)
{
	size_t n = dnnl_memory_desc_get_size(have) / sizeof(float);
	const float *from = data;
	float *to = malloc(n * sizeof(*to) + 1);

	if (!to)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		to[i] = from[i] * scale;
	*out = to;
	return 0;
}

/* Make a memory object with the data in layout `want`. */
static int pack(struct prim_build *b, md_arg have, const void *data, float scale, md_arg want,
		struct packed *p)
{
	float *scaled = NULL;
	void *to;
	int err = 0;

	/* A view into a larger matrix is not contiguous; only dense data is ever scaled. */
	if (scale != 1.0f)
		err = scaled_copy(have, data, scale, &scaled);
	if (err)
		return err;
	p->bytes = dnnl_memory_desc_get_size(want);
	to = arena_take(b->arena, p->bytes);
	err = to ? (int)dnnl_memory_create(&p->mem, want, b->o->engine, to) : -ENOMEM;
	if (!err) {
		err = reorder(b, have, scaled ? scaled : data, want, p->mem);
		if (err)
			dnnl_memory_destroy(p->mem);
	}
	free(scaled);
	return err;
}

int build_packed(struct prim_build *b, struct onednn_chunk *c, int arg, md_arg want, md_arg have,
		 const void *data, float scale, unsigned key)
{
	struct onednn_step *s = b->out;
	struct chunk_arg *a = &c->args[c->nr_args];
	struct packed *more;
	unsigned i;
	int err;

	if (c->nr_args == CHUNK_MAX_ARGS)
		return -EOPNOTSUPP;
	for (i = 0; i < s->nr_packed; i++) {
		md_arg got;

		if (s->packed[i].key == key && !memory_md(s->packed[i].mem, &got) &&
		    dnnl_memory_desc_equal(got, want))
			break;
	}
	if (i == s->nr_packed) {
		more = realloc(s->packed, (i + 1) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->packed = more;
		s->packed[i].key = key;
		err = pack(b, have, data, scale, want, &s->packed[i]);
		if (err)
			return err;
		s->nr_packed++;
	}
	*a = (struct chunk_arg){ .arg = arg, .source = ARG_FIXED };
	a->mem = malloc(sizeof(dnnl_memory_t));
	if (!a->mem)
		return -ENOMEM;
	a->mem[0] = s->packed[i].mem;
	c->nr_args++;
	return 0;
}

int build_check(dnnl_primitive_desc_t pd)
{
	const char *name = NULL;
	int err = dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);

	return !err && name && strstr(name, "ref:") ? -EOPNOTSUPP : err;
}

int build_primitive(struct prim_build *b, struct onednn_chunk *c, dnnl_primitive_desc_t pd,
		    size_t scratch_offset)
{
	md_arg scratch = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
	size_t bytes = scratch ? dnnl_memory_desc_get_size(scratch) : 0;
	int err;

	if (bytes + scratch_offset > CPU_SCRATCH_BYTES)
		return -EOPNOTSUPP;
	if (bytes) {
		err = build_arg(b, c, DNNL_ARG_SCRATCHPAD, scratch, ARG_SCRATCH, 0, scratch_offset);
		if (err)
			return err;
	}
	return dnnl_primitive_create(&c->prim, pd);
}
