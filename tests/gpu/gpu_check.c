/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the cuda device computes what it should, on the GPU of this machine or over another
 * driver: every operator in every precision against double precision and the cpu device, isolation
 * of neighbours, order, models, faults and recovery, memory, and tenants through an agent.
 */
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/gpu/check.h"

#define MAX_COUNTS 8

struct check_options check_options;

static struct {
	jmp_buf out;
	bool inside;
	const char *group;
	char name[160];
	char text[512];
	unsigned passed, failed, skipped;
	struct {
		const char *what;
		uint64_t n;
	} counts[MAX_COUNTS];
	uint64_t random;
} check;

static const struct {
	const char *name;
	void (*run)(void);
	const char *help; /* NULL: run only when asked for */
} groups[] = {
	{ "operators", check_operators, "every operator, type and precision against fp64" },
	{ "isolation", check_isolation, "bits do not depend on neighbours, order and lane" },
	{ "programs", check_programs, "random programs against an interpreter" },
	{ "models", check_models, "the zoo's networks against the cpu device" },
	{ "stress", check_stress, "dependent steps, many rounds, with checksums" },
	{ "faults", check_faults, "injected faults, and recovery from them" },
	{ "trap", check_trap, NULL },
	{ "memory", check_memory, "what does not fit is refused, and nothing leaks" },
	{ "agent", check_agent, "tenants of an agent, some of them killed" },
};

#define NR_GROUPS (sizeof(groups) / sizeof(groups[0]))

uint64_t check_random(void)
{
	uint64_t z = check.random += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

void check_count(const char *what, uint64_t n)
{
	for (int i = 0; i < MAX_COUNTS; i++) {
		if (check.counts[i].what && strcmp(check.counts[i].what, what) != 0)
			continue;
		check.counts[i].what = what;
		check.counts[i].n += n;
		return;
	}
}

void check_fail(const char *file, int line, const char *format, ...)
{
	va_list args;
	int n;

	n = snprintf(check.text, sizeof(check.text), "%s:%d: ", strrchr(file, '/') + 1, line);
	va_start(args, format);
	vsnprintf(check.text + n, sizeof(check.text) - (size_t)n, format, args);
	va_end(args);
	if (!check.inside) {
		fprintf(stderr, "gpu_check: %s: %s\n", check.group, check.text);
		exit(1);
	}
	longjmp(check.out, 1);
}

void check_skip(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(check.text, sizeof(check.text), format, args);
	va_end(args);
	if (!check.inside)
		exit(77);
	longjmp(check.out, 2);
}

bool check_case(void (*fn)(const void *arg), const void *arg, const char *name, ...)
{
	/* A case's random numbers do not depend on how many those before it took. */
	uint64_t next = check_random();
	va_list args;
	int outcome;

	va_start(args, name);
	vsnprintf(check.name, sizeof(check.name), name, args);
	va_end(args);
	if (check_options.verbose)
		fprintf(stderr, "%s/%s\n", check.group, check.name);
	check.inside = true;
	outcome = setjmp(check.out);
	if (!outcome)
		fn(arg);
	check.inside = false;
	check.random = next;
	if (!outcome) {
		check.passed++;
	} else if (outcome == 1) {
		check.failed++;
		printf("FAIL %s/%s: %s\n", check.group, check.name, check.text);
	} else {
		check.skipped++;
		printf("SKIP %s/%s: %s\n", check.group, check.name, check.text);
	}
	fflush(stdout);
	return !outcome;
}

static void run_group(size_t i)
{
	unsigned before[3] = { check.passed, check.failed, check.skipped };
	time_t start = time(NULL);

	check.group = groups[i].name;
	memset(check.counts, 0, sizeof(check.counts));
	groups[i].run();
	printf("%-10s %u passed, %u failed, %u skipped", groups[i].name, check.passed - before[0],
	       check.failed - before[1], check.skipped - before[2]);
	for (int c = 0; c < MAX_COUNTS && check.counts[c].what; c++)
		printf(", %llu %s", (unsigned long long)check.counts[c].n, check.counts[c].what);
	printf(" (%lld s)\n", (long long)(time(NULL) - start));
	fflush(stdout);
}

int check_again(const char *group)
{
	char seed[24];
	const char *argv[12] = { "gpu_check", "--only", group, "--seed", seed };
	int n = 5, status;
	pid_t pid;

	snprintf(seed, sizeof(seed), "%llu", (unsigned long long)check_options.seed);
	if (check_options.tiny)
		argv[n++] = "--tiny";
	if (check_options.quick)
		argv[n++] = "--quick";
	if (check_options.config.cuda_library) {
		argv[n++] = "--driver";
		argv[n++] = check_options.config.cuda_library;
	}
	fflush(stdout);
	pid = fork();
	if (!pid) {
		dup2(STDERR_FILENO, STDOUT_FILENO); /* its counts are not this one's */
		execv("/proc/self/exe", (char **)(uintptr_t)argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void usage(FILE *f)
{
	fprintf(f,
		"Usage: gpu_check [--only GROUP] [--seed N] [--quick] [--tiny] [--driver FILE]"
		" [--bin FOLDER] [--verbose]\n"
		"Check the cuda device. --driver: another libcuda.so.1; --bin: where ooo-agent and"
		" ooo-run are.\n");
	for (size_t i = 0; i < NR_GROUPS; i++)
		if (groups[i].help)
			fprintf(f, "  %-10s %s\n", groups[i].name, groups[i].help);
}

static int parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "only", required_argument, NULL, 'o' },
		{ "seed", required_argument, NULL, 's' },
		{ "quick", no_argument, NULL, 'q' },
		{ "tiny", no_argument, NULL, 't' },
		{ "driver", required_argument, NULL, 'd' },
		{ "bin", required_argument, NULL, 'b' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	bool known = false;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'o':
			check_options.only = optarg;
			break;
		case 's':
			check_options.seed = strtoull(optarg, NULL, 10);
			break;
		case 'q':
			check_options.quick = true;
			break;
		case 't':
			check_options.tiny = true;
			break;
		case 'd':
			check_options.config.cuda_library = optarg;
			break;
		case 'b':
			check_options.bin = optarg;
			break;
		case 'v':
			check_options.verbose = true;
			break;
		case 'h':
			usage(stdout);
			return -1;
		default:
			usage(stderr);
			return 2;
		}
	}
	for (size_t i = 0; i < NR_GROUPS; i++)
		known = known || !check_options.only || !strcmp(groups[i].name, check_options.only);
	if (!known || optind < argc) {
		fprintf(stderr, "gpu_check: there is no group '%s'\n",
			known ? argv[optind] : check_options.only);
		usage(stderr);
		return 2;
	}
	return 0;
}

/* 0: there is a device; 77: none on this machine. */
static int say_device(void)
{
	const struct device_ops *ops;
	struct device *dev;
	char why[512] = "";

	if (device_open(&check_options.config, &ops, &dev, why, sizeof(why))) {
		printf("gpu_check: no cuda device: %s\n", why);
		return 77;
	}
	printf("%s: %s, %u lanes\n", ops->caps(dev)->name, ops->caps(dev)->description,
	       ops->caps(dev)->nr_lanes);
	ops->close(dev);
	return 0;
}

int main(int argc, char **argv)
{
	static char here[PATH_MAX + 16];
	struct timespec now;
	char self[PATH_MAX];
	ssize_t n;
	int rc;

	clock_gettime(CLOCK_REALTIME, &now);
	check_options.config.name = "cuda";
	check_options.seed = (uint64_t)now.tv_sec * 1000003 + (uint64_t)now.tv_nsec / 1000;
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n > 0) {
		self[n] = '\0';
		snprintf(here, sizeof(here), "%s/../bin", dirname(self));
		check_options.bin = here;
	}
	rc = parse(argc, argv);
	if (rc)
		return rc < 0 ? 0 : rc;
	printf("seed %llu\n", (unsigned long long)check_options.seed);
	rc = say_device();
	if (rc)
		return rc;
	for (size_t i = 0; i < NR_GROUPS; i++) {
		check.random = check_options.seed * 31 + i;
		if (check_options.only ? !strcmp(groups[i].name, check_options.only)
				       : groups[i].help != NULL)
			run_group(i);
	}
	printf("%u passed, %u failed, %u skipped\n", check.passed, check.failed, check.skipped);
	return check.failed ? 1 : 0;
}
