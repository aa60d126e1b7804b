// SPDX-License-Identifier: Apache-2.0
/* `tenant list`: the agent sends all that its asker may see, what was not asked for is left out here. */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "ctl/print.h"
#include "ctl/verb.h"

static const char *const classes[] = { "latency", "normal", "batch" };

static const char *text_of(const struct record *r, int code)
{
	const struct value *v = &r->values[code];

	return v->present && v->str ? v->str : "";
}

static bool is_user(const struct record *r, const char *wanted)
{
	const struct value *v = &r->values[OOO_CTL_TENANT_USER];
	char name[FIELD_TEXT_BYTES], number[FIELD_TEXT_BYTES];

	user_text((uint32_t)v->num, name, sizeof(name));
	snprintf(number, sizeof(number), "%u", (unsigned)v->num);
	return !strcmp(wanted, name) || !strcmp(wanted, number);
}

static bool wanted(const struct command *cmd, const struct record *r)
{
	if (cmd->has[CTL_ARG_TENANT_LIST_NAME] &&
	    fnmatch(cmd->text[CTL_ARG_TENANT_LIST_NAME], text_of(r, OOO_CTL_TENANT_NAME), 0))
		return false;
	if (cmd->has[CTL_ARG_TENANT_LIST_USER] && !is_user(r, cmd->text[CTL_ARG_TENANT_LIST_USER]))
		return false;
	if (cmd->has[CTL_ARG_TENANT_LIST_CLASS] &&
	    strcmp(classes[cmd->value[CTL_ARG_TENANT_LIST_CLASS]],
		   text_of(r, OOO_CTL_TENANT_CLASS)) != 0)
		return false;
	return !cmd->has[CTL_ARG_TENANT_LIST_PARTITION] ||
	       !strcmp(cmd->text[CTL_ARG_TENANT_LIST_PARTITION],
		       text_of(r, OOO_CTL_TENANT_PARTITION));
}

enum ctl_exit verb_tenant_list(struct session *s)
{
	const struct group *group = group_find(OOO_CTL_A_TENANT);
	struct records rs = { 0 }, shown = { 0 };
	enum ctl_exit code = verb_fetch(s, &rs);

	for (size_t i = 0; code == CTL_OK && i < rs.nr; i++) {
		struct record r = rs.list[i];

		if (!wanted(s->cmd, &r))
			continue;
		/* What is shown to the front, the rest behind it: all of it is freed as one. */
		rs.list[i] = rs.list[shown.nr];
		rs.list[shown.nr++] = r;
	}
	shown.list = rs.list;
	if (code == CTL_OK && !s->cmd->json)
		print_table(stdout, &shown, group);
	if (code == CTL_OK && s->cmd->json &&
	    print_json(stdout, json_records(&shown, group), false)) {
		snprintf(s->why, sizeof(s->why), "out of memory");
		code = CTL_REFUSED;
	}
	records_free(&rs);
	return code;
}
