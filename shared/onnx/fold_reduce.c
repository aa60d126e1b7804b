/* SPDX-License-Identifier: Apache-2.0 */
/* Sums, maxima and minima of small constant integers: parts of computed shapes. */
#include "shared/onnx/fold.h"

bool fold_reduce_can(const struct folding *f)
{
	return (f->op == OOO_OP_REDUCE_SUM || f->op == OOO_OP_REDUCE_MAX ||
		f->op == OOO_OP_REDUCE_MIN) &&
	       (f->in[0]->shape.dtype == OOO_INT64 || f->in[0]->shape.dtype == OOO_INT32);
}

static bool combine(enum ooo_op op, int64_t *sum, int64_t v)
{
	if (op == OOO_OP_REDUCE_SUM)
		return !__builtin_add_overflow(*sum, v, sum);
	if (op == OOO_OP_REDUCE_MAX ? v > *sum : v < *sum)
		*sum = v;
	return true;
}

/* Strides of the result seen from the operand: 0 along the reduced axes. */
static void result_strides(const struct folding *f, int64_t *strides)
{
	const struct shape *x = &f->in[0]->shape;
	int64_t step = 1;

	for (int i = x->rank - 1; i >= 0; i--) {
		bool reduced = f->attr->axes >> i & 1;

		strides[i] = reduced ? 0 : step;
		step *= reduced ? 1 : x->dims[i];
	}
}

void fold_reduce(const struct folding *f)
{
	const struct value *x = f->in[0];
	int64_t strides[1][OOO_MAX_RANK] = { { 0 } }, index[OOO_MAX_RANK] = { 0 }, at = 0;
	int64_t out_elems = value_elems(f->out[0]);
	struct shape wide = { .dtype = OOO_INT64, .rank = 1, .dims = { out_elems } };
	void *memory;
	int64_t *sum;
	bool *begun;

	if (!new_constant(f->n, &wide, &memory))
		return;
	sum = memory;
	begun = import_alloc(f->n->im, (uint64_t)out_elems);
	if (!begun) {
		refuse(f->n, "%s", ooo_onnx_error());
		return;
	}
	result_strides(f, strides[0]);
	for (int64_t i = 0; i < value_elems(x); i++) {
		int64_t v = value_int(x, i);

		if (!begun[at])
			sum[at] = v;
		else if (!combine(f->op, &sum[at], v))
			refuse(f->n, "a sum of constants overflows");
		begun[at] = true;
		fold_next(&x->shape, index, (const int64_t(*)[OOO_MAX_RANK])strides, &at, 1);
	}
	for (int64_t i = 0; i < out_elems; i++) {
		if (x->shape.dtype == OOO_INT64)
			((int64_t *)f->data[0])[i] = sum[i];
		else if (sum[i] >= INT32_MIN && sum[i] <= INT32_MAX)
			((int32_t *)f->data[0])[i] = (int32_t)sum[i];
		else
			refuse(f->n, "a sum of constants overflows");
	}
}
