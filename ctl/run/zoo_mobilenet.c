/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MobileNetV2 (Sandler et al., "Inverted Residuals and Linear Bottlenecks", 2018) for images of
 * 224 x 224: narrow layers between wide ones that are convolved channel by channel.
 */
#include <stdbool.h>

#include "ctl/run/zoo_net.h"

#define BRANCH_GAIN 0.4f

static uint32_t relu6(struct net *net, uint32_t x)
{
	struct ooo_attr a;

	ooo_attr_init(&a, OOO_OP_CLIP);
	a.alpha = 0;
	a.beta = 6;
	return net_op(net, OOO_OP_CLIP, &a, &x, 1);
}

static uint32_t conv_relu6(struct net *net, uint32_t x, int in, int out, int kernel, int stride,
			   int group)
{
	struct conv c = { in,     out,   kernel,
			  stride, group, he_spread((int64_t)in / group * kernel * kernel) };

	return relu6(net, net_batch_norm(net, net_conv(net, x, c), out, 1));
}

static uint32_t block(struct net *net, uint32_t x, int in, int out, int expansion, int stride)
{
	bool residual = stride == 1 && in == out;
	int wide = in * expansion;
	struct conv project = { wide, out, 1, 1, 1, linear_spread(wide) };
	uint32_t y = x;

	if (expansion != 1)
		y = conv_relu6(net, y, in, wide, 1, 1, 1);
	y = conv_relu6(net, y, wide, wide, 3, stride, wide);
	y = net_batch_norm(net, net_conv(net, y, project), out, residual ? BRANCH_GAIN : 1);
	return residual ? net_op2(net, OOO_OP_ADD, x, y) : y;
}

void zoo_mobilenet_v2(struct net *net, int variant)
{
	static const struct {
		int expansion, channels, blocks, stride;
	} stages[] = {
		{ 1, 16, 1, 1 }, { 6, 24, 2, 2 },  { 6, 32, 3, 2 },  { 6, 64, 4, 2 },
		{ 6, 96, 3, 1 }, { 6, 160, 3, 2 }, { 6, 320, 1, 1 },
	};
	const int64_t dims[] = { net->batch, 3, 224, 224 };
	uint32_t x = net_input(net, OOO_FP32, 4, dims);
	int in = 32;

	x = conv_relu6(net, x, 3, 32, 3, 2, 1);
	for (size_t s = 0; s < sizeof(stages) / sizeof(stages[0]); s++)
		for (int i = 0; i < stages[s].blocks; i++) {
			x = block(net, x, in, stages[s].channels, stages[s].expansion,
				  i ? 1 : stages[s].stride);
			in = stages[s].channels;
		}
	x = conv_relu6(net, x, in, 1280, 1, 1, 1);
	x = net_op1(net, OOO_OP_GLOBAL_AVERAGE_POOL, x);
	x = net_reshape(net, x, 2, (const int64_t[]){ net->batch, 1280 });
	net_output(net, net_linear(net, x, 1280, 1000, linear_spread(1280)));
}
