// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "ctl/sim/outcome.h"

/* What is shown of a tally: the same numbers and keys in the table and in JSON. */
enum column {
	COLUMN_OFFERED,
	COLUMN_DONE,
	COLUMN_THROUGHPUT,
	COLUMN_GOODPUT,
	COLUMN_REFUSED,
	COLUMN_P50,
	COLUMN_P99,
	COLUMN_MAX,
	COLUMN_SERVICE,
	COLUMN_SHARE,
	COLUMNS
};

static const struct {
	const char *key;
	int width, digits;
} columns[COLUMNS] = {
	[COLUMN_OFFERED] = { "offered", 10, 0 },
	[COLUMN_DONE] = { "done", 10, 0 },
	[COLUMN_THROUGHPUT] = { "done_per_s", 11, 1 },
	[COLUMN_GOODPUT] = { "goodput_per_s", 14, 1 },
	[COLUMN_REFUSED] = { "refused", 9, 0 },
	[COLUMN_P50] = { "p50_ms", 10, 3 },
	[COLUMN_P99] = { "p99_ms", 10, 3 },
	[COLUMN_MAX] = { "max_ms", 11, 3 },
	[COLUMN_SERVICE] = { "service_s", 10, 2 },
	[COLUMN_SHARE] = { "share_percent", 14, 2 },
};

static double value(const struct outcome *o, const struct tally *t, enum column c)
{
	switch (c) {
	case COLUMN_OFFERED:
		return (double)t->offered;
	case COLUMN_DONE:
		return (double)t->done;
	case COLUMN_THROUGHPUT:
		return (double)t->done / o->seconds;
	case COLUMN_GOODPUT:
		return (double)t->good / o->seconds;
	case COLUMN_REFUSED:
		return (double)(t->refused + t->failed);
	case COLUMN_P50:
		return t->latency ? (double)histogram_quantile(t->latency, 0.5) / 1e6 : 0;
	case COLUMN_P99:
		return t->latency ? (double)histogram_quantile(t->latency, 0.99) / 1e6 : 0;
	case COLUMN_MAX:
		return t->latency ? (double)t->latency->max / 1e6 : 0;
	case COLUMN_SERVICE:
		return (double)t->service_ns / 1e9;
	case COLUMN_SHARE:
		return o->total.service_ns
			       ? 100.0 * (double)t->service_ns / (double)o->total.service_ns
			       : 0;
	case COLUMNS:
		break;
	}
	return 0;
}

static double busy_percent(const struct outcome *o)
{
	return 100.0 * (double)o->busy_ns / (o->seconds * 1e9 * o->nr_lanes);
}

static double mean_width(const struct outcome *o)
{
	return o->bundles ? (double)o->items / (double)o->bundles : 0;
}

static void print_heading(const char *what)
{
	printf("%-20s %7s", what, "tenants");
	for (int c = 0; c < COLUMNS; c++)
		printf(" %*s", columns[c].width, columns[c].key);
	putchar('\n');
}

static void print_row(const char *name, uint64_t tenants, const struct outcome *o,
		      const struct tally *t)
{
	printf("%-20.20s %7llu", name, (unsigned long long)tenants);
	for (int c = 0; c < COLUMNS; c++)
		printf(" %*.*f", columns[c].width, columns[c].digits, value(o, t, (enum column)c));
	putchar('\n');
}

static void print_outcome(const struct scenario *s, const struct outcome *o, bool per_tenant)
{
	uint64_t at = 0;

	printf("policy %s: %.0f s simulated, device busy %.1f %%, %llu bundles of %.2f steps\n",
	       o->policy, o->seconds, busy_percent(o), (unsigned long long)o->bundles,
	       mean_width(o));
	printf("Jain index: %.4f of device time by weight, %.4f of requests served in time\n\n",
	       o->jain_service, o->jain_served);
	print_heading("group");
	for (uint32_t i = 0; i < s->nr_groups; i++)
		print_row(s->groups[i].name, s->groups[i].count, o, &o->groups[i]);
	print_row("total", o->nr_tenants, o, &o->total);
	if (!per_tenant)
		return;
	putchar('\n');
	print_heading("tenant");
	for (uint32_t i = 0; i < s->nr_groups; i++) {
		for (uint32_t j = 0; j < s->groups[i].count; j++, at++) {
			char name[OOO_NAME_BYTES + 16];

			snprintf(name, sizeof(name), "%s-%u", s->groups[i].name, j);
			print_row(name, 1, o, &o->tenants[at]);
		}
	}
}

static void print_difference(const struct scenario *s, const struct outcome *a,
			     const struct outcome *b)
{
	static const enum column shown[] = { COLUMN_GOODPUT, COLUMN_REFUSED, COLUMN_P50, COLUMN_P99,
					     COLUMN_SHARE };

	printf("\n%s -> %s\n%-20s", a->policy, b->policy, "group");
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		printf(" %26s", columns[shown[i]].key);
	putchar('\n');
	for (uint32_t g = 0; g <= s->nr_groups; g++) {
		const struct tally *x = g < s->nr_groups ? &a->groups[g] : &a->total;
		const struct tally *y = g < s->nr_groups ? &b->groups[g] : &b->total;

		printf("%-20.20s", g < s->nr_groups ? s->groups[g].name : "total");
		for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
			char text[64];

			snprintf(text, sizeof(text), "%.*f -> %.*f", columns[shown[i]].digits,
				 value(a, x, shown[i]), columns[shown[i]].digits,
				 value(b, y, shown[i]));
			printf(" %26s", text);
		}
		putchar('\n');
	}
}

/* What was made coarser to be fast. */
static void print_coarse(const struct scenario *s)
{
	for (uint32_t i = 0; i < s->nr_groups; i++) {
		const struct measured_program *p = &s->groups[i].program;
		uint32_t steps = scenario_steps(s, p);

		if (steps < p->steps)
			printf("group %s: requests in %u steps instead of %u (--steps decides)\n",
			       s->groups[i].name, steps, p->steps);
	}
}

static cJSON *json_tally(const struct outcome *o, const struct tally *t)
{
	cJSON *obj = cJSON_CreateObject();

	for (int c = 0; c < COLUMNS; c++)
		cJSON_AddNumberToObject(obj, columns[c].key, value(o, t, (enum column)c));
	return obj;
}

static cJSON *json_outcome(const struct scenario *s, const struct outcome *o, bool per_tenant)
{
	cJSON *obj = cJSON_CreateObject(), *list;
	uint64_t at = 0;

	cJSON_AddStringToObject(obj, "policy", o->policy);
	cJSON_AddNumberToObject(obj, "busy_percent", busy_percent(o));
	cJSON_AddNumberToObject(obj, "bundles", (double)o->bundles);
	cJSON_AddNumberToObject(obj, "mean_width", mean_width(o));
	cJSON_AddNumberToObject(obj, "jain_service", o->jain_service);
	cJSON_AddNumberToObject(obj, "jain_served", o->jain_served);
	cJSON_AddItemToObject(obj, "total", json_tally(o, &o->total));
	list = cJSON_AddArrayToObject(obj, "groups");
	for (uint32_t i = 0; i < s->nr_groups; i++) {
		cJSON *g = json_tally(o, &o->groups[i]);

		cJSON_AddStringToObject(g, "group", s->groups[i].name);
		cJSON_AddNumberToObject(g, "tenants", s->groups[i].count);
		cJSON_AddNumberToObject(g, "steps", scenario_steps(s, &s->groups[i].program));
		cJSON_AddItemToArray(list, g);
	}
	if (!per_tenant)
		return obj;
	list = cJSON_AddArrayToObject(obj, "tenants");
	for (uint32_t i = 0; i < s->nr_groups; i++) {
		for (uint32_t j = 0; j < s->groups[i].count; j++) {
			cJSON *t = json_tally(o, &o->tenants[at++]);

			cJSON_AddStringToObject(t, "group", s->groups[i].name);
			cJSON_AddNumberToObject(t, "tenant", j);
			cJSON_AddItemToArray(list, t);
		}
	}
	return obj;
}

static int print_json_report(const struct scenario *s, const struct outcome *a,
			     const struct outcome *b, const struct report_options *options)
{
	cJSON *root = cJSON_CreateObject(), *runs = cJSON_AddArrayToObject(root, "runs");
	char *text;

	cJSON_AddStringToObject(root, "device", s->device.model.name);
	cJSON_AddNumberToObject(root, "simulated_s", a->seconds);
	cJSON_AddNumberToObject(root, "seed", (double)s->seed);
	cJSON_AddItemToArray(runs, json_outcome(s, a, options->per_tenant));
	if (b)
		cJSON_AddItemToArray(runs, json_outcome(s, b, options->per_tenant));
	text = cJSON_Print(root);
	cJSON_Delete(root);
	if (!text)
		return -ENOMEM;
	puts(text);
	free(text);
	return 0;
}

int report_print(const struct scenario *s, const struct outcome *a, const struct outcome *b,
		 const struct report_options *options)
{
	if (options->json)
		return print_json_report(s, a, b, options);
	printf("device %s, seed %llu\n", s->device.model.name, (unsigned long long)s->seed);
	print_coarse(s);
	print_outcome(s, a, options->per_tenant);
	if (!b)
		return 0;
	putchar('\n');
	print_outcome(s, b, options->per_tenant);
	print_difference(s, a, b);
	return 0;
}
