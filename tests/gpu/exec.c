/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/gpu/exec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "shared/abi/status.h"
#include "shared/client/internal.h"

#define GUARD     256
#define TIMEOUT_S 120

int exec_open(struct exec_device *d, const struct device_config *config, char why[EXEC_WHY])
{
	memset(d, 0, sizeof(*d));
	return device_open(config, &d->ops, &d->dev, why, EXEC_WHY);
}

void exec_close(struct exec_device *d)
{
	if (d->dev)
		d->ops->close(d->dev);
	d->dev = NULL;
}

static uint32_t io_tensor(const struct exec *e, unsigned io)
{
	return io < e->p->nr_inputs ? e->p->inputs[io] : e->p->outputs[io - e->p->nr_inputs];
}

size_t exec_io_bytes(const struct exec *e, unsigned io)
{
	return e->p->tensors[io_tensor(e, io)].bytes;
}

void *exec_io(const struct exec *e, unsigned slot, unsigned io)
{
	return e->memory + slot * e->each + e->off[io];
}

static unsigned nr_io(const struct exec *e)
{
	return e->p->nr_inputs + e->p->nr_outputs;
}

static int map_memory(struct exec *e)
{
	for (unsigned io = 0; io < nr_io(e); io++) {
		e->off[io] = e->each + GUARD;
		e->each = (e->off[io] + exec_io_bytes(e, io) + GUARD + 255) / 256 * 256;
	}
	e->bytes = (e->nr * e->each + 4096) / 4096 * 4096;
	e->memory = mmap(NULL, e->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (e->memory == MAP_FAILED) {
		e->memory = NULL;
		return -ENOMEM;
	}
	return e->d->ops->map_arena ? e->d->ops->map_arena(e->d->dev, e->memory, e->bytes) : 0;
}

static int bind_all(struct exec *e)
{
	int err = map_memory(e);

	e->bindings = calloc(e->nr, sizeof(struct device_binding *));
	if (!e->bindings)
		return -ENOMEM;
	for (unsigned i = 0; i < e->nr && !err; i++) {
		void *io[OOO_MAX_IO];

		for (unsigned k = 0; k < nr_io(e); k++)
			io[k] = exec_io(e, i, k);
		err = e->d->ops->bind(e->d->dev, e->dp, io, &e->bindings[i]);
	}
	return err;
}

/* Takes over p and data. */
static int load(struct exec_device *d, struct program *p, void *data, unsigned nr,
		struct exec **out, char why[EXEC_WHY])
{
	struct exec *e = calloc(1, sizeof(*e));
	int err;

	if (!e)
		abort();
	e->d = d;
	e->p = p;
	e->data = data;
	e->nr = nr;
	why[0] = '\0';
	err = d->ops->load(d->dev, p, nr, &e->dp, why, EXEC_WHY);
	if (!err && d->ops->slots(e->dp) < nr) {
		snprintf(why, EXEC_WHY, "%s: %u slots, not %u", p->name, d->ops->slots(e->dp), nr);
		err = -ENOMEM;
	}
	if (!err) {
		err = bind_all(e);
		if (err)
			snprintf(why, EXEC_WHY, "%s: bind: %s", p->name, strerror(-err));
	}
	if (err) {
		exec_free(e);
		return err;
	}
	*out = e;
	return 0;
}

static struct compile_opts compile_opts(const struct exec_device *d, uint8_t precision)
{
	return (struct compile_opts){ .caps = d->ops->caps(d->dev),
				      .precision = precision,
				      .eval = d->ops->eval };
}

int exec_load(struct exec_device *d, void *data, uint64_t bytes, uint8_t precision, unsigned nr,
	      struct exec **out, char why[EXEC_WHY])
{
	struct compile_opts opts = compile_opts(d, precision);
	struct program *p;
	int err = program_compile_mem(data, bytes, &opts, &p, why, EXEC_WHY);

	if (!err)
		return load(d, p, data, nr, out, why);
	free(data);
	return err;
}

int exec_load_builder(struct exec_device *d, const struct ooo_builder *b, uint8_t precision,
		      unsigned nr, struct exec **out, char why[EXEC_WHY])
{
	struct compile_opts opts = compile_opts(d, precision);
	struct program *p;
	uint64_t bytes;
	int fd, err;

	err = client_encode(b, &fd, &bytes, why, EXEC_WHY);
	if (err)
		return err;
	err = program_compile(fd, bytes, &opts, &p, why, EXEC_WHY);
	close(fd);
	return err ? err : load(d, p, NULL, nr, out, why);
}

int exec_load_program(struct exec_device *d, struct program *p, unsigned nr, struct exec **out,
		      char why[EXEC_WHY])
{
	return load(d, p, p, nr, out, why);
}

void exec_free(struct exec *e)
{
	const struct device_ops *ops;

	if (!e)
		return;
	ops = e->d->ops;
	for (unsigned i = 0; e->bindings && i < e->nr; i++)
		if (e->bindings[i])
			ops->unbind(e->d->dev, e->bindings[i]);
	if (e->dp)
		ops->unload(e->d->dev, e->dp);
	if (e->memory) {
		if (ops->unmap_arena)
			ops->unmap_arena(e->d->dev, e->memory);
		munmap(e->memory, e->bytes);
	}
	if (e->data != e->p) {
		program_free(e->p);
		free(e->data);
	}
	free(e->bindings);
	free(e);
}

static uint64_t next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

void exec_poison_outputs(const struct exec *e, unsigned slot)
{
	for (unsigned io = e->p->nr_inputs; io < nr_io(e); io++)
		memset(exec_io(e, slot, io), 0xff, exec_io_bytes(e, io));
}

void exec_fill(const struct exec *e, unsigned slot, uint64_t seed)
{
	seed = seed * 0x9e3779b97f4a7c15ull + 1;
	memset(e->memory + slot * e->each, 0xff, e->each);
	for (unsigned io = 0; io < e->p->nr_inputs; io++) {
		const struct tensor *t = &e->p->tensors[e->p->inputs[io]];
		size_t size = dtype_bytes(t->shape.dtype), n = t->bytes / size;
		char *at = exec_io(e, slot, io);

		if (t->shape.dtype != OOO_FP32)
			memset(at, 0, t->bytes);
		for (size_t i = 0; i < n; i++) {
			uint64_t r = next_random(&seed);
			float f = (float)((double)(r >> 11) / (double)(1ull << 52) - 1);
			/* 1 .. 2 and negative: the upper half of an fp16 or bf16 number */
			uint16_t half = t->shape.dtype == OOO_FP16
						? (uint16_t)(0x3000 | (r >> 40 & 0x8bff))
						: (uint16_t)(0x3e00 | (r >> 40 & 0x81ff));

			if (t->shape.dtype == OOO_FP32)
				memcpy(at + i * 4, &f, 4);
			else if (t->shape.dtype == OOO_FP16 || t->shape.dtype == OOO_BF16)
				memcpy(at + i * 2, &half, 2);
			else
				at[i * size] = (char)(r >> 60 & 1);
		}
	}
}

/* ---- running ----------------------------------------------------------------------------------- */

/* What has not come back yet. */
struct run {
	struct exec_device *d;
	unsigned in_flight;
	time_t end;
};

static void note(struct bundle *b)
{
	for (uint32_t i = 0; i < b->nr_items; i++) {
		struct exec_request *r = b->items[i].request;

		if (b->items[i].status != OOO_OK && r->status == OOO_OK)
			r->status = b->items[i].status;
		if (b->scope > r->scope)
			r->scope = b->scope;
		if (b->items[i].scope > r->scope)
			r->scope = b->items[i].scope;
	}
}

static int reap(struct run *run)
{
	struct bundle *done[32];
	unsigned n = run->d->ops->poll(run->d->dev, done, 32);

	for (unsigned i = 0; i < n; i++) {
		run->d->busy_ns += done[i]->end_ns - done[i]->start_ns;
		run->d->nr_bundles++;
		note(done[i]);
		free(done[i]);
		run->in_flight--;
	}
	if (n)
		run->end = time(NULL) + TIMEOUT_S;
	return !n && time(NULL) > run->end ? -ETIMEDOUT : 0;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int submit(struct run *run, struct bundle *b)
{
	int err;

	b->submit_ns = now_ns();
	while ((err = run->d->ops->submit(run->d->dev, b)) == -EAGAIN) {
		err = reap(run);
		if (err)
			return err;
	}
	if (err)
		free(b);
	else
		run->in_flight++;
	return err;
}

static uint32_t class_of(const struct exec_device *d, const struct exec_request *r, uint32_t step)
{
	if (d->ops->caps(d->dev)->mixed_classes)
		return 0;
	return d->ops->step_class ? d->ops->step_class(r->e->dp, step) : r->e->p->steps[step].klass;
}

/* Step `step` of all requests whose programs have it. */
static int submit_step(struct run *run, struct exec_request *requests, unsigned n, uint32_t step,
		       uint16_t lane)
{
	unsigned max = run->d->ops->caps(run->d->dev)->max_items;
	bool left[BUNDLE_MAX_ITEMS];
	int err = 0;

	for (unsigned i = 0; i < n; i++)
		left[i] = step < requests[i].e->p->nr_steps;
	for (unsigned first = 0; first < n && !err; first++) {
		struct bundle *b;

		if (!left[first])
			continue;
		b = calloc(1, sizeof(*b));
		if (!b)
			return -ENOMEM;
		b->lane = lane;
		for (unsigned i = first; i < n && b->nr_items < max; i++) {
			struct exec_request *r = &requests[i];

			if (!left[i] ||
			    class_of(run->d, r, step) != class_of(run->d, &requests[first], step))
				continue;
			b->items[b->nr_items++] =
				(struct bundle_item){ .program = r->e->dp,
						      .binding = r->e->bindings[r->slot],
						      .step = step,
						      .slot = r->slot,
						      .request = r };
			left[i] = false;
		}
		err = submit(run, b);
	}
	return err;
}

int exec_run(struct exec_device *d, struct exec_request *requests, unsigned n, uint16_t lane)
{
	struct run run = { .d = d, .end = time(NULL) + TIMEOUT_S };
	uint32_t steps = 0;
	int err = 0, late = 0;

	for (unsigned i = 0; i < n; i++) {
		requests[i].status = OOO_OK;
		requests[i].scope = SCOPE_NONE;
		if (requests[i].e->p->nr_steps > steps)
			steps = requests[i].e->p->nr_steps;
	}
	for (uint32_t s = 0; s < steps && !err; s++)
		err = submit_step(&run, requests, n, s, lane);
	while (run.in_flight && !late)
		late = reap(&run);
	return err ? err : late;
}
