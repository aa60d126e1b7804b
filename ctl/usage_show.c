// SPDX-License-Identifier: Apache-2.0
/* `usage`: adds up the agent's ledger (shared/lib/usage.h), whether the agent runs or not. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/print.h"
#include "ctl/verb.h"
#include "shared/lib/usage.h"

struct sum {
	uint32_t uid;
	char name[USAGE_NAME_BYTES];
	struct usage_values v;
};

struct sums {
	struct sum *list;
	size_t nr, max;
	uint64_t since_s;
	uint64_t first_s, last_s; /* of the rows that count */
	bool by_user, no_memory;
};

/* ---- reading --------------------------------------------------------------------------------- */

static struct sum *find(struct sums *s, const struct usage_row *row)
{
	for (size_t i = 0; i < s->nr; i++) {
		if (s->list[i].uid == row->uid &&
		    (s->by_user || !strcmp(s->list[i].name, row->name)))
			return &s->list[i];
	}
	if (s->nr == s->max) {
		size_t max = s->max ? 2 * s->max : 64;
		struct sum *list = realloc(s->list, max * sizeof(*list));

		if (!list)
			return NULL;
		s->list = list;
		s->max = max;
	}
	s->list[s->nr] = (struct sum){ .uid = row->uid };
	memcpy(s->list[s->nr].name, row->name, sizeof(row->name));
	return &s->list[s->nr++];
}

static void take(const struct usage_row *row, void *arg)
{
	struct sums *s = arg;
	struct sum *sum;

	if (row->end_s < s->since_s)
		return;
	sum = find(s, row);
	if (!sum) {
		s->no_memory = true;
		return;
	}
	usage_add(&sum->v, &row->v);
	if (!s->first_s || row->start_s < s->first_s)
		s->first_s = row->start_s;
	if (row->end_s > s->last_s)
		s->last_s = row->end_s;
}

/* The old log, the log, what runs; a line that makes no sense is named and left out. */
static enum ctl_exit read_files(struct session *s, struct sums *sums)
{
	static const char *const files[] = { USAGE_LOG_OLD, USAGE_LOG, USAGE_NOW };
	char dir[4096], path[4200];
	unsigned found = 0, line = 0;

	usage_dir(s->cmd->runtime_dir, dir, sizeof(dir));
	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		int nr;

		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		nr = usage_read(path, take, sums, &line);
		if (nr == -ENOENT)
			continue;
		if (nr < 0) {
			snprintf(s->why, sizeof(s->why), "%.300s: %s%s", path, strerror(-nr),
				 nr == -EACCES ? " (root and the administrators' group may read it)"
					       : "");
			return CTL_REFUSED;
		}
		if (nr)
			fprintf(stderr,
				"ooo-ctl: %s: %d lines make no sense, the first is line %u\n", path,
				nr, line);
		found++;
	}
	if (!found) {
		snprintf(s->why, sizeof(s->why),
			 "no ledger: there is no %.300s/" USAGE_NOW " (has an agent run here?)",
			 dir);
		return CTL_NO_AGENT;
	}
	if (sums->no_memory) {
		snprintf(s->why, sizeof(s->why), "out of memory");
		return CTL_REFUSED;
	}
	return CTL_OK;
}

/* An agent that runs writes what was used until now within this time. */
static void wait_for_agent(const struct command *cmd)
{
	struct timespec pause = { .tv_nsec = 300000000 };
	struct agent_file agent;
	char why[LINK_WHY_BYTES];

	if (agent_file_read(cmd->runtime_dir, &agent, why, sizeof(why)) == CTL_OK)
		nanosleep(&pause, NULL);
}

static bool parse_since(const char *text, uint64_t *since_s)
{
	static const char *const formats[] = { "%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S" };
	uint64_t ns;

	if (words_time(text, &ns)) {
		*since_s = (uint64_t)time(NULL) - ns / 1000000000;
		return ns / 1000000000 <= (uint64_t)time(NULL);
	}
	for (unsigned i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		struct tm tm = { .tm_isdst = -1 };
		const char *end = strptime(text, formats[i], &tm);

		if (!end || *end)
			continue;
		*since_s = (uint64_t)mktime(&tm);
		return (time_t)*since_s >= 0;
	}
	return false;
}

static enum ctl_exit parse_words(struct session *s, struct sums *sums)
{
	const char *since = s->cmd->text[CTL_ARG_USAGE_SHOW_SINCE];
	const char *by = s->cmd->text[CTL_ARG_USAGE_SHOW_BY];
	static const char *const words[] = { "tenant", "user" };
	int match = by ? words_match(by, words, 2) : 0;

	if (since && !parse_since(since, &sums->since_s)) {
		snprintf(
			s->why, sizeof(s->why),
			"--since: '%s' is neither a time with its unit, as 1h or 7d, nor a date, as "
			"2026-01-31 or 2026-01-31T12:00",
			since);
		return CTL_USAGE;
	}
	if (match < 0) {
		snprintf(s->why, sizeof(s->why), "--by: '%s' is neither tenant nor user", by);
		return CTL_USAGE;
	}
	sums->by_user = match == 1;
	return CTL_OK;
}

/* ---- printing -------------------------------------------------------------------------------- */

#define COLUMNS 8

static const struct {
	const char *key;
	int width, decimals;
} columns[COLUMNS] = {
	{ "device_s", 12, 6 },     { "device_percent", 14, 3 }, { "requests", 12, 0 },
	{ "input_mib", 12, 3 },    { "output_mib", 12, 3 },     { "weights_mib", 12, 3 },
	{ "memory_gib_s", 14, 3 }, { "energy_j", 12, 3 },
};

static void values_of(const struct usage_values *v, uint64_t all_ns, double out[COLUMNS])
{
	const double mib = 1 << 20;

	out[0] = (double)v->device_ns / 1e9;
	out[1] = all_ns ? 100.0 * (double)v->device_ns / (double)all_ns : 0;
	out[2] = (double)v->requests;
	out[3] = (double)v->input_bytes / mib;
	out[4] = (double)v->output_bytes / mib;
	out[5] = (double)v->weight_bytes / mib;
	out[6] = (double)v->memory_byte_s / mib / 1024;
	out[7] = (double)v->energy_mj / 1e3;
}

static int by_device_time(const void *a, const void *b)
{
	const struct sum *x = a, *y = b;

	if (x->v.device_ns != y->v.device_ns)
		return x->v.device_ns < y->v.device_ns ? 1 : -1;
	return strcmp(x->name, y->name);
}

static void print_row(const char *user, const char *name, const double values[COLUMNS])
{
	printf("%-16s", user);
	if (name)
		printf(" %-24s", name);
	for (int i = 0; i < COLUMNS; i++)
		printf(" %*.*f", columns[i].width, columns[i].decimals, values[i]);
	putchar('\n');
}

static void print_text(const struct sums *s, const struct usage_values *all)
{
	double values[COLUMNS];
	char user[64];

	printf("%-16s", "user");
	if (!s->by_user)
		printf(" %-24s", "tenant");
	for (int i = 0; i < COLUMNS; i++)
		printf(" %*s", columns[i].width, columns[i].key);
	putchar('\n');
	for (size_t i = 0; i < s->nr; i++) {
		user_text(s->list[i].uid, user, sizeof(user));
		values_of(&s->list[i].v, all->device_ns, values);
		print_row(user, s->by_user ? NULL : s->list[i].name, values);
	}
	values_of(all, all->device_ns, values);
	print_row("all", s->by_user ? NULL : "", values);
}

static cJSON *json_values(const struct usage_values *v, uint64_t all_ns, cJSON *item)
{
	double values[COLUMNS];

	values_of(v, all_ns, values);
	for (int i = 0; i < COLUMNS; i++)
		cJSON_AddNumberToObject(item, columns[i].key, values[i]);
	return item;
}

static cJSON *json_usage(const struct sums *s, const struct usage_values *all)
{
	cJSON *root = cJSON_CreateObject(), *list;
	char user[64];

	cJSON_AddNumberToObject(root, "from_s", (double)s->first_s);
	cJSON_AddNumberToObject(root, "to_s", (double)s->last_s);
	list = cJSON_AddArrayToObject(root, s->by_user ? "users" : "tenants");
	for (size_t i = 0; i < s->nr; i++) {
		cJSON *item = cJSON_CreateObject();

		user_text(s->list[i].uid, user, sizeof(user));
		cJSON_AddStringToObject(item, "user", user);
		if (!s->by_user)
			cJSON_AddStringToObject(item, "tenant", s->list[i].name);
		cJSON_AddItemToArray(list, json_values(&s->list[i].v, all->device_ns, item));
	}
	cJSON_AddItemToObject(root, "all", json_values(all, all->device_ns, cJSON_CreateObject()));
	return root;
}

enum ctl_exit verb_usage(struct session *s)
{
	struct sums sums = { 0 };
	struct usage_values all = { 0 };
	enum ctl_exit code = parse_words(s, &sums);

	if (code == CTL_OK) {
		wait_for_agent(s->cmd);
		code = read_files(s, &sums);
	}
	if (sums.nr)
		qsort(sums.list, sums.nr, sizeof(*sums.list), by_device_time);
	for (size_t i = 0; i < sums.nr; i++)
		usage_add(&all, &sums.list[i].v);
	if (code == CTL_OK && !s->cmd->json)
		print_text(&sums, &all);
	if (code == CTL_OK && s->cmd->json && print_json(stdout, json_usage(&sums, &all), false)) {
		snprintf(s->why, sizeof(s->why), "out of memory");
		code = CTL_REFUSED;
	}
	free(sums.list);
	return code;
}
