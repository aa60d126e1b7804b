// SPDX-License-Identifier: Apache-2.0
/* ooo-ctl: look at a running agent and change it. Exit status: enum ctl_exit. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/sim/simulate.h"
#include "ctl/verb.h"

#define RUN_STATUS_SHOW    verb_show_one
#define RUN_DEVICE_LIST    verb_show_list
#define RUN_TENANT_LIST    verb_tenant_list
#define RUN_PROGRAM_LIST   verb_show_list
#define RUN_STATS_SHOW     verb_stats
#define RUN_STATS_RESET    verb_change
#define RUN_TENANT_SET     verb_change
#define RUN_TENANT_SHOW    verb_show_list
#define RUN_PROGRAM_SHOW   verb_show_list
#define RUN_REQUEST_LIST   verb_show_list
#define RUN_BUNDLE_LIST    verb_show_list
#define RUN_TENANT_KICK    verb_change
#define RUN_PARTITION_LIST verb_show_list
#define RUN_PARTITION_ADD  verb_change
#define RUN_PARTITION_DEL  verb_change
#define RUN_ADMIT_ASK      verb_show_one
#define RUN_DRAIN_START    verb_change
#define RUN_RESUME_START   verb_change
#define RUN_RESTART_START  verb_change
#define RUN_RECORD_SHOW    verb_record_show
#define RUN_RECORD_SAVE    verb_record_save
#define RUN_WHY_SHOW       verb_why
#define RUN_DOCTOR_SHOW    verb_doctor
#define RUN_METRICS_SHOW   verb_metrics
#define RUN_TIMELINE_SAVE  verb_timeline
#define RUN_USAGE_SHOW     verb_usage
#define RUN_TRACE_LATENCY  verb_trace
#define RUN_TRACE_SLOW     verb_trace
#define RUN_TRACE_OFFCPU   verb_trace
#define RUN_TRACE_RINGS    verb_trace
#define RUN_TOP_SHOW       verb_top
#define RUN_POLICY_SHOW    verb_policy_show
#define RUN_POLICY_DIFF    verb_policy_diff
#define RUN_POLICY_LOAD    verb_policy_load
#define RUN_POLICY_SAVE    verb_policy_show
#define RUN_POLICY_CHECK   verb_policy_check
#define RUN_MONITOR_SHOW   verb_monitor

static enum ctl_exit (*const runners[NR_CTL_VERBS])(struct session *s) = {
#define VERB(NAME, OBJECT, word, code, ACCESS, REPLY, help) [CTL_VERB_##NAME] = RUN_##NAME,
#define LOCAL(NAME, OBJECT, word, help)                     [CTL_VERB_##NAME] = RUN_##NAME,
#include "shared/abi/verbs.def"
};

static enum ctl_exit run(const struct command *cmd)
{
	struct session s = { .cmd = cmd };
	struct agent_file agent;
	bool local = ctl_verbs[cmd->verb].local;
	enum ctl_exit code = CTL_OK;

	if (!local)
		code = agent_file_read(cmd->runtime_dir, &agent, s.why, sizeof(s.why));
	if (code == CTL_OK && !local)
		code = ctl_link_open(&agent, &s.link, s.why, sizeof(s.why));
	if (code == CTL_OK)
		code = runners[cmd->verb](&s);
	ctl_link_close(s.link);
	if (code != CTL_OK)
		fprintf(stderr, "ooo-ctl: %s\n", s.why);
	return code;
}

static int finish(enum ctl_exit code)
{
	errno = 0;
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "ooo-ctl: cannot write: %s\n",
			errno ? strerror(errno) : "I/O error");
		return code == CTL_OK ? CTL_REFUSED : code;
	}
	return code;
}

int main(int argc, char **argv)
{
	char why[LINK_WHY_BYTES];
	enum ctl_exit code = CTL_OK;
	struct command cmd = { 0 };

	if (argc > 1 && !strcmp(argv[1], "simulate"))
		return finish(simulate_main(argc - 1, argv + 1));
	if (argc > 1 && !strcmp(argv[1], "calibrate"))
		return finish(calibrate_main(argc - 1, argv + 1));
	if (words_parse(argc - 1, argv + 1, &cmd, why, sizeof(why))) {
		fprintf(stderr, "ooo-ctl: %s\n", why);
		return CTL_USAGE;
	}
	if (cmd.help)
		usage_print(stdout, &cmd);
	else if (cmd.version)
		printf("ooo-ctl %s\n", OOO_RELEASE);
	else
		code = run(&cmd);
	return finish(code);
}
