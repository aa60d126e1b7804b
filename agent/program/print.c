/* SPDX-License-Identifier: Apache-2.0 */
/* A compiled program as a listing for people. */
#include <inttypes.h>
#include <stdio.h>

#include "agent/program/passes.h"

static const char *layout_name(unsigned layout)
{
	return layout == LAYOUT_PLAIN ? "" : layout == LAYOUT_NHWC ? " nhwc" : " block16";
}

static void print_tensor(const struct program *p, uint32_t id, FILE *f)
{
	const struct tensor *t, *o;

	if (id == OOO_NONE) {
		fputs(" -", f);
		return;
	}
	t = &p->tensors[id];
	o = tensor_origin(p, id);
	fprintf(f, " t%u:%s%s", id, shape_text(&t->shape).s, layout_name(t->layout));
	switch (o->place) {
	case PLACE_WORKSPACE:
		fprintf(f, "@%zu", o->offset);
		break;
	case PLACE_INPUT:
		fprintf(f, "@input%u", o->io);
		break;
	case PLACE_OUTPUT:
		fprintf(f, "@output%u", o->io);
		break;
	case PLACE_CONST:
		fputs("@const", f);
		break;
	default:
		fputs("@none", f);
		break;
	}
}

static const char *step_op_name(uint32_t op)
{
	const struct op_info *info = op_info(op);

	if (op == OP_REORDER)
		return "Reorder";
	return op == OP_ATTENTION ? "Attention" : info ? info->name : "?";
}

static void print_post(const struct program *p, const struct post *post, FILE *f)
{
	fprintf(f, "        then %s", step_op_name(post->op));
	if (post->operand != OOO_NONE)
		print_tensor(p, post->operand, f);
	else
		fprintf(f, " alpha %g beta %g mode %d", (double)post->alpha, (double)post->beta,
			post->mode);
	fputc('\n', f);
}

static void print_step(const struct program *p, uint32_t i, FILE *f)
{
	const struct step *s = &p->steps[i];

	fprintf(f, "%5u %-24s %-9s", i, s->name, kernel_class_name(s->klass));
	for (unsigned k = 0; k < s->nr_out; k++)
		print_tensor(p, s->out[k], f);
	fputs(" <-", f);
	for (unsigned k = 0; k < s->nr_in; k++)
		print_tensor(p, s->in[k], f);
	fputc('\n', f);
	for (unsigned k = 0; k < s->nr_post; k++)
		print_post(p, &s->post[k], f);
	fprintf(f, "        %" PRIu64 " flops, %" PRIu64 " bytes, %u ns; after %u, before",
		s->flops, s->traffic_bytes, s->cost_ns, s->nr_deps);
	for (uint32_t k = 0; k < s->nr_succ; k++)
		fprintf(f, " %u", s->succ[k]);
	fputc('\n', f);
}

void program_print(const struct program *p, void *file)
{
	FILE *f = file;

	fprintf(f, "program '%s': %u operators in %u steps, %u inputs, %u outputs\n", p->name,
		p->nr_ops, p->nr_steps, p->nr_inputs, p->nr_outputs);
	fprintf(f, "workspace %zu bytes for %zu of intermediates, weights %zu bytes\n",
		p->workspace_bytes, p->tensor_bytes, p->weight_bytes);
	for (uint32_t i = 0; i < p->nr_steps; i++)
		print_step(p, i, f);
}
