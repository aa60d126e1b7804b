// SPDX-License-Identifier: Apache-2.0
/* `trace offcpu`: when the dispatcher's and the tenants' threads did not run, beside the device's times. */
#include <bpf/bpf.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/trace/trace.h"

/* Behind the structs that it names. */
#include "bpf/offcpu.skel.h"

#define DISPATCHER "ooo-dispatcher"

struct before {
	struct trace_device device;
	uint64_t lost;
	unsigned nr;
	uint32_t key[TRACE_THREADS];
	struct trace_thread thread[TRACE_THREADS];
};

static int load(struct trace *t)
{
	struct offcpu_bpf *skel = offcpu_bpf__open();

	if (!skel)
		return -errno;
	t->skel = skel;
	t->object = skel->obj;
	t->state = calloc(1, sizeof(struct before));
	return t->state ? offcpu_bpf__load(skel) : -ENOMEM;
}

static void watch(struct trace *t, uint32_t pid, uint32_t role)
{
	struct offcpu_bpf *skel = t->skel;

	bpf_map_update_elem(bpf_map__fd(skel->maps.watched), &pid, &role, BPF_NOEXIST);
}

/* The agent, and the tenants that its recorder knows. */
static void watch_all(struct trace *t)
{
	watch(t, (uint32_t)t->agent.pid, TRACE_AGENT);
	for (unsigned i = 0; i < t->flight.nr; i++) {
		const struct flight_device *d = &t->flight.devices[i];

		for (size_t n = 0; n < d->names.nr; n++) {
			const struct ooo_record_name *name =
				(const struct ooo_record_name *)d->names.items + n;

			if (name->program == OOO_RECORD_NONE && name->pid &&
			    trace_wants(t, name->tenant))
				watch(t, name->pid, TRACE_TENANT);
		}
	}
}

static void look(struct trace *t)
{
	trace_names(t);
	watch_all(t);
	flight_close(&t->flight);
}

static int begin(struct trace *t)
{
	look(t);
	return 0;
}

/* Tenants come while it runs. */
static void wait_ms(struct trace *t, int ms)
{
	struct timespec pause = { .tv_nsec = ms * 1000000L };

	nanosleep(&pause, NULL);
	look(t);
}

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* What still lasts counts until now. */
static void until_now(struct trace_thread *now)
{
	uint64_t at_ns = clock_ns(), ns;

	if (!now->since_ns || at_ns < now->since_ns)
		return;
	ns = at_ns - now->since_ns;
	now->blocked_ns += now->state == TRACE_BLOCKED ? ns : 0;
	now->stopped_ns += now->state == TRACE_STOPPED ? ns : 0;
	now->queued_ns += now->state == TRACE_QUEUED ? ns : 0;
}

static struct trace_thread *before_of(struct before *b, uint32_t tid)
{
	for (unsigned i = 0; i < b->nr; i++) {
		if (b->key[i] == tid)
			return &b->thread[i];
	}
	if (b->nr == TRACE_THREADS)
		return NULL;
	b->key[b->nr] = tid;
	return &b->thread[b->nr++];
}

static double grown(uint64_t now, uint64_t old)
{
	return now > old ? (double)(now - old) : 0;
}

static void add_row(cJSON *rows, uint32_t tid, const struct trace_thread *now,
		    const struct trace_thread *old)
{
	cJSON *row = cJSON_CreateObject();
	char comm[sizeof(now->comm) + 1] = "";

	memcpy(comm, now->comm, sizeof(now->comm));
	cJSON_AddStringToObject(row, "role", now->role == TRACE_AGENT ? "agent" : "tenant");
	cJSON_AddStringToObject(row, "thread", comm);
	cJSON_AddNumberToObject(row, "pid", now->tgid);
	cJSON_AddNumberToObject(row, "tid", tid);
	trace_add_us(row, "queued_us", grown(now->queued_ns, old->queued_ns));
	trace_add_us(row, "queued_max_us", (double)now->queued_max_ns);
	trace_add_us(row, "blocked_us", grown(now->blocked_ns, old->blocked_ns));
	trace_add_us(row, "stopped_us", grown(now->stopped_ns, old->stopped_ns));
	cJSON_AddNumberToObject(row, "preempted", grown(now->preempted, old->preempted));
	cJSON_AddNumberToObject(row, "wakeups", grown(now->wakeups, old->wakeups));
	cJSON_AddNumberToObject(row, "faults", grown(now->faults, old->faults));
	cJSON_AddItemToArray(rows, row);
}

/* The longer one is where to look first. */
static void add_totals(struct trace *t, cJSON *root, double host_ns)
{
	struct offcpu_bpf *skel = t->skel;
	struct before *b = t->state;
	struct trace_device device = skel->bss->device;
	double run_ns = grown(device.run_ns, b->device.run_ns);

	trace_add_us(root, "host_stall_us", host_ns);
	trace_add_us(root, "device_launch_us", grown(device.launch_ns, b->device.launch_ns));
	trace_add_us(root, "device_run_us", run_ns);
	trace_add_us(root, "device_run_max_us", (double)device.run_max_ns);
	cJSON_AddNumberToObject(root, "bundles", grown(device.bundles, b->device.bundles));
	cJSON_AddStringToObject(root, "longer",
				host_ns > run_ns ? "host" : (run_ns > 0 ? "device" : "neither"));
	cJSON_AddNumberToObject(root, "lost", grown(skel->bss->lost, b->lost));
	b->device = device;
	b->lost = skel->bss->lost;
	skel->bss->device.run_max_ns = 0;
}

static int report(struct trace *t, cJSON *root, cJSON *rows)
{
	struct offcpu_bpf *skel = t->skel;
	struct before *b = t->state;
	int fd = bpf_map__fd(skel->maps.threads);
	uint32_t key, *prev = NULL;
	double host_ns = 0;

	while (!bpf_map_get_next_key(fd, prev, &key)) {
		struct trace_thread now, *old;

		prev = &key;
		if (bpf_map_lookup_elem(fd, &key, &now))
			continue;
		old = before_of(b, key);
		if (!old)
			return -ENOMEM;
		until_now(&now);
		add_row(rows, key, &now, old);
		if (!strncmp(now.comm, DISPATCHER, sizeof(now.comm)))
			host_ns += grown(now.queued_ns, old->queued_ns) +
				   grown(now.stopped_ns, old->stopped_ns);
		*old = now;
	}
	add_totals(t, root, host_ns);
	return 0;
}

static void offcpu_free(struct trace *t)
{
	free(t->state);
	offcpu_bpf__destroy(t->skel);
}

const struct trace_kind trace_offcpu = {
	.key = "offcpu",
	.rows = "threads",
	.load = load,
	.begin = begin,
	.wait = wait_ms,
	.report = report,
	.free = offcpu_free,
};
