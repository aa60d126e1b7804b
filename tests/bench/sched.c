// SPDX-License-Identifier: Apache-2.0
/*
 * What scheduling costs: N tenants keep 10,000 steps in the window of one device that takes no real
 * time; its clock is virtual, a bundle takes what was predicted. Processor time of the stages that
 * decide (bind, window, bundle: admission, policy, packing) by submission, one JSON object for each N.
 * Reading that clock is a system call, twice a turn: what two readings in a row take is taken off.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "tests/unit/flow/harness.h"

#define STEPS_IN_WINDOW 10000
#define SUBMISSIONS     400000

static uint64_t clock_ns = 1000000000;
static struct bundle *held;

static int instant_submit(struct device *dev, struct bundle *b)
{
	(void)dev;
	if (held)
		return -EAGAIN;
	b->start_ns = clock_ns;
	for (uint32_t i = 0; i < b->nr_items; i++) {
		clock_ns += b->items[i].predicted_ns;
		b->items[i].service_ns = b->items[i].predicted_ns;
		b->items[i].status = OOO_OK;
	}
	b->scope = SCOPE_NONE;
	b->end_ns = clock_ns;
	held = b;
	return 0;
}

static unsigned instant_poll(struct device *dev, struct bundle **done, unsigned max)
{
	(void)dev;
	(void)max;
	if (!held)
		return 0;
	done[0] = held;
	held = NULL;
	return 1;
}

static uint64_t instant_clock(struct device *dev)
{
	(void)dev;
	return clock_ns;
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static uint64_t clock_cost_ns(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < 100000; i++) {
		uint64_t begin = cpu_ns();

		sum += cpu_ns() - begin;
	}
	return sum / 100000;
}

/* dispatcher_turn(), with a watch. */
static uint64_t turn_once(struct dispatcher *d, uint64_t watch_ns)
{
	uint64_t begin, end;

	d->now_ns = d->policy.now_ns = clock_ns;
	fetch_run(d);
	begin = cpu_ns();
	bind_run(d);
	window_run(d);
	bundle_run(d);
	end = cpu_ns();
	dispatch_run(d);
	retire_run(d);
	return end - begin > watch_ns ? end - begin - watch_ns : 0;
}

static double run(uint32_t n, bool deadlines)
{
	const uint64_t watch_ns = clock_cost_ns();
	struct device_ops ops = sim_device_ops;
	struct turn_config turn = { .runahead_us = 1000, .bundle_us = 2000 };
	struct fake_tenant **f = calloc(n, sizeof(*f));
	struct fake_program **p = calloc(n, sizeof(*p));
	uint32_t each = n > STEPS_IN_WINDOW ? 1 : STEPS_IN_WINDOW / n;
	uint64_t spent = 0, sent = 0;
	struct rig rig;
	double ns;

	rig_open(&rig, (struct device_config){ 0 }, turn);
	ops.submit = instant_submit;
	ops.poll = instant_poll;
	ops.clock_ns = instant_clock;
	rig.d->ops = &ops;
	for (uint32_t i = 0; i < n; i++) {
		clock_ns += 1000000; /* those before doze */
		f[i] = tenant_make(&rig, i, each < 8 ? 8 : 1024);
		f[i]->t.params.weight = 1 + i % 400;
		f[i]->t.params.klass = (uint8_t)(i % TENANT_CLASSES);
		f[i]->t.params.admission = ADMISSION_LATE;
		p[i] = program_make(&rig, f[i], 0, 1, 64, chain);
		p[i]->inst.cost_ns[0] = 1000 + i % 7000;
		p[i]->inst.work_ns = p[i]->inst.cost_ns[0];
	}
	while (sent < SUBMISSIONS) {
		for (uint32_t i = 0; i < n; i++) {
			uint32_t in_flight = f[i]->sq_tail - f[i]->cq_head;

			if (in_flight > each / 2 && in_flight > reapable(f[i]))
				continue;
			awake_touch(rig.d, &f[i]->t);
			while (reapable(f[i]))
				reap(f[i]);
			for (; f[i]->sq_tail - f[i]->cq_head < each; sent++)
				push(f[i], 0, sent,
				     deadlines && i % 2 ? clock_ns + 5000000 + i % 97 * 10000 : 0);
		}
		for (uint32_t i = 0; i < 32; i++)
			spent += turn_once(rig.d, watch_ns);
	}
	while (rig.d->nr_requests)
		spent += turn_once(rig.d, watch_ns);
	ns = (double)spent / (double)sent;
	for (uint32_t i = 0; i < n; i++) {
		tenant_remove(&rig, f[i]);
		program_free_memory(&rig, p[i]);
	}
	rig_close(&rig);
	free(f);
	free(p);
	return ns;
}

int main(void)
{
	const struct rlimit files = { 65536, 65536 };

	if (setrlimit(RLIMIT_NOFILE, &files))
		perror("sched: cannot open files for 10,000 tenants");
	for (int deadlines = 0; deadlines < 2; deadlines++) {
		for (uint32_t n = 10; n <= 10000; n *= 10)
			printf("{\"bench\":\"sched\",\"tenants\":%u,\"steps_in_window\":%u,"
			       "\"deadlines\":%s,\"ns_per_submission\":%.0f}\n",
			       n, STEPS_IN_WINDOW, deadlines ? "true" : "false", run(n, deadlines));
	}
	return 0;
}
