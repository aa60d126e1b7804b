// SPDX-License-Identifier: Apache-2.0
/* `why`: the slowest requests, where each one's time went, and the largest cause in words. */
#include "ctl/why.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/blame.h"
#include "ctl/print.h"
#include "ctl/verb.h"

#define SLOWEST_DEFAULT 5

/* The slowest requests so far, the slowest first. */
struct slowest {
	struct why *list;
	size_t nr, max;
};

static double us(uint64_t ns)
{
	return (double)ns / 1e3;
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void consider(struct slowest *s, const struct flight_device *d,
		     const struct ooo_record_request *r)
{
	size_t at = s->nr;

	while (at > 0 && flight_latency_ns(s->list[at - 1].r) < flight_latency_ns(r))
		at--;
	if (at == s->max)
		return;
	if (s->nr < s->max)
		s->nr++;
	memmove(&s->list[at + 1], &s->list[at], (s->nr - 1 - at) * sizeof(*s->list));
	s->list[at].d = d;
	s->list[at].r = r;
}

static int explain(struct slowest *s, const struct flight *f)
{
	for (unsigned i = 0; i < f->nr; i++) {
		const struct flight_device *d = &f->devices[i];
		struct why_index index;

		if (why_prepare(d, &index))
			return -1;
		for (size_t k = 0; k < s->nr; k++) {
			if (s->list[k].d == d)
				why_explain(d, &index, s->list[k].r, &s->list[k]);
		}
		why_release(&index);
	}
	return 0;
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Whose steps the part is about, if it is about somebody else's. */
static const struct why_other *culprit(const struct why *w, enum why_part part)
{
	const struct why_other *o = why_heaviest(w);

	if (!o || (part == WHY_NEIGHBOUR && !o->ns) ||
	    (part == WHY_COPY && o->copy_ns * 2 < w->part_ns[WHY_COPY]))
		return NULL;
	return part == WHY_NEIGHBOUR || part == WHY_COPY ? o : NULL;
}

static void print_others(const struct why *w)
{
	const char *before = "  waited for the steps of ";
	char label[FLIGHT_LABEL_BYTES];

	for (unsigned i = 0; i < w->nr_others; i++) {
		const struct why_other *o = &w->others[i];

		if (percent(o->ns + o->copy_ns, flight_latency_ns(w->r)) < 1)
			continue;
		printf("%s%s %.3f ms (%.0f %%)", before, flight_label(w->d, o->tenant, label),
		       us(o->ns + o->copy_ns) / 1e3,
		       percent(o->ns + o->copy_ns, flight_latency_ns(w->r)));
		before = ", ";
	}
	if (before[0] == ',')
		putchar('\n');
}

static void print_cause(const struct why *w)
{
	enum why_part part = why_largest(w);
	const struct why_other *o = culprit(w, part);
	char label[FLIGHT_LABEL_BYTES];

	printf("  largest part: %.3f ms (%.0f %%): %s", us(w->part_ns[part]) / 1e3,
	       percent(w->part_ns[part], flight_latency_ns(w->r)), why_words(part));
	if (o)
		printf(" %s", flight_label(w->d, o->tenant, label));
	puts(w->bundles_lost ? " (the recorder no longer has all bundles of that time)" : "");
}

static void print_why(const struct why *w)
{
	const struct ooo_record_request *r = w->r;
	const struct ooo_record_name *program = flight_name(w->d, r->tenant, r->program);
	char label[FLIGHT_LABEL_BYTES];

	printf("%s, program %.31s: %.3f ms, %.3f s ago, %s", flight_label(w->d, r->tenant, label),
	       program ? program->name : "?", us(flight_latency_ns(r)) / 1e3,
	       us(flight_now_ns(w->d) - r->finish_ns) / 1e6, flight_status_key(r->status));
	if (r->deadline_ns && r->finish_ns > r->deadline_ns)
		printf(" by %.3f ms", us(r->finish_ns - r->deadline_ns) / 1e3);
	printf("\n ");
	for (unsigned i = 0; i < OOO_RECORD_STAGES; i++)
		printf(" %s %.1f", flight_stage_key(i), us(r->stage_ns[i]));
	puts(" us");
	print_others(w);
	print_cause(w);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static cJSON *json_others(const struct why *w)
{
	cJSON *list = cJSON_CreateArray();

	for (unsigned i = 0; i < w->nr_others; i++) {
		const struct why_other *o = &w->others[i];
		char label[FLIGHT_LABEL_BYTES];
		cJSON *item = cJSON_CreateObject();

		cJSON_AddNumberToObject(item, "tenant", o->tenant);
		cJSON_AddStringToObject(item, "name",
					strchr(flight_label(w->d, o->tenant, label), ':') + 1);
		cJSON_AddNumberToObject(item, "us", us(o->ns));
		cJSON_AddNumberToObject(item, "copy_us", us(o->copy_ns));
		cJSON_AddItemToArray(list, item);
	}
	return list;
}

static void json_cause(cJSON *to, const struct why *w)
{
	enum why_part part = why_largest(w);
	const struct why_other *o = culprit(w, part);

	cJSON_AddStringToObject(to, "cause", why_key(part));
	cJSON_AddStringToObject(to, "words", why_words(part));
	cJSON_AddNumberToObject(to, "cause_us", us(w->part_ns[part]));
	cJSON_AddNumberToObject(to, "cause_percent",
				percent(w->part_ns[part], flight_latency_ns(w->r)));
	if (o)
		cJSON_AddNumberToObject(to, "cause_tenant", o->tenant);
}

static cJSON *json_why(const struct why *w)
{
	const struct ooo_record_request *r = w->r;
	const struct ooo_record_name *program = flight_name(w->d, r->tenant, r->program);
	char label[FLIGHT_LABEL_BYTES];
	cJSON *item = cJSON_CreateObject(), *parts;

	cJSON_AddNumberToObject(item, "tenant", r->tenant);
	cJSON_AddStringToObject(item, "name",
				strchr(flight_label(w->d, r->tenant, label), ':') + 1);
	cJSON_AddStringToObject(item, "program", program ? program->name : "?");
	cJSON_AddNumberToObject(item, "device", w->d->header.device);
	cJSON_AddNumberToObject(item, "number", (double)r->number);
	cJSON_AddStringToObject(item, "status", flight_status_key(r->status));
	cJSON_AddNumberToObject(item, "latency_us", us(flight_latency_ns(r)));
	cJSON_AddNumberToObject(item, "finish_ns", (double)r->finish_ns);
	cJSON_AddNumberToObject(item, "age_s", us(flight_now_ns(w->d) - r->finish_ns) / 1e6);
	cJSON_AddNumberToObject(item, "late_us",
				r->deadline_ns && r->finish_ns > r->deadline_ns
					? us(r->finish_ns - r->deadline_ns)
					: 0);
	parts = cJSON_AddObjectToObject(item, "stages_us");
	for (unsigned i = 0; i < OOO_RECORD_STAGES; i++)
		cJSON_AddNumberToObject(parts, flight_stage_key(i), us(r->stage_ns[i]));
	parts = cJSON_AddObjectToObject(item, "parts_us");
	for (unsigned i = 0; i < WHY_PARTS; i++)
		cJSON_AddNumberToObject(parts, why_key((enum why_part)i), us(w->part_ns[i]));
	cJSON_AddItemToObject(item, "waited_for", json_others(w));
	cJSON_AddBoolToObject(item, "bundles_lost", w->bundles_lost);
	json_cause(item, w);
	return item;
}

static enum ctl_exit print_slowest(struct session *s, const struct slowest *slow)
{
	cJSON *list;

	if (!s->cmd->json) {
		if (!slow->nr)
			puts("no request finished in that time");
		for (size_t i = 0; i < slow->nr; i++) {
			if (i)
				putchar('\n');
			print_why(&slow->list[i]);
		}
		return CTL_OK;
	}
	list = cJSON_CreateArray();
	for (size_t i = 0; i < slow->nr; i++)
		cJSON_AddItemToArray(list, json_why(&slow->list[i]));
	if (!print_json(stdout, list, false))
		return CTL_OK;
	snprintf(s->why, sizeof(s->why), "out of memory");
	return CTL_REFUSED;
}

/* ---- the verb -------------------------------------------------------------------------------- */

bool why_wanted(const struct command *cmd, const struct flight_device *d,
		const struct ooo_record_request *r, uint64_t now_ns)
{
	if (cmd->has[CTL_ARG_WHY_SHOW_SINCE] &&
	    r->finish_ns + cmd->value[CTL_ARG_WHY_SHOW_SINCE] < now_ns)
		return false;
	return flight_is_tenant(d, r->tenant, cmd->text[CTL_ARG_WHY_SHOW_TENANT]);
}

static enum ctl_exit tell_slowest(struct session *s, const struct flight *f)
{
	const struct command *cmd = s->cmd;
	struct slowest slow = {
		.max = cmd->has[CTL_ARG_WHY_SHOW_SLOWEST] ? cmd->value[CTL_ARG_WHY_SHOW_SLOWEST]
							  : SLOWEST_DEFAULT,
	};
	enum ctl_exit code;

	slow.list = calloc(slow.max, sizeof(*slow.list));
	for (unsigned i = 0; slow.list && i < f->nr; i++) {
		const struct flight_device *d = &f->devices[i];
		uint64_t now_ns = flight_now_ns(d);

		for (size_t k = 0; k < d->requests.nr; k++) {
			if (why_wanted(cmd, d, flight_request(d, k), now_ns))
				consider(&slow, d, flight_request(d, k));
		}
	}
	if (!slow.list || explain(&slow, f)) {
		snprintf(s->why, sizeof(s->why), "out of memory");
		code = CTL_REFUSED;
	} else {
		code = print_slowest(s, &slow);
	}
	free(slow.list);
	return code;
}

enum ctl_exit verb_why(struct session *s)
{
	const struct command *cmd = s->cmd;
	struct flight f;
	enum ctl_exit code = flight_open(cmd->runtime_dir, &f, s->why, sizeof(s->why));
	int err;

	if (code != CTL_OK)
		return code;
	if (cmd->has[CTL_ARG_WHY_SHOW_INTERVAL]) {
		flight_skip(&f);
		err = flight_watch(&f, cmd->value[CTL_ARG_WHY_SHOW_INTERVAL]);
	} else {
		err = flight_read(&f);
	}
	if (err) {
		snprintf(s->why, sizeof(s->why), "out of memory");
		code = CTL_REFUSED;
	} else if (cmd->has[CTL_ARG_WHY_SHOW_BLAME]) {
		code = blame_tell(s, &f);
	} else {
		code = tell_slowest(s, &f);
	}
	flight_close(&f);
	return code;
}
