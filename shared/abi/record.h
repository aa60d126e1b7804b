/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flight recorder: what each dispatcher did of late, in a file that survives it. Layout only.
 *
 * `record.N` in the agent's runtime directory belongs to device N: mode 0640, the agent's user and
 * the administrators' group. Its dispatcher writes it through a shared mapping, with plain stores;
 * ooo-ctl maps it read-only and needs nothing of the agent. It holds times, sizes and names, never a
 * tensor's contents.
 *
 *   byte 0       struct ooo_record_header, OOO_RECORD_HEADER_BYTES with what follows it reserved
 *   ring[k].off  entries x entry_bytes, for each ring k of enum ooo_record_ring_id
 *
 * A RING overwrites its oldest entries. Entry number i (from 0, free-running) stands at place
 * i & (entries - 1). The writer, for entries i..i+n-1:
 *
 *	store reserved = i + n; release fence; fill; store-release written = i + n
 *
 * A reader copies entry i and believes the copy only if it had i < written (load-acquire) before,
 * and has reserved <= i + entries (acquire fence, then load) after it. What fails the second
 * test was overwritten while it was read: it is skipped, older ones too. Entries are in the order in
 * which they were written: requests by finish, bundles by retirement, not by their start.
 *
 * A bundle's members are entries first_member .. first_member + nr_members - 1 of the member ring;
 * that ring is written before the bundle, and a reader tests them by the same rule.
 *
 * TIMES are nanoseconds of CLOCK_MONOTONIC, or of the device's virtual clock (virtual_clock), to
 * which only STALL events do not keep. real_ns - start_ns turns them into dates.
 *
 * SAMPLING. At more than request_rate requests a second the recorder keeps what is late, failed or
 * slow, and of the rest one in a few: `weight` is how many requests a record stands for.
 */
#ifndef OOO_ABI_RECORD_H
#define OOO_ABI_RECORD_H

#include <stddef.h>
#include <stdint.h>

#define OOO_RECORD_MAGIC        0x46304f4fu /* "OO0F" */
#define OOO_RECORD_VERSION      1u
#define OOO_RECORD_FILE         "record." /* and the device's index */
#define OOO_RECORD_HEADER_BYTES 4096u
#define OOO_RECORD_NONE         UINT32_MAX /* no tenant, program or lane */
#define OOO_RECORD_NAME_BYTES   32

enum ooo_record_ring_id {
	OOO_RECORD_REQUESTS,
	OOO_RECORD_BUNDLES,
	OOO_RECORD_MEMBERS,
	OOO_RECORD_EVENTS,
	OOO_RECORD_NAMES,
	OOO_RECORD_RINGS
};

struct ooo_record_ring {
	uint64_t written;  /* entries so far */
	uint64_t reserved; /* and those being written */
	uint64_t off;      /* bytes, constant from here on */
	uint32_t entries;  /* power of two */
	uint32_t entry_bytes;
	uint64_t resv[4];
};

struct ooo_record_header {
	uint32_t magic;
	uint32_t version;
	uint64_t bytes; /* of the file */
	uint64_t agent_id;
	uint32_t pid;
	uint32_t device;   /* index */
	uint64_t start_ns; /* when the dispatcher began; the device's clock */
	uint64_t real_ns;  /* CLOCK_REALTIME of that moment */
	uint32_t nr_lanes;
	uint32_t width;         /* steps that run side by side */
	uint32_t virtual_clock; /* bool */
	uint32_t request_rate;  /* records a second before it samples */
	uint32_t on_host;       /* bool: the dispatcher's thread itself computes */
	uint32_t launch_ns;     /* what a launch costs, whatever it carries; 0: next to nothing */
	char name[OOO_RECORD_NAME_BYTES];
	uint64_t resv[19];
	struct ooo_record_ring ring[OOO_RECORD_RINGS];
};

/*
 * Where a request's time went. At any moment of its life exactly one of these holds, so that
 * stage_ns[] adds up to finish_ns - submit_ns; WAKE comes after that and is known to the tenant
 * alone (0 here).
 *
 * STAGE(NAME, "key", "what holds")
 */
#define OOO_RECORD_STAGE_LIST(STAGE)                                                               \
	STAGE(RING, "ring", "submitted, not yet fetched from the ring")                            \
	STAGE(WINDOW, "window",                                                                    \
	      "fetched; no step of it is built into a bundle: no workspace "                       \
	      "slot, or others go first")                                                          \
	STAGE(HOLD, "hold", "ready, and held back for company")                                    \
	STAGE(LAUNCH, "launch", "in a bundle that the device has not begun")                       \
	STAGE(RUN, "run", "the device runs a bundle with a step of it")                            \
	STAGE(COPY, "copy", "the device runs a step that only moves data")                         \
	STAGE(RETIRE, "retire", "the device has finished; the dispatcher has not seen it yet")     \
	STAGE(WAKE, "wake", "completed; the tenant has not woken yet")

enum ooo_record_stage {
#define STAGE(NAME, key, help) OOO_STAGE_##NAME,
	OOO_RECORD_STAGE_LIST(STAGE)
#undef STAGE
	OOO_RECORD_STAGES
};

enum ooo_record_request_flag {
	OOO_RECORD_WAITED_READER = 1u << 0, /* in the ring, because completions were not read */
	OOO_RECORD_WAITED_ROOM =
		1u << 1, /* or for its tenant's others, with as many in flight as can be */
	OOO_RECORD_WAITED_SLOT = 1u << 2, /* for a workspace slot of its program */
};

/* A finished request. */
struct ooo_record_request {
	uint64_t number; /* of the dispatcher's requests, by fetch */
	uint32_t tenant;
	uint32_t program; /* id within the tenant; what the tenant asked for if there is none */
	uint64_t cookie;
	uint64_t submit_ns; /* as the tenant wrote it, but never after fetch_ns */
	uint64_t fetch_ns;
	uint64_t active_ns;   /* got a workspace slot: its first steps are ready; 0 never */
	uint64_t issue_ns;    /* its first step went into a bundle; 0 never */
	uint64_t finish_ns;   /* its last step was seen complete: the completion is posted */
	uint64_t deadline_ns; /* 0 none */
	uint64_t service_ns;  /* device time that its steps used */
	uint64_t work_ns;     /* predicted at activation: all its steps, one after another */
	uint64_t stage_ns[OOO_RECORD_STAGES];
	uint64_t input_bytes, output_bytes;
	uint32_t status; /* enum ooo_status */
	uint32_t steps;  /* executed */
	uint16_t width;  /* mean number of steps in its bundles, times 16 */
	uint16_t lane;
	uint16_t flags;  /* enum ooo_record_request_flag */
	uint16_t weight; /* requests that this record stands for, at least 1 */
};

/* A retired bundle. */
struct ooo_record_bundle {
	uint64_t number;    /* of the dispatcher's bundles, by retirement */
	uint64_t submit_ns; /* handed to the device */
	uint64_t start_ns, end_ns;
	uint64_t retire_ns;    /* seen complete */
	uint64_t predicted_ns; /* by the cost model: end - start */
	uint64_t hold_ns;      /* its leader was held for company */
	uint64_t service_ns;   /* sum over its members */
	uint64_t first_member;
	uint32_t nr_members;
	uint16_t lane;
	uint8_t klass; /* kernel class of its first member, see struct ooo_record_member */
	uint8_t scope; /* error: 0 none, 1 a request, 2 all that the device held, 3 the device */
};

/* A step in a bundle. */
struct ooo_record_member {
	uint32_t request; /* number, its low half */
	uint32_t tenant;
	uint32_t step;
	uint32_t service_ns; /* device time */
	uint32_t predicted_ns;
	uint8_t program; /* id within the tenant */
	uint8_t klass;   /* kernel class: shared/abi/ops.def's, in enum kernel_class order */
	uint8_t status;  /* enum ooo_status */
	uint8_t copy;    /* bool: it only moves data */
};

/*
 * What is no request and no bundle.
 *
 * EVENT(NAME, "key", "what happened; what value and other are")
 */
#define OOO_RECORD_EVENT_LIST(EVENT)                                                               \
	EVENT(STALL, "stall",                                                                      \
	      "the dispatcher's thread did not run (CLOCK_MONOTONIC); value: of "                  \
	      "that, ns that it waited for a processor")                                           \
	EVENT(HOLD, "hold", "a ready step was held for company; value: the lane")                  \
	EVENT(READER, "reader",                                                                    \
	      "a tenant's completions were not read, so its ring was not "                         \
	      "fetched; value: unread, other: in flight")                                          \
	EVENT(ROOM, "room",                                                                        \
	      "a tenant had as many requests in flight as it has completions; "                    \
	      "value: unread, other: in flight")                                                   \
	EVENT(REFUSED, "refused", "a request was refused; value: program, other: enum ooo_status") \
	EVENT(FAULT, "fault", "a bundle failed; value: scope, other: the lane")                    \
	EVENT(DROPPED, "dropped", "a tenant broke the protocol; value: enum ooo_status")

enum ooo_record_event_kind {
	OOO_RECORD_NO_EVENT,
#define EVENT(NAME, key, help) OOO_RECORD_EVENT_##NAME,
	OOO_RECORD_EVENT_LIST(EVENT)
#undef EVENT
	OOO_RECORD_EVENT_KINDS
};

struct ooo_record_event {
	uint64_t start_ns, duration_ns;
	uint32_t kind; /* enum ooo_record_event_kind */
	uint32_t tenant;
	uint64_t value, other;
	uint64_t resv;
};

/* A tenant connected (program OOO_RECORD_NONE) or loaded a program: what ids mean from now on. */
struct ooo_record_name {
	uint64_t at_ns;
	uint32_t tenant;
	uint32_t program;
	uint32_t uid, pid;
	char name[OOO_RECORD_NAME_BYTES]; /* NUL-terminated */
	uint32_t nr_steps;
	uint32_t resv;
};

#ifndef __cplusplus
_Static_assert(sizeof(struct ooo_record_ring) == 64, "ooo_record_ring is ABI");
_Static_assert(sizeof(struct ooo_record_header) == 256 + 64 * OOO_RECORD_RINGS, "header is ABI");
_Static_assert(offsetof(struct ooo_record_header, ring) == 256, "ooo_record_header is ABI");
_Static_assert(sizeof(struct ooo_record_header) <= OOO_RECORD_HEADER_BYTES, "header fits");
_Static_assert(sizeof(struct ooo_record_request) == 184, "ooo_record_request is ABI");
_Static_assert(sizeof(struct ooo_record_bundle) == 80, "ooo_record_bundle is ABI");
_Static_assert(sizeof(struct ooo_record_member) == 24, "ooo_record_member is ABI");
_Static_assert(sizeof(struct ooo_record_event) == 48, "ooo_record_event is ABI");
_Static_assert(sizeof(struct ooo_record_name) == 64, "ooo_record_name is ABI");
#endif

#endif
