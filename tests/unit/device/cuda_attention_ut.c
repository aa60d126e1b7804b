/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention on the cuda device against double precision: depths around each kernel's, lengths around
 * blocks of queries and keys, every form of mask, types that are converted, operands side by side in
 * one tensor, and queries that see no key.
 */
#include "tests/unit/device/cuda_rig.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum form {
	HEADS_INSIDE,  /* Q, K, V are [B,S,H,D] */
	HEADS_OUTSIDE, /* [B,H,S,D] */
	TOGETHER,      /* one tensor [B,S,3,H,D]; as many keys as queries */
};

enum mask {
	NONE,
	BY_KEY,   /* [B,1,1,K] */
	BY_QUERY, /* [1,1,S,K] */
	FULL,     /* [B,H,S,K] */
};

struct attention_case {
	int batch, heads, queries, keys, depth, value_depth;
	enum form form;
	enum mask mask;
	bool guarded;
};

struct variant {
	uint32_t q, k, v, mask, out; /* types */
	double tolerance;
	struct ct_options o;
};

static const struct variant variants[] = {
	{ OOO_FP32, OOO_FP32, OOO_FP32, OOO_FP32, OOO_FP32, 1e-5, { .items = 3 } },
	{ OOO_FP32, OOO_FP32, OOO_FP32, OOO_FP32, OOO_FP16, 2e-3, { .slots = ~0u } },
	{ OOO_FP16, OOO_FP16, OOO_FP16, OOO_FP32, OOO_FP16, 3e-3, { .precision = OOO_FP16 } },
	{ OOO_FP16, OOO_FP32, OOO_FP16, OOO_FP16, OOO_FP32, 3e-3, { .precision = OOO_FP16 } },
	{ OOO_BF16, OOO_BF16, OOO_BF16, OOO_FP32, OOO_BF16, 3e-2, { .precision = OOO_BF16 } },
	{ OOO_FP32, OOO_FP16, OOO_BF16, OOO_BF16, OOO_FP32, 3e-2, { .precision = OOO_BF16 } },
	{ OOO_FP16, OOO_FP16, OOO_FP16, OOO_FP16, OOO_FP16, 3e-3, { .items = 2 } },
	{ OOO_FP32, OOO_FP16, OOO_FP16, OOO_FP32, OOO_FP32, 1e-5, { .precision = OOO_TF32 } },
};

static uint64_t seed;

static void place_rows(struct attention_at *at, enum form form, int64_t heads, int64_t rows,
		       int64_t columns)
{
	at->row = form == HEADS_OUTSIDE ? columns : heads * columns;
	at->head = form == HEADS_OUTSIDE ? rows * columns : columns;
	at->batch = heads * rows * columns;
}

static void place_operands(struct attention *a, const struct attention_case *c)
{
	int64_t one = (int64_t)c->heads * c->depth;

	place_rows(&a->at[ATTENTION_Q], c->form, c->heads, c->queries, c->depth);
	place_rows(&a->at[ATTENTION_K], c->form, c->heads, c->keys, c->depth);
	place_rows(&a->at[ATTENTION_V], c->form, c->heads, c->keys, c->value_depth);
	place_rows(&a->at[ATTENTION_OUT], c->form, c->heads, c->queries, c->value_depth);
	for (int i = ATTENTION_Q; c->form == TOGETHER && i <= ATTENTION_V; i++)
		a->at[i] =
			(struct attention_at){ i * one, 3 * one * c->queries, c->depth, 3 * one };
	a->at[ATTENTION_MASK].row = c->mask == BY_QUERY || c->mask == FULL ? c->keys : 0;
	if (c->mask == BY_KEY)
		a->at[ATTENTION_MASK].batch = c->keys;
	if (c->mask != FULL)
		return;
	a->at[ATTENTION_MASK].head = (int64_t)c->queries * c->keys;
	a->at[ATTENTION_MASK].batch = (int64_t)c->queries * c->keys * c->heads;
}

/* Most keys are seen; of the first batch's first rows, none, or none of the first 70. */
static void fill_mask(struct kt *k, const struct attention_case *c, uint32_t id)
{
	int64_t n = rig_elems(&k->tensors[id].shape);

	for (int64_t i = 0; i < n; i++) {
		bool hidden = rig_float(&k->seed) < -0.4f;

		if (i < c->keys)
			hidden = c->mask != BY_KEY || i < 70;
		k->v[id][i] = hidden ? -INFINITY : (double)rig_float(&k->seed);
	}
	kt_put(k, id);
}

static void add_operands(struct kt *k, const struct attention_case *c, const struct variant *v)
{
	const uint32_t types[] = { v->q, v->k, v->v };
	const int64_t sizes[] = { (int64_t)c->queries * c->depth, (int64_t)c->keys * c->depth,
				  (int64_t)c->keys * c->value_depth };
	int64_t lines = (int64_t)c->batch * c->heads;
	int64_t mask[] = { c->mask == BY_QUERY ? 1 : c->batch, c->mask == FULL ? c->heads : 1,
			   c->mask == BY_KEY ? 1 : c->queries, c->keys };

	if (c->form == TOGETHER) {
		kt_in(k, v->q, PLAIN, DIMS(c->batch, c->queries, 3, c->heads, c->depth));
		k->in[1] = k->in[2] = k->in[0];
		k->step.nr_in = 3;
	}
	for (int i = 0; c->form != TOGETHER && i < 3; i++)
		kt_in(k, types[i], PLAIN, DIMS(lines, sizes[i]));
	if (c->mask != NONE)
		fill_mask(k, c, kt_in(k, v->mask, PLAIN, 4, mask));
}

/* One query of one head: expected result, all in doubles. */
static void reference_row(struct kt *k, const struct attention_case *c, int64_t b, int64_t h,
			  int64_t i)
{
	const struct attention *a = &k->step.attention;
	const double *v[ATTENTION_OPERANDS] = { 0 };
	double *p = malloc((size_t)c->keys * sizeof(*p)), max = -INFINITY, sum = 0, *out;

	for (int o = 0; o < k->step.nr_in; o++)
		v[o] = k->v[k->in[o]] + a->at[o].start + b * a->at[o].batch + h * a->at[o].head;
	out = k->v[k->out[0]] + b * a->at[ATTENTION_OUT].batch + h * a->at[ATTENTION_OUT].head +
	      i * a->at[ATTENTION_OUT].row;
	for (int64_t j = 0; j < c->keys; j++) {
		p[j] = 0;
		for (int64_t d = 0; d < c->depth; d++)
			p[j] += v[0][i * a->at[0].row + d] * v[1][j * a->at[1].row + d];
		p[j] *= (double)a->scale;
		if (v[ATTENTION_MASK])
			p[j] += v[ATTENTION_MASK][i * a->at[ATTENTION_MASK].row + j];
		max = fmax(max, p[j]);
	}
	for (int64_t j = 0; j < c->keys; j++)
		sum += p[j] = exp(p[j] - max);
	for (int64_t d = 0; d < c->value_depth; d++) {
		out[d] = 0;
		for (int64_t j = 0; j < c->keys && !(c->guarded && isnan(sum)); j++)
			out[d] += p[j] / sum * v[2][j * a->at[2].row + d];
	}
	free(p);
}

static void check(const struct attention_case *c, const struct variant *v)
{
	struct shape out =
		kt_shape(v->out, 2,
			 (int64_t[]){ (int64_t)c->batch * c->queries, c->heads * c->value_depth });
	struct kt k;

	kt_init(&k, OP_ATTENTION, ++seed);
	k.step.klass = CLASS_NORM;
	k.step.attention = (struct attention){
		.batch = c->batch,
		.heads = c->heads,
		.queries = c->queries,
		.keys = c->keys,
		.depth = c->depth,
		.value_depth = c->value_depth,
		.scale = 1 / sqrtf((float)c->depth),
		.zero_unseeing = c->guarded,
	};
	place_operands(&k.step.attention, c);
	add_operands(&k, c, v);
	k.out[0] = kt_tensor(&k, &out, PLAIN);
	k.step.nr_out = 1;
	assert_int_equal(ct_run(&k, &v->o), OOO_OK);
	for (int64_t b = 0; b < c->batch; b++)
		for (int64_t h = 0; h < c->heads; h++)
			for (int64_t i = 0; i < c->queries; i++)
				reference_row(&k, c, b, h, i);
	kt_expect(&k, 0, v->tolerance);
	kt_free(&k);
}

static void test_lengths(void **state)
{
	static const int lengths[] = { 1, 3, 31, 64, 65, 130, 200 };

	(void)state;
	for (size_t i = 0; i < COUNT(lengths) * COUNT(lengths); i++) {
		struct attention_case c = { .batch = 1, .heads = 2, .depth = 64, .value_depth = 64 };

		c.queries = lengths[i % COUNT(lengths)];
		c.keys = lengths[i / COUNT(lengths)];
		c.mask = i % 4;
		check(&c, &variants[i % COUNT(variants)]);
	}
}

static void test_depths(void **state)
{
	static const int depths[] = { 1, 8, 17, 32, 64, 66, 80, 128, 129, 192, 250, 256 };

	(void)state;
	for (size_t i = 0; i < COUNT(depths); i++)
		for (size_t v = 0; v < COUNT(variants); v++) {
			struct attention_case c = { 1, 2, 5, 70, 0, 0, HEADS_INSIDE, BY_KEY, false };

			c.depth = depths[i];
			c.value_depth = depths[v % 2 ? i : (i + 5) % COUNT(depths)];
			check(&c, &variants[v]);
		}
}

static void test_forms(void **state)
{
	(void)state;
	for (int form = HEADS_INSIDE; form <= TOGETHER; form++)
		for (int mask = NONE; mask <= FULL; mask++)
			for (size_t v = 0; v < COUNT(variants); v++) {
				struct attention_case c = { 2, 3, 67, 67, 24, 24, 0, 0, v % 2 };

				c.form = form;
				c.mask = mask;
				check(&c, &variants[v]);
			}
}

/* What is not fused cannot be exact where the sum of many numbers is; bits must not depend on
 * neighbours all the same: the rig compares the items of a bundle. */
static void test_bert(void **state)
{
	static const struct attention_case c = {
		1, 12, 128, 128, 64, 64, HEADS_INSIDE, BY_KEY, true
	};

	(void)state;
	check(&c, &variants[2]);
	check(&c, &variants[0]);
}

static int setup(void **state)
{
	(void)state;
	ct_open();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ct_close();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_depths),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_bert),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
