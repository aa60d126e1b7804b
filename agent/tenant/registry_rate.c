// SPDX-License-Identifier: Apache-2.0
/* Admission of a rate, from what the dispatchers learned and what tenants used of late. */
#include <errno.h>
#include <string.h>

#include "agent/policy/policy.h"
#include "agent/tenant/registry.h"

#define MAX_PEERS 4096 /* beyond, the rest counts as one */

void registry_tick_use(struct registry_entry *e, uint64_t now_ns)
{
	uint64_t used = stat_read(&e->tenant->meter.device_ns);
	struct tenant_use *u = &e->watch.use;

	if (u->at_ns && now_ns > u->at_ns)
		u->lanes = (double)(used - u->device_ns) / (double)(now_ns - u->at_ns);
	u->at_ns = now_ns;
	u->device_ns = used;
}

/* Those who share its processors. */
static bool competes(const struct registry_entry *a, const struct registry_entry *b)
{
	return a != b && a->tenant->device == b->tenant->device &&
	       a->params.partition == b->params.partition;
}

static double share_of(const struct registry *r, const struct registry_entry *of)
{
	static struct rate_peer peers[MAX_PEERS]; /* the lock is held */
	double all = of->watch.use.lanes;
	unsigned nr = 0;

	for (const struct registry_entry *e = r->head; e; e = e->next) {
		struct rate_peer p = { e->watch.use.lanes, policy_weight(&e->params) };

		if (!competes(e, of))
			continue;
		all += p.use;
		if (nr < MAX_PEERS) {
			peers[nr++] = p;
			continue;
		}
		peers[nr - 1].use += p.use;
		peers[nr - 1].weight += p.weight;
	}
	/* Lanes that are busy at the same time share the device. */
	for (unsigned i = 0; all > 1 && i < nr; i++)
		peers[i].use /= all;
	return rate_share(peers, nr, policy_weight(&of->params));
}

/* With what it was seen to make of its width when it had enough to do. */
static double side_by_side(const struct registry_device *d)
{
	double n = d->caps->width ? d->caps->width : d->caps->threads;
	uint64_t spread = d->stats ? stat_read(&d->stats->spread) : 0;

	if (spread)
		n = n * 1024 / (double)spread;
	return n > 1 ? n : 1;
}

int registry_admit_rate(const struct registry *r, uint32_t tenant, uint32_t program, double per_s,
			uint64_t slo_ns, struct rate_view *out)
{
	const struct registry_entry *e = r->head;
	const struct registry_device *d;
	const struct program_inst *inst;
	struct rate_ask ask;

	while (e && e->tenant->id != tenant)
		e = e->next;
	inst = e && program < TENANT_MAX_PROGRAMS ? e->programs[program] : NULL;
	if (!inst)
		return -ENOENT;
	d = &r->agent.devices[e->tenant->device];
	ask = (struct rate_ask){
		.per_s = per_s,
		.slo_ns = slo_ns ? slo_ns : e->params.slo_ns,
		.work_ns = stat_read(&inst->work_ns),
		.blocked_ns = d->config->runahead_us * 1000ull + d->caps->launch_ns,
		.side_by_side = side_by_side(d),
		.share = share_of(r, e),
	};
	ask.path_ns = program_path_ns(inst, ask.work_ns);
	*out = (struct rate_view){
		.answer = rate_admit(&ask),
		.share = ask.share,
		.slo_ns = ask.slo_ns,
		.work_ns = ask.work_ns,
		.measured = __atomic_load_n(&inst->nr_measured, __ATOMIC_RELAXED),
	};
	if (e->params.rate && out->answer.most_per_s > e->params.rate)
		out->answer.most_per_s = e->params.rate;
	out->answer.admitted = per_s <= out->answer.most_per_s;
	return 0;
}
