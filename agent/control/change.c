// SPDX-License-Identifier: Apache-2.0
/*
 * The verbs that change something. They only note in the registry what is wanted; the door acts on it
 * and carries it to the dispatchers.
 */
#include <errno.h>
#include <string.h>

#include "agent/control/handler.h"

/* ---- counters ---------------------------------------------------------------------------------- */

int change_stats(const struct call *call)
{
	int err = history_reset(&call->c->history, call->c->registry, call->now_ns);

	if (err)
		return err;
	call->c->base = call->c->stats;
	answer_error(call->c, call->from, call->request, 0, "counting from zero");
	return 0;
}

/* ---- tenants ----------------------------------------------------------------------------------- */

bool call_means(const struct call *call, const struct tenant_view *t)
{
	if (call_has(call, OOO_CTL_A_TENANT_ID))
		return t->id == call->value[OOO_CTL_A_TENANT_ID];
	return !call_has(call, OOO_CTL_A_NAME) || !strcmp(t->name, call->name);
}

/* Call fn for each tenant that is meant, in one hold of the registry's lock: nobody sees a part of
 * it done. The number of them, or -errno of fn. */
static int for_those_meant(const struct call *call,
			   int (*fn)(const struct call *call, const struct tenant_view *t))
{
	struct registry *r = call->c->registry;
	bool one = call_has(call, OOO_CTL_A_TENANT_ID);
	uint64_t id = one ? call->value[OOO_CTL_A_TENANT_ID] : 0, last = one ? id : UINT32_MAX;
	struct tenant_view t;
	int n = 0, err = 0;

	while (!err && id <= last && registry_tenant_from(r, (uint32_t)id, &t)) {
		id = (uint64_t)t.id + 1;
		if (!call_means(call, &t))
			continue;
		err = fn(call, &t);
		n++;
	}
	return err ? err : n;
}

static int needs_a_tenant(const struct call *call)
{
	if (call_has(call, OOO_CTL_A_TENANT_ID) || call_has(call, OOO_CTL_A_NAME))
		return 0;
	return refuse(call->why, -EINVAL, "which tenant? Say its name or its id");
}

static int wanted_partition(const struct call *call, const struct tenant_view *t, uint32_t *out)
{
	const struct registry_device *d = &registry_agent(call->c->registry)->devices[t->device];

	*out = call->partition[0] ? registry_find_partition(d, call->partition) : 0;
	if (!call->partition[0] || *out)
		return 0;
	return refuse(call->why, -ENODEV,
		      "device %u of tenant %u has no partition '%s': see `ooo-ctl partition list`",
		      t->device, t->id, call->partition);
}

/* A value that does not fit is out of every range. */
static uint32_t narrow(uint64_t value)
{
	return value <= UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

static int wanted(const struct call *call, const struct tenant_view *t, struct tenant_params *p)
{
	const uint64_t *v = call->value;

	*p = t->params;
	if (call_has(call, OOO_CTL_A_WEIGHT))
		p->weight = narrow(v[OOO_CTL_A_WEIGHT]);
	if (call_has(call, OOO_CTL_A_CLASS))
		p->klass = v[OOO_CTL_A_CLASS] < UINT8_MAX ? (uint8_t)v[OOO_CTL_A_CLASS] : UINT8_MAX;
	if (call_has(call, OOO_CTL_A_ADMISSION))
		p->admission = v[OOO_CTL_A_ADMISSION] < UINT8_MAX ? (uint8_t)v[OOO_CTL_A_ADMISSION]
								  : UINT8_MAX;
	if (call_has(call, OOO_CTL_A_ISOLATE))
		p->isolate = v[OOO_CTL_A_ISOLATE] < UINT8_MAX ? (uint8_t)v[OOO_CTL_A_ISOLATE]
							      : UINT8_MAX;
	if (call_has(call, OOO_CTL_A_INFLIGHT))
		p->max_inflight = narrow(v[OOO_CTL_A_INFLIGHT]);
	if (call_has(call, OOO_CTL_A_RATE))
		p->rate = narrow(v[OOO_CTL_A_RATE]);
	if (call_has(call, OOO_CTL_A_SM_MIN))
		p->sm_min = narrow(v[OOO_CTL_A_SM_MIN]);
	if (call_has(call, OOO_CTL_A_SM_MAX))
		p->sm_max = narrow(v[OOO_CTL_A_SM_MAX]);
	if (call_has(call, OOO_CTL_A_SLO))
		p->slo_ns = v[OOO_CTL_A_SLO];
	if (call_has(call, OOO_CTL_A_MEMORY))
		p->memory_bytes = v[OOO_CTL_A_MEMORY];
	return call_has(call, OOO_CTL_A_PARTITION) ? wanted_partition(call, t, &p->partition) : 0;
}

static int check_one(const struct call *call, const struct tenant_view *t)
{
	struct tenant_params params;
	char why[128];
	int err = wanted(call, t, &params);

	if (err)
		return err;
	err = tenant_params_check(&params, why, sizeof(why));
	return err ? refuse(call->why, err, "tenant %u: %s", t->id, why) : 0;
}

static int set_one(const struct call *call, const struct tenant_view *t)
{
	struct tenant_params params;
	char why[128];
	int err = wanted(call, t, &params);

	if (err)
		return err;
	err = registry_set_params(call->c->registry, t->id, &params, why, sizeof(why));
	return err ? refuse(call->why, err, "tenant %u: %s", t->id, why) : 0;
}

/* Of those meant, the ones that hold more than they may from now on; under the lock. */
struct over {
	unsigned n;
	uint32_t tenant; /* the first of them */
	uint64_t bytes;
};

static void find_over(const struct call *call, struct over *over)
{
	uint64_t quota = call->value[OOO_CTL_A_MEMORY], id = 0;
	struct tenant_view t;

	while (quota && id <= UINT32_MAX &&
	       registry_tenant_from(call->c->registry, (uint32_t)id, &t)) {
		id = (uint64_t)t.id + 1;
		if (!call_means(call, &t) || t.weight_bytes + t.workspace_bytes <= quota)
			continue;
		if (!over->n++) {
			over->tenant = t.id;
			over->bytes = t.weight_bytes + t.workspace_bytes;
		}
	}
}

/* All or none: everything is checked first. */
int change_tenant(const struct call *call)
{
	uint64_t target = 1ull << OOO_CTL_A_TENANT_ID | 1ull << OOO_CTL_A_NAME;
	struct registry *r = call->c->registry;
	struct over over = { 0 };
	int n = needs_a_tenant(call);

	if (n)
		return n;
	if (!(call->has & ~target))
		return refuse(call->why, -EINVAL,
			      "nothing to set: see `ooo-ctl tenant set --help`");
	registry_lock(r);
	n = for_those_meant(call, check_one);
	if (n > 0)
		n = for_those_meant(call, set_one);
	if (n > 0)
		find_over(call, &over);
	registry_unlock(r);
	if (n <= 0)
		return n ? n : -ENOENT;
	if (over.n)
		answer_error(call->c, call->from, call->request, 0,
			     OOO_CTL_NOTE
			     "%u of %d: tenant %u holds %llu MiB, more than its new quota: what it "
			     "has stays, nothing more is loaded",
			     over.n, n, over.tenant, (unsigned long long)(over.bytes >> 20));
	else
		answer_error(call->c, call->from, call->request, 0, "set for %d tenant%s", n,
			     n == 1 ? "" : "s");
	return 0;
}

static int kick_one(const struct call *call, const struct tenant_view *t)
{
	return registry_ask_evict(call->c->registry, t->id);
}

int change_kick(const struct call *call)
{
	struct registry *r = call->c->registry;
	int n = needs_a_tenant(call);

	if (n)
		return n;
	registry_lock(r);
	n = for_those_meant(call, kick_one);
	registry_unlock(r);
	if (n <= 0)
		return n ? n : -ENOENT;
	answer_error(call->c, call->from, call->request, 0, "%d tenant%s disconnected", n,
		     n == 1 ? "" : "s");
	return 0;
}

/* ---- the agent ---------------------------------------------------------------------------------- */

static int refuse_work(const struct call *call, bool refuse)
{
	struct registry *r = call->c->registry;

	registry_lock(r);
	registry_ask_refuse(r, refuse);
	registry_unlock(r);
	answer_error(call->c, call->from, call->request, 0,
		     refuse ? "new work is refused until `ooo-ctl resume`" : "new work is taken");
	return 0;
}

int change_drain(const struct call *call)
{
	return refuse_work(call, true);
}

int change_resume(const struct call *call)
{
	return refuse_work(call, false);
}

/* The answer is out before the door begins: the socket goes along. */
int change_process(const struct call *call)
{
	struct registry *r = call->c->registry;

	answer_error(call->c, call->from, call->request, 0, "handing over to a fresh process");
	registry_lock(r);
	registry_ask_restart(r);
	registry_unlock(r);
	return 0;
}
