/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators, element types and operator attributes: the part of the ABI that the tenant library's
 * users, the wire encoding and the agent's program compiler share. Layout only.
 *
 * Attributes of each operator (fields not named for an operator must be zero):
 *
 * Conv, ConvTranspose  X[N,C,H,W] or X[N,C,W]; W[M,C/group,kh,kw] (ConvTranspose W[C,M/group,..]);
 *                      optional bias[M]. kernel, stride, dilation, pad, group; ConvTranspose also
 *                      out_pad. The 1-d form uses index 1 of each pair and leaves index 0 at
 *                      kernel 1, stride 1, dilation 1, pad 0.
 * MatMul               Y = alpha * op(A) op(B) + beta * bias, batched and broadcast as in ONNX
 *                      MatMul; bias broadcasts to Y. flags TRANS_A, TRANS_B transpose the last two
 *                      axes (ONNX Gemm). alpha and beta as given: 0 is 0, so set them to 1.
 * BatchNormalization   alpha = epsilon. LayerNormalization, InstanceNormalization: alpha = epsilon;
 *                      LayerNormalization normalises over axis .. rank-1.
 * LRN                  kernel[0] = size, alpha, beta, bias (k).
 * Softmax, LogSoftmax  axis. flag FLATTEN: opset < 13, normalise over axis .. rank-1 together.
 * LeakyRelu, Elu, Celu, ThresholdedRelu  alpha.  HardSigmoid: alpha, beta.  Selu: alpha, beta=gamma.
 * Clip                 alpha = minimum, beta = maximum (use -INFINITY / INFINITY for none).
 * Swish                alpha.  Gelu: mode 0 = erf, 1 = tanh approximation.  Cast: mode = enum ooo_dtype.
 * MaxPool, AveragePool kernel, stride, dilation, pad; flags CEIL_MODE, COUNT_INCLUDE_PAD.
 * Reduce*              axes = bit mask of reduced axes; flag KEEPDIMS.
 * ArgMax, ArgMin       axis; flags KEEPDIMS, LAST_INDEX. The result is int64.
 * Concat, Gather       axis.  Gather indices are int32 or int64; negative ones count from the end.
 * Split                axis; the sizes are those of the outputs: dims[i] = size of output i
 *                      (at most 8 outputs that way; with dims all zero, equal parts).
 * Slice                dims = output shape, start, step (step may be negative, never 0).
 * Pad                  start = elements added before each axis (may be negative: cut), dims = output
 *                      shape, mode 0 constant (alpha = value), 1 reflect, 2 edge.
 * Reshape, Expand, Tile  dims = output shape and rank = its rank.
 * Transpose            perm.
 * Resize               dims = output shape; mode 0 nearest, 1 linear; coord = enum ooo_coord;
 *                      nearest_mode = enum ooo_nearest; scale[] = the per-axis scale when the model
 *                      gave scales, all zero when it gave sizes (then scale = out / in).
 * DepthToSpace, SpaceToDepth  kernel[0] = block size; mode 0 = DCR, 1 = CRD.
 * LSTM, GRU            X[T,N,I], W, R, [B], [sequence_lens], [h0], [c0], [P] as in ONNX; hidden =
 *                      hidden size, mode 0 forward, 1 reverse, 2 bidirectional; alpha = cell clip
 *                      (0 = none); flags LINEAR_BEFORE_RESET, INPUT_FORGET. Default activations.
 */
#ifndef OOO_ABI_OP_H
#define OOO_ABI_OP_H

#include <stdint.h>

#define OOO_MAX_RANK 8
#define OOO_NONE     0xffffffffu /* tensor id of an absent optional operand */

enum ooo_op {
#define OP(NAME, name, code, min_in, max_in, min_out, max_out, klass) OOO_OP_##NAME = code,
#include "ops.def"
#undef OP
	OOO_OP_LIMIT = 192 /* every code is below this */
};

enum ooo_dtype {
	OOO_FP32 = 1,
	OOO_FP16 = 2,
	OOO_BF16 = 3,
	OOO_INT64 = 4,
	OOO_INT32 = 5,
	OOO_BOOL = 6, /* one byte, 0 or 1 */
	OOO_UINT8 = 7,
	OOO_INT8 = 8,
	OOO_FP64 = 9,  /* constants and casts at import only; no device computes in it */
	OOO_TF32 = 10, /* a precision to compute in; no tensor has it */
	OOO_DTYPE_LIMIT
};

enum ooo_attr_flag {
	OOO_ATTR_TRANS_A = 1u << 0,
	OOO_ATTR_TRANS_B = 1u << 1,
	OOO_ATTR_CEIL_MODE = 1u << 2,
	OOO_ATTR_COUNT_INCLUDE_PAD = 1u << 3,
	OOO_ATTR_KEEPDIMS = 1u << 4,
	OOO_ATTR_LAST_INDEX = 1u << 5,
	OOO_ATTR_LINEAR_BEFORE_RESET = 1u << 6,
	OOO_ATTR_INPUT_FORGET = 1u << 7,
	OOO_ATTR_FLATTEN = 1u << 8,
	OOO_ATTR_ALL = (1u << 9) - 1
};

enum ooo_coord { /* ONNX coordinate_transformation_mode */
	OOO_COORD_HALF_PIXEL = 0,
	OOO_COORD_PYTORCH_HALF_PIXEL = 1,
	OOO_COORD_ALIGN_CORNERS = 2,
	OOO_COORD_ASYMMETRIC = 3
};

enum ooo_nearest { /* ONNX nearest_mode */
	OOO_NEAREST_ROUND_PREFER_FLOOR = 0,
	OOO_NEAREST_ROUND_PREFER_CEIL = 1,
	OOO_NEAREST_FLOOR = 2,
	OOO_NEAREST_CEIL = 3
};

struct ooo_attr {
	uint32_t flags; /* enum ooo_attr_flag */
	int32_t axis;   /* 0 <= axis < rank */
	uint32_t axes;  /* bit i: axis i */
	int32_t mode;
	int32_t group;
	int32_t hidden;
	int32_t kernel[2];   /* height, width */
	int32_t stride[2];   /* height, width */
	int32_t dilation[2]; /* height, width */
	int32_t pad[4];      /* top, left, bottom, right */
	int32_t out_pad[2];  /* height, width */
	int32_t coord;
	int32_t nearest_mode;
	int32_t rank; /* of dims, for Reshape, Expand, Tile, Slice, Pad, Resize */
	float alpha;
	float beta;
	float bias;
	int32_t perm[OOO_MAX_RANK];
	int64_t dims[OOO_MAX_RANK];
	int64_t start[OOO_MAX_RANK];
	int64_t step[OOO_MAX_RANK];
	float scale[OOO_MAX_RANK];
	uint32_t resv[6]; /* must be zero */
};

#ifndef __cplusplus
_Static_assert(sizeof(struct ooo_attr) == 376, "ooo_attr is ABI");
#endif

#endif
