// SPDX-License-Identifier: Apache-2.0
/* `ooo-ctl doctor`: what this machine has and lacks, why it matters and how to mend it. */
#include <cjson/cJSON.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/doctor.h"
#include "ctl/print.h"

static const char *const status_names[DOCTOR_STATUSES] = { "ok", "warn", "fail" };

static const struct {
	const char *key, *why;
} checks[NR_DOCTOR_CHECKS] = {
#define CHECK(NAME, key, why) { key, why },
#include "ctl/doctor.def"
};

void doctor_say(struct doctor *c, enum doctor_status status, const char *command, const char *fmt,
		...)
{
	va_list args;

	c->status = status;
	snprintf(c->command, sizeof(c->command), "%s", command ? command : "");
	va_start(args, fmt);
	vsnprintf(c->found, sizeof(c->found), fmt, args);
	va_end(args);
}

/* ---- the agent ------------------------------------------------------------------------------- */

static void check_runtime(const char *dir, struct doctor *c)
{
	char command[256];
	struct stat st;

	if (lstat(dir, &st)) {
		doctor_say(c, DOCTOR_WARN, NULL, "%s is not there: the agent makes it", dir);
		return;
	}
	snprintf(command, sizeof(command), "chmod go-w %.200s", dir);
	if (!S_ISDIR(st.st_mode))
		doctor_say(c, DOCTOR_FAIL, NULL, "%s is no folder", dir);
	else if (st.st_mode & (S_IWGRP | S_IWOTH))
		doctor_say(c, DOCTOR_FAIL, command, "%s may be written by others (mode %04o)", dir,
			   st.st_mode & 07777);
	else if (st.st_uid != 0 && st.st_uid != getuid())
		doctor_say(c, DOCTOR_WARN, NULL, "%s belongs to uid %u", dir, st.st_uid);
	else
		doctor_say(c, DOCTOR_OK, NULL, "%s, mode %04o", dir, st.st_mode & 07777);
}

static int count_record(int attr, struct nlattr *nest, void *arg)
{
	*(unsigned *)arg += attr == OOO_CTL_A_STATUS;
	return 0;
}

static void check_agent(const char *dir, struct doctor *c)
{
	const struct link_request request = { .type = OOO_CTL_STATUS_SHOW, .reply = OOO_CTL_ONE };
	struct agent_file agent;
	struct link *link = NULL;
	char why[LINK_WHY_BYTES], start[256];
	unsigned nr = 0;
	enum ctl_exit code = agent_file_read(dir, &agent, why, sizeof(why));
	bool published = code != CTL_NO_AGENT;

	if (code == CTL_OK)
		code = ctl_link_open(&agent, &link, why, sizeof(why));
	if (code == CTL_OK)
		code = ctl_link_call(link, &request, count_record, &nr, why, sizeof(why));
	ctl_link_close(link);
	snprintf(start, sizeof(start), "ooo-agent --runtime-dir %.200s", dir);
	if (code == CTL_OK && nr)
		doctor_say(c, DOCTOR_OK, NULL, "pid %d answers", (int)agent.pid);
	else
		doctor_say(c, published ? DOCTOR_FAIL : DOCTOR_WARN, start, "%s",
			   code == CTL_OK ? "its answer is empty" : why);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void run(const char *dir, struct doctor *all)
{
	doctor_kernel(&all[DOCTOR_KERNEL]);
	doctor_cpus(&all[DOCTOR_CPUS]);
	doctor_clock(&all[DOCTOR_CLOCK]);
	doctor_memfd(&all[DOCTOR_MEMFD]);
	doctor_netlink(&all[DOCTOR_NETLINK]);
	doctor_nofile(&all[DOCTOR_NOFILE]);
	doctor_memlock(&all[DOCTOR_MEMLOCK]);
	doctor_hugepages(&all[DOCTOR_HUGEPAGES]);
	doctor_cgroup(&all[DOCTOR_CGROUP]);
	doctor_gpu(&all[DOCTOR_GPU]);
	doctor_gpu_nodes(&all[DOCTOR_GPU_NODES]);
	doctor_driver(&all[DOCTOR_DRIVER]);
	doctor_green(&all[DOCTOR_GREEN]);
	doctor_nvrtc(&all[DOCTOR_NVRTC]);
	doctor_bpf(&all[DOCTOR_BPF]);
	doctor_btf(&all[DOCTOR_BTF]);
	doctor_bpffs(&all[DOCTOR_BPFFS]);
	doctor_tracefs(&all[DOCTOR_TRACEFS]);
	doctor_perf(&all[DOCTOR_PERF]);
	check_runtime(dir, &all[DOCTOR_RUNTIME]);
	check_agent(dir, &all[DOCTOR_AGENT]);
}

static void print(const struct doctor *all, const unsigned *counts)
{
	for (int i = 0; i < NR_DOCTOR_CHECKS; i++) {
		printf("%-4s  %-19s  %s\n", status_names[all[i].status], checks[i].key,
		       all[i].found);
		printf("      %-19s  why: %s\n", "", checks[i].why);
		if (all[i].command[0])
			printf("      %-19s  do:  %s\n", "", all[i].command);
	}
	printf("\n%u ok, %u warn, %u fail\n", counts[DOCTOR_OK], counts[DOCTOR_WARN],
	       counts[DOCTOR_FAIL]);
}

static cJSON *json_check(const struct doctor *c, int i)
{
	cJSON *o = cJSON_CreateObject();

	if (o && cJSON_AddStringToObject(o, "check", checks[i].key) &&
	    cJSON_AddStringToObject(o, "status", status_names[c->status]) &&
	    cJSON_AddStringToObject(o, "found", c->found) &&
	    cJSON_AddStringToObject(o, "why", checks[i].why) &&
	    cJSON_AddStringToObject(o, "do", c->command))
		return o;
	cJSON_Delete(o);
	return NULL;
}

static cJSON *json(const struct doctor *all, const unsigned *counts)
{
	cJSON *root = cJSON_CreateObject();
	cJSON *list = root ? cJSON_AddArrayToObject(root, "checks") : NULL;
	bool ok = list;

	for (int i = 0; i < NR_DOCTOR_CHECKS && ok; i++) {
		cJSON *item = json_check(&all[i], i);

		ok = item && cJSON_AddItemToArray(list, item);
	}
	for (int i = 0; i < DOCTOR_STATUSES && ok; i++)
		ok = cJSON_AddNumberToObject(root, status_names[i], counts[i]);
	if (ok)
		return root;
	cJSON_Delete(root);
	return NULL;
}

enum ctl_exit verb_doctor(struct session *s)
{
	struct doctor all[NR_DOCTOR_CHECKS] = { 0 };
	unsigned counts[DOCTOR_STATUSES] = { 0 };

	run(s->cmd->runtime_dir, all);
	for (int i = 0; i < NR_DOCTOR_CHECKS; i++)
		counts[all[i].status]++;
	if (!s->cmd->json) {
		print(all, counts);
	} else if (print_json(stdout, json(all, counts), false)) {
		snprintf(s->why, sizeof(s->why), "out of memory");
		return CTL_REFUSED;
	}
	if (!counts[DOCTOR_FAIL])
		return CTL_OK;
	snprintf(s->why, sizeof(s->why), "%u of %d checks failed", counts[DOCTOR_FAIL],
		 NR_DOCTOR_CHECKS);
	return CTL_REFUSED;
}
