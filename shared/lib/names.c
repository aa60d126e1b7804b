/* SPDX-License-Identifier: Apache-2.0 */
/* What operators, kernel classes and element types are called, and the operators' arities. */
#include "shared/lib/infer.h"

static const struct op_info op_infos[OOO_OP_LIMIT] = {
#define OP(NAME, name, code, min_in, max_in, min_out, max_out, klass)                              \
	[code] = { name, CLASS_##klass, min_in, max_in, min_out, max_out },
#include "shared/abi/ops.def"
#undef OP
};

static const char *const class_names[NR_CLASSES] = {
	[CLASS_CONV] = "conv", [CLASS_MATMUL] = "matmul", [CLASS_POINTWISE] = "pointwise",
	[CLASS_POOL] = "pool", [CLASS_NORM] = "norm",     [CLASS_REDUCE] = "reduce",
	[CLASS_MOVE] = "move", [CLASS_RNN] = "rnn",
};

static const struct {
	const char *name;
	size_t bytes;
} dtypes[OOO_DTYPE_LIMIT] = {
	[OOO_FP32] = { "fp32", 4 },   [OOO_FP16] = { "fp16", 2 },   [OOO_BF16] = { "bf16", 2 },
	[OOO_INT64] = { "int64", 8 }, [OOO_INT32] = { "int32", 4 }, [OOO_BOOL] = { "bool", 1 },
	[OOO_UINT8] = { "uint8", 1 }, [OOO_INT8] = { "int8", 1 },   [OOO_FP64] = { "fp64", 8 },
	[OOO_TF32] = { "tf32", 0 },
};

const struct op_info *op_info(uint32_t op)
{
	if (op >= OOO_OP_LIMIT || !op_infos[op].name)
		return NULL;
	return &op_infos[op];
}

const char *kernel_class_name(unsigned klass)
{
	return klass < NR_CLASSES ? class_names[klass] : "?";
}

size_t dtype_bytes(uint32_t dtype)
{
	return dtype < OOO_DTYPE_LIMIT ? dtypes[dtype].bytes : 0;
}

const char *dtype_name(uint32_t dtype)
{
	if (dtype >= OOO_DTYPE_LIMIT || !dtypes[dtype].name)
		return "?";
	return dtypes[dtype].name;
}
