/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Declaring a program. Shapes and attributes are checked as they come, by the same code that the
 * agent trusts, so that the mistake is reported where it is made.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/client/internal.h"

#define MAX_OPERANDS 255 /* of one operator, either way: the most that ops.def allows */

__attribute__((format(printf, 3, 4))) static int fail(struct ooo_builder *b, int rc,
						      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(b->error, sizeof(b->error), format, args);
	va_end(args);
	return rc;
}

/*
 * id names no tensor. Often it is what a call before this one returned when it failed: then its
 * reason is the one that helps, and it is kept.
 */
static int no_tensor(struct ooo_builder *b, const char *what, uint32_t id)
{
	char before[CLIENT_ERROR_BYTES / 2];

	if ((int32_t)id >= 0)
		return fail(b, -EINVAL, "%s: there is no tensor %u (of %u)", what, id,
			    b->nr_tensors);
	snprintf(before, sizeof(before), "%.*s", (int)sizeof(before) - 1,
		 b->error[0] ? b->error : strerror(-(int32_t)id));
	return fail(b, -EINVAL, "%s: no tensor, for its call failed: %s", what, before);
}

static int no_memory(struct ooo_builder *b)
{
	return fail(b, -ENOMEM, "program '%s': out of memory", b->name);
}

struct ooo_builder *ooo_builder_new(const char *name)
{
	struct ooo_builder *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->store = client_store_new();
	if (!b->store) {
		free(b);
		return NULL;
	}
	snprintf(b->name, sizeof(b->name), "%s", name ? name : "");
	for (char *c = b->name; *c; c++)
		if (*c < ' ' || *c > '~') {
			b->invalid_name = true; /* refused at load: nothing can be said here */
			*c = '?';
		}
	return b;
}

void ooo_builder_free(struct ooo_builder *b)
{
	if (!b)
		return;
	client_store_free(b->store);
	free(b->tensors);
	free(b->ops);
	free(b->operands);
	free(b);
}

const char *ooo_builder_error(const struct ooo_builder *b)
{
	return b->error;
}

/* Room for n more records in an array: 0 or -ENOMEM. The array may move. */
static int reserve(void *array, uint32_t nr, uint32_t *max, uint32_t n, size_t each)
{
	uint32_t want = *max ? *max : 64;
	void *old, *grown;

	if (n <= *max - nr)
		return 0;
	while (want - nr < n)
		want *= 2;
	memcpy(&old, array, sizeof(old));
	grown = realloc(old, want * each);
	if (!grown)
		return -ENOMEM;
	memcpy(array, &grown, sizeof(grown));
	*max = want;
	return 0;
}

static int reserve_tensors(struct ooo_builder *b, uint32_t n)
{
	if (n > OOO_PROG_MAX_TENSORS - b->nr_tensors)
		return fail(b, -EINVAL, "program '%s': more than %u tensors", b->name,
			    OOO_PROG_MAX_TENSORS);
	if (reserve(&b->tensors, b->nr_tensors, &b->max_tensors, n, sizeof(*b->tensors)))
		return no_memory(b);
	return 0;
}

/* Room was reserved. */
static uint32_t add_tensor(struct ooo_builder *b, const struct shape *shape, uint32_t role)
{
	b->tensors[b->nr_tensors] = (struct tensor_decl){ .shape = *shape, .role = role };
	b->store->stale = true;
	return b->nr_tensors++;
}

static int read_shape(struct ooo_builder *b, const char *what, enum ooo_dtype dtype, int rank,
		      const int64_t *dims, struct shape *shape, uint64_t *bytes)
{
	memset(shape, 0, sizeof(*shape));
	if (!dtype_bytes(dtype))
		return fail(b, -EINVAL, "%s: there is no element type %u", what, (unsigned)dtype);
	if (rank < 0 || rank > OOO_MAX_RANK)
		return fail(b, -EINVAL, "%s: rank %d is not within 0..%d", what, rank,
			    OOO_MAX_RANK);
	shape->dtype = dtype;
	shape->rank = rank;
	for (int i = 0; i < rank; i++) {
		if (dims[i] < 0)
			return fail(b, -EINVAL,
				    "%s: dims[%d] is %" PRId64 ": every size must be known", what,
				    i, dims[i]);
		shape->dims[i] = dims[i];
	}
	if (shape_bytes(shape, bytes) || *bytes > OOO_MAX_TENSOR_BYTES)
		return fail(b, -EINVAL, "%s: it is larger than %llu GiB", what,
			    (unsigned long long)(OOO_MAX_TENSOR_BYTES >> 30));
	return 0;
}

static int check_io(struct ooo_builder *b)
{
	if (b->nr_inputs + b->nr_outputs < OOO_MAX_IO)
		return 0;
	return fail(b, -EINVAL, "program '%s': more than %d inputs and outputs together", b->name,
		    OOO_MAX_IO);
}

int ooo_input(struct ooo_builder *b, enum ooo_dtype dtype, int rank, const int64_t *dims)
{
	struct shape shape;
	uint64_t bytes;
	char what[32];
	uint32_t id;
	int rc;

	snprintf(what, sizeof(what), "input %u", b->nr_inputs);
	rc = read_shape(b, what, dtype, rank, dims, &shape, &bytes);
	if (!rc)
		rc = check_io(b);
	if (!rc)
		rc = reserve_tensors(b, 1);
	if (rc)
		return rc;
	id = add_tensor(b, &shape, OOO_ROLE_INPUT);
	b->tensors[id].io = b->nr_inputs++;
	return (int)id;
}

int ooo_const(struct ooo_builder *b, enum ooo_dtype dtype, int rank, const int64_t *dims,
	      const void *data, size_t nbytes)
{
	uint64_t bytes = 0, off = 0;
	struct shape shape;
	char what[32];
	uint32_t id;
	int rc;

	snprintf(what, sizeof(what), "constant (tensor %u)", b->nr_tensors);
	rc = read_shape(b, what, dtype, rank, dims, &shape, &bytes);
	if (rc)
		return rc;
	if (bytes != nbytes)
		return fail(b, -EINVAL, "%s: its shape takes %" PRIu64 " bytes, not %zu", what,
			    bytes, nbytes);
	if (bytes && !data)
		return fail(b, -EINVAL, "%s: its data is NULL", what);
	rc = reserve_tensors(b, 1);
	if (rc)
		return rc;
	rc = client_store_add(b->store, b->name, data, bytes, &off);
	if (rc)
		return fail(b, rc, "%s: cannot store %" PRIu64 " bytes: %s", what, bytes,
			    strerror(-rc));
	id = add_tensor(b, &shape, OOO_ROLE_CONST);
	b->tensors[id].data_off = off;
	b->tensors[id].data_bytes = bytes;
	return (int)id;
}

static int check_counts(struct ooo_builder *b, const char *what, const struct op_info *info,
			int nr_in, int nr_out)
{
	if (nr_in < info->min_in || nr_in > info->max_in)
		return fail(b, -EINVAL, "%s: %d operands, it takes %d to %d", what, nr_in,
			    info->min_in, info->max_in);
	if (nr_out < info->min_out || nr_out > info->max_out)
		return fail(b, -EINVAL, "%s: %d outputs, it has %d to %d", what, nr_out,
			    info->min_out, info->max_out);
	if (b->nr_ops >= OOO_PROG_MAX_OPS)
		return fail(b, -EINVAL, "%s: more than %u operators", what, OOO_PROG_MAX_OPS);
	return 0;
}

static int find_operands(struct ooo_builder *b, const char *what, const uint32_t *in, int nr_in,
			 const struct shape **shapes)
{
	for (int i = 0; i < nr_in; i++) {
		char operand[96];

		shapes[i] = NULL;
		if (in[i] == OOO_NONE)
			continue;
		if (in[i] >= b->nr_tensors) {
			snprintf(operand, sizeof(operand), "%s: operand %d", what, i);
			return no_tensor(b, operand, in[i]);
		}
		shapes[i] = &b->tensors[in[i]].shape;
	}
	return 0;
}

static int infer(struct ooo_builder *b, const char *what, enum ooo_op op,
		 const struct ooo_attr *attr, const uint32_t *in, int nr_in, struct shape *out,
		 int nr_out)
{
	const struct shape *shapes[MAX_OPERANDS];
	char why[CLIENT_ERROR_BYTES / 2] = "";
	int rc = find_operands(b, what, in, nr_in, shapes);

	if (rc)
		return rc;
	rc = op_infer(op, attr, shapes, nr_in, out, nr_out, why, sizeof(why));
	return rc ? fail(b, rc, "%s: %s", what, why) : 0;
}

static int reserve_op(struct ooo_builder *b, int nr_in, int nr_out)
{
	int rc = reserve_tensors(b, (uint32_t)nr_out);

	if (rc)
		return rc;
	if (reserve(&b->ops, b->nr_ops, &b->max_ops, 1, sizeof(*b->ops)) ||
	    reserve(&b->operands, b->nr_operands, &b->max_operands, (uint32_t)(nr_in + nr_out),
		    sizeof(*b->operands)))
		return no_memory(b);
	return 0;
}

int ooo_op(struct ooo_builder *b, enum ooo_op op, const struct ooo_attr *attr, const uint32_t *in,
	   int nr_in, uint32_t *out, int nr_out)
{
	const struct op_info *info = op_info(op);
	struct shape shapes[MAX_OPERANDS];
	struct ooo_attr neutral;
	struct ooo_prog_op *to;
	char what[64];
	int rc;

	if (!info)
		return fail(b, -EINVAL, "operator %u: there is none with code %u", b->nr_ops,
			    (unsigned)op);
	snprintf(what, sizeof(what), "%s (operator %u)", info->name, b->nr_ops);
	if (!attr) {
		attr_init(&neutral, op);
		attr = &neutral;
	}
	rc = check_counts(b, what, info, nr_in, nr_out);
	if (!rc)
		rc = infer(b, what, op, attr, in, nr_in, shapes, nr_out);
	if (!rc)
		rc = reserve_op(b, nr_in, nr_out);
	if (rc)
		return rc;
	to = &b->ops[b->nr_ops++];
	*to = (struct ooo_prog_op){ .op = op,
				    .operands = b->nr_operands,
				    .nr_in = (uint16_t)nr_in,
				    .nr_out = (uint16_t)nr_out,
				    .attr = *attr };
	for (int i = 0; i < nr_in; i++)
		b->operands[b->nr_operands++] = in[i];
	for (int i = 0; i < nr_out; i++) {
		out[i] = add_tensor(b, &shapes[i], OOO_ROLE_TEMP);
		b->operands[b->nr_operands++] = out[i];
	}
	return 0;
}

int ooo_op1(struct ooo_builder *b, enum ooo_op op, const struct ooo_attr *attr, uint32_t x)
{
	uint32_t out = OOO_NONE;
	int rc = ooo_op(b, op, attr, &x, 1, &out, 1);

	return rc ? rc : (int)out;
}

int ooo_op2(struct ooo_builder *b, enum ooo_op op, const struct ooo_attr *attr, uint32_t x,
	    uint32_t y)
{
	const uint32_t in[] = { x, y };
	uint32_t out = OOO_NONE;
	int rc = ooo_op(b, op, attr, in, 2, &out, 1);

	return rc ? rc : (int)out;
}

int ooo_output(struct ooo_builder *b, uint32_t id)
{
	int rc = check_io(b);
	char what[32];

	if (rc)
		return rc;
	snprintf(what, sizeof(what), "output %u", b->nr_outputs);
	if (id >= b->nr_tensors)
		return no_tensor(b, what, id);
	if (b->tensors[id].role != OOO_ROLE_TEMP) {
		rc = ooo_op1(b, OOO_OP_IDENTITY, NULL, id);
		if (rc < 0)
			return rc;
		id = (uint32_t)rc;
	}
	b->tensors[id].role = OOO_ROLE_OUTPUT;
	b->tensors[id].io = b->nr_outputs++;
	b->store->stale = true;
	return 0;
}

int ooo_tensor(const struct ooo_builder *b, uint32_t id, enum ooo_dtype *dtype, int *rank,
	       int64_t *dims)
{
	const struct shape *shape;

	if (id >= b->nr_tensors)
		return -EINVAL;
	shape = &b->tensors[id].shape;
	*dtype = (enum ooo_dtype)shape->dtype;
	*rank = shape->rank;
	memcpy(dims, shape->dims, sizeof(shape->dims));
	return 0;
}

uint64_t ooo_builder_arena_bytes(const struct ooo_builder *b, uint32_t n)
{
	uint64_t one = 0, bytes, all;

	for (uint32_t i = 0; i < b->nr_tensors; i++) {
		const struct tensor_decl *t = &b->tensors[i];

		if ((t->role == OOO_ROLE_INPUT || t->role == OOO_ROLE_OUTPUT) &&
		    !shape_bytes(&t->shape, &bytes))
			one += (bytes + OOO_BUFFER_ALIGN - 1) / OOO_BUFFER_ALIGN * OOO_BUFFER_ALIGN;
	}
	if (!one) /* a binding of nothing takes a line all the same */
		one = OOO_BUFFER_ALIGN;
	return __builtin_mul_overflow(one, n, &all) ? UINT64_MAX : all;
}
