/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cases of cpu_onednn_ut.c: operators that oneDNN runs, and some on which it must leave the work
 * to a plain kernel. Odd shapes, each layout, each post-operation.
 */
#ifndef OOO_TESTS_CPU_ONEDNN_CASES_H
#define OOO_TESTS_CPU_ONEDNN_CASES_H

#include "tests/unit/device/rig_case.h"

/* A case is a row of a table. */
/* clang-format off */
#define SHAPE(...)      { sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t), { __VA_ARGS__ } }
#define IMAGE           .x_nhwc = true, .y_nhwc = true
#define GATHER          .y_nhwc = true /* a plain input of a channels-last net */
#define POST(o)         { .op = OOO_OP_##o }
#define POST_A(o, a, b) { .op = OOO_OP_##o, .alpha = a, .beta = b }
#define POST_T(o, ...)  { .op = OOO_OP_##o, .operand = SHAPE(__VA_ARGS__) }

static const struct rig_case rig_cases[] = {
	{ "conv 1x1", OOO_OP_CONV, { SHAPE(1, 16, 7, 9), SHAPE(24, 16, 1, 1) }, IMAGE },
	{ "conv 1x1 plain", OOO_OP_CONV, { SHAPE(1, 16, 7, 9), SHAPE(24, 16, 1, 1), SHAPE(24) } },
	{ "conv 3x3 pad", OOO_OP_CONV, { SHAPE(1, 20, 15, 13), SHAPE(17, 20, 3, 3), SHAPE(17) },
	  .kernel = { 3, 3 }, .pad = { 1, 1, 1, 1 }, IMAGE },
	{ "conv 3x3 pad plain", OOO_OP_CONV, { SHAPE(2, 20, 15, 13), SHAPE(17, 20, 3, 3),
	  SHAPE(17) }, .kernel = { 3, 3 }, .pad = { 1, 1, 1, 1 } },
	{ "conv 3x3 large", OOO_OP_CONV, { SHAPE(1, 64, 28, 28), SHAPE(64, 64, 3, 3), SHAPE(64) },
	  .kernel = { 3, 3 }, .pad = { 1, 1, 1, 1 }, IMAGE, .post = { POST(RELU) } },
	{ "conv 3x3 large plain", OOO_OP_CONV, { SHAPE(1, 64, 28, 28), SHAPE(64, 64, 3, 3),
	  SHAPE(64) }, .kernel = { 3, 3 }, .pad = { 1, 1, 1, 1 }, .post = { POST(RELU) } },
	{ "conv stride 2", OOO_OP_CONV, { SHAPE(1, 32, 27, 30), SHAPE(48, 32, 3, 3), SHAPE(48) },
	  .kernel = { 3, 3 }, .stride = { 2, 2 }, .pad = { 1, 1, 1, 1 }, IMAGE },
	{ "conv 1x1 stride 2", OOO_OP_CONV, { SHAPE(1, 64, 28, 28), SHAPE(128, 64, 1, 1) },
	  .stride = { 2, 2 }, IMAGE },
	{ "conv lopsided pads", OOO_OP_CONV, { SHAPE(1, 16, 20, 23), SHAPE(32, 16, 5, 3),
	  SHAPE(32) }, .kernel = { 5, 3 }, .stride = { 2, 3 }, .pad = { 0, 1, 3, 2 }, IMAGE },
	{ "conv wide pads", OOO_OP_CONV, { SHAPE(1, 16, 4, 4), SHAPE(32, 16, 3, 3) }, .kernel = {
	  3, 3 }, .pad = { 4, 4, 4, 4 }, IMAGE },
	{ "conv dilated", OOO_OP_CONV, { SHAPE(1, 24, 30, 21), SHAPE(40, 24, 3, 3), SHAPE(40) },
	  .kernel = { 3, 3 }, .dilation = { 3, 2 }, .pad = { 3, 2, 3, 2 }, IMAGE },
	{ "conv dilated plain", OOO_OP_CONV, { SHAPE(1, 24, 30, 21), SHAPE(40, 24, 3, 3),
	  SHAPE(40) }, .kernel = { 3, 3 }, .dilation = { 3, 2 }, .pad = { 3, 2, 3, 2 } },
	{ "conv unused rows", OOO_OP_CONV, { SHAPE(1, 16, 12, 12), SHAPE(16, 16, 1, 1) }, .stride
	  = { 5, 5 }, IMAGE },
	{ "conv batch", OOO_OP_CONV, { SHAPE(5, 16, 14, 14), SHAPE(32, 16, 3, 3), SHAPE(32) },
	  .kernel = { 3, 3 }, .pad = { 1, 1, 1, 1 }, IMAGE, .post = { POST_T(ADD, 5, 32, 14, 14) }
	  },
	{ "conv batch of 70", OOO_OP_CONV, { SHAPE(70, 8, 6, 6), SHAPE(16, 8, 3, 3), SHAPE(16) },
	  .kernel = { 3, 3 }, .pad = { 1, 1, 1, 1 }, IMAGE, .post = { POST_T(ADD, 70, 16, 6, 6) }
	  },
	{ "conv batch plain", OOO_OP_CONV, { SHAPE(70, 8, 6, 6), SHAPE(16, 8, 3, 3), SHAPE(16) },
	  .kernel = { 3, 3 }, .pad = { 1, 1, 1, 1 }, .post = { POST_T(ADD, 70, 16, 6, 6) } },
	{ "conv batch of 16", OOO_OP_CONV, { SHAPE(16, 32, 14, 14), SHAPE(64, 32, 3, 3), SHAPE(64)
	  }, .kernel = { 3, 3 }, .pad = { 1, 1, 1, 1 }, IMAGE, .post = { POST_T(MUL, 64, 1, 1) } },
	{ "conv groups", OOO_OP_CONV, { SHAPE(1, 32, 14, 15), SHAPE(48, 8, 3, 3), SHAPE(48) },
	  .kernel = { 3, 3 }, .pad = { 1, 1, 1, 1 }, .group = 4, IMAGE },
	{ "conv groups plain", OOO_OP_CONV, { SHAPE(1, 32, 14, 15), SHAPE(48, 8, 3, 3), SHAPE(48)
	  }, .kernel = { 3, 3 }, .pad = { 1, 1, 1, 1 }, .group = 4 },
	{ "conv odd groups", OOO_OP_CONV, { SHAPE(1, 9, 14, 15), SHAPE(15, 3, 3, 3) }, .kernel = {
	  3, 3 }, .pad = { 1, 1, 1, 1 }, .group = 3, IMAGE },
	{ "conv depthwise", OOO_OP_CONV, { SHAPE(1, 96, 28, 28), SHAPE(96, 1, 3, 3), SHAPE(96) },
	  .kernel = { 3, 3 }, .pad = { 1, 1, 1, 1 }, .group = 96, IMAGE, .post = { POST_A(CLIP, 0,
	  6) } },
	{ "conv depthwise odd", OOO_OP_CONV, { SHAPE(1, 37, 19, 17), SHAPE(37, 1, 5, 5), SHAPE(37)
	  }, .kernel = { 5, 5 }, .stride = { 2, 2 }, .pad = { 2, 2, 2, 2 }, .group = 37, IMAGE },
	{ "conv depthwise plain", OOO_OP_CONV, { SHAPE(1, 37, 19, 17), SHAPE(37, 1, 5, 5),
	  SHAPE(37) }, .kernel = { 5, 5 }, .stride = { 2, 2 }, .pad = { 2, 2, 2, 2 }, .group = 37
	  },
	{ "conv depthwise multiplier", OOO_OP_CONV, { SHAPE(1, 8, 9, 9), SHAPE(24, 1, 3, 3) },
	  .kernel = { 3, 3 }, .group = 8, IMAGE },
	{ "conv first 7x7", OOO_OP_CONV, { SHAPE(1, 3, 61, 57), SHAPE(64, 3, 7, 7), SHAPE(64) },
	  .kernel = { 7, 7 }, .stride = { 2, 2 }, .pad = { 3, 3, 3, 3 }, GATHER, .post = {
	  POST(RELU) } },
	{ "conv first batch", OOO_OP_CONV, { SHAPE(3, 3, 31, 33), SHAPE(32, 3, 3, 3), SHAPE(32) },
	  .kernel = { 3, 3 }, .stride = { 2, 2 }, .pad = { 1, 1, 1, 1 }, GATHER },
	{ "conv first batch of 70", OOO_OP_CONV, { SHAPE(70, 3, 9, 8), SHAPE(32, 3, 3, 3),
	  SHAPE(32) }, .kernel = { 3, 3 }, .stride = { 2, 2 }, .pad = { 1, 1, 1, 1 }, GATHER },
	{ "conv gather many", OOO_OP_CONV, { SHAPE(1, 40, 17, 11), SHAPE(32, 40, 3, 3), SHAPE(32)
	  }, .kernel = { 3, 3 }, .pad = { 1, 1, 1, 1 }, GATHER },
	{ "conv 1-d", OOO_OP_CONV, { SHAPE(2, 12, 50), SHAPE(20, 12, 5), SHAPE(20) }, .kernel = {
	  0, 5 }, .stride = { 0, 2 }, .pad = { 0, 2, 0, 2 } },
	{ "conv 1-d depthwise", OOO_OP_CONV, { SHAPE(1, 32, 50), SHAPE(32, 1, 3), SHAPE(32) },
	  .kernel = { 0, 3 }, .dilation = { 0, 4 }, .pad = { 0, 8, 0, 0 }, .group = 32 },
	{ "conv one pixel", OOO_OP_CONV, { SHAPE(1, 480, 1, 1), SHAPE(120, 480, 1, 1), SHAPE(120)
	  }, IMAGE, .post = { POST(SIGMOID) } },
	{ "conv channels", OOO_OP_CONV, { SHAPE(1, 512, 7, 7), SHAPE(1000, 512, 1, 1), SHAPE(1000) },
	  IMAGE, .post = { POST_T(ADD, 1, 1000, 7, 7), POST(RELU) } },
	{ "conv channels 3x3", OOO_OP_CONV, { SHAPE(1, 176, 7, 5), SHAPE(200, 176, 3, 3) },
	  .kernel = { 3, 3 }, .stride = { 2, 1 }, .pad = { 1, 1, 1, 1 }, IMAGE,
	  .post = { POST_T(MUL, 200, 1, 1), POST_T(ADD, 1, 200, 4, 5) } },
	{ "conv channels gather", OOO_OP_CONV, { SHAPE(1, 512, 3, 4), SHAPE(600, 512, 1, 1),
	  SHAPE(600) }, GATHER, .post = { POST_T(MUL, 1, 600, 3, 4), POST_T(ADD, 1) } },
	{ "conv plain narrow", OOO_OP_CONV, { SHAPE(1, 40, 14, 15), SHAPE(72, 40, 3, 3) },
	  .kernel = { 3, 3 }, .post = { POST_T(MUL, 72, 1, 1), POST_T(ADD, 1, 1) } },
	{ "conv bands narrow", OOO_OP_CONV, { SHAPE(1, 40, 34, 35), SHAPE(72, 40, 3, 3) },
	  .kernel = { 3, 3 }, IMAGE, .post = { POST_T(MUL, 32, 1), POST_T(ADD, 33) } },
	{ "conv two wide", OOO_OP_CONV, { SHAPE(1, 16, 9, 9), SHAPE(16, 16, 1, 1) }, IMAGE,
	  .post = { POST_T(ADD, 16, 9, 1) } },
	{ "conv 1-d by channel", OOO_OP_CONV, { SHAPE(2, 12, 50), SHAPE(20, 12, 5) },
	  .kernel = { 0, 5 }, .post = { POST_T(MUL, 20, 1), POST_T(ADD, 2, 20, 46) } },
	{ "conv channels rest", OOO_OP_CONV, { SHAPE(1, 512, 7, 7), SHAPE(600, 512, 1, 1) }, IMAGE,
	  .post = { POST(RELU), POST_T(MUL, 600, 7, 1) } },
	{ "conv batch rest", OOO_OP_CONV, { SHAPE(5, 32, 14, 14), SHAPE(64, 32, 1, 1) }, IMAGE,
	  .post = { POST_T(MUL, 5, 64, 1, 1), POST(SIGMOID) } },
	{ "conv abs", OOO_OP_CONV, { SHAPE(1, 32, 28, 28), SHAPE(64, 32, 1, 1) }, IMAGE,
	  .post = { POST_T(ADD, 1, 64, 28, 28), POST(ABS) } },
	{ "conv run-time weights", OOO_OP_CONV, { SHAPE(1, 8, 9, 9), SHAPE(8, 8, 3, 3) }, .kernel
	  = { 3, 3 }, .run_time = true, .plain = true },
	{ "conv residual", OOO_OP_CONV, { SHAPE(1, 64, 28, 28), SHAPE(256, 64, 1, 1), SHAPE(256)
	  }, IMAGE, .post = { POST_T(ADD, 1, 256, 28, 28), POST(RELU) } },
	{ "conv residual plain", OOO_OP_CONV, { SHAPE(1, 64, 28, 28), SHAPE(80, 64, 1, 1),
	  SHAPE(80) }, .post = { POST_T(ADD, 1, 80, 28, 28), POST(RELU) } },
	{ "conv residual after", OOO_OP_CONV, { SHAPE(1, 32, 28, 28), SHAPE(32, 32, 3, 3),
	  SHAPE(32) }, .kernel = { 3, 3 }, .pad = { 1, 1, 1, 1 }, IMAGE, .post = { POST_A(SWISH,
	  1, 0), POST_T(ADD, 1, 32, 28, 28) } },
	{ "conv by channel", OOO_OP_CONV, { SHAPE(1, 32, 28, 28), SHAPE(48, 32, 3, 3), SHAPE(48)
	  }, .kernel = { 3, 3 }, IMAGE, .post = { POST_T(MUL, 48, 1, 1), POST_T(ADD, 1, 48, 1, 1)
	  } },
	{ "conv scalar", OOO_OP_CONV, { SHAPE(1, 32, 14, 14), SHAPE(48, 32, 3, 3) }, .kernel = {
	  3, 3 }, IMAGE, .post = { POST_T(MUL, 1), POST_A(LEAKY_RELU, 0.1f, 0) } },
	{ "conv by column", OOO_OP_CONV, { SHAPE(1, 8, 10, 11), SHAPE(8, 8, 1, 1) }, .post = {
	  POST_T(ADD, 11) } },
	{ "conv gelu", OOO_OP_CONV, { SHAPE(1, 16, 14, 14), SHAPE(16, 16, 3, 3) }, .kernel = { 3,
	  3 }, IMAGE, .post = { POST(GELU) } },
	{ "conv gelu tanh", OOO_OP_CONV, { SHAPE(1, 16, 14, 14), SHAPE(16, 16, 3, 3) }, .kernel =
	  { 3, 3 }, IMAGE, .post = { { .op = OOO_OP_GELU, .mode = 1 } } },
	{ "conv hard-swish", OOO_OP_CONV, { SHAPE(1, 16, 14, 14), SHAPE(16, 16, 3, 3) }, .kernel =
	  { 3, 3 }, IMAGE, .post = { POST(HARD_SWISH), POST(TANH) } },
	{ "conv hard-sigmoid", OOO_OP_CONV, { SHAPE(1, 16, 14, 14), SHAPE(16, 16, 3, 3) }, .kernel
	  = { 3, 3 }, IMAGE, .post = { POST_A(HARD_SIGMOID, 0.2f, 0.5f), POST_A(ELU, 0.7f, 0) } },
	{ "deconv 2x2", OOO_OP_CONV_TRANSPOSE, { SHAPE(1, 32, 14, 13), SHAPE(32, 16, 2, 2),
	  SHAPE(16) }, .kernel = { 2, 2 }, .stride = { 2, 2 }, IMAGE },
	{ "deconv 2x2 plain", OOO_OP_CONV_TRANSPOSE, { SHAPE(2, 32, 14, 13), SHAPE(32, 16, 2, 2),
	  SHAPE(16) }, .kernel = { 2, 2 }, .stride = { 2, 2 } },
	{ "deconv pads", OOO_OP_CONV_TRANSPOSE, { SHAPE(1, 24, 9, 11), SHAPE(24, 20, 4, 3),
	  SHAPE(20) }, .kernel = { 4, 3 }, .stride = { 2, 3 }, .pad = { 1, 0, 2, 1 }, .out_pad = {
	  1, 2 }, IMAGE, .post = { POST(RELU) } },
	{ "deconv channels", OOO_OP_CONV_TRANSPOSE, { SHAPE(1, 64, 24, 20), SHAPE(64, 72, 2, 2),
	  SHAPE(72) }, .kernel = { 2, 2 }, .stride = { 2, 2 }, IMAGE,
	  .post = { POST_T(ADD, 1, 72, 48, 40), POST_T(MUL, 72, 1, 1) } },
	{ "deconv channels plain", OOO_OP_CONV_TRANSPOSE, { SHAPE(1, 64, 24, 20),
	  SHAPE(64, 72, 3, 3) }, .kernel = { 3, 3 }, .stride = { 2, 2 },
	  .post = { POST_T(ADD, 1, 72, 49, 41), POST_T(MUL, 72, 1, 1) } },
	{ "deconv groups", OOO_OP_CONV_TRANSPOSE, { SHAPE(1, 16, 9, 11), SHAPE(16, 8, 3, 3) },
	  .kernel = { 3, 3 }, .stride = { 2, 2 }, .pad = { 1, 1, 1, 1 }, .group = 2, IMAGE },
	{ "deconv depthwise", OOO_OP_CONV_TRANSPOSE, { SHAPE(1, 16, 9, 11), SHAPE(16, 1, 4, 4),
	  SHAPE(16) }, .kernel = { 4, 4 }, .stride = { 2, 2 }, .pad = { 1, 1, 1, 1 }, .group = 16,
	  IMAGE },
	{ "deconv dilated", OOO_OP_CONV_TRANSPOSE, { SHAPE(1, 16, 9, 11), SHAPE(16, 8, 3, 3) },
	  .kernel = { 3, 3 }, .dilation = { 2, 2 }, IMAGE },
	{ "deconv 1-d", OOO_OP_CONV_TRANSPOSE, { SHAPE(1, 16, 20), SHAPE(16, 8, 4), SHAPE(8) },
	  .kernel = { 0, 4 }, .stride = { 0, 2 }, .pad = { 0, 1, 0, 1 } },
	{ "matmul", OOO_OP_MATMUL, { SHAPE(33, 70), SHAPE(70, 50) } },
	{ "matmul large", OOO_OP_MATMUL, { SHAPE(1, 128, 768), SHAPE(768, 768), SHAPE(768) },
	  .post = { POST(GELU) } },
	{ "matmul row", OOO_OP_MATMUL, { SHAPE(1, 2048), SHAPE(1000, 2048), SHAPE(1000) }, .flags
	  = OOO_ATTR_TRANS_B },
	{ "matmul row small", OOO_OP_MATMUL, { SHAPE(1, 1, 70), SHAPE(70, 33), SHAPE(33) },
	  .alpha = 0.5f, .post = { POST_T(ADD, 1, 1, 33), POST(TANH) } },
	{ "matmul row posts", OOO_OP_MATMUL, { SHAPE(1, 1280), SHAPE(1280, 1000), SHAPE(1000) },
	  .beta = 3, .post = { POST_T(MUL, 1000), POST_T(ADD, 1) } },
	{ "matmul column", OOO_OP_MATMUL, { SHAPE(300, 1), SHAPE(300, 500) },
	  .flags = OOO_ATTR_TRANS_A },
	{ "matmul trans_b", OOO_OP_MATMUL, { SHAPE(65, 300), SHAPE(257, 300), SHAPE(1, 257) },
	  .flags = OOO_ATTR_TRANS_B, .post = { POST_T(ADD, 65, 257) } },
	{ "matmul trans_a", OOO_OP_MATMUL, { SHAPE(70, 33), SHAPE(70, 50) }, .flags =
	  OOO_ATTR_TRANS_A },
	{ "matmul trans both", OOO_OP_MATMUL, { SHAPE(70, 33), SHAPE(50, 70), SHAPE(50) }, .flags
	  = OOO_ATTR_TRANS_A | OOO_ATTR_TRANS_B },
	{ "matmul alpha", OOO_OP_MATMUL, { SHAPE(20, 70), SHAPE(70, 400), SHAPE(400) }, .alpha =
	  0.5f, .beta = 2 },
	{ "matmul alpha trans_b", OOO_OP_MATMUL, { SHAPE(20, 70), SHAPE(400, 70), SHAPE(400) },
	  .alpha = 0.5f, .beta = -3, .flags = OOO_ATTR_TRANS_B },
	{ "matmul bias matrix", OOO_OP_MATMUL, { SHAPE(20, 70), SHAPE(70, 40), SHAPE(20, 40) },
	  .plain = true },
	{ "matmul bias column", OOO_OP_MATMUL, { SHAPE(20, 70), SHAPE(70, 40), SHAPE(20, 1) },
	  .plain = true },
	{ "matmul rows by const", OOO_OP_MATMUL, { SHAPE(2, 3, 17, 64), SHAPE(64, 96) }, .post = {
	  POST_A(CLIP, -1, 1), POST_T(MUL, 2, 3, 17, 96) } },
	{ "matmul row by column vector", OOO_OP_MATMUL, { SHAPE(2, 40, 64), SHAPE(64, 640) },
	  .post = { POST_T(MUL, 640), POST_T(ADD, 1, 1, 640) } },
	{ "matmul by row", OOO_OP_MATMUL, { SHAPE(40, 64), SHAPE(64, 640) },
	  .post = { POST_T(MUL, 40, 1), POST_T(ADD, 1) } },
	{ "matmul merged rows", OOO_OP_MATMUL, { SHAPE(3, 40, 64), SHAPE(64, 64) },
	  .post = { POST_T(MUL, 40, 1) } },
	{ "matmul batched posts", OOO_OP_MATMUL, { SHAPE(12, 40, 64), SHAPE(12, 64, 80) },
	  .run_time = true, .post = { POST_T(MUL, 1), POST_T(ADD, 12, 40, 80) } },
	{ "matmul batched narrow", OOO_OP_MATMUL, { SHAPE(3, 4, 40, 64), SHAPE(3, 4, 64, 80) },
	  .run_time = true, .post = { POST_T(MUL, 1, 80), POST_T(ADD, 80) } },
	{ "matmul two inputs", OOO_OP_MATMUL, { SHAPE(33, 70), SHAPE(70, 50) }, .run_time = true },
	{ "matmul batched", OOO_OP_MATMUL, { SHAPE(2, 6, 40, 32), SHAPE(2, 6, 32, 40) }, .run_time
	  = true },
	{ "matmul batched large", OOO_OP_MATMUL, { SHAPE(1, 12, 128, 64), SHAPE(1, 12, 64, 128) },
	  .run_time = true },
	{ "matmul batched trans_b", OOO_OP_MATMUL, { SHAPE(6, 40, 32), SHAPE(6, 24, 32) }, .flags
	  = OOO_ATTR_TRANS_B, .run_time = true },
	{ "matmul batched const", OOO_OP_MATMUL, { SHAPE(6, 40, 32), SHAPE(6, 32, 24), SHAPE(24) }
	  },
	{ "matmul broadcast", OOO_OP_MATMUL, { SHAPE(2, 1, 10, 8), SHAPE(3, 8, 9) }, .run_time =
	  true, .plain = true },
	{ "matmul broadcast b", OOO_OP_MATMUL, { SHAPE(4, 3, 10, 8), SHAPE(8, 9) }, .run_time =
	  true },
	{ "matmul alpha two inputs", OOO_OP_MATMUL, { SHAPE(9, 70), SHAPE(70, 50) }, .run_time =
	  true, .alpha = 0.25f, .plain = true },
	{ "matmul inner 1", OOO_OP_MATMUL, { SHAPE(30, 1), SHAPE(1, 50) } },
	{ "matmul one by one", OOO_OP_MATMUL, { SHAPE(1, 5), SHAPE(5, 1), SHAPE(1) } },
	{ "max pool", OOO_OP_MAX_POOL, { SHAPE(1, 64, 56, 55) }, .kernel = { 3, 3 }, .stride = {
	  2, 2 }, .pad = { 1, 1, 1, 1 }, IMAGE },
	{ "max pool plain", OOO_OP_MAX_POOL, { SHAPE(2, 5, 17, 15) }, .kernel = { 3, 2 }, .stride
	  = { 2, 2 }, .pad = { 1, 0, 1, 1 } },
	{ "max pool ceil", OOO_OP_MAX_POOL, { SHAPE(1, 20, 16, 14) }, .kernel = { 3, 3 }, .stride
	  = { 2, 2 }, .flags = OOO_ATTR_CEIL_MODE, IMAGE },
	{ "max pool dilated", OOO_OP_MAX_POOL, { SHAPE(1, 20, 16, 14) }, .kernel = { 3, 3 },
	  .dilation = { 2, 2 }, IMAGE, .plain = true },
	{ "average pool", OOO_OP_AVERAGE_POOL, { SHAPE(3, 24, 15, 14) }, .kernel = { 3, 3 },
	  .stride = { 2, 1 }, .pad = { 1, 1, 1, 1 }, IMAGE },
	{ "average pool plain", OOO_OP_AVERAGE_POOL, { SHAPE(1, 3, 15, 14) }, .kernel = { 3, 3 },
	  .stride = { 2, 1 }, .pad = { 0, 1, 1, 0 } },
	{ "average pool include", OOO_OP_AVERAGE_POOL, { SHAPE(1, 24, 15, 14) }, .kernel = { 3, 3
	  }, .stride = { 2, 1 }, .pad = { 1, 1, 1, 1 }, .flags = OOO_ATTR_COUNT_INCLUDE_PAD, IMAGE
	  },
	{ "average pool ceil", OOO_OP_AVERAGE_POOL, { SHAPE(1, 24, 15, 14) }, .kernel = { 2, 2 },
	  .stride = { 2, 2 }, .flags = OOO_ATTR_CEIL_MODE, IMAGE },
	{ "average pool ceil include", OOO_OP_AVERAGE_POOL, { SHAPE(1, 24, 15, 14) }, .kernel = {
	  2, 2 }, .stride = { 2, 2 }, .flags = OOO_ATTR_CEIL_MODE | OOO_ATTR_COUNT_INCLUDE_PAD,
	  IMAGE, .plain = true },
	{ "max pool posts", OOO_OP_MAX_POOL, { SHAPE(1, 64, 56, 56) }, .kernel = { 3, 3 },
	  .stride = { 2, 2 }, IMAGE, .post = { POST(TANH), POST_T(ADD, 64, 1, 1) } },
	{ "global average", OOO_OP_GLOBAL_AVERAGE_POOL, { SHAPE(2, 100, 7, 7) }, IMAGE },
	{ "global average plain", OOO_OP_GLOBAL_AVERAGE_POOL, { SHAPE(2, 100, 7, 7) } },
	{ "global max", OOO_OP_GLOBAL_MAX_POOL, { SHAPE(2, 33, 5, 7) }, IMAGE },
	{ "average pool large", OOO_OP_AVERAGE_POOL, { SHAPE(1, 64, 57, 55) }, .kernel = { 3, 3 },
	  .stride = { 2, 2 }, .pad = { 1, 1, 1, 1 }, IMAGE },
	{ "average pool include large", OOO_OP_AVERAGE_POOL, { SHAPE(1, 64, 56, 55) },
	  .kernel = { 5, 3 }, .stride = { 1, 2 }, .pad = { 2, 1, 2, 1 }, IMAGE,
	  .flags = OOO_ATTR_COUNT_INCLUDE_PAD },
	{ "max pool wide pads", OOO_OP_MAX_POOL, { SHAPE(1, 96, 33, 31) }, .kernel = { 5, 5 },
	  .pad = { 2, 2, 2, 2 }, IMAGE },
	{ "max pool batch of 70", OOO_OP_MAX_POOL, { SHAPE(70, 32, 12, 12) }, .kernel = { 3, 3 },
	  .stride = { 2, 2 }, IMAGE },
	{ "lrn batch of 70", OOO_OP_LRN, { SHAPE(70, 16, 6, 5) }, .kernel = { 3, 0 },
	  .alpha = 0.5f, .beta = 0.75f, .bias = 2, IMAGE },

	{ "softmax", OOO_OP_SOFTMAX, { SHAPE(12, 40, 128) }, .axis = 2 },
	{ "softmax large", OOO_OP_SOFTMAX, { SHAPE(1, 12, 128, 128) }, .axis = 3 },
	{ "softmax one row", OOO_OP_SOFTMAX, { SHAPE(1, 1000) }, .axis = 1 },
	{ "softmax flatten", OOO_OP_SOFTMAX, { SHAPE(3, 4, 5) }, .axis = 1, .flags =
	  OOO_ATTR_FLATTEN },
	{ "softmax inner", OOO_OP_SOFTMAX, { SHAPE(3, 4, 5) }, .axis = 1, .plain = true },
	{ "log-softmax", OOO_OP_LOG_SOFTMAX, { SHAPE(30, 70) }, .axis = 1 },
	{ "layer-norm", OOO_OP_LAYER_NORM, { SHAPE(1, 128, 768), SHAPE(768), SHAPE(768) }, .axis =
	  2 },
	{ "layer-norm posts", OOO_OP_LAYER_NORM, { SHAPE(1, 128, 768), SHAPE(768) }, .axis = 2,
	  .post = { POST_T(MUL, 128, 1), POST_T(ADD, 1, 128, 768) } },
	{ "softmax posts", OOO_OP_SOFTMAX, { SHAPE(12, 64, 64) }, .axis = 2,
	  .post = { POST_T(MUL, 64), POST(RELU) } },
	{ "layer-norm no shift", OOO_OP_LAYER_NORM, { SHAPE(7, 5, 33), SHAPE(33) }, .axis = 2,
	  .alpha = 0.01f },
	{ "layer-norm two axes", OOO_OP_LAYER_NORM, { SHAPE(7, 5, 9), SHAPE(5, 9), SHAPE(5, 9) },
	  .axis = 1 },
	{ "lrn", OOO_OP_LRN, { SHAPE(2, 20, 6, 5) }, .kernel = { 5, 0 }, .alpha = 0.5f, .beta =
	  0.75f, .bias = 2, IMAGE },
	{ "lrn plain", OOO_OP_LRN, { SHAPE(1, 64, 6, 5) }, .kernel = { 5, 0 }, .alpha = 0.01f,
	  .beta = 0.75f, .bias = 1 },
	{ "lrn even", OOO_OP_LRN, { SHAPE(1, 20, 6, 5) }, .kernel = { 4, 0 }, .alpha = 0.5f, .beta
	  = 0.6f, .bias = 1, .plain = true },
};
/* clang-format on */

#define NR_RIG_CASES (sizeof(rig_cases) / sizeof(rig_cases[0]))

#endif
