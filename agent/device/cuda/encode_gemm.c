// SPDX-License-Identifier: Apache-2.0
/*
 * Convolutions and matrix products: operands made ready, tiles and splits chosen, tasks written.
 * What is chosen here fixes the order of summation, so it follows from the step's own shape alone.
 */
#include "agent/device/cuda/encode_gemm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An input of the program crosses the bus each time it is read; up to here that costs less than
 * another launch. */
#define DIRECT_IO_BYTES (256 << 10)

int gemm_refuse(struct gemm_build *b, const char *clause)
{
	snprintf(b->why, b->why_bytes, "%s", clause);
	return -EOPNOTSUPP;
}

/* ---- operands ---------------------------------------------------------------------------------- */

static uint32_t dtype_of(enum gemm_type type)
{
	return type == GEMM_F16 ? OOO_FP16 : type == GEMM_BF16 ? OOO_BF16 : OOO_FP32;
}

static uint32_t chunks_of(const struct gemm_build *b, uint32_t channels)
{
	return (channels + b->per_chunk - 1) / b->per_chunk;
}

static bool is_whole(const struct gemm_build *b, int64_t stride, uint32_t count)
{
	return count <= 1 || stride % b->per_chunk == 0;
}

/* Whether the kernels can gather from the tensor as it is. */
static bool is_ready(const struct gemm_build *b, const struct gemm_matrix *m,
		     const struct cuda_operand *at, uint64_t reads)
{
	uint64_t bytes;

	if (at->dtype != dtype_of(b->type) || m->channels % b->per_chunk || m->taps[0] != 1 ||
	    (m->channels > 1 && m->channel_stride != 1) || m->base % b->per_chunk ||
	    !is_whole(b, m->z_stride, m->nr_z) || !is_whole(b, m->row_stride, m->rows) ||
	    !is_whole(b, m->tap_stride[1], m->taps[1]))
		return false;
	bytes = (uint64_t)m->nr_z * m->rows * m->taps[1] * m->channels * dtype_bytes(at->dtype);
	return at->place != CUDA_IO || bytes * reads <= DIRECT_IO_BYTES;
}

static int add_repack(struct gemm_build *b, const struct gemm_matrix *m, enum repack_to kind,
		      uint64_t z_bytes, struct cuda_operand *to)
{
	uint32_t padded = chunks_of(b, m->channels) * b->per_chunk;
	uint64_t columns = (uint64_t)m->taps[0] * m->taps[1] * padded;
	uint64_t row_tiles = ((uint64_t)m->rows + GEMM_ROWS - 1) / GEMM_ROWS;
	uint64_t column_tiles =
		(columns + b->per_chunk * GEMM_CHUNKS - 1) / (b->per_chunk * GEMM_CHUNKS);
	struct repack_task t = {
		.from = plan_operand(b->plan, m->id),
		.type = b->type,
		.to_kind = kind,
		.rows = m->rows,
		.columns = (uint32_t)columns,
		.channels = m->channels,
		.along_rows = m->channel_stride != 1 && m->row_stride == 1,
		.padded = cuda_div_make(padded),
		.tap_columns = cuda_div_make(m->taps[1]),
		.row_tiles = cuda_div_make((uint32_t)row_tiles),
		.column_tiles = cuda_div_make((uint32_t)column_tiles),
		.from_z = m->z_stride,
		.from_row = m->row_stride,
		.from_tap = { m->tap_stride[0], m->tap_stride[1] },
		.from_channel = m->channel_stride,
		.from_base = m->base,
		.to_z = (int64_t)z_bytes,
	};

	if (columns > INT32_MAX || row_tiles * column_tiles * m->nr_z > INT32_MAX)
		return gemm_refuse(b, "an operand of more than 2^31 elements");
	*to = plan_scratch(b->plan, z_bytes * m->nr_z, (uint8_t)dtype_of(b->type));
	t.to = *to;
	t.head.op = b->step->op;
	t.head.nr_tiles = (uint32_t)(row_tiles * column_tiles * m->nr_z);
	b->repacked = true;
	return plan_task(b->plan, KERNEL_REPACK, &t, sizeof(t));
}

int gemm_take_x(struct gemm_build *b, const struct gemm_matrix *m, uint64_t reads, struct gemm_x *x)
{
	uint32_t chunks = chunks_of(b, m->channels);
	struct cuda_operand at = plan_operand(b->plan, m->id);
	uint64_t elems;

	if (is_ready(b, m, &at, reads)) {
		*x = (struct gemm_x){
			.at = at,
			.z = m->nr_z > 1 ? m->z_stride / b->per_chunk : 0,
			.row = m->rows > 1 ? m->row_stride / b->per_chunk : 0,
			.tap = m->taps[1] > 1 ? m->tap_stride[1] / b->per_chunk : 0,
			.chunks = chunks,
		};
		x->at.at += at.place == CUDA_IO ? 0 : (uint64_t)m->base * dtype_bytes(at.dtype);
		return at.place == CUDA_IO && m->base ? -EINVAL : 0;
	}
	*x = (struct gemm_x){ .tap = chunks, .chunks = chunks };
	x->row = (int64_t)m->taps[1] * chunks;
	x->z = x->row * m->rows;
	elems = (uint64_t)x->z * m->nr_z;
	if (elems > INT32_MAX)
		return gemm_refuse(b, "an operand of more than 2^31 elements");
	return add_repack(b, m, REPACK_ROWS, (uint64_t)x->z * GEMM_CHUNK, &x->at);
}

int gemm_take_w(struct gemm_build *b, const struct gemm_matrix *m, struct gemm_w *w)
{
	const void *data = plan_const_data(b->plan, m->id);
	uint64_t blocks = gemm_blocks(m, b->type), bytes = gemm_packed_bytes(m, b->type);
	void *host;
	int err;

	if (blocks > INT32_MAX / GEMM_CHUNKS)
		return gemm_refuse(b, "a sum of more than 2^31 products");
	*w = (struct gemm_w){ .blocks = (uint32_t)blocks, .z = (int64_t)bytes };
	if (!blocks)
		return 0;
	if (!data)
		return add_repack(b, m, REPACK_BLOCKS, bytes, &w->at);
	err = plan_block(b->plan, bytes * m->nr_z, (uint8_t)dtype_of(b->type), &host, &w->at);
	return err ? err : gemm_pack(m, b->type, data, b->p->tensors[m->id].shape.dtype, host);
}

/* ---- tiles ------------------------------------------------------------------------------------- */

/*
 * The kernels of each type: skinny ones for few columns (GEMV), then tiles that grow. A larger tile
 * reads less; but a thread block's time for a block of k is that of memory to answer, whatever its
 * size, so what is not large is cut up by tiles first, and then along k. Splits cost their sums' way
 * through the L2 cache and back, some 2 us.
 */
#define TILING(TYPE, BM, BN, SUMS, TILES, BLOCKS)                                                  \
	{                                                                                          \
		KERNEL_GEMM_##TYPE##_##BM##X##BN, BM, BN, SUMS, TILES, BLOCKS                      \
	}
#define TENSOR_TILINGS(TYPE, LARGE)                                                                \
	{                                                                                          \
		TILING(TYPE, 64, 8, 64 * 8, 64, 6), TILING(TYPE, 64, 16, 64 * 16, 64, 6),          \
			TILING(TYPE, 64, 64, 64 * 64, 32, 6),                                      \
			TILING(TYPE, 128, 64, 128 * 64, 32, 9), LARGE                              \
	}

enum tiling_size {
	TILING_GEMV,
	TILING_SKINNY,
	TILING_SMALL,
	TILING_MEDIUM,
	TILING_LARGE, /* not of all types */
	NR_TILINGS
};

#define LARGE_TILES 64 /* of a step that the large tile is for */

static const struct gemm_tiling tilings[][NR_TILINGS] = {
	[GEMM_F32] = { TILING(F32, 64, 8, 64 * 8 * 2, 64, 6), TILING(F32, 64, 8, 64 * 8 * 2, 64, 6),
		       TILING(F32, 64, 64, 64 * 64, 32, 6), TILING(F32, 128, 64, 128 * 64, 32, 6) },
	[GEMM_TF32] = TENSOR_TILINGS(TF32, { 0 }),
	[GEMM_F16] = TENSOR_TILINGS(F16, TILING(F16, 128, 128, 128 * 128, 32, 9)),
	[GEMM_BF16] = TENSOR_TILINGS(BF16, TILING(BF16, 128, 128, 128 * 128, 32, 9)),
};

/* Two splits save no more than their sums cost, and crowd out others: fp16 256 x 128 x 1152 takes 11 us
 * either way alone, and in twenty 14 us split and 11 whole. */
#define MIN_SPLITS 3

static uint64_t up(uint64_t n, uint64_t step)
{
	return (n + step - 1) / step * step;
}

/* An eighth more than with small tiles at most. */
static bool is_little_waste(const struct gemm_tiling *t, uint32_t m, uint32_t n)
{
	return t->bm && up(m, t->bm) * up(n, t->bn) * 8 <= up(m, 64) * up(n, 64) * 9;
}

void gemm_choose(enum gemm_type type, uint32_t m, uint32_t n, uint32_t nr_z,
		 struct gemm_tiling *tiling)
{
	const struct gemm_tiling *all = tilings[type], *large = &all[TILING_LARGE];

	if (n <= 8)
		*tiling = all[TILING_GEMV];
	else if (n <= 16)
		*tiling = all[TILING_SKINNY];
	else if (is_little_waste(large, m, n) &&
		 up(m, large->bm) * up(n, large->bn) * nr_z >=
			 (uint64_t)large->bm * large->bn * LARGE_TILES)
		*tiling = *large;
	else if (is_little_waste(&all[TILING_MEDIUM], m, n))
		*tiling = all[TILING_MEDIUM];
	else
		*tiling = all[TILING_SMALL];
}

void gemm_split(struct gemm_task *t, const struct gemm_tiling *tiling)
{
	uint32_t tiles_n = (t->n + tiling->bn - 1) / tiling->bn, splits = 1;
	uint64_t tiles;

	t->tiles_m = (t->m + tiling->bm - 1) / tiling->bm;
	tiles = (uint64_t)t->tiles_m * tiles_n * t->nr_z;
	if (tiles && tiles < tiling->want_tiles)
		splits = (uint32_t)((tiling->want_tiles + tiles - 1) / tiles);
	if (splits > t->blocks / tiling->min_blocks)
		splits = t->blocks / tiling->min_blocks;
	if (splits < MIN_SPLITS)
		splits = 1;
	t->blocks_per_split = (t->blocks + splits - 1) / splits;
	t->splits = t->blocks ? (t->blocks + t->blocks_per_split - 1) / t->blocks_per_split : 1;
	t->tiles_n = cuda_div_make(tiles_n);
}

static int emit_one(struct gemm_build *b, struct gemm_product *product,
		    const struct gemm_tiling *tiling)
{
	struct gemm_task *t = &product->task;
	uint64_t tiles;
	void *host;
	int err;

	gemm_split(t, tiling);
	if (t->flags & GEMM_BIAS_BY_CHANNEL && t->y_row == t->row.d * t->y_column &&
	    t->y_image == t->plane.d * t->y_column)
		t->flags |= GEMM_LINEAR;
	tiles = (uint64_t)t->tiles_m * t->tiles_n.d * t->nr_z;
	if (tiles * t->splits > INT32_MAX)
		return gemm_refuse(b, "a product of more than 2^31 tiles");
	err = plan_task_head(b->plan, b->step, &t->head);
	if (err)
		return err;
	t->head.nr_tiles = (uint32_t)(tiles * t->splits);
	if (t->splits > 1) {
		t->partial = plan_scratch(b->plan, tiles * t->splits * tiling->sums * sizeof(float),
					  OOO_FP32);
		t->arrived = plan_zeroed(b->plan, tiles * sizeof(uint32_t));
	}
	if (t->nr_z > 1) {
		err = plan_block(b->plan, t->nr_z * sizeof(*product->batch), OOO_INT64, &host,
				 &t->batch);
		if (err)
			return err;
		memcpy(host, product->batch, t->nr_z * sizeof(*product->batch));
	}
	return plan_task(b->plan, tiling->kernel, t, sizeof(*t));
}

int gemm_emit(struct gemm_build *b, struct gemm_product *products, unsigned nr)
{
	struct gemm_tiling tiling;
	uint32_t m = 0, n = 0;
	int err = 0;

	for (unsigned i = 0; i < nr; i++) {
		m = products[i].task.m > m ? products[i].task.m : m;
		n = products[i].task.n > n ? products[i].task.n : n;
	}
	gemm_choose(b->type, m, n, nr ? products[0].task.nr_z : 1, &tiling);
	if (b->repacked)
		plan_next_phase(b->plan);
	for (unsigned i = 0; i < nr && !err; i++)
		err = emit_one(b, &products[i], &tiling);
	return err;
}

/* ---- the step ---------------------------------------------------------------------------------- */

/* What the program may compute in, or else what its tensors are. */
static enum gemm_type type_of(const struct program *p, const struct step *s)
{
	switch (p->precision) {
	case OOO_FP16:
		return GEMM_F16;
	case OOO_BF16:
		return GEMM_BF16;
	case OOO_TF32:
		return GEMM_TF32;
	default:
		break;
	}
	switch (p->tensors[s->in[0]].shape.dtype) {
	case OOO_FP16:
		return GEMM_F16;
	case OOO_BF16:
		return GEMM_BF16;
	default:
		return GEMM_F32;
	}
}

static bool is_float(uint32_t dtype)
{
	return dtype == OOO_FP32 || dtype == OOO_FP16 || dtype == OOO_BF16;
}

/* Kernels count elements in 31 bits. */
static int check_operand(struct gemm_build *b, uint32_t id)
{
	int64_t elems;

	if (id == OOO_NONE)
		return 0;
	if (!is_float(b->p->tensors[id].shape.dtype))
		return gemm_refuse(b, "an operand that is neither fp32, fp16 nor bf16");
	if (shape_elems(&b->p->tensors[id].shape, &elems) || elems > INT32_MAX)
		return gemm_refuse(b, "an operand of more than 2^31 elements");
	return 0;
}

int encode_gemm(struct cuda_plan *plan, const struct step *step, char *why, size_t n)
{
	const struct program *p = plan_program(plan);
	struct gemm_build b = {
		.plan = plan,
		.p = p,
		.step = step,
		.type = type_of(p, step),
		.why = why,
		.why_bytes = n,
	};
	int64_t elems;
	int err = check_operand(&b, step->out[0]);

	b.per_chunk = gemm_per_chunk(b.type);
	for (unsigned i = 0; i < step->nr_in && !err; i++)
		err = check_operand(&b, step->in[i]);
	for (unsigned i = 0; i < step->nr_post && !err; i++)
		err = check_operand(&b, step->post[i].operand);
	if (err)
		return err;
	if (shape_elems(&p->tensors[step->out[0]].shape, &elems) || !elems)
		return 0;
	return step->op == OOO_OP_MATMUL ? gemm_matmul(&b) : gemm_conv(&b);
}
