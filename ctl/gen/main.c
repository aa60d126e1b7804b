// SPDX-License-Identifier: Apache-2.0
/*
 * ooo-gen PROSE_DIR OUT_DIR: OUT_DIR/manN/NAME.N for each PROSE_DIR/NAME.N.in, and for each object
 * of ooo-ctl; OUT_DIR/completion/ooo-ctl and _ooo-ctl.
 *
 * In the prose a line "@table NAME [ARGUMENT]" stands for that table, "@release" within a line for the
 * release, and "@header PATH" for the functions of a header.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/gen/gen.h"
#include "ctl/words.h"

static void die(const char *what, const char *why)
{
	fprintf(stderr, "ooo-gen: %s: %s\n", what, why);
	exit(EXIT_FAILURE);
}

void gen_text(FILE *f, const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", f);
	for (; *text; text++) {
		if (*text == '\\')
			fputs("\\e", f);
		else if (*text == '-')
			fputs("\\-", f);
		else
			fputc(*text, f);
		if (*text == '\n' && (text[1] == '.' || text[1] == '\''))
			fputs("\\&", f);
	}
}

static FILE *create(const char *dir, const char *sub, const char *name)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, sub);
	if (mkdir(path, 0777) && errno != EEXIST)
		die(path, strerror(errno));
	snprintf(path, sizeof(path), "%s/%s/%s", dir, sub, name);
	f = fopen(path, "we");
	if (!f)
		die(path, strerror(errno));
	return f;
}

static void finish(FILE *f, const char *name)
{
	if (ferror(f) || fclose(f))
		die(name, "cannot be written");
}

static void put_line(FILE *f, char *line, const char *from)
{
	char *release = strstr(line, "@release"), name[64], arg[256] = "";

	if (sscanf(line, "@table %63s %255s", name, arg) >= 1) {
		if (gen_table(f, name, arg))
			die(from, line);
	} else if (sscanf(line, "@header %255s", arg) == 1) {
		if (gen_header(f, arg))
			die(arg, strerror(errno));
	} else if (release) {
		*release = '\0';
		fprintf(f, "%s%s%s", line, OOO_RELEASE, release + strlen("@release"));
	} else {
		fputs(line, f);
	}
}

static void page(const char *prose_dir, const char *name, const char *out)
{
	char path[4096], line[4096], section[8];
	size_t len = strlen(name) - strlen(".in");
	FILE *from, *to;

	snprintf(path, sizeof(path), "%s/%s", prose_dir, name);
	from = fopen(path, "re");
	if (!from)
		die(path, strerror(errno));
	snprintf(section, sizeof(section), "man%c", name[len - 1]);
	snprintf(path, sizeof(path), "%.*s", (int)len, name);
	to = create(out, section, path);
	while (fgets(line, sizeof(line), from))
		put_line(to, line, name);
	fclose(from);
	finish(to, path);
}

static void object_pages(const char *prose_dir, const char *out)
{
	char name[128], prose[4096];

	for (int i = 0; i < NR_CTL_OBJECTS; i++) {
		FILE *f;

		snprintf(name, sizeof(name), "ooo-ctl-%s.8", ctl_objects[i].word);
		snprintf(prose, sizeof(prose), "%s/%s.roff", prose_dir, ctl_objects[i].word);
		f = create(out, "man8", name);
		gen_object_page(f, i, prose);
		finish(f, name);
	}
}

int main(int argc, char **argv)
{
	const struct dirent *e;
	DIR *dir;
	FILE *f;

	if (argc != 3)
		die("usage", "ooo-gen PROSE_DIR OUT_DIR");
	if (mkdir(argv[2], 0777) && errno != EEXIST)
		die(argv[2], strerror(errno));
	dir = opendir(argv[1]);
	if (!dir)
		die(argv[1], strerror(errno));
	while ((e = readdir(dir))) {
		size_t len = strlen(e->d_name);

		if (len > 5 && !strcmp(e->d_name + len - 3, ".in"))
			page(argv[1], e->d_name, argv[2]);
	}
	closedir(dir);
	object_pages(argv[1], argv[2]);
	f = create(argv[2], "completion", "ooo-ctl");
	gen_bash(f);
	finish(f, "ooo-ctl");
	f = create(argv[2], "completion", "_ooo-ctl");
	gen_zsh(f);
	finish(f, "_ooo-ctl");
	return 0;
}
