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
	inst->cost_ns = calloc(n, sizeof(*inst->cost_ns));
	if (!inst->deps_init || !inst->cost_ns)
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
		inst->cost_ns[i] = p->steps[i].cost_ns;
	}
	return 0;
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
	inst->tenant = t;
	inst->program = program;
	inst->dp = dp;
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

void program_inst_free(struct program_inst *inst)
{
	if (!inst)
		return;
	for (uint32_t i = 0; i < inst->nr_slots; i++) {
		free(inst->slots[i].deps_left);
		free(inst->slots[i].ready);
	}
	free(inst->deps_init);
	free(inst->cost_ns);
	free(inst);
}
