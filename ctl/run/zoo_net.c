/* SPDX-License-Identifier: Apache-2.0 */
/* Layers with random weights. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/run/run.h"
#include "ctl/run/zoo_net.h"

float he_spread(int64_t fan_in)
{
	return sqrtf(2.0f / (float)fan_in);
}

float linear_spread(int64_t fan_in)
{
	return sqrtf(1.0f / (float)fan_in);
}

/* An id, or an error that sticks. */
static uint32_t check(struct net *net, int id)
{
	if (id >= 0)
		return (uint32_t)id;
	net->rc = id;
	return 0;
}

uint32_t net_input(struct net *net, enum ooo_dtype dtype, int rank, const int64_t *dims)
{
	return net->rc ? 0 : check(net, ooo_input(net->b, dtype, rank, dims));
}

void net_output(struct net *net, uint32_t x)
{
	if (!net->rc)
		net->rc = ooo_output(net->b, x);
}

uint32_t net_random(struct net *net, int rank, const int64_t *dims, float mean, float deviation)
{
	/* A uniform distribution of this half width has the deviation. */
	float half_width = deviation * sqrtf(3.0f);
	size_t elems = 1;
	uint32_t id;
	float *w;

	if (net->rc)
		return 0;
	for (int i = 0; i < rank; i++)
		elems *= (size_t)dims[i];
	w = malloc(elems * sizeof(*w));
	if (!w) {
		net->rc = -ENOMEM;
		return 0;
	}
	for (size_t i = 0; i < elems; i++)
		w[i] = mean + half_width * (2.0f * (float)random_unit(&net->random) - 1.0f);
	id = check(net, ooo_const(net->b, OOO_FP32, rank, dims, w, elems * sizeof(*w)));
	free(w);
	return id;
}

uint32_t net_scalar(struct net *net, float value)
{
	return net->rc ? 0
		       : check(net, ooo_const(net->b, OOO_FP32, 0, NULL, &value, sizeof(value)));
}

uint32_t net_op(struct net *net, enum ooo_op op, const struct ooo_attr *attr, const uint32_t *in,
		int nr_in)
{
	uint32_t out = 0;

	if (!net->rc)
		net->rc = ooo_op(net->b, op, attr, in, nr_in, &out, 1);
	return out;
}

uint32_t net_op1(struct net *net, enum ooo_op op, uint32_t x)
{
	return net_op(net, op, NULL, &x, 1);
}

uint32_t net_op2(struct net *net, enum ooo_op op, uint32_t x, uint32_t y)
{
	return net_op(net, op, NULL, (const uint32_t[]){ x, y }, 2);
}

uint32_t net_reshape(struct net *net, uint32_t x, int rank, const int64_t *dims)
{
	struct ooo_attr a;

	ooo_attr_init(&a, OOO_OP_RESHAPE);
	a.rank = rank;
	memcpy(a.dims, dims, (size_t)rank * sizeof(*dims));
	return net_op(net, OOO_OP_RESHAPE, &a, &x, 1);
}

uint32_t net_transpose(struct net *net, uint32_t x, const int32_t perm[4])
{
	struct ooo_attr a;

	ooo_attr_init(&a, OOO_OP_TRANSPOSE);
	memcpy(a.perm, perm, 4 * sizeof(*perm));
	return net_op(net, OOO_OP_TRANSPOSE, &a, &x, 1);
}

uint32_t net_conv(struct net *net, uint32_t x, struct conv c)
{
	const int64_t dims[] = { c.out, c.in / c.group, c.kernel, c.kernel };
	struct ooo_attr a;

	ooo_attr_init(&a, OOO_OP_CONV);
	a.group = c.group;
	for (int i = 0; i < 2; i++) {
		a.kernel[i] = c.kernel;
		a.stride[i] = c.stride;
		a.pad[i] = a.pad[i + 2] = c.kernel / 2;
	}
	return net_op(net, OOO_OP_CONV, &a,
		      (const uint32_t[]){ x, net_random(net, 4, dims, 0, c.spread) }, 2);
}

uint32_t net_batch_norm(struct net *net, uint32_t x, int channels, float gain)
{
	const int64_t dims[] = { channels };
	uint32_t in[5] = { x };

	in[1] = net_random(net, 1, dims, gain, gain * 0.1f);
	in[2] = net_random(net, 1, dims, 0, 0.1f);
	in[3] = net_random(net, 1, dims, 0, 0.1f);
	in[4] = net_random(net, 1, dims, 1, 0.1f);
	return net_op(net, OOO_OP_BATCH_NORM, NULL, in, 5);
}

uint32_t net_layer_norm(struct net *net, uint32_t x, int axis, int64_t size, float epsilon)
{
	struct ooo_attr a;
	uint32_t in[3] = { x };

	ooo_attr_init(&a, OOO_OP_LAYER_NORM);
	a.axis = axis;
	a.alpha = epsilon;
	in[1] = net_random(net, 1, &size, 1, 0.1f);
	in[2] = net_random(net, 1, &size, 0, 0.1f);
	return net_op(net, OOO_OP_LAYER_NORM, &a, in, 3);
}

uint32_t net_linear(struct net *net, uint32_t x, int64_t in, int64_t out, float spread)
{
	const int64_t dims[] = { in, out };
	uint32_t w = net_random(net, 2, dims, 0, spread);
	uint32_t bias = net_random(net, 1, &out, 0, 0.05f);

	return net_op(net, OOO_OP_MATMUL, NULL, (const uint32_t[]){ x, w, bias }, 3);
}
