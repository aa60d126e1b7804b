/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random programs that follow from a seed: image nets, matrices and vectors, with the formulas,
 * chains and copies in them that the compiler looks for.
 */
#ifndef OOO_TESTS_PROGRAM_RANDOM_H
#define OOO_TESTS_PROGRAM_RANDOM_H

#include <math.h>

#include "tests/unit/program/build.h"

#define RANDOM_MAX_LIVE 256

struct random_program {
	struct build *b;
	uint32_t live[RANDOM_MAX_LIVE]; /* tensors that operators may read */
	unsigned nr_live;
};

static inline uint32_t random_below(struct random_program *r, uint32_t n)
{
	return (uint32_t)(build_random(r->b) >> 33) % n;
}

static inline uint32_t random_tensor(struct random_program *r)
{
	return r->live[random_below(r, r->nr_live)];
}

static inline void random_add(struct random_program *r, uint32_t id)
{
	int64_t n = 0;
	struct shape s = build_shape(r->b, id);

	shape_elems(&s, &n);
	if (r->nr_live < RANDOM_MAX_LIVE && n <= 20000)
		r->live[r->nr_live++] = id;
}

/* Another tensor of that shape, or x itself. */
static inline uint32_t random_alike(struct random_program *r, uint32_t x)
{
	struct shape s = build_shape(r->b, x);
	unsigned start = random_below(r, r->nr_live);

	for (unsigned i = 0; i < r->nr_live; i++) {
		uint32_t id = r->live[(start + i) % r->nr_live];
		struct shape other = build_shape(r->b, id);

		if (id != x && shape_equal(&s, &other))
			return id;
	}
	return x;
}

/* A constant with values 0.5 .. 1.5. */
static inline uint32_t random_positive(struct random_program *r, const struct shape *s)
{
	int64_t n = 0;
	float *v;
	uint32_t id;

	shape_elems(s, &n);
	v = malloc((size_t)n * sizeof(*v));
	for (int64_t i = 0; i < n; i++)
		v[i] = 1 + build_random_float(r->b) / 2;
	id = build_const(r->b, s, v);
	free(v);
	return id;
}

static inline uint32_t random_batch_norm(struct random_program *r, uint32_t x)
{
	struct shape s = build_dims(OOO_FP32, build_shape(r->b, x).dims[1], -1, -1, -1);
	uint32_t in[5] = { x }, out;

	for (int i = 1; i < 5; i++)
		in[i] = random_positive(r, &s);
	if (build_op_n(r->b, OOO_OP_BATCH_NORM, NULL, in, 5, &out, 1))
		abort();
	return out;
}

static inline uint32_t random_activation(struct random_program *r, uint32_t x)
{
	static const uint32_t ops[] = {
		OOO_OP_RELU,  OOO_OP_CLIP,         OOO_OP_LEAKY_RELU, OOO_OP_SIGMOID,
		OOO_OP_TANH,  OOO_OP_HARD_SIGMOID, OOO_OP_HARD_SWISH, OOO_OP_GELU,
		OOO_OP_SWISH, OOO_OP_ERF,          OOO_OP_ABS,        OOO_OP_NEG,
		OOO_OP_SIN,   OOO_OP_ELU,          OOO_OP_IDENTITY,
	};
	uint32_t op = ops[random_below(r, sizeof(ops) / sizeof(ops[0]))];
	struct ooo_attr a;

	attr_init(&a, op);
	if (op == OOO_OP_CLIP) {
		a.alpha = -0.5f;
		a.beta = random_below(r, 2) ? INFINITY : 0.75f;
	}
	return build_op(r->b, op, &a, x, OOO_NONE, OOO_NONE);
}

/* x * 0.5 * (1 + erf(x / sqrt(2))), in one of the orders. */
static inline uint32_t random_gelu(struct random_program *r, uint32_t x)
{
	struct build *b = r->b;
	uint32_t half = build_scalar(b, 0.5f), one = build_scalar(b, 1), e;

	if (random_below(r, 2))
		e = build_op2(b, OOO_OP_DIV, x, build_scalar(b, 1.41421356f));
	else
		e = build_op2(b, OOO_OP_MUL, x, build_scalar(b, 0.70710678f));
	e = build_op1(b, OOO_OP_ERF, e);
	e = random_below(r, 2) ? build_op2(b, OOO_OP_ADD, e, one)
			       : build_op2(b, OOO_OP_ADD, one, e);
	switch (random_below(r, 3)) {
	case 0:
		return build_op2(b, OOO_OP_MUL, build_op2(b, OOO_OP_MUL, x, e), half);
	case 1:
		return build_op2(b, OOO_OP_MUL, build_op2(b, OOO_OP_MUL, x, half), e);
	default:
		return build_op2(b, OOO_OP_MUL, x, build_op2(b, OOO_OP_MUL, half, e));
	}
}

static inline uint32_t random_gate(struct random_program *r, uint32_t x)
{
	struct build *b = r->b;
	struct ooo_attr a;
	uint32_t y;

	switch (random_below(r, 3)) {
	case 0:
		y = build_op1(b, OOO_OP_SIGMOID, x);
		return random_below(r, 2) ? build_op2(b, OOO_OP_MUL, x, y)
					  : build_op2(b, OOO_OP_MUL, y, x);
	case 1:
		attr_init(&a, OOO_OP_HARD_SIGMOID);
		a.alpha = 1.0f / 6;
		y = build_op(b, OOO_OP_HARD_SIGMOID, &a, x, OOO_NONE, OOO_NONE);
		return build_op2(b, OOO_OP_MUL, x, y);
	default:
		attr_init(&a, OOO_OP_CLIP);
		a.alpha = 0;
		a.beta = 6;
		y = build_op2(b, OOO_OP_ADD, x, build_scalar(b, 3));
		y = build_op(b, OOO_OP_CLIP, &a, y, OOO_NONE, OOO_NONE);
		if (random_below(r, 2))
			y = build_op2(b, OOO_OP_MUL, x, y);
		return build_op2(b, OOO_OP_DIV, y, build_scalar(b, 6));
	}
}

static inline uint32_t random_reduce(struct random_program *r, uint32_t op, uint32_t x,
				     uint32_t axes, bool keep)
{
	struct ooo_attr a;

	attr_init(&a, op);
	a.axes = axes;
	a.flags = keep ? OOO_ATTR_KEEPDIMS : 0;
	return build_op(r->b, op, &a, x, OOO_NONE, OOO_NONE);
}

/* Over the last axis. */
static inline uint32_t random_layer_norm(struct random_program *r, uint32_t x)
{
	struct build *b = r->b;
	struct shape s = build_shape(b, x), tail;
	uint32_t axes = 1u << (s.rank - 1), d, y;

	tail = build_dims(OOO_FP32, s.dims[s.rank - 1], -1, -1, -1);
	y = random_reduce(r, OOO_OP_REDUCE_MEAN, x, axes, true);
	d = build_op2(b, OOO_OP_SUB, x, y);
	y = random_below(r, 2) ? build_op2(b, OOO_OP_POW, d, build_scalar(b, 2))
			       : build_op2(b, OOO_OP_MUL, d, d);
	y = random_reduce(r, OOO_OP_REDUCE_MEAN, y, axes, true);
	y = build_op2(b, OOO_OP_ADD, y, build_scalar(b, 1e-3f));
	y = build_op1(b, OOO_OP_SQRT, y);
	if (random_below(r, 2))
		d = build_op2(b, OOO_OP_SUB, x,
			      random_reduce(r, OOO_OP_REDUCE_MEAN, x, axes, true));
	y = build_op2(b, OOO_OP_DIV, d, y);
	y = build_op2(b, OOO_OP_MUL, y, random_positive(r, &tail));
	return random_below(r, 3) ? build_op2(b, OOO_OP_ADD, y, build_const(b, &tail, NULL)) : y;
}

static inline uint32_t random_reshape(struct random_program *r, uint32_t x)
{
	struct shape s = build_shape(r->b, x);
	struct ooo_attr a;
	int64_t n = 1;

	for (int i = 1; i < s.rank; i++)
		n *= s.dims[i];
	attr_init(&a, OOO_OP_RESHAPE);
	a.rank = 2;
	a.dims[0] = s.dims[0];
	a.dims[1] = n;
	if (random_below(r, 2)) {
		a.rank = 3;
		a.dims[1] = n % 2 ? 1 : 2;
		a.dims[2] = n / a.dims[1];
	}
	return build_op(r->b, OOO_OP_RESHAPE, &a, x, OOO_NONE, OOO_NONE);
}

static inline uint32_t random_transpose(struct random_program *r, uint32_t x)
{
	struct shape s = build_shape(r->b, x);
	struct ooo_attr a;

	attr_init(&a, OOO_OP_TRANSPOSE);
	for (int i = 0; i < s.rank; i++)
		a.perm[i] = i;
	for (int i = s.rank - 1; i > 0; i--) {
		int k = random_below(r, 2) ? i : (int)random_below(r, (uint32_t)i + 1),
		    t = a.perm[i];

		a.perm[i] = a.perm[k];
		a.perm[k] = t;
	}
	return build_op(r->b, OOO_OP_TRANSPOSE, &a, x, OOO_NONE, OOO_NONE);
}

static inline uint32_t random_pool(struct random_program *r, uint32_t x)
{
	struct shape s = build_shape(r->b, x);
	uint32_t op = random_below(r, 2) ? OOO_OP_MAX_POOL : OOO_OP_AVERAGE_POOL;
	struct ooo_attr a;

	attr_init(&a, op);
	for (int i = 0; i < 2; i++) {
		a.kernel[i] = s.dims[2 + i] > 1 ? 2 : 1;
		a.stride[i] = 1 + (int)random_below(r, 2);
		a.pad[i] = a.kernel[i] > 1 && random_below(r, 2);
	}
	if (op == OOO_OP_AVERAGE_POOL && random_below(r, 2))
		a.flags = OOO_ATTR_COUNT_INCLUDE_PAD;
	return build_op(r->b, op, &a, x, OOO_NONE, OOO_NONE);
}

/* Add, Sub, Mul or Div with a number or a constant by channel (axis counted from the back). */
static inline uint32_t random_affine(struct random_program *r, uint32_t x, int from_back)
{
	static const uint32_t ops[] = { OOO_OP_ADD, OOO_OP_SUB, OOO_OP_MUL, OOO_OP_DIV };
	uint32_t op = ops[random_below(r, 4)], c;
	struct shape s = build_shape(r->b, x), v = { .dtype = OOO_FP32, .rank = from_back };

	for (int i = 0; i < from_back; i++)
		v.dims[i] = i ? 1 : s.dims[s.rank - from_back];
	if (!random_below(r, 4))
		v = (struct shape){ .dtype = OOO_FP32 };
	c = random_positive(r, &v);
	if ((op == OOO_OP_ADD || op == OOO_OP_MUL) && random_below(r, 2))
		return build_op2(r->b, op, c, x);
	return build_op2(r->b, op, x, c);
}

static inline uint32_t random_conv(struct random_program *r, uint32_t x)
{
	static const int64_t channels[] = { 1, 3, 8, 16, 20 };
	struct build *b = r->b;
	struct shape s = build_shape(b, x);
	int64_t out = channels[random_below(r, 5)];
	int k = random_below(r, 2) ? 3 : 1, group = 1;
	struct ooo_attr a;

	if (!random_below(r, 3)) {
		group = s.dims[1] % 2 || random_below(r, 2) ? (int)s.dims[1] : 2;
		out = group == 2 ? 6 : s.dims[1];
	}
	if (random_below(r, 5))
		return build_conv(b, x, out, k, 1 + (int)random_below(r, 2), group,
				  random_below(r, 2));
	attr_init(&a, OOO_OP_CONV_TRANSPOSE);
	a.group = group;
	a.kernel[0] = a.kernel[1] = k;
	a.stride[0] = 1 + (int)random_below(r, 2);
	a.pad[1] = k / 2;
	s = build_dims(OOO_FP32, s.dims[1], out / group, k, k);
	return build_op(b, OOO_OP_CONV_TRANSPOSE, &a, x, build_const(b, &s, NULL), OOO_NONE);
}

/* The 1-d form, with an affine step behind it. */
static inline uint32_t random_conv_1d(struct random_program *r, uint32_t x)
{
	struct build *b = r->b;
	struct shape s = build_shape(b, x), w = build_dims(OOO_FP32, 4, s.dims[1], 1, -1);
	struct ooo_attr a;

	attr_init(&a, OOO_OP_CONV);
	if (s.dims[2] > 1) {
		w.dims[2] = 2;
		a.kernel[1] = 2;
		a.pad[3] = (int)random_below(r, 2);
	}
	x = build_op(b, OOO_OP_CONV, &a, x, build_const(b, &w, NULL), OOO_NONE);
	return random_below(r, 2) ? random_batch_norm(r, x) : x;
}

static inline uint32_t random_pad(struct random_program *r, uint32_t x)
{
	struct shape s = build_shape(r->b, x);
	struct ooo_attr a;

	attr_init(&a, OOO_OP_PAD);
	a.rank = s.rank;
	for (int i = 0; i < s.rank; i++) {
		a.start[i] = i > 1 ? random_below(r, 2) : 0;
		a.dims[i] = s.dims[i] + a.start[i] + (i > 1 ? random_below(r, 2) : 0);
	}
	return build_op(r->b, OOO_OP_PAD, &a, x, OOO_NONE, OOO_NONE);
}

static inline uint32_t random_resize(struct random_program *r, uint32_t x)
{
	struct shape s = build_shape(r->b, x);
	struct ooo_attr a;

	attr_init(&a, OOO_OP_RESIZE);
	a.rank = s.rank;
	a.coord = OOO_COORD_ASYMMETRIC;
	a.nearest_mode = OOO_NEAREST_FLOOR;
	for (int i = 0; i < s.rank; i++)
		a.dims[i] = i > 1 ? 2 * s.dims[i] : s.dims[i];
	return build_op(r->b, OOO_OP_RESIZE, &a, x, OOO_NONE, OOO_NONE);
}

/* The channels weighed by what a small net makes of their means. */
static inline uint32_t random_squeeze(struct random_program *r, uint32_t x)
{
	struct build *b = r->b;
	uint32_t y = build_op1(b, OOO_OP_GLOBAL_AVERAGE_POOL, x);

	if (random_below(r, 2))
		y = build_conv(b, y, build_shape(b, x).dims[1], 1, 1, 1, true);
	return build_op2(b, OOO_OP_MUL, x, build_op1(b, OOO_OP_SIGMOID, y));
}

static inline uint32_t random_concat(struct random_program *r, uint32_t x, int axis)
{
	uint32_t in[2] = { x, random_alike(r, x) };
	struct ooo_attr a;

	attr_init(&a, OOO_OP_CONCAT);
	a.axis = axis;
	return build_op(r->b, OOO_OP_CONCAT, &a, in[0], random_below(r, 4) ? in[1] : OOO_NONE,
			OOO_NONE);
}

/* Both halves become live; returns one. */
static inline uint32_t random_split(struct random_program *r, uint32_t x, int axis)
{
	struct ooo_attr a;
	uint32_t out[2];
	int n = build_shape(r->b, x).dims[axis] % 2 ? 1 : 2;

	attr_init(&a, OOO_OP_SPLIT);
	a.axis = axis;
	if (build_op_n(r->b, OOO_OP_SPLIT, &a, &x, 1, out, n))
		abort();
	if (n > 1 && random_below(r, 2))
		random_add(r, out[1]);
	return out[0];
}

static inline uint32_t random_slice(struct random_program *r, uint32_t x)
{
	struct shape s = build_shape(r->b, x);
	struct ooo_attr a;

	attr_init(&a, OOO_OP_SLICE);
	a.rank = s.rank;
	for (int i = 0; i < s.rank; i++) {
		a.dims[i] = s.dims[i];
		if (i && s.dims[i] > 1 && random_below(r, 2)) {
			a.dims[i] = s.dims[i] / 2;
			a.start[i] = random_below(r, 2) ? 1 : a.dims[i] - 1;
			a.step[i] = a.start[i] == a.dims[i] - 1 ? -1 : 1;
		}
	}
	return build_op(r->b, OOO_OP_SLICE, &a, x, OOO_NONE, OOO_NONE);
}

static inline uint32_t random_matmul(struct random_program *r, uint32_t x)
{
	struct build *b = r->b;
	struct shape s = build_shape(b, x), w, v;
	int64_t k = s.dims[s.rank - 1], n = 1 + random_below(r, 12);
	bool trans = random_below(r, 2);
	uint32_t bias = OOO_NONE;
	struct ooo_attr a;

	attr_init(&a, OOO_OP_MATMUL);
	a.alpha = random_below(r, 2) ? 1 : 0.5f;
	a.beta = random_below(r, 2) ? 1 : 2;
	a.flags = trans ? OOO_ATTR_TRANS_B : 0;
	w = build_dims(OOO_FP32, trans ? n : k, trans ? k : n, -1, -1);
	v = build_dims(OOO_FP32, n, -1, -1, -1);
	if (random_below(r, 2))
		bias = build_const(b, &v, NULL);
	return build_op(b, OOO_OP_MATMUL, &a, x, build_const(b, &w, NULL), bias);
}

/* Of what products make of x, or x itself, one times the other's transposition. */
static inline uint32_t random_attention(struct random_program *r, uint32_t x)
{
	struct build *b = r->b;
	struct shape s = build_shape(b, x), w;
	struct ooo_attr a;
	uint32_t y, q = x;

	if (random_below(r, 2)) {
		q = random_matmul(r, x);
		w = build_dims(OOO_FP32, s.dims[s.rank - 1], build_shape(b, q).dims[s.rank - 1], -1,
			       -1);
		x = build_op2(b, OOO_OP_MATMUL, x, build_const(b, &w, NULL));
		if (random_below(r, 3) == 0)
			q = build_op2(b, OOO_OP_MUL, build_scalar(b, 0.5f), q);
	}

	attr_init(&a, OOO_OP_TRANSPOSE);
	for (int i = 0; i < s.rank; i++)
		a.perm[i] = i;
	a.perm[s.rank - 1] = s.rank - 2;
	a.perm[s.rank - 2] = s.rank - 1;
	y = build_op(b, OOO_OP_TRANSPOSE, &a, x, OOO_NONE, OOO_NONE);
	y = build_op2(b, OOO_OP_MATMUL, q, y);
	y = build_op2(b, OOO_OP_DIV, y, build_scalar(b, 8));
	attr_init(&a, OOO_OP_SOFTMAX);
	a.axis = s.rank - 1;
	/* keeps the numbers small: its rows have a sum of 1 */
	return build_op(b, OOO_OP_SOFTMAX, &a, build_op1(b, OOO_OP_TANH, y), OOO_NONE, OOO_NONE);
}

static inline uint32_t random_any(struct random_program *r, uint32_t x)
{
	struct shape s = build_shape(r->b, x);

	switch (random_below(r, 9)) {
	case 0:
	case 1:
		return random_activation(r, x);
	case 2:
		return build_op2(r->b, random_below(r, 2) ? OOO_OP_ADD : OOO_OP_MUL, x,
				 random_alike(r, x));
	case 3:
		return random_gelu(r, x);
	case 4:
		return random_gate(r, x);
	case 5:
		return random_reshape(r, x);
	case 6:
		return random_transpose(r, x);
	case 7:
		return random_slice(r, x);
	default:
		return random_affine(r, x, s.rank > 2 && random_below(r, 2) ? s.rank - 1 : 1);
	}
}

static inline uint32_t random_image_op(struct random_program *r, uint32_t x)
{
	switch (random_below(r, 18)) {
	case 0:
	case 1:
	case 2:
	case 3:
		return random_conv(r, x);
	case 4:
		return random_batch_norm(r, x);
	case 5:
		return random_batch_norm(r, random_conv(r, x));
	case 6:
		return random_pool(r, x);
	case 7:
		return build_op1(r->b, OOO_OP_GLOBAL_AVERAGE_POOL, x);
	case 8:
		return random_reduce(r, random_below(r, 2) ? OOO_OP_REDUCE_MEAN : OOO_OP_REDUCE_MAX,
				     x, 0xc, random_below(r, 2));
	case 9:
		return random_squeeze(r, x);
	case 10:
		return random_concat(r, x, 1);
	case 11:
		return random_split(r, x, 1);
	case 12:
		return random_conv(r, random_pad(r, x));
	case 13:
		return random_resize(r, x);
	case 14:
		return random_affine(r, random_conv(r, x), 3);
	default:
		return random_any(r, x);
	}
}

static inline uint32_t random_matrix_op(struct random_program *r, uint32_t x)
{
	struct shape s = build_shape(r->b, x);

	switch (random_below(r, 10)) {
	case 0:
	case 1:
		return random_matmul(r, x);
	case 2:
		return random_layer_norm(r, x);
	case 3:
		return random_attention(r, x);
	case 4:
		return random_affine(r, random_matmul(r, x), 1);
	case 5:
		return random_concat(r, x, s.rank - 1);
	case 6:
		return random_split(r, x, s.rank - 1);
	case 7:
		return s.rank == 3 ? random_conv_1d(r, x) : random_activation(r, x);
	default:
		return random_any(r, x);
	}
}

static inline uint32_t random_op(struct random_program *r, uint32_t x)
{
	int rank = build_shape(r->b, x).rank;

	return rank == 4   ? random_image_op(r, x)
	       : rank >= 2 ? random_matrix_op(r, x)
			   : random_activation(r, x);
}

/* Every operator's result that nobody reads is an output, and a few others. */
static inline void random_outputs(struct random_program *r)
{
	struct build *b = r->b;
	char *read = calloc(b->head.nr_tensors + 1, 1);

	for (uint32_t i = 0; i < b->head.nr_ops; i++)
		for (unsigned k = 0; k < b->ops[i].nr_in; k++)
			if (b->operands[b->ops[i].operands + k] != OOO_NONE)
				read[b->operands[b->ops[i].operands + k]] = 1;
	for (uint32_t t = b->head.nr_tensors; t-- > 0;) {
		bool want = !read[t] ? random_below(r, 8) : !random_below(r, 12);

		if (b->tensors[t].role == OOO_ROLE_TEMP && b->head.nr_outputs < 32 &&
		    (want || !b->head.nr_outputs))
			build_output(b, t);
	}
	free(read);
}

static inline struct build *random_program(uint64_t seed, unsigned nr_ops)
{
	struct random_program r = { .b = build_new(seed) };
	struct shape s;

	s = build_dims(OOO_FP32, 1 + random_below(&r, 2), 1 + random_below(&r, 5),
		       1 + random_below(&r, 6), 1 + random_below(&r, 6));
	random_add(&r, build_input(r.b, &s));
	if (random_below(&r, 2)) {
		s = build_dims(OOO_FP32, 2, 1 + random_below(&r, 3), 6, -1);
		random_add(&r, build_input(r.b, &s));
	}
	if (!random_below(&r, 3)) /* something to fold */
		random_add(&r, build_const(r.b, &s, NULL));
	for (unsigned i = 0; i < nr_ops; i++) {
		/* The newest is the likeliest to go on with: chains. */
		uint32_t x = random_below(&r, 3) ? r.live[r.nr_live - 1] : random_tensor(&r);

		random_add(&r, random_op(&r, x));
	}
	random_outputs(&r);
	return r.b;
}

#endif
