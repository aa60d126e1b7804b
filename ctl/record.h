/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records as the agent sends them, after the tables of shared/abi/verbs.def: both printers and the
 * arithmetic of `stats` work on these alone.
 */
#ifndef OOO_CTL_RECORD_H
#define OOO_CTL_RECORD_H

#include <netlink/attr.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/abi/control.h"

enum field_type {
	FIELD_NONE, /* no field has this code */
	FIELD_U32,
	FIELD_U64,
	FIELD_BOOL,
	FIELD_STR,
	FIELD_HEX,
	FIELD_USER,
	FIELD_S,
	FIELD_MS,
	FIELD_MIB,
	FIELD_MILLI,
};

enum field_view {
	FIELD_SHOW,
	FIELD_HIDE,
	FIELD_LOCAL,
};

struct field {
	const char *key, *help;
	uint8_t type; /* enum field_type */
	uint8_t view; /* enum field_view */
};

struct group {
	const char *key, *help;
	struct field fields[OOO_CTL_MAX_FIELDS]; /* by code */
};

struct value {
	bool present;
	uint64_t num; /* as it travels */
	char *str;    /* FIELD_STR: printable ASCII */
};

struct record {
	const struct group *group;
	struct value values[OOO_CTL_MAX_FIELDS]; /* by code */
};

struct records {
	struct record *list;
	size_t nr;
};

/* The group of a top-level attribute, NULL if there is none. */
const struct group *group_find(int attr);

/* Add what a nested attribute holds. 0; -EPROTO: a field is not of its type or length; -ENOMEM. */
int records_add(struct records *rs, const struct group *group, struct nlattr *nest);
int records_copy(struct records *to, const struct records *from); /* 0 or -ENOMEM */
void records_free(struct records *rs);

static inline bool field_shown(const struct field *f)
{
	return f->type != FIELD_NONE && f->view != FIELD_HIDE;
}

/* Text fields are printed from the left, numbers from the right. */
static inline bool field_is_text(const struct field *f)
{
	return f->type == FIELD_STR || f->type == FIELD_HEX || f->type == FIELD_USER;
}

/* Shown as a decimal number in the unit that the key names? Then this is it. */
bool value_decimal(const struct field *f, const struct value *v, double *out);

#define FIELD_TEXT_BYTES 64 /* of what is no FIELD_STR */

/* As people read it; the result is v->str or buf. */
const char *value_text(const struct field *f, const struct value *v, char buf[FIELD_TEXT_BYTES]);
/* Name of a user, or his number. */
void user_text(uint32_t uid, char *buf, size_t bytes);

#endif
