// SPDX-License-Identifier: Apache-2.0
/* What the kinds of `ooo-ctl trace` share: find the agent, load, attach, wait, print, take away. */
#include "ctl/trace/trace.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl/print.h"

static volatile sig_atomic_t interrupted;
static char complaint[256]; /* libbpf's last */

static void on_signal(int sig)
{
	interrupted = 1;
}

static int keep_complaint(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level == LIBBPF_WARN) {
		vsnprintf(complaint, sizeof(complaint), format, args);
		complaint[strcspn(complaint, "\n")] = '\0';
	}
	return 0;
}

void trace_names(struct trace *t)
{
	char why[LINK_WHY_BYTES];

	if (flight_open(t->runtime_dir, &t->flight, why, sizeof(why)) == CTL_OK) {
		flight_skip(&t->flight);
		flight_read(&t->flight);
	} else {
		t->flight.nr = 0;
	}
}

/* ---- for the kinds --------------------------------------------------------------------------- */

bool trace_wants(const struct trace *t, uint32_t tenant)
{
	if (t->tenant != TRACE_ANY)
		return tenant == t->tenant;
	for (unsigned i = 0; i < t->flight.nr && t->what; i++) {
		if (flight_is_tenant(&t->flight.devices[i], tenant, t->what))
			return true;
	}
	return !t->what;
}

void trace_add_tenant(const struct trace *t, cJSON *row, uint32_t tenant)
{
	const struct ooo_record_name *name = NULL;

	for (unsigned i = 0; i < t->flight.nr && !name; i++)
		name = flight_name(&t->flight.devices[i], tenant, OOO_RECORD_NONE);
	cJSON_AddNumberToObject(row, "tenant", tenant);
	cJSON_AddStringToObject(row, "name", name ? name->name : "");
}

/* Thousandths of a microsecond are enough. */
void trace_add_us(cJSON *row, const char *key, double ns)
{
	char text[32];

	snprintf(text, sizeof(text), "%.3f", ns / 1e3);
	cJSON_AddRawToObject(row, key, text);
}

double trace_percentile(const uint64_t bucket[LATENCY_BUCKETS], double share)
{
	double total = 0, below = 0, low, part;
	unsigned i;

	for (i = 0; i < LATENCY_BUCKETS; i++)
		total += (double)bucket[i];
	if (total <= 0)
		return 0;
	for (i = 0; i < LATENCY_BUCKETS - 1; i++) {
		if (below + (double)bucket[i] >= total * share)
			break;
		below += (double)bucket[i];
	}
	low = i ? (double)latency_bound_ns(i - 1) : 0;
	if (i == LATENCY_BUCKETS - 1 || !bucket[i])
		return low;
	part = (total * share - below) / (double)bucket[i];
	return low + ((double)latency_bound_ns(i) - low) * part;
}

/* ---- printing -------------------------------------------------------------------------------- */

static bool is_cell(const cJSON *item)
{
	return cJSON_IsNumber(item) || cJSON_IsString(item) || cJSON_IsRaw(item);
}

static void print_cell(const cJSON *item, bool heading)
{
	int width = (int)strlen(item->string) > 8 ? (int)strlen(item->string) : 8;
	bool text = cJSON_IsString(item);

	if (text)
		width = width > 18 ? width : 18;
	if (heading)
		printf(text ? "%-*s  " : "%*s  ", width, item->string);
	else if (cJSON_IsNumber(item))
		printf("%*.0f  ", width, item->valuedouble);
	else
		printf(text ? "%-*.*s  " : "%*.*s  ", width, width, item->valuestring);
}

static void print_row(const cJSON *row, bool heading)
{
	for (const cJSON *item = row->child; item; item = item->next) {
		if (is_cell(item))
			print_cell(item, heading);
	}
	putchar('\n');
}

static void print_text(const cJSON *root, const cJSON *rows)
{
	for (const cJSON *item = root->child; item; item = item->next) {
		if (cJSON_IsNumber(item))
			printf("%s: %.0f\n", item->string, item->valuedouble);
		else if (is_cell(item))
			printf("%s: %s\n", item->string, item->valuestring);
	}
	if (!rows->child)
		printf("no %s\n", rows->string);
	else
		print_row(rows->child, true);
	for (const cJSON *row = rows->child; row; row = row->next)
		print_row(row, false);
}

static int report(struct trace *t, double seconds, bool json)
{
	cJSON *root = cJSON_CreateObject(), *rows = cJSON_CreateArray();
	char text[32];
	int err;

	trace_names(t);
	cJSON_AddStringToObject(root, "trace", t->kind->key);
	snprintf(text, sizeof(text), "%.3f", seconds);
	cJSON_AddRawToObject(root, "seconds", text);
	err = t->kind->report(t, root, rows);
	cJSON_AddItemToObject(root, t->kind->rows, rows);
	flight_close(&t->flight);
	if (err)
		cJSON_Delete(root);
	else if (json)
		err = print_json(stdout, root, true);
	else {
		print_text(root, rows);
		cJSON_Delete(root);
	}
	fflush(stdout);
	return err;
}

/* ---- a run ----------------------------------------------------------------------------------- */

static int attach_one(struct trace *t, struct bpf_program *prog)
{
	const char *name = bpf_program__name(prog);
	bool probe = !strcmp(bpf_program__section_name(prog), "usdt");
	struct bpf_link *link;
	char exe[64];

	snprintf(exe, sizeof(exe), "/proc/%d/exe", (int)t->agent.pid);
	if (t->nr_links == TRACE_MAX_LINKS)
		return -E2BIG;
	link = probe ? bpf_program__attach_usdt(prog, t->agent.pid, exe, "ooo", name, NULL)
		     : bpf_program__attach(prog);
	if (!link) {
		if (probe)
			return -errno;
		fprintf(stderr, "ooo-ctl: this kernel has no tracepoint %s: left out\n", name);
		return 0;
	}
	t->links[t->nr_links++] = link;
	return 0;
}

static enum ctl_exit refuse(struct session *s, const char *what, int err)
{
	const char *hint = "";

	if (err == -EPERM || err == -EACCES)
		hint = ": CAP_BPF and CAP_PERFMON are needed, or root";
	else if (err == -ENOENT)
		hint = ": was the agent built without sys/sdt.h?";
	snprintf(s->why, sizeof(s->why), "trace: cannot %s: %s%s%s%s%s", what, strerror(-err), hint,
		 *complaint ? " (" : "", complaint, *complaint ? ")" : "");
	return CTL_REFUSED;
}

static enum ctl_exit start(struct session *s, struct trace *t)
{
	struct bpf_program *prog;
	int err = t->kind->load(t);

	if (err)
		return refuse(s, "load the BPF program", err);
	bpf_object__for_each_program(prog, t->object)
	{
		err = attach_one(t, prog);
		if (err)
			return refuse(s, "attach to the agent", err);
	}
	err = t->kind->begin ? t->kind->begin(t) : 0;
	return err ? refuse(s, "begin", err) : CTL_OK;
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Until the interval is over, a signal comes or the agent is gone; false if more must not follow. */
static bool wait_until(struct trace *t, double until_s)
{
	struct timespec pause = { .tv_nsec = 20000000 };

	while (!interrupted && (!until_s || now_s() < until_s)) {
		if (kill(t->agent.pid, 0) && errno == ESRCH)
			return false;
		if (t->kind->wait)
			t->kind->wait(t, 20);
		else
			nanosleep(&pause, NULL);
	}
	return !interrupted;
}

static enum ctl_exit run(struct session *s, struct trace *t, double interval_s, uint64_t times)
{
	struct sigaction action = { .sa_handler = on_signal };
	bool more = true;
	double start_s;
	int err;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	fprintf(stderr, "ooo-ctl: tracing %s of agent %d%s\n", t->kind->key, (int)t->agent.pid,
		interval_s > 0 ? "" : " until interrupted");
	start_s = now_s();
	while (more && times--) {
		double begin_s = now_s();

		start_s += interval_s;
		more = wait_until(t, interval_s > 0 ? start_s : 0);
		err = report(t, now_s() - begin_s, s->cmd->json);
		if (err)
			return refuse(s, "report", err);
	}
	return CTL_OK;
}

static void stop(struct trace *t)
{
	for (unsigned i = 0; i < t->nr_links; i++)
		bpf_link__destroy(t->links[i]);
	t->kind->free(t);
}

/* Where the verb's words stand: all four have the same. */
struct words {
	const struct trace_kind *kind;
	enum ctl_arg tenant, interval, count;
};

#define WORDS(NAME, kind)                                                                          \
	[CTL_VERB_TRACE_##NAME] = { kind, CTL_ARG_TRACE_##NAME##_TENANT,                           \
				    CTL_ARG_TRACE_##NAME##_INTERVAL,                               \
				    CTL_ARG_TRACE_##NAME##_COUNT }

static const struct words words_of[NR_CTL_VERBS] = {
	WORDS(LATENCY, &trace_latency),
	WORDS(SLOW, &trace_slow),
	WORDS(OFFCPU, &trace_offcpu),
	WORDS(RINGS, &trace_rings),
};

enum ctl_exit verb_trace(struct session *s)
{
	const struct command *cmd = s->cmd;
	const struct words *w = &words_of[cmd->verb];
	struct trace t = {
		.kind = w->kind,
		.runtime_dir = cmd->runtime_dir,
		.what = cmd->text[w->tenant],
		.tenant = TRACE_ANY,
		.count = 10,
	};
	double interval_s = cmd->has[w->interval] ? (double)cmd->value[w->interval] / 1e3 : 0;
	uint64_t times = cmd->has[w->count] ? cmd->value[w->count] : 1;
	enum ctl_exit code = agent_file_read(cmd->runtime_dir, &t.agent, s->why, sizeof(s->why));

	if (code != CTL_OK)
		return code;
	/* A name may be a later tenant's: then it is the report that chooses. */
	if (t.what && words_is_id(t.what))
		t.tenant = (uint32_t)strtoul(t.what, NULL, 10);
	if (cmd->has[CTL_ARG_TRACE_SLOW_SLOWEST])
		t.count = (uint32_t)cmd->value[CTL_ARG_TRACE_SLOW_SLOWEST];
	libbpf_set_print(keep_complaint);
	code = start(s, &t);
	if (code == CTL_OK)
		code = run(s, &t, interval_s, times);
	stop(&t);
	return code;
}
