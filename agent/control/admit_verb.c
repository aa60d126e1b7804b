// SPDX-License-Identifier: Apache-2.0
/* Admission of a rate, asked by an administrator or by the tenant's owner. */
#include <errno.h>
#include <string.h>

#include "agent/control/handler.h"

struct admit_row {
	uint32_t tenant;
	struct program_view program;
	double per_s;
	struct rate_view rate;
};

static int fill_admission(struct nl_msg *msg, const void *data)
{
	const struct admit_row *row = data;
	const struct rate_answer *a = &row->rate.answer;

	NLA_PUT_U32(msg, OOO_CTL_CAPACITY_TENANT, row->tenant);
	NLA_PUT_STRING(msg, OOO_CTL_CAPACITY_PROGRAM, row->program.name);
	NLA_PUT_STRING(msg, OOO_CTL_CAPACITY_ADMITTED, a->admitted ? "yes" : "no");
	NLA_PUT_U64(msg, OOO_CTL_CAPACITY_RATE, (uint64_t)(row->per_s * 1000));
	NLA_PUT_U64(msg, OOO_CTL_CAPACITY_SLO, row->rate.slo_ns);
	if (a->bound_ns != UINT64_MAX)
		NLA_PUT_U64(msg, OOO_CTL_CAPACITY_BOUND, a->bound_ns);
	NLA_PUT_U64(msg, OOO_CTL_CAPACITY_MOST, (uint64_t)(a->most_per_s * 1000));
	NLA_PUT_U64(msg, OOO_CTL_CAPACITY_SHARE, (uint64_t)(row->rate.share * 1e5));
	NLA_PUT_U64(msg, OOO_CTL_CAPACITY_WORK, row->rate.work_ns);
	NLA_PUT_U32(msg, OOO_CTL_CAPACITY_MEASURED, row->rate.measured);
	return 0;

nla_put_failure:
	return -EMSGSIZE;
}

/* The first that is meant; under the lock. */
static bool find_tenant(const struct call *call, struct tenant_view *t)
{
	uint32_t id = 0;

	while (registry_tenant_from(call->c->registry, id, t)) {
		if (call_means(call, t) && (call->admin || t->uid == call->from->uid))
			return true;
		if (t->id == UINT32_MAX)
			return false;
		id = t->id + 1;
	}
	return false;
}

/* By name, or by id if it is a number and nobody's name. */
static bool find_program(const struct call *call, uint32_t tenant, struct program_view *p)
{
	struct registry *r = call->c->registry;

	for (uint32_t at = 0; registry_program_from(r, tenant, at, p); at = p->id + 1) {
		if (!strcmp(p->name, call->program))
			return true;
	}
	for (uint32_t at = 0; registry_program_from(r, tenant, at, p); at = p->id + 1) {
		if (program_meant(call, p))
			return true;
	}
	return false;
}

static int ask(const struct call *call, struct admit_row *row)
{
	struct tenant_view t;

	if (!find_tenant(call, &t))
		return -ENOENT;
	row->tenant = t.id;
	if (!find_program(call, t.id, &row->program))
		return refuse(call->why, -ENOENT,
			      "tenant %u has no program '%s': see `ooo-ctl program list tenant %u`",
			      t.id, call->program, t.id);
	row->program.program = NULL; /* not ours once the lock is gone */
	return registry_admit_rate(call->c->registry, t.id, row->program.id, row->per_s,
				   call->value[OOO_CTL_A_SLO], &row->rate);
}

int admit_ask(const struct call *call)
{
	struct admit_row row = { .per_s = (double)call->value[OOO_CTL_A_RATE] };
	int err;

	if (!call_has(call, OOO_CTL_A_TENANT_ID) && !call_has(call, OOO_CTL_A_NAME))
		return refuse(call->why, -EINVAL, "which tenant? Say its name or its id");
	if (!call_has(call, OOO_CTL_A_PROGRAM_NAME) || !row.per_s)
		return refuse(call->why, -EINVAL, "which program, and how many requests a second?");
	registry_lock(call->c->registry);
	err = ask(call, &row);
	registry_unlock(call->c->registry);
	return err ? err : answer_one(call, OOO_CTL_A_CAPACITY, fill_admission, &row);
}
