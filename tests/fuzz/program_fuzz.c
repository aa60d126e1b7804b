/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs as a hostile tenant might send them. Each is compiled for every image layout, with and
 * without folding; one that is accepted must keep its promises.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/device/device.h"
#include "agent/program/program.h"
#include "tests/unit/program/check.h"

#define MAX_CHECKED_STEPS 200 /* the check is cubic */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stands for the cpu: what the numbers are does not matter here, that they are written does. */
static int eval(const struct step *step, const struct tensor *tensors, const void *const *in,
		void *const *out)
{
	if (in[0] && tensors[step->in[0]].bytes && *(const uint8_t *)in[0] == 0xff)
		return -1;
	for (unsigned k = 0; k < step->nr_out; k++)
		memset(out[k], 0x3f, tensors[step->out[k]].bytes);
	return 0;
}

static void compile(const void *data, size_t size, const struct compile_opts *opts)
{
	struct program *p;
	char why[256];

	why[0] = 0;
	if (program_compile_mem(data, size, opts, &p, why, sizeof(why))) {
		if (p || !why[0])
			abort(); /* refused without a reason */
		return;
	}
	if (p->nr_steps <= MAX_CHECKED_STEPS && check_program(p))
		abort();
	program_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t layouts[] = { LAYOUT_PLAIN, LAYOUT_NHWC, LAYOUT_BLOCK16 };
	void *copy = aligned_alloc(TENSOR_ALIGN, (size / TENSOR_ALIGN + 1) * TENSOR_ALIGN);

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	/* Longer and shorter mutants get past the first check; that one has its unit test. */
	if (size >= sizeof(struct ooo_prog_header))
		((struct ooo_prog_header *)copy)->bytes = size;
	for (int i = 0; i < 3; i++) {
		struct device_caps caps = { .image_layout = layouts[i] };
		struct compile_opts opts = { .caps = &caps, .eval = i ? eval : NULL };

		compile(copy, size, &opts);
	}
	free(copy);
	return 0;
}
