// SPDX-License-Identifier: Apache-2.0
#include "ctl/record.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_USER_NAME 32

/* Indexed by attribute; the fields of each by code. */
static const struct group groups[OOO_CTL_A_LIMIT] = {
#define GROUP(NAME, attr, key_, help_) [attr].key = key_, [attr].help = help_,
#define FIELD(GROUP_, NAME, code, key_, TYPE, VIEW, help_)                                         \
	[OOO_CTL_A_##GROUP_].fields[code] = { key_, help_, FIELD_##TYPE, FIELD_##VIEW },
#include "shared/abi/verbs.def"
};

const struct group *group_find(int attr)
{
	return attr > 0 && attr < OOO_CTL_A_LIMIT && groups[attr].key ? &groups[attr] : NULL;
}

/* Bytes that a field of this type has on the wire; 0: a string. */
static int wire_bytes(uint8_t type)
{
	switch (type) {
	case FIELD_BOOL:
		return 1;
	case FIELD_U32:
	case FIELD_USER:
		return 4;
	case FIELD_STR:
		return 0;
	default:
		return 8;
	}
}

/* A terminal acts on control characters, and JSON is UTF-8: keep neither. */
static char *printable(const char *s, size_t len)
{
	char *copy = strndup(s, len);

	for (char *p = copy; p && *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	return copy;
}

static int parse_field(struct record *r, const struct nlattr *nla)
{
	const struct field *f;
	int code = nla_type(nla), len = nla_len(nla), bytes;
	struct value *v;

	if (code >= OOO_CTL_MAX_FIELDS)
		return 0; /* of a newer agent */
	f = &r->group->fields[code];
	v = &r->values[code];
	if (f->type == FIELD_NONE || f->view == FIELD_LOCAL)
		return 0;
	if (v->present)
		return -EPROTO;
	bytes = wire_bytes(f->type);
	if (f->type == FIELD_STR) {
		v->str = printable(nla_data(nla), (size_t)len);
		if (!v->str)
			return -ENOMEM;
	} else if (len != bytes) {
		return -EPROTO;
	} else if (bytes == 8) {
		v->num = nla_get_u64(nla);
	} else {
		v->num = bytes == 4 ? nla_get_u32(nla) : nla_get_u8(nla);
	}
	v->present = true;
	return 0;
}

static void record_free(struct record *r)
{
	for (int i = 0; i < OOO_CTL_MAX_FIELDS; i++)
		free(r->values[i].str);
}

int records_add(struct records *rs, const struct group *group, struct nlattr *nest)
{
	struct record *list, *r;
	struct nlattr *nla;
	int rem, err = 0;

	list = realloc(rs->list, (rs->nr + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	rs->list = list;
	r = &list[rs->nr];
	memset(r, 0, sizeof(*r));
	r->group = group;
	nla_for_each_nested(nla, nest, rem) {
		err = parse_field(r, nla);
		if (err)
			break;
	}
	if (err) {
		record_free(r);
		return err;
	}
	rs->nr++;
	return 0;
}

int records_copy(struct records *to, const struct records *from)
{
	*to = (struct records){ 0 };
	to->list = calloc(from->nr + 1, sizeof(*to->list));
	if (!to->list)
		return -ENOMEM;
	for (; to->nr < from->nr; to->nr++) {
		struct record *r = &to->list[to->nr];

		*r = from->list[to->nr];
		for (int i = 0; i < OOO_CTL_MAX_FIELDS; i++) {
			const char *str = from->list[to->nr].values[i].str;

			r->values[i].str = str ? strdup(str) : NULL;
			r->values[i].present &= !str || r->values[i].str;
		}
	}
	return 0;
}

void records_free(struct records *rs)
{
	for (size_t i = 0; i < rs->nr; i++)
		record_free(&rs->list[i]);
	free(rs->list);
	rs->list = NULL;
	rs->nr = 0;
}

bool value_decimal(const struct field *f, const struct value *v, double *out)
{
	double n = (double)v->num;

	switch (f->type) {
	case FIELD_S:
		*out = n / 1e9;
		return true;
	case FIELD_MS:
		*out = n / 1e6;
		return true;
	case FIELD_MIB:
		*out = n / (1 << 20);
		return true;
	case FIELD_MILLI:
		*out = n / 1e3;
		return true;
	default:
		return false;
	}
}

void user_text(uint32_t uid, char *buf, size_t bytes)
{
	const struct passwd *pw = getpwuid(uid);
	size_t len = pw ? strlen(pw->pw_name) : 0;

	if (len && len < bytes && len <= MAX_USER_NAME)
		snprintf(buf, bytes, "%s", pw->pw_name);
	else
		snprintf(buf, bytes, "%" PRIu32, uid);
}

const char *value_text(const struct field *f, const struct value *v, char buf[FIELD_TEXT_BYTES])
{
	double decimal;

	if (!v->present)
		return "-";
	if (f->type == FIELD_STR)
		return v->str;
	if (value_decimal(f, v, &decimal))
		snprintf(buf, FIELD_TEXT_BYTES, f->type == FIELD_MS ? "%.3f" : "%.1f", decimal);
	else if (f->type == FIELD_BOOL)
		snprintf(buf, FIELD_TEXT_BYTES, "%s", v->num ? "yes" : "no");
	else if (f->type == FIELD_HEX)
		snprintf(buf, FIELD_TEXT_BYTES, "%016" PRIx64, v->num);
	else if (f->type == FIELD_USER)
		user_text((uint32_t)v->num, buf, FIELD_TEXT_BYTES);
	else
		snprintf(buf, FIELD_TEXT_BYTES, "%" PRIu64, v->num);
	return buf;
}
