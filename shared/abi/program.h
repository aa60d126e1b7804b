/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program as it travels from a tenant to the agent: one flat, sealed memfd.
 *
 *   struct ooo_prog_header
 *   nr_tensors  x struct ooo_prog_tensor   at tensors_off
 *   nr_ops      x struct ooo_prog_op       at ops_off
 *   nr_operands x uint32_t tensor id       at operands_off
 *   constant data                          at data_off, each tensor's at a multiple of 64
 *
 * All offsets are bytes from the start, multiples of 8 (data_off: 64). Operators are listed in an
 * order in which every operand is an input, a constant, or an output of an earlier operator
 * (static single assignment: one writer each). Inputs and outputs are numbered by `io` in each
 * role, 0.. without gaps. An output of the program may also feed operators.
 */
#ifndef OOO_ABI_PROGRAM_H
#define OOO_ABI_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "handshake.h"
#include "op.h"

#define OOO_PROG_MAGIC       0x50304f4fu /* "OO0P" */
#define OOO_PROG_VERSION     1u
#define OOO_PROG_MAX_TENSORS 65536u
#define OOO_PROG_MAX_OPS     32768u
#define OOO_PROG_MAX_BYTES   (64ull << 30)

enum ooo_role {
	OOO_ROLE_TEMP = 0,
	OOO_ROLE_INPUT = 1,
	OOO_ROLE_OUTPUT = 2,
	OOO_ROLE_CONST = 3,
};

struct ooo_prog_header {
	uint32_t magic;
	uint32_t version;
	uint64_t bytes; /* of everything */
	uint32_t nr_tensors;
	uint32_t nr_ops;
	uint32_t nr_operands;
	uint32_t nr_inputs;
	uint32_t nr_outputs;
	uint32_t resv0;
	uint64_t tensors_off;
	uint64_t ops_off;
	uint64_t operands_off;
	uint64_t data_off;
	uint64_t data_bytes;
	char name[OOO_NAME_BYTES];
	uint64_t resv[4];
};

struct ooo_prog_tensor {
	uint32_t dtype;             /* enum ooo_dtype */
	uint32_t role;              /* enum ooo_role */
	uint32_t rank;              /* 0 = scalar */
	uint32_t io;                /* number among the inputs or the outputs; else 0 */
	int64_t dims[OOO_MAX_RANK]; /* beyond rank: 0 */
	uint64_t data_off;          /* constants: from the header's data_off; else 0 */
	uint64_t data_bytes;        /* constants: elements x element size; else 0 */
	uint64_t resv[2];
};

struct ooo_prog_op {
	uint32_t op;       /* enum ooo_op */
	uint32_t operands; /* first of nr_in + nr_out ids in the operand table: inputs, then outputs */
	uint16_t nr_in;
	uint16_t nr_out;
	uint32_t resv;
	struct ooo_attr attr;
};

#ifndef __cplusplus
_Static_assert(sizeof(struct ooo_prog_header) == 144, "ABI");
_Static_assert(sizeof(struct ooo_prog_tensor) == 112, "ABI");
_Static_assert(sizeof(struct ooo_prog_op) == 16 + sizeof(struct ooo_attr), "ABI");
#endif

#endif
