/* SPDX-License-Identifier: Apache-2.0 */
/* Which outputs a unit of a window task is (task_window.h). */
#ifndef OOO_CUDA_WINDOW_CUH
#define OOO_CUDA_WINDOW_CUH

#include "agent/device/cuda/kernels/rows.cuh"
#include "agent/device/cuda/task_window.h"

/* A unit's first output. */
struct spot {
	u32 n, c; /* c: first channel of the output */
	int h, w;
};

DEVICE u32 take(u32 *i, const struct cuda_div *d)
{
	u32 rest = div_fast(*i, d), index = *i - rest * d->d;

	*i = rest;
	return index;
}

DEVICE struct spot spot_find(const struct window_task *task, u32 unit)
{
	struct spot s;

	if (task->channels_last) {
		s.c = take(&unit, &task->inner) * task->run;
		s.w = (int)(take(&unit, &task->middle) * task->strip);
		s.h = (int)take(&unit, &task->outer);
	} else {
		s.w = (int)take(&unit, &task->inner);
		s.h = (int)take(&unit, &task->middle);
		s.c = take(&unit, &task->outer);
	}
	s.n = unit;
	return s;
}

/* The output's element. */
DEVICE u32 spot_at(const struct window_task *task, const struct spot *s)
{
	u32 w = (u32)task->out_w, h = (u32)task->out_h;

	if (task->channels_last)
		return ((s->n * h + (u32)s->h) * w + (u32)s->w) * task->out_c + s->c;
	return ((s->n * task->out_c + s->c) * h + (u32)s->h) * w + (u32)s->w;
}

#endif
