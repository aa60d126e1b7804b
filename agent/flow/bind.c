// SPDX-License-Identifier: Apache-2.0
/*
 * Bind: resolve the ids of a copied submission to agent-owned things. Every address was validated
 * when the program was loaded and the binding made; here ids only select among them.
 */
#include "agent/flow/flow.h"

static enum ooo_status resolve(struct dispatcher *d, struct request *r, struct program_inst **out)
{
	struct tenant *t = r->tenant;
	struct program_inst *inst;

	if (d->draining)
		return OOO_DRAINING;
	if (d->gone)
		return OOO_DEVICE_GONE;
	if (r->program_id >= TENANT_MAX_PROGRAMS)
		return OOO_NO_PROGRAM;
	inst = t->programs[r->program_id];
	if (!inst)
		return OOO_NO_PROGRAM;
	if (r->binding_id >= PROGRAM_MAX_BINDINGS || !inst->bindings[r->binding_id])
		return OOO_NO_BINDING;
	if (r->deadline_ns && r->deadline_ns <= d->now_ns)
		return OOO_REFUSED;
	*out = inst;
	return OOO_OK;
}

static enum ooo_status bind_request(struct dispatcher *d, struct request *r)
{
	enum ooo_status status = resolve(d, r, &r->inst);

	if (status == OOO_OK)
		status = admit_request(d, r);
	if (status != OOO_OK) {
		r->inst = NULL; /* it holds nothing */
		return status;
	}
	r->binding = r->inst->bindings[r->binding_id];
	r->inst->inflight++;
	r->inst->binding_inflight[r->binding_id]++;
	stat_add(&r->inst->requests, 1);
	admit_bound(d, r);
	return OOO_OK;
}

bool bind_run(struct dispatcher *d)
{
	struct request *r;
	bool did = false;

	admit_expire(d);
	while ((r = queue_pop(&d->fetched))) {
		did = true;
		if (!r->dead) /* cancelled or its tenant dropped since it was fetched */
			r->status = bind_request(d, r);
		if (r->status == OOO_OK)
			queue_push(&d->bound, r);
		else
			retire_request(d, r);
	}
	return did;
}
