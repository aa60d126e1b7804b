/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operators that can be imported. Versions: the first opset that has the operator, and the last
 * one where a later opset took it away. Where the meaning changed between opsets, the operator's
 * function looks at n->opset.
 */
#include <string.h>

#include "shared/onnx/ops.h"

struct rule {
	const char *name;
	int (*import)(struct node *n, enum ooo_op op);
	enum ooo_op op;
	uint8_t min_in, max_in; /* those up to min_in must be present */
	uint8_t max_out;
	uint8_t since, last; /* opsets; 0: no limit within those supported */
};

#define MANY 255 /* as many as there are */

static const struct rule rules[] = {
	{ "Abs", import_negate, OOO_OP_ABS, 1, 1, 1 },
	{ "Add", import_simple, OOO_OP_ADD, 2, 2, 1 },
	{ "And", import_simple, OOO_OP_AND, 2, 2, 1 },
	{ "ArgMax", import_arg, OOO_OP_ARG_MAX, 1, 1, 1 },
	{ "ArgMin", import_arg, OOO_OP_ARG_MIN, 1, 1, 1 },
	{ "AveragePool", import_pool, OOO_OP_AVERAGE_POOL, 1, 1, 1 },
	{ "BatchNormalization", import_batch_norm, OOO_OP_BATCH_NORM, 5, 5, 5 },
	{ "Cast", import_cast, OOO_OP_CAST, 1, 1, 1 },
	{ "CastLike", import_cast_like, OOO_OP_CAST, 2, 2, 1, 15 },
	{ "Ceil", import_simple, OOO_OP_CEIL, 1, 1, 1 },
	{ "Celu", import_alpha, OOO_OP_CELU, 1, 1, 1, 12 },
	{ "Clip", import_clip, OOO_OP_CLIP, 1, 3, 1 },
	{ "Concat", import_concat, OOO_OP_CONCAT, 1, MANY, 1 },
	{ "Constant", import_constant, 0, 0, 0, 1 },
	{ "ConstantOfShape", import_constant_of_shape, 0, 1, 1, 1, 9 },
	{ "Conv", import_conv, OOO_OP_CONV, 2, 3, 1 },
	{ "ConvTranspose", import_conv_transpose, OOO_OP_CONV_TRANSPOSE, 2, 3, 1 },
	{ "Cos", import_simple, OOO_OP_COS, 1, 1, 1 },
	{ "DepthToSpace", import_depth_to_space, OOO_OP_DEPTH_TO_SPACE, 1, 1, 1 },
	{ "Div", import_simple, OOO_OP_DIV, 2, 2, 1 },
	{ "Dropout", import_dropout, 0, 1, 3, 2 },
	{ "Elu", import_alpha, OOO_OP_ELU, 1, 1, 1 },
	{ "Equal", import_equal, OOO_OP_EQUAL, 2, 2, 1 },
	{ "Erf", import_simple, OOO_OP_ERF, 1, 1, 1, 9 },
	{ "Exp", import_simple, OOO_OP_EXP, 1, 1, 1 },
	{ "Expand", import_expand, OOO_OP_EXPAND, 2, 2, 1, 8 },
	{ "EyeLike", import_eye_like, 0, 1, 1, 1, 9 },
	{ "Flatten", import_flatten, OOO_OP_RESHAPE, 1, 1, 1 },
	{ "Floor", import_simple, OOO_OP_FLOOR, 1, 1, 1 },
	{ "GRU", import_gru, OOO_OP_GRU, 3, 6, 2 },
	{ "Gather", import_gather, OOO_OP_GATHER, 2, 2, 1 },
	{ "GatherElements", import_gather_elements, OOO_OP_GATHER, 2, 2, 1, 11 },
	{ "GatherND", import_gather_nd, OOO_OP_GATHER, 2, 2, 1, 11 },
	{ "Gelu", import_gelu, OOO_OP_GELU, 1, 1, 1, 20 },
	{ "Gemm", import_gemm, OOO_OP_MATMUL, 2, 3, 1 },
	{ "GlobalAveragePool", import_global_pool, OOO_OP_GLOBAL_AVERAGE_POOL, 1, 1, 1 },
	{ "GlobalMaxPool", import_global_pool, OOO_OP_GLOBAL_MAX_POOL, 1, 1, 1 },
	{ "Greater", import_simple, OOO_OP_GREATER, 2, 2, 1 },
	{ "GreaterOrEqual", import_simple, OOO_OP_GREATER_EQUAL, 2, 2, 1, 12 },
	{ "HardSigmoid", import_alpha_beta, OOO_OP_HARD_SIGMOID, 1, 1, 1 },
	{ "HardSwish", import_simple, OOO_OP_HARD_SWISH, 1, 1, 1, 14 },
	{ "Hardmax", import_hardmax, OOO_OP_ARG_MAX, 1, 1, 1 },
	{ "Identity", import_identity, 0, 1, 1, 1 },
	{ "If", import_if, 0, 1, 1, MANY },
	{ "InstanceNormalization", import_instance_norm, OOO_OP_INSTANCE_NORM, 3, 3, 1 },
	{ "IsInf", import_is_inf, 0, 1, 1, 1, 10 },
	{ "IsNaN", import_is_nan, 0, 1, 1, 1, 9 },
	{ "LRN", import_lrn, OOO_OP_LRN, 1, 1, 1 },
	{ "LSTM", import_lstm, OOO_OP_LSTM, 3, 8, 3 },
	{ "LayerNormalization", import_layer_norm, OOO_OP_LAYER_NORM, 2, 3, 3, 17 },
	{ "LeakyRelu", import_alpha, OOO_OP_LEAKY_RELU, 1, 1, 1 },
	{ "Less", import_simple, OOO_OP_LESS, 2, 2, 1 },
	{ "LessOrEqual", import_simple, OOO_OP_LESS_EQUAL, 2, 2, 1, 12 },
	{ "Log", import_simple, OOO_OP_LOG, 1, 1, 1 },
	{ "LogSoftmax", import_softmax, OOO_OP_LOG_SOFTMAX, 1, 1, 1 },
	{ "MatMul", import_matmul, OOO_OP_MATMUL, 2, 2, 1 },
	{ "Max", import_variadic, OOO_OP_MAX, 1, MANY, 1 },
	{ "MaxPool", import_pool, OOO_OP_MAX_POOL, 1, 1, 2 },
	{ "Mean", import_mean, OOO_OP_ADD, 1, MANY, 1 },
	{ "MeanVarianceNormalization", import_mvn, 0, 1, 1, 1, 9 },
	{ "Min", import_variadic, OOO_OP_MIN, 1, MANY, 1 },
	{ "Mish", import_mish, OOO_OP_TANH, 1, 1, 1, 18 },
	{ "Mod", import_mod, 0, 2, 2, 1, 10 },
	{ "Mul", import_simple, OOO_OP_MUL, 2, 2, 1 },
	{ "Neg", import_negate, OOO_OP_NEG, 1, 1, 1 },
	{ "Not", import_simple, OOO_OP_NOT, 1, 1, 1 },
	{ "OneHot", import_one_hot, 0, 3, 3, 1, 9 },
	{ "Or", import_simple, OOO_OP_OR, 2, 2, 1 },
	{ "PRelu", import_simple, OOO_OP_PRELU, 2, 2, 1 },
	{ "Pad", import_pad, OOO_OP_PAD, 1, 4, 1 },
	{ "Pow", import_pow, OOO_OP_POW, 2, 2, 1 },
	{ "Range", import_range, 0, 3, 3, 1, 11 },
	{ "Reciprocal", import_simple, OOO_OP_RECIPROCAL, 1, 1, 1 },
	{ "ReduceL1", import_reduce_l1, OOO_OP_REDUCE_SUM, 1, 2, 1 },
	{ "ReduceL2", import_reduce_l2, OOO_OP_REDUCE_SUM, 1, 2, 1 },
	{ "ReduceLogSum", import_reduce_log_sum, OOO_OP_REDUCE_SUM, 1, 2, 1 },
	{ "ReduceLogSumExp", import_reduce_log_sum_exp, OOO_OP_REDUCE_SUM, 1, 2, 1 },
	{ "ReduceMax", import_reduce, OOO_OP_REDUCE_MAX, 1, 2, 1 },
	{ "ReduceMean", import_reduce, OOO_OP_REDUCE_MEAN, 1, 2, 1 },
	{ "ReduceMin", import_reduce, OOO_OP_REDUCE_MIN, 1, 2, 1 },
	{ "ReduceProd", import_reduce_prod, 0, 1, 2, 1 },
	{ "ReduceSum", import_reduce, OOO_OP_REDUCE_SUM, 1, 2, 1 },
	{ "ReduceSumSquare", import_reduce_sum_square, OOO_OP_REDUCE_SUM, 1, 2, 1 },
	{ "Relu", import_simple, OOO_OP_RELU, 1, 1, 1 },
	{ "Reshape", import_reshape, OOO_OP_RESHAPE, 2, 2, 1 },
	{ "Resize", import_resize, OOO_OP_RESIZE, 1, 4, 1, 10 },
	{ "Round", import_simple, OOO_OP_ROUND, 1, 1, 1, 11 },
	{ "Selu", import_alpha_beta, OOO_OP_SELU, 1, 1, 1 },
	{ "Shape", import_shape, 0, 1, 1, 1 },
	{ "Shrink", import_shrink, 0, 1, 1, 1, 9 },
	{ "Sigmoid", import_simple, OOO_OP_SIGMOID, 1, 1, 1 },
	{ "Sign", import_simple, OOO_OP_SIGN, 1, 1, 1, 9 },
	{ "Sin", import_simple, OOO_OP_SIN, 1, 1, 1 },
	{ "Size", import_size, 0, 1, 1, 1 },
	{ "Slice", import_slice, OOO_OP_SLICE, 1, 5, 1 },
	{ "Softmax", import_softmax, OOO_OP_SOFTMAX, 1, 1, 1 },
	{ "Softplus", import_simple, OOO_OP_SOFTPLUS, 1, 1, 1 },
	{ "Softsign", import_simple, OOO_OP_SOFTSIGN, 1, 1, 1 },
	{ "SpaceToDepth", import_space_to_depth, OOO_OP_SPACE_TO_DEPTH, 1, 1, 1 },
	{ "Split", import_split, OOO_OP_SPLIT, 1, 2, MANY },
	{ "Sqrt", import_simple, OOO_OP_SQRT, 1, 1, 1 },
	{ "Squeeze", import_squeeze, OOO_OP_RESHAPE, 1, 2, 1 },
	{ "Sub", import_simple, OOO_OP_SUB, 2, 2, 1 },
	{ "Sum", import_variadic, OOO_OP_ADD, 1, MANY, 1 },
	{ "Tanh", import_simple, OOO_OP_TANH, 1, 1, 1 },
	{ "ThresholdedRelu", import_alpha, OOO_OP_THRESHOLDED_RELU, 1, 1, 1, 10 },
	{ "Tile", import_tile, OOO_OP_TILE, 2, 2, 1 },
	{ "Transpose", import_transpose, OOO_OP_TRANSPOSE, 1, 1, 1 },
	{ "Trilu", import_trilu, 0, 1, 2, 1, 14 },
	{ "Unsqueeze", import_unsqueeze, OOO_OP_RESHAPE, 1, 2, 1 },
	{ "Upsample", import_upsample, OOO_OP_RESIZE, 1, 2, 1, 7, 9 },
	{ "Where", import_simple, OOO_OP_WHERE, 3, 3, 1, 9 },
	{ "Xor", import_simple, OOO_OP_XOR, 2, 2, 1 },
};

static const struct rule *find_rule(const char *name)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (!strcmp(rules[i].name, name))
			return &rules[i];
	return NULL;
}

static int check_arity(struct node *n, const struct rule *rule)
{
	if (rule->max_in != MANY && n->nr_in > rule->max_in)
		return refuse(n, "has %d inputs, supported are %d to %d", n->nr_in, rule->min_in,
			      rule->max_in);
	for (int i = 0; i < rule->min_in; i++)
		if (!operand(n, i))
			return refuse(n, "input %d is missing", i);
	if (rule->max_out != MANY && n->nr_out > rule->max_out)
		return refuse(n, "has %d outputs, supported are at most %d", n->nr_out,
			      rule->max_out);
	return 0;
}

int import_node(struct node *n)
{
	const char *domain = n->pb->domain;
	const struct rule *rule = find_rule(n->pb->op_type ? n->pb->op_type : "");

	if (domain && *domain && strcmp(domain, "ai.onnx") != 0)
		return refuse(n, "operators of the domain '%.60s' are not supported", domain);
	if (!rule)
		return refuse(n, "this operator is not supported");
	if (rule->since > n->opset)
		return refuse(n, "exists from opset %d on but the model uses %d", rule->since,
			      n->opset);
	if (rule->last && n->opset > rule->last)
		return refuse(n, "does not exist after opset %d but the model uses %d", rule->last,
			      n->opset);
	if (check_arity(n, rule))
		return n->rc;
	return rule->import(n, rule->op);
}
