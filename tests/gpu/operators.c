/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operators' cases on the cuda device, and what neighbours in a bundle do to them: nothing. A
 * case is run in all precisions, with half of its fp32 tensors narrower where the program's are,
 * and many copies of the step in one bundle.
 */
#include "tests/gpu/check.h"
#include "tests/unit/device/cpu_onednn_cases.h"
#include "tests/unit/device/cuda_rig.h"
#include "tests/unit/device/kernel_cases.h"
#include "tests/unit/device/kernel_nn_cases.h"

#define TINY_ELEMS     3000        /* of all tensors of a step that the emulator runs */
#define MAX_STEP_SIZE  (128 << 20) /* bytes of all copies of a step */
#define MAX_NEIGHBOURS 119         /* kept loaded */

struct operator_case {
	const char *name;
	void (*run)(void **state);
	bool exact;
};

#define CASE(function, exact) { #function, function, exact },
static const struct operator_case functions[] = { KERNEL_CASES(CASE) KERNEL_NN_CASES(CASE) };
#undef CASE

#define NR_FUNCTIONS (sizeof(functions) / sizeof(functions[0]))

static const struct variant {
	const char *name;
	uint8_t precision;
	uint32_t narrow;
} variants[] = {
	{ "fp32", 0, 0 },
	{ "tf32", OOO_TF32, 0 },
	{ "fp16", OOO_FP16, OOO_FP16 },
	{ "bf16", OOO_BF16, OOO_BF16 },
};

/* ---- how near products must come ---------------------------------------------------------------- */

static struct {
	double *v; /* by element of output 0; NULL: only what the type's digits cost */
	double all;
} slack;

static double slack_of(const struct kt *k, int o, int64_t i)
{
	(void)k;
	return slack.v && !o ? slack.v[i] : slack.all;
}

static bool has_type(const struct kt *k, uint32_t dtype)
{
	for (uint32_t i = 0; i < k->nr; i++)
		if (k->tensors[i].shape.dtype == dtype)
			return true;
	return false;
}

/* What a product errs by at most, relative to the sum of its terms' sizes: each of two operands and
 * the result are rounded once, and fp32 sums as well. */
static double product_limit(const struct kt *k)
{
	if (ct.options.precision == OOO_BF16 || has_type(k, OOO_BF16))
		return 3 * 0x1p-8 + 1e-4;
	if (ct.options.precision || has_type(k, OOO_FP16))
		return 3 * 0x1p-11 + 1e-5;
	return 1e-6;
}

static bool is_product(const struct kt *k)
{
	return k->step.klass == CLASS_CONV || k->step.klass == CLASS_MATMUL;
}

/* Products err by a share of the sum of their terms' sizes: the same step on absolute values. */
static void find_slack(const struct kt *k)
{
	double limit = product_limit(k);
	struct kt *abs;
	int64_t n;

	free(slack.v);
	slack.v = NULL;
	slack.all = 0;
	kt_norm_limit = 0;
	if (is_product(k) && !k->step.nr_post)
		kt_norm_limit = fmax(limit * 2 / 3, 1e-5);
	if (k->step.klass == CLASS_RNN)
		slack.all = 20 * limit;
	if (!is_product(k))
		return;
	if (kt_dims(k, 0)->rank < 2 || kt_dims(k, 1)->rank < 2) {
		slack.all = limit * 4 * 60; /* of 60 terms within -2 .. 2 each */
		return;
	}
	abs = kt_clone(k);
	abs->step.attr.alpha = fabsf(abs->step.attr.alpha);
	abs->step.attr.beta = fabsf(abs->step.attr.beta);
	for (int i = 0; i < abs->step.nr_in; i++)
		for (int64_t e = 0; abs->in[i] != OOO_NONE && e < rig_elems(kt_dims(k, i)); e++)
			abs->v[abs->in[i]][e] = fabs(abs->v[abs->in[i]][e]);
	abs->step.nr_post = 0;
	kt_reference(abs);
	n = rig_elems(&k->tensors[k->out[0]].shape);
	slack.v = calloc((size_t)n + 1, sizeof(double));
	for (int64_t i = 0; i < n; i++)
		slack.v[i] = limit * abs->v[abs->out[0]][i];
	for (int p = 0; p < k->step.nr_post; p++) {
		const struct post *post = &k->step.post[p];

		for (int64_t i = 0; i < n && post->op == OOO_OP_MUL; i++)
			slack.v[i] *= 2; /* operands are within -2 .. 2 */
	}
	kt_free(abs);
	free(abs);
}

/* ---- which steps run ---------------------------------------------------------------------------- */

static int64_t step_elems(const struct kt *k)
{
	int64_t n = 0;

	for (uint32_t i = 0; i < k->nr; i++)
		n += rig_elems(&k->tensors[i].shape);
	return n;
}

static size_t step_bytes(const struct kt *k)
{
	size_t n = 0;

	for (uint32_t i = 0; i < k->nr; i++)
		n += k->tensors[i].bytes + 2 * CT_GUARD;
	return n;
}

/* The compiler fuses what has the result's shape, and nothing into rows that are summed over; the
 * plain kernels take more. */
static bool has_foreign_posts(const struct kt *k)
{
	if (k->step.nr_post && (k->step.op == OOO_OP_SOFTMAX || k->step.op == OOO_OP_LAYER_NORM))
		return true;
	for (int i = 0; i < k->step.nr_post; i++) {
		const struct post *p = &k->step.post[i];

		if ((p->op == OOO_OP_ADD || p->op == OOO_OP_MUL) &&
		    rig_elems(&k->tensors[p->operand].shape) !=
			    rig_elems(&k->tensors[k->out[0]].shape))
			return true;
	}
	return false;
}

/* No device but the cpu has blocked layouts; the emulator takes small steps, and not all. */
static bool runs_here(const struct kt *k)
{
	if (has_foreign_posts(k))
		return false;
	/* Their cases look at more than results. */
	if (k->step.op == OOO_OP_CAST || k->step.op == OOO_OP_GATHER)
		return true;
	for (uint32_t i = 0; i < k->nr; i++)
		if (k->tensors[i].layout == LAYOUT_BLOCK16)
			return false;
	if (check_options.tiny && (step_elems(k) > TINY_ELEMS || check_below(4)))
		return false;
	return !check_options.quick || check_options.tiny || !check_below(4);
}

static enum ooo_status leave_out(struct kt *k)
{
	k->left_out = true;
	for (int o = 0; o < k->step.nr_out; o++)
		memset(kt_data(k, k->out[o]), 0, k->tensors[k->out[o]].bytes);
	return OOO_OK;
}

static unsigned random_items(const struct kt *k)
{
	static const unsigned sizes[] = { 1, 2, 7, 16, 60, 120 };
	unsigned n = sizes[check_below(check_options.tiny ? 2 : 6)];

	while (n > 1 && n * step_bytes(k) > MAX_STEP_SIZE)
		n /= 2;
	return n;
}

static struct ct_options random_options(const struct kt *k)
{
	struct ct_options o = ct.options;

	o.items = random_items(k);
	o.lane = (uint16_t)check_below(ct.ops->caps(ct.dev)->nr_lanes);
	/* Now and then where it usually is not. */
	if (!check_below(3))
		o.slots = (uint32_t)check_random();
	if (!check_below(3))
		o.out_slots = (uint32_t)check_random();
	if (!check_below(4))
		o.inputs = (uint32_t)check_random();
	return o;
}

static enum ooo_status run_step(struct kt *k)
{
	struct ct_options o;

	if (!runs_here(k))
		return leave_out(k);
	o = random_options(k);
	find_slack(k);
	check_count("steps", 1);
	check_count("items", o.items);
	return ct_run(k, &o);
}

static void run_function(const void *arg)
{
	const struct operator_case *f = arg;

	f->run(NULL);
}

static bool is_like(const struct rig_shape *s, const struct shape *y)
{
	return s->rank == y->rank && !memcmp(s->dims, y->dims, (size_t)y->rank * sizeof(*y->dims));
}

/* A line of the table of cases that libraries of kernels find hard: larger, and oddly shaped. */
static void run_row(const void *arg)
{
	const struct rig_case *c = arg;
	struct kt k;

	kt_init(&k, c->op, check_random());
	rig_attr(c, &k.step.attr);
	for (int i = 0; i < RIG_MAX_IN && !rig_absent(&c->in[i]); i++)
		kt_in(&k, OOO_FP32, !i && c->x_nhwc ? NHWC : PLAIN, c->in[i].rank, c->in[i].dims);
	kt_out(&k, 1, c->y_nhwc ? NHWC : PLAIN);
	for (int i = 0; i < 2 && c->post[i].op; i++) {
		const struct rig_post *post = &c->post[i];

		if (rig_absent(&post->operand) ||
		    is_like(&post->operand, &k.tensors[k.out[0]].shape))
			kt_post(&k,
				(struct post){ .op = post->op,
					       .alpha = post->alpha,
					       .beta = post->beta,
					       .mode = post->mode },
				c->y_nhwc ? NHWC : PLAIN, post->operand.rank, post->operand.dims);
	}
	kt_check(&k, 2e-5);
}

/* All cases, in all precisions. */
static void run_cases(void)
{
	for (size_t v = 0; v < sizeof(variants) / sizeof(variants[0]); v++) {
		ct.options = (struct ct_options){ .precision = variants[v].precision };
		kt_narrow = variants[v].narrow;
		for (size_t i = 0; i < NR_FUNCTIONS; i++)
			if (!v || !functions[i].exact)
				check_case(run_function, &functions[i], "%s %s", variants[v].name,
					   functions[i].name);
		for (size_t i = 0; i < NR_RIG_CASES; i++)
			check_case(run_row, &rig_cases[i], "%s %s", variants[v].name,
				   rig_cases[i].name);
	}
}

static void open_device(void)
{
	ct_open_with(&check_options.config);
	kt_slack = slack_of;
	kt_narrow_seed = check_random() | 1;
}

static void close_device(void)
{
	ct_close();
	kt_slack = NULL;
	kt_norm_limit = 0;
	kt_narrow = 0;
	free(slack.v);
	slack.v = NULL;
	slack.all = 0;
}

void check_operators(void)
{
	open_device();
	kt_runner = run_step;
	run_cases();
	close_device();
}

/* ---- isolation ---------------------------------------------------------------------------------- */

/*
 * Steps that stay loaded to be the neighbours of others. What one gave alone it must give in every
 * company; one whose data has been made hostile is only there to disturb.
 */
static struct neighbour {
	struct ct_program *program;
	unsigned char *alone; /* its outputs' bytes; NULL: hostile */
} neighbours[MAX_NEIGHBOURS];

static unsigned nr_neighbours;

/* NaN of both kinds, infinities, the largest, the smallest; and huge integers. */
static struct kt *hostile_clone(const struct kt *k)
{
	static const uint32_t words[] = { 0x7fc00000, 0xffa00001, 0x7f800000, 0xff800000,
					  0x7f7fffff, 0xff7fffff, 0x00000001, 0x7f7f7c00 };
	struct kt *h = kt_clone(k);

	for (uint32_t id = 0; id < h->nr; id++) {
		const struct tensor *t = &h->tensors[id];

		/* Truth values are 0 or 1 for whoever writes them. */
		for (size_t i = 0; t->shape.dtype != OOO_BOOL && i + 4 <= t->bytes; i += 4)
			memcpy(kt_data(h, id) + i, &words[check_below(8)], 4);
	}
	return h;
}

static void forget(unsigned i)
{
	ct_free(neighbours[i].program);
	free(neighbours[i].alone);
	neighbours[i] = neighbours[--nr_neighbours];
}

static void keep(struct neighbour n)
{
	if (nr_neighbours == MAX_NEIGHBOURS)
		forget(check_below(nr_neighbours));
	neighbours[nr_neighbours++] = n;
}

static unsigned char *outputs_of(struct ct_program *c)
{
	unsigned char *bits = malloc(kt_bits(c->k, NULL) + 1);

	kt_bits(c->k, bits);
	return bits;
}

static void expect_as_alone(const struct neighbour *n)
{
	unsigned char *bits;

	if (!n->alone)
		return;
	ct_take_outputs(n->program, 0);
	bits = outputs_of(n->program);
	if (memcmp(bits, n->alone, kt_bits(n->program->k, NULL)) != 0)
		fail_msg("%s: other bits in company than alone", kt_name(n->program->k));
	free(bits);
}

static void shuffle(struct neighbour *list, unsigned n)
{
	for (unsigned i = n; i > 1; i--) {
		unsigned k = check_below(i);
		struct neighbour t = list[k];

		list[k] = list[i - 1];
		list[i - 1] = t;
	}
}

/* In a bundle with all neighbours of its class, in any order, on any lane. */
static void run_in_company(const struct neighbour *self)
{
	uint16_t class = ct.ops->step_class(self->program->dp, 0);
	struct neighbour in[MAX_NEIGHBOURS + 1] = { *self };
	struct bundle *b = calloc(1, sizeof(*b));
	unsigned n = 1;

	for (unsigned i = 0; i < nr_neighbours; i++)
		if (ct.ops->step_class(neighbours[i].program->dp, 0) == class)
			in[n++] = neighbours[i];
	shuffle(in, n);
	b->lane = (uint16_t)check_below(ct.ops->caps(ct.dev)->nr_lanes);
	b->nr_items = n;
	for (unsigned i = 0; i < n; i++) {
		b->items[i] = ct_item(in[i].program, 0);
		ct_fill_item(in[i].program, 0);
	}
	ct_submit(b);
	for (unsigned i = 0; i < n; i++)
		expect_as_alone(&in[i]);
	check_count("bundles", 1);
	check_count("items", n);
	free(b);
}

static enum ooo_status run_alone(struct neighbour *self)
{
	struct bundle *b = calloc(1, sizeof(*b));
	enum ooo_status status;

	b->nr_items = 1;
	b->items[0] = ct_item(self->program, 0);
	ct_submit(b);
	status = b->items[0].status;
	free(b);
	ct_take_outputs(self->program, 0);
	self->alone = outputs_of(self->program);
	return status;
}

/* Alone, then beside the same step with hostile data, and whatever has been kept. */
static enum ooo_status run_beside_others(struct kt *k)
{
	struct neighbour self = { 0 }, twin = { 0 };
	struct kt *hostile;
	enum ooo_status status;

	if (!runs_here(k))
		return leave_out(k);
	find_slack(k);
	self.program = ct_program_new(k, &ct.options);
	ct_load(self.program);
	status = run_alone(&self);
	for (int i = 0; i < k->step.nr_out; i++)
		memcpy(kt_data(k, k->out[i]), kt_data(self.program->k, k->out[i]),
		       k->tensors[k->out[i]].bytes);
	hostile = hostile_clone(k);
	twin.program = ct_program_new(hostile, &ct.options);
	kt_free(hostile);
	free(hostile);
	ct_load(twin.program);
	keep(twin);
	run_in_company(&self);
	keep(self);
	return status;
}

void check_isolation(void)
{
	open_device();
	kt_runner = run_beside_others;
	run_cases();
	while (nr_neighbours)
		forget(0);
	close_device();
}
