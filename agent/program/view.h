/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tensor seen through steps that only move or repeat elements: where each element of the result
 * lies in the tensor that it came from. An axis is a list of parts, each evenly spaced, as when two
 * axes that do not lie behind each other have been reshaped into one; of length 1, it has none.
 */
#ifndef OOO_AGENT_PROGRAM_VIEW_H
#define OOO_AGENT_PROGRAM_VIEW_H

#include "agent/program/passes.h"

#define VIEW_MAX_PARTS 16

struct view_part {
	int64_t dim, stride; /* stride in elements */
};

struct view {
	int rank, nr_parts;
	int64_t start;                         /* of element 0 */
	int parts[OOO_MAX_RANK];               /* of each axis */
	struct view_part part[VIEW_MAX_PARTS]; /* of all axes, in their order */
};

/* The tensor itself. */
void view_whole(struct view *v, const struct shape *shape);

int64_t view_length(const struct view *v, int axis);
/* The axis is evenly spaced: by that much (0 if its length is 1). */
bool view_stride(const struct view *v, int axis, int64_t *stride);
/* The parts of all axes before that one. */
int view_parts_before(const struct view *v, int axis);

/* These change v as a step would; false: that cannot be said in parts, and v is of no use. */
bool view_reshape(struct view *v, int rank, const int64_t *dims);
bool view_broadcast(struct view *v, int rank, const int64_t *dims);
void view_permute(struct view *v, const int32_t *perm);

/* Whether the step is of a kind that view_step() may see through, in operand 0. */
bool view_is_move(const struct program *p, const struct step *s);

/* v, of the step's operand 0, becomes that of its output `out`. */
bool view_step(struct view *v, const struct program *p, const struct step *s, uint32_t out);

#endif
