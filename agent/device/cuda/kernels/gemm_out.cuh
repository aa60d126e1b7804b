/* SPDX-License-Identifier: Apache-2.0 */
/* The way out of matrix products: from the tile of sums in shared memory to the output. */
#ifndef OOO_CUDA_GEMM_OUT_CUH
#define OOO_CUDA_GEMM_OUT_CUH

#include "agent/device/cuda/kernels/gemm_part.cuh"

struct gemm_out {
	const struct tile *t;
	const struct gemm_task *task;
	void *y;
	i64 y0, bias0; /* elements: of the part's z */
};

/* Element offset of pixel n of channel 0, in the output and in the bias. */
DEVICE i64 gemm_pixel(const struct gemm_out *o, u32 n, i64 *bias)
{
	const struct gemm_task *t = o->task;
	u32 image, in_plane, row, column;

	if (t->flags & GEMM_LINEAR) {
		*bias = o->bias0;
		return o->y0 + n * t->y_column;
	}
	image = div_fast(n, &t->plane);
	in_plane = n - image * t->plane.d;
	row = div_fast(in_plane, &t->row);
	column = in_plane - row * t->row.d;
	*bias = o->bias0 + image * t->bias_image + row * t->bias_row + column * t->bias_column;
	return o->y0 + image * t->y_image + row * t->y_row + column * t->y_column;
}

/* ---- eight neighbours --------------------------------------------------------------------------- */

/* Eight elements as they lie in memory. */
struct run8 {
	vec4 low, high; /* high: of fp32 only */
};

DEVICE struct run8 run8_load(const void *p, i64 from, u32 dtype)
{
	struct run8 r;

	if (dtype == OOO_FP32) {
		r.low = load16((const float *)p + from);
		r.high = load16((const float *)p + from + 4);
	} else {
		r.low = load16((const u16 *)p + from);
		r.high = r.low;
	}
	return r;
}

DEVICE void run8_floats(float v[8], const struct run8 *r, u32 dtype)
{
	u32 q[8] = { r->low.x,	r->low.y,  r->low.z,  r->low.w,
		     r->high.x, r->high.y, r->high.z, r->high.w };

#pragma unroll
	for (u32 i = 0; i < 8; i++) {
		u16 half = (u16)(q[i / 2] >> (i % 2 * 16));

		v[i] = dtype == OOO_FP32   ? bits_float(q[i])
		       : dtype == OOO_FP16 ? f16_to_f32(half)
					   : bf16_to_f32(half);
	}
}

DEVICE u32 pack_pair(float low, float high, u32 dtype)
{
	if (dtype == OOO_FP16)
		return f32_to_f16(low) | (u32)f32_to_f16(high) << 16;
	return f32_to_bf16(low) | (u32)f32_to_bf16(high) << 16;
}

DEVICE void run8_store(void *p, i64 from, u32 dtype, const float v[8])
{
	if (dtype == OOO_FP32) {
		float *f = (float *)p + from;

		store16(f, vec4{ float_bits(v[0]), float_bits(v[1]), float_bits(v[2]),
				 float_bits(v[3]) });
		store16(f + 4, vec4{ float_bits(v[4]), float_bits(v[5]), float_bits(v[6]),
				     float_bits(v[7]) });
	} else {
		store16((u16 *)p + from,
			vec4{ pack_pair(v[0], v[1], dtype), pack_pair(v[2], v[3], dtype),
			      pack_pair(v[4], v[5], dtype), pack_pair(v[6], v[7], dtype) });
	}
}

/* ---- post-operations ---------------------------------------------------------------------------- */

DEVICE bool is_binary(const struct cuda_post *p)
{
	return p->op == OOO_OP_ADD || p->op == OOO_OP_MUL;
}

DEVICE void apply_binary(float v[8], const struct cuda_post *p, const struct run8 *operand)
{
	float other[8];

	run8_floats(other, operand, p->operand.dtype);
#pragma unroll
	for (u32 e = 0; e < 8; e++)
		v[e] = p->op == OOO_OP_ADD ? v[e] + other[e] : v[e] * other[e];
}

/*
 * The post-operations from `first` on on eight neighbours. Activations take the long way through the
 * thread's own place in shared memory, so that their code is there once and not eight times.
 */
DEVICE void gemm_post8(const struct gemm_out *o, u32 first, float v[8], float *own, i64 at)
{
	const struct cuda_task *head = &o->task->head;

#pragma unroll 1
	for (u32 i = first; i < head->nr_post; i++) {
		const struct cuda_post *p = &head->post[i];

		if (is_binary(p)) {
			struct run8 r = run8_load(operand_address(o->t, &p->operand), at,
						  p->operand.dtype);

			apply_binary(v, p, &r);
			continue;
		}
#pragma unroll
		for (u32 e = 0; e < 8; e++)
			own[e] = v[e];
#pragma unroll 1
		for (u32 e = 0; e < 8; e++)
			own[e] = unary_f32(p->op, p->mode, p->alpha, p->beta, own[e]);
#pragma unroll
		for (u32 e = 0; e < 8; e++)
			v[e] = own[e];
	}
}

/* ---- channels are neighbours in memory: a thread writes eight of one pixel ----------------------- */

/* How a thread writes its eight channels of several pixels. */
struct gemm_run {
	u32 m, here; /* the first, and how many there are */
	i64 mask;    /* wide: pixels that begin so aligned are read and written in chunks */
	bool wide, binary, relu; /* binary, relu: what the first post-operations are */
	u32 done;		 /* so many of them */
	const void *operand;
};

/* Whether runs can be read and written in chunks at all. */
DEVICE bool gemm_is_wide(const struct gemm_out *o, i64 *mask)
{
	const struct cuda_task *head = &o->task->head;
	bool wide = !((u64)o->y & 15);

	*mask = o->task->y.dtype == OOO_FP32 ? 3 : 7;
#pragma unroll 1
	for (u32 i = 0; i < head->nr_post; i++) {
		const struct cuda_operand *p = &head->post[i].operand;

		if (p->place == CUDA_NONE)
			continue;
		if (p->dtype != OOO_FP32)
			*mask = 7;
		wide = wide && !((u64)operand_address(o->t, p) & 15);
	}
	return wide;
}

template <class C>
DEVICE struct gemm_run gemm_run_make(const struct gemm_out *o, const struct gemm_part *p)
{
	const struct cuda_task *head = &o->task->head;
	struct gemm_run r;

	r.m = p->m0 + thread_id() % (C::BM / 8) * 8;
	r.here = r.m >= o->task->m ? 0 : o->task->m - r.m < 8 ? o->task->m - r.m : 8;
	r.wide = gemm_is_wide(o, &r.mask) && r.here == 8 &&
		 (o->task->flags & GEMM_BIAS_BY_CHANNEL);
	r.binary = head->nr_post && is_binary(&head->post[0]);
	r.done = r.binary;
	r.relu = r.done < head->nr_post && head->post[r.done].op == OOO_OP_RELU;
	r.done += r.relu;
	r.operand = r.binary ? operand_address(o->t, &head->post[0].operand) : (const void *)0;
	return r;
}

/*
 * The common way: bias, residual, ReLU; GROUP pixels at a time, whose residuals are all on their way
 * before the first is used. What post-operations are left is done by the caller, from the tile.
 */
template <class C, u32 GROUP>
DEVICE void gemm_write_group(const struct gemm_out *o, const struct gemm_part *p,
			     const struct gemm_run *r, u32 row0, const float *bias, float *tile)
{
	constexpr u32 STEP = C::THREADS / (C::BM / 8);
	const struct gemm_task *t = o->task;
	const struct cuda_post *post = &t->head.post[0];
	bool whole = r->done == t->head.nr_post, in[GROUP];
	struct run8 operand[GROUP];
	i64 at[GROUP], unused;

#pragma unroll
	for (u32 g = 0; g < GROUP; g++) {
		u32 row = row0 + g * STEP;

		at[g] = gemm_pixel(o, p->n0 + row, &unused) + r->m;
		in[g] = row < C::BN && p->n0 + row < t->n && !(at[g] & r->mask);
		if (r->binary && in[g])
			operand[g] = run8_load(r->operand, at[g], post->operand.dtype);
	}
#pragma unroll
	for (u32 g = 0; g < GROUP; g++) {
		float *own = tile + (row0 + g * STEP) * C::PITCH + r->m - p->m0, v[8];

		if (!in[g])
			continue;
#pragma unroll
		for (u32 e = 0; e < 8; e++)
			v[e] = own[e] * t->alpha + bias[r->m - p->m0 + e];
		if (r->binary)
			apply_binary(v, post, &operand[g]);
#pragma unroll
		for (u32 e = 0; r->relu && e < 8; e++)
			v[e] = v[e] < 0 ? 0 : v[e]; /* NaN stays */
		if (whole)
			run8_store(o->y, at[g], t->y.dtype, v);
#pragma unroll
		for (u32 e = 0; !whole && e < 8; e++)
			own[e] = v[e];
	}
}

/* The rest: other post-operations, and pixels or channels that are not aligned. */
template <class C>
DEVICE void gemm_write_rest(const struct gemm_out *o, const struct gemm_part *p,
			    const struct gemm_run *r, u32 row, const float *bias, float *tile)
{
	const struct gemm_task *t = o->task;
	float *own = tile + row * C::PITCH + r->m - p->m0, v[8];
	i64 bias_at, at = gemm_pixel(o, p->n0 + row, &bias_at) + r->m;

	if (r->wide && !(at & r->mask)) {
		if (r->done == t->head.nr_post)
			return; /* written */
#pragma unroll
		for (u32 e = 0; e < 8; e++)
			v[e] = own[e];
		gemm_post8(o, r->done, v, own, at);
		run8_store(o->y, at, t->y.dtype, v);
		return;
	}
#pragma unroll 1
	for (u32 e = 0; e < r->here; e++) {
		float b = bias[r->m - p->m0 + e];

		if (!(t->flags & GEMM_BIAS_BY_CHANNEL))
			b = gemm_load_bias(o->t, t, bias_at + (r->m + e) * t->bias_channel);
		store_f32(o->y, (u64)(at + e), t->y.dtype,
			  post_apply(o->t, &t->head, own[e] * t->alpha + b, (u64)(at + e)));
	}
}

template <class C>
DEVICE void gemm_write_channels(const struct gemm_out *o, const struct gemm_part *p,
				const float *bias, float *tile)
{
	constexpr u32 RUNS = C::BM / 8, STEP = C::THREADS / RUNS;
	constexpr u32 GROUP = C::BN >= 4 * STEP ? 4 : (C::BN + STEP - 1) / STEP;
	struct gemm_run r = gemm_run_make<C>(o, p);
	u32 first = thread_id() / RUNS, end = o->task->n - p->n0;
	bool all = r.wide && r.done == o->task->head.nr_post && (o->task->flags & GEMM_LINEAR) &&
		   !((o->y0 | o->task->y_column) & r.mask);

	if (end > C::BN)
		end = C::BN;
#pragma unroll 1
	for (u32 row = first; r.wide && row < end; row += GROUP * STEP)
		gemm_write_group<C, GROUP>(o, p, &r, row, bias, tile);
	if (all)
		return;
#pragma unroll 1
	for (u32 row = first; row < end; row += STEP)
		gemm_write_rest<C>(o, p, &r, row, bias, tile);
}

/* ---- pixels are neighbours in memory ------------------------------------------------------------- */

template <class C>
DEVICE void gemm_write_pixels(const struct gemm_out *o, const struct gemm_part *p,
			      const float *bias, const float *tile)
{
	const struct gemm_task *t = o->task;
	bool by_channel = t->flags & GEMM_BIAS_BY_CHANNEL;

#pragma unroll 1
	for (u32 i = thread_id(); i < C::BM * C::BN; i += C::THREADS) {
		u32 n = i % C::BN, m = i / C::BN;
		i64 bias_at, at;
		float b;

		if (p->m0 + m >= t->m)
			break;
		if (p->n0 + n >= t->n)
			continue;
		at = gemm_pixel(o, p->n0 + n, &bias_at) + (p->m0 + m) * t->y_channel;
		b = by_channel ? bias[m] :
				 gemm_load_bias(o->t, t, bias_at + (p->m0 + m) * t->bias_channel);
		store_f32(o->y, (u64)at, t->y.dtype,
			  post_apply(o->t, &t->head, tile[n * C::PITCH + m] * t->alpha + b,
				     (u64)at));
	}
}

#endif
