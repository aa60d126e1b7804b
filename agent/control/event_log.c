// SPDX-License-Identifier: Apache-2.0
/*
 * The last events, numbered from 1, for `ooo-ctl monitor`. A reader asks for what came at or after
 * a number; the agent keeps nothing about him, so one that stops reading costs nothing, and finds
 * out how many events he missed when he asks again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/control/handler.h"

#define SCAN_NS 200000000ull /* refusals and misses are added up this long */

struct scan {
	struct event_log *log;
	struct event_base *list;
	unsigned nr, max;
	unsigned at; /* in the list before */
	uint64_t at_ns;
};

static uint64_t realtime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void add(struct event_log *log, const struct event *e)
{
	log->ring[log->next % EVENT_LOG] = *e;
	log->next++;
}

static void add_counted(struct scan *s, const struct tenant_view *t, enum event_kind kind,
			uint64_t count)
{
	struct event e = {
		.at_ns = s->at_ns,
		.kind = kind,
		.value = count,
		.tenant = t->id,
		.uid = t->uid,
		.device = t->device,
	};

	if (!count)
		return;
	memcpy(e.name, t->name, sizeof(e.name));
	add(s->log, &e);
}

/* Both lists are in order of id. */
static int scan_tenant(const struct tenant_view *t, void *arg)
{
	struct scan *s = arg;
	const struct event_log *log = s->log;
	struct event_base now = {
		.id = t->id,
		.refused = stat_read(&t->stats->refused),
		.late = stat_read(&t->stats->late),
	}, before = { 0 };

	if (s->nr == s->max)
		return -EAGAIN;
	while (s->at < log->nr_base && log->base[s->at].id < t->id)
		s->at++;
	if (s->at < log->nr_base && log->base[s->at].id == t->id)
		before = log->base[s->at];
	add_counted(s, t, EVENT_REFUSAL, now.refused - before.refused);
	add_counted(s, t, EVENT_SLO_MISS, now.late - before.late);
	s->list[s->nr++] = now;
	return 0;
}

/* Who connects between the two locks is seen by the next scan. */
static void scan_counters(struct event_log *log, struct registry *r)
{
	struct scan s = { .log = log, .at_ns = realtime_ns() };

	registry_lock(r);
	s.max = registry_agent(r)->nr_tenants;
	registry_unlock(r);
	s.list = calloc(s.max + 1, sizeof(*s.list));
	if (!s.list)
		return;
	registry_lock(r);
	registry_for_each_tenant(r, scan_tenant, &s);
	registry_unlock(r);
	free(log->base);
	log->base = s.list;
	log->nr_base = s.nr;
}

void event_log_run(struct event_log *log, struct registry *r, uint64_t now_ns)
{
	uint64_t lost = event_take_lost();
	struct event e;

	if (!log->next)
		log->first = log->next = 1;
	/* No more than the queue holds: whoever posts all the time must not keep us here. */
	for (unsigned i = 0; i < EVENT_QUEUE && event_take(&e); i++)
		add(log, &e);
	if (lost) {
		e = (struct event){
			.at_ns = realtime_ns(),
			.kind = EVENT_LOST,
			.value = lost,
			.tenant = EVENT_NO_TENANT,
		};
		add(log, &e);
	}
	if (now_ns - log->scanned_ns < SCAN_NS)
		return;
	log->scanned_ns = now_ns;
	scan_counters(log, r);
}

void event_log_fini(struct event_log *log)
{
	free(log->base);
}

/* ---- monitor --------------------------------------------------------------------------------- */

struct event_row {
	const struct event *event;
	uint64_t number;
};

static int fill_event(struct nl_msg *msg, const void *data)
{
	const struct event_row *row = data;
	const struct event *e = row->event;
	time_t seconds = (time_t)(e->at_ns / 1000000000);
	char text[40], when[32];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%03uZ", when, (unsigned)(e->at_ns / 1000000 % 1000));
	NLA_PUT_U64(msg, OOO_CTL_EVENT_NUMBER, row->number);
	NLA_PUT_STRING(msg, OOO_CTL_EVENT_TIME, text);
	NLA_PUT_STRING(msg, OOO_CTL_EVENT_EVENT, event_word(e->kind));
	if (e->tenant != EVENT_NO_TENANT) {
		NLA_PUT_U32(msg, OOO_CTL_EVENT_TENANT, e->tenant);
		NLA_PUT_STRING(msg, OOO_CTL_EVENT_NAME, e->name);
	}
	NLA_PUT_U32(msg, OOO_CTL_EVENT_DEVICE, e->device);
	NLA_PUT_U64(msg, OOO_CTL_EVENT_VALUE, e->value);
	NLA_PUT_STRING(msg, OOO_CTL_EVENT_TEXT, e->text);
	return 0;

nla_put_failure:
	return -EMSGSIZE;
}

static bool may_see(const struct call *call, const struct event *e)
{
	return call->admin || (e->tenant != EVENT_NO_TENANT && e->uid == call->from->uid) ||
	       e->kind == EVENT_LOST;
}

/* Without a cursor: all that are kept. */
int show_events(const struct call *call)
{
	struct event_log *log = &call->c->events;
	uint64_t oldest, at;
	struct answer r;
	int err = 0;

	event_log_run(log, call->c->registry, call->now_ns);
	oldest = log->next - log->first > EVENT_LOG ? log->next - EVENT_LOG : log->first;
	at = call->cursor > oldest ? call->cursor : oldest;
	answer_init(&r, call->c, call->from, call->request, true);
	if (call->has_cursor && call->cursor < oldest) {
		struct event lost = {
			.at_ns = realtime_ns(),
			.kind = EVENT_LOST,
			.value = oldest - call->cursor,
			.tenant = EVENT_NO_TENANT,
		};

		err = answer_put(&r, OOO_CTL_A_EVENT, fill_event,
				 &(struct event_row){ &lost, oldest - 1 });
	}
	for (; !err && at < log->next; at++) {
		const struct event *e = &log->ring[at % EVENT_LOG];

		if (may_see(call, e))
			err = answer_put(&r, OOO_CTL_A_EVENT, fill_event,
					 &(struct event_row){ e, at });
		if (err)
			break;
	}
	if (!err || err == -ENOSPC)
		err = answer_end(&r, err ? &at : NULL);
	answer_abort(&r);
	return err == -EAGAIN ? 0 : err;
}
