/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers with their units, on command lines and in policy files: "5ms", "1.5GiB", "2000/s", "12.5%".
 * The unit may not be left out. */
#ifndef OOO_SHARED_LIB_UNITS_H
#define OOO_SHARED_LIB_UNITS_H

#include <stdbool.h>
#include <stdint.h>

enum units {
	UNITS_TIME,  /* ns us ms s m h d; in ns */
	UNITS_SIZE,  /* B KiB MiB GiB TiB; in bytes */
	UNITS_RATE,  /* /s */
	UNITS_SHARE, /* %; in thousandths of the whole */
};

/* False: it is none, or too large. */
bool units_parse(const char *text, enum units units, uint64_t *out);
/* What to type instead: "5ms or 2s". */
const char *units_example(enum units units);
/* Decimal digits, and up to three more behind a point; in thousandths if `thousandths`. */
bool units_number(const char *text, bool thousandths, uint64_t *out);

#endif
