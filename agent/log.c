/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES       512
#define TENANT_LINES_MAX 100 /* a second */

static enum log_level max_level = LOG_LEVEL_INFO;

/* One for each level: a flood of connections must not hide who was dropped. */
static struct {
	time_t second;
	uint32_t lines, kept_back;
} limits[LOG_LEVEL_DEBUG + 1];

static pthread_mutex_t limits_lock = PTHREAD_MUTEX_INITIALIZER;

void log_set_level(enum log_level level)
{
	__atomic_store_n(&max_level, level, __ATOMIC_RELAXED);
}

enum log_level log_get_level(void)
{
	return __atomic_load_n(&max_level, __ATOMIC_RELAXED);
}

static void write_line(enum log_level level, const char *fmt, va_list ap)
{
	static const char *const prefix[] = { "error: ", "warning: ", "", "debug: " };
	char line[LINE_BYTES];
	int saved = errno;
	int n = snprintf(line, sizeof(line), "ooo-agent: %s", prefix[level]);
	int m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);

	if (m > 0)
		n += m;
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n++] = '\n';
	/* Nowhere to report a log line that cannot be written. */
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		errno = saved;
	errno = saved;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level > log_get_level())
		return;
	va_start(ap, fmt);
	write_line(level, fmt, ap);
	va_end(ap);
}

/* True if this second still has room; *kept_back: lines of earlier seconds that had none. */
static bool take_token(enum log_level level, uint32_t *kept_back)
{
	struct timespec now;
	bool room;

	clock_gettime(CLOCK_MONOTONIC, &now);
	*kept_back = 0;
	pthread_mutex_lock(&limits_lock);
	if (now.tv_sec != limits[level].second) {
		*kept_back = limits[level].kept_back;
		limits[level].second = now.tv_sec;
		limits[level].lines = limits[level].kept_back = 0;
	}
	room = limits[level].lines < TENANT_LINES_MAX;
	if (room)
		limits[level].lines++;
	else
		limits[level].kept_back++;
	pthread_mutex_unlock(&limits_lock);
	return room;
}

void log_tenant(enum log_level level, const char *fmt, ...)
{
	uint32_t kept_back;
	va_list ap;

	if (level > log_get_level() || !take_token(level, &kept_back))
		return;
	if (kept_back)
		log_warn("%u lines about tenants were kept back (more than %d a second)", kept_back,
			 TENANT_LINES_MAX);
	va_start(ap, fmt);
	write_line(level, fmt, ap);
	va_end(ap);
}
