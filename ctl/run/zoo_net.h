/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers with random weights. Values are tensor ids of the builder. Errors stick: after the first
 * one net->rc is set, every layer does nothing and returns 0, so networks read straight on.
 */
#ifndef OOO_RUN_ZOO_NET_H
#define OOO_RUN_ZOO_NET_H

#include <stdint.h>

#include "shared/client/ooo.h"

struct net {
	struct ooo_builder *b;
	int64_t batch; /* requests' first dimension */
	uint64_t random;
	int rc;
};

/* How wide random numbers spread so that a layer neither shrinks nor grows what passes through. */
float he_spread(int64_t fan_in);     /* in front of a ReLU, which halves the second moment */
float linear_spread(int64_t fan_in); /* otherwise */

uint32_t net_input(struct net *net, enum ooo_dtype dtype, int rank, const int64_t *dims);
void net_output(struct net *net, uint32_t x);

/* Uniform random numbers with this mean and standard deviation. */
uint32_t net_random(struct net *net, int rank, const int64_t *dims, float mean, float deviation);
uint32_t net_scalar(struct net *net, float value);

uint32_t net_op(struct net *net, enum ooo_op op, const struct ooo_attr *attr, const uint32_t *in,
		int nr_in);
uint32_t net_op1(struct net *net, enum ooo_op op, uint32_t x);
uint32_t net_op2(struct net *net, enum ooo_op op, uint32_t x, uint32_t y);
uint32_t net_reshape(struct net *net, uint32_t x, int rank, const int64_t *dims);
uint32_t net_transpose(struct net *net, uint32_t x, const int32_t perm[4]);

struct conv {
	int in, out; /* channels */
	int kernel, stride, group;
	float spread;
};

/* Padded so that stride 1 keeps the size. No bias: a normalisation follows. */
uint32_t net_conv(struct net *net, uint32_t x, struct conv c);
/* Statistics near those of normalised data; gain scales what comes out. */
uint32_t net_batch_norm(struct net *net, uint32_t x, int channels, float gain);
/* Over the last axis. */
uint32_t net_layer_norm(struct net *net, uint32_t x, int axis, int64_t size, float epsilon);
/* x[..., in] W[in, out] + bias[out] */
uint32_t net_linear(struct net *net, uint32_t x, int64_t in, int64_t out, float spread);

/* The networks: zoo_<family>.c. Variants of a family differ in `variant`. */
void zoo_resnet(struct net *net, int variant); /* 18 or 50 layers */
void zoo_mobilenet_v2(struct net *net, int variant);
void zoo_bert(struct net *net, int variant); /* number of layers */
void zoo_mlp(struct net *net, int variant);  /* number of layers */
void zoo_lstm(struct net *net, int variant); /* number of layers */
/* One product of those sizes; inputs and outputs of this type. */
void zoo_gemm(struct net *net, const int64_t mnk[3], enum ooo_dtype dtype);

#endif
