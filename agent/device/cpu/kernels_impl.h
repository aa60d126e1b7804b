/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the plain kernels share. A walk visits elements of several operands in step: dims from the
 * outermost in, one element stride per operand and dim (0: broadcast, negative: backwards). Dims of
 * size 1 are dropped and neighbours merged, so that the innermost loop is as long as it can be.
 */
#ifndef OOO_AGENT_CPU_KERNELS_IMPL_H
#define OOO_AGENT_CPU_KERNELS_IMPL_H

#include <stdint.h>

#include "agent/device/cpu/kernels.h"

#define WALK_OPERANDS 4
#define WALK_DIMS     16

struct walk {
	int rank; /* >= 1 after walk_pack() */
	int nr_operands;
	int64_t dims[WALK_DIMS];
	int64_t stride[WALK_OPERANDS][WALK_DIMS];
};

/* A run of the innermost dim: element offsets of each operand at its start. */
typedef void (*walk_fn)(void *ctx, const struct walk *w, const int64_t *offset, int64_t n);

void walk_pack(struct walk *w);
int64_t walk_elems(const struct walk *w);
/* Visit elements from..to, counted in the order of the walk. */
void walk_range(const struct walk *w, int64_t from, int64_t to, walk_fn fn, void *ctx);

/* Element strides of a tensor in its layout (plain or channels last), by logical dim. */
void tensor_strides(const struct tensor *t, int64_t *strides);
int64_t tensor_elems(const struct tensor *t);

/*
 * A walk over the output's elements in the order of its memory, with operands broadcast to it as in
 * NumPy: element i of the walk is element i of the output's memory. NULL operands get stride 0.
 */
void walk_output(struct walk *w, const struct tensor *out, const struct tensor *const *operands,
		 int nr_operands);

/* A kernel that can write any range of its first output's memory. */
typedef enum ooo_status (*range_fn)(const struct kernel_args *a, int64_t from, int64_t to);

enum ooo_status kernel_binary(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_compare(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_where(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_unary(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_cast(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_copy(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_reorder(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_slice(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_pad(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_transpose(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_expand(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_tile(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_gather(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_blocks(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_reduce(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_arg_extreme(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_batch_norm(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_pool(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_conv(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_conv_transpose(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_matmul(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_resize(const struct kernel_args *a, int64_t from, int64_t to);
enum ooo_status kernel_lrn(const struct kernel_args *a, int64_t from, int64_t to);

/* Kernels that need the whole step at once: one chunk. */
typedef enum ooo_status (*whole_fn)(const struct kernel_args *a);

enum ooo_status kernel_concat(const struct kernel_args *a);
enum ooo_status kernel_split(const struct kernel_args *a);
enum ooo_status kernel_softmax(const struct kernel_args *a);
enum ooo_status kernel_layer_norm(const struct kernel_args *a);
enum ooo_status kernel_instance_norm(const struct kernel_args *a);
enum ooo_status kernel_lstm(const struct kernel_args *a);
enum ooo_status kernel_gru(const struct kernel_args *a);
size_t kernel_rnn_scratch(const struct step *step, const struct tensor *tensors);

/* kernels_post.c: the step's post-operations on elements from..to of output 0's memory. */
void kernel_post(const struct kernel_args *a, int64_t from, int64_t to);
/* kernels_unary.c: y[i] = op(x[i]); x and y may be the same. False: not a float activation. */
bool unary_fp32(uint32_t op, float alpha, float beta, int mode, const float *x, float *y,
		int64_t n);

static inline const struct tensor *in_tensor(const struct kernel_args *a, int i)
{
	return &a->tensors[a->step->in[i]];
}

static inline const struct tensor *out_tensor(const struct kernel_args *a, int i)
{
	return &a->tensors[a->step->out[i]];
}

static inline bool has_input(const struct kernel_args *a, int i)
{
	return i < a->step->nr_in && a->step->in[i] != OOO_NONE;
}

static inline int64_t min64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static inline int64_t max64(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

#endif
