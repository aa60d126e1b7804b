/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled programs on a device, in this process: no agent, no flow, steps in the order of the list. */
#ifndef OOO_GPU_EXEC_H
#define OOO_GPU_EXEC_H

#include <stdint.h>

#include "agent/device/device.h"

#define EXEC_WHY 512

struct ooo_builder;

struct exec_device {
	const struct device_ops *ops;
	struct device *dev;
	uint64_t busy_ns; /* of all bundles since it was last set to 0: the device's own time */
	uint64_t nr_bundles;
};

/* A program with buffers for nr requests. */
struct exec {
	struct exec_device *d;
	struct program *p;
	void *data; /* the encoding, if it is in memory */
	struct device_program *dp;
	unsigned nr;
	char *memory; /* inputs and outputs of all requests */
	size_t bytes, each;
	size_t off[OOO_MAX_IO];
	struct device_binding **bindings;
};

struct exec_request {
	struct exec *e;
	unsigned slot;
	uint16_t status; /* filled: the worst of its steps */
	uint16_t scope;
};

int exec_open(struct exec_device *d, const struct device_config *config, char why[EXEC_WHY]);
void exec_close(struct exec_device *d);

/* From an encoding that this frees, or from a builder that stays the caller's. */
int exec_load(struct exec_device *d, void *data, uint64_t bytes, uint8_t precision, unsigned nr,
	      struct exec **out, char why[EXEC_WHY]);
int exec_load_builder(struct exec_device *d, const struct ooo_builder *b, uint8_t precision,
		      unsigned nr, struct exec **out, char why[EXEC_WHY]);
/* A program made by hand, which stays the caller's. */
int exec_load_program(struct exec_device *d, struct program *p, unsigned nr, struct exec **out,
		      char why[EXEC_WHY]);
void exec_free(struct exec *e);

/* io: inputs, then outputs. */
void *exec_io(const struct exec *e, unsigned slot, unsigned io);
size_t exec_io_bytes(const struct exec *e, unsigned io);
/* Inputs from the seed: floats -1 .. 1, integers 0 or 1; outputs full of NaN. */
void exec_fill(const struct exec *e, unsigned slot, uint64_t seed);
void exec_poison_outputs(const struct exec *e, unsigned slot);

/*
 * Run n requests side by side: a bundle holds the same step of all (of those of one class, if the
 * programs differ). 0, or the error of a submit; what became of each request is in it.
 */
int exec_run(struct exec_device *d, struct exec_request *requests, unsigned n, uint16_t lane);

#endif
