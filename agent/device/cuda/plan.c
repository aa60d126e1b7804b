// SPDX-License-Identifier: Apache-2.0
/*
 * Encode a program: each step's tasks by the encoder of its operator, constants as blocks, scratch
 * memory in the slot. Blocks get their addresses last, when their contents are known and equal ones
 * have been found; until then an operand names its block, marked with a number that nobody outside
 * can guess, and every task is looked through for such operands.
 */
#include "agent/device/cuda/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define BLOCK_SHIFT   40 /* operand.at of an unresolved block: index, then the offset into it */
#define SCRATCH_ALIGN 256

struct block {
	void *host; /* NULL: the program's own constant */
	const void *data;
	uint64_t bytes;
};

/* Scratch memory that later steps may use again. */
struct region {
	uint64_t offset, bytes;
	uint32_t step; /* the last that uses it */
};

struct cuda_plan {
	struct device *dev;
	struct device_program *dp;
	const struct program *program;
	uint32_t step; /* being encoded */
	uint32_t mark; /* resv2 of operands that name a block */
	struct block *blocks;
	uint32_t nr_blocks, max_blocks;
	uint32_t *const_block; /* by tensor: its block + 1 */
	struct region *regions;
	uint32_t nr_regions, max_regions;
	uint64_t *ancestors; /* bit s of row i: step s is issued before step i; NULL: not known */
	uint32_t row_words;
	uint32_t max_phases, max_tasks;
	bool phase_open;
	char *blob; /* the tasks */
	uint64_t blob_bytes, blob_max;
	bool no_memory;
};

const struct program *plan_program(const struct cuda_plan *plan)
{
	return plan->program;
}

/* Room for one more of an array that doubles. */
static void *grow(void *array, uint32_t nr, uint32_t *max, size_t elem)
{
	uint32_t want = *max ? *max * 2 : 64;
	void *more;

	if (nr < *max)
		return array;
	more = realloc(array, want * elem);
	if (more)
		*max = want;
	return more;
}

/* ---- operands ---------------------------------------------------------------------------------- */

static int add_block(struct cuda_plan *plan, void *host, const void *data, uint64_t bytes,
		     uint32_t *index)
{
	struct block *more = grow(plan->blocks, plan->nr_blocks, &plan->max_blocks, sizeof(*more));

	if (!more) {
		plan->no_memory = true;
		return -ENOMEM;
	}
	plan->blocks = more;
	plan->blocks[plan->nr_blocks] = (struct block){ host, data, bytes };
	*index = plan->nr_blocks++;
	return 0;
}

static struct cuda_operand block_operand(const struct cuda_plan *plan, uint32_t index,
					 uint8_t dtype)
{
	return (struct cuda_operand){
		.at = (uint64_t)index << BLOCK_SHIFT,
		.place = CUDA_CONST,
		.dtype = dtype,
		.resv2 = plan->mark,
	};
}

/* A constant as the tenant declared it, once for all that read it. */
static struct cuda_operand const_operand(struct cuda_plan *plan, const struct tensor *t)
{
	uint32_t id = (uint32_t)(t - plan->program->tensors), index;

	if (!plan->const_block[id]) {
		if (add_block(plan, NULL, t->data, t->bytes, &index))
			return (struct cuda_operand){ 0 };
		plan->const_block[id] = index + 1;
	}
	return block_operand(plan, plan->const_block[id] - 1, (uint8_t)t->shape.dtype);
}

struct cuda_operand plan_operand(struct cuda_plan *plan, uint32_t id)
{
	struct cuda_operand o = { 0 };
	const struct tensor *t;

	if (id == OOO_NONE)
		return o;
	t = tensor_origin(plan->program, id);
	o.dtype = (uint8_t)plan->program->tensors[id].shape.dtype;
	switch (t->place) {
	case PLACE_WORKSPACE:
		o.place = CUDA_SLOT;
		o.at = t->offset;
		break;
	case PLACE_INPUT:
		o.place = CUDA_IO;
		o.at = t->io;
		break;
	case PLACE_OUTPUT:
		o.place = CUDA_IO;
		o.at = plan->program->nr_inputs + t->io;
		break;
	case PLACE_CONST:
		o = const_operand(plan, t);
		break;
	default:
		break;
	}
	return o;
}

const void *plan_const_data(const struct cuda_plan *plan, uint32_t id)
{
	const struct tensor *t;

	if (id == OOO_NONE)
		return NULL;
	t = tensor_origin(plan->program, id);
	return t->place == PLACE_CONST ? t->data : NULL;
}

int plan_block(struct cuda_plan *plan, uint64_t bytes, uint8_t dtype, void **host,
	       struct cuda_operand *out)
{
	uint32_t index;

	if (bytes >> (BLOCK_SHIFT - 1))
		return -ENOMEM;
	*host = calloc(1, bytes ? bytes : 1);
	if (!*host || add_block(plan, *host, *host, bytes, &index)) {
		free(*host);
		*host = NULL;
		return -ENOMEM;
	}
	*out = block_operand(plan, index, dtype);
	return 0;
}

static bool comes_before(const struct cuda_plan *plan, uint32_t s, uint32_t i)
{
	size_t word = (size_t)i * plan->row_words + s / 64;

	return plan->ancestors && (plan->ancestors[word] >> (s % 64) & 1);
}

static struct cuda_operand take_region(struct cuda_plan *plan, uint64_t bytes, uint8_t dtype,
				       bool reuse)
{
	struct cuda_operand o = { .place = CUDA_SLOT, .dtype = dtype };
	struct region *r = NULL, *more;

	bytes = (bytes + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN;
	for (uint32_t i = 0; reuse && i < plan->nr_regions; i++) {
		struct region *c = &plan->regions[i];

		if (c->bytes >= bytes && (!r || c->bytes < r->bytes) &&
		    comes_before(plan, c->step, plan->step))
			r = c;
	}
	if (!r) {
		o.at = plan->dp->slot_bytes;
		plan->dp->slot_bytes += bytes;
		if (!reuse)
			return o;
		more = grow(plan->regions, plan->nr_regions, &plan->max_regions, sizeof(*more));
		if (!more) {
			plan->no_memory = true;
			return o;
		}
		plan->regions = more;
		r = &more[plan->nr_regions++];
		*r = (struct region){ .offset = o.at, .bytes = bytes };
	}
	r->step = plan->step;
	o.at = r->offset;
	return o;
}

struct cuda_operand plan_scratch(struct cuda_plan *plan, uint64_t bytes, uint8_t dtype)
{
	return take_region(plan, bytes ? bytes : 1, dtype, true);
}

struct cuda_operand plan_zeroed(struct cuda_plan *plan, uint64_t bytes)
{
	return take_region(plan, bytes ? bytes : 1, OOO_INT32, false);
}

/* ---- tasks ------------------------------------------------------------------------------------- */

void plan_next_phase(struct cuda_plan *plan)
{
	plan->phase_open = false;
}

static int open_phase(struct cuda_plan *plan, enum cuda_kernel kernel)
{
	struct device_program *dp = plan->dp;
	struct cuda_step *cs = &dp->steps[plan->step];
	struct cuda_phase *more;

	if (plan->phase_open)
		return dp->phases[dp->nr_phases - 1].kernel == kernel ? 0 : -EINVAL;
	if (cs->nr_phases == CUDA_MAX_PHASES)
		return -E2BIG;
	more = grow(dp->phases, dp->nr_phases, &plan->max_phases, sizeof(*more));
	if (!more)
		return -ENOMEM;
	dp->phases = more;
	dp->phases[dp->nr_phases++] = (struct cuda_phase){
		.kernel = (uint16_t)kernel,
		.first_task = dp->nr_tasks,
	};
	cs->nr_phases++;
	plan->phase_open = true;
	return 0;
}

static char *blob_take(struct cuda_plan *plan, uint64_t bytes)
{
	while (plan->blob_bytes + bytes > plan->blob_max) {
		uint64_t want = plan->blob_max ? plan->blob_max * 2 : 64 << 10;
		char *more = realloc(plan->blob, want);

		if (!more)
			return NULL;
		plan->blob = more;
		plan->blob_max = want;
	}
	plan->blob_bytes += bytes;
	return plan->blob + plan->blob_bytes - bytes;
}

int plan_task(struct cuda_plan *plan, enum cuda_kernel kernel, const void *task, size_t bytes)
{
	struct device_program *dp = plan->dp;
	uint32_t padded = (uint32_t)((bytes + 15) & ~(size_t)15);
	struct cuda_task_ref *more;
	struct cuda_task *head;
	int err;

	if (plan->no_memory)
		return -ENOMEM;
	if (!((const struct cuda_task *)task)->nr_tiles)
		return 0; /* nothing to compute */
	if (!plan->dev->kernels[kernel])
		return -EOPNOTSUPP; /* the GPU is too small for it: said when the device was opened */
	err = open_phase(plan, kernel);
	if (err)
		return err;
	if (dp->phases[dp->nr_phases - 1].nr_tasks == UINT16_MAX)
		return -E2BIG;
	more = grow(dp->tasks, dp->nr_tasks, &plan->max_tasks, sizeof(*more));
	if (!more)
		return -ENOMEM;
	dp->tasks = more;
	head = (struct cuda_task *)blob_take(plan, padded);
	if (!head)
		return -ENOMEM;
	memset((char *)head + padded - 16, 0, 16);
	memcpy(head, task, bytes);
	head->bytes = padded;
	dp->tasks[dp->nr_tasks++] = (struct cuda_task_ref){
		.address = plan->blob_bytes - padded, /* offset, until the blob has its place */
		.nr_tiles = head->nr_tiles,
	};
	dp->phases[dp->nr_phases - 1].nr_tasks++;
	dp->steps[plan->step].tiles += head->nr_tiles;
	return 0;
}

int plan_task_head(struct cuda_plan *plan, const struct step *step, struct cuda_task *head)
{
	*head = (struct cuda_task){ .op = step->op, .nr_post = step->nr_post };
	for (unsigned i = 0; i < step->nr_post; i++) {
		const struct post *p = &step->post[i];

		head->post[i] = (struct cuda_post){
			.op = p->op,
			.mode = p->mode,
			.alpha = p->alpha,
			.beta = p->beta,
			.operand = plan_operand(plan, p->operand),
		};
	}
	return plan->no_memory ? -ENOMEM : 0;
}

struct cuda_div cuda_div_make(uint32_t d)
{
	uint32_t log = 0;

	if (d <= 1)
		return (struct cuda_div){ .d = 1 };
	while ((1ull << log) < d)
		log++;
	/* Exact for n < 2^31: the rounding of magic is below 2^log / 2^(31 + log). */
	return (struct cuda_div){
		.d = d,
		.magic = (uint32_t)(((1ull << (31 + log)) + d - 1) / d),
		.shift = log - 1,
	};
}

/* ---- the whole program -------------------------------------------------------------------------- */

static encode_fn encoder_of(const struct program *p, const struct step *s)
{
	const struct shape *w;

	switch (s->op) {
	case OOO_OP_CONV:
		w = &p->tensors[s->in[1]].shape;
		return s->attr.group > 1 && w->dims[1] == 1 ? encode_window : encode_gemm;
	case OOO_OP_CONV_TRANSPOSE:
	case OOO_OP_MATMUL:
		return encode_gemm;
	case OOO_OP_RESIZE:
		return encode_window;
	case OP_REORDER:
		return encode_map;
#ifdef OP_ATTENTION
	case OP_ATTENTION:
		return encode_attention;
#endif
	default:
		break;
	}
	switch (s->klass) {
	case CLASS_POINTWISE:
	case CLASS_MOVE:
		return encode_map;
	case CLASS_POOL:
		return encode_window;
	case CLASS_RNN:
		return encode_rnn;
	default:
		return encode_rows;
	}
}

/* Steps share a bundle if they run the same kernels: the first two, and as many. */
static uint16_t class_of(const struct device_program *dp, const struct cuda_step *cs)
{
	const struct cuda_phase *ph = &dp->phases[cs->first_phase];
	unsigned second = cs->nr_phases > 1 ? 1u + ph[1].kernel : 0;

	if (!cs->nr_phases)
		return UINT16_MAX;
	return (uint16_t)(ph[0].kernel * (NR_CUDA_KERNELS + 1) + second);
}

_Static_assert(NR_CUDA_KERNELS < 250, "a class fits 16 bits");

static int encode_step(struct cuda_plan *plan, uint32_t i, char *why, size_t why_bytes)
{
	const struct step *step = &plan->program->steps[i];
	struct cuda_step *cs = &plan->dp->steps[i];
	char reason[192] = "";
	int err;

	plan->step = i;
	plan->phase_open = false;
	cs->first_phase = plan->dp->nr_phases;
	err = encoder_of(plan->program, step)(plan, step, reason, sizeof(reason));
	if (!err && plan->no_memory)
		err = -ENOMEM;
	if (err == -EOPNOTSUPP)
		snprintf(why, why_bytes, "program \"%s\": step \"%s\": not on the cuda device: %s",
			 plan->program->name, step->name,
			 reason[0] ? reason : "this GPU has too little shared memory for it");
	else if (err)
		snprintf(why, why_bytes, "program \"%s\": step \"%s\": cannot be encoded: %s",
			 plan->program->name, step->name, reason[0] ? reason : strerror(-err));
	else
		cs->klass = class_of(plan->dp, cs);
	return err;
}

/* Which steps are issued before which: for scratch memory that several steps use in turn. */
static void find_ancestors(struct cuda_plan *plan)
{
	const struct program *p = plan->program;

	if (p->nr_steps > 8192)
		return;
	plan->row_words = (p->nr_steps + 63) / 64;
	plan->ancestors = calloc((size_t)p->nr_steps * plan->row_words, sizeof(*plan->ancestors));
	for (uint32_t i = 0; plan->ancestors && i < p->nr_steps; i++) {
		const uint64_t *row = plan->ancestors + (size_t)i * plan->row_words;

		for (uint32_t k = 0; k < p->steps[i].nr_succ; k++) {
			uint32_t succ = p->steps[i].succ[k];
			uint64_t *to = plan->ancestors + (size_t)succ * plan->row_words;

			for (uint32_t w = 0; w < plan->row_words; w++)
				to[w] |= row[w];
			to[i / 64] |= 1ull << (i % 64);
		}
	}
}

static int upload_blocks(struct cuda_plan *plan, char *why, size_t why_bytes)
{
	struct device_program *dp = plan->dp;

	dp->weights = calloc(plan->nr_blocks ? plan->nr_blocks : 1, sizeof(void *));
	if (!dp->weights)
		return -ENOMEM;
	for (uint32_t i = 0; i < plan->nr_blocks; i++) {
		struct block *b = &plan->blocks[i];
		int err = cuda_weight_get(plan->dev, plan->program->share_key, b->data, b->bytes,
					  &dp->weights[i], why, why_bytes);

		if (err)
			return err;
		dp->nr_weights++;
		dp->weight_bytes += b->bytes;
		free(b->host);
		b->host = NULL;
	}
	return 0;
}

/* Operands that name a block get its address. They lie at multiples of 8 bytes. */
static void resolve_blocks(struct cuda_plan *plan)
{
	uint64_t index, offset;

	for (uint64_t at = 0; at + sizeof(struct cuda_operand) <= plan->blob_bytes; at += 8) {
		struct cuda_operand *o = (struct cuda_operand *)(plan->blob + at);

		index = o->at >> BLOCK_SHIFT;
		offset = o->at & ((1ull << BLOCK_SHIFT) - 1);
		if (o->resv2 != plan->mark || o->place != CUDA_CONST || o->resv ||
		    index >= plan->nr_blocks || offset > plan->blocks[index].bytes)
			continue;
		o->at = cuda_weight_address(plan->dp->weights[index]) + offset;
		o->resv2 = 0;
	}
}

static int place_tasks(struct cuda_plan *plan, char *why, size_t why_bytes)
{
	struct device_program *dp = plan->dp;
	int err;

	if (!plan->blob_bytes)
		return 0;
	err = cuda_mem_take(plan->dev, plan->blob_bytes, &dp->task_mem, why, why_bytes);
	if (err)
		return err;
	resolve_blocks(plan);
	for (uint32_t i = 0; i < dp->nr_tasks; i++)
		dp->tasks[i].address += dp->task_mem.address;
	return cuda_upload(plan->dev, dp->task_mem.address, plan->blob, plan->blob_bytes);
}

static void plan_free(struct cuda_plan *plan)
{
	for (uint32_t i = 0; i < plan->nr_blocks; i++)
		free(plan->blocks[i].host);
	free(plan->blocks);
	free(plan->const_block);
	free(plan->regions);
	free(plan->ancestors);
	free(plan->blob);
}

int plan_program_steps(struct device *dev, struct device_program *dp, char *why, size_t why_bytes)
{
	const struct program *p = dp->program;
	struct cuda_plan plan = { .dev = dev, .dp = dp, .program = p };
	int err = -ENOMEM;

	snprintf(why, why_bytes, "program \"%s\": not enough memory to encode it", p->name);
	dp->slot_bytes = (p->workspace_bytes + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN;
	if (getrandom(&plan.mark, sizeof(plan.mark), 0) != sizeof(plan.mark))
		return -EIO;
	plan.mark |= 1;
	plan.const_block = calloc(p->nr_tensors ? p->nr_tensors : 1, sizeof(*plan.const_block));
	dp->steps = calloc(p->nr_steps ? p->nr_steps : 1, sizeof(*dp->steps));
	if (!plan.const_block || !dp->steps)
		goto out;
	find_ancestors(&plan);
	for (uint32_t i = 0; i < p->nr_steps; i++) {
		err = encode_step(&plan, i, why, why_bytes);
		if (err)
			goto out;
	}
	err = upload_blocks(&plan, why, why_bytes);
	if (!err)
		err = place_tasks(&plan, why, why_bytes);
out:
	plan_free(&plan);
	return err;
}
