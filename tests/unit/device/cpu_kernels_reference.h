/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each operator must give, in double precision on plain arrays: index by index, as the
 * definition says, with no regard for speed.
 */
#ifndef OOO_TESTS_CPU_KERNELS_REFERENCE_H
#define OOO_TESTS_CPU_KERNELS_REFERENCE_H

#include "tests/unit/device/cpu_kernels_rig.h"

static inline const struct shape *kt_dims(const struct kt *k, int i)
{
	return &k->tensors[k->in[i]].shape;
}

static inline void unravel(const struct shape *s, int64_t i, int64_t *at)
{
	for (int d = s->rank - 1; d >= 0; d--) {
		at[d] = i % s->dims[d];
		i /= s->dims[d];
	}
}

static inline int64_t ravel(const struct shape *s, const int64_t *at)
{
	int64_t i = 0;

	for (int d = 0; d < s->rank; d++)
		i = i * s->dims[d] + at[d];
	return i;
}

/* The element of a broadcast tensor that meets element i of y. */
static inline double broadcast(const struct kt *k, uint32_t id, const struct shape *y, int64_t i)
{
	const struct shape *s = &k->tensors[id].shape;
	int64_t at[OOO_MAX_RANK], own[OOO_MAX_RANK];

	unravel(y, i, at);
	for (int d = 0; d < s->rank; d++)
		own[d] = s->dims[d] == 1 ? 0 : at[d + y->rank - s->rank];
	return k->v[id][ravel(s, own)];
}

static inline double kt_unary(uint32_t op, double a, double b, int mode, double v)
{
	struct post post = { .op = op, .alpha = (float)a, .beta = (float)b, .mode = mode };

	switch (op) {
	case OOO_OP_IDENTITY:
		return v;
	case OOO_OP_ERF:
		return erf(v);
	case OOO_OP_SQRT:
		return sqrt(v);
	case OOO_OP_EXP:
		return exp(v);
	case OOO_OP_LOG:
		return log(v);
	case OOO_OP_NEG:
		return -v;
	case OOO_OP_ABS:
		return fabs(v);
	case OOO_OP_RECIPROCAL:
		return 1 / v;
	case OOO_OP_SELU:
		return v > 0 ? b * v : b * a * expm1(v);
	case OOO_OP_CELU:
		return v > 0 ? v : a * expm1(v / a);
	case OOO_OP_SOFTPLUS:
		return v > 30 ? v : log1p(exp(v));
	case OOO_OP_SOFTSIGN:
		return v / (1 + fabs(v));
	case OOO_OP_CEIL:
		return ceil(v);
	case OOO_OP_FLOOR:
		return floor(v);
	case OOO_OP_ROUND:
		return nearbyint(v);
	case OOO_OP_SIGN:
		return (v > 0) - (v < 0);
	case OOO_OP_SIN:
		return sin(v);
	case OOO_OP_COS:
		return cos(v);
	case OOO_OP_NOT:
		return v == 0;
	case OOO_OP_THRESHOLDED_RELU:
		return v > a ? v : 0;
	default:
		return ref_activation(&post, v);
	}
}

static inline double kt_binary(uint32_t op, double a, double b, bool whole)
{
	switch (op) {
	case OOO_OP_ADD:
		return a + b;
	case OOO_OP_SUB:
		return a - b;
	case OOO_OP_MUL:
		return a * b;
	case OOO_OP_DIV:
		return whole ? (b != 0 ? trunc(a / b) : 0) : a / b;
	case OOO_OP_POW:
		return pow(a, b);
	case OOO_OP_MIN:
		return a < b ? a : b;
	case OOO_OP_MAX:
		return a > b ? a : b;
	case OOO_OP_EQUAL:
		return a == b;
	case OOO_OP_LESS:
		return a < b;
	case OOO_OP_GREATER:
		return a > b;
	case OOO_OP_LESS_EQUAL:
		return a <= b;
	case OOO_OP_GREATER_EQUAL:
		return a >= b;
	case OOO_OP_AND:
		return a != 0 && b != 0;
	case OOO_OP_OR:
		return a != 0 || b != 0;
	case OOO_OP_XOR:
		return (a != 0) != (b != 0);
	case OOO_OP_PRELU:
		return a < 0 ? a * b : a;
	default:
		fail_msg("no reference for operator %u", op);
		return 0;
	}
}

/* Position on the input's axis of output position i, and the neighbour for linear. */
static inline double resize_at(const struct kt *k, int d, int64_t i)
{
	const struct ooo_attr *a = &k->step.attr;
	double in = (double)kt_dims(k, 0)->dims[d], out = (double)a->dims[d];
	double scale = a->scale[d] != 0 ? a->scale[d] : out / in;

	switch (a->coord) {
	case OOO_COORD_ASYMMETRIC:
		return (double)i / scale;
	case OOO_COORD_ALIGN_CORNERS:
		return out > 1 ? (double)i * (in - 1) / (out - 1) : 0;
	case OOO_COORD_PYTORCH_HALF_PIXEL:
		return out > 1 ? ((double)i + 0.5) / scale - 0.5 : 0;
	default:
		return ((double)i + 0.5) / scale - 0.5;
	}
}

static inline int64_t clamp_index(double v, int64_t n)
{
	return v < 0 ? 0 : v > (double)(n - 1) ? n - 1 : (int64_t)v;
}

static inline double kt_resize(const struct kt *k, const int64_t *at)
{
	const struct shape *x = kt_dims(k, 0);
	int64_t low[OOO_MAX_RANK], cell[OOO_MAX_RANK];
	double part[OOO_MAX_RANK], sum = 0;

	for (int d = 0; d < x->rank; d++) {
		double p = resize_at(k, d, at[d]);

		switch (k->step.attr.nearest_mode) {
		case OOO_NEAREST_FLOOR:
			cell[d] = clamp_index(floor(p), x->dims[d]);
			break;
		case OOO_NEAREST_CEIL:
			cell[d] = clamp_index(ceil(p), x->dims[d]);
			break;
		case OOO_NEAREST_ROUND_PREFER_CEIL:
			cell[d] = clamp_index(floor(p + 0.5), x->dims[d]);
			break;
		default:
			cell[d] = clamp_index(ceil(p - 0.5), x->dims[d]);
		}
		p = fmin(fmax(p, 0), (double)(x->dims[d] - 1));
		low[d] = (int64_t)floor(p);
		part[d] = p - floor(p);
	}
	if (!k->step.attr.mode)
		return k->v[k->in[0]][ravel(x, cell)];
	for (int corner = 0; corner < 1 << x->rank; corner++) {
		double weight = 1;

		for (int d = 0; d < x->rank; d++) {
			bool high = corner >> d & 1;

			weight *= high ? part[d] : 1 - part[d];
			cell[d] = low[d] + (high && low[d] + 1 < x->dims[d]);
		}
		if (weight != 0)
			sum += weight * k->v[k->in[0]][ravel(x, cell)];
	}
	return sum;
}

static inline double kt_pad(const struct kt *k, const int64_t *at)
{
	const struct ooo_attr *a = &k->step.attr;
	const struct shape *x = kt_dims(k, 0);
	int64_t from[OOO_MAX_RANK];

	for (int d = 0; d < x->rank; d++) {
		int64_t n = x->dims[d];

		from[d] = at[d] - a->start[d];
		if (a->mode == 0 && (from[d] < 0 || from[d] >= n))
			return a->alpha;
		if (a->mode == 1)
			from[d] = from[d] < 0   ? -from[d]
				  : from[d] < n ? from[d]
						: 2 * n - 2 - from[d];
		if (a->mode == 2)
			from[d] = from[d] < 0 ? 0 : from[d] < n ? from[d] : n - 1;
	}
	return k->v[k->in[0]][ravel(x, from)];
}

/* Element `at` of output o of operators that only move elements. */
static inline double kt_moved(const struct kt *k, int o, int64_t *at)
{
	const struct ooo_attr *a = &k->step.attr;
	const struct shape *x = kt_dims(k, 0), *index;
	int64_t from[OOO_MAX_RANK], b = a->kernel[0], row[OOO_MAX_RANK], channels, entry;
	int part = 0;

	memcpy(from, at, sizeof(from));
	switch (k->step.op) {
	case OOO_OP_TRANSPOSE:
		for (int d = 0; d < x->rank; d++)
			from[a->perm[d]] = at[d];
		break;
	case OOO_OP_SLICE:
		for (int d = 0; d < x->rank; d++)
			from[d] = a->start[d] + at[d] * a->step[d];
		break;
	case OOO_OP_TILE:
		for (int d = 0; d < x->rank; d++)
			from[d] = at[d] % x->dims[d];
		break;
	case OOO_OP_SPLIT:
		for (int i = 0; i < o; i++)
			from[a->axis] += k->tensors[k->out[i]].shape.dims[a->axis];
		break;
	case OOO_OP_CONCAT:
		while (from[a->axis] >= kt_dims(k, part)->dims[a->axis])
			from[a->axis] -= kt_dims(k, part++)->dims[a->axis];
		return k->v[k->in[part]][ravel(kt_dims(k, part), from)];
	case OOO_OP_GATHER:
		index = kt_dims(k, 1);
		memcpy(row, at + a->axis, (size_t)index->rank * sizeof(*row));
		entry = (int64_t)k->v[k->in[1]][ravel(index, row)];
		from[a->axis] = entry < 0 ? entry + x->dims[a->axis] : entry;
		for (int d = a->axis + 1; d < x->rank; d++)
			from[d] = at[d + index->rank - 1];
		break;
	case OOO_OP_DEPTH_TO_SPACE:
		channels = x->dims[1] / (b * b);
		from[2] = at[2] / b;
		from[3] = at[3] / b;
		from[1] = a->mode ? (at[1] * b + at[2] % b) * b + at[3] % b
				  : (at[2] % b * b + at[3] % b) * channels + at[1];
		break;
	case OOO_OP_SPACE_TO_DEPTH:
		from[1] = at[1] % x->dims[1];
		from[2] = at[2] * b + at[1] / x->dims[1] / b;
		from[3] = at[3] * b + at[1] / x->dims[1] % b;
		break;
	default:
		fail_msg("no reference for operator %u", k->step.op);
	}
	return k->v[k->in[0]][ravel(x, from)];
}

/* Reductions and ArgMax, ArgMin: each element of the input joins the one of the output it meets. */
static inline void kt_reduced(struct kt *k)
{
	const struct ooo_attr *a = &k->step.attr;
	const struct shape *x = kt_dims(k, 0), *y = &k->tensors[k->out[0]].shape;
	uint32_t op = k->step.op;
	bool arg = op == OOO_OP_ARG_MAX || op == OOO_OP_ARG_MIN;
	bool low = op == OOO_OP_REDUCE_MIN || op == OOO_OP_ARG_MIN;
	uint32_t axes = arg ? 1u << a->axis : a->axes;
	double count = (double)rig_elems(x) / (double)rig_elems(y), *out = k->v[k->out[0]];
	double *best = calloc((size_t)rig_elems(y), sizeof(*best));
	bool *met = calloc((size_t)rig_elems(y), sizeof(*met));

	memset(out, 0, (size_t)rig_elems(y) * sizeof(*out));
	for (int64_t i = 0; i < rig_elems(x); i++) {
		int64_t from[OOO_MAX_RANK], to = 0;
		double v = k->v[k->in[0]][i];

		unravel(x, i, from);
		for (int d = 0; d < x->rank; d++)
			to = axes >> d & 1 ? to : to * x->dims[d] + from[d];
		if (op == OOO_OP_REDUCE_SUM || op == OOO_OP_REDUCE_MEAN)
			out[to] += op == OOO_OP_REDUCE_SUM ? v : v / count;
		else if (!met[to] || (low ? v < best[to] : v > best[to]) ||
			 (v == best[to] && a->flags & OOO_ATTR_LAST_INDEX))
			out[to] = arg ? (double)from[a->axis] : v;
		else
			continue;
		met[to] = true;
		best[to] = v;
	}
	free(best);
	free(met);
}

/* BatchNormalization and InstanceNormalization. */
static inline void kt_normalised(struct kt *k)
{
	const struct shape *x = kt_dims(k, 0);
	const double *v = k->v[k->in[0]], *scale = k->v[k->in[1]], *shift = k->v[k->in[2]];
	bool batch = k->step.op == OOO_OP_BATCH_NORM;
	int64_t n = rig_elems(x) / (x->dims[0] * x->dims[1]);

	for (int64_t plane = 0; plane < x->dims[0] * x->dims[1]; plane++) {
		int64_t c = plane % x->dims[1];
		double mean = 0, var = 0;

		for (int64_t i = 0; i < n; i++)
			mean += v[plane * n + i] / (double)n;
		for (int64_t i = 0; i < n; i++)
			var += pow(v[plane * n + i] - mean, 2) / (double)n;
		if (batch) {
			mean = k->v[k->in[3]][c];
			var = k->v[k->in[4]][c];
		}
		for (int64_t i = plane * n; i < (plane + 1) * n; i++)
			k->v[k->out[0]][i] =
				(v[i] - mean) / sqrt(var + k->step.attr.alpha) * scale[c] +
				shift[c];
	}
}

/* Operators that tests/unit/device/reference.h knows. */
static inline void kt_by_reference(struct kt *k)
{
	float *in[RIG_MAX_IN] = { NULL };
	struct reference r = { .step = &k->step,
			       .x = kt_dims(k, 0),
			       .w = k->step.nr_in > 1 ? kt_dims(k, 1) : NULL,
			       .y = &k->tensors[k->out[0]].shape,
			       .out = k->v[k->out[0]] };

	for (int i = 0; i < k->step.nr_in; i++) {
		int64_t n;

		if (k->in[i] == OOO_NONE)
			continue;
		n = rig_elems(kt_dims(k, i));
		in[i] = malloc((size_t)n * sizeof(float));
		for (int64_t e = 0; e < n; e++)
			in[i][e] = (float)k->v[k->in[i]][e];
		r.in[i] = in[i];
	}
	switch (k->step.op) {
	case OOO_OP_CONV:
		ref_conv(&r);
		break;
	case OOO_OP_CONV_TRANSPOSE:
		ref_conv_transpose(&r);
		break;
	case OOO_OP_MATMUL:
		ref_matmul(&r, k->step.nr_in > 2 ? kt_dims(k, 2) : NULL);
		break;
	case OOO_OP_SOFTMAX:
	case OOO_OP_LOG_SOFTMAX:
		ref_softmax(&r);
		break;
	case OOO_OP_LAYER_NORM:
		ref_layer_norm(&r);
		break;
	case OOO_OP_LRN:
		ref_lrn(&r);
		break;
	default:
		ref_pool(&r);
	}
	for (int i = 0; i < RIG_MAX_IN; i++)
		free(in[i]);
}

static inline double kt_element(struct kt *k, int o, int64_t i)
{
	const struct shape *y = &k->tensors[k->out[o]].shape;
	const struct ooo_attr *a = &k->step.attr;
	int64_t at[OOO_MAX_RANK] = { 0 };
	uint32_t op = k->step.op;

	unravel(y, i, at);
	switch (op) {
	case OP_REORDER:
	case OOO_OP_RESHAPE:
		return k->v[k->in[0]][i];
	case OOO_OP_EXPAND:
		return broadcast(k, k->in[0], y, i);
	case OOO_OP_WHERE:
		return broadcast(k, k->in[broadcast(k, k->in[0], y, i) != 0 ? 1 : 2], y, i);
	case OOO_OP_RESIZE:
		return kt_resize(k, at);
	case OOO_OP_PAD:
		return kt_pad(k, at);
	}
	if (op >= OOO_OP_ADD && op <= OOO_OP_GREATER_EQUAL)
		return kt_binary(op, broadcast(k, k->in[0], y, i), broadcast(k, k->in[1], y, i),
				 !kt_is_float(kt_dims(k, 0)->dtype));
	if (op_info(op)->klass == CLASS_POINTWISE)
		return kt_unary(op, a->alpha, a->beta, a->mode, k->v[k->in[0]][i]);
	return kt_moved(k, o, at);
}

static inline bool kt_element_wise(uint32_t op)
{
	if (op == OP_REORDER)
		return true;
	return op_info(op)->klass == CLASS_POINTWISE || op_info(op)->klass == CLASS_MOVE;
}

/* Fill in what must come out, with the post-operations. */
static inline void kt_reference(struct kt *k)
{
	const struct shape *y = &k->tensors[k->out[0]].shape;
	uint32_t op = k->step.op;

	if (k->left_out)
		return;
	for (int o = 0; kt_element_wise(op) && o < k->step.nr_out; o++) {
		for (int64_t i = 0; i < rig_elems(&k->tensors[k->out[o]].shape); i++)
			k->v[k->out[o]][i] = kt_element(k, o, i);
	}
	if (op == OOO_OP_BATCH_NORM || op == OOO_OP_INSTANCE_NORM)
		kt_normalised(k);
	else if (op != OP_REORDER && op_info(op)->klass == CLASS_REDUCE)
		kt_reduced(k);
	else if (!kt_element_wise(op))
		kt_by_reference(k);
	for (int p = 0; p < k->step.nr_post; p++) {
		const struct post *post = &k->step.post[p];

		for (int64_t i = 0; i < rig_elems(y); i++) {
			double *v = &k->v[k->out[0]][i];

			if (post->op == OOO_OP_ADD)
				*v += broadcast(k, post->operand, y, i);
			else if (post->op == OOO_OP_MUL)
				*v *= broadcast(k, post->operand, y, i);
			else
				*v = kt_unary(post->op, post->alpha, post->beta, post->mode, *v);
		}
	}
}

/* Run, compare, free. */
static inline void kt_check(struct kt *k, double tolerance)
{
	assert_int_equal(kt_run(k), OOO_OK);
	kt_reference(k);
	for (int o = 0; o < k->step.nr_out; o++)
		kt_expect(k, o, tolerance);
	kt_free(k);
}

#endif
