/* SPDX-License-Identifier: Apache-2.0 */
/*
 * survivor N - a tenant that outlives N deaths of its agent (survivor.sh kills it). It keeps requests
 * in flight on several bindings, checks every result, counts that each request completes exactly
 * once, and reconnects when the agent is gone. Prints "up K" each time results flow again.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/client/ooo.h"

#define NR_BINDINGS 6
#define DIM         64
#define ENOUGH      200 /* right results before a generation counts as up */

static struct ooo_client *client;
static struct ooo_program *programs[2];
static struct ooo_binding *bindings[NR_BINDINGS];
static void *inputs[NR_BINDINGS];
static bool in_flight[NR_BINDINGS];
static float value[NR_BINDINGS];
static uint64_t nr_right, nr_lost;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "survivor: %s: %s\n", what, why);
	exit(1);
}

/* y = relu(x * W + scale), W the identity times scale */
static struct ooo_program *load(float scale)
{
	struct ooo_builder *b = ooo_builder_new("survivor");
	const int64_t square[] = { DIM, DIM }, row[] = { 1, DIM };
	struct ooo_program *program;
	static float w[DIM * DIM], bias[DIM];
	uint32_t in[3], y;

	for (int i = 0; i < DIM; i++) {
		w[i * DIM + i] = scale;
		bias[i] = scale;
	}
	in[0] = (uint32_t)ooo_input(b, OOO_FP32, 2, row);
	in[1] = (uint32_t)ooo_const(b, OOO_FP32, 2, square, w, sizeof(w));
	in[2] = (uint32_t)ooo_const(b, OOO_FP32, 2, row, bias, sizeof(bias));
	if (ooo_op(b, OOO_OP_MATMUL, NULL, in, 3, &y, 1) ||
	    ooo_op(b, OOO_OP_RELU, NULL, &y, 1, &y, 1) || ooo_output(b, y))
		die("declare", ooo_builder_error(b));
	if (ooo_load(client, b, NULL, &program))
		die("load", ooo_error(client));
	ooo_builder_free(b);
	return program;
}

static void submit(uint64_t i)
{
	float *x = inputs[i];
	int rc;

	value[i] = (float)(nr_right % 1000);
	for (int k = 0; k < DIM; k++)
		x[k] = value[i] + (float)k;
	rc = ooo_submit(bindings[i], 0, i);
	if (rc == 0)
		in_flight[i] = true;
	else if (rc != -ECONNRESET)
		die("submit", strerror(-rc));
}

static void check(const struct ooo_completion *done)
{
	uint64_t i = done->cookie;
	const float *y = i < NR_BINDINGS ? ooo_binding_output(bindings[i], 0) : NULL;
	float scale = i % 2 ? 3 : 2;

	if (!y || !in_flight[i])
		die("completion", "of a request that is not in flight");
	in_flight[i] = false;
	if (done->status == OOO_AGENT_GONE || done->status == OOO_DRAINING) {
		nr_lost++;
		return;
	}
	if (done->status != OOO_OK)
		die("completion", ooo_strstatus(done->status));
	for (int k = 0; k < DIM; k++)
		if (y[k] != (value[i] + (float)k) * scale + scale)
			die("result", "a wrong number");
	nr_right++;
}

/* Until the agent is gone and everything in flight has been heard of. */
static void live(void)
{
	uint64_t begin = nr_right;
	bool up = false;

	for (;;) {
		struct ooo_completion done[NR_BINDINGS];
		int n;

		for (uint64_t i = 0; i < NR_BINDINGS; i++)
			if (!in_flight[i])
				submit(i);
		n = ooo_wait(client, done, NR_BINDINGS, 10000000000);
		if (n == -ENOENT)
			return;
		if (n <= 0)
			die("wait", n ? strerror(-n) : "nothing for 10 s");
		for (int i = 0; i < n; i++)
			check(&done[i]);
		if (!up && nr_right - begin >= ENOUGH) {
			printf("up\n");
			fflush(stdout);
			up = true;
		}
	}
}

static void reconnect(void)
{
	uint64_t end = ooo_now_ns() + UINT64_C(60000000000);
	int rc;

	for (uint64_t i = 0; i < NR_BINDINGS; i++)
		if (in_flight[i])
			die("request", "without a completion");
	do {
		rc = ooo_reconnect(client);
		if (rc)
			nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	} while ((rc == -ECONNREFUSED || rc == -ENOENT || rc == -ECONNRESET) && ooo_now_ns() < end);
	if (rc)
		die("reconnect", ooo_error(client));
	for (uint64_t i = 0; i < NR_BINDINGS; i++) {
		const float *x = inputs[i];

		if (ooo_binding_input(bindings[i], 0) != inputs[i])
			die("reconnect", "a buffer moved");
		for (int k = 0; k < DIM; k++)
			if (x[k] != value[i] + (float)k)
				die("reconnect", "a buffer lost its contents");
	}
}

int main(int argc, char **argv)
{
	long deaths = argc > 1 ? strtol(argv[1], NULL, 10) : 1;
	char why[256];
	int fd;

	if (ooo_connect(NULL, &client, why, sizeof(why)))
		die("connect", why);
	programs[0] = load(2);
	programs[1] = load(3);
	for (int i = 0; i < NR_BINDINGS; i++) {
		if (ooo_bind(programs[i % 2], &bindings[i]))
			die("bind", ooo_error(client));
		inputs[i] = ooo_binding_input(bindings[i], 0);
	}
	fd = ooo_eventfd(client);
	for (long i = 0; i < deaths; i++) {
		live();
		reconnect();
		if (ooo_eventfd(client) != fd)
			die("reconnect", "the eventfd changed");
	}
	live();
	printf("%llu right, %llu lost\n", (unsigned long long)nr_right,
	       (unsigned long long)nr_lost);
	ooo_disconnect(client);
	return 0;
}
