// SPDX-License-Identifier: Apache-2.0
/*
 * Events one a line, as they happen. ooo-ctl asks for those behind the last that it has; between two
 * questions the agent knows nothing of it, so a reader that stops cannot hold up anybody.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "ctl/print.h"
#include "ctl/verb.h"

#define ASK_EVERY_NS 50000000 /* well below the agent's limit of questions */

static const char *text_of(const struct record *r, enum ooo_ctl_field code)
{
	return r->values[code].str ? r->values[code].str : "";
}

/* The columns that the heading names; what is long comes last. */
static void print_event(const struct record *r)
{
	char tenant[16] = "-";

	if (r->values[OOO_CTL_EVENT_TENANT].present)
		snprintf(tenant, sizeof(tenant), "%" PRIu64, r->values[OOO_CTL_EVENT_TENANT].num);
	printf("%6" PRIu64 "  %s  %-14s %6s  %-16s %6" PRIu64 " %10" PRIu64 "%s%s\n",
	       r->values[OOO_CTL_EVENT_NUMBER].num, text_of(r, OOO_CTL_EVENT_TIME),
	       text_of(r, OOO_CTL_EVENT_EVENT), tenant,
	       r->values[OOO_CTL_EVENT_NAME].present ? text_of(r, OOO_CTL_EVENT_NAME) : "-",
	       r->values[OOO_CTL_EVENT_DEVICE].num, r->values[OOO_CTL_EVENT_VALUE].num,
	       *text_of(r, OOO_CTL_EVENT_TEXT) ? "  " : "", text_of(r, OOO_CTL_EVENT_TEXT));
}

static void print_heading(void)
{
	printf("%6s  %-24s  %-14s %6s  %-16s %6s %10s  %s\n", "number", "time", "event", "tenant",
	       "name", "device", "value", "text");
}

static enum ctl_exit print_events(struct session *s, const struct records *rs, size_t from)
{
	for (size_t i = from; i < rs->nr; i++) {
		if (!s->cmd->json) {
			print_event(&rs->list[i]);
		} else if (print_json(stdout, json_record(&rs->list[i]), true)) {
			snprintf(s->why, sizeof(s->why), "out of memory");
			return CTL_REFUSED;
		}
	}
	return CTL_OK;
}

enum ctl_exit verb_monitor(struct session *s)
{
	const struct command *cmd = s->cmd;
	const struct timespec pause = { .tv_nsec = ASK_EVERY_NS };
	uint64_t last = cmd->value[CTL_ARG_MONITOR_SHOW_LAST];
	uint64_t left = cmd->has[CTL_ARG_MONITOR_SHOW_COUNT]
				? cmd->value[CTL_ARG_MONITOR_SHOW_COUNT]
				: UINT64_MAX;
	bool first = true;

	if (!cmd->json)
		print_heading();
	for (s->cursor = 1; left; first = false) {
		struct records rs = { 0 };
		enum ctl_exit code = verb_fetch(s, &rs);
		size_t from = first && rs.nr > last ? rs.nr - last : 0;

		if (rs.nr)
			s->cursor = rs.list[rs.nr - 1].values[OOO_CTL_EVENT_NUMBER].num + 1;
		s->has_cursor = true;
		if (rs.nr - from > left)
			rs.nr = from + left;
		if (code == CTL_OK)
			code = print_events(s, &rs, from);
		left -= rs.nr - from;
		records_free(&rs);
		if (code != CTL_OK)
			return code;
		if (fflush(stdout))
			break; /* main says so */
		if (left)
			nanosleep(&pause, NULL);
	}
	return CTL_OK;
}
