// SPDX-License-Identifier: Apache-2.0
/*
 * The blame matrix: for each tenant the time of all its requests, and what of it went to which
 * tenant's steps. The rows' sums are the requests' latencies added up, sampled ones as often as they
 * stand for.
 */
#include "ctl/blame.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/print.h"
#include "ctl/why.h"

struct blame {
	const struct flight_device *d;
	uint32_t *tenants; /* ids, in order of appearance */
	size_t nr;
	uint64_t *ns; /* nr x nr: [waiting][for whom] */
	uint64_t (*parts)[WHY_PARTS];
	uint64_t *latency_ns, *requests;
};

static size_t find(const struct blame *m, uint32_t tenant)
{
	size_t i = 0;

	while (i < m->nr && m->tenants[i] != tenant)
		i++;
	return i;
}

static void note(struct blame *m, uint32_t tenant)
{
	if (find(m, tenant) == m->nr)
		m->tenants[m->nr++] = tenant;
}

static void blame_free(struct blame *m)
{
	free(m->tenants);
	free(m->ns);
	free(m->parts);
	free(m->latency_ns);
	free(m->requests);
}

/* Who is there: by the names, and those who waited. */
static int list_tenants(struct blame *m)
{
	const struct flight_device *d = m->d;
	const struct ooo_record_name *names = d->names.items;
	size_t max = d->names.nr + d->requests.nr + 1;

	m->tenants = malloc(max * sizeof(*m->tenants));
	if (!m->tenants)
		return -1;
	for (size_t i = 0; i < d->requests.nr; i++)
		note(m, flight_request(d, i)->tenant);
	for (size_t i = 0; i < d->names.nr; i++)
		note(m, names[i].tenant);
	m->ns = calloc(m->nr * m->nr + 1, sizeof(*m->ns));
	m->parts = calloc(m->nr + 1, sizeof(*m->parts));
	m->latency_ns = calloc(m->nr + 1, sizeof(*m->latency_ns));
	m->requests = calloc(m->nr + 1, sizeof(*m->requests));
	return m->ns && m->parts && m->latency_ns && m->requests ? 0 : -1;
}

static void add(struct blame *m, const struct why *w)
{
	size_t row = find(m, w->r->tenant);
	uint64_t weight = w->r->weight ? w->r->weight : 1;

	m->latency_ns[row] += flight_latency_ns(w->r) * weight;
	m->requests[row] += weight;
	for (unsigned i = 0; i < WHY_PARTS; i++)
		m->parts[row][i] += w->part_ns[i] * weight;
	for (unsigned i = 0; i < w->nr_others; i++) {
		size_t column = find(m, w->others[i].tenant);
		uint64_t ns = w->others[i].ns + w->others[i].copy_ns;

		if (column < m->nr)
			m->ns[row * m->nr + column] += ns * weight;
	}
}

static int fill(struct blame *m, const struct command *cmd)
{
	const struct flight_device *d = m->d;
	uint64_t now_ns = flight_now_ns(d);
	struct why_index index;
	struct why w;

	if (list_tenants(m) || why_prepare(d, &index))
		return -1;
	for (size_t i = 0; i < d->requests.nr; i++) {
		const struct ooo_record_request *r = flight_request(d, i);

		if (!why_wanted(cmd, d, r, now_ns))
			continue;
		why_explain(d, &index, r, &w);
		add(m, &w);
	}
	why_release(&index);
	return 0;
}

/* The tenant's own: its work, its other requests, and its own copies. */
static uint64_t own_ns(const struct blame *m, size_t row)
{
	uint64_t others = 0, work = m->parts[row][WHY_OWN] + m->parts[row][WHY_QUEUE] +
				    m->parts[row][WHY_COPY] + m->parts[row][WHY_NEIGHBOUR];

	for (size_t i = 0; i < m->nr; i++)
		others += m->ns[row * m->nr + i];
	return work > others ? work - others : 0;
}

/* What is nobody's steps: holds, the host, the rings, idle time. */
static uint64_t rest_ns(const struct blame *m, size_t row)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < WHY_PARTS; i++)
		sum += m->parts[row][i];
	return sum - m->parts[row][WHY_OWN] - m->parts[row][WHY_QUEUE] - m->parts[row][WHY_COPY] -
	       m->parts[row][WHY_NEIGHBOUR];
}

static void print_matrix(const struct blame *m)
{
	char label[FLIGHT_LABEL_BYTES];

	printf("%-20s %9s %11s %11s %11s", "waiting, ms", "requests", "latency", "itself",
	       "nobody");
	for (size_t i = 0; i < m->nr; i++) {
		if (m->requests[i])
			printf(" %14.14s", flight_label(m->d, m->tenants[i], label));
	}
	putchar('\n');
	for (size_t row = 0; row < m->nr; row++) {
		if (!m->requests[row])
			continue;
		printf("%-20.20s %9llu %11.1f %11.1f %11.1f",
		       flight_label(m->d, m->tenants[row], label),
		       (unsigned long long)m->requests[row], (double)m->latency_ns[row] / 1e6,
		       (double)own_ns(m, row) / 1e6, (double)rest_ns(m, row) / 1e6);
		for (size_t i = 0; i < m->nr; i++) {
			if (m->requests[i])
				printf(" %14.1f", (double)m->ns[row * m->nr + i] / 1e6);
		}
		putchar('\n');
	}
}

static cJSON *json_row(const struct blame *m, size_t row)
{
	cJSON *item = cJSON_CreateObject(), *parts, *list;
	char label[FLIGHT_LABEL_BYTES];

	cJSON_AddNumberToObject(item, "tenant", m->tenants[row]);
	cJSON_AddStringToObject(item, "name",
				strchr(flight_label(m->d, m->tenants[row], label), ':') + 1);
	cJSON_AddNumberToObject(item, "device", m->d->header.device);
	cJSON_AddNumberToObject(item, "requests", (double)m->requests[row]);
	cJSON_AddNumberToObject(item, "latency_ms", (double)m->latency_ns[row] / 1e6);
	cJSON_AddNumberToObject(item, "itself_ms", (double)own_ns(m, row) / 1e6);
	parts = cJSON_AddObjectToObject(item, "parts_ms");
	for (unsigned i = 0; i < WHY_PARTS; i++)
		cJSON_AddNumberToObject(parts, why_key((enum why_part)i),
					(double)m->parts[row][i] / 1e6);
	list = cJSON_AddArrayToObject(item, "waited_for");
	for (size_t i = 0; i < m->nr; i++) {
		cJSON *other;

		if (!m->ns[row * m->nr + i])
			continue;
		other = cJSON_CreateObject();
		cJSON_AddNumberToObject(other, "tenant", m->tenants[i]);
		cJSON_AddStringToObject(other, "name",
					strchr(flight_label(m->d, m->tenants[i], label), ':') + 1);
		cJSON_AddNumberToObject(other, "ms", (double)m->ns[row * m->nr + i] / 1e6);
		cJSON_AddItemToArray(list, other);
	}
	return item;
}

enum ctl_exit blame_tell(struct session *s, const struct flight *f)
{
	cJSON *list = cJSON_CreateArray();
	bool failed = false;

	for (unsigned i = 0; i < f->nr && !failed; i++) {
		struct blame m = { .d = &f->devices[i] };

		failed = fill(&m, s->cmd);
		for (size_t row = 0; s->cmd->json && !failed && row < m.nr; row++) {
			if (m.requests[row])
				cJSON_AddItemToArray(list, json_row(&m, row));
		}
		if (!s->cmd->json && !failed)
			print_matrix(&m);
		blame_free(&m);
	}
	if (!failed && s->cmd->json) {
		failed = print_json(stdout, list, false);
		list = NULL;
	}
	cJSON_Delete(list);
	if (!failed)
		return CTL_OK;
	snprintf(s->why, sizeof(s->why), "out of memory");
	return CTL_REFUSED;
}
