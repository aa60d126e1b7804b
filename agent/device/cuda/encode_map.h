/* SPDX-License-Identifier: Apache-2.0 */
/* What the encoders of pointwise and moving steps share. */
#ifndef OOO_CUDA_ENCODE_MAP_H
#define OOO_CUDA_ENCODE_MAP_H

#include "agent/device/cpu/kernels_impl.h"
#include "agent/device/cuda/cuda.h"
#include "agent/device/cuda/task_map.h"

/* One step being encoded. */
struct map_encoder {
	struct cuda_plan *plan;
	const struct step *step;
	const struct tensor *tensors;
	char *why;
	size_t why_bytes;
};

/* A copy: operand 0 of the walk is the output. Bases are elements from the tensors' begin. */
struct map_move {
	struct walk w;
	int64_t out_base, in_base;
	struct cuda_operand out, in;
};

static inline const struct tensor *map_in(const struct map_encoder *e, int i)
{
	return &e->tensors[e->step->in[i]];
}

static inline const struct tensor *map_out(const struct map_encoder *e, int i)
{
	return &e->tensors[e->step->out[i]];
}

static inline bool map_is_float(uint32_t dtype)
{
	return dtype == OOO_FP32 || dtype == OOO_FP16 || dtype == OOO_BF16;
}

__attribute__((format(printf, 2, 3))) int map_refuse(const struct map_encoder *e, const char *fmt,
						     ...);

/* Bytes of an element that is copied between two types; 0: floats that are converted. */
int map_unit_bytes(const struct map_encoder *e, uint32_t from, uint32_t to, uint32_t *bytes);
/* The walk's dims into task; the operands' order is the walk's. */
void map_set_walk(struct map_task *task, const struct walk *w);
/* Add task, of `tile` elements a tile. */
int map_add(const struct map_encoder *e, enum cuda_kernel kernel, struct map_task *task,
	    uint32_t tile);
/* Whether the walk's dims suit runs of four neighbours of every operand. */
bool map_quads(const struct walk *w);
/* Dims in the order of the output's memory. */
void map_sort(struct walk *w);

/* encode_map_move.c: add the copy; transpose: it may use that kernel, being the phase's only task. */
int map_encode_copy(const struct map_encoder *e, struct map_move *m, bool transpose);
int map_encode_move(const struct map_encoder *e);
/* encode_map_index.c */
int map_encode_pad(const struct map_encoder *e);
int map_encode_gather(const struct map_encoder *e);

#endif
