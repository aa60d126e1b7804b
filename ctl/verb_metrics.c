// SPDX-License-Identifier: Apache-2.0
/* The metrics as the agent has them, or each sample as a JSON object. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/print.h"
#include "ctl/verb.h"

struct text {
	char *at;
	size_t len, room;
};

static int take_piece(int attr, struct nlattr *nest, void *arg)
{
	struct text *t = arg;
	struct nlattr *a;
	const char *piece;
	size_t len;

	if (attr != OOO_CTL_A_METRICS)
		return 0;
	a = nla_find(nla_data(nest), nla_len(nest), OOO_CTL_METRICS_TEXT);
	if (!a || nla_len(a) < 1)
		return -EPROTO;
	piece = nla_data(a);
	len = strnlen(piece, (size_t)nla_len(a));
	if (t->len + len >= t->room) {
		size_t room = (t->room + len + 4096) * 2;
		char *more = realloc(t->at, room);

		if (!more)
			return -ENOMEM;
		t->at = more;
		t->room = room;
	}
	memcpy(t->at + t->len, piece, len);
	t->len += len;
	t->at[t->len] = '\0';
	return 0;
}

/* Lines and printable ASCII: what is written to a terminal does nothing to it. */
static void clean(struct text *t)
{
	for (size_t i = 0; i < t->len; i++)
		if (t->at[i] != '\n' && (t->at[i] < ' ' || t->at[i] > '~'))
			t->at[i] = '?';
}

/* Is that line "# TYPE NAME counter"? */
static bool is_counter(const char *line, size_t len)
{
	static const char type[] = "# TYPE ", counter[] = " counter";

	return len > sizeof(type) + sizeof(counter) && !strncmp(line, type, sizeof(type) - 1) &&
	       !strncmp(line + len - (sizeof(counter) - 1), counter, sizeof(counter) - 1);
}

/* A family of counters has the name of its samples there; units are unknown, as is the end. TYPE
 * comes first of a family's lines. */
static void print_classic(const char *text, FILE *out)
{
	bool counter = false;

	for (const char *line = text, *next; *line; line = next) {
		size_t len = strcspn(line, "\n"), name = len > 7 ? strcspn(line + 7, " \n") : 0;

		next = line + len + (line[len] == '\n');
		if (!strncmp(line, "# TYPE ", 7))
			counter = is_counter(line, len);
		if (!strncmp(line, "# UNIT ", 7) || !strncmp(line, "# EOF", 5))
			continue;
		if (line[0] == '#' && counter)
			fprintf(out, "%.*s_total%.*s\n", (int)(7 + name), line,
				(int)(len - 7 - name), line + 7 + name);
		else
			fprintf(out, "%.*s\n", (int)len, line);
	}
}

/* key="value", with escapes; returns what follows, NULL if it is something else. */
static char *take_label(char *s, cJSON *labels)
{
	char *key = s, *value, *to;

	s = strchr(s, '=');
	if (!s || s[1] != '"')
		return NULL;
	*s = '\0';
	value = to = s + 2;
	for (s = value; *s && *s != '"'; s++) {
		if (*s == '\\' && s[1])
			s++;
		*to++ = *s;
	}
	if (!*s)
		return NULL;
	*to = '\0';
	return cJSON_AddStringToObject(labels, key, value) ? s + 1 : NULL;
}

/* name{labels} value */
static cJSON *sample(char *line)
{
	cJSON *o = cJSON_CreateObject(), *labels = cJSON_CreateObject();
	char *end = line + strcspn(line, "{ ");
	bool more = *end == '{';

	if (!o || !labels || !cJSON_AddItemToObject(o, "labels", labels)) {
		cJSON_Delete(labels);
		cJSON_Delete(o);
		return NULL;
	}
	*end++ = '\0';
	while (more && end) {
		end = take_label(end, labels);
		more = end && *end == ',';
		end += end != NULL;
	}
	if (end && cJSON_AddStringToObject(o, "metric", line) &&
	    cJSON_AddNumberToObject(o, "value", strtod(end, NULL)))
		return o;
	cJSON_Delete(o);
	return NULL;
}

static cJSON *samples(char *text)
{
	cJSON *list = cJSON_CreateArray();
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line && list;
	     line = strtok_r(NULL, "\n", &save)) {
		cJSON *item = line[0] == '#' ? NULL : sample(line);

		if (line[0] != '#' && (!item || !cJSON_AddItemToArray(list, item))) {
			cJSON_Delete(item);
			cJSON_Delete(list);
			list = NULL;
		}
	}
	return list;
}

enum ctl_exit verb_metrics(struct session *s)
{
	const struct ctl_verb_info *v = &ctl_verbs[s->cmd->verb];
	struct link_request request = { .type = v->type, .reply = v->reply };
	struct text t = { 0 };
	enum ctl_exit code =
		ctl_link_call(s->link, &request, take_piece, &t, s->why, sizeof(s->why));

	if (code == CTL_OK && !t.at) {
		snprintf(s->why, sizeof(s->why), "the agent's answer has no metrics");
		code = CTL_REFUSED;
	}
	if (code == CTL_OK) {
		clean(&t);
		if (!s->cmd->json && s->cmd->has[CTL_ARG_METRICS_SHOW_CLASSIC]) {
			print_classic(t.at, stdout);
		} else if (!s->cmd->json) {
			fputs(t.at, stdout);
		} else if (print_json(stdout, samples(t.at), false)) {
			snprintf(s->why, sizeof(s->why), "out of memory");
			code = CTL_REFUSED;
		}
	}
	free(t.at);
	return code;
}
