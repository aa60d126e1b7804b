/* SPDX-License-Identifier: Apache-2.0 */
/* The two printers. Keys are the same in both: a column's heading is the JSON key. */
#ifndef OOO_CTL_PRINT_H
#define OOO_CTL_PRINT_H

#include <stdbool.h>
#include <stdio.h>

#include "ctl/record.h"

struct cJSON;

/* The records of one group as aligned columns under a heading, which is there even without rows. */
void print_table(FILE *f, const struct records *rs, const struct group *group);
/* Records of that group as lines of key and value. */
void print_screen(FILE *f, const struct records *rs, const struct group *group);

/* NULL: no memory. */
struct cJSON *json_record(const struct record *r);
struct cJSON *json_records(const struct records *rs, const struct group *group);
/* Print and free; on one line, or laid out for people. 0; -ENOMEM, also for root NULL. */
int print_json(FILE *f, struct cJSON *root, bool one_line);

#endif
