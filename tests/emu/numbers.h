/* SPDX-License-Identifier: Apache-2.0 */
/* The GPU's types, and its conversions between formats, in integer arithmetic. */
#ifndef OOO_EMU_NUMBERS_H
#define OOO_EMU_NUMBERS_H

#include <string.h>

typedef unsigned char u8;
typedef unsigned short u16; /* also the bits of an fp16 or bf16 */
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

namespace emu
{

inline u32 bits_of(float f)
{
	u32 u;

	memcpy(&u, &f, sizeof(u));
	return u;
}

inline float float_of(u32 u)
{
	float f;

	memcpy(&f, &u, sizeof(f));
	return f;
}

/* x / 2^shift, to nearest, ties to even; 1 <= shift <= 31. */
inline u32 shift_even(u32 x, u32 shift)
{
	u32 rest = x & ((1u << shift) - 1), half = 1u << (shift - 1);

	x >>= shift;
	return x + (rest > half || (rest == half && (x & 1)));
}

inline float float_of_f16(u16 h)
{
	u32 sign = (u32)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 0x3ff;

	if (exponent == 31) /* every NaN becomes the one */
		return float_of(mantissa ? 0x7fffffff : sign | 0x7f800000);
	if (exponent == 0) {
		float f = (float)mantissa * 0x1p-24f;

		return sign ? -f : f;
	}
	return float_of(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

inline u16 f16_of_float(float f)
{
	u32 u = bits_of(f), sign = (u >> 16) & 0x8000, magnitude = u & 0x7fffffff;

	if (magnitude > 0x7f800000)
		return 0x7fff;
	if (magnitude >= 0x47800000) /* 65536 and more */
		return (u16)(sign | 0x7c00);
	if (magnitude >= 0x38800000) /* normal; a carry may reach the exponent, or infinity */
		return (u16)(sign | (shift_even(magnitude, 13) - (112 << 10)));
	if (magnitude < 0x33000000) /* less than half of the smallest */
		return (u16)sign;
	return (u16)(sign | shift_even((magnitude & 0x7fffff) | 0x800000, 126 - (magnitude >> 23)));
}

inline u16 bf16_of_float(float f)
{
	u32 u = bits_of(f);

	if ((u & 0x7fffffff) > 0x7f800000)
		return 0x7fff;
	return (u16)shift_even(u, 16);
}

/* To nearest, ties away from zero, as cvt.rna does. */
inline u32 tf32_of_float(float f)
{
	u32 u = bits_of(f);

	if ((u & 0x7fffffff) > 0x7f800000)
		return 0x7fffffff;
	if ((u & 0x7fffffff) == 0x7f800000)
		return u;
	return (u + 0x1000) & ~0x1fffu;
}

} // namespace emu

#endif
