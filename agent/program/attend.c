/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scaled dot-product attention, as exporters write it, becomes one step:
 *
 *	scores = Q K^T, a factor before or after it   (MatMul, Mul, Div; alpha)
 *	scores = scores + mask                        (Add, or the product's own bias)
 *	p = Softmax(scores)                           [p = Where(p is NaN, 0, p)]
 *	out = p V
 *
 * The scores are never stored then. Reshapes may stand between these; transpositions, splits and
 * slices in front of Q, K, V and mask, and a transposition behind the result, become strides with
 * which the step reads and writes. Any other reader of the scores or of p prevents it all.
 */
#include <math.h>
#include <string.h>

#include "agent/device/device.h"
#include "agent/program/view.h"

#define MAX_MOVES 16         /* steps between a product and the tensor that it reads */
#define MAX_ELEMS 0x7fffffff /* of a tensor: kernels count in 32 bits */

/* A matrix operand, or the mask: the last two axes are rows and columns. */
struct source {
	uint32_t tensor;
	struct view view;
	float scale;
};

struct match {
	struct step *product, *softmax; /* p V; softmax of the scores */
	struct shape scores;            /* as Softmax and p V see them */
	struct source q, k, v, mask;    /* no mask: tensor OOO_NONE */
	struct view out;
	uint32_t out_tensor;
	double scale;
	bool guarded;
};

/* Axes over which all operands go, the innermost first: head, batch. */
struct batch {
	int nr;
	int64_t dim[2], stride[2][ATTENTION_OPERANDS];
};

static struct step *writer_of(const struct graph *g, uint32_t id)
{
	uint32_t w = id == OOO_NONE ? OOO_NONE : g->writer[id];

	return w == OOO_NONE || g->p->steps[w].op == STEP_DEAD ? NULL : &g->p->steps[w];
}

/* The step that writes id, if it is of that kind and id has that many readers. */
static struct step *only(const struct graph *g, uint32_t id, uint32_t op, uint32_t uses)
{
	struct step *s = writer_of(g, id);

	return s && s->op == op && !s->nr_post && g->nr_uses[id] == uses ? s : NULL;
}

static const struct shape *shape_of(const struct graph *g, uint32_t id)
{
	return &g->p->tensors[id].shape;
}

/* The step multiplies operand *x by that number. */
static bool is_factor(const struct graph *g, const struct step *s, unsigned *x, double *factor)
{
	float number;

	if ((s->op != OOO_OP_MUL && s->op != OOO_OP_DIV) || s->nr_post)
		return false;
	for (*x = 0; *x < 2; ++*x) {
		if ((s->op == OOO_OP_DIV && *x) || !const_scalar(g->p, s->in[!*x], &number) ||
		    !shape_equal(shape_of(g, s->in[*x]), shape_of(g, s->out[0])))
			continue;
		*factor = s->op == OOO_OP_MUL ? (double)number : 1 / (double)number;
		return true;
	}
	return false;
}

/* ---- where operands lie ---------------------------------------------------------------------- */

static bool columns_are_neighbours(const struct view *v, bool transposed)
{
	int column = v->rank - (transposed ? 2 : 1);
	int64_t stride;

	return view_stride(v, column, &stride) && (stride == 1 || view_length(v, column) == 1);
}

/* See through moves, and factors unless it is a mask, to the farthest tensor that has neighbours as
 * columns. transposed: columns are the last axis but one. */
static bool find_source(const struct graph *g, uint32_t id, bool transposed, bool factors,
			struct source *src)
{
	struct {
		const struct step *step;
		uint32_t in, out;
		double factor;
	} chain[MAX_MOVES];
	int n = 0;

	for (uint32_t at = id; n < MAX_MOVES; at = chain[n++].in) {
		const struct step *s = writer_of(g, at);
		double factor = 1;
		unsigned x = 0;

		if (!s || (!view_is_move(g->p, s) && !(factors && is_factor(g, s, &x, &factor))))
			break;
		chain[n].step = s;
		chain[n].in = s->in[x];
		chain[n].out = at;
		chain[n].factor = factor;
	}
	for (; n >= 0; n--) {
		double scale = 1;
		bool even = true;

		src->tensor = n ? chain[n - 1].in : id;
		view_whole(&src->view, shape_of(g, src->tensor));
		for (int k = n - 1; k >= 0 && even; k--) {
			even = view_step(&src->view, g->p, chain[k].step, chain[k].out);
			scale *= chain[k].factor;
		}
		src->scale = (float)scale;
		if (even && columns_are_neighbours(&src->view, transposed))
			return true;
	}
	return false;
}

static void swap_last(struct view *v)
{
	int32_t perm[OOO_MAX_RANK];

	for (int i = 0; i < v->rank; i++)
		perm[i] = i;
	perm[v->rank - 2] = v->rank - 1;
	perm[v->rank - 1] = v->rank - 2;
	view_permute(v, perm);
}

/* Operand k of a matrix product, a row of the view being a row of Q, K or V. */
static bool find_matrix(const struct graph *g, const struct step *product, unsigned k, bool swap,
			struct source *src)
{
	uint32_t id = product->in[k];

	if (shape_of(g, id)->rank < 2 || !find_source(g, id, swap, true, src))
		return false;
	if (swap)
		swap_last(&src->view);
	return true;
}

/* The view's axes in front become the product's, and then those of `scores`. */
static bool fit_batch(struct view *v, const struct shape *product, const struct shape *scores)
{
	int64_t dims[OOO_MAX_RANK], rows = view_length(v, v->rank - 2);
	int64_t columns = view_length(v, v->rank - 1);

	memcpy(dims, product->dims, sizeof(dims));
	dims[product->rank - 2] = rows;
	dims[product->rank - 1] = columns;
	if (!view_broadcast(v, product->rank, dims))
		return false;
	memcpy(dims, scores->dims, sizeof(dims));
	dims[scores->rank - 2] = rows;
	dims[scores->rank - 1] = columns;
	return view_reshape(v, scores->rank, dims);
}

static bool same_matrices(const struct shape *a, const struct shape *b)
{
	return a->rank >= 2 && b->rank >= 2 && a->dims[a->rank - 2] == b->dims[b->rank - 2] &&
	       a->dims[a->rank - 1] == b->dims[b->rank - 1];
}

/* ---- the formula ----------------------------------------------------------------------------- */

/* The mask as one of the shape `at`, which has the scores' elements. */
static bool take_mask(const struct graph *g, uint32_t id, const struct shape *at, struct match *m)
{
	struct view *v = &m->mask.view;

	if (m->mask.tensor != OOO_NONE || m->scale != 1 || !shape_of(g, id)->rank ||
	    !find_source(g, id, false, false, &m->mask))
		return false;
	/* One column for all keys would change nothing but infinities. */
	return view_length(v, v->rank - 1) == m->scores.dims[m->scores.rank - 1] &&
	       view_broadcast(v, at->rank, at->dims) &&
	       view_reshape(v, m->scores.rank, m->scores.dims);
}

static bool take_product(const struct graph *g, const struct step *s, struct match *m)
{
	const struct shape *out = shape_of(g, s->out[0]);
	bool trans_a = s->attr.flags & OOO_ATTR_TRANS_A, trans_b = s->attr.flags & OOO_ATTR_TRANS_B;
	uint32_t bias = step_in(s, 2);

	if (!same_matrices(out, &m->scores) || !find_matrix(g, s, 0, trans_a, &m->q) ||
	    !find_matrix(g, s, 1, !trans_b, &m->k))
		return false;
	if (bias != OOO_NONE && (s->attr.beta != 1 || !take_mask(g, bias, out, m)))
		return false;
	m->scale *= (double)s->attr.alpha * (double)m->q.scale * (double)m->k.scale;
	return fit_batch(&m->q.view, out, &m->scores) && fit_batch(&m->k.view, out, &m->scores);
}

/* id is Q K^T or made of it by factors, a mask and reshapes, each with one reader. */
static bool take_scores(const struct graph *g, uint32_t id, struct match *m)
{
	for (int hops = 0; hops < MAX_MOVES; hops++) {
		const struct step *s = writer_of(g, id);
		struct match before = *m;
		double factor;
		unsigned x;

		if (!s || s->nr_post || g->nr_uses[id] != 1)
			return false;
		switch (s->op) {
		case OOO_OP_MATMUL:
			return take_product(g, s, m);
		case OOO_OP_RESHAPE:
			if (!same_matrices(shape_of(g, s->in[0]), &m->scores))
				return false;
			id = s->in[0];
			break;
		case OOO_OP_ADD:
			for (x = 0; x < 2; x++) {
				*m = before;
				if (shape_equal(shape_of(g, s->in[x]), shape_of(g, id)) &&
				    take_mask(g, s->in[!x], shape_of(g, id), m) &&
				    take_scores(g, s->in[x], m))
					return true;
			}
			return false;
		default:
			if (!is_factor(g, s, &x, &factor))
				return false;
			m->scale *= factor;
			id = s->in[x];
		}
	}
	return false;
}

/* id = Where(p is NaN, 0, p), where only p == p asks for NaN: p, else OOO_NONE. */
static uint32_t guarded(const struct graph *g, uint32_t id)
{
	const struct step *where = only(g, id, OOO_OP_WHERE, 1), *negation, *equal;
	uint32_t p;
	float zero;

	negation = where ? only(g, where->in[0], OOO_OP_NOT, 1) : NULL;
	equal = negation ? only(g, negation->in[0], OOO_OP_EQUAL, 1) : NULL;
	if (!equal || equal->in[0] != equal->in[1])
		return OOO_NONE;
	p = equal->in[0];
	return where->in[2] == p && const_scalar(g->p, where->in[1], &zero) && zero == 0 ? p
											 : OOO_NONE;
}

static bool take_softmax(const struct graph *g, uint32_t id, struct match *m)
{
	uint32_t p;
	const struct shape *s;

	for (int hops = 0; hops < MAX_MOVES && only(g, id, OOO_OP_RESHAPE, 1); hops++)
		id = writer_of(g, id)->in[0];
	p = guarded(g, id);
	m->guarded = p != OOO_NONE;
	m->softmax = only(g, m->guarded ? p : id, OOO_OP_SOFTMAX, m->guarded ? 3 : 1);
	if (!m->softmax)
		return false;
	s = shape_of(g, m->softmax->out[0]);
	return m->softmax->attr.axis == s->rank - 1 && same_matrices(s, &m->scores);
}

/* The result goes to where a transposition behind it puts it. */
static void find_out(const struct graph *g, struct match *m)
{
	uint32_t chain[MAX_MOVES], id = m->product->out[0];
	int n = 0;

	view_whole(&m->out, shape_of(g, id));
	m->out_tensor = id;
	while (n < MAX_MOVES && g->nr_uses[id] == 1 && g->p->tensors[id].place != PLACE_OUTPUT) {
		const struct step *s = &g->p->steps[g->user[id]];
		struct view v;
		bool even = true;

		if (s->nr_post || (s->op != OOO_OP_RESHAPE && s->op != OOO_OP_TRANSPOSE))
			return;
		chain[n++] = g->user[id];
		id = s->out[0];
		if (s->op != OOO_OP_TRANSPOSE)
			continue; /* moves nothing */
		view_whole(&v, shape_of(g, id));
		for (int k = n - 1; k >= 0 && even; k--) {
			const struct step *back = &g->p->steps[chain[k]];
			const struct shape *to = shape_of(g, back->in[0]);
			int32_t inverse[OOO_MAX_RANK] = { 0 };

			for (int i = 0; back->op == OOO_OP_TRANSPOSE && i < to->rank; i++)
				inverse[back->attr.perm[i]] = i;
			if (back->op == OOO_OP_TRANSPOSE)
				view_permute(&v, inverse);
			else
				even = view_reshape(&v, to->rank, to->dims);
		}
		if (!even || !columns_are_neighbours(&v, false))
			return;
		m->out = v;
		m->out_tensor = id;
	}
}

static bool take_values(const struct graph *g, struct step *s, struct match *m)
{
	const struct shape *out = shape_of(g, s->out[0]);
	bool swap = s->attr.flags & OOO_ATTR_TRANS_B;

	m->scores = *shape_of(g, s->in[0]);
	m->product = s;
	if (s->nr_post || step_in(s, 2) != OOO_NONE || s->attr.alpha != 1 ||
	    (s->attr.flags & OOO_ATTR_TRANS_A) || m->scores.rank < 2 ||
	    out->rank != m->scores.rank || !find_matrix(g, s, 1, swap, &m->v) || m->v.scale != 1)
		return false;
	/* The scores are not repeated for several V. */
	for (int i = 0; i < out->rank - 1; i++)
		if (out->dims[i] != m->scores.dims[i])
			return false;
	find_out(g, m);
	return fit_batch(&m->v.view, out, out);
}

/* ---- the step -------------------------------------------------------------------------------- */

/* One more axis of the batch, outside of those that are there; merged with the last if that is
 * evenly spaced for every operand. */
static bool add_batch(struct batch *b, int64_t dim, const int64_t *stride)
{
	bool merges = b->nr > 0;

	for (int k = 0; k < ATTENTION_OPERANDS && merges; k++)
		merges = b->stride[b->nr - 1][k] * b->dim[b->nr - 1] == stride[k];
	if (!merges && b->nr == 2)
		return false;
	if (merges) {
		b->dim[b->nr - 1] *= dim;
		return true;
	}
	b->dim[b->nr] = dim;
	memcpy(b->stride[b->nr++], stride, sizeof(b->stride[0]));
	return true;
}

/* The axes in front, from the last to the first, in parts that are parts of every operand's. */
static bool find_batch(struct view *const views[ATTENTION_OPERANDS], struct batch *b)
{
	struct view left[ATTENTION_OPERANDS];
	int rank = views[ATTENTION_OUT]->rank;

	for (int k = 0; k < ATTENTION_OPERANDS; k++) {
		left[k] = *views[views[k] ? k : ATTENTION_OUT];
		left[k].nr_parts = view_parts_before(&left[k], rank - 2);
	}
	while (left[ATTENTION_OUT].nr_parts) {
		int64_t stride[ATTENTION_OPERANDS], dim = INT64_MAX;

		for (int k = 0; k < ATTENTION_OPERANDS; k++)
			if (left[k].nr_parts && left[k].part[left[k].nr_parts - 1].dim < dim)
				dim = left[k].part[left[k].nr_parts - 1].dim;
		for (int k = 0; k < ATTENTION_OPERANDS; k++) {
			struct view_part *last;

			if (!left[k].nr_parts || dim < 1)
				return false;
			last = &left[k].part[left[k].nr_parts - 1];
			if (last->dim % dim)
				return false;
			stride[k] = views[k] ? last->stride : 0;
			last->dim /= dim;
			last->stride *= dim;
			left[k].nr_parts -= last->dim == 1;
		}
		if (!add_batch(b, dim, stride))
			return false;
	}
	return true;
}

static bool describe(const struct graph *g, struct match *m, struct attention *a)
{
	struct view *views[ATTENTION_OPERANDS] = {
		&m->q.view, &m->k.view,
		&m->v.view, m->mask.tensor == OOO_NONE ? NULL : &m->mask.view,
		&m->out,
	};
	const uint32_t tensors[ATTENTION_OPERANDS] = { m->q.tensor, m->k.tensor, m->v.tensor,
						       m->mask.tensor, m->out_tensor };
	int rank = m->scores.rank;
	struct batch b = { .dim = { 1, 1 } };

	if (!find_batch(views, &b))
		return false;
	*a = (struct attention){
		.batch = (int32_t)b.dim[1],
		.heads = (int32_t)b.dim[0],
		.queries = (int32_t)m->scores.dims[rank - 2],
		.keys = (int32_t)m->scores.dims[rank - 1],
		.depth = (int32_t)view_length(&m->q.view, rank - 1),
		.value_depth = (int32_t)view_length(&m->v.view, rank - 1),
		.scale = (float)m->scale,
		.zero_unseeing = m->guarded,
	};
	for (int k = 0; k < ATTENTION_OPERANDS; k++) {
		int64_t n = 0;

		if (!views[k])
			continue;
		shape_elems(shape_of(g, tensors[k]), &n);
		if (n < 1 || n > MAX_ELEMS || !view_stride(views[k], rank - 2, &a->at[k].row))
			return false;
		a->at[k].start = views[k]->start;
		a->at[k].head = b.stride[0][k];
		a->at[k].batch = b.stride[1][k];
	}
	return isfinite(a->scale) && a->depth >= 1 && a->depth <= ATTENTION_MAX_DEPTH &&
	       a->value_depth >= 1 && a->value_depth <= ATTENTION_MAX_DEPTH;
}

static bool are_floats(const struct graph *g, const struct match *m)
{
	const uint32_t ids[] = { m->q.tensor, m->k.tensor, m->v.tensor, m->mask.tensor,
				 m->out_tensor };

	for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		uint32_t dtype = ids[i] == OOO_NONE ? OOO_FP32 : shape_of(g, ids[i])->dtype;

		if (dtype != OOO_FP32 && dtype != OOO_FP16 && dtype != OOO_BF16)
			return false;
	}
	return true;
}

/* The steps from the product to its last transposition are the attention's now. */
static void kill_moves(struct graph *g, struct step *s, uint32_t last)
{
	for (uint32_t id = s->out[0]; id != last;) {
		struct step *move = &g->p->steps[g->user[id]];

		id = move->out[0];
		step_kill(move);
	}
}

static int attend(struct graph *g, struct step *s)
{
	struct match m = { .scale = 1, .mask.tensor = OOO_NONE };
	struct attention a;
	uint32_t in[4];

	if (!take_values(g, s, &m) || !take_softmax(g, s->in[0], &m) ||
	    !take_scores(g, m.softmax->in[0], &m) || !are_floats(g, &m) || !describe(g, &m, &a))
		return 0;
	in[ATTENTION_Q] = m.q.tensor;
	in[ATTENTION_K] = m.k.tensor;
	in[ATTENTION_V] = m.v.tensor;
	in[ATTENTION_MASK] = m.mask.tensor;
	kill_moves(g, s, m.out_tensor);
	if (step_set_operands(s, in, m.mask.tensor == OOO_NONE ? 3 : 4, &m.out_tensor, 1))
		return graph_no_memory(g);
	s->op = OP_ATTENTION;
	s->klass = CLASS_NORM;
	memset(&s->attr, 0, sizeof(s->attr));
	s->attention = a;
	step_name_add(s, "Attention");
	g->writer[m.out_tensor] = (uint32_t)(s - g->p->steps);
	return 0;
}

int pass_attend(struct graph *g)
{
	if (!g->opts->caps || !g->opts->caps->attention)
		return 0;
	for (uint32_t i = 0; i < g->p->nr_steps; i++) {
		struct step *s = &g->p->steps[i];
		int rc = s->op == OOO_OP_MATMUL ? attend(g, s) : 0;

		if (rc)
			return rc;
	}
	graph_sweep(g);
	return 0;
}
