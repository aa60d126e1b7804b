/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the importer share. The graph is walked once, in order; each node's operator is
 * looked up in a table (ops.c) and its function adds operators to the builder.
 *
 *   import.c  the walk, inputs and outputs     scope.c  names to values
 *   ops.c     the table of operators           attr.c   attributes and constant operands of a node
 *   emit.c    operators into the builder       fold.c   ... or their result, if all is constant
 *   ops_*.c   the operators by family
 *
 * Every value has a known shape: all dynamic dimensions got their sizes before the walk. Errors
 * stick: after the first one of a node, n->rc is set, every helper does nothing, and the sentence
 * of the first error stays. So the operators' functions read straight on and return n->rc at last.
 */
#ifndef OOO_ONNX_IMPORT_H
#define OOO_ONNX_IMPORT_H

#include <stdbool.h>

#include "onnx/onnx.pb-c.h"
#include "shared/lib/infer.h"
#include "shared/onnx/model.h"
#include "shared/onnx/ooo-onnx.h"

/* One tensor: a constant held in host memory, or computed when the program runs. */
struct value {
	struct shape shape;
	bool constant;
	const void *data; /* of a constant: row-major, lives as long as the import */
	uint32_t id;      /* in the builder; OOO_NONE: a constant that is not there (yet) */
	bool is_output;   /* the builder's tensor is an output of the program already */
};

struct scope;

struct importer {
	const struct ooo_onnx_model *model;
	const struct ooo_onnx_opts *opts;
	struct ooo_builder *builder;
	struct scope *scope;
	struct chunk *chunks; /* memory that is freed after the import */
	uint64_t bytes_left;  /* that generated constants may still take */
	uint64_t work_left;   /* elements that may still be looked at in the host */
	int depth;            /* of nested graphs */
};

/* Zeroed memory until the end of the import; NULL with the error set: beyond the limit. */
void *import_alloc(struct importer *im, uint64_t bytes);
/* Free p with free() at the end of the import. -ENOMEM: p is freed at once. */
int import_own(struct importer *im, void *p);
void import_free(struct importer *im);

/* A node at work. Trailing operands that are absent and outputs that nobody uses are not counted. */
struct node {
	struct importer *im;
	const Onnx__NodeProto *pb;
	size_t index;
	int opset;
	int nr_in, nr_out;
	struct value **in;  /* NULL: absent */
	struct value **out; /* to be set */
	bool *seen;         /* attributes looked at */
	int rc;
};

/* Refuse the node: "node 3 'x' (Conv): ...". Sets and returns n->rc; the first refusal stays. */
int refuse(struct node *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Account for work on this many elements; refuses the node once there has been too much. A small
 * file can ask for hours of it: a large constant, used by many nodes.
 */
int account(struct node *n, int64_t elems);

/* ---- import.c -------------------------------------------------------------------------------- */

/* Import a nested graph in a scope of its own; its outputs become those of n. */
int import_subgraph(struct node *n, const Onnx__GraphProto *graph);

/* ---- scope.c --------------------------------------------------------------------------------- */

int scope_push(struct importer *im);
void scope_pop(struct importer *im);
/* 0, -EEXIST or -ENOMEM. name must live as long as the scope. */
int scope_bind(struct importer *im, const char *name, struct value *value);
/* From the innermost scope outwards; NULL: unknown. */
struct value *scope_find(const struct importer *im, const char *name);

/* ---- ops.c ----------------------------------------------------------------------------------- */

/* Translate one node: checks that hold for all operators, then the operator's function. */
int import_node(struct node *n);

/* ---- attr.c: attributes; absent: the default ------------------------------------------------- */

bool attr_has(const struct node *n, const char *name);
int64_t attr_int(struct node *n, const char *name, int64_t otherwise);
/* The same within limits, as int. */
int attr_range(struct node *n, const char *name, int otherwise, int low, int high);
bool attr_flag(struct node *n, const char *name, bool otherwise);
float attr_float(struct node *n, const char *name, float otherwise);
/* NUL-terminated, lives as long as the import. */
const char *attr_string(struct node *n, const char *name, const char *otherwise);
/* Index of the string in names[]; refuses others. */
int attr_enum(struct node *n, const char *name, const char *otherwise, const char *const *names,
	      int nr_names);
/* Number of elements written to v[max]; -1: the attribute is absent. */
int attr_ints(struct node *n, const char *name, int64_t *v, int max);
const Onnx__AttributeProto *attr_find(struct node *n, const char *name,
				      Onnx__AttributeProto__AttributeType type);
/* Look away from attributes that cannot matter here (say why at the call). */
void attr_ignore(struct node *n, const char *name);
/* An axis or list of axes as a non-negative number; refuses what is outside rank. */
int attr_axis(struct node *n, const char *name, int64_t otherwise, int rank);
int normal_axis(struct node *n, int64_t axis, int rank);
/* Refuse attributes that nobody looked at. */
int attrs_done(struct node *n);

/* ---- attr.c: operands ------------------------------------------------------------------------ */

/* Operand i, or NULL if absent. */
struct value *operand(const struct node *n, int i);
/* Integers of a constant operand (rank 0 or 1) into v[max]; the count, or -1: absent. `what` names
 * the operand in the refusal of one that is not constant. */
int operand_ints(struct node *n, int i, const char *what, int64_t *v, int max);
/* A constant operand of one element, as a number. */
double operand_number(struct node *n, int i, const char *what, double otherwise);
/* The bits of a constant's element as an integer or a number; the type must fit. */
int64_t value_int(const struct value *v, int64_t i);
double value_number(const struct value *v, int64_t i);
int64_t value_elems(const struct value *v);
bool is_int(const struct value *v);   /* int64, int32, int8, uint8 */
bool is_float(const struct value *v); /* fp32, fp64 */

/* ---- emit.c ---------------------------------------------------------------------------------- */

/* A constant of this shape, its data to be filled in; *data may be NULL if it is empty. */
struct value *new_constant(struct node *n, const struct shape *shape, void **data);
struct value *scalar(struct node *n, uint32_t dtype, double number);
struct value *int_vector(struct node *n, const int64_t *v, int count);
/* The id in the builder; puts a constant there if need be. OOO_NONE: error. */
uint32_t value_id(struct node *n, struct value *v);

/*
 * Add an operator (attr NULL: its neutral ones), or fold it. in[] may hold NULL for an absent
 * operand. The results go to out[nr_out]. Returns n->rc; emit1, emit2: the result or NULL.
 */
int emit(struct node *n, enum ooo_op op, const struct ooo_attr *attr, struct value *const *in,
	 int nr_in, struct value **out, int nr_out);
struct value *emit1(struct node *n, enum ooo_op op, const struct ooo_attr *attr, struct value *x);
struct value *emit2(struct node *n, enum ooo_op op, struct value *x, struct value *y);

/* Often needed. NULL after an error. */
struct value *reshape(struct node *n, struct value *v, int rank, const int64_t *dims);
struct value *cast(struct node *n, struct value *v, uint32_t dtype);
struct value *expand(struct node *n, struct value *v, const struct shape *to);
struct value *slice_axis(struct node *n, struct value *v, int axis, int64_t start, int64_t length);

/* Set output i of the node; NULL is an error that was reported before. */
void set_out(struct node *n, int i, struct value *v);
/* The whole of a simple operator: operands as they are, one output, no attributes left. */
int emit_node(struct node *n, enum ooo_op op, const struct ooo_attr *attr);

/* ---- fold.c ---------------------------------------------------------------------------------- */

/*
 * Compute an operator on constants, in the host. 1: done, out[] are constants; 0: not computed here
 * (the operator or type is not among the simple ones, or the result is large); < 0: n->rc.
 */
int fold(struct node *n, enum ooo_op op, const struct ooo_attr *attr, struct value *const *in,
	 int nr_in, struct value **out, int nr_out);

#endif
