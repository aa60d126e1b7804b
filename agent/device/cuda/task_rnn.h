/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LSTM and GRU. One phase multiplies the inputs of all time steps with W; then comes a phase for each
 * time step, two for a GRU whose reset gate works on the state itself (part 0: update and reset
 * gates, part 1: the candidate). A tile of the latter is 4 hidden units of one direction, with all
 * their gates, for the whole batch.
 *
 * In the slot, fp32, dir = direction, N = batch, pitch = hidden rounded up to 8 (the rest is 0):
 *
 *	gates   [steps][N][directions][nr_gates][hidden]   W x + bias of W
 *	state   [2][directions][N][pitch]   h before and after a time step, by turns
 *	cell    [directions][N][pitch]      LSTM: c; GRU in two parts: the update gate
 *	reset   [directions][N][pitch]      GRU in two parts: reset gate * h
 *	lens    [N]                         int32, within 0 .. steps
 */
#ifndef OOO_CUDA_TASK_RNN_H
#define OOO_CUDA_TASK_RNN_H

#include "agent/device/cuda/task.h"

#define RNN_UNITS 4    /* of a tile */
#define RNN_CHUNK 2048 /* elements of the state that a tile of the first phase sets up */

enum rnn_kind {
	RNN_LSTM,
	RNN_GRU,           /* linear before reset: one part */
	RNN_GRU_GATES,     /* else: part 0 */
	RNN_GRU_CANDIDATE, /* and part 1 */
};

/* The first phase: tiles of 64 x 64 gates, then tiles that set up state, cell and lens. */
struct rnn_input_task {
	struct cuda_task head;
	struct cuda_operand x, w, bias, lens, h0, c0;
	struct cuda_operand gates, state, cell, reset, lens_out;
	uint32_t rows, columns, depth; /* steps * N, directions * nr_gates * hidden, inputs */
	uint32_t w_row;                /* elements from a row of W to the next */
	uint32_t column_tiles, product_tiles;
	uint32_t steps, batch, hidden, pitch, directions, nr_gates;
};

struct rnn_step_task {
	struct cuda_task head;
	struct cuda_operand r, bias, peephole, gates, state, cell, reset, lens;
	struct cuda_operand y, y_h, y_c;
	uint32_t r_row; /* elements from a row of R to the next */
	uint32_t kind;  /* enum rnn_kind */
	uint32_t time;  /* of the time steps, in the order in which they are computed */
	uint32_t steps, batch, hidden, pitch, directions, nr_gates;
	uint32_t unit_tiles; /* of one direction */
	uint32_t backwards;  /* direction 0 */
	uint32_t flags;      /* enum ooo_attr_flag */
	float clip;          /* 0: none */
	uint32_t resv;
};

#endif
