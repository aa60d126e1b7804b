/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that translate operators; ops.c has the table that says which does what. */
#ifndef OOO_ONNX_OPS_H
#define OOO_ONNX_OPS_H

#include "shared/onnx/import.h"

/* op is what the table gives: most functions serve several operators. Return n->rc. */
#define IMPORT(name) int import_##name(struct node *n, enum ooo_op op)

/* ops_window.c */
IMPORT(conv);
IMPORT(conv_transpose);
IMPORT(pool);
IMPORT(global_pool);

/* ops_nn.c */
IMPORT(matmul);
IMPORT(gemm);
IMPORT(batch_norm);
IMPORT(layer_norm);
IMPORT(instance_norm);
IMPORT(lrn);
IMPORT(mvn);
IMPORT(softmax);
IMPORT(hardmax);
IMPORT(dropout);

/* ops_pointwise.c */
IMPORT(simple);
IMPORT(alpha);
IMPORT(alpha_beta);
IMPORT(negate);
IMPORT(variadic);
IMPORT(mean);
IMPORT(equal);
IMPORT(pow);
IMPORT(mod);
IMPORT(clip);
IMPORT(shrink);
IMPORT(gelu);
IMPORT(mish);
IMPORT(is_nan);
IMPORT(is_inf);
IMPORT(identity);
IMPORT(cast);
IMPORT(cast_like);

/* ops_reduce.c */
IMPORT(reduce);
IMPORT(reduce_l1);
IMPORT(reduce_l2);
IMPORT(reduce_sum_square);
IMPORT(reduce_log_sum);
IMPORT(reduce_log_sum_exp);
IMPORT(reduce_prod);
IMPORT(arg);

/* ops_move.c */
IMPORT(concat);
IMPORT(split);
IMPORT(slice);
IMPORT(pad);
IMPORT(transpose);
IMPORT(expand);
IMPORT(tile);
IMPORT(gather);
IMPORT(gather_elements);
IMPORT(gather_nd);
IMPORT(depth_to_space);
IMPORT(space_to_depth);

/* ops_resize.c */
IMPORT(resize);
IMPORT(upsample);

/* ops_shape.c */
IMPORT(reshape);
IMPORT(flatten);
IMPORT(squeeze);
IMPORT(unsqueeze);
IMPORT(shape);
IMPORT(size);

/* ops_const.c */
IMPORT(constant);
IMPORT(constant_of_shape);
IMPORT(range);
IMPORT(eye_like);
IMPORT(one_hot);
IMPORT(trilu);
IMPORT(if);

/* ops_rnn.c */
IMPORT(lstm);
IMPORT(gru);

#endif
