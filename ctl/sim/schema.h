/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON files that people write: every key is known, of its type, within its bounds and there at most
 * once, or the message names the place. Times and rates carry their unit: "5ms", "2000/s".
 */
#ifndef OOO_CTL_SCHEMA_H
#define OOO_CTL_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

enum schema_type {
	SCHEMA_U32,    /* uint32_t */
	SCHEMA_NUMBER, /* double */
	SCHEMA_BOOL,   /* bool */
	SCHEMA_TEXT,   /* char[max], NUL-terminated */
	SCHEMA_TIME,   /* double, ns; min and max in ns */
	SCHEMA_RATE,   /* double, per second */
	SCHEMA_PART,   /* an object or array that the caller reads: const cJSON * */
};

struct schema_field {
	const char *key;
	enum schema_type type;
	size_t offset; /* in the caller's struct */
	double min, max;
	bool required;
};

/* Fill what `object` has of the fields; the rest of out stays. 0; -EINVAL with a sentence in why that
 * starts with path. */
int schema_read(const cJSON *object, const char *path, const struct schema_field *fields, int nr,
		void *out, char *why, size_t why_bytes);

/* NULL with a sentence in why: not to be read, or not JSON (with its line). Free with cJSON_Delete. */
cJSON *schema_load(const char *path, char *why, size_t why_bytes);

/* "5ms" in ns, "2000/s" per second; the whole string, finite, not negative. */
bool schema_time(const char *text, double *ns);
bool schema_rate(const char *text, double *per_s);

#endif
