/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One step of the plain kernels under test: operands of any element type and layout, guard bands
 * around all memory, and the values as plain arrays of doubles for a reference to compute with.
 */
#ifndef OOO_TESTS_CPU_KERNELS_RIG_H
#define OOO_TESTS_CPU_KERNELS_RIG_H

#include "agent/device/cpu/kernels.h"
#include "tests/unit/device/reference.h"
#include "tests/unit/device/small_float.h"

#define KT_IN      8
#define KT_OUT     3
#define KT_TENSORS (KT_IN + KT_OUT + STEP_MAX_POST)
#define KT_GUARD   256 /* bytes before and after every tensor */
#define KT_POISON  0x5a

struct kt {
	struct step step;
	struct tensor tensors[KT_TENSORS];
	uint32_t in[KT_IN], out[KT_OUT], nr;
	char *mem[KT_TENSORS]; /* starts with the guard */
	double *v[KT_TENSORS]; /* in plain order; of outputs: what must come out */
	uint64_t seed;
	bool absent[KT_OUT]; /* nobody reads this output: its address is NULL */
	bool left_out;       /* the runner chose not to run it: nothing is expected */
};

static inline char *kt_data(struct kt *k, uint32_t id)
{
	return k->mem[id] + KT_GUARD;
}

/* Element offset of plain element i in the tensor's own layout. */
static inline size_t kt_offset(const struct tensor *t, int64_t i)
{
	const int64_t *d = t->shape.dims;
	int64_t pixels, p, c, n;

	if (t->layout == LAYOUT_PLAIN)
		return (size_t)i;
	pixels = d[2] * d[3];
	p = i % pixels;
	c = i / pixels % d[1];
	n = i / pixels / d[1];
	if (t->layout == LAYOUT_NHWC)
		return (size_t)((n * pixels + p) * d[1] + c);
	return (size_t)(((n * ((d[1] + 15) / 16) + c / 16) * pixels + p) * 16 + c % 16);
}

static inline bool kt_is_float(uint32_t dtype)
{
	return dtype == OOO_FP32 || dtype == OOO_FP16 || dtype == OOO_BF16;
}

static inline double kt_load(const void *p, uint32_t dtype, size_t i)
{
	switch (dtype) {
	case OOO_FP32:
		return ((const float *)p)[i];
	case OOO_FP64:
		return ((const double *)p)[i];
	case OOO_FP16:
	case OOO_BF16:
		return small_to_double(dtype, ((const uint16_t *)p)[i]);
	case OOO_INT64:
		return (double)((const int64_t *)p)[i];
	case OOO_INT32:
		return ((const int32_t *)p)[i];
	case OOO_INT8:
		return ((const int8_t *)p)[i];
	default:
		return ((const uint8_t *)p)[i];
	}
}

static inline void kt_store(void *p, uint32_t dtype, size_t i, double v)
{
	switch (dtype) {
	case OOO_FP32:
		((float *)p)[i] = (float)v;
		break;
	case OOO_FP64:
		((double *)p)[i] = v;
		break;
	case OOO_FP16:
	case OOO_BF16:
		((uint16_t *)p)[i] = small_from_double(dtype, v);
		break;
	case OOO_INT64:
		((int64_t *)p)[i] = (int64_t)v;
		break;
	case OOO_INT32:
		((int32_t *)p)[i] = (int32_t)v;
		break;
	case OOO_INT8:
		((int8_t *)p)[i] = (int8_t)v;
		break;
	default:
		((uint8_t *)p)[i] = (uint8_t)v;
	}
}

static inline uint32_t kt_tensor(struct kt *k, const struct shape *s, enum layout layout)
{
	struct tensor *t = &k->tensors[k->nr];
	int64_t n = rig_elems(s), memory = n;

	assert_true(k->nr < KT_TENSORS);
	if (layout == LAYOUT_BLOCK16)
		memory = s->dims[0] * ((s->dims[1] + 15) / 16 * 16) * s->dims[2] * s->dims[3];
	*t = (struct tensor){ .shape = *s, .layout = (uint8_t)layout, .alias_of = OOO_NONE };
	t->bytes = (size_t)memory * dtype_bytes(s->dtype);
	k->mem[k->nr] = aligned_alloc(64, (t->bytes + 2 * KT_GUARD + 63) & ~(size_t)63);
	k->v[k->nr] = calloc((size_t)n + 1, sizeof(double));
	assert_non_null(k->mem[k->nr]);
	assert_non_null(k->v[k->nr]);
	memset(k->mem[k->nr], KT_POISON, t->bytes + 2 * KT_GUARD);
	return k->nr++;
}

/* Put v into the tensor's memory; from there back, so that v holds what the type can. */
static inline void kt_put(struct kt *k, uint32_t id)
{
	struct tensor *t = &k->tensors[id];

	memset(kt_data(k, id), 0, t->bytes);
	for (int64_t i = 0; i < rig_elems(&t->shape); i++) {
		kt_store(kt_data(k, id), t->shape.dtype, kt_offset(t, i), k->v[id][i]);
		k->v[id][i] = kt_load(kt_data(k, id), t->shape.dtype, kt_offset(t, i));
	}
}

static inline void kt_fill(struct kt *k, uint32_t id, double low, double high)
{
	const struct shape *s = &k->tensors[id].shape;

	for (int64_t i = 0; i < rig_elems(s); i++) {
		double v = low + (rig_float(&k->seed) + 1) / 2 * (high - low);

		k->v[id][i] = kt_is_float(s->dtype) ? v : floor(v);
	}
	kt_put(k, id);
}

static inline void kt_init(struct kt *k, uint32_t op, uint64_t seed)
{
	memset(k, 0, sizeof(*k));
	k->seed = seed * 0x9e3779b97f4a7c15ull + 1;
	k->step.op = op;
	k->step.in = k->in;
	k->step.out = k->out;
	if (op < OOO_OP_LIMIT) {
		k->step.klass = op_info(op)->klass;
		attr_init(&k->step.attr, op);
	}
}

static inline struct shape kt_shape(uint32_t dtype, int rank, const int64_t *dims)
{
	struct shape s = { .dtype = dtype, .rank = rank };

	if (rank)
		memcpy(s.dims, dims, (size_t)rank * sizeof(*dims));
	return s;
}

#define DIMS(...)                                                                                  \
	(int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), (const int64_t[])             \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}
#define SCALAR 0, NULL

#define PLAIN LAYOUT_PLAIN
#define NHWC  LAYOUT_NHWC

#define FOR_LAYOUTS(L) for (enum layout L = PLAIN; L <= NHWC; L++)

/* A type that half of the fp32 tensors have instead, for devices that compute in several. */
static uint32_t kt_narrow;
static uint64_t kt_narrow_seed = 1;

static inline uint32_t kt_vary(uint32_t dtype)
{
	return kt_narrow && dtype == OOO_FP32 && rig_random(&kt_narrow_seed) >> 32 & 1 ? kt_narrow
										       : dtype;
}

/* The next operand, with random values. */
static inline uint32_t kt_in(struct kt *k, uint32_t dtype, enum layout layout, int rank,
			     const int64_t *dims)
{
	struct shape s = kt_shape(kt_vary(dtype), rank, dims);
	uint32_t id = kt_tensor(k, &s, layout);

	if (dtype == OOO_BOOL)
		kt_fill(k, id, 0, 2);
	else if (dtype == OOO_UINT8)
		kt_fill(k, id, 0, 256);
	else if (kt_is_float(dtype))
		kt_fill(k, id, -2, 2);
	else
		kt_fill(k, id, -100, 100);
	k->in[k->step.nr_in++] = id;
	return id;
}

static inline void kt_absent(struct kt *k)
{
	k->in[k->step.nr_in++] = OOO_NONE;
}

static inline void kt_post(struct kt *k, struct post post, enum layout layout, int rank,
			   const int64_t *dims)
{
	if (post.op == OOO_OP_ADD || post.op == OOO_OP_MUL) {
		struct shape s = kt_shape(kt_vary(OOO_FP32), rank, dims);

		post.operand = kt_tensor(k, &s, layout);
		kt_fill(k, post.operand, -2, 2);
	}
	k->step.post[k->step.nr_post++] = post;
}

/*
 * Outputs as inference says, with results of type dtype where they would be fp32; OP_REORDER has no
 * rule there. Operands may be narrower than inference allows: for it, these are fp32.
 */
static inline void kt_out_as(struct kt *k, int nr, enum layout layout, uint32_t dtype)
{
	const struct shape *in[KT_IN];
	struct shape wide[KT_IN], out[KT_OUT];
	char why[256] = "";

	for (int i = 0; i < k->step.nr_in; i++) {
		in[i] = k->in[i] == OOO_NONE ? NULL : &wide[i];
		if (!in[i])
			continue;
		wide[i] = k->tensors[k->in[i]].shape;
		if (kt_is_float(wide[i].dtype))
			wide[i].dtype = OOO_FP32;
	}
	out[0] = wide[0];
	if (k->step.op < OOO_OP_LIMIT &&
	    op_infer(k->step.op, &k->step.attr, in, k->step.nr_in, out, nr, why, sizeof(why)))
		fail_msg("%s", why);
	for (int i = 0; i < nr; i++) {
		if (out[i].dtype == OOO_FP32)
			out[i].dtype = dtype;
		k->out[i] = kt_tensor(k, &out[i], layout);
	}
	k->step.nr_out = (uint16_t)nr;
}

static inline void kt_out(struct kt *k, int nr, enum layout layout)
{
	kt_out_as(k, nr, layout, kt_vary(OOO_FP32));
}

static inline const char *kt_name(const struct kt *k)
{
	return k->step.op < OOO_OP_LIMIT ? op_info(k->step.op)->name : "Reorder";
}

static inline void kt_free(struct kt *k)
{
	for (uint32_t i = 0; i < k->nr; i++) {
		free(k->mem[i]);
		free(k->v[i]);
	}
}

static inline void kt_guards(struct kt *k)
{
	for (uint32_t id = 0; id < k->nr; id++) {
		const char *behind = kt_data(k, id) + k->tensors[id].bytes;

		for (int i = 0; i < KT_GUARD; i++) {
			if (k->mem[id][i] != KT_POISON || behind[i] != KT_POISON)
				fail_msg("%s: wrote outside tensor %u", kt_name(k), id);
		}
	}
}

/* Run chunks first, first + 1, ... before last, out of nr. The outputs are poisoned before. */
static inline enum ooo_status kt_chunks(struct kt *k, unsigned first, unsigned last, unsigned nr,
					int poison)
{
	void *in[KT_IN], *out[KT_OUT], *post[STEP_MAX_POST];
	size_t bytes = kernel_scratch_bytes(&k->step, k->tensors);
	struct kernel_args a = { &k->step, k->tensors, in, out, post, NULL };
	enum ooo_status status = OOO_OK;

	for (int i = 0; i < k->step.nr_in; i++)
		in[i] = k->in[i] == OOO_NONE ? NULL : kt_data(k, k->in[i]);
	for (int i = 0; i < k->step.nr_out; i++) {
		out[i] = k->absent[i] ? NULL : kt_data(k, k->out[i]);
		memset(kt_data(k, k->out[i]), poison, k->tensors[k->out[i]].bytes);
	}
	for (int i = 0; i < k->step.nr_post; i++) {
		bool binary = k->step.post[i].op == OOO_OP_ADD || k->step.post[i].op == OOO_OP_MUL;

		post[i] = binary ? kt_data(k, k->step.post[i].operand) : NULL;
	}
	/* To the byte, so that a sanitizer sees what lies behind. */
	a.scratch = bytes ? aligned_alloc(64, (bytes + 63) & ~(size_t)63) : NULL;
	for (unsigned i = first; i < last; i++) {
		enum ooo_status s = kernel_run(&a, i, nr);

		if (s != OOO_OK)
			status = s;
	}
	free(a.scratch);
	kt_guards(k);
	return status;
}

/* All outputs' bytes behind each other. */
static inline size_t kt_bits(struct kt *k, unsigned char *to)
{
	size_t n = 0;

	for (int i = 0; i < k->step.nr_out; i++) {
		size_t bytes = k->tensors[k->out[i]].bytes;

		if (to)
			memcpy(to + n, kt_data(k, k->out[i]), bytes);
		n += bytes;
	}
	return n;
}

/*
 * Each chunk alone, over two different poisons: what differs it did not write. Every byte must be
 * written by one chunk, and the same bits as when all run.
 */
static inline void kt_check_parts(struct kt *k, unsigned nr, const unsigned char *whole)
{
	size_t n = kt_bits(k, NULL);
	unsigned char *a = malloc(n + 1), *b = malloc(n + 1), *writers = calloc(1, n + 1);

	for (unsigned c = nr; c-- > 0;) {
		kt_chunks(k, c, c + 1, nr, 0x5a);
		kt_bits(k, a);
		kt_chunks(k, c, c + 1, nr, 0xa5);
		kt_bits(k, b);
		for (size_t i = 0; i < n; i++) {
			if (a[i] == 0x5a && b[i] == 0xa5)
				continue;
			writers[i]++;
			if (a[i] != whole[i] || b[i] != whole[i])
				fail_msg("%s: chunk %u of %u: other bits in byte %zu", kt_name(k),
					 c, nr, i);
		}
	}
	for (size_t i = 0; i < n; i++)
		if (writers[i] != 1)
			fail_msg("%s: byte %zu written by %u of %u chunks", kt_name(k), i,
				 writers[i], nr);
	free(a);
	free(b);
	free(writers);
}

/* Run the step in one chunk and in as many as it wants; outputs and operands must be in order. */
static inline enum ooo_status kt_run_cpu(struct kt *k)
{
	unsigned nr = kernel_chunks(&k->step, k->tensors);
	size_t n = kt_bits(k, NULL);
	unsigned char *whole = malloc(n + 1);
	char *before[KT_TENSORS], why[256] = "";
	enum ooo_status status;

	if (!kernel_supports(&k->step, k->tensors, why, sizeof(why)))
		fail_msg("%s: %s", kt_name(k), why);
	assert_true(nr >= 1 && nr <= 64);
	for (uint32_t i = 0; i < k->nr; i++) {
		before[i] = malloc(k->tensors[i].bytes + 1);
		memcpy(before[i], kt_data(k, i), k->tensors[i].bytes);
	}
	status = kt_chunks(k, 0, 1, 1, KT_POISON);
	kt_bits(k, whole);
	if (nr > 1 && status == OOO_OK)
		kt_check_parts(k, nr, whole);
	kt_chunks(k, 0, nr, nr, 0xa5);
	for (uint32_t i = 0; i < k->nr; i++) {
		bool written = false;

		for (int o = 0; o < k->step.nr_out; o++)
			written = written || k->out[o] == i;
		if (!written && memcmp(before[i], kt_data(k, i), k->tensors[i].bytes))
			fail_msg("%s: operand %u has changed", kt_name(k), i);
		free(before[i]);
	}
	free(whole);
	return status;
}

/* What runs a step; tests of another device put theirs here. */
static enum ooo_status (*kt_runner)(struct kt *k) = kt_run_cpu;

static inline enum ooo_status kt_run(struct kt *k)
{
	return kt_runner(k);
}

static inline bool kt_near(double got, double want, double tolerance)
{
	if (isnan(want) || isnan(got))
		return isnan(want) && isnan(got);
	if (got == want)
		return true;
	return fabs(got - want) <= tolerance * fmax(1, fabs(want));
}

/* Of that size, or of the last digit of a result of that type. */
static inline double kt_tolerance(uint32_t dtype, double tolerance)
{
	return dtype == OOO_FP16   ? fmax(tolerance, 1e-3)
	       : dtype == OOO_BF16 ? fmax(tolerance, 8e-3)
				   : tolerance;
}

/* Beyond what fp16 can hold: infinity, or the largest. */
static inline bool kt_saturated(uint32_t dtype, double got, double want)
{
	return dtype == OOO_FP16 && fabs(want) > 65472 && fabs(got) >= 65472 &&
	       (got > 0) == (want > 0);
}

/* How much further away element i of an output may be, for devices that compute otherwise. */
static double (*kt_slack)(const struct kt *k, int o, int64_t i);

/* How far an output as a whole may be away, relative to it; 0: not looked at. Of a few elements the
 * sums can all happen to cancel: those are judged one by one only. */
static double kt_norm_limit;

#define KT_NORM_ELEMENTS 64

static inline void kt_expect_norm(const struct kt *k, int o, double err, double all)
{
	if (rig_elems(&k->tensors[k->out[o]].shape) < KT_NORM_ELEMENTS)
		return;
	if (kt_norm_limit > 0 && isfinite(err) && !(sqrt(err / all) <= kt_norm_limit))
		fail_msg("%s: output %d is %.3g away from what it should be, more than %.3g",
			 kt_name(k), o, sqrt(err / all), kt_norm_limit);
}

/* Output number o against v. */
static inline void kt_expect(struct kt *k, int o, double tolerance)
{
	const struct tensor *t = &k->tensors[k->out[o]];
	uint32_t dtype = t->shape.dtype;
	double err = 0, all = 1e-30;

	for (int64_t i = 0; !k->left_out && i < rig_elems(&t->shape); i++) {
		double got = kt_load(kt_data(k, k->out[o]), dtype, kt_offset(t, i));
		double want = k->v[k->out[o]][i];

		double slack = kt_slack ? kt_slack(k, o, i) : 0;

		if (!kt_near(got, want, kt_tolerance(dtype, tolerance)) &&
		    !kt_saturated(dtype, got, want) && !(fabs(got - want) <= slack))
			fail_msg("%s: element %lld of output %d is %.9g, not %.9g", kt_name(k),
				 (long long)i, o, got, want);
		err += (got - want) * (got - want);
		all += want * want;
	}
	kt_expect_norm(k, o, err, all);
}

#endif
