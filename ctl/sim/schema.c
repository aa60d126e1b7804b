// SPDX-License-Identifier: Apache-2.0
#include "ctl/sim/schema.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/words.h"

#define FILE_MAX_BYTES (64u << 20)
#define MAX_FIELDS     32

static bool number(const char *text, double *value, char **end)
{
	*value = strtod(text, end);
	return *end != text && isfinite(*value) && *value >= 0;
}

bool schema_time(const char *text, double *ns)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = { { "ns", 1 },     { "us", 1e3 },   { "ms", 1e6 },   { "s", 1e9 },
		      { "min", 60e9 }, { "h", 3600e9 }, { "d", 86400e9 } };
	char *end;

	if (!number(text, ns, &end))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!strcmp(end, units[i].unit)) {
			*ns *= units[i].ns;
			return true;
		}
	}
	return false;
}

bool schema_rate(const char *text, double *per_s)
{
	char *end;

	return number(text, per_s, &end) && !strcmp(end, "/s");
}

static bool in_bounds(const struct schema_field *f, double value)
{
	return value >= f->min && value <= f->max;
}

static int wrong(const char *path, const struct schema_field *f, const char *expected, char *why,
		 size_t why_bytes)
{
	if (f->type == SCHEMA_TIME)
		snprintf(why, why_bytes, "%s.%s: expected %s from %gms to %gms", path, f->key,
			 expected, f->min / 1e6, f->max / 1e6);
	else
		snprintf(why, why_bytes, "%s.%s: expected %s from %g to %g", path, f->key, expected,
			 f->min, f->max);
	return -EINVAL;
}

static int read_number(const cJSON *item, const char *path, const struct schema_field *f, void *to,
		       char *why, size_t why_bytes)
{
	bool whole = f->type == SCHEMA_U32;

	if (!cJSON_IsNumber(item) || !in_bounds(f, item->valuedouble) ||
	    (whole && item->valuedouble != floor(item->valuedouble)))
		return wrong(path, f, whole ? "a whole number" : "a number", why, why_bytes);
	if (whole)
		*(uint32_t *)to = (uint32_t)item->valuedouble;
	else
		*(double *)to = item->valuedouble;
	return 0;
}

static int read_unit(const cJSON *item, const char *path, const struct schema_field *f, void *to,
		     char *why, size_t why_bytes)
{
	bool time = f->type == SCHEMA_TIME;
	double value;

	if (!cJSON_IsString(item) ||
	    !(time ? schema_time(item->valuestring, &value)
		   : schema_rate(item->valuestring, &value)) ||
	    !in_bounds(f, value))
		return wrong(path, f,
			     time ? "a time with its unit (\"5ms\")"
				  : "a rate with its unit (\"200/s\")",
			     why, why_bytes);
	*(double *)to = value;
	return 0;
}

static int read_text(const cJSON *item, const char *path, const struct schema_field *f, void *to,
		     char *why, size_t why_bytes)
{
	size_t n = cJSON_IsString(item) ? strlen(item->valuestring) : 0;

	if (!n || n >= (size_t)f->max) {
		snprintf(why, why_bytes, "%s.%s: expected a text of 1 to %g characters", path,
			 f->key, f->max - 1);
		return -EINVAL;
	}
	for (size_t i = 0; i < n; i++) {
		if (item->valuestring[i] < ' ' || item->valuestring[i] == 127) {
			snprintf(why, why_bytes, "%s.%s: has a control character", path, f->key);
			return -EINVAL;
		}
	}
	memcpy(to, item->valuestring, n + 1);
	return 0;
}

static int read_field(const cJSON *item, const char *path, const struct schema_field *f, void *out,
		      char *why, size_t why_bytes)
{
	void *to = (char *)out + f->offset;

	switch (f->type) {
	case SCHEMA_U32:
	case SCHEMA_NUMBER:
		return read_number(item, path, f, to, why, why_bytes);
	case SCHEMA_TIME:
	case SCHEMA_RATE:
		return read_unit(item, path, f, to, why, why_bytes);
	case SCHEMA_TEXT:
		return read_text(item, path, f, to, why, why_bytes);
	case SCHEMA_BOOL:
		if (!cJSON_IsBool(item)) {
			snprintf(why, why_bytes, "%s.%s: expected true or false", path, f->key);
			return -EINVAL;
		}
		*(bool *)to = cJSON_IsTrue(item);
		return 0;
	case SCHEMA_PART:
		*(const cJSON **)to = item;
		return 0;
	}
	return -EINVAL;
}

static int find_field(const char *key, const struct schema_field *fields, int nr)
{
	for (int i = 0; i < nr; i++) {
		if (!strcmp(key, fields[i].key))
			return i;
	}
	return -1;
}

static int unknown_key(const char *key, const char *path, const struct schema_field *fields, int nr,
		       char *why, size_t why_bytes)
{
	const char *words[MAX_FIELDS];
	int near;

	for (int i = 0; i < nr; i++)
		words[i] = fields[i].key;
	near = words_nearest(key, words, nr);
	snprintf(why, why_bytes, "%s: unknown key \"%.40s\"%s%s%s", path, key,
		 near >= 0 ? ", did you mean \"" : "", near >= 0 ? words[near] : "",
		 near >= 0 ? "\"?" : "");
	return -EINVAL;
}

int schema_read(const cJSON *object, const char *path, const struct schema_field *fields, int nr,
		void *out, char *why, size_t why_bytes)
{
	bool seen[MAX_FIELDS] = { false };
	const cJSON *item;

	if (!cJSON_IsObject(object)) {
		snprintf(why, why_bytes, "%s: expected an object: { \"key\": value }", path);
		return -EINVAL;
	}
	cJSON_ArrayForEach(item, object) {
		int at = find_field(item->string, fields, nr);
		int err;

		if (at < 0)
			return unknown_key(item->string, path, fields, nr, why, why_bytes);
		if (seen[at]) {
			snprintf(why, why_bytes, "%s.%s: is there twice", path, item->string);
			return -EINVAL;
		}
		seen[at] = true;
		err = read_field(item, path, &fields[at], out, why, why_bytes);
		if (err)
			return err;
	}
	for (int i = 0; i < nr; i++) {
		if (fields[i].required && !seen[i]) {
			snprintf(why, why_bytes, "%s: \"%s\" is missing", path, fields[i].key);
			return -EINVAL;
		}
	}
	return 0;
}

static char *read_file(const char *path, char *why, size_t why_bytes)
{
	FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t size = 0;
	ssize_t n = -1;

	if (file) {
		n = getdelim(&text, &size, '\0', file);
		if (n < 0 && feof(file))
			n = 0;
	}
	if (n < 0 || (text && (size_t)n > FILE_MAX_BYTES)) {
		snprintf(why, why_bytes, "%s: %s", path,
			 n < 0 ? strerror(errno) : "too large for such a file");
		free(text);
		text = NULL;
	} else if (!text || !n) {
		snprintf(why, why_bytes, "%s: is empty", path);
		free(text);
		text = NULL;
	}
	if (file)
		fclose(file);
	return text;
}

cJSON *schema_load(const char *path, char *why, size_t why_bytes)
{
	char *text = read_file(path, why, why_bytes);
	const char *end = NULL;
	unsigned line = 1;
	cJSON *root;

	if (!text)
		return NULL;
	root = cJSON_ParseWithOpts(text, &end, true);
	if (!root) {
		for (const char *p = text; p < end; p++)
			line += *p == '\n';
		snprintf(why, why_bytes, "%s: line %u: not JSON", path, line);
	}
	free(text);
	return root;
}
