// SPDX-License-Identifier: Apache-2.0
#include "agent/flow/look.h"

#include "agent/flow/flow.h"

const char *const look_state_names[LOOK_STATES] = {
	[LOOK_WAITING] = "waiting", [LOOK_READY] = "ready", [LOOK_RUNNING] = "running",
	[LOOK_ENDING] = "ending",   [LOOK_BUILT] = "built",
};

static uint64_t since(const struct dispatcher *d, uint64_t ns)
{
	return ns && d->now_ns > ns ? d->now_ns - ns : 0;
}

static enum look_state state_of(const struct request *r)
{
	if (r->dead)
		return LOOK_ENDING;
	if (r->state == REQUEST_WAITING)
		return LOOK_WAITING;
	return r->nr_flying ? LOOK_RUNNING : LOOK_READY;
}

/* Between two turns a record that bind has not seen is one on its way to a slot: the next turn. */
void look_requests(const struct dispatcher *d, const struct tenant *t, struct look *look)
{
	uint32_t end = t->ring.cq_entries, at = look->from;

	if (at < end && end - at > LOOK_RECORDS)
		end = at + LOOK_RECORDS;
	for (look->nr = 0; at < end && look->nr < LOOK_REQUESTS; at++) {
		const struct request *r = &t->requests[at];

		if (r->state == REQUEST_FREE)
			continue;
		look->requests[look->nr++] = (struct look_request){
			.number = r->number,
			.cookie = r->cookie,
			.age_ns = since(d, r->submit_ns),
			.due_ns = r->due_ns > r->submit_ns ? r->due_ns - r->submit_ns : 0,
			.left_ns = request_left_ns(r),
			.place = at,
			.program = r->program_id,
			.state = state_of(r),
			.lane = r->lane,
			.steps = r->inst->program->nr_steps,
			.steps_done = r->steps_done,
		};
	}
	look->from = at;
	look->more = at < t->ring.cq_entries;
}

static void add_member(struct look_bundle *row, uint32_t tenant)
{
	uint32_t i = 0;

	while (i < row->nr_members && row->members[i].tenant != tenant)
		i++;
	if (i == LOOK_MEMBERS) {
		row->others++;
		return;
	}
	row->members[i].tenant = tenant;
	row->members[i].items++;
	row->nr_members += i == row->nr_members;
}

static bool is_built(const struct dispatcher *d, const struct bundle *b)
{
	const struct bundle *built = d->lanes[b->lane].built_head;

	while (built && built != b)
		built = built->next;
	return built;
}

static void put_bundle(const struct dispatcher *d, const struct bundle *b, struct look_bundle *row)
{
	const struct request *first = b->items[0].request;
	bool built = is_built(d, b);

	*row = (struct look_bundle){
		.age_ns = built ? 0 : since(d, b->submit_ns),
		.predicted_ns = b->predicted_ns,
		.lane = b->lane,
		.state = built ? LOOK_BUILT : LOOK_RUNNING,
		.klass = first->inst->program->steps[b->items[0].step].klass,
		.items = b->nr_items,
	};
	for (uint32_t i = 0; i < b->nr_items; i++)
		add_member(row, ((const struct request *)b->items[i].request)->tenant->id);
}

void look_bundles(const struct dispatcher *d, struct look *look)
{
	uint32_t at = look->from;

	for (look->nr = 0; at < d->nr_bundles && look->nr < LOOK_BUNDLES; at++) {
		if (!d->bundles[at].nr_items)
			continue;
		put_bundle(d, &d->bundles[at], &look->bundles[look->nr]);
		look->bundles[look->nr++].place = at;
	}
	look->from = at;
	look->more = at < d->nr_bundles;
}
