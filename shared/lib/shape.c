/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic on shapes; everything that may overflow is checked. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "shared/lib/infer.h"

int shape_elems(const struct shape *s, int64_t *elems)
{
	int64_t n = 1;
	bool empty = false;

	if (s->rank < 0 || s->rank > OOO_MAX_RANK)
		return -EINVAL;
	/* A 0 must not hide that the other dimensions overflow or are negative. */
	for (int i = 0; i < s->rank; i++) {
		if (s->dims[i] < 0)
			return -EINVAL;
		if (!s->dims[i])
			empty = true;
		else if (__builtin_mul_overflow(n, s->dims[i], &n))
			return -EOVERFLOW;
	}
	*elems = empty ? 0 : n;
	return 0;
}

int shape_bytes(const struct shape *s, uint64_t *bytes)
{
	size_t each = dtype_bytes(s->dtype);
	int64_t elems;
	int rc;

	if (!each)
		return -EINVAL;
	rc = shape_elems(s, &elems);
	if (rc)
		return rc;
	if (__builtin_mul_overflow((uint64_t)elems, (uint64_t)each, bytes))
		return -EOVERFLOW;
	return 0;
}

bool shape_equal(const struct shape *a, const struct shape *b)
{
	if (a->dtype != b->dtype || a->rank != b->rank)
		return false;
	for (int i = 0; i < a->rank && i < OOO_MAX_RANK; i++)
		if (a->dims[i] != b->dims[i])
			return false;
	return true;
}

int shape_broadcast(const struct shape *a, const struct shape *b, struct shape *out)
{
	int rank = a->rank > b->rank ? a->rank : b->rank;
	struct shape r = { .dtype = a->dtype, .rank = rank };

	if (a->rank < 0 || b->rank < 0 || rank > OOO_MAX_RANK)
		return -EINVAL;
	for (int i = 0; i < rank; i++) {
		int ia = i - (rank - a->rank), ib = i - (rank - b->rank);
		int64_t da = ia >= 0 ? a->dims[ia] : 1, db = ib >= 0 ? b->dims[ib] : 1;

		if (da != db && da != 1 && db != 1)
			return -EINVAL;
		r.dims[i] = da == 1 ? db : da;
	}
	*out = r;
	return 0;
}

struct shape_text shape_text(const struct shape *s)
{
	struct shape_text t;
	size_t at;

	at = (size_t)snprintf(t.s, sizeof(t.s), "%s[", dtype_name(s->dtype));
	for (int i = 0; i < s->rank && i < OOO_MAX_RANK && at < sizeof(t.s); i++)
		at += (size_t)snprintf(t.s + at, sizeof(t.s) - at, "%s%" PRId64, i ? "," : "",
				       s->dims[i]);
	if (at < sizeof(t.s))
		snprintf(t.s + at, sizeof(t.s) - at, "]");
	return t;
}
