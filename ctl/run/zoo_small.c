/* SPDX-License-Identifier: Apache-2.0 */
/* Small networks: a stack of dense layers, a stack of LSTMs, and one matrix product. */
#include "ctl/run/zoo_net.h"

#define MLP_WIDTH  1024
#define LSTM_WIDTH 512
#define LSTM_STEPS 16

void zoo_mlp(struct net *net, int variant)
{
	const int64_t dims[] = { net->batch, MLP_WIDTH };
	uint32_t x = net_input(net, OOO_FP32, 2, dims);

	for (int i = 0; i < variant; i++) {
		x = net_linear(net, x, MLP_WIDTH, MLP_WIDTH, he_spread(MLP_WIDTH));
		if (i + 1 < variant)
			x = net_op1(net, OOO_OP_RELU, x);
	}
	net_output(net, x);
}

static uint32_t lstm_layer(struct net *net, uint32_t x)
{
	const int64_t weights[] = { 1, 4 * LSTM_WIDTH, LSTM_WIDTH },
		      biases[] = { 1, 8 * LSTM_WIDTH };
	const int64_t dims[] = { LSTM_STEPS, net->batch, LSTM_WIDTH };
	float spread = linear_spread(LSTM_WIDTH);
	struct ooo_attr a;
	uint32_t in[4] = { x };

	ooo_attr_init(&a, OOO_OP_LSTM);
	a.hidden = LSTM_WIDTH;
	in[1] = net_random(net, 3, weights, 0, spread);
	in[2] = net_random(net, 3, weights, 0, spread);
	in[3] = net_random(net, 2, biases, 0, 0.1f);
	return net_reshape(net, net_op(net, OOO_OP_LSTM, &a, in, 4), 3, dims);
}

void zoo_lstm(struct net *net, int variant)
{
	const int64_t dims[] = { LSTM_STEPS, net->batch, LSTM_WIDTH };
	uint32_t x = net_input(net, OOO_FP32, 3, dims);

	for (int i = 0; i < variant; i++)
		x = lstm_layer(net, x);
	net_output(net, x);
}

static uint32_t net_cast(struct net *net, uint32_t x, enum ooo_dtype dtype)
{
	struct ooo_attr a;

	ooo_attr_init(&a, OOO_OP_CAST);
	a.mode = (int32_t)dtype;
	return net_op(net, OOO_OP_CAST, &a, &x, 1);
}

/* M x N x K as papers write it: N rows of K numbers times constant weights, M outputs a row. */
void zoo_gemm(struct net *net, const int64_t mnk[3], enum ooo_dtype dtype)
{
	const int64_t x_dims[] = { mnk[1], mnk[2] }, w_dims[] = { mnk[2], mnk[0] };
	uint32_t in[2] = { net_input(net, dtype, 2, x_dims) }, y;

	in[1] = net_random(net, 2, w_dims, 0, linear_spread(mnk[2]));
	if (dtype != OOO_FP32)
		in[0] = net_cast(net, in[0], OOO_FP32);
	y = net_op(net, OOO_OP_MATMUL, NULL, in, 2);
	net_output(net, dtype == OOO_FP32 ? y : net_cast(net, y, dtype));
}
