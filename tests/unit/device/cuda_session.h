/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device over the emulated driver, and a program with weights that it runs: for tests of what goes
 * wrong around the kernels. Nothing here fails a test by itself: every step returns its error.
 */
#ifndef OOO_TESTS_CUDA_SESSION_H
#define OOO_TESTS_CUDA_SESSION_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <sys/mman.h>

#include "agent/device/cpu/clock.h"
#include "agent/device/cuda/plan.h"
#include "agent/device/device.h"
#include "agent/log.h"
#include "shared/lib/infer.h"

#define CS_M           5
#define CS_K           70
#define CS_N           33
#define CS_ARENA_BYTES 65536
#define CS_POLLS       1000000

extern const struct device_ops cuda_device_ops;

/* tests/emu/driver/control.h */
static struct {
	void *library;
	char path[4096];
	unsigned long (*calls)(void);
	void (*fail_call)(unsigned long n, int result);
	void (*revive)(void);
	void (*hold)(int on);
	unsigned (*leaks)(void);
	unsigned long (*memory_used)(void);
} emu;

static inline void emu_symbol(void *to, const char *name)
{
	void *p = dlsym(emu.library, name);

	if (!p)
		fail_msg("%s has no %s", emu.path, name);
	memcpy(to, &p, sizeof(p));
}

static inline int emu_load(void **state)
{
	const char *driver = getenv("OOO_EMU_DRIVER"), *build = getenv("OOO_BUILD");

	(void)state;
	if (driver)
		snprintf(emu.path, sizeof(emu.path), "%s", driver);
	else
		snprintf(emu.path, sizeof(emu.path), "%s/emu/libcuda.so.1",
			 build ? build : "build");
	emu.library = dlopen(emu.path, RTLD_NOW | RTLD_LOCAL);
	if (!emu.library)
		fail_msg("%s", dlerror());
	emu_symbol(&emu.calls, "ooo_emu_calls");
	emu_symbol(&emu.fail_call, "ooo_emu_fail");
	emu_symbol(&emu.revive, "ooo_emu_revive");
	emu_symbol(&emu.hold, "ooo_emu_hold");
	emu_symbol(&emu.leaks, "ooo_emu_leaks");
	emu_symbol(&emu.memory_used, "ooo_emu_memory_used");
	assert_non_null(encode_gemm);
	log_set_level(LOG_LEVEL_ERROR);
	return 0;
}

/* out = a b, with b constant. */
struct session {
	struct device_config config;
	struct device *dev;
	char *arena;
	bool mapped;
	struct program program;
	struct tensor tensors[3];
	struct step step;
	uint32_t in[2], out[1], inputs[1], outputs[1];
	float *weights;
	struct device_program *dp;
	struct device_binding *binding;
	struct bundle bundle;
	char why[256];
};

static inline void cs_tensor(struct tensor *t, enum place place, int64_t rows, int64_t columns)
{
	*t = (struct tensor){
		.shape = { .dtype = OOO_FP32, .rank = 2, .dims = { rows, columns } },
		.place = (uint8_t)place,
		.alias_of = OOO_NONE,
		.bytes = (size_t)(rows * columns) * sizeof(float),
	};
}

static inline void cs_program(struct session *s)
{
	struct program *p = &s->program;

	cs_tensor(&s->tensors[0], PLACE_INPUT, CS_M, CS_K);
	cs_tensor(&s->tensors[1], PLACE_CONST, CS_K, CS_N);
	cs_tensor(&s->tensors[2], PLACE_OUTPUT, CS_M, CS_N);
	s->weights = calloc(CS_K * CS_N, sizeof(*s->weights));
	for (int i = 0; i < CS_K * CS_N; i++)
		s->weights[i] = (float)(i % 11 - 5);
	s->tensors[1].data = s->weights;
	s->in[1] = 1;
	s->out[0] = s->outputs[0] = 2;
	s->step = (struct step){ .op = OOO_OP_MATMUL, .nr_in = 2, .nr_out = 1 };
	s->step.klass = op_info(OOO_OP_MATMUL)->klass;
	attr_init(&s->step.attr, OOO_OP_MATMUL);
	s->step.in = s->in;
	s->step.out = s->out;
	snprintf(s->step.name, sizeof(s->step.name), "MatMul 0");
	snprintf(p->name, sizeof(p->name), "session");
	p->tensors = s->tensors;
	p->nr_tensors = 3;
	p->steps = &s->step;
	p->nr_steps = p->nr_ops = p->nr_inputs = p->nr_outputs = 1;
	p->inputs = s->inputs;
	p->outputs = s->outputs;
	p->weight_bytes = s->tensors[1].bytes;
	p->share_key = 7;
}

static inline float *cs_input(struct session *s)
{
	return (float *)(void *)(s->arena + 4096);
}

static inline float *cs_output(struct session *s)
{
	return (float *)(void *)(s->arena + 32768);
}

static inline void cs_init(struct session *s)
{
	memset(s, 0, sizeof(*s));
	s->config = (struct device_config){ .name = "cuda", .cuda_library = emu.path };
	s->arena = mmap(NULL, CS_ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	assert_true(s->arena != MAP_FAILED);
	cs_program(s);
}

static inline void cs_fini(struct session *s)
{
	munmap(s->arena, CS_ARENA_BYTES);
	free(s->weights);
}

static inline int cs_open(struct session *s)
{
	s->why[0] = '\0';
	return cuda_device_ops.open(&s->config, &s->dev, s->why, sizeof(s->why));
}

static inline int cs_load(struct session *s)
{
	void *io[2] = { cs_input(s), cs_output(s) };
	int err = cuda_device_ops.map_arena(s->dev, s->arena, CS_ARENA_BYTES);

	if (err)
		return err;
	s->mapped = true;
	s->why[0] = '\0';
	err = cuda_device_ops.load(s->dev, &s->program, 2, &s->dp, s->why, sizeof(s->why));
	if (err)
		return err;
	return cuda_device_ops.bind(s->dev, s->dp, io, &s->binding);
}

/* 0 with the bundle's scope in bundle.scope; submit's error. A bundle that was taken comes back
 * once. */
static inline int cs_run(struct session *s, uint16_t lane)
{
	struct bundle *b = &s->bundle, *done[2] = { NULL };
	int err;

	memset(b, 0, sizeof(*b));
	b->nr_items = 1;
	b->lane = lane;
	b->submit_ns = clock_now_ns();
	b->items[0] = (struct bundle_item){ .program = s->dp, .binding = s->binding };
	for (int i = 0; i < CS_M * CS_K; i++)
		cs_input(s)[i] = (float)(i % 7);
	for (int i = 0; i < CS_M * CS_N; i++)
		cs_output(s)[i] = NAN;
	err = cuda_device_ops.submit(s->dev, b);
	if (err) {
		assert_int_equal(cuda_device_ops.poll(s->dev, done, 2), 0);
		emu.hold(0); /* what it launched nevertheless is waited for */
		return err;
	}
	for (int i = 0; !done[0] && i < CS_POLLS; i++)
		assert_in_range(cuda_device_ops.poll(s->dev, done, 2), 0, 1);
	assert_ptr_equal(done[0], b);
	/* Nothing comes twice. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(cuda_device_ops.poll(s->dev, done, 2), 0);
	if (b->scope != SCOPE_NONE)
		emu.hold(0); /* the same */
	return 0;
}

static inline bool cs_result_is_right(struct session *s)
{
	for (int m = 0; m < CS_M; m++) {
		for (int n = 0; n < CS_N; n++) {
			float sum = 0;

			for (int k = 0; k < CS_K; k++)
				sum += cs_input(s)[m * CS_K + k] * s->weights[k * CS_N + n];
			if (cs_output(s)[m * CS_N + n] != sum) /* small integers: exact */
				return false;
		}
	}
	return true;
}

static inline bool cs_works(struct session *s, uint16_t lane)
{
	return !cs_run(s, lane) && s->bundle.scope == SCOPE_NONE &&
	       s->bundle.items[0].status == OOO_OK && cs_result_is_right(s);
}

static inline void cs_unload(struct session *s)
{
	if (s->binding)
		cuda_device_ops.unbind(s->dev, s->binding);
	if (s->dp)
		cuda_device_ops.unload(s->dev, s->dp);
	if (s->mapped)
		cuda_device_ops.unmap_arena(s->dev, s->arena);
	s->binding = NULL;
	s->dp = NULL;
	s->mapped = false;
}

static inline void cs_close(struct session *s)
{
	if (s->dev)
		cuda_device_ops.close(s->dev);
	s->dev = NULL;
}

#endif
