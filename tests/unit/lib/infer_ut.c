/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shape inference, operator by operator: what it gives, and what it refuses with which sentence.
 * Operands and results are written as in messages: "fp32[1,3] int64[]"; "-" is an absent operand.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/lib/infer.h"

static struct ooo_attr a; /* of the operator under test */
static char accepted[OOO_OP_LIMIT];
static char why[256];

static uint32_t parse_dtype(const char *text, size_t n)
{
	for (uint32_t d = 1; d < OOO_DTYPE_LIMIT; d++)
		if (strlen(dtype_name(d)) == n && !strncmp(text, dtype_name(d), n))
			return d;
	fail_msg("no such type: %s", text);
	return 0;
}

/* One shape; returns what follows. present: false for "-". */
static const char *parse_shape(const char *text, struct shape *s, bool *present)
{
	size_t n = strcspn(text, "[");
	char *end;

	memset(s, 0, sizeof(*s));
	*present = *text != '-';
	if (!*present)
		return text + 1 + strspn(text + 1, " ");
	s->dtype = parse_dtype(text, n);
	text += n + 1;
	while (*text != ']') {
		s->dims[s->rank++] = strtoll(text, &end, 10);
		text = end + (*end == ',');
	}
	return text + 1 + strspn(text + 1, " ");
}

static int infer(uint32_t op, const char *operands, int nr_out, struct shape *out)
{
	static struct shape shapes[256];
	const struct shape *in[256];
	int nr_in = 0;
	bool present;

	while (*operands) {
		operands = parse_shape(operands, &shapes[nr_in], &present);
		in[nr_in] = present ? &shapes[nr_in] : NULL;
		nr_in++;
	}
	why[0] = 0;
	return op_infer(op, &a, in, nr_in, out, nr_out, why, sizeof(why));
}

static void gives(uint32_t op, const char *operands, const char *results)
{
	struct shape want[32], out[33];
	int nr_out = 0;
	bool present;

	for (const char *at = results; *at; nr_out++)
		at = parse_shape(at, &want[nr_out], &present);
	if (infer(op, operands, nr_out, out))
		fail_msg("%s: refused: %s", operands, why);
	for (int i = 0; i < nr_out; i++) {
		if (!shape_equal(&want[i], &out[i]))
			fail_msg("%s %s: output %d is %s", op_info(op)->name, operands, i,
				 shape_text(&out[i]).s);
		for (int d = out[i].rank; d < OOO_MAX_RANK; d++)
			assert_int_equal(out[i].dims[d], 0);
	}
	accepted[op] = 1;
}

static void refuses(uint32_t op, const char *operands, int nr_out, const char *sentence)
{
	struct shape out[300];

	assert_int_equal(infer(op, operands, nr_out, out), -EINVAL);
	if (!strstr(why, sentence))
		fail_msg("'%s' is not in '%s'", sentence, why);
}

static void with(uint32_t op)
{
	attr_init(&a, op);
}

static void knows_names(void **state)
{
	unsigned nr = 0;

	(void)state;
	for (uint32_t op = 0; op < OOO_OP_LIMIT + 5; op++) {
		const struct op_info *o = op_info(op);

		if (!o)
			continue;
		nr++;
		assert_true(strlen(o->name) > 1 && o->klass < NR_CLASSES);
		assert_true(o->min_in <= o->max_in && o->min_out <= o->max_out && o->min_out);
	}
	assert_in_range(nr, 80, OOO_OP_LIMIT);
	assert_string_equal(op_info(OOO_OP_LSTM)->name, "LSTM");
	assert_null(op_info(0));
	assert_null(op_info(UINT32_MAX));
	assert_string_equal(kernel_class_name(CLASS_RNN), "rnn");
	assert_string_equal(kernel_class_name(NR_CLASSES), "?");
	assert_string_equal(dtype_name(0), "?");
	assert_string_equal(dtype_name(OOO_DTYPE_LIMIT), "?");
	assert_int_equal(dtype_bytes(OOO_FP64), 8);
	assert_int_equal(dtype_bytes(OOO_DTYPE_LIMIT), 0);
	for (uint32_t d = 1; d < OOO_TF32; d++)
		assert_in_range(dtype_bytes(d), 1, 8);
	assert_string_equal(dtype_name(OOO_TF32), "tf32");
	assert_int_equal(dtype_bytes(OOO_TF32), 0); /* no tensor has it */
}

static void counts_elements(void **state)
{
	struct shape s = { OOO_FP32, 2, { 3, 4 } };
	uint64_t bytes;
	int64_t n;

	(void)state;
	assert_int_equal(shape_elems(&s, &n), 0);
	assert_int_equal(n, 12);
	assert_int_equal(shape_bytes(&s, &bytes), 0);
	assert_int_equal(bytes, 48);
	s.rank = 0;
	assert_int_equal(shape_elems(&s, &n), 0);
	assert_int_equal(n, 1);
	s = (struct shape){ OOO_FP32, 3, { INT64_MAX, 0, INT64_MAX } };
	assert_int_equal(shape_elems(&s, &n), -EOVERFLOW);
	s = (struct shape){ OOO_FP32, 2, { INT64_MAX, 0 } };
	assert_int_equal(shape_elems(&s, &n), 0);
	assert_int_equal(n, 0);
	s = (struct shape){ OOO_INT8, 1, { INT64_MAX } };
	assert_int_equal(shape_bytes(&s, &bytes), 0);
	assert_true(bytes == INT64_MAX);
}

static void counts_large(void **state)
{
	struct shape s = { OOO_INT64, 1, { INT64_MAX } };
	uint64_t bytes;
	int64_t n;

	(void)state;
	assert_int_equal(shape_bytes(&s, &bytes), -EOVERFLOW);
	s.dims[0] = -1;
	assert_int_equal(shape_elems(&s, &n), -EINVAL);
	s = (struct shape){ OOO_INT64, 9, { 1 } };
	assert_int_equal(shape_elems(&s, &n), -EINVAL);
	s = (struct shape){ OOO_DTYPE_LIMIT, 1, { 1 } };
	assert_int_equal(shape_bytes(&s, &bytes), -EINVAL);
}

static void broadcasts(void **state)
{
	struct shape x = { OOO_FP32, 3, { 4, 1, 3 } }, y = { OOO_FP32, 2, { 5, 1 } }, z;

	(void)state;
	assert_int_equal(shape_broadcast(&x, &y, &z), 0);
	assert_string_equal(shape_text(&z).s, "fp32[4,5,3]");
	y.dims[1] = 2;
	assert_int_equal(shape_broadcast(&x, &y, &z), -EINVAL);
	y.dims[1] = 0; /* 3 and 0 */
	assert_int_equal(shape_broadcast(&x, &y, &z), -EINVAL);
	x.dims[2] = 1; /* 1 and 0 */
	assert_int_equal(shape_broadcast(&x, &y, &z), 0);
	assert_string_equal(shape_text(&z).s, "fp32[4,5,0]");
}

static void refuses_in_general(void **state)
{
	struct shape out[2];
	const struct shape odd = { 99, 1, { 1 } }, *in[1] = { &odd };

	(void)state;
	with(OOO_OP_RELU);
	assert_int_equal(op_infer(0, &a, NULL, 0, out, 1, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "no operator"));
	assert_int_equal(op_infer(OOO_OP_RELU, &a, in, 1, out, 1, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "not a tensor"));
	assert_int_equal(op_infer(OOO_OP_RELU, &a, in, 1, out, 1, NULL, 0), -EINVAL);
	refuses(OOO_OP_RELU, "", 1, "takes 1 to 1 operands, not 0");
	refuses(OOO_OP_RELU, "fp32[1] fp32[1]", 1, "not 2");
	refuses(OOO_OP_RELU, "fp32[1]", 2, "outputs, not 2");
	refuses(OOO_OP_RELU, "-", 1, "Relu: operand 0 is absent");
	refuses(OOO_OP_RELU, "fp32[4294967297]", 1, "larger than 16 GiB");
	refuses(OOO_OP_RELU, "fp32[9223372036854775807,9223372036854775807]", 1, "larger than");
	a.resv[5] = 1;
	refuses(OOO_OP_RELU, "fp32[1]", 1, "resv is set");
	with(OOO_OP_RELU);
	a.flags = OOO_ATTR_KEEPDIMS;
	refuses(OOO_OP_RELU, "fp32[1]", 1, "flags");
	with(OOO_OP_RELU);
	a.step[7] = 1;
	refuses(OOO_OP_RELU, "fp32[1]", 1, "attribute step is set");
}

static void set_window(int k, int stride, int dilation, int pad)
{
	for (int i = 0; i < 2; i++) {
		a.kernel[i] = k;
		a.stride[i] = stride;
		a.dilation[i] = dilation;
		a.pad[i] = pad;
		a.pad[i + 2] = pad;
	}
}

static void convolves(void **state)
{
	const uint32_t op = OOO_OP_CONV;

	(void)state;
	with(op);
	gives(op, "fp32[1,3,5,7] fp32[4,3,1,1]", "fp32[1,4,5,7]");
	set_window(3, 1, 1, 1);
	gives(op, "fp32[2,3,5,7] fp32[4,3,3,3] fp32[4]", "fp32[2,4,5,7]");
	gives(op, "fp32[2,3,5,7] fp32[4,3,3,3] -", "fp32[2,4,5,7]");
	set_window(3, 2, 2, 0);
	gives(op, "fp32[1,3,11,6] fp32[4,3,3,3]", "fp32[1,4,4,1]");
	refuses(op, "fp32[1,3,11,4] fp32[4,3,3,3]", 1, "the kernel covers 5 of the width but");
	set_window(3, 1, 1, 0);
	a.group = 2;
	gives(op, "fp32[1,8,3,3] fp32[6,4,3,3]", "fp32[1,6,1,1]");
	refuses(op, "fp32[1,8,3,3] fp32[6,3,3,3]", 1,
		"Conv: weight has 3 input channels per group but the input has 8 channels in 2 groups");
	refuses(op, "fp32[1,8,3,3] fp32[5,4,3,3]", 1, "5 output channels cannot be divided");
	refuses(op, "fp32[1,9,3,3] fp32[6,4,3,3]", 1, "9 channels cannot be divided into 2");
	refuses(op, "fp32[1,8,3,3] fp32[6,4,3,3] fp32[4]", 1,
		"the bias is fp32[4] but must have 6");
	refuses(op, "fp32[1,8,3,3] fp32[6,4,3,3] fp32[6,1]", 1, "the bias");
	refuses(op, "fp32[1,8,3,3] fp32[6,4,3,2]", 1, "kernel says 3 for the width");
	refuses(op, "fp32[1,8,3,3] fp32[6,4,3]", 1, "must have rank 4");
	refuses(op, "fp32[1,8] fp32[6,4]", 1, "[N,C,H,W]");
	refuses(op, "fp16[1,8,3,3] fp32[6,4,3,3]", 1, "not computed in yet; cast to fp32");
	refuses(op, "int8[1,8,3,3] fp32[6,4,3,3]", 1, "is int8 but must be fp32");
	refuses(op, "fp32[0,8,3,3] fp32[6,4,3,3]", 1, "operand 0 is empty");
	a.group = 0;
	refuses(op, "fp32[1,8,3,3] fp32[6,4,3,3]", 1, "group is 0");
	a.group = 1;
	a.stride[1] = 0;
	refuses(op, "fp32[1,4,3,3] fp32[6,4,3,3]", 1, "of the width must be");
	a.stride[1] = 1;
	a.pad[2] = -1;
	refuses(op, "fp32[1,4,3,3] fp32[6,4,3,3]", 1, "padding 0, -1 of the height");
	with(op);
	a.kernel[1] = 3;
	a.pad[3] = 2;
	a.stride[1] = 2;
	gives(op, "fp32[1,2,9] fp32[5,2,3]", "fp32[1,5,5]");
	a.kernel[0] = 2;
	refuses(op, "fp32[1,2,9] fp32[5,2,3]", 1, "has no height");
}

static void convolves_transposed(void **state)
{
	const uint32_t op = OOO_OP_CONV_TRANSPOSE;

	(void)state;
	with(op);
	set_window(3, 2, 1, 1);
	a.out_pad[0] = 1;
	a.group = 2;
	gives(op, "fp32[1,8,5,5] fp32[8,3,3,3] fp32[6]", "fp32[1,6,10,9]");
	refuses(op, "fp32[1,8,5,5] fp32[6,3,3,3]", 1, "weight has 6 input channels");
	refuses(op, "fp32[1,8,5,5] fp32[8,3,3,3] fp32[3]", 1, "must have 6");
	a.out_pad[0] = 2;
	refuses(op, "fp32[1,8,5,5] fp32[8,3,3,3]", 1, "output padding 2 of the height");
	a.out_pad[0] = 0;
	a.pad[0] = 100;
	refuses(op, "fp32[1,8,5,5] fp32[8,3,3,3]", 1, "leaves nothing");
	a.pad[0] = 0;
	a.stride[1] = INT32_MAX;
	refuses(op, "fp32[1,2,1,1073741824] fp32[2,1,3,3]", 1, "larger than");
	with(op);
	a.kernel[1] = 2;
	a.stride[1] = 2;
	gives(op, "fp32[1,4,6] fp32[4,5,2]", "fp32[1,5,12]");
}

static void pools(void **state)
{
	const uint32_t op = OOO_OP_MAX_POOL, mean = OOO_OP_AVERAGE_POOL;

	(void)state;
	with(op);
	set_window(3, 2, 1, 1);
	gives(op, "fp32[1,3,112,111]", "fp32[1,3,56,56]");
	set_window(3, 2, 1, 0);
	gives(op, "fp32[1,3,4,4]", "fp32[1,3,1,1]");
	a.flags = OOO_ATTR_CEIL_MODE;
	gives(op, "fp32[1,3,4,4]", "fp32[1,3,2,2]");
	set_window(1, 2, 1, 0);
	gives(op, "fp32[1,3,4,4]", "fp32[1,3,2,2]"); /* no window starts behind the end */
	a.flags = OOO_ATTR_COUNT_INCLUDE_PAD;
	refuses(op, "fp32[1,3,4,4]", 1, "COUNT_INCLUDE_PAD");
	a.flags = 0;
	set_window(2, 1, 1, 2);
	refuses(op, "fp32[1,3,4,4]", 1, "must be less than the kernel's extent 2");
	set_window(2, 1, 3, 3);
	refuses(op, "fp32[1,3,2,4]", 1, "padding alone");
	set_window(5, 1, 1, 0);
	refuses(op, "fp32[1,3,4,4]", 1, "the kernel covers 5 of the height");
	refuses(op, "int64[1,3,4,4]", 1, "must be fp32");
	with(mean);
	set_window(2, 2, 1, 0);
	a.flags = OOO_ATTR_COUNT_INCLUDE_PAD;
	gives(mean, "fp32[1,3,4,4]", "fp32[1,3,2,2]");
	with(mean);
	a.kernel[1] = 2;
	gives(mean, "fp32[1,3,4]", "fp32[1,3,3]");
	with(OOO_OP_GLOBAL_MAX_POOL);
	gives(OOO_OP_GLOBAL_MAX_POOL, "fp32[2,3,4,5]", "fp32[2,3,1,1]");
	gives(OOO_OP_GLOBAL_AVERAGE_POOL, "fp32[2,3,4,5,6]", "fp32[2,3,1,1,1]");
	refuses(OOO_OP_GLOBAL_AVERAGE_POOL, "fp32[2,3]", 1, "rank 3 or more");
	refuses(OOO_OP_GLOBAL_AVERAGE_POOL, "fp32[2,3,0]", 1, "empty");
}

static void multiplies(void **state)
{
	const uint32_t op = OOO_OP_MATMUL;

	(void)state;
	with(op);
	gives(op, "fp32[2,3] fp32[3,4]", "fp32[2,4]");
	gives(op, "fp32[3] fp32[3,4]", "fp32[4]");
	gives(op, "fp32[2,3] fp32[3]", "fp32[2]");
	gives(op, "fp32[3] fp32[3]", "fp32[]");
	gives(op, "fp32[7,1,2,3] fp32[5,3,4]", "fp32[7,5,2,4]");
	gives(op, "fp32[5,3] fp32[7,3,4]", "fp32[7,5,4]");
	gives(op, "fp32[2,3] fp32[3,4] fp32[4]", "fp32[2,4]");
	gives(op, "fp32[2,3] fp32[3,4] fp32[2,1]", "fp32[2,4]");
	refuses(op, "fp32[2,3] fp32[3,4] fp32[3]", 1, "the bias fp32[3] does not broadcast");
	refuses(op, "fp32[2,3] fp32[3,4] fp32[5,2,4]", 1, "the bias");
	refuses(op, "fp32[2,3] fp32[4,4]", 1, "A has 3 columns but B has 4 rows");
	refuses(op, "fp32[2,2,3] fp32[3,3,4]", 1, "batches");
	refuses(op, "fp32[] fp32[3,4]", 1, "must have rank 1");
	refuses(op, "int32[2,3] int32[3,4]", 1, "must be fp32");
	refuses(op, "fp32[2,0] fp32[0,4]", 1, "empty");
	a.flags = OOO_ATTR_TRANS_A | OOO_ATTR_TRANS_B;
	gives(op, "fp32[9,3,2] fp32[4,3]", "fp32[9,2,4]");
	refuses(op, "fp32[3] fp32[4,3]", 1, "rank 2 or more");
	a.alpha = NAN;
	refuses(op, "fp32[3,2] fp32[4,3]", 1, "finite");
}

static void normalises(void **state)
{
	const char *four = "fp32[2,3,4,4] fp32[3] fp32[3] fp32[3] fp32[3]";

	(void)state;
	with(OOO_OP_BATCH_NORM);
	gives(OOO_OP_BATCH_NORM, four, "fp32[2,3,4,4]");
	refuses(OOO_OP_BATCH_NORM, "fp32[2,3] fp32[3] fp32[2] fp32[3] fp32[3]", 1, "B is fp32[2]");
	refuses(OOO_OP_BATCH_NORM, "fp32[3] fp32[3] fp32[3] fp32[3] fp32[3]", 1, "rank 2");
	a.alpha = -1;
	refuses(OOO_OP_BATCH_NORM, four, 1, "epsilon");
	with(OOO_OP_INSTANCE_NORM);
	gives(OOO_OP_INSTANCE_NORM, "fp32[2,3,4] fp32[3] fp32[3]", "fp32[2,3,4]");
	refuses(OOO_OP_INSTANCE_NORM, "fp32[2,3,4] fp32[3] fp32[4]", 1, "B is");
	refuses(OOO_OP_INSTANCE_NORM, "fp32[2,3] fp32[3] fp32[3]", 1, "rank 3");
	with(OOO_OP_LAYER_NORM);
	a.axis = 1;
	gives(OOO_OP_LAYER_NORM, "fp32[2,3,4] fp32[3,4]", "fp32[2,3,4]");
	gives(OOO_OP_LAYER_NORM, "fp32[2,3,4] fp32[3,4] fp32[3,4]", "fp32[2,3,4]");
	refuses(OOO_OP_LAYER_NORM, "fp32[2,3,4] fp32[4]", 1,
		"scale is fp32[4] but must be fp32[3,4]");
	refuses(OOO_OP_LAYER_NORM, "fp32[2,3,4] fp32[3,4] fp32[4]", 1, "B is fp32[4]");
	a.axis = 3;
	refuses(OOO_OP_LAYER_NORM, "fp32[2,3,4] fp32[3,4]", 1, "axis 3 is outside");
	with(OOO_OP_LRN);
	a.kernel[0] = 5;
	gives(OOO_OP_LRN, "fp32[1,9,2,2]", "fp32[1,9,2,2]");
	refuses(OOO_OP_LRN, "fp32[1,9]", 1, "rank 3");
	a.kernel[1] = 1;
	refuses(OOO_OP_LRN, "fp32[1,9,2,2]", 1, "kernel[1]");
	with(OOO_OP_SOFTMAX);
	a.axis = 1;
	gives(OOO_OP_SOFTMAX, "fp32[2,3]", "fp32[2,3]");
	a.flags = OOO_ATTR_FLATTEN;
	gives(OOO_OP_LOG_SOFTMAX, "fp32[2,3,4]", "fp32[2,3,4]");
	a.axis = -1;
	refuses(OOO_OP_SOFTMAX, "fp32[2,3]", 1, "axis -1");
	a.axis = 0;
	refuses(OOO_OP_SOFTMAX, "fp32[]", 1, "axis 0 is outside");
}

static void reduces(void **state)
{
	static const uint32_t ops[] = { OOO_OP_REDUCE_MEAN, OOO_OP_REDUCE_SUM, OOO_OP_REDUCE_MAX,
					OOO_OP_REDUCE_MIN };

	(void)state;
	for (int i = 0; i < 4; i++) {
		with(ops[i]);
		a.axes = 0x5;
		gives(ops[i], "fp32[2,3,4]", "fp32[3]");
		a.flags = OOO_ATTR_KEEPDIMS;
		gives(ops[i], "fp32[2,3,4]", "fp32[1,3,1]");
		a.axes = 0x8;
		refuses(ops[i], "fp32[2,3,4]", 1, "axes 0x8");
		a.axes = 0;
		refuses(ops[i], "fp32[2,3,4]", 1, "no axis");
		refuses(ops[i], "int64[2,3,4]", 1, "must be fp32");
	}
	for (uint32_t op = OOO_OP_ARG_MAX; op <= OOO_OP_ARG_MIN; op++) {
		with(op);
		a.axis = 1;
		gives(op, "fp32[2,3,4]", "int64[2,4]");
		a.flags = OOO_ATTR_KEEPDIMS | OOO_ATTR_LAST_INDEX;
		gives(op, "fp32[2,3,4]", "int64[2,1,4]");
		a.axis = 3;
		refuses(op, "fp32[2,3,4]", 1, "axis 3");
	}
}

static void computes_pointwise(void **state)
{
	static const uint32_t binary[] = { OOO_OP_ADD, OOO_OP_SUB, OOO_OP_MUL,
					   OOO_OP_DIV, OOO_OP_MIN, OOO_OP_MAX };
	static const uint32_t compare[] = { OOO_OP_EQUAL, OOO_OP_LESS, OOO_OP_GREATER,
					    OOO_OP_LESS_EQUAL, OOO_OP_GREATER_EQUAL };

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		with(binary[i]);
		gives(binary[i], "fp32[2,1] fp32[3]", "fp32[2,3]");
		gives(binary[i], "int64[] int64[0,3]", "int64[0,3]");
		refuses(binary[i], "fp32[2] int32[2]", 1, "are fp32 and int32; cast one");
		refuses(binary[i], "int8[2] int8[2]", 1, "not computed in int8");
		refuses(binary[i], "fp16[2] fp16[2]", 1, "not computed in yet; cast to fp32");
		refuses(binary[i], "fp32[2] fp32[3]", 1, "fp32[2] and fp32[3] do not broadcast");
	}
	for (size_t i = 0; i < 5; i++) {
		with(compare[i]);
		gives(compare[i], "int32[2,1] int32[3]", "bool[2,3]");
		refuses(compare[i], "bool[2] bool[2]", 1, "not computed in bool");
	}
	for (uint32_t op = OOO_OP_AND; op <= OOO_OP_XOR; op++) {
		with(op);
		gives(op, "bool[2,1] bool[3]", "bool[2,3]");
		refuses(op, "bool[2] uint8[2]", 1, "operand 1 is uint8 but must be bool");
	}
	with(OOO_OP_POW);
	gives(OOO_OP_POW, "fp32[2] fp32[]", "fp32[2]");
	refuses(OOO_OP_POW, "fp32[2] int64[]", 1, "must be fp32");
	gives(OOO_OP_PRELU, "fp32[2,3,4] fp32[3,1]", "fp32[2,3,4]");
	refuses(OOO_OP_PRELU, "fp32[3,1] fp32[2,3,4]", 1, "slope");
	gives(OOO_OP_WHERE, "bool[2,1] uint8[3] uint8[]", "uint8[2,3]");
	refuses(OOO_OP_WHERE, "uint8[2] fp32[2] fp32[2]", 1, "condition is uint8 but must be bool");
	refuses(OOO_OP_WHERE, "bool[2] fp32[2] int32[2]", 1, "cast one");
	refuses(OOO_OP_WHERE, "bool[3] fp32[2] fp32[2]", 1, "do not broadcast");
	refuses(OOO_OP_WHERE, "bool[2] fp64[2] fp64[2]", 1, "cast to fp32");
}

static void computes_unary(void **state)
{
	(void)state;
	for (uint32_t op = OOO_OP_RELU; op <= OOO_OP_THRESHOLDED_RELU; op++) {
		if (op == OOO_OP_NOT || op == OOO_OP_CAST)
			continue;
		with(op);
		gives(op, "fp32[2,0,3]", "fp32[2,0,3]");
		gives(op, "fp32[]", "fp32[]");
		refuses(op, "int32[2]", 1, "must be fp32");
	}
	with(OOO_OP_IDENTITY);
	gives(OOO_OP_IDENTITY, "bool[2]", "bool[2]");
	refuses(OOO_OP_IDENTITY, "bf16[2]", 1, "not computed in yet");
	with(OOO_OP_NOT);
	gives(OOO_OP_NOT, "bool[2]", "bool[2]");
	refuses(OOO_OP_NOT, "int8[2]", 1, "must be bool");
	with(OOO_OP_CAST);
	a.mode = OOO_BF16;
	gives(OOO_OP_CAST, "fp64[2]", "bf16[2]");
	a.mode = OOO_TF32;
	refuses(OOO_OP_CAST, "fp64[2]", 1, "not an element type");
	a.mode = -1;
	refuses(OOO_OP_CAST, "fp64[2]", 1, "not an element type");
	with(OOO_OP_CLIP);
	a.beta = NAN;
	refuses(OOO_OP_CLIP, "fp32[2]", 1, "not a number");
	with(OOO_OP_GELU);
	a.mode = 2;
	refuses(OOO_OP_GELU, "fp32[2]", 1, "no mode 2");
	with(OOO_OP_CELU);
	a.alpha = 0;
	refuses(OOO_OP_CELU, "fp32[2]", 1, "alpha must not be 0");
	with(OOO_OP_ELU);
	a.alpha = INFINITY;
	refuses(OOO_OP_ELU, "fp32[2]", 1, "finite");
}

static void joins_and_splits(void **state)
{
	(void)state;
	with(OOO_OP_CONCAT);
	a.axis = 1;
	gives(OOO_OP_CONCAT, "int8[2,3]", "int8[2,3]");
	gives(OOO_OP_CONCAT, "int8[2,3] int8[2,0] int8[2,4]", "int8[2,7]");
	refuses(OOO_OP_CONCAT, "int8[2,3] int8[3,3]", 1, "they may differ in axis 1 alone");
	refuses(OOO_OP_CONCAT, "int8[2,3] int8[2]", 1, "operand 1 is int8[2]");
	refuses(OOO_OP_CONCAT, "int8[2,3] bool[2,3]", 1, "operand 1 is bool");
	refuses(OOO_OP_CONCAT, "int8[2,3] -", 1, "absent");
	refuses(OOO_OP_CONCAT, "int8[2]", 1, "axis 1");
	with(OOO_OP_SPLIT);
	a.axis = 1;
	gives(OOO_OP_SPLIT, "bool[2,6]", "bool[2,3] bool[2,3]");
	refuses(OOO_OP_SPLIT, "bool[2,6]", 4, "cannot be divided into 4");
	a.dims[0] = 1;
	a.dims[1] = 5;
	gives(OOO_OP_SPLIT, "bool[2,6]", "bool[2,1] bool[2,5]");
	refuses(OOO_OP_SPLIT, "bool[2,6]", 1, "dims[1] = 5");
	refuses(OOO_OP_SPLIT, "bool[2,7]", 2, "add up to 6 but axis 1 has 7");
	refuses(OOO_OP_SPLIT, "bool[2,6]", 9, "9 outputs must be of equal size");
	a.dims[1] = -5;
	refuses(OOO_OP_SPLIT, "bool[2,6]", 2, "dims[1] = -5");
	a.dims[0] = a.dims[1] = a.dims[2] = INT64_MAX;
	refuses(OOO_OP_SPLIT, "bool[2,6]", 3, "overflow");
}

static void set_dims(int rank, int64_t d0, int64_t d1, int64_t d2)
{
	a.rank = rank;
	a.dims[0] = d0;
	a.dims[1] = d1;
	a.dims[2] = d2;
}

static void slices(void **state)
{
	const uint32_t op = OOO_OP_SLICE;

	(void)state;
	with(op);
	set_dims(2, 2, 3, 0);
	gives(op, "int64[2,3]", "int64[2,3]");
	a.start[1] = 6;
	a.step[1] = -3;
	gives(op, "int64[2,7]", "int64[2,3]");
	refuses(op, "int64[2,6]", 1, "leave axis 1");
	a.start[1] = 5;
	refuses(op, "int64[2,7]", 1, "3 elements from 5 by -3 leave axis 1");
	a.start[1] = 0;
	a.step[1] = INT64_MAX;
	refuses(op, "int64[2,7]", 1, "leave axis 1");
	a.dims[1] = 1;
	gives(op, "int64[2,7]", "int64[2,1]");
	a.dims[1] = 0;
	a.start[1] = 7;
	gives(op, "int64[2,7]", "int64[2,0]");
	a.start[1] = 8;
	refuses(op, "int64[2,7]", 1, "leave axis 1");
	a.step[1] = 0;
	refuses(op, "int64[2,7]", 1, "step of axis 1 is 0");
	a.step[1] = 1;
	a.start[1] = 0;
	a.dims[1] = -1;
	refuses(op, "int64[2,7]", 1, "dims[1] is -1");
	a.dims[1] = 7;
	a.start[5] = 1;
	refuses(op, "int64[2,7]", 1, "beyond the rank");
	refuses(op, "int64[7]", 1, "attribute rank is 2");
}

static void pads(void **state)
{
	const uint32_t op = OOO_OP_PAD;

	(void)state;
	with(op);
	set_dims(2, 4, 9, 0);
	a.start[0] = 1;
	a.start[1] = -1;
	gives(op, "fp32[2,3]", "fp32[4,9]");
	a.alpha = -INFINITY;
	gives(op, "fp32[2,3]", "fp32[4,9]");
	refuses(op, "int64[2,3]", 1, "is not a number in int64");
	a.alpha = 256;
	refuses(op, "uint8[2,3]", 1, "256");
	a.alpha = 2;
	refuses(op, "bool[2,3]", 1, "in bool");
	gives(op, "int8[2,3]", "int8[4,9]");
	a.mode = 1;
	refuses(op, "fp32[2,3]", 1, "mode 0 alone");
	a.alpha = 0;
	refuses(op, "fp32[2,3]", 1, "reflecting");
	gives(op, "fp32[3,6]", "fp32[4,9]");
	a.mode = 2;
	gives(op, "fp32[2,3]", "fp32[4,9]");
	refuses(op, "fp32[0,3]", 1, "nothing to repeat");
	a.mode = 3;
	refuses(op, "fp32[2,3]", 1, "no mode 3");
	a.mode = 0;
	a.start[1] = -4;
	refuses(op, "fp32[2,3]", 1, "axis 1");
	a.start[1] = 10;
	refuses(op, "fp32[2,0]", 1, "axis 1");
	a.start[1] = INT64_MIN;
	refuses(op, "fp32[2,3]", 1, "axis 1");
	a.start[1] = 0;
	a.start[2] = 1;
	refuses(op, "fp32[2,3]", 1, "beyond the rank");
}

static void reshapes(void **state)
{
	(void)state;
	with(OOO_OP_RESHAPE);
	set_dims(3, 2, 1, 6);
	gives(OOO_OP_RESHAPE, "uint8[3,4]", "uint8[2,1,6]");
	refuses(OOO_OP_RESHAPE, "uint8[3,5]", 1, "uint8[3,5] cannot become uint8[2,1,6]");
	a.dims[3] = 1;
	refuses(OOO_OP_RESHAPE, "uint8[3,4]", 1, "dims[3] is set beyond");
	a.rank = 9;
	refuses(OOO_OP_RESHAPE, "uint8[3,4]", 1, "rank is 9");
	with(OOO_OP_RESHAPE);
	gives(OOO_OP_RESHAPE, "fp32[1,1]", "fp32[]");
	with(OOO_OP_EXPAND);
	set_dims(3, 2, 4, 6);
	gives(OOO_OP_EXPAND, "uint8[4,1]", "uint8[2,4,6]");
	refuses(OOO_OP_EXPAND, "uint8[3,1]", 1, "does not broadcast to");
	refuses(OOO_OP_EXPAND, "uint8[1,2,4,6]", 1, "does not broadcast to");
	with(OOO_OP_TILE);
	set_dims(2, 4, 9, 0);
	gives(OOO_OP_TILE, "int32[2,3]", "int32[4,9]");
	refuses(OOO_OP_TILE, "int32[2,2]", 1, "axis 1: 9 is no multiple of 2");
	refuses(OOO_OP_TILE, "int32[2,0]", 1, "no multiple of 0");
	refuses(OOO_OP_TILE, "int32[4]", 1, "attribute rank is 2");
	with(OOO_OP_TRANSPOSE);
	gives(OOO_OP_TRANSPOSE, "bool[]", "bool[]");
	a.perm[0] = 2;
	a.perm[2] = 1;
	gives(OOO_OP_TRANSPOSE, "bool[2,3,4]", "bool[4,2,3]");
	refuses(OOO_OP_TRANSPOSE, "bool[2,3]", 1, "perm");
	a.perm[1] = 2;
	refuses(OOO_OP_TRANSPOSE, "bool[2,3,4]", 1, "perm[1] = 2 does not make a permutation");
	a.perm[1] = -1;
	refuses(OOO_OP_TRANSPOSE, "bool[2,3,4]", 1, "perm[1] = -1");
	a.perm[1] = 0;
	a.perm[3] = 3;
	refuses(OOO_OP_TRANSPOSE, "bool[2,3,4]", 1, "perm[3] is set beyond");
}

static void gathers(void **state)
{
	const uint32_t op = OOO_OP_GATHER;

	(void)state;
	with(op);
	a.axis = 1;
	gives(op, "fp32[2,3,4] int64[]", "fp32[2,4]");
	gives(op, "fp32[2,3,4] int32[5,6]", "fp32[2,5,6,4]");
	gives(op, "fp32[2,0,4] int32[0]", "fp32[2,0,4]");
	refuses(op, "fp32[2,0,4] int32[1]", 1, "no index is valid");
	refuses(op, "fp32[2,3,4] fp32[5]", 1, "indices are fp32 but must be int32 or int64");
	refuses(op, "fp32[2] int32[5]", 1, "axis 1");
	refuses(op, "fp32[1,1,1,1,1] int32[1,1,1,1,1]", 1, "more than 8 axes");
}

static void resizes(void **state)
{
	const uint32_t op = OOO_OP_RESIZE;

	(void)state;
	with(op);
	set_dims(3, 1, 8, 9);
	gives(op, "uint8[1,4,3]", "uint8[1,8,9]");
	a.scale[0] = 1;
	a.scale[1] = 2;
	refuses(op, "uint8[1,4,3]", 1, "scale[2] is 0");
	a.scale[2] = 3.2f;
	gives(op, "uint8[1,4,3]", "uint8[1,8,9]");
	a.scale[2] = 5;
	refuses(op, "uint8[1,4,3]", 1, "axis 2: 3 elements scaled by 5 are not 9");
	a.scale[2] = INFINITY;
	refuses(op, "uint8[1,4,3]", 1, "must be positive");
	a.scale[2] = 3;
	a.mode = 1;
	refuses(op, "uint8[1,4,3]", 1, "must be fp32");
	gives(op, "fp32[1,4,3]", "fp32[1,8,9]");
	refuses(op, "fp32[2,4,3]", 1, "linear interpolation along axis 0");
	a.nearest_mode = 1;
	refuses(op, "fp32[1,4,3]", 1, "mode 0 alone");
	a.nearest_mode = 4;
	a.mode = 0;
	refuses(op, "fp32[1,4,3]", 1, "no nearest_mode 4");
	a.nearest_mode = 0;
	a.coord = 4;
	refuses(op, "fp32[1,4,3]", 1, "no coordinate transformation 4");
	a.coord = 0;
	a.scale[6] = 1;
	refuses(op, "fp32[1,4,3]", 1, "beyond the rank");
	refuses(op, "fp32[4,3]", 1, "attribute rank is 3");
	a.dims[1] = 0;
	refuses(op, "fp32[1,4,3]", 1, "would be empty");
	refuses(op, "fp32[1,0,3]", 1, "is empty");
}

static void moves_depth(void **state)
{
	(void)state;
	with(OOO_OP_DEPTH_TO_SPACE);
	a.kernel[0] = 2;
	a.mode = 1;
	gives(OOO_OP_DEPTH_TO_SPACE, "fp32[1,8,3,5]", "fp32[1,2,6,10]");
	refuses(OOO_OP_DEPTH_TO_SPACE, "fp32[1,6,3,5]", 1, "6 channels");
	refuses(OOO_OP_DEPTH_TO_SPACE, "fp32[8,3,5]", 1, "[N,C,H,W]");
	a.mode = 2;
	refuses(OOO_OP_DEPTH_TO_SPACE, "fp32[1,8,3,5]", 1, "no mode 2");
	with(OOO_OP_SPACE_TO_DEPTH);
	a.kernel[0] = 2;
	gives(OOO_OP_SPACE_TO_DEPTH, "fp32[1,2,6,10]", "fp32[1,8,3,5]");
	refuses(OOO_OP_SPACE_TO_DEPTH, "fp32[1,2,6,9]", 1, "cannot be cut");
	a.kernel[0] = 0;
	refuses(OOO_OP_SPACE_TO_DEPTH, "fp32[1,2,6,10]", 1, "block size (kernel[0]) is 0");
}

static void recurs(void **state)
{
	const char *plain = "fp32[7,2,5] fp32[1,12,5] fp32[1,12,3]";

	(void)state;
	with(OOO_OP_LSTM);
	a.hidden = 3;
	gives(OOO_OP_LSTM, plain, "fp32[7,1,2,3]");
	gives(OOO_OP_LSTM,
	      "fp32[7,2,5] fp32[1,12,5] fp32[1,12,3] fp32[1,24] int32[2] fp32[1,2,3] fp32[1,2,3]"
	      " fp32[1,9]",
	      "fp32[7,1,2,3] fp32[1,2,3] fp32[1,2,3]");
	refuses(OOO_OP_LSTM, "fp32[7,2,5] fp32[1,12,4] fp32[1,12,3]", 1,
		"W is fp32[1,12,4] but must be fp32[1,12,5]");
	refuses(OOO_OP_LSTM, "fp32[7,2,5] fp32[1,12,5] fp32[1,12,3] fp32[1,12]", 1, "B is");
	refuses(OOO_OP_LSTM, "fp32[7,2,5] fp32[1,12,5] fp32[1,12,3] - int64[2]", 1,
		"sequence_lens is int64 but must be int32");
	refuses(OOO_OP_LSTM, "fp32[7,2,5] fp32[1,12,5] fp32[1,12,3] - int32[3]", 1,
		"sequence_lens is int32[3]");
	refuses(OOO_OP_LSTM, "fp32[7,2,5] fp32[1,12,5] fp32[1,12,3] - - fp32[2,2,3]", 1,
		"initial_h is");
	refuses(OOO_OP_LSTM, "fp32[7,5] fp32[1,12,5] fp32[1,12,3]", 1, "X is fp32[7,5]");
	refuses(OOO_OP_LSTM, "fp32[7,2,5] fp32[1,12,5] fp32[1,12,3] fp64[1,24]", 1,
		"not computed in yet");
	refuses(OOO_OP_LSTM, "fp32[0,2,5] fp32[1,12,5] fp32[1,12,3]", 1, "empty");
	a.mode = 2;
	refuses(OOO_OP_LSTM, plain, 1, "must be fp32[2,12,5]");
	gives(OOO_OP_LSTM, "fp32[7,2,5] fp32[2,12,5] fp32[2,12,3]",
	      "fp32[7,2,2,3] fp32[2,2,3] fp32[2,2,3]");
	a.mode = 3;
	refuses(OOO_OP_LSTM, plain, 1, "no mode 3");
	a.mode = 0;
	a.hidden = 0;
	refuses(OOO_OP_LSTM, plain, 1, "hidden is 0");
	a.hidden = 3;
	a.alpha = -1;
	refuses(OOO_OP_LSTM, plain, 1, "cell clip");
	a.alpha = 0;
	a.flags = OOO_ATTR_LINEAR_BEFORE_RESET;
	refuses(OOO_OP_LSTM, plain, 1, "flags");
	with(OOO_OP_GRU);
	a.hidden = 3;
	a.flags = OOO_ATTR_LINEAR_BEFORE_RESET;
	gives(OOO_OP_GRU, "fp32[7,2,5] fp32[1,9,5] fp32[1,9,3] fp32[1,18] - fp32[1,2,3]",
	      "fp32[7,1,2,3] fp32[1,2,3]");
	refuses(OOO_OP_GRU, plain, 1, "W is");
}

static void accepts_each_operator(void **state)
{
	(void)state;
	for (uint32_t op = 0; op < OOO_OP_LIMIT; op++)
		if (op_info(op) && !accepted[op])
			fail_msg("%s has no test that passes", op_info(op)->name);
}

/* ---- anything at all ------------------------------------------------------------------------- */

static uint64_t random_state = 42;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static int64_t odd_number(void)
{
	static const int64_t odd[] = { 0,         1,         2,         3,         4,
				       8,         16,        -1,        -2,        INT32_MAX,
				       INT64_MAX, INT64_MIN, 1ll << 32, 1ll << 33, 5 };
	uint64_t r = next_random();

	return r % 4 ? (int64_t)(r >> 8) % 5 : odd[(r >> 8) % (sizeof(odd) / sizeof(odd[0]))];
}

static void random_attr(uint32_t op)
{
	with(op);
	for (int n = (int)(next_random() % 6); n > 0; n--) {
		int64_t v = odd_number();

		switch (next_random() % 3) {
		case 0: /* any 32-bit field */
			((int32_t *)&a)[next_random() % (sizeof(a) / 4)] = (int32_t)v;
			break;
		case 1:
			(&a.dims[0])[next_random() % (3 * OOO_MAX_RANK)] = v;
			break;
		default:
			a.rank = (int32_t)(next_random() % 5);
			break;
		}
	}
}

static void survives_anything(void **state)
{
	struct shape shapes[8], out[32];
	const struct shape *in[8];
	unsigned passed = 0;

	(void)state;
	for (unsigned i = 0; i < 300000; i++) {
		uint32_t op = (uint32_t)(next_random() % OOO_OP_LIMIT);
		int nr_in = (int)(next_random() % 4), nr_out = 1 + (int)(next_random() % 8 == 0);

		random_attr(op);
		for (int k = 0; k < nr_in; k++) {
			memset(&shapes[k], 0, sizeof(shapes[k]));
			shapes[k].dtype = next_random() % 4 ? OOO_FP32 : next_random() % 11;
			shapes[k].rank = (int32_t)(next_random() % 5);
			for (int d = 0; d < shapes[k].rank; d++)
				shapes[k].dims[d] = odd_number();
			in[k] = next_random() % 16 ? &shapes[k] : NULL;
		}
		why[0] = 0;
		if (op_infer(op, &a, in, nr_in, out, nr_out, why, sizeof(why))) {
			assert_true(strlen(why) > 10);
			continue;
		}
		passed++;
		for (int k = 0; k < nr_out; k++) {
			uint64_t bytes;

			assert_int_equal(shape_bytes(&out[k], &bytes), 0);
			assert_true(bytes <= OOO_MAX_TENSOR_BYTES);
		}
	}
	assert_in_range(passed, 1000, 300000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_names),
		cmocka_unit_test(counts_elements),
		cmocka_unit_test(counts_large),
		cmocka_unit_test(broadcasts),
		cmocka_unit_test(refuses_in_general),
		cmocka_unit_test(convolves),
		cmocka_unit_test(convolves_transposed),
		cmocka_unit_test(pools),
		cmocka_unit_test(multiplies),
		cmocka_unit_test(normalises),
		cmocka_unit_test(reduces),
		cmocka_unit_test(computes_pointwise),
		cmocka_unit_test(computes_unary),
		cmocka_unit_test(joins_and_splits),
		cmocka_unit_test(slices),
		cmocka_unit_test(pads),
		cmocka_unit_test(reshapes),
		cmocka_unit_test(gathers),
		cmocka_unit_test(resizes),
		cmocka_unit_test(moves_depth),
		cmocka_unit_test(recurs),
		cmocka_unit_test(accepts_each_operator),
		cmocka_unit_test(survives_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
