// SPDX-License-Identifier: Apache-2.0
/*
 * The verbs that show what dispatchers have in hand. Nothing of it may be read from here: an errand
 * asks the dispatcher for a copy, a bounded piece at a time.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/control/handler.h"
#include "agent/tenant/errand.h"
#include "shared/lib/infer.h"

/* One piece: *e is used again for the next. */
static int look(const struct call *call, struct errand **e)
{
	char why[ERRAND_WHY_BYTES];
	int err;

	(*e)->done = false;
	(*e)->next = NULL;
	err = errand_run(call->c->registry, e, why, sizeof(why));
	if (err && err != -ENOENT)
		refuse(call->why, err, "%s", why);
	return err;
}

/* ---- requests -------------------------------------------------------------------------------- */

struct request_row {
	const struct tenant_view *tenant;
	const char *program;
	const struct look_request *r;
};

static int fill_request(struct nl_msg *msg, const void *data)
{
	const struct request_row *row = data;
	const struct look_request *r = row->r;
	uint64_t needs = r->age_ns + r->left_ns;

	NLA_PUT_U32(msg, OOO_CTL_REQUEST_TENANT, row->tenant->id);
	NLA_PUT_STRING(msg, OOO_CTL_REQUEST_NAME, row->tenant->name);
	NLA_PUT_U64(msg, OOO_CTL_REQUEST_NUMBER, r->number);
	NLA_PUT_STRING(msg, OOO_CTL_REQUEST_PROGRAM, row->program);
	NLA_PUT_STRING(msg, OOO_CTL_REQUEST_STATE, look_state_names[r->state]);
	NLA_PUT_U64(msg, OOO_CTL_REQUEST_AGE, r->age_ns);
	NLA_PUT_U64(msg, OOO_CTL_REQUEST_DUE, r->due_ns);
	NLA_PUT_U64(msg, OOO_CTL_REQUEST_SLACK, r->due_ns > needs ? r->due_ns - needs : 0);
	NLA_PUT_U32(msg, OOO_CTL_REQUEST_STEPS_DONE, r->steps_done);
	NLA_PUT_U32(msg, OOO_CTL_REQUEST_STEPS, r->steps);
	NLA_PUT_U64(msg, OOO_CTL_REQUEST_LEFT, r->left_ns);
	NLA_PUT_U32(msg, OOO_CTL_REQUEST_DEVICE, row->tenant->device);
	if (r->state != LOOK_WAITING)
		NLA_PUT_U32(msg, OOO_CTL_REQUEST_LANE, r->lane);
	NLA_PUT_U64(msg, OOO_CTL_REQUEST_COOKIE, r->cookie);
	return 0;

nla_put_failure:
	return -EMSGSIZE;
}

static int put_request(struct answer *a, struct registry *registry, const struct tenant_view *t,
		       const struct look_request *r)
{
	struct program_view program = { .name = "" };
	struct request_row row = { t, program.name, r };

	/* It has requests in flight, so it is there. */
	registry_lock(registry);
	registry_program_from(registry, t->id, r->program, &program);
	registry_unlock(registry);
	return answer_put(a, OOO_CTL_A_REQUEST, fill_request, &row);
}

/* All of one tenant from place *at on; -ENOSPC leaves *at where to go on. */
static int put_requests(const struct call *call, struct answer *a, const struct tenant_view *t,
			struct errand **e, uint32_t *at)
{
	struct look *piece = &(*e)->look;
	int err;

	(*e)->tenant = t->id;
	do {
		piece->from = *at;
		err = look(call, e);
		if (err)
			return err == -ENOENT ? 0 : err; /* it went */
		for (uint32_t i = 0; i < piece->nr && !err; i++) {
			*at = piece->requests[i].place;
			err = put_request(a, call->c->registry, t, &piece->requests[i]);
		}
		if (!err)
			*at = piece->from;
	} while (!err && piece->more);
	return err;
}

/* The next tenant with something in flight that the call means. */
static bool busy_tenant_from(const struct call *call, uint64_t *id, struct tenant_view *t)
{
	struct registry *registry = call->c->registry;
	bool found = false;

	registry_lock(registry);
	while (!found && *id <= UINT32_MAX && registry_tenant_from(registry, (uint32_t)*id, t)) {
		*id = t->id;
		found = visible(call, t) && call_means(call, t) &&
			stat_read(&t->stats->submitted) != stat_read(&t->stats->completed);
		*id += !found;
	}
	registry_unlock(registry);
	return found;
}

/* The cursor is tenant << 32 | place. */
int show_requests(const struct call *call)
{
	struct errand *e;
	struct tenant_view t;
	uint64_t id = call->cursor >> 32;
	uint32_t at = (uint32_t)call->cursor;
	struct answer a;
	int err = 0;

	if (!call->has_cursor && !somebody_meant(call))
		return -ENOENT;
	e = errand_new(MAIL_LOOK_REQUESTS, 0);
	if (!e)
		return -ENOMEM;
	answer_init(&a, call->c, call->from, call->request, true);
	while (!err && busy_tenant_from(call, &id, &t)) {
		at = id == call->cursor >> 32 ? at : 0;
		err = put_requests(call, &a, &t, &e, &at);
		id += !err;
	}
	if (!err || err == -ENOSPC) {
		uint64_t more = id << 32 | at;

		err = answer_end(&a, err ? &more : NULL);
	}
	answer_abort(&a);
	free(e);
	return err == -EAGAIN ? 0 : err;
}

/* ---- bundles --------------------------------------------------------------------------------- */

struct bundle_row {
	uint32_t device;
	char partition[DEVICE_PARTITION_NAME];
	char members[LOOK_MEMBERS * 24];
	const struct look_bundle *b;
};

static int fill_bundle(struct nl_msg *msg, const void *data)
{
	const struct bundle_row *row = data;
	const struct look_bundle *b = row->b;

	NLA_PUT_U32(msg, OOO_CTL_BUNDLE_DEVICE, row->device);
	NLA_PUT_U32(msg, OOO_CTL_BUNDLE_LANE, b->lane);
	NLA_PUT_STRING(msg, OOO_CTL_BUNDLE_PARTITION, row->partition);
	NLA_PUT_STRING(msg, OOO_CTL_BUNDLE_STATE, look_state_names[b->state]);
	NLA_PUT_STRING(msg, OOO_CTL_BUNDLE_CLASS, kernel_class_name(b->klass));
	NLA_PUT_U32(msg, OOO_CTL_BUNDLE_ITEMS, b->items);
	NLA_PUT_STRING(msg, OOO_CTL_BUNDLE_MEMBERS, row->members);
	NLA_PUT_U64(msg, OOO_CTL_BUNDLE_AGE, b->age_ns);
	NLA_PUT_U64(msg, OOO_CTL_BUNDLE_PREDICTED, b->predicted_ns);
	return 0;

nla_put_failure:
	return -EMSGSIZE;
}

/* Under the lock: the members that the sender may know of, and how many items are of others. */
static void name_members(const struct call *call, struct bundle_row *row)
{
	const struct look_bundle *b = row->b;
	uint32_t others = b->others;
	struct tenant_view t;
	size_t used = 0;

	for (uint32_t i = 0; i < b->nr_members; i++) {
		uint32_t id = b->members[i].tenant;

		if (!registry_tenant_from(call->c->registry, id, &t) || t.id != id ||
		    !visible(call, &t))
			others += b->members[i].items;
		else
			used += (size_t)snprintf(row->members + used, sizeof(row->members) - used,
						 "%s%u:%u", used ? " " : "", id,
						 b->members[i].items);
	}
	if (others)
		snprintf(row->members + used, sizeof(row->members) - used, "%s+%u", used ? " " : "",
			 others);
}

static void name_partition(const struct registry_device *d, struct bundle_row *row)
{
	for (int i = 0; i < DEVICE_MAX_PARTITIONS; i++) {
		const struct device_partition *p = &d->partition[i];

		if (p->name[0] && row->b->lane >= p->first_lane &&
		    row->b->lane < p->first_lane + p->nr_lanes)
			memcpy(row->partition, p->name, sizeof(row->partition));
	}
}

/* *at: the place after the last that was put. */
static int put_bundles(const struct call *call, struct answer *a, const struct errand *e,
		       uint32_t *at)
{
	struct registry *registry = call->c->registry;
	int err = 0;

	for (uint32_t i = 0; i < e->look.nr && !err; i++) {
		struct bundle_row row = { .device = e->device, .b = &e->look.bundles[i] };

		*at = row.b->place;
		registry_lock(registry);
		name_members(call, &row);
		name_partition(&registry->agent.devices[e->device], &row);
		registry_unlock(registry);
		err = answer_put(a, OOO_CTL_A_BUNDLE, fill_bundle, &row);
	}
	if (!err)
		*at = e->look.from;
	return err;
}

/* The cursor is device << 32 | place. */
int show_bundles(const struct call *call)
{
	uint32_t nr = registry_agent(call->c->registry)->nr_devices;
	uint64_t device = call->cursor >> 32, more;
	uint32_t at = (uint32_t)call->cursor;
	struct errand *e = errand_new(MAIL_LOOK_BUNDLES, 0);
	struct answer a;
	int err = 0;

	if (!e)
		return -ENOMEM;
	answer_init(&a, call->c, call->from, call->request, true);
	while (device < nr && !err) {
		e->device = (uint32_t)device;
		e->look.from = at;
		err = look(call, &e);
		if (!err)
			err = put_bundles(call, &a, e, &at);
		if (!err && !e->look.more) {
			device++;
			at = 0;
		}
	}
	more = device << 32 | at;
	if (!err || err == -ENOSPC)
		err = answer_end(&a, err ? &more : NULL);
	answer_abort(&a);
	free(e);
	return err == -EAGAIN ? 0 : err;
}
