/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Place each intermediate in the workspace. Two may share bytes if in list order the last reader
 * of the one comes before the writer of the other; deps.c then keeps that order at run time. The
 * largest go first, each into the tightest gap that its neighbours in time leave.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/program/passes.h"

struct life {
	uint64_t bytes; /* rounded up to TENSOR_ALIGN */
	uint64_t offset;
	uint32_t tensor;
	uint32_t first, last; /* steps, both included */
};

static uint32_t origin_id(const struct program *p, uint32_t id)
{
	return (uint32_t)(tensor_origin(p, id) - p->tensors);
}

static void touch(const struct program *p, struct life *life, uint32_t id, uint32_t step)
{
	struct life *l;

	if (id == OOO_NONE)
		return;
	l = &life[origin_id(p, id)];
	if (l->first == OOO_NONE)
		l->first = step;
	l->last = step;
}

/* By tensor; first is OOO_NONE if no step touches it. */
static void find_lives(const struct program *p, struct life *life)
{
	for (uint32_t t = 0; t < p->nr_tensors; t++)
		life[t] = (struct life){ .tensor = t, .first = OOO_NONE };
	for (uint32_t i = 0; i < p->nr_steps; i++) {
		const struct step *s = &p->steps[i];

		for (unsigned k = 0; k < s->nr_in; k++)
			touch(p, life, s->in[k], i);
		for (unsigned k = 0; k < s->nr_post; k++)
			touch(p, life, s->post[k].operand, i);
		for (unsigned k = 0; k < s->nr_out; k++)
			touch(p, life, s->out[k], i);
	}
}

/* Keep those that need a place, in front. */
static uint32_t pick_lives(const struct program *p, struct life *life)
{
	uint32_t n = 0;

	for (uint32_t t = 0; t < p->nr_tensors; t++) {
		const struct tensor *x = &p->tensors[t];

		if (x->place != PLACE_WORKSPACE || x->alias_of != OOO_NONE ||
		    life[t].first == OOO_NONE)
			continue;
		life[n] = life[t];
		life[n++].bytes = (x->bytes + TENSOR_ALIGN - 1) / TENSOR_ALIGN * TENSOR_ALIGN;
	}
	return n;
}

/* Largest first; a total order, so that the plan does not depend on the sort. */
static int compare_lives(const void *a, const void *b)
{
	const struct life *x = a, *y = b;

	if (x->bytes != y->bytes)
		return x->bytes > y->bytes ? -1 : 1;
	return x->tensor < y->tensor ? -1 : x->tensor > y->tensor;
}

/* placed[] is ordered by offset. */
static uint64_t best_gap(const struct life *placed, uint32_t n, const struct life *l)
{
	uint64_t end = 0, best = UINT64_MAX, best_bytes = UINT64_MAX;

	for (uint32_t i = 0; i < n; i++) {
		const struct life *o = &placed[i];

		if (o->last < l->first || o->first > l->last)
			continue;
		if (o->offset > end && o->offset - end >= l->bytes &&
		    o->offset - end < best_bytes) {
			best = end;
			best_bytes = o->offset - end;
		}
		if (o->offset + o->bytes > end)
			end = o->offset + o->bytes;
	}
	return best == UINT64_MAX ? end : best;
}

static void place_in_order(struct life *placed, uint32_t n, const struct life *l)
{
	uint32_t lo = 0, hi = n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (placed[mid].offset <= l->offset)
			lo = mid + 1;
		else
			hi = mid;
	}
	memmove(&placed[lo + 1], &placed[lo], (n - lo) * sizeof(*placed));
	placed[lo] = *l;
}

static void place_all(struct program *p, struct life *life, struct life *placed, uint32_t n)
{
	p->workspace_bytes = 0;
	p->tensor_bytes = 0;
	qsort(life, n, sizeof(*life), compare_lives);
	for (uint32_t i = 0; i < n; i++) {
		struct life *l = &life[i];

		l->offset = best_gap(placed, i, l);
		place_in_order(placed, i, l);
		p->tensors[l->tensor].offset = l->offset;
		p->tensor_bytes += l->bytes;
		if (l->offset + l->bytes > p->workspace_bytes)
			p->workspace_bytes = l->offset + l->bytes;
	}
}

/* For whoever reads an alias without following it. */
static void spread_to_aliases(struct program *p)
{
	for (uint32_t t = 0; t < p->nr_tensors; t++) {
		struct tensor *x = &p->tensors[t];
		const struct tensor *o = tensor_origin(p, t);

		if (x->alias_of == OOO_NONE)
			continue;
		x->offset = o->offset;
		x->place = o->place;
		x->io = o->io;
		x->data = o->data;
	}
}

int pass_plan(struct graph *g)
{
	struct program *p = g->p;
	uint64_t quota = g->opts->max_workspace_bytes;
	struct life *life = calloc(2 * (size_t)p->nr_tensors + 1, sizeof(*life));

	if (!life)
		return graph_no_memory(g);
	find_lives(p, life);
	place_all(p, life, life + p->nr_tensors, pick_lives(p, life));
	free(life);
	spread_to_aliases(p);
	if (quota && p->workspace_bytes > quota)
		return graph_fail(g, -EDQUOT,
				  "program '%s': a request needs %zu bytes of workspace but the"
				  " quota is %" PRIu64,
				  p->name, p->workspace_bytes, quota);
	return 0;
}
