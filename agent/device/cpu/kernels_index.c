// SPDX-License-Identifier: Apache-2.0
/* Pad and Gather: elements found by an index computed per axis. */
#include <string.h>

#include "agent/device/cpu/kernels_impl.h"

/* Where position i of the padded axis comes from; -1: the constant. Reflections bounce as often as
 * needed. */
static int64_t pad_source(int64_t i, int64_t size, int mode)
{
	int64_t period = 2 * (size - 1);

	if (i >= 0 && i < size)
		return i;
	if (mode == 0)
		return -1;
	if (mode == 2)
		return i < 0 ? 0 : size - 1;
	if (size == 1)
		return 0;
	i %= period;
	if (i < 0)
		i += period;
	return i < size ? i : period - i;
}

static void store_constant(char *to, uint32_t dtype, float value)
{
	int64_t whole;

	if (dtype == OOO_FP32) { /* any value, infinities too */
		memcpy(to, &value, sizeof(value));
		return;
	}
	whole = (int64_t)value; /* in the type's range: inference has seen to it */
	switch (dtype) {
	case OOO_INT64:
		memcpy(to, &whole, 8);
		break;
	case OOO_INT32:
		memcpy(to, &(int32_t){ (int32_t)whole }, 4);
		break;
	default:
		memset(to, value == 0 ? 0 : (int)whole, dtype_bytes(dtype));
	}
}

enum ooo_status kernel_pad(const struct kernel_args *a, int64_t from, int64_t to)
{
	const struct tensor *x = in_tensor(a, 0), *y = out_tensor(a, 0);
	const struct ooo_attr *at = &a->step->attr;
	size_t size = dtype_bytes(y->shape.dtype);
	int rank = y->shape.rank;
	int64_t strides[OOO_MAX_RANK], index[OOO_MAX_RANK];
	const char *in = a->in[0];

	tensor_strides(x, strides);
	for (int64_t e = from, rest; e < to; e++) {
		int64_t offset = 0;
		bool inside = true;

		rest = e;
		for (int i = rank - 1; i >= 0; i--) {
			index[i] = rest % y->shape.dims[i];
			rest /= y->shape.dims[i];
			index[i] = pad_source(index[i] - at->start[i], x->shape.dims[i], at->mode);
			inside &= index[i] >= 0;
			offset += index[i] * strides[i];
		}
		if (inside)
			memcpy((char *)a->out[0] + (size_t)e * size, in + (size_t)offset * size,
			       size);
		else
			store_constant((char *)a->out[0] + (size_t)e * size, y->shape.dtype,
				       at->alpha);
	}
	return OOO_OK;
}

/* The index is read once: the tenant may change it at any time. False: out of range. */
static bool load_index(const void *p, uint32_t dtype, int64_t i, int64_t size, int64_t *index)
{
	int64_t v = dtype == OOO_INT32 ? ((const volatile int32_t *)p)[i]
				       : ((const volatile int64_t *)p)[i];

	if (v < 0)
		v += size;
	*index = v;
	return v >= 0 && v < size;
}

/* Ranges of whole rows: [outer][index] -> a row of inner elements. */
enum ooo_status kernel_gather(const struct kernel_args *a, int64_t from, int64_t to)
{
	const struct tensor *table = in_tensor(a, 0), *indices = in_tensor(a, 1);
	int axis = a->step->attr.axis;
	int64_t size = table->shape.dims[axis], nr = tensor_elems(indices), inner = 1, index;
	enum ooo_status status = OOO_OK;
	size_t row;

	for (int i = axis + 1; i < table->shape.rank; i++)
		inner *= table->shape.dims[i];
	row = (size_t)inner * dtype_bytes(table->shape.dtype);
	for (int64_t r = from; r < to; r++) {
		char *out = (char *)a->out[0] + (size_t)r * row;

		if (load_index(a->in[1], indices->shape.dtype, r % nr, size, &index)) {
			memcpy(out, (const char *)a->in[0] + (size_t)(r / nr * size + index) * row,
			       row);
		} else {
			memset(out, 0, row);
			status = OOO_BAD_INDEX;
		}
	}
	return status;
}
