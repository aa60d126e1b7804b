// SPDX-License-Identifier: Apache-2.0
/* ooo-ctl simulate: capacity planning with the agent's own scheduler on a virtual clock. */
#include "ctl/sim/simulate.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/log.h"
#include "ctl/sim/outcome.h"
#include "ctl/sim/schema.h"

#define WHY_BYTES    1024
#define MAX_DURATION (365 * 24 * 3600e9)

enum option_id {
	OPT_FIRST = 256,
#define OPTION(ID, name, arg, help) OPT_##ID,
#include "ctl/sim/options.def"
#undef OPTION
};

static const struct {
	const char *name, *arg, *help;
} table[] = {
#define OPTION(ID, name, arg, help) { name, arg, help },
#include "ctl/sim/options.def"
#undef OPTION
};

static const struct option long_options[] = {
#define OPTION(ID, name, arg, help)                                                                \
	{ name, (arg) ? required_argument : no_argument, NULL, OPT_##ID },
#include "ctl/sim/options.def"
#undef OPTION
	{ 0 },
};

struct options {
	const char *device, *tenants, *trace, *record, *policy, *compare;
	double poisson, rate, duration_ns;
	uint64_t seed;
	uint32_t steps;
	bool per_tenant, json, help;
};

static void print_help(void)
{
	puts("Usage: ooo-ctl simulate --device FILE --tenants FILE [OPTION]...\n\n"
	     "Runs the agent's scheduler, the same code, on a virtual clock with tenants that you\n"
	     "describe and a device that was measured: an hour of thousands of tenants takes seconds.\n"
	     "Use it to size a machine, to set weights and SLOs, and to try a policy before it is\n"
	     "loaded. Needs no agent. The same seed gives the same output, byte for byte.\n");
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char left[64];

		snprintf(left, sizeof(left), "--%s%s%s", table[i].name, table[i].arg ? " " : "",
			 table[i].arg ? table[i].arg : "");
		printf("  %-18s %s\n", left, table[i].help);
	}
	puts("\nTenants file, for example:\n"
	     "  { \"groups\": [\n"
	     "    { \"name\": \"web\", \"count\": 8, \"program\": \"resnet50\", \"class\": \"latency\",\n"
	     "      \"slo\": \"5ms\", \"rate\": \"100/s\" },\n"
	     "    { \"name\": \"batch\", \"count\": 4, \"program\": \"bert-base\", \"class\": \"batch\",\n"
	     "      \"closed\": 2 } ] }\n"
	     "A group of `count` tenants has `rate` (Poisson, each), or `closed` requests in flight\n"
	     "at all times with `think` after each, or its `share` of --poisson or --trace. More:\n"
	     "weight, admission, deadlines, inflight, max_inflight, rate_cap, sm_min, sm_max.\n\n"
	     "Policy file, for example:\n"
	     "  { \"runahead\": \"100us\", \"tenants\": { \"web*\": { \"weight\": 400 } } }\n\n"
	     "Columns: goodput counts requests that meet their group's SLO (all, without one);\n"
	     "refused those that did not run to their end; service is device time; latencies count\n"
	     "from arrival.\n\n"
	     "Examples:\n"
	     "  ooo-ctl simulate --device h100 --tenants tenants.json --duration 1h\n"
	     "  ooo-ctl simulate --device cpu --tenants tenants.json --trace arrivals.csv --rate 500/s\n"
	     "  ooo-ctl simulate --device h100 --record today.jsonl --compare new-policy.json\n\n"
	     "Exit status: 0 done, 1 failed, 2 wrong words or files.");
}

static bool wrong(const char *option, const char *value, const char *expected)
{
	fprintf(stderr, "ooo-ctl simulate: --%s %s: expected %s\n", option, value, expected);
	return false;
}

static bool parse_whole(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	*out = strtoull(text, &end, 10);
	return !*end && *out >= min && *out <= max;
}

static bool take_number(struct options *o, int id, const char *arg)
{
	uint64_t n = 0;

	switch (id) {
	case OPT_POISSON:
		return (schema_rate(arg, &o->poisson) && o->poisson > 0) ||
		       wrong("poisson", arg, "a rate like 200/s");
	case OPT_RATE:
		return (schema_rate(arg, &o->rate) && o->rate > 0) ||
		       wrong("rate", arg, "a rate like 200/s");
	case OPT_DURATION:
		return (schema_time(arg, &o->duration_ns) && o->duration_ns >= 1 &&
			o->duration_ns <= MAX_DURATION) ||
		       wrong("duration", arg, "a time like 60s or 1h");
	case OPT_SEED:
		return parse_whole(arg, 0, UINT64_MAX, &o->seed) ||
		       wrong("seed", arg, "a whole number");
	case OPT_STEPS:
		if (!parse_whole(arg, 1, 4096, &n))
			return wrong("steps", arg, "a whole number from 1 to 4096");
		o->steps = (uint32_t)n;
		return true;
	default:
		return false;
	}
}

static bool take_option(struct options *o, int id, const char *arg)
{
	switch (id) {
	case OPT_DEVICE:
		o->device = arg;
		return true;
	case OPT_TENANTS:
		o->tenants = arg;
		return true;
	case OPT_TRACE:
		o->trace = arg;
		return true;
	case OPT_RECORD:
		o->record = arg;
		return true;
	case OPT_POLICY:
		o->policy = arg;
		return true;
	case OPT_COMPARE:
		o->compare = arg;
		return true;
	case OPT_PER_TENANT:
		o->per_tenant = true;
		return true;
	case OPT_JSON:
		o->json = true;
		return true;
	case OPT_HELP:
		o->help = true;
		return true;
	default:
		return take_number(o, id, arg);
	}
}

static bool sentence(const char *text)
{
	fprintf(stderr, "ooo-ctl simulate: %s\n", text);
	return false;
}

static bool parse(int argc, char **argv, struct options *o)
{
	int id;

	*o = (struct options){ .seed = 1 };
	optind = 1;
	opterr = 0;
	while ((id = getopt_long(argc, argv, ":hj", long_options, NULL)) != -1) {
		if (id == '?' || id == ':') {
			fprintf(stderr, "ooo-ctl simulate: %s %s; see ooo-ctl simulate --help\n",
				argv[optind - 1], id == ':' ? "needs a value" : "is no option");
			return false;
		}
		if (!take_option(o, id == 'h' ? OPT_HELP : id == 'j' ? OPT_JSON : id, optarg))
			return false;
	}
	if (o->help)
		return true;
	if (optind < argc)
		return wrong("tenants", argv[optind], "options alone; see ooo-ctl simulate --help");
	if (!o->device)
		return sentence("--device is missing: a device file, or h100 or cpu");
	if (!o->tenants && !o->record)
		return sentence("--tenants is missing (or --record, to replay a recording)");
	if ((o->poisson > 0) + !!o->trace + !!o->record > 1)
		return sentence("--poisson, --trace and --record exclude one another");
	if (o->rate > 0 && !o->trace)
		return sentence("--rate rescales --trace, which is missing");
	return true;
}

/* Each group has arrivals, and those of the command line have a group. */
static int check_arrivals(const struct scenario *s, char *why)
{
	bool given = s->nr_arrivals || s->poisson_per_s > 0, taken = false;

	for (uint32_t i = 0; i < s->nr_groups; i++) {
		if (s->groups[i].source != SOURCE_SHARED)
			continue;
		taken = true;
		if (given)
			continue;
		snprintf(why, WHY_BYTES,
			 "group \"%s\" has neither \"rate\" nor \"closed\": give it one, or "
			 "--poisson or --trace",
			 s->groups[i].name);
		return -1;
	}
	if (given && !taken) {
		snprintf(
			why, WHY_BYTES,
			"no group takes the arrivals of --poisson or --trace: all have \"rate\" or "
			"\"closed\"");
		return -1;
	}
	return 0;
}

static int load(const struct options *o, struct scenario *s, char *why)
{
	int err = device_file_load(o->device, &s->device, why, WHY_BYTES);

	s->seed = s->device.model.seed = o->seed;
	s->poisson_per_s = o->poisson;
	s->max_steps = o->steps;
	s->duration_ns = o->duration_ns > 0 ? o->duration_ns : 60e9;
	if (!err && o->tenants)
		err = tenants_file_load(o->tenants, s, why, WHY_BYTES);
	if (!err && o->trace)
		err = trace_load(o->trace, o->rate, s, why, WHY_BYTES);
	if (!err && o->record)
		err = replay_load(o->record, s, why, WHY_BYTES);
	if (!err && o->record && !(o->duration_ns > 0))
		s->duration_ns = (double)s->arrivals[s->nr_arrivals - 1].at_ns + 1e9;
	return err ? err : check_arrivals(s, why);
}

static enum ctl_exit run(const struct options *o, const struct scenario *s, char *why)
{
	struct report_options shown = { o->json, o->per_tenant, o->device };
	struct policy_file policy = { 0 }, other = { 0 };
	struct outcome a = { 0 }, b = { 0 };
	enum ctl_exit code = CTL_USAGE;

	if (policy_file_load(o->policy, s, &policy, why, WHY_BYTES) ||
	    (o->compare && policy_file_load(o->compare, s, &other, why, WHY_BYTES)))
		goto out;
	code = CTL_REFUSED;
	if (outcome_run(s, &policy, o->per_tenant, &a, why, WHY_BYTES) ||
	    (o->compare && outcome_run(s, &other, o->per_tenant, &b, why, WHY_BYTES)))
		goto out;
	snprintf(why, WHY_BYTES, "no memory");
	if (!report_print(s, &a, o->compare ? &b : NULL, &shown))
		code = CTL_OK;
out:
	outcome_free(&a, s);
	outcome_free(&b, s);
	free(policy.groups);
	free(other.groups);
	return code;
}

enum ctl_exit simulate_main(int argc, char **argv)
{
	enum ctl_exit code = CTL_USAGE;
	struct scenario s = { 0 };
	char why[WHY_BYTES] = "";
	struct options o;

	if (!parse(argc, argv, &o))
		return CTL_USAGE;
	if (o.help) {
		print_help();
		return CTL_OK;
	}
	log_set_level(LOG_LEVEL_ERROR);
	if (!load(&o, &s, why))
		code = run(&o, &s, why);
	if (code != CTL_OK)
		fprintf(stderr, "ooo-ctl simulate: %s\n", why);
	scenario_free(&s);
	return code;
}
