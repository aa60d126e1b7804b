/* SPDX-License-Identifier: Apache-2.0 */
/* Which nodes and initialisers a graph's outputs need. */
#ifndef OOO_ONNX_LIVE_H
#define OOO_ONNX_LIVE_H

#include <stdbool.h>

#include "onnx/onnx.pb-c.h"

struct live {
	void *names; /* of tsearch(): needed values, as in the model */
	bool *nodes; /* one for each node of the graph */
};

/* Only what is needed is imported: an unsupported operator in a dead branch does no harm. */
int live_find(const Onnx__GraphProto *graph, struct live *live);
bool live_name(const struct live *live, const char *name);
void live_free(struct live *live);

#endif
