// SPDX-License-Identifier: Apache-2.0
/* Counters since the start or the last reset, or what they grew by in each interval. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "ctl/print.h"
#include "ctl/verb.h"

/* ---- arithmetic ------------------------------------------------------------------------------ */

static uint64_t num(const struct record *r, enum ooo_ctl_field code)
{
	return r->values[code].num;
}

static void set(struct record *r, enum ooo_ctl_field code, double value)
{
	r->values[code].present = true;
	r->values[code].num = (uint64_t)(value + 0.5);
}

static double ratio(double part, double whole)
{
	return whole > 0 ? part / whole : 0;
}

static void derive_dispatcher(struct record *r)
{
	double since_ns = (double)num(r, OOO_CTL_DISPATCHER_SINCE);
	double lanes = (double)num(r, OOO_CTL_DISPATCHER_LANES);

	set(r, OOO_CTL_DISPATCHER_RATE,
	    1e12 * ratio((double)num(r, OOO_CTL_DISPATCHER_REQUESTS), since_ns));
	set(r, OOO_CTL_DISPATCHER_MEAN_WIDTH,
	    1e3 * ratio((double)num(r, OOO_CTL_DISPATCHER_ITEMS),
			(double)num(r, OOO_CTL_DISPATCHER_BUNDLES)));
	set(r, OOO_CTL_DISPATCHER_BUSY_SHARE,
	    1e5 * ratio((double)num(r, OOO_CTL_DISPATCHER_BUSY),
			since_ns * (lanes > 0 ? lanes : 1)));
}

static void derive_usage(struct record *r)
{
	set(r, OOO_CTL_USAGE_MEAN_WIDTH,
	    1e3 * ratio((double)num(r, OOO_CTL_USAGE_WIDTH_SUM),
			(double)num(r, OOO_CTL_USAGE_STEPS)));
	set(r, OOO_CTL_USAGE_LATENCY,
	    ratio((double)num(r, OOO_CTL_USAGE_LATENCY_SUM),
		  (double)num(r, OOO_CTL_USAGE_COMPLETED)));
}

void stats_derive(struct records *rs)
{
	for (size_t i = 0; i < rs->nr; i++) {
		struct record *r = &rs->list[i];

		if (r->group == group_find(OOO_CTL_A_DISPATCHER))
			derive_dispatcher(r);
		else if (r->group == group_find(OOO_CTL_A_USAGE))
			derive_usage(r);
	}
}

static const struct record *find_same(const struct records *rs, const struct record *r)
{
	const struct group *usage = group_find(OOO_CTL_A_USAGE);

	for (size_t i = 0; i < rs->nr; i++) {
		const struct record *other = &rs->list[i];

		if (other->group == r->group &&
		    (r->group != usage ||
		     num(other, OOO_CTL_USAGE_TENANT) == num(r, OOO_CTL_USAGE_TENANT)))
			return other;
	}
	return NULL;
}

static bool is_counter(const struct field *f)
{
	return f->view != FIELD_LOCAL &&
	       (f->type == FIELD_U64 || f->type == FIELD_MS || f->type == FIELD_S);
}

void stats_subtract(struct records *now, const struct records *before)
{
	const struct group *dispatcher = group_find(OOO_CTL_A_DISPATCHER);

	for (size_t i = 0; i < now->nr; i++) {
		const struct record *r = &now->list[i], *old = find_same(before, r);

		if (r->group == dispatcher && old &&
		    num(r, OOO_CTL_DISPATCHER_SINCE) < num(old, OOO_CTL_DISPATCHER_SINCE))
			return;
	}
	for (size_t i = 0; i < now->nr; i++) {
		struct record *r = &now->list[i];
		const struct record *old = find_same(before, r);

		for (int code = 1; old && code < OOO_CTL_MAX_FIELDS; code++)
			if (is_counter(&r->group->fields[code]) &&
			    r->values[code].num >= old->values[code].num)
				r->values[code].num -= old->values[code].num;
	}
}

/* ---- printing -------------------------------------------------------------------------------- */

static cJSON *json_stats(const struct records *rs)
{
	const struct group *dispatcher = group_find(OOO_CTL_A_DISPATCHER);
	const struct group *usage = group_find(OOO_CTL_A_USAGE);
	cJSON *root = cJSON_CreateObject(), *list = json_records(rs, usage), *item = NULL;

	for (size_t i = 0; i < rs->nr; i++)
		if (rs->list[i].group == dispatcher && !item)
			item = json_record(&rs->list[i]);
	if (root && item && list && cJSON_AddItemToObject(root, dispatcher->key, item)) {
		item = NULL;
		if (cJSON_AddItemToObject(root, usage->key, list))
			return root;
	}
	cJSON_Delete(item);
	cJSON_Delete(list);
	cJSON_Delete(root);
	return NULL;
}

static enum ctl_exit print_stats(struct session *s, const struct records *rs, bool one_line)
{
	if (s->cmd->json) {
		if (!print_json(stdout, json_stats(rs), one_line))
			return CTL_OK;
		snprintf(s->why, sizeof(s->why), "out of memory");
		return CTL_REFUSED;
	}
	print_screen(stdout, rs, group_find(OOO_CTL_A_DISPATCHER));
	fputc('\n', stdout);
	print_table(stdout, rs, group_find(OOO_CTL_A_USAGE));
	return CTL_OK;
}

static enum ctl_exit fetch(struct session *s, struct records *rs)
{
	enum ctl_exit code = verb_fetch(s, rs);

	if (code == CTL_OK && (!rs->nr || rs->list[0].group != group_find(OOO_CTL_A_DISPATCHER))) {
		snprintf(s->why, sizeof(s->why), "the agent's answer has no counters");
		code = CTL_REFUSED;
	}
	return code;
}

static enum ctl_exit once(struct session *s)
{
	struct records rs = { 0 };
	enum ctl_exit code = fetch(s, &rs);

	if (code == CTL_OK) {
		stats_derive(&rs);
		code = print_stats(s, &rs, false);
	}
	records_free(&rs);
	return code;
}

/* Intervals are counted from the first look, so that they do not drift. */
static void wait_until(struct timespec *at, uint64_t interval_ms)
{
	at->tv_sec += (time_t)(interval_ms / 1000);
	at->tv_nsec += (long)(interval_ms % 1000) * 1000000;
	if (at->tv_nsec >= 1000000000) {
		at->tv_nsec -= 1000000000;
		at->tv_sec++;
	}
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, at, NULL) == EINTR)
		;
}

/* Fetches *now, prints what it has more than *before, and leaves what was fetched in *before. */
static enum ctl_exit interval(struct session *s, struct records *before)
{
	struct records now = { 0 }, shown = { 0 };
	enum ctl_exit code = fetch(s, &now);

	if (code == CTL_OK && records_copy(&shown, &now)) {
		snprintf(s->why, sizeof(s->why), "out of memory");
		code = CTL_REFUSED;
	}
	if (code == CTL_OK) {
		stats_subtract(&shown, before);
		stats_derive(&shown);
		code = print_stats(s, &shown, true);
	}
	records_free(&shown);
	records_free(before);
	*before = now;
	return code;
}

enum ctl_exit verb_stats(struct session *s)
{
	const struct command *cmd = s->cmd;
	bool counted = cmd->has[CTL_ARG_STATS_SHOW_COUNT];
	uint64_t left = cmd->value[CTL_ARG_STATS_SHOW_COUNT];
	uint64_t interval_ms = 1000;
	struct records before = { 0 };
	enum ctl_exit code;
	struct timespec at;

	if (!counted && !cmd->has[CTL_ARG_STATS_SHOW_INTERVAL])
		return once(s);
	if (cmd->has[CTL_ARG_STATS_SHOW_INTERVAL])
		interval_ms = cmd->value[CTL_ARG_STATS_SHOW_INTERVAL];
	clock_gettime(CLOCK_MONOTONIC, &at);
	code = fetch(s, &before);
	while (code == CTL_OK && (!counted || left--)) {
		wait_until(&at, interval_ms);
		code = interval(s, &before);
		if (code == CTL_OK && !cmd->json && (!counted || left))
			fputc('\n', stdout);
		if (fflush(stdout))
			break; /* main says so */
	}
	records_free(&before);
	return code;
}
