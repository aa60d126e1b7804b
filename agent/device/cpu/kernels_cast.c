// SPDX-License-Identifier: Apache-2.0
/* Casts between all element types. Float to integer truncates and saturates; NaN becomes 0. */
#include <math.h>
#include <string.h>

#include "agent/device/cpu/kernels_impl.h"

/* IEEE half to single, by exponent arithmetic; denormals are normalised. */
static float half_to_float(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ff;
	uint32_t bits;
	float f;

	if (exponent == 31) {
		bits = sign | 0x7f800000 | mantissa << 13;
	} else if (exponent) {
		bits = sign | (exponent + 112) << 23 | mantissa << 13;
	} else {
		f = (float)mantissa * 0x1p-24f;
		return sign ? -f : f;
	}
	memcpy(&f, &bits, sizeof(f));
	return f;
}

/* Rounds to nearest even. */
static uint16_t float_to_half(float f)
{
	uint32_t bits, sign, magnitude;

	memcpy(&bits, &f, sizeof(bits));
	sign = bits >> 16 & 0x8000;
	magnitude = bits & 0x7fffffff;
	if (magnitude > 0x7f800000)
		return (uint16_t)(sign | 0x7e00);
	if (magnitude >= 0x477ff000) /* rounds to 65536 or more */
		return (uint16_t)(sign | 0x7c00);
	if (magnitude < 0x38800000) /* denormal as half: the unit is 2^-24 */
		return (uint16_t)(sign | (uint32_t)rintf(fabsf(f) * 0x1p24f));
	magnitude += 0xfff + (magnitude >> 13 & 1);
	return (uint16_t)(sign | ((magnitude >> 13) - (112 << 10)));
}

static float bfloat_to_float(uint16_t b)
{
	uint32_t bits = (uint32_t)b << 16;
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static uint16_t float_to_bfloat(float f)
{
	uint32_t bits;

	memcpy(&bits, &f, sizeof(bits));
	if ((bits & 0x7fffffff) > 0x7f800000)
		return (uint16_t)(bits >> 16 | 0x40);
	return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static bool is_float(uint32_t dtype)
{
	return dtype == OOO_FP32 || dtype == OOO_FP16 || dtype == OOO_BF16 || dtype == OOO_FP64;
}

static double load_float(const void *p, uint32_t dtype, int64_t i)
{
	switch (dtype) {
	case OOO_FP32:
		return (double)((const float *)p)[i];
	case OOO_FP16:
		return (double)half_to_float(((const uint16_t *)p)[i]);
	case OOO_BF16:
		return (double)bfloat_to_float(((const uint16_t *)p)[i]);
	default:
		return ((const double *)p)[i];
	}
}

static int64_t load_int(const void *p, uint32_t dtype, int64_t i)
{
	switch (dtype) {
	case OOO_INT64:
		return ((const int64_t *)p)[i];
	case OOO_INT32:
		return ((const int32_t *)p)[i];
	case OOO_INT8:
		return ((const int8_t *)p)[i];
	case OOO_BOOL:
		return ((const uint8_t *)p)[i] != 0;
	default:
		return ((const uint8_t *)p)[i];
	}
}

static void store_float(void *p, uint32_t dtype, int64_t i, double v)
{
	switch (dtype) {
	case OOO_FP32:
		((float *)p)[i] = (float)v;
		break;
	case OOO_FP16:
		((uint16_t *)p)[i] = float_to_half((float)v);
		break;
	case OOO_BF16:
		((uint16_t *)p)[i] = float_to_bfloat((float)v);
		break;
	default:
		((double *)p)[i] = v;
	}
}

/* Integers wrap, as a C conversion between them does. */
static void store_int(void *p, uint32_t dtype, int64_t i, int64_t v)
{
	switch (dtype) {
	case OOO_INT64:
		((int64_t *)p)[i] = v;
		break;
	case OOO_INT32:
		((int32_t *)p)[i] = (int32_t)v;
		break;
	case OOO_INT8:
		((int8_t *)p)[i] = (int8_t)v;
		break;
	case OOO_BOOL:
		((uint8_t *)p)[i] = v != 0;
		break;
	default:
		((uint8_t *)p)[i] = (uint8_t)v;
	}
}

static int64_t saturate(double v, uint32_t dtype)
{
	static const struct {
		int64_t low, high;
	} range[OOO_DTYPE_LIMIT] = {
		[OOO_INT64] = { INT64_MIN, INT64_MAX },
		[OOO_INT32] = { INT32_MIN, INT32_MAX },
		[OOO_UINT8] = { 0, UINT8_MAX },
		[OOO_INT8] = { INT8_MIN, INT8_MAX },
	};

	if (isnan(v))
		return 0;
	if (v <= (double)range[dtype].low)
		return range[dtype].low;
	/* INT64_MAX rounds up to 2^63, which is out of range as well. */
	if (v >= (double)range[dtype].high)
		return range[dtype].high;
	return (int64_t)v;
}

enum ooo_status kernel_cast(const struct kernel_args *a, int64_t from, int64_t to)
{
	uint32_t have = in_tensor(a, 0)->shape.dtype, want = out_tensor(a, 0)->shape.dtype;
	const void *in = a->in[0];
	void *out = a->out[0];

	if (have == want) {
		size_t size = dtype_bytes(have);

		memcpy((char *)out + (size_t)from * size, (const char *)in + (size_t)from * size,
		       (size_t)(to - from) * size);
		return OOO_OK;
	}
	for (int64_t i = from; i < to; i++) {
		if (is_float(have) && is_float(want))
			store_float(out, want, i, load_float(in, have, i));
		else if (is_float(have) && want == OOO_BOOL)
			store_int(out, want, i, load_float(in, have, i) != 0);
		else if (is_float(have))
			store_int(out, want, i, saturate(load_float(in, have, i), want));
		else if (is_float(want))
			store_float(out, want, i, (double)load_int(in, have, i));
		else
			store_int(out, want, i, load_int(in, have, i));
	}
	return OOO_OK;
}
