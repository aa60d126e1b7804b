/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks of the kernels in window.cu: pooling, depthwise convolution, resizing. */
#ifndef OOO_CUDA_TASK_WINDOW_H
#define OOO_CUDA_TASK_WINDOW_H

#include "agent/device/cuda/task.h"

#define POOL_THREADS      256
#define DEPTHWISE_THREADS 128
#define RESIZE_THREADS    256

#define WINDOW_RUN   8 /* channels of a thread, channels last */
#define WINDOW_STRIP 4 /* neighbouring outputs of a thread, where the window slides */

/*
 * ooo_pool, ooo_depthwise. A unit is a thread's work: `run` channels of `strip` neighbouring outputs.
 * Units are counted in the order of the output's memory: channels last, the innermost index is the
 * group of channels, then the strip, then the row, then the image; plain, it is the column, then the
 * row, then the channel, then the image. Run and strip are 1 there.
 */
struct window_task {
	struct cuda_task head;
	struct cuda_operand x, y, weight, bias;
	uint32_t units, run, strip, channels_last; /* the last: of the output */
	int32_t in_h, in_w, out_h, out_w;
	uint32_t x_n, x_c, x_h, x_w; /* element strides of the input */
	uint32_t out_c;
	uint32_t weight_c, weight_tap; /* element strides of the weights */
	uint32_t include;              /* AveragePool: padding counts */
	int32_t kernel_h, kernel_w, stride_h, stride_w;
	int32_t dilation_h, dilation_w, pad_top, pad_left;
	int32_t edge_h,
		edge_w; /* end of the declared padding, counted from the input's first cell */
	uint32_t resv[2];
	struct cuda_div inner, middle, outer;
	struct cuda_div multiplier; /* depthwise: outputs of an input channel */
};

#define RESIZE_AXES 8
#define RESIZE_KEPT 0xffffffffu

/* Where an output index of a resized axis comes from. */
struct resize_entry {
	uint32_t low, high; /* elements of the input */
	float weight;       /* of high */
	uint32_t resv;
};

struct resize_axis {
	struct cuda_div dim; /* of the output */
	uint32_t stride;     /* RESIZE_KEPT: elements of the input from one index to the next */
	uint32_t table;      /* the first resize_entry of the axis, or RESIZE_KEPT */
	uint32_t resv[2];
};

/* ooo_resize: a unit is `run` neighbouring elements of the output's memory; with 8, the innermost
 * axis is kept. Axes are in the order of the output's memory, outermost first. */
struct resize_task {
	struct cuda_task head;
	struct cuda_operand x, y, tables;
	uint32_t units, run, rank;
	uint32_t linear; /* at most two axes have tables */
	uint32_t copy;   /* bytes of an element that is moved as it is; 0: it is converted */
	uint32_t resv[3];
	struct resize_axis axes[RESIZE_AXES];
};

#endif
