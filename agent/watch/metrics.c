// SPDX-License-Identifier: Apache-2.0
#include "agent/watch/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/tenant/registry.h"
#include "agent/watch/stages.h"

#define SECONDS(ns) ((double)(ns) / 1e9)

/* A copy: nothing in it belongs to anybody else. */
struct tenant_row {
	struct tenant_view view;
	struct tenant_stats stats;
	uint64_t stage_ns[OOO_RECORD_STAGES];
	uint64_t some_ns, full_ns;
	struct pressure_view stalled;
};

struct device_row {
	struct turn_stats stats;
	const char *name, *description;
	uint32_t lanes;
	uint64_t memory_used, memory;
	uint64_t some_ns, full_ns;
	struct pressure_view stalled;
};

struct metrics {
	struct registry_agent agent;
	uint64_t uptime_ns;
	struct device_row devices[DEVICE_MAX_OPEN];
	uint32_t nr_devices;
	struct tenant_row *tenants;
	uint32_t nr_tenants, max_tenants;
	const uid_t *only_uid;
};

/* ---- the look -------------------------------------------------------------------------------- */

static void read_counters(void *to, const void *live, size_t bytes)
{
	const uint64_t *src = live;
	uint64_t *dst = to;

	for (size_t i = 0; i < bytes / sizeof(*dst); i++)
		dst[i] = stat_read(&src[i]);
}

static int take_tenant(const struct tenant_view *t, void *arg)
{
	struct metrics *m = arg;
	struct tenant_row *row;

	if (m->only_uid && t->uid != *m->only_uid)
		return 0;
	if (m->nr_tenants == m->max_tenants)
		return 1; /* the next look sees it */
	row = &m->tenants[m->nr_tenants++];
	row->view = *t;
	row->view.stats = NULL;
	row->view.stages = NULL;
	row->view.watch = NULL;
	row->view.stalled = NULL;
	read_counters(&row->stats, t->stats, sizeof(row->stats));
	for (unsigned i = 0; t->stages && i < OOO_RECORD_STAGES; i++)
		row->stage_ns[i] = stat_read(&t->stages->stage[i].sum_ns);
	row->stalled = t->watch->stalled;
	row->some_ns = stat_read(&t->stalled->some_ns);
	row->full_ns = stat_read(&t->stalled->full_ns);
	return 0;
}

static void take_device(const struct registry_device *d, struct device_row *row)
{
	row->name = d->caps->name;
	row->description = d->caps->description;
	row->lanes = registry_device_lanes(d);
	read_counters(&row->stats, d->stats, sizeof(row->stats));
	row->stalled = d->stalled;
	if (d->pressure) {
		row->some_ns = stat_read(&d->pressure->some_ns);
		row->full_ns = stat_read(&d->pressure->full_ns);
	}
}

struct metrics *metrics_take(struct registry *r, const uid_t *only_uid, uint64_t now_ns)
{
	struct metrics *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	registry_lock(r);
	m->max_tenants = registry_agent(r)->nr_tenants + 16;
	registry_unlock(r);
	m->tenants = calloc(m->max_tenants, sizeof(*m->tenants));
	if (!m->tenants) {
		free(m);
		return NULL;
	}
	m->only_uid = only_uid;
	registry_lock(r);
	m->agent = *registry_agent(r);
	m->nr_devices = m->agent.nr_devices;
	for (uint32_t i = 0; i < m->nr_devices; i++)
		take_device(&m->agent.devices[i], &m->devices[i]);
	registry_for_each_tenant(r, take_tenant, m);
	registry_unlock(r);
	m->uptime_ns = now_ns > m->agent.start_ns ? now_ns - m->agent.start_ns : 0;
	for (uint32_t i = 0; i < m->nr_devices; i++) {
		const struct registry_device *d = &m->agent.devices[i];

		if (d->ops && d->ops->memory)
			d->ops->memory(d->dev, &m->devices[i].memory_used, &m->devices[i].memory);
	}
	return m;
}

void metrics_free(struct metrics *m)
{
	if (m)
		free(m->tenants);
	free(m);
}

/* ---- the table ------------------------------------------------------------------------------- */

enum scope {
	AGENT,
	DEVICE,
	TENANT
};

enum type {
	COUNTER,
	GAUGE,
	INFO,
	HISTOGRAM,
	STAGES /* a counter for each stage of a request */
};

static double inflight(const struct tenant_row *t)
{
	/* Read one after the other: the second may be ahead. */
	return t->stats.submitted > t->stats.completed
		       ? (double)(t->stats.submitted - t->stats.completed)
		       : 0;
}

#define METRIC(SCOPE, TYPE, name, unit, VALUE, help)                                               \
	static double value_##name(const struct metrics *a, const struct device_row *d,            \
				   const struct tenant_row *t)                                     \
	{                                                                                          \
		return (double)(VALUE);                                                            \
	}
#include "agent/watch/metrics.def"

static const struct metric {
	const char *name, *unit, *help;
	enum scope scope;
	enum type type;
	double (*value)(const struct metrics *a, const struct device_row *d,
			const struct tenant_row *t);
} metrics[] = {
#define METRIC(SCOPE, TYPE, name, unit, VALUE, help)                                               \
	{ #name, unit, help, SCOPE, TYPE, value_##name },
#include "agent/watch/metrics.def"
};

#define NR_METRICS (sizeof(metrics) / sizeof(metrics[0]))

static const char *const type_names[] = {
	[COUNTER] = "counter",     [GAUGE] = "gauge",    [INFO] = "gauge",
	[HISTOGRAM] = "histogram", [STAGES] = "counter",
};

/* ---- text ------------------------------------------------------------------------------------ */

struct piece {
	char text[METRICS_PIECE_BYTES];
	size_t len;
};

static void add(struct piece *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct piece *p, const char *fmt, ...)
{
	size_t room = sizeof(p->text) - p->len;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(p->text + p->len, room, fmt, args);
	va_end(args);
	if (n > 0)
		p->len += (size_t)n < room ? (size_t)n : room - 1;
}

/* Whole numbers exactly, others to the nanosecond. */
static void add_value(struct piece *p, double value)
{
	add(p, value == floor(value) && fabs(value) < 0x1p53 ? " %.0f\n" : " %.9f\n", value);
}

/* key="value", with what must not stand in quotes escaped. */
static void add_label(struct piece *p, const char *key, const char *value)
{
	add(p, "%s%s=\"", p->text[p->len - 1] == '{' ? "" : ",", key);
	for (; *value; value++) {
		if (*value == '\n')
			add(p, "\\n");
		else
			add(p, *value == '\\' || *value == '"' ? "\\%c" : "%c", *value);
	}
	add(p, "\"");
}

static void add_number_label(struct piece *p, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	add_label(p, key, text);
}

static void begin_sample(struct piece *p, const struct metric *m, const char *suffix)
{
	add(p, "%s%s{", m->name, suffix);
}

/* "} ", or nothing at all instead of "{}". */
static void end_labels(struct piece *p)
{
	if (p->text[p->len - 1] == '{')
		p->text[--p->len] = '\0';
	else
		add(p, "}");
}

static void add_header(struct piece *p, const struct metric *m)
{
	add(p, "# TYPE %s %s\n", m->name, type_names[m->type]);
	if (m->unit[0])
		add(p, "# UNIT %s %s\n", m->name, m->unit);
	add(p, "# HELP %s %s\n", m->name, m->help);
}

static void add_agent(struct piece *p, const struct metrics *m, const struct metric *metric)
{
	begin_sample(p, metric, metric->type == COUNTER ? "_total" : "");
	if (metric->type == INFO) {
		add_label(p, "version", OOO_RELEASE);
		add_number_label(p, "pid", (uint64_t)m->agent.pid);
	}
	end_labels(p);
	add_value(p, metric->value(m, NULL, NULL));
}

static void add_device(struct piece *p, const struct metrics *m, uint32_t index,
		       const struct metric *metric)
{
	const struct device_row *d = &m->devices[index];

	begin_sample(p, metric, metric->type == COUNTER ? "_total" : "");
	add_number_label(p, "device", index);
	if (metric->type == INFO) {
		add_label(p, "name", d->name);
		add_label(p, "description", d->description);
	}
	end_labels(p);
	add_value(p, metric->value(m, d, NULL));
}

static void tenant_labels(struct piece *p, const struct tenant_row *t)
{
	add_number_label(p, "tenant", t->view.id);
	add_label(p, "name", t->view.name);
	add_number_label(p, "device", t->view.device);
}

/* A bucket for each power of two. A bound belongs to the bucket above it, by one nanosecond. */
static void add_histogram(struct piece *p, const struct tenant_row *t, const struct metric *metric)
{
	uint64_t below = 0;

	for (unsigned i = 0; i < LATENCY_BUCKETS - 1; i++) {
		below += t->stats.latency[i];
		if (i % LATENCY_SPLIT)
			continue;
		begin_sample(p, metric, "_bucket");
		tenant_labels(p, t);
		add(p, ",le=\"%.9g\"} %" PRIu64 "\n", SECONDS(latency_bound_ns(i)), below);
	}
	below += t->stats.latency[LATENCY_BUCKETS - 1];
	begin_sample(p, metric, "_bucket");
	tenant_labels(p, t);
	add(p, ",le=\"+Inf\"} %" PRIu64 "\n", below);
	begin_sample(p, metric, "_count");
	tenant_labels(p, t);
	add(p, "} %" PRIu64 "\n", below);
	begin_sample(p, metric, "_sum");
	tenant_labels(p, t);
	end_labels(p);
	add_value(p, SECONDS(t->stats.latency_ns_sum));
}

static void add_stages(struct piece *p, const struct tenant_row *t, const struct metric *metric)
{
	static const char *const keys[] = {
#define STAGE(NAME, key, help) key,
		OOO_RECORD_STAGE_LIST(STAGE)
#undef STAGE
	};

	/* The last one, WAKE, is known to the tenants alone. */
	for (unsigned i = 0; i < OOO_STAGE_WAKE; i++) {
		begin_sample(p, metric, "_total");
		tenant_labels(p, t);
		add_label(p, "stage", keys[i]);
		end_labels(p);
		add_value(p, SECONDS(t->stage_ns[i]));
	}
}

static void add_tenant(struct piece *p, const struct metrics *m, const struct tenant_row *t,
		       const struct metric *metric)
{
	if (metric->type == HISTOGRAM) {
		add_histogram(p, t, metric);
		return;
	}
	if (metric->type == STAGES) {
		add_stages(p, t, metric);
		return;
	}
	begin_sample(p, metric, metric->type == COUNTER ? "_total" : "");
	tenant_labels(p, t);
	if (metric->type == INFO) {
		add_number_label(p, "user", t->view.uid);
		add_number_label(p, "pid", (uint64_t)t->view.pid);
		add_label(p, "class", tenant_class_names[t->view.params.klass]);
	}
	end_labels(p);
	add_value(p, metric->value(m, NULL, t));
}

/*
 * A place in the text: the metric, and 0 for its heading (with all samples that are no tenant's),
 * else a tenant's id + 1.
 */
#define PLACE(metric, sub) ((uint64_t)(metric) << 33 | (sub))

static void fill_head(struct piece *p, const struct metrics *m, const struct metric *metric)
{
	p->len = 0;
	add_header(p, metric);
	if (metric->scope == AGENT)
		add_agent(p, m, metric);
	for (uint32_t i = 0; metric->scope == DEVICE && i < m->nr_devices; i++)
		add_device(p, m, i, metric);
}

static int write_metric(const struct metrics *m, const struct metric *metric, uint64_t from,
			uint64_t *at, int (*put)(void *arg, const char *text, size_t bytes),
			void *arg)
{
	uint64_t number = (uint64_t)(metric - metrics);
	struct piece p;
	int err = 0;

	if (!from) {
		*at = PLACE(number, 0);
		fill_head(&p, m, metric);
		err = put(arg, p.text, p.len);
	}
	for (uint32_t i = 0; metric->scope == TENANT && i < m->nr_tenants && !err; i++) {
		const struct tenant_row *t = &m->tenants[i];

		if (t->view.id + 1ull < from)
			continue;
		*at = PLACE(number, t->view.id + 1ull);
		p.len = 0;
		add_tenant(&p, m, t, metric);
		err = put(arg, p.text, p.len);
	}
	return err;
}

int metrics_write(const struct metrics *m, uint64_t *at,
		  int (*put)(void *arg, const char *text, size_t bytes), void *arg)
{
	static const char end[] = "# EOF\n";
	uint64_t from = *at & (PLACE(1, 0) - 1);
	int err = 0;

	for (uint64_t i = *at >> 33; i < NR_METRICS && !err; i++) {
		err = write_metric(m, &metrics[i], from, at, put, arg);
		from = 0;
	}
	if (err)
		return err;
	*at = PLACE(NR_METRICS, 0);
	return put(arg, end, sizeof(end) - 1);
}
