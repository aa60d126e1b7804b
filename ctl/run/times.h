/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OOO_RUN_TIMES_H
#define OOO_RUN_TIMES_H

#include <stddef.h>
#include <stdint.h>

/* The first column of a CSV file, in seconds: numbers or "YYYY-MM-DD HH:MM:SS.fraction", at least two
 * and in ascending order, after a header line. 0, or -errno with a sentence in why that starts with
 * the option that named the file. Free *out. */
int times_read(const char *option, const char *path, double **out, uint64_t *nr, char *why,
	       size_t why_bytes);

#endif
