// SPDX-License-Identifier: Apache-2.0
#include "shared/lib/usage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void usage_dir(const char *runtime_dir, char *out, size_t bytes)
{
	if (!strcmp(runtime_dir, "/run/ooo"))
		snprintf(out, bytes, "/var/lib/ooo");
	else
		snprintf(out, bytes, "%s/usage", runtime_dir);
}

static bool take_number(const char **at, uint64_t max, uint64_t *out)
{
	char *end;

	/* strtoull takes a sign and blanks as well. */
	if (**at < '0' || **at > '9')
		return false;
	errno = 0;
	*out = strtoull(*at, &end, 10);
	if (errno || *end != ' ' || *out > max)
		return false;
	*at = end + 1;
	return true;
}

bool usage_parse(const char *line, struct usage_row *row)
{
	uint64_t device, uid;
	size_t len;

	if (!take_number(&line, UINT64_MAX, &row->start_s) ||
	    !take_number(&line, UINT64_MAX, &row->end_s) || row->end_s < row->start_s ||
	    !take_number(&line, UINT32_MAX, &device) || !take_number(&line, UINT32_MAX, &uid))
		return false;
	row->device = (uint32_t)device;
	row->uid = (uint32_t)uid;
#define VALUE(name, help)                                                                          \
	if (!take_number(&line, UINT64_MAX, &row->v.name))                                         \
		return false;
	USAGE_VALUES(VALUE)
#undef VALUE
	len = strcspn(line, "\n");
	if (!len || len >= sizeof(row->name))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (line[i] < 0x20 || line[i] > 0x7e)
			return false;
	}
	memset(row->name, 0, sizeof(row->name));
	memcpy(row->name, line, len);
	return true;
}

void usage_write(FILE *out, const struct usage_row *row)
{
	fprintf(out, "%" PRIu64 " %" PRIu64 " %u %u", row->start_s, row->end_s, row->device,
		row->uid);
#define VALUE(name, help) fprintf(out, " %" PRIu64, row->v.name);
	USAGE_VALUES(VALUE)
#undef VALUE
	fprintf(out, " %s\n", row->name);
}

void usage_add(struct usage_values *to, const struct usage_values *more)
{
#define VALUE(name, help) to->name += more->name;
	USAGE_VALUES(VALUE)
#undef VALUE
}

void usage_subtract(struct usage_values *from, const struct usage_values *less)
{
#define VALUE(name, help) from->name -= less->name;
	USAGE_VALUES(VALUE)
#undef VALUE
}

int usage_read(const char *path, void (*fn)(const struct usage_row *row, void *arg), void *arg,
	       unsigned *bad_line)
{
	FILE *in = fopen(path, "re");
	char line[USAGE_LINE_BYTES];
	struct usage_row row;
	unsigned nr = 0;
	int bad = 0;

	if (!in)
		return -errno;
	while (fgets(line, sizeof(line), in)) {
		bool whole = strchr(line, '\n');

		nr++;
		if (nr == 1 && !strcmp(line, USAGE_HEADING "\n"))
			continue;
		if (nr > 1 && whole && usage_parse(line, &row)) {
			fn(&row, arg);
			continue;
		}
		if (!bad++)
			*bad_line = nr;
	}
	if (ferror(in))
		bad = -EIO;
	fclose(in);
	return bad;
}
