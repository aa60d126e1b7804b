// SPDX-License-Identifier: Apache-2.0
/* program show: the steps of programs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/control/handler.h"
#include "shared/lib/infer.h"

struct step_row {
	uint32_t tenant, index;
	const struct program_view *program;
	struct step_view step;
};

static int fill_step(struct nl_msg *msg, const void *data)
{
	const struct step_row *row = data;

	NLA_PUT_U32(msg, OOO_CTL_STEP_TENANT, row->tenant);
	NLA_PUT_STRING(msg, OOO_CTL_STEP_PROGRAM, row->program->name);
	NLA_PUT_U32(msg, OOO_CTL_STEP_INDEX, row->index);
	NLA_PUT_STRING(msg, OOO_CTL_STEP_NAME, row->step.name);
	NLA_PUT_STRING(msg, OOO_CTL_STEP_CLASS, kernel_class_name(row->step.klass));
	NLA_PUT_U32(msg, OOO_CTL_STEP_WAITS, row->step.waits);
	NLA_PUT_U64(msg, OOO_CTL_STEP_MFLOP, row->step.flops / 1000);
	NLA_PUT_U64(msg, OOO_CTL_STEP_COST, row->step.cost_ns);
	return 0;

nla_put_failure:
	return -EMSGSIZE;
}

bool program_meant(const struct call *call, const struct program_view *p)
{
	unsigned long id;
	char *end;

	if (!strcmp(p->name, call->program))
		return true;
	id = strtoul(call->program, &end, 10);
	return call->program[0] && !*end && id == p->id;
}

/* Where a dump is: tenant << 32 | program << 24 | step. */
#define STEP_BITS 24

/* The next program at or after *at that the call means; *at is its first step, or where it was. */
static bool program_from(const struct call *call, uint64_t *at, struct tenant_view *t,
			 struct program_view *p)
{
	struct registry *r = call->c->registry;
	uint64_t tenant = *at >> 32;
	uint32_t id = (uint32_t)*at >> STEP_BITS;

	while (tenant <= UINT32_MAX && registry_tenant_from(r, (uint32_t)tenant, t)) {
		id = t->id == tenant ? id : 0;
		while (visible(call, t) && call_means(call, t) &&
		       registry_program_from(r, t->id, id, p)) {
			uint64_t first = (uint64_t)t->id << 32 | (uint64_t)p->id << STEP_BITS;

			if (!call_has(call, OOO_CTL_A_PROGRAM_NAME) || program_meant(call, p)) {
				*at = *at > first ? *at : first;
				return true;
			}
			id = p->id + 1;
		}
		tenant = (uint64_t)t->id + 1;
		id = 0;
	}
	return false;
}

static bool step_from(const struct call *call, uint64_t *at, struct program_view *p,
		      struct step_row *row)
{
	const uint64_t mask = (1u << STEP_BITS) - 1;
	struct registry *r = call->c->registry;
	struct tenant_view t;
	bool found = false;

	registry_lock(r);
	while (!found && program_from(call, at, &t, p)) {
		*row = (struct step_row){ .tenant = t.id, .index = (uint32_t)(*at & mask) };
		found = registry_step(r, t.id, p->id, row->index, &row->step);
		if (!found)
			*at = (*at | mask) + 1; /* the program's end */
	}
	registry_unlock(r);
	row->program = p;
	return found;
}

int show_steps(const struct call *call)
{
	uint64_t at = call->cursor;
	struct program_view program;
	struct step_row row;
	struct answer a;
	int err = 0;

	if (!call->has_cursor && !somebody_meant(call))
		return -ENOENT;
	if (!call->has_cursor && call_has(call, OOO_CTL_A_PROGRAM_NAME) &&
	    !step_from(call, &at, &program, &row))
		return refuse(call->why, -ENOENT,
			      "there is no program '%s': see `ooo-ctl program list`",
			      call->program);
	answer_init(&a, call->c, call->from, call->request, true);
	for (; !err && step_from(call, &at, &program, &row); at += !err)
		err = answer_put(&a, OOO_CTL_A_STEP, fill_step, &row);
	if (!err || err == -ENOSPC)
		err = answer_end(&a, err ? &at : NULL);
	answer_abort(&a);
	return err == -EAGAIN ? 0 : err;
}
