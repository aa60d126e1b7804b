// SPDX-License-Identifier: Apache-2.0
/* The verbs that show the agent and its devices. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/control/handler.h"

uint32_t agent_lanes(const struct registry_agent *agent)
{
	uint32_t lanes = 0;

	for (uint32_t i = 0; i < agent->nr_devices; i++)
		lanes += registry_device_lanes(&agent->devices[i]);
	return lanes;
}

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

static int fill_status(struct nl_msg *msg, const void *data)
{
	const struct status *s = data;
	const struct registry_agent *a = &s->agent;
	const struct turn_stats *t = &s->recent;
	uint32_t lost = 0;

	for (uint32_t i = 0; i < a->nr_devices; i++)
		lost += registry_device_gone(&a->devices[i]);
	NLA_PUT_STRING(msg, OOO_CTL_STATUS_VERSION, OOO_RELEASE);
	NLA_PUT_U32(msg, OOO_CTL_STATUS_PID, (uint32_t)a->pid);
	NLA_PUT_U32(msg, OOO_CTL_STATUS_USER, s->c->permit.agent_uid);
	NLA_PUT_U64(msg, OOO_CTL_STATUS_AGENT_ID, a->agent_id);
	NLA_PUT_U64(msg, OOO_CTL_STATUS_UPTIME, s->now_ns - a->start_ns);
	NLA_PUT_U8(msg, OOO_CTL_STATUS_DRAINING, a->draining);
	NLA_PUT_STRING(msg, OOO_CTL_STATUS_DEVICE, a->devices[0].caps->name);
	NLA_PUT_STRING(msg, OOO_CTL_STATUS_DEVICE_WHY, a->device_why ? a->device_why : "");
	NLA_PUT_U32(msg, OOO_CTL_STATUS_TENANTS, a->nr_tenants);
	NLA_PUT_U32(msg, OOO_CTL_STATUS_TENANTS_MAX, a->max_tenants);
	NLA_PUT_U64(msg, OOO_CTL_STATUS_TENANTS_TOTAL, a->tenants_total);
	NLA_PUT_U32(msg, OOO_CTL_STATUS_PROGRAMS, s->programs);
	NLA_PUT_U64(msg, OOO_CTL_STATUS_WINDOW, s->window_ns);
	NLA_PUT_U64(msg, OOO_CTL_STATUS_REQUESTS_RATE,
		    milli(t->requests * 1000000000ull, s->window_ns));
	NLA_PUT_U64(msg, OOO_CTL_STATUS_MEAN_WIDTH, milli(t->items, t->bundles));
	NLA_PUT_U64(msg, OOO_CTL_STATUS_BUSY,
		    milli(t->busy_ns * 100, s->window_ns * agent_lanes(a)));
	NLA_PUT_U64(msg, OOO_CTL_STATUS_WEIGHTS, s->weight_bytes);
	NLA_PUT_U64(msg, OOO_CTL_STATUS_WORKSPACE, s->workspace_bytes);
	NLA_PUT_U64(msg, OOO_CTL_STATUS_ARENAS, s->arena_bytes);
	NLA_PUT_U64(msg, OOO_CTL_STATUS_RSS, s->resident_bytes);
	NLA_PUT_STRING(msg, OOO_CTL_STATUS_SOCKET, a->socket_path ? a->socket_path : "");
	NLA_PUT_U32(msg, OOO_CTL_STATUS_DEVICES, a->nr_devices);
	NLA_PUT_U32(msg, OOO_CTL_STATUS_DEVICES_LOST, lost);
	return 0;

nla_put_failure:
	return -EMSGSIZE;
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
	return answer_one(call, OOO_CTL_A_STATUS, fill_status, &s);
}

/* ---- devices --------------------------------------------------------------------------------- */

struct device_row {
	const struct registry_device *device;
	uint32_t index, tenants;
	uint64_t weight_bytes, workspace_bytes;
	uint64_t memory_used, memory;
	uint64_t bundles, resets;
	struct turn_stats recent;
	uint64_t window_ns;
};

static int add_to_device(const struct tenant_view *t, void *arg)
{
	struct device_row *row = arg;

	if (t->device != row->index)
		return 0;
	row->tenants++;
	row->weight_bytes += t->weight_bytes;
	row->workspace_bytes += t->workspace_bytes;
	return 0;
}

static int put_caps(struct nl_msg *msg, const struct registry_device *d)
{
	const struct device_caps *caps = d->caps;

	NLA_PUT_STRING(msg, OOO_CTL_DEVICE_NAME, caps->name);
	NLA_PUT_U32(msg, OOO_CTL_DEVICE_THREADS, caps->threads);
	NLA_PUT_U32(msg, OOO_CTL_DEVICE_LANES, registry_device_lanes(d));
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

static int fill_device(struct nl_msg *msg, const void *data)
{
	const struct device_row *row = data;
	uint32_t lanes = registry_device_lanes(row->device);
	int err = put_caps(msg, row->device);

	if (err)
		return err;
	NLA_PUT_U32(msg, OOO_CTL_DEVICE_INDEX, row->index);
	NLA_PUT_STRING(msg, OOO_CTL_DEVICE_STATE,
		       registry_device_gone(row->device) ? "lost" : "running");
	NLA_PUT_U32(msg, OOO_CTL_DEVICE_TENANTS, row->tenants);
	NLA_PUT_U64(msg, OOO_CTL_DEVICE_WEIGHTS, row->weight_bytes);
	NLA_PUT_U64(msg, OOO_CTL_DEVICE_WORKSPACE, row->workspace_bytes);
	NLA_PUT_U64(msg, OOO_CTL_DEVICE_MEMORY_USED, row->memory_used);
	NLA_PUT_U64(msg, OOO_CTL_DEVICE_MEMORY, row->memory);
	NLA_PUT_U64(msg, OOO_CTL_DEVICE_BUNDLES, row->bundles);
	NLA_PUT_U64(msg, OOO_CTL_DEVICE_BUSY,
		    milli(row->recent.busy_ns * 100, row->window_ns * lanes));
	NLA_PUT_U64(msg, OOO_CTL_DEVICE_RESETS, row->resets);
	return 0;

nla_put_failure:
	return -EMSGSIZE;
}

static void fill_row(const struct call *call, struct device_row *row, uint32_t index)
{
	struct registry *registry = call->c->registry;
	const struct registry_device *d = &registry_agent(registry)->devices[index];

	*row = (struct device_row){ .device = d, .index = index };
	registry_lock(registry);
	registry_for_each_tenant(registry, add_to_device, row);
	registry_unlock(registry);
	if (d->ops && d->ops->memory)
		d->ops->memory(d->dev, &row->memory_used, &row->memory);
	row->bundles = stat_read(&d->stats->bundles);
	row->resets = stat_read(&d->stats->resets);
	history_recent_of(&call->c->history, index, call->now_ns, &row->recent, &row->window_ns);
}

int show_devices(const struct call *call)
{
	uint32_t nr = registry_agent(call->c->registry)->nr_devices;
	uint64_t at = call->cursor;
	struct answer r;
	int err = 0;

	answer_init(&r, call->c, call->from, call->request, true);
	for (; at < nr && !err; at += !err) {
		struct device_row row;

		fill_row(call, &row, (uint32_t)at);
		err = answer_put(&r, OOO_CTL_A_DEVICE, fill_device, &row);
	}
	if (!err || err == -ENOSPC)
		err = answer_end(&r, err ? &at : NULL);
	answer_abort(&r);
	return err == -EAGAIN ? 0 : err;
}

/* ---- partitions ------------------------------------------------------------------------------ */

struct partition_row {
	uint32_t device, place, tenants;
	const struct device_partition *partition;
};

static int add_to_partition(const struct tenant_view *t, void *arg)
{
	struct partition_row *row = arg;

	row->tenants += t->device == row->device && t->params.partition == row->place + 1;
	return 0;
}

static int fill_partition(struct nl_msg *msg, const void *data)
{
	const struct partition_row *row = data;

	NLA_PUT_U32(msg, OOO_CTL_PARTITION_ROW_DEVICE, row->device);
	NLA_PUT_STRING(msg, OOO_CTL_PARTITION_ROW_NAME, row->partition->name);
	NLA_PUT_U32(msg, OOO_CTL_PARTITION_ROW_UNITS, row->partition->units);
	NLA_PUT_U32(msg, OOO_CTL_PARTITION_ROW_LANES, row->partition->nr_lanes);
	NLA_PUT_U32(msg, OOO_CTL_PARTITION_ROW_TENANTS, row->tenants);
	return 0;

nla_put_failure:
	return -EMSGSIZE;
}

/* The cursor counts places: DEVICE_MAX_PARTITIONS a device. */
int show_partitions(const struct call *call)
{
	const struct registry_agent *agent = registry_agent(call->c->registry);
	uint64_t at = call->cursor, nr = (uint64_t)agent->nr_devices * DEVICE_MAX_PARTITIONS;
	struct answer r;
	int err = 0;

	answer_init(&r, call->c, call->from, call->request, true);
	for (; at < nr && !err; at += !err) {
		struct partition_row row = { .device = (uint32_t)(at / DEVICE_MAX_PARTITIONS),
					     .place = (uint32_t)(at % DEVICE_MAX_PARTITIONS) };

		row.partition = &agent->devices[row.device].partition[row.place];
		if (!row.partition->name[0])
			continue;
		registry_lock(call->c->registry);
		registry_for_each_tenant(call->c->registry, add_to_partition, &row);
		registry_unlock(call->c->registry);
		err = answer_put(&r, OOO_CTL_A_PARTITION_ROW, fill_partition, &row);
	}
	if (!err || err == -ENOSPC)
		err = answer_end(&r, err ? &at : NULL);
	answer_abort(&r);
	return err == -EAGAIN ? 0 : err;
}
