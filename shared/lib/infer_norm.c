/* SPDX-License-Identifier: Apache-2.0 */
/* Shape inference of matrix products, normalisations and reductions. */
#include <errno.h>
#include <inttypes.h>

#include "shared/lib/infer_impl.h"

/* Operand i as [batch..., rows, columns]: transposed if asked, a vector promoted as in ONNX. */
static int as_matrix(const struct infer *n, int i, struct shape *m)
{
	bool transpose = n->attr->flags & (i ? OOO_ATTR_TRANS_B : OOO_ATTR_TRANS_A);
	const struct shape *s = n->in[i];

	if (s->rank < 1 || (s->rank < 2 && transpose))
		return infer_fail(n, "operand %d is %s but must have rank %d or more", i,
				  shape_text(s).s, transpose ? 2 : 1);
	*m = *s;
	if (s->rank == 1) {
		m->rank = 2;
		m->dims[0] = i ? s->dims[0] : 1;
		m->dims[1] = i ? 1 : s->dims[0];
	} else if (transpose) {
		m->dims[s->rank - 2] = s->dims[s->rank - 1];
		m->dims[s->rank - 1] = s->dims[s->rank - 2];
	}
	return 0;
}

static int check_matmul_bias(const struct infer *n)
{
	struct shape both;

	if (n->nr_in < 3 || !n->in[2])
		return 0;
	if (!shape_broadcast(&n->out[0], n->in[2], &both) && shape_equal(&both, &n->out[0]))
		return 0;
	return infer_fail(n, "the bias %s does not broadcast to the result %s",
			  shape_text(n->in[2]).s, shape_text(&n->out[0]).s);
}

int infer_matmul(const struct infer *n)
{
	struct shape a, b, batch_a, batch_b, *out = &n->out[0];

	if (infer_need_fp32(n) || infer_need_elems(n) || infer_need_finite(n) ||
	    as_matrix(n, 0, &a) || as_matrix(n, 1, &b))
		return -EINVAL;
	if (a.dims[a.rank - 1] != b.dims[b.rank - 2])
		return infer_fail(n,
				  "A has %" PRId64 " columns but B has %" PRId64
				  " rows (A %s, B %s)",
				  a.dims[a.rank - 1], b.dims[b.rank - 2], shape_text(n->in[0]).s,
				  shape_text(n->in[1]).s);
	batch_a = a;
	batch_a.rank -= 2;
	batch_b = b;
	batch_b.rank -= 2;
	if (shape_broadcast(&batch_a, &batch_b, out))
		return infer_fail(n, "the batches of A %s and B %s do not broadcast",
				  shape_text(n->in[0]).s, shape_text(n->in[1]).s);
	out->dtype = OOO_FP32;
	if (n->in[0]->rank > 1)
		out->dims[out->rank++] = a.dims[a.rank - 2];
	if (n->in[1]->rank > 1)
		out->dims[out->rank++] = b.dims[b.rank - 1];
	return check_matmul_bias(n);
}

static int check_norm(const struct infer *n, int min_rank)
{
	const struct shape *x = n->in[0];

	if (infer_need_fp32(n) || infer_need_elems(n) || infer_need_finite(n))
		return -EINVAL;
	if (n->attr->alpha < 0)
		return infer_fail(n, "epsilon %g must not be negative", (double)n->attr->alpha);
	if (x->rank < min_rank)
		return infer_fail(n, "the input is %s but must have rank %d or more",
				  shape_text(x).s, min_rank);
	n->out[0] = *x;
	return 0;
}

int infer_batch_norm(const struct infer *n)
{
	static const char *const what[] = { "X", "scale", "B", "mean", "var" };

	if (check_norm(n, 2))
		return -EINVAL;
	for (int i = 1; i < 5; i++)
		if (infer_need_vector(n, i, what[i], n->in[0]->dims[1]))
			return -EINVAL;
	return 0;
}

int infer_instance_norm(const struct infer *n)
{
	if (check_norm(n, 3) || infer_need_vector(n, 1, "scale", n->in[0]->dims[1]) ||
	    infer_need_vector(n, 2, "B", n->in[0]->dims[1]))
		return -EINVAL;
	return 0;
}

int infer_layer_norm(const struct infer *n)
{
	const struct shape *x = n->in[0];
	struct shape tail = { .dtype = OOO_FP32 };

	if (check_norm(n, 1) || infer_need_axis(n, x))
		return -EINVAL;
	for (int i = n->attr->axis; i < x->rank; i++)
		tail.dims[tail.rank++] = x->dims[i];
	for (int i = 1; i < n->nr_in; i++)
		if (n->in[i] && !shape_equal(n->in[i], &tail))
			return infer_fail(n, "%s is %s but must be %s, as axis %d and after of X",
					  i == 1 ? "scale" : "B", shape_text(n->in[i]).s,
					  shape_text(&tail).s, n->attr->axis);
	return 0;
}

int infer_lrn(const struct infer *n)
{
	if (infer_need_fp32(n) || infer_need_elems(n) || infer_need_finite(n))
		return -EINVAL;
	if (n->in[0]->rank < 3)
		return infer_fail(n, "the input is %s but must be [N,C,...] with rank 3 or more",
				  shape_text(n->in[0]).s);
	if (n->attr->kernel[0] < 1 || n->attr->kernel[1])
		return infer_fail(n,
				  "the size (kernel[0]) is %d but must be at least 1, and"
				  " kernel[1] 0",
				  n->attr->kernel[0]);
	n->out[0] = *n->in[0];
	return 0;
}

int infer_softmax(const struct infer *n)
{
	if (infer_need_fp32(n) || infer_need_elems(n) || infer_need_axis(n, n->in[0]))
		return -EINVAL;
	n->out[0] = *n->in[0];
	return 0;
}

/* out = in without the axes in mask, or with 1 in their place. */
static void drop_axes(const struct infer *n, uint32_t mask)
{
	const struct shape *x = n->in[0];
	struct shape *out = &n->out[0];

	for (int i = 0; i < x->rank; i++) {
		if (!(mask & (1u << i)))
			out->dims[out->rank++] = x->dims[i];
		else if (n->attr->flags & OOO_ATTR_KEEPDIMS)
			out->dims[out->rank++] = 1;
	}
}

int infer_reduce(const struct infer *n)
{
	const struct shape *x = n->in[0];

	if (infer_need_fp32(n) || infer_need_elems(n))
		return -EINVAL;
	if (!n->attr->axes)
		return infer_fail(n, "no axis to reduce is set");
	if (n->attr->axes >> x->rank)
		return infer_fail(n, "axes 0x%x names axes that %s does not have", n->attr->axes,
				  shape_text(x).s);
	n->out[0].dtype = OOO_FP32;
	drop_axes(n, n->attr->axes);
	return 0;
}

int infer_arg(const struct infer *n)
{
	if (infer_need_fp32(n) || infer_need_elems(n) || infer_need_axis(n, n->in[0]))
		return -EINVAL;
	n->out[0].dtype = OOO_INT64;
	drop_axes(n, 1u << n->attr->axis);
	return 0;
}
