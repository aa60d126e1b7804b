// SPDX-License-Identifier: Apache-2.0
#include "ctl/run/times.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Seconds since some epoch. False: not a time. */
static bool parse_time(const char *line, double *seconds)
{
	struct tm tm = { 0 };
	const char *rest = strptime(line, "%Y-%m-%d %H:%M:%S", &tm);
	char *end;

	if (!rest) {
		*seconds = strtod(line, &end);
		return end != line && (*end == ',' || *end == '\n' || *end == '\r' || !*end);
	}
	*seconds = (double)timegm(&tm);
	if (*rest == '.')
		*seconds += strtod(rest, &end);
	return true;
}

static int append(double **times, uint64_t *nr, uint64_t *room, double t)
{
	if (*nr == *room) {
		uint64_t more = *room ? *room * 2 : 4096;
		double *p = realloc(*times, more * sizeof(*p));

		if (!p)
			return -ENOMEM;
		*times = p;
		*room = more;
	}
	(*times)[(*nr)++] = t;
	return 0;
}

int times_read(const char *option, const char *path, double **out, uint64_t *nr, char *why,
	       size_t why_bytes)
{
	FILE *file = fopen(path, "re");
	uint64_t room = 0, line_nr = 0;
	double *times = NULL, t;
	char *line = NULL;
	size_t size = 0;
	int err = 0;

	*nr = 0;
	if (!file) {
		err = -errno;
		snprintf(why, why_bytes, "%s %s: %s", option, path, strerror(errno));
		return err;
	}
	while (!err && getline(&line, &size, file) > 0) {
		line_nr++;
		if (!parse_time(line, &t)) {
			if (line_nr == 1)
				continue; /* the header */
			snprintf(why, why_bytes, "%s %s: line %llu: not a time in the first column",
				 option, path, (unsigned long long)line_nr);
			err = -EINVAL;
		} else if (*nr && t < times[*nr - 1]) {
			snprintf(why, why_bytes, "%s %s: line %llu: earlier than the line before",
				 option, path, (unsigned long long)line_nr);
			err = -EINVAL;
		} else {
			err = append(&times, nr, &room, t);
		}
	}
	if (!err && *nr < 2) {
		snprintf(why, why_bytes, "%s %s: needs at least two arrivals", option, path);
		err = -EINVAL;
	}
	free(line);
	fclose(file);
	if (err) {
		free(times);
		times = NULL;
	}
	*out = times;
	return err;
}
