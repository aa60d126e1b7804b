// SPDX-License-Identifier: Apache-2.0
/*
 * LSTM and GRU as ONNX defines them, gate orders i o f c and z r h. The gates' inputs W x + b of a
 * time step and R h are matrix-vector products over rows that are contiguous in memory.
 */
#include <math.h>
#include <string.h>

#include "agent/device/cpu/kernels_impl.h"

struct rnn {
	int64_t steps, batch, input, hidden, gates;
	int directions;
	bool has_cell;
	const float *x, *w, *r, *bias, *peephole;
	const float *h0, *c0;
	const int32_t *lens;
	float *y, *y_h, *y_c;
	float clip;
	uint32_t flags;
	/* scratch: gates x hidden each, and the state */
	float *wx, *rh, *h, *c;
};

size_t kernel_rnn_scratch(const struct step *step, const struct tensor *tensors)
{
	size_t hidden = (size_t)tensors[step->in[2]].shape.dims[2];

	return (4 + 4 + 1 + 1 + 1) * hidden * sizeof(float) + 64;
}

static float sigmoid(float x)
{
	return 1.0f / (1.0f + expf(-x));
}

static float clipped(const struct rnn *n, float x)
{
	if (n->clip <= 0)
		return x;
	return x > n->clip ? n->clip : (x < -n->clip ? -n->clip : x);
}

static float dot(const float *a, const float *b, int64_t n)
{
	float part[16] = { 0 }, sum = 0;
	int64_t i = 0;

	for (; i + 16 <= n; i += 16) {
		for (int k = 0; k < 16; k++)
			part[k] += a[i + k] * b[i + k];
	}
	for (; i < n; i++)
		part[0] += a[i] * b[i];
	for (int k = 0; k < 16; k++)
		sum += part[k];
	return sum;
}

/* out[g] = rows[g] . v + bias[g] */
static void products(const float *rows, const float *v, const float *bias, int64_t nr,
		     int64_t width, float *out)
{
	for (int64_t g = 0; g < nr; g++)
		out[g] = dot(rows + g * width, v, width) + (bias ? bias[g] : 0);
}

static void lstm_cell(struct rnn *n, int dir)
{
	const float *p = n->peephole ? n->peephole + dir * 3 * n->hidden : NULL;
	int64_t hidden = n->hidden;

	for (int64_t j = 0; j < hidden; j++) {
		float i = n->wx[j] + n->rh[j], o = n->wx[hidden + j] + n->rh[hidden + j];
		float f = n->wx[2 * hidden + j] + n->rh[2 * hidden + j];
		float c = n->wx[3 * hidden + j] + n->rh[3 * hidden + j];

		if (p) {
			i += p[j] * n->c[j];
			f += p[2 * hidden + j] * n->c[j];
		}
		i = sigmoid(clipped(n, i));
		f = n->flags & OOO_ATTR_INPUT_FORGET ? 1 - i : sigmoid(clipped(n, f));
		n->c[j] = f * n->c[j] + i * tanhf(clipped(n, c));
		if (p)
			o += p[hidden + j] * n->c[j];
		n->h[j] = sigmoid(clipped(n, o)) * tanhf(n->c[j]);
	}
}

static void gru_cell(struct rnn *n, int dir)
{
	int64_t hidden = n->hidden;
	const float *rh_rows = n->r + (dir * 3 + 2) * hidden * hidden;
	const float *rb = n->bias ? n->bias + dir * 6 * hidden + 5 * hidden : NULL;
	float *z = n->wx, *reset = n->rh + hidden, *gated = n->rh + 3 * hidden;

	for (int64_t j = 0; j < hidden; j++) {
		z[j] = sigmoid(clipped(n, n->wx[j] + n->rh[j]));
		reset[j] = sigmoid(clipped(n, n->wx[hidden + j] + n->rh[hidden + j]));
		gated[j] = reset[j] * n->h[j];
	}
	for (int64_t j = 0; j < hidden; j++) {
		float linear =
			n->flags & OOO_ATTR_LINEAR_BEFORE_RESET
				? reset[j] * n->rh[2 * hidden + j]
				: dot(rh_rows + j * hidden, gated, hidden) + (rb ? rb[j] : 0);
		float h = tanhf(clipped(n, n->wx[2 * hidden + j] + linear));

		n->h[j] = (1 - z[j]) * h + z[j] * n->h[j];
	}
}

/* One sequence in one direction. */
static void run_sequence(struct rnn *n, int dir, int64_t b, bool backwards)
{
	int64_t hidden = n->hidden, rows = n->gates * hidden, slot = dir * n->batch + b;
	const float *wb = n->bias ? n->bias + dir * 2 * rows : NULL;
	int64_t len = n->lens ? max64(0, min64(n->steps, ((const volatile int32_t *)n->lens)[b]))
			      : n->steps;

	memset(n->h, 0, (size_t)hidden * sizeof(float));
	memset(n->c, 0, (size_t)hidden * sizeof(float));
	if (n->h0)
		memcpy(n->h, n->h0 + slot * hidden, (size_t)hidden * sizeof(float));
	if (n->c0)
		memcpy(n->c, n->c0 + slot * hidden, (size_t)hidden * sizeof(float));
	for (int64_t s = 0; s < n->steps; s++) {
		int64_t t = backwards ? (s < len ? len - 1 - s : s) : s;
		float *y = n->y ? n->y + ((t * n->directions + dir) * n->batch + b) * hidden : NULL;

		if (s >= len) { /* behind the sequence's end */
			if (y)
				memset(y, 0, (size_t)hidden * sizeof(float));
			continue;
		}
		products(n->w + dir * rows * n->input, n->x + (t * n->batch + b) * n->input, wb,
			 rows, n->input, n->wx);
		products(n->r + dir * rows * hidden, n->h, wb ? wb + rows : NULL, rows, hidden,
			 n->rh);
		if (n->has_cell)
			lstm_cell(n, dir);
		else
			gru_cell(n, dir);
		if (y)
			memcpy(y, n->h, (size_t)hidden * sizeof(float));
	}
	if (n->y_h)
		memcpy(n->y_h + slot * hidden, n->h, (size_t)hidden * sizeof(float));
	if (n->y_c)
		memcpy(n->y_c + slot * hidden, n->c, (size_t)hidden * sizeof(float));
}

static void *operand(const struct kernel_args *a, int i)
{
	return has_input(a, i) ? a->in[i] : NULL;
}

static void *result(const struct kernel_args *a, int i)
{
	return i < a->step->nr_out ? a->out[i] : NULL;
}

static enum ooo_status run(const struct kernel_args *a, bool lstm)
{
	const int64_t *x = in_tensor(a, 0)->shape.dims, *w = in_tensor(a, 1)->shape.dims;
	int mode = a->step->attr.mode;
	struct rnn n = {
		.steps = x[0],
		.batch = x[1],
		.input = x[2],
		.directions = (int)w[0],
		.hidden = in_tensor(a, 2)->shape.dims[2],
		.gates = lstm ? 4 : 3,
		.has_cell = lstm,
		.x = a->in[0],
		.w = a->in[1],
		.r = a->in[2],
		.bias = operand(a, 3),
		.lens = operand(a, 4),
		.h0 = operand(a, 5),
		.c0 = lstm ? operand(a, 6) : NULL,
		.peephole = lstm ? operand(a, 7) : NULL,
		.y = result(a, 0),
		.y_h = result(a, 1),
		.y_c = lstm ? result(a, 2) : NULL,
		.clip = a->step->attr.alpha,
		.flags = a->step->attr.flags,
		.wx = a->scratch,
	};

	n.rh = n.wx + 4 * n.hidden;
	n.h = n.rh + 4 * n.hidden;
	n.c = n.h + n.hidden;
	for (int dir = 0; dir < n.directions; dir++) {
		for (int64_t b = 0; b < n.batch; b++)
			run_sequence(&n, dir, b, mode == 1 || dir == 1);
	}
	return OOO_OK;
}

enum ooo_status kernel_lstm(const struct kernel_args *a)
{
	return run(a, true);
}

enum ooo_status kernel_gru(const struct kernel_args *a)
{
	return run(a, false);
}
