// SPDX-License-Identifier: Apache-2.0
/* Progress while it runs, and the report: a table for people, one JSON object for programs. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/run/run.h"

void report_progress(const struct run_options *o, const struct run_shared *shared, bool last)
{
	uint64_t completed = 0, total = o->requests * (uint64_t)o->tenants;
	int ready = 0, done = 0;

	for (int i = 0; i < o->tenants; i++) {
		uint32_t phase = __atomic_load_n(&shared->tenants[i].phase, __ATOMIC_ACQUIRE);

		completed += __atomic_load_n(&shared->tenants[i].completed, __ATOMIC_RELAXED);
		ready += phase >= PHASE_READY;
		done += phase >= PHASE_DONE;
	}
	if (last)
		fprintf(stderr, "\r\033[K");
	else if (!shared->start_ns)
		fprintf(stderr, "\r\033[Kloading: %d of %d tenants ready", ready, o->tenants);
	else if (total)
		fprintf(stderr, "\r\033[K%llu of %llu requests, %d of %d tenants done",
			(unsigned long long)completed, (unsigned long long)total, done, o->tenants);
	else
		fprintf(stderr, "\r\033[K%llu requests, %.0f of %.0f s",
			(unsigned long long)completed,
			(double)(ooo_now_ns() - shared->start_ns) / 1e9, o->duration_s);
	fflush(stderr);
}

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

static void add_all(struct tenant_result *sum, const struct tenant_result *r)
{
	sum->started += r->started;
	sum->completed += r->completed;
	sum->ok += r->ok;
	sum->late += r->late;
	sum->refused += r->refused;
	sum->failed += r->failed;
	sum->wrong += r->wrong;
	sum->solo_mismatches += r->solo_mismatches;
	sum->width_sum += r->width_sum;
	sum->service_ns += r->service_ns;
	if (r->end_ns > sum->end_ns)
		sum->end_ns = r->end_ns;
	if (r->max_abs_err > sum->max_abs_err)
		sum->max_abs_err = r->max_abs_err;
	sum->start_ns = r->start_ns ? r->start_ns : sum->start_ns;
	histogram_merge(&sum->latency, &r->latency);
}

static double per_second(const struct tenant_result *r)
{
	return r->end_ns > r->start_ns ? (double)r->ok * 1e9 / (double)(r->end_ns - r->start_ns)
				       : 0;
}

static double mean_width(const struct tenant_result *r)
{
	return r->completed ? r->width_sum / (double)r->completed : 0;
}

static void json_numbers(cJSON *obj, const struct run_options *o, const struct tenant_result *r)
{
	const struct histogram *h = &r->latency;

	cJSON_AddNumberToObject(obj, "requests", (double)r->completed);
	cJSON_AddNumberToObject(obj, "requests_per_s", per_second(r));
	cJSON_AddNumberToObject(obj, "mean_ms", h->count ? ms(h->sum) / (double)h->count : 0);
	cJSON_AddNumberToObject(obj, "p50_ms", ms(histogram_quantile(h, 0.5)));
	cJSON_AddNumberToObject(obj, "p90_ms", ms(histogram_quantile(h, 0.9)));
	cJSON_AddNumberToObject(obj, "p99_ms", ms(histogram_quantile(h, 0.99)));
	cJSON_AddNumberToObject(obj, "p999_ms", ms(histogram_quantile(h, 0.999)));
	cJSON_AddNumberToObject(obj, "max_ms", ms(h->max));
	cJSON_AddNumberToObject(obj, "ok", (double)r->ok);
	cJSON_AddNumberToObject(obj, "late", (double)r->late);
	cJSON_AddNumberToObject(obj, "refused", (double)r->refused);
	cJSON_AddNumberToObject(obj, "failed", (double)r->failed);
	cJSON_AddNumberToObject(obj, "mean_bundle_width", mean_width(r));
	cJSON_AddNumberToObject(obj, "service_ms", ms(r->service_ns));
	if (o->nr_compare) {
		cJSON_AddNumberToObject(obj, "wrong", (double)r->wrong);
		cJSON_AddNumberToObject(obj, "max_abs_err", r->max_abs_err);
	}
	if (o->check_solo)
		cJSON_AddNumberToObject(obj, "solo_mismatches", (double)r->solo_mismatches);
}

static void json_program(cJSON *obj, const struct tenant_result *r)
{
	cJSON_AddNumberToObject(obj, "ops", r->nr_ops);
	cJSON_AddNumberToObject(obj, "steps", r->nr_steps);
	cJSON_AddNumberToObject(obj, "weight_bytes", (double)r->weight_bytes);
	cJSON_AddNumberToObject(obj, "workspace_bytes", (double)r->workspace_bytes);
	cJSON_AddNumberToObject(obj, "tensor_bytes", (double)r->tensor_bytes);
}

static void print_json(const struct run_options *o, const struct run_shared *shared,
		       const struct tenant_result *sum)
{
	cJSON *root = cJSON_CreateObject(), *list;
	char *text;

	cJSON_AddStringToObject(root, "model", o->zoo ? o->zoo : o->model);
	cJSON_AddStringToObject(root, "device", shared->device);
	cJSON_AddNumberToObject(root, "tenants", o->tenants);
	cJSON_AddNumberToObject(root, "inflight", o->inflight);
	json_numbers(root, o, sum);
	json_program(root, &shared->tenants[0]);
	list = cJSON_AddArrayToObject(root, "per_tenant");
	for (int i = 0; i < o->tenants; i++) {
		const struct tenant_result *r = &shared->tenants[i];
		cJSON *obj = cJSON_CreateObject();

		cJSON_AddNumberToObject(obj, "tenant", i);
		json_numbers(obj, o, r);
		if (r->text[0])
			cJSON_AddStringToObject(obj, "error", r->text);
		cJSON_AddItemToArray(list, obj);
	}
	text = cJSON_PrintUnformatted(root);
	puts(text ? text : "{}");
	free(text);
	cJSON_Delete(root);
}

static void print_row(const char *label, const struct run_options *o, const struct tenant_result *r)
{
	const struct histogram *h = &r->latency;

	printf("%-8s %9llu %9.1f %9.3f %9.3f %9.3f %9.3f %9.3f %6llu %7llu %6llu %6.2f", label,
	       (unsigned long long)r->completed, per_second(r), ms(histogram_quantile(h, 0.5)),
	       ms(histogram_quantile(h, 0.9)), ms(histogram_quantile(h, 0.99)),
	       ms(histogram_quantile(h, 0.999)), ms(h->max), (unsigned long long)r->late,
	       (unsigned long long)r->refused, (unsigned long long)r->failed, mean_width(r));
	if (o->check_solo)
		printf("  %s", r->solo_mismatches ? "DIFFER" : "same");
	if (o->nr_compare)
		printf("  %s", r->wrong ? "WRONG" : "right");
	putchar('\n');
}

static void print_text(const struct run_options *o, const struct run_shared *shared,
		       const struct tenant_result *sum)
{
	const struct tenant_result *first = &shared->tenants[0];
	char label[16];

	printf("%s on %s: %d tenant%s, %u in flight each; %u operators in %u steps; weights %.1f MiB, "
	       "workspace %.1f MiB (%.1f MiB unplanned)\n\n",
	       o->zoo ? o->zoo : o->model, shared->device, o->tenants, o->tenants == 1 ? "" : "s",
	       o->inflight, first->nr_ops, first->nr_steps, (double)first->weight_bytes / 1048576,
	       (double)first->workspace_bytes / 1048576, (double)first->tensor_bytes / 1048576);
	printf("%-8s %9s %9s %9s %9s %9s %9s %9s %6s %7s %6s %6s%s%s\n", "tenant", "requests",
	       "req/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "late", "refused",
	       "failed", "width", o->check_solo ? "  bits" : "", o->nr_compare ? "  outputs" : "");
	for (int i = 0; i < o->tenants; i++) {
		snprintf(label, sizeof(label), "%d", i);
		print_row(label, o, &shared->tenants[i]);
	}
	if (o->tenants > 1)
		print_row("all", o, sum);
}

int report_final(const struct run_options *o, const struct run_shared *shared)
{
	struct tenant_result *sum = calloc(1, sizeof(*sum));
	bool bad = false;

	if (!sum)
		return 1;
	for (int i = 0; i < o->tenants; i++) {
		const struct tenant_result *r = &shared->tenants[i];

		add_all(sum, r);
		if (r->phase != PHASE_DONE || r->failed || r->wrong || r->solo_mismatches)
			bad = true;
		if (r->text[0])
			fprintf(stderr, "ooo-run: tenant %d: %s\n", i, r->text);
	}
	if (o->json)
		print_json(o, shared, sum);
	else if (sum->completed || !bad)
		print_text(o, shared, sum);
	free(sum);
	return bad ? 1 : 0;
}
