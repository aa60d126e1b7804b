// SPDX-License-Identifier: Apache-2.0
/*
 * One time step of a recurrent layer. Each of a block's four warps multiplies the rows of R of one
 * hidden unit, one row a gate, with the states of up to four batches; then the first warp's threads
 * update one unit of one batch each. A step reads the state that the last one wrote and writes
 * another, so blocks need not know of each other.
 *
 * Time goes into waiting for memory, so what does not depend on the last step is read before its
 * end: the task, and the first weights of every row.
 */
#include "agent/device/cuda/kernels/launch.cuh"
#include "agent/device/cuda/kernels/values.cuh"
#include "agent/device/cuda/task_rnn.h"

#define BATCH 4 /* that share a row while it is in registers */

/* How R is read: 16 bytes a lane, or element by element where rows do not begin at 16 bytes or
 * where R is no constant. */
enum rnn_weights {
	WIDE_FP32,
	WIDE_HALF,
	ANY,
};

struct rnn_tile {
	const struct rnn_step_task *task;
	const u8 *r;         /* row 0 of the warp's unit */
	const float *vector; /* that R is multiplied with, of batch 0 of the direction */
	u32 dtype, gate;     /* of R; elements from the row of one gate to the next */
	u32 pitch, hidden, batch;
	u32 dir, unit; /* first of the tile */
};

template <enum rnn_weights W> struct rnn_lane {
	static constexpr u32 elements = W == WIDE_HALF ? 8 : 4; /* of a row, at a time */
};

/* Elements at .. of the row of gate g, as they lie in memory. */
template <enum rnn_weights W> DEVICE vec4 fetch(const struct rnn_tile *n, u32 g, u32 at)
{
	u64 row = (u64)g * n->gate + at;

	if (at >= n->pitch)
		return vec4{ 0, 0, 0, 0 };
	if constexpr (W == WIDE_HALF) {
		return load16_const((const u16 *)n->r + row);
	} else if constexpr (W == WIDE_FP32) {
		return load16_const((const float *)n->r + row);
	} else {
		u32 v[4];

#pragma unroll
		for (u32 j = 0; j < 4; j++)
			v[j] = at + j < n->hidden ? float_bits(load_f32(n->r, row + j, n->dtype))
						  : 0;
		return vec4{ v[0], v[1], v[2], v[3] };
	}
}

/* Four of the elements, from number k on. */
template <enum rnn_weights W> DEVICE void unpack(const vec4 &a, u32 k, u32 dtype, float w[4])
{
	u32 low = k ? a.z : a.x, high = k ? a.w : a.y;

	if constexpr (W != WIDE_HALF) {
		w[0] = bits_float(a.x);
		w[1] = bits_float(a.y);
		w[2] = bits_float(a.z);
		w[3] = bits_float(a.w);
	} else if (dtype == OOO_BF16) {
		w[0] = bits_float(low << 16);
		w[1] = bits_float(low & 0xffff0000u);
		w[2] = bits_float(high << 16);
		w[3] = bits_float(high & 0xffff0000u);
	} else {
		w[0] = f16_to_f32((u16)low);
		w[1] = f16_to_f32((u16)(low >> 16));
		w[2] = f16_to_f32((u16)high);
		w[3] = f16_to_f32((u16)(high >> 16));
	}
}

/* sums[gate][batch] += the weights that were fetched . the states' elements there. */
template <int GATES, int NR, enum rnn_weights W>
DEVICE void multiply(const struct rnn_tile *n, const vec4 r[GATES], u32 at, u32 batch,
		     float sums[GATES][NR])
{
	if (at >= n->pitch)
		return;
#pragma unroll
	for (u32 k = 0; k < rnn_lane<W>::elements; k += 4) {
		float w[GATES][4];

#pragma unroll
		for (u32 g = 0; g < GATES; g++)
			unpack<W>(r[g], k, n->dtype, w[g]);
#pragma unroll
		for (u32 b = 0; b < NR; b++) {
			u32 line = batch + b < n->batch ? batch + b : batch;
			vec4 v = load16(n->vector + (u64)line * n->pitch + at + k);
			float h[4] = { bits_float(v.x), bits_float(v.y), bits_float(v.z),
				       bits_float(v.w) };

#pragma unroll
			for (u32 g = 0; g < GATES; g++)
#pragma unroll
				for (u32 j = 0; j < 4; j++)
					sums[g][b] = fmaf(w[g][j], h[j], sums[g][b]);
		}
	}
}

template <int GATES, enum rnn_weights W> struct rnn_ahead {
	vec4 a[GATES],
	b[GATES]; /* of the row's next two pieces */
};

template <int GATES, enum rnn_weights W>
DEVICE void fetch_ahead(const struct rnn_tile *n, u32 at, struct rnn_ahead<GATES, W> *ahead)
{
#pragma unroll
	for (u32 g = 0; g < GATES; g++) {
		ahead->a[g] = fetch<W>(n, g, at);
		ahead->b[g] = fetch<W>(n, g, at + 32 * rnn_lane<W>::elements);
	}
}

/* The sums of all lanes, into shared[gate][batch][unit]. */
template <int GATES, int NR> DEVICE void share_sums(float sums[GATES][NR], float *shared)
{
#pragma unroll
	for (u32 g = 0; g < GATES; g++) {
#pragma unroll
		for (u32 b = 0; b < NR; b++) {
#pragma unroll
			for (int m = 16; m; m /= 2)
				sums[g][b] += shfl_xor(sums[g][b], m);
			if (thread_id() % 32 == 0)
				shared[(g * BATCH + b) * RNN_UNITS + thread_id() / 32] = sums[g][b];
		}
	}
}

/* The warp's unit for the only batch; the row's first pieces are there. */
template <int GATES, enum rnn_weights W>
DEVICE void multiply_one(const struct rnn_tile *n, struct rnn_ahead<GATES, W> &ahead, float *shared)
{
	constexpr u32 STEP = 32 * rnn_lane<W>::elements;
	float sums[GATES][1];

#pragma unroll
	for (u32 g = 0; g < GATES; g++)
		sums[g][0] = 0.0f;
#pragma unroll 1
	for (u32 at = thread_id() % 32 * rnn_lane<W>::elements; at < n->pitch; at += 2 * STEP) {
		multiply<GATES, 1, W>(n, ahead.a, at, 0, sums);
		multiply<GATES, 1, W>(n, ahead.b, at + STEP, 0, sums);
		if (at + 2 * STEP < n->pitch)
			fetch_ahead<GATES, W>(n, at + 2 * STEP, &ahead);
	}
	share_sums<GATES, 1>(sums, shared);
}

/* The warp's unit for BATCH batches from `batch` on. */
template <int GATES, enum rnn_weights W>
DEVICE void multiply_batch(const struct rnn_tile *n, u32 batch, float *shared)
{
	constexpr u32 STEP = 32 * rnn_lane<W>::elements;
	float sums[GATES][BATCH];

#pragma unroll
	for (u32 g = 0; g < GATES; g++)
#pragma unroll
		for (u32 b = 0; b < BATCH; b++)
			sums[g][b] = 0.0f;
#pragma unroll 1
	for (u32 at = thread_id() % 32 * rnn_lane<W>::elements; at < n->pitch; at += STEP) {
		vec4 r[GATES];

#pragma unroll
		for (u32 g = 0; g < GATES; g++)
			r[g] = fetch<W>(n, g, at);
		multiply<GATES, BATCH, W>(n, r, at, batch, sums);
	}
	share_sums<GATES, BATCH>(sums, shared);
}

/* ---- the cell -------------------------------------------------------------------------------- */

/* One unit of one batch; the thread's own. Read before the sums are there. */
struct rnn_cell {
	const struct rnn_step_task *task;
	float wx[4];   /* W x with both biases, but without R's for a GRU's candidate */
	float bias;    /* which is this */
	float h, kept; /* state and cell before */
	u32 dir, batch, unit;
	u32 line;  /* dir * N + batch */
	u32 at;    /* in a state of all lines */
	u32 time;  /* of x and y */
	bool past; /* behind the sequence's end */
};

DEVICE float sigmoid(float x)
{
	return 1.0f / (1.0f + expf(-x));
}

DEVICE float clipped(const struct rnn_cell *c, float x)
{
	float clip = c->task->clip;

	if (!(clip > 0.0f))
		return x;
	return x > clip ? clip : x < -clip ? -clip : x;
}

DEVICE float gate(const struct rnn_cell *c, const float *sums, u32 g)
{
	return c->wx[g] + sums[g * BATCH * RNN_UNITS];
}

DEVICE float peephole(const struct rnn_cell *c, const void *p, u32 g)
{
	return load_f32(p, (c->dir * 3 + g) * c->task->hidden + c->unit, c->task->peephole.dtype);
}

/* Gates in the order i o f c; the state after the step. */
DEVICE float lstm_cell(const struct rnn_cell *c, const struct tile *t, const float *sums,
		       float *cell)
{
	const void *p = operand_address(t, &c->task->peephole);
	float i = gate(c, sums, 0), o = gate(c, sums, 1), f = gate(c, sums, 2),
	      fresh = gate(c, sums, 3), now = *cell;

	if (p) {
		i += peephole(c, p, 0) * now;
		f += peephole(c, p, 2) * now;
	}
	i = sigmoid(clipped(c, i));
	f = c->task->flags & OOO_ATTR_INPUT_FORGET ? 1.0f - i : sigmoid(clipped(c, f));
	now = f * now + i * tanhf(clipped(c, fresh));
	if (p)
		o += peephole(c, p, 1) * now;
	*cell = now;
	return sigmoid(clipped(c, o)) * tanhf(now);
}

/* Gates in the order z r h. */
DEVICE float gru_cell(const struct rnn_cell *c, const float *sums)
{
	float z = sigmoid(clipped(c, gate(c, sums, 0))), r = sigmoid(clipped(c, gate(c, sums, 1)));
	float fresh = c->wx[2] + r * (sums[2 * BATCH * RNN_UNITS] + c->bias);

	fresh = tanhf(clipped(c, fresh));
	return (1.0f - z) * fresh + z * c->h;
}

DEVICE float gru_candidate(const struct rnn_cell *c, const float *sums, float z)
{
	float fresh = c->wx[2] + (sums[0] + c->bias);

	fresh = tanhf(clipped(c, fresh));
	return (1.0f - z) * fresh + z * c->h;
}

/* The state after the step, here and in the results. */
DEVICE void store_state(const struct rnn_cell *c, const struct tile *t, float *next, float h,
			float cell)
{
	const struct rnn_step_task *task = c->task;
	void *y = operand_address(t, &task->y), *y_h, *y_c;
	u64 at = (u64)(c->time * task->directions + c->dir) * task->batch + c->batch;

	*next = h;
	if (y)
		store_f32(y, at * task->hidden + c->unit, task->y.dtype, c->past ? 0.0f : h);
	if (task->time + 1 < task->steps)
		return;
	y_h = operand_address(t, &task->y_h);
	y_c = operand_address(t, &task->y_c);
	at = (u64)c->line * task->hidden + c->unit;
	if (y_h)
		store_f32(y_h, at, task->y_h.dtype, h);
	if (y_c)
		store_f32(y_c, at, task->y_c.dtype, cell);
}

DEVICE struct rnn_cell cell_begin(const struct tile *t, const struct rnn_step_task *task, u32 dir,
				  u32 batch, u32 unit)
{
	u32 all = task->directions * task->batch * task->pitch, hidden = task->hidden;
	u32 len = ((const u32 *)operand_address(t, &task->lens))[batch];
	const float *gates = (const float *)operand_address(t, &task->gates);
	const void *bias = operand_address(t, &task->bias);
	bool back = dir == 1 || task->backwards;
	struct rnn_cell c;

	c.bias = 0.0f;
	c.task = task;
	c.dir = dir;
	c.batch = batch;
	c.unit = unit;
	c.line = dir * task->batch + batch;
	c.at = c.line * task->pitch + unit;
	c.past = task->time >= len;
	c.time = back && !c.past ? len - 1 - task->time : task->time;
	c.h = ((const float *)operand_address(t, &task->state))[task->time % 2 * all + c.at];
	c.kept = ((const float *)operand_address(t, &task->cell))[c.at];
	gates += (u64)((c.time * task->batch + batch) * task->directions + dir) * task->nr_gates *
			 hidden +
		 unit;
#pragma unroll
	for (u32 g = 0; g < 4; g++) {
		u32 at = ((dir * 2 + 1) * task->nr_gates + g) * hidden + unit;

		c.wx[g] = g < task->nr_gates ? gates[(u64)g * hidden] : 0.0f;
		if (!bias || g >= task->nr_gates)
			continue;
		if (g == 2 && task->kind != RNN_LSTM)
			c.bias = load_f32(bias, at, task->bias.dtype);
		else
			c.wx[g] += load_f32(bias, at, task->bias.dtype);
	}
	return c;
}

/* What the thread's unit and batch become, from the sums of its gates. */
DEVICE void cell_update(const struct rnn_cell *c, const struct tile *t, const float *sums)
{
	const struct rnn_step_task *task = c->task;
	u32 all = task->directions * task->batch * task->pitch;
	float *state = (float *)operand_address(t, &task->state);
	float *cell = (float *)operand_address(t, &task->cell) + c->at;
	float h = c->h, kept = c->kept;

	if (task->kind == RNN_GRU_GATES) {
		*cell = sigmoid(clipped(c, gate(c, sums, 0)));
		((float *)operand_address(t, &task->reset))[c->at] =
			sigmoid(clipped(c, gate(c, sums, 1))) * h;
		return;
	}
	if (!c->past) {
		if (task->kind == RNN_LSTM)
			h = lstm_cell(c, t, sums, &kept);
		else
			h = task->kind == RNN_GRU ? gru_cell(c, sums)
						  : gru_candidate(c, sums, kept);
		*cell = kept;
	}
	store_state(c, t, state + (all - task->time % 2 * all) + c->at, h, kept);
}

/* ---- the step ---------------------------------------------------------------------------------- */

template <int GATES, enum rnn_weights W>
DEVICE void step(const struct cuda_launch *launch, const struct tile *t, struct rnn_tile *n,
		 float *sums)
{
	u32 i = thread_id(), unit = n->unit + i % RNN_UNITS;
	bool warp_used = n->unit + i / 32 < n->hidden, ahead_used = W != ANY && n->batch == 1;
	struct rnn_ahead<GATES, W> ahead = {
	};

	if (ahead_used && warp_used)
		fetch_ahead<GATES, W>(n, i % 32 * rnn_lane<W>::elements, &ahead);
	tile_begin(launch);
	for (u32 batch = 0; batch < n->batch; batch += BATCH) {
		bool updates = i < BATCH * RNN_UNITS && batch + i / RNN_UNITS < n->batch &&
			       unit < n->hidden;
		struct rnn_cell c;

		if (updates)
			c = cell_begin(t, n->task, n->dir, batch + i / RNN_UNITS, unit);
		block_sync(); /* the sums before are read */
		if (ahead_used && warp_used)
			multiply_one<GATES, W>(n, ahead, sums);
		else if (warp_used)
			multiply_batch<GATES, W>(n, batch, sums);
		block_sync();
		if (updates)
			cell_update(&c, t, sums + i);
	}
}

/* GATES rows of R from `first` on. */
template <int GATES>
DEVICE void step_of(const struct cuda_launch *launch, const struct tile *t, struct rnn_tile *n,
		    u32 first, float *sums)
{
	const struct rnn_step_task *task = n->task;
	u64 row = (u64)(n->dir * task->nr_gates + first) * n->hidden + n->unit + thread_id() / 32;
	const u8 *r = (const u8 *)operand_address(t, &task->r);
	bool wide = task->r.place == CUDA_CONST && task->r_row % 8 == 0 && (u64)r % 16 == 0;

	n->r = r + row * task->r_row * dtype_bytes(n->dtype);
	n->gate = n->hidden * task->r_row;
	if (!wide)
		step<GATES, ANY>(launch, t, n, sums);
	else if (n->dtype == OOO_FP32)
		step<GATES, WIDE_FP32>(launch, t, n, sums);
	else
		step<GATES, WIDE_HALF>(launch, t, n, sums);
}

KERNEL_FN(ooo_rnn_step, 128, 3)
{
	SHARED(float, sums, 4 * BATCH * RNN_UNITS);
	struct tile t = tile_find_early(&launch);
	const struct rnn_step_task *task = (const struct rnn_step_task *)t.task;
	bool candidate = task->kind == RNN_GRU_CANDIDATE;
	struct rnn_tile n;

	n.task = task;
	n.dtype = task->r.dtype;
	n.pitch = task->pitch;
	n.hidden = task->hidden;
	n.batch = task->batch;
	n.dir = t.index / task->unit_tiles;
	n.unit = t.index % task->unit_tiles * RNN_UNITS;
	n.vector = (const float *)operand_address(&t, candidate ? &task->reset : &task->state);
	n.vector += (u64)n.dir * n.batch * n.pitch;
	if (!candidate)
		n.vector += task->time % 2 * task->directions * n.batch * n.pitch;
	switch (task->kind) {
	case RNN_LSTM:
		step_of<4>(&launch, &t, &n, 0, sums);
		break;
	case RNN_GRU:
		step_of<3>(&launch, &t, &n, 0, sums);
		break;
	case RNN_GRU_GATES:
		step_of<2>(&launch, &t, &n, 0, sums);
		break;
	default:
		step_of<1>(&launch, &t, &n, 2, sums);
	}
	tile_finish(&launch);
}
