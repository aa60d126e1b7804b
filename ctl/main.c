// SPDX-License-Identifier: Apache-2.0
/* ooo-ctl: look at a running agent and change it. Exit status: enum ctl_exit. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/verb.h"

#define RUN_STATUS_SHOW  verb_show_one
#define RUN_DEVICE_LIST  verb_show_list
#define RUN_TENANT_LIST  verb_show_list
#define RUN_PROGRAM_LIST verb_show_list
#define RUN_STATS_SHOW   verb_stats
#define RUN_STATS_RESET  verb_change

static enum ctl_exit (*const runners[NR_CTL_VERBS])(struct session *s) = {
#define VERB(NAME, OBJECT, word, code, ACCESS, REPLY, help) [CTL_VERB_##NAME] = RUN_##NAME,
#include "shared/abi/verbs.def"
};

static enum ctl_exit run(const struct command *cmd)
{
	struct session s = { .cmd = cmd };
	struct agent_file agent;
	enum ctl_exit code = agent_file_read(cmd->runtime_dir, &agent, s.why, sizeof(s.why));

	if (code == CTL_OK)
		code = ctl_link_open(&agent, &s.link, s.why, sizeof(s.why));
	if (code == CTL_OK)
		code = runners[cmd->verb](&s);
	ctl_link_close(s.link);
	if (code != CTL_OK)
		fprintf(stderr, "ooo-ctl: %s\n", s.why);
	return code;
}

int main(int argc, char **argv)
{
	char why[LINK_WHY_BYTES];
	enum ctl_exit code = CTL_OK;
	struct command cmd = { 0 };

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
	errno = 0;
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "ooo-ctl: cannot write: %s\n",
			errno ? strerror(errno) : "I/O error");
		return code == CTL_OK ? CTL_REFUSED : code;
	}
	return code;
}
