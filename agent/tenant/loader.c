/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tenant/loader.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/tenant/object.h"

enum {
	QUEUE_LOAD,
	QUEUE_QUICK,
	QUEUE_CLOSE,
	NR_QUEUES
};

struct job_queue {
	struct loader *loader;
	pthread_t thread;
	pthread_cond_t wake;
	struct job *head, *tail;
	bool busy, stop;
};

struct loader {
	const struct device_ops *ops;
	struct device *dev;
	pthread_mutex_t lock; /* all queues and the done list; held for a few instructions */
	/* Devices keep load apart from submit, but need not keep load and unload apart. Bindings and
	 * arenas come from one queue, and do not wait for what may take seconds. */
	pthread_mutex_t device_lock;
	struct job_queue queues[NR_QUEUES];
	struct job *done_head, *done_tail;
	int fd;
};

static void say_quota(char *why, size_t why_bytes, const struct program *p, const char *what,
		      uint64_t need, uint64_t left)
{
	snprintf(
		why, why_bytes,
		"program \"%s\": needs %llu bytes of %s and the tenant has %llu left, %llu too few",
		p->name, (unsigned long long)need, what, (unsigned long long)left,
		(unsigned long long)(need - left));
}

/* What the tenant's quota leaves of a limit; never 0, which the compiler takes for no limit. */
static uint64_t left_of(const struct job *job, uint64_t limit)
{
	uint64_t left =
		job->memory_bytes > job->memory_used ? job->memory_bytes - job->memory_used : 1;

	return job->memory_bytes && left < limit ? left : limit;
}

static int check_memory(const struct job *job, const struct program_inst *inst, char *why,
			size_t why_bytes)
{
	uint64_t need = inst->weight_bytes + inst->workspace_bytes;

	if (!job->memory_bytes ||
	    (job->memory_used <= job->memory_bytes && need <= job->memory_bytes - job->memory_used))
		return 0;
	snprintf(
		why, why_bytes,
		"program \"%s\": needs %llu bytes (weights %llu, workspace %llu) and the tenant has a "
		"quota of %llu bytes of device memory, of which it uses %llu",
		inst->program->name, (unsigned long long)need,
		(unsigned long long)inst->weight_bytes, (unsigned long long)inst->workspace_bytes,
		(unsigned long long)job->memory_bytes, (unsigned long long)job->memory_used);
	return -EDQUOT;
}

static int check_footprint(const struct job *job, const struct program_inst *inst, char *why,
			   size_t why_bytes)
{
	if (inst->weight_bytes > job->max_weight_bytes) {
		say_quota(why, why_bytes, inst->program, "weights", inst->weight_bytes,
			  job->max_weight_bytes);
		return -EDQUOT;
	}
	if (inst->workspace_bytes > job->max_workspace_bytes) {
		say_quota(why, why_bytes, inst->program, "workspace", inst->workspace_bytes,
			  job->max_workspace_bytes);
		return -EDQUOT;
	}
	return check_memory(job, inst, why, why_bytes);
}

/* The compiler knows one limit of each kind: say that it came of the tenant's quota, if it did. */
static void say_memory(struct job *job)
{
	size_t at = strlen(job->why);

	if (job->memory_bytes)
		snprintf(
			job->why + at, sizeof(job->why) - at,
			"; the tenant has a quota of %llu bytes of device memory, of which it uses "
			"%llu",
			(unsigned long long)job->memory_bytes,
			(unsigned long long)job->memory_used);
}

static int device_load(struct loader *l, const struct program *program, struct device_program **dp,
		       char *why, size_t why_bytes)
{
	int err;

	pthread_mutex_lock(&l->device_lock);
	err = l->ops->load(l->dev, program, PROGRAM_MAX_SLOTS, dp, why, why_bytes);
	pthread_mutex_unlock(&l->device_lock);
	return err;
}

static void device_unload(struct loader *l, struct device_program *dp)
{
	pthread_mutex_lock(&l->device_lock);
	l->ops->unload(l->dev, dp);
	pthread_mutex_unlock(&l->device_lock);
}

static void device_unbind(struct loader *l, struct device_binding *binding)
{
	l->ops->unbind(l->dev, binding);
}

static int run_load(struct loader *l, struct job *job)
{
	struct compile_opts opts = {
		.caps = l->ops->caps(l->dev),
		.precision = job->precision,
		.max_weight_bytes = left_of(job, job->max_weight_bytes),
		.max_workspace_bytes = left_of(job, job->max_workspace_bytes),
		.eval = l->ops->eval,
	};
	struct program *program = NULL;
	struct device_program *dp = NULL;
	int err = program_compile(job->fd, job->bytes, &opts, &program, job->why, sizeof(job->why));

	if (err == -EDQUOT)
		say_memory(job);
	if (err)
		goto close;
	/* Among the tenants of one user nothing is revealed: neither contents nor that they match. */
	program->share_key = job->share_weights ? (uint64_t)job->tenant->uid + 1 : 0;
	err = device_load(l, program, &dp, job->why, sizeof(job->why));
	if (err)
		goto free_program;
	err = program_inst_new(job->tenant, job->index, program, dp, l->ops->slots(dp), &job->inst,
			       job->why, sizeof(job->why));
	if (err)
		goto unload;
	program_inst_classify(job->inst, l->ops);
	l->ops->footprint(dp, &job->inst->weight_bytes, &job->inst->workspace_bytes);
	err = check_footprint(job, job->inst, job->why, sizeof(job->why));
	if (err)
		goto free_inst;
	job->inst->fd = job->fd;
	job->inst->fd_bytes = job->bytes;
	job->inst->precision = job->precision;
	job->fd = -1;
	return 0;

free_inst:
	program_inst_free(job->inst);
	job->inst = NULL;
unload:
	device_unload(l, dp);
free_program:
	program_free(program);
close:
	close(job->fd);
	job->fd = -1;
	return err;
}

/* Once for each tenant, before its first binding: one without bindings pins no memory. BIND and
 * RELEASE come from one queue, so nothing else looks at arena_mapped meanwhile. */
static int map_arena(struct loader *l, struct job *job)
{
	struct tenant *t = job->tenant;
	int err;

	if (t->arena_mapped || !t->arena || !l->ops->map_arena)
		return 0;
	err = l->ops->map_arena(l->dev, t->arena, t->arena_bytes);
	if (err)
		snprintf(job->why, sizeof(job->why),
			 "the device cannot map the tenant's arena of %llu bytes: %s; connect with "
			 "a smaller one",
			 (unsigned long long)t->arena_bytes, strerror(-err));
	else
		t->arena_mapped = true;
	return err ? -ENOMEM : 0;
}

static void unmap_arena(struct loader *l, struct tenant *t)
{
	if (!t || !t->arena_mapped)
		return;
	l->ops->unmap_arena(l->dev, t->arena);
	t->arena_mapped = false;
}

static int run_bind(struct loader *l, struct job *job)
{
	int err = map_arena(l, job);

	if (err)
		return err;
	err = l->ops->bind(l->dev, job->inst->dp, job->io, &job->binding);
	if (err)
		snprintf(job->why, sizeof(job->why), "program \"%s\": the device cannot bind: %s",
			 job->inst->program->name, strerror(-err));
	return err;
}

static void unload_inst(struct loader *l, struct program_inst *inst)
{
	if (!inst)
		return;
	for (unsigned i = 0; i < PROGRAM_MAX_BINDINGS; i++) {
		if (inst->bindings[i])
			device_unbind(l, inst->bindings[i]);
	}
	device_unload(l, inst->dp);
	program_free((struct program *)inst->program);
	if (inst->fd >= 0)
		close(inst->fd);
	program_inst_free(inst);
}

static int run_job(struct loader *l, struct job *job)
{
	switch (job->type) {
	case JOB_LOAD:
		return run_load(l, job);
	case JOB_BIND:
		return run_bind(l, job);
	case JOB_UNBIND:
		device_unbind(l, job->binding);
		job->binding = NULL;
		return 0;
	case JOB_UNLOAD:
		unload_inst(l, job->inst);
		job->inst = NULL;
		return 0;
	case JOB_RELEASE:
		for (unsigned i = 0; i < TENANT_MAX_PROGRAMS; i++)
			unload_inst(l, job->insts[i]);
		unmap_arena(l, job->tenant);
		tenant_free(job->tenant);
		job->tenant = NULL;
		return 0;
	case JOB_CLOSE:
		for (uint32_t i = 0; i < job->nr_fds; i++)
			close(job->fds[i]);
		return 0;
	}
	return -EINVAL;
}

static void give_back(struct job_queue *q, struct job *job)
{
	struct loader *l = q->loader;
	uint64_t one = 1;
	ssize_t n;

	job->next = NULL;
	pthread_mutex_lock(&l->lock);
	q->busy = false;
	if (l->done_tail)
		l->done_tail->next = job;
	else
		l->done_head = job;
	l->done_tail = job;
	pthread_mutex_unlock(&l->lock);
	do
		n = write(l->fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
}

static struct job *next_job(struct job_queue *q)
{
	struct job *job;

	pthread_mutex_lock(&q->loader->lock);
	while (!q->head && !q->stop)
		pthread_cond_wait(&q->wake, &q->loader->lock);
	job = q->head;
	if (job) {
		q->head = job->next;
		if (!q->head)
			q->tail = NULL;
		q->busy = true;
	}
	pthread_mutex_unlock(&q->loader->lock);
	return job;
}

static void *loader_main(void *arg)
{
	struct job_queue *q = arg;
	struct job *job;

	pthread_setname_np(pthread_self(),
			   q == &q->loader->queues[QUEUE_CLOSE] ? "ooo-closer" : "ooo-loader");
	while ((job = next_job(q))) {
		job->result = run_job(q->loader, job);
		give_back(q, job);
	}
	return NULL;
}

void loader_post(struct loader *l, struct job *job)
{
	struct job_queue *q = &l->queues[QUEUE_QUICK];

	if (job->type == JOB_LOAD)
		q = &l->queues[QUEUE_LOAD];
	else if (job->type == JOB_CLOSE)
		q = &l->queues[QUEUE_CLOSE];
	job->next = NULL;
	job->result = 0;
	job->why[0] = '\0';
	pthread_mutex_lock(&l->lock);
	if (q->tail)
		q->tail->next = job;
	else
		q->head = job;
	q->tail = job;
	pthread_cond_signal(&q->wake);
	pthread_mutex_unlock(&l->lock);
}

struct job *loader_done(struct loader *l)
{
	struct job *job;

	pthread_mutex_lock(&l->lock);
	job = l->done_head;
	if (job) {
		l->done_head = job->next;
		if (!l->done_head)
			l->done_tail = NULL;
	}
	pthread_mutex_unlock(&l->lock);
	return job;
}

int loader_fd(const struct loader *l)
{
	return l->fd;
}

/* False: the queue's thread is in a close() that blocks, and was left behind. */
static bool stop_queue(struct job_queue *q)
{
	bool blocked;

	pthread_mutex_lock(&q->loader->lock);
	q->stop = true;
	blocked = q->busy && q == &q->loader->queues[QUEUE_CLOSE];
	pthread_cond_signal(&q->wake);
	pthread_mutex_unlock(&q->loader->lock);
	if (blocked)
		pthread_detach(q->thread);
	else
		pthread_join(q->thread, NULL);
	return !blocked;
}

static void free_loader(struct loader *l)
{
	for (int i = 0; i < NR_QUEUES; i++)
		pthread_cond_destroy(&l->queues[i].wake);
	pthread_mutex_destroy(&l->lock);
	pthread_mutex_destroy(&l->device_lock);
	close(l->fd);
	free(l);
}

void loader_stop(struct loader *l)
{
	bool all = true;

	for (int i = 0; i < NR_QUEUES; i++)
		all &= stop_queue(&l->queues[i]);
	if (all) /* else the thread left behind still uses it */
		free_loader(l);
}

int loader_start(const struct device_ops *ops, struct device *dev, struct loader **out)
{
	struct loader *l = calloc(1, sizeof(*l));
	int err, i;

	if (!l)
		return -ENOMEM;
	l->ops = ops;
	l->dev = dev;
	l->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->fd < 0) {
		err = -errno;
		free(l);
		return err;
	}
	pthread_mutex_init(&l->lock, NULL);
	pthread_mutex_init(&l->device_lock, NULL);
	for (i = 0; i < NR_QUEUES; i++)
		pthread_cond_init(&l->queues[i].wake, NULL);
	for (i = 0; i < NR_QUEUES; i++) {
		l->queues[i].loader = l;
		err = -pthread_create(&l->queues[i].thread, NULL, loader_main, &l->queues[i]);
		if (err)
			goto stop;
	}
	*out = l;
	return 0;

stop:
	while (i-- > 0)
		stop_queue(&l->queues[i]);
	free_loader(l);
	return err;
}
