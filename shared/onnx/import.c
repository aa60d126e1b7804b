/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The import of a graph: constants and inputs get names, the nodes are translated in the order in
 * which they stand (ONNX demands that each stands behind those whose results it uses), and the
 * outputs are looked up.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/abi/handshake.h"
#include "shared/onnx/error.h"
#include "shared/onnx/import.h"
#include "shared/onnx/inputs.h"
#include "shared/onnx/live.h"
#include "shared/onnx/tensor_data.h"

#define MAX_GRAPH_DEPTH         16
#define DEFAULT_GENERATED_BYTES (2ull << 30)

static int bind_value(struct importer *im, const char *name, struct value *v)
{
	int rc = scope_bind(im, name, v);

	if (rc == -EEXIST)
		return onnx_fail(-EINVAL, "the name '%.80s' is given to two values", name);
	return rc ? onnx_fail(rc, "no memory") : 0;
}

static struct value *host_constant(struct importer *im, const struct shape *shape, const void *data)
{
	struct value *v = import_alloc(im, sizeof(*v));

	if (!v)
		return NULL;
	v->shape = *shape;
	v->constant = true;
	v->data = data;
	v->id = OOO_NONE;
	return v;
}

static int import_initializer(struct importer *im, const Onnx__TensorProto *pb)
{
	struct ooo_onnx_tensor t;
	struct shape shape;
	struct value *v;
	char what[100];
	bool owned;
	int rc;

	snprintf(what, sizeof(what), "initialiser '%.80s'", pb->name);
	rc = tensor_from_pb(pb, what, &t, &owned);
	if (rc)
		return rc;
	if (owned && import_own(im, t.data))
		return -ENOMEM;
	rc = tensor_shape(&t, &shape);
	if (rc)
		return rc;
	v = host_constant(im, &shape, t.data);
	return v ? bind_value(im, pb->name, v) : -ENOMEM;
}

static int declare_input(struct importer *im, const char *name, const struct shape *shape)
{
	struct value *v = import_alloc(im, sizeof(*v));
	int id;

	if (!v)
		return -ENOMEM;
	id = ooo_input(im->builder, shape->dtype, shape->rank, shape->dims);
	if (id < 0)
		return onnx_fail(id, "input '%.80s': %s", name, ooo_builder_error(im->builder));
	v->shape = *shape;
	v->id = (uint32_t)id;
	return bind_value(im, name, v);
}

static int import_inputs(struct importer *im)
{
	for (int i = 0; i < im->model->nr_inputs; i++) {
		const char *name = im->model->inputs[i]->name;
		const struct ooo_onnx_tensor *fixed = input_fixed(im->opts, name);
		struct shape shape;
		struct value *v;
		int rc;

		if (fixed) {
			rc = input_check_fixed(im->model, i, fixed, &shape);
			if (rc)
				return rc;
			v = host_constant(im, &shape, fixed->data);
			rc = v ? bind_value(im, name, v) : -ENOMEM;
		} else {
			rc = input_shape(im->model, im->opts, i, &shape);
			if (!rc)
				rc = declare_input(im, name, &shape);
		}
		if (rc)
			return rc;
	}
	return 0;
}

/* Operands by their names; trailing absent ones do not count. */
static int find_operands(struct node *n)
{
	for (size_t i = 0; i < n->pb->n_input; i++) {
		const char *name = n->pb->input[i];

		if (!*name)
			continue;
		n->in[i] = scope_find(n->im, name);
		if (!n->in[i])
			return refuse(n, "input %zu '%.80s' is not the result of an earlier node",
				      i, name);
		n->nr_in = (int)i + 1;
	}
	return 0;
}

static int bind_results(struct node *n, const struct live *live)
{
	for (size_t i = 0; i < n->pb->n_output; i++) {
		const char *name = n->pb->output[i];
		int rc;

		if (!*name || (!n->out[i] && !live_name(live, name)))
			continue;
		if (!n->out[i])
			return refuse(n, "output %zu is not supported", i);
		rc = bind_value(n->im, name, n->out[i]);
		if (rc)
			return rc;
	}
	return 0;
}

static int import_one(struct importer *im, const Onnx__NodeProto *pb, size_t index,
		      const struct live *live)
{
	struct node n = { im, pb, index, im->model->opset, 0, 0, NULL, NULL, NULL, 0 };

	/* The counts come from the file, so they are in proportion to its size. */
	n.in = import_alloc(im, (pb->n_input + 1) * sizeof(struct value *));
	n.out = import_alloc(im, (pb->n_output + 1) * sizeof(struct value *));
	n.seen = import_alloc(im, (pb->n_attribute + 1) * sizeof(*n.seen));
	if (!n.in || !n.out || !n.seen)
		return -ENOMEM;
	for (size_t i = 0; i < pb->n_output; i++)
		if (*pb->output[i] && live_name(live, pb->output[i]))
			n.nr_out = (int)i + 1;
	if (find_operands(&n) || import_node(&n))
		return n.rc;
	return bind_results(&n, live);
}

/* Everything between the inputs and the outputs of a graph, in the current scope. */
static int import_body(struct importer *im, const Onnx__GraphProto *graph)
{
	struct live live;
	int rc = live_find(graph, &live);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < graph->n_initializer; i++)
		if (live_name(&live, graph->initializer[i]->name))
			rc = import_initializer(im, graph->initializer[i]);
	for (size_t i = 0; !rc && i < graph->n_node; i++)
		if (live.nodes[i])
			rc = import_one(im, graph->node[i], i, &live);
	live_free(&live);
	return rc;
}

int import_subgraph(struct node *n, const Onnx__GraphProto *graph)
{
	struct importer *im = n->im;
	int rc;

	if (graph->n_input || graph->n_sparse_initializer)
		return refuse(n, "a branch with inputs or sparse initialisers is not supported");
	if (graph->n_output != n->pb->n_output)
		return refuse(n, "a branch has %zu outputs but the node %zu", graph->n_output,
			      n->pb->n_output);
	if (im->depth == MAX_GRAPH_DEPTH)
		return refuse(n, "graphs are nested more than %d deep", MAX_GRAPH_DEPTH);
	rc = scope_push(im);
	if (rc)
		return n->rc = rc;
	im->depth++;
	rc = import_body(im, graph);
	for (size_t i = 0; !rc && i < graph->n_output; i++) {
		const char *name = graph->output[i]->name;

		n->out[i] = name ? scope_find(im, name) : NULL;
		if (!n->out[i])
			rc = refuse(n, "output %zu of a branch is not computed", i);
	}
	im->depth--;
	scope_pop(im);
	return n->rc = rc;
}

/* A tensor can be one output only: an input, a constant or another output is copied. */
static int import_output(struct importer *im, const Onnx__ValueInfoProto *info)
{
	static const Onnx__NodeProto none = ONNX__NODE_PROTO__INIT;
	struct node n = { .im = im, .pb = &none };
	const Onnx__TensorShapeProto *shape = NULL;
	const char *name = info->name ? info->name : "";
	struct value *v = scope_find(im, name);
	int32_t type = 0;
	int rc;

	if (!v)
		return onnx_fail(-EINVAL, "output '%.80s' of the model is not computed", name);
	if (info->type && value_info_tensor(info, &type, &shape))
		return onnx_fail(-EOPNOTSUPP, "output '%.80s' is not a tensor", name);
	if (type && dtype_from_onnx(type) != v->shape.dtype)
		return onnx_fail(-EINVAL, "output '%.80s' is declared as %s but computed as %s",
				 name, onnx_type_name(type), dtype_name(v->shape.dtype));
	if (value_id(&n, v) == OOO_NONE)
		return onnx_fail(n.rc, "output '%.80s': %s", name, ooo_builder_error(im->builder));
	if (v->is_output) {
		struct ooo_attr a;

		/* Through the builder itself: a constant would be folded into the same tensor. */
		ooo_attr_init(&a, OOO_OP_IDENTITY);
		rc = ooo_op1(im->builder, OOO_OP_IDENTITY, &a, v->id);
		rc = rc < 0 ? rc : ooo_output(im->builder, (uint32_t)rc);
	} else {
		rc = ooo_output(im->builder, v->id);
		v->is_output = true;
	}
	if (rc)
		return onnx_fail(rc, "output '%.80s': %s", name, ooo_builder_error(im->builder));
	return 0;
}

static int import_model(struct importer *im)
{
	const Onnx__GraphProto *graph = im->model->graph;
	int rc = inputs_check_opts(im->model, im->opts);

	if (rc)
		return rc;
	if (!graph->n_output)
		return onnx_fail(-EINVAL, "the model has no outputs");
	rc = scope_push(im);
	if (rc)
		return rc;
	rc = import_inputs(im);
	if (!rc)
		rc = import_body(im, graph);
	for (size_t i = 0; !rc && i < graph->n_output; i++)
		rc = import_output(im, graph->output[i]);
	scope_pop(im);
	return rc;
}

static struct ooo_builder *new_builder(const char *name)
{
	char printable[OOO_NAME_BYTES];
	size_t i;

	for (i = 0; name[i] && i < sizeof(printable) - 1; i++)
		printable[i] = name[i] > ' ' && name[i] < 0x7f ? name[i] : '_';
	printable[i] = '\0';
	return ooo_builder_new(i ? printable : "onnx");
}

int ooo_onnx_build(const struct ooo_onnx_model *model, const struct ooo_onnx_opts *opts,
		   struct ooo_builder **out)
{
	static const struct ooo_onnx_opts defaults = OOO_ONNX_OPTS_INIT;
	struct importer im = { .model = model };
	int rc;

	*out = NULL;
	if (opts && opts->size != sizeof(*opts))
		return onnx_fail(-EINVAL,
				 "ooo_onnx_opts has size %zu, not %zu: use"
				 " OOO_ONNX_OPTS_INIT",
				 opts->size, sizeof(*opts));
	im.opts = opts ? opts : &defaults;
	im.bytes_left = im.opts->max_generated_bytes ? im.opts->max_generated_bytes
						     : DEFAULT_GENERATED_BYTES;
	im.work_left = 2 * im.bytes_left;
	im.builder = new_builder(im.opts->name ? im.opts->name : ooo_onnx_name(model));
	if (!im.builder)
		return onnx_fail(-ENOMEM, "no memory");
	rc = import_model(&im);
	import_free(&im);
	if (rc) {
		ooo_builder_free(im.builder);
		return rc;
	}
	*out = im.builder;
	return 0;
}
