// SPDX-License-Identifier: Apache-2.0
/*
 * Execute one chunk: find the operands' addresses, then call the primitive or the plain kernel.
 * Workspace addresses follow from the request's slot, inputs and outputs from its binding; both were
 * checked when they were made, so nothing here can be steered by a tenant.
 */
#include <errno.h>
#include <stdlib.h>

#include "agent/device/cpu/clock.h"
#include "agent/device/cpu/cpu.h"
#include "agent/device/cpu/kernels.h"
#include "agent/device/cpu/onednn.h"

static void *address(const struct bundle_item *item, uint32_t id)
{
	const struct device_program *dp = item->program;
	const struct tensor *t;

	if (id == OOO_NONE)
		return NULL;
	t = tensor_origin(dp->program, id);
	switch (t->place) {
	case PLACE_WORKSPACE:
		return dp->workspace + item->slot * dp->slot_bytes + t->offset;
	case PLACE_INPUT:
		return item->binding->io[t->io];
	case PLACE_OUTPUT:
		return item->binding->io[dp->program->nr_inputs + t->io];
	case PLACE_CONST:
		return (void *)t->data;
	default:
		return NULL;
	}
}

static enum ooo_status run_chunk(struct device *dev, unsigned worker,
				 const struct bundle_item *item, unsigned chunk)
{
	const struct step *step = &item->program->program->steps[item->step];
	const struct cpu_step *cs = &item->program->steps[item->step];
	void *operands[CPU_MAX_OPERANDS], **in = operands, **out = in + step->nr_in;
	void **post = out + step->nr_out;
	struct kernel_args args = {
		.step = step,
		.tensors = item->program->program->tensors,
		.in = in,
		.out = out,
		.post = post,
		.scratch = dev->scratch[worker],
	};

	for (unsigned i = 0; i < step->nr_in; i++)
		in[i] = address(item, step->in[i]);
	for (unsigned i = 0; i < step->nr_out; i++)
		out[i] = address(item, step->out[i]);
	for (unsigned i = 0; i < step->nr_post; i++)
		post[i] = address(item, step->post[i].operand);
	if (!cs->prim)
		return kernel_run(&args, chunk, cs->nr_chunks);
	return onednn_run(dev->onednn, cs->prim, chunk, worker, &args);
}

void cpu_run(void *ctx, unsigned worker, struct bundle_item *item, unsigned chunk)
{
	uint64_t start = clock_now_ns();
	enum ooo_status status = run_chunk(ctx, worker, item, chunk);

	if (status != OOO_OK)
		__atomic_store_n(&item->status, (uint16_t)status, __ATOMIC_RELAXED);
	__atomic_fetch_add(&item->service_ns, (uint32_t)(clock_now_ns() - start), __ATOMIC_RELAXED);
}

unsigned cpu_chunks(void *ctx, const struct bundle_item *item)
{
	(void)ctx;
	return item->program->steps[item->step].nr_chunks;
}

int cpu_eval(const struct step *step, const struct tensor *tensors, const void *const *in,
	     void *const *out)
{
	unsigned nr = kernel_chunks(step, tensors);
	size_t bytes = kernel_scratch_bytes(step, tensors);
	struct kernel_args args = {
		.step = step,
		.tensors = tensors,
		.in = (void *const *)in,
		.out = out,
	};
	char why[128];
	int err = 0;

	if (step->nr_post || !kernel_supports(step, tensors, why, sizeof(why)))
		return -EOPNOTSUPP;
	args.scratch = aligned_alloc(64, (bytes + 64) & ~(size_t)63);
	if (!args.scratch)
		return -ENOMEM;
	for (unsigned i = 0; i < nr && !err; i++) {
		if (kernel_run(&args, i, nr) != OOO_OK)
			err = -EINVAL;
	}
	free(args.scratch);
	return err;
}
