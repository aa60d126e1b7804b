/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BERT (Devlin et al., 2018), the base size, for sequences of 128 tokens. Inputs: token ids and the
 * attention mask, int64 [batch, 128] each. Outputs: two logits from the first token, as a classifier.
 */
#include "ctl/run/zoo_net.h"

#define SEQ     128
#define WIDTH   768
#define HEADS   12
#define HEAD    (WIDTH / HEADS)
#define INNER   3072
#define VOCAB   30522
#define EPSILON 1e-12f

static uint32_t embed(struct net *net, uint32_t ids)
{
	const int64_t words[] = { VOCAB, WIDTH }, places[] = { 1, SEQ, WIDTH };
	uint32_t table = net_random(net, 2, words, 0, 1);
	uint32_t x = net_op2(net, OOO_OP_GATHER, table, ids);

	x = net_op2(net, OOO_OP_ADD, x, net_random(net, 3, places, 0, 0.3f));
	return net_layer_norm(net, x, 2, WIDTH, EPSILON);
}

/* 0 where the mask is 1, a large negative number where it is 0; shaped to add to the scores. */
static uint32_t mask_to_bias(struct net *net, uint32_t mask)
{
	const int64_t dims[] = { net->batch, 1, 1, SEQ };
	uint32_t x = net_op1(net, OOO_OP_CAST, mask); /* to fp32 */

	x = net_op2(net, OOO_OP_SUB, net_scalar(net, 1), x);
	x = net_op2(net, OOO_OP_MUL, x, net_scalar(net, -10000));
	return net_reshape(net, x, 4, dims);
}

/* [batch, SEQ, WIDTH] to [batch, HEADS, SEQ, HEAD], or for keys to [batch, HEADS, HEAD, SEQ]. */
static uint32_t heads(struct net *net, uint32_t x, const int32_t perm[4])
{
	const int64_t dims[] = { net->batch, SEQ, HEADS, HEAD };

	x = net_linear(net, x, WIDTH, WIDTH, linear_spread(WIDTH));
	return net_transpose(net, net_reshape(net, x, 4, dims), perm);
}

static uint32_t attention(struct net *net, uint32_t x, uint32_t bias)
{
	static const int32_t rows[] = { 0, 2, 1, 3 }, columns[] = { 0, 2, 3, 1 };
	const int64_t dims[] = { net->batch, SEQ, WIDTH };
	uint32_t q = heads(net, x, rows), k = heads(net, x, columns), v = heads(net, x, rows);
	uint32_t scores = net_op2(net, OOO_OP_MATMUL, q, k);
	struct ooo_attr a;

	scores = net_op2(net, OOO_OP_DIV, scores, net_scalar(net, 8)); /* square root of HEAD */
	scores = net_op2(net, OOO_OP_ADD, scores, bias);
	ooo_attr_init(&a, OOO_OP_SOFTMAX);
	a.axis = 3;
	scores = net_op(net, OOO_OP_SOFTMAX, &a, &scores, 1);
	x = net_transpose(net, net_op2(net, OOO_OP_MATMUL, scores, v), rows);
	x = net_reshape(net, x, 3, dims);
	return net_linear(net, x, WIDTH, WIDTH, linear_spread(WIDTH));
}

static uint32_t layer(struct net *net, uint32_t x, uint32_t bias)
{
	uint32_t y;

	x = net_op2(net, OOO_OP_ADD, attention(net, x, bias), x);
	x = net_layer_norm(net, x, 2, WIDTH, EPSILON);
	y = net_linear(net, x, WIDTH, INNER, he_spread(WIDTH));
	y = net_op1(net, OOO_OP_GELU, y);
	y = net_linear(net, y, INNER, WIDTH, linear_spread(INNER));
	return net_layer_norm(net, net_op2(net, OOO_OP_ADD, y, x), 2, WIDTH, EPSILON);
}

/* The first token through the pooler and the classifier. */
static uint32_t classify(struct net *net, uint32_t x)
{
	const int64_t dims[] = { net->batch, WIDTH };
	struct ooo_attr a;

	ooo_attr_init(&a, OOO_OP_SLICE);
	a.rank = 3;
	a.dims[0] = (int32_t)net->batch;
	a.dims[1] = 1;
	a.dims[2] = WIDTH;
	x = net_reshape(net, net_op(net, OOO_OP_SLICE, &a, &x, 1), 2, dims);
	x = net_op1(net, OOO_OP_TANH, net_linear(net, x, WIDTH, WIDTH, linear_spread(WIDTH)));
	return net_linear(net, x, WIDTH, 2, linear_spread(WIDTH));
}

void zoo_bert(struct net *net, int variant)
{
	const int64_t dims[] = { net->batch, SEQ };
	uint32_t ids = net_input(net, OOO_INT64, 2, dims);
	uint32_t mask = net_input(net, OOO_INT64, 2, dims);
	uint32_t x = embed(net, ids), bias = mask_to_bias(net, mask);

	for (int i = 0; i < variant; i++)
		x = layer(net, x, bias);
	net_output(net, classify(net, x));
}
