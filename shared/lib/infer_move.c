/* SPDX-License-Identifier: Apache-2.0 */
/* Shape inference of operators that join, cut and rearrange tensors. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>

#include "shared/lib/infer_impl.h"

static int join(const struct infer *n, int i)
{
	const struct shape *s = n->in[i];
	int axis = n->attr->axis;

	if (s->dtype != n->out[0].dtype || s->rank != n->out[0].rank)
		return infer_fail(n, "operand %d is %s but operand 0 is %s", i, shape_text(s).s,
				  shape_text(n->in[0]).s);
	for (int d = 0; d < s->rank; d++)
		if (d != axis && s->dims[d] != n->out[0].dims[d])
			return infer_fail(n,
					  "operand %d is %s but operand 0 is %s: they may differ"
					  " in axis %d alone",
					  i, shape_text(s).s, shape_text(n->in[0]).s, axis);
	if (__builtin_add_overflow(n->out[0].dims[axis], s->dims[axis], &n->out[0].dims[axis]))
		return infer_fail(n, "the sizes along axis %d overflow", axis);
	return 0;
}

int infer_concat(const struct infer *n)
{
	if (infer_need_movable(n, 0) || infer_need_axis(n, n->in[0]))
		return -EINVAL;
	n->out[0] = *n->in[0];
	for (int i = 1; i < n->nr_in; i++)
		if (join(n, i))
			return -EINVAL;
	return 0;
}

/* Size of each part, by the attribute; -1: equal parts. */
static int split_sizes(const struct infer *n, int64_t *sum)
{
	const int64_t *size = n->attr->dims;
	int64_t total = 0;
	bool any = false;

	for (int i = 0; i < OOO_MAX_RANK; i++) {
		if (size[i] < 0 || (size[i] && i >= n->nr_out))
			return infer_fail(n,
					  "dims[%d] = %" PRId64 " is not the size of one of the"
					  " %d outputs",
					  i, size[i], n->nr_out);
		if (__builtin_add_overflow(total, size[i], &total))
			return infer_fail(n, "the sizes overflow");
		any = any || size[i];
	}
	if (any && n->nr_out > OOO_MAX_RANK)
		return infer_fail(n, "%d outputs must be of equal size (dims all 0)", n->nr_out);
	*sum = any ? total : -1;
	return 0;
}

int infer_split(const struct infer *n)
{
	const struct shape *x = n->in[0];
	int axis = n->attr->axis;
	int64_t sum = -1;

	if (infer_need_movable(n, 0) || infer_need_axis(n, x) || split_sizes(n, &sum))
		return -EINVAL;
	if (sum < 0 && x->dims[axis] % n->nr_out)
		return infer_fail(n,
				  "%" PRId64 " elements along axis %d cannot be divided into %d"
				  " equal parts",
				  x->dims[axis], axis, n->nr_out);
	if (sum >= 0 && sum != x->dims[axis])
		return infer_fail(n,
				  "the outputs' sizes add up to %" PRId64
				  " but axis %d has %" PRId64,
				  sum, axis, x->dims[axis]);
	for (int i = 0; i < n->nr_out; i++) {
		n->out[i] = *x;
		n->out[i].dims[axis] = sum < 0 ? x->dims[axis] / n->nr_out : n->attr->dims[i];
	}
	return 0;
}

static int check_attr_rank(const struct infer *n)
{
	if (n->attr->rank != n->in[0]->rank)
		return infer_fail(n, "attribute rank is %d but the input is %s", n->attr->rank,
				  shape_text(n->in[0]).s);
	return 0;
}

static int slice_axis(const struct infer *n, int i)
{
	int64_t in = n->in[0]->dims[i], out = n->attr->dims[i];
	int64_t start = n->attr->start[i], step = n->attr->step[i], last;

	if (!step)
		return infer_fail(n, "the step of axis %d is 0", i);
	if (!out && start >= 0 && start <= in)
		return 0;
	if (out && start >= 0 && start < in && !__builtin_mul_overflow(out - 1, step, &last) &&
	    !__builtin_add_overflow(last, start, &last) && last >= 0 && last < in)
		return 0;
	return infer_fail(n,
			  "%" PRId64 " elements from %" PRId64 " by %" PRId64
			  " leave axis %d of %s",
			  out, start, step, i, shape_text(n->in[0]).s);
}

int infer_slice(const struct infer *n)
{
	if (infer_need_movable(n, 0) || check_attr_rank(n) || infer_out_dims(n, n->in[0]->dtype))
		return -EINVAL;
	for (int i = 0; i < n->attr->rank; i++)
		if (slice_axis(n, i))
			return -EINVAL;
	for (int i = n->attr->rank; i < OOO_MAX_RANK; i++)
		if (n->attr->start[i] || (n->attr->step[i] && n->attr->step[i] != 1))
			return infer_fail(n, "start or step [%d] is set beyond the rank", i);
	return 0;
}

static int pad_axis(const struct infer *n, int i)
{
	int64_t in = n->in[0]->dims[i], out = n->attr->dims[i], start = n->attr->start[i], end;
	/* Reflection does not repeat the edge, so it has one element less to give. */
	int64_t most = n->attr->mode == 1 ? in - 1 : INT64_MAX;

	if (__builtin_sub_overflow(out - in, start, &end) || start < -in || end < -in)
		return infer_fail(n,
				  "axis %d of %s cannot become %" PRId64 " long with %" PRId64
				  " elements added in front",
				  i, shape_text(n->in[0]).s, out, start);
	if (n->attr->mode && !in && (start || end))
		return infer_fail(n, "axis %d is empty: there is nothing to repeat", i);
	if (n->attr->mode && (start > most || end > most))
		return infer_fail(n,
				  "reflecting %" PRId64 " and %" PRId64 " elements needs more"
				  " than the %" PRId64 " of axis %d",
				  start, end, in, i);
	return 0;
}

/* The value is given in fp32 but put into elements of other types. */
static int check_pad_value(const struct infer *n)
{
	static const struct {
		float low, high;
	} range[OOO_DTYPE_LIMIT] = {
		[OOO_INT64] = { -0x1p63f, 0x1.fffffep62f },
		[OOO_INT32] = { -0x1p31f, 0x1.fffffep30f },
		[OOO_BOOL] = { 0, 1 },
		[OOO_UINT8] = { 0, 255 },
		[OOO_INT8] = { -128, 127 },
	};
	uint32_t dtype = n->in[0]->dtype;
	float value = n->attr->alpha;

	if (n->attr->mode && value != 0)
		return infer_fail(n, "a value (alpha) is for mode 0 alone");
	if (dtype == OOO_FP32 ||
	    (value >= range[dtype].low && value <= range[dtype].high && truncf(value) == value))
		return 0;
	return infer_fail(n, "the value %g is not a number in %s", (double)value,
			  dtype_name(dtype));
}

int infer_pad(const struct infer *n)
{
	if (infer_need_movable(n, 0) || check_attr_rank(n) || infer_need_mode(n, 3) ||
	    infer_out_dims(n, n->in[0]->dtype) || check_pad_value(n))
		return -EINVAL;
	for (int i = 0; i < n->attr->rank; i++)
		if (pad_axis(n, i))
			return -EINVAL;
	for (int i = n->attr->rank; i < OOO_MAX_RANK; i++)
		if (n->attr->start[i])
			return infer_fail(n, "start[%d] is set beyond the rank", i);
	return 0;
}

int infer_gather(const struct infer *n)
{
	const struct shape *x = n->in[0], *index = n->in[1];
	struct shape *out = &n->out[0];
	int64_t elems;

	if (infer_need_movable(n, 0) || infer_need_axis(n, x))
		return -EINVAL;
	if (index->dtype != OOO_INT32 && index->dtype != OOO_INT64)
		return infer_fail(n, "the indices are %s but must be int32 or int64",
				  dtype_name(index->dtype));
	if (x->rank - 1 + index->rank > OOO_MAX_RANK)
		return infer_fail(n, "data %s with indices %s gives more than %d axes",
				  shape_text(x).s, shape_text(index).s, OOO_MAX_RANK);
	if (!x->dims[n->attr->axis] && !shape_elems(index, &elems) && elems)
		return infer_fail(n, "axis %d of %s is empty: no index is valid", n->attr->axis,
				  shape_text(x).s);
	out->dtype = x->dtype;
	for (int i = 0; i < x->rank; i++) {
		if (i != n->attr->axis) {
			out->dims[out->rank++] = x->dims[i];
			continue;
		}
		for (int j = 0; j < index->rank; j++)
			out->dims[out->rank++] = index->dims[j];
	}
	return 0;
}

int infer_transpose(const struct infer *n)
{
	const struct shape *x = n->in[0];
	const int32_t *perm = n->attr->perm;
	uint32_t seen = 0;

	if (infer_need_movable(n, 0))
		return -EINVAL;
	n->out[0] = *x;
	for (int i = 0; i < OOO_MAX_RANK; i++) {
		if (i >= x->rank) {
			if (perm[i])
				return infer_fail(n, "perm[%d] is set beyond the rank %d", i,
						  x->rank);
			continue;
		}
		if (perm[i] < 0 || perm[i] >= x->rank || seen & (1u << perm[i]))
			return infer_fail(n,
					  "perm[%d] = %d does not make a permutation of the %d"
					  " axes",
					  i, perm[i], x->rank);
		seen |= 1u << perm[i];
		n->out[0].dims[i] = x->dims[perm[i]];
	}
	return 0;
}
