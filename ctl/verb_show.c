// SPDX-License-Identifier: Apache-2.0
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "ctl/print.h"
#include "ctl/verb.h"

static const struct {
	enum ctl_verb verb;
	int attr;
} shows[] = {
#define SHOWS(VERB, GROUP) { CTL_VERB_##VERB, OOO_CTL_A_##GROUP },
#include "shared/abi/verbs.def"
};

static int take_record(int attr, struct nlattr *nest, void *arg)
{
	const struct group *group = group_find(attr);

	return group ? records_add(arg, group, nest) : 0;
}

static void put_arg(struct link_request *request, const struct command *cmd, int i)
{
	const struct ctl_arg_info *arg = &ctl_args[i];

	if (arg->attr == 0) /* what ooo-ctl itself acts on */
		return;
	if (arg->type == ARG_TENANT && words_is_id(cmd->text[i]))
		link_put(request, OOO_CTL_A_TENANT_ID, cmd->value[i], NULL);
	else if (arg->type == ARG_TENANT || arg->type == ARG_TEXT)
		link_put(request, arg->attr, 0, cmd->text[i]);
	else
		link_put(request, arg->attr, cmd->value[i], NULL);
}

enum ctl_exit verb_fetch(struct session *s, struct records *rs)
{
	const struct ctl_verb_info *v = &ctl_verbs[s->cmd->verb];
	struct link_request request = {
		.type = v->type, .reply = v->reply, .has_cursor = s->has_cursor, .cursor = s->cursor
	};

	for (int i = 0; i < NR_CTL_ARGS; i++) {
		if (s->cmd->has[i])
			put_arg(&request, s->cmd, i);
	}
	return ctl_link_call(s->link, &request, take_record, rs, s->why, sizeof(s->why));
}

static const struct group *shown_group(const struct session *s)
{
	size_t i = 0;

	while (shows[i].verb != s->cmd->verb)
		i++;
	return group_find(shows[i].attr);
}

static enum ctl_exit out_of_memory(struct session *s)
{
	snprintf(s->why, sizeof(s->why), "out of memory");
	return CTL_REFUSED;
}

enum ctl_exit verb_show_one(struct session *s)
{
	const struct group *group = shown_group(s);
	struct records rs = { 0 };
	enum ctl_exit code = verb_fetch(s, &rs);

	if (code == CTL_OK && (rs.nr != 1 || rs.list[0].group != group)) {
		snprintf(s->why, sizeof(s->why), "the agent's answer has no %s", group->key);
		code = CTL_REFUSED;
	}
	if (code == CTL_OK && !s->cmd->json)
		print_screen(stdout, &rs, group);
	if (code == CTL_OK && s->cmd->json && print_json(stdout, json_record(&rs.list[0]), false))
		code = out_of_memory(s);
	records_free(&rs);
	return code;
}

enum ctl_exit verb_show_list(struct session *s)
{
	const struct group *group = shown_group(s);
	struct records rs = { 0 };
	enum ctl_exit code = verb_fetch(s, &rs);

	if (code == CTL_OK && !s->cmd->json)
		print_table(stdout, &rs, group);
	if (code == CTL_OK && s->cmd->json && print_json(stdout, json_records(&rs, group), false))
		code = out_of_memory(s);
	records_free(&rs);
	return code;
}

enum ctl_exit verb_change(struct session *s)
{
	struct records rs = { 0 };
	enum ctl_exit code = verb_fetch(s, &rs);
	bool note = code == CTL_OK && !strncmp(s->why, OOO_CTL_NOTE, strlen(OOO_CTL_NOTE));
	cJSON *done = NULL;

	records_free(&rs);
	if (note)
		fprintf(stderr, "ooo-ctl: %s\n", s->why);
	if (code != CTL_OK || !s->cmd->json)
		return code;
	done = cJSON_CreateObject();
	cJSON_AddBoolToObject(done, "done", true);
	return print_json(stdout, done, false) ? out_of_memory(s) : CTL_OK;
}
