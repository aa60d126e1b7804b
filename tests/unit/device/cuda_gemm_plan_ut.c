// SPDX-License-Identifier: Apache-2.0
/*
 * What the encoder of matrix products hands to the kernels, looked at without running them: every
 * output written once, every gathered chunk inside its tensor, every block of k summed once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/device/cuda/encode_gemm.h"
#include "tests/unit/device/small_float.h"

#define CASES     400
#define MAX_TASKS 64
#define NR_PIECES 128

/* A piece of memory that operands may name: `at` is its index, shifted, plus an offset. */
struct piece {
	uint64_t bytes;
	void *host;
};

#define PIECE_SHIFT 40

struct cuda_plan {
	struct program p;
	struct tensor tensors[4];
	struct piece pieces[NR_PIECES];
	unsigned nr_pieces;
	struct {
		enum cuda_kernel kernel;
		union {
			struct gemm_task gemm;
			struct repack_task repack;
		};
	} tasks[MAX_TASKS];
	unsigned nr_tasks, nr_repacks;
	bool products; /* the second phase has begun */
};

/* ---- the plan's side --------------------------------------------------------------------------- */

static struct cuda_operand add_piece(struct cuda_plan *plan, uint64_t bytes, void *host,
				     enum cuda_place place, uint32_t dtype)
{
	assert_true(plan->nr_pieces < NR_PIECES);
	plan->pieces[plan->nr_pieces] = (struct piece){ bytes, host };
	return (struct cuda_operand){
		.at = (uint64_t)plan->nr_pieces++ << PIECE_SHIFT,
		.place = (uint8_t)place,
		.dtype = (uint8_t)dtype,
	};
}

const struct program *plan_program(const struct cuda_plan *plan)
{
	return &plan->p;
}

/* The first pieces are the tensors. */
struct cuda_operand plan_operand(struct cuda_plan *plan, uint32_t id)
{
	if (id == OOO_NONE)
		return (struct cuda_operand){ 0 };
	return (struct cuda_operand){
		.at = (uint64_t)id << PIECE_SHIFT,
		.place = plan->tensors[id].place == PLACE_CONST ? CUDA_CONST : CUDA_SLOT,
		.dtype = (uint8_t)plan->tensors[id].shape.dtype,
	};
}

const void *plan_const_data(const struct cuda_plan *plan, uint32_t id)
{
	return plan->tensors[id].place == PLACE_CONST ? plan->tensors[id].data : NULL;
}

struct cuda_operand plan_scratch(struct cuda_plan *plan, uint64_t bytes, uint8_t dtype)
{
	return add_piece(plan, bytes, NULL, CUDA_SLOT, dtype);
}

struct cuda_operand plan_zeroed(struct cuda_plan *plan, uint64_t bytes)
{
	return add_piece(plan, bytes, NULL, CUDA_SLOT, OOO_INT32);
}

int plan_block(struct cuda_plan *plan, uint64_t bytes, uint8_t dtype, void **host,
	       struct cuda_operand *out)
{
	*host = calloc(1, bytes);
	*out = add_piece(plan, bytes, *host, CUDA_CONST, dtype);
	return 0;
}

void plan_next_phase(struct cuda_plan *plan)
{
	plan->products = true;
}

int plan_task(struct cuda_plan *plan, enum cuda_kernel kernel, const void *task, size_t bytes)
{
	assert_true(plan->nr_tasks < MAX_TASKS);
	plan->tasks[plan->nr_tasks].kernel = kernel;
	memcpy(&plan->tasks[plan->nr_tasks].gemm, task, bytes);
	plan->nr_tasks++;
	if (kernel == KERNEL_REPACK) {
		assert_false(plan->products);
		plan->nr_repacks++;
	} else {
		assert_true(plan->products || !plan->nr_repacks);
	}
	return 0;
}

int plan_task_head(struct cuda_plan *plan, const struct step *step, struct cuda_task *head)
{
	(void)plan;
	*head = (struct cuda_task){ .op = step->op };
	return 0;
}

struct cuda_div cuda_div_make(uint32_t d)
{
	return (struct cuda_div){ .d = d ? d : 1 };
}

/* ---- a step ------------------------------------------------------------------------------------ */

static uint64_t random_state;

static int64_t pick(int64_t low, int64_t high)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return low + (int64_t)((z ^ z >> 31) % (uint64_t)(high - low + 1));
}

static int64_t elems_of(const struct tensor *t)
{
	int64_t n = 0;

	assert_int_equal(shape_elems(&t->shape, &n), 0);
	return n;
}

static void set_tensor(struct cuda_plan *plan, uint32_t id, const struct shape *s, uint8_t place)
{
	struct tensor *t = &plan->tensors[id];

	*t = (struct tensor){ .shape = *s, .place = place, .alias_of = OOO_NONE };
	t->bytes = (size_t)elems_of(t) * dtype_bytes(s->dtype);
	if (place == PLACE_CONST)
		t->data = calloc(1, t->bytes);
	plan->pieces[id] = (struct piece){ t->bytes, (void *)t->data };
}

static void drop(struct cuda_plan *plan)
{
	for (unsigned i = 0; i < plan->nr_pieces; i++)
		free(plan->pieces[i].host);
	free(plan);
}

/* ---- what must hold ---------------------------------------------------------------------------- */

static uint64_t bytes_after(const struct cuda_plan *plan, const struct cuda_operand *o)
{
	const struct piece *p = &plan->pieces[o->at >> PIECE_SHIFT];
	uint64_t offset = o->at & ((1ull << PIECE_SHIFT) - 1);

	assert_true(offset <= p->bytes);
	return p->bytes - offset;
}

static struct gemm_batch batch_of(const struct cuda_plan *plan, const struct gemm_task *t,
				  uint32_t z)
{
	const struct gemm_batch *all = NULL;

	if (t->nr_z == 1)
		return (struct gemm_batch){ 0 };
	all = plan->pieces[t->batch.at >> PIECE_SHIFT].host;
	assert_true(bytes_after(plan, &t->batch) >= t->nr_z * sizeof(*all));
	return all[z];
}

/* Pixel n's place in the output; and in the pictures, before the kernel's taps. */
static int64_t locate(const struct gemm_task *t, uint32_t n, int64_t *image, int64_t *y, int64_t *x)
{
	uint32_t in_plane = n % t->plane.d;

	*image = n / t->plane.d;
	*y = in_plane / t->row.d;
	*x = in_plane % t->row.d;
	return t->y_first + *image * t->y_image + *y * t->y_row + *x * t->y_column;
}

static void check_gather(const struct cuda_plan *plan, const struct gemm_task *t,
			 const struct gemm_batch *b)
{
	int64_t chunks = (int64_t)(bytes_after(plan, &t->x) / GEMM_CHUNK), image, y, x;

	assert_int_equal(b->x % GEMM_CHUNK, 0);
	for (uint32_t n = 0; n < t->n; n++) {
		locate(t, n, &image, &y, &x);
		for (uint32_t k = 0; k < t->kernel[0] * t->kernel[1]; k++) {
			int64_t h =
				y * t->stride[0] - t->pad[0] + k / t->kernel[1] * t->dilation[0];
			int64_t w =
				x * t->stride[1] - t->pad[1] + k % t->kernel[1] * t->dilation[1];
			int64_t at = b->x / GEMM_CHUNK + image * t->x_image + h * t->x_row +
				     w * t->x_column;

			if (h < 0 || h >= t->height || w < 0 || w >= t->width)
				continue;
			if (at < 0 || at + t->chunks > chunks)
				fail_msg("pixel %u tap %u: chunk %lld of %lld", n, k, (long long)at,
					 (long long)chunks);
		}
	}
}

static void check_tiles(const struct cuda_plan *plan, const struct gemm_task *t,
			enum cuda_kernel kernel, const struct gemm_tiling *tiling)
{
	uint64_t tiles = (uint64_t)t->tiles_m * t->tiles_n.d * t->nr_z;

	assert_int_equal(kernel, tiling->kernel);
	assert_int_equal(t->tiles_m, (t->m + tiling->bm - 1) / tiling->bm);
	assert_int_equal(t->tiles_n.d, (t->n + tiling->bn - 1) / tiling->bn);
	assert_int_equal(t->head.nr_tiles, tiles * t->splits);
	assert_true(t->splits >= 1);
	assert_true((uint64_t)t->splits * t->blocks_per_split >= t->blocks);
	assert_true(!t->blocks || (t->splits - 1) * t->blocks_per_split < t->blocks);
	assert_true((uint64_t)t->blocks * GEMM_CHUNKS >=
		    (uint64_t)t->kernel[0] * t->kernel[1] * t->chunks);
	if (t->splits > 1) {
		assert_true(bytes_after(plan, &t->partial) >=
			    tiles * t->splits * tiling->sums * sizeof(float));
		assert_true(bytes_after(plan, &t->arrived) >= tiles * sizeof(uint32_t));
	}
}

static void check_product(const struct cuda_plan *plan, const struct gemm_task *t,
			  unsigned char *written, int64_t elems)
{
	uint64_t w_bytes =
		(t->m + GEMM_ROWS - 1) / GEMM_ROWS * (uint64_t)t->blocks * GEMM_BLOCK_BYTES;
	int64_t i, y, x;

	for (uint32_t z = 0; z < t->nr_z; z++) {
		struct gemm_batch b = batch_of(plan, t, z);

		check_gather(plan, t, &b);
		if (w_bytes)
			assert_true((uint64_t)b.w + w_bytes <= bytes_after(plan, &t->w));
		for (uint32_t n = 0; n < t->n; n++) {
			int64_t at = b.y + locate(t, n, &i, &y, &x);

			for (uint32_t m = 0; m < t->m; m++, at += t->y_channel) {
				assert_in_range(at, 0, elems - 1);
				written[at]++;
			}
		}
	}
}

static void check_plan(const struct cuda_plan *plan, enum gemm_type type)
{
	int64_t elems = elems_of(&plan->tensors[3]);
	unsigned char *written = calloc(1, (size_t)elems);
	struct gemm_tiling tiling;
	uint32_t m = 0, n = 0;

	for (unsigned i = plan->nr_repacks; i < plan->nr_tasks; i++) {
		m = plan->tasks[i].gemm.m > m ? plan->tasks[i].gemm.m : m;
		n = plan->tasks[i].gemm.n > n ? plan->tasks[i].gemm.n : n;
	}
	gemm_choose(type, m, n, plan->tasks[plan->nr_repacks].gemm.nr_z, &tiling);
	for (unsigned i = plan->nr_repacks; i < plan->nr_tasks; i++) {
		check_tiles(plan, &plan->tasks[i].gemm, plan->tasks[i].kernel, &tiling);
		check_product(plan, &plan->tasks[i].gemm, written, elems);
	}
	for (int64_t e = 0; e < elems; e++)
		if (written[e] != 1)
			fail_msg("element %lld is written %u times", (long long)e, written[e]);
	free(written);
}

/* ---- cases ------------------------------------------------------------------------------------- */

static const struct {
	uint8_t precision;
	uint32_t dtype;
	enum gemm_type type;
} types[] = {
	{ OOO_FP32, OOO_FP32, GEMM_F32 },
	{ OOO_TF32, OOO_FP32, GEMM_TF32 },
	{ OOO_FP16, OOO_FP16, GEMM_F16 },
	{ OOO_BF16, OOO_BF16, GEMM_BF16 },
};

static void run(uint32_t op, const struct ooo_attr *attr, const struct shape *in, uint8_t x_layout,
		uint8_t y_layout)
{
	const struct shape *shapes[] = { &in[0], &in[1] };
	uint32_t ids[] = { 0, 1 }, out = 3;
	struct step step = { .op = op, .nr_in = 2, .nr_out = 1, .attr = *attr };
	struct cuda_plan *plan = calloc(1, sizeof(*plan));
	unsigned type = (unsigned)pick(0, 3);
	char why[256] = "";
	struct shape x = in[0], y;

	step.in = ids;
	step.out = &out;
	plan->p.tensors = plan->tensors;
	plan->p.precision = types[type].precision;
	plan->nr_pieces = 4;
	if (op_infer(op, attr, shapes, 2, &y, 1, why, sizeof(why))) { /* a kernel larger than X */
		drop(plan);
		return;
	}
	x.dtype = pick(0, 1) ? types[type].dtype : OOO_FP32;
	set_tensor(plan, 0, &x, PLACE_WORKSPACE);
	set_tensor(plan, 1, &in[1], pick(0, 2) ? PLACE_CONST : PLACE_WORKSPACE);
	set_tensor(plan, 3, &y, PLACE_WORKSPACE);
	plan->tensors[0].layout = x_layout;
	plan->tensors[3].layout = y_layout;
	assert_int_equal(encode_gemm(plan, &step, why, sizeof(why)), 0);
	check_plan(plan, types[type].type);
	drop(plan);
}

static void conv_case(uint32_t op)
{
	bool transposed = op == OOO_OP_CONV_TRANSPOSE;
	int64_t groups = pick(0, 2) ? 1 : pick(2, 4);
	int64_t in = pick(0, 1) ? 8 * pick(1, 9) : pick(1, 20), out = pick(1, 90);
	struct ooo_attr a;
	struct shape s[2] = {
		{ OOO_FP32, 4, { pick(1, 3), in * groups, pick(1, 12), pick(1, 12) } },
		{ OOO_FP32, 4, { out * groups, in, pick(1, 4), pick(1, 5) } },
	};

	attr_init(&a, op);
	if (transposed) {
		s[1].dims[0] = in * groups;
		s[1].dims[1] = out;
	}
	a.group = (int32_t)groups;
	for (int i = 0; i < 2; i++) {
		a.kernel[i] = (int32_t)s[1].dims[2 + i];
		a.stride[i] = (int32_t)pick(1, 4);
		a.dilation[i] = (int32_t)pick(1, 3);
		a.pad[i] = (int32_t)pick(0, 3);
		a.pad[i + 2] = (int32_t)pick(0, 3);
	}
	run(op, &a, s, pick(0, 1) ? LAYOUT_NHWC : LAYOUT_PLAIN,
	    pick(0, 1) ? LAYOUT_NHWC : LAYOUT_PLAIN);
}

static void matmul_case(void)
{
	int64_t m = pick(1, 150), n = pick(1, 150), k = pick(0, 1) ? 8 * pick(1, 500) : pick(1, 90);
	int rank = (int)pick(2, 5), short_a = (int)pick(0, rank - 2);
	struct shape s[2] = { { .dtype = OOO_FP32 }, { .dtype = OOO_FP32, .rank = rank } };
	struct ooo_attr a;

	attr_init(&a, OOO_OP_MATMUL);
	a.flags = (uint32_t)pick(0, 3) * OOO_ATTR_TRANS_A; /* none, one or both */
	s[0].rank = rank - short_a;
	for (int i = 0; i < rank - 2; i++) {
		int64_t size = pick(1, 3);

		s[1].dims[i] = pick(0, 2) ? size : 1;
		if (i >= short_a)
			s[0].dims[i - short_a] = pick(0, 2) ? size : 1;
	}
	s[0].dims[s[0].rank - 2] = a.flags & OOO_ATTR_TRANS_A ? k : n;
	s[0].dims[s[0].rank - 1] = a.flags & OOO_ATTR_TRANS_A ? n : k;
	s[1].dims[rank - 2] = a.flags & OOO_ATTR_TRANS_B ? m : k;
	s[1].dims[rank - 1] = a.flags & OOO_ATTR_TRANS_B ? k : m;
	run(OOO_OP_MATMUL, &a, s, LAYOUT_PLAIN, LAYOUT_PLAIN);
}

static void test_plans(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CASES; i++) {
		random_state = i;
		conv_case(OOO_OP_CONV);
		conv_case(OOO_OP_CONV_TRANSPOSE);
		matmul_case();
	}
}

/* A single layer of 7 x 7 pixels keeps 32 thread blocks busy. */
static void test_deep_layer_is_split(void **state)
{
	static const enum gemm_type all[] = { GEMM_F32, GEMM_TF32, GEMM_F16, GEMM_BF16 };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct gemm_task t = { .m = 512, .n = 49, .nr_z = 1 };
		struct gemm_tiling tiling;

		t.blocks = 4608 / gemm_per_chunk(all[i]) / GEMM_CHUNKS;
		gemm_choose(all[i], t.m, t.n, 1, &tiling);
		gemm_split(&t, &tiling);
		assert_true(t.tiles_m * t.tiles_n.d * t.splits >= 32);
	}
}

/* ---- packing ----------------------------------------------------------------------------------- */

static double unpack(const void *block, enum gemm_type type, uint32_t row, uint64_t column)
{
	uint32_t per_chunk = gemm_per_chunk(type), width = per_chunk * GEMM_CHUNKS;
	uint64_t at = column / width * GEMM_BLOCK_BYTES / (GEMM_CHUNK / per_chunk) +
		      gemm_swizzle(row, column % width / per_chunk) * per_chunk +
		      column % per_chunk;

	if (type == GEMM_F16 || type == GEMM_BF16)
		return small_to_double(type == GEMM_F16 ? OOO_FP16 : OOO_BF16,
				       ((const uint16_t *)block)[at]);
	return ((const float *)block)[at];
}

static void pack_case(enum gemm_type type)
{
	struct gemm_matrix m = {
		.nr_z = (uint32_t)pick(1, 3),
		.rows = (uint32_t)pick(1, 150),
		.taps = { (uint32_t)pick(1, 3), (uint32_t)pick(1, 3) },
		.channels = (uint32_t)pick(1, 70),
	};
	uint32_t chunk = gemm_per_chunk(type), padded = (m.channels + chunk - 1) / chunk * chunk;
	int64_t taps = m.taps[0] * m.taps[1], elems = m.nr_z * m.rows * taps * m.channels;
	uint64_t bytes = gemm_packed_bytes(&m, type), blocks = gemm_blocks(&m, type);
	float *data = malloc((size_t)elems * sizeof(*data));
	char *to = calloc(m.nr_z, bytes);

	m.tap_stride[0] = m.taps[1];
	m.tap_stride[1] = 1;
	m.channel_stride = taps;
	m.row_stride = taps * m.channels;
	m.z_stride = m.row_stride * m.rows;
	for (int64_t i = 0; i < elems; i++)
		data[i] = (float)pick(-256, 256) / 8; /* exact in every type */
	for (int64_t i = 0; i < elems && type == GEMM_BF16; i++)
		data[i] = (float)pick(-128, 128) / 8;
	assert_int_equal(gemm_pack(&m, type, data, OOO_FP32, to), 0);
	for (uint32_t z = 0; z < m.nr_z; z++) {
		for (uint32_t r = 0; r < (m.rows + 63) / 64 * 64; r++) {
			const char *at = to + z * bytes + r / 64 * blocks * GEMM_BLOCK_BYTES;

			for (uint64_t c = 0; c < blocks * chunk * GEMM_CHUNKS; c++) {
				uint64_t tap = c / padded, channel = c % padded;
				double want = 0;

				if (r < m.rows && (int64_t)tap < taps && channel < m.channels)
					want = data[z * m.z_stride + r * m.row_stride +
						    (int64_t)(tap + channel * (uint64_t)taps)];
				assert_true(unpack(at, type, r % 64, c) == want);
			}
		}
	}
	free(data);
	free(to);
}

static void test_pack_round_trip(void **state)
{
	(void)state;
	random_state = 1;
	for (unsigned i = 0; i < 40; i++)
		pack_case((enum gemm_type)(i % 4));
}

/* Numbers near every rounding edge of the narrow types. */
static void test_pack_rounds(void **state)
{
	static const double edges[] = { 0,    1,       1.5,   65504,   65519.9, 65520,
					1e9,  0x1p-14, 1e-7,  0x1p-24, 0x1p-25, 3e-8,
					2049, 2051,    1e-40, 3e38 };
	struct gemm_matrix m = { .nr_z = 1, .rows = 1, .taps = { 1, 1 }, .channels = 64 };

	(void)state;
	m.channel_stride = 1;
	for (unsigned pass = 0; pass < 2000; pass++) {
		float data[64];
		uint16_t to[GEMM_BLOCK_BYTES / 2];
		enum gemm_type type = pass % 2 ? GEMM_F16 : GEMM_BF16;

		random_state = pass;
		for (unsigned i = 0; i < 64; i++)
			data[i] = (float)(edges[pick(0, 15)] * (pick(0, 1) ? 1 : -1) *
					  (1 +
					   (double)pick(-8, 8) * (pick(0, 1) ? 0x1p-23 : 0x1p-11)));
		assert_int_equal(gemm_pack(&m, type, data, OOO_FP32, to), 0);
		for (unsigned i = 0; i < 64; i++)
			assert_int_equal(to[i], small_from_double(pass % 2 ? OOO_FP16 : OOO_BF16,
								  data[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plans),
		cmocka_unit_test(test_deep_layer_is_split),
		cmocka_unit_test(test_pack_round_trip),
		cmocka_unit_test(test_pack_rounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
