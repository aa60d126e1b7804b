// SPDX-License-Identifier: Apache-2.0
/* Values on the command line: numbers that must have their unit, and words of a list. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/words.h"
#include "shared/lib/units.h"

#define MAX_CHOICES 8
#define WORD_BYTES  32

bool words_time(const char *text, uint64_t *ns)
{
	return units_parse(text, UNITS_TIME, ns);
}

bool words_is_id(const char *text)
{
	uint64_t id;

	return units_number(text, false, &id) && id <= UINT32_MAX;
}

static int wrong(const struct ctl_arg_info *arg, const char *given, const char *what, double min,
		 double max, const char *unit, const char *example, char *why, size_t why_bytes)
{
	const char *name = arg->word[0] ? arg->word : arg->value;

	snprintf(why, why_bytes, "%s: '%.64s' is no %s from %.10g%s to %.10g%s%s%s%s", name, given,
		 what, min, unit, max, unit, example[0] ? ", with its unit, as " : "", example,
		 strstr(arg->value, "|none") ? ", nor none" : "");
	return -EINVAL;
}

static bool within(const struct ctl_arg_info *arg, uint64_t value)
{
	return value >= arg->min && value <= arg->max;
}

static int word_value(const struct ctl_arg_info *arg, const char *given, uint64_t *out, char *why,
		      size_t why_bytes)
{
	char text[MAX_CHOICES * WORD_BYTES], what[64], *rest = text;
	const char *words[MAX_CHOICES];
	int nr = 0, match;

	snprintf(text, sizeof(text), "%s", arg->value);
	while (rest && nr < MAX_CHOICES)
		words[nr++] = strsep(&rest, "|");
	match = words_match(given, words, nr);
	snprintf(what, sizeof(what), "value of %s", arg->word);
	if (match < 0)
		return words_wrong(given, what, words, nr, match, why, why_bytes);
	*out = (uint64_t)match;
	return 0;
}

static int number_value(const struct ctl_arg_info *arg, const char *given, uint64_t *out, char *why,
			size_t why_bytes)
{
	double min = (double)arg->min, max = (double)arg->max;

	switch (arg->type) {
	case ARG_SECONDS:
		if (units_number(given, true, out) && within(arg, *out))
			return 0;
		return wrong(arg, given, "number of seconds", min / 1000, max / 1000, "", "", why,
			     why_bytes);
	case ARG_TIME:
		if (units_parse(given, UNITS_TIME, out) && within(arg, *out))
			return 0;
		return wrong(arg, given, "time", min / 1e9, max / 1e9, "s",
			     units_example(UNITS_TIME), why, why_bytes);
	case ARG_SIZE:
		if (units_parse(given, UNITS_SIZE, out) && within(arg, *out))
			return 0;
		return wrong(arg, given, "size", min / 0x1p40, max / 0x1p40, "TiB",
			     units_example(UNITS_SIZE), why, why_bytes);
	case ARG_RATE:
		if (units_parse(given, UNITS_RATE, out) && within(arg, *out))
			return 0;
		return wrong(arg, given, "rate", min, max, "/s", units_example(UNITS_RATE), why,
			     why_bytes);
	case ARG_PERCENT:
		if (units_parse(given, UNITS_SHARE, out) && within(arg, *out))
			return 0;
		return wrong(arg, given, "share", min / 10, max / 10, "%",
			     units_example(UNITS_SHARE), why, why_bytes);
	default:
		if (units_number(given, false, out) && within(arg, *out))
			return 0;
		return wrong(arg, given, "whole number", min, max, "", "", why, why_bytes);
	}
}

/* An id, or a name: 0. */
static int tenant_value(const struct ctl_arg_info *arg, const char *text, uint64_t *out, char *why,
			size_t why_bytes)
{
	uint64_t id;

	*out = 0;
	if (!units_number(text, false, &id))
		return 0;
	if (id > arg->max) {
		snprintf(why, why_bytes, "'%.32s' is no tenant's id: they go to %" PRIu64, text,
			 arg->max);
		return -EINVAL;
	}
	*out = id;
	return 0;
}

int words_value(const struct ctl_arg_info *arg, const char **text, uint64_t *out, char *why,
		size_t why_bytes)
{
	if (!strcmp(*text, "none") && strstr(arg->value, "|none")) {
		*text = "";
		*out = 0;
		return 0;
	}
	if ((arg->type == ARG_TEXT || arg->type == ARG_TENANT) && !**text && !arg->word[0]) {
		snprintf(why, why_bytes, "%s is empty", arg->value);
		return -EINVAL;
	}
	if (arg->type == ARG_TENANT)
		return tenant_value(arg, *text, out, why, why_bytes);
	if (arg->type == ARG_TEXT)
		return 0;
	if (arg->type == ARG_WORD)
		return word_value(arg, *text, out, why, why_bytes);
	return number_value(arg, *text, out, why, why_bytes);
}
