/* SPDX-License-Identifier: Apache-2.0 */
/* The live view: what an interval brought, as rows; the screen; the terminal. */
#ifndef OOO_CTL_TOP_H
#define OOO_CTL_TOP_H

#include "ctl/verb.h"

enum top_column {
#define COLUMN(NAME, key, width, help) TOP_##NAME,
#include "ctl/top.def"
	NR_TOP_COLUMNS
};

struct top_tenant {
	char name[64];
	double value[NR_TOP_COLUMNS]; /* TOP_NAME has none */
	double quota_mib;
	uint32_t device;
};

struct top_device {
	char name[64];
	uint32_t index;
	bool lost;
	double busy_percent, memory_used_mib, memory_mib;
};

/* One frame. */
struct top {
	struct top_tenant *tenants;
	size_t nr_tenants;
	struct top_device *devices;
	size_t nr_devices;
	double seconds; /* that it covers */
	double rate, width;
};

struct top_view {
	enum top_column sort;
	bool reverse;
	char filter[32]; /* part of a name, or an id; empty: all */
	bool typing;     /* the filter */
	size_t scroll;
	int rows, columns; /* of the screen; rows 0: as many as it takes */
};

/* top_view.c */
const char *top_key(enum top_column column);
void top_print(FILE *f, struct top *top, const struct top_view *view);
struct cJSON *top_json(struct top *top, const struct top_view *view);
/* A key was pressed. False: quit. */
bool top_key_pressed(struct top_view *view, char key);

/* top_term.c: the terminal on stdin and stdout. */
bool term_is_there(void);
/* Raw input, the other screen; its signals come to the descriptor that is returned, or -errno. */
int term_enter(void);
void term_leave(int signal_fd);
void term_size(int *rows, int *columns);

#endif
