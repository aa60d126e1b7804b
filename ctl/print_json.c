// SPDX-License-Identifier: Apache-2.0
#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "ctl/print.h"

/* cJSON keeps numbers as doubles: whole ones are handed over as text, so that none is rounded. */
static cJSON *json_whole(uint64_t n)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%" PRIu64, n);
	return cJSON_CreateRaw(buf);
}

static cJSON *json_value(const struct field *f, const struct value *v)
{
	char buf[FIELD_TEXT_BYTES];
	double decimal;

	if (!v->present)
		return cJSON_CreateNull();
	if (value_decimal(f, v, &decimal))
		return cJSON_CreateNumber(decimal);
	if (f->type == FIELD_BOOL)
		return cJSON_CreateBool(v->num != 0);
	if (field_is_text(f))
		return cJSON_CreateString(value_text(f, v, buf));
	return json_whole(v->num);
}

cJSON *json_record(const struct record *r)
{
	cJSON *object = cJSON_CreateObject();

	for (int code = 1; object && code < OOO_CTL_MAX_FIELDS; code++) {
		const struct field *f = &r->group->fields[code];
		cJSON *item;

		if (!field_shown(f))
			continue;
		item = json_value(f, &r->values[code]);
		if (!item || !cJSON_AddItemToObject(object, f->key, item)) {
			cJSON_Delete(item);
			cJSON_Delete(object);
			object = NULL;
		}
	}
	return object;
}

cJSON *json_records(const struct records *rs, const struct group *group)
{
	cJSON *array = cJSON_CreateArray();

	for (size_t i = 0; array && i < rs->nr; i++) {
		cJSON *item;

		if (rs->list[i].group != group)
			continue;
		item = json_record(&rs->list[i]);
		if (!item || !cJSON_AddItemToArray(array, item)) {
			cJSON_Delete(item);
			cJSON_Delete(array);
			array = NULL;
		}
	}
	return array;
}

int print_json(FILE *f, cJSON *root, bool one_line)
{
	char *text = NULL;

	if (root)
		text = one_line ? cJSON_PrintUnformatted(root) : cJSON_Print(root);
	cJSON_Delete(root);
	if (!text)
		return -ENOMEM;
	fprintf(f, "%s\n", text);
	cJSON_free(text);
	return 0;
}
