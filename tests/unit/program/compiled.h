/* SPDX-License-Identifier: Apache-2.0 */
/* Compile a built program, check it, and look for steps in it. Include after cmocka.h. */
#ifndef OOO_TESTS_PROGRAM_COMPILED_H
#define OOO_TESTS_PROGRAM_COMPILED_H

#include "agent/device/device.h"
#include "agent/program/passes.h"
#include "tests/unit/program/build.h"
#include "tests/unit/program/check.h"
#include "tests/unit/program/interp.h"

struct compiled {
	struct program *p;
	void *data;
};

/* Takes the builder. */
static inline struct compiled compiled_new(struct build *b, enum layout layout, bool fold)
{
	struct device_caps caps = { .image_layout = (uint8_t)layout };
	struct compile_opts opts = { .caps = &caps, .eval = fold ? interp_eval : NULL };
	char why[256] = "";
	struct compiled c;
	uint64_t bytes;

	c.data = build_encode(b, &bytes);
	if (program_compile_mem(c.data, bytes, &opts, &c.p, why, sizeof(why)))
		fail_msg("%s", why);
	assert_int_equal(check_program(c.p), 0);
	build_free(b);
	return c;
}

static inline void compiled_free(struct compiled *c)
{
	program_free(c->p);
	free(c->data);
}

/* The program has exactly these steps, in this order; 0 ends the list. */
static inline void assert_steps(const struct program *p, const uint32_t *ops)
{
	uint32_t n = 0;

	while (ops[n])
		n++;
	if (n != p->nr_steps) {
		program_print(p, stderr);
		fail_msg("%u steps, not %u", p->nr_steps, n);
	}
	for (uint32_t i = 0; i < n; i++)
		if (p->steps[i].op != ops[i]) {
			program_print(p, stderr);
			fail_msg("step %u is %s", i, p->steps[i].name);
		}
}

#define STEPS(...) ((const uint32_t[]){ __VA_ARGS__, 0 })

static inline uint32_t build_image(struct build *b, int64_t n, int64_t c, int64_t h, int64_t w)
{
	struct shape s = build_dims(OOO_FP32, n, c, h, w);

	return build_input(b, &s);
}

static inline uint32_t build_fill(struct build *b, const struct shape *s, float value)
{
	int64_t n = 0;
	float *v;
	uint32_t id;

	shape_elems(s, &n);
	v = malloc((size_t)(n + 1) * sizeof(*v));
	for (int64_t i = 0; i < n; i++)
		v[i] = value;
	id = build_const(b, s, v);
	free(v);
	return id;
}

static inline uint32_t build_batch_norm(struct build *b, uint32_t x, float var)
{
	struct shape s = build_dims(OOO_FP32, build_shape(b, x).dims[1], -1, -1, -1);
	uint32_t in[5] = { x, build_fill(b, &s, 2), build_fill(b, &s, 3), build_fill(b, &s, 4),
			   build_fill(b, &s, var) },
		 out;

	if (build_op_n(b, OOO_OP_BATCH_NORM, NULL, in, 5, &out, 1))
		abort();
	return out;
}

static inline uint32_t build_matmul(struct build *b, uint32_t x, int64_t columns)
{
	struct shape s = build_shape(b, x);

	s = build_dims(OOO_FP32, s.dims[s.rank - 1], columns, -1, -1);
	return build_op2(b, OOO_OP_MATMUL, x, build_const(b, &s, NULL));
}

static inline uint32_t build_reshape(struct build *b, uint32_t x, int64_t d0, int64_t d1)
{
	struct ooo_attr a;

	attr_init(&a, OOO_OP_RESHAPE);
	a.rank = 2;
	a.dims[0] = d0;
	a.dims[1] = d1;
	return build_op(b, OOO_OP_RESHAPE, &a, x, OOO_NONE, OOO_NONE);
}

#endif
