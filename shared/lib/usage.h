/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who used the devices: the files that the agent keeps and ooo-ctl adds up. They lie in
 * /var/lib/ooo for the agent of /run/ooo, else in the folder `usage` of the runtime directory.
 *
 *   usage.log   rows of closed periods, appended; usage.log.1 is the one before
 *   usage.now   rows of the period that runs, replaced by rename
 *
 * Each begins with the line USAGE_HEADING. A row is a line of its values as decimal numbers, a blank
 * between two, and last the tenant's name to the end of the line.
 */
#ifndef OOO_LIB_USAGE_H
#define OOO_LIB_USAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define USAGE_NAME_BYTES 32
#define USAGE_LINE_BYTES 512
#define USAGE_LOG        "usage.log"
#define USAGE_LOG_OLD    "usage.log.1"
#define USAGE_NOW        "usage.now"

/* VALUE(name, "what it is"), in the order of the file */
#define USAGE_VALUES(VALUE)                                                                        \
	VALUE(device_ns, "device time: of bundles, shared among their steps")                      \
	VALUE(requests, "requests that ran to their end")                                          \
	VALUE(input_bytes, "inputs of these")                                                      \
	VALUE(output_bytes, "outputs of these")                                                    \
	VALUE(weight_bytes, "weights moved to the device when programs were loaded")               \
	VALUE(memory_byte_s, "device memory held, bytes times seconds")                            \
	VALUE(energy_mj, "energy of the GPU, millijoules, shared by device time")

struct usage_values {
#define VALUE(name, help) uint64_t name;
	USAGE_VALUES(VALUE)
#undef VALUE
};

struct usage_row {
	uint64_t start_s, end_s; /* seconds since 1970 */
	uint32_t device;         /* index */
	uint32_t uid;
	struct usage_values v;
	char name[USAGE_NAME_BYTES]; /* of the tenant: printable ASCII */
};

#define USAGE_VALUE_NAME(name, help) " " #name
#define USAGE_HEADING                "ooo-usage 1: start_s end_s device uid" USAGE_VALUES(USAGE_VALUE_NAME) " name"

/* Where they lie. */
void usage_dir(const char *runtime_dir, char *out, size_t bytes);
bool usage_parse(const char *line, struct usage_row *row); /* a line's end may be there or not */
void usage_write(FILE *out, const struct usage_row *row);
void usage_add(struct usage_values *to, const struct usage_values *more);
void usage_subtract(struct usage_values *from, const struct usage_values *less);

/* Call fn for each row of a file. -errno: cannot read; > 0: so many lines make no sense, the first of
 * them is number *bad_line. */
int usage_read(const char *path, void (*fn)(const struct usage_row *row, void *arg), void *arg,
	       unsigned *bad_line);

#endif
