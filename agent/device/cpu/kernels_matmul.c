// SPDX-License-Identifier: Apache-2.0
/* Matrix products that oneDNN's primitives do not take: broadcast batches, odd biases, scaled operands. */
#include <string.h>

#include "agent/device/cpu/kernels_impl.h"

/* Element offset of the operand's matrix that goes with the output's matrix number `batch`. */
static int64_t batch_offset(const struct shape *operand, const struct shape *out, int64_t batch)
{
	int64_t offset = 0, step = 1;

	if (operand->rank <= 2)
		return 0;
	step = operand->dims[operand->rank - 1] * operand->dims[operand->rank - 2];
	for (int i = out->rank - 3; i >= 0; i--) {
		int64_t at = batch % out->dims[i];
		int k = i - (out->rank - operand->rank);

		batch /= out->dims[i];
		if (k < 0)
			continue;
		if (operand->dims[k] != 1)
			offset += at * step;
		step *= operand->dims[k];
	}
	return offset;
}

struct matrices {
	const float *a, *b;
	int64_t n, k;
	int64_t a_row, a_col, b_row, b_col; /* strides */
	float alpha;
};

/* A part of one output row; the sum goes in the order of K. */
static void row(const struct matrices *m, int64_t i, int64_t from, int64_t to, float *out)
{
	const float *x = m->a + i * m->a_row;

	if (m->b_col == 1) {
		memset(out, 0, (size_t)(to - from) * sizeof(*out));
		for (int64_t k = 0; k < m->k; k++) {
			const float *w = m->b + k * m->b_row + from;
			float v = x[k * m->a_col];

			for (int64_t j = 0; j < to - from; j++)
				out[j] += v * w[j];
		}
	} else {
		for (int64_t j = from; j < to; j++) {
			const float *w = m->b + j * m->b_col;
			double sum = 0;

			for (int64_t k = 0; k < m->k; k++)
				sum += (double)x[k * m->a_col] * (double)w[k * m->b_row];
			out[j - from] = (float)sum;
		}
	}
	for (int64_t j = 0; m->alpha != 1.0f && j < to - from; j++)
		out[j] *= m->alpha;
}

/* ONNX promotes a vector on the left to a row and on the right to a column. */
static void describe(const struct kernel_args *a, struct matrices *m, struct shape *left,
		     struct shape *right, struct shape *out)
{
	bool ta = a->step->attr.flags & OOO_ATTR_TRANS_A,
	     tb = a->step->attr.flags & OOO_ATTR_TRANS_B;
	int64_t rows, cols;

	*left = in_tensor(a, 0)->shape;
	*right = in_tensor(a, 1)->shape;
	*out = out_tensor(a, 0)->shape;
	if (right->rank == 1) {
		right->rank = 2;
		right->dims[1] = 1;
		out->dims[out->rank++] = 1;
	}
	if (left->rank == 1) {
		left->rank = 2;
		left->dims[1] = left->dims[0];
		left->dims[0] = 1;
		/* The row goes before the last axis. */
		out->dims[out->rank] = out->dims[out->rank - 1];
		out->dims[out->rank - 1] = 1;
		out->rank++;
	}
	rows = left->dims[left->rank - 2];
	cols = left->dims[left->rank - 1];
	m->k = ta ? rows : cols;
	m->a_row = ta ? 1 : cols;
	m->a_col = ta ? cols : 1;
	rows = right->dims[right->rank - 2];
	cols = right->dims[right->rank - 1];
	m->n = tb ? rows : cols;
	m->b_row = tb ? 1 : cols;
	m->b_col = tb ? cols : 1;
	m->alpha = a->step->attr.alpha;
}

struct bias_ctx {
	float *out;
	const float *bias;
	float beta;
};

static void bias_run(void *ctx, const struct walk *w, const int64_t *offset, int64_t n)
{
	const struct bias_ctx *c = ctx;
	int64_t stride = w->stride[1][w->rank - 1];

	for (int64_t i = 0; i < n; i++)
		c->out[offset[0] + i] += c->beta * c->bias[offset[1] + i * stride];
}

enum ooo_status kernel_matmul(const struct kernel_args *a, int64_t from, int64_t to)
{
	struct shape left, right, out;
	struct matrices m;
	int64_t rows;

	describe(a, &m, &left, &right, &out);
	rows = out.dims[out.rank - 2];
	for (int64_t e = from; e < to;) {
		int64_t r = e / m.n, j = e % m.n, take = min64(m.n - j, to - e);

		m.a = (const float *)a->in[0] + batch_offset(&left, &out, r / rows);
		m.b = (const float *)a->in[1] + batch_offset(&right, &out, r / rows);
		row(&m, r % rows, j, j + take, (float *)a->out[0] + e);
		e += take;
	}
	if (has_input(a, 2)) {
		const struct tensor *bias = in_tensor(a, 2);
		struct bias_ctx c = { a->out[0], a->in[2], a->step->attr.beta };
		struct walk w;

		walk_output(&w, out_tensor(a, 0), &bias, 1);
		walk_range(&w, from, to, bias_run, &c);
	}
	return OOO_OK;
}
