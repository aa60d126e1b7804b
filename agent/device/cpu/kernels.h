/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain kernels: what oneDNN does not have, and the fallback for all that it refuses. One function
 * runs one chunk of one step; chunks are independent of each other and together write every element
 * of every output exactly once. The number of chunks follows from the step's own shape, so results
 * never depend on neighbours or on the number of threads.
 *
 * Inputs may lie in memory that a tenant changes at any moment: a value read from a tensor is used as
 * an index only after it was loaded once and checked.
 */
#ifndef OOO_AGENT_CPU_KERNELS_H
#define OOO_AGENT_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/program/program.h"
#include "shared/abi/status.h"

struct kernel_args {
	const struct step *step;
	const struct tensor *tensors; /* by tensor id: shapes and layouts; data is not read */
	void *const *in;              /* step->nr_in addresses; NULL for an absent operand */
	void *const *out;  /* step->nr_out addresses; NULL for an output that nobody reads */
	void *const *post; /* step->nr_post addresses of the post-operations' operands, or NULL */
	void *scratch;     /* kernel_scratch_bytes(), 64-byte aligned, of this worker alone */
};

/* Whether a plain kernel exists for the step with its dtypes, layouts and post-operations; if not,
 * a sentence in why. */
bool kernel_supports(const struct step *step, const struct tensor *tensors, char *why,
		     size_t why_bytes);
unsigned kernel_chunks(const struct step *step, const struct tensor *tensors); /* >= 1 */
size_t kernel_scratch_bytes(const struct step *step, const struct tensor *tensors);

/* Run chunk 0 <= chunk < nr. OOO_OK or OOO_BAD_INDEX. */
enum ooo_status kernel_run(const struct kernel_args *args, unsigned chunk, unsigned nr);

#endif
