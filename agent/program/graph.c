/* SPDX-License-Identifier: Apache-2.0 */
/* The program as a graph while it is being compiled: uses, additions, removals. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/program/passes.h"

void graph_say(const struct graph *g, const char *fmt, ...)
{
	va_list ap;

	if (!g->why || !g->why_bytes)
		return;
	va_start(ap, fmt);
	vsnprintf(g->why, g->why_bytes, fmt, ap);
	va_end(ap);
}

int graph_no_memory(const struct graph *g)
{
	return graph_fail(g, -ENOMEM, "program '%s': the agent is out of memory", g->p->name);
}

static int grow(void *array, size_t each, uint32_t have, uint32_t want)
{
	void **at = array;
	char *more = realloc(*at, each * want);

	if (!more)
		return -ENOMEM;
	memset(more + each * have, 0, each * (want - have));
	*at = more;
	return 0;
}

int graph_reserve(struct graph *g, uint32_t n)
{
	uint32_t want = g->cap_tensors;

	if (n <= g->cap_tensors)
		return 0;
	while (want < n)
		want = want ? want * 2 : 64;
	if (grow(&g->writer, sizeof(*g->writer), g->cap_tensors, want) ||
	    grow(&g->user, sizeof(*g->user), g->cap_tensors, want) ||
	    grow(&g->nr_uses, sizeof(*g->nr_uses), g->cap_tensors, want) ||
	    grow(&g->p->tensors, sizeof(*g->p->tensors), g->p->nr_tensors, want))
		return -ENOMEM;
	g->cap_tensors = want;
	return 0;
}

int graph_init(struct graph *g, struct program *p, const struct compile_opts *opts, char *why,
	       size_t why_bytes)
{
	memset(g, 0, sizeof(*g));
	g->p = p;
	g->opts = opts;
	g->why = why;
	g->why_bytes = why_bytes;
	if (graph_reserve(g, p->nr_tensors))
		return graph_no_memory(g);
	graph_count_uses(g);
	return 0;
}

void graph_done(struct graph *g)
{
	free(g->writer);
	free(g->user);
	free(g->nr_uses);
}

static void count_use(struct graph *g, uint32_t id, uint32_t step)
{
	if (id == OOO_NONE)
		return;
	g->nr_uses[id]++;
	g->user[id] = step;
}

void graph_count_uses(struct graph *g)
{
	struct program *p = g->p;

	for (uint32_t t = 0; t < p->nr_tensors; t++) {
		g->writer[t] = OOO_NONE;
		g->user[t] = OOO_NONE;
		g->nr_uses[t] = p->tensors[t].place == PLACE_OUTPUT;
	}
	for (uint32_t i = 0; i < p->nr_steps; i++) {
		const struct step *s = &p->steps[i];

		if (s->op == STEP_DEAD)
			continue;
		for (unsigned k = 0; k < s->nr_in; k++)
			count_use(g, s->in[k], i);
		for (unsigned k = 0; k < s->nr_post; k++)
			count_use(g, s->post[k].operand, i);
		for (unsigned k = 0; k < s->nr_out; k++)
			g->writer[s->out[k]] = i;
	}
}

static void drop_use(struct graph *g, uint32_t id)
{
	if (id != OOO_NONE)
		g->nr_uses[id]--;
}

/* Backwards, so that what only a removed step read goes in the same sweep. */
static void kill_unread(struct graph *g)
{
	for (uint32_t i = g->p->nr_steps; i-- > 0;) {
		struct step *s = &g->p->steps[i];
		bool read = false;

		if (s->op == STEP_DEAD)
			continue;
		for (unsigned k = 0; k < s->nr_out; k++)
			read = read || g->nr_uses[s->out[k]];
		if (read)
			continue;
		for (unsigned k = 0; k < s->nr_in; k++)
			drop_use(g, s->in[k]);
		for (unsigned k = 0; k < s->nr_post; k++)
			drop_use(g, s->post[k].operand);
		step_kill(s);
	}
}

void graph_sweep(struct graph *g)
{
	struct program *p = g->p;
	uint32_t n = 0;

	graph_count_uses(g);
	kill_unread(g);
	for (uint32_t i = 0; i < p->nr_steps; i++)
		if (p->steps[i].op != STEP_DEAD)
			p->steps[n++] = p->steps[i];
	p->nr_steps = n;
	graph_count_uses(g);
	for (uint32_t t = 0; t < p->nr_tensors; t++)
		if (g->writer[t] == OOO_NONE && p->tensors[t].place == PLACE_WORKSPACE &&
		    p->tensors[t].alias_of == OOO_NONE)
			p->tensors[t].place = PLACE_NONE;
}

uint32_t graph_new_tensor(struct graph *g, const struct shape *shape, enum layout layout)
{
	uint32_t id = g->p->nr_tensors;

	if (graph_reserve(g, id + 1))
		return OOO_NONE;
	g->p->tensors[id] = (struct tensor){
		.shape = *shape,
		.layout = (uint8_t)layout,
		.place = PLACE_WORKSPACE,
		.alias_of = OOO_NONE,
		.bytes = tensor_layout_bytes(shape, layout),
	};
	g->writer[id] = OOO_NONE;
	g->user[id] = OOO_NONE;
	g->nr_uses[id] = 0;
	g->p->nr_tensors++;
	return id;
}

int graph_make_const(struct graph *g, uint32_t id, void **data)
{
	struct tensor *t = &g->p->tensors[id];
	struct const_block *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->bytes = t->bytes;
	/* One alignment more than needed, so that an empty tensor has an address as well. */
	b->data = aligned_alloc(TENSOR_ALIGN, (b->bytes / TENSOR_ALIGN + 1) * TENSOR_ALIGN);
	if (!b->data) {
		free(b);
		return -ENOMEM;
	}
	b->next = g->p->const_blocks;
	g->p->const_blocks = b;
	g->made_bytes += b->bytes;
	g->writer[id] = OOO_NONE;
	t->place = PLACE_CONST;
	t->data = b->data;
	*data = b->data;
	return 0;
}

uint32_t graph_new_const(struct graph *g, const struct shape *shape, void **data)
{
	uint32_t id = graph_new_tensor(g, shape, LAYOUT_PLAIN);

	if (id == OOO_NONE || !graph_make_const(g, id, data))
		return id;
	g->p->tensors[id].place = PLACE_NONE;
	return OOO_NONE;
}

bool graph_may_make(const struct graph *g, uint64_t bytes)
{
	uint64_t quota = g->opts->max_weight_bytes, made = g->made_bytes + bytes;

	if (bytes > MAX_MADE_CONST || made > MAX_MADE_CONSTS + g->p->weight_bytes)
		return false;
	return !quota || g->p->weight_bytes + made <= quota;
}

static int compare_blocks(const void *a, const void *b)
{
	const struct const_block *x = *(struct const_block *const *)a;
	const struct const_block *y = *(struct const_block *const *)b;

	return x->data < y->data ? -1 : x->data > y->data;
}

static int compare_data(const void *key, const void *element)
{
	const struct const_block *b = *(struct const_block *const *)element;

	return key < b->data ? -1 : key > b->data;
}

/* The blocks in the order of their data, so that a tensor finds its own. */
static struct const_block **sort_blocks(const struct program *p, size_t *n)
{
	struct const_block **list;

	*n = 0;
	for (struct const_block *b = p->const_blocks; b; b = b->next)
		++*n;
	list = malloc((*n + 1) * sizeof(struct const_block *));
	if (!list)
		return NULL;
	*n = 0;
	for (struct const_block *b = p->const_blocks; b; b = b->next)
		list[(*n)++] = b;
	qsort(list, *n, sizeof(struct const_block *), compare_blocks);
	return list;
}

void graph_free_consts(struct graph *g)
{
	struct program *p = g->p;
	size_t n;
	struct const_block **list = sort_blocks(p, &n);

	if (!list)
		return; /* they go with the program */
	p->const_blocks = NULL;
	for (uint32_t t = 0; t < p->nr_tensors; t++) {
		struct const_block **hit = NULL;

		if (p->tensors[t].place != PLACE_CONST)
			continue;
		if (p->tensors[t].data && n)
			hit = bsearch(p->tensors[t].data, list, n, sizeof(struct const_block *),
				      compare_data);
		if (!g->nr_uses[t]) {
			p->tensors[t].place = PLACE_NONE;
			p->tensors[t].data = NULL;
		} else if (hit) {
			(*hit)->next = *hit; /* marked: kept */
		}
	}
	for (size_t i = 0; i < n; i++) {
		if (list[i]->next == list[i]) {
			list[i]->next = p->const_blocks;
			p->const_blocks = list[i];
			continue;
		}
		g->made_bytes -= list[i]->bytes;
		free(list[i]->data);
		free(list[i]);
	}
	free(list);
}

bool const_scalar(const struct program *p, uint32_t id, float *value)
{
	int64_t n = 0;

	if (!tensor_is_const(p, id) || p->tensors[id].shape.dtype != OOO_FP32 ||
	    shape_elems(&p->tensors[id].shape, &n) || n != 1)
		return false;
	memcpy(value, p->tensors[id].data, sizeof(*value));
	return true;
}

int step_set_operands(struct step *s, const uint32_t *in, unsigned nr_in, const uint32_t *out,
		      unsigned nr_out)
{
	uint32_t *ids = malloc((nr_in + nr_out + 1) * sizeof(*ids));

	if (!ids)
		return -ENOMEM;
	if (nr_in)
		memcpy(ids, in, nr_in * sizeof(*ids));
	if (nr_out)
		memcpy(ids + nr_in, out, nr_out * sizeof(*ids));
	free(s->in);
	s->in = ids;
	s->out = ids + nr_in;
	s->nr_in = (uint16_t)nr_in;
	s->nr_out = (uint16_t)nr_out;
	return 0;
}

void step_free(struct step *s)
{
	free(s->in); /* out is in the same block */
	free(s->succ);
	s->in = NULL;
	s->out = NULL;
	s->succ = NULL;
}

void step_kill(struct step *s)
{
	step_free(s);
	s->nr_in = 0;
	s->nr_out = 0;
	s->nr_post = 0;
	s->op = STEP_DEAD;
}

void step_name_add(struct step *s, const char *suffix)
{
	size_t at = strlen(s->name);

	if (at + 1 + strlen(suffix) < sizeof(s->name))
		snprintf(s->name + at, sizeof(s->name) - at, "+%s", suffix);
}

uint64_t tensor_layout_bytes(const struct shape *shape, enum layout layout)
{
	struct shape padded = *shape;
	uint64_t bytes = 0;

	if (layout == LAYOUT_BLOCK16)
		padded.dims[1] = (padded.dims[1] + 15) / 16 * 16;
	shape_bytes(&padded, &bytes);
	return bytes;
}

bool layout_same_memory(const struct shape *shape, enum layout a, enum layout b)
{
	bool one_pixel, one_channel, full;

	if (a == b)
		return true;
	if (shape->rank != 4)
		return false;
	one_pixel = shape->dims[2] == 1 && shape->dims[3] == 1;
	one_channel = shape->dims[1] == 1;
	full = shape->dims[1] % 16 == 0;
	if (a == LAYOUT_BLOCK16 || b == LAYOUT_BLOCK16)
		return one_pixel && full;
	return one_pixel || one_channel;
}
