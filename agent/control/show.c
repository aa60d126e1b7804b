// SPDX-License-Identifier: Apache-2.0
/*
 * The verbs that show tenants and what they do. Each copies what it needs out of the registry under its lock, one record at a
 * time, and formats without it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/control/handler.h"

/* ---- tenants --------------------------------------------------------------------------------- */

struct tenant_row {
	const struct registry_agent *agent; /* for what is constant */
	struct tenant_view view;
	struct tenant_stats total; /* since it connected */
	struct tenant_stats since; /* the last reset */
	uint64_t now_ns;
	uint64_t p50_ns, p99_ns; /* of late */
	struct pressure_view stalled;
	char partition[DEVICE_PARTITION_NAME]; /* "": none */
};

/* Under the lock. */
static void copy_partition(const struct registry_agent *agent, const struct tenant_view *t,
			   char out[DEVICE_PARTITION_NAME])
{
	uint32_t at = t->params.partition;

	out[0] = 0;
	if (at)
		memcpy(out, agent->devices[t->device].partition[at - 1].name,
		       DEVICE_PARTITION_NAME);
}

static bool tenant_row_from(const struct call *call, uint32_t id, struct tenant_row *row)
{
	struct registry *registry = call->c->registry;
	bool found;

	registry_lock(registry);
	found = registry_tenant_from(registry, id, &row->view);
	if (found) {
		row->total.submitted = stat_read(&row->view.stats->submitted);
		row->total.completed = stat_read(&row->view.stats->completed);
		row->total.kept = stat_read(&row->view.stats->kept);
		row->total.broken = stat_read(&row->view.stats->broken);
		history_tenant(&call->c->history, &row->view, &row->since);
		row->p50_ns = latency_percentile(&row->view.watch->latency, 0.50);
		row->p99_ns = latency_percentile(&row->view.watch->latency, 0.99);
		row->stalled = row->view.watch->stalled;
		copy_partition(registry_agent(registry), &row->view, row->partition);
	}
	registry_unlock(registry);
	row->view.stats = NULL;
	row->view.watch = NULL;
	row->view.stalled = NULL;
	row->agent = registry_agent(registry);
	row->now_ns = call->now_ns;
	return found;
}

bool visible(const struct call *call, const struct tenant_view *t)
{
	return call->admin || t->uid == call->from->uid;
}

static int fill_tenant(struct nl_msg *msg, const void *data)
{
	const struct tenant_row *row = data;
	const struct tenant_view *t = &row->view;
	/* Read one after the other: the second may be ahead. */
	uint64_t inflight = row->total.submitted > row->total.completed
				    ? row->total.submitted - row->total.completed
				    : 0;

	NLA_PUT_U32(msg, OOO_CTL_TENANT_ID, t->id);
	NLA_PUT_STRING(msg, OOO_CTL_TENANT_NAME, t->name);
	NLA_PUT_U32(msg, OOO_CTL_TENANT_USER, t->uid);
	NLA_PUT_U32(msg, OOO_CTL_TENANT_PID, (uint32_t)t->pid);
	NLA_PUT_U64(msg, OOO_CTL_TENANT_AGE,
		    row->now_ns > t->connected_ns ? row->now_ns - t->connected_ns : 0);
	NLA_PUT_U32(msg, OOO_CTL_TENANT_WEIGHT, t->params.weight);
	NLA_PUT_U32(msg, OOO_CTL_TENANT_PROGRAMS, t->nr_programs);
	NLA_PUT_U32(msg, OOO_CTL_TENANT_RING, t->sq_entries);
	NLA_PUT_U64(msg, OOO_CTL_TENANT_INFLIGHT, inflight);
	NLA_PUT_U64(msg, OOO_CTL_TENANT_COMPLETED, row->total.completed);
	NLA_PUT_U64(msg, OOO_CTL_TENANT_ARENA, t->arena_bytes);
	NLA_PUT_U64(msg, OOO_CTL_TENANT_WEIGHTS, t->weight_bytes);
	NLA_PUT_U64(msg, OOO_CTL_TENANT_WORKSPACE, t->workspace_bytes);
	NLA_PUT_U64(msg, OOO_CTL_TENANT_WEIGHTS_MAX, row->agent->max_weight_bytes);
	NLA_PUT_U64(msg, OOO_CTL_TENANT_WORKSPACE_MAX, row->agent->max_workspace_bytes);
	NLA_PUT_U32(msg, OOO_CTL_TENANT_DEVICE, t->device);
	NLA_PUT_U32(msg, OOO_CTL_TENANT_PLACE, t->params.partition);
	NLA_PUT_STRING(msg, OOO_CTL_TENANT_PARTITION, row->partition);
	NLA_PUT_STRING(msg, OOO_CTL_TENANT_CLASS, tenant_class_names[t->params.klass]);
	return 0;

nla_put_failure:
	return -EMSGSIZE;
}

/* The part of a dump that goes over tenants, from the call's cursor on. */
static int dump_tenants(const struct call *call, struct answer *r, enum ooo_ctl_attr group,
			fill_fn fill)
{
	struct tenant_row row;
	uint64_t id = call->cursor;
	int err = 0;

	while (id <= UINT32_MAX && tenant_row_from(call, (uint32_t)id, &row)) {
		id = row.view.id;
		if (visible(call, &row.view) && call_means(call, &row.view))
			err = answer_put(r, group, fill, &row);
		if (err)
			break;
		id++;
	}
	if (!err || err == -ENOSPC)
		err = answer_end(r, err ? &id : NULL);
	answer_abort(r);
	return err == -EAGAIN ? 0 : err;
}

static int fill_params(struct nl_msg *msg, const void *data)
{
	const struct tenant_row *row = data;
	const struct tenant_params *p = &row->view.params;

	NLA_PUT_U32(msg, OOO_CTL_PARAMS_TENANT, row->view.id);
	NLA_PUT_STRING(msg, OOO_CTL_PARAMS_NAME, row->view.name);
	NLA_PUT_U32(msg, OOO_CTL_PARAMS_WEIGHT, p->weight);
	NLA_PUT_STRING(msg, OOO_CTL_PARAMS_CLASS, tenant_class_names[p->klass]);
	NLA_PUT_U64(msg, OOO_CTL_PARAMS_SLO, p->slo_ns);
	NLA_PUT_STRING(msg, OOO_CTL_PARAMS_ADMISSION, tenant_admission_names[p->admission]);
	NLA_PUT_U32(msg, OOO_CTL_PARAMS_INFLIGHT, p->max_inflight);
	NLA_PUT_U32(msg, OOO_CTL_PARAMS_RATE, p->rate);
	NLA_PUT_U64(msg, OOO_CTL_PARAMS_SM_MIN, p->sm_min * 100ull);
	NLA_PUT_U64(msg, OOO_CTL_PARAMS_SM_MAX, p->sm_max * 100ull);
	NLA_PUT_STRING(msg, OOO_CTL_PARAMS_PARTITION, row->partition);
	NLA_PUT_STRING(msg, OOO_CTL_PARAMS_ISOLATE, tenant_isolate_names[p->isolate]);
	NLA_PUT_U64(msg, OOO_CTL_PARAMS_MEMORY, p->memory_bytes);
	NLA_PUT_U64(msg, OOO_CTL_PARAMS_KEPT, row->total.kept);
	NLA_PUT_U64(msg, OOO_CTL_PARAMS_BROKEN, row->total.broken);
	NLA_PUT_U64(msg, OOO_CTL_PARAMS_MEMORY_USED,
		    row->view.weight_bytes + row->view.workspace_bytes);
	return 0;

nla_put_failure:
	return -EMSGSIZE;
}

bool somebody_meant(const struct call *call)
{
	struct tenant_row row;

	if (!call_has(call, OOO_CTL_A_TENANT_ID) && !call_has(call, OOO_CTL_A_NAME))
		return true;
	for (uint64_t id = 0; id <= UINT32_MAX && tenant_row_from(call, (uint32_t)id, &row);
	     id = (uint64_t)row.view.id + 1)
		if (visible(call, &row.view) && call_means(call, &row.view))
			return true;
	return false;
}

int show_params(const struct call *call)
{
	struct answer r;

	if (!call->has_cursor && !somebody_meant(call))
		return -ENOENT;
	answer_init(&r, call->c, call->from, call->request, true);
	return dump_tenants(call, &r, OOO_CTL_A_PARAMS, fill_params);
}

int show_tenants(const struct call *call)
{
	struct answer r;

	answer_init(&r, call->c, call->from, call->request, true);
	return dump_tenants(call, &r, OOO_CTL_A_TENANT, fill_tenant);
}

/* ---- programs -------------------------------------------------------------------------------- */

struct program_row {
	uint32_t tenant;
	struct program_view view;
};

static int fill_program(struct nl_msg *msg, const void *data)
{
	const struct program_row *row = data;
	const struct program_view *p = &row->view;

	NLA_PUT_U32(msg, OOO_CTL_PROGRAM_TENANT, row->tenant);
	NLA_PUT_U32(msg, OOO_CTL_PROGRAM_ID, p->id);
	NLA_PUT_STRING(msg, OOO_CTL_PROGRAM_NAME, p->name);
	NLA_PUT_U32(msg, OOO_CTL_PROGRAM_OPS, p->nr_ops);
	NLA_PUT_U32(msg, OOO_CTL_PROGRAM_STEPS, p->nr_steps);
	NLA_PUT_U32(msg, OOO_CTL_PROGRAM_BINDINGS, p->nr_bindings);
	NLA_PUT_U32(msg, OOO_CTL_PROGRAM_SLOTS, p->slots);
	NLA_PUT_U64(msg, OOO_CTL_PROGRAM_REQUESTS, p->requests);
	NLA_PUT_U64(msg, OOO_CTL_PROGRAM_WEIGHTS, p->weight_bytes);
	NLA_PUT_U64(msg, OOO_CTL_PROGRAM_WORKSPACE, p->workspace_bytes);
	NLA_PUT_STRING(msg, OOO_CTL_PROGRAM_PRECISION, dtype_name(p->precision));
	return 0;

nla_put_failure:
	return -EMSGSIZE;
}

/* The next program at or after *at (tenant << 32 | program) that the sender may see. */
static bool program_row_from(const struct call *call, uint64_t *at, struct program_row *row)
{
	struct registry *registry = call->c->registry;
	uint32_t id = (uint32_t)*at;
	struct tenant_view t;
	bool found = false;

	registry_lock(registry);
	for (uint64_t tenant = *at >> 32; tenant <= UINT32_MAX; tenant++, id = 0) {
		if (!registry_tenant_from(registry, (uint32_t)tenant, &t))
			break;
		if (t.id != tenant)
			id = 0;
		tenant = t.id;
		found = visible(call, &t) && call_means(call, &t) &&
			registry_program_from(registry, t.id, id, &row->view);
		if (found)
			break;
	}
	registry_unlock(registry);
	if (!found)
		return false;
	row->view.program = NULL;
	row->tenant = t.id;
	*at = (uint64_t)t.id << 32 | row->view.id;
	return true;
}

int show_programs(const struct call *call)
{
	uint64_t at = call->cursor;
	struct program_row row;
	struct answer r;
	int err = 0;

	if (!call->has_cursor && !somebody_meant(call))
		return -ENOENT;
	answer_init(&r, call->c, call->from, call->request, true);
	for (; program_row_from(call, &at, &row); at++) {
		err = answer_put(&r, OOO_CTL_A_PROGRAM, fill_program, &row);
		if (err)
			break;
	}
	if (!err || err == -ENOSPC)
		err = answer_end(&r, err ? &at : NULL);
	answer_abort(&r);
	return err == -EAGAIN ? 0 : err;
}

/* ---- stats ----------------------------------------------------------------------------------- */

struct dispatcher_row {
	const struct control *c;
	struct turn_stats stats;
	uint64_t since_ns;
	uint32_t lanes;
};

static int fill_dispatcher(struct nl_msg *msg, const void *data)
{
	const struct dispatcher_row *row = data;
	const struct turn_stats *s = &row->stats;
	const struct control_stats *ctl = &row->c->stats, *base = &row->c->base;

	NLA_PUT_U64(msg, OOO_CTL_DISPATCHER_SINCE, row->since_ns);
	NLA_PUT_U64(msg, OOO_CTL_DISPATCHER_TURNS, s->turns);
	NLA_PUT_U64(msg, OOO_CTL_DISPATCHER_SLEEPS, s->sleeps);
	NLA_PUT_U64(msg, OOO_CTL_DISPATCHER_WAKEUPS, s->wakeups);
	NLA_PUT_U64(msg, OOO_CTL_DISPATCHER_REQUESTS, s->requests);
	NLA_PUT_U64(msg, OOO_CTL_DISPATCHER_BUNDLES, s->bundles);
	NLA_PUT_U64(msg, OOO_CTL_DISPATCHER_ITEMS, s->items);
	NLA_PUT_U64(msg, OOO_CTL_DISPATCHER_SHARED, s->shared_bundles);
	NLA_PUT_U64(msg, OOO_CTL_DISPATCHER_MERGED, s->merged_items);
	NLA_PUT_U64(msg, OOO_CTL_DISPATCHER_BUSY, s->busy_ns);
	NLA_PUT_U64(msg, OOO_CTL_DISPATCHER_SERVICE, s->service_ns);
	NLA_PUT_U64(msg, OOO_CTL_DISPATCHER_HOLDS, s->runahead_holds);
	NLA_PUT_U64(msg, OOO_CTL_DISPATCHER_ERRORS, s->errors);
	NLA_PUT_U64(msg, OOO_CTL_DISPATCHER_DROPS, s->drops);
	NLA_PUT_U32(msg, OOO_CTL_DISPATCHER_LANES, row->lanes);
	NLA_PUT_U64(msg, OOO_CTL_DISPATCHER_CTL_CALLS, ctl->calls - base->calls);
	NLA_PUT_U64(msg, OOO_CTL_DISPATCHER_CTL_ERRORS, ctl->errors - base->errors);
	NLA_PUT_U64(msg, OOO_CTL_DISPATCHER_CTL_DROPS, ctl->drops - base->drops);
	return 0;

nla_put_failure:
	return -EMSGSIZE;
}

static int fill_usage(struct nl_msg *msg, const void *data)
{
	const struct tenant_row *row = data;
	const struct tenant_stats *s = &row->since;

	NLA_PUT_U32(msg, OOO_CTL_USAGE_TENANT, row->view.id);
	NLA_PUT_STRING(msg, OOO_CTL_USAGE_NAME, row->view.name);
	NLA_PUT_U64(msg, OOO_CTL_USAGE_SUBMITTED, s->submitted);
	NLA_PUT_U64(msg, OOO_CTL_USAGE_COMPLETED, s->completed);
	NLA_PUT_U64(msg, OOO_CTL_USAGE_FAILED, s->failed);
	NLA_PUT_U64(msg, OOO_CTL_USAGE_LATE, s->late);
	NLA_PUT_U64(msg, OOO_CTL_USAGE_REFUSED, s->refused);
	NLA_PUT_U64(msg, OOO_CTL_USAGE_CANCELLED, s->cancelled);
	NLA_PUT_U64(msg, OOO_CTL_USAGE_STEPS, s->steps);
	NLA_PUT_U64(msg, OOO_CTL_USAGE_BUNDLES, s->bundles);
	NLA_PUT_U64(msg, OOO_CTL_USAGE_SERVICE, s->service_ns);
	NLA_PUT_U64(msg, OOO_CTL_USAGE_WAKEUPS, s->wakeups);
	NLA_PUT_U64(msg, OOO_CTL_USAGE_WIDTH_SUM, s->width_sum);
	NLA_PUT_U64(msg, OOO_CTL_USAGE_LATENCY_SUM, s->latency_ns_sum);
	NLA_PUT_U64(msg, OOO_CTL_USAGE_P50, row->p50_ns / 1000);
	NLA_PUT_U64(msg, OOO_CTL_USAGE_P99, row->p99_ns / 1000);
	NLA_PUT_U64(msg, OOO_CTL_USAGE_SLO, row->view.params.slo_ns / 1000);
	NLA_PUT_U64(msg, OOO_CTL_USAGE_STALLED,
		    (uint64_t)(row->stalled.some_avg[PRESSURE_10S] * 1e5));
	NLA_PUT_U64(msg, OOO_CTL_USAGE_STALLED_FULL,
		    (uint64_t)(row->stalled.full_avg[PRESSURE_10S] * 1e5));
	NLA_PUT_U64(msg, OOO_CTL_USAGE_PROMISED, s->promised);
	NLA_PUT_U64(msg, OOO_CTL_USAGE_BROKEN, s->broken);
	NLA_PUT_U64(msg, OOO_CTL_USAGE_SLO_MISSED, s->slo_missed);
	return 0;

nla_put_failure:
	return -EMSGSIZE;
}

int show_stats(const struct call *call)
{
	struct dispatcher_row row = { .c = call->c };
	struct answer r;
	int err = 0;

	answer_init(&r, call->c, call->from, call->request, true);
	if (!call->has_cursor) {
		row.lanes = agent_lanes(registry_agent(call->c->registry));
		history_since_reset(&call->c->history, call->now_ns, &row.stats, &row.since_ns);
		err = answer_put(&r, OOO_CTL_A_DISPATCHER, fill_dispatcher, &row);
	}
	if (!err)
		return dump_tenants(call, &r, OOO_CTL_A_USAGE, fill_usage);
	answer_abort(&r);
	return err;
}
