/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the cuda device. Who does what:
 *
 *   driver.c     libcuda.so.1 by dlopen: one typed table of functions (driver.def)
 *   cuda.c       the device's table of operations: open, caps, close, load, unload, slots, bind
 *   context.c    a context: modules, streams, lanes
 *   partition.c  green contexts: sets of SMs with lanes of their own
 *   memory.c     device memory in large chunks, handed out in pieces, accounted
 *   arena_map.c  tenants' arenas in the device's address space
 *   weights.c    packed weights in device memory, stored once for equal contents
 *   plan.c       load: every step -> launches of tasks; slots; upload
 *   encode_*.c   one a kernel family: a step's tasks
 *   submit.c     a bundle -> launches
 *   complete.c   completion records -> reported bundles; deadlines of launches
 *
 * The dispatcher calls submit and poll; the loader's threads call load, unload, bind and unbind, one
 * at a time. What both touch: the context's generation (context.c), nothing else.
 */
#ifndef OOO_CUDA_H
#define OOO_CUDA_H

#include <pthread.h>

#include "agent/device/cuda/driver.h"
#include "agent/device/cuda/task.h"
#include "agent/device/device.h"
#include "shared/abi/handshake.h"
#include "shared/abi/status.h"

enum cuda_kernel {
#define KERNEL(NAME, image, symbol, threads, shared_bytes) KERNEL_##NAME,
#include "agent/device/cuda/kernels.def"
#undef KERNEL
	NR_CUDA_KERNELS
};

#define CUDA_MAX_LANES   16
#define CUDA_LANE_DEPTH  32  /* bundles in flight on one lane */
#define CUDA_MAX_RECORDS 512 /* >= CUDA_MAX_LANES * CUDA_LANE_DEPTH */

#define CUDA_MAX_MODULES 32

struct cuda_memory;     /* memory.c */
struct cuda_arenas;     /* arena_map.c */
struct cuda_partitions; /* partition.c */

/* A piece of device memory. */
struct cuda_mem {
	uint64_t address;
	uint64_t bytes;
	void *chunk; /* memory.c's */
};

struct cuda_lane {
	CUstream stream;
	uint16_t partition; /* 0: the whole device */
};

struct device {
	struct device_caps caps;
	const struct cuda_driver *drv; /* the table of functions */
	struct cuda_driver driver;     /* drv points here */
	CUdevice cu;
	CUcontext ctx;       /* NULL: there is none */
	uint32_t generation; /* of ctx; no two contexts of the process have the same */
	CUmodule modules[CUDA_MAX_MODULES];
	unsigned nr_modules;
	CUfunction kernels[NR_CUDA_KERNELS];
	bool overlaps;        /* kernels wait for those before them themselves: see grid_wait() */
	CUstream load_stream; /* uploads */
	int sms;
	int capability;            /* 90 for 9.0 */
	int priority;              /* of the lanes' streams */
	unsigned max_shared_bytes; /* of a block */
	struct cuda_lane lanes[CUDA_MAX_LANES];
	unsigned nr_lanes;
	unsigned nr_base_lanes; /* the first ones: of no partition */
	struct cuda_memory *memory;
	struct cuda_arenas *arenas;
	struct cuda_partitions *partitions;
	uint64_t memory_bytes, memory_used;   /* the GPU's; by all, when last asked */
	uint64_t workspace_budget;            /* of one program, bytes */
	pthread_mutex_t lock;                 /* load, unload, bind, arenas; never in submit */
	struct cuda_weights *weights;         /* weights.c */
	struct cuda_flight *flight;           /* bundles in flight and their records: complete.c */
	int64_t clock_offset_ns;              /* CLOCK_MONOTONIC minus the device's %globaltimer */
	int64_t clock_best_ns, clock_last_ns; /* least seen in this window and the one before */
	uint64_t clock_window_ns;             /* when this one began */
	uint64_t launch_deadline_ns; /* a bundle that takes longer is given up; 0 = never */
	uint32_t fault_every;        /* every n-th bundle traps, for tests; 0 = never */
	bool lost; /* an error killed the context, and with it all use of the GPU in this process */
};

struct cuda_kernel_info {
	const char *image; /* its file: see image.h */
	const char *symbol;
	uint32_t threads;
	uint32_t shared_bytes; /* dynamic */
};

extern const struct cuda_kernel_info cuda_kernel_info[NR_CUDA_KERNELS]; /* kernel_info.c */

/* ---- driver.c ---- */

/* The scope that dies of a driver's error. Its name: cuda_error_name() in driver.h. */
enum error_scope cuda_scope(CUresult result);

/* ---- context.c ---- */

/* Make dev's context with its module, streams and lanes; measures the clock's offset. */
int cuda_context_open(struct device *dev, char *why, size_t why_bytes);
void cuda_context_close(struct device *dev);
/* Make dev's context current on this thread, unless it is. */
int cuda_context_use(struct device *dev);
/* A bundle was seen finished at host_ns, device_ns by the device's clock: keeps the offset right. */
void cuda_clock_seen(struct device *dev, uint64_t device_ns, uint64_t host_ns);

/* ---- memory.c (loader threads; dev->lock is held) ---- */

int cuda_memory_open(struct device *dev); /* the context is there */
/* Give all back to the driver; what is still taken is lost. */
void cuda_memory_close(struct device *dev);
/* For tests: 0, or -EINVAL with a sentence in why if anything is taken or the lists are wrong. */
int cuda_memory_check(const struct device *dev, char *why, size_t why_bytes);
/* Device memory: handed out, and held in chunks. */
void cuda_memory_usage(const struct device *dev, uint64_t *taken_bytes, uint64_t *held_bytes);

/* 256-byte aligned. -ENOMEM with sizes in why. Large chunks are kept for reuse. */
int cuda_mem_take(struct device *dev, uint64_t bytes, struct cuda_mem *out, char *why,
		  size_t why_bytes);
void cuda_mem_give(struct device *dev, struct cuda_mem *mem);
/* Blocking copies and fills on the load stream, for loads. 0 or -EIO. */
int cuda_upload(struct device *dev, uint64_t to, const void *from, uint64_t bytes);
int cuda_zero(struct device *dev, uint64_t at, uint64_t bytes);
/* Pinned host memory that the device reads and writes; NULL: none. */
void *cuda_host_take(struct device *dev, size_t bytes, uint64_t *device_address);
void cuda_host_give(struct device *dev, void *host);

/* ---- arena_map.c ---- */

int cuda_arenas_open(struct device *dev);
void cuda_arenas_close(struct device *dev); /* none is mapped */
int cuda_map_arena(struct device *dev, void *base, size_t bytes);
void cuda_unmap_arena(struct device *dev, void *base);
/* The device's address of host memory inside a mapped arena; 0: not in one. dev->lock is held. */
uint64_t cuda_arena_address(struct device *dev, const void *host);

/* ---- partition.c ---- */

int cuda_partitions_open(struct device *dev); /* before the context; sets caps.partitions */
void cuda_partitions_close(struct device *dev);
int cuda_partition_add(struct device *dev, const char *name, unsigned sms, char *why,
		       size_t why_bytes);
int cuda_partition_del(struct device *dev, const char *name, char *why, size_t why_bytes);

/* ---- plan.c ---- */

int cuda_load(struct device *dev, const struct program *program, unsigned max_slots,
	      struct device_program **out, char *why, size_t why_bytes);
void cuda_unload(struct device *dev, struct device_program *dp);
unsigned cuda_slots(const struct device_program *dp);
void cuda_footprint(const struct device_program *dp, uint64_t *weight_bytes,
		    uint64_t *workspace_bytes);
uint16_t cuda_step_class(const struct device_program *dp, uint32_t step);
int cuda_bind(struct device *dev, struct device_program *dp, void *const *io,
	      struct device_binding **out);
void cuda_unbind(struct device *dev, struct device_binding *binding);

/* ---- weights.c ---- */

struct cuda_weight; /* a block of constants on the device, shared by those with equal contents */

int cuda_weights_open(struct device *dev); /* before the first load */
void cuda_weights_close(struct device *dev);
/* The block with these contents, uploaded if it is new. Only loads with the same share_key share;
 * 0: share with none. */
int cuda_weight_get(struct device *dev, uint64_t share_key, const void *data, uint64_t bytes,
		    struct cuda_weight **out, char *why, size_t why_bytes);
void cuda_weight_put(struct device *dev, struct cuda_weight *weight);
uint64_t cuda_weight_address(const struct cuda_weight *weight);

/* ---- submit.c, complete.c ---- */

int cuda_flight_open(struct device *dev); /* records and progress words; after the context */
void cuda_flight_close(struct device *dev);
int cuda_submit(struct device *dev, struct bundle *bundle);
unsigned cuda_poll(struct device *dev, struct bundle **done, unsigned max);

/* ---- plan.c: what load makes of a program ----------------------------------------------------- */

#define CUDA_MAX_PHASES 4096 /* of one step: an LSTM has one for each time step */

/* One launch of a step: tasks that run side by side. */
struct cuda_phase {
	uint16_t kernel; /* enum cuda_kernel */
	uint16_t nr_tasks;
	uint32_t first_task; /* in device_program.tasks */
};

struct cuda_task_ref {
	uint64_t address; /* of the struct cuda_task in device memory */
	uint32_t nr_tiles;
};

struct cuda_step {
	uint32_t first_phase, nr_phases; /* 0 phases: nothing to run */
	uint16_t klass;                  /* steps of one class share bundles */
	uint32_t tiles;                  /* of all phases */
};

struct cuda_plan; /* a device_program being made; plan.c */

/* ---- for encoders ---- */

/* The program and step that is being encoded. */
const struct program *plan_program(const struct cuda_plan *plan);

/* Where tensor id is (aliases followed); place CUDA_NONE for OOO_NONE. */
struct cuda_operand plan_operand(struct cuda_plan *plan, uint32_t id);
/* A PLACE_CONST tensor's bytes on the host; NULL if it is not constant. */
const void *plan_const_data(const struct cuda_plan *plan, uint32_t id);

/* Scratch memory in every slot for this step alone, 256-byte aligned: an operand of place
 * CUDA_SLOT. Its contents are undefined when the step begins. */
struct cuda_operand plan_scratch(struct cuda_plan *plan, uint64_t bytes, uint8_t dtype);
/* The same, but zero at load; the step leaves it zero (counters). */
struct cuda_operand plan_zeroed(struct cuda_plan *plan, uint64_t bytes);

/*
 * Constant device memory made by the encoder (packed weights, tables): an operand of place
 * CUDA_CONST; *host is where to write its `bytes` bytes, now (uploaded when the load is complete).
 * *host is zeroed. Blocks of equal contents are stored once, so keep a packed weight a block of its
 * own and free of addresses.
 */
int plan_block(struct cuda_plan *plan, uint64_t bytes, uint8_t dtype, void **host,
	       struct cuda_operand *out);

/* Tasks added from here on run after all that were added to this step before (another launch). */
void plan_next_phase(struct cuda_plan *plan);
/*
 * Add a task of this kernel to the current phase; tasks of one phase have one kernel. bytes: of
 * the family's struct, which begins with struct cuda_task; copied. The caller sets nr_tiles; bytes,
 * op and posts are plan_task_head()'s. -ENOMEM, -E2BIG.
 */
int plan_task(struct cuda_plan *plan, enum cuda_kernel kernel, const void *task, size_t bytes);
/* Fill head with op and the step's post-operations (operands resolved); nr_tiles 0. */
int plan_task_head(struct cuda_plan *plan, const struct step *step, struct cuda_task *head);

/* n / d on the device for n < 2^31. */
struct cuda_div cuda_div_make(uint32_t d);

/*
 * An encoder: makes the step's tasks. 0; -EOPNOTSUPP with a clause in why ("dilation of more than
 * ..."), which the caller puts behind program and step; -ENOMEM.
 */
typedef int (*encode_fn)(struct cuda_plan *plan, const struct step *step, char *why,
			 size_t why_bytes);

int encode_gemm(struct cuda_plan *plan, const struct step *step, char *why, size_t n);
int encode_map(struct cuda_plan *plan, const struct step *step, char *why, size_t n);
int encode_rows(struct cuda_plan *plan, const struct step *step, char *why, size_t n);
int encode_window(struct cuda_plan *plan, const struct step *step, char *why, size_t n);
int encode_attention(struct cuda_plan *plan, const struct step *step, char *why, size_t n);
int encode_rnn(struct cuda_plan *plan, const struct step *step, char *why, size_t n);

#endif
