/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's command line: defaults, every kind of value, and the words of each refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "agent/options.h"

static struct options o;
static char why[256];

static int parse(const char *a, const char *b, const char *c)
{
	/* getopt reorders the pointers, never what they point to. */
	char *argv[] = { (char *)"ooo-agent", (char *)a, (char *)b, (char *)c, NULL };
	int argc = 1;

	while (argv[argc])
		argc++;
	why[0] = '\0';
	return options_parse(&o, argc, argv, why, sizeof(why));
}

static void test_defaults(void **state)
{
	assert_int_equal(parse(NULL, NULL, NULL), 0);
	assert_string_equal(o.device.name, "auto");
	assert_int_equal(o.turn.spin_us, 50);
	assert_int_equal(o.limits.max_tenants, 1024);
	assert_int_equal(o.limits.max_arena_bytes, 4ull << 30);
	assert_null(o.runtime_dir);
	assert_false(o.verbose || o.help || o.version);
}

static void test_values(void **state)
{
	assert_int_equal(parse("--device", "cpu", "--verbose"), 0);
	assert_string_equal(o.device.name, "cpu");
	assert_true(o.verbose);
	assert_int_equal(parse("--threads=3", "--spin-us=0", "--max-arena=1048576"), 0);
	assert_int_equal(o.device.threads, 3);
	assert_int_equal(o.turn.spin_us, 0);
	assert_int_equal(o.limits.max_arena_bytes, 1048576);
	assert_int_equal(parse("--max-weights=18446744073709551615", "--max-tenants", "65536"), 0);
	assert_true(o.limits.max_weight_bytes == UINT64_MAX);
	assert_int_equal(o.limits.max_tenants, 65536);
	assert_int_equal(parse("--threads=3", NULL, NULL), 0);
	assert_int_equal(o.limits.max_tenants, 1024); /* nothing stays of the parse before */
	assert_int_equal(parse("--help", NULL, NULL), 0);
	assert_true(o.help);
	assert_int_equal(parse("--version", NULL, NULL), 0);
	assert_true(o.version);
}

static void test_cuda(void **state)
{
	assert_int_equal(parse("--partition=a=8", "--partition", "b=16"), 0);
	assert_string_equal(o.device.partitions[0], "a=8");
	assert_string_equal(o.device.partitions[1], "b=16");
	assert_null(o.device.partitions[2]);
	assert_int_equal(
		parse("--device=cuda:GPU-12ab", "--cuda-lanes=3", "--launch-deadline-ms=5"), 0);
	assert_string_equal(o.device.name, "cuda:GPU-12ab");
	assert_int_equal(o.device.cuda_lanes, 3);
	assert_int_equal(o.device.launch_deadline_ms, 5);
	assert_null(o.device.partitions[0]); /* nothing stays of the parse before */
	assert_int_equal(parse("--cuda-library=/x/libcuda.so.1", "--cuda-fault-every=7", NULL), 0);
	assert_string_equal(o.device.cuda_library, "/x/libcuda.so.1");
	assert_int_equal(o.device.cuda_fault_every, 7);
}

static void test_one_too_many(void **state)
{
	char p[] = "--partition=x=8";
	char *argv[] = { (char *)"ooo-agent", p, p, p, p, NULL };

	assert_int_equal(options_parse(&o, 5, argv, why, sizeof(why)), 0);
	assert_string_equal(o.device.partitions[DEVICE_MAX_PARTITIONS - 1], "x=8");
	char *more[] = { (char *)"ooo-agent", p, p, p, p, p, NULL };

	assert_int_equal(options_parse(&o, 6, more, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "one too many"));
}

static void refused(const char *a, const char *b, const char *word)
{
	assert_int_equal(parse(a, b, NULL), -EINVAL);
	if (!strstr(why, word))
		fail_msg("\"%s\" does not say \"%s\"", why, word);
}

static void test_refused(void **state)
{
	refused("--threads", "0", "from 1 to 1024");
	refused("--partition", "", "must not be empty");
	refused("--cuda-lanes", "13", "from 1 to 12");
	refused("--threads", "1025", "from 1 to 1024");
	refused("--threads", "-1", "\"-1\"");
	refused("--threads", "+1", "\"+1\"");
	refused("--threads", " 1", "\" 1\"");
	refused("--threads", "0x2", "\"0x2\"");
	refused("--threads", "two", "\"two\"");
	refused("--threads", "2k", "\"2k\"");
	refused("--threads", "", "\"\"");
	refused("--threads", NULL, "needs a value");
	refused("--max-weights", "18446744073709551616", "is not a number");
	refused("--max-arena", "99999999999999999", "is not a number");
	refused("--runtime-dir", "", "must not be empty");
	refused("--nonsense", NULL, "--nonsense: no such option");
	refused("-x", NULL, "no such option");
	refused("cpu", NULL, "options only");
	refused("--verbose=yes", NULL, "no such option");
}

/* Every row of the table must be in the help. */
static void test_usage(void **state)
{
	static const char *const names[] = { "device",      "threads",       "runtime-dir",
					     "spin-us",     "runahead-us",   "bundle-us",
					     "max-width",   "max-tenants",   "max-arena",
					     "max-weights", "max-workspace", "sim-step-ns",
					     "sim-item-ns", "group",         "verbose",
					     "version",     "help" };
	char *text = NULL, option[64];
	size_t bytes;
	FILE *f = open_memstream(&text, &bytes);

	options_usage(f);
	fclose(f);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(option, sizeof(option), "  --%s ", names[i]);
		assert_non_null(strstr(text, option));
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_values),
		cmocka_unit_test(test_cuda),     cmocka_unit_test(test_one_too_many),
		cmocka_unit_test(test_refused),  cmocka_unit_test(test_usage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
