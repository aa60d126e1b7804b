/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device table: all that the flow knows of a device. One dispatcher thread calls submit and
 * poll; the loader's threads call load and unload, one at a time, and meanwhile bind, unbind,
 * map_arena and unmap_arena, one at a time. A device keeps what these share apart (load-time objects
 * are complete before the flow hears of them).
 *
 * Who completes what: a bundle that submit() took (0) is reported by poll() exactly once, whatever
 * happens to it. A bundle that submit() refused (< 0) is never reported.
 */
#ifndef OOO_AGENT_DEVICE_H
#define OOO_AGENT_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/program/program.h"

#define DEVICE_API_VERSION    1
#define BUNDLE_MAX_ITEMS      128
#define DEVICE_MAX_LANES      16
#define DEVICE_MAX_PARTITIONS 4

struct device_config {
	const char *name; /* "cpu", "sim" */
	unsigned threads; /* cpu: pool size including the dispatcher; 0 = one per allowed core */
	uint64_t memory_bytes;   /* workspace budget of one program; 0 = default */
	uint64_t sim_step_ns;    /* sim: fixed cost of a bundle, virtual time */
	uint64_t sim_item_ns;    /* sim: plus this for each item */
	uint32_t sim_fail_every; /* sim: every n-th bundle fails with sim_fail_scope; 0 = never */
	uint32_t sim_fail_scope; /* enum error_scope */
	uint32_t sim_lanes;      /* sim: 0 = 1 */
	const struct sim_model *sim_model; /* sim: takes time like this; NULL: the four above */
	bool sim_paced;           /* sim: on the real clock, a bundle takes what it costs */
	const char *cuda_library; /* NULL: libcuda.so.1 */
	const char *cuda_uuid; /* "GPU-...", a part from its start, or an index; NULL: the first */
	uint32_t cuda_lanes;   /* 0 = 2 */
	uint32_t cuda_fault_every;   /* every n-th bundle traps, for tests of recovery; 0 = never */
	uint32_t launch_deadline_ms; /* cuda: a bundle that takes longer is given up; 0 = 2000 */
	const char *partitions[DEVICE_MAX_PARTITIONS]; /* "NAME=SMS", made at the start; or NULL */
};

enum error_scope { /* what dies of an error */
	SCOPE_NONE = 0,
	SCOPE_REQUEST, /* the item's request alone */
	SCOPE_CONTEXT, /* everything in flight on the device; it is usable again after reset */
	SCOPE_DEVICE,  /* the device is gone */
};

#define DEVICE_PARTITION_NAME 32

/* A part of the device's processors, with lanes of its own; the other lanes have the rest. */
struct device_partition {
	char name[DEVICE_PARTITION_NAME]; /* "": this place is free */
	unsigned units;                   /* multiprocessors */
	unsigned first_lane, nr_lanes;
};

struct device_caps {
	char name[32];        /* "cpu", "sim", ... */
	char description[96]; /* for people: model, cores, instruction set */
	unsigned nr_lanes;    /* <= DEVICE_MAX_LANES */
	unsigned lane_depth;  /* bundles that a lane queues */
	unsigned max_items;   /* of a bundle, <= BUNDLE_MAX_ITEMS */
	bool mixed_classes;   /* a bundle may hold steps of different kernel classes */
	bool executes;        /* results are real (sim: false) */
	bool virtual_clock;   /* time is the device's: see clock_ns */
	char uuid[48];        /* of a GPU: "GPU-..."; else "" */
	uint8_t image_layout; /* enum layout preferred for convolution nets */
	unsigned threads;
	/* Typical items that run side by side and share the device, so that a bundle's time says more
	 * than an item's (a GPU). 0: items run one at a time on each of the threads. */
	unsigned width;
	unsigned launch_ns; /* what a launch costs whatever it carries: worth waiting for company */
	unsigned runahead_us; /* predicted work that a lane should queue; 0: the flow's default */
	double flops_per_ns, bytes_per_ns; /* for the cost prior */
	bool attention;                    /* it runs OP_ATTENTION: the compiler may look for it */
	bool partitions;                   /* can be partitioned: device_ops.partition_add */
	struct device_partition partition[DEVICE_MAX_PARTITIONS];
	uint32_t precisions; /* bit by enum ooo_dtype: what it computes in beside fp32 on request */
};

struct device;
struct device_program; /* a program made ready: weights packed, slots allocated and encoded */
struct device_binding; /* resolved arena addresses of one binding */

/* One step of one request. Lives in the bundle until the bundle is reported. */
struct bundle_item {
	struct device_program *program;
	struct device_binding *binding;
	uint32_t step;
	uint32_t slot;
	uint32_t predicted_ns; /* the flow's cost estimate, charged at issue */
	void *request;         /* the flow's, not looked at */
	/* filled by the device before it reports the bundle */
	uint32_t service_ns; /* device time used by this item */
	uint16_t status;     /* enum ooo_status: OK or the item's own error (BAD_INDEX) */
	uint16_t scope;      /* enum error_scope */
};

/* Items are independent of each other. Ordered so that items of one program and step stand together:
 * they share weights. Owned by the flow; the device keeps the pointer until it reports it. */
struct bundle {
	struct bundle_item items[BUNDLE_MAX_ITEMS];
	uint32_t nr_items;
	uint16_t lane;
	uint16_t scope;                       /* filled: enum error_scope of the whole bundle */
	uint64_t submit_ns, start_ns, end_ns; /* the last two filled by the device */
	uint64_t predicted_ns;                /* filled by the flow: the cost model's estimate */
	struct bundle *next;                  /* the holder's list */
	void *priv;                           /* the device's while it holds the bundle */
};

struct device_ops {
	const char *name;
	uint32_t api_version;

	/* (optional) How many devices of this kind are here; open() takes one by its index as a number
	 * in config->cuda_uuid. 0 with a sentence in why. Default: one. */
	unsigned (*count)(const struct device_config *config, char *why, size_t why_bytes);
	/* Start. -ENODEV: not on this machine (not an error); why says what is missing. */
	int (*open)(const struct device_config *config, struct device **out, char *why,
		    size_t why_bytes);
	/* Stop. Nothing is in flight and no program is loaded. */
	void (*close)(struct device *dev);
	const struct device_caps *(*caps)(const struct device *dev);

	/* Pack weights, allocate and encode workspace slots (at most max_slots). The device keeps the
	 * program pointer until unload. -ENOMEM, -EOPNOTSUPP with a sentence in why. */
	int (*load)(struct device *dev, const struct program *program, unsigned max_slots,
		    struct device_program **out, char *why, size_t why_bytes);
	void (*unload)(struct device *dev, struct device_program *dp); /* nothing of it in flight */
	unsigned (*slots)(const struct device_program *dp);
	/* (optional) Unless mixed_classes, steps share a bundle only if this is the same for them.
	 * Default: the step's kernel class. Asked once, after load. */
	uint16_t (*step_class)(const struct device_program *dp, uint32_t step);
	/* Bytes taken: packed weights, and all workspace slots together. */
	void (*footprint)(const struct device_program *dp, uint64_t *weight_bytes,
			  uint64_t *workspace_bytes);

	/* Resolve a binding: io[i] is the address of input i, then of output i - nr_inputs. The memory
	 * stays mapped until unbind; the tenant may change its contents at any moment. */
	int (*bind)(struct device *dev, struct device_program *dp, void *const *io,
		    struct device_binding **out);
	void (*unbind)(struct device *dev, struct device_binding *binding);

	/* (optional) Bytes of the device's memory: taken by anybody, and there at all. Any thread. */
	void (*memory)(struct device *dev, uint64_t *used_bytes, uint64_t *total_bytes);

	/* (optional) Bindings will point into this memory from now on, until it is unmapped; the device
	 * reads and writes it in place. -ENOMEM, -EIO. */
	int (*map_arena)(struct device *dev, void *base, size_t bytes);
	void (*unmap_arena)(struct device *dev, void *base);

	/* (optional) Make a partition of at least `units` processors; caps says what came of it, also
	 * that nr_lanes grew. Called by the thread that submits; may wait for what is in flight.
	 * -EOPNOTSUPP, -EINVAL, -EEXIST, -ENOSPC, -EIO with a sentence in why. */
	int (*partition_add)(struct device *dev, const char *name, unsigned units, char *why,
			     size_t why_bytes);
	/* Nothing is in flight on its lanes, and nothing more comes. */
	int (*partition_del)(struct device *dev, const char *name, char *why, size_t why_bytes);

	/* Queue a bundle on its lane: bundles of one lane execute in order, each sees the results of
	 * those before it. -EAGAIN: the lane is full, try after a poll. No allocation, no lock held. */
	int (*submit)(struct device *dev, struct bundle *bundle);
	/* Report up to max finished bundles. A device without own threads works here, for a bounded
	 * time (at most about 200 us unless one step takes longer). Never blocks. */
	unsigned (*poll)(struct device *dev, struct bundle **done, unsigned max);

	/* (optional) Now, on a device with virtual_clock; time advances only when poll() finds nothing
	 * else to do. Default: CLOCK_MONOTONIC. */
	uint64_t (*clock_ns)(struct device *dev);
	/* (optional) Run one step on plain buffers, for constant folding. */
	int (*eval)(const struct step *step, const struct tensor *tensors, const void *const *in,
		    void *const *out);
};

/* All devices built in, best first, NULL-terminated. */
extern const struct device_ops *const device_table[];

#define DEVICE_MAX_OPEN 16

struct device_opened {
	const struct device_ops *ops;
	struct device *dev;
};

/* Open all that config->name lists: names with commas between them, each one of the table's,
 * "auto", or "cuda:UUID". A name without more means every device of that kind. why says which were
 * taken and why, or why none was; then none is open. */
int device_open_all(const struct device_config *config,
		    struct device_opened opened[DEVICE_MAX_OPEN], unsigned *nr, char *why,
		    size_t why_bytes);

/* In the place of one that was open before and is not there any more. 0, -ENOMEM. */
int device_gone(const char *name, struct device_opened *out);

/* Open by name ("auto", "cpu", "sim"). why says which was taken and why, or why none was. */
int device_open(const struct device_config *config, const struct device_ops **ops,
		struct device **dev, char *why, size_t why_bytes);

#endif
