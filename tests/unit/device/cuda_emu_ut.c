/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The primitives of the kernels as the emulator has them, against references that share nothing
 * with it: the compiler's own half precision, matrix products in double precision, plain loops.
 */
#include "tests/unit/device/cuda_emu_rig.h"

#include <math.h>

#define MANY (1u << 18)

static uint64_t emu_random(uint64_t *seed)
{
	uint64_t x = *seed += 0x9e3779b97f4a7c15u;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static uint32_t bits_of(float f)
{
	uint32_t u;

	memcpy(&u, &f, sizeof(u));
	return u;
}

static float float_of(uint32_t u)
{
	float f;

	memcpy(&f, &u, sizeof(f));
	return f;
}

static float float_of_half(uint16_t h)
{
	_Float16 x;

	memcpy(&x, &h, sizeof(x));
	return (float)x;
}

static uint16_t half_of_float(float f)
{
	_Float16 x = (_Float16)f;
	uint16_t h;

	memcpy(&h, &x, sizeof(h));
	return h;
}

static bool half_is_nan(uint16_t h)
{
	return (h & 0x7fff) > 0x7c00;
}

static void test_half_to_float(void **state)
{
	static uint16_t in[65536];
	static float out[65536];

	(void)state;
	for (unsigned i = 0; i < 65536; i++)
		in[i] = (uint16_t)i;
	assert_int_equal(emu_run("test_convert", 256, 256, 0, 0, in, sizeof(in), out, sizeof(out)),
			 0);
	for (unsigned i = 0; i < 65536; i++) {
		if (half_is_nan((uint16_t)i))
			assert_true(isnan(out[i]));
		else
			assert_int_equal(bits_of(out[i]), bits_of(float_of_half((uint16_t)i)));
	}
}

/* Every half; what lies between two halves: the middle and its neighbours; and anything. */
static void fill_floats(float *f, unsigned n)
{
	uint64_t seed = 1;
	unsigned i = 0;

	for (unsigned h = 0; h < 65536 && i + 4 <= n; h += 2) {
		float a = float_of_half((uint16_t)h), b = float_of_half((uint16_t)(h + 1));
		uint32_t middle = bits_of((a + b) / 2);

		f[i++] = b;
		f[i++] = float_of(middle);
		f[i++] = float_of(middle + 1);
		f[i++] = float_of(middle - 1);
	}
	while (i < n)
		f[i++] = float_of((uint32_t)emu_random(&seed));
}

static void test_float_to_half(void **state)
{
	static float in[MANY];
	static uint16_t out[MANY];

	(void)state;
	fill_floats(in, MANY);
	assert_int_equal(emu_run("test_convert", MANY / 256, 256, 0, 1, in, sizeof(in), out,
				 sizeof(out)),
			 0);
	for (unsigned i = 0; i < MANY; i++) {
		if (isnan(in[i]))
			assert_int_equal(out[i], 0x7fff);
		else if (out[i] != half_of_float(in[i]))
			fail_msg("%a became %04x", (double)in[i], out[i]);
	}
}

/* The nearest value with `dropped` bits fewer, from the two that enclose f. */
static uint32_t round_bits(float f, unsigned dropped, bool ties_away)
{
	uint32_t u = bits_of(f), low = u >> dropped << dropped, high = low + (1u << dropped);
	double value = fabs((double)f), below = fabs((double)float_of(low)), above, middle;

	if (isinf(f))
		return u;
	above = isinf(float_of(high)) ? 0x1p128 : fabs((double)float_of(high));
	middle = (below + above) / 2;
	if (value != middle)
		return value < middle ? low : high;
	return ties_away || (low >> dropped) % 2 == 1 ? high : low;
}

static void test_float_to_bf16_and_tf32(void **state)
{
	static float in[MANY];
	static uint16_t bf16[MANY];
	static uint32_t tf32[MANY];
	uint64_t seed = 2;

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		uint32_t u = (uint32_t)emu_random(&seed);

		if (i % 4 == 0)
			u = (u & 0xffff0000u) | 0x8000; /* ties of bf16 */
		else if (i % 4 == 1)
			u = (u & 0xffffe000u) | 0x1000; /* ties of tf32 */
		in[i] = float_of(u);
	}
	assert_int_equal(emu_run("test_convert", MANY / 256, 256, 0, 2, in, sizeof(in), bf16,
				 sizeof(bf16)),
			 0);
	assert_int_equal(emu_run("test_convert", MANY / 256, 256, 0, 3, in, sizeof(in), tf32,
				 sizeof(tf32)),
			 0);
	for (unsigned i = 0; i < MANY; i++) {
		if (isnan(in[i])) {
			assert_int_equal(bf16[i], 0x7fff);
			assert_true(isnan(float_of(tf32[i])));
			continue;
		}
		assert_int_equal((uint32_t)bf16[i] << 16, round_bits(in[i], 16, false));
		assert_int_equal(tf32[i], round_bits(in[i], 13, true));
	}
}

static void test_other_conversions(void **state)
{
	static uint16_t bf16[65536];
	static float wide[65536];
	static uint32_t in[256], out[256];
	uint64_t seed = 3;

	(void)state;
	for (unsigned i = 0; i < 65536; i++)
		bf16[i] = (uint16_t)i;
	assert_int_equal(
		emu_run("test_convert", 256, 256, 0, 4, bf16, sizeof(bf16), wide, sizeof(wide)), 0);
	for (unsigned i = 0; i < 65536; i++)
		assert_int_equal(bits_of(wide[i]), i << 16);
	for (unsigned i = 0; i < 256; i++)
		in[i] = (uint32_t)emu_random(&seed);
	assert_int_equal(emu_run("test_convert", 1, 256, 0, 5, in, sizeof(in), out, sizeof(out)),
			 0);
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(out[i],
				 (uint32_t)(((unsigned __int128)in[i] * 0x9e3779b9u) >> 32));
}

static void test_shuffles(void **state)
{
	uint32_t in[64], out[320];
	uint64_t seed = 4;

	(void)state;
	for (unsigned i = 0; i < 64; i++)
		in[i] = (uint32_t)emu_random(&seed) & 0x7effffff; /* not a NaN */
	for (uint32_t k = 0; k < 32; k++) {
		assert_int_equal(
			emu_run("test_shuffle", 1, 64, 0, k, in, sizeof(in), out, sizeof(out)), 0);
		for (unsigned i = 0; i < 64; i++) {
			unsigned first = i / 32 * 32;
			uint32_t votes = 0;

			for (unsigned lane = 0; lane < 32; lane++)
				votes |= (in[first + lane] & 1) << lane;
			assert_int_equal(out[i], in[first + k]);
			assert_int_equal(out[64 + i], in[first + ((i % 32) ^ k)]);
			assert_int_equal(out[128 + i], votes);
			assert_int_equal(out[192 + i], in[first + k]);
			assert_int_equal(out[256 + i], in[first + ((i % 32) ^ k)]);
		}
	}
}

static void test_barrier_and_blocks(void **state)
{
	static uint32_t in[64 * 256], out[64 * 256];

	(void)state;
	for (unsigned i = 0; i < 64 * 256; i++)
		in[i] = i * 7;
	assert_int_equal(emu_run("test_reverse", 64, 256, 0, 0, in, sizeof(in), out, sizeof(out)),
			 0);
	for (unsigned i = 0; i < 64 * 256; i++)
		assert_int_equal(out[i], in[i / 256 * 256 + 255 - i % 256]);
}

static void test_last_block(void **state)
{
	uint32_t in[1] = { 0 }, out[2];

	(void)state;
	assert_int_equal(emu_run("test_count", 37, 32, 0, 0, in, sizeof(in), out, sizeof(out)), 0);
	assert_int_equal(out[0], 37);
	assert_int_equal(out[1], 37);
}

static void test_ldmatrix(void **state)
{
	uint16_t m[4][8][8];
	uint32_t out[4][32][4];

	(void)state;
	for (unsigned i = 0; i < 256; i++)
		m[i / 64][i / 8 % 8][i % 8] = (uint16_t)(i * 251);
	assert_int_equal(emu_run("test_ldmatrix", 1, 32, 0, 0, m, sizeof(m), out, sizeof(out)), 0);
	for (unsigned lane = 0; lane < 32; lane++) {
		unsigned row = lane / 4, column = lane % 4 * 2;

		for (unsigned k = 0; k < 4; k++) {
			uint32_t plain = m[k][row][column] | (uint32_t)m[k][row][column + 1] << 16;
			uint32_t turned = m[k][column][row] | (uint32_t)m[k][column + 1][row] << 16;

			assert_int_equal(out[0][lane][k], plain);
			assert_int_equal(out[1][lane][k], turned);
			if (k < 2) {
				assert_int_equal(out[2][lane][k], plain);
				assert_int_equal(out[3][lane][k], turned);
			}
		}
	}
}

static float small_random(uint64_t *seed)
{
	return (float)((int)(emu_random(seed) % 2001) - 1000) / 256.0f;
}

static void expect_product(const float *a, const float *b, const float *c, unsigned k,
			   const float *got)
{
	for (unsigned i = 0; i < 16; i++) {
		for (unsigned j = 0; j < 8; j++) {
			double sum = (double)c[i * 8 + j], size = fabs(sum);

			for (unsigned l = 0; l < k; l++) {
				double product = (double)a[i * k + l] * (double)b[j * k + l];

				sum += product;
				size += fabs(product);
			}
			if (!(fabs((double)got[i * 8 + j] - sum) <= size * 0x1p-20))
				fail_msg("row %u, column %u: %g, not %g", i, j,
					 (double)got[i * 8 + j], sum);
		}
	}
}

static void check_mma16(bool bf16, uint64_t seed)
{
	struct {
		uint16_t a[256], b[128];
		float c[128];
	} in;
	float a[256], b[128], got[128];

	for (unsigned i = 0; i < 384; i++) {
		float f = small_random(&seed), *value = i < 256 ? &a[i] : &b[i - 256];
		uint16_t *bits = i < 256 ? &in.a[i] : &in.b[i - 256];

		*bits = bf16 ? (uint16_t)(bits_of(f) >> 16) : half_of_float(f);
		*value = bf16 ? float_of((uint32_t)*bits << 16) : float_of_half(*bits);
	}
	for (unsigned i = 0; i < 128; i++)
		in.c[i] = small_random(&seed);
	assert_int_equal(emu_run("test_mma16", 1, 32, 0, bf16, &in, sizeof(in), got, sizeof(got)),
			 0);
	expect_product(a, b, in.c, 16, got);
}

static void test_mma(void **state)
{
	struct {
		float a[128], b[64], c[128];
	} in;
	float got[128];
	uint64_t seed = 5;

	(void)state;
	for (uint64_t i = 0; i < 10; i++) {
		check_mma16(false, i);
		check_mma16(true, i);
		for (unsigned j = 0; j < 128; j++) { /* of 10 bits and fewer: exact as tf32 */
			in.a[j] = (float)((int)(emu_random(&seed) % 2001) - 1000);
			in.b[j / 2] = (float)((int)(emu_random(&seed) % 2001) - 1000);
			in.c[j] = small_random(&seed);
		}
		assert_int_equal(
			emu_run("test_mma8", 1, 32, 0, 0, &in, sizeof(in), got, sizeof(got)), 0);
		expect_product(in.a, in.b, in.c, 8, got);
	}
}

static void test_async_copies(void **state)
{
	uint8_t in[2048], out[2048];

	(void)state;
	for (unsigned i = 0; i < 2048; i++)
		in[i] = (uint8_t)(i * 31 + 1);
	assert_int_equal(emu_run("test_copy", 1, 64, 2048, 0, in, sizeof(in), out, sizeof(out)), 0);
	for (unsigned i = 0; i < 1024; i++) {
		unsigned from = i ^ 16; /* the neighbour's 16 bytes */

		assert_int_equal(out[i], in[from]);
		assert_int_equal(out[1024 + i], from / 16 % 2 == 0 ? in[1024 + from] : 0);
	}
	if (emu.image)
		return;
	/* Who does not wait for the second group does not get it, and sees that. */
	assert_int_equal(emu_run("test_copy", 1, 64, 2048, 1, in, sizeof(in), out, sizeof(out)), 0);
	for (unsigned i = 0; i < 1024; i++) {
		assert_int_equal(out[i], in[i ^ 16]);
		assert_int_equal(out[1024 + i], 0xff);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_half_to_float),
		cmocka_unit_test(test_float_to_half),
		cmocka_unit_test(test_float_to_bf16_and_tf32),
		cmocka_unit_test(test_other_conversions),
		cmocka_unit_test(test_shuffles),
		cmocka_unit_test(test_barrier_and_blocks),
		cmocka_unit_test(test_last_block),
		cmocka_unit_test(test_ldmatrix),
		cmocka_unit_test(test_mma),
		cmocka_unit_test(test_async_copies),
	};

	return cmocka_run_group_tests(tests, emu_open, emu_close);
}
