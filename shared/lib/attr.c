/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes: the neutral values of each operator, and that nothing else is set. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "shared/lib/infer_impl.h"

static void init_window(struct ooo_attr *attr)
{
	for (int i = 0; i < 2; i++) {
		attr->kernel[i] = 1;
		attr->stride[i] = 1;
		attr->dilation[i] = 1;
	}
}

static void init_alpha(struct ooo_attr *attr, uint32_t op)
{
	switch (op) {
	case OOO_OP_MATMUL:
		attr->alpha = 1;
		attr->beta = 1;
		break;
	case OOO_OP_BATCH_NORM:
	case OOO_OP_LAYER_NORM:
	case OOO_OP_INSTANCE_NORM:
		attr->alpha = 1e-5f;
		break;
	case OOO_OP_CLIP:
		attr->alpha = -INFINITY;
		attr->beta = INFINITY;
		break;
	case OOO_OP_LEAKY_RELU:
		attr->alpha = 0.01f;
		break;
	case OOO_OP_HARD_SIGMOID:
		attr->alpha = 0.2f;
		attr->beta = 0.5f;
		break;
	case OOO_OP_SELU:
		attr->alpha = 1.67326319217681884765625f;
		attr->beta = 1.05070102214813232421875f;
		break;
	case OOO_OP_ELU:
	case OOO_OP_CELU:
	case OOO_OP_THRESHOLDED_RELU:
	case OOO_OP_SWISH:
		attr->alpha = 1;
		break;
	default:
		break;
	}
}

/* ONNX's defaults where it has them, without the flags; else what changes nothing. */
void attr_init(struct ooo_attr *attr, uint32_t op)
{
	memset(attr, 0, sizeof(*attr));
	switch (op) {
	case OOO_OP_CONV:
	case OOO_OP_CONV_TRANSPOSE:
		attr->group = 1;
		init_window(attr);
		break;
	case OOO_OP_MAX_POOL:
	case OOO_OP_AVERAGE_POOL:
		init_window(attr);
		break;
	case OOO_OP_LRN:
		attr->kernel[0] = 1;
		attr->alpha = 1e-4f;
		attr->beta = 0.75f;
		attr->bias = 1;
		break;
	case OOO_OP_DEPTH_TO_SPACE:
	case OOO_OP_SPACE_TO_DEPTH:
		attr->kernel[0] = 1;
		break;
	case OOO_OP_CAST:
		attr->mode = OOO_FP32;
		break;
	case OOO_OP_SLICE:
		for (int i = 0; i < OOO_MAX_RANK; i++)
			attr->step[i] = 1;
		break;
	default:
		init_alpha(attr, op);
		break;
	}
}

static const struct {
	uint32_t field;
	const char *name;
	size_t at, bytes;
} fields_of_attr[] = {
#define FIELD(FLAG, name)                                                                          \
	{                                                                                          \
		FLAG, #name, offsetof(struct ooo_attr, name), sizeof(((struct ooo_attr *)0)->name) \
	}
	FIELD(FIELD_AXIS, axis),     FIELD(FIELD_AXES, axes),
	FIELD(FIELD_MODE, mode),     FIELD(FIELD_GROUP, group),
	FIELD(FIELD_HIDDEN, hidden), FIELD(FIELD_KERNEL, kernel),
	FIELD(FIELD_STRIDE, stride), FIELD(FIELD_DILATION, dilation),
	FIELD(FIELD_PAD, pad),       FIELD(FIELD_OUT_PAD, out_pad),
	FIELD(FIELD_COORD, coord),   FIELD(FIELD_NEAREST, nearest_mode),
	FIELD(FIELD_RANK, rank),     FIELD(FIELD_ALPHA, alpha),
	FIELD(FIELD_BETA, beta),     FIELD(FIELD_BIAS, bias),
	FIELD(FIELD_PERM, perm),     FIELD(FIELD_DIMS, dims),
	FIELD(FIELD_START, start),   FIELD(FIELD_STEP, step),
	FIELD(FIELD_SCALE, scale),   FIELD(0, resv),
#undef FIELD
};

int attr_check(const struct infer *n, uint32_t fields, uint32_t flags)
{
	static const char zero[sizeof(struct ooo_attr)];

	if (n->attr->flags & ~flags)
		return infer_fail(n,
				  "attribute flags 0x%x has bits that the operator does not know"
				  " (it takes 0x%x)",
				  n->attr->flags, flags);
	for (size_t i = 0; i < sizeof(fields_of_attr) / sizeof(fields_of_attr[0]); i++) {
		if (fields & fields_of_attr[i].field)
			continue;
		if (memcmp((const char *)n->attr + fields_of_attr[i].at, zero,
			   fields_of_attr[i].bytes) != 0)
			return infer_fail(n,
					  "attribute %s is set but the operator does not have"
					  " it; leave it 0",
					  fields_of_attr[i].name);
	}
	return 0;
}
