/* SPDX-License-Identifier: Apache-2.0 */
/* The table of built-in networks. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/run/zoo.h"
#include "ctl/run/zoo_net.h"

#define MODELS                                                                                     \
	MODEL("resnet50", zoo_resnet, 50)                                                          \
	MODEL("resnet18", zoo_resnet, 18)                                                          \
	MODEL("mobilenet_v2", zoo_mobilenet_v2, 0)                                                 \
	MODEL("bert-base", zoo_bert, 12)                                                           \
	MODEL("mlp", zoo_mlp, 8)                                                                   \
	MODEL("lstm", zoo_lstm, 2)

static const struct {
	const char *name;
	void (*build)(struct net *net, int variant);
	int variant;
} models[] = {
#define MODEL(name, build, variant) { name, build, variant },
	MODELS
#undef MODEL
};

const char *zoo_list(void)
{
#define MODEL(name, build, variant) ", " name
	return &(MODELS ", gemm-MxNxK[-fp16]")[2]; /* without the first comma */
#undef MODEL
}

#define MAX_GEMM_SIZE 65536

/* "gemm-256x128x1152", "...-fp16": one operator, for measurements of operators. */
static bool parse_gemm(const char *name, int64_t mnk[3], enum ooo_dtype *dtype)
{
	const char *at = name + 5;

	if (strncmp(name, "gemm-", 5) != 0)
		return false;
	for (int i = 0; i < 3; i++) {
		char *end;

		if (*at < '1' || *at > '9')
			return false;
		errno = 0;
		mnk[i] = strtoll(at, &end, 10);
		if (errno || mnk[i] > MAX_GEMM_SIZE || (i < 2 && *end != 'x'))
			return false;
		at = i < 2 ? end + 1 : end;
	}
	*dtype = *at ? OOO_FP16 : OOO_FP32;
	return !*at || !strcmp(at, "-fp16");
}

static int find_model(const char *name)
{
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
		if (!strcmp(models[i].name, name))
			return (int)i;
	return -ENOENT;
}

int zoo_build(const char *name, int64_t batch, uint64_t seed, struct ooo_builder **out, char *why,
	      size_t why_bytes)
{
	struct net net = { .batch = batch, .random = seed };
	enum ooo_dtype dtype;
	int64_t mnk[3];
	bool gemm = parse_gemm(name, mnk, &dtype);
	int i = find_model(name);

	*out = NULL;
	if (i < 0 && !gemm) {
		snprintf(why, why_bytes, "there is no model '%s' in the zoo; there are: %s", name,
			 zoo_list());
		return -ENOENT;
	}
	if (gemm && batch != 1) {
		snprintf(why, why_bytes, "%s has no batch: its N says how many rows", name);
		return -EINVAL;
	}
	net.b = ooo_builder_new(name);
	if (!net.b) {
		snprintf(why, why_bytes, "no memory");
		return -ENOMEM;
	}
	if (gemm)
		zoo_gemm(&net, mnk, dtype);
	else
		models[i].build(&net, models[i].variant);
	if (net.rc) {
		snprintf(why, why_bytes, "%s: %s", name, ooo_builder_error(net.b));
		ooo_builder_free(net.b);
		return net.rc;
	}
	*out = net.b;
	return 0;
}
