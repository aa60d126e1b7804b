/* SPDX-License-Identifier: Apache-2.0 */
/* Tenants of an agent that runs on the cuda device: their bits, their deaths, its faults. */
#include "tests/gpu/check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_ARGS  32
#define NR_KILLED 6
#define MODEL     "mlp"

#define MANY_FAULTS 6 /* so many are mended only where they lie far apart */

static struct {
	char dir[64], log[96], out[96];
	pid_t agent;
} node;

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

/* Run bin/name; its output goes to a file. The child leads a process group of its own. */
static pid_t start(const char *out, const char *name, const char *const *args)
{
	const char *argv[MAX_ARGS] = { name };
	char path[4096];
	pid_t pid;
	int n = 1;

	for (; *args; args++)
		argv[n++] = *args;
	snprintf(path, sizeof(path), "%s/%s", check_options.bin, name);
	pid = fork();
	if (pid)
		return pid;
	setpgid(0, 0);
	n = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	dup2(n, STDOUT_FILENO);
	dup2(n, STDERR_FILENO);
	setenv("OOO_RUNTIME_DIR", node.dir, 1);
	execv(path, (char **)(uintptr_t)argv);
	_exit(127);
}

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* How many times. */
static unsigned file_has(const char *path, const char *text)
{
	static char data[1 << 16];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, data, sizeof(data) - 1);
	unsigned times = 0;

	if (fd >= 0)
		close(fd);
	data[n > 0 ? n : 0] = '\0';
	for (const char *p = data; (p = strstr(p, text)); p++)
		times++;
	return times;
}

/* The end of what a process said. */
static const char *tail_of(const char *path)
{
	static char data[400];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;

	if (fd >= 0) {
		off_t end = lseek(fd, 0, SEEK_END);

		lseek(fd, end > 390 ? end - 390 : 0, SEEK_SET);
		n = read(fd, data, 390);
		close(fd);
	}
	data[n > 0 ? n : 0] = '\0';
	return data;
}

static int end_of(pid_t pid, int seconds)
{
	int status;

	for (int i = 0; i < seconds * 100; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		pause_ms(10);
	}
	kill(-pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

static void start_agent(const char *fault_every)
{
	const char *args[MAX_ARGS] = { "--device", "cuda" };
	int n = 2;

	snprintf(node.dir, sizeof(node.dir), "/tmp/gpu-check-XXXXXX");
	if (!mkdtemp(node.dir))
		fail_msg("%s: %s", node.dir, strerror(errno));
	snprintf(node.log, sizeof(node.log), "%s/agent.log", node.dir);
	snprintf(node.out, sizeof(node.out), "%s/run.out", node.dir);
	if (check_options.config.cuda_library) {
		args[n++] = "--cuda-library";
		args[n++] = check_options.config.cuda_library;
	}
	if (fault_every) {
		args[n++] = "--cuda-fault-every";
		args[n++] = fault_every;
	}
	node.agent = start(node.log, "ooo-agent", args);
	for (int i = 0; i < 6000 && !file_has(node.log, "ready:"); i++) {
		if (waitpid(node.agent, NULL, WNOHANG) == node.agent)
			fail_msg("the agent did not start: %s", tail_of(node.log));
		pause_ms(10);
	}
}

static void remove_dir(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", node.dir);
	if (system(command))
		fprintf(stderr, "gpu_check: cannot remove %s\n", node.dir);
}

static void stop_agent(void)
{
	int rc;

	kill(node.agent, SIGTERM);
	rc = end_of(node.agent, 60);
	if (rc)
		fail_msg("the agent ended with %d: %s", rc, tail_of(node.log));
	remove_dir();
}

static void run_checked(const char *tenants, const char *requests)
{
	pid_t pid = start(node.out, "ooo-run",
			  ARGS("--zoo", MODEL, "--tenants", tenants, "--requests", requests,
			       "--inflight", "2", "--check-solo", "--quiet"));
	int rc = end_of(pid, 300);

	if (rc)
		fail_msg("ooo-run ended with %d: %s", rc, tail_of(node.out));
}

static void same_bits(const void *arg)
{
	(void)arg;
	start_agent(NULL);
	run_checked(check_options.tiny ? "3" : "16", check_options.tiny ? "3" : "300");
	stop_agent();
}

/* Tenants die in the middle of their requests; the others do not notice. */
static void killed_tenants(const void *arg)
{
	pid_t victims[NR_KILLED];

	(void)arg;
	start_agent(NULL);
	for (int round = 0; round < (check_options.tiny ? 1 : 5); round++) {
		pid_t pid;
		int rc;

		for (int i = 0; i < NR_KILLED; i++)
			victims[i] = start("/dev/null", "ooo-run",
					   ARGS("--zoo", MODEL, "--tenants", "2", "--duration",
						"60s", "--inflight", "4", "--quiet"));
		pause_ms(300);
		pid = start(node.out, "ooo-run",
			    ARGS("--zoo", MODEL, "--tenants", "4", "--requests",
				 check_options.tiny ? "2" : "400", "--check-solo", "--quiet"));
		for (int i = 0; i < NR_KILLED; i++) {
			pause_ms(20 + check_below(100));
			kill(-victims[i], SIGKILL);
			waitpid(victims[i], NULL, 0);
		}
		rc = end_of(pid, 300);
		if (rc)
			fail_msg("ooo-run ended with %d: %s", rc, tail_of(node.out));
		check_count("killed", 2 * NR_KILLED);
	}
	stop_agent();
}

/*
 * A tenant rides through faults: the agent hands over to a fresh process, requests that a fault took
 * say that they may be tried again, and the tenant stays connected. At most three faults a minute
 * are mended; after the fourth the device stays lost. On a machine so slow that they lie further
 * apart all of them are mended.
 */
static void faults_of_the_device(const void *arg)
{
	unsigned mended = 0;
	bool lost = false;
	int rc = 0, i;

	(void)arg;
	start_agent(check_options.tiny ? "40" : "2001");
	for (i = 0; i < 200 && !lost && mended < MANY_FAULTS; i++) {
		rc = end_of(start(node.out, "ooo-run",
				  ARGS("--zoo", MODEL, "--tenants", "2", "--requests",
				       check_options.tiny ? "2" : "100", "--quiet", "--json")),
			    300);
		lost = file_has(node.log, "it stays lost");
		mended = file_has(node.log, "resumed: ");
		if (rc && !lost && !file_has(node.out, "was reset while the request ran"))
			fail_msg("run %d ended with %d: %s", i, rc, tail_of(node.out));
	}
	if (mended < (lost ? 3 : MANY_FAULTS))
		fail_msg("%d runs, and no fault that is not mended: %s", i, tail_of(node.log));
	/* An administrator may still ask for a restart. */
	kill(node.agent, SIGUSR2);
	rc = -1;
	for (i = 0; i < 50 && rc; i++) {
		pause_ms(200);
		rc = end_of(
			start(node.out, "ooo-run",
			      ARGS("--zoo", MODEL, "--tenants", "1", "--requests", "1", "--quiet")),
			300);
	}
	if (rc)
		fail_msg("nothing works after a fault and a restart: %s", tail_of(node.out));
	stop_agent();
}

/* What a case that failed has left running. */
static void clean_up(void)
{
	if (node.agent > 0 && !kill(node.agent, 0)) {
		kill(-node.agent, SIGKILL);
		waitpid(node.agent, NULL, 0);
		remove_dir();
	}
	node.agent = 0;
}

void check_agent(void)
{
	static const struct {
		const char *name;
		void (*run)(const void *arg);
	} cases[] = {
		{ "same bits alone and together", same_bits },
		{ "killed tenants", killed_tenants },
		{ "faults of the device", faults_of_the_device },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (!check_case(cases[i].run, NULL, "%s", cases[i].name))
			clean_up();
		node.agent = 0;
	}
}
