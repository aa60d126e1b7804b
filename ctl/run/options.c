// SPDX-License-Identifier: Apache-2.0
/* The command line of ooo-run: one table gives the parser and the help. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/run/run.h"
#include "ctl/run/zoo.h"

enum option_id {
	OPT_FIRST = 256,
#define OPTION(ID, name, arg, help) OPT_##ID,
#include "ctl/run/options.def"
#undef OPTION
};

static const struct {
	const char *name, *arg, *help;
} table[] = {
#define OPTION(ID, name, arg, help) { name, arg, help },
#include "ctl/run/options.def"
#undef OPTION
};

static const struct option long_options[] = {
#define OPTION(ID, name, arg, help)                                                                \
	{ name, (arg) ? required_argument : no_argument, NULL, OPT_##ID },
#include "ctl/run/options.def"
#undef OPTION
	{ 0 },
};

static void print_help(void)
{
	printf("Usage: ooo-run MODEL.onnx [options]\n"
	       "       ooo-run --zoo NAME [options]\n"
	       "Run a model, or load-test it, as one or many tenants of ooo-agent.\n\n");
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char left[64];

		snprintf(left, sizeof(left), "--%s%s%s", table[i].name, table[i].arg ? " " : "",
			 table[i].arg ? table[i].arg : "");
		printf("  %-26s %s\n", left, table[i].help);
	}
	printf("\nZoo: %s\n"
	       "Exit status: 0 all requests right, 1 some failed or were wrong, 2 usage, 3 no agent.\n",
	       zoo_list());
}

static int usage(const char *option, const char *value, const char *expected)
{
	fprintf(stderr, "ooo-run: --%s %s: expected %s\n", option, value, expected);
	return 2;
}

static bool parse_u64(const char *s, uint64_t max, uint64_t *out)
{
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	*out = strtoull(s, &end, 10);
	return !*end && *out <= max;
}

static bool parse_double(const char *s, double *out, char **end)
{
	*out = strtod(s, end);
	return *end != s && isfinite(*out) && *out >= 0;
}

/* "5ms", "200us", "1.5s", "800ns". A bare number is refused where its unit would be a guess. */
static bool parse_duration(const char *s, bool bare, double *seconds)
{
	static const struct {
		const char *unit;
		double scale;
	} units[] = { { "ns", 1e-9 }, { "us", 1e-6 }, { "ms", 1e-3 }, { "s", 1 }, { "min", 60 } };
	char *end;

	if (!parse_double(s, seconds, &end))
		return false;
	if (bare && !*end)
		return true;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!strcmp(end, units[i].unit)) {
			*seconds *= units[i].scale;
			return true;
		}
	}
	return false;
}

static bool parse_rate(const char *s, double *rate)
{
	char *end;

	return parse_double(s, rate, &end) && *rate > 0 && (!*end || !strcmp(end, "/s"));
}

static bool append(const char **list, int *nr, const char *value)
{
	if (*nr == RUN_MAX_FILES)
		return false;
	list[(*nr)++] = value;
	return true;
}

static int parse_lists(struct run_options *o, int id, const char *arg)
{
	bool room = true;

	switch (id) {
	case OPT_INPUT:
		room = append(o->inputs, &o->nr_inputs, arg);
		break;
	case OPT_COMPARE:
		room = append(o->compare, &o->nr_compare, arg);
		break;
	case OPT_DIM:
		room = append(o->dims, &o->nr_dims, arg);
		break;
	case OPT_SHAPE:
		room = append(o->shapes, &o->nr_shapes, arg);
		break;
	}
	if (!room)
		fprintf(stderr, "ooo-run: more than %d files of one kind\n", RUN_MAX_FILES);
	return room ? 0 : 2;
}

static int parse_precision(struct run_options *o, const char *arg)
{
	static const enum ooo_dtype types[] = { OOO_FP32, OOO_TF32, OOO_BF16, OOO_FP16 };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (!strcmp(arg, ooo_dtype_name(types[i]))) {
			o->precision = types[i];
			return 0;
		}
	}
	return usage("precision", arg, "fp32, tf32, bf16 or fp16");
}

static int parse_numbers(struct run_options *o, int id, const char *arg)
{
	uint64_t n;
	double d;
	char *end;

	switch (id) {
	case OPT_TENANTS:
		if (!parse_u64(arg, RUN_MAX_TENANTS, &n) || !n)
			return usage("tenants", arg, "a number from 1 to 1024");
		o->tenants = (int)n;
		break;
	case OPT_REQUESTS:
		if (!parse_u64(arg, UINT64_MAX / 2, &o->requests) || !o->requests)
			return usage("requests", arg, "a number from 1");
		break;
	case OPT_DURATION:
		if (!parse_duration(arg, true, &o->duration_s) || o->duration_s <= 0)
			return usage("duration", arg,
				     "seconds, or a time with its unit, like 500ms");
		break;
	case OPT_RATE:
		if (!parse_rate(arg, &o->rate))
			return usage("rate", arg, "requests per second, like 200/s");
		break;
	case OPT_INFLIGHT:
		if (!parse_u64(arg, 1024, &n) || !n)
			return usage("inflight", arg, "a number from 1 to 1024");
		o->inflight = (uint32_t)n;
		break;
	case OPT_SPIN:
		if (!parse_duration(arg, false, &d) || d < 0 || d > 1)
			return usage("spin", arg, "a time with its unit up to 1s, like 50us");
		o->spin_us = (uint32_t)(d * 1e6 + 0.5);
		break;
	case OPT_DEADLINE:
		if (!parse_duration(arg, false, &d) || d <= 0)
			return usage("deadline", arg, "a time with its unit, like 5ms");
		o->deadline_ns = (uint64_t)(d * 1e9);
		break;
	case OPT_SEED:
		if (!parse_u64(arg, UINT64_MAX, &o->seed))
			return usage("seed", arg, "a number");
		break;
	case OPT_INT_MAX:
		if (!parse_u64(arg, INT32_MAX, &n) || !n)
			return usage("int-max", arg, "a number from 1");
		o->int_max = (int64_t)n;
		break;
	case OPT_BATCH:
		if (!parse_u64(arg, 65536, &n) || !n)
			return usage("batch", arg, "a number from 1 to 65536");
		o->batch = (int64_t)n;
		break;
	case OPT_RTOL:
		if (!parse_double(arg, &o->rtol, &end) || *end)
			return usage("rtol", arg, "a number, like 1e-3");
		break;
	case OPT_ATOL:
		if (!parse_double(arg, &o->atol, &end) || *end)
			return usage("atol", arg, "a number, like 1e-5");
		break;
	}
	return 0;
}

static int parse_one(struct run_options *o, int id, char *arg)
{
	switch (id) {
	case OPT_HELP:
		print_help();
		return -1;
	case OPT_VERSION:
		printf("ooo-run %s\n", OOO_RELEASE);
		return -1;
	case OPT_ZOO:
		o->zoo = arg;
		return 0;
	case OPT_PRECISION:
		return parse_precision(o, arg);
	case OPT_OUTPUT:
		o->output = arg;
		return 0;
	case OPT_ARRIVALS:
		o->arrivals = arg;
		return 0;
	case OPT_SOCKET:
		o->socket = arg;
		return 0;
	case OPT_NAME:
		o->name = arg;
		return 0;
	case OPT_CHECK_SOLO:
		o->check_solo = true;
		return 0;
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_QUIET:
		o->quiet = true;
		return 0;
	case OPT_INPUT:
	case OPT_COMPARE:
	case OPT_DIM:
	case OPT_SHAPE:
		return parse_lists(o, id, arg);
	default:
		return parse_numbers(o, id, arg);
	}
}

/* What one option alone cannot tell. */
static int check(struct run_options *o)
{
	if (!o->model == !o->zoo) {
		fprintf(stderr,
			"ooo-run: name one model: an ONNX file or --zoo NAME (see --help)\n");
		return 2;
	}
	if (o->requests && o->duration_s > 0) {
		fprintf(stderr, "ooo-run: --requests and --duration exclude each other\n");
		return 2;
	}
	if (o->zoo && (o->nr_dims || o->nr_shapes)) {
		fprintf(stderr, "ooo-run: --dim and --shape are for ONNX models\n");
		return 2;
	}
	if (o->rate > 0 && o->rate > 1e7) {
		fprintf(stderr, "ooo-run: --rate %g/s: at most 1e7/s\n", o->rate);
		return 2;
	}
	if (!o->requests && o->duration_s <= 0) {
		if (o->rate > 0 || o->arrivals)
			o->duration_s = 10;
		else
			o->requests = 1;
	}
	if (!o->inflight)
		o->inflight = o->rate > 0 || o->arrivals ? 32 : 1;
	if (!o->name)
		o->name = o->zoo ? o->zoo : "ooo-run";
	return 0;
}

int options_parse(int argc, char **argv, struct run_options *o)
{
	int id, err;

	*o = (struct run_options){
		.tenants = 1, .spin_us = 20, .seed = 1, .int_max = 2, .rtol = 1e-3, .atol = 1e-5
	};
	while ((id = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		if (id == '?')
			return 2; /* getopt said what is wrong */
		err = parse_one(o, id == 'h' ? OPT_HELP : id, optarg);
		if (err)
			return err;
	}
	if (optind < argc)
		o->model = argv[optind++];
	/* "--rate 200/s poisson": the only process there is may be named. */
	if (o->rate > 0 && o->model && !strcmp(o->model, "poisson"))
		o->model = optind < argc ? argv[optind++] : NULL;
	else if (o->rate > 0 && optind < argc && !strcmp(argv[optind], "poisson"))
		optind++;
	if (optind < argc) {
		fprintf(stderr, "ooo-run: unexpected argument '%s'\n", argv[optind]);
		return 2;
	}
	return check(o);
}
