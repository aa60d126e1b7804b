// SPDX-License-Identifier: Apache-2.0
/*
 * What the agent adds between a tenant and the cpu device: the latency of a small program through
 * the agent, less its latency when this process drives the same device code itself. Both spin, in
 * turns, on the machine as it is. Needs an agent on the cpu device with one thread. Prints one JSON
 * object.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/device/device.h"
#include "shared/client/internal.h"
#include "shared/client/ooo.h"

#define WIDTH  64
#define LAYERS 4
#define TRIPS  20000
#define ROUNDS 5

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

static struct ooo_builder *small_net(void)
{
	static float w[WIDTH * WIDTH];
	const int64_t in[] = { 1, WIDTH }, dims[] = { WIDTH, WIDTH };
	struct ooo_builder *b = ooo_builder_new("overhead");
	int x = ooo_input(b, OOO_FP32, 2, in);

	for (int i = 0; i < WIDTH * WIDTH; i++)
		w[i] = (float)(i % 13 - 6) / 32;
	for (int i = 0; i < LAYERS; i++) {
		int k = ooo_const(b, OOO_FP32, 2, dims, w, sizeof(w));

		x = ooo_op2(b, OOO_OP_MATMUL, NULL, (uint32_t)x, (uint32_t)k);
		x = ooo_op1(b, OOO_OP_RELU, NULL, (uint32_t)x);
	}
	ooo_output(b, (uint32_t)x);
	return b;
}

/* The device alone, driven as the flow drives it. */
struct direct {
	const struct device_ops *ops;
	struct device *dev;
	struct program *program;
	struct device_program *dp;
	struct device_binding *binding;
	struct bundle *bundles;
};

static int direct_open(struct direct *d, const struct ooo_builder *b, void **io)
{
	struct device_config config = { .name = "cpu", .threads = 1 };
	struct compile_opts opts = { 0 };
	char why[256] = "";
	uint64_t bytes;
	int fd, err = device_open(&config, &d->ops, &d->dev, why, sizeof(why));

	if (!err)
		err = client_encode(b, &fd, &bytes, why, sizeof(why));
	if (err)
		goto out;
	opts.caps = d->ops->caps(d->dev);
	opts.eval = d->ops->eval;
	err = program_compile(fd, bytes, &opts, &d->program, why, sizeof(why));
	close(fd);
	if (!err)
		err = d->ops->load(d->dev, d->program, 4, &d->dp, why, sizeof(why));
	if (!err)
		err = d->ops->bind(d->dev, d->dp, io, &d->binding);
	if (!err)
		d->bundles = calloc(d->program->nr_steps, sizeof(*d->bundles));
out:
	if (err)
		fprintf(stderr, "overhead: %s\n", why);
	return err;
}

static void direct_run(struct direct *d)
{
	unsigned done = 0, sent = 0, n = d->program->nr_steps;
	struct bundle *got[8];

	while (done < n) {
		while (sent < n) {
			d->bundles[sent].nr_items = 1;
			d->bundles[sent].items[0] = (struct bundle_item){ .program = d->dp,
									  .binding = d->binding,
									  .step = sent };
			if (d->ops->submit(d->dev, &d->bundles[sent]))
				break;
			sent++;
		}
		done += d->ops->poll(d->dev, got, 8);
	}
}

static void direct_close(struct direct *d)
{
	d->ops->unbind(d->dev, d->binding);
	d->ops->unload(d->dev, d->dp);
	program_free(d->program);
	d->ops->close(d->dev);
	free(d->bundles);
}

static double time_direct(struct direct *d, double *us)
{
	for (int i = 0; i < TRIPS; i++) {
		uint64_t start = ooo_now_ns();

		direct_run(d);
		us[i] = (double)(ooo_now_ns() - start) / 1e3;
	}
	return median(us, TRIPS);
}

static double time_agent(struct ooo_client *client, struct ooo_binding *binding, double *us)
{
	struct ooo_completion done;

	for (int i = 0; i < TRIPS; i++) {
		uint64_t start = ooo_now_ns();

		ooo_submit(binding, 0, 0);
		while (ooo_poll(client, &done, 1) == 0)
			;
		us[i] = (double)(ooo_now_ns() - start) / 1e3;
	}
	return median(us, TRIPS);
}

int main(void)
{
	static _Alignas(64) float in[WIDTH], out[WIDTH];
	static double us[TRIPS];
	struct ooo_builder *b = small_net();
	struct ooo_client *client;
	struct ooo_program *program;
	struct ooo_binding *binding;
	double direct_us[ROUNDS], agent_us[ROUNDS], added[ROUNDS];
	struct direct d = { 0 };
	void *io[] = { in, out };
	char why[256];

	if (direct_open(&d, b, io))
		return 1;
	if (ooo_connect(NULL, &client, why, sizeof(why))) {
		fprintf(stderr, "overhead: %s\n", why);
		return 1;
	}
	if (ooo_load(client, b, NULL, &program) || ooo_bind(program, &binding)) {
		fprintf(stderr, "overhead: %s\n", ooo_error(client));
		return 1;
	}
	memset(ooo_binding_input(binding, 0), 0, sizeof(in));
	for (int i = 0; i < ROUNDS; i++) {
		direct_us[i] = time_direct(&d, us);
		agent_us[i] = time_agent(client, binding, us);
		added[i] = agent_us[i] - direct_us[i];
	}
	if (memcmp(ooo_binding_output(binding, 0), out, sizeof(out))) {
		fprintf(stderr, "overhead: the agent's output differs from the device's\n");
		return 1;
	}
	printf("{\"bench\":\"overhead\",\"steps\":%u,\"device_p50_us\":%.2f,\"agent_p50_us\":%.2f,"
	       "\"agent_overhead_p50_us\":%.2f}\n",
	       d.program->nr_steps, median(direct_us, ROUNDS), median(agent_us, ROUNDS),
	       median(added, ROUNDS));
	ooo_disconnect(client);
	direct_close(&d);
	ooo_builder_free(b);
	return 0;
}
