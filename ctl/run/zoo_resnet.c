/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ResNet (He et al., "Deep Residual Learning for Image Recognition", 2015) for images of 224 x 224:
 * 18 layers of basic blocks, or 50 of bottlenecks with the stride in the 3 x 3 convolution.
 */
#include <stdbool.h>

#include "ctl/run/zoo_net.h"

/* Of a block's branch, which is added to its input: the sum grows slowly from block to block. */
#define BRANCH_GAIN 0.3f

static uint32_t conv_norm(struct net *net, uint32_t x, int in, int out, int kernel, int stride,
			  float gain)
{
	struct conv c = { in, out, kernel, stride, 1, he_spread((int64_t)in * kernel * kernel) };

	return net_batch_norm(net, net_conv(net, x, c), out, gain);
}

static uint32_t basic(struct net *net, uint32_t x, int in, int width, int stride)
{
	uint32_t y = net_op1(net, OOO_OP_RELU, conv_norm(net, x, in, width, 3, stride, 1));

	return conv_norm(net, y, width, width, 3, 1, BRANCH_GAIN);
}

static uint32_t bottleneck(struct net *net, uint32_t x, int in, int width, int stride)
{
	uint32_t y = net_op1(net, OOO_OP_RELU, conv_norm(net, x, in, width, 1, 1, 1));

	y = net_op1(net, OOO_OP_RELU, conv_norm(net, y, width, width, 3, stride, 1));
	return conv_norm(net, y, width, 4 * width, 1, 1, BRANCH_GAIN);
}

static uint32_t stem(struct net *net)
{
	const int64_t dims[] = { net->batch, 3, 224, 224 };
	uint32_t x = net_input(net, OOO_FP32, 4, dims);
	struct ooo_attr a;

	x = net_op1(net, OOO_OP_RELU, conv_norm(net, x, 3, 64, 7, 2, 1));
	ooo_attr_init(&a, OOO_OP_MAX_POOL);
	for (int i = 0; i < 2; i++) {
		a.kernel[i] = 3;
		a.stride[i] = 2;
		a.pad[i] = a.pad[i + 2] = 1;
	}
	return net_op(net, OOO_OP_MAX_POOL, &a, &x, 1);
}

void zoo_resnet(struct net *net, int variant)
{
	static const int blocks18[4] = { 2, 2, 2, 2 }, blocks50[4] = { 3, 4, 6, 3 };
	bool deep = variant == 50;
	uint32_t x = stem(net);
	int in = 64;

	for (int stage = 0; stage < 4; stage++) {
		int width = 64 << stage, out = deep ? 4 * width : width;

		for (int i = 0; i < (deep ? blocks50 : blocks18)[stage]; i++) {
			int stride = stage && !i ? 2 : 1;
			uint32_t branch = (deep ? bottleneck : basic)(net, x, in, width, stride);

			if (in != out || stride != 1)
				x = conv_norm(net, x, in, out, 1, stride, 0.7f);
			x = net_op1(net, OOO_OP_RELU, net_op2(net, OOO_OP_ADD, branch, x));
			in = out;
		}
	}
	x = net_op1(net, OOO_OP_GLOBAL_AVERAGE_POOL, x);
	x = net_reshape(net, x, 2, (const int64_t[]){ net->batch, in });
	net_output(net, net_linear(net, x, in, 1000, linear_spread(in)));
}
