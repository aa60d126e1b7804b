/* SPDX-License-Identifier: Apache-2.0 */
/* The statuses of shared/abi/status.def as an enum. */
#ifndef OOO_ABI_STATUS_H
#define OOO_ABI_STATUS_H

enum ooo_status {
#define STATUS(NAME, code, key, text) OOO_##NAME = code,
#include "status.def"
#undef STATUS
	OOO_STATUS_LIMIT = 128
};

#define OOO_STATUS_RETRYABLE 64 /* statuses from here on: nothing is wrong with the request */

#endif
