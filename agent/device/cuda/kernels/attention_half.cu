// SPDX-License-Identifier: Apache-2.0
/*
 * Attention on tensor cores: products of fp16 or bf16 with fp32 sums, softmax in fp32. Each of four
 * warps has 16 of the tile's 64 queries, and keeps their scores and results in the registers of
 * mma's accumulators; scores are the second product's left operand as they stand. Blocks of keys go
 * by in their order, the next one on its way to shared memory meanwhile.
 */
#include "agent/device/cuda/kernels/attention.cuh"

#define THREADS 128
#define LOG2_E  1.44269504f

/* o += p V. o[n] are columns 8 n .. 8 n + 7. */
template <int D, int KEYS, bool BF16>
DEVICE void weigh(float o[D / 8][4], const float p[KEYS / 8][4], u16 *v, u32 depth)
{
	u32 lane = thread_id() % 32;

#pragma unroll
	for (u32 k = 0; k < KEYS / 8; k += 2) {
		u32 a[4] = { matrix_pack<BF16>(p[k][0], p[k][1]),
			     matrix_pack<BF16>(p[k][2], p[k][3]),
			     matrix_pack<BF16>(p[k + 1][0], p[k + 1][1]),
			     matrix_pack<BF16>(p[k + 1][2], p[k + 1][3]) };

#pragma unroll
		for (u32 n = 0; n < D / 8; n += 2) {
			u32 b[4];

			if (n * 8 >= depth)
				continue;
			ldmatrix_x4_trans(b, matrix_chunk<D>(v, k * 8 + lane % 16, n + lane / 16));
			matrix_mma<BF16>(o[n], a, b);
			matrix_mma<BF16>(o[n + 1], a, b + 2);
		}
	}
}

/* The thread has rows query and query + 8, columns key and key + 1 of each 8. */
template <int KEYS>
DEVICE void load_mask(float mask[KEYS / 8][4], const struct attention_tile *a, u32 query, u32 key)
{
	const struct matrix *m = &a->mask;

	key += thread_id() % 4 * 2;
#pragma unroll
	for (u32 r = 0; r < 2; r++, query += 8) {
		const u8 *row = m->p + ((u64)query * m->row + key) * 4;

#pragma unroll
		for (u32 n = 0; n < KEYS / 8; n++) {
			if (!m->wide || m->dtype != OOO_FP32 || query >= a->queries ||
			    key + n * 8 >= a->keys) {
				mask[n][2 * r] = mask_value(a, query, key + n * 8);
				mask[n][2 * r + 1] = mask_value(a, query, key + n * 8 + 1);
				continue;
			}
			mask[n][2 * r] = ((const float *)row)[n * 8];
			mask[n][2 * r + 1] = ((const float *)row)[n * 8 + 1];
		}
	}
}

/* Scale and mask; -inf for keys that are not there. */
template <int KEYS>
DEVICE void finish_scores(float s[KEYS / 8][4], const struct attention_tile *a,
			  const float *key_mask, const float mask[KEYS / 8][4], u32 key)
{
	u32 own = thread_id() % 4 * 2;

#pragma unroll
	for (u32 n = 0; n < KEYS / 8; n++) {
#pragma unroll
		for (u32 j = 0; j < 4; j++) {
			u32 column = n * 8 + own + j % 2;
			float v = s[n][j] * a->scale;

			if (a->mask.p)
				v += a->key_mask ? key_mask[column] : mask[n][j];
			s[n][j] = key + column < a->keys ? v : NEVER_SEEN;
		}
	}
}

struct running {
	float max[2], sum[2]; /* of rows query and query + 8; sum: of the thread's own columns */
};

/* Scores become exp(score - maximum); what was added up before is brought to the new maximum. */
template <int D, int KEYS>
DEVICE void softmax_step(float s[KEYS / 8][4], float o[D / 8][4], struct running *run)
{
#pragma unroll
	for (u32 r = 0; r < 2; r++) {
		float max = run->max[r], base, keep;

#pragma unroll
		for (u32 n = 0; n < KEYS / 8; n++)
			max = fmaxf(max, fmaxf(s[n][2 * r], s[n][2 * r + 1]));
		max = fmaxf(max, shfl_xor(max, 1));
		max = fmaxf(max, shfl_xor(max, 2));
		base = finite_max(max);
		keep = exp2f((run->max[r] - base) * LOG2_E);
		run->max[r] = max;
		run->sum[r] *= keep;
#pragma unroll
		for (u32 n = 0; n < KEYS / 8; n++) {
#pragma unroll
			for (u32 j = 0; j < 2; j++) {
				float p = exp2f((s[n][2 * r + j] - base) * LOG2_E);

				s[n][2 * r + j] = p;
				run->sum[r] += p;
			}
		}
#pragma unroll
		for (u32 n = 0; n < D / 8; n++) {
			o[n][2 * r] *= keep;
			o[n][2 * r + 1] *= keep;
		}
	}
}

/* The warp's 16 rows from shared memory to where they belong. */
template <int D>
DEVICE void store_rows(const struct attention_tile *a, const float *stage, u32 query)
{
	const struct matrix *out = &a->out;
	u32 per = 16 / dtype_bytes(out->dtype), chunks = (a->value_depth + per - 1) / per;

	for (u32 i = thread_id() % 32; i < 16 * chunks; i += 32) {
		u32 row = i / chunks, column = i % chunks * per;
		const float *v = stage + row * (D + 4) + column;
		u8 *to = (u8 *)matrix_at(out, query + row, column);

		if (query + row >= a->queries)
			continue;
		if (!out->wide) {
			for (u32 j = 0; j < per && column + j < a->value_depth; j++)
				store_f32((void *)to, j, out->dtype, v[j]);
			continue;
		}
		if (out->dtype == OOO_FP32)
			store16(to, load16(v));
		else if (out->dtype == OOO_BF16)
			store16(to,
				vec4{ matrix_pack<true>(v[0], v[1]), matrix_pack<true>(v[2], v[3]),
				      matrix_pack<true>(v[4], v[5]),
				      matrix_pack<true>(v[6], v[7]) });
		else
			store16(to, vec4{ matrix_pack<false>(v[0], v[1]),
					  matrix_pack<false>(v[2], v[3]),
					  matrix_pack<false>(v[4], v[5]),
					  matrix_pack<false>(v[6], v[7]) });
	}
}

template <int D>
DEVICE void finish_rows(float *stage, float o[D / 8][4], struct running *run,
			const struct attention_tile *a)
{
	u32 lane = thread_id() % 32, g = lane / 4, column = lane % 4 * 2;
	u32 own = thread_id() / 32 * 16;

	stage += own * (D + 4);
#pragma unroll
	for (u32 r = 0; r < 2; r++) {
		float sum = run->sum[r];

		sum += shfl_xor(sum, 1);
		sum += shfl_xor(sum, 2);
		sum = row_scale(sum, a->zero_unseeing);
#pragma unroll
		for (u32 n = 0; n < D / 8; n++) {
#pragma unroll
			for (u32 j = 0; j < 2; j++)
				stage[(g + r * 8) * (D + 4) + n * 8 + column + j] =
					o[n][2 * r + j] * sum;
		}
	}
	warp_sync();
	store_rows<D>(a, stage, a->first + own);
}

template <int D, int KEYS, bool BF16> DEVICE void attention_half(const struct cuda_launch *launch)
{
	SHARED_DYNAMIC(shared);
	u16 *qs = (u16 *)shared, *ks = qs + ATTENTION_ROWS * D, *vs = ks + 2 * KEYS * D;
	float *key_mask = (float *)(vs + 2 * KEYS * D);
	struct attention_tile a = attention_begin(launch);
	u32 query = a.first + thread_id() / 32 * 16 + thread_id() % 32 / 4;
	struct running run = { { NEVER_SEEN, NEVER_SEEN }, { 0.0f, 0.0f } };
	float o[D / 8][4];

	matrix_load_half<D, ATTENTION_ROWS, BF16>(qs, &a.q, a.first, a.queries, 0, a.depth);
	matrix_load_half<D, KEYS, BF16>(ks, &a.k, 0, a.keys, 0, a.depth);
	matrix_load_half<D, KEYS, BF16>(vs, &a.v, 0, a.keys, 0, a.value_depth);
	cp_async_commit();
#pragma unroll
	for (u32 n = 0; n < D / 8; n++)
#pragma unroll
		for (u32 j = 0; j < 4; j++)
			o[n][j] = 0.0f;
	for (u32 key = 0, now = 0; key < a.keys; key += KEYS, now = KEYS * D - now) {
		u32 next = KEYS * D - now;
		float s[KEYS / 8][4], mask[KEYS / 8][4];

		/* Loads that are waited for come first, so that they overlap with copies. */
		if (a.mask.p && !a.key_mask)
			load_mask<KEYS>(mask, &a, query, key);
		if (a.key_mask && thread_id() < KEYS)
			key_mask[thread_id()] = mask_value(&a, 0, key + thread_id());
		if (key + KEYS < a.keys) {
			matrix_load_half<D, KEYS, BF16>(ks + next, &a.k, key + KEYS, a.keys, 0,
							a.depth);
			matrix_load_half<D, KEYS, BF16>(vs + next, &a.v, key + KEYS, a.keys, 0,
							a.value_depth);
		}
		cp_async_commit();
		cp_async_wait<1>();
		block_sync();
#pragma unroll
		for (u32 n = 0; n < KEYS / 8; n++)
#pragma unroll
			for (u32 j = 0; j < 4; j++)
				s[n][j] = 0.0f;
		matrix_multiply_half<D, KEYS, BF16>(s, qs, ks + now, a.depth);
		finish_scores<KEYS>(s, &a, key_mask, mask, key);
		softmax_step<D, KEYS>(s, o, &run);
		weigh<D, KEYS, BF16>(o, s, vs + now, a.value_depth);
		block_sync();
	}
	cp_async_wait<0>();
	finish_rows<D>((float *)shared, o, &run, &a);
	tile_finish(launch);
}

KERNEL_FN(ooo_attention_f16_64, THREADS, 3)
{
	attention_half<64, 64, false>(&launch);
}
KERNEL_FN(ooo_attention_f16_128, THREADS, 2)
{
	attention_half<128, 64, false>(&launch);
}
KERNEL_FN(ooo_attention_f16_256, THREADS, 1)
{
	attention_half<256, 32, false>(&launch);
}
KERNEL_FN(ooo_attention_bf16_64, THREADS, 3)
{
	attention_half<64, 64, true>(&launch);
}
KERNEL_FN(ooo_attention_bf16_128, THREADS, 2)
{
	attention_half<128, 64, true>(&launch);
}
KERNEL_FN(ooo_attention_bf16_256, THREADS, 1)
{
	attention_half<256, 32, true>(&launch);
}
