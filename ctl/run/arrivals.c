// SPDX-License-Identifier: Apache-2.0
/*
 * When requests arrive. Closed loop: at once. Poisson: exponential gaps from the seed. A CSV file:
 * its first column, either seconds or "YYYY-MM-DD HH:MM:SS.fraction", in ascending order and after
 * a header line; --rate then rescales it to that mean rate. Each tenant starts at another place of
 * the file and wraps around, so that tenants do not arrive in step.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/run/run.h"

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

static int read_times(const char *path, double **out, uint64_t *nr, char *why, size_t why_bytes)
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
		snprintf(why, why_bytes, "--arrivals %s: %s", path, strerror(errno));
		return err;
	}
	while (!err && getline(&line, &size, file) > 0) {
		line_nr++;
		if (!parse_time(line, &t)) {
			if (line_nr == 1)
				continue; /* the header */
			snprintf(why, why_bytes,
				 "--arrivals %s: line %llu: not a time in the first column", path,
				 (unsigned long long)line_nr);
			err = -EINVAL;
		} else if (*nr && t < times[*nr - 1]) {
			snprintf(why, why_bytes,
				 "--arrivals %s: line %llu: earlier than the line before", path,
				 (unsigned long long)line_nr);
			err = -EINVAL;
		} else {
			err = append(&times, nr, &room, t);
		}
	}
	if (!err && *nr < 2) {
		snprintf(why, why_bytes, "--arrivals %s: needs at least two arrivals", path);
		err = -EINVAL;
	}
	free(line);
	fclose(file);
	*out = times;
	return err;
}

static int from_file(const struct run_options *o, int tenant, struct arrivals *a, char *why,
		     size_t why_bytes)
{
	double *times = NULL, span, scale, offset = 0;
	uint64_t first;
	int err = read_times(o->arrivals, &times, &a->nr, why, why_bytes);

	if (err || !times)
		goto out;
	span = times[a->nr - 1] - times[0];
	if (span <= 0) {
		snprintf(why, why_bytes, "--arrivals %s: all arrivals at the same time",
			 o->arrivals);
		err = -EINVAL;
		goto out;
	}
	/* The wrap needs a gap too: the mean one. */
	span *= (double)a->nr / (double)(a->nr - 1);
	scale = o->rate > 0 ? (double)a->nr / (o->rate * span) : 1.0;
	a->times = malloc(a->nr * sizeof(*a->times));
	if (!a->times) {
		err = -ENOMEM;
		goto out;
	}
	first = a->nr * (uint64_t)tenant / (uint64_t)o->tenants;
	for (uint64_t i = 0; i < a->nr; i++) {
		uint64_t j = (first + i) % a->nr;

		if (j == 0 && i)
			offset = span;
		a->times[i] = (uint64_t)((times[j] + offset - times[first]) * scale * 1e9);
	}
	a->last_ns = span * scale * 1e9; /* one round */
out:
	free(times);
	return err;
}

int arrivals_open(const struct run_options *o, int tenant, struct arrivals *a, char *why,
		  size_t why_bytes)
{
	*a = (struct arrivals){ .random = o->seed * 7919 + (uint64_t)tenant };
	if (o->arrivals)
		return from_file(o, tenant, a, why, why_bytes);
	if (o->rate > 0)
		a->mean_ns = 1e9 / o->rate;
	return 0;
}

void arrivals_close(struct arrivals *a)
{
	free(a->times);
	a->times = NULL;
}

uint64_t arrivals_next(struct arrivals *a)
{
	uint64_t round, index;

	if (a->times) {
		round = a->at / a->nr;
		index = a->at % a->nr;
		a->at++;
		return a->times[index] + (uint64_t)((double)round * a->last_ns);
	}
	if (a->mean_ns > 0) {
		a->last_ns += -log(random_unit(&a->random)) * a->mean_ns;
		return (uint64_t)a->last_ns;
	}
	return 0;
}
