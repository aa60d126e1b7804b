// SPDX-License-Identifier: Apache-2.0
/* The cpu device: the embedded default, the oracle for other devices, and what CI runs. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/device/cpu/cpu.h"
#include "agent/device/cpu/kernels.h"
#include "agent/device/cpu/onednn.h"

#define WORKSPACE_BUDGET (512ull << 20)
#define MIN_SLOTS        2

static unsigned allowed_cores(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) ? 1 : CPU_COUNT(&set);

	return n < 1 ? 1 : (unsigned)n;
}

/* "model name" of /proc/cpuinfo, for people. */
static void describe_cpu(char *out, size_t bytes, unsigned threads)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	const dnnl_version_t *v = dnnl_version();
	char line[256], model[48] = "unknown processor";

	while (file && fgets(line, sizeof(line), file)) {
		char *colon = strchr(line, ':');

		if (colon && !strncmp(line, "model name", 10)) {
			snprintf(model, sizeof(model), "%.*s", (int)strcspn(colon + 2, "\n"),
				 colon + 2);
			break;
		}
	}
	if (file)
		fclose(file);
	snprintf(out, bytes, "%s, %u thread%s, oneDNN %d.%d.%d", model, threads,
		 threads == 1 ? "" : "s", v->major, v->minor, v->patch);
}

static void cpu_close(struct device *dev)
{
	unsigned threads = dev->caps.threads;

	pool_destroy(dev->pool);
	onednn_close(dev->onednn);
	for (unsigned i = 0; i < threads; i++) {
		if (dev->scratch[i])
			munmap(dev->scratch[i], CPU_SCRATCH_BYTES);
	}
	free(dev);
}

static void worker_start(void *ctx, unsigned worker)
{
	(void)ctx;
	(void)worker;
	onednn_single_thread();
}

static void fill_caps(struct device_caps *caps, unsigned threads)
{
	*caps = (struct device_caps){
		.name = "cpu",
		.nr_lanes = 1,
		.lane_depth = CPU_LANE_DEPTH,
		.max_items = BUNDLE_MAX_ITEMS,
		.mixed_classes = true,
		.executes = true,
		.image_layout = LAYOUT_NHWC,
		.threads = threads,
		.flops_per_ns = 50.0,
		.bytes_per_ns = 8.0,
	};
	describe_cpu(caps->description, sizeof(caps->description), threads);
}

static int start(struct device *dev)
{
	struct pool_config config = {
		.threads = dev->caps.threads,
		.nr_lanes = 1,
		.depth = CPU_LANE_DEPTH,
		.ctx = dev,
		.start = worker_start,
		.chunks = cpu_chunks,
		.run = cpu_run,
	};
	int err;

	for (unsigned i = 0; i < config.threads; i++) {
		void *mem = mmap(NULL, CPU_SCRATCH_BYTES, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (mem == MAP_FAILED)
			return -errno;
		dev->scratch[i] = mem;
	}
	err = onednn_open(config.threads, &dev->onednn);
	return err ? err : pool_create(&config, &dev->pool);
}

static int cpu_open(const struct device_config *config, struct device **out, char *why,
		    size_t why_bytes)
{
	struct device *dev = calloc(1, sizeof(*dev));
	unsigned threads = config->threads ? config->threads : allowed_cores();
	int err;

	if (!dev) {
		snprintf(why, why_bytes, "cpu: no memory");
		return -ENOMEM;
	}
	if (threads > CPU_MAX_THREADS) {
		snprintf(why, why_bytes, "cpu: %u threads asked for, at most %d are possible",
			 threads, CPU_MAX_THREADS);
		free(dev);
		return -EINVAL;
	}
	fill_caps(&dev->caps, threads);
	dev->memory_bytes = config->memory_bytes ? config->memory_bytes : WORKSPACE_BUDGET;
	err = start(dev);
	if (err) {
		snprintf(why, why_bytes, "cpu: cannot start %u threads: %s", threads,
			 strerror(-err));
		cpu_close(dev);
		return err;
	}
	*out = dev;
	return 0;
}

static const struct device_caps *cpu_caps(const struct device *dev)
{
	return &dev->caps;
}

static void cpu_unload(struct device *dev, struct device_program *dp)
{
	(void)dev;
	for (uint32_t i = 0; dp->steps && i < dp->program->nr_steps; i++)
		onednn_unload(dp->steps[i].prim);
	if (dp->workspace)
		munmap(dp->workspace, dp->workspace_bytes);
	arena_free(dp->weights);
	free(dp->steps);
	free(dp);
}

static int load_kernel(const struct program *program, const struct step *step, struct cpu_step *cs,
		       char *why, size_t why_bytes)
{
	char reason[160];

	if (!kernel_supports(step, program->tensors, reason, sizeof(reason))) {
		snprintf(why, why_bytes, "program \"%s\": step \"%s\": not on the cpu device: %s",
			 program->name, step->name, reason);
		return -EOPNOTSUPP;
	}
	if (kernel_scratch_bytes(step, program->tensors) > CPU_SCRATCH_BYTES) {
		snprintf(why, why_bytes,
			 "program \"%s\": step \"%s\": needs more than %llu MiB of scratch memory",
			 program->name, step->name, CPU_SCRATCH_BYTES >> 20);
		return -EOPNOTSUPP;
	}
	cs->nr_chunks = kernel_chunks(step, program->tensors);
	return 0;
}

static int load_step(struct device *dev, struct device_program *dp, uint32_t i, char *why,
		     size_t why_bytes)
{
	const struct program *program = dp->program;
	const struct step *step = &program->steps[i];
	struct cpu_step *cs = &dp->steps[i];
	int err;

	if ((unsigned)step->nr_in + step->nr_out + step->nr_post > CPU_MAX_OPERANDS) {
		snprintf(why, why_bytes, "program \"%s\": step \"%s\": more than %d operands",
			 program->name, step->name, CPU_MAX_OPERANDS);
		return -EOPNOTSUPP;
	}
	err = onednn_load(dev->onednn, program, step, dev->caps.threads, dp->weights, &cs->prim);
	if (err == -EOPNOTSUPP)
		return load_kernel(program, step, cs, why, why_bytes);
	if (err) {
		snprintf(why, why_bytes, "program \"%s\": step \"%s\": not enough memory",
			 program->name, step->name);
		return err;
	}
	cs->nr_chunks = cs->prim->nr_chunks;
	dp->packed_bytes += onednn_packed_bytes(cs->prim);
	return 0;
}

static int make_slots(struct device *dev, struct device_program *dp, unsigned max_slots)
{
	size_t one = (dp->program->workspace_bytes + 4095) & ~(size_t)4095;
	uint64_t n = one ? dev->memory_bytes / one : max_slots;

	if (n < MIN_SLOTS)
		n = MIN_SLOTS;
	if (n > max_slots)
		n = max_slots;
	dp->nr_slots = (unsigned)n;
	dp->slot_bytes = one;
	dp->workspace_bytes = one * n;
	if (!one)
		return 0;
	/* Pages are taken when a slot is first used. */
	dp->workspace = mmap(NULL, dp->workspace_bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (dp->workspace == MAP_FAILED) {
		dp->workspace = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int cpu_load(struct device *dev, const struct program *program, unsigned max_slots,
		    struct device_program **out, char *why, size_t why_bytes)
{
	struct device_program *dp = calloc(1, sizeof(*dp));
	int err = -ENOMEM;

	if (!dp)
		goto no_memory;
	dp->program = program;
	dp->steps = calloc(program->nr_steps ? program->nr_steps : 1, sizeof(*dp->steps));
	dp->weights = arena_new(program->weight_bytes + program->weight_bytes / 8);
	if (!dp->steps || !dp->weights || make_slots(dev, dp, max_slots))
		goto no_memory;
	for (uint32_t i = 0; i < program->nr_steps; i++) {
		err = load_step(dev, dp, i, why, why_bytes);
		if (err)
			goto fail;
	}
	*out = dp;
	return 0;

no_memory:
	snprintf(why, why_bytes, "program \"%s\": not enough memory for its workspace of %zu bytes",
		 program->name, program->workspace_bytes);
fail:
	if (dp)
		cpu_unload(dev, dp);
	return err;
}

static unsigned cpu_slots(const struct device_program *dp)
{
	return dp->nr_slots;
}

static void cpu_footprint(const struct device_program *dp, uint64_t *weight_bytes,
			  uint64_t *workspace_bytes)
{
	*weight_bytes = dp->program->weight_bytes > dp->packed_bytes ? dp->program->weight_bytes
								     : dp->packed_bytes;
	*workspace_bytes = dp->workspace_bytes;
}

static int cpu_bind(struct device *dev, struct device_program *dp, void *const *io,
		    struct device_binding **out)
{
	struct device_binding *b = malloc(sizeof(*b));

	(void)dev;
	if (!b)
		return -ENOMEM;
	memcpy(b->io, io, (dp->program->nr_inputs + dp->program->nr_outputs) * sizeof(*io));
	*out = b;
	return 0;
}

static void cpu_unbind(struct device *dev, struct device_binding *binding)
{
	(void)dev;
	free(binding);
}

static int cpu_submit(struct device *dev, struct bundle *b)
{
	for (uint32_t i = 0; i < b->nr_items; i++) {
		b->items[i].status = OOO_OK;
		b->items[i].scope = SCOPE_NONE;
		b->items[i].service_ns = 0;
	}
	b->scope = SCOPE_NONE;
	return pool_submit(dev->pool, b);
}

static unsigned cpu_poll(struct device *dev, struct bundle **done, unsigned max)
{
	unsigned n = pool_poll(dev->pool, done, max);

	for (unsigned k = 0; k < n; k++) {
		for (uint32_t i = 0; i < done[k]->nr_items; i++) {
			if (done[k]->items[i].status != OOO_OK)
				done[k]->items[i].scope = SCOPE_REQUEST;
		}
	}
	return n;
}

const struct device_ops cpu_device_ops = {
	.name = "cpu",
	.api_version = DEVICE_API_VERSION,
	.open = cpu_open,
	.close = cpu_close,
	.caps = cpu_caps,
	.load = cpu_load,
	.unload = cpu_unload,
	.slots = cpu_slots,
	.footprint = cpu_footprint,
	.bind = cpu_bind,
	.unbind = cpu_unbind,
	.submit = cpu_submit,
	.poll = cpu_poll,
	.eval = cpu_eval,
};
