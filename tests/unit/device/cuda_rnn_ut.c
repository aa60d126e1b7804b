/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LSTM and GRU on the cuda device against double precision, with sizes around those of tiles, rows
 * of weights that are packed and such that are read as they are, and every optional operand.
 */
#include "tests/unit/device/cuda_rig.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct rnn_size {
	int steps, batch, input, hidden;
};

struct rnn_case {
	bool lstm, peephole, sequences, initial, bias;
	int mode;
	uint32_t flags;
	float clip;
};

struct variant {
	uint32_t in, out;
	double tolerance;
	struct ct_options o;
};

static const struct rnn_case cases[] = {
	{ .lstm = true },
	{ .lstm = true, .bias = true, .initial = true, .peephole = true, .mode = 2 },
	{ .lstm = true, .bias = true, .sequences = true, .mode = 1, .clip = 0.5f },
	{ .lstm = true,
	  .initial = true,
	  .mode = 2,
	  .sequences = true,
	  .flags = OOO_ATTR_INPUT_FORGET },
	{ .bias = true },
	{ .bias = true, .initial = true, .mode = 2, .flags = OOO_ATTR_LINEAR_BEFORE_RESET },
	{ .bias = true, .sequences = true, .mode = 1, .clip = 0.5f },
	{ .sequences = true, .initial = true, .mode = 2 },
};

static const struct variant variants[] = {
	{ OOO_FP32, OOO_FP32, 2e-5, { .items = 3 } },
	{ OOO_FP32, OOO_FP32, 2e-5, { .inputs = ~0u, .slots = ~0u, .out_slots = ~0u } },
	{ OOO_FP16, OOO_FP16, 1e-2, { .precision = OOO_FP16 } },
	{ OOO_FP32, OOO_FP32, 1e-2, { .precision = OOO_FP16 } },
	{ OOO_FP32, OOO_BF16, 8e-2, { .precision = OOO_BF16 } },
	{ OOO_FP32, OOO_FP32, 2e-5, { .precision = OOO_TF32, .items = 2 } },
};

/* A layer that is computed in doubles. */
struct layer {
	struct kt *k;
	const struct rnn_case *c;
	struct rnn_size s;
	int gates, dirs;
	double *h, *c0, *fresh; /* of one sequence */
};

static uint64_t seed;

static double limit(double v, double clip)
{
	return clip > 0 ? fmin(fmax(v, -clip), clip) : v;
}

static double sigma(double v)
{
	return 1 / (1 + exp(-v));
}

/* Gate g of unit j before its activation: W v + Wb, or R v + Rb. */
static double gate(const struct layer *l, int dir, int g, int j, const double *v, bool recurrent)
{
	int width = recurrent ? l->s.hidden : l->s.input;
	const struct kt *k = l->k;
	const double *m = k->v[k->in[recurrent ? 2 : 1]] +
			  (size_t)((dir * l->gates + g) * l->s.hidden + j) * (size_t)width;
	double sum = 0;

	for (int i = 0; i < width; i++)
		sum += m[i] * v[i];
	if (k->in[3] != OOO_NONE)
		sum += k->v[k->in[3]][((dir * 2 + recurrent) * l->gates + g) * l->s.hidden + j];
	return sum;
}

static double lstm_unit(const struct layer *l, int dir, int j, const double *x)
{
	double a[4], p[3] = { 0 }, *c = &l->c0[j], clip = (double)l->c->clip;

	for (int g = 0; g < 4; g++)
		a[g] = gate(l, dir, g, j, x, false) + gate(l, dir, g, j, l->h, true);
	for (int g = 0; g < 3 && l->c->peephole; g++)
		p[g] = l->k->v[l->k->in[7]][(dir * 3 + g) * l->s.hidden + j];
	a[0] = sigma(limit(a[0] + p[0] * *c, clip));
	a[2] = l->c->flags & OOO_ATTR_INPUT_FORGET ? 1 - a[0]
						   : sigma(limit(a[2] + p[2] * *c, clip));
	*c = a[2] * *c + a[0] * tanh(limit(a[3], clip));
	return sigma(limit(a[1] + p[1] * *c, clip)) * tanh(*c);
}

/* gated: reset gate * h of all units. */
static double gru_unit(const struct layer *l, int dir, int j, const double *x, const double *gated)
{
	double clip = (double)l->c->clip, linear, reset;
	double z = gate(l, dir, 0, j, x, false) + gate(l, dir, 0, j, l->h, true);

	z = sigma(limit(z, clip));
	reset = gate(l, dir, 1, j, x, false) + gate(l, dir, 1, j, l->h, true);
	reset = sigma(limit(reset, clip));
	linear = l->c->flags & OOO_ATTR_LINEAR_BEFORE_RESET ? reset * gate(l, dir, 2, j, l->h, true)
							    : gate(l, dir, 2, j, gated, true);
	linear = tanh(limit(gate(l, dir, 2, j, x, false) + linear, clip));
	return (1 - z) * linear + z * l->h[j];
}

static void time_step(const struct layer *l, int dir, const double *x)
{
	double *gated = calloc((size_t)l->s.hidden, sizeof(*gated));

	for (int i = 0; !l->c->lstm && i < l->s.hidden; i++)
		gated[i] =
			l->h[i] *
			sigma(limit(gate(l, dir, 1, i, x, false) + gate(l, dir, 1, i, l->h, true),
				    (double)l->c->clip));
	for (int j = 0; j < l->s.hidden; j++)
		l->fresh[j] = l->c->lstm ? lstm_unit(l, dir, j, x) : gru_unit(l, dir, j, x, gated);
	memcpy(l->h, l->fresh, (size_t)l->s.hidden * sizeof(*l->h));
	free(gated);
}

static void run_sequence(const struct layer *l, int dir, int b)
{
	const struct rnn_size *s = &l->s;
	struct kt *k = l->k;
	int length = s->steps, line = dir * s->batch + b, H = s->hidden;
	size_t bytes = (size_t)H * sizeof(double);

	if (l->c->sequences)
		length = (int)fmin(fmax(k->v[k->in[4]][b], 0), s->steps);
	memset(l->h, 0, bytes);
	memset(l->c0, 0, bytes);
	if (l->c->initial)
		memcpy(l->h, k->v[k->in[5]] + line * H, bytes);
	if (l->c->initial && l->c->lstm)
		memcpy(l->c0, k->v[k->in[6]] + line * H, bytes);
	for (int i = 0; i < s->steps; i++) {
		bool backwards = l->c->mode == 1 || dir == 1, behind = i >= length;
		int t = backwards && !behind ? length - 1 - i : i;
		double *y = k->v[k->out[0]] + ((t * l->dirs + dir) * s->batch + b) * H;

		memset(y, 0, bytes);
		if (behind)
			continue;
		time_step(l, dir, k->v[k->in[0]] + (t * s->batch + b) * s->input);
		memcpy(y, l->h, bytes);
	}
	memcpy(k->v[k->out[1]] + line * H, l->h, bytes);
	if (l->c->lstm)
		memcpy(k->v[k->out[2]] + line * H, l->c0, bytes);
}

static void reference(struct kt *k, const struct rnn_case *c, const struct rnn_size *s)
{
	struct layer l = { k, c, *s, c->lstm ? 4 : 3, c->mode == 2 ? 2 : 1, NULL, NULL, NULL };

	l.h = calloc(3 * (size_t)s->hidden, sizeof(double));
	l.c0 = l.h + s->hidden;
	l.fresh = l.c0 + s->hidden;
	for (int dir = 0; dir < l.dirs; dir++)
		for (int b = 0; b < s->batch; b++)
			run_sequence(&l, dir, b);
	free(l.h);
}

/* Weights are small enough that gates do not all saturate. */
static void weights(struct kt *k, uint32_t dtype, int rank, const int64_t *dims)
{
	double range = 2 / sqrt((double)dims[rank - 1]);

	kt_fill(k, kt_in(k, dtype, PLAIN, rank, dims), -range, range);
}

static void operands(struct kt *k, const struct rnn_case *c, const struct rnn_size *s,
		     uint32_t dtype)
{
	int64_t dirs = c->mode == 2 ? 2 : 1, rows = (c->lstm ? 4 : 3) * s->hidden;

	kt_in(k, dtype, PLAIN, DIMS(s->steps, s->batch, s->input));
	weights(k, OOO_FP32, DIMS(dirs, rows, s->input));
	weights(k, OOO_FP32, DIMS(dirs, rows, s->hidden));
	if (c->bias)
		kt_in(k, OOO_FP32, PLAIN, DIMS(dirs, 2 * rows));
	else
		kt_absent(k);
	if (c->sequences) {
		uint32_t id = kt_in(k, OOO_INT32, PLAIN, DIMS(s->batch));

		/* Lengths are the tenant's: any number may stand there. */
		for (int b = 0; b < s->batch; b++)
			k->v[id][b] = b == 1 ? -2 : b == 2 ? 1e9 : s->steps - 1;
		kt_put(k, id);
	} else {
		kt_absent(k);
	}
	for (int i = 5; i < (c->lstm ? 7 : 6); i++) {
		if (c->initial)
			kt_in(k, dtype, PLAIN, DIMS(dirs, s->batch, s->hidden));
		else
			kt_absent(k);
	}
	if (c->peephole)
		kt_in(k, OOO_FP32, PLAIN, DIMS(dirs, 3 * s->hidden));
}

static void check(const struct rnn_case *c, const struct rnn_size *s, const struct variant *v)
{
	int nr = c->lstm ? 3 : 2;
	struct kt k;

	kt_init(&k, c->lstm ? OOO_OP_LSTM : OOO_OP_GRU, ++seed);
	k.step.attr.hidden = s->hidden;
	k.step.attr.mode = c->mode;
	k.step.attr.flags = c->flags;
	k.step.attr.alpha = c->clip;
	operands(&k, c, s, v->in);
	kt_out_as(&k, nr, PLAIN, v->out);
	/* Every third time the last result alone is wanted. */
	for (int o = 0; seed % 3 == 0 && o < nr - 1; o++)
		k.absent[o] = true;
	assert_int_equal(ct_run(&k, &v->o), OOO_OK);
	reference(&k, c, s);
	for (int o = 0; o < nr; o++)
		if (!k.absent[o])
			kt_expect(&k, o, v->tolerance);
	kt_free(&k);
}

static void test_cases(void **state)
{
	static const struct rnn_size sizes[] = { { 4, 3, 5, 7 }, { 3, 5, 8, 16 } };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		for (size_t s = 0; s < COUNT(sizes); s++)
			for (size_t v = 0; v < COUNT(variants); v++)
				check(&cases[i], &sizes[s], &variants[v]);
}

static void test_sizes(void **state)
{
	static const struct rnn_size sizes[] = {
		{ 1, 1, 1, 1 },    { 5, 1, 64, 8 },   { 2, 1, 65, 9 },   { 70, 1, 3, 24 },
		{ 3, 4, 130, 33 }, { 2, 9, 16, 264 }, { 2, 1, 40, 520 }, { 1, 70, 72, 17 },
	};
	size_t n = 0;

	(void)state;
	for (size_t s = 0; s < COUNT(sizes); s++)
		for (size_t v = 0; v < COUNT(variants); v++)
			check(&cases[n++ * 3 % COUNT(cases)], &sizes[s], &variants[v]);
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
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
