// SPDX-License-Identifier: Apache-2.0
/* Usage, from the same tables as the parser and the printers. */
#include <string.h>

#include "ctl/record.h"
#include "ctl/words.h"

#define USAGE_COLUMN 42 /* where sentences start */

static const struct {
	enum ctl_verb verb;
	int attr;
} shows[] = {
#define SHOWS(VERB, GROUP) { CTL_VERB_##VERB, OOO_CTL_A_##GROUP },
#include "shared/abi/verbs.def"
};

static bool is_first(int verb)
{
	for (int i = 0; i < verb; i++)
		if (ctl_verbs[i].object == ctl_verbs[verb].object)
			return false;
	return true;
}

/* " [--interval S]", " FILE" */
static int print_arg_form(FILE *f, const struct ctl_arg_info *arg)
{
	if (!arg->word[0])
		return fprintf(f, " %s", arg->value);
	return fprintf(f, " [%s%s%s]", arg->word, arg->value[0] ? " " : "", arg->value);
}

/* "  stats [show] [--interval S]   sentence"; the sentence on its own line if there is no room. */
static void print_verb(FILE *f, int verb)
{
	const struct ctl_verb_info *v = &ctl_verbs[verb];
	int at = fprintf(f, is_first(verb) ? "  %s [%s]" : "  %s %s", ctl_objects[v->object].word,
			 v->word);

	for (int i = 0; i < NR_CTL_ARGS; i++)
		if (ctl_args[i].verb == (enum ctl_verb)verb)
			at += print_arg_form(f, &ctl_args[i]);
	if (at >= USAGE_COLUMN) {
		fputc('\n', f);
		at = 0;
	}
	fprintf(f, "%*s%s%s\n", USAGE_COLUMN - at, "", v->help,
		!v->local && v->access == OOO_CTL_CHANGE ? " (administrators)" : "");
}

static void print_line(FILE *f, const char *left, const char *right)
{
	fprintf(f, "  %-20s %s\n", left, right);
}

static void print_arg(FILE *f, const char *left, const char *right)
{
	fprintf(f, "      %-*s%s\n", USAGE_COLUMN - 6, left, right);
}

static void print_options(FILE *f)
{
	fputs("\nOptions, anywhere on the line:\n", f);
	print_line(f, "-j, --json", "JSON, with the columns' names as keys");
	print_line(f, "--runtime-dir DIR",
		   "where the agent is published; else $OOO_RUNTIME_DIR, " CTL_DEFAULT_DIR);
	print_line(f, "-h, --help", "this text; behind an object or a verb, more on that");
	print_line(f, "--version", "the release of ooo-ctl");
	fputs("\nExit status: 0 done, 1 refused or failed, 2 wrong words, 3 no agent answers.\n",
	      f);
}

static void print_args(FILE *f, int verb)
{
	char left[64];

	for (int i = 0; i < NR_CTL_ARGS; i++) {
		if (ctl_args[i].verb != (enum ctl_verb)verb)
			continue;
		snprintf(left, sizeof(left), "%s%s%s", ctl_args[i].word,
			 ctl_args[i].word[0] && ctl_args[i].value[0] ? " " : "", ctl_args[i].value);
		print_arg(f, left, ctl_args[i].help);
	}
}

static void print_columns(FILE *f, int verb)
{
	for (size_t i = 0; i < sizeof(shows) / sizeof(shows[0]); i++) {
		const struct group *g = group_find(shows[i].attr);

		if (shows[i].verb != (enum ctl_verb)verb)
			continue;
		fprintf(f, "\n%s %s: what is shown of %s\n",
			ctl_objects[ctl_verbs[verb].object].word, ctl_verbs[verb].word, g->help);
		for (int code = 1; code < OOO_CTL_MAX_FIELDS; code++)
			if (field_shown(&g->fields[code]))
				print_line(f, g->fields[code].key, g->fields[code].help);
	}
}

static void print_object(FILE *f, const struct command *cmd)
{
	int nr = 0;

	fprintf(f, "Usage: ooo-ctl [OPTION]... %s%s%s [ARGUMENT]...\n\n",
		ctl_objects[cmd->object].word, cmd->has_verb ? " " : " [VERB]",
		cmd->has_verb ? ctl_verbs[cmd->verb].word : "");
	for (int i = 0; i < NR_CTL_VERBS; i++) {
		if (ctl_verbs[i].object != cmd->object || (cmd->has_verb && (int)cmd->verb != i))
			continue;
		print_verb(f, i);
		print_args(f, i);
		nr++;
	}
	if (nr > 1)
		fputs("\nThe verb in brackets is meant when none is given.\n", f);
	for (int i = 0; i < NR_CTL_VERBS; i++)
		if (ctl_verbs[i].object == cmd->object && (!cmd->has_verb || (int)cmd->verb == i))
			print_columns(f, i);
}

void usage_print(FILE *f, const struct command *cmd)
{
	if (cmd->has_object) {
		print_object(f, cmd);
		return;
	}
	fputs("Usage: ooo-ctl [OPTION]... OBJECT [VERB] [ARGUMENT]...\n\n"
	      "Words may be shortened as long as they are unique; a verb in brackets is meant when\n"
	      "none is given.\n\n",
	      f);
	for (int i = 0; i < NR_CTL_VERBS; i++)
		print_verb(f, i);
	fputs("  simulate [--help]                       plan capacity: run the scheduler on a virtual "
	      "clock\n"
	      "  calibrate -o FILE [--help]              measure a device for simulate\n",
	      f);
	print_options(f);
}
