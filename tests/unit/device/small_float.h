/* SPDX-License-Identifier: Apache-2.0 */
/* fp16 and bf16 as numbers, by their definitions. */
#ifndef OOO_TESTS_SMALL_FLOAT_H
#define OOO_TESTS_SMALL_FLOAT_H

#include <math.h>
#include <stdint.h>

#include "shared/abi/op.h"

static inline double small_to_double(uint32_t dtype, uint16_t bits)
{
	int digits = dtype == OOO_FP16 ? 10 : 7, bias = dtype == OOO_FP16 ? 15 : 127;
	int top = (1 << (15 - digits)) - 1, exponent = bits >> digits & top;
	double m = bits & ((1 << digits) - 1), sign = bits >> 15 ? -1 : 1;

	if (exponent == top)
		return m != 0 ? NAN : sign * (double)INFINITY;
	if (exponent)
		return sign * ldexp(m + (1 << digits), exponent - bias - digits);
	return sign * ldexp(m, 1 - bias - digits);
}

/* The nearest, ties to even; beyond the largest: infinity. */
static inline uint16_t small_from_double(uint32_t dtype, double v)
{
	int digits = dtype == OOO_FP16 ? 10 : 7, bias = dtype == OOO_FP16 ? 15 : 127, exponent;
	uint16_t sign = signbit(v) ? 0x8000 : 0, inf = (uint16_t)(0x7fff >> digits << digits);
	double m = frexp(fabs(v), &exponent), scaled;

	if (isnan(v))
		return sign | inf | 1u << (digits - 1);
	if (isinf(v))
		return sign | inf;
	if (m == 0)
		return sign;
	exponent--; /* of the leading bit */
	if (exponent < 1 - bias)
		exponent = 1 - bias; /* subnormal */
	scaled = nearbyint(ldexp(fabs(v), digits - exponent));
	/* Rounding up to the next power of two carries into the exponent by itself. */
	if (exponent == 1 - bias)
		return sign | (uint16_t)scaled;
	scaled += ldexp(exponent + bias - 1, digits);
	return scaled >= inf ? sign | inf : sign | (uint16_t)scaled;
}

#endif
