// SPDX-License-Identifier: Apache-2.0
/* Post-operations of a step, in place on a range of its output. */
#include "agent/device/cpu/kernels_impl.h"

struct combine {
	float *out;
	const float *operand;
};

static void add_run(void *ctx, const struct walk *w, const int64_t *offset, int64_t n)
{
	struct combine *c = ctx;
	int64_t stride = w->stride[1][w->rank - 1];
	const float *x = c->operand + offset[1];
	float *o = c->out + offset[0];

	for (int64_t i = 0; i < n; i++)
		o[i] += x[i * stride];
}

static void mul_run(void *ctx, const struct walk *w, const int64_t *offset, int64_t n)
{
	struct combine *c = ctx;
	int64_t stride = w->stride[1][w->rank - 1];
	const float *x = c->operand + offset[1];
	float *o = c->out + offset[0];

	for (int64_t i = 0; i < n; i++)
		o[i] *= x[i * stride];
}

void kernel_post(const struct kernel_args *a, int64_t from, int64_t to)
{
	for (int i = 0; i < a->step->nr_post; i++) {
		const struct post *post = &a->step->post[i];
		float *out = a->out[0];
		struct combine c = { .out = out, .operand = a->post[i] };
		const struct tensor *operand;
		struct walk w;

		if (post->op != OOO_OP_ADD && post->op != OOO_OP_MUL) {
			unary_fp32(post->op, post->alpha, post->beta, post->mode, out + from,
				   out + from, to - from);
			continue;
		}
		operand = &a->tensors[post->operand];
		walk_output(&w, out_tensor(a, 0), &operand, 1);
		walk_range(&w, from, to, post->op == OOO_OP_ADD ? add_run : mul_run, &c);
	}
}
