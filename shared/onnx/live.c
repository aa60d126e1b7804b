/* SPDX-License-Identifier: Apache-2.0 */
/* Which nodes and initialisers a graph's outputs need: one pass from the last node to the first. */
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "shared/onnx/error.h"
#include "shared/onnx/live.h"

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int need(struct live *live, const char *name)
{
	if (!name || !*name || tsearch(name, &live->names, compare))
		return 0;
	return -ENOMEM;
}

bool live_name(const struct live *live, const char *name)
{
	return name && tfind(name, &live->names, compare);
}

static int need_subgraphs(struct live *live, const Onnx__NodeProto *node);

/* A nested graph may use any value of the graphs around it. */
static int need_graph(struct live *live, const Onnx__GraphProto *graph)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < graph->n_output; i++)
		rc = need(live, graph->output[i]->name);
	for (size_t i = 0; !rc && i < graph->n_node; i++) {
		for (size_t k = 0; !rc && k < graph->node[i]->n_input; k++)
			rc = need(live, graph->node[i]->input[k]);
		if (!rc)
			rc = need_subgraphs(live, graph->node[i]);
	}
	return rc;
}

static int need_subgraphs(struct live *live, const Onnx__NodeProto *node)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < node->n_attribute; i++) {
		const Onnx__AttributeProto *a = node->attribute[i];

		if (a->g)
			rc = need_graph(live, a->g);
		for (size_t k = 0; !rc && k < a->n_graphs; k++)
			rc = need_graph(live, a->graphs[k]);
	}
	return rc;
}

static int visit(struct live *live, const Onnx__NodeProto *node, bool *alive)
{
	int rc = 0;

	*alive = false;
	for (size_t i = 0; i < node->n_output; i++)
		*alive = *alive || live_name(live, node->output[i]);
	if (!*alive)
		return 0;
	for (size_t i = 0; !rc && i < node->n_input; i++)
		rc = need(live, node->input[i]);
	return rc ? rc : need_subgraphs(live, node);
}

int live_find(const Onnx__GraphProto *graph, struct live *live)
{
	int rc = 0;

	live->names = NULL;
	live->nodes = calloc(graph->n_node + 1, sizeof(*live->nodes));
	if (!live->nodes)
		return onnx_fail(-ENOMEM, "no memory");
	for (size_t i = 0; !rc && i < graph->n_output; i++)
		rc = need(live, graph->output[i]->name);
	for (size_t i = graph->n_node; !rc && i > 0; i--)
		rc = visit(live, graph->node[i - 1], &live->nodes[i - 1]);
	if (!rc)
		return 0;
	live_free(live);
	return onnx_fail(rc, "no memory");
}

static void keep(void *name)
{
}

void live_free(struct live *live)
{
	tdestroy(live->names, keep);
	free(live->nodes);
	live->names = NULL;
	live->nodes = NULL;
}
