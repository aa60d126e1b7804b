/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling and depthwise convolution: how the windows lie, and what a thread does of them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/device/cuda/encode_rows.h"
#include "agent/device/cuda/encode_window.h"
#include "agent/device/cuda/task_window.h"

/* An image as 2-d; one spatial axis counts as the width. */
struct image {
	uint32_t n, c, h, w;
	uint32_t sn, sc, sh, sw; /* element strides */
};

static struct image image_of(const struct tensor *t)
{
	const int64_t *d = t->shape.dims;
	bool flat = t->shape.rank == 3;
	uint32_t s[OOO_MAX_RANK];

	rows_strides(t, s);
	return (struct image){ .n = (uint32_t)d[0],
			       .c = (uint32_t)d[1],
			       .h = flat ? 1 : (uint32_t)d[2],
			       .w = (uint32_t)d[flat ? 2 : 3],
			       .sn = s[0],
			       .sc = s[1],
			       .sh = flat ? 0 : s[2],
			       .sw = s[flat ? 2 : 3] };
}

static void describe_window(const struct ooo_attr *a, const struct image *x, const struct image *y,
			    struct window_task *task)
{
	task->in_h = (int32_t)x->h;
	task->in_w = (int32_t)x->w;
	task->out_h = (int32_t)y->h;
	task->out_w = (int32_t)y->w;
	task->out_c = y->c;
	task->x_n = x->sn;
	task->x_c = x->sc;
	task->x_h = x->sh;
	task->x_w = x->sw;
	task->kernel_h = a->kernel[0];
	task->kernel_w = a->kernel[1];
	task->stride_h = a->stride[0];
	task->stride_w = a->stride[1];
	task->dilation_h = a->dilation[0];
	task->dilation_w = a->dilation[1];
	task->pad_top = a->pad[0];
	task->pad_left = a->pad[1];
	task->edge_h = task->in_h + a->pad[2];
	task->edge_w = task->in_w + a->pad[3];
	task->multiplier = cuda_div_make(y->c / x->c);
}

/* Units in the order of the output's memory. */
static void count_units(const struct image *y, struct window_task *task)
{
	uint32_t groups = y->c / task->run, strips = blocks_of(y->w, task->strip);

	if (task->channels_last) {
		task->inner = cuda_div_make(groups);
		task->middle = cuda_div_make(strips);
		task->outer = cuda_div_make(y->h);
		task->units = y->n * y->h * strips * groups;
	} else {
		task->inner = cuda_div_make(y->w);
		task->middle = cuda_div_make(y->h);
		task->outer = cuda_div_make(y->c);
		task->units = y->n * y->c * y->h * y->w;
	}
}

/* Window coordinates are 32-bit numbers in the kernels. */
static int check_window(const struct ooo_attr *a, const struct image *x, const struct image *y,
			char *why, size_t why_bytes)
{
	const int64_t size[] = { x->h, x->w }, out[] = { y->h, y->w };

	for (int i = 0; i < 2; i++) {
		int64_t reach = (out[i] + WINDOW_STRIP) * a->stride[i] +
				(int64_t)a->kernel[i] * a->dilation[i] + a->pad[i];

		if (reach > INT32_MAX || size[i] + a->pad[i + 2] > INT32_MAX ||
		    (int64_t)a->kernel[0] * a->kernel[1] > INT32_MAX) {
			snprintf(why, why_bytes, "a window that reaches beyond 2^31 - 1");
			return -EOPNOTSUPP;
		}
	}
	return 0;
}

/* Both images channels last, so that a thread can take neighbouring channels. */
static bool runs_fit(const struct tensor *x, const struct tensor *y)
{
	return x->layout == LAYOUT_NHWC && y->layout == LAYOUT_NHWC && y->shape.dims[1] % 8 == 0;
}

static int encode_pool(struct cuda_plan *plan, const struct step *step, const struct image *xi,
		       const struct image *yi)
{
	const struct program *p = plan_program(plan);
	const struct tensor *x = &p->tensors[step->in[0]], *y = &p->tensors[step->out[0]];
	struct window_task task = { .run = runs_fit(x, y) ? WINDOW_RUN : 1,
				    .strip = 1,
				    .channels_last = y->layout == LAYOUT_NHWC,
				    .include = step->op == OOO_OP_AVERAGE_POOL &&
					       step->attr.flags & OOO_ATTR_COUNT_INCLUDE_PAD };
	int rc = plan_task_head(plan, step, &task.head);

	if (rc)
		return rc;
	describe_window(&step->attr, xi, yi, &task);
	count_units(yi, &task);
	task.x = plan_operand(plan, step->in[0]);
	task.y = plan_operand(plan, step->out[0]);
	task.head.nr_tiles = blocks_of(task.units, POOL_THREADS);
	return plan_task(plan, KERNEL_POOL, &task, sizeof(task));
}

/* The operand's values; NULL: none that are known now, or none in fp32. */
static const float *const_values(const struct cuda_plan *plan, const struct step *step, unsigned i)
{
	uint32_t id = step->in[i];

	if (plan_program(plan)->tensors[id].shape.dtype != OOO_FP32)
		return NULL;
	return plan_const_data(plan, id);
}

/* Constant weights are packed with the channels innermost, the bias behind the last tap. */
static int place_weights(struct cuda_plan *plan, const struct step *step, struct window_task *task)
{
	const float *data = const_values(plan, step, 1);
	const float *bias = step_has(step, 2) ? const_values(plan, step, 2) : NULL;
	uint32_t taps = (uint32_t)task->kernel_h * (uint32_t)task->kernel_w, channels = task->out_c;
	void *host;
	int rc;

	if (step_has(step, 2))
		task->bias = plan_operand(plan, step->in[2]);
	if (!data || (step_has(step, 2) && !bias)) {
		task->weight = plan_operand(plan, step->in[1]);
		task->weight_c = taps;
		task->weight_tap = 1;
		return 0;
	}
	rc = plan_block(plan, ((uint64_t)taps + 1) * channels * sizeof(float), OOO_FP32, &host,
			&task->weight);
	if (rc)
		return rc;
	for (uint32_t tap = 0; tap < taps; tap++)
		for (uint32_t c = 0; c < channels; c++)
			((float *)host)[(size_t)tap * channels + c] = data[(size_t)c * taps + tap];
	if (bias)
		memcpy((float *)host + (size_t)taps * channels, bias, channels * sizeof(float));
	task->weight_c = 1;
	task->weight_tap = channels;
	return 0;
}

static int encode_depthwise(struct cuda_plan *plan, const struct step *step, const struct image *xi,
			    const struct image *yi)
{
	const struct program *p = plan_program(plan);
	const struct tensor *x = &p->tensors[step->in[0]], *y = &p->tensors[step->out[0]];
	struct window_task task = { .run = 1,
				    .strip = 1,
				    .channels_last = y->layout == LAYOUT_NHWC };
	int rc = plan_task_head(plan, step, &task.head);

	if (rc)
		return rc;
	describe_window(&step->attr, xi, yi, &task);
	task.x = plan_operand(plan, step->in[0]);
	task.y = plan_operand(plan, step->out[0]);
	rc = place_weights(plan, step, &task);
	if (rc)
		return rc;
	/* Strips need aligned images, which a tenant's buffers need not be. */
	if (runs_fit(x, y) && xi->c == yi->c && task.weight_c == 1 && task.x.place != CUDA_IO &&
	    task.y.place != CUDA_IO) {
		task.run = WINDOW_RUN;
		task.strip = WINDOW_STRIP;
	}
	count_units(yi, &task);
	task.head.nr_tiles = blocks_of(task.units, DEPTHWISE_THREADS);
	return plan_task(plan, KERNEL_DEPTHWISE, &task, sizeof(task));
}

static int encode_sliding(struct cuda_plan *plan, const struct step *step, char *why, size_t n)
{
	const struct program *p = plan_program(plan);
	const struct tensor *x = &p->tensors[step->in[0]], *y = &p->tensors[step->out[0]];
	struct image xi = image_of(x), yi = image_of(y);
	int rc = rows_check_real(p, step, why, n);

	if (rc || (rc = rows_check_posts(p, step, why, n)) ||
	    (rc = check_window(&step->attr, &xi, &yi, why, n)))
		return rc;
	if (step->op == OOO_OP_CONV) {
		if (p->tensors[step->in[1]].shape.dims[1] == 1 &&
		    (uint32_t)step->attr.group == xi.c)
			return encode_depthwise(plan, step, &xi, &yi);
		snprintf(why, n, "%d groups of %u channels", step->attr.group, xi.c);
		return -EOPNOTSUPP;
	}
	return encode_pool(plan, step, &xi, &yi);
}

int encode_window(struct cuda_plan *plan, const struct step *step, char *why, size_t n)
{
	const struct program *p = plan_program(plan);
	const struct tensor *x = &p->tensors[step->in[0]], *y = &p->tensors[step->out[0]];
	uint32_t elems;
	int rc;

	if (step->op == OOO_OP_GLOBAL_MAX_POOL || step->op == OOO_OP_GLOBAL_AVERAGE_POOL)
		return encode_rows(plan, step, why, n);
	if ((rc = rows_check_layout(x, why, n)) || (rc = rows_check_layout(y, why, n)) ||
	    (rc = rows_elems(x, &elems, why, n)) || (rc = rows_elems(y, &elems, why, n)))
		return rc;
	if (step->op == OOO_OP_RESIZE)
		return encode_resize(plan, step, why, n);
	return encode_sliding(plan, step, why, n);
}
