/* SPDX-License-Identifier: Apache-2.0 */
/* Recurrent layers with the default activations. */
#include <inttypes.h>
#include <string.h>

#include "shared/onnx/ops.h"

/* The activations may be spelt out, but must be the default ones: `defaults` for each direction. */
static void check_activations(struct node *n, const char *const *defaults, size_t count, int dirs)
{
	const Onnx__AttributeProto *a =
		attr_find(n, "activations", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS);

	if (attr_has(n, "activation_alpha") || attr_has(n, "activation_beta"))
		refuse(n, "activations with parameters are not supported");
	if (!a)
		return;
	if (a->n_strings != count * (size_t)dirs)
		refuse(n, "has %zu activations, not %zu", a->n_strings, count * (size_t)dirs);
	for (size_t i = 0; !n->rc && i < a->n_strings; i++) {
		const char *want = defaults[i % count];

		if (a->strings[i].len != strlen(want) ||
		    memcmp(a->strings[i].data, want, a->strings[i].len) != 0)
			refuse(n, "activation %zu is '%.*s', supported is the default %s", i,
			       (int)(a->strings[i].len < 20 ? a->strings[i].len : 20),
			       (const char *)a->strings[i].data, want);
	}
}

/* Lengths that are all the full one change nothing. */
static bool is_full_length(const struct value *lens, int64_t steps)
{
	if (!lens->constant || !is_int(lens))
		return false;
	for (int64_t i = 0; i < value_elems(lens); i++)
		if (value_int(lens, i) != steps)
			return false;
	return true;
}

static void read_rnn(struct node *n, struct ooo_attr *a, enum ooo_op op)
{
	static const char *const directions[] = { "forward", "reverse", "bidirectional" };
	static const char *const lstm[] = { "Sigmoid", "Tanh", "Tanh" };
	static const char *const gru[] = { "Sigmoid", "Tanh" };
	const struct shape *r = &n->in[2]->shape;
	int64_t hidden = r->rank == 3 ? r->dims[2] : 0;

	ooo_attr_init(a, op);
	a->mode = attr_enum(n, "direction", "forward", directions, 3);
	if (hidden < 1 || hidden > INT32_MAX || attr_int(n, "hidden_size", hidden) != hidden)
		refuse(n, "hidden_size does not agree with R");
	a->hidden = (int32_t)hidden;
	if (attr_has(n, "clip")) {
		a->alpha = attr_float(n, "clip", 0);
		if (!(a->alpha > 0))
			refuse(n, "a clip of %g is not supported", (double)a->alpha);
	}
	if (n->opset >= 14 && attr_flag(n, "layout", false))
		refuse(n, "layout 1 is not supported");
	if (op == OOO_OP_LSTM)
		check_activations(n, lstm, 3, a->mode == 2 ? 2 : 1);
	else
		check_activations(n, gru, 2, a->mode == 2 ? 2 : 1);
}

static int emit_rnn(struct node *n, enum ooo_op op, const struct ooo_attr *a)
{
	struct value *lens = operand(n, 4);

	if (attrs_done(n))
		return n->rc;
	if (lens && n->in[0]->shape.rank == 3 && is_full_length(lens, n->in[0]->shape.dims[0])) {
		n->in[4] = NULL;
		while (n->nr_in && !n->in[n->nr_in - 1])
			n->nr_in--;
	}
	return emit(n, op, a, n->in, n->nr_in, n->out, n->nr_out);
}

IMPORT(lstm)
{
	struct ooo_attr a;

	read_rnn(n, &a, op);
	if (attr_flag(n, "input_forget", false))
		a.flags |= OOO_ATTR_INPUT_FORGET;
	return emit_rnn(n, op, &a);
}

IMPORT(gru)
{
	struct ooo_attr a;

	read_rnn(n, &a, op);
	if (attr_flag(n, "linear_before_reset", false))
		a.flags |= OOO_ATTR_LINEAR_BEFORE_RESET;
	return emit_rnn(n, op, &a);
}
