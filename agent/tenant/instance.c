/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/tenant/object.h"

/* Dependency state of every slot and the learned costs: all that the window needs, so that it
 * never allocates. One step more than there are, because calloc(0) may be NULL. */
static int make_state(struct program_inst *inst)
{
	size_t n = inst->program->nr_steps + 1;

	inst->deps_init = calloc(n, sizeof(*inst->deps_init));
	inst->klass = calloc(n, sizeof(*inst->klass));
	inst->cost_ns = calloc(n, sizeof(*inst->cost_ns));
	if (!inst->deps_init || !inst->klass || !inst->cost_ns)
		return -ENOMEM;
	for (uint32_t i = 0; i < inst->nr_slots; i++) {
		struct slot_state *s = &inst->slots[i];

		s->deps_left = calloc(n, sizeof(*s->deps_left));
		s->ready = calloc(n, sizeof(*s->ready));
		if (!s->deps_left || !s->ready)
			return -ENOMEM;
		inst->free_slots[inst->nr_free_slots++] = inst->nr_slots - 1 - i;
	}
	return 0;
}

/* Steps stand behind those that they wait for. 0: no memory, or no work. */
static uint32_t longest_path(const struct program *p, uint64_t work_ns)
{
	uint64_t *begin = calloc(p->nr_steps + 1, sizeof(*begin)), longest = 0, share;

	for (uint32_t i = 0; begin && i < p->nr_steps; i++) {
		const struct step *s = &p->steps[i];
		uint64_t end = begin[i] + s->cost_ns;

		for (uint32_t k = 0; k < s->nr_succ; k++) {
			if (begin[s->succ[k]] < end)
				begin[s->succ[k]] = end;
		}
		if (end > longest)
			longest = end;
	}
	free(begin);
	if (!work_ns)
		return 0;
	share = longest * 1024 / work_ns;
	return (uint32_t)(share * work_ns < longest * 1024 ? share + 1 : share);
}

static int fill_state(struct program_inst *inst, char *why, size_t why_bytes)
{
	const struct program *p = inst->program;

	for (uint32_t i = 0; i < p->nr_steps; i++) {
		if (p->steps[i].nr_deps > UINT16_MAX) {
			snprintf(why, why_bytes,
				 "program \"%s\": step \"%s\" waits for %u others, more than %u",
				 p->name, p->steps[i].name, p->steps[i].nr_deps,
				 (unsigned)UINT16_MAX);
			return -E2BIG;
		}
		inst->deps_init[i] = (uint16_t)p->steps[i].nr_deps;
		inst->klass[i] = p->steps[i].klass;
		inst->cost_ns[i] = p->steps[i].cost_ns;
		inst->work_ns += p->steps[i].cost_ns;
	}
	inst->path_share = longest_path(p, inst->work_ns);
	return 0;
}

static uint64_t io_bytes(const struct program *p, const uint32_t *ids, uint32_t nr)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < nr; i++)
		bytes += p->tensors[ids[i]].bytes;
	return bytes;
}

int program_inst_new(struct tenant *t, uint32_t id, const struct program *program,
		     struct device_program *dp, unsigned nr_slots, struct program_inst **out,
		     char *why, size_t why_bytes)
{
	struct program_inst *inst = calloc(1, sizeof(*inst));
	int err;

	if (!inst)
		goto no_memory;
	inst->id = id;
	inst->fd = -1;
	inst->tenant = t;
	inst->program = program;
	inst->dp = dp;
	inst->input_bytes = io_bytes(program, program->inputs, program->nr_inputs);
	inst->output_bytes = io_bytes(program, program->outputs, program->nr_outputs);
	inst->nr_slots = nr_slots < PROGRAM_MAX_SLOTS ? nr_slots : PROGRAM_MAX_SLOTS;
	if (make_state(inst))
		goto no_memory;
	err = fill_state(inst, why, why_bytes);
	if (err) {
		program_inst_free(inst);
		return err;
	}
	*out = inst;
	return 0;

no_memory:
	program_inst_free(inst);
	snprintf(why, why_bytes, "program \"%s\": no memory for its requests' state",
		 program->name);
	return -ENOMEM;
}

void program_inst_classify(struct program_inst *inst, const struct device_ops *ops)
{
	if (!ops->step_class)
		return;
	for (uint32_t i = 0; i < inst->program->nr_steps; i++)
		inst->klass[i] = ops->step_class(inst->dp, i);
}

void program_inst_free(struct program_inst *inst)
{
	if (!inst)
		return;
	for (uint32_t i = 0; i < inst->nr_slots; i++) {
		free(inst->slots[i].deps_left);
		free(inst->slots[i].ready);
	}
	free(inst->deps_init);
	free(inst->klass);
	free(inst->cost_ns);
	free(inst);
}
