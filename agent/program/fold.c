/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps whose operands are all constant run now, once, on the cpu. Bounded in what they may cost
 * the agent: the tenant pays for neither this time nor, before the program is loaded, this memory.
 */
#include <errno.h>

#include "agent/program/passes.h"

#define SMALL_RESULT   (64u << 10) /* bytes; always worth it */
#define MAX_GROWTH     4           /* times the operands' bytes */
#define MAX_FOLD_FLOPS 20000000000 /* of one program: some seconds of one core */

static bool is_foldable(const struct graph *g, const struct step *s)
{
	uint64_t in = 0, out = 0;

	for (unsigned k = 0; k < s->nr_in; k++) {
		if (s->in[k] == OOO_NONE)
			continue;
		if (!tensor_is_const(g->p, s->in[k]))
			return false;
		in += g->p->tensors[s->in[k]].bytes;
	}
	for (unsigned k = 0; k < s->nr_out; k++) {
		if (g->p->tensors[s->out[k]].place != PLACE_WORKSPACE)
			return false;
		out += g->p->tensors[s->out[k]].bytes;
	}
	return (out <= SMALL_RESULT || out <= MAX_GROWTH * in) && graph_may_make(g, out);
}

/* 0: the outputs are constants. Else the step stays as it was; -ENOMEM is the only error. */
static int run_now(struct graph *g, const struct step *s, bool *done)
{
	const void *in[256];
	void *out[32];
	int rc;

	*done = false;
	for (unsigned k = 0; k < s->nr_in; k++)
		in[k] = s->in[k] == OOO_NONE ? NULL : g->p->tensors[s->in[k]].data;
	for (unsigned k = 0; k < s->nr_out; k++)
		if (graph_make_const(g, s->out[k], &out[k]))
			return -ENOMEM;
	rc = g->opts->eval(s, g->p->tensors, in, out);
	for (unsigned k = 0; rc && k < s->nr_out; k++) {
		/* Let it fail at run time, where the tenant sees it. The memory goes with the pass. */
		g->p->tensors[s->out[k]].place = PLACE_WORKSPACE;
		g->p->tensors[s->out[k]].data = NULL;
		g->writer[s->out[k]] = (uint32_t)(s - g->p->steps);
	}
	*done = !rc;
	return 0;
}

int pass_fold(struct graph *g)
{
	struct program *p = g->p;
	uint64_t flops = 0;

	if (!g->opts->eval)
		return 0;
	for (uint32_t i = 0; i < p->nr_steps; i++) {
		struct step *s = &p->steps[i];
		bool done;

		if (!is_foldable(g, s))
			continue;
		step_cost(p, s, NULL);
		/* Bytes count as well: moving them takes time, too. */
		if (s->flops > MAX_FOLD_FLOPS - flops ||
		    s->traffic_bytes > MAX_FOLD_FLOPS - flops - s->flops)
			continue;
		flops += s->flops + s->traffic_bytes;
		if (run_now(g, s, &done))
			return graph_no_memory(g);
		if (done)
			step_kill(s);
	}
	graph_sweep(g);
	graph_free_consts(g);
	return 0;
}
