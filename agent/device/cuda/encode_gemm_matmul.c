// SPDX-License-Identifier: Apache-2.0
/*
 * MatMul as products: W is B transposed, X is A. Batches that share B and lie evenly become columns
 * of one product, the others products of their own.
 */
#include <errno.h>
#include <stdlib.h>

#include "agent/device/cuda/encode_gemm.h"

/* One axis of the result except the last: elements from one index to the next. x counts rows of A,
 * w matrices of B. */
struct axis {
	int64_t size, x, w, y, bias;
};

struct matmul {
	int64_t m, n, k; /* columns and rows of one result; what is summed over */
	struct shape a, b, y;
	bool trans_a, trans_b;
	struct axis axes[OOO_MAX_RANK + 2];
	int nr_axes;
	int64_t bias_channel;
	struct gemm_x x;
	struct gemm_w w;
};

/* ONNX promotes a vector on the left to a row and on the right to a column. */
static void describe(struct gemm_build *b, struct matmul *mm)
{
	const struct step *s = b->step;
	struct shape *a = &mm->a, *w = &mm->b, *y = &mm->y;

	*mm = (struct matmul){
		.a = b->p->tensors[s->in[0]].shape,
		.b = b->p->tensors[s->in[1]].shape,
		.y = b->p->tensors[s->out[0]].shape,
		.trans_a = s->attr.flags & OOO_ATTR_TRANS_A,
		.trans_b = s->attr.flags & OOO_ATTR_TRANS_B,
	};
	if (w->rank == 1) {
		w->rank = 2;
		w->dims[1] = 1;
		mm->trans_b = false;
		y->dims[y->rank++] = 1;
	}
	if (a->rank == 1) {
		a->rank = 2;
		a->dims[1] = a->dims[0];
		a->dims[0] = 1;
		mm->trans_a = false;
		y->dims[y->rank] = y->dims[y->rank - 1];
		y->dims[y->rank - 1] = 1;
		y->rank++;
	}
	mm->m = y->dims[y->rank - 1];
	mm->n = y->dims[y->rank - 2];
	mm->k = a->dims[a->rank - (mm->trans_a ? 2 : 1)];
	mm->trans_a = mm->trans_a && mm->n > 1; /* a row and a column are alike in memory */
}

static int64_t matrices(const struct shape *s)
{
	int64_t n = 1;

	for (int i = 0; i < s->rank - 2; i++)
		n *= s->dims[i];
	return n;
}

/* How far index + 1 on axis i of the result moves in an operand that broadcasts to it. */
static int64_t step_of(const struct shape *s, const struct shape *y, int i, int last, int64_t unit)
{
	int at = i - (y->rank - s->rank);

	if (at < 0 || s->dims[at] == 1)
		return 0;
	for (int j = at + 1; j < s->rank - last; j++)
		unit *= s->dims[j];
	return unit;
}

/* The bias as if it had the result's rank, with the axes that describe() added. */
static struct shape bias_shape(struct gemm_build *b)
{
	const struct step *s = b->step;
	struct shape bias = { .rank = 0 };

	if (s->nr_in < 3 || s->in[2] == OOO_NONE)
		return bias;
	bias = b->p->tensors[s->in[2]].shape;
	if (b->p->tensors[s->in[1]].shape.rank == 1)
		bias.dims[bias.rank++] = 1;
	if (b->p->tensors[s->in[0]].shape.rank == 1) {
		bias.dims[bias.rank] = bias.rank ? bias.dims[bias.rank - 1] : 1;
		bias.dims[bias.rank ? bias.rank - 1 : 0] = 1;
		bias.rank++;
	}
	return bias;
}

/* All axes but the last, outermost first, neighbours merged where every operand allows it. */
static void make_axes(struct matmul *mm, const struct shape *bias)
{
	const struct shape *y = &mm->y;
	int64_t out = mm->m;

	mm->nr_axes = y->rank - 1;
	for (int i = y->rank - 2; i >= 0; i--) {
		struct axis *x = &mm->axes[i];

		x->size = y->dims[i];
		x->y = out;
		out *= x->size;
		x->bias = step_of(bias, y, i, 0, 1);
		if (i == y->rank - 2) {
			x->x = 1;
		} else {
			x->x = step_of(&mm->a, y, i, 2, mm->n);
			x->w = step_of(&mm->b, y, i, 2, 1);
		}
	}
	mm->bias_channel = step_of(bias, y, y->rank - 1, 0, 1);
	for (int i = mm->nr_axes - 2; i >= 0; i--) {
		struct axis *outer = &mm->axes[i], *inner = outer + 1;

		if (outer->size != 1 && inner->size != 1 &&
		    (outer->x != inner->x * inner->size || outer->w != inner->w * inner->size ||
		     outer->y != inner->y * inner->size ||
		     outer->bias != inner->bias * inner->size))
			continue;
		if (inner->size == 1) {
			*inner = *outer;
		} else {
			inner->size *= outer->size;
		}
		mm->nr_axes--;
		for (int j = i; j < mm->nr_axes; j++)
			mm->axes[j] = mm->axes[j + 1];
	}
}

static int take_operands(struct gemm_build *b, struct matmul *mm)
{
	const struct step *s = b->step;
	int64_t nr_a = matrices(&mm->a);
	struct gemm_matrix x = {
		.id = s->in[0],
		.nr_z = (uint32_t)(mm->trans_a ? nr_a : 1),
		.rows = (uint32_t)(mm->trans_a ? mm->n : nr_a * mm->n),
		.taps = { 1, 1 },
		.channels = (uint32_t)mm->k,
		.z_stride = mm->n * mm->k,
		.row_stride = mm->trans_a ? 1 : mm->k,
		.channel_stride = mm->trans_a ? mm->n : 1,
	};
	struct gemm_matrix w = {
		.id = s->in[1],
		.nr_z = (uint32_t)matrices(&mm->b),
		.rows = (uint32_t)mm->m,
		.taps = { 1, 1 },
		.channels = (uint32_t)mm->k,
		.z_stride = mm->m * mm->k,
		.row_stride = mm->trans_b ? mm->k : 1,
		.channel_stride = mm->trans_b ? 1 : mm->m,
	};
	int err = gemm_take_x(b, &x, ((uint64_t)mm->m + 63) / 64, &mm->x);

	return err ? err : gemm_take_w(b, &w, &mm->w);
}

/* The axes outside `inner` of them, as products of their own. */
static struct gemm_batch *make_batch(const struct matmul *mm, int inner, uint32_t nr)
{
	struct gemm_batch *batch = calloc(nr, sizeof(*batch));

	for (uint32_t z = 0; batch && z < nr; z++) {
		int64_t left = z;

		for (int i = mm->nr_axes - inner - 1; i >= 0; i--) {
			const struct axis *a = &mm->axes[i];
			int64_t at = left % a->size;

			left /= a->size;
			batch[z].x += at * a->x * mm->x.row * GEMM_CHUNK;
			batch[z].w += at * a->w * mm->w.z;
			batch[z].y += at * a->y;
			batch[z].bias += at * a->bias;
		}
	}
	return batch;
}

static void fill_task(struct gemm_build *b, const struct matmul *mm, struct gemm_task *t,
		      const struct axis *image, const struct axis *row, const struct axis *column)
{
	const struct step *s = b->step;
	bool bias = s->nr_in > 2 && s->in[2] != OOO_NONE;

	*t = (struct gemm_task){
		.x = mm->x.at,
		.w = mm->w.at,
		.y = plan_operand(b->plan, s->out[0]),
		.m = (uint32_t)mm->m,
		.n = (uint32_t)(image->size * row->size * column->size),
		.blocks = mm->w.blocks,
		.plane = cuda_div_make((uint32_t)(row->size * column->size)),
		.row = cuda_div_make((uint32_t)column->size),
		.x_image = (int32_t)(image->x * mm->x.row),
		.x_row = (int32_t)(row->x * mm->x.row),
		.x_column = (int32_t)(column->x * mm->x.row),
		.height = (uint32_t)row->size,
		.width = (uint32_t)column->size,
		.stride = { 1, 1 },
		.dilation = { 1, 1 },
		.kernel = { 1, 1 },
		.chunks = mm->x.chunks,
		.y_image = image->y,
		.y_row = row->y,
		.y_column = column->y,
		.y_channel = 1,
		.bias_image = image->bias,
		.bias_row = row->bias,
		.bias_column = column->bias,
		.bias_channel = mm->bias_channel,
		.alpha = s->attr.alpha,
		.beta = s->attr.beta,
	};
	if (bias)
		t->bias = plan_operand(b->plan, s->in[2]);
	if (!image->bias && !row->bias && !column->bias)
		t->flags = GEMM_BIAS_BY_CHANNEL;
}

int gemm_matmul(struct gemm_build *b)
{
	static const struct axis none = { .size = 1 };
	const struct axis *inner[3] = { &none, &none, &none };
	struct gemm_product product = { 0 };
	struct matmul mm;
	struct shape bias;
	uint64_t nr_z = 1;
	int count = 0, err;

	describe(b, &mm);
	bias = bias_shape(b);
	make_axes(&mm, &bias);
	err = take_operands(b, &mm);
	if (err)
		return err;
	while (count < 3 && count < mm.nr_axes && !mm.axes[mm.nr_axes - 1 - count].w) {
		inner[2 - count] = &mm.axes[mm.nr_axes - 1 - count];
		count++;
	}
	for (int i = 0; i < mm.nr_axes - count; i++)
		nr_z *= (uint64_t)mm.axes[i].size;
	fill_task(b, &mm, &product.task, inner[0], inner[1], inner[2]);
	product.task.nr_z = (uint32_t)nr_z;
	if (nr_z > 1)
		product.batch = make_batch(&mm, count, (uint32_t)nr_z);
	err = nr_z > 1 && !product.batch ? -ENOMEM : gemm_emit(b, &product, 1);
	free(product.batch);
	return err;
}
