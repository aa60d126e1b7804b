// SPDX-License-Identifier: Apache-2.0
/* `ooo-ctl top`: counters asked for twice, and what came in between, as a screen or as JSON lines. */
#include "ctl/top.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "ctl/print.h"

#define INTERVAL_NS 1000000000ull

/* ---- asking ---------------------------------------------------------------------------------- */

struct look {
	struct records stats, tenants, devices;
	uint64_t at_ns;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static int take_record(int attr, struct nlattr *nest, void *arg)
{
	const struct group *group = group_find(attr);

	return group ? records_add(arg, group, nest) : 0;
}

static void look_free(struct look *l)
{
	records_free(&l->stats);
	records_free(&l->tenants);
	records_free(&l->devices);
	*l = (struct look){ 0 };
}

static enum ctl_exit look(struct session *s, struct look *l)
{
	const struct {
		uint16_t type;
		struct records *rs;
	} asks[] = {
		{ OOO_CTL_TENANT_LIST, &l->tenants },
		{ OOO_CTL_DEVICE_LIST, &l->devices },
		{ OOO_CTL_STATS_SHOW, &l->stats },
	};
	enum ctl_exit code = CTL_OK;

	*l = (struct look){ 0 };
	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]) && code == CTL_OK; i++) {
		const struct link_request ask = { .type = asks[i].type, .reply = OOO_CTL_DUMP };

		code = ctl_link_call(s->link, &ask, take_record, asks[i].rs, s->why,
				     sizeof(s->why));
	}
	l->at_ns = now_ns();
	if (code != CTL_OK)
		look_free(l);
	return code;
}

/* ---- two looks into a frame ------------------------------------------------------------------ */

static uint64_t num(const struct record *r, enum ooo_ctl_field code)
{
	return r ? r->values[code].num : 0;
}

/* The record of that group whose field has that number. */
static const struct record *find(const struct records *rs, int attr, enum ooo_ctl_field code,
				 uint64_t number)
{
	for (size_t i = 0; i < rs->nr; i++)
		if (rs->list[i].group == group_find(attr) && num(&rs->list[i], code) == number)
			return &rs->list[i];
	return NULL;
}

static const struct record *dispatcher_of(const struct look *l)
{
	return l->stats.nr && l->stats.list[0].group == group_find(OOO_CTL_A_DISPATCHER)
		       ? &l->stats.list[0]
		       : NULL;
}

/* A counter that was reset in between starts from zero. */
static double grown(const struct record *now, const struct record *before, enum ooo_ctl_field code)
{
	uint64_t a = num(now, code), b = num(before, code);

	return (double)(a >= b ? a - b : a);
}

static double ratio(double part, double whole)
{
	return whole > 0 ? part / whole : 0;
}

static double mib(uint64_t bytes)
{
	return (double)bytes / (1 << 20);
}

static void copy_text(char *to, size_t bytes, const struct record *r, enum ooo_ctl_field code)
{
	snprintf(to, bytes, "%s", r->values[code].str ? r->values[code].str : "");
}

/* service_ns for SHARE and the weight for DUE: shares() makes percents of them. */
static void fill_tenant(struct top_tenant *t, const struct record *r, const struct record *usage,
			const struct record *old, double seconds)
{
	double *v = t->value;

	copy_text(t->name, sizeof(t->name), r, OOO_CTL_TENANT_NAME);
	t->device = (uint32_t)num(r, OOO_CTL_TENANT_DEVICE);
	t->quota_mib =
		mib(num(r, OOO_CTL_TENANT_WEIGHTS_MAX) + num(r, OOO_CTL_TENANT_WORKSPACE_MAX));
	v[TOP_ID] = (double)num(r, OOO_CTL_TENANT_ID);
	v[TOP_QUEUE] = (double)num(r, OOO_CTL_TENANT_INFLIGHT);
	v[TOP_MEMORY] = mib(num(r, OOO_CTL_TENANT_WEIGHTS) + num(r, OOO_CTL_TENANT_WORKSPACE));
	v[TOP_SHARE] = grown(usage, old, OOO_CTL_USAGE_SERVICE);
	v[TOP_RATE] = ratio(grown(usage, old, OOO_CTL_USAGE_COMPLETED), seconds);
	v[TOP_REFUSED] = grown(usage, old, OOO_CTL_USAGE_REFUSED);
	v[TOP_WIDTH] = ratio(grown(usage, old, OOO_CTL_USAGE_WIDTH_SUM),
			     grown(usage, old, OOO_CTL_USAGE_STEPS));
	v[TOP_P50] = (double)num(usage, OOO_CTL_USAGE_P50) / 1000;
	v[TOP_P99] = (double)num(usage, OOO_CTL_USAGE_P99) / 1000;
	v[TOP_SLO] = (double)num(usage, OOO_CTL_USAGE_SLO) / 1000;
	if (v[TOP_QUEUE] > 0 || v[TOP_RATE] > 0)
		v[TOP_DUE] = (double)num(r, OOO_CTL_TENANT_WEIGHT);
}

static void shares(struct top *top, uint32_t device)
{
	double service = 0, weight = 0;

	for (size_t i = 0; i < top->nr_tenants; i++) {
		if (top->tenants[i].device != device)
			continue;
		service += top->tenants[i].value[TOP_SHARE];
		weight += top->tenants[i].value[TOP_DUE];
	}
	for (size_t i = 0; i < top->nr_tenants; i++) {
		double *v = top->tenants[i].value;

		if (top->tenants[i].device != device)
			continue;
		v[TOP_SHARE] = 100 * ratio(v[TOP_SHARE], service);
		v[TOP_DUE] = 100 * ratio(v[TOP_DUE], weight);
	}
}

static void fill_device(struct top_device *d, const struct record *r)
{
	copy_text(d->name, sizeof(d->name), r, OOO_CTL_DEVICE_NAME);
	d->index = (uint32_t)num(r, OOO_CTL_DEVICE_INDEX);
	d->lost = r->values[OOO_CTL_DEVICE_STATE].str &&
		  !strcmp(r->values[OOO_CTL_DEVICE_STATE].str, "lost");
	d->busy_percent = (double)num(r, OOO_CTL_DEVICE_BUSY) / 1000;
	d->memory_used_mib = mib(num(r, OOO_CTL_DEVICE_MEMORY_USED));
	d->memory_mib = mib(num(r, OOO_CTL_DEVICE_MEMORY));
}

static int make_frame(struct top *top, const struct look *now, const struct look *before)
{
	const struct record *d = dispatcher_of(now), *old_d = dispatcher_of(before);

	*top = (struct top){ .seconds = (double)(now->at_ns - before->at_ns) / 1e9 };
	top->tenants = calloc(now->tenants.nr + 1, sizeof(*top->tenants));
	top->devices = calloc(now->devices.nr + 1, sizeof(*top->devices));
	if (!top->tenants || !top->devices)
		return -ENOMEM;
	top->nr_tenants = now->tenants.nr;
	top->nr_devices = now->devices.nr;
	top->rate = ratio(grown(d, old_d, OOO_CTL_DISPATCHER_REQUESTS), top->seconds);
	top->width = ratio(grown(d, old_d, OOO_CTL_DISPATCHER_ITEMS),
			   grown(d, old_d, OOO_CTL_DISPATCHER_BUNDLES));
	for (size_t i = 0; i < top->nr_tenants; i++) {
		const struct record *r = &now->tenants.list[i];
		uint64_t id = num(r, OOO_CTL_TENANT_ID);

		fill_tenant(&top->tenants[i], r,
			    find(&now->stats, OOO_CTL_A_USAGE, OOO_CTL_USAGE_TENANT, id),
			    find(&before->stats, OOO_CTL_A_USAGE, OOO_CTL_USAGE_TENANT, id),
			    top->seconds);
	}
	for (size_t i = 0; i < top->nr_devices; i++) {
		fill_device(&top->devices[i], &now->devices.list[i]);
		shares(top, top->devices[i].index);
	}
	return 0;
}

static void frame_free(struct top *top)
{
	free(top->tenants);
	free(top->devices);
	*top = (struct top){ 0 };
}

/* ---- the loop -------------------------------------------------------------------------------- */

struct loop {
	struct session *s;
	struct top_view view;
	struct top top;
	struct look before;
	uint64_t interval_ns;
	int signal_fd; /* -1: no terminal */
	int ended_by;  /* a signal */
};

static enum ctl_exit no_memory(struct session *s)
{
	snprintf(s->why, sizeof(s->why), "out of memory");
	return CTL_REFUSED;
}

static enum ctl_exit refresh(struct loop *l)
{
	struct look now;
	enum ctl_exit code = look(l->s, &now);

	if (code != CTL_OK)
		return code;
	frame_free(&l->top);
	if (make_frame(&l->top, &now, &l->before))
		code = no_memory(l->s);
	look_free(&l->before);
	l->before = now;
	return code;
}

static enum ctl_exit show(struct loop *l)
{
	if (l->s->cmd->json && print_json(stdout, top_json(&l->top, &l->view), true))
		return no_memory(l->s);
	if (!l->s->cmd->json) {
		if (l->signal_fd >= 0)
			term_size(&l->view.rows, &l->view.columns);
		top_print(stdout, &l->top, &l->view);
	}
	fflush(stdout);
	return CTL_OK;
}

/* Back to the shell until it continues us. */
static void suspend(struct loop *l)
{
	term_leave(l->signal_fd);
	raise(SIGSTOP);
	l->signal_fd = term_enter();
}

/* False: leave. */
static bool take_signals(struct loop *l)
{
	struct signalfd_siginfo info;

	while (l->signal_fd >= 0 && read(l->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGTSTP) {
			suspend(l);
		} else if (info.ssi_signo != SIGWINCH) {
			l->ended_by = (int)info.ssi_signo;
			return false;
		}
	}
	return l->signal_fd >= 0;
}

static bool take_keys(struct loop *l)
{
	char keys[64];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

	/* Arrows and the like: an escape with more behind it, at once. */
	if (n > 1 && keys[0] == '\033') {
		if (n == 3 && (keys[2] == 'A' || keys[2] == 'B'))
			top_key_pressed(&l->view, keys[2] == 'A' ? 'k' : 'j');
		return true;
	}
	for (ssize_t i = 0; i < n; i++)
		if (!top_key_pressed(&l->view, keys[i]))
			return false;
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* Until the time has come, keys and signals act at once. False: leave. */
static bool wait_until(struct loop *l, uint64_t until_ns)
{
	struct pollfd fds[] = { { .fd = l->signal_fd, .events = POLLIN },
				{ .fd = STDIN_FILENO, .events = POLLIN } };
	uint64_t now;

	while ((now = now_ns()) < until_ns) {
		fds[0].fd = l->signal_fd;
		fds[0].revents = fds[1].revents = 0;
		/* Without a terminal nothing is read; a signal ends the process as it likes. */
		poll(fds, l->signal_fd >= 0 ? 2 : 0, (int)((until_ns - now) / 1000000) + 1);
		if (fds[0].revents && !take_signals(l))
			return false;
		if (fds[1].revents && !take_keys(l))
			return false;
		if ((fds[0].revents || fds[1].revents) && l->top.tenants)
			show(l);
	}
	return true;
}

static enum ctl_exit run(struct loop *l, bool once)
{
	enum ctl_exit code = look(l->s, &l->before);
	uint64_t at = now_ns();

	while (code == CTL_OK) {
		at += l->interval_ns;
		if (!wait_until(l, at))
			break;
		code = refresh(l);
		if (code == CTL_OK)
			code = show(l);
		if (once || ferror(stdout))
			break;
	}
	return code;
}

static enum ctl_exit sort_column(struct session *s, enum top_column *out)
{
	const char *given = s->cmd->text[CTL_ARG_TOP_SHOW_SORT], *keys[NR_TOP_COLUMNS];
	int i, at = 0;

	for (i = 0; i < NR_TOP_COLUMNS; i++)
		keys[i] = top_key((enum top_column)i);
	i = given ? words_match(given, keys, NR_TOP_COLUMNS) : TOP_SHARE;
	if (i >= 0) {
		*out = (enum top_column)i;
		return CTL_OK;
	}
	at = snprintf(s->why, sizeof(s->why), "--sort: '%.32s' is no column; they are", given);
	for (i = 0; i < NR_TOP_COLUMNS; i++)
		at += snprintf(s->why + at, sizeof(s->why) - (size_t)at, " %s", keys[i]);
	return CTL_USAGE;
}

static enum ctl_exit open_link(struct session *s)
{
	struct agent_file agent;
	enum ctl_exit code = agent_file_read(s->cmd->runtime_dir, &agent, s->why, sizeof(s->why));

	return code == CTL_OK ? ctl_link_open(&agent, &s->link, s->why, sizeof(s->why)) : code;
}

enum ctl_exit verb_top(struct session *s)
{
	const struct command *cmd = s->cmd;
	const char *filter = cmd->text[CTL_ARG_TOP_SHOW_TENANT];
	struct loop l = {
		.s = s, .interval_ns = INTERVAL_NS, .signal_fd = -1, .view = { .columns = 80 }
	};
	bool once = cmd->has[CTL_ARG_TOP_SHOW_ONCE];
	enum ctl_exit code = sort_column(s, &l.view.sort);

	if (cmd->has[CTL_ARG_TOP_SHOW_INTERVAL])
		l.interval_ns = cmd->value[CTL_ARG_TOP_SHOW_INTERVAL];
	if (filter)
		snprintf(l.view.filter, sizeof(l.view.filter), "%s", filter);
	if (code == CTL_OK)
		code = open_link(s);
	if (code != CTL_OK)
		return code;
	if (!cmd->json && !once && term_is_there())
		l.signal_fd = term_enter();
	else if (!cmd->json)
		once = true;
	code = run(&l, once);
	if (l.signal_fd >= 0)
		term_leave(l.signal_fd);
	frame_free(&l.top);
	look_free(&l.before);
	if (l.ended_by) {
		signal(l.ended_by, SIG_DFL);
		raise(l.ended_by);
	}
	return code;
}
