// SPDX-License-Identifier: Apache-2.0
/*
 * LSTM and GRU: a phase for the input half of all time steps, then one or two phases a time step. W
 * and R are packed in the type to compute in, their rows padded so that 16 bytes move as one.
 */
#include <errno.h>
#include <stdio.h>

#include "agent/device/cuda/cuda.h"
#include "agent/device/cuda/pack.h"
#include "agent/device/cuda/task_rnn.h"

#define TILE 64 /* rows and columns of a product's tile */

struct rnn {
	struct cuda_plan *plan;
	const struct program *p;
	const struct step *step;
	uint32_t steps, batch, input, hidden, pitch, directions, nr_gates;
	uint32_t dtype; /* that products compute in */
	bool two_parts; /* of a time step */
	struct cuda_operand gates, state, cell, reset, lens;
};

static uint32_t rounded(uint32_t n, uint32_t to)
{
	return (n + to - 1) / to * to;
}

static const struct shape *shape_of(const struct rnn *n, unsigned i)
{
	return &n->p->tensors[n->step->in[i]].shape;
}

static struct cuda_operand operand(const struct rnn *n, unsigned i)
{
	return plan_operand(n->plan, i < n->step->nr_in ? n->step->in[i] : OOO_NONE);
}

static struct cuda_operand result(const struct rnn *n, unsigned i)
{
	return plan_operand(n->plan, i < n->step->nr_out ? n->step->out[i] : OOO_NONE);
}

/* As permitted, or as declared. */
static uint32_t compute_dtype(const struct rnn *n)
{
	uint32_t dtype = n->p->precision;

	if (dtype == OOO_FP16 || dtype == OOO_BF16)
		return dtype;
	dtype = shape_of(n, 0)->dtype;
	return dtype == shape_of(n, 2)->dtype ? dtype : OOO_FP32;
}

static int check(const struct rnn *n, const int64_t *x, char *why, size_t bytes)
{
	uint64_t lines = (uint64_t)x[0] * (uint64_t)x[1] * n->directions;
	uint64_t phases = 1 + (uint64_t)x[0] * (n->two_parts ? 2 : 1);

	if (phases > CUDA_MAX_PHASES)
		snprintf(why, bytes, "%lld time steps make %llu launches, more than %d",
			 (long long)x[0], (unsigned long long)phases, CUDA_MAX_PHASES);
	else if (lines * n->nr_gates * n->hidden > INT32_MAX ||
		 (uint64_t)n->directions * n->nr_gates * n->hidden * n->pitch > INT32_MAX ||
		 (uint64_t)x[0] * (uint64_t)x[1] * (uint64_t)x[2] > INT32_MAX)
		snprintf(why, bytes,
			 "a recurrent layer of more than 2^31 gates, weights or inputs");
	else if (n->step->nr_post)
		snprintf(why, bytes, "a recurrent layer with post-operations");
	else
		return 0;
	return -EOPNOTSUPP;
}

static int describe(struct rnn *n, char *why, size_t bytes)
{
	const int64_t *x = shape_of(n, 0)->dims;
	const struct ooo_attr *a = &n->step->attr;
	bool lstm = n->step->op == OOO_OP_LSTM;

	n->directions = (uint32_t)shape_of(n, 1)->dims[0];
	n->hidden = (uint32_t)shape_of(n, 2)->dims[2];
	n->pitch = rounded(n->hidden, 8);
	n->nr_gates = lstm ? 4 : 3;
	n->two_parts = !lstm && !(a->flags & OOO_ATTR_LINEAR_BEFORE_RESET);
	n->dtype = compute_dtype(n);
	if (check(n, x, why, bytes))
		return -EOPNOTSUPP;
	n->steps = (uint32_t)x[0];
	n->batch = (uint32_t)x[1];
	n->input = (uint32_t)x[2];
	return 0;
}

static void take_scratch(struct rnn *n)
{
	uint64_t state = (uint64_t)n->directions * n->batch * n->pitch * sizeof(float);
	uint64_t gates = (uint64_t)n->steps * n->batch * n->directions * n->nr_gates * n->hidden;

	n->gates = plan_scratch(n->plan, gates * sizeof(float), OOO_FP32);
	n->state = plan_scratch(n->plan, 2 * state, OOO_FP32);
	n->cell = plan_scratch(n->plan, state, OOO_FP32);
	n->lens = plan_scratch(n->plan, n->batch * sizeof(int32_t), OOO_INT32);
	if (n->two_parts)
		n->reset = plan_scratch(n->plan, state, OOO_FP32);
}

/* Operand i, rows of so many columns, as weights; *row: elements from one to the next. */
static int take_weights(const struct rnn *n, unsigned i, uint32_t columns, struct cuda_operand *out,
			uint32_t *row)
{
	uint32_t id = n->step->in[i], have = shape_of(n, i)->dtype;
	const void *data = plan_const_data(n->plan, id);
	uint64_t rows = (uint64_t)n->directions * n->nr_gates * n->hidden;
	uint32_t pitch = rounded(columns, 8);
	void *to;
	int err;

	*row = columns;
	if (!data || (have == n->dtype && pitch == columns)) {
		*out = operand(n, i);
		return 0;
	}
	err = plan_block(n->plan, rows * pitch * dtype_bytes(n->dtype), (uint8_t)n->dtype, &to,
			 out);
	if (err)
		return err;
	*row = pitch;
	for (uint64_t r = 0; r < rows; r++)
		for (uint32_t c = 0; c < columns; c++)
			pack_store(to, r * pitch + c, n->dtype,
				   pack_load(data, (int64_t)(r * columns + c), have));
	return 0;
}

static int encode_input(const struct rnn *n)
{
	uint32_t rows = n->steps * n->batch, columns = n->directions * n->nr_gates * n->hidden;
	uint32_t column_tiles = (columns + TILE - 1) / TILE;
	uint32_t state = n->directions * n->batch * n->pitch;
	bool lstm = n->step->op == OOO_OP_LSTM;
	struct rnn_input_task t = {
		.x = operand(n, 0),
		.bias = operand(n, 3),
		.lens = operand(n, 4),
		.h0 = operand(n, 5),
		.gates = n->gates,
		.state = n->state,
		.cell = n->cell,
		.reset = n->reset,
		.lens_out = n->lens,
		.rows = rows,
		.columns = columns,
		.depth = n->input,
		.column_tiles = column_tiles,
		.product_tiles = (rows + TILE - 1) / TILE * column_tiles,
		.steps = n->steps,
		.batch = n->batch,
		.hidden = n->hidden,
		.pitch = n->pitch,
		.directions = n->directions,
		.nr_gates = n->nr_gates,
	};
	enum cuda_kernel kernel = n->dtype == OOO_FP16   ? KERNEL_RNN_INPUT_F16
				  : n->dtype == OOO_BF16 ? KERNEL_RNN_INPUT_BF16
							 : KERNEL_RNN_INPUT_FP32;
	int err = plan_task_head(n->plan, n->step, &t.head);

	if (lstm)
		t.c0 = operand(n, 6);
	if (!err)
		err = take_weights(n, 1, n->input, &t.w, &t.w_row);
	if (err)
		return err;
	t.head.nr_tiles = t.product_tiles + (state + RNN_CHUNK - 1) / RNN_CHUNK;
	return plan_task(n->plan, kernel, &t, sizeof(t));
}

static int fill_step(const struct rnn *n, struct rnn_step_task *t)
{
	const struct ooo_attr *a = &n->step->attr;
	bool lstm = n->step->op == OOO_OP_LSTM;

	*t = (struct rnn_step_task){
		.bias = operand(n, 3),
		.gates = n->gates,
		.state = n->state,
		.cell = n->cell,
		.reset = n->reset,
		.lens = n->lens,
		.y = result(n, 0),
		.y_h = result(n, 1),
		.steps = n->steps,
		.batch = n->batch,
		.hidden = n->hidden,
		.pitch = n->pitch,
		.directions = n->directions,
		.nr_gates = n->nr_gates,
		.unit_tiles = (n->hidden + RNN_UNITS - 1) / RNN_UNITS,
		.backwards = a->mode == 1,
		.flags = a->flags,
		.clip = a->alpha,
	};
	if (lstm) {
		t->peephole = operand(n, 7);
		t->y_c = result(n, 2);
	}
	return take_weights(n, 2, n->hidden, &t->r, &t->r_row);
}

static int add_step(const struct rnn *n, struct rnn_step_task *t, uint32_t kind)
{
	int err;

	plan_next_phase(n->plan);
	t->kind = kind;
	err = plan_task_head(n->plan, n->step, &t->head);
	if (err)
		return err;
	t->head.nr_tiles = t->directions * t->unit_tiles;
	return plan_task(n->plan, KERNEL_RNN_STEP, t, sizeof(*t));
}

static int encode_steps(const struct rnn *n)
{
	struct rnn_step_task t;
	int err = fill_step(n, &t);

	for (t.time = 0; !err && t.time < n->steps; t.time++) {
		if (n->step->op == OOO_OP_LSTM) {
			err = add_step(n, &t, RNN_LSTM);
		} else if (!n->two_parts) {
			err = add_step(n, &t, RNN_GRU);
		} else {
			err = add_step(n, &t, RNN_GRU_GATES);
			if (!err)
				err = add_step(n, &t, RNN_GRU_CANDIDATE);
		}
	}
	return err;
}

int encode_rnn(struct cuda_plan *plan, const struct step *step, char *why, size_t bytes)
{
	struct rnn n = { .plan = plan, .p = plan_program(plan), .step = step };
	int err = describe(&n, why, bytes);

	if (err)
		return err;
	take_scratch(&n);
	err = encode_input(&n);
	return err ? err : encode_steps(&n);
}
