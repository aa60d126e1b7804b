// SPDX-License-Identifier: Apache-2.0
/* The command line: what is understood, and what is said about what is not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ctl/words.h"

#define MAX_ARGC 16

static struct command cmd;
static char why[512];

/* Words separated by single blanks; '_' stands for an empty word. */
static int parse(const char *line)
{
	static char copy[1024];
	char *argv[MAX_ARGC + 1] = { NULL }, *save = NULL;
	int argc = 0;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		assert_true(argc < MAX_ARGC);
		argv[argc++] = strcmp(w, "_") ? w : w + 1;
	}
	why[0] = '\0';
	return words_parse(argc, argv, &cmd, why, sizeof(why));
}

static void understood(const char *line, enum ctl_verb verb)
{
	if (parse(line))
		fail_msg("'%s': %s", line, why);
	if (!cmd.has_object || cmd.verb != verb)
		fail_msg("'%s' is taken for verb %d", line, (int)cmd.verb);
}

static void wrong(const char *line, const char *text)
{
	if (parse(line) != -EINVAL)
		fail_msg("'%s' is taken", line);
	if (!strstr(why, text))
		fail_msg("'%s': '%s' does not say '%s'", line, why, text);
}

static void test_verbs(void **state)
{
	understood("status", CTL_VERB_STATUS_SHOW);
	understood("status show", CTL_VERB_STATUS_SHOW);
	understood("device list", CTL_VERB_DEVICE_LIST);
	understood("tenant list", CTL_VERB_TENANT_LIST);
	understood("program list", CTL_VERB_PROGRAM_LIST);
	understood("stats", CTL_VERB_STATS_SHOW);
	understood("stats show", CTL_VERB_STATS_SHOW);
	understood("stats reset", CTL_VERB_STATS_RESET);
	understood("tenant set 5 weight 200", CTL_VERB_TENANT_SET);
	understood("tenant show", CTL_VERB_TENANT_SHOW);
	understood("tenant kick web", CTL_VERB_TENANT_KICK);
	understood("partition", CTL_VERB_PARTITION_LIST);
	understood("drain", CTL_VERB_DRAIN_START);
	understood("resume", CTL_VERB_RESUME_START);
	understood("restart", CTL_VERB_RESTART_START);
}

/* Each kind of value, and what it becomes. */
static void test_values(void **state)
{
	const struct {
		const char *words;
		enum ctl_arg arg;
		uint64_t value;
	} good[] = {
		{ "class latency", CTL_ARG_TENANT_SET_CLASS, 0 },
		{ "class b", CTL_ARG_TENANT_SET_CLASS, 2 },
		{ "slo 5ms", CTL_ARG_TENANT_SET_SLO, 5000000 },
		{ "slo 1.5s", CTL_ARG_TENANT_SET_SLO, 1500000000 },
		{ "slo none", CTL_ARG_TENANT_SET_SLO, 0 },
		{ "memory 4GiB", CTL_ARG_TENANT_SET_MEMORY, 4ull << 30 },
		{ "memory 0.5MiB", CTL_ARG_TENANT_SET_MEMORY, 1 << 19 },
		{ "rate 2000/s", CTL_ARG_TENANT_SET_RATE, 2000 },
		{ "rate none", CTL_ARG_TENANT_SET_RATE, 0 },
		{ "inflight 64", CTL_ARG_TENANT_SET_INFLIGHT, 64 },
		{ "sm-min 12.5%", CTL_ARG_TENANT_SET_SM_MIN, 125 },
		{ "isolate on", CTL_ARG_TENANT_SET_ISOLATE, 2 },
	};
	const struct {
		const char *words, *why;
	} bad[] = {
		{ "slo 5", "slo: '5' is no time" },
		{ "slo ms", "'ms' is no time" },
		{ "slo 5msec", "is no time" },
		{ "slo 2h", "from 0s to 3600s" },
		{ "slo -5ms", "is no time" },
		{ "memory 4", "memory: '4' is no size" },
		{ "memory 4GB", "as 512MiB or 4GiB" },
		{ "memory 99999999999999999999TiB", "is no size" },
		{ "rate 2000", "as 2000/s, nor none" },
		{ "sm-max 0%", "from 0.1% to 100%" },
		{ "sm-max 101%", "from 0.1% to 100%" },
		{ "sm-max none", "is no share" },
		{ "class fast", "'fast' is no value of class: expected latency, normal or batch" },
		{ "class latncy", "did you mean 'latency'?" },
		{ "isolate o", "'o' may be off or on" },
		{ "inflight 9000", "from 0 to 8192, nor none" },
	};
	char line[128];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(line, sizeof(line), "tenant set web %s", good[i].words);
		understood(line, CTL_VERB_TENANT_SET);
		assert_string_equal(cmd.text[CTL_ARG_TENANT_SET_NAME], "web");
		assert_true(cmd.has[good[i].arg]);
		assert_int_equal(cmd.value[good[i].arg], good[i].value);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(line, sizeof(line), "tenant set web %s", bad[i].words);
		wrong(line, bad[i].why);
	}
}

/* The one that stands alone is never taken for a word. */
static void test_lone(void **state)
{
	understood("tenant set weight weight 7", CTL_VERB_TENANT_SET);
	assert_string_equal(cmd.text[CTL_ARG_TENANT_SET_NAME], "weight");
	assert_int_equal(cmd.value[CTL_ARG_TENANT_SET_WEIGHT], 7);
	understood("tenant kick 12", CTL_VERB_TENANT_KICK);
	assert_int_equal(cmd.value[CTL_ARG_TENANT_KICK_NAME], 12);
	wrong("tenant kick 4294967296", "is no tenant's id");
	wrong("tenant kick a b", "one word too many");
	wrong("tenant kick -x", "'-x' is no option");
}

static void test_abbreviations(void **state)
{
	understood("de", CTL_VERB_DEVICE_LIST);
	understood("te l", CTL_VERB_TENANT_LIST);
	understood("pr", CTL_VERB_PROGRAM_LIST);
	understood("stats r", CTL_VERB_STATS_RESET);
	understood("statu", CTL_VERB_STATUS_SHOW);
	wrong("st", "'st' may be status or stats: add letters");
	wrong("stat", "'stat' may be status or stats");
	wrong("s show", "'s' may be status or stats");
}

/* The tables themselves: each word finds itself, so none hides another. */
static void test_every_word_finds_itself(void **state)
{
	for (int i = 0; i < NR_CTL_VERBS; i++) {
		char line[64];

		snprintf(line, sizeof(line), "%s %s", ctl_objects[ctl_verbs[i].object].word,
			 ctl_verbs[i].word);
		understood(line, (enum ctl_verb)i);
	}
}

static void test_options(void **state)
{
	unsetenv("OOO_RUNTIME_DIR");
	understood("status", CTL_VERB_STATUS_SHOW);
	assert_false(cmd.json);
	assert_string_equal(cmd.runtime_dir, "/run/ooo");
	understood("--json --runtime-dir /a status", CTL_VERB_STATUS_SHOW);
	assert_true(cmd.json);
	assert_string_equal(cmd.runtime_dir, "/a");
	understood("status -j --runtime-dir=/b", CTL_VERB_STATUS_SHOW);
	assert_true(cmd.json);
	assert_string_equal(cmd.runtime_dir, "/b");
	understood("status --js --run /c show", CTL_VERB_STATUS_SHOW);
	assert_true(cmd.json);
	assert_string_equal(cmd.runtime_dir, "/c");
	setenv("OOO_RUNTIME_DIR", "/d", 1);
	understood("status", CTL_VERB_STATUS_SHOW);
	assert_string_equal(cmd.runtime_dir, "/d");
	understood("status --runtime-dir /e", CTL_VERB_STATUS_SHOW);
	assert_string_equal(cmd.runtime_dir, "/e");
	setenv("OOO_RUNTIME_DIR", "", 1);
	understood("status", CTL_VERB_STATUS_SHOW);
	assert_string_equal(cmd.runtime_dir, "/run/ooo");
	wrong("status --runtime-dir", "--runtime-dir: DIR is missing");
	wrong("status --runtime-dir=", "DIR is empty");
	wrong("status --json=yes", "--json takes no value");
	wrong("status --jsn", "'--jsn' is no option: expected --json");
	wrong("status --jsn", "did you mean '--json'?");
	wrong("status -x", "'-x' is no option");
	wrong("status -", "'-' is no verb of status");
	wrong("status --", "'--' is no option");
}

static void test_help(void **state)
{
	assert_int_equal(parse("--help"), 0);
	assert_true(cmd.help && !cmd.has_object);
	assert_int_equal(parse("help"), 0);
	assert_true(cmd.help);
	assert_int_equal(parse("-h"), 0);
	assert_true(cmd.help);
	assert_int_equal(parse("stats --help"), 0);
	assert_true(cmd.help && cmd.object == CTL_OBJECT_STATS && !cmd.has_verb);
	assert_int_equal(parse("stats reset help"), 0);
	assert_true(cmd.help && cmd.verb == CTL_VERB_STATS_RESET && cmd.has_verb);
	assert_int_equal(parse("--version"), 0);
	assert_true(cmd.version);
}

static void test_wrong_words(void **state)
{
	wrong("", "an object is missing");
	wrong("--json", "an object is missing");
	wrong("_", "'' is no object");
	wrong("tenat", "'tenat' is no object: expected status, device, tenant, program");
	wrong("tenat", "did you mean 'tenant'?");
	wrong("tnenat", "did you mean 'tenant'?");
	wrong("sttaus", "did you mean 'status'?");
	wrong("programs", "did you mean 'program'?");
	wrong("tenant lsit",
	      "'lsit' is no verb of tenant: expected list, set, show, kick, name, user, class or partition; did you mean 'list'?");
	wrong("tenant reset",
	      "'reset' is no verb of tenant: expected list, set, show, kick, name, user, "
	      "class or partition");
	wrong("stats wipe", "expected show, reset, --interval or --count");
	wrong("stats reset --interval 2", "'--interval' is no option");
	wrong("stats reset now", "'now' is one word too many");
	wrong("status show show", "'show' is one word too many");
	wrong("program list tenat 3",
	      "'tenat' is no argument of program list: expected tenant; did "
	      "you mean 'tenant'?");
	assert_int_equal(parse("xyzzy"), -EINVAL);
	assert_null(strstr(why, "did you mean"));
}

static void test_arguments(void **state)
{
	understood("program list tenant 17", CTL_VERB_PROGRAM_LIST);
	assert_true(cmd.has[CTL_ARG_PROGRAM_LIST_NAME]);
	assert_int_equal(cmd.value[CTL_ARG_PROGRAM_LIST_NAME], 17);
	understood("pr t 4294967295", CTL_VERB_PROGRAM_LIST);
	assert_int_equal(cmd.value[CTL_ARG_PROGRAM_LIST_NAME], UINT32_MAX);
	understood("stats --interval 2", CTL_VERB_STATS_SHOW);
	assert_int_equal(cmd.value[CTL_ARG_STATS_SHOW_INTERVAL], 2000);
	assert_false(cmd.has[CTL_ARG_STATS_SHOW_COUNT]);
	understood("stats show --interval=0.25 --count 3", CTL_VERB_STATS_SHOW);
	assert_int_equal(cmd.value[CTL_ARG_STATS_SHOW_INTERVAL], 250);
	assert_int_equal(cmd.value[CTL_ARG_STATS_SHOW_COUNT], 3);
	understood("stats interval 1.5", CTL_VERB_STATS_SHOW);
	assert_int_equal(cmd.value[CTL_ARG_STATS_SHOW_INTERVAL], 1500);
	wrong("program list tenant", "tenant: NAME|ID is missing");
	wrong("stats --interval", "--interval: S is missing");
	wrong("stats --count 1 --count 2", "--count is given twice");
}

static void test_numbers(void **state)
{
	const char *const bad_numbers[] = { "x",    "-1",  "+1",         "1x",
					    "0x10", "1.0", "4294967296", "18446744073709551617",
					    "1e3",  "_" };
	const char *const bad_seconds[] = { "x",
					    "0",
					    "0.0999",
					    "0.099",
					    ".5",
					    "1.",
					    "1.2.3",
					    "-1",
					    "1,5",
					    "86400.001",
					    "99999999999999999999",
					    "nan",
					    "_" };
	char line[64];

	for (unsigned i = 0; i < sizeof(bad_numbers) / sizeof(bad_numbers[0]); i++) {
		snprintf(line, sizeof(line), "partition add rt sms %s", bad_numbers[i]);
		wrong(line, "is no whole number from 1 to 65536");
	}
	for (unsigned i = 0; i < sizeof(bad_seconds) / sizeof(bad_seconds[0]); i++) {
		snprintf(line, sizeof(line), "stats --interval %s", bad_seconds[i]);
		wrong(line, "is no number of seconds from 0.1 to 86400");
	}
	wrong("stats --count 0", "is no whole number from 1 to");
}

/* Sentences about long words are cut, not overrun. */
static void test_long_words(void **state)
{
	char word[2000], small[24];
	char *const argv[] = { word };

	memset(word, 'a', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	assert_int_equal(words_parse(1, argv, &cmd, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "is no word of ooo-ctl"));
	word[200] = '\0';
	assert_int_equal(words_parse(1, argv, &cmd, small, sizeof(small)), -EINVAL);
	assert_int_equal(strlen(small), sizeof(small) - 1);
}

static void test_nearest(void **state)
{
	const char *const words[] = { "list", "show", "--interval" };

	assert_int_equal(words_nearest("lsit", words, 3), 0);
	assert_int_equal(words_nearest("sho", words, 3), 1);
	assert_int_equal(words_nearest("--intervall", words, 3), 2);
	assert_int_equal(words_nearest("zzzz", words, 3), WORD_NONE);
	assert_int_equal(words_nearest("", words, 3), WORD_NONE);
	assert_int_equal(words_match("--int", words, 3), 2);
	assert_int_equal(words_match("int", words, 3), 2);
	assert_int_equal(words_match("", words, 3), WORD_NONE);
	assert_int_equal(words_match("lists", words, 3), WORD_NONE);
}

/* Usage is made from the tables: every word and every sentence of them is in it. */
static void test_local(void **state)
{
	uint64_t ns;

	understood("record save /tmp/x", CTL_VERB_RECORD_SAVE);
	assert_string_equal(cmd.text[CTL_ARG_RECORD_SAVE_FILE], "/tmp/x");
	understood("record save -", CTL_VERB_RECORD_SAVE);
	assert_string_equal(cmd.text[CTL_ARG_RECORD_SAVE_FILE], "-");
	understood("record tenant web --count=3", CTL_VERB_RECORD_SHOW);
	assert_string_equal(cmd.text[CTL_ARG_RECORD_SHOW_TENANT], "web");
	assert_int_equal(cmd.value[CTL_ARG_RECORD_SHOW_COUNT], 3);
	wrong("record save a b", "'b' is one word too many");
	assert_true(words_time("1.5ms", &ns) && ns == 1500000);
	assert_true(words_time("2h", &ns) && ns == 7200000000000);
	assert_true(words_time("7ns", &ns) && ns == 7);
	assert_false(words_time("5", &ns) || words_time("ms", &ns) || words_time("5 s", &ns));
	assert_false(words_time("-1s", &ns) || words_time("99999999999999999d", &ns));
}

static void test_usage(void **state)
{
	char text[16384] = "";
	FILE *f = fmemopen(text, sizeof(text) - 1, "w");

	assert_non_null(f);
	memset(&cmd, 0, sizeof(cmd));
	usage_print(f, &cmd);
	fclose(f);
	for (int i = 0; i < NR_CTL_VERBS; i++)
		assert_non_null(strstr(text, ctl_verbs[i].help));
	for (int i = 0; i < NR_CTL_OBJECTS; i++) {
		f = fmemopen(text, sizeof(text) - 1, "w");
		assert_non_null(f);
		cmd = (struct command){ .has_object = true, .object = (enum ctl_object)i };
		usage_print(f, &cmd);
		fclose(f);
		assert_non_null(strstr(text, ctl_objects[i].word));
		for (int j = 0; j < NR_CTL_ARGS; j++)
			if (ctl_verbs[ctl_args[j].verb].object == (enum ctl_object)i)
				assert_non_null(strstr(text, ctl_args[j].help));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verbs),      cmocka_unit_test(test_values),
		cmocka_unit_test(test_lone),       cmocka_unit_test(test_abbreviations),
		cmocka_unit_test(test_options),    cmocka_unit_test(test_every_word_finds_itself),
		cmocka_unit_test(test_help),       cmocka_unit_test(test_wrong_words),
		cmocka_unit_test(test_arguments),  cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_long_words), cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_local),      cmocka_unit_test(test_usage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
