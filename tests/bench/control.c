// SPDX-License-Identifier: Apache-2.0
/*
 * What the control plane costs: `tenant list` with 1,000 tenants connected, the round trip of one of
 * them with and without RATE changes of policy a second, and `policy load` of 10,000 rules. Needs an
 * agent on the sim device with zero cost and ooo-ctl in the path (tests/bench/run.sh sees to both).
 * Prints one JSON object. Beside the changes run a dispatcher and a tenant that spin, so the round
 * trips say what changes cost only where four processors or more are free; it counts them.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "ctl/link.h"
#include "shared/abi/control.h"
#include "shared/client/ooo.h"

#define TENANTS  1000
#define RULES    10000
#define RATE     10000 /* changes a second */
#define PHASE_NS 500000000ull
#define PHASES   7 /* of each kind, in turns */
#define TRIPS    400000u
#define REPEATS  9

static struct ooo_client *clients[TENANTS];

static struct {
	struct link *link;
	bool on, end; /* the tenant's thread writes */
	uint64_t done, ns;
} changer;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "control: %s: %s\n", what, why);
	exit(1);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), by_value);
	return values[n / 2];
}

static void connect_all(void)
{
	struct rlimit files = { 65536, 65536 };
	struct ooo_options opts = OOO_OPTIONS_INIT;
	char why[256], name[32];

	setrlimit(RLIMIT_NOFILE,
		  &files); /* five for each; connecting says so if they do not suffice */
	opts.name = name;
	for (int i = 0; i < TENANTS; i++) {
		snprintf(name, sizeof(name), "control-%d", i);
		if (ooo_connect(&opts, &clients[i], why, sizeof(why)))
			die(name, why);
	}
}

static struct ooo_binding *bind_identity(struct ooo_client *client)
{
	struct ooo_builder *b = ooo_builder_new("control-bench");
	struct ooo_program *program;
	struct ooo_binding *binding;
	const int64_t dims[] = { 1 };
	int x = ooo_input(b, OOO_FP32, 1, dims);

	ooo_output(b, (uint32_t)ooo_op1(b, OOO_OP_RELU, NULL, (uint32_t)x));
	if (ooo_load(client, b, NULL, &program) || ooo_bind(program, &binding))
		die("program", ooo_error(client));
	ooo_builder_free(b);
	return binding;
}

/* ---- commands, as a user has them -------------------------------------------------------------- */

static double seconds_of(const char *command)
{
	uint64_t start = ooo_now_ns();

	if (system(command))
		die(command, "it failed");
	return (double)(ooo_now_ns() - start) / 1e9;
}

static double list_ms(void)
{
	double ms[REPEATS];

	for (int i = 0; i < REPEATS; i++)
		ms[i] = 1e3 * seconds_of("ooo-ctl tenant list >/dev/null");
	return median(ms, REPEATS);
}

static double load_s(const char *dir)
{
	char path[256], command[320];
	FILE *f;

	snprintf(path, sizeof(path), "%s/rules.json", dir);
	f = fopen(path, "w");
	if (!f)
		die(path, "cannot be written");
	fprintf(f, "{\"rules\":[");
	for (int i = 0; i < RULES; i++)
		fprintf(f, "%s{\"match\":{\"name\":\"rule-%d-*\"},\"set\":{\"weight\":%d}}",
			i ? "," : "", i, 1 + i % 1000);
	fprintf(f, "]}");
	if (fclose(f))
		die(path, "cannot be written");
	snprintf(command, sizeof(command), "ooo-ctl policy load %s >/dev/null", path);
	return seconds_of(command);
}

/* ---- changes beside round trips ------------------------------------------------------------------ */

static int no_records(int attr, struct nlattr *nest, void *arg)
{
	return 0;
}

static void change(uint64_t nth)
{
	struct link_request request = { .type = OOO_CTL_TENANT_SET, .reply = OOO_CTL_ACK };
	char why[LINK_WHY_BYTES];

	link_put(&request, OOO_CTL_A_TENANT_ID, 2 + nth % (TENANTS - 1), NULL);
	link_put(&request, OOO_CTL_A_WEIGHT, 1 + nth % 1000, NULL);
	if (ctl_link_call(changer.link, &request, no_records, NULL, why, sizeof(why)) != CTL_OK)
		die("tenant set", why);
}

/* The pace is kept when nothing is to be changed, so that both phases wake as often. */
static void *change_main(void *arg)
{
	uint64_t next = ooo_now_ns();

	while (!__atomic_load_n(&changer.end, __ATOMIC_RELAXED)) {
		struct timespec t = { (time_t)(next / 1000000000), (long)(next % 1000000000) };
		uint64_t start = ooo_now_ns();

		if (__atomic_load_n(&changer.on, __ATOMIC_RELAXED)) {
			change(changer.done++);
			changer.ns += ooo_now_ns() - start;
		}
		next += 1000000000 / RATE;
		if (next + 100000000 < start)
			next = start; /* it cannot keep up */
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
	}
	return NULL;
}

static void round_trips(struct ooo_binding *binding, double *us, double *p50, double *p99)
{
	uint64_t start = ooo_now_ns(), now = start;
	struct ooo_completion done;
	uint32_t n = 0;

	while (n < TRIPS && now - start < PHASE_NS) {
		uint64_t sent = now;

		ooo_submit(binding, 0, n);
		while (ooo_poll(clients[0], &done, 1) == 0)
			;
		now = ooo_now_ns();
		us[n++] = (double)(now - sent) / 1e3;
	}
	qsort(us, n, sizeof(*us), by_value);
	*p50 = us[n / 2];
	*p99 = us[n - 1 - n / 100];
}

static void open_link(const char *dir)
{
	struct agent_file file;
	char why[LINK_WHY_BYTES];

	if (agent_file_read(dir, &file, why, sizeof(why)) != CTL_OK ||
	    ctl_link_open(&file, &changer.link, why, sizeof(why)) != CTL_OK)
		die(dir, why);
}

int main(void)
{
	const char *dir = getenv("OOO_RUNTIME_DIR");
	double *us = malloc(TRIPS * sizeof(*us)), p50[2][PHASES], p99[2][PHASES], list, rate;
	struct ooo_binding *binding;
	pthread_t thread;

	if (!us || !dir)
		die("OOO_RUNTIME_DIR", us ? "is not set" : "no memory");
	connect_all();
	binding = bind_identity(clients[0]);
	list = list_ms();
	open_link(dir);
	if (pthread_create(&thread, NULL, change_main, NULL))
		die("thread", "cannot be made");
	for (int i = 0; i < 2 * PHASES; i++) {
		__atomic_store_n(&changer.on, i % 2 == 1, __ATOMIC_RELAXED);
		round_trips(binding, us, &p50[i % 2][i / 2], &p99[i % 2][i / 2]);
	}
	__atomic_store_n(&changer.end, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	rate = (double)changer.done / (PHASES * (double)PHASE_NS / 1e9);
	printf("{\"bench\":\"control\",\"tenants\":%d,\"processors\":%ld,\"tenant_list_ms\":%.1f,"
	       "\"changes_per_s\":%.0f,\"change_us\":%.1f,\"rtt_p50_us\":%.2f,\"rtt_p99_us\":%.2f,"
	       "\"changing_rtt_p50_us\":%.2f,\"changing_rtt_p99_us\":%.2f,",
	       TENANTS, sysconf(_SC_NPROCESSORS_ONLN), list, rate,
	       (double)changer.ns / 1e3 / (double)(changer.done ? changer.done : 1),
	       median(p50[0], PHASES), median(p99[0], PHASES), median(p50[1], PHASES),
	       median(p99[1], PHASES));
	printf("\"rules\":%d,\"policy_load_s\":%.3f}\n", RULES, load_s(dir));
	ctl_link_close(changer.link);
	for (int i = 0; i < TENANTS; i++)
		ooo_disconnect(clients[i]);
	free(us);
	return 0;
}
