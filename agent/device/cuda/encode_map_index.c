// SPDX-License-Identifier: Apache-2.0
/* Pad and Gather: elements found by an index computed per axis, or read. */
#include <string.h>

#include "agent/device/cuda/encode_map.h"

/* The constant in the output's type; floats that are not copied as bits are fp32. */
static uint64_t pad_fill(const struct map_encoder *e)
{
	float value = e->step->attr.alpha;
	uint64_t bits = 0;

	if (!map_is_float(map_out(e, 0)->shape.dtype))
		return (uint64_t)(int64_t)value; /* in the type's range: inference has seen to it */
	memcpy(&bits, &value, sizeof(value));
	return bits;
}

/* Axes in the order of the output's memory; operand 2's stride stands for the axis itself. */
static void pad_walk(const struct map_encoder *e, struct walk *w)
{
	const struct tensor *y = map_out(e, 0);

	w->rank = y->shape.rank;
	w->nr_operands = 3;
	tensor_strides(y, w->stride[0]);
	tensor_strides(map_in(e, 0), w->stride[1]);
	for (int i = 0; i < w->rank; i++) {
		w->dims[i] = y->shape.dims[i];
		w->stride[2][i] = i;
	}
	map_sort(w);
}

/* Neighbours that are not padded are one axis. */
static void pad_dims(const struct map_encoder *e, const struct walk *w, struct map_task *task)
{
	const int64_t *start = e->step->attr.start, *in = map_in(e, 0)->shape.dims;
	bool whole_before = false;
	uint32_t n = 0;

	for (int i = 0; i < w->rank; i++) {
		int64_t axis = w->stride[2][i], size = in[axis];
		bool whole = !start[axis] && size == w->dims[i];
		struct map_dim *dim = &task->dim[n];

		if (whole && whole_before && (dim - 1)->stride[1] == w->stride[1][i] * w->dims[i]) {
			dim--;
			size *= dim->stride[3];
		} else {
			n++;
		}
		dim->by = cuda_div_make((uint32_t)(whole ? size : w->dims[i]));
		dim->stride[1] = (int32_t)w->stride[1][i];
		dim->stride[2] = (int32_t)start[axis];
		dim->stride[3] = (int32_t)size;
		whole_before = whole;
	}
	if (!n) { /* a scalar */
		task->dim[n].by = cuda_div_make(1);
		task->dim[n++].stride[3] = 1;
	}
	task->rank = n;
}

int map_encode_pad(const struct map_encoder *e)
{
	const struct tensor *x = map_in(e, 0), *y = map_out(e, 0);
	struct map_task task = { .mode = MAP_PAD };
	struct walk w = { 0 };
	int err;

	task.elems = (uint32_t)tensor_elems(y);
	if (!task.elems)
		return 0;
	if (e->step->nr_post)
		return map_refuse(e, "post-operations of padding");
	for (int i = 0; i < y->shape.rank; i++)
		if (2 * x->shape.dims[i] + y->shape.dims[i] > INT32_MAX)
			return map_refuse(e, "axis %d of more than 2^31 / 3 elements", i);
	err = map_unit_bytes(e, x->shape.dtype, y->shape.dtype, &task.unit_bytes);
	if (!err)
		err = plan_task_head(e->plan, e->step, &task.head);
	if (err)
		return err;
	if (map_is_float(y->shape.dtype) && y->shape.dtype != OOO_FP32)
		task.unit_bytes = 0;
	pad_walk(e, &w);
	pad_dims(e, &w, &task);
	task.pad_mode = (uint32_t)e->step->attr.mode;
	task.fill = pad_fill(e);
	task.operand[0] = plan_operand(e->plan, e->step->out[0]);
	task.operand[1] = plan_operand(e->plan, e->step->in[0]);
	return map_add(e, KERNEL_MAP, &task, MAP_UNIT_TILE);
}

/* Rows, and tiles of them, in units as large as a row allows. */
static void gather_tiles(struct gather_task *t, uint64_t row)
{
	uint32_t tile, tiles;

	while (t->unit_bytes && t->unit_bytes < 16 && row % 2 == 0) {
		t->unit_bytes *= 2;
		row /= 2;
	}
	tile = t->unit_bytes == 16 ? GATHER_TILE16 : GATHER_TILE;
	t->row = (uint32_t)row;
	t->units_per_tile = t->row < tile ? t->row : tile;
	t->rows_per_tile = tile / t->units_per_tile;
	if (t->rows_per_tile > MAP_THREADS)
		t->rows_per_tile = MAP_THREADS;
	tiles = (t->row + t->units_per_tile - 1) / t->units_per_tile;
	t->by_tiles = cuda_div_make(tiles);
	t->by_units = cuda_div_make(t->units_per_tile);
	t->head.nr_tiles = (t->rows + t->rows_per_tile - 1) / t->rows_per_tile * tiles;
}

int map_encode_gather(const struct map_encoder *e)
{
	const struct tensor *table = map_in(e, 0), *index = map_in(e, 1), *y = map_out(e, 0);
	int axis = e->step->attr.axis, err;
	struct gather_task task = { .size = (uint32_t)table->shape.dims[axis] };
	uint64_t row = 1;

	if (!tensor_elems(y))
		return 0;
	if (e->step->nr_post)
		return map_refuse(e, "post-operations of rows");
	if (table->layout != LAYOUT_PLAIN || index->layout != LAYOUT_PLAIN ||
	    y->layout != LAYOUT_PLAIN)
		return map_refuse(e, "rows of channels-last images");
	if (index->shape.dtype != OOO_INT32 && index->shape.dtype != OOO_INT64)
		return map_refuse(e, "indices of type %s", dtype_name(index->shape.dtype));
	err = map_unit_bytes(e, table->shape.dtype, y->shape.dtype, &task.unit_bytes);
	if (!err)
		err = plan_task_head(e->plan, e->step, &task.head);
	if (err)
		return err;
	for (int i = axis + 1; i < table->shape.rank; i++)
		row *= (uint64_t)table->shape.dims[i];
	task.rows = (uint32_t)((uint64_t)tensor_elems(y) / row);
	task.by_index = cuda_div_make((uint32_t)tensor_elems(index));
	task.out = plan_operand(e->plan, e->step->out[0]);
	task.table = plan_operand(e->plan, e->step->in[0]);
	task.index = plan_operand(e->plan, e->step->in[1]);
	gather_tiles(&task, row);
	return plan_task(e->plan, KERNEL_MAP_GATHER, &task, sizeof(task));
}
