// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/print.h"

/* Headings are bold on a terminal that can be; see no-color.org for the variable. */
static bool bold(FILE *f)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fileno(f)) && !(no_color && *no_color) && term && strcmp(term, "dumb") != 0;
}

static int column_width(const struct records *rs, const struct group *group, int code)
{
	const struct field *f = &group->fields[code];
	char buf[FIELD_TEXT_BYTES];
	size_t width = strlen(f->key);

	for (size_t i = 0; i < rs->nr; i++) {
		size_t len;

		if (rs->list[i].group != group)
			continue;
		len = strlen(value_text(f, &rs->list[i].values[code], buf));
		if (len > width)
			width = len;
	}
	return (int)width;
}

static int last_column(const struct group *group)
{
	int last = 0;

	for (int code = 1; code < OOO_CTL_MAX_FIELDS; code++)
		if (field_shown(&group->fields[code]))
			last = code;
	return last;
}

/* r NULL: the heading. No blanks at the end of a line. */
static void print_row(FILE *f, const struct group *group, const struct record *r, const int *widths,
		      int last)
{
	char buf[FIELD_TEXT_BYTES];
	const char *gap = "";

	for (int code = 1; code <= last; code++) {
		const struct field *fl = &group->fields[code];
		const char *text;

		if (!field_shown(fl))
			continue;
		text = r ? value_text(fl, &r->values[code], buf) : fl->key;
		if (!field_is_text(fl))
			fprintf(f, "%s%*s", gap, widths[code], text);
		else if (code == last)
			fprintf(f, "%s%s", gap, text);
		else
			fprintf(f, "%s%-*s", gap, widths[code], text);
		gap = "  ";
	}
	fputc('\n', f);
}

void print_table(FILE *f, const struct records *rs, const struct group *group)
{
	int widths[OOO_CTL_MAX_FIELDS] = { 0 }, last = last_column(group);
	bool strong = bold(f);

	for (int code = 1; code <= last; code++)
		if (field_shown(&group->fields[code]))
			widths[code] = column_width(rs, group, code);
	if (strong)
		fputs("\033[1m", f);
	print_row(f, group, NULL, widths, last);
	if (strong)
		fputs("\033[0m", f);
	for (size_t i = 0; i < rs->nr; i++)
		if (rs->list[i].group == group)
			print_row(f, group, &rs->list[i], widths, last);
}

void print_screen(FILE *f, const struct records *rs, const struct group *group)
{
	char buf[FIELD_TEXT_BYTES];
	int width = 0;

	for (int code = 1; code < OOO_CTL_MAX_FIELDS; code++)
		if (field_shown(&group->fields[code]) &&
		    (int)strlen(group->fields[code].key) > width)
			width = (int)strlen(group->fields[code].key);
	for (size_t i = 0; i < rs->nr; i++) {
		if (rs->list[i].group != group)
			continue;
		for (int code = 1; code < OOO_CTL_MAX_FIELDS; code++) {
			const struct field *fl = &group->fields[code];

			if (field_shown(fl))
				fprintf(f, "%-*s  %s\n", width, fl->key,
					value_text(fl, &rs->list[i].values[code], buf));
		}
	}
}
