/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps on the cuda device, over the emulated driver (or a real one), against double precision.
 *
 *	struct kt k;                                     // a step: see cpu_kernels_rig.h
 *	struct ct_options o = { .precision = OOO_FP16 }; // 0 everywhere is a good choice
 *
 *	ct_open();                                       // once, before the tests
 *	kt_init(&k, OOO_OP_MATMUL, seed);
 *	kt_in(&k, OOO_FP16, LAYOUT_PLAIN, DIMS(33, 70)); // random values of any type and layout
 *	kt_in(&k, OOO_FP32, LAYOUT_PLAIN, DIMS(70, 50));
 *	kt_out_as(&k, 1, LAYOUT_PLAIN, OOO_FP16);        // results that would be fp32: fp16
 *	kt_post(&k, (struct post){ .op = OOO_OP_RELU }, LAYOUT_PLAIN, SCALAR);
 *	ct_check(&k, &o, 1e-3);                          // run, compare, free
 *	ct_close();
 *
 * Where operands live: weights (operands 1.. of convolutions, products, normalisations and
 * recurrent layers) are constants, as are those in o.consts; other plain tensors of fp32, integers
 * or truth values are the tenant's inputs and outputs; the rest, and those in o.slots and
 * o.out_slots, lie in the workspace slot. All lie between guard bands; outputs, guards and what
 * else is in the slot are full of NaN before the run, and the guards must be so after it.
 *
 * ct_run() alone leaves what the device wrote in kt_data(): tests with other expectations look
 * there. o.items copies of the step run as the items of one bundle; their bits must be equal. For
 * the whole list of cases of the plain kernels on this device: kt_runner = ct_runner.
 */
#ifndef OOO_TESTS_CUDA_RIG_H
#define OOO_TESTS_CUDA_RIG_H

#include <sys/mman.h>
#include <time.h>

#include "agent/device/cuda/plan.h"
#include "agent/device/device.h"
#include "shared/client/internal.h" /* the arena's allocator */
#include "tests/unit/device/cpu_kernels_reference.h"

#define CT_GUARD       256 /* bytes on either side of a tensor */
#define CT_POISON      0xff
#define CT_ARENA_BYTES (256ull << 20)
#define CT_TIMEOUT_S   120

struct ct_options {
	uint32_t consts; /* bit i: operand i is a constant */
	uint32_t inputs; /* bit i: operand i is no constant, though a weight */
	uint32_t slots;  /* bit i: operand i is in the workspace */
	uint32_t out_slots;
	uint8_t precision; /* of the program */
	uint16_t lane;
	unsigned items; /* 0: 1 */
};

struct ct_program;

static struct {
	const struct device_ops *ops;
	struct device *dev;
	struct ct_program *programs; /* all there are */
	char *memory;                /* one arena for all */
	struct arena arena;
	struct ct_options options; /* ct_runner's */
} ct;

/* A program of one step, made by hand from a struct kt, which it copies. */
struct ct_program {
	struct ct_program *next;
	struct kt *k;
	struct ct_options o;
	struct program p;
	struct tensor tensors[KT_TENSORS];
	uint32_t io[KT_TENSORS]; /* inputs, then outputs */
	void *consts[KT_TENSORS];
	size_t at[KT_TENSORS]; /* of inputs and outputs, in an item's memory */
	size_t item_bytes;
	struct device_program *dp;
	struct device_binding *binding[BUNDLE_MAX_ITEMS];
	uint64_t off[BUNDLE_MAX_ITEMS]; /* of an item's memory in the arena */
	char *memory[BUNDLE_MAX_ITEMS];
	unsigned nr_items;
};

/* ---- the device -------------------------------------------------------------------------------- */

static inline void ct_open_with(const struct device_config *config)
{
	char why[256] = "";

	if (device_open(config, &ct.ops, &ct.dev, why, sizeof(why)))
		fail_msg("no device: %s", why);
	ct.memory = mmap(NULL, CT_ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			 -1, 0);
	assert_true(ct.memory != MAP_FAILED);
	assert_int_equal(client_arena_init(&ct.arena, CT_ARENA_BYTES), 0);
	assert_int_equal(ct.ops->map_arena(ct.dev, ct.memory, CT_ARENA_BYTES), 0);
}

/* The emulated driver of this build; OOO_EMU_DRIVER names another. */
static inline void ct_open(void)
{
	const char *driver = getenv("OOO_EMU_DRIVER"), *build = getenv("OOO_BUILD");
	struct device_config config = { .name = "cuda" };
	char path[4096];

	snprintf(path, sizeof(path), "%s/emu/libcuda.so.1", build ? build : "build");
	config.cuda_library = driver ? driver : path;
	ct_open_with(&config);
}

static inline void ct_free(struct ct_program *c);

static inline void ct_close(void)
{
	while (ct.programs)
		ct_free(ct.programs); /* of tests that failed */
	ct.ops->unmap_arena(ct.dev, ct.memory);
	client_arena_destroy(&ct.arena);
	munmap(ct.memory, CT_ARENA_BYTES);
	ct.ops->close(ct.dev);
}

/* ---- a step as a program ----------------------------------------------------------------------- */

/* With memory of its own. */
static inline struct kt *kt_clone(const struct kt *from)
{
	struct kt *k = malloc(sizeof(*k));

	assert_non_null(k);
	*k = *from;
	k->step.in = k->in;
	k->step.out = k->out;
	for (uint32_t i = 0; i < k->nr; i++) {
		size_t bytes = (k->tensors[i].bytes + 2 * KT_GUARD + 63) & ~(size_t)63;
		size_t values = (size_t)(rig_elems(&k->tensors[i].shape) + 1) * sizeof(double);

		k->mem[i] = aligned_alloc(64, bytes);
		k->v[i] = malloc(values);
		assert_non_null(k->mem[i]);
		assert_non_null(k->v[i]);
		memcpy(k->mem[i], from->mem[i], k->tensors[i].bytes + 2 * KT_GUARD);
		memcpy(k->v[i], from->v[i], values);
	}
	return k;
}

static inline bool ct_is_small(uint32_t dtype)
{
	return dtype == OOO_FP16 || dtype == OOO_BF16;
}

static inline bool ct_is_weight(const struct kt *k, unsigned i)
{
	switch (k->step.op) {
	case OOO_OP_CONV:
	case OOO_OP_CONV_TRANSPOSE:
	case OOO_OP_BATCH_NORM:
	case OOO_OP_LAYER_NORM:
	case OOO_OP_INSTANCE_NORM:
		return i > 0;
	case OOO_OP_MATMUL:
		return i > 0;
	case OOO_OP_LSTM:
	case OOO_OP_GRU:
		return i >= 1 && i <= 3;
	default:
		return false;
	}
}

/* Operand i of the step as OOO_NONE or the tensor; a post-operation's operand: i = -1. */
static inline enum place ct_place_of(const struct ct_program *c, int i, uint32_t id, bool output)
{
	const struct tensor *t = &c->k->tensors[id];
	bool slot = t->layout != LAYOUT_PLAIN || ct_is_small(t->shape.dtype);

	if (!output && i >= 0 && !(c->o.inputs >> i & 1) &&
	    (c->o.consts >> i & 1 || ct_is_weight(c->k, (unsigned)i)))
		return PLACE_CONST;
	if (i >= 0 && (output ? c->o.out_slots : c->o.slots) >> i & 1)
		slot = true;
	return slot ? PLACE_WORKSPACE : output ? PLACE_OUTPUT : PLACE_INPUT;
}

static inline void ct_place(struct ct_program *c, uint32_t id, enum place place)
{
	struct tensor *t = &c->tensors[id];
	size_t *end = place == PLACE_WORKSPACE ? &c->p.workspace_bytes : &c->item_bytes;
	size_t at = *end + CT_GUARD;

	if (t->place != PLACE_NONE)
		return; /* an operand twice */
	t->place = (uint8_t)place;
	if (place == PLACE_CONST) {
		c->consts[id] =
			aligned_alloc(TENSOR_ALIGN, (t->bytes / TENSOR_ALIGN + 1) * TENSOR_ALIGN);
		memcpy(c->consts[id], kt_data(c->k, id), t->bytes);
		t->data = c->consts[id];
		c->p.weight_bytes += t->bytes;
		return;
	}
	*end = (at + t->bytes + CT_GUARD + TENSOR_ALIGN - 1) / TENSOR_ALIGN * TENSOR_ALIGN;
	if (place == PLACE_WORKSPACE) {
		t->offset = at;
		return;
	}
	c->at[id] = at;
	t->io = place == PLACE_INPUT ? c->p.nr_inputs : c->p.nr_outputs;
	if (place == PLACE_INPUT)
		c->io[c->p.nr_inputs++] = id;
	else
		c->p.nr_outputs++; /* to the list once all inputs are there */
}

static inline void ct_place_all(struct ct_program *c)
{
	struct step *s = &c->k->step;

	for (int i = 0; i < s->nr_in; i++)
		if (c->k->in[i] != OOO_NONE)
			ct_place(c, c->k->in[i], ct_place_of(c, i, c->k->in[i], false));
	for (int i = 0; i < s->nr_post; i++)
		if (s->post[i].op == OOO_OP_ADD || s->post[i].op == OOO_OP_MUL)
			ct_place(c, s->post[i].operand,
				 ct_place_of(c, -1, s->post[i].operand, false));
	for (int i = 0; i < s->nr_out; i++)
		if (!c->k->absent[i])
			ct_place(c, c->k->out[i], ct_place_of(c, i, c->k->out[i], true));
	c->p.inputs = c->io;
	c->p.outputs = c->io + c->p.nr_inputs;
	for (uint32_t id = 0; id < c->k->nr; id++)
		if (c->tensors[id].place == PLACE_OUTPUT)
			c->p.outputs[c->tensors[id].io] = id;
}

static inline struct ct_program *ct_program_new(const struct kt *from, const struct ct_options *o)
{
	struct ct_program *c = calloc(1, sizeof(*c));
	struct kt *k = kt_clone(from);

	assert_non_null(c);
	c->next = ct.programs;
	ct.programs = c;
	c->k = k;
	if (o)
		c->o = *o;
	c->nr_items = c->o.items ? c->o.items : 1;
	for (int i = 0; i < k->step.nr_post; i++)
		if (k->step.post[i].op != OOO_OP_ADD && k->step.post[i].op != OOO_OP_MUL)
			k->step.post[i].operand = OOO_NONE;
	memcpy(c->tensors, k->tensors, sizeof(c->tensors));
	for (uint32_t i = 0; i < KT_TENSORS; i++) {
		c->tensors[i].place = PLACE_NONE;
		c->tensors[i].alias_of = OOO_NONE;
	}
	snprintf(c->p.name, sizeof(c->p.name), "test");
	snprintf(k->step.name, sizeof(k->step.name), "%s", kt_name(k));
	c->p.tensors = c->tensors;
	c->p.nr_tensors = k->nr;
	c->p.steps = &k->step;
	c->p.nr_steps = 1;
	c->p.nr_ops = 1;
	c->p.precision = c->o.precision;
	ct_place_all(c);
	return c;
}

/* ---- memory ------------------------------------------------------------------------------------ */

static inline uint64_t ct_slot(const struct ct_program *c, unsigned item)
{
	return c->dp->slots.address + item * c->dp->slot_bytes;
}

static inline void ct_download(void *to, uint64_t from, size_t bytes)
{
	assert_int_equal(cuda_context_use(ct.dev), 0);
	assert_int_equal(ct.dev->drv->cuMemcpyDtoHAsync(to, from, bytes, ct.dev->load_stream), 0);
	assert_int_equal(ct.dev->drv->cuStreamSynchronize(ct.dev->load_stream), 0);
}

static inline bool ct_is_output(const struct ct_program *c, uint32_t id)
{
	for (int i = 0; i < c->k->step.nr_out; i++)
		if (c->k->out[i] == id)
			return true;
	return false;
}

static inline void ct_fill_item(struct ct_program *c, unsigned item)
{
	char *slot = malloc(c->p.workspace_bytes + 1);

	memset(slot, CT_POISON, c->p.workspace_bytes);
	memset(c->memory[item], CT_POISON, c->item_bytes);
	for (uint32_t id = 0; id < c->k->nr; id++) {
		const struct tensor *t = &c->tensors[id];

		if (ct_is_output(c, id))
			continue;
		if (t->place == PLACE_WORKSPACE)
			memcpy(slot + t->offset, kt_data(c->k, id), t->bytes);
		else if (t->place == PLACE_INPUT)
			memcpy(c->memory[item] + c->at[id], kt_data(c->k, id), t->bytes);
	}
	assert_int_equal(cuda_context_use(ct.dev), 0);
	if (c->p.workspace_bytes)
		assert_int_equal(cuda_upload(ct.dev, ct_slot(c, item), slot, c->p.workspace_bytes),
				 0);
	free(slot);
}

static inline void ct_load(struct ct_program *c)
{
	char why[256] = "";

	if (ct.ops->load(ct.dev, &c->p, c->nr_items, &c->dp, why, sizeof(why)))
		fail_msg("%s: %s", kt_name(c->k), why);
	if (ct.ops->slots(c->dp) < c->nr_items)
		fail_msg("%s: %u slots for %u items", kt_name(c->k), ct.ops->slots(c->dp),
			 c->nr_items);
	for (unsigned i = 0; i < c->nr_items; i++) {
		void *io[KT_TENSORS];

		if (client_arena_alloc(&ct.arena, c->item_bytes, &c->off[i]))
			fail_msg("%s: the rig's arena is too small", kt_name(c->k));
		c->memory[i] = ct.memory + c->off[i];
		for (uint32_t k = 0; k < c->p.nr_inputs + c->p.nr_outputs; k++)
			io[k] = c->memory[i] + c->at[c->io[k]];
		assert_int_equal(ct.ops->bind(ct.dev, c->dp, io, &c->binding[i]), 0);
		ct_fill_item(c, i);
	}
}

static inline void ct_free(struct ct_program *c)
{
	struct ct_program **at = &ct.programs;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	for (unsigned i = 0; i < c->nr_items && c->binding[i]; i++) {
		ct.ops->unbind(ct.dev, c->binding[i]);
		client_arena_free(&ct.arena, c->off[i]);
	}
	if (c->dp)
		ct.ops->unload(ct.dev, c->dp);
	for (uint32_t i = 0; i < KT_TENSORS; i++)
		free(c->consts[i]);
	kt_free(c->k);
	free(c->k);
	free(c);
}

static inline bool ct_is_poison(const char *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)at[i] != CT_POISON)
			return false;
	return true;
}

/* Item's outputs to kt_data(): the first's; those of the others must have the same bits. */
static inline void ct_take_outputs(struct ct_program *c, unsigned item)
{
	char *slot = malloc(c->p.workspace_bytes + 1);

	if (c->p.workspace_bytes)
		ct_download(slot, ct_slot(c, item), c->p.workspace_bytes);
	for (uint32_t id = 0; id < c->k->nr; id++) {
		const struct tensor *t = &c->tensors[id];
		bool io = t->place == PLACE_INPUT || t->place == PLACE_OUTPUT;
		const char *at = io ? c->memory[item] + c->at[id] : slot + t->offset;

		if (t->place == PLACE_NONE || t->place == PLACE_CONST)
			continue;
		if (!ct_is_poison(at - CT_GUARD, CT_GUARD) ||
		    !ct_is_poison(at + t->bytes, CT_GUARD))
			fail_msg("%s: item %u wrote outside tensor %u", kt_name(c->k), item, id);
		if ((!ct_is_output(c, id) || item) && memcmp(kt_data(c->k, id), at, t->bytes))
			fail_msg("%s: item %u: tensor %u %s", kt_name(c->k), item, id,
				 ct_is_output(c, id) ? "has other bits than item 0's"
						     : "is an operand and has changed");
		if (ct_is_output(c, id))
			memcpy(kt_data(c->k, id), at, t->bytes);
	}
	free(slot);
}

/* ---- running ----------------------------------------------------------------------------------- */

static inline void ct_submit(struct bundle *b)
{
	struct bundle *done = NULL;
	time_t end = time(NULL) + CT_TIMEOUT_S;
	int err = ct.ops->submit(ct.dev, b);

	if (err)
		fail_msg("submit: %s", strerror(-err));
	while (!ct.ops->poll(ct.dev, &done, 1))
		if (time(NULL) > end)
			fail_msg("a bundle of %u items does not come back", b->nr_items);
	assert_ptr_equal(done, b);
	if (b->scope != SCOPE_NONE)
		fail_msg("the bundle failed with scope %u", b->scope);
}

static inline struct bundle_item ct_item(const struct ct_program *c, unsigned i)
{
	return (struct bundle_item){ .program = c->dp, .binding = c->binding[i], .slot = i };
}

/* The first item's status; all must have the same. */
static inline enum ooo_status ct_run(struct kt *k, const struct ct_options *o)
{
	struct ct_program *c = ct_program_new(k, o);
	struct bundle *b = calloc(1, sizeof(*b));
	enum ooo_status status;

	ct_load(c);
	b->lane = c->o.lane;
	b->nr_items = c->nr_items;
	for (unsigned i = 0; i < c->nr_items; i++)
		b->items[i] = ct_item(c, i);
	ct_submit(b);
	status = b->items[0].status;
	for (unsigned i = 0; i < c->nr_items; i++) {
		if (b->items[i].status != status)
			fail_msg("%s: item %u has status %u, not %u", kt_name(k), i,
				 b->items[i].status, status);
		ct_take_outputs(c, i);
	}
	for (int i = 0; i < k->step.nr_out; i++)
		memcpy(kt_data(k, k->out[i]), kt_data(c->k, k->out[i]),
		       k->tensors[k->out[i]].bytes);
	free(b);
	ct_free(c);
	return status;
}

static inline enum ooo_status ct_runner(struct kt *k)
{
	return ct_run(k, &ct.options);
}

/* Run, compare with the reference, free. */
static inline void ct_check(struct kt *k, const struct ct_options *o, double tolerance)
{
	assert_int_equal(ct_run(k, o), OOO_OK);
	kt_reference(k);
	for (int i = 0; i < k->step.nr_out; i++)
		if (!k->absent[i])
			kt_expect(k, i, tolerance);
	kt_free(k);
}

#endif
