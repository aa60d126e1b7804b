/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start: options, the runtime folder, the device, then the threads from the inside out: dispatcher,
 * loader, control; the main thread becomes the door. The end is the same backwards, after the door
 * has drained. To see what the agent does, read agent/turn.c.
 */
#include <errno.h>
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
#include "agent/log.h"
#include "agent/options.h"
#include "agent/runtime.h"
#include "agent/tenant/door.h"

struct agent {
	struct options opts;
	struct runtime rt;
	const struct device_ops *ops;
	struct device *dev;
	char device_why[256];
	struct mailbox mb;
	struct dispatcher *dispatcher;
	struct loader *loader;
	struct registry registry;
	struct control *control;
	int signal_fd;
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
	sigprocmask(SIG_BLOCK, &set, NULL);
	a->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return a->signal_fd < 0 ? failed("signalfd", -errno) : 0;
}

/* A tenant takes three descriptors. */
static void raise_fd_limit(const struct door_limits *limits)
{
	struct rlimit lim;
	rlim_t need = 3ull * limits->max_tenants + 512;

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

static void default_quotas(struct door_limits *limits)
{
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	if (limits->max_weight_bytes == UINT64_MAX)
		limits->max_weight_bytes = memory;
	if (limits->max_workspace_bytes == UINT64_MAX)
		limits->max_workspace_bytes = memory;
}

static int start_flow(struct agent *a)
{
	int err = mailbox_init(&a->mb);

	if (err)
		return failed("mailbox", err);
	err = dispatcher_start(&a->opts.turn, a->ops, a->dev, &a->mb, &a->dispatcher);
	if (err)
		return failed("cannot start the dispatcher", err);
	err = loader_start(a->ops, a->dev, &a->loader);
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
	if (!a->ops)
		return failed("device", -ENODEV);
	if (getrandom(&r->agent_id, sizeof(r->agent_id), 0) != sizeof(r->agent_id))
		return failed("getrandom", -EIO);
	r->pid = getpid();
	r->start_ns = turn_clock_ns();
	r->runtime_dir = a->rt.dir;
	r->socket_path = a->rt.socket_path;
	r->device_why = a->device_why;
	r->ops = a->ops;
	r->dev = a->dev;
	r->caps = a->ops->caps(a->dev);
	r->stats = dispatcher_stats(a->dispatcher);
	r->config = &a->opts.turn;
	r->max_tenants = a->opts.limits.max_tenants;
	return 0;
}

/* An agent that nobody can administer still serves; a group that is not there is a mistake. */
static int start_control(struct agent *a)
{
	struct control_config config = {
		.runtime_dir = a->rt.dir,
		.group = a->opts.group,
		.registry = &a->registry,
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

static int start(struct agent *a)
{
	char why[512];
	int err = take_signals(a);

	if (err)
		return err;
	raise_fd_limit(&a->opts.limits);
	default_quotas(&a->opts.limits);
	err = runtime_open(&a->rt, a->opts.runtime_dir, why, sizeof(why));
	if (err) {
		log_error("%s", why);
		return err;
	}
	err = device_open(&a->opts.device, &a->ops, &a->dev, a->device_why, sizeof(a->device_why));
	if (err) {
		log_error("%s", a->device_why);
		return err;
	}
	err = start_flow(a);
	if (!err)
		err = fill_registry(a);
	if (!err)
		err = start_control(a);
	return err;
}

static int serve(struct agent *a)
{
	const struct device_caps *caps = a->ops->caps(a->dev);
	struct door_config config = {
		.limits = a->opts.limits,
		.listen_fd = a->rt.listen_fd,
		.signal_fd = a->signal_fd,
		.mailbox = &a->mb,
		.loader = a->loader,
		.registry = &a->registry,
	};
	struct door *door;
	int err = door_new(&config, &door);

	if (err)
		return failed("cannot open the door", err);
	log_info("%s", a->device_why);
	log_info("ready: device %s (%s), socket %s", caps->name, caps->description,
		 a->rt.socket_path);
	err = door_run(door);
	if (!err)
		door_free(door);
	return err;
}

static void stop(struct agent *a)
{
	control_stop(a->control);
	dispatcher_join(a->dispatcher);
	loader_stop(a->loader);
	registry_fini(&a->registry);
	mailbox_fini(&a->mb);
	a->ops->close(a->dev);
	runtime_close(&a->rt);
	close(a->signal_fd);
	log_info("stopped");
}

/* With threads in the middle of something: leave nothing behind in the file system, and go. */
static void abandon(struct agent *a)
{
	control_stop(a->control);
	runtime_close(&a->rt);
	_exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
	static struct agent a = { .rt = { .lock_fd = -1, .listen_fd = -1 } };
	char why[256];

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
