// SPDX-License-Identifier: Apache-2.0
/* Words of the command line against the tables; a wrong one is named, with what was expected. */
#include "ctl/words.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "shared/lib/nearest.h"

#define MAX_WORDS 96 /* in one list to choose from */

const struct ctl_object_info ctl_objects[NR_CTL_OBJECTS] = {
#define OBJECT(NAME, word, help) { word, help },
#include "shared/abi/verbs.def"
};

const struct ctl_verb_info ctl_verbs[NR_CTL_VERBS] = {
#define VERB(NAME, OBJECT, word, code, ACCESS, REPLY, help)                                        \
	{                                                                                          \
		CTL_OBJECT_##OBJECT, word, help, OOO_CTL_##NAME, OOO_CTL_##ACCESS,                 \
		OOO_CTL_##REPLY,     false                                                         \
	},
#define LOCAL(NAME, OBJECT, word, help) { CTL_OBJECT_##OBJECT, word, help, 0, 0, 0, true },
#include "shared/abi/verbs.def"
};

const struct ctl_arg_info ctl_args[NR_CTL_ARGS] = {
#define ARG(VERB, NAME, attr, word, VALUE, TYPE, min, max, help)                                   \
	{ CTL_VERB_##VERB, attr, word, VALUE, help, ARG_##TYPE, min, max },
#define LOCAL_ARG ARG
#include "shared/abi/verbs.def"
};

enum {
	OPTION_JSON,
	OPTION_DIR,
	OPTION_HELP,
	OPTION_VERSION,
	NR_OPTIONS
};

static const char *const options[NR_OPTIONS] = { "--json", "--runtime-dir", "--help", "--version" };

_Static_assert(NR_CTL_OBJECTS < MAX_WORDS && NR_CTL_VERBS < MAX_WORDS, "lists to choose from");
_Static_assert(NR_CTL_ARGS + NR_OPTIONS < MAX_WORDS, "lists to choose from");

/* ---- matching -------------------------------------------------------------------------------- */

static const char *bare(const char *word)
{
	return word + strspn(word, "-");
}

static bool begins_with(const char *word, const char *given)
{
	return !strncmp(bare(given), bare(word), strlen(bare(given)));
}

int words_match(const char *given, const char *const *words, int nr)
{
	size_t len = strlen(bare(given));
	int found = WORD_NONE;

	if (!len)
		return WORD_NONE;
	for (int i = 0; i < nr; i++) {
		const char *word = bare(words[i]);

		if (!begins_with(word, given))
			continue;
		if (!word[len])
			return i;
		found = found == WORD_NONE ? i : WORD_AMBIGUOUS;
	}
	return found;
}

int words_nearest(const char *given, const char *const *words, int nr)
{
	return nearest_word(given, words, nr);
}

/* ---- messages -------------------------------------------------------------------------------- */

struct text {
	char *at;
	size_t left;
};

static void add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct text *t, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(t->at, t->left, fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= t->left)
		n = t->left ? (int)t->left - 1 : 0;
	t->at += n;
	t->left -= (size_t)n;
}

int words_wrong(const char *given, const char *what, const char *const *words, int nr, int match,
		char *why, size_t why_bytes)
{
	struct text t = { why, why_bytes };
	int near = words_nearest(given, words, nr), listed = 0, of = 0;

	for (int i = 0; i < nr; i++)
		of += match == WORD_NONE || begins_with(words[i], given);
	if (match == WORD_AMBIGUOUS)
		add(&t, "'%s' may be ", given);
	else if (nr)
		add(&t, "'%s' is no %s: expected ", given, what);
	else
		add(&t, "'%s' is one word too many", given);
	for (int i = 0; i < nr; i++) {
		if (match == WORD_AMBIGUOUS && !begins_with(words[i], given))
			continue;
		add(&t, "%s%s", listed == 0 ? "" : listed == of - 1 ? " or " : ", ", words[i]);
		listed++;
	}
	if (match == WORD_AMBIGUOUS)
		add(&t, ": add letters");
	else if (near >= 0)
		add(&t, "; did you mean '%s'?", words[near]);
	return -EINVAL;
}

/* ---- the command line ------------------------------------------------------------------------ */

struct parser {
	char *const *argv;
	int argc, at;
	struct command *cmd;
	char *why;
	size_t why_bytes;
};

/* A word split at '=', for --interval=2. */
struct word {
	char text[256];
	const char *value; /* in argv; NULL without '=' */
};

static int split(struct parser *p, const char *given, struct word *w)
{
	const char *eq = given[0] == '-' ? strchr(given, '=') : NULL;
	size_t len = eq ? (size_t)(eq - given) : strlen(given);

	if (len >= sizeof(w->text)) {
		snprintf(p->why, p->why_bytes,
			 "'%.32s...' is no word of ooo-ctl: see ooo-ctl --help", given);
		return -EINVAL;
	}
	memcpy(w->text, given, len);
	w->text[len] = '\0';
	w->value = eq ? eq + 1 : NULL;
	return 0;
}

/* The value of the word just read: behind '=' or the next word. */
static const char *take_value(struct parser *p, const struct word *w, const char *name,
			      const char *value_name)
{
	if (w->value)
		return w->value;
	if (p->at < p->argc)
		return p->argv[p->at++];
	snprintf(p->why, p->why_bytes, "%s: %s is missing", name, value_name);
	return NULL;
}

static int no_value(struct parser *p, const struct word *w, const char *name)
{
	if (!w->value)
		return 0;
	snprintf(p->why, p->why_bytes, "%s takes no value", name);
	return -EINVAL;
}

static int take_option(struct parser *p, int option, const struct word *w)
{
	struct command *cmd = p->cmd;
	const char *dir;

	switch (option) {
	case OPTION_JSON:
		cmd->json = true;
		break;
	case OPTION_HELP:
		cmd->help = true;
		break;
	case OPTION_VERSION:
		cmd->version = true;
		break;
	default:
		dir = take_value(p, w, options[OPTION_DIR], "DIR");
		if (!dir)
			return -EINVAL;
		if (!*dir) {
			snprintf(p->why, p->why_bytes, "--runtime-dir: DIR is empty");
			return -EINVAL;
		}
		cmd->runtime_dir = dir;
		return 0;
	}
	return no_value(p, w, options[option]);
}

static int take_arg(struct parser *p, enum ctl_arg id, const struct word *w)
{
	const struct ctl_arg_info *arg = &ctl_args[id];
	struct command *cmd = p->cmd;
	const char *value;

	if (cmd->has[id]) {
		snprintf(p->why, p->why_bytes, "%s is given twice", arg->word);
		return -EINVAL;
	}
	cmd->has[id] = true;
	if (arg->type == ARG_FLAG)
		return no_value(p, w, arg->word);
	value = take_value(p, w, arg->word, arg->value);
	if (!value)
		return -EINVAL;
	cmd->text[id] = value;
	return words_value(arg, &cmd->text[id], &cmd->value[id], p->why, p->why_bytes);
}

static void first_verb(struct command *cmd)
{
	int i = 0;

	while (ctl_verbs[i].object != cmd->object)
		i++;
	cmd->verb = (enum ctl_verb)i;
}

static int take_object(struct parser *p, const char *given)
{
	const char *words[MAX_WORDS];
	int match;

	for (int i = 0; i < NR_CTL_OBJECTS; i++)
		words[i] = ctl_objects[i].word;
	match = words_match(given, words, NR_CTL_OBJECTS);
	if (match < 0)
		return words_wrong(given, "object", words, NR_CTL_OBJECTS, match, p->why,
				   p->why_bytes);
	p->cmd->has_object = true;
	p->cmd->object = (enum ctl_object)match;
	first_verb(p->cmd);
	return 0;
}

/* The verb's argument that stands alone; -1: it has none, or it was given. */
static int lone_arg(const struct command *cmd)
{
	for (int i = 0; i < NR_CTL_ARGS; i++)
		if (ctl_args[i].verb == cmd->verb && !ctl_args[i].word[0] && !cmd->has[i])
			return i;
	return -1;
}

static int take_lone(struct parser *p, enum ctl_arg id)
{
	struct command *cmd = p->cmd;

	cmd->has[id] = true;
	cmd->text[id] = p->argv[p->at - 1];
	return words_value(&ctl_args[id], &cmd->text[id], &cmd->value[id], p->why, p->why_bytes);
}

/* A verb of the object, or an argument of the verb (of the first verb, if none was named). */
static int take_word(struct parser *p, const struct word *w)
{
	struct command *cmd = p->cmd;
	const char *words[MAX_WORDS];
	int ids[MAX_WORDS], nr_verbs = 0, nr = 0, match;
	char what[64];

	if (cmd->has_verb && !(w->text[0] == '-' && w->text[1]) && lone_arg(cmd) >= 0)
		return take_lone(p, (enum ctl_arg)lone_arg(cmd));
	for (int i = 0; i < NR_CTL_VERBS && !cmd->has_verb; i++) {
		if (ctl_verbs[i].object != cmd->object)
			continue;
		words[nr_verbs] = ctl_verbs[i].word;
		ids[nr_verbs++] = i;
	}
	nr = nr_verbs;
	for (int i = 0; i < NR_CTL_ARGS; i++) {
		if (ctl_args[i].verb != cmd->verb || !ctl_args[i].word[0])
			continue;
		words[nr] = ctl_args[i].word;
		ids[nr++] = i;
	}
	match = words_match(w->text, words, nr);
	snprintf(what, sizeof(what), "%s of %s%s%s", cmd->has_verb ? "argument" : "verb",
		 ctl_objects[cmd->object].word, cmd->has_verb ? " " : "",
		 cmd->has_verb ? ctl_verbs[cmd->verb].word : "");
	if (match < 0)
		return words_wrong(w->text, what, words, nr, match, p->why, p->why_bytes);
	if (match >= nr_verbs) {
		cmd->has_verb = true;
		return take_arg(p, (enum ctl_arg)ids[match], w);
	}
	cmd->has_verb = true;
	cmd->verb = (enum ctl_verb)ids[match];
	return no_value(p, w, w->text);
}

/* With dashes: an option of ooo-ctl, else an argument of the verb. */
static int take_dashed(struct parser *p, const struct word *w)
{
	const char *words[MAX_WORDS];
	int nr = 0, match;

	if (!strcmp(w->text, "-h"))
		return take_option(p, OPTION_HELP, w);
	if (!strcmp(w->text, "-j"))
		return take_option(p, OPTION_JSON, w);
	for (; nr < NR_OPTIONS; nr++)
		words[nr] = options[nr];
	for (int i = 0; i < NR_CTL_ARGS; i++)
		if (p->cmd->has_object && ctl_args[i].verb == p->cmd->verb && ctl_args[i].word[0])
			words[nr++] = ctl_args[i].word;
	match = words_match(w->text, words, nr);
	if (match < 0)
		return words_wrong(w->text, "option", words, nr, match, p->why, p->why_bytes);
	return match < NR_OPTIONS ? take_option(p, match, w) : take_word(p, w);
}

int words_parse(int argc, char *const *argv, struct command *cmd, char *why, size_t why_bytes)
{
	struct parser p = { argv, argc, 0, cmd, why, why_bytes };
	const char *dir = getenv("OOO_RUNTIME_DIR");
	struct word w;
	int err = 0;

	memset(cmd, 0, sizeof(*cmd));
	cmd->runtime_dir = dir && *dir ? dir : CTL_DEFAULT_DIR;
	while (p.at < argc && !err) {
		err = split(&p, argv[p.at++], &w);
		if (err)
			break;
		if (w.text[0] == '-' && w.text[1])
			err = take_dashed(&p, &w);
		else if (!strcmp(w.text, "help"))
			cmd->help = true;
		else if (!cmd->has_object)
			err = take_object(&p, w.text);
		else
			err = take_word(&p, &w);
	}
	if (err || cmd->help || cmd->version || cmd->has_object)
		return err;
	snprintf(why, why_bytes, "an object is missing: see ooo-ctl --help");
	return -EINVAL;
}
