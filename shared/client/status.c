/* SPDX-License-Identifier: Apache-2.0 */
/* Statuses as sentences, keys and errno values; the names of types and operators; the clock. */
#include <errno.h>
#include <time.h>

#include "shared/client/internal.h"

const char *ooo_strstatus(uint32_t status)
{
	switch (status) {
#define STATUS(NAME, code, key, text)                                                              \
	case OOO_##NAME:                                                                           \
		return text;
#include "shared/abi/status.def"
#undef STATUS
	default:
		return "a status that this release does not know";
	}
}

const char *ooo_status_key(uint32_t status)
{
	switch (status) {
#define STATUS(NAME, code, key, text)                                                              \
	case OOO_##NAME:                                                                           \
		return key;
#include "shared/abi/status.def"
#undef STATUS
	default:
		return "unknown";
	}
}

/* What a call returns when the agent's reply carries this status. */
int client_status_errno(uint32_t status)
{
	switch (status) {
	case OOO_OK:
		return 0;
	case OOO_BAD_PROGRAM:
	case OOO_BAD_BUFFER:
	case OOO_INVALID:
		return -EINVAL;
	case OOO_NO_PROGRAM:
	case OOO_NO_BINDING:
		return -ENOENT;
	case OOO_DENIED:
		return -EACCES;
	case OOO_QUOTA:
		return -EDQUOT;
	case OOO_UNSUPPORTED:
		return -EOPNOTSUPP;
	case OOO_NO_MEMORY:
		return -ENOMEM;
	case OOO_BUSY:
		return -EBUSY;
	case OOO_DRAINING:
	case OOO_DEVICE_RESET:
		return -EAGAIN;
	case OOO_TIMED_OUT:
		return -ETIMEDOUT;
	case OOO_AGENT_GONE:
	case OOO_DROPPED:
	case OOO_DEVICE_GONE:
		return -ECONNRESET;
	default: /* BAD_MESSAGE, VERSION, and what makes no sense in a reply */
		return -EPROTO;
	}
}

uint64_t ooo_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void ooo_attr_init(struct ooo_attr *attr, enum ooo_op op)
{
	attr_init(attr, op);
}

size_t ooo_dtype_bytes(enum ooo_dtype dtype)
{
	return dtype_bytes(dtype);
}

const char *ooo_dtype_name(enum ooo_dtype dtype)
{
	return dtype_name(dtype);
}

const char *ooo_op_name(enum ooo_op op)
{
	const struct op_info *info = op_info(op);

	return info ? info->name : "?";
}
