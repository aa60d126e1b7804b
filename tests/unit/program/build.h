/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encodes programs in memory by hand, for tests of the compiler. Only for programs that are meant
 * to be right: whoever wants a wrong one changes a field of struct build, or a byte, afterwards.
 */
#ifndef OOO_TESTS_PROGRAM_BUILD_H
#define OOO_TESTS_PROGRAM_BUILD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/abi/program.h"
#include "shared/lib/infer.h"

#define BUILD_MAX 4096

struct build {
	struct ooo_prog_header head;
	struct ooo_prog_tensor tensors[BUILD_MAX];
	struct ooo_prog_op ops[BUILD_MAX];
	uint32_t operands[4 * BUILD_MAX];
	char *data;
	uint64_t random;
};

/* splitmix64 */
static inline uint64_t build_random(struct build *b)
{
	uint64_t z = b->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static inline float build_random_float(struct build *b) /* -1 .. 1 */
{
	return (float)((double)(build_random(b) >> 11) / (double)(1ull << 52) - 1);
}

static inline struct build *build_new(uint64_t seed)
{
	struct build *b = calloc(1, sizeof(*b));

	if (!b)
		abort();
	b->random = seed;
	b->head.magic = OOO_PROG_MAGIC;
	b->head.version = OOO_PROG_VERSION;
	snprintf(b->head.name, sizeof(b->head.name), "test");
	return b;
}

static inline void build_free(struct build *b)
{
	free(b->data);
	free(b);
}

static inline struct shape build_shape(const struct build *b, uint32_t id)
{
	struct shape s = { b->tensors[id].dtype, (int32_t)b->tensors[id].rank, { 0 } };

	memcpy(s.dims, b->tensors[id].dims, sizeof(s.dims));
	return s;
}

static inline uint32_t build_tensor(struct build *b, const struct shape *s, uint32_t role)
{
	struct ooo_prog_tensor *t = &b->tensors[b->head.nr_tensors];

	if (b->head.nr_tensors == BUILD_MAX)
		abort();
	t->dtype = s->dtype;
	t->role = role;
	t->rank = (uint32_t)s->rank;
	memcpy(t->dims, s->dims, sizeof(t->dims));
	return b->head.nr_tensors++;
}

/* Shape of up to four dimensions; a negative one ends it. */
static inline struct shape build_dims(uint32_t dtype, int64_t a, int64_t c, int64_t d, int64_t e)
{
	const int64_t dims[4] = { a, c, d, e };
	struct shape s = { .dtype = dtype };

	while (s.rank < 4 && dims[s.rank] >= 0) {
		s.dims[s.rank] = dims[s.rank];
		s.rank++;
	}
	return s;
}

static inline uint32_t build_input(struct build *b, const struct shape *s)
{
	uint32_t id = build_tensor(b, s, OOO_ROLE_INPUT);

	b->tensors[id].io = b->head.nr_inputs++;
	return id;
}

/* data NULL: random numbers -1 .. 1 (fp32) */
static inline uint32_t build_const(struct build *b, const struct shape *s, const void *data)
{
	uint32_t id = build_tensor(b, s, OOO_ROLE_CONST);
	uint64_t bytes = 0, at = b->head.data_bytes, end;
	char *more;

	if (shape_bytes(s, &bytes))
		abort();
	end = at + (bytes + 63) / 64 * 64;
	more = realloc(b->data, end + 1);
	if (!more)
		abort();
	b->data = more;
	memset(b->data + at, 0, end - at);
	if (data)
		memcpy(b->data + at, data, bytes);
	for (uint64_t i = 0; !data && s->dtype == OOO_FP32 && i < bytes / 4; i++) {
		float f = build_random_float(b);

		memcpy(b->data + at + 4 * i, &f, 4);
	}
	b->head.data_bytes = end;
	b->tensors[id].data_off = at;
	b->tensors[id].data_bytes = bytes;
	return id;
}

static inline uint32_t build_scalar(struct build *b, float value)
{
	struct shape s = { .dtype = OOO_FP32, .rank = 0 };

	return build_const(b, &s, &value);
}

/* Without a check of the operator: out[] are declared as they are inferred, or like in[0]. 0 if inferred. */
static inline int build_op_n(struct build *b, uint32_t op, const struct ooo_attr *attr,
			     const uint32_t *in, int nr_in, uint32_t *out, int nr_out)
{
	struct ooo_prog_op *o = &b->ops[b->head.nr_ops];
	struct shape shapes[256], out_shapes[32];
	const struct shape *ins[256];
	struct ooo_attr neutral;
	char why[256] = "";
	int rc;

	attr_init(&neutral, op);
	o->op = op;
	o->attr = attr ? *attr : neutral;
	o->operands = b->head.nr_operands;
	o->nr_in = (uint16_t)nr_in;
	o->nr_out = (uint16_t)nr_out;
	for (int i = 0; i < nr_in; i++) {
		if (in[i] != OOO_NONE)
			shapes[i] = build_shape(b, in[i]);
		ins[i] = in[i] == OOO_NONE ? NULL : &shapes[i];
	}
	rc = op_infer(op, &o->attr, ins, nr_in, out_shapes, nr_out, why, sizeof(why));
	if (rc) {
		fprintf(stderr, "build: %s\n", why);
		return rc;
	}
	if (b->head.nr_ops + 1 == BUILD_MAX ||
	    b->head.nr_operands + (unsigned)(nr_in + nr_out) > 4 * BUILD_MAX)
		abort();
	for (int i = 0; i < nr_in; i++)
		b->operands[b->head.nr_operands++] = in[i];
	for (int i = 0; i < nr_out; i++) {
		out[i] = build_tensor(b, &out_shapes[i], OOO_ROLE_TEMP);
		b->operands[b->head.nr_operands++] = out[i];
	}
	b->head.nr_ops++;
	return 0;
}

/* One output; aborts if the operator refuses. */
static inline uint32_t build_op(struct build *b, uint32_t op, const struct ooo_attr *attr,
				uint32_t x, uint32_t y, uint32_t z)
{
	const uint32_t in[3] = { x, y, z };
	const struct op_info *info = op_info(op);
	int nr_in = z != OOO_NONE ? 3 : y != OOO_NONE ? 2 : 1;
	uint32_t out;

	if (build_op_n(b, op, attr, in, nr_in > info->min_in ? nr_in : info->min_in, &out, 1))
		abort();
	return out;
}

static inline uint32_t build_op1(struct build *b, uint32_t op, uint32_t x)
{
	return build_op(b, op, NULL, x, OOO_NONE, OOO_NONE);
}

static inline uint32_t build_op2(struct build *b, uint32_t op, uint32_t x, uint32_t y)
{
	return build_op(b, op, NULL, x, y, OOO_NONE);
}

/* A square convolution, stride 1 unless said, padded to keep the size at stride 1. */
static inline uint32_t build_conv(struct build *b, uint32_t x, int64_t channels, int k, int stride,
				  int group, bool bias)
{
	struct shape xs = build_shape(b, x);
	struct shape ws = build_dims(OOO_FP32, channels, xs.dims[1] / group, k, k);
	struct shape bs = build_dims(OOO_FP32, channels, -1, -1, -1);
	struct ooo_attr a;
	uint32_t w = build_const(b, &ws, NULL);

	attr_init(&a, OOO_OP_CONV);
	a.group = group;
	for (int i = 0; i < 2; i++) {
		a.kernel[i] = k;
		a.stride[i] = stride;
		a.pad[i] = k / 2;
		a.pad[i + 2] = k / 2;
	}
	return build_op(b, OOO_OP_CONV, &a, x, w, bias ? build_const(b, &bs, NULL) : OOO_NONE);
}

/* x must be a result. */
static inline void build_output(struct build *b, uint32_t x)
{
	if (b->tensors[x].role != OOO_ROLE_TEMP)
		abort();
	b->tensors[x].role = OOO_ROLE_OUTPUT;
	b->tensors[x].io = b->head.nr_outputs++;
}

/* The encoding, to be freed; 64-byte aligned. */
static inline void *build_encode(struct build *b, uint64_t *bytes)
{
	struct ooo_prog_header *h = &b->head;
	size_t nt = h->nr_tensors * sizeof(b->tensors[0]), no = h->nr_ops * sizeof(b->ops[0]);
	size_t ni = h->nr_operands * sizeof(uint32_t);
	char *p;

	h->tensors_off = sizeof(*h);
	h->ops_off = h->tensors_off + nt;
	h->operands_off = h->ops_off + no;
	h->data_off = (h->operands_off + ni + 63) / 64 * 64;
	h->bytes = h->data_off + h->data_bytes;
	p = aligned_alloc(64, (h->bytes + 63) / 64 * 64);
	if (!p)
		abort();
	memset(p, 0, h->bytes);
	memcpy(p, h, sizeof(*h));
	memcpy(p + h->tensors_off, b->tensors, nt);
	memcpy(p + h->ops_off, b->ops, no);
	memcpy(p + h->operands_off, b->operands, ni);
	if (h->data_bytes)
		memcpy(p + h->data_off, b->data, h->data_bytes);
	*bytes = h->bytes;
	return p;
}

#endif
