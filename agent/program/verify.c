/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Untrusted bytes become tensors and steps. The bytes cannot change (a sealed memfd), but each
 * record is copied out before it is looked at all the same: it need not be aligned, and nothing
 * here depends on who owns the memory. What passes can be executed: later passes check no more.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/program/passes.h"

struct verifier {
	struct graph *g;
	const char *data;
	uint64_t bytes;
	struct ooo_prog_header head;
	uint64_t weight_bytes;
};

static bool all_zero(const void *at, size_t bytes)
{
	const char *c = at;

	for (size_t i = 0; i < bytes; i++)
		if (c[i])
			return false;
	return true;
}

/* n records of `each` bytes at off lie within the encoding. */
static bool table_fits(const struct verifier *v, uint64_t off, uint64_t n, uint64_t each)
{
	return off >= sizeof(struct ooo_prog_header) && off % 8 == 0 && off <= v->bytes &&
	       n <= (v->bytes - off) / each;
}

static int copy_name(struct verifier *v)
{
	const char *name = v->head.name;
	size_t n = strnlen(name, sizeof(v->head.name));

	if (n == sizeof(v->head.name))
		return graph_fail(v->g, -EINVAL, "program: the name has no end");
	for (size_t i = 0; i < n; i++)
		if (name[i] < ' ' || name[i] > '~')
			return graph_fail(v->g, -EINVAL,
					  "program: byte %zu of the name is not printable ASCII",
					  i);
	memcpy(v->g->p->name, name, n + 1);
	return 0;
}

static int check_identity(struct verifier *v)
{
	struct ooo_prog_header *h = &v->head;

	if (v->bytes < sizeof(*h))
		return graph_fail(v->g, -EINVAL,
				  "program: %" PRIu64 " bytes are too short for a header",
				  v->bytes);
	if (v->bytes > OOO_PROG_MAX_BYTES)
		return graph_fail(v->g, -EINVAL, "program: %" PRIu64 " bytes are more than %llu",
				  v->bytes, OOO_PROG_MAX_BYTES);
	if ((uintptr_t)v->data % TENSOR_ALIGN)
		return graph_fail(v->g, -EINVAL, "program: the encoding is not aligned to %d bytes",
				  TENSOR_ALIGN);
	memcpy(h, v->data, sizeof(*h));
	if (h->magic != OOO_PROG_MAGIC)
		return graph_fail(v->g, -EINVAL, "program: magic number 0x%08x is not 0x%08x",
				  h->magic, OOO_PROG_MAGIC);
	if (h->version != OOO_PROG_VERSION)
		return graph_fail(v->g, -EINVAL, "program: version %u, this agent reads version %u",
				  h->version, OOO_PROG_VERSION);
	if (h->bytes != v->bytes)
		return graph_fail(v->g, -EINVAL,
				  "program: the header says %" PRIu64
				  " bytes but there are %" PRIu64,
				  h->bytes, v->bytes);
	if (h->resv0 || !all_zero(h->resv, sizeof(h->resv)))
		return graph_fail(v->g, -EINVAL, "program: a reserved header field is not zero");
	return copy_name(v);
}

static int check_header(struct verifier *v)
{
	const struct ooo_prog_header *h = &v->head;

	if (h->nr_tensors > OOO_PROG_MAX_TENSORS || h->nr_ops > OOO_PROG_MAX_OPS)
		return graph_fail(v->g, -EINVAL,
				  "program: %u tensors and %u operators, at most %u and %u",
				  h->nr_tensors, h->nr_ops, OOO_PROG_MAX_TENSORS, OOO_PROG_MAX_OPS);
	if (!h->nr_outputs)
		return graph_fail(v->g, -EINVAL, "program: it has no output");
	if (h->nr_inputs > OOO_MAX_IO || h->nr_outputs > OOO_MAX_IO - h->nr_inputs)
		return graph_fail(v->g, -EINVAL,
				  "program: %u inputs and %u outputs, at most %d together",
				  h->nr_inputs, h->nr_outputs, OOO_MAX_IO);
	if (!table_fits(v, h->tensors_off, h->nr_tensors, sizeof(struct ooo_prog_tensor)))
		return graph_fail(v->g, -EINVAL, "program: the table of tensors is out of place");
	if (!table_fits(v, h->ops_off, h->nr_ops, sizeof(struct ooo_prog_op)))
		return graph_fail(v->g, -EINVAL, "program: the table of operators is out of place");
	if (!table_fits(v, h->operands_off, h->nr_operands, sizeof(uint32_t)))
		return graph_fail(v->g, -EINVAL, "program: the table of operands is out of place");
	if (!table_fits(v, h->data_off, h->data_bytes, 1) || h->data_off % 64)
		return graph_fail(v->g, -EINVAL, "program: the constants' data is out of place");
	return 0;
}

static int check_shape(struct verifier *v, uint32_t id, const struct ooo_prog_tensor *t,
		       struct shape *s, uint64_t *bytes)
{
	int rc;

	if (!dtype_bytes(t->dtype))
		return graph_fail(v->g, -EINVAL, "tensor %u: there is no element type %u", id,
				  t->dtype);
	if (t->rank > OOO_MAX_RANK)
		return graph_fail(v->g, -EINVAL, "tensor %u: rank %u is more than %d", id, t->rank,
				  OOO_MAX_RANK);
	s->dtype = t->dtype;
	s->rank = (int32_t)t->rank;
	memcpy(s->dims, t->dims, sizeof(s->dims));
	for (uint32_t i = t->rank; i < OOO_MAX_RANK; i++)
		if (t->dims[i])
			return graph_fail(v->g, -EINVAL,
					  "tensor %u: dims[%u] is set beyond the rank", id, i);
	rc = shape_bytes(s, bytes);
	if (rc == -EINVAL)
		return graph_fail(v->g, -EINVAL, "tensor %u: a dimension of %s is negative", id,
				  shape_text(s).s);
	if (rc || *bytes > OOO_MAX_TENSOR_BYTES)
		return graph_fail(v->g, -EINVAL, "tensor %u: %s is larger than %llu GiB", id,
				  shape_text(s).s, OOO_MAX_TENSOR_BYTES >> 30);
	return 0;
}

static int take_const(struct verifier *v, uint32_t id, const struct ooo_prog_tensor *t,
		      struct tensor *to)
{
	uint64_t quota = v->g->opts->max_weight_bytes;

	if (t->data_bytes != to->bytes)
		return graph_fail(v->g, -EINVAL,
				  "tensor %u: constant %s takes %zu bytes, not %" PRIu64, id,
				  shape_text(&to->shape).s, to->bytes, t->data_bytes);
	if (t->data_off % 64 || t->data_off > v->head.data_bytes ||
	    t->data_bytes > v->head.data_bytes - t->data_off)
		return graph_fail(v->g, -EINVAL, "tensor %u: the constant's data is out of place",
				  id);
	/* At most 64 Ki tensors of 16 GiB each: no overflow. */
	v->weight_bytes += t->data_bytes;
	if (quota && v->weight_bytes > quota)
		return graph_fail(v->g, -EDQUOT,
				  "program '%s': constants of more than %" PRIu64
				  " bytes, the quota of weights",
				  v->g->p->name, quota);
	to->place = PLACE_CONST;
	to->data = v->data + v->head.data_off + t->data_off;
	return 0;
}

static int take_io(struct verifier *v, uint32_t id, const struct ooo_prog_tensor *t, uint32_t *list,
		   uint32_t n, const char *what)
{
	if (t->io >= n)
		return graph_fail(v->g, -EINVAL, "tensor %u: there is no %s %u, only %u", id, what,
				  t->io, n);
	if (list[t->io] != OOO_NONE)
		return graph_fail(v->g, -EINVAL, "tensor %u: %s %u is tensor %u already", id, what,
				  t->io, list[t->io]);
	list[t->io] = id;
	return 0;
}

static int take_role(struct verifier *v, uint32_t id, const struct ooo_prog_tensor *t,
		     struct tensor *to)
{
	struct program *p = v->g->p;

	to->io = t->io;
	if (t->role == OOO_ROLE_INPUT) {
		to->place = PLACE_INPUT;
		return take_io(v, id, t, p->inputs, p->nr_inputs, "input");
	}
	if (t->role == OOO_ROLE_OUTPUT) {
		to->place = PLACE_OUTPUT;
		return take_io(v, id, t, p->outputs, p->nr_outputs, "output");
	}
	if (t->io)
		return graph_fail(v->g, -EINVAL, "tensor %u: io is for inputs and outputs alone",
				  id);
	if (t->role == OOO_ROLE_CONST)
		return take_const(v, id, t, to);
	if (t->role != OOO_ROLE_TEMP)
		return graph_fail(v->g, -EINVAL, "tensor %u: there is no role %u", id, t->role);
	to->place = PLACE_WORKSPACE;
	return 0;
}

static int take_tensor(struct verifier *v, uint32_t id)
{
	struct tensor *to = &v->g->p->tensors[id];
	struct ooo_prog_tensor t;
	uint64_t bytes;

	memcpy(&t, v->data + v->head.tensors_off + (uint64_t)id * sizeof(t), sizeof(t));
	if (check_shape(v, id, &t, &to->shape, &bytes))
		return -EINVAL;
	if (!all_zero(t.resv, sizeof(t.resv)))
		return graph_fail(v->g, -EINVAL, "tensor %u: a reserved field is not zero", id);
	if (t.role != OOO_ROLE_CONST && (t.data_off || t.data_bytes))
		return graph_fail(v->g, -EINVAL, "tensor %u: only constants have data", id);
	to->layout = LAYOUT_PLAIN;
	to->alias_of = OOO_NONE;
	to->bytes = bytes;
	return take_role(v, id, &t, to);
}

static int take_tensors(struct verifier *v)
{
	struct program *p = v->g->p;
	uint32_t n = v->head.nr_inputs + v->head.nr_outputs;

	p->inputs = malloc((n + 1) * sizeof(*p->inputs));
	if (!p->inputs || graph_reserve(v->g, v->head.nr_tensors))
		return graph_no_memory(v->g);
	p->outputs = p->inputs + v->head.nr_inputs;
	p->nr_inputs = v->head.nr_inputs;
	p->nr_outputs = v->head.nr_outputs;
	p->nr_tensors = v->head.nr_tensors;
	for (uint32_t i = 0; i < n; i++)
		p->inputs[i] = OOO_NONE;
	for (uint32_t id = 0; id < v->head.nr_tensors; id++) {
		int rc = take_tensor(v, id);

		if (rc)
			return rc;
		v->g->writer[id] = OOO_NONE;
	}
	for (uint32_t i = 0; i < n; i++)
		if (p->inputs[i] == OOO_NONE)
			return graph_fail(v->g, -EINVAL, "program '%s': no tensor is %s %u",
					  p->name, i < p->nr_inputs ? "input" : "output",
					  i < p->nr_inputs ? i : i - p->nr_inputs);
	return 0;
}

static int check_operand(struct verifier *v, const struct step *s, unsigned k)
{
	const struct program *p = v->g->p;
	uint32_t id = s->in[k];

	if (id == OOO_NONE)
		return 0;
	if (id >= p->nr_tensors)
		return graph_fail(v->g, -EINVAL, "%s: operand %u is tensor %u of %u", s->name, k,
				  id, p->nr_tensors);
	if (p->tensors[id].place != PLACE_INPUT && p->tensors[id].place != PLACE_CONST &&
	    v->g->writer[id] == OOO_NONE)
		return graph_fail(v->g, -EINVAL,
				  "%s: operand %u, tensor %u, has not been written at this point",
				  s->name, k, id);
	return 0;
}

static int check_result(struct verifier *v, const struct step *s, unsigned k, uint32_t index)
{
	const struct program *p = v->g->p;
	uint32_t id = s->out[k];

	if (id >= p->nr_tensors)
		return graph_fail(v->g, -EINVAL, "%s: output %u is tensor %u of %u", s->name, k, id,
				  p->nr_tensors);
	if (p->tensors[id].place != PLACE_WORKSPACE && p->tensors[id].place != PLACE_OUTPUT)
		return graph_fail(v->g, -EINVAL, "%s: output %u, tensor %u, cannot be written",
				  s->name, k, id);
	if (v->g->writer[id] != OOO_NONE)
		return graph_fail(v->g, -EINVAL,
				  "%s: output %u, tensor %u, has been written before", s->name, k,
				  id);
	v->g->writer[id] = index;
	return 0;
}

/* The operator's own rules, and that the declared outputs are what it gives. */
static int check_semantics(struct verifier *v, const struct step *s)
{
	const struct program *p = v->g->p;
	const struct shape *in[256];
	struct shape out[32];
	char why[OOO_TEXT_BYTES] = "";

	_Static_assert(sizeof(in) / sizeof(in[0]) > UINT8_MAX, "max_in is a byte");
	for (unsigned k = 0; k < s->nr_in; k++)
		in[k] = s->in[k] == OOO_NONE ? NULL : &p->tensors[s->in[k]].shape;
	if (op_infer(s->op, &s->attr, in, s->nr_in, out, s->nr_out, why, sizeof(why)))
		return graph_fail(v->g, -EINVAL, "%s: %s", s->name, why);
	for (unsigned k = 0; k < s->nr_out; k++)
		if (!shape_equal(&out[k], &p->tensors[s->out[k]].shape))
			return graph_fail(v->g, -EINVAL,
					  "%s: output %u, tensor %u, is declared %s but is %s",
					  s->name, k, s->out[k],
					  shape_text(&p->tensors[s->out[k]].shape).s,
					  shape_text(&out[k]).s);
	return 0;
}

static int take_operands(struct verifier *v, struct step *s, const struct ooo_prog_op *op)
{
	uint32_t ids[256 + 32], n = (uint32_t)op->nr_in + op->nr_out;
	const struct op_info *info = op_info(op->op);

	if (op->nr_in > info->max_in || op->nr_out > info->max_out)
		return graph_fail(v->g, -EINVAL,
				  "%s: %u operands and %u outputs, at most %u and %u", s->name,
				  op->nr_in, op->nr_out, info->max_in, info->max_out);
	if (op->operands > v->head.nr_operands || n > v->head.nr_operands - op->operands)
		return graph_fail(v->g, -EINVAL, "%s: its operands lie behind the table's end",
				  s->name);
	memcpy(ids, v->data + v->head.operands_off + (uint64_t)op->operands * sizeof(*ids),
	       n * sizeof(*ids));
	if (step_set_operands(s, ids, op->nr_in, ids + op->nr_in, op->nr_out))
		return graph_no_memory(v->g);
	return 0;
}

static int take_step(struct verifier *v, uint32_t index)
{
	struct step *s = &v->g->p->steps[index];
	const struct op_info *info;
	struct ooo_prog_op op;
	int rc;

	memcpy(&op, v->data + v->head.ops_off + (uint64_t)index * sizeof(op), sizeof(op));
	info = op_info(op.op);
	if (!info)
		return graph_fail(v->g, -EINVAL, "step %u: there is no operator with code %u",
				  index, op.op);
	snprintf(s->name, sizeof(s->name), "%s %u", info->name, index);
	if (op.resv)
		return graph_fail(v->g, -EINVAL, "%s: a reserved field is not zero", s->name);
	s->op = op.op;
	s->klass = info->klass;
	s->attr = op.attr;
	rc = take_operands(v, s, &op);
	for (unsigned k = 0; !rc && k < s->nr_in; k++)
		rc = check_operand(v, s, k);
	for (unsigned k = 0; !rc && k < s->nr_out; k++)
		rc = check_result(v, s, k, index);
	return rc ? rc : check_semantics(v, s);
}

static int take_steps(struct verifier *v)
{
	struct program *p = v->g->p;

	p->steps = calloc(v->head.nr_ops + 1, sizeof(*p->steps));
	if (!p->steps)
		return graph_no_memory(v->g);
	p->nr_ops = v->head.nr_ops;
	for (uint32_t i = 0; i < v->head.nr_ops; i++) {
		int rc;

		p->nr_steps = i + 1; /* so that a failure frees its operands */
		rc = take_step(v, i);
		if (rc)
			return rc;
	}
	for (uint32_t i = 0; i < p->nr_outputs; i++)
		if (v->g->writer[p->outputs[i]] == OOO_NONE)
			return graph_fail(v->g, -EINVAL,
					  "program '%s': no operator writes output %u (tensor %u)",
					  p->name, i, p->outputs[i]);
	return 0;
}

int pass_verify(struct graph *g, const void *data, uint64_t bytes)
{
	struct verifier v = { .g = g, .data = data, .bytes = bytes };
	int rc = check_identity(&v);

	if (!rc)
		rc = check_header(&v);
	if (!rc)
		rc = take_tensors(&v);
	if (!rc)
		rc = take_steps(&v);
	if (rc)
		return rc;
	g->p->weight_bytes = v.weight_bytes;
	graph_count_uses(g);
	return 0;
}
