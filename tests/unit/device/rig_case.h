/* SPDX-License-Identifier: Apache-2.0 */
/* One step as a line of a table: what lists of cases are written in. */
#ifndef OOO_TESTS_RIG_CASE_H
#define OOO_TESTS_RIG_CASE_H

#include "tests/unit/device/reference.h"

struct rig_post {
	uint32_t op; /* 0: none */
	struct rig_shape operand;
	float alpha, beta;
	int mode;
};

/* A case. Numbers that are 0 stand for the operator's neutral value. */
struct rig_case {
	const char *name;
	uint32_t op;
	struct rig_shape in[RIG_MAX_IN];
	int kernel[2], stride[2], dilation[2], pad[4], out_pad[2], group;
	uint32_t flags;
	int axis;
	float alpha, beta, bias;
	bool x_nhwc, y_nhwc;
	bool run_time; /* the second operand is not a constant */
	bool plain;    /* oneDNN is expected to leave it to a plain kernel */
	struct rig_post post[2];
};

static inline void rig_attr(const struct rig_case *c, struct ooo_attr *a)
{
	attr_init(a, c->op);
	for (int i = 0; i < 2; i++) {
		a->kernel[i] = c->kernel[i] ? c->kernel[i] : a->kernel[i];
		a->stride[i] = c->stride[i] ? c->stride[i] : a->stride[i];
		a->dilation[i] = c->dilation[i] ? c->dilation[i] : a->dilation[i];
		a->out_pad[i] = c->out_pad[i];
	}
	for (int i = 0; i < 4; i++)
		a->pad[i] = c->pad[i];
	a->group = c->group ? c->group : a->group;
	a->flags = c->flags;
	a->axis = c->axis;
	a->alpha = c->alpha != 0 ? c->alpha : a->alpha;
	a->beta = c->beta != 0 ? c->beta : a->beta;
	a->bias = c->bias != 0 ? c->bias : a->bias;
}

static inline bool rig_absent(const struct rig_shape *s)
{
	return s->rank <= 0;
}

#endif
