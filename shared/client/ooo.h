/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libooo: run inference programs on a machine shared with other tenants.
 *
 * A tenant connects to the node agent, declares a program (tensors and operators) once, binds its
 * inputs and outputs to buffers in an arena that it shares with the agent, and then submits
 * requests through a ring in shared memory: no system call while both sides are busy.
 *
 *   connect -> build + load -> bind -> submit -> poll/wait -> ... -> disconnect
 *
 * Conventions. Functions that can fail return 0 (or a count) or -errno; where the agent refused,
 * ooo_error() has its sentence. Pointers returned belong to the library unless said otherwise.
 * Threads: submit and cancel may be called by any number of threads; poll and wait by one thread
 * at a time; the rest by one thread at a time while nobody submits to the object concerned.
 * Builders and clients are independent of each other. Works after fork() only in the process that
 * connected.
 */
#ifndef OOO_H
#define OOO_H

#include <stddef.h>
#include <stdint.h>

#include "shared/abi/op.h"
#include "shared/abi/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is declared here is exported; the library is built with everything else hidden. */
#pragma GCC visibility push(default)

struct ooo_client;  /* a connection to the agent */
struct ooo_builder; /* a program being declared */
struct ooo_program; /* a program loaded in the agent */
struct ooo_binding; /* inputs and outputs of a program, placed in the arena */

/* ---- connection ------------------------------------------------------------------------------ */

struct ooo_options {
	size_t size;        /* sizeof(struct ooo_options), set by OOO_OPTIONS_INIT */
	const char *socket; /* NULL: in $OOO_RUNTIME_DIR, /run/ooo or $XDG_RUNTIME_DIR/ooo */
	const char *name;   /* name shown to the operator; NULL: the program's name and pid */
	uint32_t sq_entries; /* submissions in flight at most; 0: 256. Rounded up to a power of two */
	uint64_t arena_bytes; /* for all bindings together; 0: 64 MiB. Pages count once touched */
	/* ooo_wait() spins this long before it sleeps; default 20. Below 100 it adapts: longer, up to 100,
	 * while completions come within that, and less and less while they do not. 0: never. */
	uint32_t spin_us;
	uint32_t timeout_ms; /* for each exchange with the agent except load; 0: 5000 */
};

#define OOO_OPTIONS_INIT                                                                           \
	{                                                                                          \
		sizeof(struct ooo_options), 0, 0, 0, 0, 20, 0                                      \
	}

/*
 * Connect. opts may be NULL. On success *out is the client; free it with ooo_disconnect().
 * -ECONNREFUSED, -ENOENT: no agent. -EACCES: not permitted. -EPROTO: another protocol version.
 * On failure *out is NULL and, if text is not NULL, text[text_bytes] says why in a sentence.
 */
int ooo_connect(const struct ooo_options *opts, struct ooo_client **out, char *text,
		size_t text_bytes);

/* Disconnect and free the client with all its programs and bindings. NULL is allowed. */
void ooo_disconnect(struct ooo_client *client);

/*
 * Connect again after the agent restarted or dropped this tenant. All requests that were in flight
 * are first reported by ooo_poll() (status OOO_AGENT_GONE or OOO_DROPPED): poll until it returns 0,
 * then reconnect. Programs are loaded again from the library's copies and bindings keep their
 * place; the bindings' contents, pointers and the eventfd stay the same. 0 (also when the
 * connection is fine); -EBUSY: completions still unread; -ECONNREFUSED, -ENOENT, -ECONNRESET: no
 * agent yet (try again); other errors: a program was refused this time, ooo_error() says why. After
 * an error the client is as it was, and can be tried again or disconnected.
 */
int ooo_reconnect(struct ooo_client *client);

/* The last error of this client as a sentence that names the object; never NULL. */
const char *ooo_error(const struct ooo_client *client);

/* The sentence and the short key ("ok", "late", "agent_gone", ...) for a status. Never NULL. */
const char *ooo_strstatus(uint32_t status);
const char *ooo_status_key(uint32_t status);

/* Name of the device that the agent runs on, e.g. "cpu"; id of this tenant in ooo-ctl's lists. */
const char *ooo_device(const struct ooo_client *client);
uint32_t ooo_tenant_id(const struct ooo_client *client);

/* ---- declaring a program --------------------------------------------------------------------- */

/* Start a program called name (printable ASCII, cut after 31 bytes). NULL: no memory. */
struct ooo_builder *ooo_builder_new(const char *name);
void ooo_builder_free(struct ooo_builder *b);

/*
 * Declare an input, or a constant (weights; nbytes = elements x element size; the data is copied).
 * dims[rank], outermost first. Return the tensor's id, or -errno (ooo_builder_error() says why).
 */
int ooo_input(struct ooo_builder *b, enum ooo_dtype dtype, int rank, const int64_t *dims);
int ooo_const(struct ooo_builder *b, enum ooo_dtype dtype, int rank, const int64_t *dims,
	      const void *data, size_t nbytes);

/*
 * Add an operator with nr_in operands (OOO_NONE for an absent optional one) and attributes (NULL:
 * ooo_attr_init()'s); its output shapes are inferred and checked at once. Writes the ids of its
 * nr_out outputs to out[]. 0 or -errno.
 */
int ooo_op(struct ooo_builder *b, enum ooo_op op, const struct ooo_attr *attr, const uint32_t *in,
	   int nr_in, uint32_t *out, int nr_out);

/* The common cases: one or two operands, one output. Return the output's id or -errno. */
int ooo_op1(struct ooo_builder *b, enum ooo_op op, const struct ooo_attr *attr, uint32_t x);
int ooo_op2(struct ooo_builder *b, enum ooo_op op, const struct ooo_attr *attr, uint32_t x,
	    uint32_t y);

/* Make tensor id the program's next output. An input or a constant gets a copy. 0 or -errno. */
int ooo_output(struct ooo_builder *b, uint32_t id);

/* The neutral attributes of op (stride 1, alpha 1, ...): start from these, then set fields. */
void ooo_attr_init(struct ooo_attr *attr, enum ooo_op op);

/* What is known about a tensor. dims must hold OOO_MAX_RANK. 0 or -EINVAL. */
int ooo_tensor(const struct ooo_builder *b, uint32_t id, enum ooo_dtype *dtype, int *rank,
	       int64_t *dims);
const char *ooo_builder_error(const struct ooo_builder *b);

/* Arena bytes that n bindings of this program take: for ooo_options.arena_bytes. */
uint64_t ooo_builder_arena_bytes(const struct ooo_builder *b, uint32_t n);

/* Bytes of one element; 0 if unknown. */
size_t ooo_dtype_bytes(enum ooo_dtype dtype);
const char *ooo_dtype_name(enum ooo_dtype dtype);
const char *ooo_op_name(enum ooo_op op);

/* ---- loading and binding --------------------------------------------------------------------- */

struct ooo_program_opts {
	size_t size; /* sizeof(struct ooo_program_opts) */
	/* What an fp32 program may be computed in: OOO_FP16, OOO_BF16 or OOO_TF32 permit the device
	 * to keep intermediates, or to multiply, in that type where it gains by it; inputs and
	 * outputs stay as declared. A permission, not a command: a device without that type (the
	 * cpu) computes in fp32. 0 or OOO_FP32: as declared. */
	enum ooo_dtype precision;
};

/*
 * Load the built program into the agent (compiles it; takes as long as it takes). The builder can
 * be freed afterwards, or grown and loaded again. opts may be NULL. -EINVAL: refused, ooo_error()
 * names the step and the reason; -EDQUOT: over quota; -ENOMEM: does not fit; -EOPNOTSUPP: the
 * device cannot; -ECONNRESET: the agent went away.
 */
int ooo_load(struct ooo_client *client, const struct ooo_builder *b,
	     const struct ooo_program_opts *opts, struct ooo_program **out);

/* Unload and free the program and its bindings. -EBUSY while requests are in flight. */
int ooo_unload(struct ooo_program *program);

struct ooo_program_info {
	uint32_t id;
	uint32_t nr_inputs, nr_outputs;
	uint32_t nr_steps; /* after fusion */
	uint32_t nr_ops;   /* declared */
	uint32_t slots;    /* requests of it that can run at once */
	uint64_t weight_bytes, workspace_bytes, tensor_bytes;
};

void ooo_program_info(const struct ooo_program *program, struct ooo_program_info *info);

/* Size in bytes of input or output i; 0 if there is none. */
size_t ooo_input_bytes(const struct ooo_program *program, int i);
size_t ooo_output_bytes(const struct ooo_program *program, int i);

/* Type and shape of input or output i. dims must hold OOO_MAX_RANK. 0 or -EINVAL. */
int ooo_input_desc(const struct ooo_program *program, int i, enum ooo_dtype *dtype, int *rank,
		   int64_t *dims);
int ooo_output_desc(const struct ooo_program *program, int i, enum ooo_dtype *dtype, int *rank,
		    int64_t *dims);

/*
 * Reserve arena space for one set of inputs and outputs. A request reads and writes the buffers of
 * its binding while it is in flight: do not touch them then. Two requests on one binding at once
 * would overwrite each other's outputs. -ENOSPC: the arena is full (ask for a larger one).
 */
int ooo_bind(struct ooo_program *program, struct ooo_binding **out);

/* Give the space back. -EBUSY while a request on it is in flight. */
int ooo_unbind(struct ooo_binding *binding);

/* The buffers, 64-byte aligned, row-major, valid until unbind. NULL if there is no such i. */
void *ooo_binding_input(const struct ooo_binding *binding, int i);
void *ooo_binding_output(const struct ooo_binding *binding, int i);

/* ---- requests -------------------------------------------------------------------------------- */

/*
 * Submit a request. deadline_ns is CLOCK_MONOTONIC, absolute; 0: none. cookie comes back in the
 * completion. 0; -EAGAIN: the queue is full, reap completions first; -ECONNRESET: the agent went
 * away or dropped this tenant.
 */
int ooo_submit(struct ooo_binding *binding, uint64_t deadline_ns, uint64_t cookie);

/*
 * Ask to cancel the request(s) with this cookie; they still complete, see OOO_CANCELLED. 0, also
 * when none is in flight any more; -EAGAIN: not all were asked, reap completions and call again;
 * -ECONNRESET; -EOPNOTSUPP: this agent cannot.
 */
int ooo_cancel(struct ooo_client *client, uint64_t cookie);

struct ooo_completion {
	uint64_t cookie;
	uint32_t status;     /* enum ooo_status */
	float width;         /* mean number of steps in the bundles that it ran in; 0 = never ran */
	uint64_t submit_ns;  /* all times CLOCK_MONOTONIC; 0 = did not get that far */
	uint64_t fetch_ns;   /* the agent took it */
	uint64_t start_ns;   /* its first step was dispatched */
	uint64_t finish_ns;  /* its last step was seen complete */
	uint64_t service_ns; /* device time used */
	uint64_t predicted_ns; /* OOO_REFUSED: when it would have finished; else 0 */
};

/*
 * Take up to max completions without blocking. Count (0 = none); never fails: after the agent is
 * gone, requests in flight complete with OOO_AGENT_GONE (or OOO_DROPPED). Buffers may be touched
 * again once the completion has been taken.
 */
int ooo_poll(struct ooo_client *client, struct ooo_completion *done, int max);

/*
 * Like ooo_poll(), but waits for at least one: spins spin_us, then sleeps. timeout_ns < 0: for
 * ever. 0 on time-out, -ENOENT: nothing is in flight and nothing can come, -EINTR: a signal.
 */
int ooo_wait(struct ooo_client *client, struct ooo_completion *done, int max, int64_t timeout_ns);

/*
 * A descriptor for epoll/poll, readable when completions may be there or the agent went away; owned
 * by the client, the same across reconnects. Arm it with ooo_arm() each time before blocking on it,
 * and take what there is with ooo_poll() afterwards. ooo_arm() returns 0: block; 1: completions are
 * there already, poll instead; -ECONNRESET: the agent is gone and nothing is in flight, reconnect
 * (the descriptor stays readable until then). Arm, poll and wait are one thread's at a time.
 */
int ooo_eventfd(const struct ooo_client *client);
int ooo_arm(struct ooo_client *client);

/* Requests submitted and not yet reaped. */
uint32_t ooo_inflight(const struct ooo_client *client);

/* CLOCK_MONOTONIC in ns. */
uint64_t ooo_now_ns(void);

struct ooo_stats {
	uint64_t submitted, completed, failed, late, refused, cancelled;
	uint64_t steps, bundles, service_ns, weight_bytes, workspace_bytes;
};

/* What the agent has counted for this tenant. 0, -ECONNRESET, -ETIMEDOUT. */
int ooo_stats(struct ooo_client *client, struct ooo_stats *stats);

struct ooo_admission {
	int admitted;      /* all but one in a hundred would be in time */
	uint32_t measured; /* requests that this is predicted from; 0 = the costs are a guess */
	double most_per_s; /* the highest rate at which they would be */
	uint64_t bound_ns; /* 99 of 100 take no longer at the rate asked for; UINT64_MAX: no bound */
};

/*
 * Would requests of a program be in time if `per_s` of them came in a second? slo_ns: the latency that
 * they are due in, 0 for the one that the administrator set. The agent answers from costs that it
 * learned, from the tenant's weight and from what the others use now; it reserves nothing. 0,
 * -EINVAL, -ENOENT (no such program), -ECONNRESET, -ETIMEDOUT.
 */
int ooo_admit(struct ooo_program *program, double per_s, uint64_t slo_ns,
	      struct ooo_admission *out);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
