/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which steps come before which: who writes what a step reads, and who must be done with bytes of
 * the workspace before another tensor takes them over. For the latter the list of steps is walked
 * once with a map of which tensor each byte belongs to.
 *
 * A tensor with many readers that loses its bytes piece by piece would give an edge for each
 * reader and piece. Beyond MANY_READERS the first to take a piece waits for the readers and the
 * others for him: a little less freedom, but edges stay linear in the number of operands.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/program/passes.h"

#define MANY_READERS 4
#define MANY_DEPS    64 /* beyond: redundant edges are not looked for */

struct segment {
	size_t start, end;
	uint32_t tensor; /* origin */
};

struct deps {
	struct graph *g;
	struct program *p;
	/* Steps before step i: pred[pred_at[i] .. pred_at[i + 1]). OOO_NONE: found redundant. */
	uint32_t *pred, *pred_at;
	size_t nr_pred, max_pred;
	uint32_t *stamp; /* by step: i if it is among step i's already */
	/* Readers of origin t: reader[reader_at[t] .. reader_at[t + 1]), in list order. */
	uint32_t *reader, *reader_at;
	uint32_t *writer;   /* by origin */
	uint32_t *taken_by; /* by origin: the step that took the first of its bytes */
	struct segment *map;
	size_t nr_map;
};

static uint32_t origin_id(const struct program *p, uint32_t id)
{
	return (uint32_t)(tensor_origin(p, id) - p->tensors);
}

static unsigned nr_reads(const struct step *s)
{
	return (unsigned)s->nr_in + s->nr_post;
}

/* Origin of the k-th tensor that a step reads, operands then post-operands, or OOO_NONE. */
static uint32_t read_origin(const struct program *p, const struct step *s, unsigned k)
{
	uint32_t id = k < s->nr_in ? s->in[k] : s->post[k - s->nr_in].operand;

	return id == OOO_NONE ? OOO_NONE : origin_id(p, id);
}

static int find_readers(struct deps *d)
{
	const struct program *p = d->p;
	size_t total = 0;

	for (uint32_t i = 0; i < p->nr_steps; i++)
		total += nr_reads(&p->steps[i]);
	d->reader = malloc((total + 1) * sizeof(*d->reader));
	d->reader_at = calloc((size_t)p->nr_tensors + 2, sizeof(*d->reader_at));
	if (!d->reader || !d->reader_at)
		return -ENOMEM;
	/* Count two places up, add up, then fill: [t + 1] ends as the start of t + 1. */
	for (uint32_t i = 0; i < p->nr_steps; i++)
		for (unsigned k = 0; k < nr_reads(&p->steps[i]); k++) {
			uint32_t t = read_origin(p, &p->steps[i], k);

			if (t != OOO_NONE)
				d->reader_at[t + 2]++;
		}
	for (uint32_t t = 0; t < p->nr_tensors; t++)
		d->reader_at[t + 2] += d->reader_at[t + 1];
	for (uint32_t i = 0; i < p->nr_steps; i++)
		for (unsigned k = 0; k < nr_reads(&p->steps[i]); k++) {
			uint32_t t = read_origin(p, &p->steps[i], k);

			if (t != OOO_NONE)
				d->reader[d->reader_at[t + 1]++] = i;
		}
	return 0;
}

static int add_pred(struct deps *d, uint32_t step, uint32_t before)
{
	if (before == OOO_NONE || before == step || d->stamp[before] == step)
		return 0;
	d->stamp[before] = step;
	if (d->nr_pred == d->max_pred) {
		size_t more = d->max_pred * 2;
		uint32_t *pred = realloc(d->pred, more * sizeof(*pred));

		if (!pred)
			return -ENOMEM;
		d->pred = pred;
		d->max_pred = more;
	}
	d->pred[d->nr_pred++] = before;
	return 0;
}

/* step takes over bytes of tensor t. */
static int take_from(struct deps *d, uint32_t step, uint32_t t)
{
	uint32_t from = d->reader_at[t], to = d->reader_at[t + 1];

	if (from == to)
		return add_pred(d, step, d->writer[t]);
	if (to - from > MANY_READERS && d->taken_by[t] != OOO_NONE)
		return add_pred(d, step, d->taken_by[t]);
	if (d->taken_by[t] == OOO_NONE)
		d->taken_by[t] = step;
	for (uint32_t i = from; i < to; i++)
		if (add_pred(d, step, d->reader[i]))
			return -ENOMEM;
	return 0;
}

/* First segment that ends behind start. */
static size_t find_segment(const struct deps *d, size_t start)
{
	size_t lo = 0, hi = d->nr_map;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (d->map[mid].end <= start)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The bytes of tensor t become its own; step waits for whoever used them. */
static int take_bytes(struct deps *d, uint32_t step, uint32_t t)
{
	struct segment piece[3], own = { d->p->tensors[t].offset, 0, t };
	size_t from, to, nr = 0;

	own.end = own.start + d->p->tensors[t].bytes;
	from = find_segment(d, own.start);
	for (to = from; to < d->nr_map && d->map[to].start < own.end; to++)
		if (take_from(d, step, d->map[to].tensor))
			return -ENOMEM;
	if (to > from && d->map[from].start < own.start)
		piece[nr++] =
			(struct segment){ d->map[from].start, own.start, d->map[from].tensor };
	piece[nr++] = own;
	if (to > from && d->map[to - 1].end > own.end)
		piece[nr++] =
			(struct segment){ own.end, d->map[to - 1].end, d->map[to - 1].tensor };
	memmove(&d->map[from + nr], &d->map[to], (d->nr_map - to) * sizeof(*d->map));
	memcpy(&d->map[from], piece, nr * sizeof(*piece));
	d->nr_map = d->nr_map - (to - from) + nr;
	return 0;
}

static int find_preds(struct deps *d)
{
	const struct program *p = d->p;

	for (uint32_t i = 0; i < p->nr_steps; i++) {
		const struct step *s = &p->steps[i];

		d->pred_at[i] = (uint32_t)d->nr_pred;
		for (unsigned k = 0; k < nr_reads(s); k++) {
			uint32_t t = read_origin(p, s, k);

			if (t != OOO_NONE && add_pred(d, i, d->writer[t]))
				return -ENOMEM;
		}
		for (unsigned k = 0; k < s->nr_out; k++) {
			uint32_t t = origin_id(p, s->out[k]);

			d->writer[t] = i;
			if (p->tensors[t].place == PLACE_WORKSPACE && p->tensors[t].bytes &&
			    take_bytes(d, i, t))
				return -ENOMEM;
		}
	}
	d->pred_at[p->nr_steps] = (uint32_t)d->nr_pred;
	return 0;
}

/* Drop a -> c where a -> b and b -> c are there. All are judged by the full lists. */
static void mark_redundant(struct deps *d, uint32_t step, bool *drop)
{
	uint32_t from = d->pred_at[step], to = d->pred_at[step + 1];

	if (to - from > MANY_DEPS)
		return;
	for (uint32_t i = from; i < to; i++) {
		uint32_t mid = d->pred[i];

		if (d->pred_at[mid + 1] - d->pred_at[mid] > MANY_DEPS)
			continue;
		for (uint32_t j = d->pred_at[mid]; j < d->pred_at[mid + 1]; j++)
			d->stamp[d->pred[j]] = step;
	}
	for (uint32_t i = from; i < to; i++)
		drop[i] = d->stamp[d->pred[i]] == step;
}

static int drop_redundant(struct deps *d)
{
	bool *drop = calloc(d->nr_pred + 1, sizeof(*drop));

	if (!drop)
		return -ENOMEM;
	memset(d->stamp, 0xff, d->p->nr_steps * sizeof(*d->stamp));
	for (uint32_t i = 0; i < d->p->nr_steps; i++)
		mark_redundant(d, i, drop);
	for (size_t i = 0; i < d->nr_pred; i++)
		if (drop[i])
			d->pred[i] = OOO_NONE;
	free(drop);
	return 0;
}

/* Turn the lists around: the flow advances from a step to its successors. */
static int set_succ(struct deps *d)
{
	struct program *p = d->p;

	for (uint32_t i = 0; i < p->nr_steps; i++) {
		p->steps[i].nr_deps = 0;
		p->steps[i].nr_succ = 0;
	}
	for (size_t e = 0; e < d->nr_pred; e++)
		if (d->pred[e] != OOO_NONE)
			p->steps[d->pred[e]].nr_succ++;
	for (uint32_t i = 0; i < p->nr_steps; i++) {
		struct step *s = &p->steps[i];

		free(s->succ);
		s->succ = malloc((s->nr_succ + 1) * sizeof(*s->succ));
		if (!s->succ)
			return -ENOMEM;
		s->nr_succ = 0;
	}
	for (uint32_t i = 0; i < p->nr_steps; i++)
		for (uint32_t e = d->pred_at[i]; e < d->pred_at[i + 1]; e++) {
			struct step *before;

			if (d->pred[e] == OOO_NONE)
				continue;
			before = &p->steps[d->pred[e]];
			before->succ[before->nr_succ++] = i;
			p->steps[i].nr_deps++;
		}
	return 0;
}

static int find_deps(struct deps *d)
{
	size_t nt = d->p->nr_tensors, ns = d->p->nr_steps;

	d->max_pred = 256;
	d->pred = malloc(d->max_pred * sizeof(*d->pred));
	d->pred_at = calloc(ns + 1, sizeof(*d->pred_at));
	d->stamp = malloc((ns + 1) * sizeof(*d->stamp));
	d->writer = malloc((nt + 1) * sizeof(*d->writer));
	d->taken_by = malloc((nt + 1) * sizeof(*d->taken_by));
	d->map = malloc((2 * nt + 2) * sizeof(*d->map));
	if (!d->pred || !d->pred_at || !d->stamp || !d->writer || !d->taken_by || !d->map)
		return -ENOMEM;
	memset(d->stamp, 0xff, ns * sizeof(*d->stamp));
	memset(d->writer, 0xff, nt * sizeof(*d->writer));
	memset(d->taken_by, 0xff, nt * sizeof(*d->taken_by));
	if (find_readers(d) || find_preds(d) || drop_redundant(d) || set_succ(d))
		return -ENOMEM;
	return 0;
}

int pass_deps(struct graph *g)
{
	struct deps d = { .g = g, .p = g->p };
	int rc = find_deps(&d);

	free(d.pred);
	free(d.pred_at);
	free(d.stamp);
	free(d.writer);
	free(d.taken_by);
	free(d.map);
	free(d.reader);
	free(d.reader_at);
	return rc ? graph_no_memory(g) : 0;
}
