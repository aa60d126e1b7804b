// SPDX-License-Identifier: Apache-2.0
/*
 * What the rings cost: submissions per second with 64 in flight, and the round trip with one in
 * flight while both sides spin. Needs an agent on the sim device with zero cost (tests/bench/run.sh
 * starts one). Prints one JSON object.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/client/ooo.h"

#define INFLIGHT 64
#define ROUNDS   2000000u
#define TRIPS    200000u
#define REPEATS  5

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

static struct ooo_program *load_identity(struct ooo_client *client)
{
	struct ooo_builder *b = ooo_builder_new("ring-bench");
	struct ooo_program *program = NULL;
	const int64_t dims[] = { 1 };
	int x = ooo_input(b, OOO_FP32, 1, dims);

	ooo_output(b, (uint32_t)ooo_op1(b, OOO_OP_RELU, NULL, (uint32_t)x));
	if (ooo_load(client, b, NULL, &program)) {
		fprintf(stderr, "ring: %s\n", ooo_error(client));
		program = NULL;
	}
	ooo_builder_free(b);
	return program;
}

/* Keep 64 in flight; submissions per second. */
static double throughput(struct ooo_client *client, struct ooo_binding *binding)
{
	struct ooo_completion done[INFLIGHT];
	uint64_t sent = 0, got = 0, start = ooo_now_ns();

	while (got < ROUNDS) {
		while (sent < ROUNDS && sent - got < INFLIGHT && !ooo_submit(binding, 0, sent))
			sent++;
		for (int n = ooo_poll(client, done, INFLIGHT); n > 0; n--) {
			if (done[n - 1].status != OOO_OK) {
				fprintf(stderr, "ring: %s\n", ooo_strstatus(done[n - 1].status));
				exit(1);
			}
			got++;
		}
	}
	return (double)ROUNDS * 1e9 / (double)(ooo_now_ns() - start);
}

static void round_trips(struct ooo_client *client, struct ooo_binding *binding, double *us)
{
	struct ooo_completion done;

	for (uint32_t i = 0; i < TRIPS; i++) {
		uint64_t start = ooo_now_ns();

		ooo_submit(binding, 0, i);
		while (ooo_poll(client, &done, 1) == 0)
			;
		us[i] = (double)(ooo_now_ns() - start) / 1e3;
	}
}

int main(void)
{
	struct ooo_options opts = OOO_OPTIONS_INIT;
	struct ooo_client *client;
	struct ooo_program *program;
	struct ooo_binding *binding;
	double rate[REPEATS], p50[REPEATS], p99[REPEATS], *us = malloc(TRIPS * sizeof(*us));
	char why[256];

	opts.name = "ring-bench";
	opts.sq_entries = INFLIGHT;
	if (!us || ooo_connect(&opts, &client, why, sizeof(why))) {
		fprintf(stderr, "ring: %s\n", us ? why : "no memory");
		return 1;
	}
	program = load_identity(client);
	if (!program || ooo_bind(program, &binding))
		return 1;
	throughput(client, binding); /* warm-up */
	for (int i = 0; i < REPEATS; i++) {
		rate[i] = throughput(client, binding);
		round_trips(client, binding, us);
		qsort(us, TRIPS, sizeof(*us), by_value);
		p50[i] = us[TRIPS / 2];
		p99[i] = us[TRIPS - TRIPS / 100];
	}
	printf("{\"bench\":\"ring\",\"submissions_per_s\":%.0f,\"rtt_p50_us\":%.2f,"
	       "\"rtt_p99_us\":%.2f,\"inflight\":%d,\"repeats\":%d}\n",
	       median(rate, REPEATS), median(p50, REPEATS), median(p99, REPEATS), INFLIGHT,
	       REPEATS);
	ooo_disconnect(client);
	free(us);
	return 0;
}
