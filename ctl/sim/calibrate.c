// SPDX-License-Identifier: Apache-2.0
/*
 * ooo-ctl calibrate: measure a device through its agent and write the file that `simulate` reads.
 *
 * Each program runs twice: one tenant alone, in a closed loop, and many together. From the first
 * come `alone` (the median) and the spread of all requests around it, from the second `together`.
 * What a request alone takes beyond its steps' own time is launch and report, once, and a gap for
 * each step: a straight line through the programs, which have few and many steps.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "ctl/sim/child.h"
#include "ctl/sim/schema.h"
#include "ctl/sim/simulate.h"

#define WHY_BYTES    512
#define MAX_PROGRAMS 16
#define SPREAD       33 /* quantiles that are written */
#define GPU_WIDTH    8

enum option_id {
	OPT_FIRST = 256,
#define OPTION(ID, name, arg, help) OPT_##ID,
#include "ctl/sim/calibrate.def"
#undef OPTION
};

static const struct {
	const char *name, *arg, *help;
} table[] = {
#define OPTION(ID, name, arg, help) { name, arg, help },
#include "ctl/sim/calibrate.def"
#undef OPTION
};

static const struct option long_options[] = {
#define OPTION(ID, name, arg, help)                                                                \
	{ name, (arg) ? required_argument : no_argument, NULL, OPT_##ID },
#include "ctl/sim/calibrate.def"
#undef OPTION
	{ 0 },
};

struct options {
	const char *output, *device, *threads, *precision, *tenants, *duration, *dir;
	char programs[256];
	bool help;
};

struct measured {
	char name[32];
	double steps, alone_ms, service_ms, together_per_s;
	double p[5]; /* alone: p50, p90, p99, p999, max in ms */
	double count;
};

static const double quantiles[] = { 0.5, 0.9, 0.99, 0.999, 1 };
static const char *const quantile_keys[] = { "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms" };

static void print_help(void)
{
	puts("Usage: ooo-ctl calibrate -o FILE [OPTION]...\n\n"
	     "Measures a device with a few programs, alone and together, and writes the device file\n"
	     "that `ooo-ctl simulate` takes. Nothing else should run on the machine meanwhile.\n");
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char left[64];

		snprintf(left, sizeof(left), "--%s%s%s", table[i].name, table[i].arg ? " " : "",
			 table[i].arg ? table[i].arg : "");
		printf("  %-20s %s\n", left, table[i].help);
	}
	puts("\nExamples:\n"
	     "  ooo-ctl calibrate --device cpu -o cpu.json\n"
	     "  ooo-ctl calibrate --programs resnet50,bert-base --precision fp16 -o gpu.json\n\n"
	     "Exit status: 0 done, 1 failed, 2 wrong words.");
}

static bool take_option(struct options *o, int id, const char *arg)
{
	switch (id) {
	case OPT_OUTPUT:
		o->output = arg;
		return true;
	case OPT_DEVICE:
		o->device = arg;
		return true;
	case OPT_THREADS:
		o->threads = arg;
		return true;
	case OPT_PROGRAMS:
		snprintf(o->programs, sizeof(o->programs), "%s", arg);
		return strlen(arg) < sizeof(o->programs);
	case OPT_PRECISION:
		o->precision = arg;
		return true;
	case OPT_TENANTS:
		o->tenants = arg;
		return true;
	case OPT_DURATION:
		o->duration = arg;
		return true;
	case OPT_DIR:
		o->dir = arg;
		return true;
	case OPT_HELP:
		o->help = true;
		return true;
	default:
		return false;
	}
}

static bool parse(int argc, char **argv, struct options *o)
{
	const char *dir = getenv("OOO_RUNTIME_DIR");
	int id;

	*o = (struct options){ .tenants = "8",
			       .duration = "3s",
			       .dir = dir && *dir ? dir : CTL_DEFAULT_DIR,
			       .programs = "mlp,resnet18,mobilenet_v2,resnet50" };
	optind = 1;
	opterr = 0;
	while ((id = getopt_long(argc, argv, ":ho:", long_options, NULL)) != -1) {
		if (!take_option(o, id == 'h' ? OPT_HELP : id == 'o' ? OPT_OUTPUT : id, optarg)) {
			fprintf(stderr,
				"ooo-ctl calibrate: %s: wrong; see ooo-ctl calibrate --help\n",
				argv[optind - 1]);
			return false;
		}
	}
	if (!o->help && (optind < argc || !o->output)) {
		fprintf(stderr, "ooo-ctl calibrate: %s%s\n",
			optind < argc ? argv[optind] : "-o FILE is missing",
			optind < argc ? ": options alone are taken"
				      : ": where to write the result");
		return false;
	}
	return true;
}

static double number(const cJSON *obj, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(obj, key);

	return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static cJSON *load(const struct options *o, const char *program, const char *tenants, char *why)
{
	const char *argv[] = { "ooo-run",    "--zoo",
			       program,      "--tenants",
			       tenants,      "--duration",
			       o->duration,  "--json",
			       "--quiet",    o->precision ? "--precision" : NULL,
			       o->precision, NULL };

	return child_json(argv, o->dir, why, WHY_BYTES);
}

static int measure(const struct options *o, const char *program, struct measured *m, char *why)
{
	cJSON *alone, *together;

	snprintf(m->name, sizeof(m->name), "%s", program);
	fprintf(stderr, "%s: alone", program);
	alone = load(o, program, "1", why);
	fprintf(stderr, ", %s together", o->tenants);
	together = alone ? load(o, program, o->tenants, why) : NULL;
	fputc('\n', stderr);
	if (together) {
		m->steps = number(alone, "steps");
		m->count = number(alone, "requests");
		m->alone_ms = number(alone, "p50_ms");
		m->service_ms = m->count > 0 ? number(alone, "service_ms") / m->count : 0;
		m->together_per_s = number(together, "requests_per_s");
		for (int i = 0; i < 5; i++)
			m->p[i] = number(alone, quantile_keys[i]);
	}
	cJSON_Delete(alone);
	cJSON_Delete(together);
	if (!together)
		return -EIO;
	if (m->count < 10 || m->steps < 1 || m->alone_ms <= 0 || m->together_per_s <= 0) {
		snprintf(why, WHY_BYTES,
			 "%s: %g requests in %s are too few: use a longer --duration", program,
			 m->count, o->duration);
		return -EIO;
	}
	return 0;
}

/* Of a request alone: fixed + steps * gap, by least squares, none of them negative. */
static void fit_fixed(const struct measured *m, int nr, double *fixed_ms, double *gap_ms)
{
	double n = nr, sx = 0, sy = 0, sxx = 0, sxy = 0;

	for (int i = 0; i < nr; i++) {
		double x = m[i].steps, y = m[i].alone_ms - m[i].service_ms;

		sx += x;
		sy += y;
		sxx += x * x;
		sxy += x * y;
	}
	*gap_ms = n * sxx > sx * sx ? (n * sxy - sx * sy) / (n * sxx - sx * sx) : 0;
	if (*gap_ms < 0)
		*gap_ms = 0;
	*fixed_ms = (sy - *gap_ms * sx) / n;
	if (*fixed_ms < 0)
		*fixed_ms = 0;
	/* A short program bounds both. */
	for (int i = 0; i < nr; i++) {
		double most = m[i].alone_ms * 0.5, takes = *fixed_ms + m[i].steps * *gap_ms;

		if (takes > most) {
			*fixed_ms *= most / takes;
			*gap_ms *= most / takes;
		}
	}
}

/* A request's time against the median, at quantile q: straight lines between what was measured. */
static double factor_at(const struct measured *m, double q)
{
	for (int i = 1; i < 5; i++) {
		if (q <= quantiles[i] && q > quantiles[i - 1]) {
			double part = (q - quantiles[i - 1]) / (quantiles[i] - quantiles[i - 1]);

			return (m->p[i - 1] + (m->p[i] - m->p[i - 1]) * part) / m->p[0];
		}
	}
	return 1;
}

static double mean_factor(const struct measured *m, int nr, double q)
{
	double sum = 0;

	for (int i = 0; i < nr; i++)
		sum += factor_at(&m[i], q);
	return sum / nr;
}

static void add_time(cJSON *obj, const char *key, double ms)
{
	char text[32];

	snprintf(text, sizeof(text), "%.3fus", ms * 1e3);
	cJSON_AddStringToObject(obj, key, text);
}

static cJSON *programs_json(const struct measured *m, int nr)
{
	cJSON *programs = cJSON_CreateObject();

	for (int i = 0; i < nr; i++) {
		cJSON *p = cJSON_AddObjectToObject(programs, m[i].name);
		char rate[32];

		snprintf(rate, sizeof(rate), "%.3f/s", m[i].together_per_s);
		cJSON_AddNumberToObject(p, "steps", m[i].steps);
		add_time(p, "alone", m[i].alone_ms);
		cJSON_AddStringToObject(p, "together", rate);
	}
	return programs;
}

static cJSON *device_json(const cJSON *device, const struct measured *m, int nr)
{
	const cJSON *name = cJSON_GetObjectItemCaseSensitive(device, "description");
	const cJSON *kind = cJSON_GetObjectItemCaseSensitive(device, "device");
	bool cpu = cJSON_IsString(kind) && !strcmp(kind->valuestring, "cpu");
	cJSON *root = cJSON_CreateObject(), *spread;
	double fixed, gap;
	char text[64];

	fit_fixed(m, nr, &fixed, &gap);
	snprintf(text, sizeof(text), "%s", cJSON_IsString(name) ? name->valuestring : "device");
	cJSON_AddStringToObject(root, "format", "ooo-device/1");
	cJSON_AddStringToObject(root, "name", text);
	cJSON_AddNumberToObject(root, "lanes", number(device, "lanes"));
	cJSON_AddNumberToObject(root, "lane_depth", number(device, "lane_depth"));
	cJSON_AddNumberToObject(root, "max_items", number(device, "max_width"));
	cJSON_AddNumberToObject(root, "width", cpu ? 0 : GPU_WIDTH);
	cJSON_AddNumberToObject(root, "threads",
				number(device, "threads") > 0 ? number(device, "threads") : 1);
	cJSON_AddStringToObject(root, "runahead", cpu ? "1ms" : "25us");
	cJSON_AddStringToObject(root, "launch", cpu ? "0us" : "3.5us");
	add_time(root, "gap", gap);
	add_time(root, "report", cpu || fixed < 0.0035 ? fixed : fixed - 0.0035);
	spread = cJSON_AddArrayToObject(root, "spread");
	for (int i = 0; i < SPREAD; i++) {
		double q = (double)i / (SPREAD - 1);

		cJSON_AddItemToArray(spread,
				     cJSON_CreateNumber(round(mean_factor(m, nr, q) * 1e4) / 1e4));
	}
	cJSON_AddItemToObject(root, "programs", programs_json(m, nr));
	return root;
}

static int write_file(const char *path, cJSON *root, char *why)
{
	char *text = cJSON_Print(root);
	FILE *file = text ? fopen(path, "we") : NULL;
	bool ok = file && fprintf(file, "%s\n", text) > 0;

	if (file && fclose(file))
		ok = false;
	if (!ok)
		snprintf(why, WHY_BYTES, "%s: %s", path, strerror(errno));
	free(text);
	return ok ? 0 : -EIO;
}

static int measure_all(struct options *o, char *why)
{
	const char *list[] = { "ooo-ctl", "device", "list", "--json", NULL };
	cJSON *devices = child_json(list, o->dir, why, WHY_BYTES), *root = NULL;
	struct measured m[MAX_PROGRAMS];
	int nr = 0, err = devices ? 0 : -EIO;

	memset(m, 0, sizeof(m));
	for (char *rest, *p = strtok_r(o->programs, ",", &rest); p && !err;
	     p = strtok_r(NULL, ",", &rest)) {
		if (nr == MAX_PROGRAMS) {
			snprintf(why, WHY_BYTES, "--programs: at most %d", MAX_PROGRAMS);
			err = -EINVAL;
		} else {
			err = measure(o, p, &m[nr++], why);
		}
	}
	if (!err && !nr) {
		snprintf(why, WHY_BYTES, "--programs: none is named");
		err = -EINVAL;
	}
	if (!err) {
		root = device_json(cJSON_GetArrayItem(devices, 0), m, nr);
		err = write_file(o->output, root, why);
	}
	cJSON_Delete(root);
	cJSON_Delete(devices);
	return err;
}

enum ctl_exit calibrate_main(int argc, char **argv)
{
	struct private_agent agent = { .pid = 0 };
	char why[WHY_BYTES] = "";
	struct options o;
	int err = 0;

	if (!parse(argc, argv, &o))
		return CTL_USAGE;
	if (o.help) {
		print_help();
		return CTL_OK;
	}
	if (o.device) {
		err = private_agent_start(&agent, o.device, o.threads, why, WHY_BYTES);
		o.dir = agent.dir;
	}
	if (!err) {
		err = measure_all(&o, why);
		if (o.device)
			private_agent_stop(&agent);
	}
	if (err)
		fprintf(stderr, "ooo-ctl calibrate: %s\n", why);
	return err ? CTL_REFUSED : CTL_OK;
}
