/* SPDX-License-Identifier: Apache-2.0 */
/* What the outputs of a rig_case must be, in double precision. */
#ifndef OOO_TESTS_CPU_REFERENCE_H
#define OOO_TESTS_CPU_REFERENCE_H

#include "tests/unit/device/cpu_rig.h"

static inline void ref_posts(const struct rig *r, unsigned slot, double *out)
{
	const struct shape *y = &r->tensors[RIG_MAX_IN].shape;

	for (unsigned p = 0; p < r->step.nr_post; p++) {
		const struct post *post = &r->step.post[p];
		uint32_t id = post->operand;

		for (int64_t i = 0; i < rig_elems(y); i++) {
			if (post->op == OOO_OP_ADD)
				out[i] += ref_broadcast(&r->tensors[id].shape, r->values[slot][id],
							y, i);
			else if (post->op == OOO_OP_MUL)
				out[i] *= ref_broadcast(&r->tensors[id].shape, r->values[slot][id],
							y, i);
			else
				out[i] = ref_activation(post, out[i]);
		}
	}
}

/* What the slot's output must be, in plain order. */
static inline void ref_run(const struct rig *r, unsigned slot, double *out)
{
	struct reference ref = {
		.step = &r->step,
		.x = &r->tensors[0].shape,
		.w = &r->tensors[1].shape,
		.y = &r->tensors[RIG_MAX_IN].shape,
		.out = out,
	};

	for (int i = 0; i < RIG_MAX_IN; i++)
		ref.in[i] = r->in[i] == OOO_NONE ? NULL : r->values[slot][i];
	switch (r->step.op) {
	case OOO_OP_CONV:
		ref_conv(&ref);
		break;
	case OOO_OP_CONV_TRANSPOSE:
		ref_conv_transpose(&ref);
		break;
	case OOO_OP_MATMUL:
		ref_matmul(&ref, &r->tensors[2].shape);
		break;
	case OOO_OP_SOFTMAX:
	case OOO_OP_LOG_SOFTMAX:
		ref_softmax(&ref);
		break;
	case OOO_OP_LAYER_NORM:
		ref_layer_norm(&ref);
		break;
	case OOO_OP_LRN:
		ref_lrn(&ref);
		break;
	default:
		ref_pool(&ref);
		break;
	}
	ref_posts(r, slot, out);
}

#endif
