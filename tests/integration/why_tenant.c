/* SPDX-License-Identifier: Apache-2.0 */
/*
 * why_tenant NAME PROGRAM ENTRIES - a tenant that why.py plays: PROGRAM is relu, matmul N or
 * transpose N (of N x N), ENTRIES the size of both its queues. Commands come on standard input, each is
 * answered by "ok" when it is done:
 *
 *   one N        a request, wait for it, N times
 *   load MS      as many requests in flight as it has entries, for so long
 *   pile MS      submit what fits, read nothing for so long, then read all
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/client/ooo.h"

static struct ooo_client *client;
static struct ooo_binding *binding;
static uint32_t entries;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "why_tenant: %s: %s\n", what, why);
	exit(1);
}

static void declare(struct ooo_builder *b, const char *what)
{
	int64_t n = strchr(what, ' ') ? strtoll(strchr(what, ' '), NULL, 10) : 16;
	const int64_t dims[] = { n, n };
	uint32_t x = (uint32_t)ooo_input(b, OOO_FP32, 2, dims), y;

	if (!strncmp(what, "matmul", 6)) {
		uint32_t in[2] = { x, x };

		if (ooo_op(b, OOO_OP_MATMUL, NULL, in, 2, &y, 1))
			die("declare", ooo_builder_error(b));
	} else if (!strncmp(what, "transpose", 9)) {
		struct ooo_attr attr;

		ooo_attr_init(&attr, OOO_OP_TRANSPOSE);
		attr.perm[0] = 1;
		attr.perm[1] = 0;
		y = (uint32_t)ooo_op1(b, OOO_OP_TRANSPOSE, &attr, x);
	} else {
		y = (uint32_t)ooo_op1(b, OOO_OP_RELU, NULL, x);
	}
	if (ooo_output(b, y))
		die("declare", ooo_builder_error(b));
}

static void start(const char *name, const char *program)
{
	struct ooo_options opts = OOO_OPTIONS_INIT;
	struct ooo_builder *b = ooo_builder_new(program);
	struct ooo_program *loaded;
	char why[256];

	declare(b, program);
	opts.name = name;
	opts.sq_entries = entries;
	if (ooo_connect(&opts, &client, why, sizeof(why)))
		die("connect", why);
	if (ooo_load(client, b, NULL, &loaded) || ooo_bind(loaded, &binding))
		die("load", ooo_error(client));
	ooo_builder_free(b);
}

static void reap(int64_t timeout_ns)
{
	struct ooo_completion done[64];
	int n = ooo_wait(client, done, 64, timeout_ns);

	if (n < 0)
		die("wait", ooo_error(client));
	for (int i = 0; i < n; i++) {
		if (done[i].status != OOO_OK)
			die("request", ooo_strstatus(done[i].status));
	}
}

static void reap_all(void)
{
	while (ooo_inflight(client))
		reap(-1);
}

static void one(uint64_t n)
{
	while (n--) {
		if (ooo_submit(binding, 0, n))
			die("submit", ooo_error(client));
		reap_all();
	}
}

static void load(uint64_t ms)
{
	uint64_t end = ooo_now_ns() + ms * 1000000;

	while (ooo_now_ns() < end) {
		while (!ooo_submit(binding, 0, 0))
			;
		reap(1000000);
	}
	reap_all();
}

static void pile(uint64_t ms)
{
	struct timespec pause = { .tv_nsec = (long)ms * 1000000 };

	while (!ooo_submit(binding, 0, 0))
		;
	nanosleep(&pause, NULL);
	reap_all();
}

int main(int argc, char **argv)
{
	char line[64], verb[16];
	unsigned long long n;

	if (argc != 4)
		die("usage", "why_tenant NAME PROGRAM ENTRIES");
	entries = (uint32_t)strtoul(argv[3], NULL, 10);
	start(argv[1], argv[2]);
	puts("ok");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "%15s %llu", verb, &n) != 2)
			die("command", line);
		if (!strcmp(verb, "one"))
			one(n);
		else if (!strcmp(verb, "pile"))
			pile(n);
		else
			load(n);
		puts("ok");
		fflush(stdout);
	}
	ooo_disconnect(client);
	return 0;
}
