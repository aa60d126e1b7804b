// SPDX-License-Identifier: Apache-2.0
/* Two sets of parameters compared, for people. */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "agent/policy/file.h"

struct writer {
	char *at;
	size_t left;
	bool any;
};

static void put(struct writer *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void put(struct writer *w, const char *fmt, ...)
{
	va_list args;
	int n;

	if (w->any && w->left > 3) {
		memcpy(w->at, ", ", 3);
		w->at += 2;
		w->left -= 2;
	}
	w->any = true;
	va_start(args, fmt);
	n = vsnprintf(w->at, w->left, fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= w->left)
		n = w->left ? (int)w->left - 1 : 0;
	w->at += n;
	w->left -= (size_t)n;
}

static void put_number(struct writer *w, const char *name, uint64_t from, uint64_t to,
		       uint64_t unit, const char *word)
{
	if (from != to)
		put(w, "%s %g%s -> %g%s", name, (double)from / (double)unit, from ? word : "",
		    (double)to / (double)unit, to ? word : "");
}

static void put_word(struct writer *w, const char *name, const char *const *words, uint8_t from,
		     uint8_t to)
{
	if (from != to)
		put(w, "%s %s -> %s", name, words[from], words[to]);
}

void params_change(const struct tenant_params *from, const struct tenant_params *to,
		   const char *from_partition, const char *to_partition, char *text, size_t bytes)
{
	struct writer w = { text, bytes, false };

	text[0] = '\0';
	put_number(&w, "weight", from->weight, to->weight, 1, "");
	put_word(&w, "class", tenant_class_names, from->klass, to->klass);
	put_number(&w, "slo", from->slo_ns, to->slo_ns, 1000000, "ms");
	put_number(&w, "memory", from->memory_bytes, to->memory_bytes, 1 << 20, "MiB");
	put_number(&w, "inflight", from->max_inflight, to->max_inflight, 1, "");
	put_number(&w, "rate", from->rate, to->rate, 1, "/s");
	if (strcmp(from_partition, to_partition) != 0)
		put(&w, "partition %s -> %s", from_partition, to_partition);
	put_word(&w, "isolate", tenant_isolate_names, from->isolate, to->isolate);
	put_word(&w, "admission", tenant_admission_names, from->admission, to->admission);
	put_number(&w, "sm-min", from->sm_min, to->sm_min, 10, "%");
	put_number(&w, "sm-max", from->sm_max, to->sm_max, 10, "%");
}
