// SPDX-License-Identifier: Apache-2.0
/* Tables as troff. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/options.h"
#include "ctl/gen/gen.h"
#include "ctl/record.h"
#include "ctl/words.h"

static const struct {
	enum ctl_verb verb;
	int attr;
} shows[] = {
#define SHOWS(VERB, GROUP) { CTL_VERB_##VERB, OOO_CTL_A_##GROUP },
#include "shared/abi/verbs.def"
};

/* A tagged paragraph. */
static void item(FILE *f, const char *tag, const char *value, const char *text)
{
	fputs(".TP\n.B ", f);
	gen_text(f, tag);
	if (value && *value) {
		fputs(" \\fI", f);
		gen_text(f, value);
		fputs("\\fR", f);
	}
	fputc('\n', f);
	gen_text(f, text);
	fputc('\n', f);
}

static void objects(FILE *f)
{
	char tag[64];

	for (int i = 0; i < NR_CTL_OBJECTS; i++) {
		snprintf(tag, sizeof(tag), "%s", ctl_objects[i].word);
		item(f, tag, NULL, ctl_objects[i].help);
		fprintf(f, "See \\fBooo\\-ctl\\-%s\\fR(8).\n", ctl_objects[i].word);
	}
}

/* No verb of its object stands before it. */
static bool is_first(int v)
{
	for (int i = 0; i < v; i++)
		if (ctl_verbs[i].object == ctl_verbs[v].object)
			return false;
	return true;
}

static void verb(FILE *f, int v)
{
	const struct ctl_verb_info *info = &ctl_verbs[v];
	bool first = is_first(v);

	fprintf(f, ".SS %s %s\n", ctl_objects[info->object].word, info->word);
	gen_text(f, info->help);
	fputs(".\n", f);
	if (first)
		fputs("The word may be left out.\n", f);
	if (!info->local && info->access == OOO_CTL_CHANGE)
		fputs("For administrators.\n", f);
	else if (!info->local && info->access == OOO_CTL_OWN)
		fputs("Who is no administrator sees his own tenants only.\n", f);
	for (int i = 0; i < NR_CTL_ARGS; i++)
		if (ctl_args[i].verb == (enum ctl_verb)v)
			item(f, ctl_args[i].word[0] ? ctl_args[i].word : ctl_args[i].value,
			     ctl_args[i].word[0] ? ctl_args[i].value : NULL, ctl_args[i].help);
}

static void fields(FILE *f, int object)
{
	for (size_t i = 0; i < sizeof(shows) / sizeof(shows[0]); i++) {
		const struct group *g = group_find(shows[i].attr);

		if (ctl_verbs[shows[i].verb].object != (enum ctl_object)object)
			continue;
		fprintf(f, ".SS %s %s: ", ctl_objects[object].word, ctl_verbs[shows[i].verb].word);
		gen_text(f, g->help);
		fputc('\n', f);
		for (int code = 1; code < OOO_CTL_MAX_FIELDS; code++)
			if (field_shown(&g->fields[code]))
				item(f, g->fields[code].key, NULL, g->fields[code].help);
	}
}

static bool has_fields(int object)
{
	for (size_t i = 0; i < sizeof(shows) / sizeof(shows[0]); i++)
		if (ctl_verbs[shows[i].verb].object == (enum ctl_object)object)
			return true;
	return false;
}

static void copy_prose(FILE *f, const char *path)
{
	FILE *from = fopen(path, "re");
	char line[4096], name[64];

	while (from && fgets(line, sizeof(line), from)) {
		if (sscanf(line, "@table %63s", name) == 1)
			gen_table(f, name, "");
		else
			fputs(line, f);
	}
	if (from)
		fclose(from);
}

void gen_object_page(FILE *f, int object, const char *prose_path)
{
	const char *word = ctl_objects[object].word;

	fputs(".\\\" SPDX-License-Identifier: Apache-2.0\n", f);
	fprintf(f, ".TH OOO\\-CTL\\-%s 8 \"\" \"OoO %s\" \"Administration\"\n", word, OOO_RELEASE);
	fprintf(f, ".SH NAME\nooo\\-ctl\\-%s \\- ", word);
	gen_text(f, ctl_objects[object].help);
	fprintf(f,
		"\n.SH SYNOPSIS\n.B ooo\\-ctl\n[\\fIoption\\fR]...\n.B %s\n"
		"[\\fIverb\\fR] [\\fIargument\\fR]...\n.SH VERBS\n",
		word);
	for (int v = 0; v < NR_CTL_VERBS; v++)
		if (ctl_verbs[v].object == (enum ctl_object)object)
			verb(f, v);
	if (has_fields(object)) {
		fputs(".SH WHAT IS SHOWN\nColumns, and the keys of \\fB\\-\\-json\\fR.\n", f);
		fields(f, object);
	}
	copy_prose(f, prose_path);
	fputs(".SH SEE ALSO\n.BR ooo\\-ctl (8)\nfor options, units and exit status,\n"
	      ".BR ooo\\-agent (8)\n",
	      f);
}

static void columns(FILE *f)
{
#define COLUMN(NAME, key, width, help) item(f, key, NULL, help);
#include "ctl/top.def"
}

static void checks(FILE *f)
{
#define CHECK(NAME, key, why) item(f, key, NULL, why);
#include "ctl/doctor.def"
}

static void metrics(FILE *f)
{
	enum {
		COUNTER,
		GAUGE,
		INFO,
		HISTOGRAM,
		STAGES
	};
	static const char *const notes[] = { [HISTOGRAM] = "histogram", [STAGES] = "by stage" };

#define METRIC(SCOPE, TYPE, name, unit, VALUE, help)                                               \
	item(f, TYPE == COUNTER || TYPE == STAGES ? #name "_total" : #name, notes[TYPE], help);
#include "agent/watch/metrics.def"
}

static void statuses(FILE *f)
{
	char tag[64];

#define STATUS(NAME, code, key, help)                                                              \
	snprintf(tag, sizeof(tag), "%s", key);                                                     \
	item(f, tag, #code, help);
#include "shared/abi/status.def"
#undef STATUS
}

#define OPTION(ID, name, arg, help) item(f, "--" name, arg, help);

static void run_options(FILE *f)
{
#include "ctl/run/options.def"
}

static void simulate_options(FILE *f)
{
#include "ctl/sim/options.def"
}

static void calibrate_options(FILE *f)
{
#include "ctl/sim/calibrate.def"
}

/* From its usage, whose lines are made from its table. */
static int agent_options(FILE *f)
{
	char *text = NULL, *save = NULL, tag[64], rest[64];
	size_t bytes;
	FILE *usage = open_memstream(&text, &bytes);

	if (!usage)
		return -1;
	options_usage(usage);
	fclose(usage);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *arg = line + strcspn(line + 2, " ") + 2, *help;

		if (strncmp(line, "  --", 4) != 0)
			continue;
		snprintf(tag, sizeof(tag), "%.*s", (int)(arg - line - 2), line + 2);
		/* The argument stands one blank behind, the sentence further. */
		rest[0] = '\0';
		help = arg;
		if (arg[0] == ' ' && arg[1] != ' ') {
			size_t len = strcspn(arg + 1, " ");

			snprintf(rest, sizeof(rest), "%.*s", (int)len, arg + 1);
			help = arg + 1 + len;
		}
		item(f, tag, rest, help + strspn(help, " "));
	}
	free(text);
	return 0;
}

int gen_table(FILE *f, const char *name, const char *arg)
{
	static const struct {
		const char *name;
		void (*put)(FILE *f);
	} tables[] = {
		{ "objects", objects },
		{ "columns", columns },
		{ "checks", checks },
		{ "metrics", metrics },
		{ "statuses", statuses },
		{ "run-options", run_options },
		{ "simulate-options", simulate_options },
		{ "calibrate-options", calibrate_options },
	};

	(void)arg;
	if (!strcmp(name, "agent-options"))
		return agent_options(f);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		if (!strcmp(name, tables[i].name)) {
			tables[i].put(f);
			return 0;
		}
	}
	return -1;
}

/* ---- a header -------------------------------------------------------------------------------- */

/* What a line of a comment says, without its marks. */
static char *comment_text(char *line)
{
	char *end;

	line += strspn(line, " \t");
	line += strspn(line, "/*");
	line += strspn(line, " ");
	end = strstr(line, "*/");
	if (end)
		*end = '\0';
	line[strcspn(line, "\n")] = '\0';
	return line;
}

int gen_header(FILE *f, const char *path)
{
	FILE *from = fopen(path, "re");
	bool inside = false, comment = false, code = false;
	char line[1024];

	if (!from)
		return -1;
	while (fgets(line, sizeof(line), from)) {
		bool ends = strstr(line, "*/");

		if (!strncmp(line, "#pragma GCC visibility", 22)) {
			inside = strstr(line, "push");
			continue;
		}
		if (!inside || line[0] == '#' || !strncmp(line, "/* --", 5))
			continue;
		if (comment || !strncmp(line, "/*", 2)) {
			if (!comment)
				fputs(code ? ".fi\n.PP\n" : ".PP\n", f);
			code = false;
			comment = !ends;
			gen_text(f, comment_text(line));
			fputc('\n', f);
		} else if (line[0] != '\n') {
			if (!code)
				fputs(".PP\n.nf\n", f);
			code = true;
			gen_text(f, line);
		}
	}
	if (code)
		fputs(".fi\n", f);
	fclose(from);
	return 0;
}
