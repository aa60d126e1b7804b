// SPDX-License-Identifier: Apache-2.0
/* Constant weights into the blocks that the products read: see task_gemm.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/device/cuda/encode_gemm.h"
#include "agent/device/cuda/pack.h"

uint32_t gemm_per_chunk(enum gemm_type type)
{
	return GEMM_CHUNK / (type == GEMM_F16 || type == GEMM_BF16 ? 2 : 4);
}

static uint64_t padded_channels(const struct gemm_matrix *m, enum gemm_type type)
{
	uint32_t chunk = gemm_per_chunk(type);

	return ((uint64_t)m->channels + chunk - 1) / chunk * chunk;
}

uint64_t gemm_blocks(const struct gemm_matrix *m, enum gemm_type type)
{
	uint64_t columns = padded_channels(m, type) * m->taps[0] * m->taps[1];
	uint32_t width = gemm_per_chunk(type) * GEMM_CHUNKS;

	return (columns + width - 1) / width;
}

uint64_t gemm_packed_bytes(const struct gemm_matrix *m, enum gemm_type type)
{
	return ((uint64_t)m->rows + GEMM_ROWS - 1) / GEMM_ROWS * gemm_blocks(m, type) *
	       GEMM_BLOCK_BYTES;
}

static uint32_t float_bits(float f)
{
	uint32_t bits;

	memcpy(&bits, &f, sizeof(bits));
	return bits;
}

static float bits_float(uint32_t bits)
{
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static float half_float(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, magnitude = h & 0x7fff;

	if (magnitude >= 0x7c00)
		return bits_float(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
	/* 2^112 moves the exponent, and makes normal numbers of denormal ones. */
	return bits_float(sign | float_bits(bits_float(magnitude << 13) * 0x1p112f));
}

/* To the nearest, ties to even; too large becomes infinite. */
static uint16_t float_half(float f)
{
	uint32_t bits = float_bits(f), magnitude = bits & 0x7fffffff;
	uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);

	if (magnitude > 0x7f800000)
		return sign | 0x7fff;
	if (magnitude >= 0x477ff000) /* 65520: half way beyond the largest */
		return sign | 0x7c00;
	if (magnitude < 0x38800000) /* denormal: the sum's last bit is worth 2^-24 */
		return sign | (uint16_t)(float_bits(bits_float(magnitude) + 0.5f) - 0x3f000000);
	return sign | (uint16_t)((magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000) >> 13);
}

static uint16_t float_bf16(float f)
{
	uint32_t bits = float_bits(f);

	if ((bits & 0x7fffffff) > 0x7f800000)
		return 0x7fff;
	return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* To the nearest, ties away from zero, as the device rounds activations. */
static uint32_t float_tf32(float f)
{
	uint32_t bits = float_bits(f);

	if ((bits & 0x7f800000) == 0x7f800000)
		return bits;
	return (bits + 0x1000) & ~0x1fffu;
}

float pack_load(const void *data, int64_t at, uint32_t dtype)
{
	switch (dtype) {
	case OOO_FP16:
		return half_float(((const uint16_t *)data)[at]);
	case OOO_BF16:
		return bits_float((uint32_t)((const uint16_t *)data)[at] << 16);
	default:
		return ((const float *)data)[at];
	}
}

void pack_store(void *to, uint64_t at, uint32_t dtype, float f)
{
	switch (dtype) {
	case OOO_FP16:
		((uint16_t *)to)[at] = float_half(f);
		break;
	case OOO_BF16:
		((uint16_t *)to)[at] = float_bf16(f);
		break;
	default:
		((float *)to)[at] = f;
	}
}

static void store(void *to, uint64_t at, enum gemm_type type, float f)
{
	switch (type) {
	case GEMM_F16:
		((uint16_t *)to)[at] = float_half(f);
		break;
	case GEMM_BF16:
		((uint16_t *)to)[at] = float_bf16(f);
		break;
	case GEMM_TF32:
		((uint32_t *)to)[at] = float_tf32(f);
		break;
	default:
		((float *)to)[at] = f;
	}
}

struct packer {
	const struct gemm_matrix *m;
	enum gemm_type type;
	const void *data;
	uint32_t dtype;
	uint64_t columns, blocks;
	uint32_t padded, part_rows, part_channels; /* channels of a tap; parts of the diagonal */
	int64_t *offset;                           /* of each column, from the row's; -1: padding */
};

static int columns_make(struct packer *k)
{
	const struct gemm_matrix *m = k->m;
	uint32_t diagonal = m->diagonal ? m->diagonal : 1;
	uint64_t padded = padded_channels(m, k->type), at = 0;

	k->padded = (uint32_t)padded;
	k->part_rows = m->rows / diagonal;
	k->part_channels = m->channels / diagonal;
	k->columns = padded * m->taps[0] * m->taps[1];
	k->blocks = gemm_blocks(m, k->type);
	k->offset = malloc((k->columns ? k->columns : 1) * sizeof(*k->offset));
	if (!k->offset)
		return -ENOMEM;
	for (uint32_t a = 0; a < m->taps[0]; a++)
		for (uint32_t b = 0; b < m->taps[1]; b++)
			for (uint32_t c = 0; c < padded; c++)
				k->offset[at++] =
					c < m->channels
						? m->base + a * m->tap_stride[0] +
							  b * m->tap_stride[1] +
							  c % k->part_channels * m->channel_stride
						: -1;
	return 0;
}

static void pack_row(const struct packer *k, int64_t from, uint32_t row, uint8_t *to)
{
	uint32_t per_chunk = gemm_per_chunk(k->type), width = per_chunk * GEMM_CHUNKS;
	uint32_t part = row / k->part_rows;
	bool diagonal = k->m->diagonal > 1;

	row %= GEMM_ROWS;
	for (uint64_t c = 0; c < k->columns; c++) {
		uint8_t *block = to + c / width * GEMM_BLOCK_BYTES;
		uint32_t chunk = gemm_swizzle(row, (uint32_t)(c % width / per_chunk));

		if (k->offset[c] < 0 || (diagonal && c % k->padded / k->part_channels != part))
			continue;
		store(block, chunk * per_chunk + c % per_chunk, k->type,
		      pack_load(k->data, from + k->offset[c], k->dtype));
	}
}

int gemm_pack(const struct gemm_matrix *m, enum gemm_type type, const void *data, uint32_t dtype,
	      void *to)
{
	struct packer k = { .m = m, .type = type, .data = data, .dtype = dtype };
	uint64_t bytes = gemm_packed_bytes(m, type);
	int err = columns_make(&k);

	for (uint32_t z = 0; !err && z < m->nr_z; z++)
		for (uint32_t r = 0; r < m->rows; r++)
			pack_row(&k, z * m->z_stride + r * m->row_stride, r,
				 (uint8_t *)to + z * bytes +
					 r / GEMM_ROWS * k.blocks * GEMM_BLOCK_BYTES);
	free(k.offset);
	return err;
}
