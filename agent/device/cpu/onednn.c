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
	int err;

	b.out = calloc(1, sizeof(*b.out));
	if (!b.out)
		return -ENOMEM;
	b.out->workers = o->workers;
	onednn_single_thread();
	err = build(&b);
	if (err) {
		onednn_unload(b.out);
		/* Whatever oneDNN's reason, a plain kernel can do it. */
		return err == -ENOMEM || err == dnnl_out_of_memory ? -ENOMEM : -EOPNOTSUPP;
	}
	*out = b.out;
	return 0;
}

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

void onednn_run(struct onednn *o, const struct onednn_step *s, unsigned chunk, unsigned worker,
		void *scratch, void *const *in, void *const *out, void *const *post)
{
	const struct onednn_chunk *c = &s->chunks[chunk];
	dnnl_exec_arg_t args[CHUNK_MAX_ARGS];

	onednn_single_thread();
	if (c->gather.images)
		gather_rows(c, in[0], scratch);
	for (unsigned i = 0; i < c->nr_copies; i++) {
		if (c->copies[i].source == ARG_POST)
			copy_part(&c->copies[i], post[c->copies[i].index], scratch);
	}
	for (unsigned i = 0; i < c->nr_args; i++) {
		const struct chunk_arg *a = &c->args[i];
		char *base = NULL;

		args[i].arg = a->arg;
		args[i].memory = a->mem[a->source == ARG_FIXED ? 0 : worker];
		switch (a->source) {
		case ARG_IN:
			base = in[a->index];
			break;
		case ARG_OUT:
			base = out[a->index];
			break;
		case ARG_POST:
			base = post[a->index];
			break;
		case ARG_SCRATCH:
			base = scratch;
			break;
		default:
			continue;
		}
		dnnl_memory_set_data_handle(args[i].memory, base + a->offset);
	}
	dnnl_primitive_execute(c->prim, o->streams[worker], (int)c->nr_args, args);
	for (unsigned i = 0; i < c->nr_copies; i++) {
		if (c->copies[i].source == ARG_OUT)
			copy_part(&c->copies[i], out[c->copies[i].index], scratch);
	}
}
