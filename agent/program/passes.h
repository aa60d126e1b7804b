/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the compiler's passes share; program.h says what each pass is for and in which order they
 * run. A pass changes the program in place and leaves it valid: steps in an order that can be
 * executed, each tensor written once. Passes other than verify see only what verify let through,
 * so they check for memory and not for sense.
 */
#ifndef OOO_AGENT_PROGRAM_PASSES_H
#define OOO_AGENT_PROGRAM_PASSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/program/program.h"

#define STEP_DEAD UINT32_MAX /* op of a step that graph_sweep() removes */

/* A program must not make the agent compute and keep far more than was sent: what the compiler
 * makes is at most so large, each and together (beside as much as there were weights). */
#define MAX_MADE_CONST  (64ull << 20)
#define MAX_MADE_CONSTS (256ull << 20)

/* A constant that the compiler made, aligned to TENSOR_ALIGN. */
struct const_block {
	struct const_block *next;
	void *data;
	size_t bytes;
};

struct graph {
	struct program *p;
	const struct compile_opts *opts;
	/* By tensor, cap_tensors long like p->tensors. A program output counts as one use. */
	uint32_t *writer;  /* step; OOO_NONE: input, constant or unused */
	uint32_t *user;    /* one of the steps that read it: the one if nr_uses is 1 */
	uint32_t *nr_uses; /* operands that name it */
	uint32_t cap_tensors;
	uint64_t made_bytes; /* of constants that the compiler made */
	char *why;
	size_t why_bytes;
};

/* ---- graph.c --------------------------------------------------------------------------------- */

/* The sentence into why; the value is err. */
#define graph_fail(g, err, ...) (graph_say(g, __VA_ARGS__), (err))
void graph_say(const struct graph *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int graph_no_memory(const struct graph *g);

int graph_init(struct graph *g, struct program *p, const struct compile_opts *opts, char *why,
	       size_t why_bytes);
void graph_done(struct graph *g); /* the program stays */

/* Room for n tensors in all arrays that are indexed by tensor. 0 or -ENOMEM. */
int graph_reserve(struct graph *g, uint32_t n);

/* Fill writer, user and nr_uses from the steps. */
void graph_count_uses(struct graph *g);

/* Remove dead steps, and steps whose results nobody reads; count uses anew. */
void graph_sweep(struct graph *g);

/* A new intermediate. OOO_NONE: no memory. May move p->tensors. */
uint32_t graph_new_tensor(struct graph *g, const struct shape *shape, enum layout layout);

/* A new constant, to be filled through *data. OOO_NONE: no memory. May move p->tensors. */
uint32_t graph_new_const(struct graph *g, const struct shape *shape, void **data);
/* Tensor id becomes a constant, to be filled through *data. 0 or -ENOMEM. */
int graph_make_const(struct graph *g, uint32_t id, void **data);
/* One more constant of that size is within reason, and within the tenant's quota of weights. */
bool graph_may_make(const struct graph *g, uint64_t bytes);

/* Release constants that no step reads any more. */
void graph_free_consts(struct graph *g);

/* The step's operands become a copy of in[] and out[]. 0 or -ENOMEM (unchanged). */
int step_set_operands(struct step *s, const uint32_t *in, unsigned nr_in, const uint32_t *out,
		      unsigned nr_out);
void step_free(struct step *s);
void step_kill(struct step *s); /* frees the operands and marks it dead */
/* The step's name with "+Relu" and the like behind it, as far as there is room. */
void step_name_add(struct step *s, const char *suffix);

uint64_t tensor_layout_bytes(const struct shape *shape, enum layout layout);
/* Both layouts order the elements of such a tensor alike: no data has to move. */
bool layout_same_memory(const struct shape *shape, enum layout a, enum layout b);

static inline bool tensor_is_const(const struct program *p, uint32_t id)
{
	return id != OOO_NONE && p->tensors[id].place == PLACE_CONST;
}

/* The value of a constant of one fp32 element. */
bool const_scalar(const struct program *p, uint32_t id, float *value);

/* Operand i of a step; OOO_NONE if it has none. */
static inline uint32_t step_in(const struct step *s, unsigned i)
{
	return i < s->nr_in ? s->in[i] : OOO_NONE;
}

/* ---- passes ---------------------------------------------------------------------------------- */

/* data is stable, aligned to TENSOR_ALIGN and outlives the program. Fills g->p. */
int pass_verify(struct graph *g, const void *data, uint64_t bytes);
int pass_simplify(struct graph *g); /* simplify.c: what computes nothing goes away */
int pass_fold(struct graph *g);     /* fold.c: steps on constants run now */
int pass_match(struct graph *g);    /* match.c: formulas become the operator they stand for */
int pass_absorb(struct graph *g);   /* absorb.c: affine steps go into weights and bias before */
int pass_attend(struct graph *g);   /* attend.c: attention becomes one step */
int pass_fuse(struct graph *g);
int pass_layout(struct graph *g);
int pass_precision(struct graph *g); /* precision.c: intermediates in a lower precision */
int pass_alias(struct graph *g);     /* alias.c: copies that need not be made */
int pass_plan(struct graph *g);
int pass_deps(struct graph *g);
int pass_cost(struct graph *g);

/* cost.c: flops, traffic_bytes and cost_ns of one step. */
void step_cost(const struct program *p, struct step *s, const struct device_caps *caps);

#endif
