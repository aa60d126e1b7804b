/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resize and its forerunner Upsample. Up to opset 10 the sample of output i is at i / scale, and
 * "nearest" takes the one before it.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "shared/onnx/ops.h"

#define MAX_SIZE    (1ll << 31)
#define MAX_NEAREST (1 << 20) /* each output of an axis is looked at */

static const char *const modes[] = { "nearest", "linear" };

/* Floats from a constant operand; the count, or 0: absent or empty (which means the same here). */
static int operand_floats(struct node *n, int i, const char *what, float *v)
{
	const struct value *from = operand(n, i);
	int64_t elems = from ? value_elems(from) : 0;

	if (n->rc || !elems)
		return 0;
	if (!from->constant)
		return refuse(n,
			      "input %d (%s) must be a constant; if it is an input of the model,"
			      " fix its value",
			      i, what),
		       0;
	if (from->shape.dtype != OOO_FP32 || from->shape.rank != 1 || elems > OOO_MAX_RANK)
		return refuse(n, "input %d (%s) must be a list of at most %d floats", i, what,
			      OOO_MAX_RANK),
		       0;
	for (int64_t k = 0; k < elems; k++)
		v[k] = (float)value_number(from, k);
	return (int)elems;
}

/* Size after scaling: floor(in * scale), refused where rounding errors decide. */
static void scale_sizes(struct node *n, struct ooo_attr *a, const float *scale)
{
	const struct shape *x = &n->in[0]->shape;

	for (int i = 0; i < x->rank; i++) {
		double exact = (double)x->dims[i] * (double)scale[i];
		double rounded = (double)((float)x->dims[i] * scale[i]);

		if (!(scale[i] > 0) || !isfinite(scale[i]) || exact >= (double)MAX_SIZE) {
			refuse(n, "a scale of %g is not possible", (double)scale[i]);
			return;
		}
		if (floor(exact) != floor(rounded)) {
			refuse(n, "axis %d: %" PRId64 " scaled by %.9g is too close to an integer",
			       i, x->dims[i], (double)scale[i]);
			return;
		}
		a->dims[i] = (int64_t)floor(exact);
		a->scale[i] = scale[i];
	}
}

/*
 * Two of the transformations use the output's length, and implementations differ on whether that
 * is rounded down when scales are given.
 */
static void check_length(struct node *n, const struct ooo_attr *a)
{
	for (int i = 0; i < a->rank; i++) {
		double exact = (double)n->in[0]->shape.dims[i] * (double)a->scale[i];
		bool whole = a->scale[i] == 0 || floor(exact) == exact;

		if (!whole && (a->coord == OOO_COORD_ALIGN_CORNERS ||
			       (a->coord == OOO_COORD_PYTORCH_HALF_PIXEL && a->dims[i] == 1)))
			refuse(n,
			       "axis %d: %" PRId64 " scaled by %g is no integer, which this"
			       " coordinate transformation leaves unclear",
			       i, n->in[0]->shape.dims[i], (double)a->scale[i]);
	}
}

/* Where output i samples the input, in fp64 or as far as possible in fp32. */
static double sample(const struct ooo_attr *a, int axis, int64_t in, int64_t i, bool fp32)
{
	int64_t out = a->dims[axis];
	double scale = a->scale[axis] != 0 ? (double)a->scale[axis] : (double)out / (double)in;

	switch (a->coord) {
	case OOO_COORD_ASYMMETRIC:
		return fp32 ? (double)((float)i / (float)scale) : (double)i / scale;
	case OOO_COORD_ALIGN_CORNERS:
		if (out == 1)
			return 0;
		return fp32 ? (double)((float)i * (float)(in - 1) / (float)(out - 1))
			    : (double)i * (double)(in - 1) / (double)(out - 1);
	default:
		if (out == 1 && a->coord == OOO_COORD_PYTORCH_HALF_PIXEL)
			return 0;
		return fp32 ? (double)(((float)i + 0.5f) / (float)scale - 0.5f)
			    : ((double)i + 0.5) / scale - 0.5;
	}
}

static double round_by(enum ooo_nearest mode, double x)
{
	switch (mode) {
	case OOO_NEAREST_FLOOR:
		return floor(x);
	case OOO_NEAREST_CEIL:
		return ceil(x);
	case OOO_NEAREST_ROUND_PREFER_CEIL:
		return floor(x + 0.5);
	default:
		return ceil(x - 0.5);
	}
}

/* A sample half-way between two elements, or on one, must not fall to either side by rounding. */
static void check_nearest(struct node *n, const struct ooo_attr *a)
{
	for (int axis = 0; !n->rc && axis < a->rank; axis++) {
		int64_t in = n->in[0]->shape.dims[axis];

		if (a->dims[axis] > MAX_NEAREST)
			refuse(n, "resizing to %" PRId64 " is not supported", a->dims[axis]);
		account(n, a->dims[axis]);
		for (int64_t i = 0; !n->rc && i < a->dims[axis]; i++) {
			double exact = round_by(a->nearest_mode, sample(a, axis, in, i, false));
			double rounded = round_by(a->nearest_mode, sample(a, axis, in, i, true));

			if (exact != rounded)
				refuse(n,
				       "axis %d: rounding errors decide which element is the"
				       " nearest",
				       axis);
		}
	}
}

static void init(struct node *n, struct ooo_attr *a)
{
	ooo_attr_init(a, OOO_OP_RESIZE);
	a->rank = n->in[0]->shape.rank;
}

/* Where no axis changes, the operator does nothing. */
static int finish(struct node *n, const struct ooo_attr *a)
{
	bool same = true;

	if (a->mode == 0)
		check_nearest(n, a);
	if (attrs_done(n))
		return n->rc;
	for (int i = 0; i < a->rank; i++)
		same = same && a->dims[i] == n->in[0]->shape.dims[i] &&
		       (a->scale[i] == 0 || a->scale[i] == 1);
	set_out(n, 0, same ? n->in[0] : emit1(n, OOO_OP_RESIZE, a, n->in[0]));
	return n->rc;
}

/*
 * Up to opset 10. Nearest to i / scale: enlarging, all agree on the sample before; reducing, they
 * do not, unless i / scale is a sample itself.
 */
static int resize_old(struct node *n, const float *scale, int count)
{
	struct ooo_attr a;

	init(n, &a);
	a.mode = attr_enum(n, "mode", "nearest", modes, 2);
	a.coord = OOO_COORD_ASYMMETRIC;
	if (n->rc)
		return n->rc;
	if (count != a.rank)
		return refuse(n, "has %d scales for an input of rank %d", count, a.rank);
	scale_sizes(n, &a, scale);
	if (a.mode == 0)
		a.nearest_mode = OOO_NEAREST_FLOOR;
	for (int i = 0; !n->rc && a.mode == 0 && i < a.rank; i++) {
		float inverse = 1 / scale[i];

		if (scale[i] < 1 && truncf(inverse) != inverse)
			return refuse(n,
				      "reducing by %g to the nearest is not clear before opset 11",
				      (double)scale[i]);
	}
	return n->rc ? n->rc : finish(n, &a);
}

IMPORT(upsample)
{
	const Onnx__AttributeProto *list;
	float scale[OOO_MAX_RANK] = { 0 };
	int count;

	if (n->opset >= 9) {
		count = operand_floats(n, 1, "scales", scale);
	} else {
		list = attr_find(n, "scales", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS);
		if (n->rc || !list || list->n_floats > OOO_MAX_RANK || n->nr_in > 1)
			return refuse(n, "scales are missing, or too many");
		count = (int)list->n_floats;
		memcpy(scale, list->floats, list->n_floats * sizeof(*scale));
	}
	for (int i = 0; i < count; i++)
		if (scale[i] < 1)
			return refuse(n, "a scale of %g is less than 1", (double)scale[i]);
	return resize_old(n, scale, count);
}

static void read_sizes(struct node *n, struct ooo_attr *a)
{
	int64_t sizes[OOO_MAX_RANK];
	float scale[OOO_MAX_RANK] = { 0 };
	int nr_scales = operand_floats(n, 2, "scales", scale), nr_sizes = 0;

	if (operand(n, 3))
		nr_sizes = operand_ints(n, 3, "sizes", sizes, OOO_MAX_RANK);
	if (n->rc)
		return;
	if ((nr_scales > 0) == (nr_sizes > 0)) {
		refuse(n, "needs either scales or sizes");
		return;
	}
	if ((nr_scales ? nr_scales : nr_sizes) != a->rank) {
		refuse(n, "has %d scales or sizes for an input of rank %d",
		       nr_scales ? nr_scales : nr_sizes, a->rank);
		return;
	}
	if (nr_scales) {
		scale_sizes(n, a, scale);
		return;
	}
	for (int i = 0; i < nr_sizes; i++) {
		if (sizes[i] < 1 || sizes[i] > MAX_SIZE)
			refuse(n, "a size of %" PRId64 " is not possible", sizes[i]);
		a->dims[i] = sizes[i];
	}
}

IMPORT(resize)
{
	static const char *const coords[] = {
		[OOO_COORD_HALF_PIXEL] = "half_pixel",
		[OOO_COORD_PYTORCH_HALF_PIXEL] = "pytorch_half_pixel",
		[OOO_COORD_ALIGN_CORNERS] = "align_corners",
		[OOO_COORD_ASYMMETRIC] = "asymmetric",
	};
	static const char *const nearest[] = {
		[OOO_NEAREST_ROUND_PREFER_FLOOR] = "round_prefer_floor",
		[OOO_NEAREST_ROUND_PREFER_CEIL] = "round_prefer_ceil",
		[OOO_NEAREST_FLOOR] = "floor",
		[OOO_NEAREST_CEIL] = "ceil",
	};
	static const char *const policies[] = { "stretch" };
	struct ooo_attr a;
	int rounding;

	if (n->opset < 11) {
		float scale[OOO_MAX_RANK] = { 0 };
		int count = operand_floats(n, 1, "scales", scale);

		return n->nr_in > 2 ? refuse(n, "has more inputs than opset 10 allows")
				    : resize_old(n, scale, count);
	}
	init(n, &a);
	a.mode = attr_enum(n, "mode", "nearest", modes, 2);
	a.coord = attr_enum(n, "coordinate_transformation_mode", "half_pixel", coords, 4);
	rounding = attr_enum(n, "nearest_mode", "round_prefer_floor", nearest, 4);
	if (a.mode == 0)
		a.nearest_mode = rounding;
	if (attr_flag(n, "antialias", false))
		return refuse(n, "antialias is not supported");
	/* All axes are given, and sizes exactly: then neither changes anything. */
	if (attr_has(n, "axes"))
		return refuse(n, "axes are not supported: give the sizes of all");
	attr_enum(n, "keep_aspect_ratio_policy", "stretch", policies, 1);
	/* Of the cubic mode and of tf_crop_and_resize, which were refused above. */
	attr_ignore(n, "cubic_coeff_a");
	attr_ignore(n, "exclude_outside");
	attr_ignore(n, "extrapolation_value");
	read_sizes(n, &a);
	check_length(n, &a);
	return n->rc ? n->rc : finish(n, &a);
}
