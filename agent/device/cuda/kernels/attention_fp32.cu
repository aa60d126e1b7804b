// SPDX-License-Identifier: Apache-2.0
/*
 * Attention in true fp32. 16 x 16 threads hold 4 x 4 scores each of 64 queries by 64 keys, then 4 x 4
 * of the result for each 64 columns. Rows pass through shared memory in slices of 64 columns; what
 * is multiplied along columns lies there transposed. Keys go by in blocks of 64 in their order, with
 * a running maximum and sum for each query.
 */
#include "agent/device/cuda/kernels/attention.cuh"

#define KEYS    MATRIX_SIDE
#define SLICE   MATRIX_SIDE
#define PITCH   MATRIX_PITCH
#define THREADS 256

/* Scores with scale and mask; -inf for keys that are not there. */
DEVICE void finish_scores(float s[4][4], const struct attention_tile *a, const float *key_mask,
			  const float mask[4][4], u32 key)
{
	u32 column = thread_id() % 16 * 4;

#pragma unroll
	for (u32 i = 0; i < 4; i++) {
#pragma unroll
		for (u32 j = 0; j < 4; j++) {
			float v = s[i][j] * a->scale;

			if (a->mask.p)
				v += a->key_mask ? key_mask[column + j] : mask[i][j];
			s[i][j] = key + j < a->keys ? v : NEVER_SEEN;
		}
	}
}

/* The thread's part of a mask that differs by query. */
DEVICE void load_mask(float mask[4][4], const struct attention_tile *a, u32 query, u32 key)
{
#pragma unroll
	for (u32 i = 0; i < 4; i++) {
#pragma unroll
		for (u32 j = 0; j < 4; j++)
			mask[i][j] = 0.0f;
		if (a->mask.p && !a->key_mask && query + i < a->queries && key < a->keys)
			matrix_load4(&a->mask, query + i, key, a->keys, mask[i]);
	}
}

struct running {
	float max[4], sum[4]; /* of the thread's 4 rows; sum: of its own columns */
	float keep[4];        /* what earlier results are multiplied with */
};

/* Scores become exp(score - maximum); the 16 threads of a row agree on the maximum. */
DEVICE void softmax_step(float s[4][4], struct running *run)
{
#pragma unroll
	for (int i = 0; i < 4; i++) {
		float max = fmaxf(fmaxf(s[i][0], s[i][1]), fmaxf(s[i][2], s[i][3])), base;

#pragma unroll
		for (int m = 8; m; m /= 2)
			max = fmaxf(max, shfl_xor(max, m));
		max = fmaxf(max, run->max[i]);
		base = finite_max(max);
		run->keep[i] = expf(run->max[i] - base);
		run->max[i] = max;
		run->sum[i] *= run->keep[i];
#pragma unroll
		for (int j = 0; j < 4; j++) {
			s[i][j] = expf(s[i][j] - base);
			run->sum[i] += s[i][j];
		}
	}
}

/* p[key][query] for the second product. */
DEVICE void store_scores(float *p, const float s[4][4])
{
	u32 x = thread_id() % 16, y = thread_id() / 16;

#pragma unroll
	for (u32 j = 0; j < 4; j++)
		store16(p + (x * 4 + j) * PITCH + y * 4,
			vec4{ float_bits(s[0][j]), float_bits(s[1][j]), float_bits(s[2][j]),
			      float_bits(s[3][j]) });
}

DEVICE void store_rows(const struct attention_tile *a, const float o[4][4], const float scale[4],
		       u32 query, u32 column)
{
	const struct matrix *out = &a->out;

#pragma unroll
	for (u32 i = 0; i < 4; i++) {
		if (query + i >= a->queries || column >= a->value_depth)
			continue;
		if (out->wide && out->dtype == OOO_FP32) {
			store16((void *)matrix_at(out, query + i, column),
				vec4{ float_bits(o[i][0] * scale[i]),
				      float_bits(o[i][1] * scale[i]),
				      float_bits(o[i][2] * scale[i]),
				      float_bits(o[i][3] * scale[i]) });
			continue;
		}
#pragma unroll
		for (u32 j = 0; j < 4; j++)
			if (column + j < a->value_depth)
				store_f32((void *)out->p, (query + i) * out->row + column + j,
					  out->dtype, o[i][j] * scale[i]);
	}
}

template <int SLICES> DEVICE void attention_fp32(const struct cuda_launch *launch)
{
	SHARED_DYNAMIC(shared);
	float *qs = (float *)shared, *kv = qs + SLICE * PITCH, *ps = kv + KEYS * PITCH;
	float *key_mask = ps + KEYS * PITCH;
	struct attention_tile a = attention_begin(launch);
	u32 x = thread_id() % 16, y = thread_id() / 16;
	struct running run;
	float o[SLICES][4][4];

#pragma unroll
	for (int i = 0; i < 4; i++) {
		run.max[i] = NEVER_SEEN;
		run.sum[i] = 0.0f;
#pragma unroll
		for (int s = 0; s < SLICES; s++)
#pragma unroll
			for (int j = 0; j < 4; j++)
				o[s][i][j] = 0.0f;
	}
	for (u32 key = 0; key < a.keys; key += KEYS) {
		float s[4][4] = { { 0.0f } }, mask[4][4];

		load_mask(mask, &a, a.first + y * 4, key + x * 4);
		for (u32 c = 0; c < a.depth; c += SLICE) {
			block_sync();
			if (SLICES > 1 || !key)
				matrix_load_transposed(qs, &a.q, a.first, a.queries, c, a.depth);
			matrix_load_transposed(kv, &a.k, key, a.keys, c, a.depth);
			if (!c && a.key_mask && thread_id() < KEYS)
				key_mask[thread_id()] = mask_value(&a, 0, key + thread_id());
			block_sync();
			matrix_multiply_fp32(s, qs, kv, a.depth - c < SLICE ? a.depth - c : SLICE);
		}
		finish_scores(s, &a, key_mask, mask, key + x * 4);
		softmax_step(s, &run);
		store_scores(ps, s);
#pragma unroll
		for (int c = 0; c < SLICES; c++) {
			if (c * SLICE >= (int)a.value_depth)
				continue;
#pragma unroll
			for (int i = 0; i < 4; i++)
#pragma unroll
				for (int j = 0; j < 4; j++)
					o[c][i][j] *= run.keep[i];
			block_sync();
			matrix_load_plain(kv, &a.v, key, a.keys, c * SLICE, a.value_depth);
			block_sync();
			matrix_multiply_fp32(o[c], ps, kv, KEYS);
		}
	}
#pragma unroll
	for (int i = 0; i < 4; i++) {
#pragma unroll
		for (int m = 8; m; m /= 2)
			run.sum[i] += shfl_xor(run.sum[i], m);
		run.sum[i] = row_scale(run.sum[i], a.zero_unseeing);
	}
#pragma unroll
	for (int c = 0; c < SLICES; c++)
		store_rows(&a, o[c], run.sum, a.first + y * 4, c * SLICE + x * 4);
	tile_finish(launch);
}

KERNEL_FN(ooo_attention_fp32_64, THREADS, 2)
{
	attention_fp32<1>(&launch);
}
KERNEL_FN(ooo_attention_fp32_128, THREADS, 2)
{
	attention_fp32<2>(&launch);
}
KERNEL_FN(ooo_attention_fp32_256, THREADS, 1)
{
	attention_fp32<4>(&launch);
}
