/* SPDX-License-Identifier: Apache-2.0 */
/* One table makes the parser and the help text. */
#include "agent/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "agent/policy/file.h"
#include "agent/watch/pinned.h"
#include "agent/watch/record.h"

enum kind {
	FLAG,
	TEXT,
	TEXTS, /* may be given several times: an array, as many as max */
	U32,
	U64,
	SIZE /* U64: a number with KiB, MiB or GiB; off is 0 */
};

static const struct option_row {
	const char *name;
	const char *arg; /* NULL: a flag */
	enum kind kind;
	size_t off; /* in struct options */
	uint64_t min, max;
	const char *help;
} rows[] = {
#define AT(field) offsetof(struct options, field)
	{ "device", "NAME", TEXT, AT(device.name), 0, 0,
	  "run on these devices, commas between them: auto (the best there is), cuda (all GPUs), "
	  "cuda:GPU (a UUID, its beginning or an index), cpu, sim (default auto)" },
	{ "threads", "N", U32, AT(device.threads), 1, 1024,
	  "cpu: threads to compute with (default: one for each core allowed)" },
	{ "device-memory", "BYTES", U64, AT(device.memory_bytes), 1, UINT64_MAX,
	  "workspace budget of one program (default: the device's)" },
	{ "cuda-lanes", "N", U32, AT(device.cuda_lanes), 1,
	  DEVICE_MAX_LANES - DEVICE_MAX_PARTITIONS,
	  "cuda: streams that bundles go to (default 2)" },
	{ "partition", "NAME=SMS", TEXTS, AT(device.partitions), 0, DEVICE_MAX_PARTITIONS,
	  "cuda: set so many multiprocessors apart; up to 4 times" },
	{ "launch-deadline-ms", "MS", U32, AT(device.launch_deadline_ms), 1, 3600000,
	  "cuda: give up a bundle that takes longer, and reset the GPU (default 2000)" },
	{ "cuda-library", "FILE", TEXT, AT(device.cuda_library), 0, 0,
	  "cuda: the driver (default libcuda.so.1)" },
	{ "cuda-fault-every", "N", U32, AT(device.cuda_fault_every), 1, UINT32_MAX,
	  "cuda: every N-th bundle fails, to test what follows (default: none)" },
	{ "runtime-dir", "DIR", TEXT, AT(runtime_dir), 0, 0,
	  "folder of the socket (default $OOO_RUNTIME_DIR; else /run/ooo for root, "
	  "$XDG_RUNTIME_DIR/ooo for others)" },
	{ "spin-us", "US", U32, AT(turn.spin_us), 0, 1000000,
	  "look for work this long before sleeping (default 50)" },
	{ "runahead-us", "US", U32, AT(turn.runahead_us), 1, 1000000,
	  "predicted work that a lane of the device may queue (default: the device's, or 1000)" },
	{ "bundle-us", "US", U32, AT(turn.bundle_us), 0, 1000000,
	  "predicted work that joins the first step of a bundle (default 2000)" },
	{ "max-width", "N", U32, AT(turn.max_width), 1, BUNDLE_MAX_ITEMS,
	  "steps of a bundle at most (default: the device's limit)" },
	{ "max-tenants", "N", U32, AT(limits.max_tenants), 1, 65536,
	  "tenants connected at most (default 1024)" },
	{ "max-tenants-per-user", "N", U32, AT(limits.max_tenants_per_uid), 1, 65536,
	  "of those, of one user (default: no limit of its own)" },
	{ "max-arena", "BYTES", U64, AT(limits.max_arena_bytes), 0, 1ull << 46,
	  "a tenant's arena at most (default 4294967296)" },
	{ "max-weights", "BYTES", U64, AT(limits.max_weight_bytes), 1, UINT64_MAX,
	  "a tenant's weights at most (default: the device's memory)" },
	{ "max-workspace", "BYTES", U64, AT(limits.max_workspace_bytes), 1, UINT64_MAX,
	  "a tenant's workspaces at most (default: the device's memory)" },
	{ "no-weight-sharing", NULL, FLAG, AT(limits.no_weight_sharing), 0, 0,
	  "store equal weights of one user's tenants more than once" },
	{ "sim-step-ns", "NS", U64, AT(device.sim_step_ns), 0, UINT32_MAX,
	  "sim: what a bundle costs (default 0)" },
	{ "sim-item-ns", "NS", U64, AT(device.sim_item_ns), 0, UINT32_MAX,
	  "sim: what each of its steps adds (default 0)" },
	{ "sim-lanes", "N", U32, AT(device.sim_lanes), 1, DEVICE_MAX_LANES,
	  "sim: queues that run side by side (default 1)" },
	{ "sim-paced", NULL, FLAG, AT(device.sim_paced), 0, 0,
	  "sim: on the real clock: a bundle takes the time that it costs" },
	{ "sim-fail-every", "N", U32, AT(device.sim_fail_every), 1, UINT32_MAX,
	  "sim: every N-th bundle fails (default: none)" },
	{ "sim-fail-scope", "N", U32, AT(device.sim_fail_scope), SCOPE_REQUEST, SCOPE_DEVICE,
	  "sim: what fails then: 1 a request, 2 all in flight, 3 the device (default 1)" },
	{ "record", "SIZE", SIZE, AT(record_bytes), RECORD_BYTES_MIN, 1ull << 36,
	  "memory for the flight recorder of a device, as 64MiB, or off (default 32MiB)" },
	{ "metrics", "WHERE", TEXT, AT(metrics), 0, 0,
	  "show OpenMetrics by HTTP at a loopback address, as 127.0.0.1:9402, or at unix:PATH "
	  "(default: nowhere)" },
	{ "bpf-fs", "DIR", TEXT, AT(bpf_fs), 0, 0,
	  "pin the tenants' times by stage in this BPF file system; memory: count them in plain "
	  "memory; off: count none (default " PINNED_FS ")" },
	{ "group", "NAME", TEXT, AT(group), 0, 0,
	  "members of this group may administer the agent, as root may" },
	{ "resume", "FD", U32, AT(resume_fd), 3, INT32_MAX,
	  "take over from the process before; an agent that restarts itself passes this on" },
	{ "policy-file", "FILE", TEXT, AT(policy_file), 0, 0,
	  "the policy, read at the start and written by `ooo-ctl policy load` (default " POLICY_FILE_DEFAULT
	  ", or policy.json in a --runtime-dir other than /run/ooo)" },
	{ "verbose", NULL, FLAG, AT(verbose), 0, 0, "say more" },
	{ "version", NULL, FLAG, AT(version), 0, 0, "print the version and exit" },
	{ "help", NULL, FLAG, AT(help), 0, 0, "print this and exit" },
#undef AT
};

#define NR_ROWS (sizeof(rows) / sizeof(rows[0]))

static int parse_number(const struct option_row *row, const char *text, uint64_t *value, char *why,
			size_t why_bytes)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	/* strtoull takes "-1" and " 1" as well. */
	if (!isdigit((unsigned char)text[0]) || *end || errno || *value < row->min ||
	    *value > row->max) {
		snprintf(why, why_bytes, "--%s: \"%s\" is not a number from %llu to %llu",
			 row->name, text, (unsigned long long)row->min,
			 (unsigned long long)row->max);
		return -EINVAL;
	}
	return 0;
}

/* "64MiB", "off". */
static int parse_size(const struct option_row *row, const char *text, uint64_t *value, char *why,
		      size_t why_bytes)
{
	static const struct {
		const char *unit;
		unsigned shift;
	} units[] = { { "", 0 }, { "KiB", 10 }, { "MiB", 20 }, { "GiB", 30 } };
	char *end;

	*value = 0;
	if (!strcmp(text, "off"))
		return 0;
	errno = 0;
	*value = strtoull(text, &end, 10);
	for (size_t i = 0; isdigit((unsigned char)text[0]) && !errno && i < 4; i++) {
		if (strcmp(end, units[i].unit) != 0 || *value > UINT64_MAX >> units[i].shift)
			continue;
		*value <<= units[i].shift;
		if (*value >= row->min && *value <= row->max)
			return 0;
	}
	snprintf(why, why_bytes,
		 "--%s: \"%s\" is neither off nor a size from %lluMiB to %lluMiB, as 64MiB",
		 row->name, text, (unsigned long long)row->min >> 20,
		 (unsigned long long)row->max >> 20);
	return -EINVAL;
}

static int take_one_more(const char **list, const struct option_row *row, const char *text,
			 char *why, size_t why_bytes)
{
	uint64_t n = 0;

	while (n < row->max && list[n])
		n++;
	if (n == row->max) {
		snprintf(why, why_bytes, "--%s: \"%s\" is one too many, %llu is the limit",
			 row->name, text, (unsigned long long)row->max);
		return -EINVAL;
	}
	list[n] = text;
	return 0;
}

static int take(struct options *o, const struct option_row *row, const char *text, char *why,
		size_t why_bytes)
{
	char *field = (char *)o + row->off;
	uint64_t value;

	switch (row->kind) {
	case FLAG:
		*(bool *)field = true;
		return 0;
	case TEXT:
	case TEXTS:
		if (!text[0]) {
			snprintf(why, why_bytes, "--%s: must not be empty", row->name);
			return -EINVAL;
		}
		if (row->kind == TEXTS)
			return take_one_more((const char **)(void *)field, row, text, why,
					     why_bytes);
		*(const char **)field = text;
		return 0;
	case SIZE:
		return parse_size(row, text, (uint64_t *)(void *)field, why, why_bytes);
	case U32:
	case U64:
		break;
	}
	if (parse_number(row, text, &value, why, why_bytes))
		return -EINVAL;
	if (row->kind == U32)
		*(uint32_t *)field = (uint32_t)value;
	else
		*(uint64_t *)field = value;
	return 0;
}

int options_parse(struct options *o, int argc, char **argv, char *why, size_t why_bytes)
{
	struct option longs[NR_ROWS + 1] = { 0 };
	int index, c;

	*o = (struct options){
		.device.name = "auto",
		.turn = TURN_CONFIG_DEFAULT,
		.limits = DOOR_LIMITS_DEFAULT,
		.bpf_fs = PINNED_FS,
		.record_bytes = RECORD_BYTES_DEFAULT,
	};
	for (size_t i = 0; i < NR_ROWS; i++)
		longs[i] =
			(struct option){ rows[i].name,
					 rows[i].arg ? required_argument : no_argument, NULL, 0 };
	opterr = 0;
	optind = 0; /* glibc: start anew, also in a second call */
	while ((c = getopt_long(argc, argv, ":", longs, &index)) != -1) {
		if (c == ':') {
			snprintf(why, why_bytes, "%s: needs a value", argv[optind - 1]);
			return -EINVAL;
		}
		if (c) {
			snprintf(why, why_bytes, "%s: no such option", argv[optind - 1]);
			return -EINVAL;
		}
		if (take(o, &rows[index], optarg, why, why_bytes))
			return -EINVAL;
	}
	if (optind < argc && !o->help && !o->version) {
		snprintf(why, why_bytes, "\"%s\": the agent takes options only", argv[optind]);
		return -EINVAL;
	}
	return 0;
}

void options_usage(FILE *f)
{
	fprintf(f, "Usage: ooo-agent [OPTION]...\n"
		   "Share this machine's device among tenants that run inference programs.\n\n");
	for (size_t i = 0; i < NR_ROWS; i++) {
		char head[40];

		snprintf(head, sizeof(head), "--%s%s%s", rows[i].name, rows[i].arg ? " " : "",
			 rows[i].arg ? rows[i].arg : "");
		fprintf(f, "  %-26s %s\n", head, rows[i].help);
	}
	fprintf(f,
		"\nSIGTERM or SIGINT drains: new work is refused, what was accepted completes.\n"
		"A second one exits at once. SIGUSR2 restarts the agent; tenants stay connected.\n"
		" Exit status: 0 drained, 1 failed, 2 usage.\n");
}
