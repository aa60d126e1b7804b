/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start: options, the runtime folder, the devices, then the threads from the inside out: each
 * device's dispatcher and loader, control; the main thread becomes the door. The end is the same backwards, after the door
 * has drained, or all of it anew in a fresh process that takes the tenants over (agent/handover.h).
 * To see what the agent does, read agent/turn.c.
 */
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/control/control.h"
#include "agent/handover.h"
#include "agent/control/policy_store.h"
#include "agent/log.h"
#include "agent/options.h"
#include "agent/runtime.h"
#include "agent/tenant/door.h"
#include "agent/watch/listener.h"
#include "agent/watch/record.h"
#include "agent/watch/stages.h"
#include "agent/watch/usage.h"

struct agent {
	struct options opts;
	struct runtime rt;
	char device_why[512];
	struct device_opened devices[DEVICE_MAX_OPEN];
	struct flow { /* a device's threads */
		struct mailbox mb;
		struct dispatcher *dispatcher;
		struct loader *loader;
		struct record *record; /* NULL: none */
	} flows[DEVICE_MAX_OPEN];
	bool lost[DEVICE_MAX_OPEN]; /* could not be opened again */
	unsigned nr_devices;
	struct policy_file *policy; /* the registry's, once there is one */
	char policy_path[PATH_MAX];
	uint64_t agent_id; /* differs between two runs */
	struct registry registry;
	struct control *control;
	struct listener *metrics;
	struct usage *usage;
	struct stages stages;
	int signal_fd;
	struct handover_in *past; /* NULL: this is the first process */
	struct handover_agent was;
	struct handover_faults faults;
	char **argv; /* as it was */
};

static int failed(const char *what, int err)
{
	log_error("%s: %s", what, strerror(-err));
	return err;
}

/* Before any thread starts, so that all inherit it: signals come to the door's signalfd only. */
static int take_signals(struct agent *a)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	a->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return a->signal_fd < 0 ? failed("signalfd", -errno) : 0;
}

/* A tenant takes five descriptors, and one for each program. */
static void raise_fd_limit(const struct door_limits *limits)
{
	struct rlimit lim;
	rlim_t need = 6ull * limits->max_tenants + 512;

	if (getrlimit(RLIMIT_NOFILE, &lim))
		return;
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	if (lim.rlim_max < need)
		log_warn("%llu open files are allowed, %u tenants need %llu: raise LimitNOFILE or "
			 "lower --max-tenants",
			 (unsigned long long)lim.rlim_max, limits->max_tenants,
			 (unsigned long long)need);
}

/* All of the largest device's memory, or of the machine's. */
static void default_quotas(struct agent *a)
{
	struct door_limits *limits = &a->opts.limits;
	uint64_t memory = 0, used, total;

	for (unsigned i = 0; i < a->nr_devices; i++) {
		const struct device_opened *d = &a->devices[i];

		if (!d->ops->memory)
			continue;
		d->ops->memory(d->dev, &used, &total);
		memory = total > memory ? total : memory;
	}
	if (!memory)
		memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	if (limits->max_weight_bytes == UINT64_MAX)
		limits->max_weight_bytes = memory;
	if (limits->max_workspace_bytes == UINT64_MAX)
		limits->max_workspace_bytes = memory;
}

/* Without its flight recorder the agent serves all the same. */
static void start_record(struct agent *a, unsigned i)
{
	const struct device_opened *d = &a->devices[i];
	struct record_config config = {
		.dir = a->rt.dir,
		.bytes = a->opts.record_bytes,
		.agent_id = a->agent_id,
		.device = i,
		.now_ns = d->ops->clock_ns ? d->ops->clock_ns(d->dev) : turn_clock_ns(),
		.caps = d->ops->caps(d->dev),
	};
	const struct group *group = a->opts.group ? getgrnam(a->opts.group) : NULL;

	if (group) {
		config.has_group = true;
		config.group = group->gr_gid;
	}
	record_remove(a->rt.dir, i); /* a dead agent's */
	if (config.bytes && !record_open(&config, &a->flows[i].record))
		a->opts.turn.record = a->flows[i].record;
}

static int start_flow(struct agent *a, unsigned i)
{
	struct device_opened *d = &a->devices[i];
	struct flow *flow = &a->flows[i];
	int err = mailbox_init(&flow->mb);

	if (err)
		return failed("mailbox", err);
	start_record(a, i);
	a->opts.turn.mend = true;
	a->opts.turn.halted = a->past != NULL;
	a->opts.turn.gone = a->lost[i];
	err = dispatcher_start(&a->opts.turn, d->ops, d->dev, &flow->mb, &flow->dispatcher);
	if (err)
		return failed("cannot start the dispatcher", err);
	a->opts.turn.record = NULL;
	err = loader_start(d->ops, d->dev, &flow->loader);
	if (err)
		return failed("cannot start the loader", err);
	return 0;
}

static int fill_registry(struct agent *a)
{
	struct registry_agent *r = &a->registry.agent;
	int err = registry_init(&a->registry);

	if (err)
		return failed("registry", err);
	r->agent_id = a->agent_id;
	r->pid = getpid();
	r->start_ns = a->past ? a->was.start_ns : turn_clock_ns();
	r->tenants_total = a->was.tenants_total;
	r->draining = a->registry.refuse = a->was.refuses;
	r->runtime_dir = a->rt.dir;
	r->socket_path = a->rt.socket_path;
	r->device_why = a->device_why;
	for (unsigned i = 0; i < a->nr_devices; i++) {
		r->devices[i] = (struct registry_device){
			.ops = a->devices[i].ops,
			.dev = a->devices[i].dev,
			.caps = a->devices[i].ops->caps(a->devices[i].dev),
			.stats = dispatcher_stats(a->flows[i].dispatcher),
			.config = dispatcher_config(a->flows[i].dispatcher),
			.pressure = dispatcher_pressure(a->flows[i].dispatcher),
		};
		registry_read_partitions(&r->devices[i]);
	}
	r->nr_devices = a->nr_devices;
	r->max_tenants = a->opts.limits.max_tenants;
	r->max_weight_bytes = a->opts.limits.max_weight_bytes;
	r->max_workspace_bytes = a->opts.limits.max_workspace_bytes;
	return 0;
}

/* As the process before had them. False: it had none. */
static bool take_stages(struct agent *a)
{
	char pin[PINNED_MAX_PATH];
	struct handover_record r;
	size_t at = 0;

	while (handover_next(a->past, &at, &r)) {
		if (r.type != HANDOVER_STAGES)
			continue;
		snprintf(pin, sizeof(pin), "%.*s", (int)r.tail_bytes, (const char *)r.tail);
		return !stages_adopt(&a->stages, (int)r.stages.fd, (uint32_t)r.stages.nr, pin);
	}
	return false;
}

/* The machine's agent has the plain name. Without any of it the agent serves all the same. */
static void start_stages(struct agent *a)
{
	char name[32] = PINNED_NAME;
	int err;

	if (a->past && take_stages(a))
		return;
	if (strcmp(a->rt.dir, "/run/ooo") != 0)
		snprintf(name, sizeof(name), PINNED_NAME "-%d", (int)getpid());
	err = stages_open(&a->stages, a->opts.limits.max_tenants, a->opts.bpf_fs, name);
	if (err)
		log_warn("times by stage are not counted: %s", strerror(-err));
}

/* Without its ledger the agent serves all the same. */
static void start_usage(struct agent *a)
{
	struct usage_config config = { .runtime_dir = a->rt.dir, .registry = &a->registry };
	const struct group *group = a->opts.group ? getgrnam(a->opts.group) : NULL;

	if (group) {
		config.has_group = true;
		config.group = group->gr_gid;
	}
	usage_start(&config, &a->usage);
}

/* The machine's agent has the machine's policy, another one its own. */
static void read_policy(struct agent *a)
{
	const char *path = a->opts.policy_file;

	if (path)
		snprintf(a->policy_path, sizeof(a->policy_path), "%s", path);
	else if (!strcmp(a->rt.dir, "/run/ooo"))
		snprintf(a->policy_path, sizeof(a->policy_path), POLICY_FILE_DEFAULT);
	else
		snprintf(a->policy_path, sizeof(a->policy_path), "%s/policy.json", a->rt.dir);
	a->policy = policy_store_read(a->policy_path);
}

/* Those of the policy, before the flow starts. Options may have made some. */
static void make_partitions(const struct agent *a)
{
	uint32_t nr;
	const struct policy_partition *p = policy_file_partitions(a->policy, &nr);
	char why[192];

	for (unsigned i = 0; i < a->nr_devices * nr; i++) {
		const struct device_opened *d = &a->devices[i / nr];
		const struct policy_partition *want = &p[i % nr];
		int err;

		if (!d->ops->caps(d->dev)->partitions || !d->ops->partition_add) {
			log_warn("policy: partition \"%s\": device %s cannot be partitioned",
				 want->name, d->ops->caps(d->dev)->name);
			continue;
		}
		err = d->ops->partition_add(d->dev, want->name, want->units, why, sizeof(why));
		if (err && err != -EEXIST)
			log_warn("policy: %s", why);
	}
}

/* An agent that nobody can administer still serves; a group that is not there is a mistake. */
static int start_control(struct agent *a)
{
	struct control_config config = {
		.runtime_dir = a->rt.dir,
		.group = a->opts.group,
		.policy_path = a->policy_path,
		.registry = &a->registry,
		.socket_fd =
			a->past && a->was.control_fd != HANDOVER_NONE ? (int)a->was.control_fd : 0,
		.first_event = a->past ? a->was.next_event : 0,
	};
	int err = control_start(&config, &a->control);

	if (!err)
		return 0;
	a->control = NULL;
	if (err == -ENOENT)
		return err;
	log_warn("ooo-ctl cannot be used: %s", strerror(-err));
	return 0;
}

static int take_place(struct agent *a, char *why, size_t why_bytes)
{
	if (getrandom(&a->agent_id, sizeof(a->agent_id), 0) != sizeof(a->agent_id)) {
		snprintf(why, why_bytes, "getrandom: no random numbers");
		return -EIO;
	}
	return runtime_open(&a->rt, a->opts.runtime_dir, why, why_bytes);
}

static int take_over(struct agent *a, char *why, size_t why_bytes)
{
	struct handover_record r;
	size_t at = 0;
	int err = handover_open((int)a->opts.resume_fd, &a->past, why, why_bytes);

	if (err)
		return err;
	close((int)a->opts.resume_fd);
	handover_next(a->past, &at, &r); /* the first one: handover_open() has seen to it */
	a->was = r.agent;
	a->agent_id = a->was.agent_id;
	a->faults = (struct handover_faults){
		{ a->was.fault_ns0, a->was.fault_ns1, a->was.fault_ns2 },
	};
	while (handover_next(a->past, &at, &r)) {
		if (r.type == HANDOVER_TENANT)
			a->was.tenants_total--; /* it is counted again */
	}
	return runtime_adopt(&a->rt, a->opts.runtime_dir, (int)a->was.lock_fd,
			     (int)a->was.listen_fd, why, why_bytes);
}

/* The name of the first device that the process before had. */
static void first_device(const struct agent *a, char name[32])
{
	struct handover_record r;
	size_t at = 0;

	snprintf(name, 32, "device");
	while (handover_next(a->past, &at, &r)) {
		if (r.type != HANDOVER_DEVICE)
			continue;
		snprintf(name, 32, "%.*s", (int)r.tail_bytes, (const char *)r.tail);
		return;
	}
}

/* Before the flow starts: as the process before had them. */
static void take_partitions(struct agent *a)
{
	char name[DEVICE_PARTITION_NAME], why[192];
	struct handover_record r;
	size_t at = 0;

	while (handover_next(a->past, &at, &r)) {
		const struct device_opened *d;

		if (r.type != HANDOVER_PARTITION || r.partition.device >= a->nr_devices)
			continue;
		d = &a->devices[r.partition.device];
		snprintf(name, sizeof(name), "%.*s", (int)r.tail_bytes, (const char *)r.tail);
		if (d->ops->partition_add &&
		    d->ops->partition_add(d->dev, name, (unsigned)r.partition.units, why,
					  sizeof(why)))
			log_error("%s; its tenants run in none", why);
	}
}

/* Where there was a GPU, "auto" means it: nobody wants a slower device without a word. */
static int open_devices(struct agent *a)
{
	struct device_config *config = &a->opts.device;
	static char name[32];
	int err;

	if (a->past && a->was.partitions)
		memset(config->partitions, 0, sizeof(config->partitions));
	if (a->past) {
		first_device(a, name);
		if (!config->name || !strcmp(config->name, "auto"))
			config->name = name;
	}
	err = device_open_all(config, a->devices, &a->nr_devices, a->device_why,
			      sizeof(a->device_why));
	if (!err && a->past)
		take_partitions(a);
	if (!err || !a->past)
		return err;
	log_error("%s", a->device_why);
	err = device_gone(name, &a->devices[0]);
	a->nr_devices = 1;
	a->lost[0] = true;
	return err;
}

static int start_metrics(struct agent *a)
{
	char why[512];
	int err = 0;

	if (a->opts.metrics)
		err = listener_start(a->opts.metrics, &a->registry, &a->metrics, why, sizeof(why));
	if (err)
		log_error("%s", why);
	return err;
}

static int start(struct agent *a)
{
	char why[512];
	int err = take_signals(a);

	if (err)
		return err;
	raise_fd_limit(&a->opts.limits);
	err = a->opts.resume_fd ? take_over(a, why, sizeof(why)) : take_place(a, why, sizeof(why));
	if (err) {
		log_error("%s", why);
		return err;
	}
	err = open_devices(a);
	if (err) {
		log_error("%s", a->device_why);
		return err;
	}
	default_quotas(a);
	read_policy(a);
	if (!a->past)
		make_partitions(a);
	for (unsigned i = 0; i < a->nr_devices && !err; i++)
		err = start_flow(a, i);
	if (!err)
		err = fill_registry(a);
	if (!err) {
		a->registry.policy = a->policy;
		start_usage(a);
		start_stages(a);
	}
	if (!err)
		err = start_control(a);
	if (!err)
		err = start_metrics(a);
	return err;
}

static void say_ready(const struct agent *a)
{
	const struct registry_device *devices = a->registry.agent.devices;

	for (unsigned i = 1; i < a->nr_devices; i++)
		log_info("device %u: %s (%s)", i, devices[i].caps->name,
			 devices[i].caps->description);
	log_info("ready: device %s (%s), socket %s", devices[0].caps->name,
		 devices[0].caps->description, a->rt.socket_path);
}

static void save_partitions(const struct registry_device *d, uint32_t device,
			    struct handover_out *out)
{
	for (uint32_t i = 0; i < DEVICE_MAX_PARTITIONS; i++) {
		const struct device_partition *p = &d->partition[i];
		struct handover_record r = {
			.type = HANDOVER_PARTITION,
			.partition = { .device = device, .place = i, .units = p->units },
			.tail = p->name,
			.tail_bytes = strlen(p->name),
		};

		if (p->name[0] && p->units)
			handover_put(out, &r);
	}
}

static void save_agent(const struct agent *a, const struct door *door, int control_fd,
		       uint64_t next_event, struct handover_out *out)
{
	const struct registry_agent *agent = &a->registry.agent;
	struct handover_record r = {
		.type = HANDOVER_AGENT,
		.agent = {
			.listen_fd = (uint64_t)a->rt.listen_fd,
			.lock_fd = (uint64_t)a->rt.lock_fd,
			.control_fd = control_fd < 0 ? HANDOVER_NONE : (uint64_t)control_fd,
			.agent_id = a->agent_id,
			.start_ns = agent->start_ns,
			.last_id = door_last_id(door),
			.tenants_total = agent->tenants_total,
			.handovers = a->was.handovers + 1,
			.fault_ns0 = a->faults.ns[0],
			.fault_ns1 = a->faults.ns[1],
			.fault_ns2 = a->faults.ns[2],
			.next_event = next_event,
			.refuses = a->registry.refuse,
			.partitions = 1,
		},
	};

	handover_put(out, &r);
	for (unsigned i = 0; i < a->nr_devices; i++) {
		const struct device_caps *caps = agent->devices[i].caps;

		r = (struct handover_record){
			.type = HANDOVER_DEVICE,
			.device.lost = a->lost[i] || registry_device_lost(&agent->devices[i]),
			.tail = caps->name,
			.tail_bytes = strlen(caps->name),
		};
		handover_put(out, &r);
		save_partitions(&agent->devices[i], i, out);
	}
}

static void save_stages(const struct stages *s, struct handover_out *out)
{
	struct handover_record r = {
		.type = HANDOVER_STAGES,
		.stages = { .fd = (uint64_t)s->fd, .nr = s->nr },
		.tail = s->pin,
		.tail_bytes = strlen(s->pin),
	};

	if (s->places)
		handover_put(out, &r);
}

/*
 * Nothing is in flight and nobody has anything outstanding. Devices are not closed: a GPU that met
 * a fault may not come back from it, and execve() takes all there is.
 */
static int hand_over(struct agent *a, struct door *door)
{
	uint64_t next_event = 0;
	int control_fd = a->control ? control_hand_over(a->control, &next_event) : -1;
	struct handover_out *out = handover_new();
	int fd, err;

	if (!out)
		return failed("handing over", -ENOMEM);
	save_agent(a, door, control_fd, next_event, out); /* with the dispatchers' counters */
	save_stages(&a->stages, out);
	for (unsigned i = 0; i < a->nr_devices; i++)
		dispatcher_join(a->flows[i].dispatcher);
	door_save(door, out);
	fd = handover_seal(out);
	err = fd < 0 ? fd : handover_exec(out, fd, a->argv);
	return failed("cannot hand over to a fresh process", err);
}

static int serve(struct agent *a)
{
	struct door_config config = {
		.limits = a->opts.limits,
		.listen_fd = a->rt.listen_fd,
		.signal_fd = a->signal_fd,
		.nr_devices = a->nr_devices,
		.registry = &a->registry,
		.stages = &a->stages,
		.faults = &a->faults,
	};
	struct door *door;
	int err;

	for (unsigned i = 0; i < a->nr_devices; i++) {
		config.devices[i].mailbox = &a->flows[i].mb;
		config.devices[i].loader = a->flows[i].loader;
	}
	err = door_new(&config, &door);
	if (err)
		return failed("cannot open the door", err);
	log_info("%s", a->device_why);
	say_ready(a);
	if (a->past)
		door_resume(door, a->past, (uint32_t)a->was.last_id);
	err = door_run(door);
	if (err == DOOR_HANDOVER)
		err = hand_over(a, door);
	if (!err)
		door_free(door);
	return err;
}

static void stop(struct agent *a)
{
	listener_stop(a->metrics);
	control_stop(a->control);
	usage_stop(a->usage);
	for (unsigned i = 0; i < a->nr_devices; i++) {
		dispatcher_join(a->flows[i].dispatcher);
		loader_stop(a->flows[i].loader);
		mailbox_fini(&a->flows[i].mb);
		record_close(a->flows[i].record);
		a->devices[i].ops->close(a->devices[i].dev);
	}
	registry_fini(&a->registry);
	stages_close(&a->stages);
	runtime_close(&a->rt);
	close(a->signal_fd);
	log_info("stopped");
}

/* With threads in the middle of something: leave nothing behind in the file system, and go. */
static void abandon(struct agent *a)
{
	control_stop(a->control);
	if (a->stages.pin[0])
		pinned_remove(a->stages.pin);
	runtime_close(&a->rt);
	_exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
	static struct agent a = {
		.rt = { .lock_fd = -1, .listen_fd = -1 },
		.stages = STAGES_NONE,
	};
	char why[256];

	a.argv = argv;
	/* Weights go back to the system when they are freed: malloc would otherwise raise this
	 * limit with each large block that it sees, and keep the next ones. */
	mallopt(M_MMAP_THRESHOLD, 256 << 10);
	if (options_parse(&a.opts, argc, argv, why, sizeof(why))) {
		fprintf(stderr, "ooo-agent: %s\nTry 'ooo-agent --help'.\n", why);
		return EXIT_USAGE;
	}
	if (a.opts.help) {
		options_usage(stdout);
		return EXIT_SUCCESS;
	}
	if (a.opts.version) {
		printf("ooo-agent %s\n", OOO_RELEASE);
		return EXIT_SUCCESS;
	}
	if (a.opts.verbose)
		log_set_level(LOG_LEVEL_DEBUG);
	if (start(&a) || serve(&a))
		abandon(&a);
	stop(&a);
	return EXIT_SUCCESS;
}
