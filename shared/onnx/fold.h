/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the host's evaluation share; fold() itself is in import.h. */
#ifndef OOO_ONNX_FOLD_H
#define OOO_ONNX_FOLD_H

#include "shared/onnx/import.h"

#define FOLD_MAX_OUT 32

/* One operator at work: shapes are known, out[] has its memory. */
struct folding {
	struct node *n;
	enum ooo_op op;
	const struct ooo_attr *attr;
	struct value *const *in;
	int nr_in;
	struct value **out;
	int nr_out;
	void *data[FOLD_MAX_OUT]; /* of out[] */
};

/* Elements between neighbours along each axis of a row-major tensor. */
void fold_strides(const struct shape *s, int64_t *strides);
/* The same seen from the broadcast shape `to`: 0 along axes that repeat. */
void fold_broadcast(const struct shape *s, const struct shape *to, int64_t *strides);
/* Next index in row-major order and the offsets that go with it, one for each set of strides. */
void fold_next(const struct shape *s, int64_t *index, const int64_t (*strides)[OOO_MAX_RANK],
	       int64_t *offset, int nr);

/* Is this operator computed here, and for these types? */
bool fold_move_can(const struct folding *f);
bool fold_pointwise_can(const struct folding *f);
bool fold_reduce_can(const struct folding *f);

/* Compute. n->rc is set if a result cannot be represented. */
void fold_move(const struct folding *f);
void fold_pointwise(const struct folding *f);
void fold_reduce(const struct folding *f);
/* Element type of the results. */
uint32_t fold_dtype(const struct folding *f);

#endif
