// SPDX-License-Identifier: Apache-2.0
/* Pointwise steps, and which encoder the other steps of this family have. */
#include "agent/device/cuda/encode_map.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int map_refuse(const struct map_encoder *e, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(e->why, e->why_bytes, fmt, args);
	va_end(args);
	return -EOPNOTSUPP;
}

int map_unit_bytes(const struct map_encoder *e, uint32_t from, uint32_t to, uint32_t *bytes)
{
	*bytes = 0;
	if (from == to)
		*bytes = (uint32_t)dtype_bytes(from);
	else if (!map_is_float(from) || !map_is_float(to))
		return map_refuse(e, "a copy of %s to %s", dtype_name(from), dtype_name(to));
	return 0;
}

void map_set_walk(struct map_task *task, const struct walk *w)
{
	task->rank = (uint32_t)w->rank;
	task->elems = (uint32_t)walk_elems(w);
	for (int d = 0; d < w->rank; d++) {
		task->dim[d].by = cuda_div_make((uint32_t)w->dims[d]);
		for (int k = 0; k < w->nr_operands; k++)
			task->dim[d].stride[k] = (int32_t)w->stride[k][d];
	}
	for (int k = 1; k < w->nr_operands && k < 3; k++)
		task->inner_stride[k - 1] = w->stride[k][w->rank - 1] != 0;
}

int map_add(const struct map_encoder *e, enum cuda_kernel kernel, struct map_task *task,
	    uint32_t tile)
{
	task->head.nr_tiles = (task->elems + tile - 1) / tile;
	return plan_task(e->plan, kernel, task,
			 offsetof(struct map_task, dim) + task->rank * sizeof(task->dim[0]));
}

bool map_quads(const struct walk *w)
{
	int in = w->rank - 1;

	if (w->stride[0][in] != 1 || (w->rank > 1 && w->dims[in] % 4))
		return false;
	for (int k = 0; k < w->nr_operands; k++) {
		if (w->stride[k][in] != 0 && w->stride[k][in] != 1)
			return false;
		for (int d = 0; d < in; d++)
			if (w->stride[k][in] && w->stride[k][d] % 4)
				return false;
	}
	return true;
}

static bool all_floats(const struct map_encoder *e)
{
	for (int i = 0; i < e->step->nr_in; i++)
		if (!map_is_float(map_in(e, i)->shape.dtype))
			return false;
	return true;
}

/* Values that are chosen between are copied, or floats and converted. */
static int choose_where(const struct map_encoder *e, struct map_task *task)
{
	uint32_t x = map_in(e, 1)->shape.dtype, y = map_in(e, 2)->shape.dtype;
	uint32_t out = map_out(e, 0)->shape.dtype;

	task->mode = MAP_WHERE;
	if (x == y)
		return map_unit_bytes(e, x, out, &task->unit_bytes);
	if (!map_is_float(x) || !map_is_float(y) || !map_is_float(out))
		return map_refuse(e, "a choice between %s and %s", dtype_name(x), dtype_name(y));
	return 0;
}

static int choose_mode(const struct map_encoder *e, const struct walk *w, struct map_task *task)
{
	uint32_t op = e->step->op, in = map_in(e, 0)->shape.dtype, out = map_out(e, 0)->shape.dtype;
	bool compares = (op >= OOO_OP_EQUAL && op <= OOO_OP_XOR) || op == OOO_OP_LESS_EQUAL ||
			op == OOO_OP_GREATER_EQUAL;

	if (op == OOO_OP_WHERE)
		return choose_where(e, task);
	if (compares && out != OOO_BOOL)
		return map_refuse(e, "a comparison that results in %s", dtype_name(out));
	if (compares)
		task->mode = all_floats(e) ? MAP_COMPARE_FLOAT : MAP_COMPARE_INT;
	else if (all_floats(e) && map_is_float(out))
		task->mode = map_quads(w) ? MAP_QUADS : MAP_SINGLES;
	else if (op == OOO_OP_CAST)
		task->mode = MAP_CAST;
	else
		task->mode = MAP_INT;
	if (task->mode != MAP_INT && task->mode != MAP_COMPARE_INT)
		return 0;
	if (map_is_float(in) || in == OOO_FP64 || map_is_float(out) || out == OOO_FP64)
		return map_refuse(e, "%s and %s in one operation", dtype_name(in), dtype_name(out));
	return 0;
}

static int encode_pointwise(const struct map_encoder *e)
{
	const struct tensor *operands[MAP_OPERANDS - 1];
	const struct ooo_attr *a = &e->step->attr;
	struct map_task task = { 0 };
	struct walk w;
	int err;

	for (int i = 0; i < e->step->nr_in; i++)
		operands[i] = map_in(e, i);
	walk_output(&w, map_out(e, 0), operands, e->step->nr_in);
	if (!walk_elems(&w))
		return 0;
	err = plan_task_head(e->plan, e->step, &task.head);
	if (!err)
		err = choose_mode(e, &w, &task);
	if (err)
		return err;
	task.alpha = a->alpha;
	task.beta = a->beta;
	task.attr_mode = a->mode;
	task.operand[0] = plan_operand(e->plan, e->step->out[0]);
	for (int i = 0; i < e->step->nr_in; i++)
		task.operand[i + 1] = plan_operand(e->plan, e->step->in[i]);
	map_set_walk(&task, &w);
	if (task.mode <= MAP_SINGLES)
		return map_add(e, KERNEL_MAP, &task, MAP_QUAD_TILE);
	if (task.head.nr_post)
		return map_refuse(e, "post-operations of integers");
	return map_add(e, KERNEL_MAP_VALUES, &task, MAP_VALUE_TILE);
}

static int check_tensor(const struct map_encoder *e, uint32_t id)
{
	const struct tensor *t = &e->tensors[id];
	bool image = t->layout == LAYOUT_NHWC && t->shape.rank == 4;

	if (id == OOO_NONE)
		return 0;
	if (t->layout != LAYOUT_PLAIN && !image)
		return map_refuse(e, "channels in blocks");
	if (tensor_elems(t) > INT32_MAX)
		return map_refuse(e, "a tensor of %lld elements, more than 2^31 - 1",
				  (long long)tensor_elems(t));
	return 0;
}

/* Post-operations read their operand where the output is written. */
static int check_post(const struct map_encoder *e, const struct tensor *t)
{
	const struct tensor *y = map_out(e, 0);
	const int64_t *d = y->shape.dims;
	bool alike = t->layout == y->layout || d[1] == 1 || d[2] * d[3] == 1;

	if (t->shape.rank != y->shape.rank || memcmp(t->shape.dims, d, sizeof(t->shape.dims)) != 0)
		return map_refuse(e, "a post-operation that broadcasts");
	if (!alike)
		return map_refuse(e, "a post-operation's operand in another layout");
	if (!map_is_float(t->shape.dtype))
		return map_refuse(e, "a post-operation with %s", dtype_name(t->shape.dtype));
	return 0;
}

static int check_operands(const struct map_encoder *e)
{
	const struct step *s = e->step;
	int err = 0;

	for (int i = 0; i < s->nr_in && !err; i++)
		err = check_tensor(e, s->in[i]);
	for (int i = 0; i < s->nr_out && !err; i++)
		err = check_tensor(e, s->out[i]);
	for (int i = 0; i < s->nr_post && !err; i++)
		if (s->post[i].op == OOO_OP_ADD || s->post[i].op == OOO_OP_MUL)
			err = check_post(e, &e->tensors[s->post[i].operand]);
	return err;
}

int encode_map(struct cuda_plan *plan, const struct step *step, char *why, size_t n)
{
	const struct map_encoder e = {
		.plan = plan,
		.step = step,
		.tensors = plan_program(plan)->tensors,
		.why = why,
		.why_bytes = n,
	};
	int err = check_operands(&e);

	if (err)
		return err;
	switch (step->op) {
	case OOO_OP_PAD:
		return map_encode_pad(&e);
	case OOO_OP_GATHER:
		return map_encode_gather(&e);
	case OOO_OP_IDENTITY:
	case OP_REORDER:
		return map_encode_move(&e);
	case OOO_OP_CAST:
		if (map_in(&e, 0)->shape.dtype == map_out(&e, 0)->shape.dtype)
			return map_encode_move(&e);
		return encode_pointwise(&e);
	default:
		return step->klass == CLASS_MOVE ? map_encode_move(&e) : encode_pointwise(&e);
	}
}
