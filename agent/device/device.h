/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device table: all that the flow knows of a device. One dispatcher thread calls submit and
 * poll; the loader thread calls load, unload and bind at the same time, so a device keeps what
 * these share apart (load-time objects are complete before the flow hears of them).
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

#define DEVICE_API_VERSION 1
#define BUNDLE_MAX_ITEMS   128

struct device_config {
	const char *name; /* "cpu", "sim" */
	unsigned threads; /* cpu: pool size including the dispatcher; 0 = one per allowed core */
	uint64_t memory_bytes;   /* workspace budget of one program; 0 = default */
	uint64_t sim_step_ns;    /* sim: fixed cost of a bundle, virtual time */
	uint64_t sim_item_ns;    /* sim: plus this for each item */
	uint32_t sim_fail_every; /* sim: every n-th bundle fails with sim_fail_scope; 0 = never */
	uint32_t sim_fail_scope; /* enum error_scope */
};

enum error_scope { /* what dies of an error */
	SCOPE_NONE = 0,
	SCOPE_REQUEST, /* the item's request alone */
	SCOPE_CONTEXT, /* everything in flight on the device; it is usable again after reset */
	SCOPE_DEVICE,  /* the device is gone */
};

struct device_caps {
	char name[32];        /* "cpu", "sim", ... */
	char description[96]; /* for people: model, cores, instruction set */
	unsigned nr_lanes;
	unsigned lane_depth;  /* bundles that a lane queues */
	unsigned max_items;   /* of a bundle, <= BUNDLE_MAX_ITEMS */
	bool mixed_classes;   /* a bundle may hold steps of different kernel classes */
	bool executes;        /* results are real (sim: false) */
	bool virtual_clock;   /* time is the device's: see clock_ns */
	uint8_t image_layout; /* enum layout preferred for convolution nets */
	unsigned threads;
	double flops_per_ns, bytes_per_ns; /* for the cost prior */
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
	/* Bytes taken: packed weights, and all workspace slots together. */
	void (*footprint)(const struct device_program *dp, uint64_t *weight_bytes,
			  uint64_t *workspace_bytes);

	/* Resolve a binding: io[i] is the address of input i, then of output i - nr_inputs. The memory
	 * stays mapped until unbind; the tenant may change its contents at any moment. */
	int (*bind)(struct device *dev, struct device_program *dp, void *const *io,
		    struct device_binding **out);
	void (*unbind)(struct device *dev, struct device_binding *binding);

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

/* Open by name ("auto", "cpu", "sim"). why says which was taken and why, or why none was. */
int device_open(const struct device_config *config, const struct device_ops **ops,
		struct device **dev, char *why, size_t why_bytes);

#endif
