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
#include "shared/abi/verbs.def"
	NR_CTL_VERBS
};

enum ctl_arg {
#define ARG(VERB, NAME, attr, word, VALUE, TYPE, min, max, help) CTL_ARG_##VERB##_##NAME,
#include "shared/abi/verbs.def"
	NR_CTL_ARGS
};

enum arg_type {
	ARG_U32,
	ARG_SECONDS, /* value in thousandths */
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
};

/* argv without the program's name. 0, or -EINVAL with a sentence in why. */
int words_parse(int argc, char *const *argv, struct command *cmd, char *why, size_t why_bytes);

#define WORD_NONE      (-1)
#define WORD_AMBIGUOUS (-2)

/* The index of the one word that is `given` or that alone begins with it. Dashes in front do not
 * count. */
int words_match(const char *given, const char *const *words, int nr);
/* The index of the word most like `given`; WORD_NONE if none is alike. */
int words_nearest(const char *given, const char *const *words, int nr);

/* Everything; an object's verbs; a verb's arguments and columns. */
void usage_print(FILE *f, const struct command *cmd);

#endif
