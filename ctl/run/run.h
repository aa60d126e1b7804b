/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ooo-run: run or load-test a model as one or many tenants of the agent.
 *
 * The parent parses options, forks one process per tenant, shows progress and reports; the children
 * connect, load, and submit. They share one anonymous mapping (struct run_shared): each child writes
 * its own struct tenant_result, the parent reads.
 */
#ifndef OOO_RUN_H
#define OOO_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/run/histogram.h"
#include "shared/client/ooo.h"
#include "shared/onnx/ooo-onnx.h"

#define RUN_MAX_TENANTS 1024
#define RUN_MAX_FILES   64
#define RUN_TEXT_BYTES  512

struct run_options {
	const char *model; /* ONNX file; NULL: zoo */
	const char *zoo;
	const char *inputs[RUN_MAX_FILES]; /* [NAME=]FILE, or "random" */
	int nr_inputs;
	const char *dims[RUN_MAX_FILES]; /* NAME=SIZE of dynamic dimensions */
	int nr_dims;
	const char *shapes[RUN_MAX_FILES]; /* NAME=AxBxC */
	int nr_shapes;
	int64_t batch;
	const char *output;
	const char *compare[RUN_MAX_FILES]; /* one per output */
	int nr_compare;
	double rtol, atol;
	enum ooo_dtype precision; /* permitted; 0: as declared */
	int tenants;
	uint64_t requests; /* per tenant; 0: by duration */
	double duration_s; /* 0: by requests */
	double rate;       /* per tenant and second; 0: closed loop */
	const char *arrivals;
	uint32_t inflight;
	uint32_t spin_us;
	uint64_t deadline_ns; /* after arrival; 0: none */
	uint64_t seed;
	int64_t int_max; /* random integer inputs are below this */
	bool check_solo;
	bool json;
	bool quiet;
	const char *socket;
	const char *name;
};

enum tenant_phase {
	PHASE_STARTING,
	PHASE_READY, /* loaded, bound, inputs in place */
	PHASE_RUNNING,
	PHASE_DONE,
	PHASE_FAILED, /* text says why */
};

/* Written by one child, read by the parent. */
struct tenant_result {
	uint32_t phase; /* enum tenant_phase, release/acquire */
	uint32_t solo_done;
	uint64_t started, completed; /* requests */
	uint64_t ok, late, refused, failed;
	uint64_t wrong;           /* outputs that --compare found outside the tolerance */
	uint64_t solo_mismatches; /* outputs whose bits differ from the solo run's */
	uint64_t start_ns, end_ns;
	uint64_t output_hash; /* of the last checked output */
	double max_abs_err, max_rel_err;
	double width_sum; /* over completed */
	uint64_t service_ns;
	uint32_t nr_steps, nr_ops;
	uint64_t weight_bytes, workspace_bytes, tensor_bytes;
	uint32_t first_failure; /* enum ooo_status */
	struct histogram latency;
	char text[RUN_TEXT_BYTES];
};

struct run_shared {
	uint32_t go;        /* 0: wait; else start, at start_ns */
	uint32_t solo_turn; /* the tenant that may run alone now */
	uint64_t start_ns;
	uint32_t stop; /* the parent was asked to end */
	char device[32];
	struct tenant_result tenants[];
};

/* options.c: 0, or an exit code (with a message on stderr), or -1: --help was served. */
int options_parse(int argc, char **argv, struct run_options *o);

/* model.c */
struct run_model {
	struct ooo_onnx_model *onnx; /* NULL: zoo */
};

int model_open(const struct run_options *o, struct run_model *m, char *why, size_t why_bytes);
void model_close(struct run_model *m);
/* The builder for tenant i. Zoo models get other weights for each tenant. */
int model_build(const struct run_options *o, const struct run_model *m, int tenant,
		struct ooo_builder **out, char *why, size_t why_bytes);

/* inputs.c: fill a binding's inputs: files as given, the rest at random from the seed. */
int inputs_fill(const struct run_options *o, const struct run_model *m,
		const struct ooo_program *program, const struct ooo_binding *binding, int tenant,
		char *why, size_t why_bytes);

/* outputs.c */
struct expected {
	struct ooo_onnx_tensor tensors[RUN_MAX_FILES];
	int nr;
};

int expected_load(const struct run_options *o, struct expected *e, char *why, size_t why_bytes);
void expected_free(struct expected *e);
/* True if all outputs agree; the largest errors go to r. Sets why if they do not. */
bool outputs_agree(const struct run_options *o, const struct expected *e,
		   const struct ooo_program *program, const struct ooo_binding *binding,
		   struct tenant_result *r, char *why, size_t why_bytes);
uint64_t outputs_hash(const struct ooo_program *program, const struct ooo_binding *binding);
int outputs_save(const struct run_options *o, const struct ooo_program *program,
		 const struct ooo_binding *binding, char *why, size_t why_bytes);
int read_tensor(const char *path, const char *name, int index, struct ooo_onnx_tensor *t, char *why,
		size_t why_bytes);

/* arrivals.c: when requests of a tenant arrive, in ns after the start. */
struct arrivals {
	uint64_t *times; /* from a file; NULL: Poisson or closed loop */
	uint64_t nr;
	uint64_t at;    /* next index */
	double mean_ns; /* Poisson: between two */
	double last_ns;
	uint64_t random;
};

int arrivals_open(const struct run_options *o, int tenant, struct arrivals *a, char *why,
		  size_t why_bytes);
void arrivals_close(struct arrivals *a);
/* The next arrival; UINT64_MAX: no more. */
uint64_t arrivals_next(struct arrivals *a);

/* tenant.c: a child's life; the exit status of the process. */
int tenant_main(const struct run_options *o, const struct run_model *m, struct run_shared *shared,
		int index);

/* report.c */
void report_progress(const struct run_options *o, const struct run_shared *shared, bool last);
int report_final(const struct run_options *o, const struct run_shared *shared);

/* splitmix64: seeded, reproducible. */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* Uniform in (0, 1). */
static inline double random_unit(uint64_t *state)
{
	return ((double)(random_next(state) >> 11) + 0.5) / 9007199254740992.0;
}

#endif
