/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a compiled program keeps its promises, judged without the compiler's own helpers: order,
 * places, no two tensors that are alive together on the same bytes, and dependencies that hold the
 * data and the workspace together in whatever order they allow.
 */
#ifndef OOO_TESTS_PROGRAM_CHECK_H
#define OOO_TESTS_PROGRAM_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/program/program.h"

#define CHECK_FAIL(...)                                                                            \
	do {                                                                                       \
		fprintf(stderr, "check: " __VA_ARGS__);                                            \
		fputc('\n', stderr);                                                               \
		return -1;                                                                         \
	} while (0)

static inline uint32_t check_origin(const struct program *p, uint32_t id)
{
	for (uint32_t hops = 0; p->tensors[id].alias_of != OOO_NONE; hops++) {
		if (hops > p->nr_tensors)
			abort(); /* a cycle */
		id = p->tensors[id].alias_of;
	}
	return id;
}

static inline unsigned check_nr_reads(const struct step *s)
{
	return (unsigned)s->nr_in + s->nr_post;
}

static inline uint32_t check_read(const struct step *s, unsigned k)
{
	return k < s->nr_in ? s->in[k] : s->post[k - s->nr_in].operand;
}

/* Bytes that a shape takes in a layout. */
static inline uint64_t check_bytes(const struct tensor *t)
{
	uint64_t n = dtype_bytes(t->shape.dtype);

	for (int i = 0; i < t->shape.rank; i++) {
		uint64_t d = (uint64_t)t->shape.dims[i];

		n *= i == 1 && t->layout == LAYOUT_BLOCK16 ? (d + 15) / 16 * 16 : d;
	}
	return n;
}

static inline bool check_is_float(uint32_t dtype)
{
	return dtype == OOO_FP32 || dtype == OOO_FP16 || dtype == OOO_BF16;
}

static inline int check_tensors(const struct program *p)
{
	for (uint32_t t = 0; t < p->nr_tensors; t++) {
		const struct tensor *x = &p->tensors[t], *o = &p->tensors[check_origin(p, t)];

		if (x->place == PLACE_NONE)
			continue;
		if (x->bytes != check_bytes(x))
			CHECK_FAIL("tensor %u: %zu bytes", t, x->bytes);
		if (o != x &&
		    (o->bytes != x->bytes || o->offset != x->offset || o->place != x->place))
			CHECK_FAIL("tensor %u is not like what it is an alias of", t);
		if (x->layout != LAYOUT_PLAIN &&
		    (x->shape.rank != 4 || !check_is_float(x->shape.dtype)))
			CHECK_FAIL("tensor %u is no image", t);
		if (x->place == PLACE_CONST && ((uintptr_t)x->data % TENSOR_ALIGN || x->layout))
			CHECK_FAIL("constant %u is misplaced", t);
		if (x->place == PLACE_WORKSPACE &&
		    (x->offset % TENSOR_ALIGN || x->offset + x->bytes > p->workspace_bytes))
			CHECK_FAIL("tensor %u leaves the workspace", t);
	}
	for (uint32_t i = 0; i < p->nr_inputs; i++)
		if (p->tensors[p->inputs[i]].place != PLACE_INPUT ||
		    p->tensors[p->inputs[i]].io != i || p->tensors[p->inputs[i]].layout)
			CHECK_FAIL("input %u", i);
	for (uint32_t i = 0; i < p->nr_outputs; i++)
		if (p->tensors[p->outputs[i]].place != PLACE_OUTPUT ||
		    p->tensors[p->outputs[i]].io != i || p->tensors[p->outputs[i]].layout ||
		    p->tensors[p->outputs[i]].alias_of != OOO_NONE)
			CHECK_FAIL("output %u", i);
	return 0;
}

/* Each operand exists before; each memory is written once; posts fit. writer: by origin. */
static inline int check_steps(const struct program *p, uint32_t *writer)
{
	for (uint32_t t = 0; t < p->nr_tensors; t++)
		writer[t] = OOO_NONE;
	for (uint32_t i = 0; i < p->nr_steps; i++) {
		const struct step *s = &p->steps[i];

		if (s->nr_post > STEP_MAX_POST || !s->nr_out || (s->nr_post && s->nr_out != 1))
			CHECK_FAIL("step %u: %u posts", i, s->nr_post);
		for (unsigned k = 0; k < check_nr_reads(s); k++) {
			uint32_t id = check_read(s, k), o;

			if (id == OOO_NONE)
				continue;
			o = check_origin(p, id);
			if (p->tensors[o].place != PLACE_INPUT &&
			    p->tensors[o].place != PLACE_CONST && writer[o] == OOO_NONE)
				CHECK_FAIL("step %u (%s) reads tensor %u too early", i, s->name,
					   id);
		}
		for (unsigned k = 0; k < s->nr_out; k++) {
			uint32_t o = check_origin(p, s->out[k]);

			if (p->tensors[o].place != PLACE_WORKSPACE &&
			    p->tensors[o].place != PLACE_OUTPUT)
				CHECK_FAIL("step %u writes tensor %u", i, o);
			if (writer[o] != OOO_NONE)
				CHECK_FAIL("step %u writes tensor %u again", i, o);
			writer[o] = i;
		}
	}
	for (uint32_t i = 0; i < p->nr_outputs; i++)
		if (writer[p->outputs[i]] == OOO_NONE)
			CHECK_FAIL("output %u is not written", i);
	return 0;
}

/* Who may read and write what, in which layout: one layout a step, unless it is there to change it. */
static inline int check_layouts(const struct program *p)
{
	for (uint32_t i = 0; i < p->nr_steps; i++) {
		const struct step *s = &p->steps[i];
		const struct tensor *out = &p->tensors[s->out[0]];

		if (s->op == OP_REORDER)
			continue;
		for (unsigned k = 0; k < check_nr_reads(s); k++) {
			uint32_t id = check_read(s, k);
			const struct tensor *x = id == OOO_NONE ? NULL : &p->tensors[id];
			bool first = s->op == OOO_OP_CONV && !k && x->place == PLACE_INPUT;
			bool whole = s->klass == CLASS_POINTWISE || s->op == OOO_OP_CONCAT || !k ||
				     k >= s->nr_in;

			if (!x || first || x->layout == out->layout)
				continue;
			/* Vectors by channel and single numbers are plain everywhere. */
			if (x->layout == LAYOUT_PLAIN &&
			    (!whole || !x->shape.rank || !shape_equal(&x->shape, &out->shape)) &&
			    s->op != OOO_OP_CONCAT && (k || s->klass == CLASS_POINTWISE))
				continue;
			CHECK_FAIL("step %u (%s) reads tensor %u in the wrong layout", i, s->name,
				   id);
		}
	}
	return 0;
}

/* before[i * n + j]: j is ordered before i by the edges. */
static inline int check_order(const struct program *p, char *before)
{
	uint32_t n = p->nr_steps, *deps = calloc(n + 1, sizeof(*deps));

	memset(before, 0, (size_t)n * n + 1);
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < p->steps[i].nr_succ; k++) {
			uint32_t j = p->steps[i].succ[k];

			if (j <= i || j >= n)
				abort(); /* not a valid order */
			deps[j]++;
			/* Everything before i is final: edges go forward. */
			before[(size_t)j * n + i] = 1;
			for (uint32_t m = 0; m < i; m++)
				before[(size_t)j * n + m] |= before[(size_t)i * n + m];
		}
	for (uint32_t i = 0; i < n; i++)
		if (deps[i] != p->steps[i].nr_deps) {
			free(deps);
			CHECK_FAIL("step %u counts %u dependencies", i, p->steps[i].nr_deps);
		}
	free(deps);
	return 0;
}

static inline bool check_touches(const struct program *p, const struct step *s, uint32_t origin)
{
	for (unsigned k = 0; k < check_nr_reads(s); k++)
		if (check_read(s, k) != OOO_NONE && check_origin(p, check_read(s, k)) == origin)
			return true;
	for (unsigned k = 0; k < s->nr_out; k++)
		if (check_origin(p, s->out[k]) == origin)
			return true;
	return false;
}

static inline bool check_overlap(const struct tensor *a, const struct tensor *b)
{
	return a->place == PLACE_WORKSPACE && b->place == PLACE_WORKSPACE &&
	       a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

/* All that touch a come before the writer of b, or the other way round. */
static inline int check_pair(const struct program *p, const uint32_t *writer, const char *before,
			     uint32_t a, uint32_t b)
{
	size_t n = p->nr_steps;
	uint32_t first = writer[a] < writer[b] ? a : b, second = first == a ? b : a;

	for (uint32_t i = 0; i < n; i++)
		if (check_touches(p, &p->steps[i], first) && !before[writer[second] * n + i])
			CHECK_FAIL(
				"tensors %u and %u share bytes but step %u may run after step %u",
				first, second, i, writer[second]);
	return 0;
}

static inline int check_hazards(const struct program *p, const uint32_t *writer, const char *before)
{
	size_t n = p->nr_steps;

	for (uint32_t i = 0; i < n; i++)
		for (unsigned k = 0; k < check_nr_reads(&p->steps[i]); k++) {
			uint32_t id = check_read(&p->steps[i], k), w;

			w = id == OOO_NONE ? OOO_NONE : writer[check_origin(p, id)];
			if (w != OOO_NONE && !before[i * n + w])
				CHECK_FAIL("step %u reads what step %u writes without waiting", i,
					   w);
		}
	for (uint32_t a = 0; a < p->nr_tensors; a++)
		for (uint32_t b = a + 1; b < p->nr_tensors; b++) {
			if (p->tensors[a].alias_of != OOO_NONE ||
			    p->tensors[b].alias_of != OOO_NONE || writer[a] == OOO_NONE ||
			    writer[b] == OOO_NONE || !check_overlap(&p->tensors[a], &p->tensors[b]))
				continue;
			if (writer[a] == writer[b])
				CHECK_FAIL("outputs %u and %u of one step share bytes", a, b);
			if (check_pair(p, writer, before, a, b))
				return -1;
		}
	return 0;
}

/* 0, or -1 with a line on stderr. Quadratic in the steps. */
static inline int check_program(const struct program *p)
{
	uint32_t *writer = malloc((p->nr_tensors + 1) * sizeof(*writer));
	char *before = malloc((size_t)p->nr_steps * p->nr_steps + 1);
	int rc = check_tensors(p);

	if (!rc)
		rc = check_steps(p, writer);
	if (!rc)
		rc = check_layouts(p);
	if (!rc)
		rc = check_order(p, before);
	if (!rc)
		rc = check_hazards(p, writer, before);
	free(writer);
	free(before);
	return rc;
}

#endif
