/* SPDX-License-Identifier: Apache-2.0 */
/* Shape inference of recurrent layers, operands and outputs as in ONNX (layout 0). */
#include <errno.h>

#include "shared/lib/infer_impl.h"

static const char *const operand_names[8] = {
	"X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P",
};

static int need_shape(const struct infer *n, int i, int rank, int64_t d0, int64_t d1, int64_t d2)
{
	struct shape want = { .dtype = OOO_FP32, .rank = rank, .dims = { d0, d1, d2 } };

	if (i >= n->nr_in || !n->in[i])
		return 0;
	if (infer_need_type(n, i, OOO_FP32))
		return -EINVAL;
	if (shape_equal(n->in[i], &want))
		return 0;
	return infer_fail(n, "%s is %s but must be %s", operand_names[i], shape_text(n->in[i]).s,
			  shape_text(&want).s);
}

static int check_lens(const struct infer *n, int64_t batch)
{
	if (n->nr_in <= 4 || !n->in[4])
		return 0;
	if (n->in[4]->dtype != OOO_INT32)
		return infer_fail(n, "sequence_lens is %s but must be int32",
				  dtype_name(n->in[4]->dtype));
	return infer_need_vector(n, 4, "sequence_lens", batch);
}

/* Both kinds of layer; gates: rows of W and R for each hidden unit. */
static int infer_rnn(const struct infer *n, int gates)
{
	const struct shape *x = n->in[0];
	int64_t dirs = n->attr->mode == 2 ? 2 : 1, h = n->attr->hidden, steps, batch;

	if (infer_need_mode(n, 3) || infer_need_elems(n) || infer_need_finite(n))
		return -EINVAL;
	if (h < 1)
		return infer_fail(n, "hidden is %d but must be at least 1", n->attr->hidden);
	if (n->attr->alpha < 0)
		return infer_fail(n, "the cell clip (alpha) %g must not be negative",
				  (double)n->attr->alpha);
	if (infer_need_type(n, 0, OOO_FP32))
		return -EINVAL;
	if (x->rank != 3)
		return infer_fail(n, "X is %s but must be [T,N,I]", shape_text(x).s);
	steps = x->dims[0];
	batch = x->dims[1];
	if (need_shape(n, 1, 3, dirs, gates * h, x->dims[2]) ||
	    need_shape(n, 2, 3, dirs, gates * h, h) ||
	    need_shape(n, 3, 2, dirs, 2 * gates * h, 0) || check_lens(n, batch) ||
	    need_shape(n, 5, 3, dirs, batch, h) || need_shape(n, 6, 3, dirs, batch, h) ||
	    need_shape(n, 7, 2, dirs, 3 * h, 0))
		return -EINVAL;
	for (int i = 0; i < n->nr_out; i++)
		n->out[i] = (struct shape){ OOO_FP32, 3, { dirs, batch, h } };
	n->out[0] = (struct shape){ OOO_FP32, 4, { steps, dirs, batch, h } };
	return 0;
}

int infer_lstm(const struct infer *n)
{
	return infer_rnn(n, 4);
}

int infer_gru(const struct infer *n)
{
	return infer_rnn(n, 3);
}
