/* SPDX-License-Identifier: Apache-2.0 */
/* What the families of shape inference share; see infer.h for the interface. */
#ifndef OOO_LIB_INFER_IMPL_H
#define OOO_LIB_INFER_IMPL_H

#include <errno.h>

#include "shared/lib/infer.h"

/* One inference in progress. in[i] is NULL for an absent optional operand. */
struct infer {
	uint32_t op;
	const struct op_info *info;
	const struct ooo_attr *attr;
	const struct shape *const *in;
	int nr_in;
	struct shape *out;
	int nr_out;
	char *why;
	size_t why_bytes;
};

/* Which fields of struct ooo_attr an operator reads; the others must be zero. */
enum attr_field {
	FIELD_AXIS = 1u << 0,
	FIELD_AXES = 1u << 1,
	FIELD_MODE = 1u << 2,
	FIELD_GROUP = 1u << 3,
	FIELD_HIDDEN = 1u << 4,
	FIELD_KERNEL = 1u << 5,
	FIELD_STRIDE = 1u << 6,
	FIELD_DILATION = 1u << 7,
	FIELD_PAD = 1u << 8,
	FIELD_OUT_PAD = 1u << 9,
	FIELD_COORD = 1u << 10,
	FIELD_NEAREST = 1u << 11,
	FIELD_RANK = 1u << 12,
	FIELD_ALPHA = 1u << 13,
	FIELD_BETA = 1u << 14,
	FIELD_BIAS = 1u << 15,
	FIELD_PERM = 1u << 16,
	FIELD_DIMS = 1u << 17,
	FIELD_START = 1u << 18,
	FIELD_STEP = 1u << 19,
	FIELD_SCALE = 1u << 20,
	FIELD_WINDOW = FIELD_KERNEL | FIELD_STRIDE | FIELD_DILATION | FIELD_PAD,
};

/* "Conv: " and the sentence into why; always -EINVAL. */
#define infer_fail(n, ...) (infer_say(n, __VA_ARGS__), -EINVAL)
void infer_say(const struct infer *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* attr.c: -EINVAL if a field outside `fields` or a flag outside `flags` is set. */
int attr_check(const struct infer *n, uint32_t fields, uint32_t flags);

/* infer.c: rules that several families use. 0 or -EINVAL. */
int infer_need_fp32(const struct infer *n); /* every operand that is there */
int infer_need_type(const struct infer *n, int i, uint32_t dtype);
int infer_need_movable(const struct infer *n, int i); /* a type whose elements may be moved */
int infer_need_elems(const struct infer *n);          /* no operand is of size 0 */
int infer_need_axis(const struct infer *n, const struct shape *s);
int infer_need_finite(const struct infer *n); /* alpha, beta, bias */
int infer_need_mode(const struct infer *n, int limit);
int infer_need_vector(const struct infer *n, int i, const char *what, int64_t length);
/* attr.dims and attr.rank are a shape; what is beyond the rank is 0. Into out[0] with dtype. */
int infer_out_dims(const struct infer *n, uint32_t dtype);

/* infer_<family>.c, one function an operator or group of operators. */
int infer_conv(const struct infer *n);
int infer_conv_transpose(const struct infer *n);
int infer_pool(const struct infer *n);
int infer_global_pool(const struct infer *n);

int infer_matmul(const struct infer *n);
int infer_batch_norm(const struct infer *n);
int infer_layer_norm(const struct infer *n);
int infer_instance_norm(const struct infer *n);
int infer_lrn(const struct infer *n);
int infer_softmax(const struct infer *n);
int infer_reduce(const struct infer *n);
int infer_arg(const struct infer *n);

int infer_unary(const struct infer *n);
int infer_identity(const struct infer *n);
int infer_clip(const struct infer *n);
int infer_not(const struct infer *n);
int infer_cast(const struct infer *n);
int infer_arithmetic(const struct infer *n);
int infer_pow(const struct infer *n);
int infer_compare(const struct infer *n);
int infer_logic(const struct infer *n);
int infer_where(const struct infer *n);
int infer_prelu(const struct infer *n);

int infer_concat(const struct infer *n);
int infer_split(const struct infer *n);
int infer_slice(const struct infer *n);
int infer_pad(const struct infer *n);
int infer_gather(const struct infer *n);
int infer_transpose(const struct infer *n);
int infer_reshape(const struct infer *n);
int infer_expand(const struct infer *n);
int infer_tile(const struct infer *n);
int infer_resize(const struct infer *n);
int infer_depth_to_space(const struct infer *n);
int infer_space_to_depth(const struct infer *n);

int infer_lstm(const struct infer *n);
int infer_gru(const struct infer *n);

#endif
