/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operator knowledge that libooo's builder (to tell the caller at once) and the agent's verifier
 * (because it trusts nobody) share: names, neutral attributes, output types and shapes.
 * No allocation, no I/O; every size is checked for overflow.
 */
#ifndef OOO_LIB_INFER_H
#define OOO_LIB_INFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/abi/op.h"

#define OOO_MAX_TENSOR_BYTES (16ull << 30)

struct shape {
	uint32_t dtype; /* enum ooo_dtype */
	int32_t rank;
	int64_t dims[OOO_MAX_RANK]; /* beyond rank: 0 */
};

struct op_info {
	const char *name;
	uint8_t klass; /* enum kernel_class */
	uint8_t min_in, max_in, min_out, max_out;
};

enum kernel_class {
	CLASS_CONV,
	CLASS_MATMUL,
	CLASS_POINTWISE,
	CLASS_POOL,
	CLASS_NORM,
	CLASS_REDUCE,
	CLASS_MOVE,
	CLASS_RNN,
	NR_CLASSES
};

/* NULL if there is no such operator. */
const struct op_info *op_info(uint32_t op);
const char *kernel_class_name(unsigned klass);

size_t dtype_bytes(uint32_t dtype);     /* 0 if unknown */
const char *dtype_name(uint32_t dtype); /* "fp32", ...; "?" if unknown */

void attr_init(struct ooo_attr *attr, uint32_t op);

/* Elements and bytes; -EOVERFLOW or -EINVAL (bad rank, a dimension < 0, unknown dtype). Zero-sized
 * tensors (a dimension 0) are valid shapes; operators refuse them with a reason where they must. */
int shape_elems(const struct shape *s, int64_t *elems);
int shape_bytes(const struct shape *s, uint64_t *bytes);
bool shape_equal(const struct shape *a, const struct shape *b);

/* Numpy broadcasting of dims (dtype is not looked at). 0 or -EINVAL. */
int shape_broadcast(const struct shape *a, const struct shape *b, struct shape *out);

/* "fp32[1,3,224,224]", for messages: shape_text(s).s lives until the end of the full expression. */
struct shape_text {
	char s[192];
};
struct shape_text shape_text(const struct shape *s);

/*
 * Check operands and attributes of one operator and infer its outputs. in[i] is NULL for an absent
 * optional operand. Every attribute range, every operand dtype and every shape rule is checked
 * here, so that what passes can be executed. Returns 0, or -EINVAL with a sentence in why.
 */
int op_infer(uint32_t op, const struct ooo_attr *attr, const struct shape *const *in, int nr_in,
	     struct shape *out, int nr_out, char *why, size_t why_bytes);

#endif
