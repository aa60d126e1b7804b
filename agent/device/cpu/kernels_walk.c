// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "agent/device/cpu/kernels_impl.h"

int64_t tensor_elems(const struct tensor *t)
{
	int64_t n = 1;

	for (int i = 0; i < t->shape.rank; i++)
		n *= t->shape.dims[i];
	return n;
}

void tensor_strides(const struct tensor *t, int64_t *strides)
{
	const int64_t *d = t->shape.dims;
	int64_t run = 1;

	if (t->layout == LAYOUT_NHWC && t->shape.rank == 4) {
		strides[0] = d[1] * d[2] * d[3];
		strides[1] = 1;
		strides[2] = d[3] * d[1];
		strides[3] = d[1];
		return;
	}
	for (int i = t->shape.rank - 1; i >= 0; i--) {
		strides[i] = run;
		run *= d[i];
	}
}

static void swap_dims(struct walk *w, int i, int j)
{
	int64_t t = w->dims[i];

	w->dims[i] = w->dims[j];
	w->dims[j] = t;
	for (int k = 0; k < w->nr_operands; k++) {
		t = w->stride[k][i];
		w->stride[k][i] = w->stride[k][j];
		w->stride[k][j] = t;
	}
}

static void drop_dim(struct walk *w, int i)
{
	for (int j = i; j + 1 < w->rank; j++)
		swap_dims(w, j, j + 1);
	w->rank--;
}

static bool mergeable(const struct walk *w, int outer)
{
	for (int k = 0; k < w->nr_operands; k++) {
		if (w->stride[k][outer] != w->stride[k][outer + 1] * w->dims[outer + 1])
			return false;
	}
	return true;
}

void walk_pack(struct walk *w)
{
	for (int i = w->rank - 1; i >= 0; i--) {
		if (w->dims[i] == 1)
			drop_dim(w, i);
	}
	for (int i = w->rank - 2; i >= 0; i--) {
		if (!mergeable(w, i))
			continue;
		w->dims[i + 1] *= w->dims[i];
		drop_dim(w, i);
	}
	if (!w->rank) {
		w->rank = 1;
		w->dims[0] = 1;
		for (int k = 0; k < w->nr_operands; k++)
			w->stride[k][0] = 0;
	}
}

int64_t walk_elems(const struct walk *w)
{
	int64_t n = 1;

	for (int i = 0; i < w->rank; i++)
		n *= w->dims[i];
	return n;
}

void walk_output(struct walk *w, const struct tensor *out, const struct tensor *const *operands,
		 int nr_operands)
{
	int rank = out->shape.rank;
	int64_t strides[OOO_MAX_RANK] = { 0 };

	memset(w, 0, sizeof(*w));
	w->rank = rank;
	w->nr_operands = nr_operands + 1;
	tensor_strides(out, w->stride[0]);
	memcpy(w->dims, out->shape.dims, (size_t)rank * sizeof(int64_t));
	for (int k = 0; k < nr_operands; k++) {
		const struct tensor *t = operands[k];
		int skip;

		if (!t)
			continue;
		skip = rank - t->shape.rank;
		tensor_strides(t, strides);
		for (int i = skip; i < rank; i++)
			w->stride[k + 1][i] = t->shape.dims[i - skip] == 1 ? 0 : strides[i - skip];
	}
	/* The order of the output's memory: channels innermost in NHWC. */
	if (out->layout == LAYOUT_NHWC && rank == 4) {
		swap_dims(w, 1, 2);
		swap_dims(w, 2, 3);
	}
	walk_pack(w);
}

void walk_range(const struct walk *w, int64_t from, int64_t to, walk_fn fn, void *ctx)
{
	int64_t index[WALK_DIMS], offset[WALK_OPERANDS] = { 0 }, rest = from;
	int inner = w->rank - 1;

	if (from >= to)
		return;
	for (int i = inner; i >= 0; i--) {
		index[i] = rest % w->dims[i];
		rest /= w->dims[i];
		for (int k = 0; k < w->nr_operands; k++)
			offset[k] += index[i] * w->stride[k][i];
	}
	while (from < to) {
		int64_t n = min64(w->dims[inner] - index[inner], to - from);
		int i = inner;

		fn(ctx, w, offset, n);
		from += n;
		index[i] += n;
		for (int k = 0; k < w->nr_operands; k++)
			offset[k] += n * w->stride[k][i];
		while (i > 0 && index[i] == w->dims[i]) {
			for (int k = 0; k < w->nr_operands; k++)
				offset[k] += w->stride[k][i - 1] - w->dims[i] * w->stride[k][i];
			index[i] = 0;
			index[--i]++;
		}
	}
}
