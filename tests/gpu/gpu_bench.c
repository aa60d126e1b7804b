/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's own times of bundles, without agent and tenants. Products of matrices M x N x K as in
 * the literature on coalescing: R problems with weights M x K of their own, operands and results in
 * device memory, back to back; warm (the same problems again) and cold (others in turn, three times
 * as many as the second-level cache holds). Then whole networks, 1 and 16 with weights of their own
 * side by side. One line a result, as "key value" pairs.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/device/cuda/plan.h"
#include "ctl/run/zoo.h"
#include "shared/abi/status.h"
#include "shared/client/ooo.h"
#include "tests/gpu/exec.h"
#include "tests/unit/device/small_float.h"

#define COLD_BYTES (3ull * 60 << 20) /* three times the second-level cache of an H200 */
#define MAX_SETS   1024

static struct exec_device gpu;
static char why[EXEC_WHY];
static unsigned rounds = 300;
static const char *only_shape; /* of products: MxNxK */
static unsigned only_items;
static bool only_warm;

static void die(const char *what, const char *reason)
{
	fprintf(stderr, "gpu_bench: %s: %s\n", what, reason);
	exit(1);
}

static double random_unit(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return (double)(*s >> 11) / (double)(1ull << 52) - 1;
}

/* Random numbers of that type: clocks, and with them times, depend on the data. */
static void *random_data(uint32_t dtype, int64_t n, uint64_t seed)
{
	size_t size = dtype_bytes(dtype);
	char *data =
		aligned_alloc(TENSOR_ALIGN, ((size_t)n * size / TENSOR_ALIGN + 1) * TENSOR_ALIGN);
	uint64_t s = seed * 0x9e3779b97f4a7c15ull + 1;

	if (!data)
		die("memory", "none left");
	for (int64_t i = 0; i < n; i++) {
		double v = random_unit(&s) / 8;
		uint16_t half = size == 2 ? small_from_double(dtype, v) : 0;
		float f = (float)v;

		memcpy(data + (size_t)i * size, size == 2 ? (void *)&half : (void *)&f, size);
	}
	return data;
}

/* ---- products ---------------------------------------------------------------------------------- */

struct shape_mnk {
	int64_t m, n, k;
};

/* Y[N,M] = X[N,K] W[M,K]^T, with X and Y in the workspace. */
struct product {
	struct program p;
	struct tensor tensors[3];
	struct step step;
	uint32_t in[2], out[1];
	struct device_program *dp;
	struct device_binding *binding;
};

static struct tensor tensor_of(uint32_t dtype, int64_t rows, int64_t cols)
{
	return (struct tensor){ .shape = { dtype, 2, { rows, cols } },
				.alias_of = OOO_NONE,
				.bytes = (size_t)(rows * cols) * dtype_bytes(dtype) };
}

static struct product *product_new(struct shape_mnk s, uint32_t dtype, uint8_t precision,
				   uint64_t seed)
{
	struct product *g = calloc(1, sizeof(*g));
	void *io = NULL, *x;
	int err;

	if (!g)
		die("memory", "none left");
	g->tensors[0] = tensor_of(dtype, s.n, s.k);
	g->tensors[1] = tensor_of(dtype, s.m, s.k);
	g->tensors[2] = tensor_of(dtype, s.n, s.m);
	g->tensors[0].place = g->tensors[2].place = PLACE_WORKSPACE;
	g->tensors[2].offset = (g->tensors[0].bytes + 255) / 256 * 256;
	g->tensors[1].place = PLACE_CONST;
	g->tensors[1].data = random_data(dtype, s.m * s.k, seed);
	g->in[1] = 1;
	g->out[0] = 2;
	attr_init(&g->step.attr, OOO_OP_MATMUL);
	g->step.attr.flags = OOO_ATTR_TRANS_B;
	g->step.op = OOO_OP_MATMUL;
	g->step.klass = CLASS_MATMUL;
	g->step.in = g->in;
	g->step.out = g->out;
	g->step.nr_in = 2;
	g->step.nr_out = 1;
	snprintf(g->step.name, sizeof(g->step.name), "MatMul");
	snprintf(g->p.name, sizeof(g->p.name), "product");
	g->p.tensors = g->tensors;
	g->p.nr_tensors = 3;
	g->p.steps = &g->step;
	g->p.nr_steps = g->p.nr_ops = 1;
	g->p.precision = precision;
	g->p.workspace_bytes = g->tensors[2].offset + g->tensors[2].bytes;
	err = gpu.ops->load(gpu.dev, &g->p, 1, &g->dp, why, sizeof(why));
	if (!err)
		err = gpu.ops->bind(gpu.dev, g->dp, &io, &g->binding);
	if (err)
		die("load", why[0] ? why : strerror(-err));
	x = random_data(dtype, s.n * s.k, seed + 1);
	if (cuda_context_use(gpu.dev) ||
	    cuda_upload(gpu.dev, g->dp->slots.address, x, g->tensors[0].bytes))
		die("upload", "failed");
	free(x);
	free((void *)(uintptr_t)g->tensors[1].data);
	g->tensors[1].data = NULL;
	return g;
}

static void product_free(struct product *g)
{
	gpu.ops->unbind(gpu.dev, g->binding);
	gpu.ops->unload(gpu.dev, g->dp);
	free(g);
}

/* ---- times ------------------------------------------------------------------------------------- */

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double median_us(uint64_t *ns, unsigned n)
{
	qsort(ns, n, sizeof(*ns), compare_u64);
	return (double)ns[n / 2] / 1e3;
}

struct times {
	double median_us; /* of a bundle: from the end of the one before it to its own end */
	double mean_us;   /* from the first start to the last end, by bundle */
};

/* Bundles over sets of R problems in turn, as many in flight as the lane takes. */
static struct times time_products(struct product *const *all, unsigned r, unsigned sets)
{
	unsigned depth = gpu.ops->caps(gpu.dev)->lane_depth, sent = 0, back = 0;
	unsigned warm_up = sets > 20 ? sets : 20, n = warm_up + (rounds > sets ? rounds : sets);
	struct bundle *bundles = calloc(depth, sizeof(*bundles)), *done[64];
	uint64_t *ns = calloc(n, sizeof(*ns)), first = 0, last = 0;
	struct times t;

	if (!bundles || !ns)
		die("memory", "none left");
	while (back < n) {
		while (sent < n && sent - back < depth) {
			struct bundle *b = &bundles[sent % depth];
			struct timespec now;

			memset(b, 0, sizeof(*b));
			b->nr_items = r;
			clock_gettime(CLOCK_MONOTONIC, &now);
			b->submit_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
			for (unsigned i = 0; i < r; i++) {
				const struct product *g = all[(sent % sets) * r + i];

				b->items[i].program = g->dp;
				b->items[i].binding = g->binding;
			}
			if (gpu.ops->submit(gpu.dev, b))
				break;
			sent++;
		}
		for (unsigned k = 0, got = gpu.ops->poll(gpu.dev, done, 64); k < got; k++, back++) {
			if (done[k]->scope)
				die("run", "a bundle failed");
			ns[back] = done[k]->end_ns - done[k]->start_ns;
			if (back == warm_up)
				first = done[k]->start_ns;
			last = done[k]->end_ns;
		}
	}
	t.mean_us = (double)(last - first) / (n - warm_up) / 1e3;
	t.median_us = median_us(ns + warm_up, n - warm_up);
	free(bundles);
	free(ns);
	return t;
}

static void bench_product(struct shape_mnk s, const char *name, uint32_t dtype, uint8_t precision,
			  unsigned r, bool cold)
{
	uint64_t bytes = (uint64_t)(s.m * s.k + s.n * s.k + s.n * s.m) * dtype_bytes(dtype) * r;
	unsigned sets = cold ? (unsigned)(COLD_BYTES / bytes) + 2 : 1;
	struct product **all;
	struct times t;

	if (sets > MAX_SETS)
		sets = MAX_SETS;
	all = calloc((size_t)sets * r, sizeof(struct product *));
	if (!all)
		die("memory", "none left");
	for (unsigned i = 0; i < sets * r; i++)
		all[i] = product_new(s, dtype, precision, i + 1);
	t = time_products(all, r, sets);
	printf("product %lldx%lldx%lld type %s items %u cache %s us %.2f mean_us %.2f tflops %.2f "
	       "gbps %.0f\n",
	       (long long)s.m, (long long)s.n, (long long)s.k, name, r, cold ? "cold" : "warm",
	       t.median_us, t.mean_us, 2e-6 * (double)(s.m * s.n * s.k) * r / t.mean_us,
	       1e-3 * (double)bytes / t.mean_us);
	fflush(stdout);
	for (unsigned i = 0; i < sets * r; i++)
		product_free(all[i]);
	free(all);
}

static bool wanted(struct shape_mnk s, unsigned items)
{
	char name[64];

	snprintf(name, sizeof(name), "%lldx%lldx%lld", (long long)s.m, (long long)s.n,
		 (long long)s.k);
	return (!only_shape || !strcmp(only_shape, name)) && (!only_items || only_items == items);
}

static void bench_products(const char *only)
{
	static const struct shape_mnk shapes[] = { { 512, 1, 512 },
						   { 256, 128, 1152 },
						   { 256, 256, 256 } };
	static const struct {
		const char *name;
		uint32_t dtype;
		uint8_t precision;
	} types[] = { { "fp16", OOO_FP16, OOO_FP16 },
		      { "fp32", OOO_FP32, 0 },
		      { "tf32", OOO_FP32, OOO_TF32 } };
	static const unsigned items[] = { 1, 10, 20, 60, 120 };

	for (int t = 0; t < 3; t++)
		for (int s = 0; s < 3; s++)
			for (int i = 0; i < 5; i++)
				for (int cold = 0; cold < (only_warm ? 1 : 2); cold++)
					if ((!only || !strcmp(only, types[t].name)) &&
					    wanted(shapes[s], items[i]))
						bench_product(shapes[s], types[t].name,
							      types[t].dtype, types[t].precision,
							      items[i], cold);
}

/* ---- networks ---------------------------------------------------------------------------------- */

#define MAX_COPIES 16

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void time_network(const char *name, const char *type, struct exec_request *r, unsigned n)
{
	unsigned nr = rounds / 10 + 5;
	uint64_t *busy = calloc(nr, sizeof(*busy)), *wall = calloc(nr, sizeof(*wall));
	uint64_t bundles = 0;

	if (!busy || !wall)
		die("memory", "none left");
	for (unsigned i = 0; i < nr + 3; i++) {
		uint64_t start = now_ns();

		gpu.busy_ns = gpu.nr_bundles = 0;
		if (exec_run(&gpu, r, n, 0))
			die(name, "does not run");
		for (unsigned k = 0; k < n; k++)
			if (r[k].status != OOO_OK || r[k].scope)
				die(name, "a request failed");
		if (i < 3)
			continue;
		busy[i - 3] = gpu.busy_ns;
		wall[i - 3] = now_ns() - start;
		bundles = gpu.nr_bundles;
	}
	printf("network %s type %s copies %u us %.1f wall_us %.1f bundles %llu per_second %.0f\n",
	       name, type, n, median_us(busy, nr), median_us(wall, nr), (unsigned long long)bundles,
	       n * 1e6 / median_us(busy, nr));
	fflush(stdout);
	free(busy);
	free(wall);
}

/* The copies have the same numbers as weights, and each its own memory: nothing is shared. */
static void bench_network(const char *name, const char *type, uint8_t precision)
{
	struct exec_request r[MAX_COPIES] = { 0 };
	struct ooo_builder *b;

	if (zoo_build(name, 1, 1, &b, why, sizeof(why)))
		die(name, why);
	if (exec_load_builder(&gpu, b, precision, 1, &r[0].e, why))
		die(name, why);
	ooo_builder_free(b);
	r[0].e->p->share_key = 0;
	for (unsigned i = 1; i < MAX_COPIES; i++)
		if (exec_load_program(&gpu, r[0].e->p, 1, &r[i].e, why))
			die(name, why);
	for (unsigned i = 0; i < MAX_COPIES; i++)
		exec_fill(r[i].e, 0, i);
	time_network(name, type, r, 1);
	time_network(name, type, r, MAX_COPIES);
	for (unsigned i = MAX_COPIES; i-- > 0;)
		exec_free(r[i].e);
}

static void bench_networks(const char *only, const char *network)
{
	static const char *const names[] = { "resnet50", "bert-base" };
	static const struct {
		const char *name;
		uint8_t precision;
	} types[] = { { "fp16", OOO_FP16 }, { "tf32", OOO_TF32 }, { "fp32", 0 } };

	for (int t = 0; t < 3; t++)
		for (int i = 0; i < 2; i++)
			if ((!only || !strcmp(only, types[t].name)) && (!network || !i))
				bench_network(network ? network : names[i], types[t].name,
					      types[t].precision);
}

static int usage(FILE *f)
{
	fprintf(f,
		"Usage: gpu_bench [--products] [--networks] [--network ZOO] [--type fp16|fp32|tf32] [--rounds N]"
		" [--shape MxNxK] [--items N] [--warm] [--driver FILE]\n");
	return f == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "products", no_argument, NULL, 'p' },
		{ "networks", no_argument, NULL, 'n' },
		{ "network", required_argument, NULL, 'm' },
		{ "type", required_argument, NULL, 't' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "shape", required_argument, NULL, 's' },
		{ "items", required_argument, NULL, 'i' },
		{ "warm", no_argument, NULL, 'w' },
		{ "driver", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct device_config config = { .name = "cuda" };
	bool products = false, networks = false;
	const char *type = NULL, *network = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			products = true;
			break;
		case 'n':
			networks = true;
			break;
		case 't':
			type = optarg;
			break;
		case 'm':
			networks = true;
			network = optarg;
			break;
		case 'r':
			rounds = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 's':
			only_shape = optarg;
			break;
		case 'i':
			only_items = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'w':
			only_warm = true;
			break;
		case 'd':
			config.cuda_library = optarg;
			break;
		default:
			return usage(c == 'h' ? stdout : stderr);
		}
	}
	if (exec_open(&gpu, &config, why)) {
		printf("gpu_bench: no cuda device: %s\n", why);
		return 77;
	}
	printf("device %s\n", gpu.ops->caps(gpu.dev)->description);
	if (products || !networks)
		bench_products(type);
	if (networks || !products)
		bench_networks(type, network);
	exec_close(&gpu);
	return 0;
}
