// SPDX-License-Identifier: Apache-2.0
/* Arrivals from files: a trace of times, or what the flight recorder saved. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "ctl/run/times.h"
#include "ctl/sim/scenario.h"

int trace_load(const char *path, double per_s, struct scenario *s, char *why, size_t why_bytes)
{
	double *times = NULL, span, scale;
	uint64_t nr;
	int err = times_read("--trace", path, &times, &nr, why, why_bytes);

	if (err)
		return err;
	span = times[nr - 1] - times[0];
	s->arrivals = malloc(nr * sizeof(*s->arrivals));
	if (!s->arrivals || span <= 0) {
		err = s->arrivals ? -EINVAL : -ENOMEM;
		snprintf(why, why_bytes, "--trace %s: %s", path,
			 err == -EINVAL ? "all arrivals at the same time" : "no memory");
		goto out;
	}
	span *= (double)nr / (double)(nr - 1); /* the next round starts after a gap of its own */
	scale = per_s > 0 ? (double)nr / (per_s * span) : 1;
	for (uint64_t i = 0; i < nr; i++)
		s->arrivals[i] = (struct arrival){
			.at_ns = (uint64_t)((times[i] - times[0]) * scale * 1e9),
			.tenant = UINT32_MAX,
		};
	s->nr_arrivals = nr;
	s->span_ns = span * scale * 1e9;
out:
	free(times);
	return err;
}

/* A program of a recorded tenant: a group of one. */
struct recorded {
	uint32_t tenant, program, steps;
	char tenant_name[OOO_NAME_BYTES], name[OOO_NAME_BYTES];
	uint64_t nr, fastest_ns, service_ns;
};

struct replay {
	const char *path;
	struct recorded *list;
	uint32_t nr;
	struct arrival *arrivals; /* group: index in list */
	uint64_t nr_arrivals;
};

static double number(const cJSON *obj, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(obj, key);

	return cJSON_IsNumber(item) && item->valuedouble >= 0 && item->valuedouble < 1e18
		       ? item->valuedouble
		       : -1;
}

static void *grow(void *list, uint64_t nr, uint64_t size)
{
	/* At powers of two. */
	return nr & (nr - 1) ? list : realloc(list, (nr ? nr * 2 : 1) * size);
}

static struct recorded *find(struct replay *r, uint32_t tenant, uint32_t program)
{
	struct recorded *more;

	for (uint32_t i = r->nr; i-- > 0;) {
		if (r->list[i].tenant == tenant && r->list[i].program == program)
			return &r->list[i];
	}
	more = r->nr < SCENARIO_MAX_GROUPS ? grow(r->list, r->nr, sizeof(*r->list)) : NULL;
	if (!more)
		return NULL;
	r->list = more;
	r->list[r->nr] =
		(struct recorded){ .tenant = tenant, .program = program, .fastest_ns = UINT64_MAX };
	return &r->list[r->nr++];
}

static void take_text(const cJSON *obj, const char *key, char *out)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(obj, key);

	if (cJSON_IsString(item))
		snprintf(out, OOO_NAME_BYTES, "%s", item->valuestring);
}

/* {"tenant":1,"name":"web"} or {"tenant":1,"program":0,"name":"resnet50","steps":57} */
static int take_name(struct replay *r, const cJSON *obj, uint32_t tenant)
{
	double program = number(obj, "program");
	struct recorded *rec;

	if (program < 0) {
		for (uint32_t i = 0; i < r->nr; i++) {
			if (r->list[i].tenant == tenant)
				take_text(obj, "name", r->list[i].tenant_name);
		}
		rec = find(r, tenant, UINT32_MAX); /* for programs that come later */
		if (rec)
			take_text(obj, "name", rec->tenant_name);
		return rec ? 0 : -ENOMEM;
	}
	rec = find(r, tenant, (uint32_t)program);
	if (!rec)
		return -ENOMEM;
	take_text(obj, "name", rec->name);
	for (uint32_t i = 0; i < r->nr; i++) {
		if (r->list[i].tenant == tenant && r->list[i].program == UINT32_MAX)
			memmove(rec->tenant_name, r->list[i].tenant_name, OOO_NAME_BYTES);
	}
	if (number(obj, "steps") >= 1)
		rec->steps = (uint32_t)number(obj, "steps");
	return 0;
}

static int take_request(struct replay *r, const cJSON *obj, uint32_t tenant, double submit)
{
	double program = number(obj, "program"), finish = number(obj, "finish_ns");
	double service = number(obj, "service_ns"), weight = number(obj, "weight");
	struct recorded *rec = program < 0 ? NULL : find(r, tenant, (uint32_t)program);
	struct arrival *more;
	const cJSON *status = cJSON_GetObjectItemCaseSensitive(obj, "status");

	if (!rec)
		return program < 0 ? -EINVAL : -ENOMEM;
	if (service > 0 && finish > submit && cJSON_IsString(status) &&
	    !strcmp(status->valuestring, "ok")) {
		rec->nr++;
		rec->service_ns += (uint64_t)service;
		if (finish - submit < (double)rec->fastest_ns)
			rec->fastest_ns = (uint64_t)(finish - submit);
	}
	for (uint64_t i = weight > 1 ? (uint64_t)weight : 1; i > 0; i--) {
		more = grow(r->arrivals, r->nr_arrivals, sizeof(*more));
		if (!more)
			return -ENOMEM;
		r->arrivals = more;
		more[r->nr_arrivals++] = (struct arrival){
			.at_ns = (uint64_t)submit,
			.group = (uint32_t)(rec - r->list),
		};
	}
	return 0;
}

static int take_line(struct replay *r, const char *line, uint64_t nr, char *why, size_t why_bytes)
{
	cJSON *obj = cJSON_Parse(line);
	double tenant = number(obj, "tenant"), submit = number(obj, "submit_ns");
	int err = 0;

	if (!cJSON_IsObject(obj) || (nr == 1 && !cJSON_GetObjectItemCaseSensitive(obj, "record")))
		err = -EINVAL;
	else if (submit >= 0 && tenant >= 0)
		err = take_request(r, obj, (uint32_t)tenant, submit);
	else if (tenant >= 0 && !cJSON_GetObjectItemCaseSensitive(obj, "bundle"))
		err = take_name(r, obj, (uint32_t)tenant);
	cJSON_Delete(obj);
	if (err)
		snprintf(why, why_bytes, "--record %s: line %llu: %s", r->path,
			 (unsigned long long)nr,
			 err == -ENOMEM ? "no memory, or too many tenants"
			 : nr == 1      ? "not what `ooo-ctl record save` writes"
					: "not a record");
	return err;
}

static int by_time(const void *a, const void *b)
{
	const struct arrival *x = a, *y = b;

	if (x->at_ns != y->at_ns)
		return x->at_ns < y->at_ns ? -1 : 1;
	return x->group < y->group ? -1 : x->group > y->group;
}

/* The program as the device file has it, else as the record shows it. */
static int find_program(const struct scenario *s, const struct recorded *rec,
			struct measured_program *out)
{
	const struct measured_program *known = device_file_find(&s->device, rec->name);
	const struct sim_model *m = &s->device.model;
	double fixed, side_by_side = m->width ? m->width : m->threads;

	if (known) {
		*out = *known;
		return 0;
	}
	if (!rec->nr)
		return -EINVAL;
	*out = (struct measured_program){
		.steps = rec->steps ? rec->steps : 1,
		.alone_ns = (double)rec->fastest_ns,
		.together_per_s = side_by_side * 1e9 * (double)rec->nr / (double)rec->service_ns,
	};
	snprintf(out->name, sizeof(out->name), "%s", rec->name[0] ? rec->name : "recorded");
	fixed = (double)(m->launch_ns + m->report_ns) + (double)m->gap_ns * out->steps;
	if (out->alone_ns <= fixed)
		out->alone_ns = fixed + 1;
	return 0;
}

static int make_group(struct scenario *s, const struct replay *r, const struct recorded *rec,
		      const struct group *like, char *why, size_t why_bytes)
{
	struct group *g = &s->groups[s->nr_groups];

	*g = (struct group){ .params = TENANT_PARAMS_DEFAULT, .inflight = 256 };
	if (like)
		*g = *like;
	g->count = 1;
	g->source = SOURCE_SHARED;
	if (find_program(s, rec, &g->program)) {
		snprintf(why, why_bytes,
			 "--record %s: the device file has no program \"%s\", and no request of it "
			 "completed in the record",
			 r->path, rec->name);
		return -EINVAL;
	}
	if (rec->tenant_name[0])
		snprintf(g->name, sizeof(g->name), "%s", rec->tenant_name);
	else
		snprintf(g->name, sizeof(g->name), "tenant-%u", rec->tenant);
	s->nr_groups++;
	return 0;
}

/* Each recorded tenant's program becomes a group of one, after the group of its name if there is one. */
static int make_scenario(struct scenario *s, struct replay *r, char *why, size_t why_bytes)
{
	struct group *known = s->groups;
	uint32_t nr_known = s->nr_groups, *place = calloc(r->nr + 1, sizeof(*place));
	int err = 0;

	s->groups = calloc(r->nr + 1, sizeof(*s->groups));
	s->nr_groups = 0;
	if (!s->groups || !place) {
		snprintf(why, why_bytes, "no memory");
		err = -ENOMEM;
		goto out;
	}
	for (uint32_t i = 0; i < r->nr && !err; i++) {
		const struct group *like = NULL;

		if (r->list[i].program == UINT32_MAX)
			continue;
		for (uint32_t g = 0; g < nr_known; g++) {
			if (!strcmp(known[g].name, r->list[i].tenant_name))
				like = &known[g];
		}
		place[i] = s->nr_groups;
		err = make_group(s, r, &r->list[i], like, why, why_bytes);
	}
	qsort(r->arrivals, r->nr_arrivals, sizeof(*r->arrivals), by_time);
	for (uint64_t i = r->nr_arrivals; i-- > 0;) {
		r->arrivals[i].group = place[r->arrivals[i].group];
		r->arrivals[i].at_ns -= r->arrivals[0].at_ns;
	}
	s->arrivals = r->arrivals;
	s->nr_arrivals = r->nr_arrivals;
	r->arrivals = NULL;
out:
	free(place);
	free(known);
	return err;
}

int replay_load(const char *path, struct scenario *s, char *why, size_t why_bytes)
{
	struct replay r = { .path = path };
	FILE *file = fopen(path, "re");
	uint64_t nr = 0;
	char *line = NULL;
	size_t size = 0;
	int err = 0;

	if (!file) {
		snprintf(why, why_bytes, "--record %s: %s", path, strerror(errno));
		return -EINVAL;
	}
	while (!err && getline(&line, &size, file) > 0)
		err = take_line(&r, line, ++nr, why, why_bytes);
	fclose(file);
	free(line);
	if (!err && !r.nr_arrivals) {
		snprintf(why, why_bytes, "--record %s: holds no requests", path);
		err = -EINVAL;
	}
	if (!err)
		err = make_scenario(s, &r, why, why_bytes);
	free(r.list);
	free(r.arrivals);
	return err;
}
