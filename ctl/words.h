/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of ooo-ctl, made from shared/abi/verbs.def: words in, one struct command out. */
#ifndef OOO_CTL_WORDS_H
#define OOO_CTL_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "shared/abi/control.h"

#define CTL_DEFAULT_DIR "/run/ooo"

enum ctl_exit {
	CTL_OK = 0,
	CTL_REFUSED = 1,
	CTL_USAGE = 2,
	CTL_NO_AGENT = 3,
};

enum ctl_object {
#define OBJECT(NAME, word, help) CTL_OBJECT_##NAME,
#include "shared/abi/verbs.def"
	NR_CTL_OBJECTS
};

enum ctl_verb {
#define VERB(NAME, OBJECT, word, code, ACCESS, REPLY, help) CTL_VERB_##NAME,
#define LOCAL(NAME, OBJECT, word, help)                     CTL_VERB_##NAME,
#include "shared/abi/verbs.def"
	NR_CTL_VERBS
};

enum ctl_arg {
#define ARG(VERB, NAME, attr, word, VALUE, TYPE, min, max, help) CTL_ARG_##VERB##_##NAME,
#define LOCAL_ARG                                                ARG
#include "shared/abi/verbs.def"
	NR_CTL_ARGS
};

enum arg_type {
	ARG_U32,
	ARG_COUNT,
	ARG_SECONDS, /* value in thousandths */
	ARG_TIME,    /* value in ns */
	ARG_SIZE,    /* bytes */
	ARG_RATE,    /* per second */
	ARG_PERCENT, /* thousandths of the whole */
	ARG_WORD,    /* place in the list */
	ARG_FLAG,
	ARG_TEXT,   /* in text[] */
	ARG_TENANT, /* in text[]; an id also in value[] */
};

struct ctl_object_info {
	const char *word, *help;
};

struct ctl_verb_info {
	enum ctl_object object;
	const char *word, *help;
	uint16_t type;  /* enum ooo_ctl_type */
	uint8_t access; /* enum ooo_ctl_access */
	uint8_t reply;  /* enum ooo_ctl_reply */
	bool local;     /* no agent is asked: type, access and reply say nothing */
};

struct ctl_arg_info {
	enum ctl_verb verb;
	int attr; /* enum ooo_ctl_attr, 0: not sent */
	const char *word, *value, *help;
	enum arg_type type;
	uint64_t min, max;
};

extern const struct ctl_object_info ctl_objects[NR_CTL_OBJECTS];
extern const struct ctl_verb_info ctl_verbs[NR_CTL_VERBS];
extern const struct ctl_arg_info ctl_args[NR_CTL_ARGS];

struct command {
	bool help, version, json;
	const char *runtime_dir; /* never NULL after words_parse() */
	bool has_object, has_verb;
	enum ctl_object object;
	enum ctl_verb verb; /* the object's first if none was named */
	bool has[NR_CTL_ARGS];
	uint64_t value[NR_CTL_ARGS];
	const char *text[NR_CTL_ARGS]; /* in argv */
};

/* argv without the program's name. 0, or -EINVAL with a sentence in why. */
int words_parse(int argc, char *const *argv, struct command *cmd, char *why, size_t why_bytes);

/* "5ms", "1.5s", "2h" in nanoseconds; the unit is required. */
bool words_time(const char *text, uint64_t *ns);
/* A number that may be a tenant's? Else it is a name. */
bool words_is_id(const char *text);
/* The value of an argument; `none` leaves 0 and an empty text. 0, or -EINVAL with a sentence. */
int words_value(const struct ctl_arg_info *arg, const char **text, uint64_t *out, char *why,
		size_t why_bytes);

#define WORD_NONE      (-1)
#define WORD_AMBIGUOUS (-2)

/* The index of the one word that is `given` or that alone begins with it. Dashes in front do not
 * count. */
int words_match(const char *given, const char *const *words, int nr);
/* The index of the word most like `given`; WORD_NONE if none is alike. */
int words_nearest(const char *given, const char *const *words, int nr);
/* -EINVAL with a sentence: what kind of word was expected ("object", "verb of tenant"), which ones
 * there are, and the nearest. match: what words_match() said. */
int words_wrong(const char *given, const char *what, const char *const *words, int nr, int match,
		char *why, size_t why_bytes);

/* Everything; an object's verbs; a verb's arguments and columns. */
void usage_print(FILE *f, const struct command *cmd);

#endif
