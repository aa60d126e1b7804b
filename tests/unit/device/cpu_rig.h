/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One-step programs for tests of the cpu device, made by hand: random operands, any layout, guard
 * bands around what the step writes. Operands are kept as plain arrays of doubles as well, for a
 * reference to compute with.
 */
#ifndef OOO_TESTS_CPU_RIG_H
#define OOO_TESTS_CPU_RIG_H

#include "agent/device/cpu/cpu.h"
#include "tests/unit/device/rig_case.h"

#define RIG_GUARD   256 /* bytes before and after every tensor that is written */
#define RIG_POISON  0x5a
#define RIG_SLOTS   4
#define RIG_TENSORS (RIG_MAX_IN + 1 + STEP_MAX_POST)

struct rig {
	const struct rig_case *c;
	struct program program;
	struct step step;
	struct tensor tensors[RIG_TENSORS];
	uint32_t in[RIG_MAX_IN], out[1], inputs[RIG_MAX_IN], outputs[1];
	float *consts[RIG_TENSORS];
	struct device_program *dp;
	struct device_binding *binding[RIG_SLOTS];
	float *values[RIG_SLOTS][RIG_TENSORS]; /* plain order; constants: the same in all slots */
	char *arena[RIG_SLOTS];                /* what the binding points into */
	size_t arena_bytes;
	size_t arena_at[RIG_TENSORS];
};

static inline void rig_tensor(struct rig *r, uint32_t id, const struct shape *s, bool nhwc)
{
	struct tensor *t = &r->tensors[id];

	t->shape = *s;
	t->layout = nhwc ? LAYOUT_NHWC : LAYOUT_PLAIN;
	t->alias_of = OOO_NONE;
	t->bytes = (size_t)rig_elems(s) * sizeof(float);
}

/* In the workspace, between guards. */
static inline void rig_place_workspace(struct rig *r, uint32_t id)
{
	struct tensor *t = &r->tensors[id];

	t->place = PLACE_WORKSPACE;
	t->offset = r->program.workspace_bytes + RIG_GUARD;
	r->program.workspace_bytes = (t->offset + t->bytes + RIG_GUARD + 63) & ~(size_t)63;
}

/* In the binding's memory, between guards. */
static inline void rig_place_io(struct rig *r, uint32_t id, bool output)
{
	struct tensor *t = &r->tensors[id];

	t->place = output ? PLACE_OUTPUT : PLACE_INPUT;
	t->io = output ? r->program.nr_outputs++ : r->program.nr_inputs++;
	r->arena_at[id] = r->arena_bytes + RIG_GUARD;
	r->arena_bytes = (r->arena_at[id] + t->bytes + RIG_GUARD + 63) & ~(size_t)63;
}

static inline void rig_place_const(struct rig *r, uint32_t id, uint64_t *seed)
{
	struct tensor *t = &r->tensors[id];
	float *data = aligned_alloc(64, (t->bytes + 127) & ~(size_t)63);

	assert_non_null(data);
	for (size_t i = 0; i < t->bytes / sizeof(float); i++)
		data[i] = rig_float(seed);
	t->place = PLACE_CONST;
	t->data = data;
	r->consts[id] = data;
	r->program.weight_bytes += t->bytes;
}

static inline void rig_place(struct rig *r, uint32_t id, bool constant, uint64_t *seed)
{
	if (constant)
		rig_place_const(r, id, seed);
	else if (r->tensors[id].layout == LAYOUT_PLAIN)
		rig_place_io(r, id, false);
	else
		rig_place_workspace(r, id);
}

static inline void rig_operands(struct rig *r, uint64_t *seed)
{
	const struct rig_case *c = r->c;
	const struct shape *shapes[RIG_MAX_IN];
	struct shape y;
	char why[256];

	for (int i = 0; i < RIG_MAX_IN; i++) {
		struct shape s = { .dtype = OOO_FP32, .rank = c->in[i].rank };

		r->in[i] = OOO_NONE;
		shapes[i] = NULL;
		if (rig_absent(&c->in[i]))
			continue;
		memcpy(s.dims, c->in[i].dims, sizeof(c->in[i].dims));
		rig_tensor(r, (uint32_t)i, &s, i == 0 && c->x_nhwc);
		rig_place(r, (uint32_t)i, i && !(i == 1 && c->run_time), seed);
		r->in[i] = (uint32_t)i;
		shapes[i] = &r->tensors[i].shape;
		r->step.nr_in = (uint16_t)(i + 1);
	}
	if (op_infer(c->op, &r->step.attr, shapes, r->step.nr_in, &y, 1, why, sizeof(why)))
		fail_msg("%s: %s", c->name, why);
	r->out[0] = RIG_MAX_IN;
	rig_tensor(r, RIG_MAX_IN, &y, c->y_nhwc);
	if (c->y_nhwc)
		rig_place_workspace(r, RIG_MAX_IN);
	else
		rig_place_io(r, RIG_MAX_IN, true);
}

static inline void rig_posts(struct rig *r, uint64_t *seed)
{
	const struct shape *y = &r->tensors[RIG_MAX_IN].shape;

	for (int i = 0; i < 2 && r->c->post[i].op; i++) {
		const struct rig_post *p = &r->c->post[i];
		struct shape s = { .dtype = OOO_FP32, .rank = p->operand.rank };
		uint32_t id = RIG_MAX_IN + 1 + (uint32_t)i;

		r->step.post[i] = (struct post){ .op = p->op,
						 .operand = OOO_NONE,
						 .alpha = p->alpha,
						 .beta = p->beta,
						 .mode = p->mode };
		r->step.nr_post++;
		if (rig_absent(&p->operand))
			continue;
		memcpy(s.dims, p->operand.dims, sizeof(p->operand.dims));
		r->step.post[i].operand = id;
		rig_tensor(r, id, &s, shape_equal(&s, y) && r->c->y_nhwc);
		rig_place(r, id, !shape_equal(&s, y), seed);
	}
}

static inline struct rig *rig_new(const struct rig_case *c, uint64_t seed)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->c = c;
	seed = seed * 0x9e3779b97f4a7c15ull + 1;
	r->step.op = c->op;
	r->step.klass = op_info(c->op)->klass;
	r->step.in = r->in;
	r->step.out = r->out;
	r->step.nr_out = 1;
	snprintf(r->step.name, sizeof(r->step.name), "%s", op_info(c->op)->name);
	rig_attr(c, &r->step.attr);
	for (int i = 0; i < RIG_TENSORS; i++)
		r->tensors[i] = (struct tensor){ .place = PLACE_NONE, .alias_of = OOO_NONE };
	rig_operands(r, &seed);
	rig_posts(r, &seed);
	snprintf(r->program.name, sizeof(r->program.name), "test");
	r->program.tensors = r->tensors;
	r->program.nr_tensors = RIG_TENSORS;
	r->program.steps = &r->step;
	r->program.nr_steps = 1;
	return r;
}

/* Offset of plain element i in the tensor's own layout, in elements. */
static inline size_t rig_index(const struct tensor *t, int64_t i)
{
	const int64_t *d = t->shape.dims;
	int64_t pixels = 1, image, c, p;

	if (t->layout == LAYOUT_PLAIN)
		return (size_t)i;
	for (int k = 2; k < t->shape.rank; k++)
		pixels *= d[k];
	p = i % pixels;
	c = i / pixels % d[1];
	image = i / pixels / d[1];
	return (size_t)((image * pixels + p) * d[1] + c);
}

static inline char *rig_memory(struct rig *r, unsigned slot, uint32_t id)
{
	const struct tensor *t = &r->tensors[id];

	if (t->place == PLACE_WORKSPACE)
		return r->dp->workspace + slot * r->dp->slot_bytes + t->offset;
	return r->arena[slot] + r->arena_at[id];
}

/* New random inputs, poisoned output and guards. */
static inline void rig_fill(struct rig *r, unsigned slot, uint64_t seed)
{
	seed = seed * 0x9e3779b97f4a7c15ull + slot + 1;
	if (r->dp->workspace)
		memset(r->dp->workspace + slot * r->dp->slot_bytes, RIG_POISON, r->dp->slot_bytes);
	memset(r->arena[slot], RIG_POISON, r->arena_bytes);
	for (uint32_t id = 0; id < RIG_TENSORS; id++) {
		const struct tensor *t = &r->tensors[id];
		float *to;

		if (id == RIG_MAX_IN || t->place == PLACE_NONE || t->place == PLACE_CONST)
			continue;
		to = (float *)(void *)rig_memory(r, slot, id);
		for (size_t i = 0; i < t->bytes / sizeof(float); i++) {
			r->values[slot][id][i] = rig_float(&seed);
			to[rig_index(t, (int64_t)i)] = r->values[slot][id][i];
		}
	}
}

static inline void rig_load(struct rig *r, const struct device_ops *ops, struct device *dev)
{
	char why[256] = "";

	if (ops->load(dev, &r->program, RIG_SLOTS, &r->dp, why, sizeof(why)))
		fail_msg("%s: %s", r->c->name, why);
	assert_int_equal(ops->slots(r->dp), RIG_SLOTS);
	for (unsigned slot = 0; slot < RIG_SLOTS; slot++) {
		void *io[RIG_MAX_IN + STEP_MAX_POST];
		unsigned nr_in = r->program.nr_inputs;

		r->arena[slot] = aligned_alloc(64, r->arena_bytes + 64);
		for (uint32_t id = 0; id < RIG_TENSORS; id++) {
			const struct tensor *t = &r->tensors[id];

			if (t->place == PLACE_INPUT)
				io[t->io] = r->arena[slot] + r->arena_at[id];
			if (t->place == PLACE_OUTPUT)
				io[nr_in + t->io] = r->arena[slot] + r->arena_at[id];
			if (t->place == PLACE_CONST)
				r->values[slot][id] = r->consts[id];
			else
				r->values[slot][id] = malloc(t->bytes + 1);
		}
		assert_int_equal(ops->bind(dev, r->dp, io, &r->binding[slot]), 0);
		rig_fill(r, slot, 7);
	}
}

static inline void rig_unload(struct rig *r, const struct device_ops *ops, struct device *dev)
{
	for (unsigned slot = 0; slot < RIG_SLOTS; slot++) {
		ops->unbind(dev, r->binding[slot]);
		free(r->arena[slot]);
		for (uint32_t id = 0; id < RIG_TENSORS; id++) {
			if (r->tensors[id].place != PLACE_CONST)
				free(r->values[slot][id]);
		}
	}
	ops->unload(dev, r->dp);
}

static inline void rig_free(struct rig *r)
{
	for (uint32_t id = 0; id < RIG_TENSORS; id++)
		free(r->consts[id]);
	free(r);
}

static inline struct bundle_item rig_item(struct rig *r, unsigned slot)
{
	return (struct bundle_item){
		.program = r->dp, .binding = r->binding[slot], .slot = slot, .request = r
	};
}

static inline void rig_submit(const struct device_ops *ops, struct device *dev, struct bundle *b)
{
	struct bundle *done = NULL;

	assert_int_equal(ops->submit(dev, b), 0);
	while (!ops->poll(dev, &done, 1))
		;
	assert_ptr_equal(done, b);
	for (uint32_t i = 0; i < b->nr_items; i++) {
		assert_int_equal(b->items[i].status, OOO_OK);
		assert_int_equal(b->items[i].scope, SCOPE_NONE);
	}
}

/* The output in plain order; checks the guards of everything in the slot. */
static inline void rig_output(struct rig *r, unsigned slot, float *to)
{
	const struct tensor *y = &r->tensors[RIG_MAX_IN];
	const float *from = (const float *)(const void *)rig_memory(r, slot, RIG_MAX_IN);

	for (size_t i = 0; i < y->bytes / sizeof(float); i++)
		to[i] = from[rig_index(y, (int64_t)i)];
	for (uint32_t id = 0; id < RIG_TENSORS; id++) {
		const struct tensor *t = &r->tensors[id];
		const char *mem;

		if (t->place == PLACE_NONE || t->place == PLACE_CONST)
			continue;
		mem = rig_memory(r, slot, id);
		for (int i = 1; i <= RIG_GUARD; i++) {
			if (mem[-i] != RIG_POISON || mem[t->bytes + (size_t)i - 1] != RIG_POISON)
				fail_msg("%s: wrote outside tensor %u", r->c->name, id);
		}
	}
}

#endif
