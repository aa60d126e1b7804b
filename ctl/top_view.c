// SPDX-License-Identifier: Apache-2.0
/* The screen of `ooo-ctl top`: lines cut to the terminal's width. */
#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ctl/top.h"

#define MAX_COLUMNS 512
#define ESCAPE      '\033'

static const struct {
	const char *key;
	int width;
} columns[NR_TOP_COLUMNS] = {
#define COLUMN(NAME, key, width, help) { key, width },
#include "ctl/top.def"
};

const char *top_key(enum top_column column)
{
	return columns[column].key;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static const struct top_view *sorted_by; /* qsort() has no argument for it */

/* The largest first, names from A, ids from below. */
static int compare(const void *a, const void *b)
{
	const struct top_tenant *x = a, *y = b;
	enum top_column by = sorted_by->sort;
	double left = x->value[by], right = y->value[by];
	int order = by == TOP_NAME ? strcmp(x->name, y->name) : (left < right) - (left > right);

	if (by == TOP_ID)
		order = -order;
	if (sorted_by->reverse)
		order = -order;
	return order ? order : (x->value[TOP_ID] > y->value[TOP_ID]) * 2 - 1;
}

static bool wanted(const struct top_tenant *t, const struct top_view *view)
{
	char id[24];

	snprintf(id, sizeof(id), "%.0f", t->value[TOP_ID]);
	return !view->filter[0] || strcasestr(t->name, view->filter) || !strcmp(id, view->filter);
}

static void sort_rows(struct top *top, const struct top_view *view)
{
	sorted_by = view;
	if (top->nr_tenants)
		qsort(top->tenants, top->nr_tenants, sizeof(*top->tenants), compare);
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Three digits that count, whatever the size. */
static void number_text(double value, char *buf, size_t bytes)
{
	static const char units[] = " kMG";
	int unit = 0;

	while (value >= 99999.5 && units[unit + 1]) {
		value /= 1000;
		unit++;
	}
	if (value <= 0)
		snprintf(buf, bytes, "0");
	else if (unit)
		snprintf(buf, bytes, "%.0f%c", value, units[unit]);
	else
		snprintf(buf, bytes, "%.*f",
			 value < 1     ? 3
			 : value < 10  ? 2
			 : value < 100 ? 1
				       : 0,
			 value);
}

static bool is_whole(enum top_column c)
{
	return c == TOP_ID || c == TOP_QUEUE || c == TOP_REFUSED;
}

static void cell_text(const struct top_tenant *t, enum top_column c, char *buf, size_t bytes)
{
	char number[32];
	double slo = t->value[TOP_SLO];

	if (is_whole(c) && t->value[c] < 99999.5)
		snprintf(number, sizeof(number), "%.0f", t->value[c]);
	else
		number_text(t->value[c], number, sizeof(number));
	snprintf(buf, bytes, "%s%s", c == TOP_P99 && slo > 0 && t->value[c] > slo ? "!" : "",
		 number);
}

struct line {
	char text[MAX_COLUMNS + 1];
	int len;
};

static void add(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct line *l, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(l->text + l->len, sizeof(l->text) - (size_t)l->len, fmt, args);
	va_end(args);
	if (n > 0)
		l->len = l->len + n < MAX_COLUMNS ? l->len + n : MAX_COLUMNS;
}

/* A frame of so many rows, or a plain text. */
struct screen {
	FILE *f;
	const struct top_view *view;
	int row;
};

static void put_line(struct screen *s, struct line *l, bool bright)
{
	int width = s->view->columns < MAX_COLUMNS ? s->view->columns : MAX_COLUMNS;

	s->row++;
	if (!s->view->rows) {
		fprintf(s->f, "%.*s\n", width, l->text);
	} else if (s->row <= s->view->rows) {
		fprintf(s->f, "\033[%d;1H%s%.*s\033[0m\033[K", s->row, bright ? "\033[7m" : "",
			width, l->text);
	}
	l->len = 0;
	l->text[0] = '\0';
}

static int name_width(const struct top_view *view)
{
	int others = 0, left;

	for (int c = 0; c < NR_TOP_COLUMNS; c++)
		others += c == TOP_NAME ? 1 : columns[c].width + 1;
	left = view->columns - others + 1;
	if (left < columns[TOP_NAME].width)
		return columns[TOP_NAME].width;
	return left < 32 ? left : 32;
}

static void put_heading(struct screen *s)
{
	struct line l = { .len = 0 };

	for (int c = 0; c < NR_TOP_COLUMNS; c++)
		add(&l, c == TOP_NAME ? "%s%-*.*s" : "%s%*.*s", c ? " " : "",
		    c == TOP_NAME ? name_width(s->view) : columns[c].width,
		    c == TOP_NAME ? name_width(s->view) : columns[c].width, columns[c].key);
	put_line(s, &l, true);
}

static void put_tenant(struct screen *s, const struct top_tenant *t)
{
	struct line l = { .len = 0 };
	char cell[48];

	for (int c = 0; c < NR_TOP_COLUMNS; c++) {
		if (c == TOP_NAME) {
			add(&l, " %-*.*s", name_width(s->view), name_width(s->view), t->name);
			continue;
		}
		cell_text(t, (enum top_column)c, cell, sizeof(cell));
		add(&l, "%s%*s", c ? " " : "", columns[c].width, cell);
	}
	put_line(s, &l, false);
}

static void put_devices(struct screen *s, const struct top *top)
{
	struct line l = { .len = 0 };

	for (size_t i = 0; i < top->nr_devices; i++) {
		const struct top_device *d = &top->devices[i];

		add(&l, "device %u %s: ", d->index, d->name);
		if (d->lost)
			add(&l, "lost");
		else
			add(&l, "busy %.1f %%", d->busy_percent);
		if (d->memory_mib > 0)
			add(&l, ", memory %.0f of %.0f MiB", d->memory_used_mib, d->memory_mib);
		put_line(s, &l, false);
	}
}

static void put_help(struct screen *s)
{
	const struct top_view *v = s->view;
	struct line l = { .len = 0 };

	if (v->typing)
		add(&l, "filter: %s_  (Enter: done, Esc: all)", v->filter);
	else
		add(&l, "by %s%s%s%s  keys: s S sort, r reverse, / filter, j k scroll, q quit",
		    columns[v->sort].key, v->reverse ? " reversed" : "",
		    v->filter[0] ? ", only " : "", v->filter);
	put_line(s, &l, false);
}

void top_print(FILE *f, struct top *top, const struct top_view *view)
{
	struct screen s = { .f = f, .view = view };
	struct line l = { .len = 0 };
	size_t skip = view->scroll;

	sort_rows(top, view);
	add(&l, "%zu tenants, %.1f requests/s, %.2f steps a bundle, over %.1f s", top->nr_tenants,
	    top->rate, top->width, top->seconds);
	put_line(&s, &l, false);
	put_devices(&s, top);
	if (view->rows)
		put_help(&s);
	put_heading(&s);
	for (size_t i = 0; i < top->nr_tenants; i++) {
		if (!wanted(&top->tenants[i], view))
			continue;
		if (skip)
			skip--;
		else
			put_tenant(&s, &top->tenants[i]);
	}
	if (view->rows && s.row < view->rows)
		fprintf(f, "\033[%d;1H\033[J", s.row + 1);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static cJSON *json_tenant(const struct top_tenant *t)
{
	cJSON *o = cJSON_CreateObject();
	bool ok = o;

	for (int c = 0; c < NR_TOP_COLUMNS && ok; c++)
		ok = c == TOP_NAME ? cJSON_AddStringToObject(o, columns[c].key, t->name)
				   : cJSON_AddNumberToObject(o, columns[c].key, t->value[c]);
	if (ok && cJSON_AddNumberToObject(o, "quota", t->quota_mib) &&
	    cJSON_AddNumberToObject(o, "device", t->device))
		return o;
	cJSON_Delete(o);
	return NULL;
}

static cJSON *json_device(const struct top_device *d)
{
	cJSON *o = cJSON_CreateObject();

	if (o && cJSON_AddNumberToObject(o, "device", d->index) &&
	    cJSON_AddStringToObject(o, "name", d->name) &&
	    cJSON_AddStringToObject(o, "state", d->lost ? "lost" : "running") &&
	    cJSON_AddNumberToObject(o, "busy", d->busy_percent) &&
	    cJSON_AddNumberToObject(o, "memory", d->memory_used_mib) &&
	    cJSON_AddNumberToObject(o, "quota", d->memory_mib))
		return o;
	cJSON_Delete(o);
	return NULL;
}

cJSON *top_json(struct top *top, const struct top_view *view)
{
	cJSON *root = cJSON_CreateObject();
	cJSON *devices = root ? cJSON_AddArrayToObject(root, "devices") : NULL;
	cJSON *tenants = root ? cJSON_AddArrayToObject(root, "tenants") : NULL;
	bool ok = devices && tenants;

	sort_rows(top, view);
	for (size_t i = 0; i < top->nr_devices && ok; i++) {
		cJSON *item = json_device(&top->devices[i]);

		ok = item && cJSON_AddItemToArray(devices, item);
	}
	for (size_t i = 0; i < top->nr_tenants && ok; i++) {
		cJSON *item;

		if (!wanted(&top->tenants[i], view))
			continue;
		item = json_tenant(&top->tenants[i]);
		ok = item && cJSON_AddItemToArray(tenants, item);
	}
	if (ok && cJSON_AddNumberToObject(root, "seconds", top->seconds) &&
	    cJSON_AddNumberToObject(root, "rate", top->rate) &&
	    cJSON_AddNumberToObject(root, "width", top->width))
		return root;
	cJSON_Delete(root);
	return NULL;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void type(struct top_view *view, char key)
{
	size_t len = strlen(view->filter);

	if (key == '\n' || key == '\r') {
		view->typing = false;
	} else if (key == ESCAPE) {
		view->typing = false;
		view->filter[0] = '\0';
	} else if (key == 127 || key == '\b') {
		if (len)
			view->filter[len - 1] = '\0';
	} else if (key >= ' ' && key <= '~' && len + 1 < sizeof(view->filter)) {
		view->filter[len] = key;
		view->filter[len + 1] = '\0';
	}
	view->scroll = 0;
}

bool top_key_pressed(struct top_view *view, char key)
{
	if (view->typing) {
		type(view, key);
		return true;
	}
	switch (key) {
	case 'q':
		return false;
	case 's':
		view->sort = (enum top_column)((view->sort + 1) % NR_TOP_COLUMNS);
		break;
	case 'S':
		view->sort = (enum top_column)((view->sort + NR_TOP_COLUMNS - 1) % NR_TOP_COLUMNS);
		break;
	case 'r':
		view->reverse = !view->reverse;
		break;
	case '/':
		view->typing = true;
		view->filter[0] = '\0';
		break;
	case ESCAPE:
		view->filter[0] = '\0';
		break;
	case 'j':
		view->scroll++;
		break;
	case 'k':
		view->scroll -= view->scroll > 0;
		break;
	}
	return true;
}
