// SPDX-License-Identifier: Apache-2.0
/* Resize, ONNX semantics: nearest and linear over any axes, four coordinate conventions. */
#include <math.h>
#include <string.h>

#include "agent/device/cpu/kernels_impl.h"

static double original(const struct ooo_attr *at, int axis, int64_t i, int64_t in, int64_t out)
{
	double scale = at->scale[axis] != 0 ? (double)at->scale[axis] : (double)out / (double)in;
	double length;

	switch (at->coord) {
	case OOO_COORD_ASYMMETRIC:
		return (double)i / scale;
	case OOO_COORD_ALIGN_CORNERS:
		/* With a scale ONNX takes the exact length, before it is rounded down. */
		length = at->scale[axis] != 0 ? scale * (double)in : (double)out;
		return out > 1 ? (double)i * (double)(in - 1) / (length - 1) : 0;
	case OOO_COORD_PYTORCH_HALF_PIXEL:
		return out > 1 ? ((double)i + 0.5) / scale - 0.5 : 0;
	default:
		return ((double)i + 0.5) / scale - 0.5;
	}
}

static int64_t nearest(const struct ooo_attr *at, double x, int64_t in)
{
	double r;

	switch (at->nearest_mode) {
	case OOO_NEAREST_FLOOR:
		r = floor(x);
		break;
	case OOO_NEAREST_CEIL:
		r = ceil(x);
		break;
	case OOO_NEAREST_ROUND_PREFER_CEIL:
		r = floor(x + 0.5);
		break;
	default:
		r = ceil(x - 0.5);
	}
	return r < 0 ? 0 : (r > (double)(in - 1) ? in - 1 : (int64_t)r);
}

/* Coordinates of element e of the output's memory, by logical axis. */
static void locate(const struct tensor *t, int64_t e, int64_t *index)
{
	static const int image_order[] = { 0, 2, 3, 1 };
	bool nhwc = t->layout == LAYOUT_NHWC && t->shape.rank == 4;

	for (int k = t->shape.rank - 1; k >= 0; k--) {
		int i = nhwc ? image_order[k] : k;

		index[i] = e % t->shape.dims[i];
		e /= t->shape.dims[i];
	}
}

struct axis_pair {
	int64_t low, high; /* element offsets */
	double weight;     /* of high */
};

static double interpolate(const float *x, const struct axis_pair *pairs, int axis, int rank,
			  int64_t offset)
{
	double low, high;

	if (axis == rank)
		return (double)x[offset];
	low = interpolate(x, pairs, axis + 1, rank, offset + pairs[axis].low);
	if (pairs[axis].weight == 0)
		return low;
	high = interpolate(x, pairs, axis + 1, rank, offset + pairs[axis].high);
	return low * (1 - pairs[axis].weight) + high * pairs[axis].weight;
}

enum ooo_status kernel_resize(const struct kernel_args *a, int64_t from, int64_t to)
{
	const struct tensor *x = in_tensor(a, 0), *y = out_tensor(a, 0);
	const struct ooo_attr *at = &a->step->attr;
	int64_t strides[OOO_MAX_RANK], index[OOO_MAX_RANK];
	struct axis_pair pairs[OOO_MAX_RANK] = { { 0 } };
	size_t size = dtype_bytes(y->shape.dtype);
	int rank = y->shape.rank;

	tensor_strides(x, strides);
	for (int64_t e = from; e < to; e++) {
		locate(y, e, index);
		for (int i = 0; i < rank; i++) {
			int64_t in = x->shape.dims[i], out = y->shape.dims[i];
			double at_in = in == out && at->scale[i] == 0
					       ? (double)index[i]
					       : original(at, i, index[i], in, out);
			double low;

			if (at->mode == 0) {
				pairs[i] = (struct axis_pair){ .low = nearest(at, at_in, in) *
								      strides[i] };
				continue;
			}
			at_in = at_in < 0 ? 0
					  : (at_in > (double)(in - 1) ? (double)(in - 1) : at_in);
			low = floor(at_in);
			pairs[i] = (struct axis_pair){ .low = (int64_t)low * strides[i],
						       .high = min64((int64_t)low + 1, in - 1) *
							       strides[i],
						       .weight = at_in - low };
		}
		if (at->mode == 0) { /* an element of any type */
			int64_t offset = 0;

			for (int i = 0; i < rank; i++)
				offset += pairs[i].low;
			memcpy((char *)a->out[0] + (size_t)e * size,
			       (const char *)a->in[0] + (size_t)offset * size, size);
			continue;
		}
		((float *)a->out[0])[e] = (float)interpolate(a->in[0], pairs, 0, rank, 0);
	}
	return OOO_OK;
}
