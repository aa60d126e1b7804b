// SPDX-License-Identifier: Apache-2.0
/* ooo-run: fork the tenants, start them together, wait, report. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ctl/run/run.h"

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

static void sleep_ms(long milliseconds)
{
	struct timespec ts = { .tv_sec = milliseconds / 1000,
			       .tv_nsec = milliseconds % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

static uint32_t phase_of(const struct run_shared *s, int i)
{
	return __atomic_load_n(&s->tenants[i].phase, __ATOMIC_ACQUIRE);
}

/* Collect children that ended; one that did not say why (a crash) is marked failed. */
static int reap_children(const struct run_options *o, struct run_shared *s, const pid_t *pids)
{
	int alive = 0, status;

	for (int i = 0; i < o->tenants; i++) {
		if (phase_of(s, i) >= PHASE_DONE)
			continue;
		if (waitpid(pids[i], &status, WNOHANG) == pids[i] && phase_of(s, i) < PHASE_DONE) {
			snprintf(s->tenants[i].text, sizeof(s->tenants[i].text),
				 WIFSIGNALED(status) ? "killed by signal %d"
						     : "ended with status %d",
				 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
			__atomic_store_n(&s->tenants[i].phase, PHASE_FAILED, __ATOMIC_RELEASE);
			continue;
		}
		alive++;
	}
	return alive;
}

static bool all_reached(const struct run_options *o, const struct run_shared *s, uint32_t phase)
{
	for (int i = 0; i < o->tenants; i++) {
		if (phase_of(s, i) < phase)
			return false;
	}
	return true;
}

static void step_solo(const struct run_options *o, struct run_shared *s)
{
	uint32_t turn = s->solo_turn;

	if (turn >= (uint32_t)o->tenants || !all_reached(o, s, PHASE_READY))
		return;
	if (__atomic_load_n(&s->tenants[turn].solo_done, __ATOMIC_ACQUIRE) ||
	    phase_of(s, (int)turn) >= PHASE_DONE)
		__atomic_store_n(&s->solo_turn, turn + 1, __ATOMIC_RELEASE);
}

static void start_all(struct run_shared *s)
{
	s->start_ns = ooo_now_ns() + 20000000; /* all children are awake by then */
	__atomic_store_n(&s->go, 1, __ATOMIC_RELEASE);
}

static void supervise(const struct run_options *o, struct run_shared *s, const pid_t *pids)
{
	bool show = !o->quiet && !o->json && isatty(STDERR_FILENO);
	uint64_t shown = 0;

	while (reap_children(o, s, pids)) {
		if (interrupted)
			__atomic_store_n(&s->stop, 1, __ATOMIC_RELEASE);
		if (o->check_solo)
			step_solo(o, s);
		if (!s->go && all_reached(o, s, PHASE_READY) &&
		    (!o->check_solo || s->solo_turn == (uint32_t)o->tenants))
			start_all(s);
		if (show && ooo_now_ns() - shown > 300000000) {
			report_progress(o, s, false);
			shown = ooo_now_ns();
		}
		sleep_ms(s->go ? 20 : 1);
	}
	if (show && shown)
		report_progress(o, s, true);
}

/* Before many processes fail one by one: is there an agent at all? */
static int check_agent(const struct run_options *o)
{
	struct ooo_options opts = OOO_OPTIONS_INIT;
	struct ooo_client *client;
	char why[RUN_TEXT_BYTES];
	int err;

	opts.socket = o->socket;
	opts.name = "ooo-run";
	opts.arena_bytes = 4096;
	err = ooo_connect(&opts, &client, why, sizeof(why));
	if (err) {
		fprintf(stderr, "ooo-run: %s\n", why);
		return err == -ECONNREFUSED || err == -ENOENT ? 3 : 1;
	}
	ooo_disconnect(client);
	return 0;
}

static int fork_tenants(const struct run_options *o, const struct run_model *m,
			struct run_shared *s, pid_t *pids)
{
	for (int i = 0; i < o->tenants; i++) {
		pids[i] = fork();
		if (!pids[i])
			exit(tenant_main(o, m, s, i));
		if (pids[i] < 0) {
			fprintf(stderr, "ooo-run: cannot start tenant %d: %s\n", i,
				strerror(errno));
			for (int k = 0; k < i; k++)
				kill(pids[k], SIGKILL);
			return 1;
		}
	}
	return 0;
}

static void handle_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

int main(int argc, char **argv)
{
	struct run_model model = { 0 };
	struct run_shared *shared;
	struct run_options o;
	char why[RUN_TEXT_BYTES] = "";
	pid_t pids[RUN_MAX_TENANTS];
	size_t bytes;
	int rc = options_parse(argc, argv, &o);

	if (rc)
		return rc < 0 ? 0 : rc;
	bytes = sizeof(*shared) + (size_t)o.tenants * sizeof(struct tenant_result);
	shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED) {
		fprintf(stderr, "ooo-run: no memory for %d tenants\n", o.tenants);
		return 1;
	}
	rc = check_agent(&o);
	if (!rc && model_open(&o, &model, why, sizeof(why))) {
		fprintf(stderr, "ooo-run: %s\n", why);
		rc = 1;
	}
	if (!rc) {
		handle_signals();
		rc = fork_tenants(&o, &model, shared, pids);
	}
	if (!rc) {
		supervise(&o, shared, pids);
		rc = report_final(&o, shared);
	}
	model_close(&model);
	munmap(shared, bytes);
	return rc;
}
