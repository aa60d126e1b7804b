// SPDX-License-Identifier: Apache-2.0
#include "agent/watch/usage.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/log.h"
#include "agent/tenant/registry.h"
#include "agent/watch/energy.h"
#include "agent/watch/ledger.h"

#define TICK_NS   200000000u  /* while tenants are connected; else it is a second */
#define PERIOD_S  600         /* of rows in the log */
#define LOG_BYTES (32u << 20) /* then it becomes the old one */

struct usage {
	struct usage_config config;
	char dir[256];
	pthread_t thread;
	pthread_mutex_t lock; /* of the ledger; taken inside the registry's */
	pthread_cond_t wake;
	bool stop;
	struct ledger ledger;
	uint64_t period_s; /* when the ledger's period began */
	/* The thread's own: */
	struct ledger copy;
	struct energy *energy;
	uint64_t energy_mj[DEVICE_MAX_OPEN]; /* as last read */
	bool has_energy[DEVICE_MAX_OPEN];
	uint64_t before[LEDGER_ROWS]; /* device times at the last tick */
	uint32_t nr_before;
};

static uint64_t now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec;
}

static void path_of(const struct usage *u, const char *name, char *out, size_t bytes)
{
	snprintf(out, bytes, "%s/%s", u->dir, name);
}

/* ---- files ----------------------------------------------------------------------------------- */

static FILE *open_file(const struct usage *u, const char *path, int flags)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0640);
	FILE *out;

	if (fd < 0)
		return NULL;
	if (u->config.has_group && fchown(fd, (uid_t)-1, u->config.group))
		log_warn("%s: cannot give it to the administrators' group: %s", path,
			 strerror(errno));
	out = fdopen(fd, "w");
	if (!out)
		close(fd);
	return out;
}

static void failed(const char *path)
{
	log_error("%s: cannot write: %s; use since then is not kept", path, strerror(errno));
}

static bool rows_are_empty(const struct usage_values *v)
{
	struct usage_values none = { 0 };

	return !memcmp(v, &none, sizeof(none));
}

static void put_rows(FILE *out, const struct ledger *l, uint64_t start_s, uint64_t end_s)
{
	for (uint32_t i = 0; i < l->nr; i++) {
		struct usage_row row = l->rows[i];

		row.start_s = start_s;
		row.end_s = end_s > start_s ? end_s : start_s;
		if (!rows_are_empty(&row.v))
			usage_write(out, &row);
	}
}

/* What is read finds the old file whole, or the new one. */
static void write_now(struct usage *u, const struct ledger *l)
{
	char path[300], tmp[310];
	FILE *out;

	path_of(u, USAGE_NOW, path, sizeof(path));
	snprintf(tmp, sizeof(tmp), "%s.new", path);
	unlink(tmp);
	out = open_file(u, tmp, O_EXCL);
	if (!out) {
		failed(tmp);
		return;
	}
	fputs(USAGE_HEADING "\n", out);
	put_rows(out, l, u->period_s, now_s());
	if (fclose(out) || rename(tmp, path))
		failed(path);
}

static void append_log(struct usage *u, const struct ledger *l, uint64_t start_s, uint64_t end_s)
{
	char path[300], old[300];
	struct stat st;
	FILE *out;

	path_of(u, USAGE_LOG, path, sizeof(path));
	path_of(u, USAGE_LOG_OLD, old, sizeof(old));
	if (!stat(path, &st) && st.st_size > LOG_BYTES && rename(path, old))
		failed(old);
	out = open_file(u, path, O_APPEND);
	if (!out) {
		failed(path);
		return;
	}
	if (!fstat(fileno(out), &st) && !st.st_size)
		fputs(USAGE_HEADING "\n", out);
	put_rows(out, l, start_s, end_s);
	if (fflush(out) || fsync(fileno(out)))
		failed(path);
	fclose(out);
}

/* ---- start ----------------------------------------------------------------------------------- */

static void keep_row(const struct usage_row *row, void *arg)
{
	usage_write(arg, row);
}

/* A file with lines that make no sense is set aside; its good rows stay, in a new one. */
static void mend(struct usage *u, const char *name)
{
	char path[300], bad[340], tmp[310];
	unsigned line = 0;
	FILE *out;
	int nr;

	path_of(u, name, path, sizeof(path));
	if (access(path, F_OK))
		return;
	snprintf(tmp, sizeof(tmp), "%s.new", path);
	snprintf(bad, sizeof(bad), "%s.bad-%llu", path, (unsigned long long)now_s());
	unlink(tmp);
	out = open_file(u, tmp, O_EXCL);
	if (!out) {
		failed(tmp);
		return;
	}
	fputs(USAGE_HEADING "\n", out);
	nr = usage_read(path, keep_row, out, &line);
	if (fclose(out) || !nr) {
		unlink(tmp);
		return;
	}
	if (nr < 0)
		log_error("%s: cannot read: %s; kept aside as %s", path, strerror(-nr), bad);
	else
		log_error("%s: %d lines make no sense, the first is line %u; kept aside as %s, "
			  "what is right goes on",
			  path, nr, line, bad);
	if (rename(path, bad) || rename(tmp, path))
		failed(path);
}

struct take_up {
	struct ledger *ledger;
	uint64_t start_s, end_s;
};

static void take_row(const struct usage_row *row, void *arg)
{
	struct take_up *t = arg;

	usage_add(&ledger_row(t->ledger, row->device, row->uid, row->name)->v, &row->v);
	if (!t->start_s || row->start_s < t->start_s)
		t->start_s = row->start_s;
	if (row->end_s > t->end_s)
		t->end_s = row->end_s;
}

/* The period that ran when the agent ended, however it did, is closed. */
static void close_last_period(struct usage *u)
{
	struct take_up t = { .ledger = &u->copy };
	char path[300];
	unsigned line;

	path_of(u, USAGE_NOW, path, sizeof(path));
	ledger_clear(&u->copy);
	usage_read(path, take_row, &t, &line);
	if (u->copy.nr)
		append_log(u, &u->copy, t.start_s, t.end_s);
	unlink(path);
}

static int make_dir(const struct usage *u)
{
	if (mkdir(u->dir, 0750) && errno != EEXIST)
		return -errno;
	if (u->config.has_group && chown(u->dir, (uid_t)-1, u->config.group))
		return -errno;
	return access(u->dir, W_OK) ? -errno : 0;
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* From the registry, under its lock: the thread's tick, or the door's because the tenant leaves. */
static void bill(void *arg, const struct tenant *t, const struct usage_values *used)
{
	struct usage *u = arg;

	if (rows_are_empty(used))
		return;
	pthread_mutex_lock(&u->lock);
	usage_add(&ledger_row(&u->ledger, t->device, t->uid, t->name)->v, used);
	if (!pthread_equal(pthread_self(), u->thread))
		pthread_cond_signal(&u->wake);
	pthread_mutex_unlock(&u->lock);
}

static void bill_energy(struct usage *u)
{
	const struct registry_agent *agent = &u->config.registry->agent;

	for (uint32_t i = 0; u->energy && i < agent->nr_devices; i++) {
		uint64_t mj;

		if (!agent->devices[i].caps->uuid[0] ||
		    !energy_read(u->energy, agent->devices[i].caps->uuid, &mj))
			continue;
		pthread_mutex_lock(&u->lock);
		if (u->has_energy[i] && mj > u->energy_mj[i])
			ledger_energy(&u->ledger, u->before, u->nr_before, i, mj - u->energy_mj[i]);
		pthread_mutex_unlock(&u->lock);
		u->energy_mj[i] = mj;
		u->has_energy[i] = true;
	}
}

/* Are tenants connected? */
static bool tick(struct usage *u, bool last)
{
	uint64_t now = now_s(), start = u->period_s;
	bool ends = last || now / PERIOD_S != start / PERIOD_S, changed, busy;

	registry_lock(u->config.registry);
	registry_bill(u->config.registry);
	busy = u->config.registry->agent.nr_tenants;
	registry_unlock(u->config.registry);
	bill_energy(u);
	pthread_mutex_lock(&u->lock);
	changed = u->ledger.changed;
	u->ledger.changed = false;
	if (changed || ends)
		u->copy = u->ledger;
	if (ends) {
		ledger_clear(&u->ledger);
		u->period_s = now;
	}
	u->nr_before = u->ledger.nr;
	for (uint32_t i = 0; i < u->nr_before; i++)
		u->before[i] = u->ledger.rows[i].v.device_ns;
	pthread_mutex_unlock(&u->lock);
	if (ends && u->copy.nr)
		append_log(u, &u->copy, start, now);
	if (ends)
		ledger_clear(&u->copy);
	if (changed || ends)
		write_now(u, &u->copy);
	return busy;
}

/* Until it is time, or a tenant has left. The lock is held. */
static void wait_for_tick(struct usage *u, bool busy)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_nsec += busy ? TICK_NS : 1000000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_nsec -= 1000000000;
		at.tv_sec++;
	}
	pthread_cond_timedwait(&u->wake, &u->lock, &at);
}

static void *usage_main(void *arg)
{
	struct usage *u = arg;
	bool busy = false;

	pthread_setname_np(pthread_self(), "ooo-usage");
	pthread_mutex_lock(&u->lock);
	while (!u->stop) {
		wait_for_tick(u, busy);
		pthread_mutex_unlock(&u->lock);
		busy = tick(u, false);
		pthread_mutex_lock(&u->lock);
	}
	pthread_mutex_unlock(&u->lock);
	tick(u, true);
	return NULL;
}

static int start_thread(struct usage *u)
{
	pthread_condattr_t attr;
	int err;

	pthread_mutex_init(&u->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&u->wake, &attr);
	pthread_condattr_destroy(&attr);
	err = pthread_create(&u->thread, NULL, usage_main, u);
	if (!err)
		return 0;
	pthread_cond_destroy(&u->wake);
	pthread_mutex_destroy(&u->lock);
	return -err;
}

int usage_start(const struct usage_config *config, struct usage **out)
{
	struct usage *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return -ENOMEM;
	u->config = *config;
	usage_dir(config->runtime_dir, u->dir, sizeof(u->dir));
	err = make_dir(u);
	if (!err) {
		mend(u, USAGE_NOW);
		mend(u, USAGE_LOG);
		close_last_period(u);
		u->period_s = now_s();
		u->energy = energy_open(config->nvml_library);
		err = start_thread(u);
	}
	if (err) {
		log_warn("%s: %s: who uses the device is not kept", u->dir, strerror(-err));
		energy_close(u->energy);
		free(u);
		return err;
	}
	registry_lock(config->registry);
	config->registry->bill = bill;
	config->registry->bill_arg = u;
	registry_unlock(config->registry);
	*out = u;
	return 0;
}

void usage_stop(struct usage *u)
{
	if (!u)
		return;
	pthread_mutex_lock(&u->lock);
	u->stop = true;
	pthread_cond_signal(&u->wake);
	pthread_mutex_unlock(&u->lock);
	pthread_join(u->thread, NULL);
	registry_lock(u->config.registry);
	u->config.registry->bill = NULL;
	registry_unlock(u->config.registry);
	pthread_cond_destroy(&u->wake);
	pthread_mutex_destroy(&u->lock);
	energy_close(u->energy);
	free(u);
}
