// SPDX-License-Identifier: Apache-2.0
/*
 * Completion of ooo-ctl. One function, in words that bash and zsh both know, prints what may come
 * next; names of what is there now it asks the agent for.
 */
#include <string.h>

#include "ctl/gen/gen.h"
#include "ctl/words.h"

static const char names[] =
	"# What the agent has: the values of a key in a list.\n"
	"_ooo_ctl_names()\n"
	"{\n"
	"\tooo-ctl \"$1\" list --json 2>/dev/null |\n"
	"\t\tsed -n 's/^[^\"]*\"'\"$2\"'\":[[:space:]]*\"\\{0,1\\}\\([^\",]*\\)\"\\{0,1\\},\\{0,1\\}$/\\1/p' | sort -u\n"
	"}\n\n";

/* "tenant list|tenant )" for the first verb, which may be left out. */
static void put_verb_case(FILE *f, int v)
{
	const struct ctl_verb_info *info = &ctl_verbs[v];
	const char *object = ctl_objects[info->object].word;
	bool first = true;

	for (int i = 0; i < v; i++)
		first &= ctl_verbs[i].object != info->object;
	fprintf(f, "\t'%s %s'", object, info->word);
	if (first)
		fprintf(f, " | '%s '", object);
	fputs(")\n\t\techo", f);
	for (int i = 0; i < NR_CTL_ARGS; i++)
		if (ctl_args[i].verb == (enum ctl_verb)v && ctl_args[i].word[0])
			fprintf(f, " %s", ctl_args[i].word);
	for (int i = 0; i < NR_CTL_ARGS; i++)
		if (ctl_args[i].verb == (enum ctl_verb)v && !ctl_args[i].word[0] &&
		    !strncmp(ctl_args[i].value, "NAME", 4))
			fprintf(f, "\n\t\t_ooo_ctl_names %s name", object);
	fputs("\n\t\t;;\n", f);
}

/* Values like "off|auto|on". Those with capitals stand for something else, like TIME. */
static void put_choices(FILE *f)
{
	for (int i = 0; i < NR_CTL_ARGS; i++) {
		const char *value = ctl_args[i].value;

		if (!ctl_args[i].word[0] || !strchr(value, '|') ||
		    value[strcspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")])
			continue;
		fprintf(f, "\t%s)\n\t\techo ", ctl_args[i].word);
		for (; *value; value++)
			fputc(*value == '|' ? ' ' : *value, f);
		fputs("\n\t\treturn\n\t\t;;\n", f);
	}
}

static void put_function(FILE *f)
{
	fputs("# _ooo_ctl_next OBJECT VERB PREVIOUS: what may come now, a word a line or many.\n"
	      "_ooo_ctl_next()\n{\n"
	      "\tcase $3 in\n"
	      "\ttenant)\n\t\t[ \"$1\" = tenant ] && [ -z \"$2\" ] || {\n"
	      "\t\t\t_ooo_ctl_names tenant name\n\t\t\t_ooo_ctl_names tenant tenant\n"
	      "\t\t\treturn\n\t\t}\n\t\t;;\n"
	      "\tprogram)\n\t\t[ \"$1\" = program ] && [ -z \"$2\" ] || {\n"
	      "\t\t\t_ooo_ctl_names program name\n\t\t\treturn\n\t\t}\n\t\t;;\n"
	      "\tpartition)\n\t\t[ \"$1\" = partition ] && [ -z \"$2\" ] || {\n"
	      "\t\t\t_ooo_ctl_names partition name\n\t\t\treturn\n\t\t}\n\t\t;;\n"
	      "\t--sort)\n\t\techo",
	      f);
#define COLUMN(NAME, key, width, help) fputs(" " key, f);
#include "ctl/top.def"
	fputs("\n\t\treturn\n\t\t;;\n", f);
	put_choices(f);
	fputs("\tesac\n"
	      "\techo --json --runtime-dir --help --version\n"
	      "\tif [ -z \"$1\" ]; then\n\t\techo",
	      f);
	for (int i = 0; i < NR_CTL_OBJECTS; i++)
		fprintf(f, " %s", ctl_objects[i].word);
	fputs(" simulate calibrate\n\t\treturn\n\tfi\n\tif [ -z \"$2\" ]; then\n\t\tcase $1 in\n",
	      f);
	for (int i = 0; i < NR_CTL_OBJECTS; i++) {
		fprintf(f, "\t\t%s) echo", ctl_objects[i].word);
		for (int v = 0; v < NR_CTL_VERBS; v++)
			if (ctl_verbs[v].object == (enum ctl_object)i)
				fprintf(f, " %s", ctl_verbs[v].word);
		fputs(" ;;\n", f);
	}
	fputs("\t\tesac\n\tfi\n\tcase \"$1 $2\" in\n", f);
	for (int v = 0; v < NR_CTL_VERBS; v++)
		put_verb_case(f, v);
	fputs("\tesac\n}\n\n", f);
}

static void put_is_verb(FILE *f)
{
	fputs("_ooo_ctl_is_verb()\n{\n\tcase \"$1 $2\" in\n", f);
	for (int v = 0; v < NR_CTL_VERBS; v++)
		fprintf(f, "\t%s'%s %s'", v ? "| " : "", ctl_objects[ctl_verbs[v].object].word,
			ctl_verbs[v].word);
	fputs(") return 0 ;;\n\tesac\n\treturn 1\n}\n\n", f);
}

/* Finds object and verb among the words in front of the cursor. */
static const char place[] =
	"# _ooo_ctl_place WORD...: sets object, verb and previous from the words before the cursor.\n"
	"_ooo_ctl_place()\n"
	"{\n"
	"\tobject= verb= previous=\n"
	"\tfor word in \"$@\"; do\n"
	"\t\tcase $previous:$word in\n"
	"\t\t--runtime-dir:* | *:-*) ;;\n"
	"\t\t*)\n"
	"\t\t\tif [ -z \"$object\" ]; then\n"
	"\t\t\t\tobject=$word\n"
	"\t\t\telif [ -z \"$verb\" ] && _ooo_ctl_is_verb \"$object\" \"$word\"; then\n"
	"\t\t\t\tverb=$word\n"
	"\t\t\tfi\n"
	"\t\t\t;;\n"
	"\t\tesac\n"
	"\t\tprevious=$word\n"
	"\tdone\n"
	"}\n\n";

static void put_common(FILE *f)
{
	fputs(names, f);
	put_function(f);
	put_is_verb(f);
	fputs(place, f);
}

void gen_bash(FILE *f)
{
	fputs("# SPDX-License-Identifier: Apache-2.0\n# Completion of ooo-ctl in bash.\n\n", f);
	put_common(f);
	fputs("_ooo_ctl()\n{\n"
	      "\tlocal object verb previous word IFS=$' \\t\\n'\n\n"
	      "\t_ooo_ctl_place \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"\n"
	      "\tif [ \"$previous\" = --runtime-dir ]; then\n"
	      "\t\tmapfile -t COMPREPLY < <(compgen -d -- \"${COMP_WORDS[COMP_CWORD]}\")\n"
	      "\t\treturn\n\tfi\n"
	      "\tmapfile -t COMPREPLY < <(compgen -W \"$(_ooo_ctl_next \"$object\" \"$verb\" \"$previous\")\" \\\n"
	      "\t\t-- \"${COMP_WORDS[COMP_CWORD]}\")\n"
	      "}\n"
	      "complete -F _ooo_ctl ooo-ctl\n",
	      f);
}

void gen_zsh(FILE *f)
{
	fputs("#compdef ooo-ctl\n# SPDX-License-Identifier: Apache-2.0\n\n", f);
	put_common(f);
	fputs("local object verb previous word\n"
	      "_ooo_ctl_place \"${(@)words[2,CURRENT-1]}\"\n"
	      "if [[ $previous == --runtime-dir ]]; then\n\t_files -/\nelse\n"
	      "\tcompadd -- ${=\"$(_ooo_ctl_next \"$object\" \"$verb\" \"$previous\")\"}\nfi\n",
	      f);
}
