// SPDX-License-Identifier: Apache-2.0
/*
 * The verbs that show. Each copies what it needs out of the registry under its lock, one record at a
 * time, and formats without it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/control/handler.h"

/* ---- status ---------------------------------------------------------------------------------- */

struct status {
	const struct control *c;
	uint64_t now_ns;
	struct registry_agent agent;
	struct turn_stats recent;
	uint64_t window_ns;
	uint32_t programs;
	uint64_t weight_bytes, workspace_bytes, arena_bytes, resident_bytes;
};

static int add_tenant(const struct tenant_view *t, void *arg)
{
	struct status *s = arg;

	s->programs += t->nr_programs;
	s->weight_bytes += t->weight_bytes;
	s->workspace_bytes += t->workspace_bytes;
	s->arena_bytes += t->arena_bytes;
	return 0;
}

/* 0 if the kernel does not say. */
static uint64_t resident_bytes(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f)
		return 0;
	if (fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	fclose(f);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* part / whole in thousandths; 0 of nothing. */
static uint64_t milli(uint64_t part, uint64_t whole)
{
	return whole ? (uint64_t)((double)part * 1000 / (double)whole + 0.5) : 0;
}

static int fill_status(struct nl_msg *msg, const void *data)
{
	const struct status *s = data;
	const struct registry_agent *a = &s->agent;
	const struct turn_stats *t = &s->recent;
	uint64_t lanes = a->caps->nr_lanes ? a->caps->nr_lanes : 1;

	NLA_PUT_STRING(msg, OOO_CTL_STATUS_VERSION, OOO_RELEASE);
	NLA_PUT_U32(msg, OOO_CTL_STATUS_PID, (uint32_t)a->pid);
	NLA_PUT_U32(msg, OOO_CTL_STATUS_USER, s->c->permit.agent_uid);
	NLA_PUT_U64(msg, OOO_CTL_STATUS_AGENT_ID, a->agent_id);
	NLA_PUT_U64(msg, OOO_CTL_STATUS_UPTIME, s->now_ns - a->start_ns);
	NLA_PUT_U8(msg, OOO_CTL_STATUS_DRAINING, a->draining);
	NLA_PUT_STRING(msg, OOO_CTL_STATUS_DEVICE, a->caps->name);
	NLA_PUT_STRING(msg, OOO_CTL_STATUS_DEVICE_WHY, a->device_why ? a->device_why : "");
	NLA_PUT_U32(msg, OOO_CTL_STATUS_TENANTS, a->nr_tenants);
	NLA_PUT_U32(msg, OOO_CTL_STATUS_TENANTS_MAX, a->max_tenants);
	NLA_PUT_U64(msg, OOO_CTL_STATUS_TENANTS_TOTAL, a->tenants_total);
	NLA_PUT_U32(msg, OOO_CTL_STATUS_PROGRAMS, s->programs);
	NLA_PUT_U64(msg, OOO_CTL_STATUS_WINDOW, s->window_ns);
	NLA_PUT_U64(msg, OOO_CTL_STATUS_REQUESTS_RATE,
		    milli(t->requests * 1000000000ull, s->window_ns));
	NLA_PUT_U64(msg, OOO_CTL_STATUS_MEAN_WIDTH, milli(t->items, t->bundles));
	NLA_PUT_U64(msg, OOO_CTL_STATUS_BUSY, milli(t->busy_ns * 100, s->window_ns * lanes));
	NLA_PUT_U64(msg, OOO_CTL_STATUS_WEIGHTS, s->weight_bytes);
	NLA_PUT_U64(msg, OOO_CTL_STATUS_WORKSPACE, s->workspace_bytes);
	NLA_PUT_U64(msg, OOO_CTL_STATUS_ARENAS, s->arena_bytes);
	NLA_PUT_U64(msg, OOO_CTL_STATUS_RSS, s->resident_bytes);
	NLA_PUT_STRING(msg, OOO_CTL_STATUS_SOCKET, a->socket_path ? a->socket_path : "");
	return 0;

nla_put_failure:
	return -EMSGSIZE;
}

/* An answer of one record. */
static int answer_one(const struct call *call, enum ooo_ctl_attr group, fill_fn fill,
		      const void *data, bool multi)
{
	struct answer r;
	int err;

	answer_init(&r, call->c, call->from, call->request, multi);
	err = answer_put(&r, group, fill, data);
	if (!err)
		err = answer_end(&r, NULL);
	answer_abort(&r);
	return err == -EAGAIN ? 0 : err;
}

int show_status(const struct call *call)
{
	struct registry *registry = call->c->registry;
	struct status s = { .c = call->c, .now_ns = call->now_ns };

	registry_lock(registry);
	s.agent = *registry_agent(registry);
	registry_for_each_tenant(registry, add_tenant, &s);
	registry_unlock(registry);
	s.resident_bytes = resident_bytes();
	history_recent(&call->c->history, call->now_ns, &s.recent, &s.window_ns);
	return answer_one(call, OOO_CTL_A_STATUS, fill_status, &s, false);
}

/* ---- devices --------------------------------------------------------------------------------- */

static int fill_device(struct nl_msg *msg, const void *data)
{
	const struct device_caps *caps = data;

	NLA_PUT_STRING(msg, OOO_CTL_DEVICE_NAME, caps->name);
	NLA_PUT_U32(msg, OOO_CTL_DEVICE_THREADS, caps->threads);
	NLA_PUT_U32(msg, OOO_CTL_DEVICE_LANES, caps->nr_lanes);
	NLA_PUT_U32(msg, OOO_CTL_DEVICE_LANE_DEPTH, caps->lane_depth);
	NLA_PUT_U32(msg, OOO_CTL_DEVICE_MAX_WIDTH, caps->max_items);
	NLA_PUT_U8(msg, OOO_CTL_DEVICE_MIXED, caps->mixed_classes);
	NLA_PUT_U8(msg, OOO_CTL_DEVICE_EXECUTES, caps->executes);
	NLA_PUT_U8(msg, OOO_CTL_DEVICE_VIRTUAL_CLOCK, caps->virtual_clock);
	NLA_PUT_U64(msg, OOO_CTL_DEVICE_GFLOPS, (uint64_t)(caps->flops_per_ns * 1000 + 0.5));
	NLA_PUT_U64(msg, OOO_CTL_DEVICE_GBYTES, (uint64_t)(caps->bytes_per_ns * 1000 + 0.5));
	NLA_PUT_STRING(msg, OOO_CTL_DEVICE_DESCRIPTION, caps->description);
	return 0;

nla_put_failure:
	return -EMSGSIZE;
}

/* One device a process: its description does not change, so no lock. */
int show_devices(const struct call *call)
{
	return answer_one(call, OOO_CTL_A_DEVICE, fill_device,
			  registry_agent(call->c->registry)->caps, true);
}

/* ---- tenants --------------------------------------------------------------------------------- */

struct tenant_row {
	struct tenant_view view;
	struct tenant_stats total; /* since it connected */
	struct tenant_stats since; /* the last reset */
	uint64_t now_ns;
};

static bool tenant_row_from(const struct call *call, uint32_t id, struct tenant_row *row)
{
	struct registry *registry = call->c->registry;
	bool found;

	registry_lock(registry);
	found = registry_tenant_from(registry, id, &row->view);
	if (found) {
		row->total.submitted = stat_read(&row->view.stats->submitted);
		row->total.completed = stat_read(&row->view.stats->completed);
		history_tenant(&call->c->history, &row->view, &row->since);
	}
	registry_unlock(registry);
	row->view.stats = NULL;
	row->now_ns = call->now_ns;
	return found;
}

static bool visible(const struct call *call, const struct tenant_view *t)
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
	NLA_PUT_U32(msg, OOO_CTL_TENANT_WEIGHT, t->weight);
	NLA_PUT_U32(msg, OOO_CTL_TENANT_PROGRAMS, t->nr_programs);
	NLA_PUT_U32(msg, OOO_CTL_TENANT_RING, t->sq_entries);
	NLA_PUT_U64(msg, OOO_CTL_TENANT_INFLIGHT, inflight);
	NLA_PUT_U64(msg, OOO_CTL_TENANT_COMPLETED, row->total.completed);
	NLA_PUT_U64(msg, OOO_CTL_TENANT_ARENA, t->arena_bytes);
	NLA_PUT_U64(msg, OOO_CTL_TENANT_WEIGHTS, t->weight_bytes);
	NLA_PUT_U64(msg, OOO_CTL_TENANT_WORKSPACE, t->workspace_bytes);
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
		if (visible(call, &row.view))
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
		if (call->has_tenant && t.id != call->tenant)
			break;
		if (t.id != tenant)
			id = 0;
		tenant = t.id;
		found = visible(call, &t) && registry_program_from(registry, t.id, id, &row->view);
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

/* Whether the tenant that the sender named is there, as far as he may know. */
static bool tenant_known(const struct call *call)
{
	struct tenant_row row;

	return tenant_row_from(call, call->tenant, &row) && row.view.id == call->tenant &&
	       visible(call, &row.view);
}

int show_programs(const struct call *call)
{
	uint64_t at = call->cursor;
	struct program_row row;
	struct answer r;
	int err = 0;

	if (call->has_tenant) {
		if (!tenant_known(call))
			return -ENOENT;
		if (at < (uint64_t)call->tenant << 32)
			at = (uint64_t)call->tenant << 32;
	}
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
		row.lanes = registry_agent(call->c->registry)->caps->nr_lanes;
		history_since_reset(&call->c->history, call->now_ns, &row.stats, &row.since_ns);
		err = answer_put(&r, OOO_CTL_A_DISPATCHER, fill_dispatcher, &row);
	}
	if (!err)
		return dump_tenants(call, &r, OOO_CTL_A_USAGE, fill_usage);
	answer_abort(&r);
	return err;
}
