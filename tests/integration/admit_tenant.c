/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admit_tenant NAME - what admit.sh's tenant sees of admission control: a rate that is admitted, one
 * that is not, and a request that is refused with the time at which it would have finished. Then it
 * stays until its standard input ends.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/client/ooo.h"

#define LEARN    8   /* requests, before costs are believed */
#define BUSY     200 /* requests in flight, so that one more cannot be in time */
#define SIZE     256
#define SOON_NS  50000
#define ENTRIES  512
#define ABSURD_S 1e9

static struct ooo_client *client;

#define check(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "admit_tenant: line %d: %s: %s\n", __LINE__, #condition,   \
				client ? ooo_error(client) : "");                                  \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static struct ooo_program *load(const char *name)
{
	struct ooo_options opts = OOO_OPTIONS_INIT;
	struct ooo_builder *b = ooo_builder_new("square");
	const int64_t dims[] = { SIZE, SIZE };
	struct ooo_program *program;
	char why[256];
	uint32_t x = (uint32_t)ooo_input(b, OOO_FP32, 2, dims), in[2] = { x, x }, y;

	check(!ooo_op(b, OOO_OP_MATMUL, NULL, in, 2, &y, 1) && !ooo_output(b, y));
	opts.name = name;
	opts.sq_entries = ENTRIES;
	if (ooo_connect(&opts, &client, why, sizeof(why))) {
		fprintf(stderr, "admit_tenant: %s\n", why);
		exit(1);
	}
	check(!ooo_load(client, b, NULL, &program));
	ooo_builder_free(b);
	return program;
}

/* The completion of the request with this cookie, all others thrown away. */
static struct ooo_completion reap_until(uint64_t cookie)
{
	struct ooo_completion done = { 0 };

	do
		check(ooo_wait(client, &done, 1, -1) == 1);
	while (done.cookie != cookie);
	return done;
}

static void rates(struct ooo_program *program)
{
	struct ooo_admission low, high;

	check(!ooo_admit(program, 0.5, 10000000000, &low));
	check(low.admitted && low.measured >= LEARN && low.most_per_s > 0.5);
	check(low.bound_ns > 0 && low.bound_ns <= 10000000000);
	check(!ooo_admit(program, ABSURD_S, 10000000000, &high));
	check(!high.admitted && high.bound_ns == UINT64_MAX && high.most_per_s < ABSURD_S);
	check(ooo_admit(program, -1, 0, &high) == -EINVAL);
}

/* Each is due soon and finds the device busy with those before it. */
static void refusals(struct ooo_binding *binding)
{
	struct ooo_completion done;

	for (uint64_t i = 0; i < BUSY; i++)
		check(!ooo_submit(binding, 0, i));
	check(!ooo_submit(binding, ooo_now_ns() + SOON_NS, BUSY));
	done = reap_until(BUSY);
	check(done.status == OOO_REFUSED);
	/* Refused by prediction, or it was fetched too late even for that. */
	check(!done.predicted_ns || done.predicted_ns > done.fetch_ns);
	while (ooo_inflight(client))
		check(ooo_wait(client, &done, 1, -1) == 1);
}

int main(int argc, char **argv)
{
	struct ooo_binding *binding;
	struct ooo_program *program;

	check(argc == 2);
	program = load(argv[1]);
	check(!ooo_bind(program, &binding));
	for (uint64_t i = 0; i < LEARN; i++) {
		check(!ooo_submit(binding, 0, i));
		check(reap_until(i).status == OOO_OK);
	}
	rates(program);
	refusals(binding);
	/* Promised, alone on the device and due in a second. */
	check(!ooo_submit(binding, ooo_now_ns() + 1000000000, BUSY));
	check(reap_until(BUSY).status == OOO_OK);
	puts("ok");
	fflush(stdout);
	while (getchar() != EOF)
		;
	ooo_disconnect(client);
	return 0;
}
