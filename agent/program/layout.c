/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images [N,C,H,W] stay in the device's image layout from one convolution to the next. A
 * convolution always runs in it; what the table below calls a follower does if an operand is in it
 * already. Everything else reads and writes plain, and so do inputs and outputs of the program;
 * between the two, a reorder. One walk forwards makes a new list of steps.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/device/device.h"
#include "agent/program/passes.h"

enum manner {
	NEVER,     /* plain only */
	CONVOLVES, /* always; operand 0 is an image, the others are plain */
	FILTERS,   /* follows; operand 0 is an image, the others are plain */
	COMBINES,  /* follows; each operand is an image or broadcasts to one by channel */
	JOINS,     /* follows; every operand is an image, joined by channel */
	COLLAPSES, /* follows if it takes the mean or maximum over height and width */
};

static enum manner manner_of(uint32_t op)
{
	switch (op) {
	case OOO_OP_CONV:
	case OOO_OP_CONV_TRANSPOSE:
		return CONVOLVES;
	case OOO_OP_MAX_POOL:
	case OOO_OP_AVERAGE_POOL:
	case OOO_OP_GLOBAL_MAX_POOL:
	case OOO_OP_GLOBAL_AVERAGE_POOL:
	case OOO_OP_BATCH_NORM:
	case OOO_OP_LRN:
	case OOO_OP_RESIZE:
		return FILTERS;
	case OOO_OP_CONCAT:
		return JOINS;
	case OOO_OP_REDUCE_MEAN:
	case OOO_OP_REDUCE_MAX:
		return COLLAPSES;
	case OOO_OP_IDENTITY:
	case OOO_OP_CAST:
	case OOO_OP_NOT:
	case OOO_OP_WHERE:
	case OP_ATTENTION:
		return NEVER;
	default:
		return op_info(op)->klass == CLASS_POINTWISE ? COMBINES : NEVER;
	}
}

struct placer {
	struct graph *g;
	enum layout image;
	struct step *list; /* the new steps */
	uint32_t nr, max;
	uint32_t *other; /* by tensor: the same in the other layout, or OOO_NONE */
	uint32_t max_other;
};

static bool is_image_shape(const struct shape *s)
{
	return s->rank == 4 && s->dtype == OOO_FP32;
}

static const struct shape *shape_of(const struct placer *l, uint32_t id)
{
	return &l->g->p->tensors[id].shape;
}

/* A version in the image layout exists. */
static bool is_image(const struct placer *l, uint32_t id)
{
	if (id == OOO_NONE)
		return false;
	return l->g->p->tensors[id].layout != LAYOUT_PLAIN ||
	       (l->other[id] != OOO_NONE && l->g->p->tensors[l->other[id]].layout != LAYOUT_PLAIN);
}

static bool is_one_number(const struct shape *s)
{
	int64_t n = 0;

	return !shape_elems(s, &n) && n == 1;
}

/* [C,1,1] or [1,C,1,1] beside an image of C channels. */
static bool is_by_channel(const struct shape *s, const struct shape *image)
{
	int c = s->rank - 3;

	return c >= 0 && s->dims[c] == image->dims[1] && s->dims[c + 1] == 1 &&
	       s->dims[c + 2] == 1 && (!c || s->dims[0] == 1);
}

/* [N,C,1,1] or [1,C,1,1]: an image of one pixel that scales the channels of another. */
static bool is_gate(const struct shape *s, const struct shape *image)
{
	return s->rank == 4 && s->dims[1] == image->dims[1] && s->dims[2] == 1 && s->dims[3] == 1 &&
	       (s->dims[0] == image->dims[0] || s->dims[0] == 1);
}

/* How an operand of a step that COMBINES is read; -1: it cannot be, next to images. */
static int combined_layout(const struct placer *l, uint32_t id, const struct shape *out)
{
	const struct shape *s = shape_of(l, id);

	if (shape_equal(s, out))
		return (int)l->image;
	if (is_one_number(s) || (tensor_is_const(l->g->p, id) && is_by_channel(s, out)))
		return LAYOUT_PLAIN;
	return is_gate(s, out) ? (int)l->image : -1;
}

/* How operand k is read if the step runs on images. */
static enum layout operand_layout(const struct placer *l, const struct step *s, unsigned k)
{
	switch (manner_of(s->op)) {
	case JOINS:
		return l->image;
	case COMBINES:
		return (enum layout)combined_layout(l, s->in[k], shape_of(l, s->out[0]));
	default:
		return k ? LAYOUT_PLAIN : l->image;
	}
}

static bool can_join(const struct placer *l, const struct step *s)
{
	if (s->attr.axis != 1)
		return false;
	/* A block of 16 channels must not hold channels of two operands. */
	for (unsigned k = 0; l->image == LAYOUT_BLOCK16 && k + 1 < s->nr_in; k++)
		if (shape_of(l, s->in[k])->dims[1] % 16)
			return false;
	return true;
}

static bool keeps_channels(const struct placer *l, const struct step *s)
{
	const struct shape *in = shape_of(l, s->in[0]), *out = shape_of(l, s->out[0]);

	for (int i = 0; i < 2; i++)
		if (in->dims[i] != out->dims[i] || (s->attr.scale[i] != 0 && s->attr.scale[i] != 1))
			return false;
	return true;
}

static bool can_combine(const struct placer *l, const struct step *s)
{
	for (unsigned k = 0; k < s->nr_in; k++)
		if (combined_layout(l, s->in[k], shape_of(l, s->out[0])) < 0)
			return false;
	return true;
}

static bool is_collapse(const struct placer *l, const struct step *s)
{
	return manner_of(s->op) == COLLAPSES && s->attr.axes == 0xc && !s->attr.flags &&
	       is_image_shape(shape_of(l, s->in[0]));
}

static bool runs_on_images(const struct placer *l, const struct step *s)
{
	enum manner m = manner_of(s->op);
	bool follows = false;

	if (m == NEVER || !is_image_shape(shape_of(l, s->in[0])))
		return false;
	if (m == COLLAPSES)
		return is_image(l, s->in[0]) && is_collapse(l, s);
	if (!is_image_shape(shape_of(l, s->out[0])))
		return false;
	if (m == CONVOLVES)
		return true;
	for (unsigned k = 0; k < s->nr_in; k++)
		follows = follows || is_image(l, s->in[k]);
	if (!follows)
		return false;
	if (s->op == OOO_OP_RESIZE)
		return keeps_channels(l, s);
	return m == FILTERS || (m == JOINS ? can_join(l, s) : can_combine(l, s));
}

static struct step *append(struct placer *l)
{
	if (l->nr == l->max) {
		uint32_t max = l->max ? l->max * 2 : 64;
		struct step *list = realloc(l->list, max * sizeof(*list));

		if (!list)
			return NULL;
		l->list = list;
		l->max = max;
	}
	l->list[l->nr] = (struct step){ 0 };
	return &l->list[l->nr++];
}

static uint32_t new_tensor(struct placer *l, const struct shape *shape, enum layout layout)
{
	struct shape copy = *shape; /* it may be in the table that moves */
	uint32_t id = graph_new_tensor(l->g, &copy, layout);

	if (id == OOO_NONE)
		return id;
	if (id >= l->max_other) {
		uint32_t max = id * 2 + 64, *other = realloc(l->other, max * sizeof(*other));

		if (!other)
			return OOO_NONE;
		l->other = other;
		l->max_other = max;
	}
	l->other[id] = OOO_NONE;
	return id;
}

static int append_move(struct placer *l, uint32_t op, const char *what, uint32_t from, uint32_t to)
{
	const struct shape *shape = shape_of(l, to);
	struct step *s = append(l);

	if (!s || step_set_operands(s, &from, 1, &to, 1))
		return -ENOMEM;
	s->op = op;
	s->klass = CLASS_MOVE;
	snprintf(s->name, sizeof(s->name), "%s t%u", what, from);
	if (op == OOO_OP_RESHAPE) {
		s->attr.rank = shape->rank;
		for (int i = 0; i < shape->rank; i++)
			s->attr.dims[i] = shape->dims[i];
	}
	return 0;
}

/* id in that layout: itself, or what a reorder makes of it (once). OOO_NONE: no memory. */
static uint32_t in_layout(struct placer *l, uint32_t id, enum layout layout)
{
	uint32_t to;

	if (l->g->p->tensors[id].layout == layout)
		return id;
	if (l->other[id] != OOO_NONE)
		return l->other[id];
	to = new_tensor(l, shape_of(l, id), layout);
	if (to == OOO_NONE || append_move(l, OP_REORDER, "Reorder", id, to))
		return OOO_NONE;
	l->other[id] = to;
	return to;
}

static int need(struct placer *l, uint32_t *id, enum layout layout)
{
	if (*id == OOO_NONE)
		return 0;
	*id = in_layout(l, *id, layout);
	return *id == OOO_NONE ? -ENOMEM : 0;
}

/* The step moves to the new list, and its operands' memory with it. */
static int take_step(struct placer *l, struct step *s)
{
	struct step *to = append(l);

	if (!to)
		return -ENOMEM;
	*to = *s;
	*s = (struct step){ .op = STEP_DEAD };
	return 0;
}

static int run_plain(struct placer *l, struct step *s)
{
	for (unsigned k = 0; k < s->nr_in; k++)
		if (need(l, &s->in[k], LAYOUT_PLAIN))
			return -ENOMEM;
	for (unsigned k = 0; k < s->nr_post; k++)
		if (need(l, &s->post[k].operand, LAYOUT_PLAIN))
			return -ENOMEM;
	return take_step(l, s);
}

/* A mean over height and width is a global pool, and a reshape that moves nothing. */
static int run_collapse(struct placer *l, struct step *s)
{
	uint32_t out = s->out[0], pixel, plain;
	struct shape shape = *shape_of(l, s->in[0]);

	shape.dims[2] = 1;
	shape.dims[3] = 1;
	if (need(l, &s->in[0], l->image))
		return -ENOMEM;
	pixel = new_tensor(l, &shape, l->image);
	if (pixel == OOO_NONE)
		return -ENOMEM;
	s->op = s->op == OOO_OP_REDUCE_MEAN ? OOO_OP_GLOBAL_AVERAGE_POOL : OOO_OP_GLOBAL_MAX_POOL;
	s->klass = CLASS_POOL;
	attr_init(&s->attr, s->op);
	s->out[0] = pixel;
	if (take_step(l, s))
		return -ENOMEM;
	plain = in_layout(l, pixel, LAYOUT_PLAIN);
	if (plain == OOO_NONE)
		return -ENOMEM;
	return append_move(l, OOO_OP_RESHAPE, "Reshape", plain, out);
}

static int run_on_images(struct placer *l, struct step *s)
{
	struct program *p = l->g->p;
	uint32_t out = s->out[0], image;

	for (unsigned k = 0; k < s->nr_in; k++) {
		/* The first convolution reads the tenant's input as it is. */
		if (s->in[k] == OOO_NONE ||
		    (s->op == OOO_OP_CONV && !k && p->tensors[s->in[k]].place == PLACE_INPUT))
			continue;
		if (need(l, &s->in[k], operand_layout(l, s, k)))
			return -ENOMEM;
	}
	for (unsigned k = 0; k < s->nr_post; k++)
		if (need(l, &s->post[k].operand, l->image))
			return -ENOMEM;
	if (p->tensors[out].place != PLACE_OUTPUT) {
		p->tensors[out].layout = (uint8_t)l->image;
		p->tensors[out].bytes = tensor_layout_bytes(&p->tensors[out].shape, l->image);
		return take_step(l, s);
	}
	image = new_tensor(l, shape_of(l, out), l->image);
	if (image == OOO_NONE)
		return -ENOMEM;
	s->out[0] = image;
	l->other[out] = image;
	l->other[image] = out;
	if (take_step(l, s))
		return -ENOMEM;
	return append_move(l, OP_REORDER, "Reorder", image, out);
}

static int place_step(struct placer *l, struct step *s)
{
	if (!runs_on_images(l, s))
		return run_plain(l, s);
	return manner_of(s->op) == COLLAPSES ? run_collapse(l, s) : run_on_images(l, s);
}

static void free_steps(struct step *steps, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		step_free(&steps[i]);
	free(steps);
}

int pass_layout(struct graph *g)
{
	struct program *p = g->p;
	struct placer l = { .g = g, .max_other = p->nr_tensors + 64 };
	int rc = 0;

	if (!g->opts->caps || g->opts->caps->image_layout == LAYOUT_PLAIN)
		return 0;
	l.image = (enum layout)g->opts->caps->image_layout;
	l.other = malloc(l.max_other * sizeof(*l.other));
	if (!l.other)
		return graph_no_memory(g);
	memset(l.other, 0xff, l.max_other * sizeof(*l.other));
	for (uint32_t i = 0; i < p->nr_steps && !rc; i++)
		rc = place_step(&l, &p->steps[i]);
	free(l.other);
	if (rc) {
		free_steps(l.list, l.nr);
		return graph_no_memory(g);
	}
	free_steps(p->steps, p->nr_steps);
	p->steps = l.list;
	p->nr_steps = l.nr;
	graph_count_uses(g);
	return 0;
}
