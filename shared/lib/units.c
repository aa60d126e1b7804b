// SPDX-License-Identifier: Apache-2.0
#include "shared/lib/units.h"

#include <stddef.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit times[] = {
	{ "ns", 1 },          { "us", 1000 },         { "ms", 1000000 },       { "s", 1000000000 },
	{ "m", 60000000000 }, { "h", 3600000000000 }, { "d", 86400000000000 }, { NULL, 0 },
};

static const struct unit sizes[] = {
	{ "B", 1 },
	{ "KiB", 1ull << 10 },
	{ "MiB", 1ull << 20 },
	{ "GiB", 1ull << 30 },
	{ "TiB", 1ull << 40 },
	{ NULL, 0 },
};

static const struct unit rates[] = { { "/s", 1 }, { NULL, 0 } };
static const struct unit shares[] = { { "%", 10 }, { NULL, 0 } };

static const struct {
	const struct unit *units;
	const char *example;
} kinds[] = {
	[UNITS_TIME] = { times, "5ms or 2s" },
	[UNITS_SIZE] = { sizes, "512MiB or 4GiB" },
	[UNITS_RATE] = { rates, "2000/s" },
	[UNITS_SHARE] = { shares, "12.5%" },
};

const char *units_example(enum units units)
{
	return kinds[units].example;
}

bool units_number(const char *s, bool thousandths, uint64_t *out)
{
	uint64_t value = 0;
	int decimals = -1; /* digits seen behind the point */

	if (!*s || *s == '.')
		return false;
	for (; *s; s++) {
		if (*s == '.' && thousandths && decimals < 0 && s[1]) {
			decimals = 0;
			continue;
		}
		if (*s < '0' || *s > '9' || decimals == 3 || value > UINT64_MAX / 10000)
			return false;
		value = value * 10 + (uint64_t)(*s - '0');
		if (decimals >= 0)
			decimals++;
	}
	for (int i = decimals < 0 ? 0 : decimals; thousandths && i < 3; i++)
		value *= 10;
	*out = value;
	return true;
}

/* Whole units and the rest apart: their product fits where thousandths of it would not. */
static bool scale(uint64_t thousandths, uint64_t factor, uint64_t *out)
{
	uint64_t whole = thousandths / 1000, rest = thousandths % 1000;

	if (whole > UINT64_MAX / factor - 1)
		return false;
	*out = whole * factor + (uint64_t)((unsigned __int128)rest * factor / 1000);
	return true;
}

bool units_parse(const char *text, enum units units, uint64_t *out)
{
	size_t digits = strspn(text, "0123456789.");
	uint64_t thousandths;
	char number[32];

	if (!digits || digits >= sizeof(number))
		return false;
	memcpy(number, text, digits);
	number[digits] = '\0';
	if (!units_number(number, true, &thousandths))
		return false;
	for (const struct unit *u = kinds[units].units; u->name; u++)
		if (!strcmp(text + digits, u->name))
			return scale(thousandths, u->factor, out);
	return false;
}
