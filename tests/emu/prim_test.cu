// SPDX-License-Identifier: Apache-2.0
/*
 * Each primitive of prim.cuh in a kernel of its own, for cuda_emu_ut.c. They use two words of the
 * launch alone: record is where they read, progress where they write.
 */
#include "agent/device/cuda/kernels/launch.cuh"

#define IN(type)  ((const type *)launch.record)
#define OUT(type) ((type *)launch.progress)

/* One element a thread, of any conversion: seq says which. */
KERNEL_FN(test_convert, 256, 1)
{
	u32 i = block_id() * block_threads() + thread_id();

	switch (launch.seq) {
	case 0:
		OUT(float)[i] = f16_to_f32(IN(u16)[i]);
		break;
	case 1:
		OUT(u16)[i] = f32_to_f16(IN(float)[i]);
		break;
	case 2:
		OUT(u16)[i] = f32_to_bf16(IN(float)[i]);
		break;
	case 3:
		OUT(u32)[i] = f32_to_tf32(IN(float)[i]);
		break;
	case 4:
		OUT(float)[i] = bf16_to_f32(IN(u16)[i]);
		break;
	default:
		OUT(u32)[i] = mul_hi(IN(u32)[i], 0x9e3779b9u);
	}
}

/* In: 64 words. Out: per thread shfl from lane seq, shfl_xor by seq, ballot of odd words. */
KERNEL_FN(test_shuffle, 64, 1)
{
	u32 v = IN(u32)[thread_id()];

	OUT(u32)[thread_id()] = shfl(v, (int)launch.seq);
	OUT(u32)[64 + thread_id()] = shfl_xor(v, (int)launch.seq);
	OUT(u32)[128 + thread_id()] = warp_ballot(v & 1);
	OUT(float)[192 + thread_id()] = shfl(bits_float(v), (int)launch.seq);
	OUT(float)[256 + thread_id()] = shfl_xor(bits_float(v), (int)launch.seq);
}

/* Each block reverses its 256 words through shared memory. */
KERNEL_FN(test_reverse, 256, 1)
{
	SHARED(u32, words, 256);
	u32 base = block_id() * 256;

	words[thread_id()] = IN(u32)[base + thread_id()];
	block_sync();
	OUT(u32)[base + thread_id()] = words[255 - thread_id()];
}

/* In: a 32 x 8 matrix of 16-bit elements (4 of 8 x 8). Out: 4 words a lane for each variant. */
KERNEL_FN(test_ldmatrix, 32, 1)
{
	SHARED(u16, m, 256);
	u32 r[4] = { 0, 0, 0, 0 }, lane = thread_id();

	store16(m + lane * 8, load16(IN(u16) + lane * 8));
	warp_sync();
	for (u32 variant = 0; variant < 4; variant++) {
		switch (variant) {
		case 0:
			ldmatrix_x4(r, m + lane * 8);
			break;
		case 1:
			ldmatrix_x4_trans(r, m + lane * 8);
			break;
		case 2:
			ldmatrix_x2(r, m + lane % 16 * 8);
			break;
		default:
			ldmatrix_x2_trans(r, m + lane % 16 * 8);
		}
		for (u32 i = 0; i < 4; i++)
			OUT(u32)[variant * 128 + lane * 4 + i] = r[i];
	}
}

/* In: A row by row (16 x 16), B column by column (8 of 16), 16-bit; C (16 x 8) fp32. seq: bf16.
 * Fragments come by ldmatrix, as kernels get them. */
KERNEL_FN(test_mma16, 32, 1)
{
	SHARED(u16, a, 256);
	SHARED(u16, b, 128);
	u32 ra[4], rb[2], lane = thread_id(), g = lane / 4, t = lane % 4;
	const float *in_c = (const float *)(IN(u16) + 384);
	float c[4];

	store16(a + lane * 8, load16(IN(u16) + lane * 8));
	if (lane < 16)
		store16(b + lane * 8, load16_const(IN(u16) + 256 + lane * 8));
	warp_sync();
	ldmatrix_x4(ra, a + lane % 16 * 16 + lane / 16 * 8);
	ldmatrix_x2(rb, b + lane % 8 * 16 + lane / 8 % 2 * 8);
	for (u32 i = 0; i < 4; i++)
		c[i] = in_c[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
	if (launch.seq)
		mma_bf16(c, ra, rb);
	else
		mma_f16(c, ra, rb);
	for (u32 i = 0; i < 4; i++)
		OUT(float)[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = c[i];
}

/* In: A row by row (16 x 8), B column by column (8 of 8), C (16 x 8), all fp32. */
KERNEL_FN(test_mma8, 32, 1)
{
	u32 lane = thread_id(), g = lane / 4, t = lane % 4;
	const float *a = IN(float), *b = a + 128, *in_c = b + 64;
	u32 ra[4] = { f32_to_tf32(a[g * 8 + t]), f32_to_tf32(a[(g + 8) * 8 + t]),
		      f32_to_tf32(a[g * 8 + t + 4]), f32_to_tf32(a[(g + 8) * 8 + t + 4]) };
	u32 rb[2] = { f32_to_tf32(b[g * 8 + t]), f32_to_tf32(b[g * 8 + t + 4]) };
	float c[4];

	for (u32 i = 0; i < 4; i++)
		c[i] = in_c[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
	mma_tf32(c, ra, rb);
	for (u32 i = 0; i < 4; i++)
		OUT(float)[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = c[i];
}

/* Two groups of copies, 16 bytes a thread each; the second of odd threads is of zeros. seq 0: waits
 * properly; 1: takes the second group before it waited for it. */
KERNEL_FN(test_copy, 64, 1)
{
	SHARED_DYNAMIC(bytes);
	u32 i = thread_id();

	cp_async16(bytes + i * 16, IN(u8) + i * 16, true);
	cp_async_commit();
	cp_async16(bytes + 1024 + i * 16, IN(u8) + 1024 + i * 16, i % 2 == 0);
	cp_async_commit();
	cp_async_wait<1>();
	if (launch.seq == 0)
		cp_async_wait<0>();
	block_sync();
	store16(OUT(u8) + i * 16, load16(bytes + (i ^ 1) * 16));
	store16(OUT(u8) + 1024 + i * 16, load16(bytes + 1024 + (i ^ 1) * 16));
}

/* Counts blocks; the last writes how many words it saw of the others. */
KERNEL_FN(test_count, 32, 1)
{
	u32 *counter = OUT(u32);

	fence_device();
	if (thread_id() == 0 && atomic_add(counter, 1) == grid_size() - 1)
		store_release_system(counter + 1, load_volatile(counter));
}

/* What a kernel must not do; seq says which. */
KERNEL_FN(test_wrong, 64, 1)
{
	SHARED(float, a, 64);
	SHARED_DYNAMIC(bytes);
	u32 i = thread_id();

	switch (launch.seq) {
	case 0: /* some return, some wait */
		if (i < 7)
			return;
		block_sync();
		break;
	case 1: /* half a warp shuffles */
		if (i < 16)
			OUT(float)[i] = shfl_xor(1.0f, 4);
		else
			block_sync();
		break;
	case 2: /* two operations at once */
		if (i % 32 < 16)
			OUT(float)[i] = shfl(1.0f, 4);
		else
			warp_sync();
		break;
	case 3: /* beyond an array */
		a[i + launch.nr_entries] = 1;
		break;
	case 4: /* beyond dynamic shared memory */
		bytes[i + launch.nr_entries] = 1;
		break;
	case 5: /* not aligned */
		store16(OUT(u8) + 8, load16(IN(u8)));
		break;
	case 6: /* a neighbour's value without a barrier: NaN here, a race on a GPU */
		a[i] = 1;
		OUT(float)[i] = a[i ^ 63] + a[i ^ 1];
		break;
	default: /* not shared memory */
		cp_async16(OUT(u8), IN(u8), true);
	}
}
