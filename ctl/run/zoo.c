/* SPDX-License-Identifier: Apache-2.0 */
/* The table of built-in networks. */
#include <errno.h>
#include <stdio.h>
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
	return &(MODELS)[2]; /* without the first comma */
#undef MODEL
}

int zoo_build(const char *name, uint64_t seed, struct ooo_builder **out, char *why,
	      size_t why_bytes)
{
	struct net net = { .random = seed };
	size_t i;

	*out = NULL;
	for (i = 0; i < sizeof(models) / sizeof(models[0]); i++)
		if (!strcmp(models[i].name, name))
			break;
	if (i == sizeof(models) / sizeof(models[0])) {
		snprintf(why, why_bytes, "there is no model '%s' in the zoo; there are: %s", name,
			 zoo_list());
		return -ENOENT;
	}
	net.b = ooo_builder_new(name);
	if (!net.b) {
		snprintf(why, why_bytes, "no memory");
		return -ENOMEM;
	}
	models[i].build(&net, models[i].variant);
	if (net.rc) {
		snprintf(why, why_bytes, "%s: %s", name, ooo_builder_error(net.b));
		ooo_builder_free(net.b);
		return net.rc;
	}
	*out = net.b;
	return 0;
}
