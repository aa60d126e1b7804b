// SPDX-License-Identifier: Apache-2.0
/*
 * Bind: resolve the ids of a copied submission to agent-owned things. Every address was validated
 * when the program was loaded and the binding made; here ids only select among them.
 */
#include "agent/flow/flow.h"

static enum ooo_status resolve(struct dispatcher *d, struct request *r)
{
	struct tenant *t = r->tenant;
	struct program_inst *inst;

	if (d->draining)
		return OOO_DRAINING;
	if (r->program_id >= TENANT_MAX_PROGRAMS)
		return OOO_NO_PROGRAM;
	inst = t->programs[r->program_id];
	if (!inst)
		return OOO_NO_PROGRAM;
	if (r->binding_id >= PROGRAM_MAX_BINDINGS || !inst->bindings[r->binding_id])
		return OOO_NO_BINDING;
	if (r->deadline_ns && r->deadline_ns <= d->now_ns)
		return OOO_REFUSED;
	r->inst = inst;
	r->binding = inst->bindings[r->binding_id];
	return OOO_OK;
}

bool bind_run(struct dispatcher *d)
{
	struct request *r;
	bool did = false;

	while ((r = queue_pop(&d->fetched))) {
		did = true;
		if (r->dead) { /* cancelled or its tenant dropped since it was fetched */
			retire_request(d, r);
			continue;
		}
		r->status = resolve(d, r);
		if (r->status != OOO_OK) {
			retire_request(d, r);
			continue;
		}
		r->inst->inflight++;
		r->inst->binding_inflight[r->binding_id]++;
		stat_add(&r->inst->requests, 1);
		queue_push(&d->bound, r);
	}
	return did;
}
