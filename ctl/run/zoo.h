/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Well-known networks with random weights, for load and for tests where no model file is at hand.
 * The weights follow from the seed; their scale is such that activations neither vanish nor grow.
 */
#ifndef OOO_RUN_ZOO_H
#define OOO_RUN_ZOO_H

#include <stddef.h>
#include <stdint.h>

struct ooo_builder;

/* Names of the models in one line, separated by ", ". */
const char *zoo_list(void);

/* Build the model called name for requests of batch samples (1 for gemm-*). On failure -errno, and why[why_bytes] has the sentence. */
int zoo_build(const char *name, int64_t batch, uint64_t seed, struct ooo_builder **out, char *why,
	      size_t why_bytes);

#endif
