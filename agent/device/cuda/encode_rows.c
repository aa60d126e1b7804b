/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax and normalisations: which kernel, how many threads a line, and where the lines are. */
#include "agent/device/cuda/encode_rows.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "agent/device/cuda/task_rows.h"

int rows_elems(const struct tensor *t, uint32_t *elems, char *why, size_t why_bytes)
{
	int64_t n;

	if (shape_elems(&t->shape, &n) || n < 1 || n > INT32_MAX) {
		snprintf(why, why_bytes, "a tensor %s is empty or has more than 2^31 - 1 elements",
			 shape_text(&t->shape).s);
		return -EOPNOTSUPP;
	}
	*elems = (uint32_t)n;
	return 0;
}

void rows_strides(const struct tensor *t, uint32_t *strides)
{
	const int64_t *d = t->shape.dims;
	uint32_t run = 1;

	if (t->layout == LAYOUT_NHWC) {
		strides[0] = (uint32_t)(d[1] * d[2] * d[3]);
		strides[1] = 1;
		strides[2] = (uint32_t)(d[3] * d[1]);
		strides[3] = (uint32_t)d[1];
		return;
	}
	for (int i = t->shape.rank - 1; i >= 0; i--) {
		strides[i] = run;
		run *= (uint32_t)d[i];
	}
}

int rows_check_layout(const struct tensor *t, char *why, size_t why_bytes)
{
	if (t->layout == LAYOUT_PLAIN || (t->layout == LAYOUT_NHWC && t->shape.rank == 4))
		return 0;
	snprintf(why, why_bytes, "a layout other than plain and channels last");
	return -EOPNOTSUPP;
}

static int check_real(const struct tensor *t, char *why, size_t why_bytes)
{
	if (dtype_is_real(t->shape.dtype))
		return 0;
	snprintf(why, why_bytes, "an operand of type %s", dtype_name(t->shape.dtype));
	return -EOPNOTSUPP;
}

int rows_check_real(const struct program *p, const struct step *step, char *why, size_t why_bytes)
{
	int rc = check_real(&p->tensors[step->out[0]], why, why_bytes);

	for (unsigned i = 0; i < step->nr_in && !rc; i++)
		if (step->in[i] != OOO_NONE)
			rc = check_real(&p->tensors[step->in[i]], why, why_bytes);
	return rc;
}

int rows_check_posts(const struct program *p, const struct step *step, char *why, size_t why_bytes)
{
	const struct tensor *y = &p->tensors[step->out[0]];

	for (unsigned i = 0; i < step->nr_post; i++) {
		const struct post *post = &step->post[i];
		const struct tensor *t;

		if (!dtype_is_real(y->shape.dtype)) {
			snprintf(why, why_bytes, "a post-operation on %s",
				 dtype_name(y->shape.dtype));
			return -EOPNOTSUPP;
		}
		if (post->op != OOO_OP_ADD && post->op != OOO_OP_MUL)
			continue;
		t = &p->tensors[post->operand];
		if (t->layout != y->layout || t->shape.rank != y->shape.rank ||
		    memcmp(t->shape.dims, y->shape.dims, sizeof(t->shape.dims)) != 0) {
			snprintf(why, why_bytes, "a post-operation whose operand broadcasts");
			return -EOPNOTSUPP;
		}
		if (check_real(t, why, why_bytes))
			return -EOPNOTSUPP;
	}
	return 0;
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* Lines of n elements, `inner` apart. */
struct lines {
	uint32_t count, n, inner;
};

static void find_lines(const struct step *step, const struct tensor *x, struct lines *l)
{
	const struct shape *s = &x->shape;
	bool flatten = step->attr.flags & OOO_ATTR_FLATTEN || step->op == OOO_OP_LAYER_NORM;
	int axis = step->attr.axis;
	uint32_t outer = 1;

	*l = (struct lines){ .n = 1, .inner = 1 };
	if (step->op == OOO_OP_INSTANCE_NORM) {
		axis = 2;
		flatten = true;
	}
	for (int i = 0; i < s->rank; i++) {
		if (i < axis)
			outer *= (uint32_t)s->dims[i];
		else if (i == axis || flatten)
			l->n *= (uint32_t)s->dims[i];
		else
			l->inner *= (uint32_t)s->dims[i];
	}
	if (x->layout == LAYOUT_NHWC) { /* InstanceNorm */
		l->inner = (uint32_t)s->dims[1];
		outer /= l->inner;
	}
	l->count = outer * l->inner;
}

static uint32_t channels_of(const struct step *step, const struct tensor *x)
{
	return step->op == OOO_OP_INSTANCE_NORM ? (uint32_t)x->shape.dims[1] : 1;
}

static int encode_contiguous(struct cuda_plan *plan, const struct step *step, const struct lines *l,
			     uint32_t channels)
{
	struct rows_task task = { .rows = l->count,
				  .n = l->n,
				  .wide = l->n % 8 == 0,
				  .lanes = 1u << log2_up(blocks_of(l->n, 8)),
				  .epsilon = step->attr.alpha,
				  .by_row = step->op == OOO_OP_INSTANCE_NORM,
				  .channels = cuda_div_make(channels) };
	uint32_t values = task.wide ? ROWS_VALUES : ROWS_VALUES_NARROW;
	int rc = plan_task_head(plan, step, &task.head);

	if (rc)
		return rc;
	if (task.lanes > 32)
		task.lanes = l->n <= 32 * values ? 32 : ROWS_THREADS;
	task.x = plan_operand(plan, step->in[0]);
	task.y = plan_operand(plan, step->out[0]);
	if (step_has(step, 1))
		task.scale = plan_operand(plan, step->in[1]);
	if (step_has(step, 2))
		task.shift = plan_operand(plan, step->in[2]);
	task.head.nr_tiles = blocks_of(l->count, ROWS_THREADS / task.lanes);
	return plan_task(plan, KERNEL_ROWS, &task, sizeof(task));
}

static int encode_apart(struct cuda_plan *plan, const struct step *step, const struct lines *l,
			uint32_t channels)
{
	struct columns_task task = { .lines = l->count,
				     .n = l->n,
				     .epsilon = step->attr.alpha,
				     .inner = cuda_div_make(l->inner),
				     .channels = cuda_div_make(channels) };
	int rc = plan_task_head(plan, step, &task.head);

	if (rc)
		return rc;
	task.x = plan_operand(plan, step->in[0]);
	task.y = plan_operand(plan, step->out[0]);
	if (step_has(step, 1))
		task.scale = plan_operand(plan, step->in[1]);
	if (step_has(step, 2))
		task.shift = plan_operand(plan, step->in[2]);
	task.head.nr_tiles = blocks_of(l->count, COLUMNS_WIDTH);
	return plan_task(plan, KERNEL_COLUMNS, &task, sizeof(task));
}

static int encode_lines(struct cuda_plan *plan, const struct step *step, char *why, size_t n)
{
	const struct program *p = plan_program(plan);
	const struct tensor *x = &p->tensors[step->in[0]], *y = &p->tensors[step->out[0]];
	struct lines l;

	if (x->layout != y->layout ||
	    (x->layout != LAYOUT_PLAIN && step->op != OOO_OP_INSTANCE_NORM)) {
		snprintf(why, n, "softmax and layer normalisation of images that are not plain");
		return -EOPNOTSUPP;
	}
	find_lines(step, x, &l);
	if (l.inner == 1)
		return encode_contiguous(plan, step, &l, channels_of(step, x));
	return encode_apart(plan, step, &l, channels_of(step, x));
}

/* ---- elements -------------------------------------------------------------------------------- */

/* scale / deviation by channel, if both are constant. */
static int ready_scale(struct cuda_plan *plan, const struct step *step, struct channels_task *task)
{
	const struct program *p = plan_program(plan);
	const float *scale = plan_const_data(plan, step->in[1]),
		    *var = plan_const_data(plan, step->in[4]);
	uint32_t channels = task->channels.d;
	void *host;
	int rc;

	if (!scale || !var || p->tensors[step->in[1]].shape.dtype != OOO_FP32 ||
	    p->tensors[step->in[4]].shape.dtype != OOO_FP32)
		return 0;
	rc = plan_block(plan, channels * sizeof(float), OOO_FP32, &host, &task->scale);
	if (rc)
		return rc;
	for (uint32_t c = 0; c < channels; c++)
		((float *)host)[c] =
			(float)((double)scale[c] / sqrt((double)var[c] + (double)step->attr.alpha));
	task->ready = 1;
	return 0;
}

static int batch_norm_operands(struct cuda_plan *plan, const struct step *step,
			       struct channels_task *task)
{
	task->alpha = step->attr.alpha;
	task->scale = plan_operand(plan, step->in[1]);
	task->shift = plan_operand(plan, step->in[2]);
	task->mean = plan_operand(plan, step->in[3]);
	task->var = plan_operand(plan, step->in[4]);
	return ready_scale(plan, step, task);
}

static void lrn_window(const struct ooo_attr *a, struct channels_task *task)
{
	task->below = (uint32_t)(a->kernel[0] - 1) / 2;
	task->above = (uint32_t)a->kernel[0] / 2;
	task->alpha = (float)((double)a->alpha / a->kernel[0]);
	task->beta = a->beta;
	task->bias = a->bias;
}

static int encode_channels(struct cuda_plan *plan, const struct step *step, char *why, size_t n)
{
	const struct program *p = plan_program(plan);
	const struct tensor *x = &p->tensors[step->in[0]], *y = &p->tensors[step->out[0]];
	uint32_t channels = (uint32_t)x->shape.dims[1], plane = 1;
	struct channels_task task = { .channels = cuda_div_make(channels) };
	int rc = plan_task_head(plan, step, &task.head);

	if (rc || (rc = rows_elems(x, &task.elems, why, n)))
		return rc;
	if (x->layout != y->layout) {
		snprintf(why, n, "input and output in different layouts");
		return -EOPNOTSUPP;
	}
	for (int i = 2; i < x->shape.rank && x->layout == LAYOUT_PLAIN; i++)
		plane *= (uint32_t)x->shape.dims[i];
	task.plane = cuda_div_make(plane);
	task.x = plan_operand(plan, step->in[0]);
	task.y = plan_operand(plan, step->out[0]);
	if (step->op == OOO_OP_LRN)
		lrn_window(&step->attr, &task);
	else if ((rc = batch_norm_operands(plan, step, &task)))
		return rc;
	task.head.nr_tiles = blocks_of(task.elems, ROWS_THREADS * CHANNELS_RUN);
	return plan_task(plan, KERNEL_CHANNELS, &task, sizeof(task));
}

int encode_rows(struct cuda_plan *plan, const struct step *step, char *why, size_t n)
{
	const struct program *p = plan_program(plan);
	uint32_t elems;
	int rc;

	if ((rc = rows_check_posts(p, step, why, n)) ||
	    (rc = rows_check_layout(&p->tensors[step->in[0]], why, n)) ||
	    (rc = rows_check_layout(&p->tensors[step->out[0]], why, n)) ||
	    (rc = rows_elems(&p->tensors[step->in[0]], &elems, why, n)))
		return rc;
	if (op_info(step->op)->klass != CLASS_NORM)
		return encode_reduce(plan, step, why, n);
	if ((rc = rows_check_real(p, step, why, n)))
		return rc;
	if (step->op == OOO_OP_BATCH_NORM || step->op == OOO_OP_LRN)
		return encode_channels(plan, step, why, n);
	if (step->nr_post) {
		snprintf(why, n, "post-operations behind softmax or a normalisation");
		return -EOPNOTSUPP;
	}
	return encode_lines(plan, step, why, n);
}
